//! Opening paths that must not lead out of a directory, whatever lies in it and whoever changes it meanwhile.
//!
//! The kernel resolves (`openat2`). Where it cannot (before 5.6, or below a filter that hides the call), the
//! same rules are kept step by step, each on an open directory.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat, statat};
use rustix::io::Errno;

/// As many as the kernel follows.
const MAX_LINKS: usize = 40;
/// How often a lookup that a rename disturbed is tried again.
const TRIES: usize = 16;

/// What becomes of symbolic links on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// Followed as long as they stay inside.
    Inside,
    /// Refused with `ELOOP`.
    Refused,
}

/// A directory that paths stay in. Paths that lead out of it are refused with `EXDEV`.
#[derive(Debug)]
pub(crate) struct Root(OwnedFd);

impl Root {
    /// Opens the directory itself. Links to it are followed: its path is ours.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, dir, flags, Mode::empty())?))
    }

    /// Opens what lies there; the last part may be a link too.
    pub(crate) fn get(&self, path: &Path, flags: OFlags, links: Links) -> io::Result<OwnedFd> {
        match self.by_kernel(path, flags, links) {
            Err(Errno::NOSYS | Errno::PERM) => Ok(self.by_steps(path, flags, links)?),
            done => Ok(done?),
        }
    }

    fn by_kernel(&self, path: &Path, flags: OFlags, links: Links) -> Result<OwnedFd, Errno> {
        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        if links == Links::Refused {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        for _ in 0..TRIES {
            match openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                done => return done,
            }
        }
        Err(Errno::AGAIN)
    }

    /// `..` goes back on our own stack of directories, so that no rename can make it leave the root.
    fn by_steps(&self, path: &Path, flags: OFlags, links: Links) -> Result<OwnedFd, Errno> {
        let mut ahead = parts(path)?;
        let mut dirs: Vec<OwnedFd> = Vec::new();
        let mut followed = 0;
        while let Some(part) = ahead.pop_front() {
            if part == ".." {
                dirs.pop().ok_or(Errno::XDEV)?;
                continue;
            }
            let here = dirs.last().map_or(self.0.as_fd(), AsFd::as_fd);
            if let Some(target) = link_target(here, &part)? {
                followed += 1;
                if links == Links::Refused || followed > MAX_LINKS {
                    return Err(Errno::LOOP);
                }
                for part in parts(&target)?.into_iter().rev() {
                    ahead.push_front(part);
                }
            } else if ahead.is_empty() {
                return openat(here, &part, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
            } else {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                dirs.push(openat(here, &part, flags, Mode::empty())?);
            }
        }
        let here = dirs.last().map_or(self.0.as_fd(), AsFd::as_fd);
        openat(here, ".", flags | OFlags::CLOEXEC, Mode::empty())
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn link_target(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Option<std::path::PathBuf>, Errno> {
    let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Ok(None);
    }
    Ok(Some(OsString::from_vec(readlinkat(dir, name, Vec::new())?.into_bytes()).into()))
}

fn parts(path: &Path) -> Result<VecDeque<OsString>, Errno> {
    path.components()
        .filter(|part| *part != Component::CurDir)
        .map(|part| match part {
            Component::RootDir | Component::Prefix(_) => Err(Errno::XDEV),
            Component::ParentDir | Component::CurDir | Component::Normal(_) => {
                Ok(part.as_os_str().to_owned())
            }
        })
        .collect()
}

/// Whether a refusal means that the path leads out of its root.
pub(crate) fn leads_out(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::XDEV.raw_os_error())
}

/// Whether a name may be one part of a path: no separator, no NUL, nothing that means a directory.
pub(crate) fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && name.len() <= 255 && !name.iter().any(|b| matches!(b, 0 | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::io::Read;
    use std::os::unix::fs::symlink;

    #[test]
    fn both_ways_of_resolving_stay_below_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("secret");
        fs::write(&outside, "secret").unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/file"), "inside").unwrap();
        for (link, target) in [
            ("a/up", "../.."),
            ("a/b/near", "../file"),
            ("out", "../secret"),
            ("absolute", outside.to_str().unwrap()),
            ("proc", "/proc/self/root"),
            ("loop", "loop"),
            ("ahead", "a/b"),
            ("dangling", "nowhere"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let opened = Root::open(&root).unwrap();
        let (inside, out) = (Ok("inside".to_owned()), Err(Errno::XDEV));
        for (path, follow, refuse) in [
            ("a/file", inside.clone(), inside.clone()),
            ("./a//b/../file", inside.clone(), inside.clone()),
            ("a/b/near", inside.clone(), Err(Errno::LOOP)),
            ("ahead/near", inside.clone(), Err(Errno::LOOP)),
            ("ahead/../file", inside.clone(), Err(Errno::LOOP)),
            ("../secret", out.clone(), out.clone()),
            ("a/../../secret", out.clone(), out.clone()),
            ("a/up/secret", out.clone(), Err(Errno::LOOP)),
            ("out", out.clone(), Err(Errno::LOOP)),
            ("absolute", out.clone(), Err(Errno::LOOP)),
            ("proc/etc/passwd", out.clone(), Err(Errno::LOOP)),
            ("/etc/passwd", out.clone(), out.clone()),
            ("loop", Err(Errno::LOOP), Err(Errno::LOOP)),
            ("dangling", Err(Errno::NOENT), Err(Errno::LOOP)),
            ("a/none", Err(Errno::NOENT), Err(Errno::NOENT)),
            ("a/file/x", Err(Errno::NOTDIR), Err(Errno::NOTDIR)),
        ] {
            for (links, expected) in [(Links::Inside, follow), (Links::Refused, refuse)] {
                let text = |fd: Result<OwnedFd, Errno>| {
                    fd.map(|fd| {
                        let mut text = String::new();
                        File::from(fd).read_to_string(&mut text).unwrap();
                        text
                    })
                };
                let by_steps = text(opened.by_steps(Path::new(path), OFlags::RDONLY, links));
                assert_eq!(by_steps, expected, "by steps: {path} {links:?}");
                match text(opened.by_kernel(Path::new(path), OFlags::RDONLY, links)) {
                    Err(Errno::NOSYS | Errno::PERM) => {}
                    by_kernel => assert_eq!(by_kernel, expected, "by kernel: {path} {links:?}"),
                }
            }
        }
    }
}
