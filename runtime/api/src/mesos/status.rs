//! What is said about a task while it lives and when it ends (§3, "Task status").

use std::net::IpAddr;

use scheduler::AgentId;

use super::TaskKey;
use crate::marathon::{Timestamp, Uuid};

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every one, in the order of their declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// The one of this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|known| known.name() == name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

names! {
    /// The state of a task.
    TaskState {
        /// Accepted by the master, not known to run.
        Staging = "TASK_STAGING",
        /// The agent works on it.
        Starting = "TASK_STARTING",
        /// It runs.
        Running = "TASK_RUNNING",
        /// It was asked to end and has not yet.
        Killing = "TASK_KILLING",
        /// It ended with exit status 0.
        Finished = "TASK_FINISHED",
        /// It ended otherwise.
        Failed = "TASK_FAILED",
        /// It ended since it was asked to.
        Killed = "TASK_KILLED",
        /// Its description was wrong; it never ran.
        Error = "TASK_ERROR",
        /// Said to frameworks that are not partition-aware, in place of the states below.
        Lost = "TASK_LOST",
        /// It never ran.
        Dropped = "TASK_DROPPED",
        /// Its agent does not have it any more.
        Gone = "TASK_GONE",
        /// Its agent is silent; it may still run.
        Unreachable = "TASK_UNREACHABLE",
        /// An operator says that its agent is gone for good.
        GoneByOperator = "TASK_GONE_BY_OPERATOR",
        /// The master does not know it.
        Unknown = "TASK_UNKNOWN",
    }
}

impl TaskState {
    /// Whether nothing comes after it. `TASK_UNKNOWN` and `TASK_UNREACHABLE` are not terminal: the task may be heard of
    /// again.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        use TaskState::{Dropped, Error, Failed, Finished, Gone, GoneByOperator, Killed, Lost};
        matches!(self, Finished | Failed | Killed | Error | Lost | Dropped | Gone | GoneByOperator)
    }
}

names! {
    /// Who says so.
    Source {
        /// The master.
        Master = "SOURCE_MASTER",
        /// The agent.
        Agent = "SOURCE_AGENT",
        /// The executor, which for command tasks is ours.
        Executor = "SOURCE_EXECUTOR",
    }
}

names! {
    /// Why.
    Reason {
        /// The command could not be started.
        CommandExecutorFailed = "REASON_COMMAND_EXECUTOR_FAILED",
        /// The sandbox, a download or the isolation could not be set up.
        ContainerLaunchFailed = "REASON_CONTAINER_LAUNCH_FAILED",
        /// It took more than it may.
        ContainerLimitation = "REASON_CONTAINER_LIMITATION",
        /// It took more disk than it may.
        ContainerLimitationDisk = "REASON_CONTAINER_LIMITATION_DISK",
        /// It took more memory than it may.
        ContainerLimitationMemory = "REASON_CONTAINER_LIMITATION_MEMORY",
        /// Its executor, or shim, is gone.
        ExecutorTerminated = "REASON_EXECUTOR_TERMINATED",
        /// Its framework was removed.
        FrameworkRemoved = "REASON_FRAMEWORK_REMOVED",
        /// An offer that it was launched on is not valid any more.
        InvalidOffers = "REASON_INVALID_OFFERS",
        /// An answer to a question, not news.
        Reconciliation = "REASON_RECONCILIATION",
        /// The agent lost its connection while the launch was on its way.
        AgentDisconnected = "REASON_AGENT_DISCONNECTED",
        /// The agent is being drained.
        AgentDraining = "REASON_AGENT_DRAINING",
        /// The agent was removed.
        AgentRemoved = "REASON_AGENT_REMOVED",
        /// The agent was silent, or is back.
        AgentReregistered = "REASON_AGENT_REREGISTERED",
        /// The agent's host was started anew, or all that belongs to the agent was ended on purpose.
        AgentRestarted = "REASON_AGENT_RESTARTED",
        /// There is no such agent.
        AgentUnknown = "REASON_AGENT_UNKNOWN",
        /// It was killed before it ran.
        TaskKilledDuringLaunch = "REASON_TASK_KILLED_DURING_LAUNCH",
        /// Its health changed.
        TaskHealthCheckStatusUpdated = "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED",
        /// Its description is wrong.
        TaskInvalid = "REASON_TASK_INVALID",
        /// There is no such task.
        TaskUnknown = "REASON_TASK_UNKNOWN",
    }
}

/// One statement about a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskStatus {
    /// The task.
    pub task: TaskKey,
    /// Its state.
    pub state: TaskState,
    /// For people.
    pub message: Option<String>,
    /// Who says so.
    pub source: Source,
    /// Why.
    pub reason: Option<Reason>,
    /// The agent.
    pub agent: Option<AgentId>,
    /// To be acknowledged by; what the master says of its own accord has none and is said once.
    pub uuid: Option<Uuid>,
    /// Whether its health check, where it has one that kills, last went well.
    pub healthy: Option<bool>,
    /// When it came to be so.
    pub timestamp: Timestamp,
    /// The task's addresses.
    pub addresses: Vec<IpAddr>,
}
