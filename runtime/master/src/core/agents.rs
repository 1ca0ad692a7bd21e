//! Agents come, are admitted, fall silent and come back.

use std::time::Duration;

use api::marathon::Timestamp;
use api::mesos::{Event, Reason, Source, TaskState, TaskStatus};
use scheduler::{AgentId, Resources};

use super::records::{agent_record, counters_record};
use super::{Agent, AgentState, Effect, FromAgent, Registration, Report, TaskId, ToAgent, Turn};

/// Many pings without a word make the agent dial anew, before the master gives it up.
const MISSED_PINGS: u32 = 3;

/// A connection of an agent, and when something was last said on it.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) connection: u64,
    heard: Duration,
    pinged: Duration,
    /// Its registration, until something is heard behind it.
    held: Option<Held>,
}

/// A registration that may have been on its way for long: meanwhile its agent may have served another master. One that has
/// answered on the same connection has not, for then this master would lead no more.
#[derive(Clone, Debug)]
struct Held {
    tasks: Vec<Report>,
}

/// An agent whose admission is being recorded.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    id: AgentId,
    admitted: Timestamp,
    /// `None` when it hung up meanwhile.
    pub(super) connection: Option<u64>,
    registration: Registration,
}

impl Turn<'_> {
    /// An agent dials: it is admitted, taken back, or refused.
    pub(super) fn connect(&mut self, connection: u64, registration: Registration) {
        match registration.id.clone() {
            None => self.admit(connection, registration),
            Some(id) if self.is_of_another(&id, &registration.facts.name) => {
                let message = format!(
                    "agent {id} has another name than {:?}: if this node was given a new name, remove its work \
                     directory and start it again, and it gets a new id",
                    registration.facts.name
                );
                self.refuse(connection, message, true);
            }
            Some(id) if self.state.agents.contains_key(&id) => {
                self.state.counters.reregistrations += 1;
                self.register(&id, connection, registration);
            }
            Some(id) => {
                let message = format!(
                    "agent {id} was never admitted to this cluster ({}): if it belongs to another cluster, give it the \
                     address of that one's master; else stop its tasks, remove its work directory and start it again, and \
                     it gets a new id",
                    self.state.master
                );
                self.refuse(connection, message, true);
            }
        }
    }

    /// Whether the id is on record for an agent of another name, and names are proved.
    fn is_of_another(&self, id: &AgentId, name: &str) -> bool {
        let known = self.state.agents.get(id);
        self.state.config.proved_names && known.is_some_and(|known| known.facts.name != name)
    }

    pub(super) fn refuse(&mut self, connection: u64, message: String, last: bool) {
        self.state.counters.refusals += 1;
        self.note(format!("refused an agent: {message}"));
        self.effects.push(Effect::SendAgent { connection, message: ToAgent::Refused { message, last } });
        self.effects.push(Effect::CloseAgent { connection });
    }

    /// An agent without an id gets one, which is recorded before it is told.
    fn admit(&mut self, connection: u64, registration: Registration) {
        self.state.counters.registrations += 1;
        let same = |other: &super::AgentFacts| {
            let mine = &registration.facts;
            (&other.name, &other.host.hostname, other.address, other.port)
                == (&mine.name, &mine.host.hostname, mine.address, mine.port)
        };
        // One that hung up before it was told its id would otherwise leave a record behind each time.
        let waiting = self.state.admissions.iter_mut().find(|(_, waits)| same(&waits.registration.facts));
        if let Some((_, admission)) = waiting {
            admission.registration = registration;
            if let Some(older) = admission.connection.replace(connection) {
                self.effects.push(Effect::CloseAgent { connection: older });
            }
            return;
        }
        let unheard = self.state.agents.values().find(|agent| !agent.confirmed && same(&agent.facts));
        if let Some(id) = unheard.map(|agent| agent.id.clone()) {
            return self.register(&id, connection, registration);
        }
        let id = AgentId::from(format!("{}-S{}", self.state.master, self.state.next_agent));
        self.state.next_agent += 1;
        let admitted = self.now.wall;
        let batch = agent_record(store::Batch::new(), &id, &registration.facts, admitted);
        let batch = batch.and_then(|batch| counters_record(batch, self.state));
        match batch {
            Ok(batch) => {
                let ticket = self.commit(id.as_str(), batch);
                let admission = Admission { id, admitted, connection: Some(connection), registration };
                self.state.admissions.insert(ticket, admission);
            }
            Err(error) => {
                self.refuse(connection, format!("its admission cannot be recorded: {error}"), true);
            }
        }
    }

    /// The admission is on record: the agent may be told.
    pub(super) fn admitted(&mut self, admission: Admission) {
        let Admission { id, admitted, connection, registration } = admission;
        let agent = Agent {
            id: id.clone(),
            facts: registration.facts.clone(),
            state: AgentState::Disconnected,
            since: self.now.elapsed,
            registered: None,
            reregistered: None,
            used: Resources::default(),
            admitted,
            confirmed: false,
            proved: false,
            unproved: None,
        };
        self.state.agents.insert_mut(id.clone(), agent.into());
        if let Some(connection) = connection {
            self.register(&id, connection, registration);
        }
    }

    /// A known agent has a connection: the newest one counts.
    fn register(&mut self, id: &AgentId, connection: u64, registration: Registration) {
        let Registration { id: told, facts, tasks } = registration;
        self.drop_link(id);
        let (now, silence) = (self.now, self.state.config.ping * MISSED_PINGS);
        let Some(agent) = self.agent_mut(id) else { return };
        let was = std::mem::replace(&mut agent.state, AgentState::Active);
        agent.since = now.elapsed;
        // One without an id has served nobody.
        agent.proved = told.is_none();
        match agent.registered {
            None => agent.registered = Some(now.wall),
            Some(_) => agent.reregistered = Some(now.wall),
        }
        let changed = agent.facts != facts;
        agent.facts = facts;
        let admitted = agent.admitted;
        let waits = told.is_some();
        // One that came again before it had answered is still what it was when it was last believed.
        let (was, differs) = match agent.unproved.take() {
            Some((was, differs)) => (was, differs || changed),
            None => (was, changed),
        };
        agent.unproved = waits.then_some((was, differs));
        let (held, proved) = if waits { (Some(Held { tasks }), None) } else { (None, Some(tasks)) };
        let link = Link { connection, heard: now.elapsed, pinged: now.elapsed, held };
        self.state.links.insert(id.clone(), link);
        self.state.connections.insert(connection, id.clone());
        if changed {
            self.record_agent(id, admitted);
        }
        self.send_agent(id, ToAgent::Registered { agent: id.clone(), silence });
        if let Some(tasks) = proved {
            self.take_over(id, tasks, was, differs);
        } else {
            // Nothing is launched there before it has answered.
            self.take_no_offers(id);
            self.send_agent(id, ToAgent::Ping);
        }
    }

    /// The agent has answered: what it registered with is what it has.
    fn prove(&mut self, id: &AgentId) {
        let Some(held) = self.state.links.get_mut(id).and_then(|link| link.held.take()) else { return };
        let Some(agent) = self.agent_mut(id) else { return };
        agent.proved = true;
        let (was, changed) = agent.unproved.take().unwrap_or((AgentState::Active, false));
        self.take_over(id, held.tasks, was, changed);
    }

    /// Nothing of this agent is offered for now. One that has not answered yet since this master leads is not in the pool at all.
    fn take_no_offers(&mut self, id: &AgentId) {
        if self.state.pool.agent(id).is_some() {
            self.pool(scheduler::Event::AgentUnreachable(id.clone()));
        }
    }

    fn record_agent(&mut self, id: &AgentId, admitted: Timestamp) {
        let Some(agent) = self.state.agents.get(id) else { return };
        match agent_record(store::Batch::new(), id, &agent.facts, admitted) {
            Ok(batch) => {
                self.commit(id.as_str(), batch);
            }
            Err(error) => self.note(format!("what agent {id} says of itself cannot be recorded: {error}")),
        }
    }

    /// Ends the connection of an agent, if it has one.
    fn drop_link(&mut self, id: &AgentId) {
        if let Some(link) = self.state.links.remove(id) {
            self.state.connections.remove(&link.connection);
            self.effects.push(Effect::CloseAgent { connection: link.connection });
        }
    }

    /// A connection is over. Nothing new goes to its agent; what runs there is not touched.
    pub(super) fn disconnect(&mut self, connection: u64) {
        let waiting = self.state.admissions.values_mut().find(|waits| waits.connection == Some(connection));
        if let Some(admission) = waiting {
            admission.connection = None;
            return;
        }
        // Of one that was replaced nothing is left to be done.
        let Some(id) = self.state.connections.remove(&connection) else { return };
        self.state.links.remove(&id);
        let now = self.now.elapsed;
        if let Some(agent) = self.agent_mut(&id) {
            agent.state = AgentState::Disconnected;
            agent.since = now;
        }
        self.take_no_offers(&id);
    }

    /// An agent says something on its newest connection.
    pub(super) fn hear(&mut self, connection: u64, message: FromAgent) {
        let Some(id) = self.state.connections.get(&connection).cloned() else { return };
        let now = self.now.elapsed;
        if let Some(link) = self.state.links.get_mut(&id) {
            link.heard = now;
        }
        if self.state.agents.get(&id).is_some_and(|agent| !agent.confirmed)
            && let Some(agent) = self.agent_mut(&id)
        {
            agent.confirmed = true;
        }
        self.prove(&id);
        match message {
            FromAgent::Pong => self.state.counters.pongs += 1,
            FromAgent::Update { framework, status } => self.update(&id, &framework, status),
            FromAgent::Health { framework, report } => self.health(&id, &framework, report),
            FromAgent::PeersHeld { framework, task, version } => {
                self.peers_held(&id, &(framework, task), version);
            }
        }
    }

    /// Who is to be pinged, and who was silent for too long.
    pub(super) fn tick(&mut self) {
        let (now, config) = (self.now.elapsed, self.state.config.clone());
        let mut lost = Vec::new();
        for agent in self.state.agents.values() {
            let silent = now.saturating_sub(agent.since);
            let over = match agent.state {
                AgentState::Active => {
                    let link = self.state.links.get(&agent.id);
                    link.is_some_and(|link| now.saturating_sub(link.heard) >= config.unreachable_after)
                }
                AgentState::Disconnected => silent >= config.unreachable_after,
                AgentState::Recovering => silent >= config.reregistration,
                AgentState::Unreachable => false,
            };
            if over {
                lost.push(agent.id.clone());
            }
        }
        for id in lost {
            self.lose(&id);
        }
        let away = |state| matches!(state, AgentState::Recovering | AgentState::Unreachable);
        if !self.state.wishes.is_empty() && !self.state.agents.values().any(|agent| away(agent.state)) {
            self.state.wishes.clear();
        }
        for link in self.state.links.values_mut() {
            if now.saturating_sub(link.pinged) >= config.ping {
                link.pinged = now;
                let connection = link.connection;
                self.effects.push(Effect::SendAgent { connection, message: ToAgent::Ping });
            }
        }
    }

    /// An agent is unreachable: its tasks may live or not.
    fn lose(&mut self, id: &AgentId) {
        self.drop_link(id);
        let now = self.now.elapsed;
        let Some(agent) = self.agent_mut(id) else { return };
        agent.state = AgentState::Unreachable;
        if let Some((was, _)) = &mut agent.unproved {
            *was = AgentState::Unreachable;
        }
        agent.since = now;
        let text = format!("agent {id} ({}, {}) does not answer", agent.facts.name, agent.facts.address);
        self.state.counters.unreachable += 1;
        self.note(text.clone());
        self.take_no_offers(id);
        for task in self.tasks_of(id) {
            self.task_unreachable(&task, id, &text);
        }
        let subscribed: Vec<u64> = self.state.channels.keys().copied().collect();
        for channel in subscribed {
            self.effects.push(Effect::SendFramework { channel, event: Event::AgentLost(id.clone()) });
        }
    }

    fn task_unreachable(&mut self, id: &TaskId, agent: &AgentId, text: &str) {
        let wall = self.now.wall;
        let Some(task) = self.task_mut(id) else { return };
        if task.status.state.is_terminal() {
            return;
        }
        let status = TaskStatus {
            task: id.1.clone(),
            state: TaskState::Unreachable,
            message: Some(text.to_owned()),
            source: Source::Master,
            reason: Some(Reason::AgentRemoved),
            agent: Some(agent.clone()),
            uuid: None,
            healthy: None,
            timestamp: wall,
            addresses: Vec::new(),
        };
        task.set_status(status.clone());
        self.tell(&id.0, status);
    }

    /// The tasks that are thought to be on an agent, in order.
    pub(super) fn tasks_of(&self, agent: &AgentId) -> Vec<TaskId> {
        self.state.on_agent.get(agent).into_iter().flatten().cloned().collect()
    }
}
