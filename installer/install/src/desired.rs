//! What a host of the inventory is to have, role by role. Pure.

use std::sync::Arc;

use inventory::{Host, Inventory, Role};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::blob::Blob;
use crate::coordinators::{self, CLIENT_PORT, PEER_PORT};
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
/// The unit of coordinators.
pub const ETCD_UNIT: &str = "clusterctl-etcd.service";
/// Whom coordinators run as.
pub const ETCD_USER: &str = "clusterctl-etcd";
/// The certificate authority of etcd, which coordinators and masters alone know.
pub const ETCD_CA: &str = "/etc/clusterctl/pki/etcd-ca.pem";
/// What etcd reads.
pub const ETCD_CONFIG: &str = "/etc/clusterctl/etcd.yaml";
/// What etcd keeps.
pub const ETCD_DATA: &str = "/var/lib/clusterctl/etcd";
/// The key of the cluster's secrets, which masters alone have.
pub const SECRETS_KEY: &str = "/etc/clusterctl/pki/secrets.key";
/// What masters read.
pub const MASTER_CONFIG: &str = "/etc/clusterctl/master.yaml";
/// Where a master keeps its own.
pub const MASTER_STATE: &str = "/var/lib/clusterctl/master";
/// The program, as daemons start it.
pub const PROGRAM: &str = "/opt/clusterctl/current/clusterctl";
/// A coordinator that has joined no majority by then is waited for no longer, in seconds.
const JOINED_WITHIN: u16 = 60;

/// A certificate of a host, with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Credential {
    /// A coordinator's, to the others and to masters.
    Coordinator,
    /// A master's, to the coordinators.
    EtcdClient,
    /// A master's, to all others.
    Master,
    /// An agent's, public or not.
    Agent,
}

impl Credential {
    /// Those of a host. Agents have none of etcd's.
    pub fn of(inventory: &Inventory, host: &Host) -> impl Iterator<Item = Self> {
        let (coordinator, master) =
            (host.roles.contains(&Role::Coordinator), host.roles.contains(&Role::Master));
        let has_etcd = inventory.with_role(Role::Coordinator).next().is_some();
        [
            (coordinator, Self::Coordinator),
            (master && has_etcd, Self::EtcdClient),
            (master, Self::Master),
            (host.is_agent(), Self::Agent),
        ]
        .into_iter()
        .filter_map(|(has, credential)| has.then_some(credential))
    }

    /// The file with the certificate and the key: one, so that they change together.
    #[must_use]
    pub fn leaf(self) -> &'static str {
        match self {
            Self::Coordinator => "/etc/clusterctl/pki/etcd.pem",
            Self::EtcdClient => "/etc/clusterctl/pki/etcd-client.pem",
            Self::Master => "/etc/clusterctl/pki/master.pem",
            Self::Agent => "/etc/clusterctl/pki/agent.pem",
        }
    }

    /// Whose it is: which of the cluster's two authorities issues it.
    #[must_use]
    pub fn authority(self) -> pki::Kind {
        match self {
            Self::Coordinator | Self::EtcdClient => pki::Kind::Etcd,
            Self::Master | Self::Agent => pki::Kind::Cluster,
        }
    }

    fn leaf_access(self) -> Access {
        match self {
            Self::Coordinator => Access::of("root", ETCD_USER, 0o640),
            Self::EtcdClient | Self::Master => Access::of("root", USER, 0o640),
            Self::Agent => Access::root(0o600),
        }
    }
}

/// A certificate and its key.
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
    /// The one of etcd, PEM.
    pub etcd_ca: String,
    /// The key of the cluster's secrets, as its file has it.
    pub secrets_key: Arc<SecretString>,
    /// What coordinators run, where there are any.
    pub etcd: Option<Etcd>,
    /// The templates.
    pub templates: Templates,
    /// IP addresses of names in the inventory.
    pub addresses: std::collections::BTreeMap<String, std::net::IpAddr>,
}

/// The program that coordinators run.
#[derive(Clone, Debug)]
pub struct Etcd {
    /// The program.
    pub blob: Arc<Blob>,
    /// Its version, where it could be asked.
    pub version: Option<String>,
}

