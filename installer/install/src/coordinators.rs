//! Coordinators: who they are, what of them may be changed, and in which order they are started. Pure.
//!
//! Their number is that of the inventory for as long as the cluster lives: etcd is told its members once, and what it keeps of them
//! afterwards counts more than its configuration.

use std::collections::{BTreeMap, BTreeSet};

use inventory::{Host, Inventory, Role};

use crate::desired::{
    Credential, ETCD_CA, ETCD_CONFIG, ETCD_DATA, ETCD_UNIT, MASTER_CONFIG, MASTER_STATE, MASTER_UNIT, OPT,
    PROGRAM, authority,
};
use crate::facts::Facts;
use crate::preflight::{Finding, Level};
use crate::shell::line;

/// Where etcd answers masters.
pub const CLIENT_PORT: u16 = 2379;
/// Where coordinators speak to each other.
pub const PEER_PORT: u16 = 2380;

/// What etcd has kept since it was first started.
#[must_use]
pub fn kept() -> String {
    format!("{ETCD_DATA}/member")
}

/// The state of a master that keeps it itself.
#[must_use]
pub fn embedded_store() -> String {
    format!("{MASTER_STATE}/store/store.redb")
}

/// All coordinators, and where the others reach them, by name: another order in the inventory is the same cluster.
#[must_use]
pub fn members(inventory: &Inventory) -> Vec<String> {
    let url = |host: &Host| authority(host.cluster_address(), PEER_PORT);
    let member = |host: &Host| format!("{}=https://{}", host.name, url(host));
    let mut all: Vec<String> = inventory.with_role(Role::Coordinator).map(member).collect();
    all.sort();
    all
}

/// Where a host reaches the coordinators, itself first; none without coordinators.
#[must_use]
pub fn endpoints(inventory: &Inventory, host: &Host) -> Vec<String> {
    let mut all: Vec<&Host> = inventory.with_role(Role::Coordinator).collect();
    all.sort_by_key(|other| other.name != host.name);
    all.into_iter().map(endpoint).collect()
}

/// Where a coordinator answers masters.
#[must_use]
pub fn endpoint(host: &Host) -> String {
    format!("https://{}", authority(host.cluster_address(), CLIENT_PORT))
}

/// More than half.
#[must_use]
pub fn majority(of: usize) -> usize {
    of / 2 + 1
}

/// The version of the etcd that a host has, where that is another program than the one that goes there and its data is older than that.
#[must_use]
pub fn running_version(facts: &Facts) -> Option<&str> {
    facts.paths.get(&kept())?;
    let unit = content(facts, &format!("{}{ETCD_UNIT}", crate::plan::UNITS))?;
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart="))?;
    let own = start.strip_prefix(&format!("{OPT}/etcd/"))?.split('/').next()?;
    // `VERSION-SUM`, or the sum alone where the version was not known.
    own.rsplit_once('-').map(|(version, _)| version)
}

/// Why etcd is not replaced by that version. A minor version cannot be taken back, since it changes what is on the disk; so it is never
/// changed by what happens to be installed on the operator's machine, and by one step only (etcd's own rule).
#[must_use]
pub fn upgrade_is_refused(has: &str, new: &str, is_named: bool) -> Option<&'static str> {
    let minor = |version: &str| {
        let mut parts = version.split('.').map(str::parse::<u32>);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    };
    let (has, new) = (minor(has)?, minor(new)?);
    match () {
        () if has == new => None,
        () if new < has => Some("an older minor version does not read its data"),
        () if new != (has.0, has.1 + 1) => Some("minor versions are taken one by one"),
        () if !is_named => {
            Some("another minor version cannot be taken back, and the inventory does not name it")
        }
        () => None,
    }
}

/// The members that stand in a configuration of etcd.
fn members_in(config: &str) -> Option<BTreeSet<&str>> {
    let line = config.lines().find_map(|line| line.strip_prefix("initial-cluster:"))?;
    Some(line.trim().trim_matches('"').split(',').collect())
}

/// What stands against the coordinators and masters of the inventory, by what is on the hosts. What would lose the cluster's state, or
/// needs what this version does not do, stops before anything is changed.
#[must_use]
pub fn findings(inventory: &Inventory, facts: &BTreeMap<String, Facts>) -> Vec<Finding> {
    let mut all = Vec::new();
    let finding = |host: &Host, check, what: String, remedy: &str| Finding {
        host: host.name.clone(),
        check,
        level: Level::Error,
        what,
        remedy: remedy.to_owned(),
    };
    let wanted = members(inventory);
    for host in inventory.with_role(Role::Coordinator) {
        let Some(facts) = facts.get(&host.name).filter(|facts| facts.paths.contains_key(&kept())) else {
            continue;
        };
        // What is as it is to be was not sent.
        let Some(has) = content(facts, ETCD_CONFIG).and_then(members_in) else { continue };
        if has != wanted.iter().map(String::as_str).collect() {
            let has: Vec<&str> = has.into_iter().collect();
            all.push(finding(
                host,
                "coordinators",
                format!(
                    "the coordinators of a running cluster cannot be changed by this version: its etcd was made for {}",
                    has.join(", ")
                ),
                "give the role `coordinator` to these hosts, and to no others, at the addresses that they had",
            ));
        }
    }
    if wanted.is_empty() {
        for host in inventory.with_role(Role::Master) {
            if facts.get(&host.name).and_then(|facts| content(facts, MASTER_CONFIG)).is_some_and(is_on_etcd) {
                all.push(finding(
                    host,
                    "coordinators",
                    "the cluster's state is in etcd, and the inventory has no coordinators any more"
                        .to_owned(),
                    "give the role `coordinator` back to the hosts that had it",
                ));
            }
        }
        return all;
    }
    let holders: Vec<&Host> = holders(inventory, facts).collect();
    if let [first, others @ ..] = holders.as_slice() {
        for other in others {
            all.push(finding(
                other,
                "masters",
                format!("it keeps the state of a cluster itself, and so does {}: one of the two is not this one's", first.name),
                "look at both; `clusterctl reset` with one of them alone in an inventory loses what it keeps",
            ));
        }
    }
    let unseen = inventory.with_role(Role::Master).filter(|host| !facts.contains_key(&host.name));
    if !is_grown(inventory, facts) && holders.is_empty() {
        for host in unseen {
            all.push(finding(
                host,
                "masters",
                "it was not looked at, and may keep the state that the cluster has so far: the others would begin with none"
                    .to_owned(),
                "bring it back, or take it out of the inventory when it never was a master",
            ));
        }
    }
    all
}

