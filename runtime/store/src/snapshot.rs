//! What a load gives.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;

use crate::{Key, Prefix, Revision, Stamp};

/// All that lay below a prefix at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The moment.
    pub stamp: Stamp,
    /// What was asked for.
    pub prefix: Prefix,
    /// What lay there.
    pub entries: BTreeMap<Key, Entry>,
}

/// A value and when it was written.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// As it was committed.
    pub value: Vec<u8>,
    /// Of the commit that wrote it: for [`crate::Condition::At`].
    pub modified: Revision,
}

/// Values may be secret: the length alone.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {}", self.value.len(), self.modified)
    }
}

impl Snapshot {
    /// The value of a key.
    pub fn get(&self, key: &Key) -> Option<&[u8]> {
        self.entries.get(key).map(|entry| entry.value.as_slice())
    }

    /// The entries below `key`, in the order of the keys.
    pub fn below<'a>(&'a self, key: &Key) -> impl Iterator<Item = (&'a Key, &'a Entry)> {
        let part = Prefix::below(key);
        // Not from `key` itself: between it and what is below it lie neighbours such as `web-1` of `web`.
        self.entries
            .range::<str, _>((Bound::Included(part.start()), Bound::Unbounded))
            .take_while(move |(key, _)| part.covers(key))
    }
}
