//! The states of one task on its agent, as a pure machine: events in, actions out.
//!
//! ```text
//! new ──launch──▶ starting ──runs──▶ running ──kill──▶ killing ──shim ends──▶ ended
//!  │ kill             │ kill: remembered, done when it runs       │ too late: the agent empties the group
//!  └──▶ ended         └──failed──▶ ended ◀──shim ends── running   └──▶ killing
//! ```
//!
//! A task whose shim is gone without a word is killed too: the agent empties its group, and only then is its
//! end told. One that cannot be looked at is left as it is, and looked at again.
//!
//! A task id is launched once: whatever comes after the first launch, a shim is never started again but for
//! one that an agent's restart found not to have started at all, and there the shim's lock decides.

use crate::adopt::Why;
use crate::spec::{End, Exit};

/// After the grace period and the shim's own limit for SIGKILL, in milliseconds: it does not answer.
const SHIM_LATE_MS: u64 = 10_000;
/// A task that says nothing for so long is not "starting" any more.
const START_LIMIT_MS: u64 = 60_000;

/// When to look again at what could not be looked at.
const LOOK_AGAIN_MS: u64 = 5_000;

/// A task, as its agent knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskState {
    /// From SIGTERM to SIGKILL, in milliseconds.
    pub grace_ms: u64,
    /// Where it stands.
    pub phase: Phase,
}

/// Where a task stands. Times are milliseconds on whatever clock `now` is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Known by its id, nothing done yet.
    New,
    /// A shim was started, or is about to be.
    Starting {
        /// Whether it is to be killed as soon as it runs.
        kill: bool,
        /// When it must have answered.
        until: u64,
    },
    /// Its program runs.
    Running,
    /// The shim was asked to end it, or the agent ends what a shim left.
    Killing {
        /// When the agent stops relying on the shim, or tries again itself.
        until: u64,
        /// Why there is no shim to rely on; told once nothing of the task runs.
        lost: Option<Why>,
    },
    /// Nobody knows: it could not be looked at. It may well run, so nothing is done to it.
    Unknown {
        /// Whether it is to be killed as soon as it is found.
        kill: bool,
        /// When it is looked at again.
        until: u64,
    },
    /// Nothing of it runs.
    Ended(Ended),
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By its shim's record.
    Exit(Box<Exit>),
    /// Without one.
    Lost(Why),
    /// It never ran, and why.
    NeverRan(String),
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The master wants it launched.
    Launch,
    /// The master wants it killed.
    Kill,
    /// The shim says that it runs; or an agent that restarted found its shim alive.
    Runs,
    /// The shim could not be started.
    NotStarted(String),
    /// The shim is gone, and left this.
    ShimEnded(Box<Exit>),
    /// The shim is gone, or was never there.
    ShimLost(Why),
    /// What became of it could not be looked at, which says nothing about it
    /// ([`crate::adopt::State::Unknown`]).
    Unknown,
    /// The group was emptied by the agent.
    Emptied,
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write the spec and start a shim.
    StartShim,
    /// SIGTERM to the shim.
    AskShim,
    /// End the shim and whatever is in the task's group.
    Empty,
    /// Look at the task's directory again ([`crate::adopt::recover_one`]), and say what is there.
    LookAgain,
    /// Tell the master: starting.
    ReportStarting,
    /// Tell the master: running.
    ReportRunning,
    /// Tell the master: killing.
    ReportKilling,
    /// Tell the master how it ended; until that is acknowledged, its directory stays.
    ReportEnded(Ended),
    /// Tell the master again what is true, since it asked for what is done already.
    ReportAgain,
}

impl TaskState {
    /// A task that was just heard of.
    #[must_use]
    pub fn new(grace_ms: u64) -> Self {
        Self { grace_ms, phase: Phase::New }
    }

    /// A task whose directory an agent finds when it starts: it was being launched at least, and what became
    /// of it comes as the next event ([`Event::Runs`], [`Event::ShimEnded`] or [`Event::ShimLost`]).
    #[must_use]
    pub fn found(grace_ms: u64, now: u64) -> Self {
        Self { grace_ms, phase: Phase::Starting { kill: false, until: now.saturating_add(START_LIMIT_MS) } }
    }

    /// When a [`Event::Tick`] is due.
    #[must_use]
    pub fn wake_at(&self) -> Option<u64> {
        match self.phase {
            Phase::Starting { until, .. } | Phase::Killing { until, .. } | Phase::Unknown { until, .. } => {
                Some(until)
            }
            _ => None,
        }
    }

    fn end(&mut self, ended: Ended) -> Vec<Action> {
        self.phase = Phase::Ended(ended.clone());
        vec![Action::ReportEnded(ended)]
    }

    fn ask(&mut self, now: u64) -> Vec<Action> {
        let until = now.saturating_add(self.grace_ms).saturating_add(SHIM_LATE_MS);
        self.phase = Phase::Killing { until, lost: None };
        vec![Action::AskShim, Action::ReportKilling]
    }

