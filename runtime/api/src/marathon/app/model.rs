//! An app as it counts: all defaults are in, deprecated inputs are translated. Written with serde, with exactly the
//! keys that the reference writes (§1, §4).

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::container::{Container, Network, NetworkMode, PortDefinition};
use super::health::{Check, HealthCheck, ReadinessCheck};
use super::words::words;
use crate::marathon::path_id::{AppId, PathId};
use crate::marathon::timestamp::Timestamp;

/// An app definition (§4).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// Absolute.
    pub id: AppId,
    /// Run as `/bin/sh -c`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<String>,
    /// The program and its arguments; exclusive with `cmd`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Shares of a processor.
    pub cpus: f64,
    /// Memory in MiB.
    pub mem: f64,
    /// Disk in MiB.
    pub disk: f64,
    /// Whole GPUs.
    pub gpus: u32,
    /// How many are wanted.
    pub instances: u32,
    /// Whom tasks run as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Environment of the tasks.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, EnvValue>,
    /// Labels; always written.
    pub labels: BTreeMap<String, String>,
    /// Where instances may be; all must hold (§5).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Constraint>,
    /// Roles whose resources may be used; `None` leaves it to the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted_resource_roles: Option<Vec<String>>,
    /// The role that resources are asked for in; `None` until the server fills it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Image, volumes, mappings (§6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// Never empty.
    pub networks: Vec<Network>,
    /// Ports in host mode; `None` in other modes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_definitions: Option<Vec<PortDefinition>>,
    /// Whether the numbers of the port definitions are the host ports.
    pub require_ports: bool,
    /// §7.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub health_checks: Vec<HealthCheck>,
    /// Informational; written only when set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// §7; at most one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readiness_checks: Vec<ReadinessCheck>,
    /// Apps and groups that come first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<PathId>,
    /// Bounds of a rolling restart (§8).
    pub upgrade_strategy: UpgradeStrategy,
    /// The first delay after a failure, in seconds.
    pub backoff_seconds: u32,
    /// What the delay is multiplied by after each further failure.
    pub backoff_factor: f64,
    /// The longest delay, in seconds.
    pub max_launch_delay_seconds: u32,
    /// From SIGTERM to SIGKILL; the agent's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_kill_grace_period_seconds: Option<u32>,
    /// Which instance goes first.
    pub kill_selection: KillSelection,
    /// When an unreachable instance is replaced.
    pub unreachable_strategy: UnreachableStrategy,
    /// Of apps with persistent volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residency: Option<Residency>,
    /// What is downloaded into the sandbox.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fetch: Vec<Fetch>,
    /// Secrets by the name that `env` and volumes refer to them by.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretSource>,
    /// `//cmd` or nothing.
    pub executor: String,
    /// Written only when set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor_resources: Option<ExecutorResources>,
    /// Written only when set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_limits: Option<ResourceLimits>,
    /// Written only when set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty: Option<bool>,
    /// Given by the server; `None` before it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Timestamp>,
    /// Given by the server; absent on the very first version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_info: Option<VersionInfo>,
}

impl App {
    /// The mode of its networks; they never mix.
    pub fn network_mode(&self) -> NetworkMode {
        self.networks.first().map_or(NetworkMode::Host, |network| network.mode)
    }

    /// How many ports the app has: port definitions in host mode, mappings in others.
    pub fn port_count(&self) -> usize {
        let mappings = || self.container.as_ref().and_then(|container| container.port_mappings.as_ref());
        match self.network_mode() {
            NetworkMode::Host => self.port_definitions.as_ref().map_or(0, Vec::len),
            _ => mappings().map_or(0, Vec::len),
        }
    }

    /// The names of its ports, in their order.
    pub fn port_names(&self) -> Vec<Option<&str>> {
        let mappings =
            || self.container.iter().flat_map(|container| container.port_mappings.iter().flatten());
        match self.network_mode() {
            NetworkMode::Host => {
                self.port_definitions.iter().flatten().map(|port| port.name.as_deref()).collect()
            }
            _ => mappings().map(|mapping| mapping.name.as_deref()).collect(),
        }
    }
}

