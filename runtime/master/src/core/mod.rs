//! The master's decisions, as one function from data to data: no clock, no chance, no I/O.
//!
//! ```text
//!  Input ──► step ──► agents        admission, registration, silence
//!               ├──► registration   what an agent has, against what the master thinks it has
//!               ├──► frameworks     subscriptions, and what a framework was not there to hear
//!               ├──► offers         the scheduler's pool; accepting and declining
//!               ├──► tasks          updates, acknowledgements, kills, ends
//!               ├──► reconcile      questions
//!               └──► Vec<Effect>    for the shell, in this order
//! ```

mod agents;
mod frameworks;
mod model;
mod offers;
mod reconcile;
mod records;
mod registration;
mod tasks;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use api::Moment;
use api::mesos::{Call, Event, FrameworkInfo, HealthReport, Peers, TaskInfo, TaskKey, TaskStatus};
use rpds::RedBlackTreeMapSync;
use scheduler::{AgentId, FrameworkId, Resources, Role};
use store::Batch;

pub use model::{
    Agent, AgentFacts, AgentState, Counters, Framework, FrameworkState, MAX_HISTORY, Registration, Report,
    Task, TaskId,
};
pub use records::{RecordError, master_id, master_id_key};

/// What may be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// From one ping to the next (Mesos: 15 s).
    pub ping: Duration,
    /// An agent that was not heard of for so long is unreachable (Mesos: 75 s).
    pub unreachable_after: Duration,
    /// So long agents of an earlier master have to come back (Mesos: 10 min).
    pub reregistration: Duration,
    /// Tasks that ended and are kept for readers, per framework (Mesos: 1000).
    pub completed_per_framework: usize,
    /// Offers of one cycle, about; the next one, which the answers bring about, goes on from there (Mesos: all at once). Whoever
    /// launches one task on ten thousand agents need not look at all of them.
    pub offers_per_cycle: usize,
    /// Whether agents' names are proved, by certificates: then an agent's id is answered to under its name alone, and none
    /// takes the place of another by telling its id.
    pub proved_names: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(15),
            unreachable_after: Duration::from_secs(75),
            reregistration: Duration::from_secs(600),
            completed_per_framework: 1000,
            offers_per_cycle: 500,
            proved_names: false,
        }
    }
}

/// Something that happened. Connections and channels are numbers that the shell gives, each once.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// An agent opened a connection and registered.
    AgentConnected {
        /// The connection.
        connection: u64,
        /// What it said.
        registration: Registration,
    },
    /// An agent says something.
    AgentMessage {
        /// The connection.
        connection: u64,
        /// What.
        message: FromAgent,
    },
    /// An agent's connection is over.
    AgentDisconnected {
        /// The connection.
        connection: u64,
    },
    /// A framework opened a channel and subscribed.
    Subscribed {
        /// The channel.
        channel: u64,
        /// What it said.
        info: FrameworkInfo,
    },
    /// A framework asks for something.
    Call {
        /// The channel.
        channel: u64,
        /// What.
        call: Call,
    },
    /// A framework's channel is over.
    ChannelClosed {
        /// The channel.
        channel: u64,
    },
    /// A commit is durable.
    Committed {
        /// The commit's.
        ticket: u64,
    },
    /// A commit was not made; the master is about to end.
    CommitFailed {
        /// The commit's.
        ticket: u64,
    },
    /// A launch was not sent: what it needs is not to be had.
    LaunchFailed {
        /// Whose task.
        framework: FrameworkId,
        /// The task.
        task: TaskKey,
        /// What is missing, in a sentence.
        why: String,
    },
    /// It is time to look at clocks (every second).
    Tick,
    /// It is time to make offers (every second, and soon after a change).
    Cycle,
}

/// What an agent says after it registered.
#[derive(Clone, Debug, PartialEq)]
pub enum FromAgent {
    /// News of a task.
    Update {
        /// Whose task.
        framework: FrameworkId,
        /// The news.
        status: TaskStatus,
    },
    /// The answer to a ping.
    Pong,
    /// A check's result.
    Health {
        /// Whose task.
        framework: FrameworkId,
        /// The result.
        report: HealthReport,
    },
    /// What a sandbox tells of its task's peers.
    PeersHeld {
        /// Whose task.
        framework: FrameworkId,
        /// Which.
        task: TaskKey,
        /// The peers' version.
        version: u64,
    },
}

