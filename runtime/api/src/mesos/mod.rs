//! The vocabulary of Mesos v1, as typed values: what frameworks, masters and agents say to each other. Section numbers (§)
//! are those of `interfaces/mesos-v1.md`.
//!
//! A framework in the same process (`services`) speaks [`Call`] and [`Event`] as they stand here. The agent link carries
//! [`TaskInfo`] and [`TaskStatus`] as protobuf ([`crate::link`]).

mod channel;
mod status;
mod task;

pub use channel::{Call, Event, FrameworkInfo, HealthReport, Offer, Subscribe, Subscription};
pub use status::{Reason, Source, TaskState, TaskStatus};
pub use task::{
    Check, CheckAddress, CheckKind, Command, CommandLine, Limit, Limits, Peers, Purpose, Response, Sight,
    TaskIdError, TaskInfo, TaskKey, Uri, Volume,
};
