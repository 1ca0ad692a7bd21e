//! What readers see: one moment of the state, whole and unchanging, taken without waiting for the loop.

use std::sync::Arc;

use api::Moment;
use rpds::RedBlackTreeMapSync;
use scheduler::{AgentId, FrameworkId, Resources};

use crate::core::{Agent, AgentState, Counters, Framework, State, Task, TaskId};

/// One moment of the master's state. Copies cost nothing.
#[derive(Clone, Debug)]
pub struct View {
    /// When it was so.
    pub now: Moment,
    /// All admitted agents.
    pub agents: RedBlackTreeMapSync<AgentId, Arc<Agent>>,
    /// All frameworks, removed ones included.
    pub frameworks: RedBlackTreeMapSync<FrameworkId, Arc<Framework>>,
    /// All tasks whose end is not acknowledged.
    pub tasks: RedBlackTreeMapSync<TaskId, Arc<Task>>,
    /// The newest of the others.
    pub completed: RedBlackTreeMapSync<TaskId, Arc<Task>>,
    /// Offers that were made and not answered.
    pub offers: RedBlackTreeMapSync<u64, Arc<scheduler::Offer>>,
    /// What happened since the master started.
    pub counters: Counters,
}

impl View {
    /// The state as it is at `now`.
    #[must_use]
    pub fn of(state: &State, now: Moment) -> Self {
        Self {
            now,
            agents: state.agents.clone(),
            frameworks: state.frameworks.clone(),
            tasks: state.tasks.clone(),
            completed: state.completed.clone(),
            offers: state.offers.clone(),
            counters: state.counters.clone(),
        }
    }

    /// What all agents have that take part, all that is used of it, and all that is offered.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for agent in self.agents.values() {
            sums.used.push(&agent.used);
            if matches!(agent.state, AgentState::Active | AgentState::Disconnected) {
                sums.total.push(&agent.facts.total);
            }
        }
        for offer in self.offers.values() {
            sums.offered.push(&offer.resources);
        }
        sums
    }
}

/// Resources of many agents, summed up.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// What there is.
    pub total: Amounts,
    /// What tasks use.
    pub used: Amounts,
    /// What is offered.
    pub offered: Amounts,
}

/// Amounts of several agents: ports of the same number on different hosts are different ports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Amounts {
    /// Cores.
    pub cpus: f64,
    /// MiB.
    pub mem: f64,
    /// MiB.
    pub disk: f64,
    /// Devices.
    pub gpus: f64,
    /// How many ports.
    pub ports: u64,
}

impl Amounts {
    /// Adds what one agent has.
    pub fn push(&mut self, resources: &Resources) {
        for (_, bundle) in resources.parts() {
            self.cpus += bundle.cpus().as_f64();
            self.mem += bundle.mem().as_f64();
            self.disk += bundle.disk().as_f64();
            self.gpus += bundle.gpus().as_f64();
            self.ports += bundle.ports().count();
        }
    }
}
