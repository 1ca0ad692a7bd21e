//! A root file system of the task's own: its image, with a layer of the task's own over it, becomes `/`, and the host's is let go.
//!
//! What of the host is seen in there is opened before, and mounted by what was opened when the new root is `/` already: so no link
//! of the image leads to anything of the host. Files on it are owned as the image says; set-user-id programs have no effect.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, unmount};
use rustix::process::{fchdir, pivot_root, umask};

use super::mounts::{close, path_of};
use crate::spec::{RootFs, Spec};

/// Where Mesos' containers have their sandbox.
const SANDBOX: &str = "/mnt/mesos/sandbox";
/// What every program may expect; `tty` may be missing.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
];
/// By which names are found, as on the host.
const NETWORK: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];
/// Of `/tmp` and `/dev/shm`, which take memory of the task, where that has no limit.
const TMP_BYTES: u64 = 256 << 20;

/// The host's root, below which nothing of the task's is any more.
pub(super) struct Host(OwnedFd);

/// What of the host is opened before.
struct Opened {
    root: OwnedFd,
    sandbox: OwnedFd,
    sys: OwnedFd,
    devices: Vec<(&'static str, OwnedFd)>,
    network: Vec<(&'static str, OwnedFd)>,
}

type Failed<'w> = Box<dyn Fn(io::Error) -> String + 'w>;

fn cannot<'w>(what: &'w str) -> Failed<'w> {
    Box::new(move |e| format!("cannot give the task its root file system: {what}: {e}"))
}

