use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Bed, Rng, all, key};
use crate::{Batch, Candidate, Condition, Epoch, Key, Leadership, Prefix, Revision, Store, StoreError};

/// The store as anyone would write it down.
#[derive(Default)]
struct Model {
    entries: BTreeMap<Key, (Vec<u8>, Revision)>,
    epoch: Epoch,
    /// The one leadership that counts.
    leads: Option<Epoch>,
}

/// What a commit must answer.
#[derive(Debug, PartialEq)]
enum Expected {
    Written,
    NotLeading,
    Precondition(Key),
}

/// A change of one commit: the key and its new value.
type Change = (Key, Option<Vec<u8>>);

impl Model {
    fn judge(&self, held: Epoch, conditions: &[(Key, Condition)]) -> Expected {
        if self.leads != Some(held) {
            return Expected::NotLeading;
        }
        let fails = conditions.iter().find(|(key, wanted)| {
            let found = self.entries.get(key).map(|(_, revision)| *revision);
            match wanted {
                Condition::Absent => found.is_some(),
                Condition::Present => found.is_none(),
                Condition::At(revision) => found != Some(*revision),
            }
        });
        fails.map_or(Expected::Written, |(key, _)| Expected::Precondition(key.clone()))
    }

    fn apply(&mut self, changes: &[Change], revision: Revision) {
        for (key, value) in changes {
            match value {
                Some(value) => self.entries.insert(key.clone(), (value.clone(), revision)),
                None => self.entries.remove(key),
            };
        }
    }
}

/// Commits with conditions, with old leaderships, campaigns, resignations, loads and reopenings, in an order that a seed gives.
pub async fn a_random_history_agrees_with_a_model(bed: &impl Bed) {
    let mut rng = Rng::new(20_261_122);
    let mut model = Model::default();
    let mut store = bed.open().await;
    let mut held: Vec<Leadership> = vec![];
    for step in 0..1500 {
        match rng.below(100) {
            0..3 => {
                store.close().await.unwrap();
                store = bed.open().await;
                model.leads = None;
            }
            3..8 => {
                let leadership = store.campaign(&Candidate::new("m1")).await.unwrap();
                assert!(leadership.epoch() > model.epoch, "step {step}");
                model.epoch = leadership.epoch();
                model.leads = Some(leadership.epoch());
                held.push(leadership);
            }
            8..10 => {
                if let Some(leadership) = held.last() {
                    let ended = store.resign(leadership).await.is_ok();
                    assert_eq!(ended, model.leads == Some(leadership.epoch()), "step {step}");
                    model.leads = None;
                }
            }
            10..25 => agree(&store, &model, step).await,
            _ => commit(&mut rng, &store, &held, &mut model, step).await,
        }
    }
    agree(&store, &model, 1500).await;
}

async fn commit(rng: &mut Rng, store: &Arc<dyn Store>, held: &[Leadership], model: &mut Model, step: usize) {
    // Mostly the last leadership; at times an older one.
    let Some(newest) = held.len().checked_sub(1) else { return };
    let back = if rng.below(10) == 0 { rng.index(4) } else { 0 };
    let leadership = &held[newest.saturating_sub(back)];
    let mut at = {
        let mut keys: Vec<_> = (0..12).map(|n| key(&format!("k/{n}"))).collect();
        let turn = rng.index(12);
        keys.rotate_left(turn);
        keys.into_iter()
    };
    let mut batch = Batch::new();
    let mut conditions = vec![];
    for _ in 0..rng.below(3) {
        let key = at.next().unwrap();
        let there = model.entries.get(&key).map(|(_, revision)| *revision);
        let wanted = match (rng.below(4), there) {
            (0, _) => Condition::Absent,
            (1, _) => Condition::Present,
            (_, Some(revision)) => Condition::At(revision),
            (_, None) => Condition::Absent,
        };
        conditions.push((key.clone(), wanted));
        batch = batch.require(key, wanted);
    }
    let mut changes: Vec<Change> = vec![];
    for _ in 0..rng.below(5) {
        let key = at.next().unwrap();
        let value = (rng.below(3) > 0).then(|| rng.next_u64().to_be_bytes()[..rng.index(9)].to_vec());
        batch = match &value {
            Some(value) => batch.put(key.clone(), value.clone()),
            None => batch.delete(key.clone()),
        };
        changes.push((key, value));
    }
    let expected = model.judge(leadership.epoch(), &conditions);
    let found = match store.commit(leadership, batch).await {
        Ok(stamp) => {
            assert_eq!(stamp.epoch, model.epoch, "step {step}");
            model.apply(&changes, stamp.revision);
            Expected::Written
        }
        Err(StoreError::NotLeading { .. }) => Expected::NotLeading,
        Err(StoreError::Precondition { key, .. }) => Expected::Precondition(key),
        Err(error) => panic!("step {step}: {error}"),
    };
    match (&found, &expected) {
        // Of several conditions that fail, an implementation may name any.
        (Expected::Precondition(named), Expected::Precondition(_)) => {
            assert!(conditions.iter().any(|(key, _)| key == named), "step {step}");
        }
        _ => assert_eq!(found, expected, "step {step}"),
    }
}

async fn agree(store: &Arc<dyn Store>, model: &Model, step: usize) {
    let loaded = all(&**store).await;
    assert_eq!(loaded.stamp.epoch, model.epoch, "step {step}");
    let found: BTreeMap<_, _> =
        loaded.entries.into_iter().map(|(key, entry)| (key, (entry.value, entry.modified))).collect();
    assert_eq!(found, model.entries, "step {step}");
    let part = store.load(&Prefix::below(&key("k"))).await.unwrap();
    assert_eq!(part.entries.len(), model.entries.len());
}
