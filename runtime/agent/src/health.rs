//! Checks: what a result means is decided in `decide`; looking is done at the edge.

mod decide;
mod look;

pub use decide::{Action, Finding, Findings, Input, Probe, Ready, Watch, step};
pub use look::Looker;
