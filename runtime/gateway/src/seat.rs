//! Where the leadership is, as far as this master knows; and what it makes of what the store says about that. Pure.

use std::time::{Duration, Instant};

use store::{Leader, LeaderView};

/// Where the leadership is. `R` is what stands on it.
#[derive(Clone, Debug)]
pub(crate) enum Seat<R> {
    /// Here.
    Leads(R),
    /// At another master.
    Follows(Leader),
    /// With nobody that is known.
    Open {
        /// What stood on this master's own leadership, until another one is known to lead.
        past: Option<Past<R>>,
        /// Why it is so.
        why: String,
    },
}

/// What a leadership that is over has left.
#[derive(Clone, Debug)]
pub(crate) struct Past<R> {
    /// It does not change any more.
    pub(crate) rooms: R,
    /// From when on it may be otherwise.
    pub(crate) since: Instant,
}

/// For people: how a master stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It leads.
    Leads,
    /// Another one does, whose `host:port` this is.
    Follows(String),
    /// Nobody is known to lead.
    Waits {
        /// Why it is so.
        why: String,
    },
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Leads => f.write_str("leads"),
            Self::Follows(leader) => write!(f, "follows {leader}"),
            Self::Waits { why } => write!(f, "waits for a leader: {why}"),
        }
    }
}

impl<R> Seat<R> {
    pub(crate) fn open(why: impl Into<String>) -> Self {
        Self::Open { past: None, why: why.into() }
    }

    pub(crate) fn standing(&self) -> Standing {
        match self {
            Self::Leads(_) => Standing::Leads,
            Self::Follows(leader) => Standing::Follows(leader.name.clone()),
            Self::Open { why, .. } => Standing::Waits { why: why.clone() },
        }
    }

    /// Takes note of what the store says to the candidate `own`, who does not lead; whether that changes anything.
    ///
    /// When the store does not answer, whoever led may lead still: requests go there, and whoever leads no more says so.
    pub(crate) fn observe(&mut self, view: &LeaderView, own: &str) -> bool {
        match (view, &mut *self) {
            // Its reign is ended first.
            (_, Self::Leads(_)) => false,
            (LeaderView::Led(leader), seat) if leader.name != own => {
                if matches!(seat, Self::Follows(known) if known == leader) {
                    return false;
                }
                *seat = Self::Follows(leader.clone());
                true
            }
            // What an earlier life of this very master left; or nobody.
            (LeaderView::Led(_) | LeaderView::Vacant, seat @ Self::Follows(_)) => {
                *seat = Self::open(NOBODY);
                true
            }
            (LeaderView::Led(_) | LeaderView::Vacant, Self::Open { why, .. }) => set(why, NOBODY),
            (LeaderView::Unknown, Self::Open { why, .. }) => set(why, SILENT),
            (LeaderView::Unknown, Self::Follows(_)) => false,
        }
    }

    /// It leads no more, and has this reason; what is left of its reign is `past`.
    pub(crate) fn step_down(&mut self, past: Past<R>, reason: &str) {
        *self = Self::Open { past: Some(past), why: reason.to_owned() };
    }

    /// Why it cannot lead yet.
    pub(crate) fn blame(&mut self, reason: &str) -> bool {
        match self {
            Self::Open { why, .. } => set(why, reason),
            Self::Leads(_) | Self::Follows(_) => false,
        }
    }
}

const NOBODY: &str = "nobody leads";
const SILENT: &str = "the store does not answer";

fn set(why: &mut String, new: &str) -> bool {
    let differs = why != new;
    if differs {
        new.clone_into(why);
    }
    differs
}

/// How long what is known may have been otherwise, in whole seconds: never none.
pub(crate) fn age(since: Instant, now: Instant) -> u64 {
    let age = now.saturating_duration_since(since);
    (age + Duration::from_millis(999)).as_secs().max(1)
}

#[cfg(test)]
mod tests {
    use store::Epoch;

    use super::*;

    fn led(name: &str, epoch: u64) -> LeaderView {
        LeaderView::Led(Leader { name: name.to_owned(), epoch: Epoch::new(epoch) })
    }

    fn seats(views: &[LeaderView]) -> Vec<Standing> {
        let mut seat = Seat::<()>::open("it starts");
        let see = |view| {
            seat.observe(view, "m1");
            seat.standing()
        };
        views.iter().map(see).collect()
    }

    #[test]
    fn who_leads_is_known_until_another_one_does_or_nobody() {
        let follows = |name: &str| Standing::Follows(name.to_owned());
        let waits = |why: &str| Standing::Waits { why: why.to_owned() };
        assert_eq!(
            seats(&[
                LeaderView::Unknown,
                LeaderView::Vacant,
                led("m2", 1),
                LeaderView::Unknown,
                led("m3", 2),
                LeaderView::Vacant,
                led("m1", 1),
                led("m2", 3),
                led("m1", 4),
            ]),
            [
                waits(SILENT),
                waits(NOBODY),
                follows("m2"),
                follows("m2"),
                follows("m3"),
                waits(NOBODY),
                waits(NOBODY),
                follows("m2"),
                waits(NOBODY),
            ]
        );
    }

    #[test]
    fn what_is_left_of_a_reign_is_kept_until_another_one_leads() {
        let since = Instant::now();
        let mut seat = Seat::Leads(7);
        assert!(!seat.observe(&led("m2", 9), "m1"), "its reign is ended first");
        seat.step_down(Past { rooms: 7, since }, "the lease is over");
        assert!(
            matches!(&seat, Seat::Open { past: Some(past), why } if past.rooms == 7 && why == "the lease is over")
        );
        for view in [LeaderView::Unknown, LeaderView::Vacant, led("m1", 3)] {
            seat.observe(&view, "m1");
            assert!(matches!(&seat, Seat::Open { past: Some(_), .. }), "{view:?}");
        }
        assert!(seat.observe(&led("m2", 9), "m1"));
        assert!(!seat.observe(&led("m2", 9), "m1"));
        seat.observe(&LeaderView::Vacant, "m1");
        assert!(matches!(seat, Seat::Open { past: None, .. }));
    }

    #[test]
    fn an_age_is_rounded_up() {
        let now = Instant::now();
        let ages = [0, 1, 999, 1000, 1001, 5000].map(|ms| age(now, now + Duration::from_millis(ms)));
        assert_eq!(ages, [1, 1, 1, 1, 2, 5]);
        assert_eq!(age(now + Duration::from_secs(1), now), 1);
    }
}
