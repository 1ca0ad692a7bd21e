//! One step in the making: what it changes, and what is held back until that is durable.

use std::collections::BTreeMap;

use api::Moment;
use api::marathon::{ApiError, Event, TimedEvent, Timestamp};
use api::mesos::Call;
use store::{Key, MAX_BATCH_BYTES, MAX_KEY_BYTES, MAX_OPS};

use super::state::State;
use super::{Answer, Change, Effect, record};

/// How many records of instances a step changes, about: what is left waits for the next one. As many as the reference starts
/// in one cycle of offers.
pub(crate) const MOST_AT_ONCE: usize = 1000;
/// With so many other changes no further app is looked at: the last of them may change as many again, and one commit takes
/// them all.
const MOST_OTHERS: usize = 40;
/// What follows earlier changes is written up to this many changes.
const MOST_BEHIND: usize = 100;
/// Above this many bytes nothing more is decided on: the rest of a batch is for one more record of a deployment.
const ENOUGH_BYTES: usize = 512 * 1024;
/// How many records of instances one commit changes.
const RECORDS: usize = 100;

pub(crate) struct Turn<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) now: Moment,
    /// Records of instances: each stands for itself.
    records: BTreeMap<Key, Option<Vec<u8>>>,
    /// Immutable records that nothing refers to before `changes` do: they may be written in commits before.
    ahead: Vec<(Key, Vec<u8>)>,
    /// All else, which is changed at once.
    changes: BTreeMap<Key, Option<Vec<u8>>>,
    /// Of `changes`.
    bytes: usize,
    after: Vec<Effect>,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(state: &'a mut State, now: Moment) -> Self {
        Self {
            state,
            now,
            records: BTreeMap::new(),
            ahead: Vec::new(),
            changes: BTreeMap::new(),
            bytes: 0,
            after: Vec::new(),
        }
    }

    pub(crate) fn put(&mut self, key: Key, value: Vec<u8>) {
        self.change(key, Some(value));
    }

    pub(crate) fn delete(&mut self, key: Key) {
        self.change(key, None);
    }

    fn change(&mut self, key: Key, value: Option<Vec<u8>>) {
        if record::is_instance(&key) {
            self.records.insert(key, value);
        } else {
            self.bytes += bytes(&key, value.as_ref());
            self.changes.insert(key, value);
        }
    }

    /// Writes a record that never changes and that only this step's changes refer to.
    pub(crate) fn put_ahead(&mut self, key: Key, value: Vec<u8>) {
        self.ahead.push((key, value));
    }

    /// How many more records of instances may be changed.
    pub(crate) fn room(&self) -> usize {
        MOST_AT_ONCE.saturating_sub(self.records.len())
    }

    /// Nothing further is to be decided in this step.
    pub(crate) fn is_full(&self) -> bool {
        self.room() == 0 || self.changes.len() >= MOST_OTHERS || self.bytes >= ENOUGH_BYTES
    }

    /// How many more keys may change for the sake of what follows earlier changes.
    pub(crate) fn room_behind(&self) -> usize {
        MOST_BEHIND.saturating_sub(self.changes.len())
    }

    pub(crate) fn has_room_behind(&self) -> bool {
        self.room_behind() > 0 && self.has_room_for(MAX_KEY_BYTES)
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

    /// The step's commits in their order. Instances come first, since other changes may rest on what they say, but never the
    /// other way round; then what goes ahead of the changes, where it does not fit beside them; then the changes. What the step
    /// decided is released by the last one.
    pub(crate) fn finish(self) -> Vec<Effect> {
        let Self { state, records, mut ahead, changes, after, .. } = self;
        let mut commits: Vec<Vec<Change>> = Vec::new();
        let records: Vec<Change> = records.into_iter().map(change).collect();
        commits.extend(records.chunks(RECORDS).map(<[Change]>::to_vec));
        let mut last: Vec<Change> = changes.into_iter().map(change).collect();
        let more: usize = ahead.iter().map(|(key, value)| bytes(key, Some(value))).sum();
        let put = |(key, value)| Change::Put(key, value);
        if fit(&last, ahead.len(), more) {
            last.extend(ahead.drain(..).map(put));
        }
        let mut batch: Vec<Change> = Vec::new();
        for change in ahead.into_iter().map(put) {
            if !fit(&batch, 1, change_bytes(&change)) {
                commits.push(std::mem::take(&mut batch));
            }
            batch.push(change);
        }
        commits.extend([batch, last].into_iter().filter(|batch| !batch.is_empty()));
        // Fewer commits where two fit into one; the order stays.
        let mut merged: Vec<Vec<Change>> = Vec::new();
        for commit in commits {
            match merged.last_mut() {
                Some(before) if fit(before, commit.len(), commit.iter().map(change_bytes).sum()) => {
                    before.extend(commit);
                }
                _ => merged.push(commit),
            }
        }
        let Some(last) = merged.pop() else {
            // What is said may rest on a change that is still on its way to the disk.
            return match state.pending.last_entry() {
                Some(mut last) => {
                    last.get_mut().extend(after);
                    Vec::new()
                }
                None => after,
            };
        };
        let mut commit = |changes, after| Effect::Commit { ticket: state.hold(after), changes };
        let mut effects: Vec<Effect> =
            merged.into_iter().map(|changes| commit(changes, Vec::new())).collect();
        effects.push(commit(last, after));
        effects
    }
}

/// Whether one commit takes so many changes and bytes beside these.
fn fit(changes: &[Change], more: usize, bytes: usize) -> bool {
    let own: usize = changes.iter().map(change_bytes).sum();
    changes.len() + more <= MAX_OPS && own + bytes <= MAX_BATCH_BYTES
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
