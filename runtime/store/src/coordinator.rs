//! How the processes are that keep the state.

/// One process that keeps the state for the masters, as it was at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coordinator {
    /// Its name among the others; nothing where none of them told it.
    pub name: Option<String>,
    /// Where it is asked, `host:port`.
    pub address: String,
    /// How it was.
    pub state: CoordinatorState,
}

/// How a coordinator was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoordinatorState {
    /// It leads the others.
    Leader,
    /// It follows one that leads.
    Follower,
    /// It answers, and knows of no majority.
    NoQuorum,
    /// Its disk, or what it may take of it, is full, or its data is damaged.
    Alarmed,
    /// It does not answer.
    Unreachable,
}

impl CoordinatorState {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::NoQuorum => "no quorum",
            Self::Alarmed => "alarmed",
            Self::Unreachable => "unreachable",
        }
    }
}
