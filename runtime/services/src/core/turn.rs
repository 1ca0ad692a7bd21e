//! One step in the making: what it changes, and what is held back until that is durable.

use std::collections::BTreeMap;

use api::Moment;
use api::marathon::{ApiError, Event, TimedEvent, Timestamp};
use api::mesos::Call;
use store::{Key, MAX_OPS};

use super::state::State;
use super::{Answer, Change, Effect, record};

/// How many records of instances a step changes, about: what is left waits for the next one. As many as the reference starts
/// in one cycle of offers.
pub(crate) const MOST_AT_ONCE: usize = 1000;
/// With so many other changes no further app is looked at: the last of them may change as many again, and one commit takes
/// them all.
const MOST_OTHERS: usize = 40;
/// How many records of instances one commit changes.
const RECORDS: usize = 100;

pub(crate) struct Turn<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) now: Moment,
    /// Records of instances: each stands for itself.
    records: BTreeMap<Key, Option<Vec<u8>>>,
    /// All else, which is changed at once.
    others: BTreeMap<Key, Option<Vec<u8>>>,
    after: Vec<Effect>,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(state: &'a mut State, now: Moment) -> Self {
        Self { state, now, records: BTreeMap::new(), others: BTreeMap::new(), after: Vec::new() }
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
            self.others.insert(key, value);
        }
    }

    /// How many more records of instances may be changed.
    pub(crate) fn room(&self) -> usize {
        MOST_AT_ONCE.saturating_sub(self.records.len())
    }

    /// Nothing further is to be decided in this step.
    pub(crate) fn is_full(&self) -> bool {
        self.room() == 0 || self.others.len() >= MOST_OTHERS
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

    /// A version that no app or deployment has had yet: the time, or the moment after the last one.
    pub(crate) fn new_version(&mut self) -> Timestamp {
        let next = Timestamp::from_millis(self.state.last_version.as_millis() + 1);
        self.state.last_version = next.max(self.now.wall);
        self.state.last_version
    }

    /// Instances come first, since other changes may rest on what they say, but never the other way round. What the step decided
    /// is released by the last commit.
    pub(crate) fn finish(self) -> Vec<Effect> {
        let Self { state, records, others, after, .. } = self;
        let change = |(key, value)| match value {
            Some(value) => Change::Put(key, value),
            None => Change::Delete(key),
        };
        let records: Vec<Change> = records.into_iter().map(change).collect();
        let others: Vec<Change> = others.into_iter().map(change).collect();
        let mut commits: Vec<Vec<Change>> = records.chunks(RECORDS).map(<[Change]>::to_vec).collect();
        match commits.last_mut() {
            Some(last) if last.len() + others.len() <= MAX_OPS => last.extend(others),
            _ if others.is_empty() => {}
            _ => commits.push(others),
        }
        if let Some(last) = commits.pop() {
            let mut commit = |changes, after| Effect::Commit { ticket: state.hold(after), changes };
            let mut all: Vec<Effect> =
                commits.into_iter().map(|changes| commit(changes, Vec::new())).collect();
            all.push(commit(last, after));
            return all;
        }
        // What is said may rest on a change that is still on its way to the disk.
        match state.pending.last_entry() {
            Some(mut last) => {
                last.get_mut().extend(after);
                Vec::new()
            }
            None => after,
        }
    }
}
