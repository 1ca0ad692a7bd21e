//! What was obtained before, on the operator's disk.
//!
//! ```text
//! sha256/<hex>    whole files, synced before they get this name
//! index.json      which source came to which sum, and what the file was called
//! locks/          one per source, held while it is obtained; never removed
//! tmp/            what is under way; what was left there goes after a week
//! ```
//!
//! Several processes may use it. Its functions block, but for `lock`.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::Fault;
use crate::sums;

/// What nobody went on with for so long is not gone on with.
const LEFT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Between looks at a lock that another process holds.
const LOOK: Duration = Duration::from_millis(100);

/// What a source came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) sha256: String,
    /// What the file was called there.
    pub(crate) file: String,
}

/// A file of the cache that has the sum it is named by.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) path: PathBuf,
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
    /// What it was called where it came from.
    pub(crate) file: String,
    /// It was there before.
    pub(crate) cached: bool,
}

/// Held while one source is obtained.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
}

impl Cache {
    pub(crate) fn open(dir: &Path) -> Result<Self, Fault> {
        for dir in ["sha256", "locks", "tmp"].map(|name| dir.join(name)) {
            DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(Fault::io("make", &dir))?;
        }
        let cache = Self { dir: dir.to_owned() };
        sweep(&cache.tmp(), SystemTime::now());
        Ok(cache)
    }

