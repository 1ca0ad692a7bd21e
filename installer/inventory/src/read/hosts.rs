//! `hosts`: each entry one host or, with ranges, many.

use std::collections::BTreeSet;

use crate::faults::{Faults, Problem};
use crate::fields::{Fields, Read, blame, scalar};
use crate::form;
use crate::mistake::Place;
use crate::model::{Address, Connection, Host, Role};
use crate::names;
use crate::range::{MAX_HOSTS, Pattern};
use crate::tree::{Kind, Node};

use super::named;
use super::ssh::{self, Settings};

/// A host, and where in the text its parts stand. Without name or address when these could not be read.
pub(crate) struct Listed {
    pub(crate) host: Host,
    pub(crate) name: Option<Place>,
    pub(crate) address: Option<Place>,
    pub(crate) private_address: Option<Place>,
    pub(crate) hostname: Option<Place>,
    pub(crate) roles: Place,
    pub(crate) are_roles_known: bool,
}

/// All hosts, ranges expanded. Those with mistakes are there too, as far as they could be read: the others are checked
/// against them.
pub(super) fn read(node: &Node, defaults: &Settings, faults: &mut Faults<'_>) -> Option<Vec<Listed>> {
    let example = "write one line for each host, like `- {name: m1, address: 192.0.2.11, roles: [master]}`";
    let entries = match &node.kind {
        Kind::List(entries) if !entries.is_empty() => entries,
        Kind::Broken => return None,
        Kind::List(_) => {
            faults.add(node.place, "there are no hosts", example);
            return None;
        }
        _ if node.is_null() => {
            faults.add(node.place, "there are no hosts", example);
            return None;
        }
        _ => {
            faults.add(node.place, format!("`hosts` is a list, not {}", node.what()), example);
            return None;
        }
    };
    let mut hosts = Vec::new();
    for entry in entries {
        let Some(more) = host(entry, defaults, faults) else { continue };
        if hosts.len() + more.len() > MAX_HOSTS {
            faults.add(
                entry.place,
                format!("here the inventory comes to more than {MAX_HOSTS} hosts"),
                "make another cluster of the rest",
            );
            break;
        }
        hosts.extend(more);
    }
    Some(hosts)
}

/// Something that differs from host to host of a range.
struct Each<T> {
    values: Vec<T>,
    is_range: bool,
    place: Place,
}

impl<T: Clone> Each<T> {
    fn get(&self, at: usize) -> Option<T> {
        self.values.get(at).or(self.values.first()).cloned()
    }
}

fn each<T>(
    fields: &Fields<'_>,
    name: &str,
    faults: &mut Faults<'_>,
    check: impl Fn(&str) -> Result<T, Problem>,
) -> Option<Each<T>> {
    let node = fields.node(name)?;
    let text = scalar(node, name, faults)?;
    let pattern = match Pattern::parse(&text.text) {
        Ok(pattern) => pattern,
        Err(error) => {
            let mut place = node.place;
            if text.text == text.written {
                place.column += text.inset.map_or(0, |inset| inset + error.at);
            }
            let problem = Problem::new(error.to_string(), error.problem.write());
            blame(place, text, problem, faults);
            return None;
        }
    };
    let mut values = Vec::with_capacity(pattern.count());
    for single in pattern.texts() {
        match check(&single) {
            Ok(value) => values.push(value),
            Err(mut problem) => {
                if pattern.is_range() {
                    problem.message = format!("stands for `{single}` too, which {}", problem.message);
                }
                blame(node.place, text, problem, faults);
                return None;
            }
        }
    }
    Some(Each { values, is_range: pattern.is_range(), place: node.place })
}

fn host(node: &Node, defaults: &Settings, faults: &mut Faults<'_>) -> Option<Vec<Listed>> {
    let fields = Fields::of(node, &form::HOST, faults)?;
    let name = each(&fields, "name", faults, names::host_name);
    let address = each(&fields, "address", faults, names::address);
    let private_address = each(&fields, "private_address", faults, names::address);
    let hostname = each(&fields, "hostname", faults, |text| names::address(text).map(|it| it.to_string()));
    let count = count(
        &[
            ("name", shape(name.as_ref())),
            ("address", shape(address.as_ref())),
            ("private_address", shape(private_address.as_ref())),
            ("hostname", shape(hostname.as_ref())),
        ],
        faults,
    );
    let (roles_read, are_roles_known) = self::roles(&fields, faults);
    let template = one(&fields, defaults, roles_read, count > 1, faults)?;
    let roles = fields.place_of("roles");
    let hosts = (0..count).map(|at| Listed {
        host: Host {
            name: name.as_ref().and_then(|each| each.get(at)).unwrap_or_default(),
            address: address
                .as_ref()
                .and_then(|each| each.get(at))
                .unwrap_or_else(|| template.address.clone()),
            private_address: private_address.as_ref().and_then(|each| each.get(at)),
            hostname: hostname.as_ref().and_then(|each| each.get(at)),
            ..template.clone()
        },
        name: name.as_ref().map(|each| each.place),
        address: address.as_ref().map(|each| each.place),
        private_address: private_address.as_ref().map(|each| each.place),
        hostname: hostname.as_ref().map(|each| each.place),
        roles,
        are_roles_known,
    });
    Some(hosts.collect())
}

/// How many something stands for, and where.
type Shape = Option<(usize, bool, Place)>;

