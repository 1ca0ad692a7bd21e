//! Health checks: what a result means is decided in `decide`; looking is done at the edge.

mod decide;
mod look;

pub use decide::{Action, Findings, Input, Probe, Watch, step};
pub use look::Looker;
