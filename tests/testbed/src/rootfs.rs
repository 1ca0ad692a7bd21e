//! The root file system that all hosts of a release share: built once by mmdebstrap, kept in a cache
//! under a key made of everything that shapes it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::command::run;
use crate::error::{Error, Result};

const CUSTOMIZE: &str = include_str!("files/customize.sh");

/// A Debian release that hosts may run.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Release {
    /// glibc 2.31, systemd 247.
    #[value(name = "11")]
    Bullseye,
    /// glibc 2.36, systemd 252, etcd 3.4.
    #[default]
    #[value(name = "12")]
    Bookworm,
    /// glibc 2.41, systemd 257, sudo-rs beside sudo, etcd 3.5.
    #[value(name = "13")]
    Trixie,
}

impl Release {
    /// The suite's name in the archive.
    #[must_use]
    pub fn suite(self) -> &'static str {
        match self {
            Self::Bullseye => "bullseye",
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// The packages of a host: systemd, sshd, dbus, sudo, python3, a headless Java runtime (17, or the
    /// oldest the release has), and the kernel that guests boot.
    fn packages(self) -> Vec<&'static str> {
        let mut list = vec![
            "ca-certificates",
            "dbus",
            "iproute2",
            "iputils-ping",
            "kmod",
            "libpam-systemd",
            "openssh-server",
            "procps",
            "python3",
            "sudo",
            "systemd",
            "systemd-sysv",
            "udev",
            if cfg!(target_arch = "aarch64") { "linux-image-cloud-arm64" } else { "linux-image-cloud-amd64" },
        ];
        match self {
            Self::Bullseye | Self::Bookworm => list.push("openjdk-17-jre-headless"),
            Self::Trixie => list.extend(["openjdk-21-jre-headless", "sudo-rs"]),
        }
        list
    }
}

/// What a root file system is made from.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    release: Release,
    packages: Vec<String>,
}

impl Spec {
    pub(crate) fn new(release: Release, extra_packages: &[String]) -> Self {
        let mut packages: Vec<String> = release.packages().into_iter().map(str::to_owned).collect();
        packages.extend(extra_packages.iter().cloned());
        packages.sort();
        packages.dedup();
        Self { release, packages }
    }

    /// The name of the cached file system: the same for the same contents, in whatever order they were named.
    pub(crate) fn key(&self) -> String {
        let mut hash = Sha256::new();
        let (packages, options) = (self.packages.join(" "), OPTIONS.join(" "));
        for part in [self.release.suite(), std::env::consts::ARCH, &packages, &options, CUSTOMIZE] {
            hash.update(part);
            hash.update([0]);
        }
        let digest = hash.finalize().iter().take(6).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        format!("{}-{digest}", self.release.suite())
    }
}

/// A cached root file system. While the value lives, the cache keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Rootfs {
    pub(crate) path: PathBuf,
    _kept: Arc<fs::File>,
}

/// A root file system to take programs from. While the value lives, the cache keeps it.
#[derive(Clone, Debug)]
pub struct Root(Rootfs);

impl Root {
    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

/// The root file system of a host of that release with further packages; built when the cache does not have it. Nothing
/// of it is to be changed: hosts share it.
///
/// # Errors
/// When the machine is not fit for testbeds, or it cannot be built.
pub fn root_of(release: Release, packages: &[&str]) -> Result<Root> {
    crate::requirements::check(false)?;
    let packages: Vec<String> = packages.iter().map(|package| (*package).to_owned()).collect();
    let spec = Spec::new(release, &packages);
    crate::state::Registry::from_env()?.cache().ensure(&spec, &|_| {}).map(Root)
}

impl Rootfs {
    /// The newest kernel and its initial file system, as guests boot them.
    ///
    /// # Errors
    /// When the file system holds none.
    pub(crate) fn kernel(&self) -> Result<(PathBuf, PathBuf)> {
        let boot = self.path.join("boot");
        let entries = fs::read_dir(&boot).map_err(Error::io("read", &boot))?;
        let newest = entries
            .flatten()
            .filter_map(|e| {
                e.file_name().to_str().and_then(|n| n.strip_prefix("vmlinuz-")).map(str::to_owned)
            })
            .max()
            .ok_or_else(|| Error::Internal(format!("{} holds no kernel", boot.display())))?;
        Ok((boot.join(format!("vmlinuz-{newest}")), boot.join(format!("initrd.img-{newest}"))))
    }
}

/// Where cached root file systems are kept.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
}

