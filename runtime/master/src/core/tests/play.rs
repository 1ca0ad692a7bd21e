//! Agents, a framework and a network that the test moves by hand, around a real master's state.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;

/// A task as its agent has it.
#[derive(Debug)]
struct Truth {
    framework: FrameworkId,
    info: Arc<TaskInfo>,
    newest: TaskStatus,
    /// Not acknowledged, oldest first.
    queue: VecDeque<TaskStatus>,
}

#[derive(Debug, Default)]
struct Sim {
    id: Option<AgentId>,
    connection: Option<u64>,
    tasks: BTreeMap<String, Truth>,
    /// On their way to it.
    inbox: VecDeque<ToAgent>,
    /// Sent before; some of it comes again.
    sent: Vec<(FrameworkId, TaskStatus)>,
}

pub(super) const AGENTS: usize = 2;

pub(super) struct Play {
    pub(super) world: World,
    agents: Vec<Sim>,
    channel: Option<u64>,
    offers: Vec<Offer>,
    /// What the framework believes of each task, and where it launched it.
    beliefs: BTreeMap<String, (TaskState, AgentId)>,
    /// To be acknowledged.
    unread: VecDeque<TaskStatus>,
    started: BTreeSet<String>,
    uuid: u128,
    named: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Move {
    Connect(usize),
    /// The master hears of it at once, or never.
    HangUp(usize, bool),
    Deliver(usize),
    Advance(usize, usize, bool),
    Send(usize, Loss),
    Forget(usize, usize),
    Subscribe,
    Leave,
    Accept(u8),
    Acknowledge(bool),
    Kill(usize),
    Ask,
    Offer,
    Pass(u64),
    Failover,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    Nothing,
    Lost,
    Twice,
    Old(usize),
}

impl Play {
    pub(super) fn new() -> Self {
        Self {
            world: World::new(),
            agents: (0..AGENTS).map(|_| Sim::default()).collect(),
            channel: None,
            offers: vec![],
            beliefs: BTreeMap::new(),
            unread: VecDeque::new(),
            started: BTreeSet::new(),
            uuid: 0,
            named: 0,
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::SendAgent { connection, message } => {
                    let agent = self.agents.iter_mut().find(|agent| agent.connection == Some(connection));
                    match (agent, message) {
                        (Some(agent), ToAgent::Registered { agent: id, .. }) => agent.id = Some(id),
                        (Some(agent), message) => agent.inbox.push_back(message),
                        (None, _) => {}
                    }
                }
                Effect::CloseAgent { connection } => {
                    for agent in self.agents.iter_mut().filter(|agent| agent.connection == Some(connection)) {
                        agent.connection = None;
                        agent.inbox.clear();
                    }
                }
                Effect::SendFramework { channel, event } if Some(channel) == self.channel => self.read(event),
                Effect::CloseFramework { channel } if Some(channel) == self.channel => {
                    panic!("the framework did nothing wrong")
                }
                Effect::Note(text) => assert!(!text.contains("the scheduler did not"), "{text}"),
                _ => {}
            }
        }
    }

