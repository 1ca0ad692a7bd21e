//! Tables of services.

use api::marathon::Timestamp;
use serde_json::Value;

use super::reason::Reasons;
use crate::commands::task::find::short;
use crate::commands::task::view::time;
use crate::table::{Cell, Table};
use crate::{text, value};

/// How a service is, in a word, and what it waits for in another.
fn state(app: &Value, waits: Option<&str>) -> Cell {
    let wanted = value::whole(app, "instances");
    let running = value::whole(app, "tasksRunning");
    if value::whole(app, "tasksUnhealthy") > 0 {
        Cell::bad("unhealthy")
    } else if let Some(waits) = waits {
        Cell::warn(format!("waiting ({waits})"))
    } else if !value::list(app, "deployments").is_empty() {
        Cell::warn("deploying")
    } else if wanted == 0 && running == 0 {
        Cell::plain("suspended")
    } else if running < wanted {
        Cell::bad("incomplete")
    } else {
        Cell::good("running")
    }
}

/// Healthy instances, where anything checks.
fn health(app: &Value) -> Cell {
    let (healthy, unhealthy) = (value::whole(app, "tasksHealthy"), value::whole(app, "tasksUnhealthy"));
    match (value::list(app, "healthChecks").is_empty(), healthy, unhealthy) {
        (true, 0, 0) => Cell::none(),
        (_, healthy, 0) => Cell::good(format!("{healthy} healthy")),
        (_, healthy, unhealthy) => Cell::bad(format!("{healthy} healthy, {unhealthy} not")),
    }
}

fn instances(app: &Value) -> String {
    format!("{}/{}", value::whole(app, "tasksRunning"), value::whole(app, "instances"))
}

fn version(app: &Value) -> Option<Timestamp> {
    app.get("version").and_then(text::time)
}

/// Services as a table.
pub(crate) fn services(apps: &[Value], reasons: &Reasons, wide: bool, now: Timestamp) -> Table {
    let mut head = vec!["SERVICE", "STATE", "RUNNING", "HEALTH", "CPUS", "MEM", "CHANGED"];
    if wide {
        head.extend(["DISK", "GPUS", "STAGED", "DEPLOYMENTS"]);
    }
    let mut table = Table::new(&head);
    for app in apps {
        let waits = reasons.short(value::text(app, "id"));
        let mut row = vec![
            Cell::plain(value::text(app, "id")),
            state(app, waits.as_deref()),
            Cell::plain(instances(app)),
            health(app),
            Cell::plain(text::number(value::number(app, "cpus"))),
            Cell::plain(text::mebibytes(value::number(app, "mem"))),
            time(version(app), wide, now),
        ];
        if wide {
            let deployments: Vec<&str> = value::list(app, "deployments")
                .iter()
                .map(|deployment| value::text(deployment, "id"))
                .collect();
            row.extend([
                Cell::plain(text::mebibytes(value::number(app, "disk"))),
                Cell::plain(text::number(value::number(app, "gpus"))),
                Cell::plain(value::whole(app, "tasksStaged").to_string()),
                Cell::or_none(Some(&deployments.join(","))),
            ]);
        }
        table.row(row);
    }
    table
}

/// One service, with its instances, why it waits, and why its last instance failed.
pub(super) fn service(app: &Value, waiting: Option<&str>, wide: bool, now: Timestamp) -> String {
    let mut facts = Table::facts();
    facts.fact("Service", value::text(app, "id"));
    facts.fact("State", state(app, None));
    facts.fact("Running", instances(app));
    facts.fact("Health", health(app));
    facts.fact(
        "Each has",
        format!(
            "{} cpus, {} memory, {} disk",
            text::number(value::number(app, "cpus")),
            text::mebibytes(value::number(app, "mem")),
            text::mebibytes(value::number(app, "disk"))
        ),
    );
    let constraints: Vec<String> = value::list(app, "constraints")
        .iter()
        .map(|constraint| {
            value::items(constraint).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        })
        .collect();
    if !constraints.is_empty() {
        facts.fact("Constraints", constraints.join(", "));
    }
    facts.fact("Changed", time(version(app), wide, now));
    for deployment in value::list(app, "deployments") {
        facts.fact("Deployment", value::text(deployment, "id"));
    }
    if let Some(waiting) = waiting {
        facts.fact("Waiting", Cell::warn(waiting));
    }
    if let Some(failure) = app.get("lastTaskFailure").filter(|failure| !failure.is_null()) {
        facts.fact("Last failure", failed(failure, wide, now));
    }
    let tasks = value::list(app, "tasks");
    if tasks.is_empty() {
        facts.render()
    } else {
        facts.render() + "\n" + &instance_table(tasks, wide, now).render()
    }
}

fn failed(failure: &Value, wide: bool, now: Timestamp) -> Cell {
    let when = failure.get("timestamp").and_then(text::time);
    let when = match when {
        Some(when) if wide => format!(" at {when}"),
        Some(when) => format!(" {}", text::ago(when, now)),
        None => String::new(),
    };
    let [task, host, state, message] =
        ["taskId", "host", "state", "message"].map(|key| value::text(failure, key));
    Cell::bad(format!("{} on {host}{when}: {state} {message}", short(task)).trim_end())
}

