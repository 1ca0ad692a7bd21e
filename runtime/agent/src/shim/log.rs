//! Output files that never exceed their size, in a directory the task itself may write to.
//!
//! So nothing there is trusted: no link is followed, nothing but a regular file is opened, and where a
//! rotation is in the way of something, the file is emptied instead.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Uid, fchown, fstat, ftruncate, open, openat, renameat, statat,
    unlinkat,
};

use crate::user::User;

pub(super) struct Log {
    dir: OwnedFd,
    name: &'static str,
    file: File,
    size: u64,
    max: u64,
    keep: u32,
    owner: Option<User>,
    lost: u64,
}

impl Log {
    pub(super) fn open(
        dir: &Path,
        name: &'static str,
        max: u64,
        keep: u32,
        owner: Option<&User>,
    ) -> io::Result<Self> {
        let dir = open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let owner = owner.cloned();
        let file = open_file(&dir, name, owner.as_ref())?;
        let size = file.metadata()?.len();
        Ok(Self { dir, name, file, size, max: max.max(1), keep, owner, lost: 0 })
    }

    /// Bytes that could not be written.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes all, rotating in between. What the disk does not take is counted and dropped: a full disk
    /// must not stop the task.
    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        // A task that deletes its log wants it emptied, not written where nobody can read it.
        if fstat(&self.file).is_ok_and(|stat| stat.st_nlink == 0) && self.reopen().is_err() {
            self.lost += bytes.len() as u64;
            return;
        }
        while !bytes.is_empty() {
            if self.size >= self.max && self.rotate().is_err() {
                self.lost += bytes.len() as u64;
                return;
            }
            let room = usize::try_from(self.max - self.size).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            match self.file.write_all(now) {
                Ok(()) => {}
                Err(_) => self.lost += now.len() as u64,
            }
            self.size += now.len() as u64;
            bytes = later;
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = open_file(&self.dir, self.name, self.owner.as_ref())?;
        self.size = self.file.metadata()?.len();
        Ok(())
    }

    /// Whether the name still stands for our file.
    fn has_its_name(&self) -> io::Result<bool> {
        let named = match statat(&self.dir, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(rustix::io::Errno::NOENT) => return Ok(false),
            Err(e) => return Err(e.into()),
        };
        let ours = fstat(&self.file)?;
        Ok((named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino))
    }

    fn rotate(&mut self) -> io::Result<()> {
        // Moved by the task, or by us when no new one could be opened: nothing of ours is there to be kept.
        if !self.has_its_name()? {
            self.reopen()?;
            if self.size < self.max {
                return Ok(());
            }
        }
        let old = |n: u32| format!("{}.{n}", self.name);
        let moved = self.keep > 0 && {
            for n in (1..self.keep).rev() {
                let _ = renameat(&self.dir, old(n), &self.dir, old(n + 1));
            }
            renameat(&self.dir, self.name, &self.dir, old(1)).is_ok()
        };
        if moved {
            self.reopen()?;
        }
        if !moved || self.size >= self.max {
            ftruncate(&self.file, 0)?;
            self.size = 0;
        }
        Ok(())
    }
}

fn open_file(dir: &OwnedFd, name: &str, owner: Option<&User>) -> io::Result<File> {
    // Without O_NONBLOCK a pipe of that name would hold us up.
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o644);
    let regular = |fd: &OwnedFd| {
        fstat(fd)
            .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::RegularFile && s.st_nlink == 1)
    };
    match openat(dir, name, flags, mode) {
        Ok(fd) if regular(&fd) => return Ok(File::from(fd)),
        Err(rustix::io::Errno::NOENT) => {}
        // Something else has the name. It is the task's directory: a name of ours is not for others.
        _ => drop(unlinkat(dir, name, AtFlags::empty())),
    }
    let fd = openat(dir, name, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
    if !regular(&fd) {
        return Err(io::Error::other("the log is no regular file"));
    }
    if let Some(user) = owner {
        fchown(&fd, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))?;
    }
    Ok(File::from(fd))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn text(dir: &Path, name: &str) -> String {
        fs::read_to_string(dir.join(name)).unwrap_or_else(|_| "-".into())
    }

    #[test]
    fn a_full_file_is_rotated_and_the_oldest_falls_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), "stdout", 4, 2, None).unwrap();
        for part in ["aaaab", "bbbcccc", "", "dd"] {
            log.write(part.as_bytes());
        }
        let names = ["stdout", "stdout.1", "stdout.2", "stdout.3"];
        assert_eq!(names.map(|n| text(dir.path(), n)), ["dd", "cccc", "bbbb", "-"]);
        assert_eq!(log.lost(), 0);
    }

    #[test]
    fn without_old_files_the_log_starts_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), "stdout", 4, 0, None).unwrap();
        log.write(b"aaaabbbbcc");
        assert_eq!(text(dir.path(), "stdout"), "cc");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_shim_that_starts_again_goes_on_where_the_file_ends() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("stdout"), "aaa").unwrap();
        Log::open(dir.path(), "stdout", 4, 1, None).unwrap().write(b"ab");
        assert_eq!(["stdout", "stdout.1"].map(|n| text(dir.path(), n)), ["b", "aaaa"]);
    }

    #[test]
    fn a_deleted_log_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), "stdout", 100, 1, None).unwrap();
        log.write(b"first");
        fs::remove_file(dir.path().join("stdout")).unwrap();
        log.write(b"second");
        assert_eq!(text(dir.path(), "stdout"), "second");
        assert_eq!(log.lost(), 0);
    }

    #[test]
    fn a_log_that_was_moved_away_is_left_and_not_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), "stdout", 4, 1, None).unwrap();
        log.write(b"aaaa");
        fs::rename(dir.path().join("stdout"), dir.path().join("mine")).unwrap();
        log.write(b"bb");
        assert_eq!(["mine", "stdout", "stdout.1"].map(|n| text(dir.path(), n)), ["aaaa", "bb", "-"]);
    }

    #[test]
    fn a_rotation_goes_on_where_it_could_not_open_the_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), "stdout", 4, 2, None).unwrap();
        log.write(b"aaaa");
        // As after a rename and a failed open.
        fs::rename(dir.path().join("stdout"), dir.path().join("stdout.1")).unwrap();
        log.write(b"bb");
        let names = ["stdout", "stdout.1", "stdout.2"];
        assert_eq!(names.map(|n| text(dir.path(), n)), ["bb", "aaaa", "-"]);
    }

    #[test]
    fn a_link_or_a_pipe_in_the_way_is_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        symlink(&victim, dir.path().join("stdout")).unwrap();
        fs::hard_link(&victim, dir.path().join("stderr")).unwrap();
        for name in ["stdout", "stderr"] {
            Log::open(dir.path(), name, 100, 1, None).unwrap().write(b"text");
            assert_eq!(text(dir.path(), name), "text");
        }
        assert_eq!(text(dir.path(), "victim"), "untouched");
    }

    #[test]
    fn a_directory_in_the_way_of_rotation_only_costs_the_old_text() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("stdout.1")).unwrap();
        let mut log = Log::open(dir.path(), "stdout", 4, 1, None).unwrap();
        log.write(b"aaaabb");
        assert_eq!(text(dir.path(), "stdout"), "bb");
    }
}
