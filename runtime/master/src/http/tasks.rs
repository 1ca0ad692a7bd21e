//! Tasks, as Mesos' `/tasks` lists them.

use std::collections::HashMap;

use api::mesos::TaskState;
use serde_json::{Map, Value, json};

use super::json::{labels, resources, seconds};
use crate::core::Task;
use crate::view::View;

/// Which tasks are asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    limit: usize,
    offset: usize,
    ascending: bool,
    framework: Option<String>,
    task: Option<String>,
}

impl Page {
    /// Mesos' defaults: a hundred, the newest first.
    pub(super) fn read(params: &HashMap<String, String>) -> Result<Self, String> {
        let number = |name: &str, default| match params.get(name) {
            None => Ok(default),
            Some(text) => {
                text.parse().map_err(|error| format!("{name} must be a whole number, not {text:?}: {error}"))
            }
        };
        let ascending = match params.get("order").map(String::as_str) {
            None | Some("des") => false,
            Some("asc") => true,
            Some(other) => return Err(format!("order must be asc or des, not {other:?}")),
        };
        Ok(Self {
            limit: number("limit", 100)?,
            offset: number("offset", 0)?,
            ascending,
            framework: params.get("framework_id").cloned(),
            task: params.get("task_id").cloned(),
        })
    }
}

pub(super) fn tasks(view: &View, page: &Page) -> Value {
    let all = view.tasks.values().chain(view.completed.values());
    let mut chosen: Vec<&Task> = all
        .map(|task| &**task)
        .filter(|task| page.framework.as_deref().is_none_or(|id| id == task.framework.as_str()))
        .filter(|task| page.task.as_deref().is_none_or(|id| id == task.info.id.as_str()))
        .collect();
    chosen.sort_by_key(|task| task.number);
    if !page.ascending {
        chosen.reverse();
    }
    let items: Vec<Value> = chosen.into_iter().skip(page.offset).take(page.limit).map(item).collect();
    json!({ "tasks": items })
}

pub(super) fn item(task: &Task) -> Value {
    let info = &task.info;
    let mut item = json!({
        "id": info.id.as_str(),
        "name": info.name,
        "framework_id": task.framework.as_str(),
        "executor_id": "",
        "slave_id": info.agent.as_str(),
        "state": task.status.state.name(),
        "resources": resources(&info.resources),
        "role": info.role.as_str(),
        "statuses": statuses(task),
        "labels": labels(&info.labels),
        "directory": task.directory,
    });
    if let (Value::Object(item), Some(user)) = (&mut item, &info.command.user) {
        item.insert("user".to_owned(), json!(user));
    }
    item
}

fn statuses(task: &Task) -> Value {
    let last = task.history.len().saturating_sub(1);
    let running = |state: TaskState| matches!(state, TaskState::Running | TaskState::Killing);
    let one = |(at, (state, time)): (usize, &(TaskState, api::marathon::Timestamp))| {
        let mut status = Map::new();
        status.insert("state".to_owned(), json!(state.name()));
        status.insert("timestamp".to_owned(), json!(seconds(*time)));
        if at == last {
            if let Some(healthy) = task.status.healthy {
                status.insert("healthy".to_owned(), json!(healthy));
            }
            if let Some(message) = &task.status.message {
                status.insert("message".to_owned(), json!(message));
            }
        }
        if (at == last || running(*state)) && !task.status.addresses.is_empty() {
            let addresses: Vec<Value> =
                task.status.addresses.iter().map(|address| json!({ "ip_address": address })).collect();
            let networks = json!({ "network_infos": [{ "ip_addresses": addresses }] });
            status.insert("container_status".to_owned(), networks);
        }
        Value::Object(status)
    };
    task.history.iter().enumerate().map(one).collect()
}
