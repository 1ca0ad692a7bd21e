//! One step in the making: what it changes, and what is held back until that is durable.

use std::collections::BTreeMap;

use api::Moment;
use api::marathon::{ApiError, Event, TimedEvent, Timestamp};
use api::mesos::Call;
use store::{Key, MAX_BATCH_BYTES, MAX_OPS};

use super::state::State;
use super::{Answer, Change, Effect, record};

/// How many records of instances a step changes, about: what is left waits for the next one. As many as the reference starts
/// in one cycle of offers.
pub(crate) const MOST_AT_ONCE: usize = 1000;
/// With so many other changes no further app is looked at: the last of them may change as many again, and one commit takes
/// them all.
const MOST_OTHERS: usize = 40;
/// How many records of instances one commit changes, and how many bytes they have, keys included.
const RECORDS: usize = 100;
const RECORD_BYTES: usize = MAX_BATCH_BYTES / 2;

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
        let records = records.into_iter().map(change);
        let mut commits = packed(records, others.into_iter().map(change).collect());
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

/// As few commits as possible within their limits; all `others` are in the last one.
fn packed(records: impl Iterator<Item = Change>, others: Vec<Change>) -> Vec<Vec<Change>> {
    let mut commits: Vec<Vec<Change>> = Vec::new();
    let mut bytes = 0;
    for record in records {
        let more = weight(&record);
        match commits.last_mut() {
            Some(last) if last.len() < RECORDS && bytes + more <= RECORD_BYTES => last.push(record),
            _ => {
                commits.push(vec![record]);
                bytes = 0;
            }
        }
        bytes += more;
    }
    bytes += others.iter().map(weight).sum::<usize>();
    match commits.last_mut() {
        Some(last) if last.len() + others.len() <= MAX_OPS && bytes <= MAX_BATCH_BYTES => last.extend(others),
        _ if others.is_empty() => {}
        _ => commits.push(others),
    }
    commits
}

fn weight(change: &Change) -> usize {
    match change {
        Change::Put(key, value) => key.as_str().len() + value.len(),
        Change::Delete(key) => key.as_str().len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(count: usize, bytes: usize) -> Vec<Change> {
        let key = |number: usize| Key::new(format!("services/{number:04}")).unwrap();
        (0..count).map(|number| Change::Put(key(number), vec![0; bytes])).collect()
    }

    /// How many records and how many others each commit has.
    fn packs(records: (usize, usize), others: (usize, usize)) -> Vec<usize> {
        let all = packed(changes(records.0, records.1).into_iter(), changes(others.0, others.1));
        for commit in &all {
            assert!(commit.len() <= MAX_OPS && commit.iter().map(weight).sum::<usize>() <= MAX_BATCH_BYTES);
        }
        all.iter().map(Vec::len).collect()
    }

    #[test]
    fn commits_stay_within_their_limits_and_what_belongs_together_is_in_the_last_one() {
        let table = [
            ((0, 0), (0, 0), vec![]),
            ((0, 0), (3, 10), vec![3]),
            ((3, 10), (2, 10), vec![5]),
            ((250, 10), (20, 10), vec![100, 100, 70]),
            ((100, 10), (20, 10), vec![120]),
            ((100, 10), (21, 10), vec![100, 21]),
            ((5, 200_000), (1, 10), vec![3, 3]),
            ((3, 200_000), (3, 256_000), vec![3, 3]),
            ((1, 2_000), (4, 256_000), vec![5]),
        ];
        for (records, others, expected) in table {
            assert_eq!(packs(records, others), expected, "{records:?} {others:?}");
        }
    }
}
