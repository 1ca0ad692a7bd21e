//! The time, as a decision is given it.

use std::time::Duration;

use crate::marathon::Timestamp;

/// One moment on two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since a fixed origin of the process, on a clock that never goes back: for everything that is waited for.
    pub elapsed: Duration,
    /// The machine's date: for people and records alone, since it may jump.
    pub wall: Timestamp,
}
