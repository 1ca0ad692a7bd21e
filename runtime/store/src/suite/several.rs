use std::future::Future;
use std::sync::Arc;

use super::{Bed, all, key, lead, put, text};
use crate::{Batch, Candidate, Epoch, LeaderView, Leadership, Outcome, Store, StoreError};

/// A bed where several stores can be open at once, each of them a candidate.
pub trait Several: Bed {
    /// Ends the lease of the one who leads, as if it ran out.
    fn end_lease(&self) -> impl Future<Output = ()> + Send;
}

type Campaign = tokio::task::JoinHandle<Result<Leadership, StoreError>>;

fn campaign(store: &Arc<dyn Store>, name: &'static str) -> Campaign {
    let store = store.clone();
    tokio::spawn(async move { store.campaign(&Candidate::new(name)).await })
}

/// Waits until the store shows that epoch.
async fn shown(store: &dyn Store, epoch: Epoch) {
    let shown = |view: &LeaderView| matches!(view, LeaderView::Led(leader) if leader.epoch == epoch);
    store.observe_leader().wait_for(shown).await.unwrap();
}

/// And not before.
pub async fn a_second_candidate_waits_until_the_first_resigns(bed: &impl Several) {
    let (one, two) = (bed.open().await, bed.open().await);
    let first = lead(&*one).await;
    put(&*one, &first, "a", "1").await;
    let waiting = campaign(&two, "m2");
    shown(&*two, first.epoch()).await;
    for n in 0..20 {
        put(&*one, &first, "a", &n.to_string()).await;
    }
    assert!(!waiting.is_finished());
    one.resign(&first).await.unwrap();
    let second = waiting.await.unwrap().unwrap();
    assert!(second.epoch() > first.epoch());
    shown(&*one, second.epoch()).await;
    let refused = one.commit(&first, Batch::new().put(key("a"), "old")).await;
    assert!(matches!(refused, Err(StoreError::NotLeading { .. })), "{refused:?}");
    assert_eq!(text(&all(&*two).await, "a").as_deref(), Some("19"));
    put(&*two, &second, "a", "2").await;
    assert_eq!(text(&all(&*one).await, "a").as_deref(), Some("2"));
}

/// Closing gives up what is held.
pub async fn a_second_candidate_wins_when_the_first_closes(bed: &impl Several) {
    let (one, two) = (bed.open().await, bed.open().await);
    let first = lead(&*one).await;
    let waiting = campaign(&two, "m2");
    one.close().await.unwrap();
    let second = waiting.await.unwrap().unwrap();
    assert!(second.epoch() > first.epoch());
}

/// The old one learns it, is refused, and may stand again.
pub async fn a_lease_that_ends_ends_the_leadership(bed: &impl Several) {
    let (one, two) = (bed.open().await, bed.open().await);
    let mut last = Epoch::default();
    let (mut leads, mut waits) = (&one, &two);
    for round in 0..4 {
        let old = lead(&**leads).await;
        assert!(old.epoch() > last, "round {round}");
        put(&**leads, &old, "a", "led").await;
        assert!(leads.valid_until(&old).is_some_and(|end| end > std::time::Instant::now()));
        let waiting = campaign(waits, "next");
        shown(&**waits, old.epoch()).await;
        bed.end_lease().await;
        let new = waiting.await.unwrap().unwrap();
        assert!(new.epoch() > old.epoch());
        let refused = leads.commit(&old, Batch::new().put(key("a"), "old")).await.unwrap_err();
        assert!(matches!(refused, StoreError::NotLeading { .. }), "round {round}: {refused}");
        shown(&**leads, new.epoch()).await;
        assert!(leads.valid_until(&old).is_some_and(|end| end <= std::time::Instant::now()));
        assert_eq!(text(&all(&**leads).await, "a").as_deref(), Some("led"));
        last = new.epoch();
        waits.resign(&new).await.unwrap();
        (leads, waits) = (waits, leads);
    }
}

/// Each pair of keys was written by one leader, in order, whoever else believed to lead: `n` rises by one for each
/// commit that was acknowledged, and no reign writes after a later one did.
pub async fn leaders_that_follow_each_other_never_interleave(bed: &impl Several) {
    let stores = [bed.open().await, bed.open().await, bed.open().await];
    let writers: Vec<_> = stores
        .iter()
        .map(|store| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut acknowledged = vec![];
                for _ in 0..4 {
                    let reign = store.campaign(&Candidate::new("m")).await.unwrap();
                    for n in 0.. {
                        let at = format!("log/{:05}-{n:05}", reign.epoch().get());
                        let batch = Batch::new().put(key(&at), "x").put(key("last"), at.clone());
                        match store.commit(&reign, batch).await {
                            Ok(stamp) => acknowledged.push((stamp, at)),
                            Err(error) => {
                                let known = error.outcome() == Outcome::Refused;
                                assert!(known, "{error}");
                                break;
                            }
                        }
                    }
                }
                acknowledged
            })
        })
        .collect();
    // Whoever leads has written something: its lease ends.
    let mut seen = None;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let last = text(&all(&*stores[0]).await, "last");
        if last != seen {
            bed.end_lease().await;
            seen = last;
        }
        tokio::task::yield_now().await;
    }
    let mut acknowledged = vec![];
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    acknowledged.sort();
    let loaded = all(&*stores[0]).await;
    for (stamp, at) in &acknowledged {
        assert_eq!(loaded.entries[&key(at)].modified, stamp.revision, "{at}");
    }
    // All that is there, in the order in which it was written, has rising epochs.
    let mut written: Vec<_> =
        loaded.below(&key("log")).map(|(at, entry)| (entry.modified, at.to_string())).collect();
    written.sort();
    let names: Vec<_> = written.iter().map(|(_, at)| at.clone()).collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(names, sorted, "an older reign wrote after a later one");
    assert_eq!(text(&loaded, "last").as_ref(), names.last());
    assert_eq!(written.len(), acknowledged.len(), "a refused commit is there");
}