impl Material {
    /// The key of secrets as masters' file.
    #[must_use]
    pub fn secrets_key(&self) -> Content {
        Content::Secret(Arc::clone(&self.secrets_key))
    }
}

impl Etcd {
    /// The directory of the program on hosts: another program has another one, so that none is replaced while it runs.
    #[must_use]
    pub fn dir(&self) -> String {
        let sum = self.blob.sum().short();
        match &self.version {
            Some(version) => format!("{OPT}/etcd/{version}-{sum}"),
            None => format!("{OPT}/etcd/{sum}"),
        }
    }
}

/// Why it cannot be said what a host is to have.
#[derive(Debug, thiserror::Error)]
pub enum DesiredError {
    /// A fault of this program.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// It has a name only, and agents and coordinators listen on addresses.
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
    /// It is a coordinator, and there is no program for it.
    #[error("there is no etcd for coordinators")]
    NoEtcd,
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
/// When there is no program for it, or its address is not known.
pub fn desired(
    inventory: &Inventory,
    host: &Host,
    machine: &str,
    leaves: &std::collections::BTreeMap<Credential, Leaf>,
    material: &Material,
) -> Result<Desired, DesiredError> {
    let program = material
        .programs
        .get(machine)
        .ok_or_else(|| DesiredError::NoProgram { machine: machine.to_owned() })?;
    let mut desired = Desired::default();
    let version = format!("{}-{}", material.version, program.sum().short());
    let mut add = |item| desired.push(Phase::Distribute, item);
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

    let credentials: Vec<Credential> = Credential::of(inventory, host).collect();
    let has = |credential| credentials.contains(&credential);
    if has(Credential::Coordinator) {
        add(Item::User { name: ETCD_USER.to_owned() });
    }
    if has(Credential::Master) {
        add(Item::User { name: USER.to_owned() });
    }
    if credentials.iter().any(|credential| credential.authority() == pki::Kind::Etcd) {
        add(text(ETCD_CA, 0o644, &material.etcd_ca));
    }
    for credential in &credentials {
        if let Some(leaf) = leaves.get(credential) {
            let (path, access) = (credential.leaf().to_owned(), credential.leaf_access());
            add(Item::File { path, access, content: leaf.content() });
        }
    }
    let render = Render { inventory, host, machine, leaves, material, version: &version };
    let mut units = Vec::new();
    if has(Credential::Coordinator) {
        render.coordinator(&mut add, &mut units)?;
    }
    if has(Credential::Master) {
        render.master(&mut add, &mut units)?;
    }
    if has(Credential::Agent) {
        render.agent(&mut add, &mut units)?;
    }
    for (phase, item) in units {
        desired.push(phase, item);
    }
    Ok(desired)
}

fn dir(path: &str) -> Item {
    Item::Dir { path: path.to_owned(), access: Access::root(0o755), data: false }
}

fn text(path: &str, mode: u32, text: &str) -> Item {
    Item::File { path: path.to_owned(), access: Access::root(mode), content: Content::Text(Arc::from(text)) }
}

struct Render<'a> {
    inventory: &'a Inventory,
    host: &'a Host,
    machine: &'a str,
    leaves: &'a std::collections::BTreeMap<Credential, Leaf>,
    material: &'a Material,
    version: &'a str,
}

type Units = Vec<(Phase, Item)>;

/// A unit's file, and what its process starts with.
struct Daemon<'a> {
    unit: &'a str,
    program: &'a str,
    config: &'a str,
    /// Texts that it reads when it starts, its own version among them. Without them it is never restarted.
    reads: Option<&'a [&'a str]>,
    /// More for its template.
    more: Value,
}

