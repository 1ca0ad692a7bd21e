//! What a shim tells the agent that waits for it: one line on its standard output.

use serde::{Deserialize, Serialize};

/// The answer to a launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The program runs; its first process has this number.
    Running {
        /// The leader, seen from the agent.
        pid: i32,
    },
    /// It does not, and why; `exit.json` says the same.
    Failed {
        /// For people.
        why: String,
    },
    /// This task already has a shim, or had one: nothing was started.
    Already,
}
