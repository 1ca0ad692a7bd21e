//! Making files, directories and links below the sandbox, never through a link.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chownat, fchmod, fchown,
    futimens, linkat, mkdirat, openat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::gauge::Gauge;
use super::name::{Name, check_target, is_target, path};
use super::{Failure, is_awaited};
use crate::fetch::job::Limits;
use crate::files::beneath::{Links, Root};

/// Without set-user-id, set-group-id and sticky bits, and nothing that others may write.
const MODES: u32 = 0o755;
/// Of a root file system: without set-user-id and set-group-id bits.
const ALL_MODES: u32 = 0o1777;
const BLOCK: usize = 256 << 10;

/// What an entry says about a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) modified: Option<i64>,
    /// In bytes, when it is known.
    pub(super) size: Option<u64>,
    /// User and group, where the archive says that.
    pub(super) owner: Owner,
}

/// A user and a group, by their numbers.
pub(super) type Owner = Option<(u32, u32)>;

/// The sandbox as it is filled.
#[derive(Debug)]
pub(super) struct Tree {
    root: Root,
    gauge: Rc<Gauge>,
    buffer: Vec<u8>,
    /// Owners, modes and links are kept: it is a root of its own.
    as_it_is: bool,
}

impl Tree {
    pub(super) fn new(root: Root, gauge: Rc<Gauge>) -> Self {
        Self { root, gauge, buffer: vec![0; BLOCK], as_it_is: false }
    }

    /// Keeps owners, modes but for set-user-id, and links wherever they point, since whoever follows them does it in there.
    pub(super) fn keep_as_it_is(self) -> Self {
        Self { as_it_is: true, ..self }
    }

    pub(super) fn keeps_all(&self) -> bool {
        self.as_it_is
    }

    /// What a file or directory is to have; the least is what unpacking without root needs.
    fn mode(&self, mode: u32, least: u32) -> Mode {
        Mode::from_raw_mode(if self.as_it_is { mode & ALL_MODES } else { (mode & MODES) | least })
    }

