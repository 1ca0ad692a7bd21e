//! Looking at a cluster that is there.

use std::collections::{BTreeMap, BTreeSet};

use inventory::{Inventory, Role};

use super::Run;
use crate::control::{Control, ControlError, Seen};
use crate::coordinators::quorum_findings;
use crate::phase::Phase;
use crate::preflight::{Finding, Level};

/// Coordinators that run answer by then, in seconds.
const ANSWERS_WITHIN: u16 = 5;

impl Run {
    /// Where nothing is to be done: whether a master leads and all agents are there.
    pub async fn verify(&mut self, control: &Control) {
        if let Err(why) = self.masters_lead(control).await {
            self.stop_short(Phase::Masters, "what depends on a master", &why);
            return;
        }
        match self.admit(control).await {
            Ok(()) => self.agents_register(control).await,
            Err(error) => self.all_agents_fail("the master lets the agent in", &error),
        }
        self.end_well();
    }

    /// What the coordinators say of themselves, asked from a host that was looked at; and in a few words how many answer. Nothing
    /// without coordinators, or where no host can ask them yet.
    pub async fn coordinator_findings(&self) -> (Vec<Finding>, Option<String>) {
        if self.inventory.with_role(Role::Coordinator).next().is_none() {
            return (Vec::new(), None);
        }
        match self.quorum(None, ANSWERS_WITHIN).await {
            Ok(quorum) => (quorum_findings(&self.inventory, &quorum), Some(quorum.words())),
            // The plan says what is missing there.
            Err(_) => (Vec::new(), None),
        }
    }
}

/// What the cluster itself says of its agents, against the inventory. Pure.
#[must_use]
pub fn cluster_findings(
    inventory: &Inventory,
    excluded: &BTreeSet<String>,
    agents: &Result<BTreeMap<String, Seen>, ControlError>,
) -> Vec<Finding> {
    let finding = |host: &str, check, level, what: String, remedy: &str| Finding {
        host: host.to_owned(),
        check,
        level,
        what,
        remedy: remedy.to_owned(),
    };
    let known = match agents {
        Ok(known) => known,
        Err(error) => {
            let master = inventory.with_role(Role::Master).next().map_or("", |host| &host.name);
            let hint = "`clusterctl install` starts what is not running; `journalctl -u clusterctl-master` there says why";
            return vec![finding(master, "master", Level::Error, error.to_string(), hint)];
        }
    };
    let mut findings = Vec::new();
    let expected =
        |host: &&inventory::Host| host.is_agent() && !host.absent_ok && !excluded.contains(&host.name);
    for host in inventory.hosts.iter().filter(expected) {
        let what = match known.get(&host.name) {
            Some(seen) if seen.state == "active" => continue,
            Some(seen) => format!("the cluster says that it is {}", seen.state),
            None => "the cluster does not know it".to_owned(),
        };
        let hint = "`journalctl -u clusterctl-agent` there says why";
        findings.push(finding(&host.name, "agent", Level::Error, what, hint));
    }
    let is_ours = |name: &str| inventory.host(name).is_some_and(inventory::Host::is_agent);
    for (name, seen) in known.iter().filter(|(name, seen)| !is_ours(name) && seen.state == "active") {
        let what = format!("it is {} in the cluster, and does not stand in the inventory", seen.state);
        findings.push(finding(name, "agent", Level::Warning, what, "write it into the inventory"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_that_are_missing_lost_or_strange_are_found() {
        let text = "\
cluster: {name: demo}
hosts:
  - {name: m1, address: 192.0.2.1, roles: [master]}
  - {name: 'a[1:3]', address: '192.0.2.[11:13]', roles: [agent]}
";
        let inventory = inventory::read("i", text.as_bytes(), |_| None).unwrap();
        let seen = |name: &str, state: &str| (name.to_owned(), Seen { state: state.to_owned() });
        let known = BTreeMap::from([
            seen("a1", "active"),
            seen("a2", "unreachable"),
            seen("b1", "active"),
            seen("b2", "gone"),
        ]);
        let findings = cluster_findings(&inventory, &BTreeSet::new(), &Ok(known));
        let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "a2: agent: the cluster says that it is unreachable",
                "a3: agent: the cluster does not know it",
                "b1: agent: it is active in the cluster, and does not stand in the inventory",
            ]
        );
    }
}
