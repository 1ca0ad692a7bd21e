//! Where things lie in etcd, and how the small ones are written.
//!
//! ```text
//!  <prefix>data/<key>   the entries
//!  <prefix>leader       who leads: with the lease, so that it goes when the lease does
//!  <prefix>epoch        the highest reign, and what its predecessor wrote last
//!  <prefix>last         which commit was made last: "<epoch>/<count>"
//! ```

use std::fmt;
use std::str::FromStr;

use etcd_client::KeyValue;
use serde::{Deserialize, Serialize};

use crate::{Epoch, Key, Leader, Prefix, Revision, StoreError};

/// The longest prefix: what a batch leaves below etcd's limit has room for it before every key.
const MAX_PREFIX: usize = 64;

/// The keys below one prefix.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    prefix: String,
    data: String,
}

impl Layout {
    pub(super) fn new(prefix: &str) -> Result<Self, StoreError> {
        let fault = match prefix {
            _ if prefix.len() > MAX_PREFIX => Some("is longer than 64 bytes"),
            _ if !prefix.ends_with('/') => Some("does not end with a slash"),
            _ if !prefix.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Some("has something other than printable ASCII")
            }
            _ => None,
        };
        match fault {
            Some(fault) => Err(StoreError::Endpoint {
                place: format!("etcd prefix {prefix:?}"),
                detail: format!("it {fault}"),
            }),
            None => Ok(Self { prefix: prefix.to_owned(), data: format!("{prefix}data/") }),
        }
    }

    pub(super) fn leader(&self) -> String {
        format!("{}leader", self.prefix)
    }

    pub(super) fn epoch(&self) -> String {
        format!("{}epoch", self.prefix)
    }

    pub(super) fn last(&self) -> String {
        format!("{}last", self.prefix)
    }

    pub(super) fn data(&self, key: &Key) -> String {
        format!("{}{key}", self.data)
    }

    /// The first key of a part, and the first one behind it.
    pub(super) fn range(&self, part: &Prefix) -> (Vec<u8>, Vec<u8>) {
        let start = format!("{}{}", self.data, part.start()).into_bytes();
        let mut end = start.clone();
        match end.last_mut() {
            // Both kinds of prefix end with a slash here: `/` + 1 is `0`.
            Some(slash) if *slash == b'/' => *slash += 1,
            _ => end.push(0),
        }
        (start, end)
    }

    /// The key of an entry.
    pub(super) fn key_of(&self, stored: &[u8]) -> Result<Key, StoreError> {
        let text = std::str::from_utf8(stored).ok();
        let key = text.and_then(|text| text.strip_prefix(&self.data)).map(Key::stored);
        match key {
            Some(Ok(key)) => Ok(key),
            _ => Err(StoreError::Damaged {
                place: format!("etcd key {}", String::from_utf8_lossy(stored).escape_debug()),
                detail: "it is no key of a store".to_owned(),
            }),
        }
    }
}

/// The value of the leader key.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    name: String,
    epoch: u64,
}

/// Who leads, as etcd has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elected {
    pub(super) leader: Leader,
    pub(super) lease: i64,
    /// Of the key: no other leader ever has the same.
    pub(super) created: i64,
    pub(super) modified: i64,
}

impl Elected {
    pub(super) fn value(leader: &Leader) -> Vec<u8> {
        let written = Written { name: leader.name.clone(), epoch: leader.epoch.get() };
        serde_json::to_vec(&written).unwrap_or_default()
    }

    pub(super) fn parse(stored: &KeyValue) -> Result<Self, StoreError> {
        let written: Written =
            serde_json::from_slice(stored.value()).map_err(|fault| damaged(stored, &fault))?;
        Ok(Self {
            leader: Leader { name: written.name, epoch: Epoch::new(written.epoch) },
            lease: stored.lease(),
            created: stored.create_revision(),
            modified: stored.mod_revision(),
        })
    }
}

/// Names a commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) epoch: Epoch,
    pub(super) count: u64,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch, self.count)
    }
}

