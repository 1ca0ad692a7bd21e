//! The allocator once more, as plainly as it can be said: nothing is kept that can be counted, and all is sorted
//! anew for every agent.

#![expect(clippy::unwrap_used, reason = "in tests, where a panic is the message")]

mod cycle;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use scheduler::{
    Action, AgentId, AgentInfo, Event, Filter, FrameworkId, FrameworkInfo, Offer, OfferId, Refusal,
    Resources, Role, Schedule, Used,
};

#[derive(Default)]
pub(crate) struct Oracle {
    /// Slots are used again, the last that became vacant first.
    pub(crate) agents: Vec<Option<Agent>>,
    vacant: Vec<usize>,
    frameworks: BTreeMap<FrameworkId, Framework>,
    clients: Vec<Client>,
    came: u64,
    pub(crate) offers: BTreeMap<OfferId, Offer>,
    last_offer: u64,
    filters: Vec<Refused>,
    /// How many cycles have run.
    cycles: u64,
    /// Roles in the order of their first mention: weight, offers to its own frameworks, offers to all.
    roles: Vec<(Role, f64, u64, u64)>,
}

/// Framework, role and agent, what was refused, until when, and how many cycles had run then.
type Refused = (FrameworkId, Role, AgentId, Arc<Resources>, Duration, u64);

pub(crate) struct Agent {
    pub(crate) info: AgentInfo,
    schedule: Schedule,
    reachable: bool,
    pub(crate) used: Vec<Used>,
}

struct Framework {
    active: bool,
    removed: bool,
}

struct Client {
    framework: FrameworkId,
    role: Role,
    listed: bool,
    suppressed: bool,
    offers: u64,
    came: u64,
}

