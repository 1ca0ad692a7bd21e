//! The phases of a run, in their order (design §6).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// SSH connections, host keys, logins.
    Connect,
    /// What hosts are and have.
    Facts,
    /// Whether they can take part.
    Preflight,
    /// Programs that go to hosts.
    Artifacts,
    /// Certificates.
    Pki,
    /// Files, users and units go to hosts; nothing is started.
    Distribute,
    /// Coordinators start; they have a quorum.
    Coordinators,
    /// Masters start; one leads.
    Masters,
    /// Agents start and register.
    Agents,
    /// The whole cluster is looked at.
    Postflight,
    /// What was installed is taken away.
    Remove,
}

impl Phase {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Facts => "facts",
            Self::Preflight => "preflight",
            Self::Artifacts => "artifacts",
            Self::Pki => "pki",
            Self::Distribute => "distribute",
            Self::Coordinators => "coordinators",
            Self::Masters => "masters",
            Self::Agents => "agents",
            Self::Postflight => "postflight",
            Self::Remove => "remove",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
