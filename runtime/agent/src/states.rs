//! The states of one task on its agent, as a pure machine: events in, actions out.
//!
//! ```text
//! new ──launch──▶ starting ──runs──▶ running ──kill──▶ killing ──shim ends──▶ ended
//!  │ kill             │ kill: remembered, done when it runs       │ too late: the agent empties the group
//!  └──▶ ended         └──failed──▶ ended ◀──shim ends── running   └──▶ killing
//! ```
//!
//! A task id is launched once: whatever comes after the first launch, a shim is never started again but for
//! one that an agent's restart found not to have started at all, and there the shim's lock decides.

use crate::adopt::Why;
use crate::spec::{End, Exit};

/// After the grace period and the shim's own limit for SIGKILL, in milliseconds: it does not answer.
const SHIM_LATE_MS: u64 = 10_000;
/// A task that says nothing for so long is not "starting" any more.
const START_LIMIT_MS: u64 = 60_000;

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
    /// The shim was asked to end it.
    Killing {
        /// When the agent stops relying on the shim.
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
            Phase::Starting { until, .. } | Phase::Killing { until } => Some(until),
            _ => None,
        }
    }

    fn end(&mut self, ended: Ended) -> Vec<Action> {
        self.phase = Phase::Ended(ended.clone());
        vec![Action::ReportEnded(ended)]
    }

    fn ask(&mut self, now: u64) -> Vec<Action> {
        let until = now.saturating_add(self.grace_ms).saturating_add(SHIM_LATE_MS);
        self.phase = Phase::Killing { until };
        vec![Action::AskShim, Action::ReportKilling]
    }

    /// A shim that is gone without a word may leave processes; they end before that is told.
    fn lose(&mut self, why: Why) -> Vec<Action> {
        let mut actions = match why {
            Why::NeverStarted | Why::Rebooted => vec![],
            _ => vec![Action::Empty],
        };
        actions.extend(self.end(Ended::Lost(why)));
        actions
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
        (_, Event::ShimEnded(exit)) => match exit.end {
            End::Failed(why) => state.end(Ended::NeverRan(why)),
            _ => state.end(Ended::Exit(exit)),
        },
        (_, Event::ShimLost(why)) => state.lose(why),
        (_, Event::NotStarted(why)) => state.end(Ended::NeverRan(why)),
        (_, Event::Emptied) => state.end(Ended::Lost(Why::ShimGone { leader: crate::adopt::Leader::Gone })),

        (Phase::Starting { kill: false, .. }, Event::Runs) => {
            state.phase = Phase::Running;
            vec![Action::ReportRunning]
        }
        (Phase::Starting { kill: true, .. }, Event::Runs) => state.ask(now),
        (Phase::Starting { until, .. }, Event::Kill) => {
            state.phase = Phase::Starting { kill: true, until };
            vec![]
        }
        (Phase::Starting { until, .. }, Event::Tick) if now >= until => {
            state.phase = Phase::Killing { until: now.saturating_add(SHIM_LATE_MS) };
            vec![Action::Empty]
        }
        (Phase::Starting { .. }, Event::Tick) => vec![],

        (Phase::Running, Event::Kill) => state.ask(now),
        (Phase::Running, Event::Runs | Event::Tick) => vec![],

        (Phase::Killing { .. }, Event::Kill) => vec![Action::ReportAgain],
        // An agent that restarted knows the shim again, but not whether it was asked.
        (Phase::Killing { .. }, Event::Runs) => vec![Action::AskShim],
        (Phase::Killing { until }, Event::Tick) if now >= until => {
            state.phase = Phase::Killing { until: now.saturating_add(SHIM_LATE_MS) };
            vec![Action::Empty]
        }
        (Phase::Killing { .. }, Event::Tick) => vec![],
    }
}

#[cfg(test)]
mod tests;
