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

/// A disk that loses what was written since the last sync that it did, and a kernel that does not know: it has the pages
/// still, and takes them for written.
struct Losing {
    path: PathBuf,
    state: Mutex<Lost>,
}

#[derive(Default)]
struct Lost {
    /// Fails at this sync.
    sync: Option<u64>,
    syncs: u64,
    /// What the disk has, as far as the kernel was told the truth.
    disk: Vec<u8>,
    written: Vec<Event>,
}

impl Lost {
    fn settle(&mut self) {
        for event in self.written.drain(..) {
            match event {
                Event::SetLen(len) => self.disk.resize(usize::try_from(len).unwrap(), 0),
                Event::Write(offset, data) => {
                    let start = usize::try_from(offset).unwrap();
                    self.disk.resize(self.disk.len().max(start + data.len()), 0);
                    self.disk[start..start + data.len()].copy_from_slice(&data);
                }
                Event::Sync | Event::Acknowledged(_) => {}
            }
        }
    }
}

impl DiskHook for Losing {
    fn before(&self, act: &DiskAct<'_>) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        match *act {
            DiskAct::SetLen(len) => state.written.push(Event::SetLen(len)),
            DiskAct::Write(offset, data) => state.written.push(Event::Write(offset, data.to_vec())),
            DiskAct::Sync => {
                state.syncs += 1;
                if state.sync == Some(state.syncs) {
                    state.written.clear();
                    return Err(io::Error::from_raw_os_error(EIO));
                }
                state.settle();
            }
        }
        Ok(())
    }

    fn forget(&self) {
        fs::write(&self.path, &self.state.lock().unwrap().disk).unwrap();
    }
}

#[test]
fn what_a_failed_sync_left_in_the_kernel_s_memory_is_not_built_upon() {
    run(async {
        let mut failed = 0;
        for sync in 1..20 {
            let directory = memory();
            let first = directory.path().join("first");
            open(&first).await.unwrap().close().await.unwrap();
            let path = first.join("store.redb");
            let disk = fs::read(&path).unwrap();
            let losing = Arc::new(Losing { path: path.clone(), state: Mutex::default() });
            *losing.state.lock().unwrap() = Lost { sync: Some(sync), disk, ..Lost::default() };
            let mut acknowledged = BTreeSet::new();
            for round in 0..2 {
                let Ok(store) = EmbeddedStore::open(&first, hooked(losing.clone())).await else {
                    failed += 1;
                    continue;
                };
                if let Ok(leadership) = store.campaign(&Candidate::new("m1")).await {
                    for n in round * 5..round * 5 + 5 {
                        match store.commit(&leadership, pair(n)).await {
                            Ok(_) => acknowledged.insert(n),
                            Err(_) => break,
                        };
                    }
                }
                failed += u64::from(store.load(&Prefix::all()).await.is_err());
                drop(store.close().await);
            }
            // The power goes: what the disk has is all there is.
            let crashed = directory.path().join("crashed");
            fs::create_dir(&crashed).unwrap();
            fs::write(crashed.join("store.redb"), &losing.state.lock().unwrap().disk).unwrap();
            let store = open(&crashed).await.unwrap_or_else(|error| panic!("sync {sync}: {error}"));
            let found = pairs(&store).await;
            assert!(found.is_superset(&acknowledged), "sync {sync}: {acknowledged:?}, found {found:?}");
        }
        assert!(failed > 10, "only {failed} faults were met");
    });
}

/// Which directories were made durable; fails at the n-th of them.
#[derive(Default)]
struct Directories {
    fails_at: Option<usize>,
    synced: Mutex<Vec<PathBuf>>,
}

impl DiskHook for Directories {
    fn before(&self, _: &DiskAct<'_>) -> io::Result<()> {
        Ok(())
    }

    fn before_sync_of(&self, directory: &Path) -> io::Result<()> {
        let mut synced = self.synced.lock().unwrap();
        synced.push(directory.to_owned());
        if Some(synced.len()) == self.fails_at { Err(io::Error::from_raw_os_error(EIO)) } else { Ok(()) }
    }
}

