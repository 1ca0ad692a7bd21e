//! The leading master: the registry of agents, the state of tasks, offers to frameworks, and what the world may read of
//! all that.
//!
//! [`core`] decides, as one pure function; [`Master`] is the shell around it: one task that owns the state, the agent
//! link's server, the channel of frameworks in the same process, views that readers take without waiting, and the HTTP
//! router over them.
//!
//! It never runs a task, never decides what ought to run, never waits for an agent or a framework, and never tells
//! anyone an id that is not on record in the store.

pub mod core;
mod error;
mod http;
mod metrics;
mod shell;
pub mod view;

pub use error::MasterError;
pub use http::standby;
pub use shell::{Admissions, Agents, Master, Options, Secrets};

/// The agent link's messages, from and to the core's own.
pub mod words {
    pub use crate::shell::{from_wire, registration, to_wire};
}
