use super::{Bed, all, key, lead, put};
use crate::{Batch, Prefix, Stamp};

/// What a snapshot holds is what its revision says: no later write, and no earlier one missing.
pub async fn a_load_is_one_moment_while_writes_go_on(bed: &impl Bed) {
    let store = bed.open().await;
    let leadership = lead(&*store).await;
    let writer = tokio::spawn({
        let (store, leadership) = (store.clone(), leadership.clone());
        async move {
            // Each commit adds a key of its own and moves the counter: `count` keys whenever the counter says so.
            for n in 1..=300 {
                let batch = Batch::new()
                    .put(key(&format!("a/{n:04}")), "x")
                    .put(key("m/count"), n.to_string())
                    .put(key(&format!("z/{n:04}")), "x");
                store.commit(&leadership, batch).await.unwrap();
            }
        }
    });
    let mut last = Stamp::default();
    loop {
        let ended = writer.is_finished();
        let loaded = all(&*store).await;
        assert!(loaded.stamp >= last, "a load went back");
        last = loaded.stamp;
        let count = super::text(&loaded, "m/count").map_or(0, |count| count.parse().unwrap());
        assert_eq!(loaded.entries.len(), if count == 0 { 0 } else { 2 * count + 1 });
        assert!(loaded.entries.values().all(|entry| entry.modified <= loaded.stamp.revision));
        if ended {
            break;
        }
    }
    writer.await.unwrap();
}

/// Neighbours in the order of the bytes are not part of it.
pub async fn a_prefix_gives_its_part(bed: &impl Bed) {
    let store = bed.open().await;
    let leadership = lead(&*store).await;
    for at in ["a", "a!", "a-b", "a/1", "a/2/3", "a0", "ab", "b/1"] {
        put(&*store, &leadership, at, at).await;
    }
    let names = |prefix| {
        let store = store.clone();
        async move {
            let loaded = store.load(&prefix).await.unwrap();
            assert_eq!(loaded.prefix, prefix);
            loaded.entries.keys().map(ToString::to_string).collect::<Vec<_>>()
        }
    };
    assert_eq!(names(Prefix::below(&key("a"))).await, ["a/1", "a/2/3"]);
    assert_eq!(names(Prefix::below(&key("a/2"))).await, ["a/2/3"]);
    assert_eq!(names(Prefix::only(&key("a"))).await, ["a"]);
    assert_eq!(names(Prefix::only(&key("missing"))).await, [""; 0]);
    assert_eq!(names(Prefix::below(&key("c"))).await, [""; 0]);
    assert_eq!(names(Prefix::all()).await.len(), 9, "and the cluster version");
    let whole = all(&*store).await;
    let below: Vec<_> = whole.below(&key("a")).map(|(at, _)| at.to_string()).collect();
    assert_eq!(below, ["a/1", "a/2/3"]);
}
