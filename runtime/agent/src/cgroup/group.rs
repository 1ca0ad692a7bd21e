//! One group, by the same path in every hierarchy: made, limited, entered, killed, removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::CgroupError;
use super::kernel::{Kernel, Linux};
use super::layout::{Hierarchy, Kind, Layout};
use super::plan::{Limits, plan};
use super::usage::Usage;
use crate::proc::is_gone;
use crate::process::{Process, wait_any};

/// v2 controllers that tasks need from the groups above them.
const V2_CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
/// How long to wait for one of the killed to end before looking for new ones.
const ROUND: Duration = Duration::from_millis(20);
/// Of how many of the killed the end is waited for at once: each takes a descriptor.
const WAITED: usize = 16;

/// Processes that did not end.
#[derive(Debug, thiserror::Error)]
#[error("processes {pids:?} of group {path} did not end{}", unread.as_ref().map(|e| format!("; it cannot be read: {e}")).unwrap_or_default())]
pub struct KillError {
    /// The group.
    pub path: String,
    /// What is left, perhaps in an uninterruptible system call.
    pub pids: Vec<i32>,
    /// Why it is not known whether these are all.
    pub unread: Option<io::Error>,
}

/// A control group.
#[derive(Clone, Debug)]
pub struct Group<K = Linux> {
    layout: Layout,
    path: String,
    kernel: K,
}

impl Group<Linux> {
    /// Names a group; nothing is made yet.
    ///
    /// # Errors
    /// When the path is empty or could leave its hierarchy.
    pub fn new(layout: Layout, path: &str) -> Result<Self, CgroupError> {
        Self::with_kernel(layout, path, Linux)
    }

    /// Whether a process is in this group or below it, in any hierarchy of the layout; not when that cannot be
    /// read.
    #[must_use]
    pub fn holds(&self, pid: i32) -> bool {
        self.try_holds(pid).unwrap_or(false)
    }

    /// Whether a process is in this group or below it, in any hierarchy of the layout.
    ///
    /// # Errors
    /// When that cannot be read of a process that is there.
    pub fn try_holds(&self, pid: i32) -> io::Result<bool> {
        match fs::read(format!("/proc/{pid}/cgroup")) {
            Ok(bytes) => Ok(self.holds_by(&String::from_utf8_lossy(&bytes))),
            Err(e) if is_gone(&e) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Sends a signal to each process of the group; one that took over a number meanwhile gets none.
    pub fn signal(&self, signal: Signal) {
        self.signal_each(&self.pids(), signal);
    }

    /// Each is held by a pidfd that is opened before its membership is read, one at a time: there may be more
    /// processes than descriptors. Some are kept, to wait for.
    fn signal_each(&self, pids: &[i32], signal: Signal) -> Vec<Process> {
        let mut some = Vec::new();
        for process in pids.iter().filter_map(|pid| Process::open(*pid)) {
            if self.holds(process.pid()) {
                process.signal(signal);
                if some.len() < WAITED {
                    some.push(process);
                }
            }
        }
        some
    }

    /// Kills every process of the group, frozen and stopped ones too, and waits until the group is empty.
    ///
    /// # Errors
    /// When processes are left at the deadline; they are named.
    pub fn kill(&self, limit: Duration) -> Result<(), KillError> {
        let deadline = Instant::now() + limit;
        loop {
            if !self.kill_at_once() {
                // Frozen, none makes new ones faster than they are killed.
                self.freezer("FROZEN");
            }
            let members = self.signal_each(&self.pids(), Signal::KILL);
            self.freezer("THAWED");
            let left = self.try_pids();
            if left.as_ref().is_ok_and(Vec::is_empty) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let path = self.path.clone();
                return Err(match left {
                    Ok(pids) => KillError { path, pids, unread: None },
                    Err(e) => KillError { path, pids: self.pids(), unread: Some(e) },
                });
            }
            wait_any(&members, ROUND);
        }
    }
}

impl<K: Kernel> Group<K> {
    pub(crate) fn with_kernel(layout: Layout, path: &str, kernel: K) -> Result<Self, CgroupError> {
        let path = path.trim_matches('/');
        let plain =
            |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\0', '\n']);
        if !path.split('/').all(plain) {
            return Err(CgroupError::Path(path.to_owned()));
        }
        Ok(Self { layout, path: path.to_owned(), kernel })
    }

