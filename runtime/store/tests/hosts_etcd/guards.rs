//! Answers that get lost and messages that are late; and what happens without each of the guards.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use store::{Batch, Candidate, Condition, EtcdHook, Fate, Held, Key, LeaderView, Prefix, Store, StoreError};
use tokio::sync::oneshot;

use crate::cluster::{Cluster, Program};

/// What becomes of the next transactions, and of all after them.
struct Script {
    fates: Mutex<VecDeque<Fate>>,
    /// For all that are not written down: that they are lost on their way.
    dropped: Mutex<bool>,
    guards: [bool; 3],
}

impl Script {
    fn new(guards: [bool; 3]) -> Arc<Self> {
        Arc::new(Self { fates: Mutex::default(), dropped: Mutex::new(false), guards })
    }

    fn next(&self, fate: Fate) {
        self.fates.lock().unwrap().push_back(fate);
    }

    /// The next one is late. The first end sends it, the other says whether it was carried out.
    fn next_is_late(&self) -> (oneshot::Sender<()>, oneshot::Receiver<bool>) {
        let ((now, when), (made, told)) = (oneshot::channel(), oneshot::channel());
        self.next(Fate::Late(when, made));
        (now, told)
    }

    fn drop_all(&self, dropped: bool) {
        *self.dropped.lock().unwrap() = dropped;
    }
}

impl EtcdHook for Script {
    fn fate(&self) -> Fate {
        let otherwise = if *self.dropped.lock().unwrap() { Fate::Dropped } else { Fate::Answered };
        self.fates.lock().unwrap().pop_front().unwrap_or(otherwise)
    }

    fn guards(&self) -> [bool; 3] {
        self.guards
    }
}

const ALL: [bool; 3] = [true; 3];

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn put(at: &str, value: &str) -> Batch {
    Batch::new().put(key(at), value)
}

async fn text(store: &dyn Store, at: &str) -> Option<String> {
    let loaded = store.load(&Prefix::all()).await.unwrap();
    loaded.get(&key(at)).map(|value| String::from_utf8(value.to_vec()).unwrap())
}

fn run(test: impl Future<Output = ()>) {
    store::suite::run(test);
}

#[test]
#[ignore = "etcd"]
fn a_commit_whose_answer_is_lost_is_made_once_and_told_so() {
    run(async {
        let cluster = Cluster::start(&Program::own(), 1);
        let script = Script::new(ALL);
        let store = cluster.store_with(script.clone()).await;
        let reign = store.campaign(&Candidate::new("m1")).await.unwrap();
        for n in 0..50 {
            for fate in [Fate::Lost, Fate::Dropped, Fate::Answered].into_iter().skip(n % 3) {
                script.next(fate);
            }
            let at = format!("n/{n}");
            let batch = put(&at, "x").require(key(&at), Condition::Absent);
            let stamp = store.commit(&reign, batch).await.unwrap();
            let loaded = store.load(&Prefix::all()).await.unwrap();
            assert_eq!(loaded.entries[&key(&at)].modified, stamp.revision);
            script.fates.lock().unwrap().clear();
        }
    });
}

#[test]
#[ignore = "etcd"]
fn a_commit_whose_answer_is_lost_is_found_also_after_another_was_elected() {
    run(async {
        let cluster = Cluster::start(&Program::own(), 1);
        for fate in [Fate::Lost, Fate::Dropped] {
            let made = matches!(fate, Fate::Lost);
            let script = Script::new(ALL);
            let (one, two) = (cluster.store_with(script.clone()).await, cluster.store().await);
            let reign = one.campaign(&Candidate::new("m1")).await.unwrap();
            one.commit(&reign, put("a", "0")).await.unwrap();
            script.next(fate);
            script.drop_all(true);
            let commit = tokio::spawn({
                let (one, reign) = (one.clone(), reign.clone());
                async move { one.commit(&reign, put("a", "1")).await }
            });
            while !script.fates.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            if made {
                while text(&*two, "a").await.as_deref() != Some("1") {
                    tokio::task::yield_now().await;
                }
            }
            let before = two.load(&Prefix::all()).await.unwrap();
            cluster.end_lease().await;
            let next = two.campaign(&Candidate::new("m2")).await.unwrap();
            two.commit(&next, put("b", "2")).await.unwrap();
            script.drop_all(false);
            match commit.await.unwrap() {
                Ok(stamp) => assert!(made && stamp.revision == before.entries[&key("a")].modified),
                Err(StoreError::NotLeading { .. }) => assert!(!made),
                Err(error) => panic!("{error}"),
            }
            one.close().await.unwrap();
            two.close().await.unwrap();
        }
    });
}

