use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::task::Poll;

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
        let cut = Cut::after(&*store, commits);
        let result = large::write(&cut, &leadership, &root, content("new", ENTRIES), Batch::new()).await;
        let loaded = all(&*store).await;
        let mark = if result.is_ok() { "new" } else { "old" };
        assert_eq!(seen(&loaded), Some((ENTRIES, mark.to_owned())), "cut after {commits} commits");
        // Every other time the next leader finds it.
        if commits % 2 == 0 {
            large::collect(&*store, &leadership, &loaded).await.unwrap();
            assert_eq!(
                all(&*store).await.entries.len(),
                ENTRIES + 1,
                "after {commits} commits, in this reign"
            );
        }
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

/// At every commit, without a new reign; and not before it is dropped.
pub async fn a_large_change_whose_caller_goes_away_is_collected(bed: &impl Bed) {
    let store = bed.open().await;
    let leadership = lead(&*store).await;
    let root = key("big");
    large::write(&*store, &leadership, &root, content("old", ENTRIES), Batch::new()).await.unwrap();
    for commits in 0..=4 {
        let stuck = Cut::stuck_after(&*store, commits);
        let mut write =
            Box::pin(large::write(&stuck, &leadership, &root, content("new", ENTRIES), Batch::new()));
        stuck.reached_by(write.as_mut()).await;
        let loaded = all(&*store).await;
        let written = loaded.entries.len() - (ENTRIES + 1);
        assert_eq!(written > 0, commits > 0, "after {commits} commits");
        let collected = large::collect(&*store, &leadership, &loaded).await.unwrap();
        assert_eq!(collected, 0, "it may still be finished");
        drop(write);
        assert_eq!(large::collect(&*store, &leadership, &loaded).await.unwrap(), written);
        let loaded = all(&*store).await;
        assert_eq!(seen(&loaded), Some((ENTRIES, "old".to_owned())));
        assert_eq!(loaded.entries.len(), ENTRIES + 1);
    }
}

/// The commit that flips was queued when its caller went away, and happens after a leader has loaded.
pub async fn a_large_change_that_is_finished_after_its_caller_is_not_collected(bed: &impl Bed) {
    let store = bed.open().await;
    let leadership = lead(&*store).await;
    let root = key("big");
    let stuck = Cut::stuck_after(&*store, 4);
    let mut write = Box::pin(large::write(&stuck, &leadership, &root, content("new", ENTRIES), Batch::new()));
    stuck.reached_by(write.as_mut()).await;
    let loaded = all(&*store).await;
    assert_eq!(loaded.entries.len(), ENTRIES, "all but the pointer");
    drop(write);
    let flip = stuck.kept().take().unwrap();
    store.commit(&leadership, flip).await.unwrap();
    assert_eq!(large::collect(&*store, &leadership, &loaded).await.unwrap(), 0);
    assert_eq!(seen(&all(&*store).await), Some((ENTRIES, "new".to_owned())));
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

/// A store that takes so many commits, and then none: it refuses them as of a process that was killed, or keeps the first
/// of them and answers nothing any more.
#[derive(Debug)]
struct Cut<'s> {
    store: &'s dyn Store,
    left: AtomicU64,
    /// Set: answers nothing, and keeps it here.
    kept: Option<Mutex<Option<Batch>>>,
}

impl<'s> Cut<'s> {
    fn after(store: &'s dyn Store, commits: u64) -> Self {
        Self { store, left: AtomicU64::new(commits), kept: None }
    }

    fn stuck_after(store: &'s dyn Store, commits: u64) -> Self {
        Self { kept: Some(Mutex::default()), ..Self::after(store, commits) }
    }

    fn kept(&self) -> MutexGuard<'_, Option<Batch>> {
        self.kept.as_ref().unwrap().lock().unwrap()
    }

    /// Goes on with `work` until it is stuck here.
    async fn reached_by<T>(&self, mut work: Pin<&mut impl Future<Output = T>>) {
        poll_fn(|context| {
            assert!(work.as_mut().poll(context).is_pending(), "it ended");
            if self.kept().is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Store for Cut<'_> {
    fn commit<'a>(&'a self, leadership: &'a Leadership, batch: Batch) -> Answer<'a, Stamp> {
        let taken = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match (taken, &self.kept) {
            (Ok(_), _) => self.store.commit(leadership, batch),
            (Err(_), None) => Box::pin(async { Err(StoreError::Closed) }),
            (Err(_), Some(kept)) => {
                kept.lock().unwrap().get_or_insert(batch);
                Box::pin(std::future::pending())
            }
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
