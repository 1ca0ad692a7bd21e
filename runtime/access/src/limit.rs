//! How often a wrong password may be tried. Pure: the time comes in.
//!
//! Each name has a bucket of [`BURST`] wrong passwords, which fills again by one every [`PERIOD_MS`]. Right ones cost nothing. The
//! buckets are a fixed number of slots, chosen by a keyed hash of the name: no stream of invented names makes it grow or
//! pushes a bucket out, and a name that nobody has behaves as any other. Two names that share a slot share its bucket; with so many
//! slots that is rare, and whoever can fill another's bucket so could fill it by its own name, too.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use api::marathon::Timestamp;

/// So many wrong passwords in a row, then one per period.
pub(crate) const BURST: i64 = 10;
/// One more may be tried after so many milliseconds.
pub(crate) const PERIOD_MS: i64 = 10_000;
const SLOTS: usize = 4096;

/// The buckets.
#[derive(Debug)]
pub(crate) struct Limiter<H = RandomState> {
    hasher: H,
    /// When each bucket will be full again.
    full_at: Box<[i64]>,
}

impl<H: BuildHasher> Limiter<H> {
    pub(crate) fn new(hasher: H) -> Self {
        Self { hasher, full_at: vec![i64::MIN; SLOTS].into() }
    }

    fn slot(&mut self, name: &str, now: Timestamp) -> &mut i64 {
        // The remainder is below the number of slots.
        let at = usize::try_from(self.hasher.hash_one(name) % SLOTS as u64).unwrap_or_default();
        let slot = &mut self.full_at[at];
        // A clock that went back must not lock anybody out for as long as it went back.
        *slot = (*slot).clamp(now.as_millis(), now.as_millis() + BURST * PERIOD_MS);
        slot
    }

    /// How long this name has to wait; nothing when a password may be tried.
    pub(crate) fn wait(&mut self, name: &str, now: Timestamp) -> Option<Duration> {
        let owed = *self.slot(name, now) - now.as_millis();
        let over = owed - (BURST - 1) * PERIOD_MS;
        u64::try_from(over).ok().filter(|over| *over > 0).map(Duration::from_millis)
    }

    /// A wrong password was tried.
    pub(crate) fn failed(&mut self, name: &str, now: Timestamp) {
        *self.slot(name, now) += PERIOD_MS;
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, DefaultHasher};

    use super::*;

    fn limiter() -> Limiter<BuildHasherDefault<DefaultHasher>> {
        Limiter::new(BuildHasherDefault::default())
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + millis)
    }

    #[test]
    fn ten_wrong_passwords_in_a_row_then_one_per_period() {
        let mut limiter = limiter();
        for _ in 0..BURST {
            assert_eq!(limiter.wait("joe", at(0)), None);
            limiter.failed("joe", at(0));
        }
        assert_eq!(limiter.wait("joe", at(0)), Some(Duration::from_secs(10)));
        assert_eq!(limiter.wait("joe", at(9_999)), Some(Duration::from_millis(1)));
        assert_eq!(limiter.wait("joe", at(10_000)), None);
        limiter.failed("joe", at(10_000));
        assert_eq!(limiter.wait("joe", at(10_001)), Some(Duration::from_millis(9_999)));
        // After a long time everything is as at first.
        for _ in 0..BURST {
            assert_eq!(limiter.wait("joe", at(10_000_000)), None);
            limiter.failed("joe", at(10_000_000));
        }
        assert!(limiter.wait("joe", at(10_000_000)).is_some());
    }

    #[test]
    fn others_are_not_kept_waiting_and_names_take_no_memory() {
        let mut limiter = limiter();
        for _ in 0..BURST {
            limiter.failed("joe", at(0));
        }
        assert_eq!(limiter.wait("ann", at(0)), None);
        for n in 0..100_000 {
            limiter.failed(&format!("x{n}"), at(0));
        }
        assert_eq!(limiter.full_at.len(), SLOTS);
        assert!(limiter.wait("joe", at(0)).is_some());
    }

    #[test]
    fn a_clock_that_goes_back_a_year_locks_nobody_out_for_a_year() {
        let mut limiter = limiter();
        for _ in 0..BURST {
            limiter.failed("joe", at(0));
        }
        let earlier = at(-365 * 86_400_000);
        assert_eq!(limiter.wait("joe", earlier), Some(Duration::from_secs(10)));
    }
}
