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
use crate::process::{Process, wait_any};

/// v2 controllers that tasks need from the groups above them.
const V2_CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
/// How long to wait for one of the killed to end before looking for new ones.
const ROUND: Duration = Duration::from_millis(20);

/// Processes that did not end.
#[derive(Debug, thiserror::Error)]
#[error("processes {pids:?} of group {path} did not end")]
pub struct KillError {
    /// The group.
    pub path: String,
    /// What is left, perhaps in an uninterruptible system call.
    pub pids: Vec<i32>,
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

    /// Whether a process is in this group or below it, in any hierarchy of the layout.
    #[must_use]
    pub fn holds(&self, pid: i32) -> bool {
        fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| self.holds_by(&text))
    }

    /// Sends a signal to each process of the group; one that took over a number meanwhile gets none.
    pub fn signal(&self, signal: Signal) {
        for process in self.members() {
            process.signal(signal);
        }
    }

    /// The members, each with a pidfd that was opened before its membership was read.
    fn members(&self) -> Vec<Process> {
        let pids = self.pids().into_iter();
        pids.filter_map(Process::open).filter(|process| self.holds(process.pid())).collect()
    }

    /// Kills every process of the group, frozen and stopped ones too, and waits until the group is empty.
    ///
    /// # Errors
    /// When processes are left at the deadline; they are named.
    pub fn kill(&self, limit: Duration) -> Result<(), KillError> {
        let deadline = Instant::now() + limit;
        loop {
            self.kill_at_once();
            let members = self.members();
            for process in &members {
                process.signal(Signal::KILL);
            }
            self.thaw();
            let pids = self.pids();
            if pids.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(KillError { path: self.path.clone(), pids });
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

    /// The processes in the group and below, in any hierarchy.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        let mut pids = Vec::new();
        for (_, dir) in self.dirs() {
            self.collect(&dir, &mut pids);
        }
        pids.sort_unstable();
        pids.dedup();
        pids
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
        self.collect(dir, &mut pids);
        if !pids.is_empty() {
            return Err(CgroupError::Busy { path: self.path.clone(), pids });
        }
        self.remove_tree(dir).map_err(CgroupError::io("remove", dir))?;
        self.kernel.make(dir).map_err(CgroupError::io("create", dir))
    }

    fn remove_tree(&self, dir: &Path) -> io::Result<()> {
        for child in self.kernel.children(dir) {
            self.remove_tree(&child)?;
        }
        match self.kernel.remove(dir) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn collect(&self, dir: &Path, pids: &mut Vec<i32>) {
        if let Ok(text) = self.kernel.read(&dir.join("cgroup.procs")) {
            // Zero stands for a process that cannot be seen from here.
            pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
        }
        for child in self.kernel.children(dir) {
            self.collect(&child, pids);
        }
    }

    /// v2, on a hybrid machine too, kills a whole tree in one write (since Linux 5.14); failing is no fault.
    fn kill_at_once(&self) {
        for (_, dir) in self.dirs().filter(|(h, _)| h.is_v2()) {
            let _ = self.kernel.write(&dir.join("cgroup.kill"), "1");
        }
    }

    /// A process that is frozen by v1 takes its signal only when thawed, where it was frozen.
    fn thaw(&self) {
        let freezers: Vec<PathBuf> =
            self.dirs().filter(|(h, _)| h.has_v1("freezer")).map(|(_, dir)| dir).collect();
        let mut dirs = freezers;
        while let Some(dir) = dirs.pop() {
            let _ = self.kernel.write(&dir.join("freezer.state"), "THAWED");
            dirs.extend(self.kernel.children(&dir));
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

/// Whether the group `path` is `/parent` or below it.
fn below(path: &str, parent: &str) -> bool {
    let inside = path.strip_prefix('/').and_then(|p| p.strip_prefix(parent));
    inside.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
