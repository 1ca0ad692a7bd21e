//! The allocation cycle: every agent that has something for someone is offered, whole, role by role.
//!
//! Between cycles, no client could be offered anything on an agent that is not dirty. What is free there only
//! grows by becoming dirty, so that the only ones who can gain are fresh clients. A cycle therefore looks at
//! dirty agents for all clients, and at the others for fresh clients alone.

use std::sync::Arc;
use std::time::Duration;

use crate::drf::{ROOT, Tree};
use crate::event::Action;
use crate::filters::Filters;
use crate::ids::OfferId;
use crate::resources::Resources;
use crate::state::{Outstanding, State};

/// With more fresh clients than this, going through all in order is cheaper than ordering them for each agent.
const FEW: usize = 8;

pub(super) fn run(state: &mut State, now: Duration, actions: &mut Vec<Action>) {
    for agent in state.filters.begin_cycle(now) {
        state.mark(agent);
    }
    let fresh: Vec<usize> = std::mem::take(&mut state.fresh).into_iter().collect();
    let mut agents = std::mem::take(&mut state.dirty);
    if !fresh.is_empty() {
        let open = state.agents.iter().filter(|(_, agent)| agent.dirty || agent.free.is_allocatable());
        agents = open.map(|(index, _)| index).collect();
    }
    agents.sort_unstable();
    // An index stands there twice when its agent was removed and another one came in its place.
    agents.dedup();
    if !agents.is_empty() {
        state.tree.refresh();
    }
    if state.most_offers.is_some() {
        let next = agents.partition_point(|at| *at < state.next_agent);
        agents.rotate_left(next);
    }
    let mut agents = agents.into_iter();
    let made = actions.len();
    while let Some(at) = agents.next() {
        if state.most_offers.is_some_and(|most| actions.len() - made >= most) {
            leave(state, std::iter::once(at).chain(agents));
            break;
        }
        state.next_agent = at + 1;
        let Some(agent) = state.agents.get_mut(at) else { continue };
        let dirty = std::mem::take(&mut agent.dirty);
        if !agent.is_offerable() || !agent.free.is_allocatable() {
            continue;
        }
        let mut pick = Pick {
            tree: &state.tree,
            filters: &state.filters,
            agent: at,
            free: std::mem::take(&mut agent.free),
            picked: Vec::new(),
        };
        if dirty || fresh.len() > FEW {
            pick.below(ROOT);
        } else {
            pick.among(&fresh);
        }
        let Pick { free, picked, .. } = pick;
        state.agents[at].free = free;
        for (client, resources) in picked {
            actions.push(offer(state, at, client, resources));
        }
    }
    state.forget_answered();
}

/// For the next cycle. To look at one of them for all clients, where fresh ones would do, changes nothing.
fn leave(state: &mut State, agents: impl Iterator<Item = usize>) {
    for at in agents {
        if let Some(agent) = state.agents.get_mut(at) {
            agent.dirty = true;
            state.dirty.push(at);
        }
    }
}

/// Enters an offer into the books.
fn offer(state: &mut State, agent: usize, client: usize, resources: Resources) -> Action {
    state.last_offer += 1;
    let id = OfferId(state.last_offer);
    state.tree.hold(client, &resources.scalars(), true);
    state.tree.clients[client].uses += 1;
    state.unsorted.push((client, id));
    state.agents[agent].offers.push(id);
    let outstanding = Outstanding { client, agent, resources: Arc::new(resources) };
    let shown = state.show(id, &outstanding);
    state.offers.insert(id, outstanding);
    Action::Offer(shown)
}

/// Who gets what of one agent, by the order as it is before the first of them gets it.
struct Pick<'s> {
    tree: &'s Tree,
    filters: &'s Filters,
    agent: usize,
    free: Resources,
    picked: Vec<(usize, Resources)>,
}

impl Pick<'_> {
    /// Goes through the roles below a node.
    fn below(&mut self, node: usize) {
        let tree = self.tree;
        for child in tree.children(node) {
            if !self.free.is_allocatable() {
                return;
            }
            match child {
                Some(child) if self.free.concerns(tree.role(child)) => self.below(child),
                Some(_) => {}
                None => self.own(node),
            }
        }
    }

    /// Goes through a role's own frameworks.
    fn own(&mut self, node: usize) {
        let role = self.tree.role(node);
        if self.free.is_allocatable_to(role) {
            let mut clients = self.tree.clients_of(node);
            if let Some(client) = clients.find(|client| !self.hidden(*client)) {
                self.picked.push((client, self.free.take_for(role)));
            }
        }
    }

    /// Goes through these clients alone.
    fn among(&mut self, clients: &[usize]) {
        let tree = self.tree;
        let open = |client: &usize| {
            tree.is_active(*client)
                && self.free.is_allocatable_to(tree.role_of(*client))
                && !self.hidden(*client)
        };
        let mut open: Vec<usize> = clients.iter().copied().filter(open).collect();
        if open.len() > 1 {
            open.sort_by_cached_key(|client| tree.path(*client));
        }
        for client in open {
            // An earlier one may have taken what this one would have got.
            let role = tree.role_of(client);
            if self.free.is_allocatable_to(role) && !self.hidden(client) {
                self.picked.push((client, self.free.take_for(role)));
            }
        }
    }

    fn hidden(&self, client: usize) -> bool {
        self.filters.hide(self.agent, client, &self.free, self.tree.role_of(client))
    }
}