fn open(path: &str) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// Those that there are.
fn open_all<'n>(names: &[&'n str], path: impl Fn(&str) -> String) -> io::Result<Vec<(&'n str, OwnedFd)>> {
    let mut all = Vec::new();
    for name in names {
        match open(&path(name)) {
            Ok(fd) => all.push((*name, fd)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(all)
}

impl Opened {
    fn of(spec: &Spec) -> io::Result<Self> {
        Ok(Self {
            root: open("/")?,
            sandbox: openat(CWD, &spec.cwd, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
            sys: open("/sys")?,
            devices: open_all(&DEVICES, |name| format!("/dev/{name}"))?,
            network: open_all(&NETWORK, str::to_owned)?,
        })
    }
}

/// Makes the task's root file system `/`, with the sandbox where it was. The host's is still there behind it, so that more of it can
/// be mounted, until [`Host::let_go`].
pub(super) fn enter(spec: &Spec, root: &RootFs) -> Result<Host, String> {
    if !(spec.namespaces.pid && spec.namespaces.mount) {
        return Err(cannot("that needs a mount and a pid namespace")(io::ErrorKind::Unsupported.into()));
    }
    let opened = Opened::of(spec).map_err(cannot("something of the host cannot be opened"))?;
    // Directories that are made on the way are for the task's user to pass.
    let before = umask(Mode::from_raw_mode(0o022));
    let entered = change(root).and_then(|()| furnish(spec, &opened));
    umask(before);
    entered.map(|()| Host(opened.root))
}

fn change(root: &RootFs) -> Result<(), String> {
    overlay(root).map_err(cannot(
        "no layer of its own can be laid over the image (overlayfs is needed, and a work directory on a file system that it can \
         write to)",
    ))?;
    std::env::set_current_dir(root.scratch.join("merged")).map_err(cannot("it cannot be entered"))?;
    // Both the same place: the host's root comes to lie over it, and is taken off in the end.
    pivot_root(".", ".").map_err(|e| cannot("it cannot be made /")(e.into()))?;
    std::env::set_current_dir("/").map_err(cannot("/ cannot be entered"))
}

/// By what was opened, since a path may hold what separates options.
fn overlay(root: &RootFs) -> io::Result<()> {
    let dir =
        |path: &Path| openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let (image, upper) = (dir(&root.image)?, dir(&root.scratch.join("upper"))?);
    let (work, merged) = (dir(&root.scratch.join("work"))?, dir(&root.scratch.join("merged"))?);
    let options =
        format!("lowerdir={},upperdir={},workdir={}", path_of(&image), path_of(&upper), path_of(&work));
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount("overlay", path_of(&merged), "overlay", flags, Some(CString::new(options)?.as_c_str()))?)
}

/// What every task may expect to be there.
fn furnish(spec: &Spec, host: &Opened) -> Result<(), String> {
    proc().map_err(cannot("/proc"))?;
    sys(host).map_err(cannot("/sys"))?;
    // Half of what the task may use, so that a full /tmp alone does not end it.
    let bytes = spec.limits.memory_bytes.map_or(TMP_BYTES, |bytes| bytes / 2);
    dev(host, bytes).map_err(cannot("/dev"))?;
    tmpfs("/tmp", MountFlags::NOSUID | MountFlags::NODEV, "1777", bytes).map_err(cannot("/tmp"))?;
    for (name, file) in &host.network {
        file_of_host(name, file).map_err(cannot(name))?;
    }
    fs::create_dir_all(&spec.cwd)
        .and_then(|()| Ok(mount_bind_recursive(path_of(&host.sandbox), &spec.cwd)?))
        .map_err(cannot("the sandbox"))
}

fn proc() -> io::Result<()> {
    fs::create_dir_all("/proc")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(mount("proc", "/proc", "proc", flags, None)?)
}

fn sys(host: &Opened) -> io::Result<()> {
    fs::create_dir_all("/sys")?;
    mount_bind_recursive(path_of(&host.sys), "/sys")?;
    close(&open("/sys")?)
}

fn dev(host: &Opened, bytes: u64) -> io::Result<()> {
    tmpfs("/dev", MountFlags::NOSUID | MountFlags::NOEXEC, "0755", 64 << 10)?;
    for (name, device) in &host.devices {
        let place = format!("/dev/{name}");
        File::create_new(&place)?;
        mount_bind(path_of(device), &place)?;
    }
    let closed = MountFlags::NOSUID | MountFlags::NOEXEC;
    DirBuilder::new().mode(0o755).create("/dev/pts")?;
    mount("devpts", "/dev/pts", "devpts", closed, Some(c"newinstance,ptmxmode=0666,mode=0620"))?;
    tmpfs("/dev/shm", closed | MountFlags::NODEV, "1777", bytes)?;
    LINKS.iter().try_for_each(|(target, link)| symlink(target, link))
}

fn tmpfs(place: &str, flags: MountFlags, mode: &str, bytes: u64) -> io::Result<()> {
    fs::create_dir_all(place)?;
    let options = CString::new(format!("mode={mode},size={bytes}"))?;
    Ok(mount("tmpfs", place, "tmpfs", flags, Some(options.as_c_str()))?)
}

/// A file as the host has it, which cannot be written to.
fn file_of_host(place: &str, file: &OwnedFd) -> io::Result<()> {
    if let Some(dir) = Path::new(place).parent() {
        fs::create_dir_all(dir)?;
    }
    // An image often has a link there, to what is made at a start that it never sees.
    match fs::symlink_metadata(place) {
        Ok(found) if found.is_file() => {}
        Ok(_) => {
            fs::remove_file(place)?;
            File::create_new(place)?;
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => drop(File::create_new(place)?),
        Err(e) => return Err(e),
    }
    mount_bind(path_of(file), place)?;
    close(&open(place)?)
}

impl Host {
    /// Shows the sandbox, with all that is mounted in it, where Mesos has it, and takes the host's root away.
    pub(super) fn let_go(self, spec: &Spec) -> Result<(), String> {
        let before = umask(Mode::from_raw_mode(0o022));
        let shown = fs::create_dir_all(SANDBOX).and_then(|()| Ok(mount_bind_recursive(&spec.cwd, SANDBOX)?));
        umask(before);
        shown.map_err(cannot(SANDBOX))?;
        let away = || {
            fchdir(&self.0)?;
            unmount(".", UnmountFlags::DETACH)?;
            Ok::<_, rustix::io::Errno>(())
        };
        away().map_err(|e| cannot("the host's does not go")(e.into()))?;
        std::env::set_current_dir("/").map_err(cannot("/ cannot be entered"))
    }
}
