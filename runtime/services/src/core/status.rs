//! What the master says about tasks: instances come to run, end, and are lost and found.

use std::collections::BTreeMap;
use std::time::Duration;

use api::marathon::{Condition, Event, InstanceId, IpAddress, TaskFailure, TaskId, UnreachableStrategy};
use api::mesos::{Call, Reason, TaskState, TaskStatus};

use super::backoff::{Backoff, STABLE};
use super::state::{Instance, config_version};
use super::turn::{MOST_AT_ONCE, Turn};
use super::{health, record};

/// The condition that a state means (§10).
pub(crate) fn condition_of(state: TaskState) -> Condition {
    match state {
        TaskState::Staging => Condition::Staging,
        TaskState::Starting => Condition::Starting,
        TaskState::Running => Condition::Running,
        TaskState::Killing => Condition::Killing,
        TaskState::Finished => Condition::Finished,
        TaskState::Failed => Condition::Failed,
        TaskState::Killed => Condition::Killed,
        TaskState::Error => Condition::Error,
        TaskState::Dropped => Condition::Dropped,
        TaskState::Gone | TaskState::GoneByOperator | TaskState::Lost => Condition::Gone,
        TaskState::Unreachable => Condition::Unreachable,
        TaskState::Unknown => Condition::Unknown,
    }
}

/// An end of this kind makes the next launch wait. One that was asked for does not, nor one that says nothing about the
/// app.
fn is_failure(state: TaskState) -> bool {
    use TaskState::{Dropped, Error, Failed, Finished, Gone, Lost};
    matches!(state, Failed | Finished | Error | Dropped | Gone | Lost)
}

pub(crate) fn update(turn: &mut Turn<'_>, status: &TaskStatus) {
    let task: Option<TaskId> = status.task.as_str().parse().ok();
    let known = task
        .as_ref()
        .map(TaskId::instance)
        .filter(|id| turn.state.instance(id).is_some_and(|instance| instance.key == status.task));
    let over = status.state.is_terminal() || status.state == TaskState::Unknown;
    match known.cloned() {
        None => orphan(turn, status, task.as_ref(), over),
        Some(id) if over => ended(turn, &id, status),
        Some(id) if status.state == TaskState::Unreachable => lost(turn, &id, status),
        Some(id) => moved(turn, &id, status),
    }
    if let (Some(uuid), Some(agent)) = (status.uuid, status.agent.clone()) {
        turn.call(Call::Acknowledge { agent, task: status.task.clone(), uuid });
    }
}

/// A task that no record knows: what runs is ended, what has ended is said.
fn orphan(turn: &mut Turn<'_>, status: &TaskStatus, task: Option<&TaskId>, over: bool) {
    if over {
        if let Some(task) = task {
            turn.publish(Event::UnknownInstanceTerminated {
                instance_id: task.instance().clone(),
                run_spec_id: task.app().clone(),
                condition: condition_of(status.state),
            });
        }
    } else if status.state != TaskState::Unreachable && !turn.state.frozen {
        tracing::info!(task = %status.task, "a task that no record knows is ended");
        turn.call(Call::Kill { task: status.task.clone(), agent: status.agent.clone(), grace: None });
    }
}

/// It is there, in a state that is not the last.
fn moved(turn: &mut Turn<'_>, id: &InstanceId, status: &TaskStatus) {
    let now = turn.now;
    let Some(instance) = turn.state.instance_mut(id) else { return };
    let before = (instance.condition, instance.state);
    instance.confirmed = true;
    instance.state = status.state;
    instance.unreachable_since = None;
    // One that is to end stays so for those who look at conditions.
    let running = status.state == TaskState::Running && instance.killing;
    instance.condition = if running { Condition::Killing } else { condition_of(status.state) };
    if status.addresses == [instance.address] {
        // As it is shown without any, at no cost.
        instance.addresses = Vec::new();
    } else if !status.addresses.is_empty() {
        instance.addresses.clone_from(&status.addresses);
    }
    if status.state == TaskState::Running {
        instance.started_at.get_or_insert(status.timestamp);
        instance.running_since.get_or_insert(now.elapsed);
    }
    if let Some(agent) = status.agent.as_ref().filter(|agent| **agent != instance.agent) {
        instance.agent = agent.clone();
    }
    let changed = before != (instance.condition, instance.state);
    let instance = instance.clone();
    turn.state.touch(&id.app);
    if changed {
        say_status(turn, &instance, status);
        say_condition(turn, &instance, instance.condition);
    }
    if let Some(alive) = status.healthy {
        health::said_by_agent(turn, id, alive, status.timestamp);
    }
}

/// Its agent is silent: the strategy says for how long it is waited for (§8).
fn lost(turn: &mut Turn<'_>, id: &InstanceId, status: &TaskStatus) {
    let now = turn.now.elapsed;
    let Some(instance) = turn.state.instance_mut(id) else { return };
    let news = instance.unreachable_since.is_none();
    instance.unreachable_since.get_or_insert(now);
    instance.confirmed = true;
    instance.state = TaskState::Unreachable;
    if news {
        instance.condition = Condition::Unreachable;
        let instance = instance.clone();
        say_status(turn, &instance, status);
        say_condition(turn, &instance, Condition::Unreachable);
    }
    turn.state.touch(&id.app);
    wait_for(turn, id);
}

