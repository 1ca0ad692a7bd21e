//! How often a wrong password may be tried. Pure: the time comes in.
//!
//! Each name has, for each network that it is tried from, a bucket of [`BURST`] wrong passwords, which fills again by one every
//! [`PERIOD_MS`]: so nobody can lock another one out from elsewhere. And it has a larger one for all of them together, against
//! many who guess at once. Right passwords cost nothing. The
//! buckets are a fixed number of slots, chosen by a keyed hash of the name: no stream of invented names makes it grow or
//! pushes a bucket out, and a name that nobody has behaves as any other. Two names that share a slot share its bucket; with so many
//! slots that is rare, and whoever can fill another's bucket so could fill it by its own name, too.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use api::marathon::Timestamp;

/// So many wrong passwords in a row, then one per period.
pub(crate) const BURST: i64 = 10;
/// One more may be tried after so many milliseconds.
pub(crate) const PERIOD_MS: i64 = 10_000;
/// The same for a name from everywhere.
const NAME_BURST: i64 = 200;
const NAME_PERIOD_MS: i64 = 1_000;
const SLOTS: usize = 4096;

/// Where somebody comes from: one address of IPv4; of IPv6 the network, since whoever has one address has all of that.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

/// What is known of wrong passwords.
#[derive(Debug)]
pub(crate) struct Limits<H = RandomState> {
    of_network: Limiter<H>,
    of_name: Limiter<H>,
}

impl<H: BuildHasher + Clone> Limits<H> {
    pub(crate) fn new(hasher: H) -> Self {
        Self {
            of_network: Limiter::new(hasher.clone(), BURST, PERIOD_MS),
            of_name: Limiter::new(hasher, NAME_BURST, NAME_PERIOD_MS),
        }
    }

    /// How long this name has to wait that is tried from there; nothing when a password may be tried.
    pub(crate) fn wait(&mut self, name: &str, from: Option<IpAddr>, now: Timestamp) -> Option<Duration> {
        self.of_network.wait(&both(name, from), now).max(self.of_name.wait(name, now))
    }

    /// A wrong password was tried.
    pub(crate) fn failed(&mut self, name: &str, from: Option<IpAddr>, now: Timestamp) {
        self.of_network.failed(&both(name, from), now);
        self.of_name.failed(name, now);
    }
}

fn both(name: &str, from: Option<IpAddr>) -> String {
    // No address has a zero byte in its text.
    from.map_or_else(|| name.to_owned(), |from| format!("{}\0{name}", network(from)))
}

/// Buckets.
#[derive(Debug)]
struct Limiter<H> {
    hasher: H,
    burst: i64,
    period_ms: i64,
    /// When each bucket will be full again.
    full_at: Box<[i64]>,
}

impl<H: BuildHasher> Limiter<H> {
    fn new(hasher: H, burst: i64, period_ms: i64) -> Self {
        Self { hasher, burst, period_ms, full_at: vec![i64::MIN; SLOTS].into() }
    }

    fn slot(&mut self, name: &str, now: Timestamp) -> &mut i64 {
        // The remainder is below the number of slots.
        let at = usize::try_from(self.hasher.hash_one(name) % SLOTS as u64).unwrap_or_default();
        let slot = &mut self.full_at[at];
        // A clock that went back must not lock anybody out for as long as it went back.
        *slot = (*slot).clamp(now.as_millis(), now.as_millis() + self.burst * self.period_ms);
        slot
    }

    /// How long this name has to wait; nothing when a password may be tried.
    fn wait(&mut self, name: &str, now: Timestamp) -> Option<Duration> {
        let owed = *self.slot(name, now) - now.as_millis();
        let over = owed - (self.burst - 1) * self.period_ms;
        u64::try_from(over).ok().filter(|over| *over > 0).map(Duration::from_millis)
    }

    /// A wrong password was tried.
    fn failed(&mut self, name: &str, now: Timestamp) {
        *self.slot(name, now) += self.period_ms;
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, DefaultHasher};

    use super::*;

    fn limiter() -> Limiter<BuildHasherDefault<DefaultHasher>> {
        Limiter::new(BuildHasherDefault::default(), BURST, PERIOD_MS)
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
    fn whoever_guesses_locks_nobody_out_who_is_elsewhere_but_many_together_are_slowed() {
        let mut limits = Limits::new(BuildHasherDefault::<DefaultHasher>::default());
        let from = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        for _ in 0..1000 {
            if limits.wait("joe", from("192.0.2.66"), at(0)).is_none() {
                limits.failed("joe", from("192.0.2.66"), at(0));
            }
        }
        assert!(limits.wait("joe", from("192.0.2.66"), at(0)).is_some());
        assert!(limits.wait("joe", from("::ffff:192.0.2.66"), at(0)).is_some());
        assert_eq!(limits.wait("joe", from("192.0.2.1"), at(0)), None);
        assert_eq!(limits.wait("ann", from("192.0.2.66"), at(0)), None);
        for _ in 0..BURST {
            limits.failed("joe", from("2001:db8::1"), at(0));
        }
        assert!(limits.wait("joe", from("2001:db8::2:0:0:1"), at(0)).is_some());
        assert_eq!(limits.wait("joe", from("2001:db8:0:1::1"), at(0)), None);
        for n in 0..NAME_BURST {
            limits.failed("joe", from(&format!("198.51.100.{n}")), at(0));
        }
        assert!(limits.wait("joe", from("192.0.2.1"), at(0)).is_some());
        assert_eq!(limits.wait("joe", from("192.0.2.1"), at(NAME_BURST * NAME_PERIOD_MS)), None);
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