#[test]
fn every_directory_that_holds_the_store_s_name_is_durable_before_it_is_used() {
    run(async {
        let above = memory();
        let expected = |last: &Path| -> Vec<PathBuf> { last.ancestors().map(Path::to_owned).collect() };
        for fails_at in 1..=3 {
            let directory = above.path().join(format!("{fails_at}/state/store"));
            let hook = Arc::new(Directories { fails_at: Some(fails_at), ..Directories::default() });
            let error = EmbeddedStore::open(&directory, hooked(hook.clone())).await.unwrap_err();
            assert!(error.to_string().contains("cannot sync the directory"), "{error}");
            // All of them exist by now, and none is known to be durable.
            let hook = Arc::new(Directories::default());
            let store = EmbeddedStore::open(&directory, hooked(hook.clone())).await.unwrap();
            assert_eq!(*hook.synced.lock().unwrap(), expected(&directory));
            store.close().await.unwrap();
        }
        // In the working directory, whose name is empty.
        let here = tempfile::tempdir_in(".").unwrap();
        let name = Path::new(here.path().file_name().unwrap());
        let hook = Arc::new(Directories::default());
        EmbeddedStore::open(name, hooked(hook.clone())).await.unwrap().close().await.unwrap();
        assert_eq!(*hook.synced.lock().unwrap(), [name, Path::new(".")]);
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

/// Yields until the disk is asked for its n-th sync, which the gate holds up.
async fn syncing(slow: &Slow, syncs: u64) {
    while slow.syncs.load(Ordering::SeqCst) < syncs {
        tokio::task::yield_now().await;
    }
}

#[test]
fn every_close_returns_when_the_store_is_free_and_not_before() {
    let slow = Arc::new(Slow::default());
    let directory = memory();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = EmbeddedStore::open(directory.path(), hooked(slow.clone())).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        store.campaign(&Candidate::new("m1")).await.unwrap();
        let syncs = slow.syncs.load(Ordering::SeqCst);
        let gate = slow.gate.lock().await;
        let close = || {
            let store = store.clone();
            tokio::spawn(async move { store.close().await })
        };
        let first = close();
        syncing(&slow, syncs + 1).await;
        let second = close();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(!first.is_finished() && !second.is_finished(), "the file is not closed yet");
        drop(gate);
        second.await.unwrap().unwrap();
        open(directory.path()).await.unwrap().close().await.unwrap();
        first.await.unwrap().unwrap();
    });
}

#[test]
fn a_candidacy_whose_future_is_dropped_is_given_up() {
    let slow = Arc::new(Slow::default());
    let directory = memory();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = EmbeddedStore::open(directory.path(), hooked(slow.clone())).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let view = store.observe_leader();
        let old = store.campaign(&Candidate::new("old")).await.unwrap();
        let campaign = || {
            let store = store.clone();
            tokio::spawn(async move { store.campaign(&Candidate::new("new")).await.map(drop) })
        };
        // Behind a commit that waits for the disk: it is still queued when it is dropped, and never stands.
        let syncs = slow.syncs.load(Ordering::SeqCst);
        let gate = slow.gate.lock().await;
        let commit = tokio::spawn({
            let (store, old) = (store.clone(), old.clone());
            async move { store.commit(&old, pair(0)).await }
        });
        syncing(&slow, syncs + 1).await;
        let queued = campaign();
        tokio::task::yield_now().await;
        queued.abort();
        assert!(queued.await.unwrap_err().is_cancelled());
        drop(gate);
        commit.await.unwrap().unwrap();
        store.commit(&old, Batch::new()).await.unwrap();
        assert_eq!(*view.borrow(), LeaderView::Led(old.leader().clone()));
        // While the disk writes it down: it is won, and nobody has it.
        let syncs = slow.syncs.load(Ordering::SeqCst);
        let gate = slow.gate.lock().await;
        let won = campaign();
        syncing(&slow, syncs + 1).await;
        won.abort();
        assert!(won.await.unwrap_err().is_cancelled());
        drop(gate);
        let refused = store.commit(&old, Batch::new()).await.unwrap_err();
        assert!(matches!(refused, StoreError::NotLeading { .. }), "{refused}");
        assert_eq!(*view.borrow(), LeaderView::Vacant);
        let next = store.campaign(&Candidate::new("next")).await.unwrap();
        assert_eq!(next.epoch().get(), old.epoch().get() + 2, "the epoch stays raised");
        store.commit(&next, pair(1)).await.unwrap();
        store.close().await.unwrap();
    });
}
