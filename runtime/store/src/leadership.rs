//! Who leads, and the numbers by which that is proved.

use std::fmt;

/// The number of a reign. It is 0 before the first campaign, rises with every campaign and never falls: not by a crash, a
/// copy to another engine or a restore. Every message of a master carries it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

/// A moment in the store's history: rises with every commit that changes something, once for those that are made together,
/// and with every campaign. A restore
/// may take it back, but raises the epoch; [`Stamp`] orders by both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Epoch {
    /// From its number, for what a message or a file carried.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The first epoch above both. `None` when there are no more numbers.
    pub(crate) fn above(self, other: Epoch) -> Option<Self> {
        self.max(other).0.checked_add(1).map(Self)
    }
}

impl Revision {
    /// From its number, for what a message or a file carried.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next one. The embedded store counts one for each commit: 64 bits last.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Part of every result: the state that it speaks of. A greater one is newer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// The reign.
    pub epoch: Epoch,
    /// The moment within the history.
    pub revision: Revision,
}

/// One who wants to lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub(crate) name: String,
    pub(crate) above: Epoch,
}

impl Candidate {
    /// `name` is what followers send clients to: the address of the master.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), above: Epoch::default() }
    }

    /// The epoch of this reign shall be higher than `epoch`: for a copy, the highest of the old store; for a restore,
    /// one that the old cluster cannot have reached.
    #[must_use]
    pub fn above(mut self, epoch: Epoch) -> Self {
        self.above = epoch;
        self
    }
}

/// One who was elected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// The candidate's name.
    pub name: String,
    /// The reign.
    pub epoch: Epoch,
}

/// What is known of who leads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LeaderView {
    /// The store does not answer: whoever led may lead still, or not.
    #[default]
    Unknown,
    /// Nobody leads.
    Vacant,
    /// This one leads.
    Led(Leader),
}

/// Proof of having been elected, needed for every commit. It is compared with the store in the commit's own transaction:
/// one that has ended is refused there, whatever its holder believes. Only a campaign makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    leader: Leader,
}

impl Leadership {
    pub(crate) fn new(leader: Leader) -> Self {
        Self { leader }
    }

    /// The reign.
    pub fn epoch(&self) -> Epoch {
        self.leader.epoch
    }

    /// Name and epoch.
    pub fn leader(&self) -> &Leader {
        &self.leader
    }
}
