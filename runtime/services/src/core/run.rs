//! Carries deployments out, and keeps apps as they shall be: asks [`goal`] about every app of which something changed.

use std::collections::BTreeSet;
use std::time::Duration;

use api::marathon::{ActionKind, AppId, Condition, DeploymentPlan, Event, GroupSummary, InstanceId, Uuid};
use api::mesos::Call;

use super::goal::goal;
use super::plan::Action;
use super::queue::Waiting;
use super::record;
use super::state::{Deployment, Instance, State};
use super::status;
use super::turn::Turn;

/// A kill that nothing came of is asked for again, after as long as Marathon waits (`--kill_retry_timeout`).
const KILL_AGAIN: Duration = Duration::from_secs(10);

/// Decides for all apps of which something changed; what does not fit into this commit is left for the next step.
pub(crate) fn advance(turn: &mut Turn<'_>) {
    if turn.state.frozen {
        return;
    }
    while !turn.is_full()
        && let Some(app) = turn.state.dirty.pop_first()
    {
        look_at(turn, &app);
    }
}

fn look_at(turn: &mut Turn<'_>, app: &AppId) {
    if !kill_marked(turn, app) {
        turn.state.touch(app);
        return;
    }
    let Some(entry) = turn.state.apps.get(app) else { return };
    let deployment = entry.deployment.and_then(|id| turn.state.deployments.get(&id));
    let action = deployment.and_then(|deployment| deployment.action(app));
    let goal = goal(entry, action);
    let room = turn.room().max(1);
    let more = goal.kill.len() > room;
    for uuid in goal.kill.into_iter().take(room) {
        kill(turn, &InstanceId { app: app.clone(), uuid });
    }
    if more {
        turn.state.touch(app);
    }
    send_kills(turn, app);
    wait(turn, app, goal.launch);
    if goal.done
        && action.is_some()
        && let Some(id) = turn.state.apps.get(app).and_then(|entry| entry.deployment)
    {
        step_done(turn, id);
    }
    drop_empty(turn, app);
}

/// Ends what was marked; false when the commit has no room for all.
fn kill_marked(turn: &mut Turn<'_>, app: &AppId) -> bool {
    let Some(entry) = turn.state.apps.get(app) else { return true };
    let marked = entry.instances.values().filter(|instance| instance.marked && !instance.killing);
    let marked: Vec<InstanceId> = marked.map(|instance| instance.id.clone()).collect();
    let room = turn.room().max(1);
    marked.iter().take(room).for_each(|id| kill(turn, id));
    send_kills(turn, app);
    marked.len() <= room
}

/// An instance shall end, whatever else is wanted.
pub(crate) fn mark(turn: &mut Turn<'_>, id: &InstanceId) {
    if let Some(instance) = turn.state.instance_mut(id) {
        instance.marked = true;
        turn.state.touch(&id.app);
    }
}

/// An id of which nothing is left but what it was.
fn drop_empty(turn: &mut Turn<'_>, app: &AppId) {
    let Some(entry) = turn.state.apps.get_mut(app).filter(|entry| entry.is_over()) else { return };
    entry.waiting = None;
    if entry.failure.take().is_some() {
        turn.delete(record::failure_key(app));
    }
    turn.state.waiting.remove(app);
    // Versions that a delta names stay.
    turn.state.books.purge.insert(app.clone());
}

/// How many of the app are to be launched.
fn wait(turn: &mut Turn<'_>, app: &AppId, count: u32) {
    let Some(entry) = turn.state.apps.get_mut(app) else { return };
    if count == 0 {
        entry.waiting = None;
        turn.state.waiting.remove(app);
        return;
    }
    let now = turn.now.wall;
    entry.waiting.get_or_insert_with(|| Waiting::new(count, now)).count = count;
    turn.state.waiting.insert(app.clone());
}

