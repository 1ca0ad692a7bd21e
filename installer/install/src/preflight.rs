//! Whether hosts can take part: every check on every host, then one report. Pure.

use std::collections::BTreeMap;
use std::fmt;

use inventory::{Host, Inventory, Role};
use serde::Serialize;

use crate::binary::Needs;
use crate::coordinators::{self, CLIENT_PORT, PEER_PORT};
use crate::desired::{AGENT_UNIT, ETCD_UNIT, MASTER_CONFIG, MASTER_UNIT, OPT, SECRETS_KEY, VAR, authority};
use crate::facts::{Facts, Kind, Reach};
use crate::item::Sum;
use crate::plan::Conflict;

/// The oldest systemd that has all that the units ask for.
const SYSTEMD: u32 = 239;
/// Seconds between clocks that are said, and that stop an install: certificates and timeouts rest on them.
const CLOCK: (f64, f64) = (2.0, 30.0);
/// KiB.
const OPT_SPACE: u64 = 64 << 10;
const VAR_SPACE: u64 = 256 << 10;
const MEMORY: u64 = 256 << 10;
/// What etcd keeps before masters have written much: its log comes in files of 64 MiB.
const ETCD_SPACE: u64 = 512 << 10;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Worth knowing.
    Warning,
    /// An install stops.
    Error,
}

/// Something that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// On which host.
    pub host: String,
    /// Which check, in one word.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.host, self.check, self.what)
    }
}

/// What the checks look at.
#[derive(Debug)]
pub struct Checked<'a> {
    /// The inventory.
    pub inventory: &'a Inventory,
    /// Hosts that were looked at, by name.
    pub facts: &'a BTreeMap<String, Facts>,
    /// The program for each kind of machine: what it needs, and its size in bytes.
    pub programs: &'a BTreeMap<String, (Needs, u64)>,
    /// The etcd that coordinators get, where there are any.
    pub etcd: Option<&'a EtcdProgram>,
}

/// An etcd that goes to coordinators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdProgram {
    /// What it needs.
    pub needs: Needs,
    /// Bytes.
    pub size: u64,
    /// Its version, where it could be asked.
    pub version: Option<String>,
    /// Whether the inventory names it: else it is just the one that was found.
    pub is_named: bool,
}

/// What one host's checks add to.
struct Findings<'a> {
    host: &'a str,
    all: &'a mut Vec<Finding>,
}

impl Findings<'_> {
    fn error(&mut self, check: &'static str, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Level::Error, check, what.into(), remedy.into());
    }

    fn warning(&mut self, check: &'static str, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Level::Warning, check, what.into(), remedy.into());
    }

    fn add(&mut self, level: Level, check: &'static str, what: String, remedy: String) {
        self.all.push(Finding { host: self.host.to_owned(), check, level, what, remedy });
    }
}

/// All findings, by host in the inventory's order.
#[must_use]
pub fn check(checked: &Checked<'_>) -> Vec<Finding> {
    let mut all = Vec::new();
    for host in &checked.inventory.hosts {
        let Some(facts) = checked.facts.get(&host.name) else { continue };
        let mut found = Findings { host: &host.name, all: &mut all };
        if !facts.system.root {
            found.error(
                "root",
                "the login user is not root, and nothing says how to become it",
                "write `become: sudo` under `ssh:`, or log in as root",
            );
        }
        platform(checked, facts, &mut found);
        etcd(checked, host, facts, &mut found);
        tools(facts, &mut found);
        space(checked, host, facts, &mut found);
        clock(checked, host, facts, &mut found);
        identity(checked, host, facts, &mut found);
        ports(checked, host, facts, &mut found);
        reach(checked, facts, &mut found);
    }
    all.extend(coordinators::findings(checked.inventory, checked.facts));
    all
}

/// What is in the way of a plan.
#[must_use]
pub fn conflicts(host: &str, conflicts: &[Conflict]) -> Vec<Finding> {
    let finding = |conflict: &Conflict| Finding {
        host: host.to_owned(),
        check: "files",
        level: Level::Error,
        what: format!("{} is {}", conflict.path, conflict.what),
        remedy: format!("look at it, then move it away: `mv {0} {0}.saved`", conflict.path),
    };
    conflicts.iter().map(finding).collect()
}