impl Cache {
    pub(crate) fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The lock file of a key. It is never removed, so that it is the same for everybody.
    fn lock_file(&self, key: &str) -> Result<fs::File> {
        fs::create_dir_all(&self.dir).map_err(Error::io("create", &self.dir))?;
        let path = self.dir.join(format!("{key}.lock"));
        fs::File::create(&path).map_err(Error::io("create", path))
    }

    /// The file system of that key, for hosts that were made from it.
    ///
    /// # Errors
    /// When its lock cannot be taken.
    pub(crate) fn get(&self, key: &str) -> Result<Rootfs> {
        let lock = self.lock_file(key)?;
        lock.lock_shared().map_err(Error::io("lock", &self.dir))?;
        Ok(Rootfs { path: self.dir.join(key), _kept: Arc::new(lock) })
    }

    /// The root file system for `spec`; built when the cache does not have it. Only one process builds it,
    /// others wait. `report` is told when there is something to wait for.
    ///
    /// # Errors
    /// When mmdebstrap fails; nothing stays in the cache then.
    pub(crate) fn ensure(&self, spec: &Spec, report: &(dyn Fn(&str) + Sync)) -> Result<Rootfs> {
        let key = spec.key();
        let path = self.dir.join(&key);
        loop {
            if path.exists() {
                let found = self.get(&key)?;
                // It may have been cleared away before the lock was taken.
                if path.exists() {
                    return Ok(found);
                }
            }
            let lock = self.lock_file(&key)?;
            if lock.try_lock().is_err() {
                report(&format!("waiting for another run that builds the root file system {key}"));
                lock.lock().map_err(Error::io("lock", &self.dir))?;
            }
            if !path.exists() {
                report(&format!(
                    "building the root file system {key} with mmdebstrap, once: this takes a minute or two"
                ));
                self.build(spec, &key, &path)?;
            }
        }
    }

    /// Builds under another name, so that what a killed run left is never taken for the whole.
    fn build(&self, spec: &Spec, key: &str, path: &Path) -> Result<()> {
        let partial = self.dir.join(format!("{key}.partial"));
        let work = self.dir.join(format!("{key}.work"));
        remove_tree(&partial)?;
        remove_tree(&work)?;
        let built = bootstrap(spec, &work, &partial)
            .and_then(|()| run("sync", &["--file-system".as_ref(), partial.as_os_str()]).map(drop))
            .and_then(|()| fs::rename(&partial, path).map_err(Error::io("rename", &partial)));
        remove_tree(&work)?;
        if built.is_err() {
            remove_tree(&partial)?;
        }
        built
    }

    /// Removes the cached file systems whose keys `in_use` does not hold and that no process works with.
    /// Returns what was removed.
    ///
    /// # Errors
    /// When a directory cannot be read or removed.
    pub(crate) fn clear(&self, in_use: &[String]) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(Error::io("read", &self.dir))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let key = name.trim_end_matches(".partial").trim_end_matches(".work");
            let is_ours = is_key(key) && entry.file_type().is_ok_and(|t| t.is_dir());
            if !is_ours || in_use.iter().any(|used| used == key) {
                continue;
            }
            let lock = self.lock_file(key)?;
            if lock.try_lock().is_ok() {
                remove_tree(&entry.path())?;
                removed.push(name);
            }
        }
        Ok(removed)
    }
}

fn is_key(name: &str) -> bool {
    name.rsplit_once('-')
        .is_some_and(|(_, digest)| digest.len() == 12 && digest.bytes().all(|b| b.is_ascii_hexdigit()))
}

pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Io { action: "remove", path: path.into(), source: e })
        }
        _ => Ok(()),
    }
}

/// Options of mmdebstrap that are the same for every root file system.
const OPTIONS: [&str; 6] = [
    "--mode=root",
    "--variant=minbase",
    "--components=main",
    "--aptopt=APT::Install-Recommends \"false\"",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
];

