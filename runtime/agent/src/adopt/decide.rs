//! The decision: from what is seen to what is true.

use crate::proc::Identity;
use crate::spec::{Exit, Started};

/// A record, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// There is none.
    Missing,
    /// Every byte is as it was written.
    Good(T),
    /// It is there and cannot be believed.
    Damaged(String),
}

/// Who holds the lock in a task's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process, held by a pidfd since before this was read; without identity when it ended meanwhile.
    pub identity: Option<Identity>,
    /// Whether it is in the group that `started.json` records for the shim; `None` when no group is recorded.
    pub in_group: Option<bool>,
}

/// What became of the recorded leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leader {
    /// The very same process lives.
    Alive,
    /// Nothing has its number.
    Gone,
    /// Another process has its number.
    Reused,
}

/// All that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observations {
    /// Who holds the lock; read before the records, so that a free lock means that they are final.
    pub holder: Option<Holder>,
    /// The boot that `spec.json` was written in; good without one when it does not say.
    pub launched: Found<Option<String>>,
    /// `started.json`.
    pub started: Found<Started>,
    /// `exit.json`.
    pub exit: Found<Exit>,
    /// The boot we are in.
    pub boot_id: String,
    /// The recorded leader now.
    pub leader: Leader,
}

/// What is true of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The lock's holder is its shim.
    Running {
        /// What is wrong with `started.json`.
        damage: Option<String>,
    },
    /// It ended.
    Exited(Exit),
    /// Nobody knows.
    Lost(Why),
}

/// Why a task is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// No shim got as far as starting it: it may be launched again.
    NeverStarted,
    /// The machine was started anew.
    Rebooted,
    /// The shim is gone without a word.
    ShimGone {
        /// And the task's first process?
        leader: Leader,
    },
    /// The lock's holder is not the recorded shim.
    Stranger {
        /// Its number.
        pid: i32,
    },
    /// The records cannot be believed.
    Damaged(String),
}

/// Decides. The order is that of trust: a word about the end, the kernel's word about the lock, the records.
#[must_use]
pub fn decide(seen: &Observations) -> Decision {
    match &seen.exit {
        Found::Good(exit) => return Decision::Exited(exit.clone()),
        // A shim writes it once and whole; its own end is near, but nothing it says can be used.
        Found::Damaged(what) => return Decision::Lost(Why::Damaged(what.clone())),
        Found::Missing => {}
    }
    match (&seen.holder, &seen.started) {
        (Some(holder), Found::Good(started)) => supervised(holder, started),
        (Some(_), Found::Missing) => Decision::Running { damage: None },
        (Some(_), Found::Damaged(what)) => Decision::Running { damage: Some(what.clone()) },
        // `started.json` is not synced: what a power cut left says nothing about what ran before.
        (None, Found::Missing) => match &seen.launched {
            Found::Good(Some(boot_id)) if *boot_id != seen.boot_id => Decision::Lost(Why::Rebooted),
            Found::Damaged(what) => Decision::Lost(Why::Damaged(what.clone())),
            _ => Decision::Lost(Why::NeverStarted),
        },
        (None, Found::Damaged(what)) => Decision::Lost(Why::Damaged(what.clone())),
        (None, Found::Good(started)) if started.leader.boot_id != seen.boot_id => {
            Decision::Lost(Why::Rebooted)
        }
        (None, Found::Good(_)) => Decision::Lost(Why::ShimGone { leader: seen.leader }),
    }
}

fn supervised(holder: &Holder, started: &Started) -> Decision {
    match &holder.identity {
        None => Decision::Running { damage: None },
        Some(identity) if *identity == started.shim && holder.in_group != Some(false) => {
            Decision::Running { damage: None }
        }
        Some(identity) => Decision::Lost(Why::Stranger { pid: identity.pid }),
    }
}

#[cfg(test)]
mod tests;
