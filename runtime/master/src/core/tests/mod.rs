//! The decisions, one rule at a time, and all together against agents that lose, repeat and reorder.

mod agents;
mod frameworks;
mod launch;
mod play;
mod property;
mod reconcile;
mod records;
mod updates;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::Moment;
use api::marathon::{Timestamp, Uuid};
use api::mesos::{
    Call, Command, CommandLine, Event, FrameworkInfo, Limits, Offer, Reason, Source, TaskInfo, TaskState,
    TaskStatus,
};
use scheduler::{AgentId, Filter, FrameworkId, Host, Role};

use super::{
    AgentFacts, AgentState, Config, Effect, FrameworkState, FromAgent, Input, Registration, Report, State,
    ToAgent, step,
};

/// A master whose store always works, at a time that the test sets.
struct World {
    state: State,
    now: Moment,
    next: u64,
}

impl World {
    fn new() -> Self {
        Self::of(State::new("m".to_owned(), Config::default()))
    }

    fn of(state: State) -> Self {
        let now = Moment { elapsed: Duration::from_secs(1), wall: Timestamp::from_millis(1_000) };
        Self { state, now, next: 0 }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// One input, and the store's answers to what follows.
    fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = self.raw(input);
        let mut at = 0;
        while at < effects.len() {
            if let Effect::Commit { ticket, .. } = &effects[at] {
                let more = self.raw(Input::Committed { ticket: *ticket });
                effects.extend(more);
            }
            at += 1;
        }
        effects
    }

    fn raw(&mut self, input: Input) -> Vec<Effect> {
        step(&mut self.state, input, self.now)
    }

    fn pass(&mut self, seconds: u64) -> Vec<Effect> {
        self.now.elapsed += Duration::from_secs(seconds);
        let wall = self.now.wall.as_millis() + i64::try_from(seconds).unwrap() * 1000;
        self.now.wall = Timestamp::from_millis(wall);
        self.step(Input::Tick)
    }

    fn connect(&mut self, registration: Registration) -> (u64, Vec<Effect>) {
        let connection = self.number();
        let mut effects = self.step(Input::AgentConnected { connection, registration });
        // Whoever was there before is asked whether it still is.
        if effects.contains(&Effect::SendAgent { connection, message: ToAgent::Ping }) {
            effects.extend(self.say(connection, FromAgent::Pong));
        }
        (connection, effects)
    }

    /// A new agent.
    fn agent(&mut self, name: &str) -> (u64, AgentId) {
        let (connection, effects) = self.connect(registration(None, name));
        (connection, registered(&effects))
    }

    fn back(&mut self, id: &AgentId, name: &str, tasks: Vec<Report>) -> (u64, Vec<Effect>) {
        self.connect(Registration { tasks, ..registration(Some(id), name) })
    }

    /// A framework that is subscribed.
    fn framework(&mut self, name: &str) -> (u64, FrameworkId) {
        let channel = self.number();
        let effects = self.step(Input::Subscribed { channel, info: info(name) });
        let id = events(&effects).into_iter().find_map(|event| match event {
            Event::Subscribed { framework, .. } => Some(framework.clone()),
            _ => None,
        });
        (channel, id.unwrap())
    }

    fn call(&mut self, channel: u64, call: Call) -> Vec<Effect> {
        self.step(Input::Call { channel, call })
    }

    fn say(&mut self, connection: u64, message: FromAgent) -> Vec<Effect> {
        self.step(Input::AgentMessage { connection, message })
    }

    fn offers(&mut self) -> Vec<Offer> {
        let effects = self.step(Input::Cycle);
        let offers = events(&effects).into_iter().filter_map(|event| match event {
            Event::Offers(offers) => Some(offers.clone()),
            _ => None,
        });
        offers.flatten().collect()
    }

    fn accept(&mut self, channel: u64, offers: &[&Offer], tasks: Vec<TaskInfo>) -> Vec<Effect> {
        let offers = offers.iter().map(|offer| offer.id.clone()).collect();
        self.call(channel, Call::Accept { offers, tasks, filter: Filter::NONE })
    }

    /// One task launched on the first offer there is.
    fn launch(&mut self, channel: u64, id: &str) -> TaskInfo {
        let offer = self.offers().remove(0);
        let info = task(&offer, id, "cpus:1;mem:64");
        let effects = self.accept(channel, &[&offer], vec![info.clone()]);
        assert!(
            to_agents(&effects).iter().any(|message| matches!(message, ToAgent::Launch { .. })),
            "{effects:?}"
        );
        info
    }

    fn update(
        &mut self,
        connection: u64,
        framework: &FrameworkId,
        id: &str,
        state: TaskState,
        uuid: u128,
    ) -> Vec<Effect> {
        let status = status(id, state, uuid);
        self.say(connection, FromAgent::Update { framework: framework.clone(), status })
    }

    fn acknowledge(&mut self, channel: u64, agent: &AgentId, id: &str, uuid: u128) -> Vec<Effect> {
        let (task, uuid) = (id.parse().unwrap(), Uuid::from_bits(uuid));
        self.call(channel, Call::Acknowledge { agent: agent.clone(), task, uuid })
    }

    fn state_of(&self, framework: &FrameworkId, id: &str) -> Option<TaskState> {
        let task = self.state.tasks.get(&(framework.clone(), id.parse().unwrap()));
        task.map(|task| task.status.state)
    }

