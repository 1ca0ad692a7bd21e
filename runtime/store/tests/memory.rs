//! The cluster in memory passes what every store must, and what several candidates of one must.
#![expect(clippy::unwrap_used, reason = "tests, which stop at the first surprise")]

use std::sync::Arc;

use store::memory::MemoryCluster;
use store::suite::{Bed, Several};
use store::{Batch, Candidate, LeaderView, Store, StoreError};

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
    assert!(one.valid_until(&old).unwrap() <= std::time::Instant::now());
    cluster.expire();
    let new = two.campaign(&Candidate::new("m2")).await.unwrap();
    cluster.heal(&one);
    assert_eq!(*view.borrow_and_update(), LeaderView::Led(new.leader().clone()));
    assert!(matches!(one.commit(&old, Batch::new()).await, Err(StoreError::NotLeading { .. })));
}