/// Decides that an instance ends. Written down first: the next leader must not count on it.
fn kill(turn: &mut Turn<'_>, id: &InstanceId) {
    let Some(instance) = turn.state.instance_mut(id) else { return };
    if instance.killing {
        return;
    }
    instance.killing = true;
    if instance.is_unreachable() {
        // Nobody can be asked: it is forgotten, and ended should it return.
        let instance = instance.clone();
        turn.delete(record::instance_key(id));
        if let Some(entry) = turn.state.apps.get_mut(&id.app) {
            entry.instances.remove(&id.uuid);
        }
        turn.state.touch(&id.app);
        status::say_condition(turn, &instance, Condition::Gone);
        return;
    }
    instance.condition = Condition::Killing;
    let instance = instance.clone();
    turn.put(record::instance_key(id), record::instance_bytes(&instance));
    turn.state.touch(&id.app);
    status::say_condition(turn, &instance, Condition::Killing);
}

/// Asks the master to end what is to end and was not asked for yet.
fn send_kills(turn: &mut Turn<'_>, app: &AppId) {
    if !turn.state.link.connected {
        return;
    }
    let now = turn.now.elapsed;
    let Some(entry) = turn.state.apps.get_mut(app) else { return };
    let mut calls = Vec::new();
    for instance in entry.instances.values_mut() {
        if instance.killing && instance.kill_asked.is_none() {
            instance.kill_asked = Some(now);
            calls.push(Call::Kill {
                task: instance.key.clone(),
                agent: Some(instance.agent.clone()),
                grace: None,
            });
        }
    }
    calls.into_iter().for_each(|call| turn.call(call));
}

/// Kills that nothing came of are asked for again.
pub(crate) fn ask_again(turn: &mut Turn<'_>) {
    let now = turn.now.elapsed;
    let due = |instance: &Instance| instance.kill_asked.is_some_and(|asked| now >= asked + KILL_AGAIN);
    let timed = turn.state.timed().flat_map(|entry| entry.instances.values());
    let late: BTreeSet<InstanceId> =
        timed.filter(|instance| due(instance)).map(|instance| instance.id.clone()).collect();
    for id in late {
        if let Some(instance) = turn.state.instance_mut(&id) {
            instance.kill_asked = None;
        }
        turn.state.touch(&id.app);
    }
}

/// Begins a deployment, or ends it at once when there is nothing to do.
pub(crate) fn begin(turn: &mut Turn<'_>, deployment: Deployment) {
    if deployment.steps.is_empty() {
        let plan = plan_of(&deployment);
        turn.publish(Event::DeploymentSuccess { id: deployment.id, plan });
        return;
    }
    for change in &deployment.delta.apps {
        if let Some(entry) = turn.state.apps.get_mut(&change.app) {
            entry.deployment = Some(deployment.id);
        }
        turn.state.touch(&change.app);
    }
    hold(turn.state, &deployment);
    turn.put(record::deployment_key(deployment.id), record::deployment_bytes(&deployment));
    say_step(turn, &deployment);
    turn.state.deployments.insert(deployment.id, deployment);
    turn.state.touched_deployments = true;
}

/// Apps that a later step comes to stay as they were until then.
pub(crate) fn hold(state: &mut State, deployment: &Deployment) {
    let later = deployment.steps.get(deployment.step + 1..).unwrap_or_default();
    for action in later.iter().flat_map(|step| &step.actions) {
        let changes = &deployment.delta.apps;
        let change = changes.binary_search_by(|change| change.app.cmp(&action.app)).ok();
        let from = change.and_then(|at| changes.get(at)?.from);
        if let Some(entry) = state.apps.get_mut(&action.app) {
            entry.held = Some(from.and_then(|from| entry.versions.get(&from)).cloned());
        }
    }
}

/// Gives a deployment up, for the reason that is said. Its record is the caller's to remove.
pub(crate) fn cancel(turn: &mut Turn<'_>, id: Uuid, reason: &str) {
    let Some(deployment) = turn.state.deployments.remove(&id) else { return };
    release(turn, &deployment);
    let plan = plan_of(&deployment);
    if let Some(step) = deployment.steps.get(deployment.step) {
        turn.publish(Event::DeploymentStepFailure { plan: plan.clone(), current_step: step.view() });
    }
    turn.publish(Event::DeploymentFailed { id, plan, reason: reason.to_owned() });
}