impl FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (epoch, count) = text.split_once('/')?;
            Some(Self { epoch: Epoch::new(epoch.parse().ok()?), count: count.parse().ok()? })
        };
        parse().ok_or_else(|| format!("{text:?} is not <epoch>/<count>"))
    }
}

/// Which commit was made last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) mark: Mark,
    /// Of the commit.
    pub(super) modified: i64,
}

impl Last {
    pub(super) fn parse(stored: Option<&KeyValue>) -> Result<Self, StoreError> {
        let Some(stored) = stored else { return Ok(Self::default()) };
        let mark =
            String::from_utf8_lossy(stored.value()).parse().map_err(|fault| damaged(stored, &fault))?;
        Ok(Self { mark, modified: stored.mod_revision() })
    }

    pub(super) fn revision(self) -> Revision {
        revision(self.modified)
    }
}

/// The highest reign. It names the last commit of the one before: a leader whose last commit was not answered learns here
/// what became of it, also when its successor has written since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reigned {
    pub(super) epoch: Epoch,
    pub(super) before: Last,
    /// Of the key.
    pub(super) modified: i64,
}

impl Reigned {
    pub(super) fn value(&self) -> String {
        format!("{} {} {}", self.epoch, self.before.mark, self.before.modified)
    }

    pub(super) fn parse(stored: Option<&KeyValue>) -> Result<Self, StoreError> {
        let Some(stored) = stored else { return Ok(Self::default()) };
        let text = String::from_utf8_lossy(stored.value()).into_owned();
        let parts: Vec<&str> = text.split(' ').collect();
        let parsed = match parts[..] {
            [epoch, mark, revision] => (epoch.parse().ok()).zip(mark.parse().ok()).zip(revision.parse().ok()),
            _ => None,
        };
        let Some(((epoch, mark), revision)) = parsed else {
            return Err(damaged(stored, &format!("{text:?} is not <epoch> <mark> <revision>")));
        };
        Ok(Self {
            epoch: Epoch::new(epoch),
            before: Last { mark, modified: revision },
            modified: stored.mod_revision(),
        })
    }
}

/// etcd counts from 1 and up.
pub(super) fn revision(number: i64) -> Revision {
    Revision::new(u64::try_from(number).unwrap_or_default())
}

fn damaged(stored: &KeyValue, fault: &dyn fmt::Display) -> StoreError {
    StoreError::Damaged {
        place: format!("etcd key {}", String::from_utf8_lossy(stored.key()).escape_debug()),
        detail: fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_cannot_be_used_is_refused() {
        assert!(Layout::new("clusterctl/").is_ok());
        for bad in ["", "clusterctl", "a b/", &format!("{}/", "a".repeat(64))] {
            assert!(matches!(Layout::new(bad), Err(StoreError::Endpoint { .. })), "{bad}");
        }
    }

    #[test]
    fn a_part_is_a_range_without_its_neighbours() {
        let layout = Layout::new("c/").unwrap();
        let key = Key::new("a/b").unwrap();
        let range = |part: &Prefix| {
            let (start, end) = layout.range(part);
            (String::from_utf8(start).unwrap(), String::from_utf8(end).unwrap())
        };
        assert_eq!(range(&Prefix::all()), ("c/data/".into(), "c/data0".into()));
        assert_eq!(range(&Prefix::below(&key)), ("c/data/a/b/".into(), "c/data/a/b0".into()));
        assert_eq!(range(&Prefix::only(&key)), ("c/data/a/b".into(), "c/data/a/b\0".into()));
        assert_eq!(layout.key_of(layout.data(&key).as_bytes()).unwrap(), key);
        assert!(layout.key_of(b"c/data/").is_err() && layout.key_of(b"c/leader").is_err());
    }

    #[test]
    fn marks_come_back() {
        let mark = Mark { epoch: Epoch::new(7), count: 41 };
        assert_eq!(mark.to_string().parse(), Ok(mark));
        assert!("7".parse::<Mark>().is_err() && "7/x".parse::<Mark>().is_err());
    }
}
