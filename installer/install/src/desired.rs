//! What a host of the inventory is to have, role by role. Pure.

use std::sync::Arc;

use inventory::{Host, Inventory, Role};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::blob::Blob;
use crate::item::{Access, Content, Desired, Item, Sum};
use crate::phase::Phase;
use crate::templates::{TemplateError, Templates};

/// Where programs are.
pub const OPT: &str = "/opt/clusterctl";
/// Where configuration is.
pub const ETC: &str = "/etc/clusterctl";
/// Where certificates are.
pub const CERTIFICATES: &str = "/etc/clusterctl/pki";
/// Where state is.
pub const VAR: &str = "/var/lib/clusterctl";
/// Whom masters run as.
pub const USER: &str = "clusterctl";
/// The cluster's own certificate authority.
pub const CA: &str = "/etc/clusterctl/pki/ca.pem";
/// The unit of masters.
pub const MASTER_UNIT: &str = "clusterctl-master.service";
/// The unit of agents.
pub const AGENT_UNIT: &str = "clusterctl-agent.service";
/// The unit that holds the control group of tasks.
pub const TASKS_UNIT: &str = "clusterctl-tasks.service";
const PROGRAM: &str = "/opt/clusterctl/current/clusterctl";

/// A daemon with a certificate of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Daemon {
    /// A master.
    Master,
    /// An agent, public or not.
    Agent,
}

impl Daemon {
    /// Those of a host.
    pub fn of(host: &Host) -> impl Iterator<Item = Self> {
        let master = host.roles.contains(&Role::Master).then_some(Self::Master);
        master.into_iter().chain(host.is_agent().then_some(Self::Agent))
    }

    /// The file with its certificate and its key: one, so that they change together.
    #[must_use]
    pub fn leaf(self) -> &'static str {
        match self {
            Self::Master => "/etc/clusterctl/pki/master.pem",
            Self::Agent => "/etc/clusterctl/pki/agent.pem",
        }
    }

    fn leaf_access(self) -> Access {
        match self {
            Self::Master => Access::of("root", USER, 0o640),
            Self::Agent => Access::root(0o600),
        }
    }
}

/// A daemon's certificate and key.
#[derive(Clone, Debug)]
pub enum Leaf {
    /// The host keeps what it has.
    Kept {
        /// The certificate, PEM.
        certificate: String,
        /// Digest of the file, with the key.
        file: Sum,
    },
    /// It gets a new one.
    New {
        /// The certificate, PEM.
        certificate: String,
        /// The key, PEM.
        key: Arc<SecretString>,
    },
}

impl Leaf {
    fn certificate(&self) -> &str {
        match self {
            Self::Kept { certificate, .. } | Self::New { certificate, .. } => certificate,
        }
    }

    fn content(&self) -> Content {
        match self {
            Self::Kept { file, .. } => Content::Kept(file.clone()),
            Self::New { certificate, key } => {
                Content::Secret(Arc::new(format!("{}{}", certificate, key.expose_secret()).into()))
            }
        }
    }
}

/// What all hosts of a run share.
#[derive(Debug)]
pub struct Material {
    /// Of the program that is installed.
    pub version: String,
    /// The program, by the kind of machine that it is for.
    pub programs: std::collections::BTreeMap<String, Arc<Blob>>,
    /// The cluster's certificate authority, PEM.
    pub ca: String,
    /// The templates.
    pub templates: Templates,
    /// IP addresses of names in the inventory.
    pub addresses: std::collections::BTreeMap<String, std::net::IpAddr>,
}

/// Why it cannot be said what a host is to have.
#[derive(Debug, thiserror::Error)]
pub enum DesiredError {
    /// A fault of this program.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// It has a name only, and agents listen on addresses.
    #[error("the address of {name} is not known")]
    NoAddress {
        /// As it stands in the inventory.
        name: String,
    },
    /// There is no program for such a machine.
    #[error("there is no clusterctl for {machine}")]
    NoProgram {
        /// The kind of machine.
        machine: String,
    },
}

