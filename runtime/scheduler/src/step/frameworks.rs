//! Frameworks come, change, are disconnected and go.

use std::collections::BTreeSet;

use crate::event::{Action, FrameworkInfo, Refusal};
use crate::ids::FrameworkId;
use crate::role::Role;
use crate::state::State;

/// A framework subscribes. One that is known goes on with what it uses, without its filters and without the offers that
/// it may have received on its connection before.
pub(super) fn add(state: &mut State, info: &FrameworkInfo, actions: &mut Vec<Action>) {
    let at = state.framework_or_note(&info.id);
    state.frameworks[at].active = true;
    state.frameworks[at].removed = false;
    state.rescind_clients(&clients(state, at), actions);
    for client in clients(state, at) {
        state.filters.forget_client(client);
        state.fresh.insert(client);
    }
    set_roles(state, at, info, actions);
}

pub(super) fn update(
    state: &mut State,
    info: &FrameworkInfo,
    actions: &mut Vec<Action>,
) -> Result<(), Refusal> {
    let at = state.framework_at(&info.id)?;
    set_roles(state, at, info, actions);
    Ok(())
}

pub(super) fn deactivate(
    state: &mut State,
    id: &FrameworkId,
    actions: &mut Vec<Action>,
) -> Result<(), Refusal> {
    let at = state.framework_at(id)?;
    state.frameworks[at].active = false;
    let clients = clients(state, at);
    for client in &clients {
        state.sync_client(*client);
        state.filters.forget_client(*client);
    }
    state.rescind_clients(&clients, actions);
    Ok(())
}

pub(super) fn remove(state: &mut State, id: &FrameworkId, actions: &mut Vec<Action>) -> Result<(), Refusal> {
    deactivate(state, id, actions)?;
    let at = state.framework_at(id)?;
    state.frameworks[at].removed = true;
    let clients = clients(state, at);
    for client in &clients {
        state.tree.clients[*client].listed = false;
    }
    if clients.is_empty() {
        state.settle_framework(at);
    }
    for client in clients {
        state.settle_client(client);
    }
    Ok(())
}

fn clients(state: &State, at: usize) -> Vec<usize> {
    state.frameworks[at].clients.values().copied().collect()
}

/// Roles that are not named are left: their offers are rescinded, what is used under them stays counted.
fn set_roles(state: &mut State, at: usize, info: &FrameworkInfo, actions: &mut Vec<Action>) {
    let mut listed = BTreeSet::new();
    for role in &info.roles {
        let client = state.client_or_note(at, role);
        listed.insert(client);
        state.tree.clients[client].suppressed = info.suppressed.contains(role);
    }
    let mut left = Vec::new();
    for client in clients(state, at) {
        let stays = listed.contains(&client);
        state.tree.clients[client].listed = stays;
        state.sync_client(client);
        if !stays {
            state.filters.forget_client(client);
            left.push(client);
        }
    }
    if left.is_empty() {
        return;
    }
    // Those with offers are settled as their last offer goes, so that they may be gone when it is their turn.
    let idle = |client: &usize| state.tree.clients[*client].uses == 0;
    let settled: Vec<usize> = left.iter().copied().filter(idle).collect();
    state.rescind_clients(&left, actions);
    for client in settled {
        state.settle_client(client);
    }
}

pub(super) fn suppress(
    state: &mut State,
    id: &FrameworkId,
    roles: &[Role],
    actions: &mut Vec<Action>,
) -> Result<(), Refusal> {
    for client in named(state, id, roles, actions)? {
        state.tree.clients[client].suppressed = true;
        state.sync_client(client);
    }
    Ok(())
}

pub(super) fn revive(
    state: &mut State,
    id: &FrameworkId,
    roles: &[Role],
    actions: &mut Vec<Action>,
) -> Result<(), Refusal> {
    for client in named(state, id, roles, actions)? {
        state.tree.clients[client].suppressed = false;
        state.filters.forget_client(client);
        state.fresh.insert(client);
        state.sync_client(client);
    }
    Ok(())
}

/// The clients of these roles, or of all when none is named. Roles that are not the framework's are refused one by one.
fn named(
    state: &State,
    id: &FrameworkId,
    roles: &[Role],
    actions: &mut Vec<Action>,
) -> Result<Vec<usize>, Refusal> {
    let known = &state.frameworks[state.framework_at(id)?].clients;
    let listed = |client: &usize| state.tree.clients[*client].listed;
    if roles.is_empty() {
        return Ok(known.values().copied().filter(listed).collect());
    }
    let mut clients = Vec::new();
    for role in roles {
        match known.get(role).copied().filter(listed) {
            Some(client) => clients.push(client),
            None => {
                let (framework, role) = (id.clone(), role.clone());
                actions.push(Action::Refuse(Refusal::UnknownRole { framework, role }));
            }
        }
    }
    Ok(clients)
}
