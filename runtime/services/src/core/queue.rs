//! What waits to be launched, and what became of offers meanwhile (§3, Queue).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use api::marathon::{OffersSummary, RejectCount, Timestamp};
use api::mesos::Offer;

use super::matching::Rejection;
use super::view::Unused;

/// How many offers of no use are kept for each app, so that someone may look at them.
const MOST_UNUSED: usize = 10;

/// Instances of one app that are to be launched.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Waiting {
    pub(crate) count: u32,
    pub(crate) since: Timestamp,
    processed: u64,
    unused: u64,
    last_unused: Option<Timestamp>,
    last_used: Option<Timestamp>,
    /// How many offers each reason turned away, in the last round of offers and in all.
    last: (u64, [u64; 10]),
    all: [u64; 10],
    /// An example for each reason of the last round.
    examples: BTreeMap<usize, String>,
    /// The newest offers of no use, one of each agent.
    unused_offers: VecDeque<Unused>,
}

impl Waiting {
    pub(crate) fn new(count: u32, since: Timestamp) -> Self {
        Self {
            count,
            since,
            processed: 0,
            unused: 0,
            last_unused: None,
            last_used: None,
            last: (0, [0; 10]),
            all: [0; 10],
            examples: BTreeMap::new(),
            unused_offers: VecDeque::new(),
        }
    }

    /// What became of the offers of one round: `None` for one that was used.
    pub(crate) fn looked_at(&mut self, outcomes: &[(Arc<Offer>, Option<Rejection>)], now: Timestamp) {
        self.last = (0, [0; 10]);
        self.examples.clear();
        for (offer, outcome) in outcomes {
            self.processed += 1;
            self.last.0 += 1;
            match outcome {
                None => self.last_used = Some(now),
                Some(rejection) => {
                    self.unused += 1;
                    self.last_unused = Some(now);
                    for counts in [&mut self.last.1, &mut self.all] {
                        if let Some(count) = counts.get_mut(rejection.at) {
                            *count += 1;
                        }
                    }
                    self.examples.insert(rejection.at, rejection.detail.clone());
                    self.keep(offer, rejection, now);
                }
            }
        }
    }

    fn keep(&mut self, offer: &Arc<Offer>, rejection: &Rejection, timestamp: Timestamp) {
        let same = |kept: &Unused| kept.offer.agent == offer.agent && kept.offer.role == offer.role;
        self.unused_offers.retain(|kept| !same(kept));
        let reason = RejectCount::REASONS.get(rejection.at).copied().unwrap_or_default();
        self.unused_offers.push_back(Unused { offer: offer.clone(), reason, timestamp });
        if self.unused_offers.len() > MOST_UNUSED {
            self.unused_offers.pop_front();
        }
    }

    /// The newest offers of no use.
    pub(crate) fn unused_offers(&self) -> Vec<Unused> {
        self.unused_offers.iter().cloned().collect()
    }

    pub(crate) fn summary(&self) -> OffersSummary {
        OffersSummary {
            processed_offers_count: self.processed,
            unused_offers_count: self.unused,
            last_unused_offer_at: self.last_unused,
            last_used_offer_at: self.last_used,
            reject_summary_last_offers: RejectCount::funnel(self.last.0, self.last.1),
            reject_summary_launch_attempt: RejectCount::funnel(self.processed, self.all),
        }
    }

    /// Why nothing starts, in one sentence.
    pub(crate) fn why(&self) -> String {
        let (offers, declined) = self.last;
        if offers == 0 {
            return "no offer has come yet".to_owned();
        }
        let reason = |(at, detail): (&usize, &String)| {
            let name = RejectCount::REASONS.get(*at).copied().unwrap_or_default();
            format!("{} by {name} ({detail})", declined.get(*at).copied().unwrap_or_default())
        };
        let reasons: Vec<String> = self.examples.iter().map(reason).collect();
        match reasons.is_empty() {
            true => format!("the last {offers} offers were used"),
            false => format!("of the last {offers} offers were turned away: {}", reasons.join(", ")),
        }
    }
}
