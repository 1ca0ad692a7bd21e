//! What the tests of disks share.

use std::collections::BTreeSet;
use std::path::Path;

use store::{Batch, EmbeddedStore, Key, Options, Prefix, Store, StoreError};

pub(crate) fn key(text: impl Into<String>) -> Key {
    Key::new(text).unwrap()
}

/// In memory where there is such a place: here the faults are ours, and waiting for a real disk shows nothing.
pub(crate) fn memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(crate) async fn open(directory: &Path) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(directory, Options::default()).await
}

/// Commit `n` writes a pair; the value is long enough that the file has to grow.
pub(crate) fn pair(n: u64) -> Batch {
    let value = vec![u8::try_from(n % 251).unwrap(); 30_000];
    Batch::new().put(key(format!("left/{n}")), value.clone()).put(key(format!("right/{n}")), value)
}

/// The pairs that are there. None of them is a half.
pub(crate) async fn pairs(store: &dyn Store) -> BTreeSet<u64> {
    let loaded = store.load(&Prefix::all()).await.unwrap();
    let side = |side: &str| -> BTreeSet<u64> {
        loaded.below(&key(side)).map(|(key, _)| key.name().unwrap().parse().unwrap()).collect()
    };
    assert_eq!(side("left"), side("right"));
    for n in side("left") {
        assert!(loaded.get(&key(format!("left/{n}"))) == loaded.get(&key(format!("right/{n}"))));
    }
    side("left")
}