/// A value of the environment: a text, or `{"secret": name}`.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum EnvValue {
    /// The value itself.
    Text(String),
    /// The value of one of the app's secrets.
    Secret {
        /// Its name in the app's `secrets`.
        secret: String,
    },
}

/// A text may be secret, too.
impl fmt::Debug for EnvValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EnvValue::Text(_) => f.write_str("Text(***)"),
            EnvValue::Secret { secret } => write!(f, "Secret({secret:?})"),
        }
    }
}

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretSource {
    /// Its path in the store of secrets.
    pub source: String,
}

/// `[field, operator, value?]` (§5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// `hostname`, `@hostname`, `@region`, `@zone` or an agent attribute's name.
    pub field: String,
    /// What is asked of it.
    pub operator: Operator,
    /// What it is compared with.
    pub value: Option<String>,
}

words! {
    /// The operator of a constraint (§5).
    Operator {
        /// No two instances share the value.
        Unique = "UNIQUE",
        /// All on one value.
        Cluster = "CLUSTER",
        /// Spread evenly.
        GroupBy = "GROUP_BY",
        /// The whole value matches.
        Like = "LIKE",
        /// The whole value does not match.
        Unlike = "UNLIKE",
        /// At most that many per value.
        MaxPer = "MAX_PER",
        /// Equality.
        Is = "IS",
    }
}

impl Serialize for Constraint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = [Some(self.field.as_str()), Some(self.operator.word()), self.value.as_deref()];
        serializer.collect_seq(parts.into_iter().flatten())
    }
}

/// Bounds of a rolling restart (§8), as fractions of the wanted instances.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeStrategy {
    /// At least that many stay healthy.
    pub minimum_health_capacity: f64,
    /// At most that many more exist.
    pub maximum_over_capacity: f64,
}

words! {
    /// Which instance goes first when one must (§4).
    KillSelection {
        /// The one that started last.
        YoungestFirst = "YOUNGEST_FIRST",
        /// The one that started first.
        OldestFirst = "OLDEST_FIRST",
    }
}

/// When an unreachable instance is replaced and forgotten (§8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnreachableStrategy {
    /// Never: wait.
    Disabled,
    /// After so many seconds.
    After {
        /// A replacement starts.
        inactive_seconds: u32,
        /// The old one is forgotten.
        expunge_seconds: u32,
    },
}

impl Serialize for UnreachableStrategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            UnreachableStrategy::Disabled => serializer.serialize_str("disabled"),
            UnreachableStrategy::After { inactive_seconds, expunge_seconds } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("inactiveAfterSeconds", inactive_seconds)?;
                map.serialize_entry("expungeAfterSeconds", expunge_seconds)?;
                map.end()
            }
        }
    }
}

/// Of apps with persistent volumes; otherwise inert (§4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Residency {
    /// Seconds.
    pub relaunch_escalation_timeout_seconds: u32,
    /// `WAIT_FOREVER`, or `RELAUNCH_AFTER_TIMEOUT` of older definitions.
    pub task_lost_behavior: String,
}

/// A file that is downloaded into the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fetch {
    /// Where from.
    pub uri: String,
    /// Whether an archive is unpacked.
    pub extract: bool,
    /// Whether the file becomes executable.
    pub executable: bool,
    /// Whether the agent keeps it.
    pub cache: bool,
    /// The path within the sandbox; the name in the URI when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dest_path: Option<String>,
}

/// What the executor itself takes; MiB for `mem` and `disk`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ExecutorResources {
    /// Shares of a processor.
    pub cpus: f64,
    /// Memory in MiB.
    pub mem: f64,
    /// Disk in MiB.
    pub disk: f64,
}

/// Up to where a task may go beyond what it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ResourceLimits {
    /// Shares of a processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Limit>,
    /// Memory in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem: Option<Limit>,
}

/// An amount or `"unlimited"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// As much as there is.
    Unlimited,
    /// So much.
    Amount(f64),
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Limit::Unlimited => serializer.serialize_str("unlimited"),
            Limit::Amount(amount) => serializer.serialize_f64(*amount),
        }
    }
}

/// When the definition changed in which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionInfo {
    /// The last change of `instances`.
    pub last_scaling_at: Timestamp,
    /// The last change of anything else.
    pub last_config_change_at: Timestamp,
}