impl Render<'_> {
    fn coordinator(&self, add: &mut impl FnMut(Item), units: &mut Units) -> Result<(), DesiredError> {
        let etcd = self.material.etcd.as_ref().ok_or(DesiredError::NoEtcd)?;
        let own = etcd.dir();
        let program = format!("{own}/etcd");
        add(dir(&format!("{OPT}/etcd")));
        add(dir(&own));
        let content = Content::Blob(Arc::clone(&etcd.blob));
        add(Item::File { path: program.clone(), access: Access::root(0o755), content });
        let access = Access::of(ETCD_USER, ETCD_USER, 0o700);
        add(Item::Dir { path: ETCD_DATA.to_owned(), access, data: true });
        let address = inventory::Address::Ip(self.address()?);
        let advertised = self.host.cluster_address();
        let url = |address, port| format!("https://{}", authority(address, port));
        let leaf = Credential::Coordinator.leaf();
        let config = self.render(
            "etcd.yaml",
            &json!({
                "cluster": self.inventory.cluster.name,
                "name": self.host.name,
                "data": ETCD_DATA,
                "listen_client": url(&address, CLIENT_PORT),
                "listen_peer": url(&address, PEER_PORT),
                "client": url(advertised, CLIENT_PORT),
                "peer": url(advertised, PEER_PORT),
                "members": coordinators::members(self.inventory).join(","),
                "ca": ETCD_CA,
                "leaf": leaf,
            }),
        )?;
        add(text(ETCD_CONFIG, 0o644, &config));
        let inputs = self.unit(
            &Daemon {
                unit: ETCD_UNIT,
                program: &program,
                config: ETCD_CONFIG,
                // A new version of ours is no reason to restart it.
                reads: Some(&[
                    &program,
                    &self.material.etcd_ca,
                    &config,
                    self.certificate(Credential::Coordinator),
                ]),
                more: json!({"user": ETCD_USER, "data": ETCD_DATA, "machine": self.machine}),
            },
            add,
        )?;
        // The others of a new cluster may come later, or not at all: then it goes on without being waited for.
        let within = Some(JOINED_WITHIN);
        let reads = [program.as_str(), ETCD_CONFIG, ETCD_CA, leaf].map(str::to_owned).to_vec();
        units.push((Phase::Coordinators, Item::Unit { name: ETCD_UNIT.to_owned(), inputs, reads, within }));
        Ok(())
    }

    fn master(&self, add: &mut impl FnMut(Item), units: &mut Units) -> Result<(), TemplateError> {
        let (inventory, host) = (self.inventory, self.host);
        let access = Access::of(USER, USER, 0o700);
        add(Item::Dir { path: MASTER_STATE.to_owned(), access, data: true });
        let (key, access) = (self.material.secrets_key(), Access::of("root", USER, 0o640));
        let key_sum = key.sum();
        add(Item::File { path: SECRETS_KEY.to_owned(), access, content: key });
        let paths: std::collections::BTreeSet<&String> =
            inventory.hosts.iter().filter(|host| host.is_agent()).flat_map(|host| &host.host_paths).collect();
        let endpoints = coordinators::endpoints(inventory, host);
        let port = inventory.cluster.port;
        let mut masters: Vec<String> =
            inventory.with_role(Role::Master).map(|one| authority(one.cluster_address(), port)).collect();
        masters.sort();
        let (leaf, etcd_leaf) = (Credential::Master.leaf(), Credential::EtcdClient.leaf());
        let config = self.render(
            "master.yaml",
            &json!({
                "cluster": inventory.cluster.name,
                "name": host.name,
                "listen": format!("{}:{}", any_address(host, &self.material.addresses), inventory.cluster.port),
                "advertise": authority(host.cluster_address(), inventory.cluster.port),
                "masters": masters,
                "state": MASTER_STATE,
                "task_user": inventory.cluster.task_user,
                "host_paths": paths,
                "ca": CA,
                "leaf": leaf,
                "secrets_key": SECRETS_KEY,
                "unreachable": seconds(inventory.cluster.timeouts.unreachable),
                "reregistration": seconds(inventory.cluster.timeouts.reregistration),
                "endpoints": endpoints,
                "etcd_ca": ETCD_CA,
                "etcd_leaf": etcd_leaf,
                "lease": seconds(inventory.cluster.timeouts.lease),
            }),
        )?;
        add(text(MASTER_CONFIG, 0o644, &config));
        let mut files = vec![MASTER_CONFIG, CA, leaf, SECRETS_KEY];
        let mut reads = vec![
            self.version,
            &self.material.ca,
            &config,
            self.certificate(Credential::Master),
            key_sum.as_str(),
        ];
        if !endpoints.is_empty() {
            files.extend([ETCD_CA, etcd_leaf]);
            reads.extend([self.material.etcd_ca.as_str(), self.certificate(Credential::EtcdClient)]);
        }
        let after = if host.roles.contains(&Role::Coordinator) { ETCD_UNIT } else { "" };
        let daemon = Daemon {
            unit: MASTER_UNIT,
            program: PROGRAM,
            config: MASTER_CONFIG,
            reads: Some(&reads),
            more: json!({"user": USER, "state": MASTER_STATE, "after": after}),
        };
        let inputs = self.unit(&daemon, add)?;
        units.push((Phase::Masters, unit(MASTER_UNIT, inputs, &files)));
        Ok(())
    }

    fn agent(&self, add: &mut impl FnMut(Item), units: &mut Units) -> Result<(), DesiredError> {
        let (inventory, host) = (self.inventory, self.host);
        let work_dir = format!("{VAR}/agent");
        add(Item::Dir { path: work_dir.clone(), access: Access::root(0o711), data: true });
        let named = host.cluster_address().to_string();
        let role = if host.roles.contains(&Role::PublicAgent) { "slave_public" } else { "*" };
        let leaf = Credential::Agent.leaf();
        let config = self.render(
            "agent.yaml",
            &json!({
                "cluster": inventory.cluster.name,
                "name": host.name,
                "hostname": host.hostname.as_ref().unwrap_or(&named),
                "address": self.address()?,
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
                "leaf": leaf,
            }),
        )?;
        let path = format!("{ETC}/agent.yaml");
        add(text(&path, 0o644, &config));
        let more = json!({"tasks_unit": TASKS_UNIT});
        // The holder is never restarted: tasks stand below it.
        let holder =
            Daemon { unit: TASKS_UNIT, program: PROGRAM, config: "", reads: None, more: more.clone() };
        self.unit(&holder, add)?;
        units.push((Phase::Agents, unit(TASKS_UNIT, None, &[])));
        let reads = [self.version, &self.material.ca, &config, self.certificate(Credential::Agent)];
        let daemon = Daemon { unit: AGENT_UNIT, program: PROGRAM, config: &path, reads: Some(&reads), more };
        let inputs = self.unit(&daemon, add)?;
        units.push((Phase::Agents, unit(AGENT_UNIT, inputs, &[&path, CA, leaf])));
        Ok(())
    }

    /// The address at which the other hosts reach this one.
    fn address(&self) -> Result<std::net::IpAddr, DesiredError> {
        match self.host.cluster_address() {
            inventory::Address::Ip(ip) => Ok(*ip),
            inventory::Address::Name(name) => {
                let known = self.material.addresses.get(name).copied();
                known.ok_or_else(|| DesiredError::NoAddress { name: name.clone() })
            }
        }
    }

    fn certificate(&self, credential: Credential) -> &str {
        self.leaves.get(&credential).map_or("", Leaf::certificate)
    }

    /// Adds a unit's file; what it is started with is a digest of all that it reads at its start.
    fn unit(&self, daemon: &Daemon<'_>, add: &mut impl FnMut(Item)) -> Result<Option<Sum>, TemplateError> {
        let inputs = daemon.reads.map(|reads| Sum::of(reads.join("\0").as_bytes()));
        let mut values = json!({
            "cluster": self.inventory.cluster.name,
            "program": daemon.program,
            "config": daemon.config,
            "inputs": inputs.as_ref().map_or("", Sum::as_str),
        });
        if let (Some(values), Some(more)) = (values.as_object_mut(), daemon.more.as_object()) {
            values.extend(more.clone());
        }
        let unit = self.render(daemon.unit, &values)?;
        add(text(&format!("{}{}", crate::plan::UNITS, daemon.unit), 0o644, &unit));
        Ok(inputs)
    }

    fn render(&self, name: &str, values: &Value) -> Result<String, TemplateError> {
        self.material.templates.render(name, values)
    }
}

fn unit(name: &str, inputs: Option<Sum>, reads: &[&str]) -> Item {
    let reads = reads.iter().map(|&path| path.to_owned()).collect();
    Item::Unit { name: name.to_owned(), inputs, reads, within: None }
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
