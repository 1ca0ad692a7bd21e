//! What is done on a host: the plan's smallest parts. Pure data.

use serde::{Deserialize, Serialize};

/// Who may read a file of a host: permission bits, owner and group by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Like `0o644`.
    pub mode: u32,
    /// The user.
    pub owner: String,
    /// The group.
    pub group: String,
}

impl Access {
    /// For root, readable by all.
    #[must_use]
    pub fn public() -> Self {
        Self::root(0o644)
    }

    /// For root.
    #[must_use]
    pub fn root(mode: u32) -> Self {
        Self { mode, owner: "root".to_owned(), group: "root".to_owned() }
    }
}
