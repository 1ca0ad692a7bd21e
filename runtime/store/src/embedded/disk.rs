//! The file as redb sees it. While a store is opened, what redb wants to write is held back; it reaches the file, in
//! the same order, only when all of the file was found sound.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
#[cfg(feature = "failpoints")]
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Advice, fadvise};

#[cfg(feature = "failpoints")]
use crate::failpoint;
use crate::failpoint::{Failpoint, hit};

/// Sees every change of the file before it is made.
#[cfg(feature = "failpoints")]
pub trait Hook: Send + Sync {
    /// An error is what the disk answers in place of doing it.
    ///
    /// # Errors
    /// As a disk would: `ENOSPC`, `EIO`.
    fn before(&self, act: &Act<'_>) -> io::Result<()>;

    /// Called where the kernel is made to forget what it holds of the file, so that what is read next is what the disk has.
    fn forget(&self) {}

    /// Called before the names in a directory are made durable.
    ///
    /// # Errors
    /// As a disk would.
    fn before_sync_of(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// A change of the file.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "failpoints"), expect(unreachable_pub, reason = "what a hook of a test is shown"))]
pub enum Act<'a> {
    /// Its length becomes this many bytes.
    SetLen(u64),
    /// Bytes at an offset.
    Write(u64, &'a [u8]),
    /// All before this is durable when this returns.
    Sync,
}

#[derive(Debug, Clone)]
enum Held {
    SetLen(u64),
    Write(u64, Vec<u8>),
    Sync,
}

impl Held {
    fn act(&self) -> Act<'_> {
        match self {
            Self::SetLen(len) => Act::SetLen(*len),
            Self::Write(offset, data) => Act::Write(*offset, data),
            Self::Sync => Act::Sync,
        }
    }
}

/// What becomes of a change.
#[derive(Debug)]
enum Mode {
    /// It is held back.
    Holding(Vec<Held>),
    /// It is made at once.
    Making,
    /// An earlier one failed: none is made any more, since it may build on that one.
    Failed,
}

/// A file, and what is held back from it.
pub(super) struct Disk {
    file: File,
    mode: Mutex<Mode>,
    #[cfg(feature = "failpoints")]
    hook: Option<Arc<dyn Hook>>,
}

impl Disk {
    /// Holds back until [`Disk::release`].
    pub(super) fn holding(file: File, options: &super::Options) -> Self {
        #[cfg(not(feature = "failpoints"))]
        let _ = options;
        Self {
            file,
            mode: Mutex::new(Mode::Holding(Vec::new())),
            #[cfg(feature = "failpoints")]
            hook: options.hook.clone(),
        }
    }

    /// Writes out what the kernel holds of the file and then has it forget that. After a failed sync the kernel may count
    /// pages as clean that never reached the disk: who read them would find a commit that the next crash takes away.
    pub(super) fn forget_cache(&self) -> io::Result<()> {
        #[cfg(feature = "failpoints")]
        if let Some(hook) = &self.hook {
            hook.before(&Act::Sync)?;
        }
        self.file.sync_all()?;
        #[cfg(feature = "failpoints")]
        if let Some(hook) = &self.hook {
            hook.forget();
        }
        Ok(fadvise(&self.file, 0, None, Advice::DontNeed)?)
    }

    /// Makes the changes that were held back, and every later one at once. After an error none is made any more.
    pub(super) fn release(&self) -> io::Result<()> {
        let mut mode = self.mode();
        if let Mode::Holding(changes) = std::mem::replace(&mut *mode, Mode::Failed) {
            for change in &changes {
                self.make(change.act())?;
            }
            *mode = Mode::Making;
        }
        Ok(())
    }

    fn mode(&self) -> MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, act: Act<'_>) -> io::Result<()> {
        match &mut *self.mode() {
            Mode::Holding(changes) => {
                changes.push(match act {
                    Act::SetLen(len) => Held::SetLen(len),
                    Act::Write(offset, data) => Held::Write(offset, data.to_vec()),
                    Act::Sync => Held::Sync,
                });
                return Ok(());
            }
            Mode::Making => {}
            Mode::Failed => return Err(io::Error::other("an earlier change of the file failed")),
        }
        // Without the lock: a sync takes its time, and reads go on meanwhile.
        self.make(act).inspect_err(|_| *self.mode() = Mode::Failed)
    }

    fn make(&self, act: Act<'_>) -> io::Result<()> {
        #[cfg(feature = "failpoints")]
        if let Some(hook) = &self.hook {
            hook.before(&act)?;
        }
        match act {
            Act::SetLen(len) => self.file.set_len(len),
            Act::Write(offset, data) => {
                #[cfg(feature = "failpoints")]
                if failpoint::due(Failpoint::HalfWritten) {
                    let _ = self.file.write_all_at(&data[..data.len() / 2], offset);
                    failpoint::kill();
                }
                self.file.write_all_at(data, offset)
            }
            Act::Sync => {
                hit(Failpoint::BeforeSync);
                self.file.sync_data()?;
                hit(Failpoint::AfterSync);
                Ok(())
            }
        }
    }

    fn len(&self) -> io::Result<u64> {
        let on_disk = self.file.metadata()?.len();
        let Mode::Holding(changes) = &*self.mode() else { return Ok(on_disk) };
        Ok(changes.iter().fold(on_disk, |len, change| match change {
            Held::SetLen(len) => *len,
            Held::Write(offset, data) => len.max(offset + data.len() as u64),
            Held::Sync => len,
        }))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mode = self.mode();
        let Mode::Holding(changes) = &*mode else {
            drop(mode);
            return self.file.read_exact_at(out, offset);
        };
        let on_disk = self.file.metadata()?.len();
        let there = usize::try_from(on_disk.saturating_sub(offset)).unwrap_or(usize::MAX).min(out.len());
        self.file.read_exact_at(&mut out[..there], offset)?;
        out[there..].fill(0);
        let mut len = on_disk;
        for change in changes {
            match change {
                Held::SetLen(new) => {
                    len = *new;
                    let kept = usize::try_from(new.saturating_sub(offset)).unwrap_or(usize::MAX);
                    if let Some(cut) = out.get_mut(kept..) {
                        cut.fill(0);
                    }
                }
                Held::Write(at, data) => {
                    len = len.max(at + data.len() as u64);
                    overlay(out, offset, data, *at);
                }
                Held::Sync => {}
            }
        }
        if offset + out.len() as u64 > len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// Copies into `out`, which lies at `offset`, what it shares with `data`, which lies at `at`.
fn overlay(out: &mut [u8], offset: u64, data: &[u8], at: u64) {
    let start = offset.max(at);
    let end = (offset + out.len() as u64).min(at + data.len() as u64);
    if start >= end {
        return;
    }
    let within = |from: u64| usize::try_from(start - from).unwrap_or(usize::MAX);
    let (Ok(length), to, from) = (usize::try_from(end - start), within(offset), within(at)) else { return };
    out[to..to + length].copy_from_slice(&data[from..from + length]);
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("file", &self.file).finish_non_exhaustive()
    }
}

/// What redb is given; we keep the other end.
#[derive(Debug)]
pub(super) struct Backend(pub(super) Arc<Disk>);

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.change(Act::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.change(Act::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.change(Act::Write(offset, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    #[test]
    fn held_changes_are_read_back_and_reach_the_file_only_when_released() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"0123456789", 0).unwrap();
        let disk = Disk::holding(file.try_clone().unwrap(), &Options::default());
        disk.change(Act::Write(8, b"abcd")).unwrap();
        disk.change(Act::SetLen(5)).unwrap();
        disk.change(Act::SetLen(9)).unwrap();
        disk.change(Act::Write(1, b"X")).unwrap();
        let expected = b"0X234\0\0\0\0";
        assert_eq!(disk.len().unwrap(), 9);
        for start in 0..9 {
            for end in start..=9 {
                let mut out = vec![b'?'; end - start];
                disk.read(start as u64, &mut out).unwrap();
                assert_eq!(out, expected[start..end]);
            }
        }
        assert!(disk.read(5, &mut [0; 5]).is_err(), "beyond the end");
        let on_disk = |length: usize| {
            let mut out = vec![0; length];
            file.read_exact_at(&mut out, 0).unwrap();
            out
        };
        assert_eq!(on_disk(10), b"0123456789");
        disk.release().unwrap();
        assert_eq!(on_disk(9), expected);
        assert_eq!(disk.len().unwrap(), 9);
    }

    /// Fails at the n-th change alone.
    #[derive(Default)]
    struct Once {
        at: u64,
        seen: std::sync::atomic::AtomicU64,
    }

    impl Hook for Once {
        fn before(&self, _: &Act<'_>) -> io::Result<()> {
            let seen = self.seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if seen == self.at { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
        }
    }

    #[test]
    fn after_a_change_that_failed_none_is_made_any_more() {
        for at in 0..4 {
            let file = tempfile::tempfile().unwrap();
            let hook = Arc::new(Once { at, ..Once::default() });
            let options = Options { hook: Some(hook), ..Options::default() };
            let disk = Disk::holding(file.try_clone().unwrap(), &options);
            disk.change(Act::Write(0, b"a")).unwrap();
            disk.change(Act::Write(1, b"b")).unwrap();
            let released = disk.release();
            assert_eq!(released.is_err(), at < 2, "{at}");
            let failed = (2..4).map(|_| disk.change(Act::Write(2, b"c")).is_err()).collect::<Vec<_>>();
            assert_eq!(failed, [at < 3, true], "{at}");
            assert_eq!(file.metadata().unwrap().len(), at, "{at}");
        }
    }

    #[test]
    fn a_sync_is_the_kernel_s_answer() {
        // A pipe cannot be synced, so that one that succeeds was never asked for.
        let (_reader, writer) = io::pipe().unwrap();
        let disk = Disk::holding(File::from(std::os::fd::OwnedFd::from(writer)), &Options::default());
        assert!(disk.forget_cache().is_err());
        disk.release().unwrap();
        assert!(disk.change(Act::Sync).is_err());
    }
}
