//! Disks that rot, and files of others.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::{memory, open, pair, pairs};
use store::suite::{Rng, run};
use store::{Candidate, EmbeddedStore, Options, Prefix, Store, StoreError};

/// A closed store with content, and where its file is.
async fn filled(directory: &Path) -> PathBuf {
    let store = open(directory).await.unwrap();
    let leadership = store.campaign(&Candidate::new("m1")).await.unwrap();
    for n in 0..20 {
        store.commit(&leadership, pair(n)).await.unwrap();
    }
    store.close().await.unwrap();
    directory.join("store.redb")
}

#[test]
fn a_damaged_file_is_refused_by_name_and_left_as_it_is() {
    run(async {
        let directory = memory();
        let directory = directory.path().join("store");
        let path = filled(&directory).await;
        let sound = fs::read(&path).unwrap();
        let pages = sound.len() / 4096;
        let mut rng = Rng::new(4);
        let mut damages: Vec<(String, Vec<u8>)> = vec![
            ("empty".into(), vec![]),
            ("text".into(), b"not a database\n".repeat(2000)),
            ("zeros".into(), vec![0; sound.len()]),
        ];
        for _ in 0..20 {
            let length = rng.index(sound.len());
            damages.push((format!("cut to {length} bytes"), sound[..length].to_vec()));
        }
        for n in 0..200 {
            let offset = if n < 40 { rng.index(512) } else { rng.index(sound.len()) };
            let mut damaged = sound.clone();
            damaged[offset] ^= 1 << rng.below(8);
            damages.push((format!("a bit at {offset}"), damaged));
        }
        for _ in 0..100 {
            let page = rng.index(pages);
            let mut damaged = sound.clone();
            damaged[page * 4096..(page + 1) * 4096].fill(0);
            damages.push((format!("page {page} of zeros"), damaged));
        }
        let mut refused = 0;
        for (what, damaged) in damages {
            fs::write(&path, &damaged).unwrap();
            match open(&directory).await {
                Err(error) => {
                    let message = error.to_string();
                    assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {message}");
                    assert!(message.contains(path.to_str().unwrap()), "{what}: {message}");
                    assert!(fs::read(&path).unwrap() == damaged, "{what}: the file was changed");
                    refused += 1;
                }
                // Where nothing lies, nothing is damaged.
                Ok(store) => {
                    assert_eq!(pairs(&store).await, (0..20).collect(), "{what}: opened with less");
                    store.close().await.unwrap();
                }
            }
        }
        assert!(refused > 100, "only {refused} were noticed");
    });
}

#[test]
fn a_file_of_a_later_format_or_version_is_refused_and_left_as_it_is() {
    run(async {
        let directory = memory();
        let directory = directory.path().join("store");
        let path = filled(&directory).await;
        let older = Options { version: "0.0.9".parse().unwrap(), ..Options::default() };
        let before = fs::read(&path).unwrap();
        let error = EmbeddedStore::open(&directory, older).await.unwrap_err().to_string();
        assert!(error.contains("0.0.9") && error.contains(env!("CARGO_PKG_VERSION")), "{error}");
        assert!(fs::read(&path).unwrap() == before);
        let database = redb::Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let numbers = redb::TableDefinition::<&str, u64>::new("numbers");
        transaction.open_table(numbers).unwrap().insert("format", 2).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let before = fs::read(&path).unwrap();
        let error = open(&directory).await.unwrap_err().to_string();
        assert!(error.contains("format 2") && error.contains("up to 1"), "{error}");
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert!(fs::read(&path).unwrap() == before);
    });
}

#[test]
fn a_write_that_was_cut_off_leaves_a_file_that_opens_without_a_word() {
    run(async {
        let directory = memory();
        let store = directory.path().join("store");
        // Half-made by a process that was killed before the first store was there.
        fs::create_dir(&store).unwrap();
        let half = fs::File::create(store.join("store.redb.new")).unwrap();
        half.write_all_at(b"half", 0).unwrap();
        let opened = open(&store).await.unwrap();
        assert!(pairs(&opened).await.is_empty());
        assert!(!store.join("store.redb.new").exists());
    });
}

/// What damages a sound file: name and bytes.
fn rotten_pages(sound: &[u8]) -> Vec<(String, Vec<u8>)> {
    let changed = |page: &[u8]| page.iter().any(|byte| *byte != 0);
    let pages = (1..sound.len() / 4096).filter(|page| changed(&sound[page * 4096..(page + 1) * 4096]));
    let rot = |page: usize| {
        let mut damaged = sound.to_vec();
        damaged[page * 4096 + 100] ^= 4;
        (format!("a bit in page {page}"), damaged)
    };
    pages.map(rot).collect()
}

#[test]
fn damage_after_an_unclean_stop_takes_one_group_at_most_and_never_the_epoch() {
    run(async {
        let directory = memory();
        let first = directory.path().join("first");
        let store = open(&first).await.unwrap();
        let leadership = store.campaign(&Candidate::new("m1")).await.unwrap();
        for n in 0..20 {
            store.commit(&leadership, pair(n)).await.unwrap();
        }
        let after_commits = fs::read(first.join("store.redb")).unwrap();
        store.campaign(&Candidate::new("m1")).await.unwrap();
        let after_campaign = fs::read(first.join("store.redb")).unwrap();
        store.close().await.unwrap();
        for (file, epoch, least) in [(after_commits, 1, 19), (after_campaign, 2, 20)] {
            let (mut refused, mut taken_back) = (0, 0);
            for (what, damaged) in rotten_pages(&file) {
                let place = directory.path().join("damaged");
                fs::create_dir(&place).unwrap();
                fs::write(place.join("store.redb"), &damaged).unwrap();
                match open(&place).await {
                    Err(error) => {
                        assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {error}");
                        refused += 1;
                    }
                    Ok(store) => {
                        let found = pairs(&store).await;
                        assert!(found == (0..found.len() as u64).collect(), "{what}: {found:?}");
                        assert!(found.len() >= least, "epoch {epoch}, {what}: only {found:?}");
                        taken_back += u64::from(found.len() < 20);
                        let stamp = store.load(&Prefix::all()).await.unwrap().stamp;
                        assert_eq!(stamp.epoch.get(), epoch, "{what}: the epoch fell");
                        store.close().await.unwrap();
                    }
                }
                fs::remove_dir_all(place).unwrap();
            }
            assert!(refused > 20, "only {refused} were noticed");
            assert_eq!(taken_back > 0, least < 20, "the limit that the documentation names");
        }
    });
}
