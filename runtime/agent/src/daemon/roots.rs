//! Root file systems of tasks: unpacked once, kept by their sums, and removed when nobody has used them for a while.
//!
//! ```text
//! roots/sha256/<hex>   whole images, synced before they get this name; root's own, closed to all others
//! roots/tmp/           what is being unpacked or removed; emptied at start
//! ```
//!
//! A task writes to a directory of its own over the image ([`scratch`]), which goes when the task has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;

use super::fetching::Fetcher;
use crate::fetch::artifact_sum;
use crate::spec::RootFs;

/// The label that names a task's root file system.
pub(super) const LABEL: &str = "CLUSTERCTL_ROOTFS";
/// A task may be about to use what was asked for so recently.
const LEAST: Duration = Duration::from_secs(3600);

/// The address of a task's root file system, when it has one.
pub(super) fn address(labels: &BTreeMap<String, String>) -> Option<&str> {
    labels.get(LABEL).map(String::as_str).filter(|address| !address.is_empty())
}

/// What a task writes beside its sandbox.
pub(super) fn scratch(sandbox: &Path) -> PathBuf {
    let mut name: OsString = sandbox.file_name().unwrap_or_default().to_owned();
    name.push(".root");
    sandbox.with_file_name(name)
}

/// The images of one agent. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Roots {
    dir: PathBuf,
    next: Arc<AtomicU64>,
    /// One is unpacked or removed at a time.
    busy: Arc<Mutex<()>>,
}

fn failed(action: &str, path: &Path) -> impl Fn(io::Error) -> String {
    let text = format!("cannot {action} {}", path.display());
    move |e| format!("{text}: {e}")
}

impl Roots {
    pub(super) fn of(work_dir: &Path) -> Self {
        Self { dir: work_dir.join("roots"), next: Arc::default(), busy: Arc::default() }
    }

    fn images(&self) -> PathBuf {
        self.dir.join("sha256")
    }

    /// Where the image of an address is, once it is there.
    pub(super) fn image(&self, address: &str) -> Result<PathBuf, String> {
        let sum = artifact_sum(address).map_err(|why| {
            format!("the label {LABEL} is {address:?}, which names no root file system: {why}")
        })?;
        Ok(self.images().join(sum.to_string()))
    }

    /// What the shim of a task with this sandbox is told.
    pub(super) fn of_task(&self, address: &str, sandbox: &Path) -> Result<RootFs, String> {
        Ok(RootFs { image: self.image(address)?, scratch: scratch(sandbox) })
    }

    /// Has the image unpacked, unless it is there.
    pub(super) async fn ensure<F: Fetcher>(&self, fetcher: &F, address: &str) -> Result<PathBuf, String> {
        let image = self.image(address)?;
        let _busy = self.busy.lock().await;
        if self.touch(&image) {
            return Ok(image);
        }
        let draft = self.draft()?;
        if let Err(e) = fetcher.unpack_root(address, &draft).await {
            self.discard(draft);
            return Err(e.to_string());
        }
        let at = image.clone();
        let published = tokio::task::spawn_blocking(move || publish(&draft, &at)).await;
        published.map_err(|e| e.to_string())?.map_err(failed("keep the root file system in", &image))?;
        Ok(image)
    }

    /// Notes that it is in use; false when it is not there.
    fn touch(&self, image: &Path) -> bool {
        File::open(image).and_then(|dir| dir.set_modified(SystemTime::now())).is_ok()
    }

    fn draft(&self) -> Result<PathBuf, String> {
        let tmp = self.dir.join("tmp");
        for dir in [&self.dir, &tmp, &self.images()] {
            DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("make", dir))?;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let draft = tmp.join(format!("{}-{number}", std::process::id()));
        make_dir(&draft, 0o755)?;
        Ok(draft)
    }

    /// Removes what nobody waits for.
    fn discard(&self, dir: PathBuf) {
        tokio::task::spawn_blocking(move || fs::remove_dir_all(dir));
    }

