//! Adoption: what an earlier agent left in its tasks' directories, and what is true of it now.
//!
//! A process is believed to be a task's shim only when it holds the lock in the task's directory, which the
//! kernel vouches for, and, once `started.json` is there, when number, start time, boot and group are those
//! recorded. A process that took over a number fails all of this. Damaged records are reported, never used.

mod decide;
mod observe;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

pub use decide::{Decision, Found, Holder, Leader, Observations, Why, decide};
pub(crate) use observe::lock_is_held;
pub use observe::{Unknown, observe, release_unstarted};

use crate::proc::{self, Identity};
use crate::process::{Process, wait_any};
use crate::record::RecordError;
use crate::spec::{Exit, Started};

/// A task that was found.
#[derive(Debug)]
pub struct Recovered {
    /// Its directory.
    pub dir: PathBuf,
    /// What became of it.
    pub state: State,
}

/// What became of a task.
#[derive(Debug)]
pub enum State {
    /// Its shim lives.
    Running(Running),
    /// It ended while nobody looked, and this is how.
    Exited(Exit),
    /// There is no shim and no word about the end.
    Lost {
        /// What is known.
        why: Why,
        /// The record, whose groups must be emptied and removed by [`clean_up`].
        started: Option<Started>,
    },
    /// It could not be looked at. Nothing follows from that; see [`Unknown::is_passing`].
    Unknown(Unknown),
}

/// A living shim.
#[derive(Debug)]
pub struct Running {
    /// The shim.
    pub shim: Process,
    /// What it recorded; `None` when it is about to, or when the record is damaged.
    pub started: Option<Started>,
    /// What is wrong with the record.
    pub damage: Option<String>,
}

impl Running {
    /// Asks the shim to end its task: SIGTERM, the spec's grace period, SIGKILL.
    pub fn kill(&self) {
        self.shim.signal(Signal::TERM);
    }

    /// Waits for the shim's end and reads how the task ended; `None` when it lives on.
    ///
    /// # Errors
    /// When the shim is gone without a good record, or that cannot be looked at: what else is true then.
    pub fn wait(&self, dir: &Path, limit: Duration) -> Option<Result<Exit, Box<State>>> {
        self.shim.wait(limit).then(|| match recover_one(dir).state {
            State::Exited(exit) => Ok(exit),
            other => Err(Box::new(other)),
        })
    }
}

/// Looks at every task's directory below `dir`. Nothing is changed.
///
/// # Errors
/// When `dir` cannot be listed.
pub fn recover(dir: &Path) -> io::Result<Vec<Recovered>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(recover_one(&entry.path()));
        }
    }
    found.sort_by(|a, b| a.dir.cmp(&b.dir));
    Ok(found)
}

/// Looks at one task's directory.
#[must_use]
pub fn recover_one(dir: &Path) -> Recovered {
    let (observations, shim) = match observe(dir) {
        Ok(seen) => seen,
        Err(unknown) => return Recovered { dir: dir.to_owned(), state: State::Unknown(unknown) },
    };
    let started = match &observations.started {
        Found::Good(started) => Some(started.clone()),
        _ => None,
    };
    let state = match (decide(&observations), shim) {
        (Decision::Running { damage }, Some(shim)) => State::Running(Running { shim, started, damage }),
        (Decision::Running { .. }, None) => {
            State::Lost { why: Why::ShimGone { leader: Leader::Gone }, started }
        }
        (Decision::Exited(exit), _) => State::Exited(exit),
        (Decision::Lost(why), _) => State::Lost { why, started },
    };
    Recovered { dir: dir.to_owned(), state }
}

/// What was left after [`clean_up`].
#[derive(Debug, thiserror::Error)]
pub enum CleanUpError {
    /// Processes would not die.
    #[error(transparent)]
    Kill(#[from] crate::cgroup::KillError),
    /// A group would not go.
    #[error(transparent)]
    Group(#[from] crate::cgroup::CgroupError),
    /// Records would not go.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Without groups: processes would not die.
    #[error("processes {pids:?} of the task did not end")]
    Alive {
        /// Their numbers.
        pids: Vec<i32>,
    },
    /// Without groups: the machine's processes cannot be looked at, so nobody knows whether some are left.
    #[error("cannot tell whether processes of the session of process {leader} are left")]
    Unread {
        /// The task's first process, whose number is its session's.
        leader: i32,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Ends what a lost task left running and removes its group. Only processes of its own group are touched, or,
/// without groups, its leader if it is the very same process, and those of the leader's session. Can be done again.
///
/// Without groups, a process that made a session of its own and whose parent is gone cannot be told from others
/// once the shim, which adopts such, is gone: it is left.
///
/// # Errors
/// When processes do not die within `limit`, cannot be looked at, or the group stays.
pub fn clean_up(started: &Started, limit: Duration) -> Result<(), CleanUpError> {
    if let Some(groups) = &started.groups {
        let group = groups.task()?;
        group.kill(limit)?;
        group.remove()?;
        return Ok(());
    }
    end_session(&started.leader, limit)
}

/// How long to wait for one of the killed to end before looking for new ones.
const ROUND: Duration = Duration::from_millis(20);

/// Of how many of the killed the end is waited for at once: each takes a descriptor.
const WAITED: usize = 16;

/// Who was killed now, and some of them to wait for.
#[derive(Default)]
struct Left {
    pids: Vec<i32>,
    some: Vec<Process>,
}

fn end_session(leader: &Identity, limit: Duration) -> Result<(), CleanUpError> {
    let unread = |source| CleanUpError::Unread { leader: leader.pid, source };
    if proc::boot_id().map_err(unread)? != leader.boot_id {
        return Ok(());
    }
    let deadline = Instant::now() + limit;
    loop {
        let left = kill_session(leader).map_err(unread)?;
        if left.pids.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(CleanUpError::Alive { pids: left.pids });
        }
        wait_any(&left.some, ROUND);
    }
}

/// Kills whom the leader's session still has. Its number stays taken while there is one, so nobody is left
/// when another process has it.
fn kill_session(leader: &Identity) -> io::Result<Left> {
    let mut left = Left::default();
    if proc::find(leader.pid)?.is_some_and(|stat| stat.start_time != leader.start_time) {
        return Ok(left);
    }
    let ours = |pid: i32| {
        proc::find(pid).map(|stat| {
            stat.is_some_and(|s| {
                // It makes its session only some time after its start.
                let in_session = pid == leader.pid || s.session == leader.pid;
                in_session && s.start_time >= leader.start_time && !s.is_dead()
            })
        })
    };
    for pid in proc::all()? {
        if ours(pid)?
            && let Some(process) = Process::try_open(pid)?
            && ours(pid)?
        {
            process.signal(Signal::KILL);
            left.pids.push(pid);
            if left.some.len() < WAITED {
                left.some.push(process);
            }
        }
    }
    Ok(left)
}