    fn completed(&self, framework: &FrameworkId, id: &str) -> Option<TaskState> {
        let task = self.state.completed.get(&(framework.clone(), id.parse().unwrap()));
        task.map(|task| task.status.state)
    }

    fn agent_state(&self, id: &AgentId) -> AgentState {
        self.state.agents.get(id).unwrap().state
    }

    fn used(&self, id: &AgentId) -> String {
        self.state.agents.get(id).unwrap().used.to_string()
    }
}

fn facts(name: &str) -> AgentFacts {
    AgentFacts {
        name: name.to_owned(),
        host: Host { hostname: "192.0.2.1".to_owned(), ..Host::default() }.into(),
        address: "192.0.2.1".parse().unwrap(),
        port: 5051,
        total: "cpus:4;mem:1024;ports:[31000-31003]".parse().unwrap(),
        version: "0.1.0".to_owned(),
    }
}

fn registration(id: Option<&AgentId>, name: &str) -> Registration {
    Registration { id: id.cloned(), facts: facts(name), tasks: vec![] }
}

fn info(name: &str) -> FrameworkInfo {
    FrameworkInfo { id: None, name: name.to_owned(), user: "nobody".to_owned(), roles: vec![] }
}

fn task(offer: &Offer, id: &str, resources: &str) -> TaskInfo {
    TaskInfo {
        id: id.parse().unwrap(),
        name: id.to_owned(),
        agent: offer.agent.clone(),
        role: Role::star(),
        resources: resources.parse().unwrap(),
        command: Command {
            line: CommandLine::Shell("true".to_owned()),
            env: BTreeMap::new(),
            secrets: [].into(),
            user: None,
            uris: vec![],
        },
        limits: Limits::default(),
        grace: None,
        checks: vec![],
        labels: BTreeMap::new(),
        peers: None,
        volumes: vec![],
    }
}

/// As an agent sends it; without a uuid when that is 0.
fn status(id: &str, state: TaskState, uuid: u128) -> TaskStatus {
    TaskStatus {
        task: id.parse().unwrap(),
        state,
        message: None,
        source: Source::Executor,
        reason: None,
        agent: None,
        uuid: (uuid != 0).then(|| Uuid::from_bits(uuid)),
        healthy: None,
        timestamp: Timestamp::from_millis(2_000),
        addresses: vec![],
    }
}

fn report(framework: &FrameworkId, info: &TaskInfo, state: TaskState, uuid: u128) -> Report {
    Report {
        framework: framework.clone(),
        info: Arc::new(info.clone()),
        status: status(info.id.as_str(), state, uuid),
        health: vec![],
        directory: "/sandbox".to_owned(),
        peers: None,
    }
}

fn to_agents(effects: &[Effect]) -> Vec<&ToAgent> {
    let messages = effects.iter().filter_map(|effect| match effect {
        Effect::SendAgent { message, .. } => Some(message),
        _ => None,
    });
    messages.collect()
}

fn events(effects: &[Effect]) -> Vec<&Event> {
    let events = effects.iter().filter_map(|effect| match effect {
        Effect::SendFramework { event, .. } => Some(event),
        _ => None,
    });
    events.collect()
}

fn registered(effects: &[Effect]) -> AgentId {
    let id = to_agents(effects).into_iter().find_map(|message| match message {
        ToAgent::Registered { agent, .. } => Some(agent.clone()),
        _ => None,
    });
    id.unwrap()
}

/// Updates to frameworks: task, state, reason, whether they are to be acknowledged.
fn updates(effects: &[Effect]) -> Vec<(String, TaskState, Option<Reason>, bool)> {
    let updates = events(effects).into_iter().filter_map(|event| match event {
        Event::Update(status) => {
            Some((status.task.to_string(), status.state, status.reason, status.uuid.is_some()))
        }
        _ => None,
    });
    updates.collect()
}

/// What agents are told about tasks: launch, kill or ack, and the task.
fn orders(effects: &[Effect]) -> Vec<String> {
    let orders = to_agents(effects).into_iter().filter_map(|message| match message {
        ToAgent::Launch { info, .. } => Some(format!("launch {}", info.id)),
        ToAgent::Kill { task, .. } => Some(format!("kill {task}")),
        ToAgent::Acknowledge { task, uuid, .. } => Some(format!("ack {task} {}", uuid.as_u128())),
        _ => None,
    });
    orders.collect()
}

/// The state of the next master: what is on record, and nothing else.
fn failover(state: &State, now: Duration) -> State {
    let mut next = State::new(state.master.clone(), state.config.clone());
    for agent in state.agents.values() {
        let mut agent = (**agent).clone();
        (agent.state, agent.since, agent.used) = (AgentState::Recovering, now, Default::default());
        (agent.registered, agent.confirmed) = (None, true);
        next.agents.insert_mut(agent.id.clone(), agent.into());
    }
    for framework in state.frameworks.values() {
        let mut framework = (**framework).clone();
        framework.channel = None;
        if framework.state != FrameworkState::Removed {
            framework.state = FrameworkState::Recovered;
            next.names.insert(framework.info.name.clone(), framework.id.clone());
        }
        next.frameworks.insert_mut(framework.id.clone(), framework.into());
    }
    (next.next_agent, next.next_framework) = (state.next_agent, state.next_framework);
    next
}
