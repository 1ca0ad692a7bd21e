//! Control groups of the hosts: a group of its own for each, in every hierarchy that a systemd needs.
//!
//! On a machine with v1 or hybrid groups a container sees only the hierarchies its first process was
//! placed in, so a host gets a group in each of them. Groups that were not made here are left alone, but for
//! one thing on a machine with v2 groups: where its root does not hand a controller on yet, it is told to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// v1 hierarchies that a host takes part in: what limits need, what pausing needs, and systemd's own.
const V1_NAMES: [&str; 6] = ["cpu", "cpuacct", "memory", "pids", "freezer", "name=systemd"];
/// v2 controllers that a host may hand on to its services.
const V2_CONTROLLERS: [&str; 4] = ["cpu", "memory", "pids", "io"];
/// How long killed processes may take to leave their group: the kernel frees their memory first.
const KILL_LIMIT: Duration = Duration::from_secs(20);
const KILL_RETRY: Duration = Duration::from_millis(10);

/// A mounted control group hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    mount: PathBuf,
    version: Version,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Version {
    /// With the controllers mounted there.
    V1(Vec<String>),
    V2,
}

impl Hierarchy {
    fn has(&self, controller: &str) -> bool {
        matches!(&self.version, Version::V1(names) if names.iter().any(|n| n == controller))
    }
}

/// The hierarchies of this machine that hosts take part in.
///
/// # Errors
/// When the mount table cannot be read or holds none.
pub(crate) fn hierarchies() -> Result<Vec<Hierarchy>> {
    let path = "/proc/self/mountinfo";
    let found = parse_mountinfo(&fs::read_to_string(path).map_err(Error::io("read", path))?);
    if found.is_empty() {
        let text = "  control groups: this process sees no whole hierarchy; in a container they must be the machine's own";
        return Err(Error::Missing(text.into()));
    }
    Ok(found)
}

/// Reads `/proc/self/mountinfo` (proc(5)): fields before ` - ` are positional, after it come the type,
/// the source and the super block's options, which name a v1 hierarchy's controllers.
fn parse_mountinfo(text: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in text.lines() {
        let Some((place, what)) = line.split_once(" - ") else { continue };
        let place: Vec<&str> = place.split(' ').collect();
        let what: Vec<&str> = what.split(' ').collect();
        let (Some(root), Some(mount), Some(kind)) = (place.get(3), place.get(4), what.first()) else {
            continue;
        };
        if *root != "/" {
            continue;
        }
        let version = match *kind {
            "cgroup2" => Version::V2,
            "cgroup" => {
                let options = what.get(2).copied().unwrap_or_default().split(',');
                let names: Vec<String> =
                    options.filter(|name| V1_NAMES.contains(name)).map(str::to_owned).collect();
                if names.is_empty() {
                    continue;
                }
                Version::V1(names)
            }
            _ => continue,
        };
        if !found.iter().any(|h| h.version == version) {
            found.push(Hierarchy { mount: PathBuf::from(mount), version });
        }
    }
    found
}

/// One group, by the same relative path in every hierarchy.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    path: String,
    hierarchies: Vec<Hierarchy>,
}

impl Group {
    pub(crate) fn new(path: String, hierarchies: Vec<Hierarchy>) -> Self {
        Self { path, hierarchies }
    }

    /// The group's directories, one in each hierarchy.
    pub(crate) fn dirs(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.hierarchies.iter().map(|h| h.mount.join(&self.path))
    }

    /// Makes the group with `children`, which get its controllers (v2); itself it will hold no process.
    ///
    /// # Errors
    /// When a directory or setting cannot be written.
    pub(crate) fn create(&self, children: &[&str]) -> Result<()> {
        for hierarchy in &self.hierarchies {
            let dir = hierarchy.mount.join(&self.path);
            make_group(&dir)?;
            if hierarchy.version == Version::V2 {
                hand_on_controllers(&hierarchy.mount, Path::new(&self.path))?;
            }
            for child in children {
                let dir = dir.join(child);
                fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
            }
        }
        Ok(())
    }

    /// The processes in the group and below, seen from this machine.
    pub(crate) fn pids(&self) -> Vec<i32> {
        // A process is in the same group of every hierarchy unless it was moved within its host; the
        // groups of one hierarchy thus hold them all.
        let mut pids = Vec::new();
        if let Some(dir) = self.dirs().next() {
            collect_pids(&dir, &mut pids);
        }
        pids
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pids().is_empty()
    }

