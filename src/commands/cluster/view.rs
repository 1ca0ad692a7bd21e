//! The cluster at a glance, and the clusters that the user knows.

use serde_json::{Value, json};

use crate::context::Contexts;
use crate::table::{Cell, Table};
use crate::{text, value};

/// A certificate with fewer days left is shown.
const WARN_DAYS: u64 = 30;

/// What `/clusterctl/v1/cluster` answers, for people.
pub(super) fn status(cluster: &Value, wide: bool) -> String {
    let mut facts = Table::facts();
    facts.fact("Cluster", value::text(cluster, "name"));
    facts.fact(
        "Leader",
        match value::text(cluster, "leader") {
            "" => Cell::bad("none"),
            leader => Cell::good(leader),
        },
    );
    facts.fact("Version", Cell::or_none(Some(value::text(cluster, "version"))));
    let ending = value::list(cluster, "masters").iter().filter_map(|master| {
        let days = master.get("certificate_days").and_then(Value::as_u64).filter(|days| *days < WARN_DAYS)?;
        Some(format!("{} ends in {}", value::text(master, "address"), text::count(days, "day")))
    });
    let ending: Vec<String> = ending.collect();
    if !ending.is_empty() {
        facts.fact(
            "Certificate",
            Cell::warn(format!("{}; `clusterctl install` renews it", ending.join(", "))),
        );
    }
    if wide {
        facts.fact("Id", Cell::or_none(Some(value::text(cluster, "id"))));
        facts.fact("Epoch", value::whole(cluster, "epoch").to_string());
    }
    let resources = cluster.get("resources").unwrap_or(&Value::Null);
    facts.fact("Cpus", share(resources, "cpus", text::number));
    facts.fact("Memory", share(resources, "mem", text::mebibytes));
    facts.fact("Disk", share(resources, "disk", text::mebibytes));
    if amount(resources, "total", "gpus") > 0.0 {
        facts.fact("Gpus", share(resources, "gpus", text::number));
    }
    let parts = [
        ("MASTER", masters(cluster)),
        ("COORDINATOR", coordinators(cluster)),
        ("NODE", agents(cluster, wide)),
    ];
    let parts = parts.into_iter().filter_map(|(_, table)| table);
    parts.fold(facts.render(), |text, table| text + "\n" + &table.render())
}

