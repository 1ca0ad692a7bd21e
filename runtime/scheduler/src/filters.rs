//! What frameworks refused, and until when they do not want to see it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::resources::Resources;
use crate::role::Role;

/// One refusal: it hides what is not larger than `refused`.
#[derive(Clone, Debug)]
struct Refused {
    refused: Arc<Resources>,
    until: Duration,
}

/// All refusals by agent and client (a framework in a role), both by index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    by_agent: Vec<BTreeMap<usize, Vec<Refused>>>,
    by_client: Vec<BTreeSet<usize>>,
    /// When to look again: time, agent, client. One entry for each time that a refusal of the pair ends.
    timers: BTreeSet<(Duration, usize, usize)>,
}

impl Filters {
    /// A refusal that says no more than one that is there is not kept, nor is one that this one makes needless.
    pub(crate) fn add(&mut self, agent: usize, client: usize, refused: &Arc<Resources>, until: Duration) {
        if self.by_agent.len() <= agent {
            self.by_agent.resize_with(agent + 1, BTreeMap::new);
        }
        if self.by_client.len() <= client {
            self.by_client.resize_with(client + 1, BTreeSet::new);
        }
        let filters = self.by_agent[agent].entry(client).or_default();
        if filters.iter().any(|known| known.until >= until && known.refused.contains(refused)) {
            return;
        }
        filters.retain(|known| {
            let keep = known.until > until || !refused.contains(&known.refused);
            if !keep {
                self.timers.remove(&(known.until, agent, client));
            }
            keep
        });
        filters.push(Refused { refused: refused.clone(), until });
        // Another one that ends at the same time may just have lost its timer.
        self.timers.extend(filters.iter().map(|filter| (filter.until, agent, client)));
        self.by_client[client].insert(agent);
    }

    /// Whether what is free for `role` on an agent is hidden from a client.
    pub(crate) fn hide(&self, agent: usize, client: usize, free: &Resources, role: &Role) -> bool {
        let filters = self.by_agent.get(agent).and_then(|filters| filters.get(&client));
        filters.is_some_and(|filters| filters.iter().any(|filter| free.is_within(role, &filter.refused)))
    }

    /// Drops what has ended; returns the agents that it was about, some perhaps twice.
    pub(crate) fn expire(&mut self, now: Duration) -> Vec<usize> {
        let mut agents = Vec::new();
        while let Some((until, agent, client)) = self.timers.first().copied()
            && until <= now
        {
            self.timers.pop_first();
            if let Some(filters) = self.by_agent[agent].get_mut(&client) {
                filters.retain(|filter| filter.until > now);
                if filters.is_empty() {
                    self.by_agent[agent].remove(&client);
                    self.by_client[client].remove(&agent);
                }
            }
            agents.push(agent);
        }
        agents
    }

    /// Drops all of a client.
    pub(crate) fn forget_client(&mut self, client: usize) {
        let agents = self.by_client.get_mut(client).map(std::mem::take).unwrap_or_default();
        for agent in agents {
            for filter in self.by_agent[agent].remove(&client).unwrap_or_default() {
                self.timers.remove(&(filter.until, agent, client));
            }
        }
    }

    /// Drops all about an agent.
    pub(crate) fn forget_agent(&mut self, agent: usize) {
        let clients = self.by_agent.get_mut(agent).map(std::mem::take).unwrap_or_default();
        for (client, filters) in clients {
            self.by_client[client].remove(&agent);
            for filter in filters {
                self.timers.remove(&(filter.until, agent, client));
            }
        }
    }
}