/// Whether a master has another key of secrets than `key`, which is the digest of the operator's. To replace it would make all secrets
/// unreadable that were kept with it; which of the two is the right one, only the operator can know.
#[must_use]
pub fn secrets_key(host: &Host, facts: &Facts, key: &Sum) -> Option<Finding> {
    if !host.roles.contains(&Role::Master) {
        return None;
    }
    let error = |what: String, remedy: String| Finding {
        host: host.name.clone(),
        check: "secrets",
        level: Level::Error,
        what,
        remedy,
    };
    let file = facts.paths.get(SECRETS_KEY).filter(|found| found.kind == Kind::File);
    if file.and_then(|found| found.sum.as_ref()).is_some_and(|theirs| theirs != key) {
        return Some(error(
            "it has another key of secrets than this machine: what was kept with the one is not to be read with the other".to_owned(),
            format!(
                "when secrets were kept with the host's, bring {SECRETS_KEY} from there to `pki/secrets.key` in the cluster's directory \
                 below .clusterctl beside the inventory, with `chmod 600`; else move it away there: `mv {SECRETS_KEY} {SECRETS_KEY}.saved`"
            ),
        ));
    }
    // Written by hand, from when installs had no key for masters. What stands there is the JSON text that the template writes, or bare.
    let config =
        facts.paths.get(MASTER_CONFIG).and_then(|found| found.content.as_deref()).unwrap_or_default();
    let named = config.lines().find_map(|line| line.strip_prefix("secrets_key:"));
    let named = named.map(|path| path.trim().trim_matches(['"', '\''])).filter(|path| !path.is_empty());
    named.filter(|path| *path != SECRETS_KEY).map(|path| {
        error(
            format!("its {MASTER_CONFIG} names {path} as the key of secrets, and an install has it at {SECRETS_KEY}"),
            format!(
                "bring {path} from there to `pki/secrets.key` in the cluster's directory below .clusterctl beside the inventory, with \
                 `chmod 600`; then take `secrets_key` out of {MASTER_CONFIG} there"
            ),
        )
    })
}

fn platform(checked: &Checked<'_>, facts: &Facts, found: &mut Findings<'_>) {
    let system = &facts.system;
    match checked.programs.get(&system.machine) {
        None => {
            let have: Vec<_> = checked.programs.keys().map(String::as_str).collect();
            found.error(
                "machine",
                format!("it is {}, and clusterctl is here for {} only", system.machine, have.join(", ")),
                format!("name a build for it in the inventory: `artifacts: {{clusterctl: {{{}: {{file: PATH}}}}}}`", system.machine),
            );
        }
        Some((needs, _)) => {
            let remedy = "install with a release build, which runs from glibc 2.28 on (Debian 10, RHEL 8)";
            glibc("clusterctl", needs, facts, remedy, found);
        }
    }
    match system.systemd {
        Some(version) if version >= SYSTEMD => {}
        Some(version) => found.error(
            "systemd",
            format!("systemd {version} is too old: {SYSTEMD} is needed"),
            "use a newer release of the distribution",
        ),
        None => found.error("systemd", "systemd does not run there", "use a host that systemd runs"),
    }
    let missing: Vec<_> = ["cpu", "memory", "pids"]
        .into_iter()
        .filter(|name| !system.cgroups.controllers.contains(*name))
        .collect();
    if !missing.is_empty() {
        let remedy = if missing.contains(&"memory") {
            "boot it with `cgroup_enable=memory` on the kernel's command line"
        } else {
            "enable them in the kernel"
        };
        found.warning("cgroups", format!("tasks will not be held to their {}", missing.join(", ")), remedy);
    }
    if system.selinux {
        found.warning(
            "selinux",
            "SELinux enforces; tasks run in the domain of the agent's unit",
            "look at `ausearch -m avc` when a task is refused something",
        );
    }
}

/// Whether a program finds the C library that it asks for.
fn glibc(program: &str, needs: &Needs, facts: &Facts, remedy: &str, found: &mut Findings<'_>) {
    let system = &facts.system;
    match (needs.glibc, system.glibc) {
        (Some((major, minor)), Some((has_major, has_minor))) if (has_major, has_minor) < (major, minor) => {
            found.error(
                "glibc",
                format!(
                    "it has glibc {has_major}.{has_minor} ({}), and this {program} needs {major}.{minor}",
                    system.os
                ),
                remedy,
            );
        }
        (Some(_), None) => found.error(
            "glibc",
            format!("{} has no glibc, which {program} needs", system.os),
            "use a distribution with glibc 2.28 or later",
        ),
        _ => {}
    }
}

