//! What amounts, ranges and sets have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ranges::Ranges;
use crate::scalar::Scalar;
use crate::text::show_set;

/// A quantity that can be added to, taken from and compared.
pub(super) trait Amount: Clone {
    fn nothing(&self) -> bool;
    fn add(&mut self, other: &Self);
    fn saturating_sub(&mut self, other: &Self);
    fn covers(&self, other: &Self) -> bool;
    fn show(&self) -> String;
}

/// Never below zero within a bundle.
impl Amount for Scalar {
    fn nothing(&self) -> bool {
        self.is_zero()
    }

    fn add(&mut self, other: &Scalar) {
        *self = self.plus(*other);
    }

    fn saturating_sub(&mut self, other: &Scalar) {
        *self = self.minus(*other).max(Scalar::ZERO);
    }

    fn covers(&self, other: &Scalar) -> bool {
        self >= other
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Amount for Ranges {
    fn nothing(&self) -> bool {
        self.is_empty()
    }

    fn add(&mut self, other: &Ranges) {
        Ranges::add(self, other);
    }

    fn saturating_sub(&mut self, other: &Ranges) {
        self.subtract(other);
    }

    fn covers(&self, other: &Ranges) -> bool {
        self.contains(other)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Amount for BTreeSet<String> {
    fn nothing(&self) -> bool {
        self.is_empty()
    }

    fn add(&mut self, other: &BTreeSet<String>) {
        self.extend(other.iter().cloned());
    }

    fn saturating_sub(&mut self, other: &BTreeSet<String>) {
        self.retain(|item| !other.contains(item));
    }

    fn covers(&self, other: &BTreeSet<String>) -> bool {
        self.is_superset(other)
    }

    fn show(&self) -> String {
        show_set(self)
    }
}

/// Quantities of one kind by name; none of them is nothing.
pub(super) type ByName<A> = BTreeMap<Arc<str>, A>;

pub(super) fn add_all<A: Amount>(mine: &mut ByName<A>, other: &ByName<A>) {
    for (name, amount) in other {
        match mine.get_mut(name) {
            Some(sum) => sum.add(amount),
            None => {
                mine.insert(name.clone(), amount.clone());
            }
        }
    }
}

pub(super) fn sub_all<A: Amount>(mine: &mut ByName<A>, other: &ByName<A>) {
    for (name, amount) in other {
        if let Some(rest) = mine.get_mut(name) {
            rest.saturating_sub(amount);
        }
    }
    mine.retain(|_, amount| !amount.nothing());
}

/// The first quantity of `wanted` that `mine` does not cover: name, what is wanted, what there is.
pub(super) fn missing_of<A: Amount>(
    mine: &ByName<A>,
    wanted: &ByName<A>,
) -> Option<(String, String, String)> {
    wanted.iter().find_map(|(name, wanted)| match mine.get(name) {
        Some(there) if there.covers(wanted) => None,
        Some(there) => Some((name.to_string(), wanted.show(), there.show())),
        None => Some((name.to_string(), wanted.show(), "nothing".to_owned())),
    })
}
