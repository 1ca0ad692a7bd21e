//! The store in etcd passes what every store must, with etcd 3.4 and 3.5; and what etcd alone can do to it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests, which stop at the first surprise"
)]

mod cluster;
mod faults;
mod guards;

use std::sync::Arc;

use cluster::{Cluster, Program};
use store::Store;
use store::suite::{Bed, Several};

struct Etcd(Cluster);

impl Bed for Etcd {
    async fn open(&self) -> Arc<dyn Store> {
        self.0.store().await
    }
}

impl Several for Etcd {
    async fn end_lease(&self) {
        self.0.end_lease().await;
    }
}

/// As it is installed: Debian 12 has 3.4.
mod own {
    use super::{Cluster, Etcd, Program};

    store::suite!(Etcd(Cluster::start(&Program::own(), 1)); #[ignore = "etcd"]);
    store::several!(Etcd(Cluster::start(&Program::own(), 1)); #[ignore = "etcd"]);
}

/// Of Debian 13, which has 3.5.
mod trixie {
    use super::{Cluster, Etcd, Program};

    store::suite!(Etcd(Cluster::start(&Program::of_trixie(), 1)); #[ignore = "etcd"]);
    store::several!(Etcd(Cluster::start(&Program::of_trixie(), 1)); #[ignore = "etcd"]);

    #[test]
    #[ignore = "etcd"]
    fn it_is_another_one_than_that_of_debian_12() {
        let version = Program::of_trixie().version();
        assert!(version.contains("etcd Version: 3.5."), "{version}");
    }
}
