//! Taking testbeds away: whole ones, and what is left of those whose process was killed.
//!
//! Everything is found by the testbed's number, not by its state, so a run may have died at any point.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cgroup::{self, Group};
use crate::command::run;
use crate::error::{Error, Result};
use crate::layout::{CGROUP_ROOT, Layout};
use crate::net;
use crate::state::{Home, Registry, State, boot_id, give_number_back, machine_lock, numbers};

/// How long processes may still come to life in a group that is being removed.
const REMOVE_LIMIT: Duration = Duration::from_secs(20);

/// Ends a testbed's processes and removes its control groups, network, loop devices and files. May be
/// repeated after any fault; the directory, by which it is found again, goes last.
///
/// # Errors
/// The first fault; the later parts are tried all the same, but for the directory.
pub(crate) fn teardown(home: &Home) -> Result<()> {
    let Some(index) = home.index() else {
        return Err(Error::Usage(format!("{} is no testbed's directory", home.dir().display())));
    };
    // Without its number it ended before it took one, or the machine has been started anew since.
    if home.holds_its_number() {
        remove_all_of(Layout::new(index), home.dir())?;
        give_number_back(index)?;
    }
    home.remove()
}

/// Ends and removes all that is named by a number, but for the directory.
fn remove_all_of(layout: Layout, dir: &Path) -> Result<()> {
    let hierarchies = cgroup::hierarchies()?;
    let ended = end(&Group::new(layout.cgroup(), hierarchies.clone()));
    Group::new(CGROUP_ROOT.to_owned(), hierarchies).remove_if_empty();
    let network = net::remove(layout);
    let disks = detach_loop_devices(dir);
    ended.and(network).and(disks)
}

/// Kills and removes a group. A host that was just being started may enter it in between: then once more.
fn end(group: &Group) -> Result<()> {
    let deadline = Instant::now() + REMOVE_LIMIT;
    loop {
        group.kill()?;
        match group.remove() {
            Err(error) if group.is_empty() || Instant::now() > deadline => return Err(error),
            Err(_) => {}
            Ok(()) => return Ok(()),
        }
    }
}

/// Frees loop devices that a run was about to mount when it died. Those that were mounted have gone with
/// the container.
fn detach_loop_devices(below: &Path) -> Result<()> {
    let entries = fs::read_dir("/sys/block").map_err(Error::io("read", "/sys/block"))?;
    for entry in entries.flatten() {
        let holds_ours = || {
            fs::read_to_string(entry.path().join("loop/backing_file"))
                .is_ok_and(|file| Path::new(file.trim_end()).starts_with(below))
        };
        if holds_ours() {
            let detached =
                run("losetup", &["--detach", &format!("/dev/{}", entry.file_name().to_string_lossy())]);
            // It may have gone by itself with its mount.
            if holds_ours() {
                detached?;
            }
        }
    }
    Ok(())
}

/// Whether nobody will ever take a testbed away. `owned` tells whether a living process holds the owner's
/// lock.
fn is_abandoned(state: &State, boot_id: &str, owned: bool) -> bool {
    // After a reboot there is nothing left of it to be used.
    !owned && (!state.detached || state.boot_id != boot_id)
}

/// Removes every abandoned testbed, and nothing else. Returns the name of each with the outcome; a testbed
/// whose state cannot be read is left alone and returned with that fault.
///
/// # Errors
/// When the testbeds cannot be listed.
pub(crate) fn collect(registry: &Registry) -> Result<Vec<(String, Result<()>)>> {
    let _lock = machine_lock()?;
    let mut collected = Vec::new();
    // A number is taken after its directory was made and given back before that goes: where there is no
    // directory, somebody removed it by hand, and nobody else will find what belonged to it.
    for (index, home) in numbers() {
        if home.dir().try_exists().is_ok_and(|there| !there) {
            let removed =
                remove_all_of(Layout::new(index), home.dir()).and_then(|()| give_number_back(index));
            collected.push((format!("tb{index}"), removed));
        }
    }
    registry.remove_gone()?;
    let boot_id = boot_id()?;
    for home in registry.homes()? {
        let owner = home.try_own()?;
        match home.load() {
            Ok(state) if is_abandoned(&state, &boot_id, owner.is_none()) => {
                collected.push((state.name, teardown(&home)));
            }
            Ok(_) => {}
            Err(_) if owner.is_none() => {}
            Err(error) => collected.push((home.dir().display().to_string(), Err(error))),
        }
    }
    Ok(collected)
}

/// What [`gc`] removed.
#[derive(Debug, Default)]
pub struct Collected {
    /// Testbeds whose process ended without taking them away, each with the fault if it is still there.
    pub testbeds: Vec<(String, Result<()>)>,
    /// Cached root file systems, by key.
    pub rootfs: Vec<String>,
}

/// Removes what killed runs left, and nothing else; with `cache` also root file systems that no testbed uses.
///
/// # Errors
/// When the machine is not fit for testbeds, or their directory cannot be read.
pub fn gc(cache: bool) -> Result<Collected> {
    crate::requirements::check_for_removing()?;
    let registry = Registry::from_env()?;
    let testbeds = collect(&registry)?;
    let mut rootfs = Vec::new();
    if cache {
        let mut in_use = Vec::new();
        // A state that cannot be read may use any of them; one that has just gone uses none.
        for (_, home) in numbers().into_iter().filter(|(_, home)| home.dir().exists()) {
            in_use.push(home.load()?.rootfs);
        }
        rootfs = registry.cache().clear(&in_use)?;
    }
    Ok(Collected { testbeds, rootfs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::Release;

    #[test]
    fn only_what_nobody_will_take_away_is_abandoned() {
        let state = |detached, boot: &str| State {
            name: "x".into(),
            index: 1,
            boot_id: boot.into(),
            detached,
            release: Release::Bookworm,
            rootfs: String::new(),
            hosts: Vec::new(),
            rules: Vec::new(),
        };
        for (what, state, owned, expected) in [
            ("its process lives", state(false, "now"), true, false),
            ("its process was killed", state(false, "now"), false, true),
            ("left standing on purpose", state(true, "now"), false, false),
            ("left standing before a reboot", state(true, "before"), false, true),
        ] {
            assert_eq!(is_abandoned(&state, "now", owned), expected, "{what}");
        }
    }
}
