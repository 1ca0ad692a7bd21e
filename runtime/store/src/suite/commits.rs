use std::sync::Arc;

use super::{Bed, all, key, lead, put, text};
use crate::{
    Batch, BatchError, Condition, Key, MAX_BATCH_BYTES, MAX_OPS, MAX_VALUE_BYTES, Outcome, Revision, Store,
    StoreError,
};

/// Also those of several reigns, deletions included.
pub async fn acknowledged_writes_are_there_after_reopening(bed: &impl Bed) {
    let mut last = None;
    for round in 0..5 {
        let store = bed.open().await;
        let before = all(&*store).await;
        assert_eq!(text(&before, "last"), last, "round {round}");
        assert_eq!(before.entries.len(), if round == 0 { 0 } else { round + 1 });
        let leadership = lead(&*store).await;
        for n in 0..10 {
            put(&*store, &leadership, "last", &format!("{round} {n}")).await;
            put(&*store, &leadership, "gone", "x").await;
        }
        put(&*store, &leadership, &format!("round/{round}"), "x").await;
        let stamp = store.commit(&leadership, Batch::new().delete(key("gone"))).await.unwrap();
        last = Some(format!("{round} 9"));
        let loaded = all(&*store).await;
        assert!(loaded.stamp >= stamp);
        assert_eq!(text(&loaded, "gone"), None);
        store.close().await.unwrap();
    }
}

/// Empty, without a meaning as text, and as long as can be.
pub async fn a_value_of_any_bytes_comes_back(bed: &impl Bed) {
    let values = [vec![], vec![0], (0..=255).collect(), vec![0xff; MAX_VALUE_BYTES]];
    let store = bed.open().await;
    let leadership = lead(&*store).await;
    for (n, value) in values.iter().enumerate() {
        let batch = Batch::new().put(key(&format!("v/{n}")), value.clone());
        store.commit(&leadership, batch).await.unwrap();
    }
    store.close().await.unwrap();
    let loaded = all(&*bed.open().await).await;
    for (n, value) in values.iter().enumerate() {
        assert!(loaded.get(&key(&format!("v/{n}"))) == Some(value), "value {n}");
    }
}

/// Two keys that are always written together are always equal.
pub async fn a_batch_happens_as_a_whole_or_not_at_all(bed: &impl Bed) {
    let store = bed.open().await;
    let leadership = lead(&*store).await;
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (store, leadership) = (store.clone(), leadership.clone());
            tokio::spawn(async move {
                for n in 0..30 {
                    let value = format!("{writer} {n}");
                    let batch = Batch::new().put(key("left"), value.clone()).put(key("right"), value);
                    // Every third one is refused, and must leave no half.
                    let refused = n % 3 == 0;
                    let batch = if refused { batch.require(key("never"), Condition::Present) } else { batch };
                    assert_eq!(store.commit(&leadership, batch).await.is_err(), refused);
                }
            })
        })
        .collect();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let loaded = all(&*store).await;
        assert_eq!(text(&loaded, "left"), text(&loaded, "right"));
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let loaded = all(&*store).await;
    assert!(!text(&loaded, "left").unwrap().ends_with(" 27"), "a refused batch was written");
}

/// Each of the three, true and false.
pub async fn a_condition_is_held_against_the_state_at_the_commit(bed: &impl Bed) {
    let store = bed.open().await;
    let leadership = lead(&*store).await;
    let first = put(&*store, &leadership, "there", "1").await.revision;
    let second = put(&*store, &leadership, "there", "2").await.revision;
    assert!(second > first);
    let loaded = all(&*store).await;
    assert_eq!(loaded.entries[&key("there")].modified, second);
    let cases = [
        ("there", Condition::Present, true),
        ("there", Condition::Absent, false),
        ("there", Condition::At(second), true),
        ("there", Condition::At(first), false),
        ("missing", Condition::Absent, true),
        ("missing", Condition::Present, false),
        ("missing", Condition::At(second), false),
    ];
    for (at, wanted, holds) in cases {
        let batch = Batch::new().require(key(at), wanted).put(key("written"), "x");
        match store.commit(&leadership, batch).await {
            Ok(_) => assert!(holds, "{at} {wanted}"),
            Err(error) => {
                assert_eq!(error.outcome(), Outcome::Refused);
                let StoreError::Precondition { key: named, wanted: told, found } = error else {
                    panic!("{at} {wanted}: {error}");
                };
                assert_eq!((named, told), (key(at), wanted));
                assert_eq!(found, (at == "there").then_some(second));
                assert!(!holds, "{at} {wanted}");
            }
        }
        let written = all(&*store).await.entries.contains_key(&key("written"));
        assert_eq!(written, holds, "{at} {wanted}");
        store.commit(&leadership, Batch::new().delete(key("written"))).await.unwrap();
    }
    // A key that was deleted and made again is another one.
    store.commit(&leadership, Batch::new().delete(key("there"))).await.unwrap();
    put(&*store, &leadership, "there", "2").await;
    let batch = Batch::new().require(key("there"), Condition::At(second));
    assert!(store.commit(&leadership, batch).await.is_err());
}

/// And the others are told when the winner wrote.
pub async fn one_of_many_creators_wins(bed: &impl Bed) {
    let store = bed.open().await;
    let leadership = lead(&*store).await;
    let creators: Vec<_> = (0..32)
        .map(|n| {
            let (store, leadership) = (store.clone(), leadership.clone());
            tokio::spawn(async move {
                let batch =
                    Batch::new().require(key("lock"), Condition::Absent).put(key("lock"), n.to_string());
                (n, store.commit(&leadership, batch).await)
            })
        })
        .collect();
    let (mut winners, mut told): (Vec<(i32, Revision)>, Vec<Revision>) = (vec![], vec![]);
    for creator in creators {
        match creator.await.unwrap() {
            (n, Ok(stamp)) => winners.push((n, stamp.revision)),
            (_, Err(StoreError::Precondition { found: Some(revision), .. })) => told.push(revision),
            (n, Err(error)) => panic!("{n}: {error}"),
        }
    }
    let [(winner, revision)] = winners[..] else { panic!("winners: {winners:?}") };
    assert_eq!(text(&all(&*store).await, "lock"), Some(winner.to_string()));
    assert!(told.len() == 31 && told.iter().all(|told| *told == revision));
}

