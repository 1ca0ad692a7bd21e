//! Tables of tasks and files.

use api::marathon::{AppId, GroupId, TaskId, Timestamp};
use serde_json::Value;

use super::find::{is_over, short};
use crate::sandbox::Sandbox;
use crate::table::{Cell, Table};
use crate::{text, value};

/// Whose tasks are meant.
#[derive(Clone, Debug)]
pub(crate) enum Scope {
    Service(AppId),
    /// All services below.
    Group(GroupId),
}

impl Scope {
    fn holds(&self, app: &AppId) -> bool {
        match self {
            Self::Service(service) => service == app,
            Self::Group(group) => group.contains(app),
        }
    }
}

/// The tasks that were asked for, those that began last at the end.
pub(crate) fn wanted(tasks: &[Value], all: bool, scope: Option<&Scope>) -> Vec<Value> {
    let in_scope = |task: &&Value| {
        let of =
            |scope: &Scope| value::text(task, "id").parse::<TaskId>().is_ok_and(|id| scope.holds(id.app()));
        scope.is_none_or(of)
    };
    tasks.iter().filter(in_scope).filter(|task| all || !is_over(task)).cloned().collect()
}

/// The state, as a colour shows it.
pub(crate) fn state(task: &Value) -> Cell {
    let state = value::text(task, "state");
    let healthy = value::list(task, "statuses").last().and_then(|status| status.get("healthy"));
    let words = state.trim_start_matches("TASK_").to_lowercase().replace('_', " ");
    match (state, healthy.and_then(Value::as_bool)) {
        ("TASK_RUNNING", Some(false)) => Cell::bad("unhealthy"),
        ("TASK_RUNNING", Some(true)) => Cell::good("healthy"),
        ("TASK_RUNNING", None) | ("TASK_FINISHED", _) => Cell::good(words),
        ("TASK_STAGING" | "TASK_STARTING" | "TASK_KILLING" | "TASK_KILLED", _) => Cell::warn(words),
        _ => Cell::bad(words),
    }
}

/// When a task came to its present state.
fn since(task: &Value) -> Option<Timestamp> {
    value::list(task, "statuses").last().and_then(|status| status.get("timestamp")).and_then(text::time)
}

/// A time for people, or to the millisecond.
pub(crate) fn time(then: Option<Timestamp>, wide: bool, now: Timestamp) -> Cell {
    match then {
        Some(then) if wide => Cell::plain(then.to_string()),
        Some(then) => Cell::plain(text::ago(then, now)),
        None => Cell::none(),
    }
}

/// What people call a node: its name, else its hostname.
pub(crate) fn node_name<'a>(nodes: &'a Value, id: &'a str) -> &'a str {
    let node = value::nodes(nodes).into_iter().find(|node| value::text(node, "id") == id);
    let names = node.map(|node| [value::text(node, "name"), value::text(node, "hostname")]);
    names.and_then(|names| names.into_iter().find(|name| !name.is_empty())).unwrap_or(id)
}

/// `{"tasks": […]}` as a table.
pub(super) fn tasks(answer: &Value, nodes: &Value, wide: bool, now: Timestamp) -> Table {
    let mut head = vec!["TASK", "STATE", "NODE", "SINCE", "CPUS", "MEM"];
    if wide {
        head.extend(["DISK", "ROLE", "FRAMEWORK", "ID", "MESSAGE"]);
    }
    let mut table = Table::new(&head);
    for task in value::list(answer, "tasks") {
        let id = value::text(task, "id");
        let resources = task.get("resources").unwrap_or(&Value::Null);
        let mut row = vec![
            Cell::plain(short(id)),
            state(task),
            Cell::or_none(Some(node_name(nodes, value::text(task, "slave_id")))),
            time(since(task), wide, now),
            Cell::plain(text::number(value::number(resources, "cpus"))),
            Cell::plain(text::mebibytes(value::number(resources, "mem"))),
        ];
        if wide {
            row.extend([
                Cell::plain(text::mebibytes(value::number(resources, "disk"))),
                Cell::or_none(Some(value::text(task, "role"))),
                Cell::or_none(Some(value::text(task, "framework_id"))),
                Cell::plain(id),
                Cell::or_none(value::list(task, "statuses").last().map(|last| value::text(last, "message"))),
            ]);
        }
        table.row(row);
    }
    table
}

