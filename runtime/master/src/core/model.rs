//! What the master knows of agents, frameworks and tasks.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::marathon::{Timestamp, Uuid};
use api::mesos::{FrameworkInfo, HealthReport, TaskInfo, TaskKey, TaskState, TaskStatus};
use scheduler::{AgentId, FrameworkId, Host, Resources};

/// A task among all frameworks' tasks.
pub type TaskId = (FrameworkId, TaskKey);

/// The most changes of state that are kept of one task; the first and the newest ones stay.
pub const MAX_HISTORY: usize = 16;

/// What an agent says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentFacts {
    /// For people.
    pub name: String,
    /// Its Mesos hostname, domain and attributes.
    pub host: Arc<Host>,
    /// Where its tasks can be reached.
    pub address: IpAddr,
    /// Where it serves files.
    pub port: u16,
    /// All it has, by the role it is reserved for.
    pub total: Resources,
    /// Of its program.
    pub version: String,
}

/// How an agent stands with this master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentState {
    /// It has a connection.
    Active,
    /// It lost its connection a short while ago.
    Disconnected,
    /// It was silent for too long. What runs there may still run.
    Unreachable,
    /// It was admitted by an earlier master and has not come back to this one yet.
    Recovering,
}

impl AgentState {
    /// Every one.
    pub const ALL: [AgentState; 4] = [Self::Active, Self::Disconnected, Self::Unreachable, Self::Recovering];

    /// The word of our own API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disconnected => "disconnected",
            Self::Unreachable => "unreachable",
            Self::Recovering => "recovering",
        }
    }
}

/// An admitted agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// As it last registered.
    pub facts: AgentFacts,
    /// How it stands.
    pub state: AgentState,
    /// Since when, on the clock that never goes back.
    pub since: Duration,
    /// The first registration with this master.
    pub registered: Option<Timestamp>,
    /// The newest registration, when it is not the first.
    pub reregistered: Option<Timestamp>,
    /// What its tasks use.
    pub used: Resources,
    /// When it was admitted.
    pub(crate) admitted: Timestamp,
    /// It was heard of after it was told its id.
    pub(crate) confirmed: bool,
    /// It has answered on the connection that it registered on last: it has what it listed, and nothing else.
    pub(crate) proved: bool,
    /// Until then: what it was when it was last believed, and whether it says other things about itself since.
    pub(crate) unproved: Option<(AgentState, bool)>,
}

/// How a framework stands with this master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameworkState {
    /// It is subscribed.
    Active,
    /// It was subscribed to this master.
    Disconnected,
    /// It was subscribed to an earlier master.
    Recovered,
    /// It asked to be forgotten, with all its tasks.
    Removed,
}

/// A framework.
#[derive(Clone, Debug)]
pub struct Framework {
    /// Its id.
    pub id: FrameworkId,
    /// As it last subscribed.
    pub info: FrameworkInfo,
    /// How it stands.
    pub state: FrameworkState,
    /// The first subscription with this master.
    pub registered: Option<Timestamp>,
    /// The newest subscription, when it is not the first.
    pub reregistered: Option<Timestamp>,
    /// The end of its last subscription.
    pub unregistered: Option<Timestamp>,
    pub(crate) channel: Option<u64>,
}

/// A task, from its launch until its end is acknowledged.
#[derive(Clone, Debug)]
pub struct Task {
    /// Whose it is.
    pub framework: FrameworkId,
    /// What it is, and where, in outline.
    pub info: Arc<TaskInfo>,
    /// The newest thing that is known of it.
    pub status: TaskStatus,
    /// The states it was in, oldest first.
    pub history: Vec<(TaskState, Timestamp)>,
    /// Ascends in the order in which this master got to know of tasks.
    pub number: u64,
    /// The newest result of each check.
    pub health: BTreeMap<usize, HealthReport>,
    /// Its sandbox on the agent, when the agent has said so.
    pub directory: String,
    /// Which peers its sandbox tells of.
    pub(crate) peers: Option<u64>,
    /// Its resources are in use.
    pub(crate) counted: bool,
    /// The update that its framework has last been shown, or is to be shown, and has not acknowledged.
    pub(crate) unacknowledged: Option<Uuid>,
    /// The update that its framework acknowledged last.
    pub(crate) acknowledged: Option<Uuid>,
    /// It is to be killed as soon as its agent is back, with this grace period if one was named.
    pub(crate) kill: Option<Option<Duration>>,
}

impl Task {
    /// Its id among all.
    #[must_use]
    pub fn id(&self) -> TaskId {
        (self.framework.clone(), self.info.id.clone())
    }

    /// Notes the newest thing that is known of it.
    pub(crate) fn set_status(&mut self, mut status: TaskStatus) {
        // Each message brings the same texts anew: they are kept once.
        if status.task == self.info.id {
            status.task = self.info.id.clone();
        }
        if status.agent.as_ref() == Some(&self.info.agent) {
            status.agent = Some(self.info.agent.clone());
        }
        if self.status.state != status.state || self.history.is_empty() {
            if self.history.len() >= MAX_HISTORY {
                self.history.remove(1);
            }
            self.history.push((status.state, status.timestamp));
        }
        self.status = status;
    }
}

/// A task as its agent reports it when it registers.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Whose it is.
    pub framework: FrameworkId,
    /// What it is, in outline.
    pub info: Arc<TaskInfo>,
    /// Its newest status, acknowledged or not.
    pub status: TaskStatus,
    /// The newest result of each check.
    pub health: Vec<HealthReport>,
    /// Its sandbox on the agent.
    pub directory: String,
    /// Which peers its sandbox tells of.
    pub peers: Option<u64>,
}

/// An agent registers.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// Its id, when it was given one.
    pub id: Option<AgentId>,
    /// What it says about itself.
    pub facts: AgentFacts,
    /// Every task that it has.
    pub tasks: Vec<Report>,
}

/// What happened since this master started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls of frameworks.
    pub calls: BTreeMap<&'static str, u64>,
    /// Registrations of agents that had no id.
    pub registrations: u64,
    /// Registrations of agents that had one.
    pub reregistrations: u64,
    /// Registrations that were refused.
    pub refusals: u64,
    /// Status updates of agents.
    pub updates: u64,
    /// Those of frameworks that are not known.
    pub updates_unknown: u64,
    /// Those that were seen before.
    pub updates_repeated: u64,
    /// Acknowledgements passed on.
    pub acknowledgements: u64,
    /// Acknowledgements of something else than was to be acknowledged.
    pub invalid_acknowledgements: u64,
    /// Results of health checks.
    pub health: u64,
    /// Answers to pings.
    pub pongs: u64,
    /// Tasks launched.
    pub launched: u64,
    /// Tasks that ended, by state.
    pub ended: BTreeMap<&'static str, u64>,
    /// Agents that became unreachable.
    pub unreachable: u64,
    /// Offers made.
    pub offers: u64,
    /// Offers taken back.
    pub rescinded: u64,
    /// Offer cycles.
    pub cycles: u64,
}
