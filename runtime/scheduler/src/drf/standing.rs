//! Where someone stands among others.

use std::collections::BTreeSet;

use crate::resources::Scalars;

/// A place in an order. Shares are never negative, so that their bits ascend as they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(super) share: u64,
    pub(super) offers: u64,
    pub(super) came: u64,
    pub(super) target: usize,
}

/// What someone holds, offers included, and the place that this gives in the order, if he is in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    pub(super) held: Scalars,
    pub(super) offers: u64,
    pub(super) key: Option<Key>,
}

impl Standing {
    pub(super) fn share(&self, total: &Scalars, weight: f64) -> f64 {
        self.held.dominant_share(total) / weight
    }

    pub(super) fn place(&self, total: &Scalars, weight: f64, came: u64, target: usize) -> Key {
        Key { share: self.share(total, weight).to_bits(), offers: self.offers, came, target }
    }

    /// Moves to another place of an order in which it is.
    pub(super) fn reorder(&mut self, order: &mut BTreeSet<Key>, key: Key) {
        if let Some(old) = self.key
            && old != key
        {
            order.remove(&old);
            order.insert(key);
            self.key = Some(key);
        }
    }
}