/// What the master says to an agent.
#[derive(Clone, Debug, PartialEq)]
pub enum ToAgent {
    /// It is heard.
    Registered {
        /// Its id.
        agent: AgentId,
        /// When it hears nothing for so long, it is to dial anew.
        silence: Duration,
    },
    /// It is not.
    Refused {
        /// What to do.
        message: String,
        /// Trying again cannot help.
        last: bool,
    },
    /// Run this.
    Launch {
        /// Whose task.
        framework: FrameworkId,
        /// What.
        info: Arc<TaskInfo>,
    },
    /// End this.
    Kill {
        /// Whose task.
        framework: FrameworkId,
        /// Which.
        task: TaskKey,
        /// In place of the task's own grace period.
        grace: Option<Duration>,
    },
    /// An update was dealt with.
    Acknowledge {
        /// Whose task.
        framework: FrameworkId,
        /// Which.
        task: TaskKey,
        /// The update's.
        uuid: api::marathon::Uuid,
    },
    /// A task's peers are others than they were.
    Peers {
        /// Whose task.
        framework: FrameworkId,
        /// Which.
        task: TaskKey,
        /// Whom it works with.
        peers: Peers,
    },
    /// Say something.
    Ping,
}

/// What the shell has to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Say something to an agent.
    SendAgent {
        /// The connection.
        connection: u64,
        /// What.
        message: ToAgent,
    },
    /// End a connection, after what was said on it.
    CloseAgent {
        /// The connection.
        connection: u64,
    },
    /// Say something to a framework.
    SendFramework {
        /// The channel.
        channel: u64,
        /// What.
        event: Event,
    },
    /// End a channel, after what was said on it.
    CloseFramework {
        /// The channel.
        channel: u64,
    },
    /// Make a change durable, and say so.
    Commit {
        /// To name it by.
        ticket: u64,
        /// What it is about: changes of one subject are made in order, of several ones at once.
        subject: String,
        /// The change.
        batch: Batch,
    },
    /// Something for the log.
    Note(String),
}

/// All that the master knows. Changed by [`step`] alone. What readers see is in persistent maps, so that a copy of
/// them costs nothing.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) config: Config,
    pub(crate) master: String,
    pub(crate) pool: scheduler::State,
    pub(crate) agents: RedBlackTreeMapSync<AgentId, Arc<Agent>>,
    pub(crate) frameworks: RedBlackTreeMapSync<FrameworkId, Arc<Framework>>,
    pub(crate) tasks: RedBlackTreeMapSync<TaskId, Arc<Task>>,
    pub(crate) completed: RedBlackTreeMapSync<TaskId, Arc<Task>>,
    pub(crate) offers: RedBlackTreeMapSync<u64, Arc<scheduler::Offer>>,
    pub(crate) counters: Counters,
    links: BTreeMap<AgentId, agents::Link>,
    connections: BTreeMap<u64, AgentId>,
    channels: BTreeMap<u64, FrameworkId>,
    names: BTreeMap<String, FrameworkId>,
    on_agent: BTreeMap<AgentId, BTreeSet<TaskId>>,
    completed_order: BTreeMap<FrameworkId, VecDeque<TaskKey>>,
    untold: BTreeMap<FrameworkId, BTreeMap<TaskKey, TaskStatus>>,
    /// Kills of tasks that an agent which is away may have.
    wishes: BTreeMap<TaskId, Option<Duration>>,
    admissions: BTreeMap<u64, agents::Admission>,
    subscriptions: BTreeMap<u64, frameworks::Pending>,
    next_agent: u64,
    next_framework: u64,
    next_ticket: u64,
    next_task: u64,
}

impl State {
    /// A master that knows of nobody.
    #[must_use]
    pub fn new(master: String, config: Config) -> Self {
        Self {
            pool: scheduler::State::with_most_offers(config.offers_per_cycle),
            config,
            master,
            agents: RedBlackTreeMapSync::new_sync(),
            frameworks: RedBlackTreeMapSync::new_sync(),
            tasks: RedBlackTreeMapSync::new_sync(),
            completed: RedBlackTreeMapSync::new_sync(),
            offers: RedBlackTreeMapSync::new_sync(),
            counters: Counters::default(),
            links: BTreeMap::new(),
            connections: BTreeMap::new(),
            channels: BTreeMap::new(),
            names: BTreeMap::new(),
            on_agent: BTreeMap::new(),
            completed_order: BTreeMap::new(),
            untold: BTreeMap::new(),
            wishes: BTreeMap::new(),
            admissions: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            next_agent: 0,
            next_framework: 0,
            next_ticket: 0,
            next_task: 0,
        }
    }

