//! Whom tasks work with, as their sandboxes tell it: one list is written after the other, and the master hears which.

use api::link::peers_from_wire;
use api::link::wire::{self, agent_message};
use api::marathon::Uuid;
use api::mesos::{Peers, TaskKey};
use scheduler::FrameworkId;

use super::{Effect, Stage, State, link};

/// The newest list of a task, and what its sandbox has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lists {
    /// To be written, when nothing else is being written.
    next: Option<Peers>,
    writing: bool,
    /// What the sandbox has.
    pub(super) held: Option<u64>,
}

impl Lists {
    pub(super) fn recovered(held: Option<u64>) -> Self {
        Self { held, ..Self::default() }
    }
}

/// A master has another list. Of a task that is not there any more nothing is said.
pub(super) fn changed(state: &mut State, changed: wire::PeersChanged, out: &mut Vec<Effect>) {
    let (Ok(key), Some(peers)) = (changed.task_id.parse::<TaskKey>(), changed.peers) else {
        state.counters.bad_messages += 1;
        return;
    };
    let name = (FrameworkId::from(changed.framework_id), key);
    let Some(container) = state.by_name.get(&name).copied() else { return };
    let Some(task) = state.tasks.get_mut(&container).filter(|task| !task.has_ended()) else { return };
    task.lists.next = Some(peers_from_wire(peers));
    go_on(state, container, out);
}

/// Its sandbox has the list that it was launched with.
pub(super) fn prepared(state: &mut State, container: Uuid, out: &mut Vec<Effect>) {
    let Some(task) = state.tasks.get_mut(&container) else { return };
    let Some(peers) = task.info.peers.take() else { return };
    task.lists.held = Some(peers.version);
    out.push(Effect::Journal(container, Box::new(task.journal())));
    go_on(state, container, out);
}

/// What could not be written is sent again, by whoever hears what the sandbox has.
pub(super) fn written(state: &mut State, container: Uuid, version: u64, done: bool, out: &mut Vec<Effect>) {
    let Some(task) = state.tasks.get_mut(&container) else { return };
    task.lists.writing = false;
    if task.has_ended() {
        return;
    }
    if done {
        task.lists.held = Some(version);
        out.push(Effect::Journal(container, Box::new(task.journal())));
        say(state, container, out);
    }
    go_on(state, container, out);
}

fn go_on(state: &mut State, container: Uuid, out: &mut Vec<Effect>) {
    let Some(task) = state.tasks.get_mut(&container) else { return };
    // Before its shim starts, the sandbox is being made.
    if task.stage != Stage::Shim || task.lists.writing {
        return;
    }
    let Some(peers) = task.lists.next.take() else { return };
    if task.lists.held == Some(peers.version) {
        return say(state, container, out);
    }
    task.lists.writing = true;
    out.push(Effect::WritePeers(container, peers));
}

fn say(state: &State, container: Uuid, out: &mut Vec<Effect>) {
    let (Some(number), Some(task)) = (state.speaking(), state.tasks.get(&container)) else { return };
    let Some(version) = task.lists.held else { return };
    let held = wire::PeersHeld {
        framework_id: task.framework.to_string(),
        task_id: task.info.id.to_string(),
        version,
    };
    link::send(number, agent_message::Body::PeersHeld(held), out);
}
