//! Offers: what the scheduler's pool makes of what happens, and what frameworks do with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::mesos::{CommandLine, Event, Offer, Reason, TaskInfo, TaskKey, TaskState};
use scheduler::{Action, AgentId, Filter, FrameworkId, OfferId, Refusal, Resources, Role};

use super::{Task, ToAgent, Turn};

/// What offers that are accepted together amount to.
struct Basket {
    ids: Vec<OfferId>,
    agent: AgentId,
    role: Role,
    left: Resources,
}

impl Turn<'_> {
    /// Lets the scheduler know of something, and does what follows.
    pub(super) fn pool(&mut self, event: scheduler::Event) {
        let mut made: BTreeMap<FrameworkId, Vec<Offer>> = BTreeMap::new();
        for action in scheduler::step(&mut self.state.pool, event, self.now.elapsed) {
            match action {
                Action::Offer(offer) => {
                    let Some(shown) = self.show(&offer) else { continue };
                    self.state.counters.offers += 1;
                    made.entry(offer.framework.clone()).or_default().push(shown);
                    self.state.offers.insert_mut(offer.id.0, Arc::new(offer));
                }
                Action::Rescind { offer, framework, .. } => {
                    self.state.counters.rescinded += 1;
                    self.state.offers.remove_mut(&offer.0);
                    let name = self.offer_name(offer);
                    self.send_framework(&framework, Event::Rescind(name));
                }
                Action::Refuse(Refusal::UnknownOffer(_)) => {}
                Action::Refuse(refusal) => self.note(format!("the scheduler did not do it: {refusal}")),
            }
        }
        for (framework, offers) in made {
            self.send_framework(&framework, Event::Offers(offers));
        }
    }

    /// It is time to make offers.
    pub(super) fn cycle(&mut self) {
        self.state.counters.cycles += 1;
        self.pool(scheduler::Event::Cycle);
    }

    fn offer_name(&self, id: OfferId) -> String {
        format!("{}-{id}", self.state.master)
    }

    fn offer_id(&self, name: &str) -> Option<OfferId> {
        let number = name.strip_prefix(&self.state.master)?.strip_prefix("-O")?;
        let id = OfferId(number.parse().ok()?);
        (self.offer_name(id) == name).then_some(id)
    }

    fn show(&self, offer: &scheduler::Offer) -> Option<Offer> {
        let agent = self.state.agents.get(&offer.agent)?;
        Some(Offer {
            id: self.offer_name(offer.id),
            role: offer.role.clone(),
            agent: offer.agent.clone(),
            host: agent.facts.host.clone(),
            address: agent.facts.address,
            resources: (*offer.resources).clone(),
        })
    }

    /// What is used of an agent, as the pool has it, for readers.
    pub(super) fn recount(&mut self, id: &AgentId) {
        let mut sum = Resources::default();
        if let Some(agent) = self.state.pool.agent(id) {
            for (_, _, used) in self.state.pool.used(agent) {
                sum.add(used);
            }
        }
        if let Some(agent) = self.agent_mut(id) {
            agent.used = sum;
        }
    }

    /// A framework launches tasks on offers, or declines them by launching none.
    pub(super) fn accept(
        &mut self,
        id: &FrameworkId,
        names: &[String],
        tasks: Vec<TaskInfo>,
        filter: Filter,
    ) {
        let mut basket = match self.basket(id, names) {
            Ok(basket) => basket,
            Err(problem) => {
                let valid: Vec<OfferId> = names.iter().filter_map(|name| self.own_offer(id, name)).collect();
                self.give_back(id, valid, Filter::NONE);
                for task in tasks {
                    let agent = self.state.agents.get(&task.agent).map(|agent| agent.id.clone());
                    let (state, reason) = (TaskState::Dropped, Reason::InvalidOffers);
                    let status = self.own_status(&task.id, agent.as_ref(), state, reason, &problem);
                    self.drop_launch(id, status);
                }
                return;
            }
        };
        let connected = self.state.links.contains_key(&basket.agent);
        let mut consumed = Resources::default();
        let mut launched: Vec<TaskInfo> = Vec::new();
        let mut seen: BTreeSet<TaskKey> = BTreeSet::new();
        for task in tasks {
            let wrong = match self.check_task(id, &task, &basket) {
                _ if !seen.insert(task.id.clone()) => {
                    Some("its id stands twice in the same ACCEPT".to_owned())
                }
                wrong => wrong,
            };
            let agent = basket.agent.clone();
            let status = if let Some(wrong) = wrong {
                let text = format!("task {} is invalid: {wrong}", task.id);
                self.own_status(&task.id, Some(&agent), TaskState::Error, Reason::TaskInvalid, text)
            } else if !connected {
                let text = format!("agent {agent} is not connected");
                let (state, reason) = (TaskState::Dropped, Reason::AgentDisconnected);
                self.own_status(&task.id, Some(&agent), state, reason, text)
            } else {
                basket.left.saturating_sub(&task.resources);
                consumed.add(&task.resources);
                launched.push(task);
                continue;
            };
            self.drop_launch(id, status);
        }
        for offer in &basket.ids {
            self.state.offers.remove_mut(&offer.0);
        }
        let (framework, offers) = (id.clone(), basket.ids);
        self.pool(scheduler::Event::Accept { framework, offers, consumed, filter });
        for task in launched {
            self.launch(id, task);
        }
        self.recount(&basket.agent);
    }

    /// A task that was never launched: its framework is told, and that is all.
    fn drop_launch(&mut self, framework: &FrameworkId, status: api::mesos::TaskStatus) {
        *self.state.counters.ended.entry(status.state.name()).or_default() += 1;
        self.tell(framework, status);
    }

    fn own_offer(&self, framework: &FrameworkId, name: &str) -> Option<OfferId> {
        let id = self.offer_id(name)?;
        (self.state.pool.offer(id)?.framework == *framework).then_some(id)
    }

    /// The offers together, or why they cannot be taken together.
    fn basket(&self, framework: &FrameworkId, names: &[String]) -> Result<Basket, String> {
        let mut basket: Option<Basket> = None;
        for name in names {
            let gone = || format!("offer {name} is not valid: it was used, declined or taken back");
            let id = self.own_offer(framework, name).ok_or_else(gone)?;
            let offer = self.state.pool.offer(id).ok_or_else(gone)?;
            match &mut basket {
                None => {
                    basket = Some(Basket {
                        ids: vec![id],
                        agent: offer.agent,
                        role: offer.role,
                        left: (*offer.resources).clone(),
                    });
                }
                Some(basket) if basket.ids.contains(&id) => return Err(format!("offer {name} stands twice")),
                Some(basket) if basket.agent != offer.agent => {
                    return Err("the offers are of several agents".to_owned());
                }
                Some(basket) if basket.role != offer.role => {
                    return Err("the offers are for several roles".to_owned());
                }
                Some(basket) => {
                    basket.ids.push(id);
                    basket.left.add(&offer.resources);
                }
            }
        }
        basket.ok_or_else(|| "no offers are named".to_owned())
    }

    /// What is wrong with a task, if something is.
    fn check_task(&self, framework: &FrameworkId, task: &TaskInfo, basket: &Basket) -> Option<String> {
        let id = (framework.clone(), task.id.clone());
        if self.state.tasks.contains_key(&id) || self.state.completed.contains_key(&id) {
            return Some("its id is, or was, another task's; each launch needs an id of its own".to_owned());
        }
        if task.agent != basket.agent {
            return Some(format!("it is for agent {}, the offer is of {}", task.agent, basket.agent));
        }
        if task.role != basket.role {
            return Some(format!("it is for role {}, the offer is for {}", task.role, basket.role));
        }
        if matches!(&task.command.line, CommandLine::Argv(argv) if argv.is_empty()) {
            return Some("it has no command".to_owned());
        }
        if task.resources.is_empty() {
            return Some("it has no resources".to_owned());
        }
        let missing = basket.left.missing(&task.resources)?;
        Some(format!("it takes more than was offered: {missing}"))
    }

    fn launch(&mut self, framework: &FrameworkId, task: TaskInfo) {
        let info = Arc::new(task);
        let (state, reason) = (TaskState::Staging, Reason::Reconciliation);
        let mut status = self.own_status(&info.id, Some(&info.agent), state, reason, "");
        (status.reason, status.message) = (None, None);
        self.state.next_task += 1;
        self.state.counters.launched += 1;
        let task = Task {
            framework: framework.clone(),
            info: Arc::new(info.outline()),
            history: vec![(status.state, status.timestamp)],
            status,
            number: self.state.next_task,
            health: BTreeMap::new(),
            directory: String::new(),
            peers: info.peers.as_ref().map(|peers| peers.version),
            counted: true,
            unacknowledged: None,
            acknowledged: None,
            kill: None,
        };
        self.insert_task(task);
        let agent = info.agent.clone();
        self.send_agent(&agent, ToAgent::Launch { framework: framework.clone(), info });
    }

    /// A framework wants none of these. Offers that are not valid any more are passed over.
    pub(super) fn decline(&mut self, id: &FrameworkId, names: &[String], filter: Filter) {
        let offers: Vec<OfferId> = names.iter().filter_map(|name| self.own_offer(id, name)).collect();
        self.give_back(id, offers, filter);
    }

    fn give_back(&mut self, framework: &FrameworkId, offers: Vec<OfferId>, filter: Filter) {
        for offer in &offers {
            self.state.offers.remove_mut(&offer.0);
        }
        if !offers.is_empty() {
            self.pool(scheduler::Event::Decline { framework: framework.clone(), offers, filter });
        }
    }
}
