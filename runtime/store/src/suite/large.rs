use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::{Bed, all, key, lead, put, text};
use crate::large::{self, Content};
use crate::{
    Answer, Batch, Candidate, Condition, LeaderView, Leadership, MAX_OPS, Prefix, Snapshot, Stamp, Store,
    StoreError,
};

/// More than three batches.
const ENTRIES: usize = 3 * MAX_OPS + 1;

fn content(mark: &str, entries: usize) -> Content {
    (0..entries).map(|n| (key(&format!("{n}/entry")), mark.as_bytes().to_vec())).collect()
}

/// How many entries there are and what all of them hold.
fn seen(snapshot: &Snapshot) -> Option<(usize, String)> {
    let content = large::read(snapshot, &key("big")).unwrap()?;
    let mut marks: Vec<_> =
        content.values().map(|value| String::from_utf8_lossy(value).into_owned()).collect();
    marks.dedup();
    assert!(marks.len() <= 1, "of two versions: {marks:?}");
    Some((content.len(), marks.pop().unwrap_or_default()))
}

/// Written, replaced while others read, removed; and nothing stays behind.
pub async fn a_large_change_is_seen_whole_or_not_at_all(bed: &impl Bed) {
    let store = bed.open().await;
    let leadership = lead(&*store).await;
    let root = key("big");
    assert_eq!(seen(&all(&*store).await), None);
    let writer = tokio::spawn({
        let (store, leadership, root) = (store.clone(), leadership.clone(), root.clone());
        async move {
            for n in 1..=6 {
                let with = Batch::new().put(key("spec"), n.to_string());
                large::write(&*store, &leadership, &root, content(&n.to_string(), ENTRIES + n), with)
                    .await
                    .unwrap();
            }
        }
    });
    while !writer.is_finished() {
        let loaded = all(&*store).await;
        let expected = text(&loaded, "spec").map(|n| (ENTRIES + n.parse::<usize>().unwrap(), n));
        assert_eq!(seen(&loaded), expected);
    }
    writer.await.unwrap();
    let loaded = all(&*store).await;
    assert_eq!(seen(&loaded), Some((ENTRIES + 6, "6".to_owned())));
    assert_eq!(loaded.entries.len(), ENTRIES + 6 + 2, "old versions are removed");
    large::write(&*store, &leadership, &root, Content::new(), Batch::new()).await.unwrap();
    assert_eq!(seen(&all(&*store).await), Some((0, String::new())), "empty is not absent");
    large::remove(&*store, &leadership, &root, Batch::new().delete(key("spec"))).await.unwrap();
    assert!(all(&*store).await.entries.is_empty());
}

/// At every commit that it makes.
pub async fn a_large_change_that_is_cut_off_is_not_seen_and_is_collected(bed: &impl Bed) {
    let store = bed.open().await;
    let root = key("big");
    let leadership = lead(&*store).await;
    large::write(&*store, &leadership, &root, content("old", ENTRIES), Batch::new()).await.unwrap();
    for commits in 0.. {
        let leadership = lead(&*store).await;
        let cut = Cut { store: &*store, left: AtomicU64::new(commits) };
        let result = large::write(&cut, &leadership, &root, content("new", ENTRIES), Batch::new()).await;
        let loaded = all(&*store).await;
        let mark = if result.is_ok() { "new" } else { "old" };
        assert_eq!(seen(&loaded), Some((ENTRIES, mark.to_owned())), "cut after {commits} commits");
        // The reign that writes collects nothing of its own, which may be still under way.
        let collected = large::collect(&*store, &leadership, &loaded).await.unwrap();
        assert!(result.is_ok() || collected == 0, "collected {collected}");
        let next = lead(&*store).await;
        large::collect(&*store, &next, &loaded_again(&*store).await).await.unwrap();
        let loaded = all(&*store).await;
        assert_eq!(seen(&loaded), Some((ENTRIES, mark.to_owned())));
        assert_eq!(loaded.entries.len(), ENTRIES + 1, "cut after {commits} commits: orphans stay");
        let uncut = cut.left.into_inner() > 0;
        if uncut {
            assert!(commits > 8, "the flip and the removal have batches of their own");
            break;
        }
    }
}

async fn loaded_again(store: &dyn Store) -> Snapshot {
    store.load(&Prefix::all()).await.unwrap()
}

/// The other is told, and its content is gone.
pub async fn of_two_large_changes_at_once_one_wins(bed: &impl Bed) {
    let store = bed.open().await;
    let leadership = lead(&*store).await;
    for _ in 0..10 {
        let writers = ["a", "b", "c"].map(|mark| {
            let (store, leadership) = (store.clone(), leadership.clone());
            tokio::spawn(async move {
                let content = content(mark, ENTRIES);
                (mark, large::write(&*store, &leadership, &key("big"), content, Batch::new()).await)
            })
        });
        let mut won = vec![];
        for writer in writers {
            match writer.await.unwrap() {
                (mark, Ok(stamp)) => won.push((stamp, mark)),
                (_, Err(StoreError::Precondition { .. })) => {}
                (mark, Err(error)) => panic!("{mark}: {error}"),
            }
        }
        won.sort();
        let loaded = all(&*store).await;
        let last = won.last().unwrap().1.to_owned();
        assert_eq!(seen(&loaded), Some((ENTRIES, last)));
        assert_eq!(loaded.entries.len(), ENTRIES + 1);
    }
}

/// Of its caller's own, in the flip.
pub async fn a_large_change_with_a_condition_that_fails_leaves_nothing(bed: &impl Bed) {
    let store = bed.open().await;
    let leadership = lead(&*store).await;
    put(&*store, &leadership, "spec", "1").await;
    let with = Batch::new().require(key("spec"), Condition::Absent).put(key("other"), "x");
    let refused = large::write(&*store, &leadership, &key("big"), content("x", ENTRIES), with).await;
    assert!(matches!(refused, Err(StoreError::Precondition { .. })), "{refused:?}");
    assert_eq!(all(&*store).await.entries.len(), 1);
    // A flip that no store takes is refused before anything is written.
    let before = all(&*store).await;
    let with = (0..MAX_OPS).fold(Batch::new(), |batch, n| batch.put(key(&format!("n/{n}")), "x"));
    let refused = large::write(&*store, &leadership, &key("big"), content("x", ENTRIES), with).await;
    assert!(matches!(refused, Err(StoreError::Batch(_))), "{refused:?}");
    assert_eq!(all(&*store).await, before);
}

/// A store that takes so many commits, and then none: as of a process that was killed.
#[derive(Debug)]
struct Cut<'s> {
    store: &'s dyn Store,
    left: AtomicU64,
}

impl Store for Cut<'_> {
    fn commit<'a>(&'a self, leadership: &'a Leadership, batch: Batch) -> Answer<'a, Stamp> {
        let taken = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match taken {
            Ok(_) => self.store.commit(leadership, batch),
            Err(_) => Box::pin(async { Err(StoreError::Closed) }),
        }
    }

    fn load<'a>(&'a self, prefix: &'a Prefix) -> Answer<'a, Snapshot> {
        self.store.load(prefix)
    }

    fn campaign<'a>(&'a self, candidate: &'a Candidate) -> Answer<'a, Leadership> {
        self.store.campaign(candidate)
    }

    fn observe_leader(&self) -> watch::Receiver<LeaderView> {
        self.store.observe_leader()
    }

    fn resign<'a>(&'a self, leadership: &'a Leadership) -> Answer<'a, ()> {
        self.store.resign(leadership)
    }

    fn close(&self) -> Answer<'_, ()> {
        self.store.close()
    }
}