/// Replaces or forgets an unreachable instance when its time has come.
fn wait_for(turn: &mut Turn<'_>, id: &InstanceId) {
    let now = turn.now.elapsed;
    let Some(instance) = turn.state.instance_mut(id) else { return };
    let Some(since) = instance.unreachable_since else { return };
    let gone = now.saturating_sub(since);
    let (inactive, expunged) = match instance.spec.unreachable_strategy {
        UnreachableStrategy::Disabled => (false, false),
        UnreachableStrategy::After { inactive_seconds, expunge_seconds } => {
            let passed = |seconds: u32| gone >= Duration::from_secs(u64::from(seconds));
            (passed(inactive_seconds), passed(expunge_seconds))
        }
    };
    // What is to end anyway is not waited for: should it return, no record knows it, and it is ended then.
    if expunged || instance.killing {
        let instance = instance.clone();
        forget(turn, &instance);
        say_condition(turn, &instance, Condition::Gone);
    } else if inactive && !instance.is_inactive() {
        instance.condition = Condition::UnreachableInactive;
        let instance = instance.clone();
        turn.state.touch(&id.app);
        say_condition(turn, &instance, Condition::UnreachableInactive);
    }
}

/// It is over. The record goes before the acknowledgement.
fn ended(turn: &mut Turn<'_>, id: &InstanceId, status: &TaskStatus) {
    let Some(instance) = turn.state.instance(id).cloned() else { return };
    // An offer that was withdrawn meanwhile says nothing about the app.
    let withdrawn = status.reason == Some(Reason::InvalidOffers);
    if !instance.killing && !withdrawn && is_failure(status.state) {
        failed(turn, &instance, status);
    }
    forget(turn, &instance);
    say_status(turn, &instance, status);
    say_condition(turn, &instance, condition_of(status.state));
}

/// The record goes, and with it the instance.
fn forget(turn: &mut Turn<'_>, instance: &Instance) {
    turn.delete(record::instance_key(&instance.id));
    if let Some(entry) = turn.state.apps.get_mut(&instance.id.app) {
        entry.instances.remove(&instance.id.uuid);
    }
    turn.state.touch(&instance.id.app);
}

fn failed(turn: &mut Turn<'_>, instance: &Instance, status: &TaskStatus) {
    let now = turn.now;
    let failure = TaskFailure {
        app_id: instance.id.app.clone(),
        host: instance.host.hostname.clone(),
        message: status.message.clone().unwrap_or_default(),
        state: status.state.name().to_owned(),
        task_id: instance.task.clone(),
        timestamp: status.timestamp,
        version: instance.version,
        slave_id: Some(instance.agent.to_string()),
    };
    let Some(entry) = turn.state.apps.get_mut(&instance.id.app) else { return };
    let config = config_version(&instance.spec);
    let earlier = entry.backoff.get(&config).copied();
    let backoff = Backoff::after_failure(earlier, &instance.spec, now.elapsed);
    entry.backoff.insert(config, backoff);
    if status.state != TaskState::Finished {
        set_failure(turn, failure);
    }
}

/// Keeps the last failure of an app, unless the app is gone.
pub(crate) fn set_failure(turn: &mut Turn<'_>, failure: TaskFailure) {
    let app = failure.app_id.clone();
    let Some(entry) = turn.state.apps.get_mut(&app).filter(|entry| entry.app.is_some()) else { return };
    let bytes = record::failure_bytes(&failure);
    entry.failure = Some(failure);
    turn.put(record::failure_key(&app), bytes);
}

/// What only time brings about.
pub(crate) fn timers(turn: &mut Turn<'_>) {
    let now = turn.now.elapsed;
    let mut unreachable = Vec::new();
    let mut stable: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for entry in turn.state.timed() {
        for instance in entry.instances.values() {
            if instance.is_unreachable() {
                unreachable.push(instance.id.clone());
            }
            let ran = instance.running_since.is_some_and(|since| now >= since + STABLE);
            if ran && instance.health.is_empty() && !entry.backoff.is_empty() {
                stable.entry(instance.id.app.clone()).or_default().push(config_version(&instance.spec));
            }
        }
    }
    for id in unreachable.into_iter().take(MOST_AT_ONCE) {
        wait_for(turn, &id);
    }
    for (app, configs) in stable {
        succeeded(turn, &app, &configs);
    }
}

/// A success: the failures before it count for nothing.
pub(crate) fn succeeded(
    turn: &mut Turn<'_>,
    app: &api::marathon::AppId,
    configs: &[api::marathon::Timestamp],
) {
    let Some(entry) = turn.state.apps.get_mut(app) else { return };
    let before = entry.backoff.len();
    entry.backoff.retain(|config, _| !configs.contains(config));
    if entry.backoff.len() != before {
        turn.state.touch(app);
    }
}

pub(crate) fn say_condition(turn: &mut Turn<'_>, instance: &Instance, condition: Condition) {
    turn.publish(Event::InstanceChanged {
        instance_id: instance.id.clone(),
        condition,
        run_spec_id: instance.id.app.clone(),
        agent_id: Some(instance.agent.to_string()),
        host: Some(instance.host.hostname.clone()),
        run_spec_version: instance.version,
    });
}

fn say_status(turn: &mut Turn<'_>, instance: &Instance, status: &TaskStatus) {
    turn.publish(Event::StatusUpdate {
        slave_id: instance.agent.to_string(),
        task_id: instance.task.clone(),
        task_status: status.state.name().to_owned(),
        message: status.message.clone().unwrap_or_default(),
        app_id: instance.id.app.clone(),
        host: instance.host.hostname.clone(),
        ip_addresses: addresses(instance),
        ports: instance.ports.clone(),
        version: instance.version,
    });
}

/// As the interface writes them; the agent's own while the task said none.
pub(crate) fn addresses(instance: &Instance) -> Vec<IpAddress> {
    let own = [instance.address];
    let all = if instance.addresses.is_empty() { &own[..] } else { &instance.addresses };
    let address = |ip: &std::net::IpAddr| IpAddress {
        ip_address: ip.to_string(),
        protocol: if ip.is_ipv4() { "IPv4" } else { "IPv6" }.to_owned(),
    };
    all.iter().map(address).collect()
}