    /// The master's id: the cluster's, made once.
    #[must_use]
    pub fn master(&self) -> &str {
        &self.master
    }

    /// What is used, offered and free, as the scheduler has it.
    #[must_use]
    pub fn pool(&self) -> &scheduler::State {
        &self.pool
    }
}

/// Carries out one input. The same state, input and time give the same effects, in the same order.
pub fn step(state: &mut State, input: Input, now: Moment) -> Vec<Effect> {
    let mut turn = Turn { state, now, effects: Vec::new() };
    match input {
        Input::AgentConnected { connection, registration } => turn.connect(connection, registration),
        Input::AgentMessage { connection, message } => turn.hear(connection, message),
        Input::AgentDisconnected { connection } => turn.disconnect(connection),
        Input::Subscribed { channel, info } => turn.subscribe(channel, info),
        Input::Call { channel, call } => turn.call(channel, call),
        Input::ChannelClosed { channel } => turn.close_channel(channel),
        Input::Committed { ticket } => turn.committed(ticket),
        Input::CommitFailed { ticket } => turn.commit_failed(ticket),
        Input::LaunchFailed { framework, task, why } => turn.launch_failed(&(framework, task), why),
        Input::Tick => turn.tick(),
        Input::Cycle => turn.cycle(),
    }
    turn.effects
}

/// One step: the state, the time, and what follows so far.
struct Turn<'s> {
    state: &'s mut State,
    now: Moment,
    effects: Vec<Effect>,
}

impl Turn<'_> {
    fn note(&mut self, text: impl Into<String>) {
        self.effects.push(Effect::Note(text.into()));
    }

    fn commit(&mut self, subject: &str, batch: Batch) -> u64 {
        self.state.next_ticket += 1;
        let ticket = self.state.next_ticket;
        self.effects.push(Effect::Commit { ticket, subject: subject.to_owned(), batch });
        ticket
    }

    /// Says something to an agent. False when it has no connection.
    fn send_agent(&mut self, agent: &AgentId, message: ToAgent) -> bool {
        let Some(link) = self.state.links.get(agent) else { return false };
        self.effects.push(Effect::SendAgent { connection: link.connection, message });
        true
    }

    fn channel_of(&self, framework: &FrameworkId) -> Option<u64> {
        self.state.frameworks.get(framework)?.channel
    }

    /// Says something to a framework. False when it is not subscribed.
    fn send_framework(&mut self, framework: &FrameworkId, event: Event) -> bool {
        let Some(channel) = self.channel_of(framework) else { return false };
        self.effects.push(Effect::SendFramework { channel, event });
        true
    }

    fn agent_mut(&mut self, id: &AgentId) -> Option<&mut Agent> {
        self.state.agents.get_mut(id).map(Arc::make_mut)
    }

    fn framework_mut(&mut self, id: &FrameworkId) -> Option<&mut Framework> {
        self.state.frameworks.get_mut(id).map(Arc::make_mut)
    }

    fn task_mut(&mut self, id: &TaskId) -> Option<&mut Task> {
        self.state.tasks.get_mut(id).map(Arc::make_mut)
    }

    /// A commit is durable: what waited for it goes on.
    fn committed(&mut self, ticket: u64) {
        if let Some(admission) = self.state.admissions.remove(&ticket) {
            self.admitted(admission);
        } else if let Some(pending) = self.state.subscriptions.remove(&ticket) {
            self.subscription_recorded(pending);
        }
    }

    /// Whoever waited for the commit is told to try again, at the next master.
    fn commit_failed(&mut self, ticket: u64) {
        if let Some(agents::Admission { connection: Some(connection), .. }) =
            self.state.admissions.remove(&ticket)
        {
            self.refuse(connection, "the master's store failed; try again".to_owned(), false);
        } else if let Some(frameworks::Pending { channel: Some(channel), .. }) =
            self.state.subscriptions.remove(&ticket)
        {
            self.end_channel(channel, "the master's store failed; subscribe again");
        }
    }
}

/// What is used of an agent, by framework and role.
type Uses = BTreeMap<(FrameworkId, Role), Resources>;