/// However many are carried out together.
pub async fn a_refused_commit_does_not_spoil_its_neighbours(bed: &impl Bed) {
    let store = bed.open().await;
    let leadership = lead(&*store).await;
    let commits: Vec<_> = (0..200)
        .map(|n| {
            let (store, leadership) = (store.clone(), leadership.clone());
            tokio::spawn(async move {
                let wanted = if n % 2 == 0 { Condition::Absent } else { Condition::Present };
                let at = key(&format!("n/{n}"));
                (n, store.commit(&leadership, Batch::new().require(at.clone(), wanted).put(at, "x")).await)
            })
        })
        .collect();
    let mut revisions = vec![];
    for commit in commits {
        let (n, result) = commit.await.unwrap();
        match result {
            Ok(stamp) if n % 2 == 0 => revisions.push(stamp.revision),
            Err(StoreError::Precondition { .. }) if n % 2 == 1 => {}
            other => panic!("{n}: {other:?}"),
        }
    }
    let loaded = all(&*store).await;
    assert_eq!(loaded.entries.len(), 100);
    let mut modified: Vec<_> = loaded.entries.values().map(|entry| entry.modified).collect();
    modified.sort();
    revisions.sort();
    assert_eq!(modified, revisions, "each was told the revision of its key");
}

/// The limits are the same everywhere, and are true.
pub async fn a_batch_at_the_limits_is_taken_and_one_above_is_refused(bed: &impl Bed) {
    let store = bed.open().await;
    let leadership = lead(&*store).await;
    let at = |n: usize| Key::new(format!("k/{n:03}")).unwrap();
    let each = MAX_BATCH_BYTES / MAX_OPS;
    let full = (0..MAX_OPS).fold(Batch::new(), |batch, n| {
        batch.put(at(n), vec![7; each - 10]).require(at(n), Condition::Absent)
    });
    assert!(full.bytes() > MAX_BATCH_BYTES - 2000, "{}", full.bytes());
    let over = full.clone().put(at(MAX_OPS), "x");
    let refused = store.commit(&leadership, over).await;
    assert!(matches!(refused, Err(StoreError::Batch(BatchError::TooMany { .. }))), "{refused:?}");
    assert!(all(&*store).await.entries.is_empty());
    store.commit(&leadership, full).await.unwrap();
    assert_eq!(all(&*store).await.entries.len(), MAX_OPS);
}

/// Those that were told so are there, and those that were told that it is closed are not.
pub async fn closing_carries_out_what_it_took(bed: &impl Bed) {
    let store = bed.open().await;
    let leadership = lead(&*store).await;
    let commits: Vec<_> = (0..300)
        .map(|n| {
            let (store, leadership): (Arc<dyn Store>, _) = (store.clone(), leadership.clone());
            tokio::spawn(async move {
                store.commit(&leadership, Batch::new().put(key(&format!("n/{n}")), "x")).await
            })
        })
        .collect();
    put(&*store, &leadership, "before", "x").await;
    store.close().await.unwrap();
    let mut written = vec!["before".to_owned()];
    for (n, commit) in commits.into_iter().enumerate() {
        match commit.await.unwrap() {
            Ok(_) => written.push(format!("n/{n}")),
            Err(StoreError::Closed) => {}
            Err(error) => panic!("{n}: {error}"),
        }
    }
    written.sort();
    assert!(matches!(store.load(&crate::Prefix::all()).await, Err(StoreError::Closed)));
    assert!(matches!(store.commit(&leadership, Batch::new()).await, Err(StoreError::Closed)));
    store.close().await.unwrap();
    let reopened = all(&*bed.open().await).await;
    assert_eq!(reopened.entries.keys().map(ToString::to_string).collect::<Vec<_>>(), written);
}

/// Those behind it may have been made or not.
pub async fn several_batches_are_made_in_their_order_up_to_one_that_fails(bed: &impl Bed) {
    let store = bed.open().await;
    let leadership = lead(&*store).await;
    let write = |n: usize| Batch::new().put(key("last"), n.to_string()).put(key(&format!("n/{n}")), "x");
    let (made, error) = store.commit_all(&leadership, (0..300).map(write).collect()).await;
    assert!(made == 300 && error.is_none(), "{made}: {error:?}");
    assert_eq!(text(&all(&*store).await, "last").unwrap(), "299");

    let mut batches: Vec<Batch> = (300..310).map(write).collect();
    batches.insert(7, Batch::new().require(key("last"), Condition::Absent).put(key("never"), "x"));
    let (made, error) = store.commit_all(&leadership, batches).await;
    assert!(matches!(error, Some(StoreError::Precondition { .. })), "{error:?}");
    let loaded = all(&*store).await;
    assert_eq!((made, text(&loaded, "never")), (7, None));
    assert!((0..307).all(|n| text(&loaded, &format!("n/{n}")).is_some()));

    let none = store.commit_all(&leadership, Vec::new()).await;
    assert!(matches!(none, (0, None)));
    store.close().await.unwrap();
    let (made, error) = store.commit_all(&leadership, vec![write(0)]).await;
    assert!(matches!((made, error), (0, Some(StoreError::Closed))));
}
