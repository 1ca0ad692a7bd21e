//! All processes of a task: those of its group, and those that descend from its shim.
//!
//! Without groups the descendants are all there is: as the shim adopts orphans (it is their subreaper), a
//! process that forked twice and made itself a session of its own is still found. That none is seen is no proof
//! that there is none, as they come and go while one looks; that the shim has no child left to wait for is one.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Signal, WaitId, WaitIdOptions, WaitOptions, wait, waitid};

use crate::cgroup::Group;
use crate::proc;
use crate::process::{Process, wait_any};

const ROUND: Duration = Duration::from_millis(20);
/// Of how many of the killed the end is waited for at once: each takes a descriptor.
const WAITED: usize = 16;

pub(crate) struct Tree {
    group: Option<Group>,
    shim: i32,
}

/// Descendants that were seen alive.
#[derive(Default)]
struct Seen {
    pids: Vec<i32>,
    /// Some of them, to wait for.
    some: Vec<Process>,
}

impl Tree {
    pub(crate) fn new(group: Option<Group>, shim: i32) -> Self {
        Self { group, shim }
    }

    pub(super) fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    /// Asks all to end. The stopped are woken, so that they can.
    pub(super) fn terminate(&self) {
        for signal in [Signal::TERM, Signal::CONT] {
            let told: BTreeSet<i32> = self.group.iter().flat_map(Group::pids).collect();
            if let Some(group) = &self.group {
                group.signal(signal);
            }
            // Those too that are on their way into the group, or left it.
            let _ = self.sweep(&mut Seen::default(), |process| {
                if !told.contains(&process.pid()) {
                    process.signal(signal);
                }
            });
        }
    }

    /// Whether nothing of the task runs. To be asked by the shim itself.
    pub(super) fn is_empty(&self) -> bool {
        self.group_is_empty() && has_no_child()
    }

    fn group_is_empty(&self) -> bool {
        self.group.as_ref().is_none_or(|group| group.try_pids().is_ok_and(|pids| pids.is_empty()))
    }

    /// Kills all and waits until they are gone; names those that are left at the limit.
    pub(crate) fn kill(&self, limit: Duration) -> Vec<i32> {
        self.kill_and_reap(limit, |_, _| {})
    }

    /// As [`Self::kill`]; the shim hears of each child that it reaps.
    pub(super) fn kill_and_reap(&self, limit: Duration, mut reaped: impl FnMut(i32, ExitStatus)) -> Vec<i32> {
        let deadline = Instant::now() + limit;
        let own = self.shim == rustix::process::getpid().as_raw_nonzero().get();
        loop {
            // Before the rest of the limit: a process on its way into the group is a descendant as well.
            let _ = self.group.as_ref().map(|group| group.kill(ROUND));
            let mut seen = Seen::default();
            let swept = self.sweep(&mut seen, |process| process.signal(Signal::KILL));
            let none = if own { reap(&mut reaped) } else { swept.is_ok() && seen.pids.is_empty() };
            if none && self.group_is_empty() {
                return vec![];
            }
            if Instant::now() >= deadline {
                return self.left(seen.pids);
            }
            wait_any(&seen.some, ROUND);
        }
    }

    /// Never empty: what keeps us from knowing has a number at least.
    fn left(&self, mut pids: Vec<i32>) -> Vec<i32> {
        pids.extend(self.group.iter().flat_map(Group::pids));
        if pids.is_empty() {
            pids = proc::children(self.shim).unwrap_or_default();
        }
        if pids.is_empty() {
            pids.push(self.shim);
        }
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Visits all descendants that live, from the shim down. Each is held by a pidfd, one at a time, since there
    /// may be more processes than descriptors.
    ///
    /// A process whose parent is a descendant is one. Its pidfd is opened before its parent is read, and after
    /// that the parent is seen to be the process it was, so neither number can have passed to another meanwhile.
    fn sweep(&self, seen: &mut Seen, mut each: impl FnMut(&Process)) -> io::Result<()> {
        let mut failed = Ok(());
        let mut parents: Vec<(i32, u64)> = Vec::new();
        if let Some(shim) = proc::find(self.shim)? {
            parents.push((self.shim, shim.start_time));
        }
        while let Some(parent) = parents.pop() {
            let children = proc::children(parent.0).unwrap_or_else(|e| {
                failed = Err(e);
                vec![]
            });
            for pid in children {
                match child(pid, parent) {
                    Ok(Some((process, stat))) => {
                        parents.push((pid, stat.start_time));
                        if stat.is_dead() {
                            continue;
                        }
                        each(&process);
                        seen.pids.push(pid);
                        if seen.some.len() < WAITED {
                            seen.some.push(process);
                        }
                    }
                    Ok(None) => {}
                    Err(e) => failed = Err(e),
                }
            }
        }
        failed
    }
}

fn child(pid: i32, (parent, since): (i32, u64)) -> io::Result<Option<(Process, proc::Stat)>> {
    let Some(process) = Process::try_open(pid)? else { return Ok(None) };
    let Some(stat) = proc::find(pid)?.filter(|stat| stat.parent == parent) else { return Ok(None) };
    let same = proc::find(parent)?.is_some_and(|stat| stat.start_time == since);
    Ok(same.then_some((process, stat)))
}

/// Reaps all that ended, orphans too; `true` when there is no child any more, not even one that lives.
pub(super) fn reap(reaped: &mut impl FnMut(i32, ExitStatus)) -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                reaped(pid.as_raw_nonzero().get(), ExitStatus::from_raw(status.as_raw()));
            }
            Ok(None) => return false,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return e == rustix::io::Errno::CHILD,
        }
    }
}

/// Nothing is reaped.
fn has_no_child() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::All, options), Err(rustix::io::Errno::CHILD))
}
