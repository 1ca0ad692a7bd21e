//! What masters say, and what they are told.

use api::Moment;
use api::link::wire::{self, agent_message, master_message};
use api::link::{check_uuid, info_from_wire, status_to_wire};
use api::marathon::Uuid;
use api::mesos::{Reason, TaskInfo, TaskKey, TaskState};
use scheduler::{AgentId, FrameworkId, Resources};

use super::task::{Task, status};
use super::{Checkpoint, Effect, Past, State, Update, life, peers};

/// So many messages wait for an epoch to be written down; a master that says more at once is cut off.
const MOST_HELD: usize = 16_384;
/// A longer description could not be written down.
const MAX_DESCRIPTION: usize = 1 << 20;

/// A stream to a master.
#[derive(Clone, Debug)]
pub struct Link {
    pub(super) number: u64,
    pub(super) registered: bool,
    closing: bool,
    held: Vec<wire::MasterMessage>,
}

pub(super) fn send(number: u64, body: agent_message::Body, out: &mut Vec<Effect>) {
    out.push(Effect::Send(number, Box::new(wire::AgentMessage { body: Some(body) })));
}

pub(super) fn up(state: &mut State, number: u64, now: Moment, out: &mut Vec<Effect>) {
    let agent = state.id.clone().unwrap_or_else(|| AgentId::from(""));
    let about = &state.about;
    let register = wire::Register {
        agent_id: agent.to_string(),
        name: about.name.clone(),
        hostname: about.hostname.clone(),
        address: about.address.to_string(),
        port: u32::from(about.port),
        resources: api::link::resources_to_wire(&about.resources),
        attributes: about.attributes.clone(),
        region: about.region.clone(),
        zone: about.zone.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        tasks: state.tasks.values().map(|task| task.report(about, &agent, now.wall)).collect(),
    };
    state.link = Some(Link { number, registered: false, closing: false, held: Vec::new() });
    send(number, agent_message::Body::Register(register), out);
}

pub(super) fn down(state: &mut State, number: u64) {
    state.link.take_if(|link| link.number == number);
}

fn close(state: &mut State, why: String, out: &mut Vec<Effect>) {
    if let Some(link) = state.link.as_mut().filter(|link| !link.closing) {
        link.closing = true;
        link.registered = false;
        link.held.clear();
        out.push(Effect::CloseLink(link.number, why));
    }
}

pub(super) fn heard(
    state: &mut State,
    number: u64,
    message: wire::MasterMessage,
    now: Moment,
    out: &mut Vec<Effect>,
) {
    if !state.link.as_ref().is_some_and(|link| link.number == number && !link.closing) {
        return;
    }
    if message.epoch < state.epoch {
        state.counters.old_epochs += 1;
        let why = format!("its epoch is {}, {} was seen already", message.epoch, state.epoch);
        return close(state, why, out);
    }
    if message.epoch > state.epoch {
        state.epoch = message.epoch;
        out.push(Effect::KeepEpoch(message.epoch));
    }
    if state.epoch > state.epoch_kept {
        // Nothing of an epoch is obeyed before it is on disk, lest an older one be obeyed after a crash.
        let full = state.link.as_mut().is_some_and(|link| {
            link.held.push(message);
            link.held.len() > MOST_HELD
        });
        if full {
            close(state, "it says too much at once".to_owned(), out);
        }
        return;
    }
    obey(state, message, now, out);
}

pub(super) fn epoch_kept(
    state: &mut State,
    epoch: u64,
    kept: Result<(), String>,
    now: Moment,
    out: &mut Vec<Effect>,
) {
    if let Err(why) = kept {
        // To be tried again with the next message.
        state.epoch = state.epoch_kept.max(state.epoch.min(epoch.saturating_sub(1)));
        return close(state, format!("epoch {epoch} cannot be written down: {why}"), out);
    }
    state.epoch_kept = state.epoch_kept.max(epoch);
    if state.epoch_kept < state.epoch {
        return;
    }
    let held = state.link.as_mut().map(|link| std::mem::take(&mut link.held)).unwrap_or_default();
    for message in held {
        if message.epoch == state.epoch {
            obey(state, message, now, out);
        }
    }
}

fn obey(state: &mut State, message: wire::MasterMessage, now: Moment, out: &mut Vec<Effect>) {
    let Some(number) = state.link.as_ref().filter(|link| !link.closing).map(|link| link.number) else {
        return;
    };
    let registered = state.is_registered();
    match message.body {
        Some(master_message::Body::Registered(it)) => welcome(state, it.agent_id, out),
        Some(master_message::Body::Refused(it)) => refused(state, &it, out),
        Some(master_message::Body::Ping(wire::Ping {})) => {
            send(number, agent_message::Body::Pong(wire::Pong {}), out);
        }
        Some(master_message::Body::Launch(it)) if registered => launch(state, it, now, out),
        Some(master_message::Body::PeersChanged(it)) if registered => peers::changed(state, it, out),
        Some(master_message::Body::Kill(it)) if registered => kill(state, &it, now, out),
        Some(master_message::Body::Acknowledge(it)) if registered => acknowledge(state, &it, out),
        // A later version's words are none of ours.
        None => state.counters.bad_messages += 1,
        Some(_) => close(state, "it gives orders before it has admitted this agent".to_owned(), out),
    }
}

