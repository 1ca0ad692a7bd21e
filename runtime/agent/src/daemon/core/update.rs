//! What is said about one task, in order, each until it is acknowledged.

use std::collections::VecDeque;
use std::time::Duration;

use api::marathon::{Timestamp, Uuid};
use api::mesos::{Reason, TaskState};

/// The first repetition comes after so long, the next after twice that, and so on (§3, "Acknowledgement").
const FIRST_AGAIN: Duration = Duration::from_secs(10);
/// No repetition waits longer.
const LAST_AGAIN: Duration = Duration::from_secs(600);
/// Beyond so many, what is not terminal and was not sent yet is left out: nobody reads on.
const MOST_PENDING: usize = 64;

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// To be acknowledged by.
    pub uuid: Uuid,
    /// The state.
    pub state: TaskState,
    /// For people.
    pub message: Option<String>,
    /// Why.
    pub reason: Option<Reason>,
    /// Whether the task is healthy, where that is known.
    pub healthy: Option<bool>,
    /// When it came to be so.
    pub at: Timestamp,
}

/// All that is to be said about a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Updates {
    /// Not acknowledged yet, in order; only the first may have been sent.
    pub pending: VecDeque<Update>,
    /// The newest, acknowledged or not.
    pub last: Option<Update>,
    again: Option<Again>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Again {
    at: Duration,
    wait: Duration,
}

impl Updates {
    /// What an earlier agent had still to say.
    #[must_use]
    pub fn recovered(pending: VecDeque<Update>, last: Option<Update>) -> Self {
        Self { pending, last, again: None }
    }

    /// Says something new.
    pub fn say(&mut self, update: Update) {
        if self.pending.len() >= MOST_PENDING && !update.state.is_terminal() {
            // The first may be on its way; the last is what is true now.
            self.pending.truncate(MOST_PENDING - 1);
        }
        self.last = Some(update.clone());
        self.pending.push_back(update);
    }

    /// The one that is to be sent at `now`, for the first time or again; asking means that it is sent.
    pub fn due(&mut self, now: Duration) -> Option<&Update> {
        let wait = match self.again {
            Some(again) if now < again.at => return None,
            Some(again) => again.wait.saturating_mul(2).min(LAST_AGAIN),
            None => FIRST_AGAIN,
        };
        let first = self.pending.front()?;
        self.again = Some(Again { at: now.saturating_add(wait), wait });
        Some(first)
    }

    /// When [`Self::due`] has something.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        self.pending.front()?;
        Some(self.again.map_or(Duration::ZERO, |again| again.at))
    }

    /// There is a new master, or the old one asks: the first one is due at once.
    pub fn hurry(&mut self) {
        self.again = None;
    }

    /// The first one was dealt with; `None` when this uuid is not the first one's.
    pub fn acknowledge(&mut self, uuid: Uuid) -> Option<Update> {
        self.pending.front().filter(|first| first.uuid == uuid)?;
        self.again = None;
        self.pending.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(number: u128, state: TaskState) -> Update {
        let at = Timestamp::from_millis(0);
        Update { uuid: Uuid::from_bits(number), state, message: None, reason: None, healthy: None, at }
    }

    #[test]
    fn one_at_a_time_again_and_again_ever_later() {
        let mut updates = Updates::default();
        assert_eq!(updates.wake_at(), None);
        updates.say(update(1, TaskState::Starting));
        updates.say(update(2, TaskState::Running));
        let mut now = Duration::ZERO;
        let mut waits = Vec::new();
        for _ in 0..9 {
            assert_eq!(updates.due(now).map(|u| u.uuid.as_u128()), Some(1));
            assert_eq!(updates.due(now), None, "only once");
            let next = updates.wake_at().unwrap();
            waits.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert_eq!(updates.acknowledge(Uuid::from_bits(2)), None);
        assert!(updates.acknowledge(Uuid::from_bits(1)).is_some());
        assert_eq!(updates.due(now).map(|u| u.uuid.as_u128()), Some(2));
        assert_eq!(updates.wake_at(), Some(now + FIRST_AGAIN));
        updates.hurry();
        assert_eq!(updates.due(now).map(|u| u.uuid.as_u128()), Some(2));
    }

    #[test]
    fn what_nobody_reads_does_not_grow_without_end_but_the_last_word_stays() {
        let mut updates = Updates::default();
        for number in 0..1000 {
            updates.say(update(number, TaskState::Running));
        }
        updates.say(update(1000, TaskState::Finished));
        assert!(updates.pending.len() <= MOST_PENDING + 1);
        assert_eq!(updates.pending.front().unwrap().uuid.as_u128(), 0);
        assert_eq!(updates.pending.back().unwrap().state, TaskState::Finished);
    }
}
