//! The embedded store passes what every store must.
#![expect(clippy::unwrap_used, reason = "tests, which stop at the first surprise")]

use std::sync::Arc;

use store::suite::Bed;
use store::{EmbeddedStore, Options, Store};

struct Directory(tempfile::TempDir);

impl Bed for Directory {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(EmbeddedStore::open(&self.0.path().join("store"), Options::default()).await.unwrap())
    }
}

store::suite!(Directory(tempfile::tempdir().unwrap()));
