//! Opening what a virtual path stands for, and nothing but directories and regular files.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{FileType, OFlags, Stat, fstat};
use rustix::io::Errno;

use super::Refusal;
use super::attached::Found;
use super::beneath::{Links, Root, leads_out};

impl From<io::Error> for Refusal {
    fn from(e: io::Error) -> Self {
        match Errno::from_io_error(&e) {
            _ if leads_out(&e) => Self::Forbidden("The path leads out of what is shown."),
            Some(Errno::ACCESS | Errno::PERM) => Self::Forbidden("The file may not be read."),
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => Self::Missing,
            _ => Self::Io(e),
        }
    }
}

/// A directory and a path that must stay in it.
pub(super) struct Place {
    pub(super) root: Root,
    pub(super) below: PathBuf,
}

impl Place {
    /// An attached file stands in its directory; what is attached is ours, and may be a link.
    pub(super) fn of(found: &Found) -> Result<Self, Refusal> {
        match Root::open(&found.real) {
            Ok(root) => Ok(Self { root, below: found.below.clone() }),
            Err(e)
                if Errno::from_io_error(&e) == Some(Errno::NOTDIR) && found.below.as_os_str().is_empty() =>
            {
                let real = found.real.canonicalize()?;
                let (Some(dir), Some(name)) = (real.parent(), real.file_name()) else {
                    return Err(Refusal::Missing);
                };
                Ok(Self { root: Root::open(dir)?, below: name.into() })
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Opens it, or another path below the root.
    pub(super) fn get(&self, path: &std::path::Path, flags: OFlags) -> Result<OwnedFd, Refusal> {
        Ok(self.root.get(path, flags, Links::Inside)?)
    }
}

/// Opens a regular file, with its size in bytes. Looks before it opens: to open a device can do something.
pub(super) fn file(found: &Found) -> Result<(File, u64), Refusal> {
    let place = Place::of(found)?;
    check(&stat(&place.get(&place.below, OFlags::PATH)?)?)?;
    // It may be another one by now: no FIFO is waited for, and it is looked at again.
    let file = place.get(&place.below, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let stat = stat(&file)?;
    check(&stat)?;
    Ok((file.into(), size(&stat)))
}

pub(super) fn stat(fd: &OwnedFd) -> Result<Stat, Refusal> {
    Ok(fstat(fd).map_err(io::Error::from)?)
}

pub(super) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn check(stat: &Stat) -> Result<(), Refusal> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(Refusal::Bad("It is a directory.".into())),
        _ => Err(Refusal::Forbidden("It is no regular file.")),
    }
}