/// Whether a coordinator can run the etcd that goes there.
fn etcd(checked: &Checked<'_>, host: &Host, facts: &Facts, found: &mut Findings<'_>) {
    let Some(program) = checked.etcd.filter(|_| host.roles.contains(&Role::Coordinator)) else { return };
    let needs = &program.needs;
    if needs.machine != facts.system.machine {
        found.error(
            "machine",
            format!("it is {}, and this etcd is for {}", facts.system.machine, needs.machine),
            "name a build for it in the inventory: `artifacts: {etcd: {file: PATH}}`; all coordinators are of one kind",
        );
        return;
    }
    let remedy = "name the release of etcd's makers, which needs none: `artifacts: {etcd: {url: URL, sha256: DIGITS}}`";
    glibc("etcd", needs, facts, remedy, found);
    if let (Some(has), Some(new)) = (coordinators::running_version(facts), &program.version)
        && let Some(why) = coordinators::upgrade_is_refused(has, new, program.is_named)
    {
        let remedy = "name the one that is to run: `artifacts: {etcd: {file: PATH}}`; the next minor version is taken when it is named";
        found.error("etcd", format!("etcd {has} runs there, and this is {new}: {why}"), remedy);
    }
}

fn tools(facts: &Facts, found: &mut Findings<'_>) {
    let lacks: Vec<_> = facts.system.lacks.iter().map(String::as_str).collect();
    if !lacks.is_empty() {
        found.error(
            "tools",
            format!("these programs are missing: {}", lacks.join(", ")),
            "install them: coreutils, gzip, tar, sed, util-linux (flock) and gawk or mawk have them",
        );
    }
}

fn space(checked: &Checked<'_>, host: &Host, facts: &Facts, found: &mut Findings<'_>) {
    let mut programs = checked.programs.get(&facts.system.machine).map_or(0, |(_, size)| size >> 10);
    let mut var = VAR_SPACE;
    if host.roles.contains(&Role::Coordinator) {
        programs += checked.etcd.map_or(0, |program| program.size >> 10);
        var += ETCD_SPACE;
    }
    // The new version beside the old one, and once more on its way.
    for (path, needed) in [(OPT, OPT_SPACE + 2 * programs), (VAR, var)] {
        let Some(disk) = facts.disks.get(path) else { continue };
        if disk.free < needed {
            found.error(
                "space",
                format!(
                    "{path} has {} MiB left on {}, and needs {}",
                    disk.free >> 10,
                    disk.mount,
                    needed >> 10
                ),
                format!("free some space: `du -xh {} | sort -h | tail`", disk.mount),
            );
        }
    }
    if let Some(disk) = facts.disks.get(OPT)
        && disk.options.split(',').any(|option| option == "noexec")
    {
        found.error(
            "space",
            format!("{} is mounted noexec, and programs go to {OPT}", disk.mount),
            format!("`mount -o remount,exec {}`, and mend /etc/fstab", disk.mount),
        );
    }
    if (1..MEMORY).contains(&facts.system.memory) {
        found.warning(
            "memory",
            format!("it has only {} MiB", facts.system.memory >> 10),
            "give it 512 MiB or more",
        );
    }
}

/// Against the middle of all hosts: the operator's own clock may be the one that is wrong.
fn clock(checked: &Checked<'_>, host: &Host, facts: &Facts, found: &mut Findings<'_>) {
    let mut all: Vec<f64> = checked.facts.values().map(|facts| facts.system.clock_ahead).collect();
    all.sort_by(f64::total_cmp);
    let middle = all.get(all.len() / 2).copied().unwrap_or(0.0);
    let off = facts.system.clock_ahead - middle;
    let what = |off: f64, whose: &str| {
        format!("its clock is {:.1} s {} {whose}", off.abs(), if off > 0.0 { "ahead of" } else { "behind" })
    };
    let remedy = "let it follow a time server: `timedatectl set-ntp true`, or install chrony";
    if off.abs() > CLOCK.1 {
        found.error("clock", what(off, "the other hosts'"), remedy);
    } else if off.abs() > CLOCK.0 {
        found.warning("clock", what(off, "the other hosts'"), remedy);
    }
    // Certificates are made with this machine's clock, from an hour before.
    let own = facts.system.clock_ahead;
    if own < -3000.0 {
        found.error(
            "clock",
            what(own, "this machine's"),
            "set both clocks: certificates made now would not be valid there yet",
        );
    } else if middle.abs() > CLOCK.1 && checked.inventory.hosts.first() == Some(host) {
        found.warning("clock", what(own, "this machine's"), "look at the clock of this machine");
    }
}

