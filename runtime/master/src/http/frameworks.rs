//! Frameworks, as Mesos' `/frameworks` lists them.

use api::mesos::TaskState;
use scheduler::Resources;
use serde_json::{Map, Value, json};

use super::json::{resources, seconds};
use super::{Grouped, tasks};
use crate::Master;
use crate::core::{Framework, FrameworkState, Task};
use crate::view::View;

/// The lists of `/frameworks`, which are also part of `/state`.
pub(super) fn frameworks(master: &Master, view: &View, only: Option<&str>) -> Map<String, Value> {
    let grouped = Grouped::new(view);
    let (mut living, mut completed) = (Vec::new(), Vec::new());
    for framework in view.frameworks.values().filter(|one| only.is_none_or(|id| id == one.id.as_str())) {
        let item = item(master, view, &grouped, framework);
        match framework.state {
            FrameworkState::Removed => completed.push(item),
            _ => living.push(item),
        }
    }
    let lists = [
        ("frameworks", living),
        ("completed_frameworks", completed),
        ("unregistered_frameworks", Vec::new()),
    ];
    lists.into_iter().map(|(name, list)| (name.to_owned(), Value::Array(list))).collect()
}

fn item(master: &Master, view: &View, grouped: &Grouped<'_>, framework: &Framework) -> Value {
    let id = framework.id.as_str();
    let (unreachable, living): (Vec<&Task>, Vec<&Task>) =
        grouped.of_framework(id).iter().partition(|task| task.status.state == TaskState::Unreachable);
    let completed: Vec<&Task> =
        view.completed.values().filter(|task| task.framework.as_str() == id).map(|task| &**task).collect();
    let mut used = Resources::default();
    for task in grouped.of_framework(id).iter().filter(|task| !task.status.state.is_terminal()) {
        used.add(&task.info.resources);
    }
    let (mut offered, mut offers) = (Resources::default(), Vec::new());
    for offer in view.offers.values().filter(|offer| offer.framework.as_str() == id) {
        offered.add(&offer.resources);
        offers.push(json!({
            "id": format!("{}-{}", master.id(), offer.id),
            "framework_id": id,
            "slave_id": offer.agent.as_str(),
            "resources": resources(&offer.resources),
            "allocation_info": { "role": offer.role.as_str() },
        }));
    }
    let active = framework.state == FrameworkState::Active;
    let items = |tasks: &[&Task]| tasks.iter().map(|task| tasks::item(task)).collect::<Vec<Value>>();
    let mut item = json!({
        "id": id,
        "name": framework.info.name,
        "user": framework.info.user,
        "roles": framework.info.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>(),
        "hostname": super::host_port(&master.options().address).0,
        "webui_url": "",
        "failover_timeout": 31_536_000.0,
        "checkpoint": true,
        "active": active,
        "connected": active,
        "recovered": framework.state == FrameworkState::Recovered,
        "capabilities": ["PARTITION_AWARE", "MULTI_ROLE", "TASK_KILLING_STATE"],
        "resources": resources(&used),
        "used_resources": resources(&used),
        "offered_resources": resources(&offered),
        "offers": offers,
        "tasks": items(&living),
        "unreachable_tasks": items(&unreachable),
        "completed_tasks": items(&completed),
        "executors": [],
    });
    for (name, at) in [
        ("registered_time", framework.registered),
        ("reregistered_time", framework.reregistered),
        ("unregistered_time", framework.unregistered),
    ] {
        let always = name != "reregistered_time";
        if let Some(at) = at.map(seconds).or(always.then_some(0.0)) {
            item[name] = json!(at);
        }
    }
    item
}
