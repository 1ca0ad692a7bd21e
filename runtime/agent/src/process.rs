//! Processes held by a pidfd, which never means another process than the one it was opened for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::proc::{self, Identity};

/// A process.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    fd: OwnedFd,
}

impl Process {
    /// Takes hold of whatever has this number now; `None` when nothing has, or when it cannot be held: it is no
    /// proof of an end, for which see [`Self::try_open`].
    #[must_use]
    pub fn open(pid: i32) -> Option<Self> {
        Self::try_open(pid).ok().flatten()
    }

    /// Takes hold of whatever has this number now; `None` when nothing has.
    ///
    /// # Errors
    /// When that cannot be told: no descriptor is left, or the kernel knows no pidfds (before Linux 5.3).
    pub fn try_open(pid: i32) -> io::Result<Option<Self>> {
        let Some(number) = Pid::from_raw(pid) else { return Ok(None) };
        match pidfd_open(number, PidfdFlags::empty()) {
            Ok(fd) => Ok(Some(Self { pid, fd })),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Takes hold of exactly this process; `None` when it has ended, whoever has its number now.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn open_exactly(identity: &Identity) -> io::Result<Option<Self>> {
        if proc::boot_id()? != identity.boot_id {
            return Ok(None);
        }
        // The descriptor first: if the start time is right afterwards, it was right when it was opened.
        let Some(process) = Self::try_open(identity.pid)? else { return Ok(None) };
        let stat = proc::find(identity.pid)?;
        Ok(stat.is_some_and(|stat| stat.start_time == identity.start_time).then_some(process))
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends a signal; a process that has ended gets none.
    pub fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.fd, signal);
    }

    /// Whether it has ended, reaped or not.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits until it has ended; `false` when it has not by then.
    #[must_use]
    pub fn wait(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
            match poll(&mut fds, Some(&timespec(deadline.saturating_duration_since(Instant::now())))) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// The descriptor, to wait on with others: readable when the process has ended.
    ///
    /// # Errors
    /// When no more descriptors can be had.
    pub fn try_clone_fd(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Waits until one of them has ended, but no longer than `limit`.
pub(crate) fn wait_any(processes: &[Process], limit: Duration) {
    let mut fds: Vec<PollFd<'_>> = processes.iter().map(|p| PollFd::new(p, PollFlags::IN)).collect();
    let _ = poll(&mut fds, Some(&timespec(limit)));
}

pub(crate) fn timespec(duration: Duration) -> Timespec {
    // Nobody waits for the ages that do not fit.
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
