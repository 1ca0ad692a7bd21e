//! Nothing is answered or seen before it is stored, and nothing is said to be stored that is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::Method;
use identity::PeerRole;
use store::{
    Answer, Batch, Candidate, EmbeddedStore, LeaderView, Leadership, Prefix, Snapshot, Stamp, Store,
    StoreError,
};
use tokio::sync::{Semaphore, watch};

use crate::world::{World, certificate, root};

/// A store whose commits wait to be let through, or fail.
#[derive(Debug)]
struct Held {
    inner: EmbeddedStore,
    reached: Semaphore,
    let_through: Semaphore,
    fails: AtomicBool,
}

impl Store for Held {
    fn load<'a>(&'a self, prefix: &'a Prefix) -> Answer<'a, Snapshot> {
        self.inner.load(prefix)
    }

    fn commit<'a>(&'a self, leadership: &'a Leadership, batch: Batch) -> Answer<'a, Stamp> {
        Box::pin(async move {
            self.reached.add_permits(1);
            self.let_through.acquire().await.unwrap().forget();
            if self.fails.load(Ordering::SeqCst) {
                return Err(StoreError::Closed);
            }
            self.inner.commit(leadership, batch).await
        })
    }

    fn campaign<'a>(&'a self, candidate: &'a Candidate) -> Answer<'a, Leadership> {
        self.inner.campaign(candidate)
    }

    fn observe_leader(&self) -> watch::Receiver<LeaderView> {
        self.inner.observe_leader()
    }

    fn resign<'a>(&'a self, leadership: &'a Leadership) -> Answer<'a, ()> {
        self.inner.resign(leadership)
    }

    fn close(&self) -> Answer<'_, ()> {
        self.inner.close()
    }
}

async fn held() -> (Arc<World>, Arc<Held>) {
    let dir = tempfile::tempdir().unwrap();
    let inner = EmbeddedStore::open(dir.path(), store::Options::default()).await.unwrap();
    let store = Arc::new(Held {
        inner,
        reached: Semaphore::new(0),
        let_through: Semaphore::new(0),
        fails: AtomicBool::new(false),
    });
    let shared: Arc<dyn Store> = Arc::clone(&store) as _;
    (Arc::new(World::over(shared, dir).await), store)
}

const ADMIT: &str = "PUT /clusterctl/v1/admissions/n1";

fn asking(world: &Arc<World>, request: &'static str) -> tokio::task::JoinHandle<u16> {
    let world = Arc::clone(world);
    tokio::spawn(async move { world.ask(request, &root(), "").await.status.as_u16() })
}

#[tokio::test]
async fn nothing_is_seen_or_answered_before_it_is_stored() {
    let (world, store) = held().await;
    let admitting = asking(&world, ADMIT);
    store.reached.acquire().await.unwrap().forget();
    assert!(!admitting.is_finished());
    assert!(world.access.admitted("n1").is_none());
    let agent = certificate("prod", PeerRole::Agent, "n1");
    assert!(world.enter(&Method::POST, "/clusterctl.link.v1.Link/Connect", &agent).await.is_err());
    store.let_through.add_permits(1);
    assert_eq!(admitting.await.unwrap(), 201);
    assert!(world.access.admitted("n1").is_some());
}

#[tokio::test]
async fn a_change_is_made_to_its_end_though_the_client_went_away() {
    let (world, store) = held().await;
    let admitting = asking(&world, ADMIT);
    store.reached.acquire().await.unwrap().forget();
    admitting.abort();
    assert!(admitting.await.is_err());
    store.let_through.add_permits(1);
    let mut books = world.access.books();
    books.wait_for(|book| book.admission("n1").is_some()).await.unwrap();
    let snapshot = world.store.load(&Prefix::all()).await.unwrap();
    assert!(snapshot.entries.keys().any(|key| key.as_str() == "access/admissions/n1"));
}

#[tokio::test]
async fn what_the_store_does_not_take_is_not_so_and_the_reign_is_over() {
    let (world, store) = held().await;
    store.fails.store(true, Ordering::SeqCst);
    store.let_through.add_permits(1);
    assert_eq!(asking(&world, ADMIT).await.unwrap(), 503);
    assert!(world.access.admitted("n1").is_none());
    // Everything is built again from the store; until then nothing is changed.
    assert_eq!(asking(&world, ADMIT).await.unwrap(), 503);
    let world = Arc::into_inner(world).unwrap();
    assert!(matches!(world.ended.await.unwrap(), Err(StoreError::Closed)));
}

#[tokio::test]
async fn who_does_not_lead_any_more_changes_nothing() {
    let world = World::new().await;
    world.admit("n1").await;
    world.store.campaign(&Candidate::new("m2")).await.unwrap();
    // Also what would change nothing: only the leader may say that it is so.
    let answer = world.ask(ADMIT, &root(), "").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(matches!(world.ended.await.unwrap(), Err(StoreError::NotLeading { .. })));
}
