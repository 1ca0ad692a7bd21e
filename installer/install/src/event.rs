//! What happens in a run, as typed events: terminal, plain lines, `--json` and the journal on disk show the same stream.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::phase::Phase;

/// The version of the form of the events.
pub const SCHEMA: u32 = 1;

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A run begins.
    RunStarted {
        /// The form of the events.
        schema: u32,
        /// Its id.
        run: String,
        /// What the user typed, in words.
        command: String,
        /// The cluster.
        cluster: String,
        /// Its hosts.
        hosts: Vec<String>,
    },
    /// A phase begins.
    PhaseStarted {
        /// Which.
        phase: Phase,
        /// How many hosts take part.
        hosts: usize,
    },
    /// A phase has ended.
    PhaseEnded {
        /// Which.
        phase: Phase,
        /// Hosts that failed in it.
        failed: usize,
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// A host begins something.
    StepStarted {
        /// The host.
        host: String,
        /// The phase.
        phase: Phase,
        /// What, in a few words.
        what: String,
        /// Its place among the host's steps of the phase, from 1.
        step: usize,
        /// How many there are.
        of: usize,
        /// Beyond so many seconds it is slow.
        expected: u64,
    },
    /// It is done.
    StepDone {
        /// The host.
        host: String,
        /// The phase.
        phase: Phase,
        /// What.
        what: String,
        /// Whether it changed something on the host.
        changed: bool,
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// It failed.
    StepFailed {
        /// The host.
        host: String,
        /// The phase.
        phase: Phase,
        /// What.
        what: String,
        /// How.
        failure: Failure,
    },
    /// How much of an upload has gone out.
    Upload {
        /// The host.
        host: String,
        /// Bytes.
        sent: u64,
        /// Bytes.
        total: u64,
    },
    /// The run waits for the cluster. A service that waits has an event `waiting` of its own.
    #[serde(rename = "run_waiting")]
    Waiting {
        /// For what.
        what: String,
    },
    /// Something that the user should know.
    Note {
        /// The host, if it is about one.
        host: Option<String>,
        /// What.
        text: String,
    },
    /// A host is through.
    HostEnded {
        /// The host.
        host: String,
        /// How.
        outcome: Outcome,
    },
    /// The run has ended.
    RunEnded {
        /// In the inventory's order.
        hosts: Vec<(String, Outcome)>,
        /// How long it took, in milliseconds.
        millis: u64,
        /// The full log.
        log: String,
    },
}

/// How a host came out of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It had all already.
    Ok,
    /// It has all now.
    Changed {
        /// How many steps it took.
        steps: usize,
    },
    /// It could not be reached, or not logged in to.
    Unreachable {
        /// Why.
        failure: Failure,
    },
    /// A step failed.
    Failed {
        /// When.
        phase: Phase,
        /// Which.
        what: String,
        /// Why.
        failure: Failure,
    },
    /// Nothing was done there.
    Skipped {
        /// Why.
        why: String,
    },
}

impl Outcome {
    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Changed { .. } => "changed",
            Self::Unreachable { .. } => "unreachable",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
        }
    }

    /// Whether the host is as it is to be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Ok | Self::Changed { .. })
    }
}

/// Why something failed. It holds nothing secret: what is run is never shown, only what it was for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Failure {
    /// In one sentence.
    pub what: String,
    /// The exit status, where there was one.
    pub status: Option<i32>,
    /// The last lines of what was said.
    pub said: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// One without status and output.
    #[must_use]
    pub fn new(what: impl Into<String>, hint: Option<String>) -> Self {
        Self { what: what.into(), status: None, said: String::new(), hint }
    }

    /// Of an error, with its causes.
    #[must_use]
    pub fn of(error: &dyn std::error::Error, hint: Option<String>) -> Self {
        let mut what = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            what = format!("{what}: {cause}");
            source = cause.source();
        }
        Self::new(what, hint)
    }
}

/// Who hears the events. It is called from many tasks, and must not wait.
pub type Listener = Arc<dyn Fn(Event) + Send + Sync>;
