//! `GET /clusterctl/v1/watch`: the whole cluster as rows, then what changes of it. Made for dashboards (design §13).
//!
//! Server-sent events, each a [`Frame`] named by its `type`. The first is `hello`; then come all rows, in frames of at most
//! [`ROWS`]; then `ready`. After that, whenever something changed and at most four times a second, the rows that differ, and
//! `ready` again. A `ready` alone comes every five seconds, as a sign of life. What is shown between two `ready` is not one
//! moment. The stream ends when another master leads: a reader connects again, and begins anew with `hello`. A reader that is slow
//! is told less often, and one that takes nothing for a minute is cut off. Readers pass over types that they do not know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The most rows in one frame.
pub const ROWS: usize = 500;

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Frame {
    /// The first one: forget everything that was known.
    Hello(Hello),
    /// Agents that are new or differ, and those that are gone.
    Nodes(Rows<Node>),
    /// Services that are new or differ, and those that are gone.
    Services(Rows<Service>),
    /// Instances that are new or differ, and those that are gone.
    Tasks(Rows<Task>),
    /// All deployments, whenever one differs.
    Deployments {
        /// The oldest first.
        set: Vec<Deployment>,
    },
    /// What came until now is one moment.
    Ready {
        /// The master's clock, in milliseconds since 1970.
        now: u64,
    },
}

impl Frame {
    /// The names of all types.
    pub const NAMES: [&'static str; 6] = ["hello", "nodes", "services", "tasks", "deployments", "ready"];

    /// Its type, which names the event.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Nodes(_) => "nodes",
            Self::Services(_) => "services",
            Self::Tasks(_) => "tasks",
            Self::Deployments { .. } => "deployments",
            Self::Ready { .. } => "ready",
        }
    }
}

/// Rows that are new or differ, and the ids of those that are gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rows<T> {
    /// As they are now, whole.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<T>,
    /// Their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { set: Vec::new(), gone: Vec::new() }
    }
}

/// Who speaks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The cluster's name.
    pub cluster: String,
    /// The release of the master.
    pub version: String,
    /// The leading master's name; its address where it has no certificate.
    pub leader: String,
    /// Its epoch.
    pub epoch: u64,
    /// Who asks: a user's name, or that of a certificate; nothing where nobody has to say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether the one who asks may change anything.
    pub operates: bool,
}

/// Cores, and MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Amounts {
    /// Cores.
    pub cpus: f64,
    /// MiB.
    pub mem: f64,
    /// MiB.
    pub disk: f64,
}

/// An agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// The host's name.
    pub hostname: String,
    /// Where it is reached: address and port; empty when it is not known.
    #[serde(default)]
    pub address: String,
    /// `active`, `disconnected`, `unreachable`, `recovering`.
    pub state: String,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
    /// What it has.
    pub total: Amounts,
    /// What of it is given to tasks.
    pub used: Amounts,
    /// Its attributes as text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Region and zone, where it has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// See `region`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The release of the agent.
    #[serde(default)]
    pub version: String,
}

/// A service, Marathon's app. Its whole definition is at `/v2/apps`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its id, which begins with a slash.
    pub id: String,
    /// The version of its definition, a timestamp as Marathon writes it; empty when it is gone and its tasks end.
    pub version: String,
    /// How many instances there are to be.
    pub instances: u32,
    /// What one instance takes.
    pub each: Amounts,
    /// How many are on their way.
    pub staged: u32,
    /// How many run.
    pub running: u32,
    /// How many of those are well, by their checks.
    pub healthy: u32,
    /// How many of those are not.
    pub unhealthy: u32,
    /// Whether it has health checks.
    #[serde(default)]
    pub checked: bool,
    /// The deployment that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// What waits to be launched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// What failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What it runs: its image, or its command; the first 1,000 characters.
    #[serde(default)]
    pub runs: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How many versions of it are known.
    #[serde(default)]
    pub versions: u32,
}

/// Instances that wait to be launched.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// How many.
    pub count: u32,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
    /// Why nothing starts, in one sentence.
    pub why: String,
    /// Why offers were of no use, and how many of the newest: `InsufficientCpus` and the like.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub declined: BTreeMap<String, u64>,
}

/// A failure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// The task.
    pub task: String,
    /// Its last state.
    pub state: String,
    /// Where it was.
    pub host: String,
    /// What was said of it; the first 1,000 characters.
    pub message: String,
}

/// An instance of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: String,
    /// Its service.
    pub service: String,
    /// `TASK_RUNNING` and the like.
    pub state: String,
    /// The host's name.
    pub host: String,
    /// The agent's id.
    pub node: String,
    /// Its ports on the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// What its checks say, if it has any that have answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    /// The version of the definition that it was made from.
    pub version: String,
    /// When it was handed to its agent, in milliseconds since 1970.
    pub staged: u64,
    /// When it began to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
}

/// A deployment: Marathon's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: String,
    /// When it began, a timestamp.
    pub version: String,
    /// What it changes.
    pub services: Vec<String>,
    /// The step that is being made, from 1.
    pub step: u32,
    /// How many there are.
    pub steps: u32,
    /// What is being done: `ScaleApplication /web` and the like.
    pub doing: Vec<String>,
}
