//! Sums of amounts by name, whatever the role: what shares are made of.

use super::amount::{ByName, add_all, sub_all};
use crate::scalar::Scalar;

/// Names of the amounts that every cluster has, in the order of [`Scalars::known`].
const KNOWN: [&str; 4] = ["cpus", "mem", "disk", "gpus"];

/// A sum for each name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scalars {
    pub(super) known: [Scalar; 4],
    pub(super) own: ByName<Scalar>,
}

impl Scalars {
    /// The sum of this name; zero when there is none.
    pub fn get(&self, name: &str) -> Scalar {
        match KNOWN.iter().position(|known| *known == name) {
            Some(at) => self.known[at],
            None => self.own.get(name).copied().unwrap_or_default(),
        }
    }

    /// Sums that are more than zero: cpus, mem, disk, gpus, then others in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Scalar)> {
        let known = KNOWN.into_iter().zip(self.known).filter(|(_, sum)| !sum.is_zero());
        known.chain(self.own.iter().map(|(name, sum)| (&**name, *sum)))
    }

    /// Adds each sum of `other`.
    pub fn add(&mut self, other: &Scalars) {
        for (mine, theirs) in self.known.iter_mut().zip(other.known) {
            *mine = mine.plus(theirs);
        }
        if !other.own.is_empty() {
            add_all(&mut self.own, &other.own);
        }
    }

    /// Takes away each sum of `other`, down to zero.
    pub fn sub(&mut self, other: &Scalars) {
        for (mine, theirs) in self.known.iter_mut().zip(other.known) {
            *mine = mine.minus(theirs).max(Scalar::ZERO);
        }
        if !other.own.is_empty() {
            sub_all(&mut self.own, &other.own);
        }
    }

    /// The dominant share of a total: the largest of held/total over all names of which the total has any.
    /// Between 0 and 1 as long as no more is held than there is.
    pub fn dominant_share(&self, total: &Scalars) -> f64 {
        let share = |held: Scalar, all: Scalar| {
            if all > Scalar::ZERO { held.as_f64() / all.as_f64() } else { 0.0 }
        };
        let known = self.known.iter().zip(total.known).map(|(held, all)| share(*held, all));
        let own = self.own.iter().map(|(name, held)| share(*held, total.get(name)));
        known.chain(own).fold(0.0, f64::max)
    }
}