fn content<'f>(facts: &'f Facts, path: &str) -> Option<&'f str> {
    facts.paths.get(path)?.content.as_deref()
}

fn is_on_etcd(config: &str) -> bool {
    config.lines().any(|line| line == "store:")
}

/// Masters that still keep the cluster's state themselves, though there are coordinators: they take it to etcd.
pub fn holders<'a>(
    inventory: &'a Inventory,
    facts: &'a BTreeMap<String, Facts>,
) -> impl Iterator<Item = &'a Host> {
    let has =
        |host: &&Host| facts.get(&host.name).is_some_and(|facts| facts.paths.contains_key(&embedded_store()));
    inventory.with_role(Role::Master).filter(has)
}

/// Whether the cluster's state is known to be in etcd: a master was started that keeps none itself.
fn is_grown(inventory: &Inventory, facts: &BTreeMap<String, Facts>) -> bool {
    inventory.with_role(Role::Master).filter_map(|host| facts.get(&host.name)).any(|facts| {
        let Some(config) = facts.paths.get(MASTER_CONFIG) else { return false };
        facts.manifest.units.contains(MASTER_UNIT)
            && !facts.paths.contains_key(&embedded_store())
            && config.content.as_deref().is_none_or(is_on_etcd)
    })
}

/// In which order hosts act on a unit that all of them have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// At once: on none of them it runs.
    pub together: Vec<String>,
    /// One after another: there it runs, and is restarted.
    pub one_by_one: Vec<String>,
}

/// The order for hosts and what their unit does now. One that is only starting serves nobody: to wait for the others of a new cluster is
/// all that it can do.
#[must_use]
pub fn order<'a>(hosts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Order {
    let mut order = Order::default();
    for (host, active) in hosts {
        let to = if active == "active" { &mut order.one_by_one } else { &mut order.together };
        to.push(host.to_owned());
    }
    order
}

/// Which coordinators answer, and say that they have a quorum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quorum {
    /// All, by their endpoint: nothing where it answers, else why not.
    pub all: BTreeMap<String, Option<String>>,
}

impl Quorum {
    /// Reads what `clusterctl quorum` says; nothing when it says nothing of that kind.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut all = BTreeMap::new();
        for line in text.lines() {
            match line.split('\t').collect::<Vec<_>>().as_slice() {
                ["answers", endpoint] => _ = all.insert((*endpoint).to_owned(), None),
                ["silent", endpoint, why] => _ = all.insert((*endpoint).to_owned(), Some((*why).to_owned())),
                _ => {}
            }
        }
        (!all.is_empty()).then_some(Self { all })
    }

    /// How many answer.
    #[must_use]
    pub fn answering(&self) -> usize {
        self.all.values().filter(|why| why.is_none()).count()
    }

    /// Whether a majority answers.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.answering() >= majority(self.all.len())
    }

    /// Whether it would stand without this one. A single one cannot be restarted without being away for a moment.
    #[must_use]
    pub fn stands_without(&self, endpoint: &str) -> bool {
        let others = self.all.iter().filter(|(other, why)| *other != endpoint && why.is_none()).count();
        self.all.len() == 1 || others >= majority(self.all.len())
    }

    /// Like `2 of 3 coordinators answer`.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{} of {} coordinators answer", self.answering(), self.all.len())
    }
}

/// Asks all coordinators from a host that has a certificate for them, until all answer or so many seconds have passed.
#[must_use]
pub fn ask(inventory: &Inventory, host: &Host, seconds: u16) -> Option<String> {
    let own = [Credential::Coordinator, Credential::EtcdClient];
    let leaf = Credential::of(inventory, host).find(|credential| own.contains(credential))?.leaf();
    let seconds = seconds.to_string();
    let mut words = vec![PROGRAM, "quorum", "--within", &seconds, "--ca", ETCD_CA, "--certificate", leaf];
    let endpoints = endpoints(inventory, host);
    words.extend(endpoints.iter().map(String::as_str));
    Some(line(words))
}

/// What the coordinators' answers say of the cluster, for whoever looks at it.
#[must_use]
pub fn quorum_findings(inventory: &Inventory, quorum: &Quorum) -> Vec<Finding> {
    let level = if quorum.stands() { Level::Warning } else { Level::Error };
    let silent = |host: &&Host| quorum.all.get(&endpoint(host)).is_some_and(Option::is_some);
    let finding = |host: &Host| Finding {
        host: host.name.clone(),
        check: "coordinators",
        level,
        what: format!(
            "it does not answer ({}): {}",
            quorum.words(),
            quorum.all.get(&endpoint(host)).cloned().flatten().unwrap_or_default()
        ),
        remedy:
            "`journalctl -u clusterctl-etcd` there says why; `clusterctl install` starts what is not running"
                .to_owned(),
    };
    inventory.with_role(Role::Coordinator).filter(silent).map(finding).collect()
}

#[cfg(test)]
mod tests;