    /// Kills every process in the group and waits until they are gone.
    ///
    /// # Errors
    /// When processes are left at the end of the time limit; they are named.
    pub(crate) fn kill(&self) -> Result<()> {
        let deadline = Instant::now() + KILL_LIMIT;
        loop {
            // The v2 hierarchy, in a hybrid machine too, kills a whole tree at once (Linux 5.14).
            for hierarchy in self.hierarchies.iter().filter(|h| h.version == Version::V2) {
                let _ = fs::write(hierarchy.mount.join(&self.path).join("cgroup.kill"), "1");
            }
            let pids = self.pids();
            if pids.is_empty() {
                return Ok(());
            }
            for pid in &pids {
                self.kill_member(*pid);
            }
            // A frozen process (v1) takes the signal only when it is thawed, where it was frozen.
            for hierarchy in self.hierarchies.iter().filter(|h| h.has("freezer")) {
                thaw_all(&hierarchy.mount.join(&self.path));
            }
            if Instant::now() > deadline {
                return Err(Error::Timeout {
                    what: format!("the end of {} processes in {}", pids.len(), self.path),
                    limit: KILL_LIMIT,
                    detail: format!("\nleft: {pids:?}"),
                });
            }
            std::thread::sleep(KILL_RETRY);
        }
    }

    /// Kills a process if it is a member; a process that took over the number of one that ended is not.
    fn kill_member(&self, pid: i32) {
        use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

        let Some(raw) = Pid::from_raw(pid) else { return };
        let Ok(fd) = pidfd_open(raw, PidfdFlags::empty()) else { return };
        let Ok(groups) = fs::read_to_string(format!("/proc/{pid}/cgroup")) else { return };
        let inside = format!("/{}", self.path);
        if groups.lines().any(|line| line.splitn(3, ':').nth(2).is_some_and(|g| below(g, &inside))) {
            let _ = pidfd_send_signal(fd, Signal::KILL);
        }
    }

    /// Stops all processes where they stand, or lets them go on.
    ///
    /// # Errors
    /// When no hierarchy can freeze, or the state cannot be written.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<()> {
        let (file, text) = if let Some(v1) = self.hierarchies.iter().find(|h| h.has("freezer")) {
            (v1.mount.join(&self.path).join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" })
        } else if let Some(v2) = self.hierarchies.iter().find(|h| h.version == Version::V2) {
            (v2.mount.join(&self.path).join("cgroup.freeze"), if frozen { "1" } else { "0" })
        } else {
            return Err(Error::Missing(
                "  a freezer: neither the v1 controller nor control groups v2\n".into(),
            ));
        };
        let deadline = Instant::now() + KILL_LIMIT;
        loop {
            // v1 tries again with each write; v2 goes on by itself.
            fs::write(&file, text).map_err(Error::io("write", &file))?;
            if self.is_frozen() == frozen {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::Timeout {
                    what: format!("freezing or thawing of {}", self.path),
                    limit: KILL_LIMIT,
                    detail: String::new(),
                });
            }
            std::thread::sleep(KILL_RETRY);
        }
    }

    /// Whether the group is frozen as a whole.
    pub(crate) fn is_frozen(&self) -> bool {
        self.hierarchies.iter().any(|h| {
            let dir = h.mount.join(&self.path);
            let says = |file: &str, text: &str| {
                fs::read_to_string(dir.join(file)).is_ok_and(|state| state.trim() == text)
            };
            says("freezer.state", "FROZEN") || frozen_by_v2(&dir)
        })
    }

    /// Bytes of memory that the group holds and cannot give back: anonymous, shared and kernel memory.
    /// The page cache is left out. Nothing when the group is gone or memory is not counted.
    pub(crate) fn memory(&self) -> Option<u64> {
        if let Some(v1) = self.hierarchies.iter().find(|h| h.has("memory")) {
            let dir = v1.mount.join(&self.path);
            let stat = fs::read_to_string(dir.join("memory.stat")).ok()?;
            let kernel = fs::read_to_string(dir.join("memory.kmem.usage_in_bytes"))
                .ok()
                .and_then(|text| text.trim().parse::<u64>().ok())
                .unwrap_or(0);
            return Some(sum_of(&stat, &["total_rss", "total_shmem"]) + kernel);
        }
        let v2 = self.hierarchies.iter().find(|h| h.version == Version::V2)?;
        let stat = fs::read_to_string(v2.mount.join(&self.path).join("memory.stat")).ok()?;
        Some(sum_of(&stat, &["anon", "shmem", "kernel"]))
    }

    /// Removes the group with all below it; it must hold no process.
    ///
    /// # Errors
    /// When a group stays busy.
    pub(crate) fn remove(&self) -> Result<()> {
        for dir in self.dirs() {
            let deadline = Instant::now() + KILL_LIMIT;
            loop {
                match remove_groups(&dir) {
                    Ok(()) => break,
                    // Processes that have just ended hold their group for a moment.
                    Err(e) if e.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                        std::thread::sleep(KILL_RETRY);
                    }
                    Err(e) => return Err(Error::Io { action: "remove", path: dir, source: e }),
                }
            }
        }
        Ok(())
    }

    /// Removes the group if nothing is in it any more.
    pub(crate) fn remove_if_empty(&self) {
        for dir in self.dirs() {
            let _ = fs::remove_dir(dir);
        }
    }
}