/// `host:port`, as URLs have it.
#[must_use]
pub fn authority(address: &inventory::Address, port: u16) -> String {
    match address {
        inventory::Address::Ip(std::net::IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        other => format!("{other}:{port}"),
    }
}

/// URLs of all masters, as the other hosts reach them.
#[must_use]
pub fn masters(inventory: &Inventory) -> Vec<String> {
    let url = |host: &Host| format!("https://{}", authority(host.cluster_address(), inventory.cluster.port));
    inventory.with_role(Role::Master).map(url).collect()
}

/// What a host is to have.
///
/// # Errors
/// When there is no program for it.
pub fn desired(
    inventory: &Inventory,
    host: &Host,
    machine: &str,
    leaves: &std::collections::BTreeMap<Daemon, Leaf>,
    material: &Material,
) -> Result<Desired, DesiredError> {
    let program = material
        .programs
        .get(machine)
        .ok_or_else(|| DesiredError::NoProgram { machine: machine.to_owned() })?;
    let mut desired = Desired::default();
    let version = format!("{}-{}", material.version, program.sum().short());
    let mut add = |item| desired.push(Phase::Distribute, item);
    let dir = |path: &str| Item::Dir { path: path.to_owned(), access: Access::root(0o755), data: false };
    for path in [VAR, OPT, &format!("{OPT}/{version}"), ETC, CERTIFICATES] {
        add(dir(path));
    }
    add(Item::File {
        path: format!("{OPT}/{version}/clusterctl"),
        access: Access::root(0o755),
        content: Content::Blob(Arc::clone(program)),
    });
    add(Item::Link { path: format!("{OPT}/current"), target: version.clone() });
    add(text(CA, 0o644, &material.ca));

    let render = Render { inventory, host, material, version: &version };
    let mut units = Vec::new();
    for daemon in Daemon::of(host) {
        let leaf = leaves.get(&daemon);
        if daemon == Daemon::Master {
            add(Item::User { name: USER.to_owned() });
        }
        if let Some(leaf) = leaf {
            let (path, access) = (daemon.leaf().to_owned(), daemon.leaf_access());
            add(Item::File { path, access, content: leaf.content() });
        }
        let certificate = leaf.map_or("", Leaf::certificate);
        match daemon {
            Daemon::Master => render.master(certificate, &mut add, &mut units)?,
            Daemon::Agent => render.agent(certificate, &mut add, &mut units)?,
        }
    }
    for (phase, item) in units {
        desired.push(phase, item);
    }
    Ok(desired)
}

fn text(path: &str, mode: u32, text: &str) -> Item {
    Item::File { path: path.to_owned(), access: Access::root(mode), content: Content::Text(Arc::from(text)) }
}

struct Render<'a> {
    inventory: &'a Inventory,
    host: &'a Host,
    material: &'a Material,
    version: &'a str,
}

type Units = Vec<(Phase, Item)>;