    /// The agent ends what runs of it.
    fn empty(&mut self, lost: Option<Why>, now: u64) -> Vec<Action> {
        self.phase = Phase::Killing { until: now.saturating_add(SHIM_LATE_MS), lost };
        vec![Action::Empty]
    }

    /// A shim that is gone without a word may leave processes; they end before that is told.
    fn lose(&mut self, why: Why, now: u64) -> Vec<Action> {
        match (&self.phase, why) {
            (_, why @ (Why::NeverStarted | Why::Rebooted)) => self.end(Ended::Lost(why)),
            // That is known, and being seen to.
            (Phase::Killing { lost: Some(_), .. }, _) => vec![],
            (_, why) => self.empty(Some(why), now),
        }
    }

    /// It never ran only when that is all that its shim can have seen: no end of a program, nothing left.
    fn end_by(&mut self, exit: Box<Exit>) -> Vec<Action> {
        match exit.end {
            End::Failed(why) if exit.stuck.is_empty() && !self.has_run() => self.end(Ended::NeverRan(why)),
            _ => self.end(Ended::Exit(exit)),
        }
    }

    /// As far as is known here.
    fn has_run(&self) -> bool {
        !matches!(self.phase, Phase::New | Phase::Starting { .. } | Phase::Unknown { .. })
    }

    fn unknown(&mut self, kill: bool, now: u64) -> Vec<Action> {
        self.phase = Phase::Unknown { kill, until: now.saturating_add(LOOK_AGAIN_MS) };
        vec![]
    }
}

/// The next state, and what must be done for it, in this order.
#[must_use]
pub fn step(state: &mut TaskState, event: Event, now: u64) -> Vec<Action> {
    match (state.phase.clone(), event) {
        (Phase::New, Event::Launch) => {
            *state = TaskState::found(state.grace_ms, now);
            vec![Action::StartShim, Action::ReportStarting]
        }
        (Phase::New, Event::Kill) => state.end(Ended::NeverRan("killed before it was launched".into())),
        // Nothing was done for it, so nothing can come back.
        (Phase::New, _) => vec![],

        // Everything is said already. A master that asks again has not heard it.
        (Phase::Ended(_), Event::Launch | Event::Kill) => vec![Action::ReportAgain],
        (Phase::Ended(_), _) => vec![],

        (_, Event::Launch) => vec![Action::ReportAgain],
        (_, Event::ShimEnded(exit)) => state.end_by(exit),
        (_, Event::ShimLost(why)) => state.lose(why, now),
        (_, Event::NotStarted(why)) => state.end(Ended::NeverRan(why)),
        (Phase::Killing { lost: Some(why), .. }, Event::Emptied) => state.end(Ended::Lost(why)),
        (_, Event::Emptied) => state.end(Ended::Lost(Why::ShimGone { leader: crate::adopt::Leader::Gone })),

        (Phase::Starting { kill: false, .. } | Phase::Unknown { kill: false, .. }, Event::Runs) => {
            state.phase = Phase::Running;
            vec![Action::ReportRunning]
        }
        (Phase::Starting { kill: true, .. } | Phase::Unknown { kill: true, .. }, Event::Runs) => {
            state.ask(now)
        }

        (Phase::Starting { kill, .. } | Phase::Unknown { kill, .. }, Event::Unknown) => {
            state.unknown(kill, now)
        }
        (Phase::Running, Event::Unknown) => state.unknown(false, now),
        // It is to end whatever it is.
        (Phase::Killing { .. }, Event::Unknown) => vec![],
        (Phase::Unknown { until, .. }, Event::Kill) => {
            state.phase = Phase::Unknown { kill: true, until };
            vec![]
        }
        (Phase::Unknown { kill, until }, Event::Tick) if now >= until => {
            let _ = state.unknown(kill, now);
            vec![Action::LookAgain]
        }
        (Phase::Unknown { .. }, Event::Tick) => vec![],

        (Phase::Starting { until, .. }, Event::Kill) => {
            state.phase = Phase::Starting { kill: true, until };
            vec![]
        }
        (Phase::Starting { until, .. }, Event::Tick) if now >= until => state.empty(None, now),
        (Phase::Starting { .. }, Event::Tick) => vec![],

        (Phase::Running, Event::Kill) => state.ask(now),
        (Phase::Running, Event::Runs | Event::Tick) => vec![],

        (Phase::Killing { .. }, Event::Kill) => vec![Action::ReportAgain],
        // An agent that restarted knows the shim again, but not whether it was asked.
        (Phase::Killing { lost: None, .. }, Event::Runs) => vec![Action::AskShim],
        (Phase::Killing { .. }, Event::Runs) => vec![],
        (Phase::Killing { until, lost }, Event::Tick) if now >= until => state.empty(lost, now),
        (Phase::Killing { .. }, Event::Tick) => vec![],
    }
}

#[cfg(test)]
mod tests;
