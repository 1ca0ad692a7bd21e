use super::{Bed, all, key, lead, put, text};
use crate::{Batch, Candidate, ClusterVersion, Epoch, Leader, LeaderView, Outcome, Revision, StoreError};

/// A leadership from before the store was opened is not one, even while its epoch is the highest.
pub async fn nobody_writes_without_a_campaign(bed: &impl Bed) {
    let store = bed.open().await;
    let old = lead(&*store).await;
    put(&*store, &old, "a", "1").await;
    store.resign(&old).await.unwrap();
    store.close().await.unwrap();
    let store = bed.open().await;
    let refused = store.commit(&old, Batch::new().put(key("a"), "2")).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotLeading { .. }), "{refused}");
    assert_eq!(text(&all(&*store).await, "a").as_deref(), Some("1"));
}

/// What was written under the old one was written before the new one was there.
pub async fn a_new_campaign_refuses_the_old_leadership_with_commits_in_flight(bed: &impl Bed) {
    let store = bed.open().await;
    let mut reign = lead(&*store).await;
    for round in 0..10 {
        let writers: Vec<_> = (0..16)
            .map(|writer| {
                let (store, held) = (store.clone(), reign.clone());
                tokio::spawn(async move {
                    let mut acknowledged = vec![];
                    loop {
                        let at = format!("r{round}/w{writer}/{}", acknowledged.len());
                        match store.commit(&held, Batch::new().put(key(&at), "x")).await {
                            Ok(stamp) => {
                                assert_eq!(stamp.epoch, held.epoch());
                                acknowledged.push(stamp.revision);
                            }
                            Err(error) => return (acknowledged, at, error),
                        }
                    }
                })
            })
            .collect();
        // So that there is something in flight: the sixteenth has written once.
        let warm = key(&format!("r{round}/w15/0"));
        while !all(&*store).await.entries.contains_key(&warm) {
            tokio::task::yield_now().await;
        }
        let old = reign;
        reign = lead(&*store).await;
        assert!(reign.epoch() > old.epoch());
        let since = all(&*store).await;
        for writer in writers {
            let (acknowledged, at, error) = writer.await.unwrap();
            assert!(acknowledged.iter().all(|revision| *revision <= since.stamp.revision));
            assert_eq!(error.outcome(), Outcome::Refused);
            let StoreError::NotLeading { held, current } = error else { panic!("{error}") };
            assert_eq!((held, current), (old.epoch(), reign.epoch()));
            assert!(!since.entries.contains_key(&key(&at)), "{at} was refused and is there");
        }
        assert_eq!(
            all(&*store).await.entries,
            since.entries,
            "the old leader wrote after the new one was there"
        );
    }
}

/// Over campaigns, reopenings, and a copy that must begin above another store.
pub async fn the_epoch_never_goes_back(bed: &impl Bed) {
    let mut last = Epoch::default();
    let mut revision = Revision::default();
    for round in 0..4 {
        let store = bed.open().await;
        let loaded = all(&*store).await;
        assert_eq!(loaded.stamp.epoch, last);
        assert!(loaded.stamp.revision >= revision);
        for above in [0, 0, 100 * round] {
            let candidate = Candidate::new("m1").above(Epoch::new(above));
            let leadership = store.campaign(&candidate).await.unwrap();
            assert!(leadership.epoch() > last && leadership.epoch().get() > above);
            let stamp = put(&*store, &leadership, "a", "x").await;
            assert_eq!(stamp.epoch, leadership.epoch());
            assert!(stamp.revision > revision);
            (last, revision) = (stamp.epoch, stamp.revision);
        }
        store.close().await.unwrap();
    }
    let store = bed.open().await;
    let candidate = Candidate::new("m1").above(Epoch::new(u64::MAX));
    let refused = store.campaign(&candidate).await;
    assert!(matches!(refused, Err(StoreError::EpochExhausted(_))), "{refused:?}");
}

/// By its holder; and a second time too.
pub async fn a_resigned_leadership_is_refused(bed: &impl Bed) {
    let store = bed.open().await;
    let leadership = lead(&*store).await;
    put(&*store, &leadership, "a", "1").await;
    store.resign(&leadership).await.unwrap();
    for _ in 0..2 {
        let refused = store.commit(&leadership, Batch::new().put(key("a"), "2")).await;
        assert!(matches!(refused, Err(StoreError::NotLeading { .. })), "{refused:?}");
        let refused = store.resign(&leadership).await;
        assert!(matches!(refused, Err(StoreError::NotLeading { .. })), "{refused:?}");
    }
    let next = lead(&*store).await;
    // The old one cannot end the new one's reign.
    assert!(store.resign(&leadership).await.is_err());
    put(&*store, &next, "a", "3").await;
    assert_eq!(text(&all(&*store).await, "a").as_deref(), Some("3"));
}

/// Without being asked.
pub async fn observers_see_who_leads(bed: &impl Bed) {
    let store = bed.open().await;
    let mut view = store.observe_leader();
    view.wait_for(|view| *view == LeaderView::Vacant).await.unwrap();
    for name in ["m1", "m2"] {
        let leadership = store.campaign(&Candidate::new(name)).await.unwrap();
        let led = LeaderView::Led(Leader { name: name.to_owned(), epoch: leadership.epoch() });
        view.wait_for(|view| *view == led).await.unwrap();
        assert_eq!(leadership.leader(), &Leader { name: name.to_owned(), epoch: leadership.epoch() });
        if name == "m2" {
            store.resign(&leadership).await.unwrap();
        }
    }
    view.wait_for(|view| *view == LeaderView::Vacant).await.unwrap();
}

/// For a leader that wants to be sure before it answers a read.
pub async fn an_empty_batch_confirms_the_leadership_and_changes_nothing(bed: &impl Bed) {
    let store = bed.open().await;
    let old = lead(&*store).await;
    let before = all(&*store).await;
    let stamp = store.commit(&old, Batch::new()).await.unwrap();
    assert_eq!(stamp, before.stamp);
    assert_eq!(all(&*store).await, before);
    let new = lead(&*store).await;
    assert!(matches!(store.commit(&old, Batch::new()).await, Err(StoreError::NotLeading { .. })));
    store.commit(&new, Batch::new()).await.unwrap();
}

/// Whatever led it there: another master's upgrade, or a file from elsewhere.
pub async fn a_store_above_this_binary_has_no_campaign(bed: &impl Bed) {
    let store = bed.open().await;
    assert_eq!(ClusterVersion::of(&store.load(&crate::Prefix::all()).await.unwrap()).unwrap(), None);
    let leadership = lead(&*store).await;
    let loaded = store.load(&crate::Prefix::all()).await.unwrap();
    assert_eq!(ClusterVersion::of(&loaded).unwrap(), Some(ClusterVersion::OWN));
    let later = ClusterVersion { minor: ClusterVersion::OWN.minor + 1, ..ClusterVersion::OWN };
    let raise = Batch::new().put(ClusterVersion::key(), later.to_bytes());
    store.commit(&leadership, raise).await.unwrap();
    let refused = store.campaign(&Candidate::new("m1")).await.unwrap_err().to_string();
    assert!(refused.contains(&later.to_string()), "{refused}");
    assert!(refused.contains(&ClusterVersion::OWN.to_string()), "{refused}");
    // A roll-back: the leader that raised it takes it down again.
    let lower = Batch::new().put(ClusterVersion::key(), ClusterVersion::OWN.to_bytes());
    store.commit(&leadership, lower).await.unwrap();
    lead(&*store).await;
}
