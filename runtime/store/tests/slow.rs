//! Disks that take their time, and what may happen meanwhile.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{key, memory, open, pair, pairs};
use store::{Batch, Candidate, DiskAct, DiskHook, EmbeddedStore, LeaderView, Options, Store, StoreError};

fn hooked(hook: Arc<dyn DiskHook>) -> Options {
    Options { hook: Some(hook), ..Options::default() }
}

/// Counts syncs, and lets none of them pass before it may.
#[derive(Default)]
struct Slow {
    gate: tokio::sync::Mutex<()>,
    syncs: AtomicU64,
}

impl DiskHook for Slow {
    fn before(&self, act: &DiskAct<'_>) -> io::Result<()> {
        if matches!(act, DiskAct::Sync) {
            self.syncs.fetch_add(1, Ordering::SeqCst);
            drop(self.gate.blocking_lock());
        }
        Ok(())
    }
}

#[test]
fn all_that_waits_for_a_slow_disk_shares_one_sync_and_nothing_is_acknowledged_before_it() {
    let slow = Arc::new(Slow::default());
    let directory = memory();
    // One thread: a task that has yielded has queued its commit.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = EmbeddedStore::open(directory.path(), hooked(slow.clone())).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let leadership = store.campaign(&Candidate::new("m1")).await.unwrap();
        let syncs = slow.syncs.load(Ordering::SeqCst);
        let closed = slow.gate.lock().await;
        let commits: Vec<_> = (0..200)
            .map(|n| {
                let (store, leadership) = (store.clone(), leadership.clone());
                tokio::spawn(async move {
                    store.commit(&leadership, Batch::new().put(key(format!("k/{n}")), "x")).await
                })
            })
            .collect();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(commits.iter().all(|commit| !commit.is_finished()), "acknowledged before the sync");
        drop(closed);
        for commit in commits {
            commit.await.unwrap().unwrap();
        }
        // Those that the writer took before the last was queued have a group of their own.
        let syncs = slow.syncs.load(Ordering::SeqCst) - syncs;
        assert!((1..=2).contains(&syncs), "{syncs} syncs");
        store.close().await.unwrap();
    });
}

/// Yields until the disk is asked for its n-th sync, which the gate holds up.
async fn syncing(slow: &Slow, syncs: u64) {
    while slow.syncs.load(Ordering::SeqCst) < syncs {
        tokio::task::yield_now().await;
    }
}

#[test]
fn every_close_returns_when_the_store_is_free_and_not_before() {
    let slow = Arc::new(Slow::default());
    let directory = memory();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = EmbeddedStore::open(directory.path(), hooked(slow.clone())).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        store.campaign(&Candidate::new("m1")).await.unwrap();
        let syncs = slow.syncs.load(Ordering::SeqCst);
        let gate = slow.gate.lock().await;
        let close = || {
            let store = store.clone();
            tokio::spawn(async move { store.close().await })
        };
        let first = close();
        syncing(&slow, syncs + 1).await;
        let second = close();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(!first.is_finished() && !second.is_finished(), "the file is not closed yet");
        drop(gate);
        second.await.unwrap().unwrap();
        open(directory.path()).await.unwrap().close().await.unwrap();
        first.await.unwrap().unwrap();
    });
}

#[test]
fn a_candidacy_whose_future_is_dropped_is_given_up() {
    let slow = Arc::new(Slow::default());
    let directory = memory();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = EmbeddedStore::open(directory.path(), hooked(slow.clone())).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let view = store.observe_leader();
        let old = store.campaign(&Candidate::new("old")).await.unwrap();
        let campaign = || {
            let store = store.clone();
            tokio::spawn(async move { store.campaign(&Candidate::new("new")).await.map(drop) })
        };
        // Behind a commit that waits for the disk: it is still queued when it is dropped, and never stands.
        let syncs = slow.syncs.load(Ordering::SeqCst);
        let gate = slow.gate.lock().await;
        let commit = tokio::spawn({
            let (store, old) = (store.clone(), old.clone());
            async move { store.commit(&old, pair(0)).await }
        });
        syncing(&slow, syncs + 1).await;
        let queued = campaign();
        tokio::task::yield_now().await;
        queued.abort();
        assert!(queued.await.unwrap_err().is_cancelled());
        drop(gate);
        commit.await.unwrap().unwrap();
        store.commit(&old, Batch::new()).await.unwrap();
        assert_eq!(*view.borrow(), LeaderView::Led(old.leader().clone()));
        // While the disk writes it down: it is won, and nobody has it.
        let syncs = slow.syncs.load(Ordering::SeqCst);
        let gate = slow.gate.lock().await;
        let won = campaign();
        syncing(&slow, syncs + 1).await;
        won.abort();
        assert!(won.await.unwrap_err().is_cancelled());
        drop(gate);
        let refused = store.commit(&old, Batch::new()).await.unwrap_err();
        assert!(matches!(refused, StoreError::NotLeading { .. }), "{refused}");
        assert_eq!(*view.borrow(), LeaderView::Vacant);
        let next = store.campaign(&Candidate::new("next")).await.unwrap();
        assert_eq!(next.epoch().get(), old.epoch().get() + 2, "the epoch stays raised");
        store.commit(&next, pair(1)).await.unwrap();
        assert_eq!(pairs(&*store).await, BTreeSet::from([0, 1]));
        store.close().await.unwrap();
    });
}