    /// Where what is under way lies.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    pub(crate) fn path(&self, sha256: &str) -> PathBuf {
        self.dir.join("sha256").join(sha256)
    }

    /// A directory for one piece of work, removed with the value.
    pub(crate) fn work(&self) -> Result<tempfile::TempDir, Fault> {
        tempfile::tempdir_in(self.tmp()).map_err(Fault::io("make a directory in", self.tmp()))
    }

    /// A file for one piece of work, removed unless it is kept.
    pub(crate) fn temporary(&self) -> Result<tempfile::NamedTempFile, Fault> {
        tempfile::NamedTempFile::new_in(self.tmp()).map_err(Fault::io("make a file in", self.tmp()))
    }

    /// Waits until no other process obtains the same; `wait` is told that there is something to wait for.
    pub(crate) async fn lock(&self, key: &str, wait: impl Fn()) -> Result<Lock, Fault> {
        let path = self.dir.join("locks").join(key);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Fault::io("open", &path))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(fs::TryLockError::WouldBlock) => {}
                Err(fs::TryLockError::Error(error)) => return Err(Fault::io("lock", &path)(error)),
            }
            if !told {
                wait();
                told = true;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What has this sum, read again to see that it still has; `told` hears how much was read of how much. A damaged file is
    /// dropped.
    pub(crate) fn take(&self, sha256: &str, told: impl Fn(u64, u64)) -> Option<(PathBuf, u64)> {
        let path = self.path(sha256);
        let file = File::open(&path).ok()?;
        let total = file.metadata().map_or(0, |meta| meta.len());
        let mut done = 0;
        let read = sums::sha256_of(Told {
            inner: file,
            each: |n| {
                done += n;
                told(done, total);
            },
        });
        match read {
            Ok((found, bytes)) if found == sha256 => Some((path, bytes)),
            _ => {
                tracing::warn!(file = %path.display(), "dropping a damaged file from the cache of artifacts");
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Keeps a file that has this sum; it goes from where it is.
    pub(crate) fn keep(&self, file: &Path, sha256: &str) -> Result<PathBuf, Fault> {
        let path = self.path(sha256);
        File::open(file).and_then(|open| open.sync_all()).map_err(Fault::io("sync", file))?;
        fs::rename(file, &path).map_err(Fault::io("rename", file))?;
        let dir = self.dir.join("sha256");
        File::open(&dir).and_then(|dir| dir.sync_all()).map_err(Fault::io("sync", &dir))?;
        Ok(path)
    }

    fn index(&self) -> BTreeMap<String, Known> {
        // It only saves work: one that cannot be read is written anew.
        let text = fs::read(self.dir.join("index.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// What a source came to.
    pub(crate) fn known(&self, key: &str) -> Option<Known> {
        self.index().remove(key).filter(|known| sums::is_hex(&known.sha256, 64))
    }

    /// Remembers what a source came to.
    pub(crate) fn learn(&self, keys: &[String], known: &Known) -> Result<(), Fault> {
        let path = self.dir.join("index.json");
        let write = || -> io::Result<()> {
            let lock = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(self.dir.join("locks").join("index"))?;
            lock.lock()?;
            let mut index = self.index();
            for key in keys {
                index.insert(key.clone(), known.clone());
            }
            let mut file = tempfile::NamedTempFile::new_in(self.tmp())?;
            file.write_all(&serde_json::to_vec_pretty(&index)?)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(Fault::io("write", &path))
    }
}

/// Tells how much was read.
struct Told<R, F> {
    inner: R,
    each: F,
}

impl<R: io::Read, F: FnMut(u64)> io::Read for Told<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        (self.each)(n as u64);
        Ok(n)
    }
}

/// Removes what was left long ago.
fn sweep(tmp: &Path, now: SystemTime) {
    let Ok(entries) = fs::read_dir(tmp) else { return };
    for entry in entries.flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        let is_old = meta.modified().is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > LEFT));
        if is_old {
            // The next one tries again.
            let _ =
                if meta.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn hello(cache: &Cache) -> PathBuf {
        let file = cache.tmp().join("x");
        fs::write(&file, "hello").unwrap();
        cache.keep(&file, HELLO).unwrap()
    }

    #[test]
    fn what_is_damaged_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        assert!(cache.take(HELLO, |_, _| {}).is_none());
        let path = hello(&cache);
        assert_eq!(cache.take(HELLO, |_, _| {}), Some((path.clone(), 5)));
        for damage in ["", "hellp", "hello "] {
            hello(&cache);
            fs::write(&path, damage).unwrap();
            assert!(cache.take(HELLO, |_, _| {}).is_none() && !path.exists(), "{damage:?}");
        }
    }

    #[test]
    fn the_index_survives_and_one_that_is_damaged_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let known = Known { sha256: HELLO.into(), file: "x".into() };
        cache.learn(&["a".into(), "b".into()], &known).unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        assert_eq!(
            (cache.known("a"), cache.known("b"), cache.known("c")),
            (Some(known.clone()), Some(known.clone()), None)
        );
        fs::write(dir.path().join("index.json"), "{").unwrap();
        assert_eq!(cache.known("a"), None);
        cache.learn(&["a".into()], &Known { sha256: "../../etc/passwd".into(), file: "x".into() }).unwrap();
        assert_eq!(cache.known("a"), None, "no sum leads out of the cache");
    }

    #[test]
    fn what_was_left_goes_after_a_week() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        fs::write(cache.tmp().join("a.part"), "x").unwrap();
        fs::create_dir(cache.tmp().join("d")).unwrap();
        sweep(&cache.tmp(), SystemTime::now());
        assert_eq!(fs::read_dir(cache.tmp()).unwrap().count(), 2);
        sweep(&cache.tmp(), SystemTime::now() + LEFT + LOOK);
        assert_eq!(fs::read_dir(cache.tmp()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn one_at_a_time_obtains_a_source() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let held = cache.lock("a", || panic!("it is free")).await.unwrap();
        let other = cache.lock("b", || panic!("it is free")).await.unwrap();
        let (tell, told) = tokio::sync::oneshot::channel();
        let tell = std::sync::Mutex::new(Some(tell));
        let again = cache.lock("a", || {
            if let Some(tell) = tell.lock().unwrap().take() {
                tell.send(()).unwrap();
            }
        });
        let release = async {
            told.await.unwrap();
            drop(held);
        };
        let (again, ()) = tokio::join!(again, release);
        assert!(again.is_ok());
        drop(other);
    }
}
