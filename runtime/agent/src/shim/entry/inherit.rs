//! What a process has from those that started it, and a task must not have from its agent.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::fs::Mode;
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit, umask};

/// How many descriptors a task has unless it asks for more, up to the hard limit: programs that use `select` break
/// beyond it.
const DESCRIPTORS: u64 = 1024;

/// Forgets it: open files, mask, priority, and how readily the kernel kills for memory. Before the user changes.
///
/// # Errors
/// When the open files cannot be listed.
pub(in crate::shim) fn forget() -> io::Result<()> {
    close_on_exec()?;
    umask(Mode::from_raw_mode(0o022));
    // Where it is not allowed to be more important than its agent, it is as important.
    let _ = fs::write("/proc/self/oom_score_adj", "0");
    let _ = setpriority_process(None, 0);
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(maximum.map_or(DESCRIPTORS, |maximum| maximum.min(DESCRIPTORS)));
    Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum })?)
}

fn close_on_exec() -> io::Result<()> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        open.extend(entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    for number in open.into_iter().filter(|number| *number > 2) {
        mark(number)?;
    }
    Ok(())
}

#[expect(unsafe_code, reason = "descriptors that nobody here owns can be named in no other way")]
fn mark(number: RawFd) -> io::Result<()> {
    // SAFETY: used for two system calls only, which change no more than a flag and fail for a number that is closed.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    match fcntl_getfd(fd).and_then(|flags| fcntl_setfd(fd, flags | FdFlags::CLOEXEC)) {
        // The one by which they were listed.
        Err(rustix::io::Errno::BADF) => Ok(()),
        marked => Ok(marked?),
    }
}
