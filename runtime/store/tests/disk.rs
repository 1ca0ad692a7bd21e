//! Disks that fill up, fail or lose power.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![expect(clippy::panic, reason = "a test may stop at the first surprise")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use common::{memory, open, pair, pairs};
use store::suite::{Rng, run};
use store::{
    Candidate, DiskAct, DiskHook, EmbeddedStore, LeaderView, Options, Outcome, Prefix, Store, StoreError,
};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

fn hooked(hook: Arc<dyn DiskHook>) -> Options {
    Options { hook: Some(hook), ..Options::default() }
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