    fn owner(&self, owner: Owner) -> Option<(Option<Uid>, Option<Gid>)> {
        // The highest number means to leave it as it is.
        let owner = owner.filter(|(uid, gid)| self.as_it_is && *uid != u32::MAX && *gid != u32::MAX);
        owner.map(|(uid, gid)| (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))))
    }

    pub(super) fn limits(&self) -> &Limits {
        self.gauge.limits()
    }

    /// Makes a directory, or gives one that is there this mode.
    pub(super) fn directory(&mut self, name: &Name<'_>, mode: u32, owner: Owner) -> Result<(), Failure> {
        self.begin()?;
        let Some((dirs, last)) = name.split() else { return Ok(()) };
        let parent = self.parent(dirs)?;
        match mkdirat(&parent, last, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(io::Error::from(e).into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = openat(&parent, last, flags, Mode::empty()).map_err(in_the_way)?;
        if let Some((uid, gid)) = self.owner(owner) {
            fchown(&dir, uid, gid).map_err(io::Error::from)?;
        }
        fchmod(&dir, self.mode(mode, 0o700)).map_err(io::Error::from)?;
        Ok(())
    }

    /// Writes a file anew; what had its name is removed before, not written to.
    pub(super) fn file(
        &mut self,
        name: &Name<'_>,
        attributes: Attributes,
        contents: &mut dyn Read,
    ) -> Result<(), Failure> {
        self.begin()?;
        let (parent, last) = self.place(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&parent, last, flags, Mode::from_raw_mode(0o600)).map_err(io::Error::from)?;
        let mut file = File::from(file);
        let written = self.copy(&mut file, contents)?;
        if attributes.size.is_some_and(|size| size != written) {
            return Err(Failure::Refused("it is cut off".into()));
        }
        if let Some((uid, gid)) = self.owner(attributes.owner) {
            fchown(&file, uid, gid).map_err(io::Error::from)?;
        }
        fchmod(&file, self.mode(attributes.mode, 0o600)).map_err(io::Error::from)?;
        if let Some(seconds) = attributes.modified {
            let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
            let last_modification = Timespec { tv_sec: seconds, tv_nsec: 0 };
            // A time that the file system cannot hold is no reason to fail.
            let _ = futimens(&file, &Timestamps { last_access, last_modification });
        }
        Ok(())
    }

    /// Makes a symbolic link that stays inside.
    pub(super) fn symbolic_link(
        &mut self,
        name: &Name<'_>,
        target: &[u8],
        owner: Owner,
    ) -> Result<(), Failure> {
        self.begin()?;
        if self.as_it_is { is_target(target) } else { check_target(name, target) }?;
        let (parent, last) = self.place(name)?;
        symlinkat(target, &parent, last).map_err(io::Error::from)?;
        if let Some((uid, gid)) = self.owner(owner) {
            chownat(&parent, last, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)?;
        }
        Ok(())
    }

    /// Makes another name of a file. Not of a symbolic link, which would point elsewhere from there.
    pub(super) fn hard_link(&mut self, name: &Name<'_>, target: &Name<'_>) -> Result<(), Failure> {
        self.begin()?;
        let missing = || Failure::Refused("it is a link to a file that is not in the sandbox".into());
        let (dirs, file) = target.split().ok_or_else(missing)?;
        let from = self.existing(dirs).map_err(|_gone| missing())?;
        let stat = statat(&from, file, AtFlags::SYMLINK_NOFOLLOW).map_err(|_gone| missing())?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Failure::Refused("it is a hard link to what is no file".into()));
        }
        if name == target {
            return Ok(());
        }
        let (parent, last) = self.place(name)?;
        linkat(&from, file, &parent, last, AtFlags::empty()).map_err(io::Error::from)?;
        Ok(())
    }

    fn begin(&self) -> Result<(), Failure> {
        self.gauge.entry()?;
        if is_awaited() { Ok(()) } else { Err(Failure::Refused("nobody waits for it any more".into())) }
    }

    /// The directory to make something in, with its name there free.
    fn place<'a>(&self, name: &Name<'a>) -> Result<(OwnedFd, &'a OsStr), Failure> {
        let (dirs, last) = name
            .split()
            .ok_or_else(|| Failure::Refused("it is no directory, yet has the sandbox's name".into()))?;
        let parent = self.parent(dirs)?;
        match unlinkat(&parent, last, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok((parent, last)),
            Err(Errno::ISDIR) => Err(Failure::Refused("there is a directory of this name".into())),
            Err(e) => Err(io::Error::from(e).into()),
        }
    }

    fn existing(&self, dirs: &[&OsStr]) -> io::Result<OwnedFd> {
        self.root.get(&path(dirs), OFlags::PATH | OFlags::DIRECTORY, Links::Refused)
    }

    /// Opens a directory below the root, and makes what is missing of it.
    fn parent(&self, dirs: &[&OsStr]) -> Result<OwnedFd, Failure> {
        match self.existing(dirs) {
            Ok(dir) => return Ok(dir),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(explain(e)),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut dir = self.root.get(Path::new("."), OFlags::PATH | OFlags::DIRECTORY, Links::Refused)?;
        for part in dirs {
            match mkdirat(&dir, *part, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(io::Error::from(e).into()),
            }
            dir = openat(dir.as_fd(), *part, flags, Mode::empty()).map_err(in_the_way)?;
        }
        Ok(dir)
    }

    fn copy(&mut self, file: &mut File, contents: &mut dyn Read) -> Result<u64, Failure> {
        let mut written = 0;
        loop {
            let n = match contents.read(&mut self.buffer) {
                Ok(0) => return Ok(written),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e.into()),
            };
            self.gauge.write(n as u64)?;
            file.write_all(self.buffer.get(..n).unwrap_or_default())?;
            written += n as u64;
            if written % (64 << 20) < BLOCK as u64 && !is_awaited() {
                return Err(Failure::Refused("nobody waits for it any more".into()));
            }
        }
    }
}

fn in_the_way(e: Errno) -> Failure {
    explain(e.into())
}

fn explain(e: io::Error) -> Failure {
    match Errno::from_io_error(&e) {
        Some(Errno::LOOP) => {
            Failure::Refused("it stands below a link, and nothing is written through links".into())
        }
        Some(Errno::NOTDIR) => {
            Failure::Refused("there is a file or a link where its directory must be".into())
        }
        _ => e.into(),
    }
}