/// Whether group `path` is `parent` or below it.
fn below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn sum_of(stat: &str, keys: &[&str]) -> u64 {
    stat.lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(key, _)| keys.contains(key))
        .filter_map(|(_, value)| value.trim().parse::<u64>().ok())
        .sum()
}

/// v2: a group's children have a controller when the group and all above it list it in
/// `cgroup.subtree_control` (Documentation/admin-guide/cgroup-v2.rst).
fn hand_on_controllers(mount: &Path, path: &Path) -> Result<()> {
    let mut dir = mount.to_owned();
    let mut parts = path.iter();
    loop {
        let file = dir.join("cgroup.controllers");
        let there = fs::read_to_string(&file).map_err(Error::io("read", &file))?;
        let control = dir.join("cgroup.subtree_control");
        let on = fs::read_to_string(&control).map_err(Error::io("read", &control))?;
        let missing: Vec<String> = V2_CONTROLLERS
            .iter()
            .filter(|name| there.split_whitespace().any(|c| c == **name))
            .filter(|name| !on.split_whitespace().any(|c| c == **name))
            .map(|name| format!("+{name}"))
            .collect();
        if !missing.is_empty() {
            fs::write(&control, missing.join(" ")).map_err(Error::io("write", control))?;
        }
        match parts.next() {
            Some(part) => dir.push(part),
            None => return Ok(()),
        }
    }
}

fn make_group(dir: &Path) -> Result<()> {
    // The group above, shared by all testbeds, may just be going with the last of them.
    let mut made = fs::create_dir_all(dir);
    for _ in 0..10 {
        if !made.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
            break;
        }
        made = fs::create_dir_all(dir);
    }
    made.map_err(Error::io("create", dir))
}

fn frozen_by_v2(dir: &Path) -> bool {
    fs::read_to_string(dir.join("cgroup.events"))
        .is_ok_and(|events| events.lines().any(|line| line == "frozen 1"))
}

fn thaw_all(dir: &Path) {
    let _ = fs::write(dir.join("freezer.state"), "THAWED");
    for child in subdirectories(dir) {
        thaw_all(&child);
    }
}

fn subdirectories(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path())
}

fn collect_pids(dir: &Path, pids: &mut Vec<i32>) {
    if let Ok(text) = fs::read_to_string(dir.join("cgroup.procs")) {
        // 0 stands for a process that cannot be seen from here.
        pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    }
    for child in subdirectories(dir) {
        collect_pids(&child, pids);
    }
}

fn remove_groups(dir: &Path) -> io::Result<()> {
    for child in subdirectories(dir) {
        remove_groups(&child)?;
    }
    match fs::remove_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
24 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 24 0:26 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio
34 30 0:30 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
35 30 0:31 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
36 24 0:28 /inner /somewhere/memory rw,relatime - cgroup cgroup rw,memory
";

    fn mounts(text: &str) -> Vec<String> {
        parse_mountinfo(text).iter().map(|h| h.mount.display().to_string()).collect()
    }

    #[test]
    fn hierarchies_a_host_needs_are_found_once() {
        assert_eq!(
            mounts(HYBRID),
            [
                "/sys/fs/cgroup/cpu,cpuacct",
                "/sys/fs/cgroup/memory",
                "/sys/fs/cgroup/systemd",
                "/sys/fs/cgroup/unified"
            ]
        );
        assert_eq!(
            mounts("26 24 0:24 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"),
            ["/sys/fs/cgroup"]
        );
        assert_eq!(mounts("garbage\n\n1 2 - \n"), Vec::<String>::new());
    }

    #[test]
    fn controllers_of_a_shared_mount_are_all_known() {
        let found = parse_mountinfo(HYBRID);
        assert!(found[0].has("cpu") && found[0].has("cpuacct") && !found[0].has("memory"));
        assert!(!found[3].has("memory"), "v2 lists its controllers elsewhere");
    }

    #[test]
    fn a_neighbour_with_a_longer_name_is_not_inside() {
        for (path, expected) in
            [("/a/b", true), ("/a/b/c", true), ("/a/bc", false), ("/a", false), ("/x/a/b", false)]
        {
            assert_eq!(below(path, "/a/b"), expected, "{path}");
        }
    }

    #[test]
    fn sums_name_only_what_was_asked_for() {
        assert_eq!(sum_of("anon 10\nfile 5\nshmem 2\nkernel x\n", &["anon", "shmem", "kernel"]), 12);
    }
}
