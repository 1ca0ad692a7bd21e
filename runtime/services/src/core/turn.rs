//! One step in the making: what it changes, and what is held back until that is durable.

use std::collections::BTreeMap;

use api::Moment;
use api::marathon::{ApiError, Event, TimedEvent, Timestamp};
use api::mesos::Call;
use store::Key;

use super::state::State;
use super::{Answer, Change, Effect};

/// A batch takes 120 changes; what a step decides besides launches and expiries stays far below the rest.
pub(crate) const MOST_AT_ONCE: usize = 40;

pub(crate) struct Turn<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) now: Moment,
    changes: BTreeMap<Key, Option<Vec<u8>>>,
    after: Vec<Effect>,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(state: &'a mut State, now: Moment) -> Self {
        Self { state, now, changes: BTreeMap::new(), after: Vec::new() }
    }

    pub(crate) fn put(&mut self, key: Key, value: Vec<u8>) {
        self.changes.insert(key, Some(value));
    }

    pub(crate) fn delete(&mut self, key: Key) {
        self.changes.insert(key, None);
    }

    /// How many keys the step changes so far.
    pub(crate) fn changed(&self) -> usize {
        self.changes.len()
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

    pub(crate) fn finish(self) -> Vec<Effect> {
        let Self { state, changes, after, .. } = self;
        if !changes.is_empty() {
            let change = |(key, value)| match value {
                Some(value) => Change::Put(key, value),
                None => Change::Delete(key),
            };
            let changes = changes.into_iter().map(change).collect();
            let ticket = state.hold(after);
            return vec![Effect::Commit { ticket, changes }];
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
