//! What has to hold for all hosts together.

use std::collections::HashMap;
use std::hash::Hash;

use crate::faults::Faults;
use crate::mistake::Place;
use crate::model::{Connection, Role};
use crate::read::hosts::Listed;

/// What a host with a mistake is called, as far as it could be read.
fn called(listed: &Listed) -> &str {
    &listed.host.name
}

/// Checks the hosts against each other. `place` is where they begin.
pub(crate) fn hosts(hosts: &[Listed], place: Place, faults: &mut Faults<'_>) {
    let names = hosts.iter().filter_map(|listed| Some((listed, called(listed).to_owned(), listed.name?)));
    twice(names, faults, |name| format!("`{name}` is the name of a host already"), "give each host a name of its own");

    // Hosts behind different jump hosts or ports of one gateway can be reached at the same address.
    let reached = hosts.iter().filter_map(|listed| {
        let host = &listed.host;
        let way = (host.address.clone(), host.ssh.port.unwrap_or(22), host.ssh.jump.clone());
        Some((listed, way, listed.address?))
    });
    twice(reached, faults, |(address, ..)| format!("{address} is the address of a host already"), "give each host an address of its own");

    let between = hosts.iter().filter_map(|listed| {
        let place = listed.private_address.or(listed.address)?;
        Some((listed, listed.host.cluster_address().clone(), place))
    });
    twice(
        between,
        faults,
        |address| format!("{address} is where the cluster reaches another host already"),
        "give each host an `address`, or a `private_address`, of its own",
    );

    let hostnames = hosts.iter().filter_map(|listed| Some((listed, listed.host.hostname.clone()?, listed.hostname?)));
    twice(hostnames, faults, |name| format!("`{name}` is the `hostname` of a host already"), "give each host a `hostname` of its own");

    let local: Vec<&Listed> = hosts.iter().filter(|listed| listed.host.connection == Connection::Local).collect();
    if let [first, second, ..] = local.as_slice() {
        let message = format!("this machine is the host {} already, at line {}", named(first), first.host.declared.line);
        faults.add(second.host.declared, message, "write `connection: local` for one host");
    }
    roles(hosts, place, faults);
}

fn named(listed: &Listed) -> String {
    if called(listed).is_empty() { "before".to_owned() } else { format!("`{}`", called(listed)) }
}

/// Tells what stands at two hosts. One entry with a range tells it once.
fn twice<'h, K: Eq + Hash>(
    parts: impl Iterator<Item = (&'h Listed, K, Place)>,
    faults: &mut Faults<'_>,
    message: impl Fn(&K) -> String,
    write: &str,
) {
    let mut seen: HashMap<K, (&Listed, Place)> = HashMap::new();
    let mut told = Vec::new();
    for (listed, key, place) in parts {
        match seen.get(&key) {
            Some((first, at)) => {
                if told.last() != Some(&place) {
                    told.push(place);
                    faults.add(place, format!("{}: {}, in line {}", message(&key), named(first), at.line), write);
                }
            }
            None => {
                seen.insert(key, (listed, place));
            }
        }
    }
}

/// The cluster needs a master, several of them coordinators, and these an odd number.
fn roles(hosts: &[Listed], place: Place, faults: &mut Faults<'_>) {
    // A host whose roles could not be read could be any of them.
    if hosts.iter().any(|listed| listed.host.roles.is_empty()) {
        return;
    }
    let with = |role| hosts.iter().filter(move |listed| listed.host.roles.contains(&role));
    let masters: Vec<&Listed> = with(Role::Master).collect();
    let coordinators: Vec<&Listed> = with(Role::Coordinator).collect();
    match (masters.as_slice(), coordinators.len()) {
        ([], _) => faults.add(place, "no host has the role `master`", "write `roles: [master]` at one, or `roles: [coordinator, master]` at three"),
        ([_, second, ..], 0) => {
            let message = format!("{} masters need coordinators, and there are none", masters.len());
            faults.add(second.roles, message, "write `roles: [coordinator, master]` at three hosts, or keep one master");
        }
        _ => {}
    }
    if let Some(last) = coordinators.last().filter(|_| coordinators.len().is_multiple_of(2)) {
        let (number, fewer) = (coordinators.len(), coordinators.len() - 1);
        let message = format!("an even quorum: {number} coordinators bear the loss of no more hosts than {fewer}");
        let write = format!("make it {fewer} or {}", number + 1);
        faults.add(last.roles, message, write);
    }
}