/// What `browse` answers as a table.
pub(super) fn files(answer: &Value, sandbox: &Sandbox, wide: bool, now: Timestamp) -> Table {
    let mut head = vec!["MODE", "SIZE", "CHANGED", "NAME"];
    if wide {
        head.splice(1..1, ["OWNER", "GROUP"]);
    }
    let mut table = Table::new(&head);
    for file in value::items(answer) {
        let mode = value::text(file, "mode");
        let slash = if mode.starts_with('d') { "/" } else { "" };
        let mut row = vec![
            Cell::plain(mode),
            Cell::plain(text::bytes(value::whole(file, "size"))),
            time(file.get("mtime").and_then(text::time), wide, now),
            Cell::plain(format!("{}{slash}", sandbox.within(value::text(file, "path")))),
        ];
        if wide {
            let owners = [value::text(file, "uid"), value::text(file, "gid")];
            row.splice(1..1, owners.map(|owner| Cell::or_none(Some(owner))));
        }
        table.row(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T12:00:00.000Z".parse().unwrap()
    }

    fn answer() -> (Value, Value) {
        let began = (now().as_millis() / 1000 - 180) as f64;
        let task = |id: &str, state: &str, healthy: Value| {
            json!({
                "id": id, "name": "web.shop", "framework_id": "F-0000", "executor_id": "", "slave_id": "S1",
                "state": state, "role": "*", "resources": {"cpus": 0.5, "mem": 128.0, "disk": 0.0},
                "statuses": [{"state": state, "timestamp": began, "healthy": healthy}], "labels": [],
            })
        };
        let tasks = json!({"tasks": [
            task("shop_web.instance-3f0c8a52-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1", "TASK_RUNNING", json!(true)),
            task("shop_web.instance-77777777-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1", "TASK_FAILED", Value::Null),
            task("ev\u{1b}[2Jil", "TASK_RUNNING", Value::Null),
        ]});
        (tasks, json!({"slaves": [{"id": "S1", "name": "n1", "hostname": "127.0.0.2"}]}))
    }

    #[test]
    fn tasks_as_a_table() {
        let (tasks, nodes) = answer();
        insta::assert_snapshot!(strip_str(&super::tasks(&tasks, &nodes, false, now()).render()), @r"
        TASK               STATE    NODE  SINCE   CPUS  MEM
        shop_web.3f0c8a52  healthy  n1    3m ago  0.5   128 MiB
        shop_web.77777777  failed   n1    3m ago  0.5   128 MiB
        ev\u{1b}[2Jil      running  n1    3m ago  0.5   128 MiB
        ");
        insta::assert_snapshot!(strip_str(&super::tasks(&tasks, &nodes, true, now()).render()), @r"
        TASK               STATE    NODE  SINCE                     CPUS  MEM      DISK   ROLE  FRAMEWORK  ID                                                             MESSAGE
        shop_web.3f0c8a52  healthy  n1    2026-11-22T11:57:00.000Z  0.5   128 MiB  0 MiB  *     F-0000     shop_web.instance-3f0c8a52-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1  -
        shop_web.77777777  failed   n1    2026-11-22T11:57:00.000Z  0.5   128 MiB  0 MiB  *     F-0000     shop_web.instance-77777777-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1  -
        ev\u{1b}[2Jil      running  n1    2026-11-22T11:57:00.000Z  0.5   128 MiB  0 MiB  *     F-0000     ev\u{1b}[2Jil                                                  -
        ");
    }

    #[test]
    fn only_what_was_asked_for_is_listed() {
        let (tasks, _) = answer();
        let tasks = value::list(&tasks, "tasks");
        assert_eq!(wanted(tasks, false, None).len(), 2);
        assert_eq!(wanted(tasks, true, None).len(), 3);
        let service = |id: &str| Scope::Service(id.parse().unwrap());
        let group = |id: &str| Scope::Group(id.parse().unwrap());
        for (scope, count) in
            [(service("/shop/web"), 2), (service("/web"), 0), (group("/shop"), 2), (group("/sho"), 0)]
        {
            assert_eq!(wanted(tasks, true, Some(&scope)).len(), count, "{scope:?}");
        }
    }

    #[test]
    fn files_as_a_table() {
        let began = now().as_millis() / 1000 - 30;
        let sandbox = Sandbox::new("S1", "F", "t").unwrap();
        let file = |name: &str, mode: &str, size: u64| json!({"path": sandbox.path(name), "mode": mode, "size": size, "mtime": began, "uid": "nobody", "gid": "nogroup", "nlink": 1});
        let answer = json!([file("stdout", "-rw-r--r--", 2048), file("data", "drwxr-xr-x", 4096)]);
        insta::assert_snapshot!(strip_str(&super::files(&answer, &sandbox, false, now()).render()), @r"
        MODE        SIZE     CHANGED  NAME
        -rw-r--r--  2.0 KiB  30s ago  stdout
        drwxr-xr-x  4.0 KiB  30s ago  data/
        ");
    }
}
