//! Tables of nodes.

use api::marathon::Timestamp;
use serde_json::Value;

use crate::commands::task::find::{is_over, short};
use crate::commands::task::view::{state as task_state, time};
use crate::table::{Cell, Table};
use crate::{text, value};

/// How a node is: what the master says, or what Mesos' flags amount to.
fn state(node: &Value) -> Cell {
    let flag = |key: &str| node.get(key).and_then(Value::as_bool);
    let drained =
        node.get("drain_info").filter(|info| !info.is_null()).map(|info| value::text(info, "state"));
    match (value::text(node, "state"), drained) {
        ("", Some(drained)) => Cell::warn(drained.to_lowercase()),
        ("", None) if flag("deactivated") == Some(true) => Cell::warn("deactivated"),
        ("", None) if flag("active") == Some(false) => Cell::bad("unreachable"),
        ("", None) => Cell::good("active"),
        (word, _) => {
            let word = word.to_lowercase();
            match word.as_str() {
                "active" | "registered" | "ready" => Cell::good(word),
                "unreachable" | "gone" | "lost" => Cell::bad(word),
                _ => Cell::warn(word),
            }
        }
    }
}

fn resource(node: &Value, of: &str, key: &str) -> f64 {
    node.get(of).map(|resources| value::number(resources, key)).unwrap_or_default()
}

/// Used and all.
fn share(node: &Value, key: &str, words: impl Fn(f64) -> String) -> Cell {
    Cell::plain(format!(
        "{} / {}",
        words(resource(node, "used_resources", key)),
        words(resource(node, "resources", key))
    ))
}

fn name(node: &Value) -> &str {
    [value::text(node, "name"), value::text(node, "hostname")]
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or("-")
}

fn attributes(node: &Value) -> String {
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let object = node.get("attributes").and_then(Value::as_object);
    let pairs = object.into_iter().flatten().map(|(name, value)| format!("{name}={}", shown(value)));
    pairs.collect::<Vec<_>>().join(",")
}

fn registered(node: &Value) -> Option<Timestamp> {
    node.get("reregistered_time").or(node.get("registered_time")).and_then(text::time)
}

/// `{"slaves": […]}` as a table.
pub(super) fn nodes(answer: &Value, wide: bool, now: Timestamp) -> Table {
    let mut head = vec!["NODE", "HOSTNAME", "STATE", "CPUS", "MEM", "DISK", "REGISTERED"];
    if wide {
        head.extend(["GPUS", "PORTS", "ATTRIBUTES", "VERSION", "ID"]);
    }
    let mut table = Table::new(&head);
    for node in value::nodes(answer) {
        let mut row = vec![
            Cell::plain(name(node)),
            Cell::or_none(Some(value::text(node, "hostname"))),
            state(node),
            share(node, "cpus", text::number),
            share(node, "mem", text::mebibytes),
            share(node, "disk", text::mebibytes),
            time(registered(node), wide, now),
        ];
        if wide {
            let ports = node.get("resources").map(|resources| value::text(resources, "ports"));
            row.extend([
                share(node, "gpus", text::number),
                Cell::or_none(ports),
                Cell::or_none(Some(&attributes(node))),
                Cell::or_none(Some(value::text(node, "version"))),
                Cell::plain(value::text(node, "id")),
            ]);
        }
        table.row(row);
    }
    table
}