/// A message that was kept back until the lease had ended. Answers whether it was carried out.
async fn late_after_the_lease(guards: [bool; 3]) -> bool {
    let cluster = Cluster::start(&Program::own(), 1);
    let script = Script::new(guards);
    let store = cluster.store_with(script.clone()).await;
    let reign = store.campaign(&Candidate::new("m1")).await.unwrap();
    let (now, made) = script.next_is_late();
    script.drop_all(true);
    let commit = tokio::spawn({
        let (store, reign) = (store.clone(), reign.clone());
        async move { store.commit(&reign, put("a", "late")).await }
    });
    while !script.fates.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    cluster.end_lease().await;
    assert!(matches!(commit.await.unwrap(), Err(StoreError::Undecided { .. })));
    now.send(()).unwrap();
    made.await.unwrap()
}

/// A message that was kept back until its own store had been elected once more.
async fn late_after_a_campaign(guards: [bool; 3]) -> bool {
    let cluster = Cluster::start(&Program::own(), 1);
    let script = Script::new(guards);
    let store = cluster.store_with(script.clone()).await;
    let reign = store.campaign(&Candidate::new("m1")).await.unwrap();
    let (now, made) = script.next_is_late();
    store.commit(&reign, put("a", "1")).await.unwrap();
    let reign = store.campaign(&Candidate::new("m1")).await.unwrap();
    store.commit(&reign, put("a", "2")).await.unwrap();
    now.send(()).unwrap();
    made.await.unwrap()
}

/// A message that was kept back until the same reign had written more.
async fn late_in_the_same_reign(guards: [bool; 3]) -> bool {
    let cluster = Cluster::start(&Program::own(), 1);
    let script = Script::new(guards);
    let store = cluster.store_with(script.clone()).await;
    let reign = store.campaign(&Candidate::new("m1")).await.unwrap();
    let (now, made) = script.next_is_late();
    store.commit(&reign, put("a", "1")).await.unwrap();
    store.commit(&reign, put("a", "2")).await.unwrap();
    now.send(()).unwrap();
    let made = made.await.unwrap();
    assert_eq!(text(&*store, "a").await.as_deref(), Some(if made { "1" } else { "2" }));
    made
}

#[test]
#[ignore = "etcd"]
fn no_late_message_is_carried_out_and_each_guard_is_what_keeps_one_back() {
    run(async {
        assert!(!late_after_the_lease(ALL).await);
        assert!(late_after_the_lease([false, true, true]).await, "the leader key's is not needed");
        assert!(!late_in_the_same_reign(ALL).await);
        assert!(late_in_the_same_reign([true, true, false]).await, "that of the commit before is not needed");
        // Each campaign writes both, so that one of them is enough.
        assert!(!late_after_a_campaign([true, true, false]).await);
        assert!(!late_after_a_campaign([true, false, true]).await);
        assert!(late_after_a_campaign([true, false, false]).await, "the epoch's is not needed");
    });
}

#[test]
#[ignore = "etcd"]
fn what_was_refused_is_not_made_later() {
    run(async {
        let cluster = Cluster::start(&Program::own(), 1);
        let script = Script::new(ALL);
        let store = cluster.store_with(script.clone()).await;
        let reign = store.campaign(&Candidate::new("m1")).await.unwrap();
        let (now, made) = script.next_is_late();
        let batch = put("a", "x").require(key("there"), Condition::Present);
        let refused = store.commit(&reign, batch).await;
        assert!(matches!(refused, Err(StoreError::Precondition { .. })), "{refused:?}");
        // By another hand, so that nothing but the condition changes.
        cluster.raw().await.put("clusterctl/data/there", "x", None).await.unwrap();
        now.send(()).unwrap();
        assert!(!made.await.unwrap(), "it was refused, and made");
        store.commit(&reign, Batch::new()).await.unwrap();
    });
}

/// Renewals wait for ever, as those of a process that was stopped.
struct Stopped;

impl EtcdHook for Stopped {
    fn renewal(&self) -> Held {
        Box::pin(std::future::pending())
    }
}

#[test]
#[ignore = "etcd"]
fn a_leader_that_cannot_renew_stops_before_the_next_can_begin() {
    run(async {
        let cluster = Cluster::start(&Program::own(), 1);
        let (one, two) = (cluster.store_with(Arc::new(Stopped)).await, cluster.store().await);
        let mut view = one.observe_leader();
        let old = one.campaign(&Candidate::new("m1")).await.unwrap();
        let end = one.valid_until(&old).unwrap();
        one.commit(&old, put("a", "1")).await.unwrap();
        let new = two.campaign(&Candidate::new("m2")).await.unwrap();
        assert!(std::time::Instant::now() > end, "the next began while the old one was sure of its lease");
        let refused = one.commit(&old, put("a", "old")).await;
        assert!(matches!(refused, Err(StoreError::NotLeading { .. })), "{refused:?}");
        view.wait_for(|view| *view == LeaderView::Led(new.leader().clone())).await.unwrap();
        assert_eq!(text(&*two, "a").await.as_deref(), Some("1"));
    });
}