fn instance_table(tasks: &[Value], wide: bool, now: Timestamp) -> Table {
    let mut head = vec!["INSTANCE", "STATE", "HOST", "PORTS", "STARTED"];
    if wide {
        head.extend(["VERSION", "TASK"]);
    }
    let mut table = Table::new(&head);
    for task in tasks {
        let ports: Vec<String> = value::list(task, "ports").iter().map(ToString::to_string).collect();
        let started = task.get("startedAt").or(task.get("stagedAt")).and_then(text::time);
        let mut row = vec![
            Cell::plain(short(value::text(task, "id"))),
            instance_state(task),
            Cell::or_none(Some(value::text(task, "host"))),
            Cell::or_none(Some(&ports.join(","))),
            time(started, wide, now),
        ];
        if wide {
            row.extend(["version", "id"].map(|key| Cell::or_none(Some(value::text(task, key)))));
        }
        table.row(row);
    }
    table
}

fn instance_state(task: &Value) -> Cell {
    let results = value::list(task, "healthCheckResults");
    let alive = |result: &Value| result.get("alive").and_then(Value::as_bool).unwrap_or_default();
    let state = value::text(task, "state");
    let words = state.trim_start_matches("TASK_").to_lowercase().replace('_', " ");
    match state {
        "TASK_RUNNING" if results.is_empty() => Cell::good(words),
        "TASK_RUNNING" if results.iter().all(alive) => Cell::good("healthy"),
        "TASK_RUNNING" => Cell::bad("unhealthy"),
        "TASK_STAGING" | "TASK_STARTING" | "TASK_KILLING" => Cell::warn(words),
        _ => Cell::bad(words),
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T12:00:00.000Z".parse().unwrap()
    }

    fn app() -> Value {
        json!({
            "id": "/shop/web", "cpus": 0.5, "mem": 128.0, "disk": 0.0, "gpus": 0, "instances": 3,
            "tasksStaged": 1, "tasksRunning": 2, "tasksHealthy": 2, "tasksUnhealthy": 0,
            "healthChecks": [{"protocol": "HTTP"}], "constraints": [["hostname", "UNIQUE"]],
            "version": "2026-11-22T11:57:00.000Z", "labels": {}, "deployments": [{"id": "d1"}],
            "lastTaskFailure": {
                "appId": "/shop/web", "host": "n2", "message": "Command exited with status 1",
                "state": "TASK_FAILED", "timestamp": "2026-11-22T11:59:50.000Z",
                "taskId": "shop_web.instance-77777777-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1",
            },
            "tasks": [
                {
                    "id": "shop_web.instance-3f0c8a52-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1", "host": "n1",
                    "state": "TASK_RUNNING", "ports": [31000], "startedAt": "2026-11-22T11:58:00.000Z",
                    "version": "2026-11-22T11:57:00.000Z", "healthCheckResults": [{"alive": true}],
                },
                {"id": "shop_web.instance-11111111-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1", "host": "n2",
                 "state": "TASK_STAGING", "ports": [], "stagedAt": "2026-11-22T11:59:58.000Z"},
            ],
        })
    }

    #[test]
    fn services_as_a_table() {
        let mut stopped =
            json!({"id": "/db", "cpus": 1.0, "mem": 16384.0, "instances": 0, "deployments": []});
        stopped["version"] = json!("2026-11-20T12:00:00.000Z");
        let mut waiting =
            json!({"id": "/big", "cpus": 64.0, "mem": 1.0, "instances": 1, "deployments": [{"id": "d2"}]});
        waiting["version"] = json!("2026-11-22T11:59:00.000Z");
        let queue = json!({"queue": [{"app": waiting, "count": 1, "processedOffersSummary": {"processedOffersCount": 2,
            "rejectSummaryLastOffers": [{"reason": "InsufficientCpus", "declined": 2, "processed": 2}]}}]});
        let (apps, reasons) = ([app(), stopped, waiting], Reasons::new(queue, Value::Null));
        insta::assert_snapshot!(strip_str(&services(&apps, &reasons, false, now()).render()), @r"
        SERVICE    STATE           RUNNING  HEALTH     CPUS  MEM      CHANGED
        /shop/web  deploying       2/3      2 healthy  0.5   128 MiB  3m ago
        /db        suspended       0/0      -          1     16 GiB   2d ago
        /big       waiting (cpus)  0/1      -          64    1 MiB    60s ago
        ");
        insta::assert_snapshot!(strip_str(&services(&apps, &reasons, true, now()).render()), @r"
        SERVICE    STATE           RUNNING  HEALTH     CPUS  MEM      CHANGED                   DISK   GPUS  STAGED  DEPLOYMENTS
        /shop/web  deploying       2/3      2 healthy  0.5   128 MiB  2026-11-22T11:57:00.000Z  0 MiB  0     1       d1
        /db        suspended       0/0      -          1     16 GiB   2026-11-20T12:00:00.000Z  0 MiB  0     0       -
        /big       waiting (cpus)  0/1      -          64    1 MiB    2026-11-22T11:59:00.000Z  0 MiB  0     0       d2
        ");
    }

    #[test]
    fn one_service_with_all_that_is_known() {
        let reason = "1 instance waits: 2 of 2 offers fail the constraint hostname UNIQUE";
        insta::assert_snapshot!(strip_str(&service(&app(), Some(reason), false, now())), @r"
        Service:       /shop/web
        State:         deploying
        Running:       2/3
        Health:        2 healthy
        Each has:      0.5 cpus, 128 MiB memory, 0 MiB disk
        Constraints:   hostname UNIQUE
        Changed:       3m ago
        Deployment:    d1
        Waiting:       1 instance waits: 2 of 2 offers fail the constraint hostname UNIQUE
        Last failure:  shop_web.77777777 on n2 10s ago: TASK_FAILED Command exited with status 1

        INSTANCE           STATE    HOST  PORTS  STARTED
        shop_web.3f0c8a52  healthy  n1    31000  2m ago
        shop_web.11111111  staging  n2    -      2s ago
        ");
    }
}
