//! Disks that fill up, fail, lose power or rot.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![expect(clippy::panic, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use store::suite::{Rng, run};
use store::{
    Batch, Candidate, DiskAct, DiskHook, EmbeddedStore, Key, LeaderView, Options, Outcome, Prefix, Store,
    StoreError,
};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

fn key(text: impl Into<String>) -> Key {
    Key::new(text).unwrap()
}

/// In memory where there is such a place: here the faults are ours, and waiting for a real disk shows nothing.
fn memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

async fn open(directory: &Path) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(directory, Options::default()).await
}

fn hooked(hook: Arc<dyn DiskHook>) -> Options {
    Options { hook: Some(hook), ..Options::default() }
}

/// Commit `n` writes a pair; the value is long enough that the file has to grow.
fn pair(n: u64) -> Batch {
    let value = vec![u8::try_from(n % 251).unwrap(); 30_000];
    Batch::new().put(key(format!("left/{n}")), value.clone()).put(key(format!("right/{n}")), value)
}

/// The pairs that are there. None of them is a half.
async fn pairs(store: &dyn Store) -> BTreeSet<u64> {
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

/// Fails from the n-th change of the file on, for so many changes.
struct Failing {
    error: i32,
    seen: AtomicU64,
    from: u64,
    times: u64,
}

impl DiskHook for Failing {
    fn before(&self, _: &DiskAct<'_>) -> io::Result<()> {
        let seen = self.seen.fetch_add(1, Ordering::SeqCst);
        let fails = seen >= self.from && seen - self.from < self.times;
        if fails { Err(io::Error::from_raw_os_error(self.error)) } else { Ok(()) }
    }
}

/// Answers whether the fault was met.
async fn one_failing_disk(hook: Arc<Failing>, what: &str) -> bool {
    let directory = memory();
    let directory = directory.path().join("store");
    open(&directory).await.unwrap().close().await.unwrap();
    let (mut written, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    let mut failed = false;
    match EmbeddedStore::open(&directory, hooked(hook.clone())).await {
        Err(error) => {
            assert!(matches!(error, StoreError::Open { .. }), "{what}: {error}");
        }
        Ok(store) => {
            let view = store.observe_leader();
            let leadership = store.campaign(&Candidate::new("m1")).await;
            failed |= leadership.is_err();
            if let Ok(leadership) = leadership {
                for n in 0..6 {
                    match store.commit(&leadership, pair(n)).await {
                        Ok(_) => {
                            assert!(!failed, "{what}: it went on after a fault");
                            written.insert(n);
                        }
                        Err(error) => {
                            assert!(error.must_reopen(), "{what}: {error}");
                            assert!(error.to_string().contains("open"), "{what}: {error}");
                            if error.outcome() == Outcome::Unknown {
                                unknown.insert(n);
                            }
                            failed = true;
                        }
                    }
                }
            }
            if failed {
                assert_eq!(*view.borrow(), LeaderView::Unknown);
                let error = store.load(&Prefix::all()).await.unwrap_err();
                assert!(error.must_reopen(), "{what}: {error}");
                assert!(store.campaign(&Candidate::new("m1")).await.is_err());
            }
            let closed = store.close().await;
            assert!(closed.is_ok() || hook.seen.load(Ordering::SeqCst) > hook.from, "{what}: {closed:?}");
        }
    }
    let store = open(&directory).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = pairs(&store).await;
    assert!(found.is_superset(&written), "{what}: {written:?} were acknowledged, {found:?} are there");
    assert!(
        found.difference(&written).all(|n| unknown.contains(n)),
        "{what}: {found:?}, unknown {unknown:?}"
    );
    let leadership = store.campaign(&Candidate::new("m1")).await.unwrap();
    store.commit(&leadership, pair(99)).await.unwrap();
    hook.seen.load(Ordering::SeqCst) > hook.from
}

#[test]
fn a_disk_that_fails_at_any_point_gives_errors_and_loses_nothing() {
    run(async {
        for (error, times) in [(ENOSPC, u64::MAX), (EIO, u64::MAX), (EIO, 1)] {
            let mut from = 0;
            loop {
                let hook = Arc::new(Failing { error, seen: AtomicU64::new(0), from, times });
                if !one_failing_disk(hook, &format!("error {error}, {times} times from change {from}")).await
                {
                    break;
                }
                from += 1;
            }
            assert!(from > 50, "only {from} changes");
        }
    });
}

/// A change of the file, or a commit that was acknowledged.
enum Event {
    SetLen(u64),
    Write(u64, Vec<u8>),
    Sync,
    Acknowledged(u64),
}

#[derive(Default)]
struct Recording(Mutex<Vec<Event>>);

impl DiskHook for Recording {
    fn before(&self, act: &DiskAct<'_>) -> io::Result<()> {
        self.0.lock().unwrap().push(match *act {
            DiskAct::SetLen(len) => Event::SetLen(len),
            DiskAct::Write(offset, data) => Event::Write(offset, data.to_vec()),
            DiskAct::Sync => Event::Sync,
        });
        Ok(())
    }
}

/// What the disk may hold when the power goes at `cut`: all before the last sync that ended, and of what came later any part,
/// in sectors.
fn after_power_loss(base: &[u8], events: &[Event], cut: usize, rng: &mut Rng) -> Vec<u8> {
    let mut disk = base.to_vec();
    // A sync is recorded before it is done: it has ended when something follows it.
    let synced =
        events[..cut.saturating_sub(1)].iter().rposition(|event| matches!(event, Event::Sync)).unwrap_or(0);
    for (at, event) in events[..cut].iter().enumerate() {
        let lost = at > synced && rng.below(2) == 0;
        match event {
            Event::SetLen(len) if !lost => disk.resize(usize::try_from(*len).unwrap(), 0),
            Event::Write(offset, data) => {
                let start = usize::try_from(*offset).unwrap();
                for (sector, piece) in data.chunks(512).enumerate() {
                    let torn = at > synced && rng.below(4) == 0;
                    if lost || torn {
                        continue;
                    }
                    let from = start + sector * 512;
                    if disk.len() < from + piece.len() {
                        disk.resize(from + piece.len(), 0);
                    }
                    disk[from..from + piece.len()].copy_from_slice(piece);
                }
            }
            _ => {}
        }
    }
    disk
}

#[test]
fn power_that_goes_at_any_moment_takes_nothing_acknowledged_with_it() {
    run(async {
        let directory = memory();
        let first = directory.path().join("first");
        open(&first).await.unwrap().close().await.unwrap();
        let base = fs::read(first.join("store.redb")).unwrap();
        let recording = Arc::new(Recording::default());
        let store = EmbeddedStore::open(&first, hooked(recording.clone())).await.unwrap();
        let leadership = store.campaign(&Candidate::new("m1")).await.unwrap();
        let epoch_since = recording.0.lock().unwrap().len();
        for n in 0..10 {
            store.commit(&leadership, pair(n)).await.unwrap();
            recording.0.lock().unwrap().push(Event::Acknowledged(n));
        }
        let events = std::mem::take(&mut *recording.0.lock().unwrap());
        let mut rng = Rng::new(3);
        let mut tried = 0;
        for cut in 0..=events.len() {
            for round in 0..3 {
                let crashed = directory.path().join(format!("{cut}-{round}"));
                fs::create_dir(&crashed).unwrap();
                fs::write(crashed.join("store.redb"), after_power_loss(&base, &events, cut, &mut rng))
                    .unwrap();
                let store =
                    open(&crashed).await.unwrap_or_else(|error| panic!("cut {cut}, round {round}: {error}"));
                let found = pairs(&store).await;
                let acknowledged: BTreeSet<u64> = events[..cut]
                    .iter()
                    .filter_map(|event| if let Event::Acknowledged(n) = event { Some(*n) } else { None })
                    .collect();
                let more = found.len() - found.intersection(&acknowledged).count();
                assert!(
                    found.is_superset(&acknowledged) && more <= 1,
                    "cut {cut}: {acknowledged:?}, {found:?}"
                );
                let epoch = store.load(&Prefix::all()).await.unwrap().stamp.epoch.get();
                assert!(epoch == 1 || (cut <= epoch_since && epoch == 0), "cut {cut}: epoch {epoch}");
                store.close().await.unwrap();
                fs::remove_dir_all(crashed).unwrap();
                tried += 1;
            }
        }
        assert!(tried > 200, "{tried}");
    });
}

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

/// Counts syncs, and lets none of them pass before it may.
#[derive(Default)]
struct Slow {
    gate: tokio::sync::Mutex<()>,
    syncs: AtomicU64,
}

impl DiskHook for Slow {
    fn before(&self, act: &DiskAct<'_>) -> io::Result<()> {
        if matches!(act, DiskAct::Sync) {
            self.syncs.fetch_add(1, Ordering::SeqCst);
            drop(self.gate.blocking_lock());
        }
        Ok(())
    }
}

#[test]
fn all_that_waits_for_a_slow_disk_shares_one_sync_and_nothing_is_acknowledged_before_it() {
    let slow = Arc::new(Slow::default());
    let directory = memory();
    // One thread: a task that has yielded has queued its commit.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = EmbeddedStore::open(directory.path(), hooked(slow.clone())).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let leadership = store.campaign(&Candidate::new("m1")).await.unwrap();
        let syncs = slow.syncs.load(Ordering::SeqCst);
        let closed = slow.gate.lock().await;
        let commits: Vec<_> = (0..200)
            .map(|n| {
                let (store, leadership) = (store.clone(), leadership.clone());
                tokio::spawn(async move {
                    store.commit(&leadership, Batch::new().put(key(format!("k/{n}")), "x")).await
                })
            })
            .collect();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(commits.iter().all(|commit| !commit.is_finished()), "acknowledged before the sync");
        drop(closed);
        for commit in commits {
            commit.await.unwrap().unwrap();
        }
        // Those that the writer took before the last was queued have a group of their own.
        let syncs = slow.syncs.load(Ordering::SeqCst) - syncs;
        assert!((1..=2).contains(&syncs), "{syncs} syncs");
        store.close().await.unwrap();
    });
}