    /// The path below each hierarchy's root.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The hierarchies it is in.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn kernel(&self) -> &K {
        &self.kernel
    }

    fn dirs(&self) -> impl Iterator<Item = (&Hierarchy, PathBuf)> {
        self.layout.hierarchies.iter().map(|h| (h, h.mount.join(&self.path)))
    }

    /// Makes the group, and what is missing above it, and sets its limits. One that is there but holds no
    /// process is made anew, so that it counts from nothing.
    ///
    /// # Errors
    /// When the kernel refuses, a limit cannot be enforced here, or something runs in the group.
    pub fn create(&self, limits: &Limits) -> Result<(), CgroupError> {
        let plan = plan(limits, &self.layout, &self.path);
        if !plan.unenforceable.is_empty() {
            return Err(CgroupError::Unenforceable { limits: plan.unenforceable });
        }
        for (hierarchy, dir) in self.dirs() {
            self.make_parents(hierarchy)?;
            match self.kernel.make(&dir) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => self.renew(&dir)?,
                made => made.map_err(CgroupError::io("create", &dir))?,
            }
        }
        for setting in plan.settings {
            match self.kernel.write(&setting.file, &setting.value) {
                Err(e) if setting.optional && e.kind() == io::ErrorKind::NotFound => {}
                written => written.map_err(CgroupError::io("write", setting.file))?,
            }
        }
        Ok(())
    }

    /// Makes the group where it is missing, without limits, for several to share.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn ensure(&self) -> Result<(), CgroupError> {
        for (hierarchy, dir) in self.dirs() {
            self.make_parents(hierarchy)?;
            self.make_if_missing(&dir)?;
        }
        Ok(())
    }

    /// Moves the calling process into the group. It must have one thread only.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn enter(&self) -> Result<(), CgroupError> {
        for (_, dir) in self.dirs() {
            // Zero is the writer, whatever pid namespace it is in.
            let file = dir.join("cgroup.procs");
            self.kernel.write(&file, "0").map_err(CgroupError::io("enter", file))?;
        }
        Ok(())
    }

    /// The processes in the group and below, in any hierarchy, as far as they can be read: that there are none
    /// is known by [`Self::try_pids`] only.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        self.read_pids().0
    }

    /// All processes in the group and below, in any hierarchy.
    ///
    /// # Errors
    /// When one of the groups is there and cannot be read.
    pub fn try_pids(&self) -> io::Result<Vec<i32>> {
        let (pids, failed) = self.read_pids();
        failed.map_or(Ok(pids), Err)
    }

    fn read_pids(&self) -> (Vec<i32>, Option<io::Error>) {
        let (mut pids, mut failed) = (Vec::new(), None);
        for (_, dir) in self.dirs() {
            if let Err(e) = self.collect(&dir, &mut pids) {
                failed = Some(e);
            }
        }
        pids.sort_unstable();
        pids.dedup();
        (pids, failed)
    }

    /// What it uses.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage::read(self)
    }

    /// Removes the group and what is below it. It must hold no process.
    ///
    /// # Errors
    /// When it does.
    pub fn remove(&self) -> Result<(), CgroupError> {
        for (_, dir) in self.dirs() {
            self.remove_tree(&dir).map_err(CgroupError::io("remove", &dir))?;
        }
        Ok(())
    }

    /// Removes the group wherever it holds neither a process nor another group; elsewhere it stays.
    pub fn remove_if_unused(&self) {
        for (_, dir) in self.dirs() {
            let _ = self.kernel.remove(&dir);
        }
    }

    fn make_parents(&self, hierarchy: &Hierarchy) -> Result<(), CgroupError> {
        let mut dir = hierarchy.mount.clone();
        let mut parts = Path::new(&self.path).iter().peekable();
        while let Some(part) = parts.next() {
            if let Kind::V2(there) = &hierarchy.kind {
                self.hand_on(&dir, there.iter().map(String::as_str))?;
            }
            dir.push(part);
            if parts.peek().is_some() {
                self.make_if_missing(&dir)?;
            }
        }
        Ok(())
    }

    /// v2: the children of a group have those controllers that its `cgroup.subtree_control` lists, and a
    /// group that hands on may hold no process itself.
    fn hand_on<'a>(&self, dir: &Path, there: impl Iterator<Item = &'a str>) -> Result<(), CgroupError> {
        let wanted: Vec<&str> = there.filter(|name| V2_CONTROLLERS.contains(name)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let file = dir.join("cgroup.subtree_control");
        let on = self.kernel.read(&file).map_err(CgroupError::io("read", &file))?;
        let missing: Vec<String> = wanted
            .into_iter()
            .filter(|name| !on.split_whitespace().any(|o| o == *name))
            .map(|name| format!("+{name}"))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.kernel.write(&file, &missing.join(" ")).map_err(CgroupError::io("enable controllers in", &file))
    }

    fn make_if_missing(&self, dir: &Path) -> Result<(), CgroupError> {
        match self.kernel.make(dir) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made.map_err(CgroupError::io("create", dir)),
        }
    }

    fn renew(&self, dir: &Path) -> Result<(), CgroupError> {
        let mut pids = Vec::new();
        self.collect(dir, &mut pids).map_err(CgroupError::io("read", dir))?;
        if !pids.is_empty() {
            return Err(CgroupError::Busy { path: self.path.clone(), pids });
        }
        self.remove_tree(dir).map_err(CgroupError::io("remove", dir))?;
        self.kernel.make(dir).map_err(CgroupError::io("create", dir))
    }

    fn remove_tree(&self, dir: &Path) -> io::Result<()> {
        for child in self.children(dir)? {
            self.remove_tree(&child)?;
        }
        match self.kernel.remove(dir) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// Goes on where a group cannot be read, so that what can be found is found, and fails in the end.
    fn collect(&self, dir: &Path, pids: &mut Vec<i32>) -> io::Result<()> {
        let read = match self.kernel.read(&dir.join("cgroup.procs")) {
            Ok(text) => {
                // Zero stands for a process that cannot be seen from here.
                pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
                Ok(())
            }
            Err(e) if no_group(&e) => Ok(()),
            Err(e) => Err(e),
        };
        let below = self.children(dir).and_then(|children| {
            children.iter().map(|child| self.collect(child, pids)).fold(Ok(()), Result::and)
        });
        read.and(below)
    }

    /// The groups directly below; none when this one is gone.
    fn children(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        match self.kernel.children(dir) {
            Err(e) if no_group(&e) => Ok(vec![]),
            children => children,
        }
    }

    /// v2, on a hybrid machine too, kills a whole tree in one write (since Linux 5.14); whether it did.
    fn kill_at_once(&self) -> bool {
        let mut v2 = self.dirs().filter(|(h, _)| h.is_v2());
        v2.any(|(_, dir)| self.kernel.write(&dir.join("cgroup.kill"), "1").is_ok())
    }

    /// Freezes by v1, or thaws all that was frozen where it was: a frozen process takes its signal only then.
    fn freezer(&self, state: &str) {
        let mut dirs: Vec<PathBuf> =
            self.dirs().filter(|(h, _)| h.has_v1("freezer")).map(|(_, dir)| dir).collect();
        while let Some(dir) = dirs.pop() {
            let _ = self.kernel.write(&dir.join("freezer.state"), state);
            if state == "THAWED" {
                dirs.extend(self.children(&dir).unwrap_or_default());
            }
        }
    }

    /// Whether `/proc/pid/cgroup` puts a process in this group or below, in any hierarchy: being in one of
    /// our making is enough to be ours, since nobody else puts processes there.
    fn holds_by(&self, proc_cgroup: &str) -> bool {
        proc_cgroup.lines().any(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(names), Some(path)) = (fields.next(), fields.next()) else { return false };
            self.layout.hierarchies.iter().any(|h| match &h.kind {
                Kind::V1(wanted) => names.split(',').any(|n| wanted.contains(n)) && below(path, &self.path),
                Kind::V2(_) => names.is_empty() && below(path, &self.path),
            })
        })
    }
}

/// Whether an error says that there is no such group (any more), or that the group above it, which is read too,
/// shows its processes (`EOPNOTSUPP`, of a threaded one).
fn no_group(error: &io::Error) -> bool {
    use rustix::io::Errno;

    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    error.kind() == io::ErrorKind::NotFound || matches!(code, Some(Errno::NODEV | Errno::OPNOTSUPP))
}

/// Whether the group `path` is `/parent` or below it.
fn below(path: &str, parent: &str) -> bool {
    let inside = path.strip_prefix('/').and_then(|p| p.strip_prefix(parent));
    inside.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
