//! What of its host a task may have, and how it gets it: mounts where it has mounts of its own, else links in its sandbox.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use api::mesos::Volume;
use rustix::fs::{Mode, OFlags, mkdirat, symlinkat};
use rustix::io::Errno;

use super::launching::Terms;
use crate::files::beneath::{Links, Root, leads_out};
use crate::spec::Mount;

/// How a task's volumes come about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Placed {
    /// For its shim.
    pub(super) mounts: Vec<Mount>,
    /// Without mounts of its own.
    pub(super) links: Vec<Link>,
}

/// A link in a sandbox to something of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    root: PathBuf,
    source: PathBuf,
    at: PathBuf,
}

/// Decides; looks at nothing.
pub(super) fn place(volumes: &[Volume], terms: &Terms) -> Result<Placed, String> {
    let mut placed = Placed::default();
    let mut taken: Vec<PathBuf> = Vec::new();
    for volume in volumes {
        let (root, source) = allowed(&volume.host_path, &terms.host_paths)?;
        let target = target(&volume.container_path)?;
        if let Some(other) =
            taken.iter().find(|other| target.starts_with(other) || other.starts_with(&target))
        {
            return Err(format!(
                "volumes at {} and {} are in each other's way: choose other places",
                other.display(),
                target.display()
            ));
        }
        taken.push(target.clone());
        if terms.means.namespaces.mount {
            placed.mounts.push(Mount { root, source, target, read_only: volume.read_only });
        } else if volume.read_only || target.is_absolute() {
            return Err(format!(
                "volume {} is not possible: without root, this agent can give a task nothing but links in its sandbox; \
                 make the mode RW and the containerPath relative, or run the agent as root",
                volume.container_path
            ));
        } else {
            placed.links.push(Link { root, source, at: target });
        }
    }
    Ok(placed)
}

/// The allowed directory that the path lies in, the innermost one, and its place there.
fn allowed(path: &str, roots: &[PathBuf]) -> Result<(PathBuf, PathBuf), String> {
    let clean = clean(path).filter(|path| path.is_absolute());
    let clean =
        clean.ok_or_else(|| format!("the volume's hostPath {path:?} must be absolute and without '..'"))?;
    let root =
        roots.iter().filter(|root| clean.starts_with(root)).max_by_key(|root| root.components().count());
    let found = root.and_then(|root| Some((root.clone(), clean.strip_prefix(root).ok()?.to_owned())));
    found.ok_or_else(|| {
        format!(
            "the volume's hostPath {path} is in no directory that this agent's operator allows: \
             start the agent with --allow-host-path"
        )
    })
}

fn target(path: &str) -> Result<PathBuf, String> {
    let clean = clean(path).filter(|path| path.components().any(|part| matches!(part, Component::Normal(_))));
    clean.filter(|path| !path.starts_with("/proc")).ok_or_else(|| {
        format!("the volume's containerPath {path:?} must name a place, without '..' and not in /proc")
    })
}

/// Without `.` and double slashes; nothing when it climbs or cannot be a path.
fn clean(path: &str) -> Option<PathBuf> {
    let parts = Path::new(path).components().filter(|part| *part != Component::CurDir);
    let clean: PathBuf = parts.collect();
    let climbs = clean.components().any(|part| part == Component::ParentDir);
    (!climbs && !path.contains('\0')).then_some(clean)
}

/// Makes the links. What is in their place already stays, and is an error.
pub(super) fn link(links: &[Link], sandbox: &Path) -> Result<(), String> {
    for link in links {
        let host = link.root.join(&link.source);
        let cannot = |e: io::Error| {
            format!("cannot give the task {} as {}: {}", host.display(), link.at.display(), told(&e))
        };
        let root = Root::open(&link.root).map_err(cannot)?;
        root.get(&link.source, OFlags::PATH, Links::Inside).map_err(cannot)?;
        let (parent, name) = parent_of(sandbox, &link.at).map_err(cannot)?;
        symlinkat(&host, parent.as_fd(), name).map_err(|e| cannot(e.into()))?;
    }
    Ok(())
}

fn told(e: &io::Error) -> String {
    if leads_out(e) { "a link leads out of what is allowed".to_owned() } else { e.to_string() }
}

