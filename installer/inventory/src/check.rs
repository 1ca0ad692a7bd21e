//! What has to hold for all hosts together.

use std::collections::HashMap;
use std::hash::Hash;

use crate::faults::Faults;
use crate::mistake::Place;
use crate::model::{Address, Connection, Role};
use crate::read::hosts::Listed;

/// Behind so many, places are not looked for among those that were told: there may be thousands.
const MOST_TOLD: usize = 1000;

/// Checks the hosts against each other. `place` is where they begin.
pub(crate) fn hosts(hosts: &[Listed], place: Place, faults: &mut Faults<'_>) {
    let mut told = Vec::new();
    let names = hosts.iter().filter_map(|listed| Some((listed, listed.host.name.clone(), listed.name?)));
    let message = |name: &String, _: &str, at: Place| {
        format!("`{name}` is the name of the host in line {} already", at.line)
    };
    twice(names, faults, &mut told, message, "give each host a name of its own");

    // Hosts behind different jump hosts or ports of one gateway can be reached at the same address.
    let reached = hosts.iter().filter_map(|listed| {
        let host = &listed.host;
        let way = (host.address.clone(), host.ssh.port.unwrap_or(22), host.ssh.jump.clone());
        Some((listed, way, listed.address?))
    });
    let message = |(address, ..): &(Address, u16, _), first: &str, _: Place| {
        format!("{address} is the address of {first} already")
    };
    twice(reached, faults, &mut told, message, "give each host an address of its own");

    let between = hosts.iter().filter_map(|listed| {
        let place = listed.private_address.or(listed.address)?;
        Some((listed, listed.host.cluster_address().clone(), place))
    });
    let message = |address: &Address, first: &str, _: Place| {
        format!("{address} is where the cluster reaches {first} already")
    };
    twice(
        between,
        faults,
        &mut told,
        message,
        "give each host an `address`, or a `private_address`, of its own",
    );

    let hostnames =
        hosts.iter().filter_map(|listed| Some((listed, listed.host.hostname.clone()?, listed.hostname?)));
    let message =
        |name: &String, first: &str, _: Place| format!("`{name}` is the `hostname` of {first} already");
    twice(hostnames, faults, &mut told, message, "give each host a `hostname` of its own");

    let local: Vec<&Listed> =
        hosts.iter().filter(|listed| listed.host.connection == Connection::Local).collect();
    let another = local
        .iter()
        .find(|listed| Some(listed.host.declared) != local.first().map(|first| first.host.declared));
    if let (Some(first), Some(second)) = (local.first(), another) {
        let message = format!("this machine is {} already", called(first, first.host.declared));
        faults.add(second.host.declared, message, "write `connection: local` for one host");
    }
    roles(hosts, place, faults);
}

/// A host in the words of a message, for which one with a mistake may have no name.
fn called(listed: &Listed, at: Place) -> String {
    let name = &listed.host.name;
    let name = if name.is_empty() { "the host".to_owned() } else { format!("`{name}`") };
    format!("{name} in line {}", at.line)
}

/// Tells what stands at two hosts: once for an entry with a range, and once for a place.
fn twice<'h, K: Eq + Hash>(
    parts: impl Iterator<Item = (&'h Listed, K, Place)>,
    faults: &mut Faults<'_>,
    told: &mut Vec<Place>,
    message: impl Fn(&K, &str, Place) -> String,
    write: &str,
) {
    let mut seen: HashMap<K, (&Listed, Place)> = HashMap::new();
    for (listed, key, place) in parts {
        let Some((first, first_place)) = seen.get(&key).copied() else {
            seen.insert(key, (listed, place));
            continue;
        };
        // An alias for a whole host has its parts where they are written: it is the alias that is wrong.
        let is_alias = first_place == place && first.host.declared != listed.host.declared;
        let place = if is_alias { listed.host.declared } else { place };
        if told.last() != Some(&place) && !(told.len() < MOST_TOLD && told.contains(&place)) {
            told.push(place);
            faults.add(place, message(&key, &called(first, first_place), first_place), write);
        }
    }
}

/// The cluster needs a master, several of them coordinators, and these an odd number.
fn roles(hosts: &[Listed], place: Place, faults: &mut Faults<'_>) {
    // A role that could not be read could be any of them.
    if hosts.iter().any(|listed| !listed.are_roles_known) {
        return;
    }
    let with = |role| hosts.iter().filter(move |listed| listed.host.roles.contains(&role));
    let masters: Vec<&Listed> = with(Role::Master).collect();
    let coordinators: Vec<&Listed> = with(Role::Coordinator).collect();
    match (masters.as_slice(), coordinators.len()) {
        ([], _) => faults.add(
            place,
            "no host has the role `master`",
            "write `roles: [master]` at one, or `roles: [coordinator, master]` at three",
        ),
        ([_, second, ..], 0) => {
            let message = format!("{} masters need coordinators, and there are none", masters.len());
            faults.add(
                second.roles,
                message,
                "write `roles: [coordinator, master]` at three hosts, or keep one master",
            );
        }
        _ => {}
    }
    if let Some(last) = coordinators.last().filter(|_| coordinators.len().is_multiple_of(2)) {
        let (number, fewer) = (coordinators.len(), coordinators.len() - 1);
        let message =
            format!("an even quorum: {number} coordinators bear the loss of no more hosts than {fewer}");
        let write = format!("make it {fewer} or {}", number + 1);
        faults.add(last.roles, message, write);
    }
}
