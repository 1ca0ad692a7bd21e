//! What is in the cache, and what has to go.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::digest::Digest;

/// Keeps an entry from being evicted.
pub(in super::super) type Pin = Arc<()>;

#[derive(Debug)]
struct Item {
    size: u64,
    used: u64,
    pin: Pin,
}

/// The entries, with the order of their last use.
#[derive(Debug, Default)]
pub(super) struct Table {
    items: BTreeMap<Digest, Item>,
    uses: u64,
}

impl Table {
    /// Uses an entry.
    pub(super) fn pin(&mut self, sum: Digest) -> Option<Pin> {
        self.uses += 1;
        let item = self.items.get_mut(&sum)?;
        item.used = self.uses;
        Some(item.pin.clone())
    }

    /// Enters a file; also names what goes for it. `None` when what is in use leaves no room.
    pub(super) fn admit(&mut self, sum: Digest, size: u64, max: u64) -> Option<(Pin, Vec<Digest>)> {
        self.uses += 1;
        if let Some(item) = self.items.get_mut(&sum) {
            item.used = self.uses;
            return Some((item.pin.clone(), Vec::new()));
        }
        let room = max.checked_sub(size)?;
        if self.pinned() > room {
            return None;
        }
        let evicted = self.shrink(room);
        let item = Item { size, used: self.uses, pin: Pin::default() };
        let pin = item.pin.clone();
        self.items.insert(sum, item);
        Some((pin, evicted))
    }

    /// Drops the longest unused until the rest has room, or all that is left is in use.
    pub(super) fn shrink(&mut self, room: u64) -> Vec<Digest> {
        let mut total: u64 = self.items.values().map(|item| item.size).fold(0, u64::saturating_add);
        let mut unused: Vec<(u64, Digest, u64)> = self
            .items
            .iter()
            .filter(|(_, item)| Arc::strong_count(&item.pin) == 1)
            .map(|(sum, item)| (item.used, *sum, item.size))
            .collect();
        unused.sort_unstable();
        let mut evicted = Vec::new();
        for (_, sum, size) in unused {
            if total <= room {
                break;
            }
            total -= size;
            self.items.remove(&sum);
            evicted.push(sum);
        }
        evicted
    }

    pub(super) fn remove(&mut self, sum: Digest) {
        self.items.remove(&sum);
    }

    fn pinned(&self) -> u64 {
        let pinned = self.items.values().filter(|item| Arc::strong_count(&item.pin) > 1);
        pinned.map(|item| item.size).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_cache_stays_within_its_size_and_keeps_what_is_used(
            steps in proptest::collection::vec((0_u8..8, 1_u64..40, any::<bool>()), 0..60),
        ) {
            let mut table = Table::default();
            let mut held: Vec<(Digest, Pin)> = Vec::new();
            for (name, size, hold) in steps {
                let sum = Digest::of_bytes(&[name]);
                if let Some((pin, evicted)) = table.admit(sum, size, 100) {
                    prop_assert!(evicted.iter().all(|gone| held.iter().all(|(sum, _)| sum != gone)));
                    if hold {
                        held.push((sum, pin));
                    }
                } else if !hold {
                    held.clear();
                }
                prop_assert!(table.items.values().map(|item| item.size).sum::<u64>() <= 100);
            }
        }
    }
}