fn welcome(state: &mut State, id: String, out: &mut Vec<Effect>) {
    if id.is_empty() || id.contains(['/', '\0']) || id.starts_with('.') || id.len() > 255 {
        state.counters.bad_messages += 1;
        return close(state, format!("the agent id {id:?} it gives is none"), out);
    }
    let id = AgentId::from(id);
    if state.id.as_ref() != Some(&id) {
        state.id = Some(id.clone());
        out.push(Effect::KeepId(id));
    }
    if let Some(link) = &mut state.link {
        link.registered = true;
    }
    for task in state.tasks.values_mut() {
        task.updates.hurry();
    }
}

fn refused(state: &mut State, refused: &wire::Refused, out: &mut Vec<Effect>) {
    if refused.r#final {
        out.push(Effect::Done(Err(refused.message.clone())));
    }
    close(state, format!("it refuses this agent: {}", refused.message), out);
}

/// Sends what is due, of each task one statement.
pub(super) fn flush(state: &mut State, now: Moment, out: &mut Vec<Effect>) {
    let (Some(number), Some(agent)) = (state.speaking(), state.id.clone()) else { return };
    for task in state.tasks.values_mut() {
        if let Some(update) = task.updates.due(now.elapsed) {
            let status = status(&task.info.id, update, &state.about, &agent);
            let update = wire::StatusUpdate {
                framework_id: task.framework.to_string(),
                status: Some(status_to_wire(&status)),
            };
            send(number, agent_message::Body::Update(update), out);
        }
    }
}

/// Says what a check found, if a master listens; else the next registration does.
pub(super) fn send_health(state: &State, container: Uuid, check: usize, out: &mut Vec<Effect>) {
    let (Some(number), Some(agent)) = (state.speaking(), &state.id) else { return };
    let Some(task) = state.tasks.get(&container) else { return };
    let report = task.watches.get(check).and_then(|watch| task.health_of(agent, check, watch));
    if let Some(report) = report {
        send(number, agent_message::Body::Health(report), out);
    }
}

/// Says something once, without a uuid.
fn say_once(
    state: &mut State,
    framework: &FrameworkId,
    task: &TaskKey,
    said: &Update,
    out: &mut Vec<Effect>,
) {
    let (Some(number), Some(agent)) = (state.speaking(), state.id.clone()) else { return };
    let mut status = status(task, said, &state.about, &agent);
    status.uuid = None;
    let update =
        wire::StatusUpdate { framework_id: framework.to_string(), status: Some(status_to_wire(&status)) };
    send(number, agent_message::Body::Update(update), out);
}

pub(super) fn plain(
    state: TaskState,
    reason: Option<Reason>,
    message: impl Into<String>,
    now: Moment,
) -> Update {
    let message = Some(message.into());
    Update { uuid: Uuid::from_bits(0), state, message, reason, healthy: None, at: now.wall }
}

/// What is true of a task that somebody asks for again.
fn say_again(state: &mut State, framework: &FrameworkId, task: &TaskKey, now: Moment, out: &mut Vec<Effect>) {
    let container = state.by_name.get(&(framework.clone(), task.clone())).copied();
    if let Some(task) = container.and_then(|container| state.tasks.get_mut(&container))
        && !task.updates.pending.is_empty()
    {
        // What is not acknowledged is sent again, in its order.
        return task.updates.hurry();
    }
    let current = container.and_then(|container| {
        if let Some(task) = state.tasks.get(&container) {
            return task.updates.last.clone();
        }
        state.past.get(&container).map(|past| past.last.clone())
    });
    let said = current.map_or_else(
        || plain(TaskState::Gone, Some(Reason::Reconciliation), "This agent does not know the task", now),
        |last| Update { reason: Some(Reason::Reconciliation), ..last },
    );
    say_once(state, framework, task, &said, out);
}

fn launch(state: &mut State, launch: wire::Launch, now: Moment, out: &mut Vec<Effect>) {
    let framework = FrameworkId::from(launch.framework_id);
    let Some(wire) = launch.info else {
        state.counters.bad_messages += 1;
        return;
    };
    let (id, size) = (wire.id.clone(), prost::Message::encoded_len(&wire));
    let Ok(key) = id.parse::<TaskKey>() else {
        // A task without a name cannot even be spoken of.
        state.counters.bad_messages += 1;
        return;
    };
    let framework_ok = !framework.as_str().is_empty()
        && framework.as_str().len() <= 255
        && !framework.as_str().contains(['/', '\0'])
        && !framework.as_str().starts_with('.');
    if !framework_ok {
        state.counters.bad_messages += 1;
        return;
    }
    if state.by_name.contains_key(&(framework.clone(), key.clone())) {
        return say_again(state, &framework, &key, now, out);
    }
    let refusal = if state.ending.is_some() {
        Err((TaskState::Dropped, Reason::AgentDraining, "The agent is ending".to_owned()))
    } else if size > MAX_DESCRIPTION {
        let message = format!("The task's description has {size} bytes, at most {MAX_DESCRIPTION} are taken");
        Err((TaskState::Error, Reason::TaskInvalid, message))
    } else {
        info_from_wire(wire)
            .map_err(|e| (TaskState::Error, Reason::TaskInvalid, format!("The task is wrong: {e}")))
            .and_then(|info| fits(state, &info).map(|()| info))
    };
    match refusal {
        Ok(info) => accept(state, framework, info, now, out),
        Err((told, reason, message)) => {
            say_once(state, &framework, &key, &plain(told, Some(reason), message, now), out);
        }
    }
}