impl Render<'_> {
    fn master(
        &self,
        certificate: &str,
        add: &mut impl FnMut(Item),
        units: &mut Units,
    ) -> Result<(), TemplateError> {
        let (inventory, host) = (self.inventory, self.host);
        let state = format!("{VAR}/master");
        add(Item::Dir { path: state.clone(), access: Access::of(USER, USER, 0o700), data: true });
        let paths: std::collections::BTreeSet<&String> =
            inventory.hosts.iter().filter(|host| host.is_agent()).flat_map(|host| &host.host_paths).collect();
        let config = self.render(
            "master.yaml",
            &json!({
                "cluster": inventory.cluster.name,
                "name": host.name,
                "listen": format!("{}:{}", any_address(host, &self.material.addresses), inventory.cluster.port),
                "advertise": authority(host.cluster_address(), inventory.cluster.port),
                "state": state,
                "task_user": inventory.cluster.task_user,
                "host_paths": paths,
                "ca": CA,
                "leaf": Daemon::Master.leaf(),
                "unreachable": seconds(inventory.cluster.timeouts.unreachable),
                "reregistration": seconds(inventory.cluster.timeouts.reregistration),
            }),
        )?;
        let path = format!("{ETC}/master.yaml");
        add(text(&path, 0o644, &config));
        self.unit(
            MASTER_UNIT,
            &path,
            Some(&[&config, certificate]),
            &json!({"user": USER, "state": state}),
            add,
        )
        .map(|inputs| {
            units.push((Phase::Masters, unit(MASTER_UNIT, inputs, &[&path, CA, Daemon::Master.leaf()])));
        })
    }

    fn agent(
        &self,
        certificate: &str,
        add: &mut impl FnMut(Item),
        units: &mut Units,
    ) -> Result<(), DesiredError> {
        let (inventory, host) = (self.inventory, self.host);
        let work_dir = format!("{VAR}/agent");
        add(Item::Dir { path: work_dir.clone(), access: Access::root(0o711), data: true });
        let named = host.cluster_address().to_string();
        let address = match host.cluster_address() {
            inventory::Address::Ip(ip) => *ip,
            inventory::Address::Name(name) => {
                let known = self.material.addresses.get(name).copied();
                known.ok_or_else(|| DesiredError::NoAddress { name: name.clone() })?
            }
        };
        let role = if host.roles.contains(&Role::PublicAgent) { "slave_public" } else { "*" };
        let config = self.render(
            "agent.yaml",
            &json!({
                "cluster": inventory.cluster.name,
                "name": host.name,
                "hostname": host.hostname.as_ref().unwrap_or(&named),
                "address": address,
                "port": inventory.cluster.agent_port,
                "masters": masters(inventory),
                "work_dir": work_dir,
                "task_user": host.task_user.as_ref().unwrap_or(&inventory.cluster.task_user),
                "role": role,
                "resources": host.resources.as_ref().map(ToString::to_string).unwrap_or_default(),
                "attributes": host.attributes.to_string(),
                "region": host.region.clone().unwrap_or_default(),
                "zone": host.zone.clone().unwrap_or_default(),
                "group": format!("system.slice/{TASKS_UNIT}"),
                "file_roots": host.file_roots,
                "host_paths": host.host_paths,
                "ca": CA,
                "leaf": Daemon::Agent.leaf(),
            }),
        )?;
        let path = format!("{ETC}/agent.yaml");
        add(text(&path, 0o644, &config));
        let more = json!({"tasks_unit": TASKS_UNIT});
        // The holder is never restarted: tasks stand below it.
        self.unit(TASKS_UNIT, "", None, &more, add)?;
        units.push((Phase::Agents, unit(TASKS_UNIT, None, &[])));
        let inputs = self.unit(AGENT_UNIT, &path, Some(&[&config, certificate]), &more, add)?;
        units.push((Phase::Agents, unit(AGENT_UNIT, inputs, &[&path, CA, Daemon::Agent.leaf()])));
        Ok(())
    }

    /// Adds a unit's file; what it is started with is a digest of all that it reads at its start.
    fn unit(
        &self,
        name: &str,
        config: &str,
        reads: Option<&[&str]>,
        more: &Value,
        add: &mut impl FnMut(Item),
    ) -> Result<Option<Sum>, TemplateError> {
        let inputs = reads.map(|reads| {
            let all = [&[self.version, &self.material.ca], reads].concat();
            Sum::of(all.join("\0").as_bytes())
        });
        let mut values = json!({
            "cluster": self.inventory.cluster.name,
            "program": PROGRAM,
            "config": config,
            "inputs": inputs.as_ref().map_or("", Sum::as_str),
        });
        if let (Some(values), Some(more)) = (values.as_object_mut(), more.as_object()) {
            values.extend(more.clone());
        }
        let unit = self.render(name, &values)?;
        add(text(&format!("{}{name}", crate::plan::UNITS), 0o644, &unit));
        Ok(inputs)
    }

    fn render(&self, name: &str, values: &Value) -> Result<String, TemplateError> {
        self.material.templates.render(name, values)
    }
}

fn unit(name: &str, inputs: Option<Sum>, reads: &[&str]) -> Item {
    Item::Unit { name: name.to_owned(), inputs, reads: reads.iter().map(|&path| path.to_owned()).collect() }
}

/// All addresses of the host; those of IPv6 only where one is used, since a host may be without.
fn any_address(host: &Host, known: &std::collections::BTreeMap<String, std::net::IpAddr>) -> &'static str {
    let v6 = |address: &inventory::Address| match address {
        inventory::Address::Ip(ip) => ip.is_ipv6(),
        inventory::Address::Name(name) => known.get(name).is_some_and(std::net::IpAddr::is_ipv6),
    };
    if v6(&host.address) || v6(host.cluster_address()) { "[::]" } else { "0.0.0.0" }
}

/// As configurations take it.
fn seconds(duration: std::time::Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

#[cfg(test)]
mod tests;
