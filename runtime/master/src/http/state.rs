//! Mesos' `/state` and `/state-summary`.

use std::collections::BTreeSet;

use api::mesos::TaskState;
use serde_json::{Map, Value, json};

use super::json::seconds;
use super::{Grouped, MESOS_VERSION, agents, frameworks, host_port};
use crate::Master;
use crate::core::{AgentState, FrameworkState, Task};
use crate::metrics::agents_in;
use crate::view::View;

pub(super) fn state(master: &Master, view: &View) -> Value {
    let options = master.options();
    let (host, port) = host_port(&options.address);
    let pid = format!("master@{}", options.address);
    let (slaves, recovered) = agents::lists(view, None);
    let started = seconds(master.started());
    let mut state = json!({
        "version": MESOS_VERSION,
        "clusterctl_version": options.version,
        "git_sha": "",
        "build_date": "",
        "build_time": 0,
        "build_user": "",
        "start_time": started,
        "elected_time": started,
        "id": master.id(),
        "pid": pid,
        "hostname": host,
        "leader": pid,
        "leader_info": { "id": master.id(), "pid": pid, "port": port, "hostname": host },
        "cluster": options.cluster,
        "activated_slaves": agents_in(view, AgentState::Active),
        "deactivated_slaves": agents_in(view, AgentState::Disconnected),
        "unreachable_slaves": agents_in(view, AgentState::Unreachable),
        "flags": {},
        "log_dir": "",
        "capabilities": ["AGENT_UPDATE"],
        "slaves": slaves,
        "recovered_slaves": recovered,
        "orphan_tasks": [],
    });
    if let Value::Object(state) = &mut state {
        state.extend(frameworks::frameworks(master, view, None));
    }
    state
}

/// The states that are counted, as Mesos names them.
const COUNTED: [TaskState; 14] = [
    TaskState::Staging,
    TaskState::Starting,
    TaskState::Running,
    TaskState::Killing,
    TaskState::Finished,
    TaskState::Killed,
    TaskState::Failed,
    TaskState::Lost,
    TaskState::Error,
    TaskState::Gone,
    TaskState::Dropped,
    TaskState::Unreachable,
    TaskState::GoneByOperator,
    TaskState::Unknown,
];

fn counts(tasks: &[&Task]) -> Map<String, Value> {
    let count = |state| tasks.iter().filter(|task| task.status.state == state).count();
    COUNTED.iter().map(|state| (state.name().to_owned(), json!(count(*state)))).collect()
}

pub(super) fn summary(master: &Master, view: &View) -> Value {
    let grouped = Grouped::new(view);
    let (mut slaves, _) = agents::lists(view, None);
    for slave in &mut slaves {
        let tasks = grouped.of_agent(slave["id"].as_str().unwrap_or_default()).to_vec();
        let ids: BTreeSet<&str> = tasks.iter().map(|task| task.framework.as_str()).collect();
        slave["framework_ids"] = json!(ids);
        if let Value::Object(slave) = slave {
            slave.extend(counts(&tasks));
        }
    }
    let frameworks = view.frameworks.values().filter(|one| one.state != FrameworkState::Removed);
    let frameworks = frameworks.map(|framework| {
        let id = framework.id.as_str();
        let mut own = grouped.of_framework(id).to_vec();
        let ids: BTreeSet<&str> = own.iter().map(|task| task.info.agent.as_str()).collect();
        let active = framework.state == FrameworkState::Active;
        let mut item = json!({
            "id": id,
            "name": framework.info.name,
            "active": active,
            "connected": active,
            "recovered": framework.state == FrameworkState::Recovered,
            "hostname": host_port(&master.options().address).0,
            "slave_ids": ids,
        });
        let done = view.completed.values().filter(|task| task.framework.as_str() == id).map(|task| &**task);
        if let Value::Object(item) = &mut item {
            own.extend(done);
            item.extend(counts(&own));
        }
        item
    });
    json!({
        "hostname": host_port(&master.options().address).0,
        "cluster": master.options().cluster,
        "slaves": slaves,
        "frameworks": frameworks.collect::<Vec<_>>(),
    })
}
