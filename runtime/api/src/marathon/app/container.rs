//! Containers, networks, ports and volumes (§6).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::model::Constraint;
use super::words::words;

/// How a task is contained.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Who contains it.
    #[serde(rename = "type")]
    pub kind: ContainerKind,
    /// The image; `None` for a container of the host's own files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker: Option<Docker>,
    /// Ports in bridge and container mode; `None` in host mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_mappings: Option<Vec<PortMapping>>,
    /// What is mounted.
    pub volumes: Vec<Volume>,
    /// Kept as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux_info: Option<Value>,
}

words! {
    /// Who contains a task.
    ContainerKind {
        /// The agent itself.
        Mesos = "MESOS",
        /// Docker, and what stands in for it.
        Docker = "DOCKER",
    }
}

/// An image and how it is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Docker {
    /// Its name, with tag or digest.
    pub image: String,
    /// Whether it is pulled even when it is there.
    pub force_pull_image: bool,
    /// Whether it gets all rights.
    pub privileged: bool,
    /// Options of `docker run`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// How to log in to the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_config: Option<PullConfig>,
}

/// An option of `docker run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parameter {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// How to log in to the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PullConfig {
    /// The name in the app's `secrets`.
    pub secret: String,
}

/// A network that tasks join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Network {
    /// How they join.
    pub mode: NetworkMode,
    /// Its name; container mode only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Labels for the network's provider.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

words! {
    /// How tasks join a network.
    NetworkMode {
        /// They share the host's.
        Host = "host",
        /// A bridge of the agent, with ports of the host mapped.
        Bridge = "container/bridge",
        /// A named network with an address for each task.
        Container = "container",
    }
}

words! {
    /// Transport protocols of a port.
    TransportProtocol {
        /// TCP.
        Tcp = "tcp",
        /// UDP.
        Udp = "udp",
        /// Both.
        Both = "udp,tcp",
    }
}

/// A port in host mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortDefinition {
    /// The service port, which is the host port too when ports are required; 0 until one is assigned.
    pub port: u16,
    /// For what.
    pub protocol: TransportProtocol,
    /// What others refer to it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For service discovery.
    pub labels: BTreeMap<String, String>,
}

/// A port in bridge or container mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// The port in the container; 0 means the same as the host port.
    pub container_port: u16,
    /// The port of the host; 0 is a dynamic one, `None` is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// The service port; 0 until one is assigned.
    pub service_port: u16,
    /// For what.
    pub protocol: TransportProtocol,
    /// What others refer to it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For service discovery.
    pub labels: BTreeMap<String, String>,
    /// The networks that it counts for; all when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network_names: Vec<String>,
}

words! {
    /// Whether a volume can be written to.
    VolumeMode {
        /// Read only.
        ReadOnly = "RO",
        /// Read and write.
        ReadWrite = "RW",
    }
}

/// Something that is mounted into a task, told apart by its key.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Volume {
    /// A path of the host.
    Host {
        /// Where it appears.
        container_path: String,
        /// What appears.
        host_path: String,
        /// Whether it can be written to.
        mode: VolumeMode,
    },
    /// Disk that stays with the instance.
    Persistent {
        /// Where it appears.
        container_path: String,
        /// Whether it can be written to.
        mode: VolumeMode,
        /// Which disk.
        persistent: Persistent,
    },
    /// A volume of another system.
    External {
        /// Where it appears.
        container_path: String,
        /// Whether it can be written to.
        mode: VolumeMode,
        /// Name, provider and options, kept as they came.
        external: Value,
    },
    /// A secret as a file.
    Secret {
        /// Where it appears.
        container_path: String,
        /// The name in the app's `secrets`.
        secret: String,
    },
}

impl Volume {
    /// Where it appears.
    pub fn container_path(&self) -> &str {
        match self {
            Volume::Host { container_path, .. }
            | Volume::Persistent { container_path, .. }
            | Volume::External { container_path, .. }
            | Volume::Secret { container_path, .. } => container_path,
        }
    }
}

/// Disk that stays with the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Persistent {
    /// MiB.
    pub size: u32,
    /// From which kind of disk.
    #[serde(rename = "type")]
    pub kind: PersistentKind,
    /// The largest mount that is taken, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u32>,
    /// The disk's profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_name: Option<String>,
    /// Which disks are taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Constraint>,
}

words! {
    /// From which kind of disk a persistent volume is.
    PersistentKind {
        /// The agent's own.
        Root = "root",
        /// A directory that is shared.
        Path = "path",
        /// A whole disk.
        Mount = "mount",
    }
}
