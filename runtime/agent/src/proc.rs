//! What `/proc` says of a process, and identities that outlive the reuse of a number.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its number, seen from the agent's pid namespace.
    pub pid: i32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/pid/stat`).
    pub start_time: u64,
    /// The boot in which that was.
    pub boot_id: String,
}

impl Identity {
    /// The identity of a living process.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: i32) -> io::Result<Self> {
        let stat = stat(pid)?;
        Ok(Self { pid, start_time: stat.start_time, boot_id: boot_id()? })
    }
}

/// The part of `/proc/pid/stat` that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The parent's number.
    pub parent: i32,
    /// The session's number, which is that of the process that made it.
    pub session: i32,
    /// How many threads it has.
    pub threads: u64,
    /// One letter: `R`, `S`, `D`, `T`, `Z`, ….
    pub state: char,
    /// Clock ticks since boot.
    pub start_time: u64,
}

impl Stat {
    /// Whether nothing of it runs any more. A zombie whose main thread alone has ended still runs.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

/// Whether an error says that there is no such process, and not that it cannot be looked at.
#[must_use]
pub fn is_gone(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(code, Some(rustix::io::Errno::NOENT | rustix::io::Errno::SRCH))
}

/// Reads a process's stat.
///
/// # Errors
/// When there is no such process ([`is_gone`]), or it cannot be read.
pub fn stat(pid: i32) -> io::Result<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat"))?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/pid/stat has another form"))
}

/// As [`stat`]; `None` when there is no such process.
///
/// # Errors
/// When it cannot be read.
pub fn find(pid: i32) -> io::Result<Option<Stat>> {
    match stat(pid) {
        Ok(stat) => Ok(Some(stat)),
        Err(e) if is_gone(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

/// This boot's name.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The children of all threads of a process; none when it is gone.
///
/// # Errors
/// When they cannot be read, which must not be taken for "none".
pub(crate) fn children(parent: i32) -> io::Result<Vec<i32>> {
    match children_by_list(parent) {
        Err(e) if e.kind() == io::ErrorKind::Unsupported => children_by_scan(parent),
        listed => listed,
    }
}

/// From the kernel's own list, which it has with `CONFIG_PROC_CHILDREN`.
fn children_by_list(parent: i32) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    let threads = match fs::read_dir(format!("/proc/{parent}/task")) {
        Err(e) if is_gone(&e) => return Ok(found),
        threads => threads?,
    };
    for thread in threads {
        let thread = match thread {
            Err(e) if is_gone(&e) => break,
            thread => thread?.path(),
        };
        match fs::read_to_string(thread.join("children")) {
            Ok(text) => found.extend(text.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok())),
            Err(e) if !is_gone(&e) => return Err(e),
            Err(_) if thread.try_exists()? => return Err(io::ErrorKind::Unsupported.into()),
            Err(_) => {}
        }
    }
    Ok(found)
}

fn children_by_scan(parent: i32) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    for pid in all()? {
        if find(pid)?.is_some_and(|stat| stat.parent == parent) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Every process that shows.
pub(crate) fn all() -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        found.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(found)
}

/// How many threads a user has on this machine, which is what `RLIMIT_NPROC` counts.
pub(crate) fn threads_of(uid: u32) -> u64 {
    use std::os::unix::fs::MetadataExt;

    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<i32>().is_ok()))
        .filter(|entry| entry.metadata().is_ok_and(|m| m.uid() == uid))
        .map(|entry| fs::read_dir(entry.path().join("task")).map_or(1, |threads| threads.count() as u64))
        .sum()
}

/// The name in brackets may hold any bytes, brackets and blanks too, so fields are counted after the last one.
fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let end = bytes.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(bytes.get(end + 1..)?).ok()?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let threads = fields.nth(13)?.parse().ok()?;
    let start_time = fields.nth(1)?.parse().ok()?;
    Some(Stat { parent, session, threads, state, start_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_the_process_calls_itself() {
        for name in [&b"sh"[..], b"a b", b"x) R 1 (y", b")", b"\xff\xfe\x80"] {
            let tail = b") S 7 12 13 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 98765 1000 200 1 1";
            let text = [b"12 (", name, tail].concat();
            let stat = Stat { parent: 7, session: 13, threads: 3, state: 'S', start_time: 98765 };
            assert_eq!(parse_stat(&text), Some(stat), "{name:?}");
        }
        for text in ["", "12 (sh", "12 (sh) S", "12 (sh) S x 1 1"] {
            assert_eq!(parse_stat(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_zombie_with_threads_that_live_is_not_dead() {
        let stat = |state, threads| Stat { parent: 1, session: 1, threads, state, start_time: 1 };
        for (state, threads, dead) in [('Z', 1, true), ('Z', 0, true), ('Z', 2, false), ('S', 1, false)] {
            assert_eq!(stat(state, threads).is_dead(), dead, "{state} {threads}");
        }
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_gone() {
        use rustix::io::Errno;
        for (errno, gone) in [
            (Errno::NOENT, true),
            (Errno::SRCH, true),
            (Errno::MFILE, false),
            (Errno::IO, false),
            (Errno::NOSYS, false),
        ] {
            assert_eq!(is_gone(&io::Error::from(errno)), gone, "{errno}");
        }
        assert_eq!(find(i32::MAX).unwrap(), None);
        assert!(children(i32::MAX).unwrap().is_empty());
    }

    #[test]
    fn this_process_has_one_identity() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let own = Identity::of(pid).unwrap();
        assert_eq!(own, Identity::of(pid).unwrap());
        assert_eq!(own.boot_id.len(), 36);
        assert!(Identity::of(i32::MAX).is_err());
    }
}
