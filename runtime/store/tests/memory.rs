//! The cluster in memory passes what every store must, and what several candidates of one must.
#![expect(clippy::unwrap_used, reason = "tests, which stop at the first surprise")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use store::memory::{MemoryCluster, MemoryStore};
use store::suite::{Bed, Several};
use store::{
    Answer, Batch, Candidate, ClusterVersion, Key, LeaderView, Leadership, Prefix, Snapshot, Stamp, Store,
    StoreError, import_pending,
};
use tokio::sync::{Notify, watch};

struct Memory(MemoryCluster);

impl Bed for Memory {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.0.candidate())
    }
}

impl Several for Memory {
    async fn end_lease(&self) {
        self.0.expire();
    }
}

store::suite!(Memory(MemoryCluster::new()));
store::several!(Memory(MemoryCluster::new()));

#[tokio::test]
async fn one_that_is_cut_off_knows_nothing_and_comes_back() {
    let cluster = MemoryCluster::new();
    let (one, two) = (cluster.candidate(), cluster.candidate());
    let mut view = one.observe_leader();
    let old = one.campaign(&Candidate::new("m1")).await.unwrap();
    cluster.cut(&one);
    assert_eq!(*view.borrow_and_update(), LeaderView::Unknown);
    assert!(matches!(one.commit(&old, Batch::new()).await, Err(StoreError::Unreachable { .. })));
    assert!(one.valid_until(&old).unwrap() <= Instant::now());
    cluster.expire();
    let new = two.campaign(&Candidate::new("m2")).await.unwrap();
    cluster.heal(&one);
    assert_eq!(*view.borrow_and_update(), LeaderView::Led(new.leader().clone()));
    assert!(matches!(one.commit(&old, Batch::new()).await, Err(StoreError::NotLeading { .. })));
}

/// A store whose process dies at one commit: before or after it was made.
#[derive(Debug)]
struct Dying {
    store: MemoryStore,
    left: AtomicU64,
    after: bool,
    reached: Notify,
}

impl Store for Dying {
    fn commit<'a>(&'a self, leadership: &'a Leadership, batch: Batch) -> Answer<'a, Stamp> {
        Box::pin(async move {
            let taken =
                self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if taken.is_ok() {
                return self.store.commit(leadership, batch).await;
            }
            if self.after {
                self.store.commit(leadership, batch).await.unwrap();
            }
            self.reached.notify_one();
            std::future::pending().await
        })
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

/// A store that has been led often, and holds more than some batches.
async fn source() -> MemoryStore {
    let store = MemoryCluster::new().candidate();
    let candidate = Candidate::new("m1").above(store::Epoch::new(41));
    let leadership = store.campaign(&candidate).await.unwrap();
    for n in 0..300 {
        let key = Key::new(format!("tasks/{n}")).unwrap();
        store.commit(&leadership, Batch::new().put(key, n.to_string())).await.unwrap();
    }
    store
}

fn copied(snapshot: &Snapshot, source: &Snapshot) -> bool {
    source.entries.iter().all(|(key, entry)| snapshot.get(key) == Some(&entry.value[..]))
        && snapshot.entries.len() == source.entries.len() + 1
}

#[tokio::test]
async fn a_copy_that_dies_at_any_commit_is_finished_by_the_next() {
    let from = source().await;
    let whole = from.load(&Prefix::all()).await.unwrap();
    let mut deaths = 0;
    for after in [false, true] {
        for left in 0.. {
            let cluster = MemoryCluster::new();
            let to = Dying {
                store: cluster.candidate(),
                left: AtomicU64::new(left),
                after,
                reached: Notify::new(),
            };
            let ended = tokio::select! {
                copied = store::copy(&from, &to, "copy") => Some(copied.unwrap()),
                () = to.reached.notified() => None,
            };
            if ended.is_some() {
                break;
            }
            deaths += 1;
            cluster.expire();
            let last_made = after && left == 4;
            let next = cluster.candidate();
            let broken = next.load(&Prefix::all()).await.unwrap();
            assert_eq!(import_pending(&broken), (left != 0 || after) && !last_made, "{left} {after}");
            let stamp = store::copy(&from, &next, "copy").await.unwrap();
            assert!(stamp.epoch > whole.stamp.epoch);
            let loaded = next.load(&Prefix::all()).await.unwrap();
            assert!(copied(&loaded, &whole) && !import_pending(&loaded), "{left} {after}");
            // Once more: there is nothing left to do.
            store::copy(&from, &next, "copy").await.unwrap();
            assert_eq!(next.load(&Prefix::all()).await.unwrap().entries, loaded.entries);
        }
    }
    assert_eq!(deaths, 10, "the mark, three batches, and the end");
}

#[tokio::test]
async fn a_copy_goes_only_into_what_is_empty_and_not_of_a_later_version() {
    let from = source().await;
    let cluster = MemoryCluster::new();
    let to = cluster.candidate();
    let leadership = to.campaign(&Candidate::new("m2")).await.unwrap();
    to.commit(&leadership, Batch::new().put(Key::new("a").unwrap(), "x")).await.unwrap();
    let refused = store::copy(&from, &to, "copy").await;
    assert!(matches!(refused, Err(StoreError::NotEmpty { .. })), "{refused:?}");
    // It does not keep the leadership.
    cluster.candidate().campaign(&Candidate::new("m3")).await.unwrap();
    let old = from.campaign(&Candidate::new("m1")).await.unwrap();
    let later = ClusterVersion { major: ClusterVersion::OWN.major + 1, ..ClusterVersion::OWN };
    from.commit(&old, Batch::new().put(ClusterVersion::key(), later.to_bytes())).await.unwrap();
    let refused = store::copy(&from, &MemoryCluster::new().candidate(), "copy").await;
    assert!(matches!(refused, Err(StoreError::Newer { .. })), "{refused:?}");
}
