//! How long to wait before a read is sent again.

use std::time::Duration;

/// The ceilings of the pauses, in order; after them there is no further attempt.
const CEILINGS: [Duration; 4] = [
    Duration::from_millis(150),
    Duration::from_millis(600),
    Duration::from_millis(1500),
    Duration::from_millis(3000),
];
/// So many of them without an answer. A cluster that answers that it has no leader has one soon.
const WITHOUT_ANSWER: usize = 2;

/// The pauses of one call.
pub(super) struct Pauses {
    done: usize,
    random: fn() -> f64,
}

impl Pauses {
    pub(super) fn new() -> Self {
        Self { done: 0, random }
    }

    /// The next pause, anywhere below its ceiling, so that many clients do not come back as one. `answered`: the cluster is there.
    pub(super) fn next(&mut self, answered: bool) -> Option<Duration> {
        let most = if answered { CEILINGS.len() } else { WITHOUT_ANSWER };
        let ceiling = CEILINGS.get(..most)?.get(self.done)?;
        self.done += 1;
        Some(ceiling.mul_f64((self.random)()))
    }
}

/// From 0 to 1. Without chance from the system, the middle: clients then meet, which is bad but not wrong.
fn random() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let mut pauses = Pauses { done: 0, random: || 1.0 };
        let nexts = [false, true, false, true, true, true].map(|answered| pauses.next(answered));
        let all = CEILINGS.map(Some);
        assert_eq!(nexts, [all[0], all[1], None, all[2], all[3], None]);
    }

    #[test]
    fn chance_stays_within_its_bounds() {
        assert!((0..100).map(|_| random()).all(|share| (0.0..=1.0).contains(&share)));
    }
}
