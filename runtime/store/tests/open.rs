//! Whose the files are, and who has them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use store::suite::run;
use store::{Candidate, EmbeddedStore, Options, Store, StoreError};

#[test]
fn a_store_is_for_its_owner_alone() {
    run(async {
        let above = tempfile::tempdir().unwrap();
        let directory = above.path().join("state/store");
        let store = EmbeddedStore::open(&directory, Options::default()).await.unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(directory.clone()), 0o700);
        let mut names: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["store.lock", "store.redb"]);
        for name in names {
            assert_eq!(mode(directory.join(name)), 0o600);
        }
        store.close().await.unwrap();
    });
}

#[test]
fn a_second_one_is_told_who_has_the_store_and_waits_for_nothing() {
    run(async {
        let above = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(above.path(), Options::default()).await.unwrap();
        let leadership = store.campaign(&Candidate::new("m1")).await.unwrap();
        let error = EmbeddedStore::open(above.path(), Options::default()).await.unwrap_err();
        assert!(matches!(error, StoreError::InUse { .. }));
        let message = error.to_string();
        assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
        assert!(message.contains(above.path().to_str().unwrap()), "{message}");
        store.commit(&leadership, store::Batch::new()).await.unwrap();
        store.close().await.unwrap();
        EmbeddedStore::open(above.path(), Options::default()).await.unwrap();
    });
}

#[test]
fn a_place_that_cannot_be_is_named_with_the_system_s_reason() {
    run(async {
        let above = tempfile::tempdir().unwrap();
        let file = above.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = EmbeddedStore::open(&file.join("store"), Options::default()).await.unwrap_err();
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("Not a directory"), "{source}");
    });
}
