//! What happens to the pool, and what follows from it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::host::Host;
use crate::ids::{AgentId, FrameworkId, OfferId};
use crate::resources::{Missing, Resources};
use crate::role::Role;

/// A framework as it subscribes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameworkInfo {
    /// Its id.
    pub id: FrameworkId,
    /// The roles it wants offers for. Room for capabilities and offer constraints.
    pub roles: Vec<Role>,
    /// Those of its roles for which it wants no offers now.
    pub suppressed: BTreeSet<Role>,
}

/// An agent as it registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentInfo {
    /// Its id.
    pub id: AgentId,
    /// Where it is, for placement constraints.
    pub host: Host,
    /// All it has, by the role it is reserved for.
    pub total: Resources,
}

/// Resources that a framework already has on an agent that registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// Whose they are; need not be known yet.
    pub framework: FrameworkId,
    /// The role they were offered to.
    pub role: Role,
    /// How much.
    pub resources: Resources,
}

/// How long a framework does not want to see again what it left: for one cycle at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter(Duration);

impl Filter {
    /// Mesos' default for `refuse_seconds`.
    pub const DEFAULT: Filter = Filter(Duration::from_secs(5));
    /// Mesos' cap for `refuse_seconds`: 365 days.
    pub const MAX: Filter = Filter(Duration::from_secs(31_536_000));
    /// Offer it again at once.
    pub const NONE: Filter = Filter(Duration::ZERO);

    /// `refuse_seconds` of the wire: what is absent, negative or no number is the default, more than the cap the cap.
    pub fn from_seconds(refuse_seconds: Option<f64>) -> Filter {
        match refuse_seconds {
            Some(seconds) if seconds >= Filter::MAX.0.as_secs_f64() => Filter::MAX,
            Some(seconds) if seconds >= 0.0 => Filter(Duration::from_secs_f64(seconds)),
            _ => Filter::DEFAULT,
        }
    }

    /// How long.
    pub fn duration(self) -> Duration {
        self.0
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A framework subscribed, for the first time or again: it is active, its filters are gone, and offers that it still
    /// had are rescinded.
    FrameworkAdded(FrameworkInfo),
    /// A framework changed its roles. Offers for roles it left are rescinded.
    FrameworkUpdated(FrameworkInfo),
    /// A framework is disconnected: its offers are rescinded, what it uses stays its own.
    FrameworkDeactivated(FrameworkId),
    /// A framework is gone. What it uses stays counted until [`Event::Recovered`] or the end of the agent.
    FrameworkRemoved(FrameworkId),
    /// An agent registered, with what runs on it.
    AgentAdded {
        /// The agent.
        agent: AgentInfo,
        /// What is in use on it.
        used: Vec<Used>,
    },
    /// An agent has other resources, attributes or another name. Its offers are rescinded; filters about it are gone
    /// when anything but its resources changed.
    AgentUpdated(AgentInfo),
    /// An agent is gone with all that ran on it.
    AgentRemoved(AgentId),
    /// An agent is silent. What runs on it may still run.
    AgentUnreachable(AgentId),
    /// A silent agent is back.
    AgentReachable(AgentId),
    /// An agent is to become empty: no offers.
    AgentDrain(AgentId),
    /// An agent is to get nothing new, and to keep what it has: no offers.
    AgentDeactivate(AgentId),
    /// An agent is neither drained nor deactivated any more.
    AgentUndrain(AgentId),
    /// A framework uses something of offers, which are of one agent and one role, and leaves the rest.
    Accept {
        /// The framework.
        framework: FrameworkId,
        /// The offers, which are taken together.
        offers: Vec<OfferId>,
        /// What it uses.
        consumed: Resources,
        /// For the rest.
        filter: Filter,
    },
    /// A framework uses nothing of offers, each for itself.
    Decline {
        /// The framework.
        framework: FrameworkId,
        /// The offers.
        offers: Vec<OfferId>,
        /// For each.
        filter: Filter,
    },
    /// Offers are to be taken back.
    Rescind(Vec<OfferId>),
    /// A framework wants no offers for these roles; none named: for all of its roles.
    Suppress {
        /// The framework.
        framework: FrameworkId,
        /// The roles.
        roles: Vec<Role>,
    },
    /// A framework wants offers for these roles again, and forgets its filters; none named: for all of its roles.
    Revive {
        /// The framework.
        framework: FrameworkId,
        /// The roles.
        roles: Vec<Role>,
    },
    /// Resources that a framework used on an agent are free again, since a task ended.
    Recovered {
        /// The framework.
        framework: FrameworkId,
        /// The role they were offered to.
        role: Role,
        /// The agent.
        agent: AgentId,
        /// How much.
        resources: Resources,
    },
    /// A role is to have this weight among its siblings; 1 unless set.
    WeightSet {
        /// The role.
        role: Role,
        /// More than zero.
        weight: f64,
    },
    /// It is time to make offers (every second, and as soon as something changed).
    Cycle,
}

/// Resources of one agent for one framework in one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its number.
    pub id: OfferId,
    /// Who is offered.
    pub framework: FrameworkId,
    /// In which role.
    pub role: Role,
    /// On which agent.
    pub agent: AgentId,
    /// What: all that is free and unreserved, or reserved for the role or one above it.
    pub resources: Arc<Resources>,
}

/// What the master has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send an offer.
    Offer(Offer),
    /// Tell a framework that an offer is no longer good.
    Rescind {
        /// The offer.
        offer: OfferId,
        /// Whose it was.
        framework: FrameworkId,
        /// On which agent it was.
        agent: AgentId,
    },
    /// The event, or a part of it, was not carried out.
    Refuse(Refusal),
}

/// Why an event, or a part of it, was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such framework.
    #[error("there is no framework {0}")]
    UnknownFramework(FrameworkId),
    /// There is no such agent.
    #[error("there is no agent {0}")]
    UnknownAgent(AgentId),
    /// The agent is registered already; update it, or remove it first.
    #[error("agent {0} is registered already")]
    DuplicateAgent(AgentId),
    /// The framework has no such role.
    #[error("framework {framework} is not in role {role}")]
    UnknownRole {
        /// The framework.
        framework: FrameworkId,
        /// The role.
        role: Role,
    },
    /// The offer was never made to this framework, or was used, declined or rescinded. An accept with one is not
    /// carried out, and its other offers go back to the pool without a filter.
    #[error("offer {0} is not valid any more")]
    UnknownOffer(OfferId),
    /// An accept without offers.
    #[error("no offers are named")]
    NoOffers,
    /// Offers of several agents or roles were accepted together. They all go back to the pool without a filter.
    #[error("offers of several agents or roles cannot be accepted together")]
    MixedOffers,
    /// More was to be used than was offered. The offers go back to the pool without a filter.
    #[error("more than was offered: {0}")]
    NotOffered(Missing),
    /// More was to be given back than was in use. Nothing was given back.
    #[error("more than is in use: {0}")]
    NotInUse(Missing),
    /// A weight must be a number above zero.
    #[error("the weight of role {0} must be a number above zero")]
    BadWeight(Role),
}