impl Oracle {
    pub(crate) fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Err(refusal) = self.dispatch(event, now, &mut actions) {
            actions.push(Action::Refuse(refusal));
        }
        self.settle();
        actions
    }

    fn dispatch(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) -> Result<(), Refusal> {
        match event {
            Event::FrameworkAdded(info) => {
                let framework = Framework { active: true, removed: false };
                self.frameworks.insert(info.id.clone(), framework);
                self.filters.retain(|filter| filter.0 != info.id);
                self.rescind(actions, |offer| offer.framework == info.id);
                self.set_roles(&info, actions);
            }
            Event::FrameworkUpdated(info) => {
                self.known(&info.id)?;
                self.set_roles(&info, actions);
            }
            Event::FrameworkDeactivated(id) => {
                self.known(&id)?.active = false;
                self.filters.retain(|filter| filter.0 != id);
                self.rescind(actions, |offer| offer.framework == id);
            }
            Event::FrameworkRemoved(id) => {
                let framework = self.known(&id)?;
                (framework.active, framework.removed) = (false, true);
                self.filters.retain(|filter| filter.0 != id);
                self.rescind(actions, |offer| offer.framework == id);
                for client in self.clients.iter_mut().filter(|client| client.framework == id) {
                    client.listed = false;
                }
            }
            Event::AgentAdded { agent, used } => {
                if self.slot(&agent.id).is_ok() {
                    return Err(Refusal::DuplicateAgent(agent.id));
                }
                let used: Vec<Used> = used.into_iter().filter(|part| !part.resources.is_empty()).collect();
                for part in &used {
                    self.frameworks
                        .entry(part.framework.clone())
                        .or_insert(Framework { active: false, removed: true });
                    self.client(&part.framework, &part.role);
                }
                let agent = Agent { info: agent, schedule: Schedule::Active, reachable: true, used };
                match self.vacant.pop() {
                    Some(slot) => self.agents[slot] = Some(agent),
                    None => self.agents.push(Some(agent)),
                }
            }
            Event::AgentUpdated(info) => {
                let slot = self.slot(&info.id)?;
                self.rescind(actions, |offer| offer.agent == info.id);
                let agent = self.agents[slot].as_mut().unwrap();
                if agent.info.host != info.host {
                    self.filters.retain(|filter| filter.2 != info.id);
                }
                agent.info = info;
            }
            Event::AgentRemoved(id) => {
                let slot = self.slot(&id)?;
                self.rescind(actions, |offer| offer.agent == id);
                self.filters.retain(|filter| filter.2 != id);
                self.agents[slot] = None;
                self.vacant.push(slot);
            }
            Event::AgentUnreachable(id) => {
                self.agent(&id)?.reachable = false;
                self.rescind(actions, |offer| offer.agent == id);
            }
            Event::AgentReachable(id) => {
                self.agent(&id)?.reachable = true;
                self.withdraw(&id, actions);
            }
            Event::AgentDrain(id) => {
                self.agent(&id)?.schedule = Schedule::Draining;
                self.withdraw(&id, actions);
            }
            Event::AgentDeactivate(id) => {
                self.agent(&id)?.schedule = Schedule::Deactivated;
                self.withdraw(&id, actions);
            }
            Event::AgentUndrain(id) => {
                self.agent(&id)?.schedule = Schedule::Active;
                self.withdraw(&id, actions);
            }
            Event::Accept { framework, offers, consumed, filter } => {
                self.accept(&framework, &offers, consumed, now, filter)?;
            }
            Event::Decline { framework, offers, filter } => {
                self.known(&framework)?;
                for id in offers {
                    match self.offers.get(&id).filter(|offer| offer.framework == framework).cloned() {
                        Some(offer) => {
                            self.offers.remove(&id);
                            self.refuse(&offer, offer.resources.clone(), now, filter);
                        }
                        None => actions.push(Action::Refuse(Refusal::UnknownOffer(id))),
                    }
                }
            }
            Event::Rescind(ids) => {
                for id in ids {
                    if self.offers.contains_key(&id) {
                        self.rescind(actions, |offer| offer.id == id);
                    } else {
                        actions.push(Action::Refuse(Refusal::UnknownOffer(id)));
                    }
                }
            }
            Event::Suppress { framework, roles } => {
                for client in self.named(&framework, &roles, actions)? {
                    self.clients[client].suppressed = true;
                }
            }
            Event::Revive { framework, roles } => {
                for client in self.named(&framework, &roles, actions)? {
                    self.clients[client].suppressed = false;
                    let role = self.clients[client].role.clone();
                    self.filters.retain(|filter| (&filter.0, &filter.1) != (&framework, &role));
                }
            }
            Event::Recovered { framework, role, agent, resources } => {
                self.recover(&framework, &role, &agent, &resources)?;
            }
            Event::WeightSet { role, weight } => {
                if !(weight > 0.0 && weight.is_finite()) {
                    return Err(Refusal::BadWeight(role));
                }
                let at = self.role(&role);
                self.roles[at].1 = weight;
            }
            Event::Cycle => self.cycle(now, actions),
        }
        Ok(())
    }

    fn known(&mut self, id: &FrameworkId) -> Result<&mut Framework, Refusal> {
        let known = self.frameworks.get_mut(id).filter(|framework| !framework.removed);
        known.ok_or_else(|| Refusal::UnknownFramework(id.clone()))
    }

    fn slot(&self, id: &AgentId) -> Result<usize, Refusal> {
        let is = |agent: &Option<Agent>| agent.as_ref().is_some_and(|agent| agent.info.id == *id);
        self.agents.iter().position(is).ok_or_else(|| Refusal::UnknownAgent(id.clone()))
    }

    fn agent(&mut self, id: &AgentId) -> Result<&mut Agent, Refusal> {
        let slot = self.slot(id)?;
        Ok(self.agents[slot].as_mut().unwrap())
    }

    fn withdraw(&mut self, id: &AgentId, actions: &mut Vec<Action>) {
        let agent = self.agent(id).unwrap();
        if !agent.reachable || agent.schedule != Schedule::Active {
            self.rescind(actions, |offer| offer.agent == *id);
        }
    }

    fn role(&mut self, role: &Role) -> usize {
        if let Some(parent) = role.parent() {
            self.role(&parent);
        }
        let known = self.roles.iter().position(|known| known.0 == *role);
        known.unwrap_or_else(|| {
            self.roles.push((role.clone(), 1.0, 0, 0));
            self.roles.len() - 1
        })
    }

    fn client(&mut self, framework: &FrameworkId, role: &Role) -> usize {
        let is = |client: &Client| (&client.framework, &client.role) == (framework, role);
        if let Some(at) = self.clients.iter().position(is) {
            return at;
        }
        self.role(role);
        self.came += 1;
        self.clients.push(Client {
            framework: framework.clone(),
            role: role.clone(),
            listed: false,
            suppressed: false,
            offers: 0,
            came: self.came,
        });
        self.clients.len() - 1
    }

    fn set_roles(&mut self, info: &FrameworkInfo, actions: &mut Vec<Action>) {
        for role in &info.roles {
            let client = self.client(&info.id, role);
            self.clients[client].suppressed = info.suppressed.contains(role);
        }
        for client in self.clients.iter_mut().filter(|client| client.framework == info.id) {
            client.listed = info.roles.contains(&client.role);
        }
        self.filters.retain(|filter| filter.0 != info.id || info.roles.contains(&filter.1));
        self.rescind(actions, |offer| offer.framework == info.id && !info.roles.contains(&offer.role));
    }

    fn named(
        &mut self,
        framework: &FrameworkId,
        roles: &[Role],
        actions: &mut Vec<Action>,
    ) -> Result<Vec<usize>, Refusal> {
        self.known(framework)?;
        let mine = |client: &Client| client.framework == *framework && client.listed;
        if roles.is_empty() {
            return Ok((0..self.clients.len()).filter(|at| mine(&self.clients[*at])).collect());
        }
        let mut out = Vec::new();
        for role in roles {
            match self.clients.iter().position(|client| mine(client) && client.role == *role) {
                Some(at) => out.push(at),
                None => actions.push(Action::Refuse(Refusal::UnknownRole {
                    framework: framework.clone(),
                    role: role.clone(),
                })),
            }
        }
        Ok(out)
    }

    fn rescind(&mut self, actions: &mut Vec<Action>, which: impl Fn(&Offer) -> bool) {
        self.offers.retain(|id, offer| {
            if !which(offer) {
                return true;
            }
            let (framework, agent) = (offer.framework.clone(), offer.agent.clone());
            actions.push(Action::Rescind { offer: *id, framework, agent });
            false
        });
    }

    fn refuse(&mut self, offer: &Offer, rest: Arc<Resources>, now: Duration, filter: Filter) {
        if rest.is_empty() || filter == Filter::NONE {
            return;
        }
        let until = now + filter.duration();
        let theirs =
            |known: &Refused| (&known.0, &known.1, &known.2) == (&offer.framework, &offer.role, &offer.agent);
        // One that says the same and more, and is as new.
        let says = |known: &Refused| known.4 >= until && known.5 == self.cycles && known.3.contains(&rest);
        if self.filters.iter().any(|known| theirs(known) && says(known)) {
            return;
        }
        self.filters.retain(|known| !theirs(known) || known.4 > until || !rest.contains(&known.3));
        let (framework, role, agent) = (offer.framework.clone(), offer.role.clone(), offer.agent.clone());
        self.filters.push((framework, role, agent, rest, until, self.cycles));
        let of_pair: Vec<usize> = (0..self.filters.len()).filter(|at| theirs(&self.filters[*at])).collect();
        if of_pair.len() > 8 {
            let first = of_pair.into_iter().min_by_key(|at| self.filters[*at].4).unwrap();
            self.filters.remove(first);
        }
    }

    fn accept(
        &mut self,
        framework: &FrameworkId,
        ids: &[OfferId],
        consumed: Resources,
        now: Duration,
        filter: Filter,
    ) -> Result<(), Refusal> {
        self.known(framework)?;
        let mut offers: Vec<Offer> = Vec::new();
        let mut refusal = None;
        let mut sum = Resources::default();
        for id in ids {
            let offer = self.offers.get(id).filter(|offer| offer.framework == *framework);
            match offer.filter(|_| !offers.iter().any(|known| known.id == *id)) {
                None => refusal = refusal.or(Some(Refusal::UnknownOffer(*id))),
                Some(offer) => {
                    let same = |first: &Offer| (&first.agent, &first.role) == (&offer.agent, &offer.role);
                    if !offers.first().is_none_or(same) {
                        refusal = refusal.or(Some(Refusal::MixedOffers));
                    }
                    sum.add(&offer.resources);
                    offers.push(offer.clone());
                }
            }
        }
        for offer in &offers {
            self.offers.remove(&offer.id);
        }
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let first = offers.first().ok_or(Refusal::NoOffers)?.clone();
        let rest = sum.checked_sub(&consumed).map_err(Refusal::NotOffered)?;
        if !consumed.is_empty() {
            let (framework, role) = (first.framework.clone(), first.role.clone());
            self.agent(&first.agent)?.used.push(Used { framework, role, resources: consumed });
        }
        self.refuse(&first, Arc::new(rest), now, filter);
        Ok(())
    }

    fn recover(
        &mut self,
        framework: &FrameworkId,
        role: &Role,
        agent: &AgentId,
        resources: &Resources,
    ) -> Result<(), Refusal> {
        self.agent(agent)?;
        if !self.frameworks.contains_key(framework) {
            return Err(Refusal::UnknownFramework(framework.clone()));
        }
        let mine = |client: &Client| (&client.framework, &client.role) == (framework, role);
        if !self.clients.iter().any(mine) {
            return Err(Refusal::UnknownRole { framework: framework.clone(), role: role.clone() });
        }
        let agent = self.agent(agent)?;
        let mut sum = Resources::default();
        for part in agent.used.iter().filter(|part| (&part.framework, &part.role) == (framework, role)) {
            sum.add(&part.resources);
        }
        let rest = sum.checked_sub(resources).map_err(Refusal::NotInUse)?;
        agent.used.retain(|part| (&part.framework, &part.role) != (framework, role));
        if !rest.is_empty() {
            agent.used.push(Used { framework: framework.clone(), role: role.clone(), resources: rest });
        }
        Ok(())
    }

    /// Forgets clients that left their role and hold nothing, frameworks that are gone and have no clients, and roles
    /// without clients and weights, of their own or below them.
    fn settle(&mut self) {
        let Oracle { agents, offers, clients, frameworks, filters, roles, .. } = self;
        clients.retain(|client| {
            let is =
                |framework: &FrameworkId, role: &Role| (framework, role) == (&client.framework, &client.role);
            let keep = client.listed
                || offers.values().any(|offer| is(&offer.framework, &offer.role))
                || agents.iter().flatten().any(|a| a.used.iter().any(|u| is(&u.framework, &u.role)));
            if !keep {
                filters.retain(|filter| !is(&filter.0, &filter.1));
            }
            keep
        });
        frameworks.retain(|id, framework| {
            !framework.removed || clients.iter().any(|client| client.framework == *id)
        });
        let weighed: Vec<Role> =
            roles.iter().filter(|known| known.1 != 1.0).map(|known| known.0.clone()).collect();
        let wanted = || weighed.iter().chain(clients.iter().map(|client| &client.role));
        roles.retain(|known| wanted().any(|role| known.0.covers(role)));
    }
}
