//! Why a service is not as it is wanted, in plain words.

use api::watch::{Amounts, Failure, Service, Waiting};

use super::pieces::cores;
use crate::cluster::{Cluster, word};
use crate::state::State;
use crate::text::{age, clock, mebibytes};
use crate::theme::Tone;

/// What instances wait for, in one line.
pub(super) fn waits(waiting: &Waiting, now: u64) -> String {
    let (instances, wait) = if waiting.count == 1 { ("instance", "waits") } else { ("instances", "wait") };
    let since = if waiting.since > 0 {
        format!(" for {}", age(now.saturating_sub(waiting.since)))
    } else {
        String::new()
    };
    format!("{} {instances} {wait}{since}: {}", waiting.count, waiting.why)
}

/// The last failure, in one line.
pub(super) fn failed(failure: &Failure) -> String {
    let message = if failure.message.is_empty() { "nothing was said of it" } else { &failure.message };
    let host = if failure.host.is_empty() { String::new() } else { format!(" on {}", failure.host) };
    format!("last failure {}{host}: {}: {message}", clock(failure.at), word(&failure.state))
}

/// Why offers were turned away, in plain words, and what can be done about it.
fn plainly(reason: &str) -> (&'static str, &'static str) {
    match reason {
        "UnfulfilledRole" => ("for another role", "give the service that role, or free some for its own"),
        "UnfulfilledConstraint" => {
            ("its constraints are not met there", "E: loosen its constraints, or add nodes that fit them")
        }
        "NoCorrespondingReservationFound" => {
            ("no reservation for it", "its local volume is on another node: that one has to come back")
        }
        "AgentMaintenance" => ("a node in maintenance", "wait for its end, or activate the node"),
        "InsufficientCpus" => {
            ("too few cores left", "E: ask for less cpus, scale something down, or add a node")
        }
        "InsufficientMemory" => {
            ("too little memory left", "E: ask for less mem, scale something down, or add a node")
        }
        "InsufficientDisk" => ("too little disk left", "E: ask for less disk, or add a node"),
        "InsufficientGpus" => ("too few GPUs left", "add a node with GPUs, or free some"),
        "InsufficientPorts" => {
            ("its ports are in use there", "E: ask for port 0, which takes any, or run fewer on a node")
        }
        "DeclinedScarceResources" => {
            ("it has GPUs, which are kept for what needs them", "add nodes without GPUs")
        }
        _ => ("", ""),
    }
}

/// Where there is room for one more instance: how many fit in all, on how many of how many active nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) instances: u64,
    pub(super) nodes: usize,
    pub(super) active: usize,
}

/// Counts what is free on active nodes. Constraints, ports and roles are not looked at.
pub(super) fn room(cluster: &Cluster, each: &Amounts) -> Room {
    let mut room = Room::default();
    for node in cluster.nodes.values().filter(|node| node.state == "active") {
        room.active += 1;
        let of = |total: f64, used: f64, each: f64| {
            // A little less than wanted is rounding, not want.
            if each > 0.0 { ((total - used) / each + 1e-6).floor().max(0.0) } else { f64::INFINITY }
        };
        let fit = of(node.total.cpus, node.used.cpus, each.cpus)
            .min(of(node.total.mem, node.used.mem, each.mem))
            .min(of(node.total.disk, node.used.disk, each.disk));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0 to a million"
        )]
        let fit = fit.clamp(0.0, 1e6) as u64;
        room.instances += fit;
        room.nodes += usize::from(fit > 0);
    }
    room
}

/// `1 cpu, 2.0 GiB of memory`.
pub(super) fn amounts(each: &Amounts) -> String {
    let disk = if each.disk > 0.0 { format!(", {} of disk", mebibytes(each.disk)) } else { String::new() };
    let cpus = if (each.cpus - 1.0).abs() < 1e-9 { "cpu" } else { "cpus" };
    format!("{} {cpus}, {} of memory{disk}", cores(each.cpus), mebibytes(each.mem))
}

/// All that can be said of it.
pub(super) fn sentences(state: &State, service: &Service) -> Vec<(Option<Tone>, String)> {
    let mut said: Vec<(Option<Tone>, String)> = Vec::new();
    if service.version.is_empty() {
        said.push((Some(Tone::Off), "It was deleted, and its last tasks are ending.".to_owned()));
    }
    if let Some(waiting) = &service.waiting {
        said.push((Some(Tone::Look), waits(waiting, state.now)));
        said.push((None, String::new()));
        said.extend(declined(waiting));
        said.push((None, format!("One instance takes {}.", amounts(&service.each))));
        said.extend(nodes(&state.cluster, &service.each));
    } else if let Some(deployment) = &service.deployment {
        let known = state.cluster.deployments.iter().find(|known| known.id == *deployment);
        let step = known.map_or(String::new(), |known| {
            format!(", step {} of {}: {}", known.step, known.steps, known.doing.join(", "))
        });
        said.push((Some(Tone::Moving), format!("A deployment is under way{step}.")));
        said.push((None, "5 shows how far it is; B goes back to the version before.".to_owned()));
    } else if service.instances == 0 {
        said.push((Some(Tone::Off), "It is suspended: no instances are wanted. S starts some.".to_owned()));
    } else if service.running < service.instances {
        said.push((
            Some(Tone::Moving),
            format!("{} of {} instances run; the others are starting.", service.running, service.instances),
        ));
    } else if service.unhealthy == 0 {
        said.push((
            Some(Tone::Good),
            format!("Nothing waits: all {} instances that are wanted run.", service.instances),
        ));
    }
    if service.unhealthy > 0 {
        said.push((None, String::new()));
        let (tasks, fail) =
            if service.unhealthy == 1 { ("task runs", "fails") } else { ("tasks run", "fail") };
        said.push((Some(Tone::Bad), format!("{} {tasks} and {fail} the health checks:", service.unhealthy)));
        let unhealthy = state.cluster.tasks_of(&service.id).filter(|task| task.healthy == Some(false));
        for task in unhealthy.take(10) {
            said.push((None, format!("  {} on {}", super::detail::short(&task.id), task.host)));
        }
        said.push((None, "What they write may say more: a follows all logs.".to_owned()));
    }
    if let Some(failure) = &service.failure {
        said.push((None, String::new()));
        said.push((Some(Tone::Bad), failed(failure)));
        let ago = age(state.now.saturating_sub(failure.at));
        said.push((None, format!("That was {ago} ago, task {}. l follows its log.", failure.task)));
    }
    said
}

