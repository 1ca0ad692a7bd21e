//! All processes of a task: those of its group, and those that descend from its shim.
//!
//! Without groups the descendants are all there is: as the shim adopts orphans (it is their subreaper), a
//! process that forked twice and made itself a session of its own is still found.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cgroup::Group;
use crate::proc;
use crate::process::{Process, wait_any};

const ROUND: Duration = Duration::from_millis(20);

pub(crate) struct Tree {
    group: Option<Group>,
    shim: i32,
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
            if let Some(group) = &self.group {
                group.signal(signal);
            } else {
                self.descendants().iter().for_each(|process| process.signal(signal));
            }
        }
    }

    /// Whether nothing of the task runs.
    pub(super) fn is_empty(&self) -> bool {
        self.group.as_ref().is_none_or(|group| group.pids().is_empty())
            && proc::descendants(self.shim).is_empty()
    }

    /// Kills all and waits until they are gone; names those that are left at the limit.
    pub(crate) fn kill(&self, limit: Duration) -> Vec<i32> {
        let deadline = Instant::now() + limit;
        let mut stuck = match self.group.as_ref().map(|group| group.kill(limit)) {
            Some(Err(left)) => left.pids,
            _ => Vec::new(),
        };
        loop {
            let left = self.descendants();
            if left.is_empty() {
                break;
            }
            left.iter().for_each(|process| process.signal(Signal::KILL));
            if Instant::now() >= deadline {
                stuck.extend(left.iter().map(Process::pid));
                break;
            }
            wait_any(&left, ROUND);
        }
        stuck.sort_unstable();
        stuck.dedup();
        stuck
    }

    /// Each with a pidfd that was opened before it was seen to descend from the shim.
    fn descendants(&self) -> Vec<Process> {
        let opened: Vec<Process> =
            proc::descendants(self.shim).into_iter().filter_map(Process::open).collect();
        if opened.is_empty() {
            return opened;
        }
        let now = proc::descendants(self.shim);
        opened.into_iter().filter(|process| now.contains(&process.pid())).collect()
    }
}
