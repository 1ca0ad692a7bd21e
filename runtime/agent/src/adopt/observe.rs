//! The looking: lock, records, processes.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::decide::{Found, Holder, Leader, Observations};
use crate::proc::{self, Identity};
use crate::process::Process;
use crate::record::{self, Record, RecordError};
use crate::shim::LOCK;
use crate::spec::{Launched, Started};

/// How often a lock's holder is asked for before it is said to be out of sight.
const ATTEMPTS: usize = 16;

/// Why nothing is known of a task. That it cannot be looked at is no fact about it: nothing may be done to it.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// It cannot be looked at now; to be tried again.
    #[error("cannot {action} of the task in {}: {source}", dir.display())]
    Unread {
        /// What was tried.
        action: &'static str,
        /// The task's directory.
        dir: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A record of it cannot be read now; to be tried again.
    #[error(transparent)]
    Record(RecordError),
    /// A later program started it, and only that one can read its records.
    #[error("{0}: its task is left alone until a program runs here that does")]
    Newer(RecordError),
}

impl Unknown {
    /// Whether trying again can help.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        !matches!(self, Self::Newer(_))
    }

    fn unread(action: &'static str, dir: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Unread { action, dir: dir.to_owned(), source }
    }
}

/// Looks at a task's directory. The process is the lock's holder. Only "there is none" is taken for an absence.
///
/// # Errors
/// When something cannot be looked at.
pub fn observe(dir: &Path) -> Result<(Observations, Option<Process>), Unknown> {
    let unread = |action| Unknown::unread(action, dir);
    // The lock first: when it is free, the records that are read afterwards are the last ones.
    let holder = lock_holder(dir).map_err(unread("read the lock"))?;
    let started: Found<Started> = find(dir)?;
    let exit = find(dir)?;
    let launched = match find::<Launched>(dir)? {
        Found::Good(launched) => Found::Good(launched.boot_id),
        Found::Damaged(what) => Found::Damaged(what),
        Found::Missing => Found::Missing,
    };
    let boot_id = proc::boot_id().map_err(unread("read the boot"))?;
    let leader = match &started {
        Found::Good(started) if started.leader.boot_id == boot_id => {
            leader_now(&started.leader).map_err(unread("look at the leader"))?
        }
        _ => Leader::Gone,
    };
    let seen = holder.as_ref().map(|process| seen(process, &boot_id, &started));
    let holder_seen = seen.transpose().map_err(unread("look at the shim"))?;
    Ok((Observations { holder: holder_seen, launched, started, exit, boot_id, leader }, holder))
}

fn seen(process: &Process, boot_id: &str, started: &Found<Started>) -> io::Result<Holder> {
    let pid = process.pid();
    let in_group = match started {
        Found::Good(Started { groups: Some(groups), .. }) => {
            // A path that is none is of no group.
            Some(groups.shim().map_or(Ok(false), |group| group.try_holds(pid))?)
        }
        _ => None,
    };
    let identity = proc::find(pid)?.filter(|_| !process.has_ended()).map(|stat| Identity {
        pid,
        start_time: stat.start_time,
        boot_id: boot_id.to_owned(),
    });
    Ok(Holder { identity, in_group })
}

fn find<R: Record>(dir: &Path) -> Result<Found<R>, Unknown> {
    match record::read(dir) {
        Ok(Some(record)) => Ok(Found::Good(record)),
        Ok(None) => Ok(Found::Missing),
        Err(e @ RecordError::Version { .. }) => Err(Unknown::Newer(e)),
        Err(e @ RecordError::Io { .. }) => Err(Unknown::Record(e)),
        Err(e) => Ok(Found::Damaged(e.to_string())),
    }
}

fn leader_now(recorded: &Identity) -> io::Result<Leader> {
    Ok(match proc::find(recorded.pid)? {
        Some(stat) if stat.start_time != recorded.start_time => Leader::Reused,
        Some(stat) if !stat.is_dead() => Leader::Alive,
        _ => Leader::Gone,
    })
}

/// The process that holds the lock. Asked again once its pidfd is open: if it is still the holder then, the
/// pidfd is that of the holder, whatever happened to numbers meanwhile.
fn lock_holder(dir: &Path) -> io::Result<Option<Process>> {
    let Some(file) = open_lock(&dir.join(LOCK))? else { return Ok(None) };
    for _ in 0..ATTEMPTS {
        let Some(pid) = holder_of(&file)? else { return Ok(None) };
        let process = Process::try_open(pid)?;
        if process.is_some() && holder_of(&file)? == Some(pid) {
            return Ok(process);
        }
    }
    Err(io::Error::other("the process that holds it does not show here"))
}

/// Whether another process holds a lock.
pub(crate) fn lock_is_held(path: &Path) -> io::Result<bool> {
    let Some(file) = open_lock(path)? else { return Ok(false) };
    Ok(holder_of(&file)?.is_some())
}

fn open_lock(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn holder_of(file: &File) -> io::Result<Option<i32>> {
    let Some(lock) = fcntl_getlk(file, &Flock::from(FlockType::WriteLock))? else { return Ok(None) };
    // Number zero is a process of another pid namespace: it is locked all the same.
    Ok(Some(lock.pid.map_or(0, |pid| pid.as_raw_nonzero().get())))
}

/// Keeps a task that was never started from starting late: a shim that was spawned but has not taken its
/// lock yet would find the task ended. `false` when a shim was faster and holds the lock, or when the task has
/// been started.
///
/// # Errors
/// When the directory cannot be written.
pub fn release_unstarted(dir: &Path, exit: &crate::spec::Exit) -> Result<bool, RecordError> {
    use rustix::fs::{FlockOperation, fcntl_lock};

    let path = dir.join(LOCK);
    let failed = |source| RecordError::Io { action: "lock", path: path.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => return Ok(false),
        Err(e) => return Err(failed(io::Error::from(e))),
    }
    for file in [Started::FILE, crate::spec::Exit::FILE].map(|name| dir.join(name)) {
        let failed = |source| RecordError::Io { action: "look at", path: file.clone(), source };
        if file.try_exists().map_err(failed)? {
            return Ok(false);
        }
    }
    record::write(dir, exit, record::Durability::Synced)?;
    Ok(true)
}