/// Runs mmdebstrap where its mounts are seen by itself alone and end with it, however it ends; and it ends
/// when this process does.
fn bootstrap(spec: &Spec, work: &Path, target: &Path) -> Result<()> {
    fs::create_dir_all(work).map_err(Error::io("create", work))?;
    let script = work.join("customize.sh");
    fs::write(&script, CUSTOMIZE).map_err(Error::io("write", &script))?;
    let options = work.join("apt.conf");
    fs::write(&options, apt_options(&run("apt-config", &["dump"])?)).map_err(Error::io("write", &options))?;

    let mut args: Vec<String> = [
        "--pdeathsig=KILL",
        "unshare",
        "--mount",
        "--propagation=slave",
        "--pid",
        "--mount-proc",
        "--fork",
        "--kill-child",
        "mmdebstrap",
    ]
    .map(str::to_owned)
    .into();
    args.extend(OPTIONS.map(str::to_owned));
    args.extend([
        format!("--include={}", spec.packages.join(",")),
        format!("--aptopt={}", options.display()),
        format!("--customize-hook=sh {} \"$1\"", script.display()),
        spec.release.suite().to_owned(),
        target.display().to_string(),
    ]);
    let targets =
        run("apt-get", &["indextargets", "--format", "$(REPO_URI) $(ORIGIN)", "Created-By: Packages"])?;
    // Without a mirror of the machine's own, mmdebstrap knows Debian's.
    args.extend(debian_mirror(&targets));
    run("setpriv", &args).map(drop)
}

/// The Debian mirror among the lines `URI ORIGIN` of `apt-get indextargets`. Only forms of addresses that
/// mmdebstrap takes; lists of mirrors, as cloud images have them, are not.
fn debian_mirror(targets: &str) -> Option<String> {
    const SCHEMES: [&str; 4] = ["http://", "https://", "file://", "copy://"];
    targets
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(uri, origin)| {
            *origin == "Debian"
                && SCHEMES.iter().any(|scheme| uri.starts_with(scheme))
                && !uri.contains("security")
        })
        .map(|(uri, _)| uri.to_owned())
}

/// The settings of this machine's apt by which it reaches its mirrors.
fn apt_options(dump: &str) -> String {
    const KEPT: [&str; 4] = [
        "Acquire::http::Proxy ",
        "Acquire::https::Proxy ",
        "Acquire::Check-Valid-Until ",
        "Acquire::Check-Date ",
    ];
    let mut text = String::from("Acquire::Retries \"3\";\n");
    for line in dump.lines().filter(|line| KEPT.iter().any(|key| line.starts_with(key))) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_follows_the_contents_and_not_their_order() {
        let key = |release, extra: &[&str]| {
            Spec::new(release, &extra.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>()).key()
        };
        let plain = key(Release::Bookworm, &[]);
        assert!(plain.starts_with("bookworm-") && is_key(&plain), "{plain}");
        assert_eq!(
            key(Release::Bookworm, &["fish", "busybox"]),
            key(Release::Bookworm, &["busybox", "fish", "sudo"])
        );
        assert_ne!(key(Release::Bookworm, &["fish"]), plain);
        assert_ne!(key(Release::Trixie, &[]).split_once('-'), plain.split_once('-'));
    }

    #[test]
    fn the_machines_own_debian_mirror_is_taken() {
        for (targets, expected) in [
            ("http://n.example/ Node\nhttp://d.example/debian/ Debian", Some("http://d.example/debian/")),
            (
                "http://d.example/debian-security/ Debian\nhttp://d.example/debian/ Debian",
                Some("http://d.example/debian/"),
            ),
            ("http://b.example/ Debian Backports", None),
            ("mirror+file:/etc/apt/mirrors/debian.list/ Debian", None),
            ("http://u.example/ubuntu/ Ubuntu", None),
            ("", None),
        ] {
            assert_eq!(debian_mirror(targets).as_deref(), expected, "{targets}");
        }
    }

    #[test]
    fn of_apts_settings_only_the_way_to_the_mirror_is_taken() {
        let dump = "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"x://p:1\";\nAcquire::Check-Date \"false\";\n\
                    DPkg::Post-Invoke:: \"rm -rf x\";\n";
        assert_eq!(
            apt_options(dump),
            "Acquire::Retries \"3\";\nAcquire::http::Proxy \"x://p:1\";\nAcquire::Check-Date \"false\";\n"
        );
    }

    #[test]
    fn the_cache_gives_up_only_what_it_made_and_nobody_uses() {
        let dir = tempfile::tempdir().unwrap();
        let used = "bookworm-0123456789ab";
        for name in [
            used,
            "trixie-0123456789ab",
            "trixie-ffffffffffff.partial",
            "holiday-pictures",
            "bookworm-aaaaaaaaaaaa",
        ] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let cache = Cache::at(dir.path().into());
        let held = cache.get("bookworm-aaaaaaaaaaaa").unwrap();
        let mut removed = cache.clear(&[used.to_owned()]).unwrap();
        assert!(held.path.exists(), "somebody works with it");
        removed.sort();
        assert_eq!(removed, ["trixie-0123456789ab", "trixie-ffffffffffff.partial"]);
        assert!(dir.path().join(used).exists() && dir.path().join("holiday-pictures").exists());
    }
}
