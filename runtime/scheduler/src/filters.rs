//! What frameworks refused, and until when they do not want to see it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::resources::Resources;
use crate::role::Role;

/// The most refusals of a client about an agent. One more takes the place of the one that ends first.
const MOST: usize = 8;

/// One refusal: it hides what is not larger than `refused`.
#[derive(Clone, Debug)]
struct Refused {
    refused: Arc<Resources>,
    until: Duration,
    /// How many cycles had run when it was made.
    since: u64,
}

/// All refusals by agent and client (a framework in a role), both by index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    by_agent: Vec<BTreeMap<usize, Vec<Refused>>>,
    by_client: Vec<BTreeSet<usize>>,
    /// When to look again: time, agent, client. One entry for each time that a refusal of the pair ends.
    timers: BTreeSet<(Duration, usize, usize)>,
    /// How many cycles have run.
    cycles: u64,
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
        let since = self.cycles;
        let filters = self.by_agent[agent].entry(client).or_default();
        // One of an earlier cycle may end in the next one, which this one is to outlast.
        let says =
            |known: &Refused| known.since == since && known.until >= until && known.refused.contains(refused);
        if filters.iter().any(says) {
            return;
        }
        let mut gone = Vec::new();
        filters.retain(|known| {
            let keep = known.until > until || !refused.contains(&known.refused);
            if !keep {
                gone.push(known.until);
            }
            keep
        });
        filters.push(Refused { refused: refused.clone(), until, since });
        if filters.len() > MOST
            && let Some((first, _)) = filters.iter().enumerate().min_by_key(|(_, filter)| filter.until)
        {
            gone.push(filters.remove(first).until);
        }
        for until in gone {
            // Another one that ends at the same time needs the timer too.
            if filters.iter().all(|filter| filter.until != until) {
                self.timers.remove(&(until, agent, client));
            }
        }
        if filters.iter().any(|filter| filter.until == until) {
            self.timers.insert((until, agent, client));
        }
        self.by_client[client].insert(agent);
    }

    /// Whether what is free for `role` on an agent is hidden from a client.
    pub(crate) fn hide(&self, agent: usize, client: usize, free: &Resources, role: &Role) -> bool {
        let filters = self.by_agent.get(agent).and_then(|filters| filters.get(&client));
        filters.is_some_and(|filters| filters.iter().any(|filter| free.is_within(role, &filter.refused)))
    }

    /// A cycle begins: drops what has ended and was there in the cycle before, since one that is shorter than the time
    /// between two cycles would hide nothing (MESOS-4302). Returns the agents that it was about, some perhaps twice.
    pub(crate) fn begin_cycle(&mut self, now: Duration) -> Vec<usize> {
        let cycles = self.cycles;
        self.cycles += 1;
        let (mut agents, mut later) = (Vec::new(), Vec::new());
        while let Some((until, agent, client)) = self.timers.first().copied()
            && until <= now
        {
            self.timers.pop_first();
            let Some(filters) = self.by_agent[agent].get_mut(&client) else { continue };
            let before = filters.len();
            filters.retain(|filter| filter.until > now || filter.since == cycles);
            if filters.len() < before {
                agents.push(agent);
            }
            if filters.iter().any(|filter| filter.until == until) {
                later.push((until, agent, client));
            }
            if filters.is_empty() {
                self.by_agent[agent].remove(&client);
                self.by_client[client].remove(&agent);
            }
        }
        self.timers.extend(later);
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

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(100);

    fn resources(text: &str) -> Arc<Resources> {
        Arc::new(text.parse().unwrap())
    }

    /// None of these hides what another one does.
    fn nth(n: u64) -> Arc<Resources> {
        resources(&format!("cpus:{};mem:{}", n + 1, 100 - n))
    }

    #[test]
    fn a_client_that_refuses_again_and_again_fills_no_memory() {
        let mut filters = Filters::default();
        for n in 0..100 {
            filters.add(3, 5, &nth(n), LATER + Duration::from_secs(n));
        }
        let hidden = |filters: &Filters| -> Vec<u64> {
            (0..100).filter(|n| filters.hide(3, 5, &nth(*n), &Role::star())).collect()
        };
        assert_eq!(hidden(&filters), (92..100).collect::<Vec<_>>(), "those that end last");
        assert_eq!(filters.timers.len(), MOST);
        filters.add(3, 5, &nth(0), Duration::ZERO);
        assert_eq!(hidden(&filters).len(), MOST);
        assert_eq!(filters.timers.len(), MOST, "one that ends first of all is not kept, nor is its timer");
    }

    #[test]
    fn a_timer_stays_as_long_as_a_refusal_needs_it() {
        let mut filters = Filters::default();
        filters.add(0, 0, &resources("cpus:1"), LATER);
        filters.add(0, 0, &resources("mem:1"), LATER);
        filters.add(0, 0, &resources("cpus:2"), LATER + LATER);
        assert_eq!(filters.timers.len(), 2);
        assert_eq!(filters.begin_cycle(Duration::ZERO), [0; 0]);
        assert_eq!(filters.begin_cycle(LATER), [0]);
        filters.add(0, 0, &resources("cpus:3;mem:3"), LATER + LATER + LATER);
        assert_eq!(filters.timers.len(), 1);
        assert_eq!(filters.begin_cycle(LATER * 3), [0; 0], "none ran since");
        assert_eq!(filters.begin_cycle(LATER * 3), [0]);
        assert!(filters.timers.is_empty() && filters.by_client[0].is_empty());
    }
}