/// The place of an action of the current step that is not done, looked for where there was one before.
fn unfinished(turn: &Turn<'_>, deployment: &Deployment) -> Option<usize> {
    let actions = &deployment.steps.get(deployment.step)?.actions;
    let open = |at: &usize| {
        let done = |action: &Action| {
            let entry = turn.state.apps.get(&action.app);
            entry.is_none_or(|entry| goal(entry, Some(action.kind)).done)
        };
        actions.get(*at).is_some_and(|action| !done(action))
    };
    Some(deployment.waits_for).filter(open).or_else(|| (0..actions.len()).find(open))
}

/// Whether the app had health checks before the deployment.
fn had_checks(turn: &Turn<'_>, deployment: &Deployment, app: &AppId) -> bool {
    // In the order of ids.
    let changes = &deployment.delta.apps;
    let change = changes.binary_search_by(|change| change.app.cmp(app)).ok().and_then(|at| changes.get(at));
    let versions = turn.state.apps.get(app).map(|entry| &entry.versions);
    let before = change.and_then(|change| versions?.get(&change.from?));
    before.is_some_and(|before| !before.health_checks.is_empty())
}

/// An action of the current step is done; when all are, the next step begins.
fn step_done(turn: &mut Turn<'_>, id: Uuid) {
    let Some(deployment) = turn.state.deployments.get(&id) else { return };
    if let Some(at) = unfinished(turn, deployment) {
        if let Some(deployment) = turn.state.deployments.get_mut(&id) {
            deployment.waits_for = at;
        }
        return;
    }
    let Some(mut deployment) = turn.state.deployments.remove(&id) else { return };
    turn.state.touched_deployments = true;
    let plan = plan_of(&deployment);
    for action in deployment.steps.get(deployment.step).iter().flat_map(|step| &step.actions) {
        turn.state.touch(&action.app);
    }
    if let Some(step) = deployment.steps.get(deployment.step) {
        turn.publish(Event::DeploymentStepSuccess { plan: plan.clone(), current_step: step.view() });
        for action in step.actions.iter().filter(|action| action.kind == ActionKind::StopApplication) {
            if had_checks(turn, &deployment, &action.app) {
                turn.publish(Event::RemoveHealthCheck { app_id: action.app.clone() });
            }
            turn.publish(Event::AppTerminated { app_id: action.app.clone() });
        }
    }
    (deployment.step, deployment.waits_for) = (deployment.step + 1, 0);
    let next = deployment.steps.get(deployment.step);
    for action in next.iter().flat_map(|step| &step.actions) {
        if let Some(entry) = turn.state.apps.get_mut(&action.app) {
            entry.held = None;
        }
        turn.state.touch(&action.app);
    }
    if next.is_some() {
        turn.put(record::deployment_key(id), record::deployment_bytes(&deployment));
        say_step(turn, &deployment);
        turn.state.deployments.insert(id, deployment);
        return;
    }
    turn.delete(record::deployment_key(id));
    release(turn, &deployment);
    turn.publish(Event::DeploymentSuccess { id, plan });
}

fn release(turn: &mut Turn<'_>, deployment: &Deployment) {
    for change in &deployment.delta.apps {
        if let Some(entry) = turn.state.apps.get_mut(&change.app)
            && entry.deployment == Some(deployment.id)
        {
            (entry.deployment, entry.held) = (None, None);
        }
        turn.state.touch(&change.app);
    }
    turn.state.touched_deployments = true;
    // Its delta may be one that nothing else needs.
    turn.state.books.trim = true;
}

fn say_step(turn: &mut Turn<'_>, deployment: &Deployment) {
    if let Some(step) = deployment.steps.get(deployment.step) {
        turn.publish(Event::DeploymentInfo { plan: plan_of(deployment), current_step: step.view() });
    }
}

fn plan_of(deployment: &Deployment) -> DeploymentPlan {
    DeploymentPlan {
        id: deployment.id,
        version: deployment.delta.version,
        steps: deployment.steps.iter().map(super::plan::Step::view).collect(),
        original: GroupSummary::root(deployment.delta.before),
        target: GroupSummary::root(deployment.delta.version),
    }
}