/// One node, and what runs there.
pub(super) fn node(node: &Value, tasks: &Value, wide: bool, now: Timestamp) -> String {
    let mut facts = Table::facts();
    let id = value::text(node, "id");
    facts.fact("Node", name(node));
    facts.fact("Id", id);
    facts.fact("Hostname", Cell::or_none(Some(value::text(node, "hostname"))));
    facts.fact("State", state(node));
    facts.fact("Cpus", share(node, "cpus", text::number));
    facts.fact("Memory", share(node, "mem", text::mebibytes));
    facts.fact("Disk", share(node, "disk", text::mebibytes));
    if resource(node, "resources", "gpus") > 0.0 {
        facts.fact("Gpus", share(node, "gpus", text::number));
    }
    for (name, of) in [("Ports", "resources"), ("Ports in use", "used_resources")] {
        let ports = node.get(of).map(|resources| value::text(resources, "ports")).unwrap_or_default();
        if !ports.is_empty() {
            facts.fact(name, ports);
        }
    }
    facts.fact("Attributes", Cell::or_none(Some(&attributes(node))));
    facts.fact("Version", Cell::or_none(Some(value::text(node, "version"))));
    facts.fact("Registered", time(registered(node), wide, now));
    let here: Vec<&Value> = value::list(tasks, "tasks")
        .iter()
        .filter(|task| value::text(task, "slave_id") == id && !is_over(task))
        .collect();
    if here.is_empty() {
        return facts.render();
    }
    let mut table = Table::new(&["TASK", "STATE", "CPUS", "MEM"]);
    for task in here {
        let resources = task.get("resources").unwrap_or(&Value::Null);
        table.row(vec![
            Cell::plain(short(value::text(task, "id"))),
            task_state(task),
            Cell::plain(text::number(value::number(resources, "cpus"))),
            Cell::plain(text::mebibytes(value::number(resources, "mem"))),
        ]);
    }
    facts.render() + "\n" + &table.render()
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T12:00:00.000Z".parse().unwrap()
    }

    fn example() -> Value {
        let registered = now().as_millis() / 1000 - 7200;
        json!({"slaves": [
            {
                "id": "c1-S0", "name": "n1", "hostname": "127.0.0.2", "state": "active", "active": true,
                "resources": {"cpus": 4.0, "mem": 8000.0, "disk": 50000.0, "gpus": 0, "ports": "[31000-31999]"},
                "used_resources": {"cpus": 0.5, "mem": 128.0, "disk": 0.0, "gpus": 0, "ports": "[31000-31000]"},
                "attributes": {"rack": "r1", "zone": "z"}, "version": "1.11.0", "registered_time": registered,
            },
            {
                "id": "c1-S1", "hostname": "127.0.0.3", "active": false, "registered_time": registered,
                "resources": {"cpus": 4.0, "mem": 8000.0, "disk": 50000.0}, "used_resources": {},
            },
        ], "recovered_slaves": [{"id": "c1-S2", "name": "n3", "hostname": "127.0.0.4", "state": "recovering"}]})
    }

    #[test]
    fn nodes_as_a_table() {
        insta::assert_snapshot!(strip_str(&nodes(&example(), false, now()).render()), @r"
        NODE       HOSTNAME   STATE        CPUS     MEM                 DISK              REGISTERED
        n1         127.0.0.2  active       0.5 / 4  128 MiB / 8000 MiB  0 MiB / 48.8 GiB  2h ago
        127.0.0.3  127.0.0.3  unreachable  0 / 4    0 MiB / 8000 MiB    0 MiB / 48.8 GiB  2h ago
        n3         127.0.0.4  recovering   0 / 0    0 MiB / 0 MiB       0 MiB / 0 MiB     -
        ");
        insta::assert_snapshot!(strip_str(&nodes(&example(), true, now()).render()), @r"
        NODE       HOSTNAME   STATE        CPUS     MEM                 DISK              REGISTERED                GPUS   PORTS          ATTRIBUTES      VERSION  ID
        n1         127.0.0.2  active       0.5 / 4  128 MiB / 8000 MiB  0 MiB / 48.8 GiB  2026-11-22T10:00:00.000Z  0 / 0  [31000-31999]  rack=r1,zone=z  1.11.0   c1-S0
        127.0.0.3  127.0.0.3  unreachable  0 / 4    0 MiB / 8000 MiB    0 MiB / 48.8 GiB  2026-11-22T10:00:00.000Z  0 / 0  -              -               -        c1-S1
        n3         127.0.0.4  recovering   0 / 0    0 MiB / 0 MiB       0 MiB / 0 MiB     -                         0 / 0  -              -               -        c1-S2
        ");
    }

    #[test]
    fn one_node_with_what_runs_there() {
        let tasks = json!({"tasks": [
            {"id": "web.1", "slave_id": "c1-S0", "state": "TASK_RUNNING", "resources": {"cpus": 0.5, "mem": 128.0}},
            {"id": "old.1", "slave_id": "c1-S0", "state": "TASK_FINISHED", "resources": {}},
            {"id": "other.1", "slave_id": "c1-S1", "state": "TASK_RUNNING", "resources": {}},
        ]});
        insta::assert_snapshot!(strip_str(&node(&example()["slaves"][0], &tasks, false, now())), @r"
        Node:          n1
        Id:            c1-S0
        Hostname:      127.0.0.2
        State:         active
        Cpus:          0.5 / 4
        Memory:        128 MiB / 8000 MiB
        Disk:          0 MiB / 48.8 GiB
        Ports:         [31000-31999]
        Ports in use:  [31000-31000]
        Attributes:    rack=r1,zone=z
        Version:       1.11.0
        Registered:    2h ago

        TASK   STATE    CPUS  MEM
        web.1  running  0.5   128 MiB
        ");
    }
}
