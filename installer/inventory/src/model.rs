//! The checked inventory. Whatever stands here keeps to the rules: nothing has to be checked again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use scheduler::Resources;
use scheduler::attributes::Attributes;
use serde::{Serialize, Serializer};

use crate::mistake::{Mistake, Place};
use crate::source::Source;

/// A whole inventory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inventory {
    /// What holds for the cluster as a whole.
    pub cluster: Cluster,
    /// The hosts in the order in which they were written, ranges expanded. Names and addresses differ from each other.
    pub hosts: Vec<Host>,
    /// Where parts come from that are not in the binary.
    pub artifacts: Artifacts,
    /// The text that it was read from.
    #[serde(skip)]
    pub source: Source,
}

impl Inventory {
    /// A mistake that was found later, such as a file that is not there, told as those of the reader are.
    pub fn mistake(&self, place: Place, message: impl Into<String>, write: Option<String>) -> Mistake {
        self.source.mistake(place, message, write)
    }

    /// The hosts with a role.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(move |host| host.roles.contains(&role))
    }

    /// The host of this name.
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name == name)
    }
}

/// What holds for the cluster as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cluster {
    /// Its name: letters, digits, `-`, `_` and `.`, at most 63.
    pub name: String,
    /// Whom tasks run as that do not say it.
    pub task_user: String,
    /// Where masters listen.
    pub port: u16,
    /// Where agents listen.
    pub agent_port: u16,
    /// How long to wait before what is not heard of counts as lost.
    pub timeouts: Timeouts,
}

/// How long to wait before what is not heard of counts as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Timeouts {
    /// How long a master leads without renewing it.
    #[serde(serialize_with = "seconds")]
    pub lease: Duration,
    /// From when on an agent that is not heard of is unreachable. Longer than the lease.
    #[serde(serialize_with = "seconds")]
    pub unreachable: Duration,
    /// How long a new leader waits for agents to register again.
    #[serde(serialize_with = "seconds")]
    pub reregistration: Duration,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Host {
    /// What people call it, in lower case.
    pub name: String,
    /// Where the operator's machine reaches it.
    pub address: Address,
    /// Where the other hosts reach it, when that is elsewhere.
    pub private_address: Option<Address>,
    /// What Mesos calls it; else the address.
    pub hostname: Option<String>,
    /// What it is in the cluster; at least one, and not both kinds of agent.
    pub roles: BTreeSet<Role>,
    /// How the installer gets there.
    pub connection: Connection,
    /// Its SSH settings: its own ones over those of the inventory.
    pub ssh: Ssh,
    /// Fingerprints of its host keys, like `SHA256:…`; when there are any, no other key is taken.
    pub host_keys: Vec<String>,
    /// Whom its tasks run as that do not say it; else the cluster's.
    pub task_user: Option<String>,
    /// Directories that tasks may mount.
    pub host_paths: Vec<String>,
    /// Directories from which tasks may take files.
    pub file_roots: Vec<String>,
    /// The region it stands in.
    pub region: Option<String>,
    /// The zone of the region.
    pub zone: Option<String>,
    /// What is said about it as an agent.
    #[serde(serialize_with = "as_text")]
    pub attributes: Attributes,
    /// What it has to offer, when that is not to be detected.
    #[serde(serialize_with = "some_as_text")]
    pub resources: Option<Resources>,
    /// An install goes on when it cannot be reached.
    pub absent_ok: bool,
    /// Where its entry begins.
    pub declared: Place,
}

impl Host {
    /// Where the other hosts of the cluster reach it.
    pub fn cluster_address(&self) -> &Address {
        self.private_address.as_ref().unwrap_or(&self.address)
    }

    /// Whether tasks run on it.
    pub fn is_agent(&self) -> bool {
        self.roles.contains(&Role::Agent) || self.roles.contains(&Role::PublicAgent)
    }
}

/// What a host is in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Keeps the cluster's state, one of an odd number.
    Coordinator,
    /// Leads, or stands by to lead.
    Master,
    /// Runs tasks.
    Agent,
    /// Runs tasks that the outside reaches: its resources belong to the role `slave_public`.
    PublicAgent,
}

/// Where something is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum Address {
    /// By its IP address.
    Ip(IpAddr),
    /// By a name that is looked up, in lower case.
    Name(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(ip) => write!(f, "{ip}"),
            Address::Name(name) => f.write_str(name),
        }
    }
}

/// How the installer gets to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// Over SSH.
    Ssh,
    /// It is this machine.
    Local,
}

/// SSH settings. What is not set here may stand in the file that `config` names; paths are as written: `~` is the operator's
/// home, and what is relative begins at the inventory's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ssh {
    /// Whom to log in as.
    pub user: Option<String>,
    /// The port, 22 when nothing says otherwise.
    pub port: Option<u16>,
    /// Files with private keys.
    pub identity_files: Vec<String>,
    /// Offer these keys alone, not all that the SSH agent has.
    pub identities_only: Option<bool>,
    /// What to do about an unknown host key.
    pub host_key_checking: HostKeyChecking,
    /// How to become root.
    #[serde(rename = "become")]
    pub becoming: Become,
    /// Over which hosts, in this order; empty for a direct way in spite of the file that `config` names.
    pub jump: Option<Vec<Jump>>,
    /// The file with known host keys.
    pub known_hosts: Option<String>,
    /// How long one connection may take to stand.
    #[serde(serialize_with = "seconds")]
    pub connect_timeout: Duration,
    /// The configuration of OpenSSH that is read.
    pub config: SshConfig,
    /// A file with the password to log in with.
    pub password_file: Option<String>,
}

/// What to do about an unknown host key. A changed one is always refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostKeyChecking {
    /// Ask once for all.
    Ask,
    /// Refuse.
    Strict,
    /// Take it and write it down.
    AcceptNew,
}

/// How to become root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Become {
    /// With sudo.
    Sudo,
    /// Not at all: the user is root already.
    None,
}

/// A host on the way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Jump {
    /// Whom to log in as; else the user of the host behind it.
    pub user: Option<String>,
    /// Where it is.
    pub host: Address,
    /// Its port, 22 when nothing says otherwise.
    pub port: Option<u16>,
}

/// Which configuration of OpenSSH is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SshConfig {
    /// The user's own.
    Default,
    /// None.
    None,
    /// This file.
    File(String),
}

/// Where parts come from that are not in the binary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Artifacts {
    /// The coordinators' store.
    pub etcd: Option<Artifact>,
    /// This program for machines of another kind.
    pub clusterctl: BTreeMap<Arch, Artifact>,
}

/// A part, and where it stands in the inventory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Artifact {
    /// Where it comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// Its SHA-256 in lower case; always there for an URL.
    pub sha256: Option<String>,
    /// Where its entry begins.
    pub declared: Place,
}

/// Where a part comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A file on the operator's machine, its path as for [`Ssh`].
    File(String),
    /// Fetched over HTTP or HTTPS.
    Url(String),
    /// A package of the host's distribution.
    Package(String),
    /// A package URL that names one file.
    Purl(String),
}

/// What kind of machine a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Arch {
    /// Also called amd64.
    #[serde(rename = "x86_64")]
    X86_64,
    /// Also called arm64.
    #[serde(rename = "aarch64")]
    Aarch64,
}

impl Arch {
    /// As the kernel and the inventory call it.
    pub fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn as_text<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn some_as_text<T: fmt::Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}
