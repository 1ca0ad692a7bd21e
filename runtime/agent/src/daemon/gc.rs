//! Sandboxes of the past: kept for a week, or for less when the disk is nearly full.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use api::marathon::Uuid;

use super::disk::{KEEP_PAST, PastEntry};
use super::paths::Meta;
use super::roots::{remove_scratch, scratch};

/// How long a sandbox is kept on an empty disk.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);
/// This part of the disk is to stay free.
const HEADROOM: f64 = 0.1;
/// How often sandboxes are looked at.
pub(super) const EVERY: Duration = Duration::from_secs(3600);

/// How old a sandbox may grow when this part of the disk is used, as Mesos has it.
#[must_use]
pub fn keep_for(disk_used: f64) -> Duration {
    KEEP.mul_f64((1.0 - HEADROOM - disk_used).clamp(0.0, 1.0))
}

/// How old what tasks left may grow on this directory's disk.
pub(super) fn keep_on(dir: &Path) -> Duration {
    keep_for(disk_used(dir))
}

/// Removes what is too old, and says whose names are forgotten.
pub(super) fn collect(meta: &Meta, work_dir: &Path) -> BTreeSet<Uuid> {
    let keep = keep_on(work_dir);
    let root = work_dir.join("slaves");
    let mut forgotten = BTreeSet::new();
    for PastEntry { container, directory, age, .. } in meta.read_past() {
        if age >= keep && directory.starts_with(&root) && directory.exists() {
            match remove_sandbox(&directory, &root) {
                Ok(()) => tracing::debug!("removed the sandbox {}", directory.display()),
                Err(e) => tracing::warn!("cannot remove the sandbox {}: {e}", directory.display()),
            }
        }
        if age >= KEEP_PAST && !directory.exists() && meta.forget(container).is_ok() {
            forgotten.insert(container);
        }
    }
    forgotten
}

/// `remove_dir_all` follows no link. Directories above that are empty then go too.
fn remove_sandbox(sandbox: &Path, root: &Path) -> std::io::Result<()> {
    remove_scratch(&scratch(sandbox))?;
    fs::remove_dir_all(sandbox)?;
    let Some(runs) = sandbox.parent() else { return Ok(()) };
    if !runs.join("latest").exists() {
        let _ = fs::remove_file(runs.join("latest"));
    }
    let mut dir = Some(runs);
    while let Some(empty) = dir.filter(|dir| *dir != root && dir.starts_with(root)) {
        if fs::remove_dir(empty).is_err() {
            break;
        }
        dir = empty.parent();
    }
    Ok(())
}

fn disk_used(path: &Path) -> f64 {
    match rustix::fs::statvfs(path) {
        #[expect(clippy::cast_precision_loss, reason = "a fraction of a disk needs no more")]
        Ok(disk) if disk.f_blocks > 0 => 1.0 - disk.f_bavail as f64 / disk.f_blocks as f64,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuller_the_disk_the_sooner_they_go() {
        let days = |used| keep_for(used).as_secs_f64() / 86_400.0;
        for (used, expected) in [(0.0, 6.3), (0.4, 3.5), (0.9, 0.0), (1.0, 0.0)] {
            assert!((days(used) - expected).abs() < 1e-6, "{used}: {}", days(used));
        }
    }

    #[test]
    fn a_link_in_a_sandbox_goes_and_what_it_leads_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (root, data) = (dir.path().join("slaves"), dir.path().join("data"));
        let sandbox = root.join("A/frameworks/F/executors/t/runs/1");
        for made in [&sandbox.join("deep"), &data] {
            fs::create_dir_all(made).unwrap();
        }
        fs::write(data.join("kept"), "x").unwrap();
        for link in ["volume", "deep/volume"] {
            std::os::unix::fs::symlink(&data, sandbox.join(link)).unwrap();
        }
        remove_sandbox(&sandbox, &root).unwrap();
        assert!(!sandbox.exists());
        assert_eq!(fs::read_to_string(data.join("kept")).unwrap(), "x");
    }

    #[test]
    fn a_sandbox_goes_with_the_empty_directories_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("slaves");
        let runs = root.join("A/frameworks/F/executors/t/runs");
        let [old, new] = ["1", "2"].map(|name| runs.join(name));
        for sandbox in [&old, &new] {
            fs::create_dir_all(sandbox).unwrap();
            fs::write(sandbox.join("stdout"), "x").unwrap();
        }
        std::os::unix::fs::symlink("2", runs.join("latest")).unwrap();
        remove_sandbox(&old, &root).unwrap();
        assert!(new.exists() && runs.join("latest").exists() && !old.exists());
        remove_sandbox(&new, &root).unwrap();
        assert!(root.exists() && !root.join("A").exists());
    }
}
