//! What one commit changes, and on what condition.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use thiserror::Error;

use crate::{Entry, Key, Revision, StoreError};

/// The most puts and deletes of one batch, and as many conditions. etcd takes 128 of either by default; the rest is for
/// the guards that an implementation adds.
pub const MAX_OPS: usize = 120;

/// The most bytes of one batch, keys and values. etcd takes 1.5 MiB by default; the rest is for framing and for the
/// prefix that an implementation puts before the keys.
pub const MAX_BATCH_BYTES: usize = 1536 * 1024 - 256 * 1024;

/// The longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;

/// Puts and deletes that happen together or not at all, each key at most once; and conditions that all must hold at
/// that moment. An empty batch changes nothing, and succeeds only for the leader: so a leader makes sure that it still
/// is one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Batch {
    pub(crate) conditions: Vec<(Key, Condition)>,
    pub(crate) ops: Vec<(Key, Op)>,
}

/// What becomes of a key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Op {
    Put(Vec<u8>),
    Delete,
}

/// What must be true of a key for a batch to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// There is no such key.
    Absent,
    /// There is one, whatever its value.
    Present,
    /// It was last written at this revision: nobody changed it since it was read.
    At(Revision),
}

impl Condition {
    pub(crate) fn holds(self, found: Option<Revision>) -> bool {
        match self {
            Self::Absent => found.is_none(),
            Self::Present => found.is_some(),
            Self::At(revision) => found == Some(revision),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Present => f.write_str("present"),
            Self::At(revision) => write!(f, "at revision {revision}"),
        }
    }
}

/// Why a batch can be taken by no store. Larger changes go through [`crate::large`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BatchError {
    /// More than [`MAX_OPS`] puts and deletes, or conditions.
    #[error("the batch has {count} {what}, {MAX_OPS} at most are possible")]
    TooMany {
        /// `changes` or `conditions`.
        what: &'static str,
        /// How many.
        count: usize,
    },
    /// More than [`MAX_BATCH_BYTES`].
    #[error("the batch has {bytes} bytes, {MAX_BATCH_BYTES} at most are possible")]
    TooLarge {
        /// Of keys and values.
        bytes: usize,
    },
    /// More than [`MAX_VALUE_BYTES`].
    #[error("the value of {key} has {bytes} bytes, {MAX_VALUE_BYTES} at most are possible")]
    ValueTooLarge {
        /// Whose value.
        key: Key,
        /// Its length.
        bytes: usize,
    },
    /// Two changes of the same key.
    #[error("the batch changes {key} twice")]
    Twice {
        /// Which key.
        key: Key,
    },
}

impl Batch {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a value, whether or not there is one.
    #[must_use]
    pub fn put(mut self, key: Key, value: impl Into<Vec<u8>>) -> Self {
        self.ops.push((key, Op::Put(value.into())));
        self
    }

    /// Removes a key; one that is not there is no error.
    #[must_use]
    pub fn delete(mut self, key: Key) -> Self {
        self.ops.push((key, Op::Delete));
        self
    }

