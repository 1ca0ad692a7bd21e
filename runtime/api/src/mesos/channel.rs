//! What a framework and the master say to each other (§3, calls and events), in memory.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use scheduler::{AgentId, Filter, FrameworkId, Host, Resources, Role};

use tokio::sync::mpsc;

use super::{Peers, Sight, TaskInfo, TaskKey, TaskStatus};
use crate::marathon::{Timestamp, Uuid};

/// A framework as it subscribes. A partition-aware one always: it is told `TASK_UNREACHABLE`, `TASK_GONE`, … .
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameworkInfo {
    /// Its id, when it had one before.
    pub id: Option<FrameworkId>,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub user: String,
    /// The roles it wants offers for.
    pub roles: Vec<Role>,
}

/// Resources of one agent for one role.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// Its id: the master's id, `-O`, a number.
    pub id: String,
    /// In which role.
    pub role: Role,
    /// On which agent.
    pub agent: AgentId,
    /// What is said about the agent's place: Mesos hostname, region, zone, attributes.
    pub host: Arc<Host>,
    /// Where the agent's tasks can be reached.
    pub address: IpAddr,
    /// What.
    pub resources: Resources,
}

/// What a framework asks of the master. Where Mesos says nothing back, nothing is said back.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Launch tasks on offers of one agent and one role, which are taken together; the rest goes back with the filter.
    /// Without tasks: decline.
    Accept {
        /// The offers.
        offers: Vec<String>,
        /// The tasks.
        tasks: Vec<TaskInfo>,
        /// For what is left.
        filter: Filter,
    },
    /// Want none of these.
    Decline {
        /// The offers.
        offers: Vec<String>,
        /// For each.
        filter: Filter,
    },
    /// Want offers again, for these roles or for all.
    Revive(Vec<Role>),
    /// Want no offers, for these roles or for all.
    Suppress(Vec<Role>),
    /// End a task. Of one that is not known it does the same as an explicit [`Call::Reconcile`].
    Kill {
        /// The task.
        task: TaskKey,
        /// Its agent, when known.
        agent: Option<AgentId>,
        /// In place of the task's own grace period.
        grace: Option<Duration>,
    },
    /// A status with a uuid was dealt with.
    Acknowledge {
        /// The agent that sent it.
        agent: AgentId,
        /// The task.
        task: TaskKey,
        /// Its uuid.
        uuid: Uuid,
    },
    /// Say again what is known of these tasks (with their agents, when known), or of all.
    Reconcile(Vec<(TaskKey, Option<AgentId>)>),
    /// Give a task's sandbox these peers. It may get lost; [`Event::PeersHeld`] says what counts. In Mesos terms a MESSAGE to the
    /// executor.
    Peers {
        /// The task.
        task: TaskKey,
        /// Whom it works with.
        peers: Peers,
    },
    /// End all tasks and forget the framework.
    Teardown,
}

/// What the master tells a framework.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The first: it is heard. `master` is the master's id, `address` what it is reached at (`host:port`).
    Subscribed {
        /// The framework's id from now on.
        framework: FrameworkId,
        /// The master's id.
        master: String,
    },
    /// Offers, to be accepted or declined.
    Offers(Vec<Offer>),
    /// An offer is not good any more.
    Rescind(String),
    /// News of a task, or the answer to a question. To be acknowledged when it has a uuid.
    Update(TaskStatus),
    /// A result of a check ([`super::Check`]). Not acknowledged: the next one says it again. In Mesos terms a MESSAGE of the executor.
    Health(HealthReport),
    /// Which peers a task's sandbox tells of. Not acknowledged: said again when the agent or the framework comes back. In Mesos terms a MESSAGE of the executor.
    PeersHeld {
        /// The task.
        task: TaskKey,
        /// [`Peers::version`].
        version: u64,
    },
    /// An agent is gone for good, or unreachable.
    AgentLost(AgentId),
    /// The subscription is over.
    Error(String),
}

/// What one check of one task found so far, since its agent runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// The task.
    pub task: TaskKey,
    /// Its agent.
    pub agent: AgentId,
    /// Which of [`TaskInfo::checks`], from 0.
    pub check: usize,
    /// Whether the last result was good.
    pub alive: bool,
    /// Failures in a row that count (not those in the grace period).
    pub consecutive_failures: u32,
    /// The first good result.
    pub first_success: Option<Timestamp>,
    /// The last good result.
    pub last_success: Option<Timestamp>,
    /// The last bad result.
    pub last_failure: Option<Timestamp>,
    /// Why it was bad.
    pub last_failure_cause: Option<String>,
    /// What the last look saw, where the check's purpose asks for that.
    pub sight: Option<Sight>,
}

/// A framework's two directions. Both are bounded. The master never waits for a framework: one that leaves too many events
/// unread loses its subscription, which is seen as the end of `events`, and subscribes again.
#[derive(Debug)]
pub struct Subscription {
    /// To the master, in order.
    pub calls: mpsc::Sender<Call>,
    /// From the master, in order.
    pub events: mpsc::Receiver<Event>,
}

/// A master, as a framework in the same process sees it.
pub trait Subscribe: Send + Sync {
    /// Subscribes, for the first time or again; an earlier subscription of the same framework ends. `None` when the master
    /// is ending.
    fn subscribe(
        &self,
        info: FrameworkInfo,
    ) -> Pin<Box<dyn Future<Output = Option<Subscription>> + Send + '_>>;
}
