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
use std::time::Duration;

use rustix::process::Signal;

pub use decide::{Decision, Found, Holder, Leader, Observations, Why, decide};
pub use observe::{observe, release_unstarted};

use crate::process::Process;
use crate::record::{self, RecordError};
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
    /// When the shim is gone without a good record.
    pub fn wait(&self, dir: &Path, limit: Duration) -> Option<Result<Exit, Why>> {
        self.shim.wait(limit).then(|| match record::read::<Exit>(dir) {
            Ok(Some(exit)) => Ok(exit),
            Ok(None) => Err(Why::ShimGone { leader: Leader::Gone }),
            Err(e) => Err(Why::Damaged(e.to_string())),
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
    let (observations, shim) = observe(dir);
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
}

/// Ends what a lost task left running and removes its group. Only processes of its own group are touched, or,
/// without groups, its leader if it is the very same process. Can be done again.
///
/// # Errors
/// When processes do not die within `limit`, or the group stays.
pub fn clean_up(started: &Started, limit: Duration) -> Result<(), CleanUpError> {
    if let Some(groups) = &started.groups {
        let group = groups.task()?;
        group.kill(limit)?;
        group.remove()?;
    } else if let Some(leader) = Process::open_exactly(&started.leader) {
        leader.signal(Signal::KILL);
        let _ = leader.wait(limit);
    }
    Ok(())
}
