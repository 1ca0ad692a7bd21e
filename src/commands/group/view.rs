//! Tables of groups.

use api::marathon::Timestamp;
use serde_json::Value;

use super::tree;
use crate::commands::service::reason::Reasons;
use crate::commands::service::view::services;
use crate::commands::task::view::time;
use crate::table::{Cell, Table};
use crate::{text, value};

/// How the services of a group are, in a word for all of them.
fn state(apps: &[&Value]) -> Cell {
    let sum = |key: &str| apps.iter().map(|app| value::whole(app, key)).sum::<u64>();
    let (wanted, running) = (sum("instances"), sum("tasksRunning"));
    let incomplete =
        apps.iter().any(|app| value::whole(app, "tasksRunning") < value::whole(app, "instances"));
    if apps.is_empty() {
        Cell::plain("empty")
    } else if sum("tasksUnhealthy") > 0 {
        Cell::bad("unhealthy")
    } else if apps.iter().any(|app| !value::list(app, "deployments").is_empty()) {
        Cell::warn("deploying")
    } else if wanted == 0 && running == 0 {
        Cell::plain("suspended")
    } else if incomplete {
        Cell::bad("incomplete")
    } else {
        Cell::good("running")
    }
}

fn instances(apps: &[&Value]) -> String {
    let sum = |key: &str| apps.iter().map(|app| value::whole(app, key)).sum::<u64>();
    format!("{}/{}", sum("tasksRunning"), sum("instances"))
}

/// When something in it changed last.
fn changed(group: &Value) -> Option<Timestamp> {
    let apps = tree::services(group);
    let of_services = apps.iter().filter_map(|app| app.get("version").and_then(text::time)).max();
    of_services.or(group.get("version").and_then(text::time))
}

/// All groups below the one that was asked for.
pub(super) fn groups(root: &Value, wide: bool, now: Timestamp) -> Table {
    let mut head = vec!["GROUP", "STATE", "SERVICES", "RUNNING", "CHANGED"];
    if wide {
        head.extend(["DEPENDS ON", "DEPLOYMENTS"]);
    }
    let mut table = Table::new(&head);
    for group in tree::groups(root).into_iter().skip(1) {
        let apps = tree::services(group);
        let mut row = vec![
            Cell::plain(value::text(group, "id")),
            state(&apps),
            Cell::plain(apps.len().to_string()),
            Cell::plain(instances(&apps)),
            time(changed(group), wide, now),
        ];
        if wide {
            row.push(Cell::or_none(Some(&dependencies(group))));
            row.push(Cell::or_none(Some(&deployments(&apps).join(","))));
        }
        table.row(row);
    }
    table
}

fn dependencies(group: &Value) -> String {
    value::list(group, "dependencies").iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn deployments<'a>(apps: &[&'a Value]) -> Vec<&'a str> {
    let all = apps.iter().flat_map(|app| value::list(app, "deployments"));
    let mut ids: Vec<&str> = all.map(|deployment| value::text(deployment, "id")).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// One group, with the services in it at any depth, and what they wait for.
pub(super) fn group(group: &Value, reasons: &Reasons, wide: bool, now: Timestamp) -> String {
    let apps = tree::services(group);
    let mut facts = Table::facts();
    facts.fact("Group", value::text(group, "id"));
    facts.fact("State", state(&apps));
    facts.fact("Services", apps.len().to_string());
    facts.fact("Running", instances(&apps));
    if !value::list(group, "dependencies").is_empty() {
        facts.fact("Depends on", dependencies(group));
    }
    facts.fact("Changed", time(changed(group), wide, now));
    for deployment in deployments(&apps) {
        facts.fact("Deployment", deployment);
    }
    for app in &apps {
        let id = value::text(app, "id");
        if let Some(why) = reasons.waiting(id) {
            facts.fact("Waiting", Cell::warn(format!("{id}: {why}")));
        }
    }
    let mut text = facts.render();
    if !apps.is_empty() {
        let apps: Vec<Value> = apps.into_iter().cloned().collect();
        text = text + "\n" + &services(&apps, reasons, wide, now).render();
    }
    if !value::list(group, "groups").is_empty() {
        text = text + "\n" + &groups(group, wide, now).render();
    }
    text
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use serde_json::json;

    use super::*;

    fn root() -> Value {
        let app = |id: &str, running: u64, wanted: u64, deployments: Value| {
            json!({"id": id, "instances": wanted, "tasksRunning": running, "cpus": 0.1, "mem": 32.0,
                   "deployments": deployments, "version": "2026-11-22T11:57:00.000Z"})
        };
        json!({"id": "/", "apps": [], "version": "2026-11-22T11:57:00.000Z", "groups": [
            {"id": "/shop", "dependencies": ["/base"], "apps": [app("/shop/web", 1, 2, json!([{"id": "d1"}]))],
             "groups": [{"id": "/shop/data", "apps": [app("/shop/data/db", 1, 1, json!([]))], "groups": []}]},
            {"id": "/old", "apps": [app("/old/x", 0, 0, json!([]))], "groups": []},
            {"id": "/base", "apps": [], "groups": [], "version": "2026-11-20T12:00:00.000Z"},
        ]})
    }

    fn now() -> Timestamp {
        "2026-11-22T12:00:00.000Z".parse().unwrap()
    }

    #[test]
    fn groups_as_a_table() {
        insta::assert_snapshot!(strip_str(&groups(&root(), false, now()).render()), @r"
        GROUP       STATE      SERVICES  RUNNING  CHANGED
        /shop       deploying  2         2/3      3m ago
        /shop/data  running    1         1/1      3m ago
        /old        suspended  1         0/0      3m ago
        /base       empty      0         0/0      2d ago
        ");
        insta::assert_snapshot!(strip_str(&groups(&root(), true, now()).render()), @r"
        GROUP       STATE      SERVICES  RUNNING  CHANGED                   DEPENDS ON  DEPLOYMENTS
        /shop       deploying  2         2/3      2026-11-22T11:57:00.000Z  /base       d1
        /shop/data  running    1         1/1      2026-11-22T11:57:00.000Z  -           -
        /old        suspended  1         0/0      2026-11-22T11:57:00.000Z  -           -
        /base       empty      0         0/0      2026-11-20T12:00:00.000Z  -           -
        ");
    }

    #[test]
    fn one_group_with_all_that_is_in_it() {
        let queue = json!({"queue": [{"app": {"id": "/shop/web", "cpus": 0.1}, "count": 1,
            "processedOffersSummary": {"processedOffersCount": 2,
            "rejectSummaryLastOffers": [{"reason": "InsufficientCpus", "declined": 2, "processed": 2}]}}]});
        let reasons = Reasons::new(queue, Value::Null);
        insta::assert_snapshot!(strip_str(&group(&root()["groups"][0], &reasons, false, now())), @r"
        Group:       /shop
        State:       deploying
        Services:    2
        Running:     2/3
        Depends on:  /base
        Changed:     3m ago
        Deployment:  d1
        Waiting:     /shop/web: 1 instance waits: 2 of 2 offers lack cpus (0.1 wanted)

        SERVICE        STATE           RUNNING  HEALTH  CPUS  MEM     CHANGED
        /shop/data/db  running         1/1      -       0.1   32 MiB  3m ago
        /shop/web      waiting (cpus)  1/2      -       0.1   32 MiB  3m ago

        GROUP       STATE    SERVICES  RUNNING  CHANGED
        /shop/data  running  1         1/1      3m ago
        ");
    }
}
