//! Keeping the books: what is free, used and offered always adds up, here and in the tree of shares.

use super::{Framework, Outstanding, State};
use crate::event::Action;
use crate::ids::{FrameworkId, OfferId};
use crate::resources::Resources;
use crate::role::Role;

impl State {
    /// Someone may now be offered something on this agent who was not before.
    pub(crate) fn mark(&mut self, agent: usize) {
        if let Some(known) = self.agents.get_mut(agent)
            && !std::mem::replace(&mut known.dirty, true)
        {
            self.dirty.push(agent);
        }
    }

    /// The framework of this id. One that is not known is noted as gone, since it may never subscribe.
    pub(crate) fn framework_or_note(&mut self, id: &FrameworkId) -> usize {
        if let Some(index) = self.framework_index.get(id) {
            return *index;
        }
        let noted = Framework { id: id.clone(), active: false, removed: true, clients: Default::default() };
        let index = self.frameworks.insert(noted);
        self.framework_index.insert(id.clone(), index);
        index
    }

    /// A framework in one of its roles, noted when it is new.
    pub(crate) fn client_or_note(&mut self, framework: usize, role: &Role) -> usize {
        if let Some(client) = self.frameworks[framework].clients.get(role) {
            return *client;
        }
        let client = self.tree.add_client(framework, role);
        self.frameworks[framework].clients.insert(role.clone(), client);
        client
    }

    /// Puts a client into the order or takes it out, as it and its framework now are.
    pub(crate) fn sync_client(&mut self, index: usize) {
        let client = &self.tree.clients[index];
        let wants = client.listed && !client.suppressed && self.frameworks[client.framework].active;
        if self.tree.set_active(index, wants) {
            self.fresh.insert(index);
        }
    }

    /// Forgets a client that has left its role and holds nothing, and then its framework when that is gone too.
    pub(crate) fn settle_client(&mut self, index: usize) {
        let client = &self.tree.clients[index];
        if client.listed || client.uses > 0 {
            return;
        }
        let (at, role) = (client.framework, self.tree.role(client.node).clone());
        self.tree.remove_client(index);
        self.filters.forget_client(index);
        self.fresh.remove(&index);
        self.frameworks[at].clients.remove(&role);
        self.settle_framework(at);
    }

    /// Forgets a framework that is gone and holds nothing.
    pub(crate) fn settle_framework(&mut self, at: usize) {
        if self.frameworks[at].clients.is_empty()
            && self.frameworks[at].removed
            && let Some(framework) = self.frameworks.remove(at)
        {
            self.framework_index.remove(&framework.id);
        }
    }

    /// Notes that a client uses something on an agent. What it holds in the tree is not touched.
    pub(crate) fn use_more(&mut self, agent: usize, client: usize, resources: &Resources) {
        if resources.is_empty() {
            return;
        }
        let used = &mut self.agents[agent].used;
        match used.get_mut(&client) {
            Some(sum) => sum.add(resources),
            None => {
                used.insert(client, resources.clone());
                self.tree.clients[client].uses += 1;
            }
        }
    }

    /// Puts resources back that were used or offered.
    pub(crate) fn give_back(&mut self, agent: usize, resources: &Resources) {
        if self.agents[agent].overcommitted {
            self.recount(agent);
        } else {
            self.agents[agent].free.add(resources);
        }
        self.mark(agent);
    }

    /// Counts anew what is free on an agent.
    pub(crate) fn recount(&mut self, index: usize) {
        let agent = &self.agents[index];
        let mut taken = Resources::default();
        let offered = agent.offers.iter().filter_map(|id| self.offers.get(id));
        for part in agent.used.values().chain(offered.map(|offer| &*offer.resources)) {
            taken.add(part);
        }
        let mut free = agent.info.total.clone();
        let overcommitted = !free.contains(&taken);
        free.saturating_sub(&taken);
        let agent = &mut self.agents[index];
        (agent.free, agent.overcommitted) = (free, overcommitted);
    }

    /// Takes an offer out of the books of who has it; its resources are then nowhere.
    pub(crate) fn take_offer(&mut self, id: OfferId) -> Option<Outstanding> {
        let offer = self.offers.remove(&id)?;
        self.agents[offer.agent].offers.retain(|known| *known != id);
        self.tree.clients[offer.client].uses -= 1;
        self.by_client.remove(&(offer.client, id));
        Some(offer)
    }

    /// Takes an offer back into the pool.
    pub(crate) fn return_offer(&mut self, id: OfferId) -> Option<Outstanding> {
        let offer = self.take_offer(id)?;
        self.tree.release(offer.client, &offer.resources.scalars());
        self.give_back(offer.agent, &offer.resources);
        Some(offer)
    }

