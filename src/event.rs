//! What `--json` prints: one object per line on standard output, told apart by `type`.
//!
//! Readers skip types and fields they do not know. What is added leaves [`SCHEMA`] as it is; what is
//! renamed, removed or given another meaning raises it.

use serde::Serialize;
use serde_json::Value;

use crate::error::{CliError, ErrorKind};
use crate::version;

/// The version of the form of the events.
pub(crate) const SCHEMA: u32 = 1;

/// One line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// Always the first.
    Start {
        schema: u32,
        /// Of this program.
        version: &'a str,
    },
    /// A completion script.
    Completions { shell: &'a str, script: &'a str },
    /// What the API answered: the same object as `-o json` prints.
    Answer { of: &'static str, answer: &'a Value },
    /// A change was accepted, or the cluster is at another step of it.
    Deployment {
        app: &'a str,
        /// Absent where nobody had to deploy anything.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        /// `started`, `step`, `succeeded`.
        state: &'static str,
        /// From 1; 0 before the first.
        step: u64,
        steps: u64,
    },
    /// An instance came to another state.
    Instance {
        app: &'a str,
        task: &'a str,
        host: &'a str,
        /// The Mesos state, or `healthy`, `unhealthy`.
        state: &'a str,
        message: &'a str,
    },
    /// Why it does not go on.
    Waiting { app: &'a str, reason: &'a str },
    /// What differs between two definitions, as `diff -u` shows it; empty when nothing does.
    Difference { name: &'a str, from: &'a str, to: &'a str, diff: &'a str },
    /// How a package's file is had, or given to the masters.
    Artifact { line: &'a str },
    /// A line of a task's output.
    Log { task: &'a str, stream: &'static str, line: &'a str },
    /// What a command did.
    Done { what: &'static str, name: &'a str },
    /// A one-machine cluster answers at `url`; its agents are child processes.
    UpReady { url: &'a str, dir: &'a str, agents: &'a [UpAgent<'a>] },
    /// An agent was started again.
    UpAgentStarted { agent: UpAgent<'a> },
    /// An agent ended, or could not be started; it is started again.
    UpAgentEnded { name: &'a str, status: &'a str },
    /// The one-machine cluster ends: tasks are asked to end.
    UpStopping { dir: &'a str },
    /// It has ended, and can be started again on its directory.
    UpStopped { dir: &'a str },
    /// What an install would do, by host.
    Plan {
        hosts: &'a [(String, Vec<installer::plan::Step>)],
        /// Why there are new certificates.
        renewed: &'a [(String, String)],
    },
    /// What checks found.
    Findings { findings: &'a [installer::preflight::Finding] },
    /// What a reset would do, by host, in words.
    Removal { hosts: &'a [(String, Vec<String>)] },
    /// How hosts came out of a run, and what it cost.
    RunSummary {
        hosts: &'a [(String, installer::event::Outcome)],
        millis: u64,
        /// Scripts that were run on hosts.
        execs: u64,
        round_trips: u64,
    },
    /// The run failed; nothing follows.
    Error { kind: ErrorKind, message: &'a str, causes: &'a [String], hints: &'a [String], exit_code: u8 },
}

/// An agent of a one-machine cluster.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct UpAgent<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its process.
    pub(crate) pid: u32,
}

impl Event<'_> {
    /// The event that opens the stream.
    pub(crate) fn start() -> Self {
        Self::Start { schema: SCHEMA, version: version::VERSION }
    }
}

impl<'a> From<&'a CliError> for Event<'a> {
    fn from(error: &'a CliError) -> Self {
        Self::Error {
            kind: error.kind,
            message: &error.message,
            causes: &error.causes,
            hints: &error.hints,
            exit_code: error.exit().code(),
        }
    }
}
