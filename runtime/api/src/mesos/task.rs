//! What is to be run (§3, TaskInfo and CommandInfo).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use scheduler::{AgentId, Resources, Role, Scalar};
use thiserror::Error;

use crate::Secret;

/// A task's id, as its framework chose it: unique within the framework. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey(Arc<str>);

/// The text is no task id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a task id has 1 to 255 bytes, no '/' and no control characters, and is neither '.' nor '..'")]
pub struct TaskIdError;

impl TaskKey {
    /// The id as the wire writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TaskKey {
    type Err = TaskIdError;

    fn from_str(id: &str) -> Result<Self, TaskIdError> {
        let good = (1..=255).contains(&id.len())
            && !matches!(id, "." | "..")
            && !id.chars().any(|c| c == '/' || c.is_control());
        if good { Ok(Self(id.into())) } else { Err(TaskIdError) }
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A task that a framework launches.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskInfo {
    /// Its id.
    pub id: TaskKey,
    /// Its name, for people.
    pub name: String,
    /// Where.
    pub agent: AgentId,
    /// The role of the offers.
    pub role: Role,
    /// What it takes of the offers.
    pub resources: Resources,
    /// What it runs.
    pub command: Command,
    /// More than its resources, where it may.
    pub limits: Limits,
    /// From SIGTERM to SIGKILL; the agent's default when absent.
    pub grace: Option<Duration>,
    /// What is looked after beside it.
    pub checks: Vec<Check>,
    /// What of the agent's host it has.
    pub volumes: Vec<Volume>,
    /// For people and tools.
    pub labels: BTreeMap<String, String>,
    /// Whom it works with, as of its launch.
    pub peers: Option<Peers>,
}

/// Whom a task works with, as the files that its sandbox has of them. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Peers {
    /// Differs where the files do.
    pub version: u64,
    /// `peers.json`.
    pub json: Arc<str>,
    /// `peers.tsv`.
    pub tsv: Arc<str>,
}

/// A group may have hundreds of members.
impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peers({:x}, {} bytes)", self.version, self.json.len() + self.tsv.len())
    }
}

impl TaskInfo {
    /// What is of use beside the agent once the task was launched: who and where it is, what it takes, and what readers are shown.
    /// Its program, environment, files, checks, volumes and peers are left out: a master with a hundred thousand tasks need not keep
    /// them, and secrets are in fewer places.
    #[must_use]
    pub fn outline(&self) -> Self {
        Self {
            id: self.id.clone(),
            name: self.name.clone(),
            agent: self.agent.clone(),
            role: self.role.clone(),
            resources: self.resources.clone(),
            command: Command {
                line: CommandLine::Argv(Vec::new()),
                env: BTreeMap::new(),
                secrets: BTreeMap::new(),
                user: self.command.user.clone(),
                uris: Vec::new(),
            },
            limits: self.limits,
            grace: self.grace,
            checks: Vec::new(),
            volumes: Vec::new(),
            labels: self.labels.clone(),
            peers: None,
        }
    }
}

/// What a task runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The program.
    pub line: CommandLine,
    /// Beside what the agent sets.
    pub env: BTreeMap<String, Secret>,
    /// More of it, by the paths of the secrets that the values are. The master puts the values in where it sends the launch, and
    /// keeps none; agents are sent no paths.
    pub secrets: BTreeMap<String, String>,
    /// As whom; the agent's default when absent.
    pub user: Option<String>,
    /// What lies in the sandbox before it starts.
    pub uris: Vec<Uri>,
}

/// A program and its arguments. May hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// For `/bin/sh -c`.
    Shell(String),
    /// The program, looked for in the task's `PATH`, and its arguments.
    Argv(Vec<String>),
}

impl fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(_) => f.write_str("Shell(***)"),
            Self::Argv(argv) => write!(f, "Argv({:?}, {} more)", argv.first(), argv.len().saturating_sub(1)),
        }
    }
}

/// Something to fetch into the sandbox.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri {
    /// `http:`, `https:`, `file:` or `artifact:`.
    pub value: String,
    /// Whether it is to be executable. Then it is not extracted.
    pub executable: bool,
    /// Whether an archive is unpacked.
    pub extract: bool,
    /// Whether the agent may keep it for the next task.
    pub cache: bool,
    /// Its path in the sandbox; the last part of the address when absent.
    pub output_file: Option<String>,
}

/// An address may hold a password or a signature; its file name is enough to know it by.
impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.value.split(['?', '#']).next().unwrap_or_default();
        write!(f, "Uri(***/{})", path.rsplit('/').next().unwrap_or_default())
    }
}

/// A limit above what was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// This much: cores, or MiB.
    At(Scalar),
    /// As much as there is.
    Unlimited,
}

/// Limits above what was requested. What is absent is limited by the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// CPU, in cores.
    pub cpus: Option<Limit>,
    /// Memory, in MiB.
    pub mem: Option<Limit>,
}

/// A directory or file of the agent's host. The agent takes those alone that its operator allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Where it appears: absolute, or within the sandbox.
    pub container_path: String,
    /// What appears; absolute.
    pub host_path: String,
    /// Whether it cannot be written to.
    pub read_only: bool,
}

/// A check, run by the agent beside the task.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// How.
    pub kind: CheckKind,
    /// From the start of the task to the first.
    pub delay: Duration,
    /// From one to the next.
    pub interval: Duration,
    /// Later is a failure.
    pub timeout: Duration,
    /// Failures do not count for so long after the start, until the first success.
    pub grace_period: Duration,
    /// After so many failures in a row the agent kills the task; `None` leaves that to the framework, which hears of
    /// every result.
    pub kill_after: Option<u32>,
    /// What for.
    pub purpose: Purpose,
}

/// What a check is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The task's health.
    Health,
    /// Whether it can take work. The first good result is the last look.
    Readiness {
        /// What is good, of HTTP.
        statuses: Vec<u16>,
        /// Whether the answer is told too.
        keep_response: bool,
    },
    /// What was seen is told when it changes, and nothing follows.
    Information,
}

/// What a look saw, where that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// An answer, or one in place of it (504) that says why there was none.
    Response(Response),
    /// The status of an answer.
    Status(u16),
    /// Whether a connection came to be.
    Connected(bool),
    /// A command's exit status.
    Exit(i32),
}

/// An answer over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its type; empty when it named none.
    pub content_type: String,
    /// The beginning of its text.
    pub body: String,
}

/// How something is found out.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckKind {
    /// A GET request. Good: a status from 200 to 399, unless the purpose says otherwise. Certificates are not verified.
    Http {
        /// Whose port.
        address: CheckAddress,
        /// The port.
        port: u16,
        /// The path, with its query.
        path: String,
        /// Whether over TLS.
        tls: bool,
        /// Whether a status from 100 to 199 leaves the health as it was.
        ignore_1xx: bool,
    },
    /// A connection. Good: it comes to be.
    Tcp {
        /// Whose port.
        address: CheckAddress,
        /// The port.
        port: u16,
    },
    /// A command, run as the task's user, in its sandbox, with its environment. Good: exit status 0.
    Command(CommandLine),
}

/// Where a check over the network connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckAddress {
    /// The agent's own address.
    Agent,
    /// 127.0.0.1.
    Loopback,
    /// ::1.
    Loopback6,
}