/// Opens the directory of a path in the sandbox, made where it is missing, through no link.
fn parent_of<'a>(sandbox: &Path, path: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
    let name = path.file_name().ok_or(Errno::INVAL)?;
    let root = Root::open(sandbox)?;
    let mut here = root.get(Path::new(""), OFlags::PATH | OFlags::DIRECTORY, Links::Refused)?;
    let mut so_far = PathBuf::new();
    for part in path.parent().into_iter().flat_map(Path::components) {
        match mkdirat(&here, part.as_os_str(), Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
        so_far.push(part);
        here = root.get(&so_far, OFlags::PATH | OFlags::DIRECTORY, Links::Refused)?;
    }
    Ok((here, name))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::daemon::isolation::{Isolation, Means};
    use crate::spec::Namespaces;

    fn terms(mounts: bool, host_paths: &[&str]) -> Terms {
        let mut means = Means::find(&Isolation::Off, Path::new("/w"));
        means.namespaces = Namespaces { pid: mounts, mount: mounts };
        Terms {
            means,
            user: None,
            guarded: false,
            pids: 1,
            host_paths: host_paths.iter().map(PathBuf::from).collect(),
            endpoint: "127.0.0.1:5051".parse().unwrap(),
            roots: crate::daemon::roots::Roots::of(Path::new("/w")),
        }
    }

    fn volume(container_path: &str, host_path: &str, read_only: bool) -> Volume {
        Volume { container_path: container_path.into(), host_path: host_path.into(), read_only }
    }

    #[test]
    fn what_may_be_mounted_and_where() {
        const ROOTS: &[&str] = &["/data", "/data/deep", "/srv/x"];
        // With a mount namespace, and without one.
        for (at, host, read_only, mounted, linked) in [
            ("d", "/data/a", false, true, true),
            ("./d//e/", "/data//a/./b", false, true, true),
            ("d", "/data", true, true, false),
            ("/mnt/d", "/data", false, true, false),
            ("d", "/data/deep/er", false, true, true),
            ("d", "/database", false, false, false),
            ("d", "/data/../etc", false, false, false),
            ("d", "/", false, false, false),
            ("d", "data", false, false, false),
            ("d", "/data/a\0", false, false, false),
            ("../d", "/data", false, false, false),
            (".", "/data", false, false, false),
            ("", "/data", false, false, false),
            ("/", "/data", false, false, false),
            ("/proc", "/data", false, false, false),
            ("//proc/./sys", "/data", false, false, false),
        ] {
            let volumes = [volume(at, host, read_only)];
            let by = |mounts| place(&volumes, &terms(mounts, ROOTS));
            assert_eq!((by(true).is_ok(), by(false).is_ok()), (mounted, linked), "{at} {host} {read_only}");
            let none = place(&volumes, &terms(true, &[]));
            assert!(none.is_err(), "nothing is allowed unless the operator says so");
        }
        let deep = place(&[volume("./a/", "/data/deep/x", true)], &terms(true, ROOTS)).unwrap();
        let expected =
            Mount { root: "/data/deep".into(), source: "x".into(), target: "a".into(), read_only: true };
        assert_eq!(deep.mounts, [expected]);
        for (one, other) in [("a", "a/b"), ("a/b", "./a"), ("/mnt", "/mnt/x")] {
            let both = [volume(one, "/data", false), volume(other, "/data", false)];
            assert!(place(&both, &terms(true, ROOTS)).unwrap_err().contains("in each other's way"));
        }
        let denied = place(&[volume("d", "/etc", false)], &terms(true, ROOTS)).unwrap_err();
        assert!(denied.contains("/etc") && denied.contains("--allow-host-path"), "{denied}");
    }

    #[test]
    fn a_link_is_made_where_nothing_is_and_through_no_other_link() {
        let dir = tempfile::tempdir().unwrap();
        let [sandbox, data, other] = ["sandbox", "data", "other"].map(|name| dir.path().join(name));
        for made in [&sandbox, &data.join("in"), &other] {
            fs::create_dir_all(made).unwrap();
        }
        fs::write(sandbox.join("file"), "x").unwrap();
        symlink(&other, sandbox.join("away")).unwrap();
        symlink(&other, data.join("out")).unwrap();
        let make = |at: &str, source: &str| {
            link(&[Link { root: data.clone(), source: source.into(), at: at.into() }], &sandbox)
        };
        make("a/b/c", "in").unwrap();
        assert_eq!(fs::read_link(sandbox.join("a/b/c")).unwrap(), data.join("in"));
        make("all", "").unwrap();
        for (at, source, why) in [
            ("file", "in", "File exists"),
            ("file/x", "in", "Not a directory"),
            ("away/x", "in", "symbolic links"),
            ("new", "none", "No such file"),
            ("new", "out", "leads out of what is allowed"),
        ] {
            let error = make(at, source).unwrap_err();
            assert!(error.contains(why), "{at} {source}: {error}");
        }
        assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
        assert!(!sandbox.join("new").exists());
    }
}
