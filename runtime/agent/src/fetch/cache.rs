//! What was downloaded before, by checksum, on disk.
//!
//! ```text
//! sha256/<hex>   whole files, synced before they get this name
//! tmp/           downloads under way; removed at start
//! index.json     which address gave what, and how to ask whether it changed
//! ```
//!
//! One cache belongs to one agent. Its functions block.

mod index;
mod table;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::digest::Digest;
use super::error::Why;
pub(super) use index::{Index, Known};
use table::{Pin, Table};

/// A file to be put into sandboxes.
#[derive(Clone, Debug)]
pub(super) enum Got {
    /// In the cache; not evicted while this lives.
    Cached { path: PathBuf, _pin: Pin },
    /// Without a name; gone when this is dropped.
    Once(Arc<File>),
}

impl Got {
    /// Opens it for one reader, at its beginning.
    pub(super) fn open(&self) -> io::Result<File> {
        match self {
            Self::Cached { path, .. } => File::open(path),
            Self::Once(file) => File::open(format!("/proc/self/fd/{}", file.as_raw_fd())),
        }
    }
}

/// A file under `tmp`, removed when dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) file: File,
    path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    max: u64,
    next: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    table: Table,
    index: Index,
}

impl Cache {
    /// Opens a cache of at most `max` bytes and removes what a killed agent left half done.
    pub(super) fn open(dir: &Path, max: u64) -> Result<Self, Why> {
        let tmp = dir.join("tmp");
        match fs::remove_dir_all(&tmp) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Why::io("empty", &tmp)(e)),
            _ => {}
        }
        for dir in [dir.join("sha256"), tmp] {
            DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(Why::io("make", &dir))?;
        }
        let table = found(&dir.join("sha256")).map_err(Why::io("list", dir))?;
        let index = Index::read(dir);
        let cache = Self {
            dir: dir.to_owned(),
            max,
            next: AtomicU64::new(0),
            state: Mutex::new(State { table, index }),
        };
        let evicted = cache.state().table.shrink(max);
        for sum in evicted {
            let _ = fs::remove_file(cache.path(sum));
        }
        Ok(cache)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, sum: Digest) -> PathBuf {
        self.dir.join("sha256").join(sum.to_string())
    }

    /// A new file to write to.
    pub(super) fn temporary(&self) -> Result<Temporary, Why> {
        let path = self.dir.join("tmp").join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path).map_err(Why::io("make", &path))?;
        Ok(Temporary { file, path })
    }

    /// What has this sum, read again to see that it still has. A damaged file is dropped.
    pub(super) fn take(&self, sum: Digest) -> Option<Got> {
        let pin = self.state().table.pin(sum)?;
        let path = self.path(sum);
        let real = File::open(&path).and_then(|mut file| Digest::of_file(&mut file));
        if real.as_ref().is_ok_and(|real| *real == sum) {
            // So that the order of use survives a restart.
            let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
            return Some(Got::Cached { path, _pin: pin });
        }
        tracing::warn!(file = %path.display(), "dropping a damaged file from the fetcher's cache");
        let mut state = self.state();
        state.table.remove(sum);
        let _ = fs::remove_file(&path);
        None
    }

    /// Keeps a file under its sum. One that there is no room for is used once and forgotten.
    pub(super) fn keep(&self, temporary: &Temporary, sum: Digest, size: u64) -> Result<Got, Why> {
        let path = self.path(sum);
        temporary.file.sync_all().map_err(Why::io("sync", &temporary.path))?;
        let mut state = self.state();
        let Some((pin, evicted)) = state.table.admit(sum, size, self.max) else {
            drop(state);
            tracing::warn!(size, max = self.max, "the fetcher's cache has no room for a file");
            return once(temporary);
        };
        for sum in evicted {
            let _ = fs::remove_file(self.path(sum));
        }
        let kept = fs::rename(&temporary.path, &path);
        if kept.is_err() {
            state.table.remove(sum);
        }
        drop(state);
        kept.and_then(|()| sync_dir(&self.dir.join("sha256"))).map_err(Why::io("write", &path))?;
        Ok(Got::Cached { path, _pin: pin })
    }

    /// What this address gave the last time.
    pub(super) fn known(&self, url: &str) -> Option<Known> {
        self.state().index.get(url).cloned()
    }

    /// Remembers what an address gave. The index only saves downloads: that it cannot be written is no failure.
    pub(super) fn learn(&self, url: &str, known: Known) {
        let mut state = self.state();
        state.index.put(url, known);
        if let Err(e) = state.index.write(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), error = %e, "cannot write the index of the fetcher's cache");
        }
    }
}

/// For a file that is not kept.
pub(super) fn once(temporary: &Temporary) -> Result<Got, Why> {
    let file = temporary.file.try_clone().map_err(Why::io("keep", &temporary.path))?;
    Ok(Got::Once(Arc::new(file)))
}

/// The files of an earlier agent, the longest unused first. What is no entry is left alone.
fn found(dir: &Path) -> io::Result<Table> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        let sum = entry.file_name().to_str().and_then(Digest::parse);
        if let Some(sum) = sum.filter(|_| meta.is_file()) {
            files.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), sum, meta.len()));
        }
    }
    files.sort_unstable();
    let mut table = Table::default();
    for (_, sum, size) in files {
        table.admit(sum, size, u64::MAX);
    }
    Ok(table)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn put(cache: &Cache, text: &str) -> Got {
        let mut temporary = cache.temporary().unwrap();
        temporary.file.write_all(text.as_bytes()).unwrap();
        cache.keep(&temporary, Digest::of_bytes(text.as_bytes()), text.len() as u64).unwrap()
    }

    fn text(got: &Got) -> String {
        let mut text = String::new();
        got.open().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn files_survive_a_restart_and_half_files_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), 100).unwrap();
        assert_eq!(text(&put(&cache, "one")), "one");
        fs::write(dir.path().join("tmp/half"), "ha").unwrap();
        let cache = Cache::open(dir.path(), 100).unwrap();
        assert_eq!(text(&cache.take(Digest::of_bytes(b"one")).unwrap()), "one");
        assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
        assert!(cache.take(Digest::of_bytes(b"two")).is_none());
        // With less room it is gone.
        let cache = Cache::open(dir.path(), 2).unwrap();
        assert!(cache.take(Digest::of_bytes(b"one")).is_none());
    }

    #[test]
    fn a_damaged_file_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), 100).unwrap();
        let sum = Digest::of_bytes(b"one");
        drop(put(&cache, "one"));
        for damage in ["", "onf", "one "] {
            fs::write(dir.path().join("sha256").join(sum.to_string()), damage).unwrap();
            assert!(cache.take(sum).is_none(), "{damage:?}");
            assert_eq!(fs::read_dir(dir.path().join("sha256")).unwrap().count(), 0);
            assert_eq!(text(&put(&cache, "one")), "one");
        }
    }

    #[test]
    fn what_is_in_use_is_not_evicted_and_what_has_no_room_is_used_once() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), 6).unwrap();
        let one = put(&cache, "one");
        drop(put(&cache, "two"));
        let large = put(&cache, "large");
        assert!(matches!(large, Got::Once(_)), "\"one\" is in use, so there is no room");
        assert_eq!((text(&large), text(&large)), ("large".into(), "large".into()));
        let four = put(&cache, "4444");
        assert!(matches!(four, Got::Once(_)));
        let red = put(&cache, "red");
        assert!(cache.take(Digest::of_bytes(b"two")).is_none(), "the longest unused goes");
        assert_eq!((text(&one), text(&red)), ("one".into(), "red".into()));
        assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
    }
}