fn identity(checked: &Checked<'_>, host: &Host, facts: &Facts, found: &mut Findings<'_>) {
    let system = &facts.system;
    if system.machine_id.is_empty() {
        found.error("identity", "it has no /etc/machine-id", "`systemd-machine-id-setup` makes one");
        return;
    }
    // Said once for each pair, on the later of the two.
    let earlier = checked.inventory.hosts.iter().take_while(|other| other.name != host.name);
    for other in earlier {
        let Some(theirs) = checked.facts.get(&other.name).map(|facts| &facts.system) else { continue };
        if theirs.machine_id == system.machine_id && theirs.boot_id == system.boot_id {
            found.error(
                "identity",
                format!("it is the same machine as {}", other.name),
                "correct one of the two addresses, or take one of the hosts out",
            );
        } else if theirs.machine_id == system.machine_id {
            found.error(
                "identity",
                format!("it has the machine id of {}: both were copied from one image", other.name),
                "make a new one there: `rm /etc/machine-id && systemd-machine-id-setup`, and reboot it",
            );
        } else if theirs.hostname == system.hostname {
            found.warning(
                "identity",
                format!("it calls itself {}, as {} does", system.hostname, other.name),
                "`hostnamectl set-hostname NAME` tells them apart in logs",
            );
        }
    }
}

fn ports(checked: &Checked<'_>, host: &Host, facts: &Facts, found: &mut Findings<'_>) {
    let cluster = &checked.inventory.cluster;
    let master = host.roles.contains(&Role::Master).then_some((cluster.port, MASTER_UNIT));
    let agent = host.is_agent().then_some((cluster.agent_port, AGENT_UNIT));
    let coordinator = host.roles.contains(&Role::Coordinator);
    let etcd = [CLIENT_PORT, PEER_PORT].map(|port| (port, ETCD_UNIT)).into_iter().filter(|_| coordinator);
    for (port, unit) in master.into_iter().chain(agent).chain(etcd) {
        let ours = facts.units.get(unit).is_some_and(|unit| unit.active == "active");
        if facts.system.listening.contains(&port) && !ours {
            let find = format!("find it there with `ss -ltnp 'sport = :{port}'`");
            let remedy = match unit {
                ETCD_UNIT => format!(
                    "{find}; an etcd that came with a package is stopped with `systemctl disable --now etcd`"
                ),
                _ => format!("{find}, or choose another port under `cluster:`"),
            };
            found.error("ports", format!("something else listens on port {port}"), remedy);
        }
    }
}

fn reach(checked: &Checked<'_>, facts: &Facts, found: &mut Findings<'_>) {
    let mut untried = false;
    for ((address, port), reach) in &facts.reach {
        match reach {
            Reach::Open | Reach::Refused => {}
            Reach::Unknown => untried = true,
            Reach::None => {
                let to = checked
                    .inventory
                    .hosts
                    .iter()
                    .find(|host| host.cluster_address().to_string() == *address);
                // One that was not looked at is left out of this run, or down: no reason to stop the others.
                let is_up = to.is_none_or(|host| checked.facts.contains_key(&host.name));
                let to = to.map_or_else(
                    || address.clone(),
                    |host| format!("{} ({})", host.name, authority(host.cluster_address(), *port)),
                );
                let what = format!("it cannot reach {to}");
                if is_up {
                    found.error(
                        "network",
                        what,
                        format!(
                            "open TCP port {port} in the firewalls between them, or set `private_address`"
                        ),
                    );
                } else {
                    found.warning(
                        "network",
                        what,
                        "this run does not reach that host either; look again when it is back",
                    );
                }
            }
        }
    }
    if untried {
        found.warning(
            "network",
            "whether it reaches the other hosts could not be tried",
            "install bash and coreutils' timeout to have it tried",
        );
    }
}

/// What each host has to reach: agents the masters, masters each other, the agents and the coordinators, these each other.
#[must_use]
pub fn to_reach(inventory: &Inventory, host: &Host) -> Vec<(String, u16)> {
    let cluster = &inventory.cluster;
    let is_master = host.roles.contains(&Role::Master);
    let is_coordinator = host.roles.contains(&Role::Coordinator);
    let mut all = Vec::new();
    for other in inventory.hosts.iter().filter(|other| other.name != host.name) {
        let address = other.cluster_address().to_string();
        if other.roles.contains(&Role::Master) {
            all.push((address.clone(), cluster.port));
        }
        if other.is_agent() && is_master {
            all.push((address.clone(), cluster.agent_port));
        }
        if other.roles.contains(&Role::Coordinator) {
            if is_master || is_coordinator {
                all.push((address.clone(), CLIENT_PORT));
            }
            if is_coordinator {
                all.push((address, PEER_PORT));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests;
