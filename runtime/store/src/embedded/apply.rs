//! One request, applied to the transaction of its group.

use redb::{ReadableTable, Table};

use super::file::{ENTRIES, EPOCH, NUMBERS, REVISION};
use crate::batch::Op;
use crate::{Batch, Candidate, ClusterVersion, Epoch, Leader, Leadership, Revision, Stamp, StoreError};

/// A group's transaction. The numbers in it are those of the transaction: the epoch that a commit is compared with is the
/// one that its own transaction began with, or that a campaign before it in the same transaction raised.
pub(super) struct Group<'a> {
    entries: Table<'a, &'static str, (u64, &'static [u8])>,
    numbers: Table<'a, &'static str, u64>,
    stamp: Stamp,
    began: Stamp,
    /// Who leads as of this transaction. After an open nobody does, whatever epoch is stored.
    leader: Option<Leader>,
}

/// The engine's fault ends the group; the other one only its request.
pub(super) type Applied<T> = Result<Result<T, StoreError>, redb::Error>;

impl<'a> Group<'a> {
    pub(super) fn begin(
        transaction: &'a redb::WriteTransaction,
        leader: Option<Leader>,
    ) -> Result<Self, redb::Error> {
        let entries = transaction.open_table(ENTRIES)?;
        let numbers = transaction.open_table(NUMBERS)?;
        let number = |name| Ok::<_, redb::Error>(numbers.get(name)?.map_or(0, |number| number.value()));
        let stamp = Stamp { epoch: Epoch::new(number(EPOCH)?), revision: Revision::new(number(REVISION)?) };
        Ok(Self { entries, numbers, stamp, began: stamp, leader })
    }

    /// Writes the numbers. Answers who leads now, and whether there is anything to commit.
    pub(super) fn finish(mut self) -> Result<(Option<Leader>, bool), redb::Error> {
        let changed = self.stamp != self.began;
        if changed {
            self.numbers.insert(EPOCH, self.stamp.epoch.get())?;
            self.numbers.insert(REVISION, self.stamp.revision.get())?;
        }
        Ok((self.leader, changed))
    }

    pub(super) fn commit(&mut self, epoch: Epoch, batch: Batch) -> Applied<Stamp> {
        if let Err(refused) = self.guard(epoch) {
            return Ok(Err(refused));
        }
        for (key, wanted) in batch.conditions {
            let found = self.entries.get(key.as_str())?.map(|entry| Revision::new(entry.value().0));
            if !wanted.holds(found) {
                return Ok(Err(StoreError::Precondition { key, wanted, found }));
            }
        }
        if batch.ops.is_empty() {
            return Ok(Ok(self.stamp));
        }
        let revision = self.stamp.revision.next();
        for (key, op) in batch.ops {
            match op {
                Op::Put(value) => {
                    self.entries.insert(key.as_str(), (revision.get(), value.as_slice()))?;
                }
                Op::Delete => {
                    self.entries.remove(key.as_str())?;
                }
            }
        }
        self.stamp.revision = revision;
        Ok(Ok(self.stamp))
    }

    pub(super) fn campaign(&mut self, candidate: Candidate, own: ClusterVersion) -> Applied<Leadership> {
        let Some(epoch) = self.stamp.epoch.above(candidate.above) else {
            return Ok(Err(StoreError::EpochExhausted(self.stamp.epoch.max(candidate.above))));
        };
        let revision = self.stamp.revision.next();
        let stored = self.entries.get(ClusterVersion::KEY)?.map(|entry| entry.value().1.to_vec());
        match stored.map(|bytes| ClusterVersion::from_bytes(&bytes)) {
            None => {
                let version = own.to_bytes();
                self.entries.insert(ClusterVersion::KEY, (revision.get(), version.as_slice()))?;
            }
            Some(stored) => {
                if let Err(refused) = stored.and_then(|stored| own.admits(stored)) {
                    return Ok(Err(refused));
                }
            }
        }
        self.stamp = Stamp { epoch, revision };
        let leader = Leader { name: candidate.name, epoch };
        self.leader = Some(leader.clone());
        Ok(Ok(Leadership::new(leader)))
    }

    pub(super) fn resign(&mut self, epoch: Epoch) -> Result<(), StoreError> {
        self.guard(epoch)?;
        self.leader = None;
        Ok(())
    }

    fn guard(&self, held: Epoch) -> Result<(), StoreError> {
        let leads = self.leader.as_ref().is_some_and(|leader| leader.epoch == held);
        if leads && held == self.stamp.epoch {
            Ok(())
        } else {
            Err(StoreError::NotLeading { held, current: self.stamp.epoch })
        }
    }
}
