//! What of the host a task sees elsewhere, in its own mount namespace, whose mounts nobody else sees.
//!
//! Everything is opened first and mounted by what was opened, so that no link that the task's user plants leads a
//! mount astray: sources stay in their allowed directory, targets in the sandbox are reached through no link.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, PROC_SUPER_MAGIC, StatVfsMountFlags, Uid, chownat, fstat,
    fstatfs, fstatvfs, mkdirat, openat,
};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount_bind_recursive, mount_change, mount_remount};

use crate::files::beneath::{Links, Root, leads_out};
use crate::spec::{Mount, Spec};

/// Something of the host, and where it is to be seen.
pub(super) struct Opened<'s> {
    mount: &'s Mount,
    source: OwnedFd,
    is_dir: bool,
}

fn cannot(mount: &Mount) -> impl Fn(String) -> String {
    let host = mount.root.join(&mount.source);
    move |why| format!("cannot mount {} at {}: {why}", host.display(), mount.target.display())
}

/// While the host's root is still `/`.
pub(super) fn open(spec: &Spec) -> Result<Vec<Opened<'_>>, String> {
    let open = |mount| {
        let cannot = cannot(mount);
        let source = source(mount).map_err(|e| cannot(told_of_source(&e)))?;
        let is_dir = kind(&source).map_err(|e| cannot(e.to_string()))? == FileType::Directory;
        Ok(Opened { mount, source, is_dir })
    };
    spec.mounts.iter().map(open).collect()
}

/// Before rights are given up.
pub(super) fn make(spec: &Spec, opened: Vec<Opened<'_>>) -> Result<(), String> {
    for Opened { mount, source, is_dir } in opened {
        let cannot = cannot(mount);
        let target = if mount.target.is_absolute() {
            if spec.root.is_some() {
                make_absolute(&mount.target, is_dir).map_err(|e| cannot(e.to_string()))?;
            }
            on_host(&mount.target).map_err(|e| cannot(told_of_host(&e)))?
        } else {
            make_place(spec, &mount.target, is_dir).map_err(|e| cannot(told_of_place(&e)))?
        };
        check_target(&target, is_dir).map_err(&cannot)?;
        mount_bind_recursive(path_of(&source), path_of(&target)).map_err(|e| cannot(e.to_string()))?;
        if mount.read_only {
            close_again(spec, mount).map_err(|e| cannot(format!("it cannot be made read-only: {e}")))?;
        }
    }
    Ok(())
}

fn told_of_source(e: &io::Error) -> String {
    match e.kind() {
        _ if leads_out(e) => "a link leads out of the directory that is allowed".to_owned(),
        io::ErrorKind::NotFound => "there is no such path on this host".to_owned(),
        _ => e.to_string(),
    }
}

fn told_of_host(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::NotFound => {
            "an absolute containerPath must be there on the host; make it, or name one without a leading slash, which is \
             made in the sandbox"
                .to_owned()
        }
        _ => e.to_string(),
    }
}

fn told_of_place(e: &io::Error) -> String {
    let link = e.raw_os_error() == Some(Errno::LOOP.raw_os_error());
    if link { "a link is in its place in the sandbox".to_owned() } else { e.to_string() }
}

fn source(mount: &Mount) -> io::Result<OwnedFd> {
    Root::open(&mount.root)?.get(&mount.source, OFlags::PATH, Links::Inside)
}

fn kind(fd: &OwnedFd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode))
}