    /// Adds a condition on the state before this batch.
    #[must_use]
    pub fn require(mut self, key: Key, condition: Condition) -> Self {
        self.conditions.push((key, condition));
        self
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// How many puts and deletes it has.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Its keys and values in bytes, as [`MAX_BATCH_BYTES`] counts them.
    pub fn bytes(&self) -> usize {
        let conditions: usize = self.conditions.iter().map(|(key, _)| key.as_str().len()).sum();
        conditions + self.ops.iter().map(|(key, op)| op_bytes(key, op)).sum::<usize>()
    }

    /// Holds the batch against the limits, which are the same for every implementation.
    ///
    /// # Errors
    /// When it is over one of them or changes a key twice.
    pub fn check(&self) -> Result<(), BatchError> {
        for (what, count) in [("changes", self.ops.len()), ("conditions", self.conditions.len())] {
            if count > MAX_OPS {
                return Err(BatchError::TooMany { what, count });
            }
        }
        let mut seen = BTreeSet::new();
        for (key, op) in &self.ops {
            if let Op::Put(value) = op
                && value.len() > MAX_VALUE_BYTES
            {
                return Err(BatchError::ValueTooLarge { key: key.clone(), bytes: value.len() });
            }
            if !seen.insert(key) {
                return Err(BatchError::Twice { key: key.clone() });
            }
        }
        match self.bytes() {
            bytes if bytes > MAX_BATCH_BYTES => Err(BatchError::TooLarge { bytes }),
            _ => Ok(()),
        }
    }

    /// Makes its changes in a map if its conditions hold, as every store does: all or none, `next` being the revision of what is
    /// put. Whether the one who asks may write is not looked at.
    ///
    /// # Errors
    /// `Batch` and `Precondition`: then nothing was changed.
    pub fn apply(self, entries: &mut BTreeMap<Key, Entry>, next: Revision) -> Result<(), StoreError> {
        self.check()?;
        for (key, wanted) in self.conditions {
            let found = entries.get(&key).map(|entry| entry.modified);
            if !wanted.holds(found) {
                return Err(StoreError::Precondition { key, wanted, found });
            }
        }
        for (key, op) in self.ops {
            match op {
                Op::Put(value) => entries.insert(key, Entry { value, modified: next }),
                Op::Delete => entries.remove(&key),
            };
        }
        Ok(())
    }

    /// As few batches as the limits allow, in the order of the changes.
    pub(crate) fn split(ops: impl IntoIterator<Item = (Key, Op)>) -> Vec<Batch> {
        let mut batches: Vec<Batch> = Vec::new();
        let mut bytes = 0;
        for (key, op) in ops {
            let more = op_bytes(&key, &op);
            match batches.last_mut() {
                Some(last) if last.ops.len() < MAX_OPS && bytes + more <= MAX_BATCH_BYTES => {
                    bytes += more;
                    last.ops.push((key, op));
                }
                _ => {
                    bytes = more;
                    batches.push(Batch { conditions: Vec::new(), ops: vec![(key, op)] });
                }
            }
        }
        batches
    }
}

fn op_bytes(key: &Key, op: &Op) -> usize {
    key.as_str().len()
        + match op {
            Op::Put(value) => value.len(),
            Op::Delete => 0,
        }
}

/// Values may be secret: lengths alone.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("conditions", &self.conditions).field("ops", &self.ops).finish()
    }
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(value) => write!(f, "put {} bytes", value.len()),
            Self::Delete => f.write_str("delete"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Key {
        Key::new(format!("k/{n}")).unwrap()
    }

    #[test]
    fn every_limit_has_its_own_message() {
        let many = (0..=MAX_OPS).fold(Batch::new(), |batch, n| batch.put(key(n), "x"));
        assert_eq!(many.check(), Err(BatchError::TooMany { what: "changes", count: MAX_OPS + 1 }));
        let conditions =
            (0..=MAX_OPS).fold(Batch::new(), |batch, n| batch.require(key(n), Condition::Absent));
        assert_eq!(conditions.check(), Err(BatchError::TooMany { what: "conditions", count: MAX_OPS + 1 }));
        let value = Batch::new().put(key(0), vec![0; MAX_VALUE_BYTES + 1]);
        assert_eq!(value.check(), Err(BatchError::ValueTooLarge { key: key(0), bytes: MAX_VALUE_BYTES + 1 }));
        let large = Batch::new().put(key(0), vec![0; MAX_VALUE_BYTES]).put(key(1), vec![0; MAX_VALUE_BYTES]);
        assert!(matches!(large.check(), Err(BatchError::TooLarge { .. })));
        let twice = Batch::new().put(key(0), "x").delete(key(0));
        assert_eq!(twice.check(), Err(BatchError::Twice { key: key(0) }));
        assert_eq!(Batch::new().check(), Ok(()));
    }

    #[test]
    fn a_batch_is_made_in_a_map_wholly_or_not_at_all() {
        let mut entries = BTreeMap::new();
        let (first, second) = (Revision::new(1), Revision::new(2));
        Batch::new().put(key(1), "a").put(key(2), "b").apply(&mut entries, first).unwrap();
        let stale = Batch::new().require(key(3), Condition::Present).delete(key(1));
        assert!(matches!(stale.apply(&mut entries, second), Err(StoreError::Precondition { .. })));
        assert_eq!(entries.len(), 2);
        let good = Batch::new().require(key(1), Condition::At(first)).delete(key(1)).put(key(2), "c");
        good.apply(&mut entries, second).unwrap();
        assert_eq!(entries.get(&key(2)).map(|entry| entry.modified), Some(second));
        assert!(!entries.contains_key(&key(1)));
    }

    #[test]
    fn splitting_keeps_every_change_in_order_and_every_batch_within_the_limits() {
        let ops: Vec<_> = (0..500).map(|n| (key(n), Op::Put(vec![1; (n * 7919) % 40_000]))).collect();
        let batches = Batch::split(ops.clone());
        assert!(batches.iter().all(|batch| batch.check().is_ok()));
        let together: Vec<_> = batches.into_iter().flat_map(|batch| batch.ops).collect();
        assert!(together == ops);
    }

    #[test]
    fn values_are_not_printed() {
        let text = format!("{:?}", Batch::new().put(key(1), "canary"));
        assert!(text.contains("put 6 bytes") && !text.contains("canary"), "{text}");
    }
}