/// Puts what each master says of itself beside what the leader says; one that says nothing does not answer.
pub(super) fn put_masters<'u>(
    cluster: &mut Value,
    each: impl IntoIterator<Item = ((&'u str, u16), Option<Value>)>,
) {
    let Some(masters) = cluster.get_mut("masters").and_then(Value::as_array_mut) else { return };
    for ((host, port), said) in each {
        let address = said.as_ref().map(|said| value::text(said, "address").to_owned());
        let address = address.unwrap_or_else(|| format!("{host}:{port}"));
        if masters.iter().any(|known| value::text(known, "address") == address) {
            continue;
        }
        let of = |key: &str| said.as_ref().and_then(|said| said.get(key)).cloned().unwrap_or_default();
        masters.push(json!({
            "id": of("name"), "address": address, "leader": of("leads") == json!(true),
            "certificate_days": of("certificate_days"),
            "state": if said.is_some() { "standby" } else { "unreachable" },
        }));
    }
}

fn amount(resources: &Value, of: &str, key: &str) -> f64 {
    resources.get(of).map(|of| value::number(of, key)).unwrap_or_default()
}

fn share(resources: &Value, key: &str, words: fn(f64) -> String) -> String {
    let of = |of: &str| words(amount(resources, of, key));
    format!("{} used, {} offered, {} in all", of("used"), of("offered"), of("total"))
}

fn masters(cluster: &Value) -> Option<Table> {
    let mut table = Table::new(&["MASTER", "ADDRESS", "ROLE"]);
    let masters = value::list(cluster, "masters");
    for master in masters {
        let leads = master.get("leader").and_then(Value::as_bool).unwrap_or_default();
        table.row(vec![
            Cell::or_none(Some(value::text(master, "id"))),
            Cell::or_none(Some(value::text(master, "address"))),
            match value::text(master, "state") {
                _ if leads => Cell::good("leader"),
                "unreachable" => Cell::bad("does not answer"),
                _ => Cell::plain("standby"),
            },
        ]);
    }
    (!masters.is_empty()).then_some(table)
}

fn coordinators(cluster: &Value) -> Option<Table> {
    let mut table = Table::new(&["COORDINATOR", "ADDRESS", "STATE"]);
    let coordinators = value::list(cluster, "coordinators");
    for coordinator in coordinators {
        let [id, address, state] = ["id", "address", "state"].map(|key| value::text(coordinator, key));
        table.row(vec![
            Cell::or_none(Some(id)),
            Cell::or_none(Some(address)),
            match state {
                "leader" => Cell::good(state),
                "follower" => Cell::plain(state),
                "unreachable" => Cell::bad("does not answer"),
                _ => Cell::bad(state),
            },
        ]);
    }
    (!coordinators.is_empty()).then_some(table)
}

fn agents(cluster: &Value, wide: bool) -> Option<Table> {
    let mut head = vec!["NODE", "ADDRESS", "STATE", "TASKS"];
    if wide {
        head.push("ID");
    }
    let mut table = Table::new(&head);
    let agents = value::list(cluster, "agents");
    for agent in agents {
        let names = ["name", "hostname", "id"].map(|key| value::text(agent, key));
        let state = value::text(agent, "state").to_lowercase();
        let mut row = vec![
            Cell::or_none(names.into_iter().find(|name| !name.is_empty())),
            Cell::or_none(Some(value::text(agent, "address"))),
            match state.as_str() {
                "active" | "registered" | "ready" => Cell::good(state),
                "unreachable" | "gone" | "lost" => Cell::bad(state),
                _ => Cell::warn(state),
            },
            Cell::plain(value::whole(agent, "tasks").to_string()),
        ];
        if wide {
            row.push(Cell::plain(value::text(agent, "id")));
        }
        table.row(row);
    }
    (!agents.is_empty()).then_some(table)
}

/// The user's clusters; a star marks the current one.
pub(super) fn contexts(contexts: &Contexts) -> Table {
    let mut table = Table::new(&["", "CLUSTER", "LOGGED IN", "MASTERS"]);
    for (name, context) in &contexts.contexts {
        let current = contexts.current.as_ref() == Some(name);
        table.row(vec![
            if current { Cell::good("*") } else { Cell::plain("") },
            Cell::plain(name),
            if context.token.is_some() { Cell::good("yes") } else { Cell::plain("no") },
            Cell::plain(context.masters.join(", ")),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn each_master_says_whether_it_is_there() {
        let leader = json!({ "id": "m", "address": "10.0.0.1:5050", "leader": true });
        let mut cluster = json!({ "name": "demo", "masters": [leader] });
        let says = |name: &str, address: &str, leads| {
            Some(json!({ "name": name, "address": address, "leads": leads, "certificate_days": 7 }))
        };
        put_masters(
            &mut cluster,
            [
                (("m1", 5050), says("m1", "10.0.0.1:5050", true)),
                (("m2", 5050), says("m2", "10.0.0.2:5050", false)),
                (("m3", 5050), None),
            ],
        );
        let text = strip_str(&masters(&cluster).unwrap().render()).to_string();
        insta::assert_snapshot!(text, @r"
        MASTER  ADDRESS        ROLE
        m       10.0.0.1:5050  leader
        m2      10.0.0.2:5050  standby
        -       m3:5050        does not answer
        ");
        assert!(strip_str(&status(&cluster, false)).to_string().contains("10.0.0.2:5050 ends in 7 days"));
    }

    #[test]
    fn a_cluster_at_a_glance() {
        let cluster = json!({
            "name": "demo", "version": "0.1.0", "epoch": 3, "id": "c1", "leader": "127.0.0.1:5050",
            "masters": [{"id": "m1", "address": "127.0.0.1:5050", "leader": true}],
            "coordinators": [
                {"id": "c1", "address": "127.0.0.1:2379", "state": "leader"},
                {"id": "c2", "address": "127.0.0.2:2379", "state": "follower"},
                {"id": null, "address": "127.0.0.3:2379", "state": "unreachable"},
            ],
            "agents": [
                {"id": "c1-S0", "name": "n1", "hostname": "127.0.0.2", "address": "127.0.0.2:5051", "state": "active", "tasks": 2},
                {"id": "c1-S1", "name": "n2", "hostname": "127.0.0.3", "address": "127.0.0.3:5051", "state": "unreachable", "tasks": 0},
            ],
            "resources": {
                "total": {"cpus": 8.0, "mem": 16384.0, "disk": 100000.0, "gpus": 0, "ports": 2000},
                "used": {"cpus": 1.0, "mem": 256.0, "disk": 0.0, "gpus": 0, "ports": 2},
                "offered": {"cpus": 0.0, "mem": 0.0, "disk": 0.0, "gpus": 0, "ports": 0},
            },
        });
        insta::assert_snapshot!(strip_str(&status(&cluster, false)), @r"
        Cluster:  demo
        Leader:   127.0.0.1:5050
        Version:  0.1.0
        Cpus:     1 used, 0 offered, 8 in all
        Memory:   256 MiB used, 0 MiB offered, 16 GiB in all
        Disk:     0 MiB used, 0 MiB offered, 97.7 GiB in all

        MASTER  ADDRESS         ROLE
        m1      127.0.0.1:5050  leader

        COORDINATOR  ADDRESS         STATE
        c1           127.0.0.1:2379  leader
        c2           127.0.0.2:2379  follower
        -            127.0.0.3:2379  does not answer

        NODE  ADDRESS         STATE        TASKS
        n1    127.0.0.2:5051  active       2
        n2    127.0.0.3:5051  unreachable  0
        ");
    }

    #[test]
    fn a_certificate_that_is_about_to_end_is_shown() {
        let of = |days: Option<u64>| {
            let master = json!({"id": "m1", "address": "m1:5050", "leader": true, "certificate_days": days});
            strip_str(&status(&json!({ "name": "demo", "masters": [master] }), false)).to_string()
        };
        assert!(of(Some(29)).contains("m1:5050 ends in 29 days; `clusterctl install` renews it"));
        assert!(!of(Some(30)).contains("Certificate") && !of(None).contains("Certificate"));
    }

    #[test]
    fn the_current_cluster_has_a_star() {
        let mut known = Contexts::default();
        known.put("demo", &["http://127.0.0.1:5050".parse().unwrap()], true);
        known.put("prod", &["https://m1:5050".parse().unwrap(), "https://m2:5050".parse().unwrap()], false);
        insta::assert_snapshot!(strip_str(&contexts(&known).render()), @r"
           CLUSTER  LOGGED IN  MASTERS
        *  demo     no         http://127.0.0.1:5050
           prod     no         https://m1:5050, https://m2:5050
        ");
    }
}