fn shape<T>(each: Option<&Each<T>>) -> Shape {
    each.map(|each| (each.values.len(), each.is_range, each.place))
}

/// How many hosts an entry stands for. All ranges in it have to agree.
fn count(parts: &[(&str, Shape)], faults: &mut Faults<'_>) -> usize {
    let written = || parts.iter().filter_map(|(name, shape)| shape.map(|shape| (*name, shape)));
    let Some((first, (count, ..))) = written().find(|(_, (_, is_range, _))| *is_range) else { return 1 };
    let mut agree = true;
    for (name, (other, _, place)) in written().filter(|(_, (other, ..))| *other != count) {
        let message = format!("`{first}` stands for {count} hosts, and `{name}` for {other}");
        let instead = if other == 1 { "none".to_owned() } else { format!("one of {other}") };
        let write = format!("write a range of {count} numbers here, or {instead} in `{first}`");
        faults.add(place, message, write);
        agree = false;
    }
    if agree { count } else { 1 }
}

/// What is the same for all hosts of an entry.
fn one(
    fields: &Fields<'_>,
    defaults: &Settings,
    roles: BTreeSet<Role>,
    is_many: bool,
    faults: &mut Faults<'_>,
) -> Option<Host> {
    let connection = fields.choice("connection", faults, |word| match word {
        "ssh" => Some(Connection::Ssh),
        "local" => Some(Connection::Local),
        _ => None,
    });
    let connection = connection.map_or(Connection::Ssh, |read| read.value);
    if connection == Connection::Local && is_many {
        faults.add(
            fields.place_of("connection"),
            "`connection: local` is one host, and this entry stands for many",
            "give this machine an entry of its own",
        );
    }
    let mut own = fields.node("ssh").and_then(|node| ssh::read(node, faults)).unwrap_or_default();
    if let Some(port) = fields.value("port", faults, names::port) {
        if own.port.is_some() {
            faults.add(
                port.place,
                "the port of SSH stands here a second time, beside `ssh: {port: …}`",
                "keep one of the two",
            );
        }
        own.port = Some(port.value);
    }
    let host_keys = list(fields.values("host_key", faults, names::fingerprint));
    if is_many && !host_keys.is_empty() {
        faults.add(
            fields.place_of("host_key"),
            "many hosts cannot have one host key",
            "give each host with a `host_key` an entry of its own",
        );
    }
    let attributes = named::attributes(fields, faults);
    let resources = named::resources(fields, faults);
    let is_agent = roles.is_empty() || roles.contains(&Role::Agent) || roles.contains(&Role::PublicAgent);
    for name in ["attributes", "resources", "host_paths", "file_roots"] {
        if !is_agent && fields.has(name) {
            let message = format!("`{name}` belongs to agents, and this host is none");
            faults.add(fields.place_of(name), message, "remove it, or write the role `agent` too");
        }
    }
    let region = fields.value("region", faults, names::domain);
    let zone = fields.value("zone", faults, names::domain);
    if let Some(zone) = zone.as_ref().filter(|_| !fields.has("region")) {
        faults.add(zone.place, "a zone is a part of a region, and there is none", "write `region: …` too");
    }
    let absent_ok = fields.choice("state", faults, |word| match word {
        "present" => Some(false),
        "absent-ok" => Some(true),
        _ => None,
    });
    Some(Host {
        name: String::new(),
        address: Address::Name(String::new()),
        private_address: None,
        hostname: None,
        roles,
        connection,
        ssh: own.over(defaults),
        host_keys,
        task_user: fields.value("task_user", faults, names::user).map(|read| read.value),
        host_paths: list(fields.values("host_paths", faults, names::directory)),
        file_roots: list(fields.values("file_roots", faults, names::directory)),
        region: region.map(|read| read.value),
        zone: zone.map(|read| read.value),
        attributes: attributes.unwrap_or_default(),
        resources,
        absent_ok: absent_ok.is_some_and(|read| read.value),
        declared: fields.place,
    })
}

/// The roles, and whether all that are written could be read.
fn roles(fields: &Fields<'_>, faults: &mut Faults<'_>) -> (BTreeSet<Role>, bool) {
    let meaning = |word: &str| match word {
        "coordinator" => Some(Role::Coordinator),
        "master" => Some(Role::Master),
        "agent" => Some(Role::Agent),
        "public_agent" => Some(Role::PublicAgent),
        _ => None,
    };
    let Some(read) = fields.choices("roles", faults, meaning) else { return (BTreeSet::new(), false) };
    let written = fields.node("roles").map_or(0, |node| match &node.kind {
        Kind::List(items) => items.len(),
        _ => 1,
    });
    if written == 0 {
        faults.add(fields.place_of("roles"), "this host has no role", "write one, like `roles: [agent]`");
    }
    let roles: BTreeSet<Role> = read.iter().map(|read| read.value).collect();
    if roles.contains(&Role::Agent) && roles.contains(&Role::PublicAgent) {
        faults.add(
            fields.place_of("roles"),
            "a host is one kind of agent, and here stand both",
            "keep `agent`, or `public_agent` for one that the outside reaches",
        );
    }
    (roles, written > 0 && read.len() == written)
}

fn list<T>(read: Option<Vec<Read<T>>>) -> Vec<T> {
    read.unwrap_or_default().into_iter().map(|read| read.value).collect()
}