    fn read(&mut self, event: Event) {
        match event {
            Event::Offers(offers) => self.offers.extend(offers),
            Event::Rescind(id) => self.offers.retain(|offer| offer.id != id),
            Event::Update(status) => {
                if let Some((belief, _)) = self.beliefs.get_mut(status.task.as_str())
                    && !belief.is_terminal()
                {
                    *belief = status.state;
                }
                if status.uuid.is_some() {
                    self.unread.push_back(status);
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, input: Input) {
        let effects = self.world.step(input);
        self.perform(effects);
        self.check();
    }

    /// What holds at every moment (P6).
    fn check(&self) {
        let state = &self.world.state;
        for agent in state.pool.agents() {
            let mut taken = agent.free().clone();
            for (_, _, used) in state.pool.used(agent) {
                taken.add(used);
            }
            for offer in state.pool.offers().filter(|offer| offer.agent == agent.info().id) {
                taken.add(&offer.resources);
            }
            assert_eq!(taken, agent.info().total);
        }
        assert!(state.pool.offers().map(|offer| offer.id.0).eq(state.offers.keys().copied()));
    }

    pub(super) fn connect(&mut self, at: usize) {
        let connection = self.world.number();
        let agent = &mut self.agents[at];
        agent.connection = Some(connection);
        agent.inbox.clear();
        let tasks = agent.tasks.values().map(|task| Report {
            framework: task.framework.clone(),
            info: task.info.clone(),
            status: task.newest.clone(),
            health: vec![],
            directory: String::new(),
            peers: None,
        });
        let registration =
            Registration { tasks: tasks.collect(), ..registration(agent.id.as_ref(), &format!("a{at}")) };
        self.step(Input::AgentConnected { connection, registration });
    }

    fn advance(&mut self, at: usize, id: &str, state: TaskState) {
        self.uuid += 1;
        let uuid = self.uuid;
        let Some(task) = self.agents[at].tasks.get_mut(id) else { return };
        if task.newest.state.is_terminal() {
            return;
        }
        task.newest = status(id, state, uuid);
        task.queue.push_back(task.newest.clone());
    }

    fn deliver(&mut self, at: usize) {
        match self.agents[at].inbox.pop_front() {
            Some(ToAgent::Launch { framework, info }) => {
                let id = info.id.to_string();
                assert!(self.started.insert(id.clone()), "{id} is launched twice");
                let newest = status(&id, TaskState::Staging, 0);
                let truth = Truth { framework, info, newest, queue: VecDeque::new() };
                self.agents[at].tasks.insert(id.clone(), truth);
                self.advance(at, &id, TaskState::Starting);
            }
            Some(ToAgent::Kill { task, .. }) => self.advance(at, task.as_str(), TaskState::Killed),
            Some(ToAgent::Acknowledge { task, uuid, .. }) => {
                let tasks = &mut self.agents[at].tasks;
                let Some(known) = tasks.get_mut(task.as_str()) else { return };
                if known.queue.front().is_some_and(|head| head.uuid == Some(uuid)) {
                    known.queue.pop_front();
                }
                if known.queue.is_empty() && known.newest.state.is_terminal() {
                    tasks.remove(task.as_str());
                }
            }
            Some(ToAgent::Ping) => {
                if let Some(connection) = self.agents[at].connection {
                    self.step(Input::AgentMessage { connection, message: FromAgent::Pong });
                }
            }
            _ => {}
        }
    }

    /// The agent sends the oldest update of each task that is not acknowledged.
    fn send(&mut self, at: usize, loss: Loss) {
        let Some(connection) = self.agents[at].connection else { return };
        let heads: Vec<(FrameworkId, TaskStatus)> = self.agents[at]
            .tasks
            .values()
            .filter_map(|task| Some((task.framework.clone(), task.queue.front()?.clone())))
            .collect();
        let out = match loss {
            Loss::Nothing => heads.clone(),
            Loss::Lost => vec![],
            Loss::Twice => [heads.clone(), heads.clone()].concat(),
            Loss::Old(pick) => {
                let sent = &self.agents[at].sent;
                let old = sent.get(pick % sent.len().max(1)).cloned();
                old.into_iter().chain(heads.iter().rev().cloned()).collect()
            }
        };
        self.agents[at].sent.extend(heads);
        for (framework, status) in out {
            let message = FromAgent::Update { framework, status };
            self.step(Input::AgentMessage { connection, message });
        }
    }

    fn call(&mut self, call: Call) {
        if let Some(channel) = self.channel {
            self.step(Input::Call { channel, call });
        }
    }

    fn accept(&mut self, count: u8) {
        if self.channel.is_none() || self.offers.is_empty() {
            return;
        }
        let offer = self.offers.remove(0);
        let mut left = offer.resources.clone();
        let mut tasks = Vec::new();
        for _ in 0..count {
            let one = "cpus:1;mem:200".parse().unwrap();
            let Ok(rest) = left.checked_sub(&one) else { break };
            left = rest;
            self.named += 1;
            let id = format!("t{}", self.named);
            self.beliefs.insert(id.clone(), (TaskState::Staging, offer.agent.clone()));
            tasks.push(task(&offer, &id, "cpus:1;mem:200"));
        }
        self.call(Call::Accept { offers: vec![offer.id], tasks, filter: Filter::NONE });
    }

    fn acknowledge(&mut self, lost: bool) {
        let Some(status) = self.unread.pop_front() else { return };
        let Some(uuid) = status.uuid else { return };
        let on = self.beliefs.get(status.task.as_str()).map(|(_, agent)| agent.clone());
        if let Some(agent) = on.filter(|_| !lost) {
            self.call(Call::Acknowledge { agent, task: status.task, uuid });
        }
    }

    fn leave(&mut self) {
        if let Some(channel) = self.channel.take() {
            self.offers.clear();
            self.unread.clear();
            self.step(Input::ChannelClosed { channel });
        }
    }

    pub(super) fn subscribe(&mut self) {
        self.offers.clear();
        self.unread.clear();
        let channel = self.world.number();
        self.channel = Some(channel);
        self.step(Input::Subscribed { channel, info: info("f") });
    }

    fn task_at(&self, at: usize, pick: usize) -> Option<String> {
        let tasks = &self.agents[at].tasks;
        tasks.keys().nth(pick % tasks.len().max(1)).cloned()
    }

    pub(super) fn play(&mut self, one: Move) {
        match one {
            Move::Connect(at) => self.connect(at),
            Move::HangUp(at, heard) => {
                let agent = &mut self.agents[at];
                agent.inbox.clear();
                if let Some(connection) = agent.connection.take().filter(|_| heard) {
                    self.step(Input::AgentDisconnected { connection });
                }
            }
            Move::Deliver(at) => self.deliver(at),
            Move::Advance(at, pick, end) => {
                if let Some(id) = self.task_at(at, pick) {
                    self.advance(at, &id, if end { TaskState::Finished } else { TaskState::Running });
                }
            }
            Move::Send(at, loss) => self.send(at, loss),
            // Its host was set up anew while it was away.
            Move::Forget(at, pick) => {
                if self.agents[at].connection.is_none()
                    && let Some(id) = self.task_at(at, pick)
                {
                    self.agents[at].tasks.remove(&id);
                }
            }
            Move::Subscribe => self.subscribe(),
            Move::Leave => self.leave(),
            Move::Accept(count) => self.accept(count),
            Move::Acknowledge(lost) => self.acknowledge(lost),
            Move::Kill(pick) => {
                let picked = self.beliefs.iter().nth(pick % self.beliefs.len().max(1));
                if let Some((id, (_, agent))) = picked {
                    let (task, agent) = (id.parse().unwrap(), Some(agent.clone()));
                    self.call(Call::Kill { task, agent, grace: None });
                }
            }
            Move::Ask => self.call(Call::Reconcile(vec![])),
            Move::Offer => self.step(Input::Cycle),
            Move::Pass(seconds) => {
                let effects = self.world.pass(seconds);
                self.perform(effects);
                self.check();
            }
            Move::Failover => {
                self.world.state = failover(&self.world.state, self.world.now.elapsed);
                self.channel = None;
                self.offers.clear();
                self.unread.clear();
                for agent in &mut self.agents {
                    agent.connection = None;
                    agent.inbox.clear();
                }
            }
        }
    }

    /// No more faults: everybody comes back and says what there is to say.
    pub(super) fn settle(&mut self) {
        if self.channel.is_none() {
            self.subscribe();
        }
        // One that is connected says nothing anew: what the master knows of it must be right without that.
        for at in 0..AGENTS {
            if self.agents[at].connection.is_none() {
                self.connect(at);
            }
        }
        // Each round acknowledges one update of each task.
        let most =
            self.agents.iter().flat_map(|agent| agent.tasks.values()).map(|task| task.queue.len()).max();
        for _ in 0..most.unwrap_or_default() + 4 {
            for at in 0..AGENTS {
                while !self.agents[at].inbox.is_empty() {
                    self.deliver(at);
                }
                self.send(at, Loss::Nothing);
            }
            while !self.unread.is_empty() {
                self.acknowledge(false);
            }
        }
        let open = self.beliefs.iter().filter(|(_, (state, _))| !state.is_terminal());
        let open: Vec<_> = open.map(|(id, (_, agent))| (id.parse().unwrap(), Some(agent.clone()))).collect();
        if !open.is_empty() {
            self.call(Call::Reconcile(open));
        }
    }

    pub(super) fn agree(&self) {
        let mut truth = BTreeMap::new();
        for agent in &self.agents {
            let id = agent.id.as_ref().unwrap();
            let mut used = scheduler::Resources::default();
            for (name, task) in &agent.tasks {
                assert!(task.queue.is_empty(), "{name} still waits for acknowledgements");
                truth.insert(name.clone(), (task.newest.state, id.to_string()));
                used.add(&task.info.resources);
            }
            assert_eq!(self.world.state.agents.get(id).unwrap().used, used);
        }
        let tasks = self.world.state.tasks.values();
        let known: BTreeMap<_, _> = tasks
            .map(|task| (task.info.id.to_string(), (task.status.state, task.info.agent.to_string())))
            .collect();
        assert_eq!(known, truth, "the master and its agents");
        for (id, (belief, agent)) in &self.beliefs {
            match truth.get(id) {
                Some(there) => assert_eq!((*belief, agent.to_string()), *there, "{id}"),
                None => assert!(belief.is_terminal(), "{id} is believed to be {belief}"),
            }
        }
    }
}
