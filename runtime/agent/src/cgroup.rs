//! Control groups, v1, v2 and hybrid: one group per task, by the same path below a parent in every
//! hierarchy that limits, counts, freezes or (systemd's) owns processes.

mod group;
mod hold;
mod kernel;
mod layout;
mod plan;
mod usage;

pub use group::{Group, KillError};
pub use hold::make_room;
pub use kernel::{Kernel, Linux};
pub use layout::{Hierarchy, Kind, Layout, Mode};
pub use plan::{Limits, Plan, Setting, plan};
pub use usage::Usage;

use std::io;
use std::path::PathBuf;

/// What can go wrong with control groups.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The kernel refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A limit was asked for that nothing here can enforce.
    #[error("no control group hierarchy here can enforce: {}", limits.join(", "))]
    Unenforceable {
        /// The limits.
        limits: Vec<&'static str>,
    },
    /// A new group is not new: something runs in it.
    #[error("group {path} is not empty: processes {pids:?}")]
    Busy {
        /// The group.
        path: String,
        /// What runs there.
        pids: Vec<i32>,
    },
    /// A group's path leaves its parent.
    #[error("`{0}` is no path of a group below the root")]
    Path(String),
}

impl CgroupError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