    /// Removes what an agent that was killed left half done.
    pub(super) fn clean(&self) {
        let tmp = self.dir.join("tmp");
        match fs::remove_dir_all(&tmp) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("half of a root file system is left in {}: {e}", tmp.display());
            }
            _ => {}
        }
    }

    /// Removes images that no task has (`live` are their addresses), and that none has asked for in so long.
    pub(super) async fn sweep(&self, live: &BTreeSet<String>, keep: Duration) {
        let live: BTreeSet<PathBuf> = live.iter().filter_map(|address| self.image(address).ok()).collect();
        let _busy = self.busy.lock().await;
        let (images, tmp, next) = (self.images(), self.dir.join("tmp"), self.next.clone());
        let swept = tokio::task::spawn_blocking(move || {
            for image in unused(&images, &live, keep.max(LEAST), SystemTime::now()) {
                let gone = tmp.join(format!("gone-{}", next.fetch_add(1, Ordering::Relaxed)));
                // Out of sight first: half an image must not be taken for one.
                match fs::rename(&image, &gone).and_then(|()| fs::remove_dir_all(&gone)) {
                    Ok(()) => tracing::debug!("removed the root file system {}", image.display()),
                    Err(e) => tracing::warn!("cannot remove the root file system {}: {e}", image.display()),
                }
            }
        });
        let _ = swept.await;
    }
}

fn unused(images: &Path, live: &BTreeSet<PathBuf>, keep: Duration, now: SystemTime) -> Vec<PathBuf> {
    let entries = fs::read_dir(images).into_iter().flatten().flatten();
    let old = |entry: &fs::DirEntry| {
        let used = entry.metadata().and_then(|meta| meta.modified()).ok();
        used.and_then(|used| now.duration_since(used).ok()).is_some_and(|age| age >= keep)
    };
    entries.filter(old).map(|entry| entry.path()).filter(|image| !live.contains(image)).collect()
}

/// Lets an image show, when all of it is on the disk.
fn publish(draft: &Path, image: &Path) -> io::Result<()> {
    let dir = File::open(draft)?;
    rustix::fs::syncfs(&dir)?;
    dir.set_modified(SystemTime::now())?;
    fs::rename(draft, image)?;
    image.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// Makes what a task is to write to; anew, should there be something.
pub(super) fn make_scratch(scratch: &Path) -> Result<(), String> {
    remove_scratch(scratch).map_err(failed("empty", scratch))?;
    make_dir(scratch, 0o700)?;
    // The task's `/` has the mode of the uppermost.
    for (name, mode) in [("upper", 0o755), ("work", 0o700), ("merged", 0o755)] {
        make_dir(&scratch.join(name), mode)?;
    }
    Ok(())
}

/// Of this very mode, whatever is masked.
fn make_dir(dir: &Path, mode: u32) -> Result<(), String> {
    fs::create_dir(dir)
        .and_then(|()| fs::set_permissions(dir, Permissions::from_mode(mode)))
        .map_err(failed("make", dir))
}

/// Removes what a task wrote; it may never have been.
pub(super) fn remove_scratch(scratch: &Path) -> io::Result<()> {
    match fs::remove_dir_all(scratch) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_by_their_sums_alone() {
        let roots = Roots::of(Path::new("/w"));
        let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let image = roots.image(&format!("artifact://sha256/{}", sum.to_uppercase())).unwrap();
        assert_eq!(image, Path::new("/w/roots/sha256").join(sum));
        for address in ["artifact://sha256/12", "https://h/x", "/opt/x", "x", "artifact://sha256/../../etc"] {
            let why = roots.image(address).unwrap_err();
            assert!(why.contains(LABEL) && why.contains(address), "{why}");
        }
        assert_eq!(scratch(Path::new("/w/runs/1")), Path::new("/w/runs/1.root"));
        assert_eq!(address(&BTreeMap::from([(LABEL.to_owned(), String::new())])), None);
    }

    #[test]
    fn what_is_used_stays_and_what_was_not_for_long_goes() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["old", "used", "new"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let now = SystemTime::now() + Duration::from_secs(100);
        File::open(dir.path().join("new")).unwrap().set_modified(now).unwrap();
        let live = BTreeSet::from([dir.path().join("used")]);
        let keep = Duration::from_secs(50);
        assert_eq!(unused(dir.path(), &live, keep, now), [dir.path().join("old")]);
        assert!(unused(dir.path(), &live, Duration::from_secs(500), now).is_empty());
        assert!(unused(&dir.path().join("none"), &live, keep, now).is_empty());
    }

    #[test]
    fn a_scratch_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = dir.path().join("s");
        make_scratch(&scratch).unwrap();
        fs::write(scratch.join("upper/left"), "x").unwrap();
        make_scratch(&scratch).unwrap();
        assert_eq!(fs::read_dir(scratch.join("upper")).unwrap().count(), 0);
        remove_scratch(&scratch).unwrap();
        remove_scratch(&scratch).unwrap();
        assert!(!scratch.exists());
    }
}
