//! Long-running services: Marathon's job, as a framework in the master's own process. An app says what shall run and how
//! often; this crate launches, watches, replaces, scales and upgrades its instances.
//!
//! [`core`] decides: `step(&mut State, Input, Moment) -> Vec<Effect>`, without clock, randomness, or I/O. [`Services`] is
//! the shell around it: one task owns the state, commits what the core says before anything else of it becomes visible,
//! talks to the master, and publishes immutable views that readers take without waiting. [`Services::router`] speaks
//! Marathon v2 REST. Section numbers (§) in this crate are those of `interfaces/marathon-v2.md`.
//!
//! ```text
//!  router ─► request ─┐                          ┌─► commit ─► Committed(ticket) ─┐
//!  master ─► event   ─┼─► step(State, Input) ────┤                                │ releases
//!  clock  ─► tick    ─┘     decides              └─► (held until then) ◄──────────┘
//!                                                     replies, calls to the master, events
//! ```
//!
//! It never talks to an agent, never runs a task, has no privileges as a framework, and stores neither running nor healthy.

pub mod core;
mod shell;

pub use core::HostPaths;
pub use shell::{Figure, Options, Services, ServicesError, View, batches, ping};
