//! What is known about agents, frameworks and offers, and questions about it.

mod book;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::drf::Tree;
use crate::event::{AgentInfo, Offer, Refusal};
use crate::filters::Filters;
use crate::ids::{AgentId, FrameworkId, OfferId};
use crate::resources::Resources;
use crate::role::Role;
use crate::slab::Slab;

/// The pool. Changed by [`crate::step`] alone.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(crate) agents: Slab<Agent>,
    pub(crate) agent_index: HashMap<AgentId, usize>,
    pub(crate) frameworks: Slab<Framework>,
    pub(crate) framework_index: HashMap<FrameworkId, usize>,
    pub(crate) offers: BTreeMap<OfferId, Outstanding>,
    /// Offers by client, for when all of a client's are wanted. To sort each one in would slow every cycle down: new ones
    /// wait in `unsorted` until someone asks.
    pub(crate) by_client: BTreeSet<(usize, OfferId)>,
    /// Client and offer; some have been answered since.
    pub(crate) unsorted: Vec<(usize, OfferId)>,
    pub(crate) last_offer: u64,
    pub(crate) tree: Tree,
    pub(crate) filters: Filters,
    /// Agents that someone may now be offered who was not before: more is free, or a filter ended.
    pub(crate) dirty: Vec<usize>,
    /// Clients that may now be offered what they were not before, on any agent.
    pub(crate) fresh: BTreeSet<usize>,
    /// The most offers of a cycle; what it has no room for is left for the next one.
    pub(crate) most_offers: Option<usize>,
    /// Where the next cycle begins, when there is a most: behind the agent that was looked at last.
    pub(crate) next_agent: usize,
}

/// Whether new work may go to an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// It may.
    #[default]
    Active,
    /// It may not, and what runs there is being moved away.
    Draining,
    /// It may not; what runs there stays.
    Deactivated,
}

/// An agent and what is free on it.
#[derive(Clone, Debug)]
pub struct Agent {
    pub(crate) info: AgentInfo,
    pub(crate) schedule: Schedule,
    pub(crate) reachable: bool,
    pub(crate) free: Resources,
    /// In use, by client.
    pub(crate) used: BTreeMap<usize, Resources>,
    pub(crate) offers: Vec<OfferId>,
    /// More is in use than there is: what comes back is not all free.
    pub(crate) overcommitted: bool,
    /// It stands in `State::dirty`.
    pub(crate) dirty: bool,
}

impl Agent {
    /// As it registered.
    pub fn info(&self) -> &AgentInfo {
        &self.info
    }

    /// Whether new work may go to it, provided it is reachable.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// Whether it is heard of.
    pub fn is_reachable(&self) -> bool {
        self.reachable
    }

    /// Neither in use nor offered.
    pub fn free(&self) -> &Resources {
        &self.free
    }

    pub(crate) fn is_offerable(&self) -> bool {
        self.schedule == Schedule::Active && self.reachable
    }
}

/// A question about an agent is a question about the one of its id: a copy may be of another moment or another pool.
impl AsRef<AgentId> for Agent {
    fn as_ref(&self) -> &AgentId {
        &self.info.id
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Framework {
    pub(crate) id: FrameworkId,
    pub(crate) active: bool,
    /// Gone, but some of what it used is not back yet.
    pub(crate) removed: bool,
    pub(crate) clients: BTreeMap<Role, usize>,
}

/// An offer that was made and not answered.
#[derive(Clone, Debug)]
pub(crate) struct Outstanding {
    pub(crate) client: usize,
    pub(crate) agent: usize,
    pub(crate) resources: Arc<Resources>,
}

impl State {
    /// An empty pool.
    pub fn new() -> State {
        State::default()
    }

    /// An empty pool that makes about so many offers in one cycle, and goes round the agents from one to the next: who asks
    /// for little need not look at all there is.
    #[must_use]
    pub fn with_most_offers(most: usize) -> State {
        State { most_offers: Some(most.max(1)), ..State::default() }
    }

    /// The agent of this id.
    pub fn agent(&self, id: &AgentId) -> Option<&Agent> {
        self.agents.get(*self.agent_index.get(id)?)
    }

    /// All agents, in an order that depends on the events alone.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.iter().map(|(_, agent)| agent)
    }

    /// What is in use now on the agent of this id, or on the one that an [`Agent`] was a copy of: framework, role,
    /// resources. Nothing when there is no such agent.
    pub fn used<'s, A: AsRef<AgentId>>(
        &'s self,
        agent: A,
    ) -> impl Iterator<Item = (&'s FrameworkId, &'s Role, &'s Resources)> + use<'s, A> {
        let used = self.agent(agent.as_ref()).map(|agent| agent.used.iter());
        used.into_iter().flatten().map(|(client, resources)| {
            let framework = self.tree.clients[*client].framework;
            (&self.frameworks[framework].id, self.tree.role_of(*client), resources)
        })
    }

    /// Whether a framework is known and connected.
    pub fn is_active(&self, framework: &FrameworkId) -> bool {
        self.framework_index.get(framework).is_some_and(|index| self.frameworks[*index].active)
    }

    /// An offer that was made and not answered.
    pub fn offer(&self, id: OfferId) -> Option<Offer> {
        self.offers.get(&id).map(|offer| self.show(id, offer))
    }

    /// All offers that were made and not answered, oldest first.
    pub fn offers(&self) -> impl Iterator<Item = Offer> + '_ {
        self.offers.iter().map(|(id, offer)| self.show(*id, offer))
    }

    /// Roles in the order they became known, with the dominant share of each and all below it (0 to 1, offers
    /// included, not divided by weight).
    pub fn shares(&self) -> impl Iterator<Item = (&Role, f64)> {
        self.tree.shares()
    }

    pub(crate) fn show(&self, id: OfferId, offer: &Outstanding) -> Offer {
        let client = &self.tree.clients[offer.client];
        Offer {
            id,
            framework: self.frameworks[client.framework].id.clone(),
            role: self.tree.role(client.node).clone(),
            agent: self.agents[offer.agent].info.id.clone(),
            resources: offer.resources.clone(),
        }
    }

    pub(crate) fn agent_at(&self, id: &AgentId) -> Result<usize, Refusal> {
        self.agent_index.get(id).copied().ok_or_else(|| Refusal::UnknownAgent(id.clone()))
    }

    pub(crate) fn framework_at(&self, id: &FrameworkId) -> Result<usize, Refusal> {
        let known = self.framework_index.get(id).copied();
        known
            .filter(|index| !self.frameworks[*index].removed)
            .ok_or_else(|| Refusal::UnknownFramework(id.clone()))
    }
}
