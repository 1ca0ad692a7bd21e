//! The store as the masters may count on it: one history, guarded writes, a lease that runs out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use store::{Batch, Entry, Epoch, Key, Prefix, Revision, Snapshot, Stamp};

/// A leader's lease (design §15).
pub(crate) const LEASE: u64 = 3_000;

/// That somebody leads.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    /// Until when, unless it says again that it lives.
    pub(crate) until: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    entries: BTreeMap<Key, Entry>,
    revision: u64,
    pub(crate) epoch: u64,
    pub(crate) holder: Option<Holder>,
    /// Who waits to lead: a master, its life, and the number of its question.
    pub(crate) waiting: VecDeque<(usize, u64, u64)>,
    /// The epoch of the newest write.
    last_write: u64,
    /// Every record of an instance that was ever written, by its key's last part.
    recorded: BTreeSet<String>,
}

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    Made,
    NotLeading,
    /// A condition did not hold, or the batch was none.
    Refused(String),
}

impl Model {
    /// One transaction. A write of a reign that is over, behind one of a later reign, is an error of the store.
    pub(crate) fn commit(&mut self, epoch: u64, batch: Batch, guarded: bool) -> Result<Commit, String> {
        let leads = epoch == self.epoch && self.holder.is_some();
        if guarded && !leads {
            return Ok(Commit::NotLeading);
        }
        if batch.is_empty() {
            return Ok(Commit::Made);
        }
        if let Err(error) = batch.apply(&mut self.entries, Revision::new(self.revision + 1)) {
            return Ok(Commit::Refused(error.to_string()));
        }
        self.revision += 1;
        if epoch < self.last_write {
            return Err(format!("epoch {epoch} wrote after epoch {} did", self.last_write));
        }
        self.last_write = epoch;
        let instances = self.entries.keys().filter(|key| key.as_str().starts_with("services/instances/"));
        let new: Vec<String> =
            instances.filter_map(Key::name).filter(|name| !self.recorded.contains(name)).collect();
        self.recorded.extend(new);
        Ok(Commit::Made)
    }

    /// Whether an instance is, or was, on record.
    pub(crate) fn has_recorded(&self, instance: &str) -> bool {
        self.recorded.contains(instance)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let stamp = Stamp { epoch: Epoch::new(self.epoch), revision: Revision::new(self.revision) };
        Snapshot { stamp, prefix: Prefix::all(), entries: self.entries.clone() }
    }

    /// Lets the next one lead whose turn it is, at `now`.
    pub(crate) fn elect(&mut self, now: u64) -> Option<(usize, u64, u64)> {
        if self.holder.as_ref().is_some_and(|holder| holder.until > now) {
            return None;
        }
        self.holder = None;
        let (master, life, question) = self.waiting.pop_front()?;
        self.epoch += 1;
        self.holder = Some(Holder { until: now + LEASE });
        Some((master, life, question))
    }

    /// The leader lives. False when it leads no more.
    pub(crate) fn keep(&mut self, epoch: u64, now: u64) -> bool {
        match &mut self.holder {
            Some(holder) if epoch == self.epoch && holder.until > now => {
                holder.until = now + LEASE;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn resign(&mut self, epoch: u64) {
        if epoch == self.epoch {
            self.holder = None;
        }
    }
}