/// What turned offers away, most first.
fn declined(waiting: &Waiting) -> Vec<(Option<Tone>, String)> {
    let mut reasons: Vec<(&String, u64)> = waiting
        .declined
        .iter()
        .map(|(reason, count)| (reason, *count))
        .filter(|(_, count)| *count > 0)
        .collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    if reasons.is_empty() {
        return Vec::new();
    }
    let mut said = vec![(None, "What the nodes offered last, and why it was of no use:".to_owned())];
    for (reason, count) in reasons {
        let (plain, remedy) = plainly(reason);
        let offers = if count == 1 { "offer" } else { "offers" };
        let plain = if plain.is_empty() { reason } else { plain };
        let remedy = if remedy.is_empty() { String::new() } else { format!(" ({remedy})") };
        said.push((Some(Tone::Look), format!("{count} {offers}: {plain}{remedy}")));
    }
    said.push((None, String::new()));
    said
}

/// What the nodes have, against what one instance takes.
fn nodes(cluster: &Cluster, each: &Amounts) -> Vec<(Option<Tone>, String)> {
    let room = room(cluster, each);
    if room.active == 0 {
        return vec![(
            Some(Tone::Bad),
            "No node takes part: nothing can be placed. 3 shows the nodes.".to_owned(),
        )];
    }
    let active = cluster.nodes.values().filter(|node| node.state == "active");
    let (mut cpus, mut mem) = (0.0_f64, 0.0_f64);
    for node in active {
        cpus = cpus.max(node.total.cpus - node.used.cpus);
        mem = mem.max(node.total.mem - node.used.mem);
    }
    let most = format!(
        "Of {} active nodes the emptiest have {} cpus and {} of memory free.",
        room.active,
        cores(cpus.max(0.0)),
        mebibytes(mem.max(0.0))
    );
    let fits = if room.instances == 0 {
        (Some(Tone::Look), "No node has room for one more.".to_owned())
    } else {
        let on = if room.nodes == 1 { "node has" } else { "nodes have" };
        (
            Some(Tone::Good),
            format!(
                "{} {on} room for one by cpus, memory and disk: something else keeps it away.",
                room.nodes
            ),
        )
    };
    vec![(None, most), fits]
}

#[cfg(test)]
mod tests {
    use api::watch::Node;

    use super::*;

    #[test]
    fn room_is_what_is_free_on_active_nodes() {
        let node = |state: &str, cpus: f64, used: f64| Node {
            id: format!("{state}{cpus}{used}"),
            state: state.into(),
            total: Amounts { cpus, mem: 4096.0, disk: 0.0 },
            used: Amounts { cpus: used, ..Amounts::default() },
            ..Node::default()
        };
        let mut cluster = Cluster::default();
        for node in [node("active", 4.0, 1.0), node("active", 1.0, 0.7), node("unreachable", 64.0, 0.0)] {
            cluster.nodes.insert(node.id.clone(), std::sync::Arc::new(node));
        }
        for (cpus, mem, instances, nodes) in [
            (1.0, 1024.0, 3, 1),
            (0.3, 32.0, 11, 2),
            (0.1, 2048.0, 4, 2),
            (8.0, 0.0, 0, 0),
            (1.0, 5000.0, 0, 0),
        ] {
            let room = room(&cluster, &Amounts { cpus, mem, disk: 0.0 });
            assert_eq!(room, Room { instances, nodes, active: 2 }, "{cpus} {mem}");
        }
        assert_eq!(room(&cluster, &Amounts::default()).instances, 2_000_000, "no end, and no overflow");
    }

    #[test]
    fn every_reason_of_the_interface_has_plain_words() {
        for reason in api::marathon::RejectCount::REASONS {
            assert!(!plainly(reason).1.is_empty(), "{reason}");
        }
        let waiting = Waiting {
            declined: [
                ("InsufficientCpus".to_owned(), 2),
                ("Odd".to_owned(), 17),
                ("InsufficientDisk".to_owned(), 0),
            ]
            .into(),
            ..Waiting::default()
        };
        let said: Vec<String> = declined(&waiting).into_iter().map(|(_, text)| text).collect();
        assert_eq!(said[1], "17 offers: Odd");
        assert!(said[2].starts_with("2 offers: too few cores left ("));
        assert_eq!(said.len(), 4);
    }
}