fn on_host(target: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, target, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// In a root of the task's own, what is missing is made.
fn make_absolute(target: &Path, is_dir: bool) -> io::Result<()> {
    if is_dir {
        return fs::create_dir_all(target);
    }
    target.parent().map_or(Ok(()), fs::create_dir_all)?;
    match fs::File::create_new(target) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

fn in_sandbox(spec: &Spec, target: &Path) -> io::Result<OwnedFd> {
    Root::open(&spec.cwd)?.get(target, OFlags::PATH, Links::Refused)
}

/// Opens a place in the sandbox, made as the task's user's own where it is missing.
fn make_place(spec: &Spec, target: &Path, is_dir: bool) -> io::Result<OwnedFd> {
    let root = Root::open(&spec.cwd)?;
    let mut here = root.get(Path::new(""), OFlags::PATH, Links::Refused)?;
    let mut so_far = PathBuf::new();
    let mut parts = target.components().peekable();
    while let Some(part) = parts.next() {
        so_far.push(part);
        let part = part.as_os_str();
        let made = if is_dir || parts.peek().is_some() {
            mkdirat(&here, part, Mode::from_raw_mode(0o755))
        } else {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(&here, part, flags, Mode::from_raw_mode(0o644)).map(drop)
        };
        match (made, &spec.user) {
            (Ok(()), Some(user)) => {
                let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
                chownat(&here, part, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            (Ok(()), None) | (Err(Errno::EXIST), _) => {}
            (Err(e), _) => return Err(e.into()),
        }
        here = root.get(&so_far, OFlags::PATH, Links::Refused)?;
    }
    Ok(here)
}

/// The paths by which mounts are made go through `/proc`, so nothing may come to lie over that.
fn check_target(target: &OwnedFd, is_dir: bool) -> Result<(), String> {
    let look = || {
        let root = openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let (root, here) = (fstat(&root)?, fstat(target)?);
        let is_root = (root.st_dev, root.st_ino) == (here.st_dev, here.st_ino);
        Ok::<_, Errno>((is_root, fstatfs(target)?.f_type == PROC_SUPER_MAGIC, here))
    };
    let (is_root, in_proc, here) = look().map_err(|e| e.to_string())?;
    if is_root || in_proc {
        return Err("nothing can be mounted over / or in /proc".to_owned());
    }
    match (is_dir, FileType::from_raw_mode(here.st_mode) == FileType::Directory) {
        (true, false) => Err("one is a directory, the place for it is none".to_owned()),
        (false, true) => Err("one is no directory, the place for it is one".to_owned()),
        _ => Ok(()),
    }
}

pub(super) fn path_of(fd: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn close_again(spec: &Spec, mount: &Mount) -> io::Result<()> {
    // By its path again: what was opened before is what lies below the mount now.
    let top =
        if mount.target.is_absolute() { on_host(&mount.target) } else { in_sandbox(spec, &mount.target) }?;
    close(&top)
}

/// Makes what is mounted there read-only, with all that is mounted in it, now and later.
pub(super) fn close(top: &OwnedFd) -> io::Result<()> {
    mount_change(path_of(top), MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let top_id = mount_id(top)?;
    for place in below(&fs::read_to_string("/proc/self/mountinfo")?, top_id) {
        let one = openat(CWD, &place, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        restrict(one.as_fd())?;
    }
    restrict(top.as_fd())
}

/// What was forbidden on it stays so.
fn restrict(mount: BorrowedFd<'_>) -> io::Result<()> {
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    let now = fstatvfs(mount)?.f_flag;
    for (set, flag) in [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ] {
        flags.set(flag, now.contains(set));
    }
    Ok(mount_remount(path_of(&mount), flags, "")?)
}

fn mount_id(fd: &OwnedFd) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    id.ok_or_else(|| io::Error::other("the kernel does not tell what is mounted where"))
}

/// Where, of the mount table (proc(5)), the mounts below this one are.
fn below(mountinfo: &str, top: u64) -> Vec<PathBuf> {
    let fields = |line: &str| {
        let mut fields = line.split(' ');
        let id: u64 = fields.next()?.parse().ok()?;
        let parent: u64 = fields.next()?.parse().ok()?;
        Some((id, parent, unescaped(fields.nth(2)?)))
    };
    let all: Vec<(u64, u64, PathBuf)> = mountinfo.lines().filter_map(fields).collect();
    let mut inside = vec![top];
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(of) = inside.get(at).copied() {
        at += 1;
        for (id, _, place) in all.iter().filter(|(id, parent, _)| *parent == of && *id != of) {
            inside.push(*id);
            found.push(place.clone());
        }
    }
    found
}

/// Blanks and the like are written as three octal digits.
fn unescaped(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal =
            after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_a_mount_are_found_however_deep() {
        let table = "\
20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 20 8:1 /data /box/d rw - ext4 /dev/sda1 rw
31 30 8:2 / /box/d/with\\040blank rw - ext4 /dev/sdb1 rw
32 31 8:3 / /box/d/with\\040blank/deep rw - ext4 /dev/sdc1 rw
40 20 8:4 / /box/d2 rw - ext4 /dev/sdd1 rw
";
        let expected = ["/box/d/with blank", "/box/d/with blank/deep"].map(PathBuf::from);
        assert_eq!(below(table, 30), expected);
        assert_eq!(below(table, 40), [""; 0].map(PathBuf::from));
        assert_eq!(unescaped("a\\134b\\x"), PathBuf::from("a\\b\\x"));
    }
}
