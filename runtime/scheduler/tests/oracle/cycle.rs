//! Who is next, and what they are offered.

use std::sync::Arc;
use std::time::Duration;

use scheduler::{Action, FrameworkId, Offer, OfferId, Resources, Role, Scalars, Schedule};

use super::{Agent, Oracle, Refused};

/// Share, offers, who came first, for each level from the top.
type Path = Vec<(u64, u64, u64)>;

fn for_role(free: &Resources, role: &Role) -> Resources {
    let mut out = Resources::default();
    for (part, bundle) in free.parts() {
        if part.is_star() || part.covers(role) {
            out.add_part(&part, bundle);
        }
    }
    out
}

impl Oracle {
    /// What is held by the clients that are asked for, offers included.
    fn held(&self, whose: impl Fn(&FrameworkId, &Role) -> bool) -> Scalars {
        let mut sum = Scalars::default();
        for offer in self.offers.values().filter(|offer| whose(&offer.framework, &offer.role)) {
            sum.add(&offer.resources.scalars());
        }
        for part in self.agents.iter().flatten().flat_map(|agent| &agent.used) {
            if whose(&part.framework, &part.role) {
                sum.add(&part.resources.scalars());
            }
        }
        sum
    }

    /// Frameworks that want offers, next one first.
    pub(crate) fn order(&self) -> Vec<(FrameworkId, Role)> {
        let mut total = Scalars::default();
        for agent in self.agents.iter().flatten() {
            total.add(&agent.info.total.scalars());
        }
        // The largest part of anything that there is, in words of its own.
        let share = |held: Scalars, weight: f64| {
            let mut most = 0.0;
            for (name, all) in total.iter() {
                let part = held.get(name).as_f64() / all.as_f64();
                most = if part > most { part } else { most };
            }
            (most / weight).to_bits()
        };
        let mut levels: Vec<(u64, u64)> = Vec::new();
        for (role, weight, _, all) in &self.roles {
            levels.push((share(self.held(|_, r| role.covers(r)), *weight), *all));
        }
        let mut clients: Vec<(Path, usize)> = Vec::new();
        for (at, client) in self.clients.iter().enumerate() {
            if !client.listed || client.suppressed || !self.frameworks[&client.framework].active {
                continue;
            }
            let mut path = Path::new();
            let above = self.roles.iter().enumerate().filter(|(_, known)| known.0.covers(&client.role));
            let mut above: Vec<usize> = above.map(|(index, _)| index).collect();
            above.sort_by_key(|index| self.roles[*index].0.as_str().len());
            path.extend(above.iter().map(|index| (levels[*index].0, levels[*index].1, *index as u64 + 1)));
            let own = self.roles[*above.last().unwrap()].2;
            path.push((share(self.held(|_, role| *role == client.role), 1.0), own, 0));
            let mine = |f: &FrameworkId, r: &Role| (f, r) == (&client.framework, &client.role);
            path.push((share(self.held(mine), 1.0), client.offers, client.came));
            clients.push((path, at));
        }
        clients.sort();
        let name = |at: usize| (self.clients[at].framework.clone(), self.clients[at].role.clone());
        clients.into_iter().map(|(_, at)| name(at)).collect()
    }

    pub(crate) fn free(&self, agent: &Agent) -> Resources {
        let mut free = agent.info.total.clone();
        for part in &agent.used {
            free.saturating_sub(&part.resources);
        }
        for offer in self.offers.values().filter(|offer| offer.agent == agent.info.id) {
            free.saturating_sub(&offer.resources);
        }
        free
    }

    pub(super) fn cycle(&mut self, now: Duration, actions: &mut Vec<Action>) {
        // One that was made since the last cycle hides in this one, whenever it ends.
        self.filters.retain(|filter| filter.4 > now || filter.5 == self.cycles);
        self.cycles += 1;
        for slot in 0..self.agents.len() {
            let Some(agent) = &self.agents[slot] else { continue };
            if !agent.reachable || agent.schedule != Schedule::Active {
                continue;
            }
            let id = agent.info.id.clone();
            let mut free = self.free(agent);
            for (framework, role) in self.order() {
                let resources = for_role(&free, &role);
                let hides = |filter: &Refused| {
                    (&filter.0, &filter.1, &filter.2) == (&framework, &role, &id)
                        && filter.3.contains(&resources)
                };
                if !resources.is_allocatable() || self.filters.iter().any(hides) {
                    continue;
                }
                free.saturating_sub(&resources);
                self.last_offer += 1;
                let client = self.client(&framework, &role);
                self.clients[client].offers += 1;
                for known in self.roles.iter_mut().filter(|known| known.0.covers(&role)) {
                    known.2 += u64::from(known.0 == role);
                    known.3 += 1;
                }
                let offer = Offer {
                    id: OfferId(self.last_offer),
                    framework,
                    role,
                    agent: id.clone(),
                    resources: Arc::new(resources),
                };
                self.offers.insert(offer.id, offer.clone());
                actions.push(Action::Offer(offer));
            }
        }
    }
}
