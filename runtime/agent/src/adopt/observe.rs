//! The looking: lock, records, processes.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::decide::{Found, Holder, Leader, Observations};
use crate::proc::{self, Identity};
use crate::process::Process;
use crate::record::{self, Record};
use crate::shim::LOCK;
use crate::spec::Started;

/// Looks at a task's directory. The process is the lock's holder.
#[must_use]
pub fn observe(dir: &Path) -> (Observations, Option<Process>) {
    // The lock first: when it is free, the records that are read afterwards are the last ones.
    let holder = lock_holder(dir);
    let started: Found<Started> = find(dir);
    let exit = find(dir);
    let boot_id = proc::boot_id().unwrap_or_default();
    let leader = match &started {
        Found::Good(started) if started.leader.boot_id == boot_id => leader_now(&started.leader),
        _ => Leader::Gone,
    };
    let seen = holder.as_ref().map(|process| Holder {
        identity: Identity::of(process.pid()).ok().filter(|_| !process.has_ended()),
        in_group: match &started {
            Found::Good(started) => started
                .groups
                .as_ref()
                .map(|groups| groups.shim().is_ok_and(|group| group.holds(process.pid()))),
            _ => None,
        },
    });
    (Observations { holder: seen, started, exit, boot_id, leader }, holder)
}

fn find<R: Record>(dir: &Path) -> Found<R> {
    match record::read(dir) {
        Ok(Some(record)) => Found::Good(record),
        Ok(None) => Found::Missing,
        Err(e) => Found::Damaged(e.to_string()),
    }
}

fn leader_now(recorded: &Identity) -> Leader {
    match proc::stat(recorded.pid) {
        Ok(stat) if stat.start_time != recorded.start_time => Leader::Reused,
        Ok(stat) if stat.state != 'Z' => Leader::Alive,
        _ => Leader::Gone,
    }
}

/// The process that holds the lock. Asked again once its pidfd is open: if it is still the holder then, the
/// pidfd is that of the holder, whatever happened to numbers meanwhile.
fn lock_holder(dir: &Path) -> Option<Process> {
    let file = File::open(dir.join(LOCK)).ok()?;
    let holder = || {
        let lock = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).ok().flatten()?;
        Some(lock.pid?.as_raw_nonzero().get())
    };
    loop {
        let pid = holder()?;
        let process = Process::open(pid);
        if holder() == Some(pid) {
            return process;
        }
    }
}

/// Keeps a task that was never started from starting late: a shim that was spawned but has not taken its
/// lock yet would find the task ended. `false` when a shim was faster and holds the lock, or when the task has
/// been started.
///
/// # Errors
/// When the directory cannot be written.
pub fn release_unstarted(dir: &Path, exit: &crate::spec::Exit) -> Result<bool, record::RecordError> {
    use rustix::fs::{FlockOperation, fcntl_lock};

    let path = dir.join(LOCK);
    let failed = |source| record::RecordError::Io { action: "lock", path: path.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => return Ok(false),
        Err(e) => return Err(failed(io::Error::from(e))),
    }
    let untouched = |file: &str| !dir.join(file).exists();
    if !untouched(Started::FILE) || !untouched(crate::spec::Exit::FILE) {
        return Ok(false);
    }
    record::write(dir, exit, record::Durability::Synced)?;
    Ok(true)
}