    /// Takes an offer back into the pool and tells so.
    pub(crate) fn rescind(&mut self, id: OfferId, actions: &mut Vec<Action>) -> bool {
        let Some(offer) = self.return_offer(id) else { return false };
        let shown = self.show(id, &offer);
        actions.push(Action::Rescind { offer: id, framework: shown.framework, agent: shown.agent });
        self.settle_client(offer.client);
        true
    }

    /// Takes back the offers of an agent, oldest first.
    pub(crate) fn rescind_agent(&mut self, agent: usize, actions: &mut Vec<Action>) {
        for id in self.agents[agent].offers.clone() {
            self.rescind(id, actions);
        }
    }

    /// The offers of a client, without a look at those that others had before: each is sorted in once at most.
    fn offers_of(&mut self, client: usize) -> Vec<OfferId> {
        let State { offers, by_client, unsorted, .. } = self;
        by_client.extend(unsorted.drain(..).filter(|(_, id)| offers.contains_key(id)));
        let all = (client, OfferId(0))..=(client, OfferId(u64::MAX));
        by_client.range(all).map(|(_, id)| *id).collect()
    }

    /// Keeps `unsorted` within what there is, at a cost of a few looks for each offer.
    pub(crate) fn forget_answered(&mut self) {
        let State { offers, unsorted, .. } = self;
        if unsorted.len() > 2 * offers.len() + 1024 {
            unsorted.retain(|(_, id)| offers.contains_key(id));
        }
    }

    /// Takes back the offers of some clients, oldest first.
    pub(crate) fn rescind_clients(&mut self, clients: &[usize], actions: &mut Vec<Action>) {
        let mut theirs: Vec<OfferId> = clients.iter().flat_map(|client| self.offers_of(*client)).collect();
        theirs.sort_unstable();
        for id in theirs {
            self.rescind(id, actions);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::event::{AgentInfo, Event, Filter, FrameworkInfo};
    use crate::{Host, OfferId, State, step};

    #[test]
    fn a_client_knows_its_offers_without_a_look_at_those_of_others() {
        let mut state = State::new();
        for at in 0..4 {
            let id = format!("a{at}").into();
            let agent = AgentInfo { id, host: Host::default(), total: "cpus:1".parse().unwrap() };
            step(&mut state, Event::AgentAdded { agent, used: vec![] }, Duration::ZERO);
        }
        for id in ["f", "g"] {
            let roles = vec!["*".parse().unwrap()];
            let info = FrameworkInfo { id: id.into(), roles, suppressed: Default::default() };
            step(&mut state, Event::FrameworkAdded(info), Duration::ZERO);
        }
        step(&mut state, Event::Cycle, Duration::ZERO);
        let known = |state: &mut State| {
            let of = |client| state.offers_of(client).iter().map(|id| id.0).collect();
            [0, 1].map(of).to_vec() as Vec<Vec<u64>>
        };
        assert_eq!(known(&mut state.clone()), [[1, 3], [2, 4]]);
        let mut sorted = state.clone();
        assert_eq!(known(&mut sorted), [[1, 3], [2, 4]]);
        let (framework, offers) = ("f".into(), vec![OfferId(3)]);
        let decline = Event::Decline { framework, offers, filter: Filter::NONE };
        for state in [&mut state, &mut sorted] {
            step(state, decline.clone(), Duration::ZERO);
            step(state, Event::AgentRemoved("a1".into()), Duration::ZERO);
            assert_eq!(known(state), [vec![1], vec![4]]);
            assert_eq!((state.by_client.len(), state.unsorted.len()), (2, 0));
        }
    }

    #[test]
    fn offers_that_were_answered_do_not_pile_up() {
        let mut state = State::new();
        let agent = AgentInfo { id: "a".into(), host: Host::default(), total: "cpus:1".parse().unwrap() };
        step(&mut state, Event::AgentAdded { agent, used: vec![] }, Duration::ZERO);
        let roles = vec!["*".parse().unwrap()];
        let info = FrameworkInfo { id: "f".into(), roles, suppressed: Default::default() };
        step(&mut state, Event::FrameworkAdded(info), Duration::ZERO);
        for id in 1..5000 {
            step(&mut state, Event::Cycle, Duration::ZERO);
            let (framework, offers) = ("f".into(), vec![OfferId(id)]);
            let actions =
                step(&mut state, Event::Decline { framework, offers, filter: Filter::NONE }, Duration::ZERO);
            assert_eq!(actions, []);
            assert!(state.unsorted.len() <= 1024 + 2);
        }
    }
}