/// All roles' parts as one: which role holds what is the master's business.
fn flat(resources: &Resources) -> scheduler::Bundle {
    let mut all = scheduler::Bundle::default();
    for (_, bundle) in resources.parts() {
        all.add(bundle);
    }
    all
}

fn fits(state: &State, info: &TaskInfo) -> Result<(), (TaskState, Reason, String)> {
    if state.id.as_ref() != Some(&info.agent) {
        let message = format!("The task is for agent {}, not for this one", info.agent);
        return Err((TaskState::Error, Reason::TaskInvalid, message));
    }
    let mut used = flat(&info.resources);
    let wanted = used.clone();
    for task in state.tasks.values().filter(|task| !task.has_ended()) {
        used.add(&flat(&task.info.resources));
    }
    let total = flat(&state.about.resources);
    let ports_free = state
        .tasks
        .values()
        .filter(|task| !task.has_ended())
        .all(|task| disjoint(wanted.ports(), flat(&task.info.resources).ports()));
    if total.contains(&used) && ports_free {
        return Ok(());
    }
    let message =
        format!("The task's {wanted} do not fit: with this agent's other tasks that is {used}, of {total}");
    Err((TaskState::Error, Reason::TaskInvalid, message))
}

fn disjoint(a: &scheduler::Ranges, b: &scheduler::Ranges) -> bool {
    let overlap =
        |x: &scheduler::Range| b.as_slice().iter().any(|y| x.begin() <= y.end() && y.begin() <= x.end());
    !a.as_slice().iter().any(overlap)
}

fn accept(state: &mut State, framework: FrameworkId, info: TaskInfo, now: Moment, out: &mut Vec<Effect>) {
    let container = state.draw();
    let directory = crate::daemon::paths::sandbox(
        &state.about.work_dir,
        info.agent.as_str(),
        framework.as_str(),
        info.id.as_str(),
        container,
    );
    let checkpoint = Checkpoint { framework: framework.clone(), info, container, directory };
    state.by_name.insert((framework, checkpoint.info.id.clone()), container);
    state.tasks.insert(container, Task::new(checkpoint.clone(), state.about.grace));
    out.push(Effect::Checkpoint(Box::new(checkpoint)));
    life::say(state, container, TaskState::Starting, None, None, now, out);
}

fn kill(state: &mut State, kill: &wire::Kill, now: Moment, out: &mut Vec<Effect>) {
    let framework = FrameworkId::from(kill.framework_id.as_str());
    let Ok(key) = kill.task_id.parse::<TaskKey>() else {
        state.counters.bad_messages += 1;
        return;
    };
    let container = state.by_name.get(&(framework.clone(), key.clone())).copied();
    match container.filter(|container| state.tasks.get(container).is_some_and(|task| !task.has_ended())) {
        Some(container) => {
            let grace = kill.grace_ms.map(std::time::Duration::from_millis);
            life::kill(state, container, super::KillWhy::Asked, grace, now, out);
        }
        None => say_again(state, &framework, &key, now, out),
    }
}

fn acknowledge(state: &mut State, ack: &wire::Acknowledge, out: &mut Vec<Effect>) {
    let container = ack
        .task_id
        .parse::<TaskKey>()
        .ok()
        .and_then(|key| state.by_name.get(&(FrameworkId::from(ack.framework_id.as_str()), key)).copied());
    let uuid = check_uuid(&ack.uuid).ok().flatten();
    let task = container.and_then(|container| state.tasks.get_mut(&container));
    let done = task.zip(uuid).and_then(|(task, uuid)| {
        let done = task.updates.acknowledge(uuid)?;
        Some((task.container, done))
    });
    let Some((container, done)) = done else {
        state.counters.stray_acknowledgements += 1;
        return;
    };
    if !done.state.is_terminal() {
        if let Some(task) = state.tasks.get(&container) {
            out.push(Effect::Journal(container, Box::new(task.journal())));
        }
        return;
    }
    if let Some(task) = state.tasks.remove(&container) {
        let past = Past { framework: task.framework, task: task.info.id, last: done };
        state.past.insert(container, past.clone());
        out.push(Effect::Remove(container, Box::new(past)));
    }
}
