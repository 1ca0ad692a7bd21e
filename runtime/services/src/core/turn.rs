//! One step in the making: what it changes, and what is held back until that is durable.

use std::collections::BTreeMap;

use api::Moment;
use api::marathon::{ApiError, Event, TimedEvent, Timestamp};
use api::mesos::Call;
use store::{Key, MAX_BATCH_BYTES, MAX_KEY_BYTES, MAX_OPS};

use super::state::State;
use super::{Answer, Change, Effect};

/// A batch takes 120 changes; what a step decides besides launches and expiries stays far below the rest.
pub(crate) const MOST_AT_ONCE: usize = 40;
/// What follows earlier changes is written up to this many changes.
const MOST_BEHIND: usize = 100;
/// Above this many bytes nothing more is decided on: the rest of a batch is for one more record of a deployment.
const ENOUGH_BYTES: usize = 512 * 1024;

pub(crate) struct Turn<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) now: Moment,
    /// Immutable records that nothing refers to before `changes` do: they may be written in commits before.
    ahead: Vec<(Key, Vec<u8>)>,
    changes: BTreeMap<Key, Option<Vec<u8>>>,
    bytes: usize,
    after: Vec<Effect>,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(state: &'a mut State, now: Moment) -> Self {
        Self { state, now, ahead: Vec::new(), changes: BTreeMap::new(), bytes: 0, after: Vec::new() }
    }

    pub(crate) fn put(&mut self, key: Key, value: Vec<u8>) {
        self.bytes += bytes(&key, Some(&value));
        self.changes.insert(key, Some(value));
    }

    pub(crate) fn delete(&mut self, key: Key) {
        self.bytes += bytes(&key, None);
        self.changes.insert(key, None);
    }

    /// Writes a record that never changes and that only this step's changes refer to.
    pub(crate) fn put_ahead(&mut self, key: Key, value: Vec<u8>) {
        self.ahead.push((key, value));
    }

    /// How many keys the step changes so far.
    pub(crate) fn changed(&self) -> usize {
        self.changes.len()
    }

    /// Whether more may be decided on in this step.
    pub(crate) fn goes_on(&self) -> bool {
        self.changed() < MOST_AT_ONCE && self.bytes < ENOUGH_BYTES
    }

    /// How many more keys may change for the sake of what follows earlier changes.
    pub(crate) fn room(&self) -> usize {
        MOST_BEHIND.saturating_sub(self.changed())
    }

    pub(crate) fn has_room(&self) -> bool {
        self.room() > 0 && self.has_room_for(MAX_KEY_BYTES)
    }

    /// Whether the batch takes a value of so many bytes more.
    pub(crate) fn has_room_for(&self, value: usize) -> bool {
        self.bytes + MAX_KEY_BYTES + value <= MAX_BATCH_BYTES
    }

    pub(crate) fn call(&mut self, call: Call) {
        self.after.push(Effect::Call(call));
    }

    pub(crate) fn publish(&mut self, event: Event) {
        self.after.push(Effect::Publish(TimedEvent { event, timestamp: self.now.wall }));
    }

    pub(crate) fn reply(&mut self, request: u64, result: Result<Answer, ApiError>) {
        self.after.push(Effect::Reply { request, result });
    }

    /// A version that no app or deployment has had yet: the time, or the moment after the last one. Whoever uses it says
    /// so in the state's `last_version`.
    pub(crate) fn next_version(&self) -> Timestamp {
        Timestamp::from_millis(self.state.last_version.as_millis() + 1).max(self.now.wall)
    }

    /// The step's commits in their order: what goes ahead, where it does not fit beside the changes, and the changes.
    pub(crate) fn finish(self) -> Vec<Effect> {
        let Self { state, mut ahead, changes, after, .. } = self;
        if changes.is_empty() {
            // What is said may rest on a change that is still on its way to the disk.
            return match state.pending.last_entry() {
                Some(mut last) => {
                    last.get_mut().extend(after);
                    Vec::new()
                }
                None => after,
            };
        }
        let mut last: Vec<Change> = changes.into_iter().map(change).collect();
        let bytes = last.iter().map(change_bytes).sum::<usize>();
        let more: usize = ahead.iter().map(|(key, value)| self::bytes(key, Some(value))).sum();
        let mut effects = Vec::new();
        let put = |(key, value)| Change::Put(key, value);
        if last.len() + ahead.len() <= MAX_OPS && bytes + more <= MAX_BATCH_BYTES {
            last.extend(ahead.drain(..).map(put));
        } else {
            let mut batch: Vec<Change> = Vec::new();
            let mut bytes = 0;
            for change in ahead.into_iter().map(put) {
                let more = change_bytes(&change);
                if batch.len() == MAX_OPS || bytes + more > MAX_BATCH_BYTES {
                    let ticket = state.hold(Vec::new());
                    effects.push(Effect::Commit { ticket, changes: std::mem::take(&mut batch) });
                    bytes = 0;
                }
                bytes += more;
                batch.push(change);
            }
            let ticket = state.hold(Vec::new());
            effects.push(Effect::Commit { ticket, changes: batch });
        }
        let ticket = state.hold(after);
        effects.push(Effect::Commit { ticket, changes: last });
        effects
    }
}

fn change((key, value): (Key, Option<Vec<u8>>)) -> Change {
    match value {
        Some(value) => Change::Put(key, value),
        None => Change::Delete(key),
    }
}

fn bytes(key: &Key, value: Option<&Vec<u8>>) -> usize {
    key.as_str().len() + value.map_or(0, Vec::len)
}

fn change_bytes(change: &Change) -> usize {
    match change {
        Change::Put(key, value) => bytes(key, Some(value)),
        Change::Delete(key) => bytes(key, None),
    }
}
