//! What is known of the testbeds on this machine: a directory each, with a state file and two locks.
//!
//! `owner.lock` is held by the process that will tear the testbed down, for as long as that lives: the
//! kernel gives it up when the process ends, however it ends. A testbed whose lock nobody holds, and that
//! was not left standing on purpose, is what a killed run left. `state.lock` is held for one change.
//!
//! The number of a testbed names its bridge, rules and control groups. Directories of testbeds may be
//! several, the machine is one: a link `/run/clusterctl-testbed/<number>` says whose a number is.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::layout::{INDEXES, Kind, Layout};
use crate::net::{self, Rule};
use crate::rootfs::{Cache, Release};

/// Where testbeds stand unless `CLUSTERCTL_TESTBED_DIR` says otherwise.
const DIR: &str = "/var/lib/clusterctl-testbed";
/// Where root file systems are kept unless `CLUSTERCTL_TESTBED_CACHE` says otherwise.
const CACHE: &str = "/var/cache/clusterctl-testbed";
/// Links from each number in use to its testbed's directory, and the number that was given out last.
const NUMBERS: &str = "/run/clusterctl-testbed";

/// A testbed's state file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// What people call it; `tb<index>` unless named.
    pub(crate) name: String,
    pub(crate) index: u8,
    /// The machine's boot in which it was made: after a reboot nothing but files is left of it.
    pub(crate) boot_id: String,
    /// Left standing on purpose by the program that made it.
    pub(crate) detached: bool,
    pub(crate) release: Release,
    /// The key of the root file system in the cache.
    pub(crate) rootfs: String,
    pub(crate) hosts: Vec<HostState>,
    pub(crate) rules: Vec<Rule>,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostState {
    pub(crate) name: String,
    /// Counted from 1; gives the address.
    pub(crate) number: u8,
    pub(crate) kind: Kind,
    pub(crate) address: Ipv4Addr,
    /// Its host key's fingerprint as SSH shows it, `SHA256:…`.
    pub(crate) host_key: String,
}

impl State {
    pub(crate) fn layout(&self) -> Layout {
        Layout::new(self.index)
    }

    /// A host's port on the bridge; for a name that is none of its hosts, that of a container.
    pub(crate) fn interface(&self, host: &str) -> String {
        let kind = self.hosts.iter().find(|h| h.name == host).map_or(Kind::Nspawn, |h| h.kind);
        self.layout().interface(host, kind)
    }
}

/// A testbed's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    dir: PathBuf,
}

impl Home {
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The number in the directory's name, by which all else is found when there is no state.
    pub(crate) fn index(&self) -> Option<u8> {
        self.dir.file_name()?.to_str()?.strip_prefix("tb")?.parse().ok()
    }

    /// Whether the number, and with it all that is named by it, is this testbed's.
    pub(crate) fn holds_its_number(&self) -> bool {
        self.index().is_some_and(|index| fs::read_link(number_link(index)).is_ok_and(|dir| dir == self.dir))
    }

    /// Takes the number for this testbed, unless it is another's.
    fn take_number(&self, index: u8) -> Result<bool> {
        fs::create_dir_all(NUMBERS).map_err(Error::io("create", NUMBERS))?;
        let link = number_link(index);
        match std::os::unix::fs::symlink(&self.dir, &link) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(source) => Err(Error::Io { action: "create", path: link, source }),
        }
    }

    pub(crate) fn host_dir(&self, host: &str) -> PathBuf {
        self.dir.join("hosts").join(host)
    }

    fn state_path(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    pub(crate) fn load(&self) -> Result<State> {
        let path = self.state_path();
        let text = fs::read(&path).map_err(Error::io("read", &path))?;
        serde_json::from_slice(&text).map_err(|source| Error::State { path, source })
    }

    fn save(&self, state: &State) -> Result<()> {
        let path = self.state_path();
        let text =
            serde_json::to_vec_pretty(state).map_err(|source| Error::State { path: path.clone(), source })?;
        write_whole(&path, &text)
    }

    /// Changes the state; `change` sees what is on disk, and `then` is carried out before another process
    /// may change it.
    pub(crate) fn update(
        &self,
        change: impl FnOnce(&mut State) -> Result<()>,
        then: impl FnOnce(&State) -> Result<()>,
    ) -> Result<State> {
        let path = self.dir.join("state.lock");
        let lock = File::create(&path).map_err(Error::io("create", &path))?;
        lock.lock().map_err(Error::io("lock", &path))?;
        let mut state = self.load()?;
        change(&mut state)?;
        self.save(&state)?;
        then(&state)?;
        Ok(state)
    }

    /// Takes the owner's lock if nobody holds it.
    pub(crate) fn try_own(&self) -> Result<Option<File>> {
        let path = self.dir.join("owner.lock");
        let lock = File::create(&path).map_err(Error::io("create", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(source)) => Err(Error::Io { action: "lock", path, source }),
        }
    }
}

/// All testbeds of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    dir: PathBuf,
    cache: PathBuf,
}

impl Registry {
    /// The registry that the environment names, or the machine's.
    pub(crate) fn from_env() -> Self {
        let path = |name: &str, default: &str| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map_or_else(|| PathBuf::from(default), PathBuf::from)
        };
        Self { dir: path("CLUSTERCTL_TESTBED_DIR", DIR), cache: path("CLUSTERCTL_TESTBED_CACHE", CACHE) }
    }

    pub(crate) fn cache(&self) -> Cache {
        Cache::at(self.cache.clone())
    }

    /// Held while testbeds are claimed or collected, so that one is never taken for abandoned while it is
    /// being made.
    pub(crate) fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.dir).map_err(Error::io("create", &self.dir))?;
        let path = self.dir.join("lock");
        let lock = File::create(&path).map_err(Error::io("create", &path))?;
        lock.lock().map_err(Error::io("lock", &path))?;
        Ok(lock)
    }

    /// The directories of all testbeds, by number.
    pub(crate) fn homes(&self) -> Result<Vec<Home>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(Error::Io { action: "read", path: self.dir.clone(), source }),
        };
        let mut homes: Vec<Home> =
            entries.flatten().map(|e| Home { dir: e.path() }).filter(|home| home.index().is_some()).collect();
        homes.sort_by_key(Home::index);
        Ok(homes)
    }

    /// Takes a free number: its directory, its bridge, and the owner's lock. The state's `index`, `name` (if
    /// empty) and `boot_id` are filled in.
    ///
    /// # Errors
    /// When the name is taken, no number is free, or the bridge cannot be made.
    pub(crate) fn claim(&self, mut state: State) -> Result<(Home, File)> {
        let _lock = self.lock()?;
        let homes = self.homes()?;
        if homes.iter().filter_map(|home| home.load().ok()).any(|s| s.name == state.name) {
            return Err(Error::Usage(format!(
                "there is a testbed called `{0}` already; take another name, or end it with `testbed down --name {0}`",
                state.name
            )));
        }
        state.boot_id = boot_id()?;
        let last_path = Path::new(NUMBERS).join("last");
        let last = fs::read_to_string(&last_path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        for index in numbers_after(last) {
            let home = Home { dir: self.dir.join(format!("tb{index}")) };
            if homes.contains(&home) || !net::is_free(Layout::new(index))? {
                continue;
            }
            state.index = index;
            let mut named = state.clone();
            if named.name.is_empty() {
                named.name = format!("tb{index}");
            }
            fs::create_dir_all(home.dir()).map_err(Error::io("create", home.dir()))?;
            // State and lock come before anything outside the directory, so that `gc` finds all of it.
            home.save(&named)?;
            let Some(owner) = home.try_own()? else { continue };
            if !home.take_number(index)? {
                crate::rootfs::remove_tree(home.dir())?;
                continue;
            }
            write_whole(&last_path, index.to_string().as_bytes())?;
            if let Err(error) = net::create_bridge(named.layout()) {
                crate::gc::teardown(&home)?;
                return Err(error);
            }
            return Ok((home, owner));
        }
        Err(Error::Usage(format!(
            "no free number for another testbed between {} and {}; `testbed list` shows those there are",
            INDEXES.start(),
            INDEXES.end()
        )))
    }

    /// The testbed of that name; without a name, the only one.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<(Home, State)> {
        let mut all = Vec::new();
        for home in self.homes()? {
            if let Ok(state) = home.load() {
                all.push((home, state));
            }
        }
        let names = all.iter().map(|(_, s)| s.name.clone()).collect::<Vec<_>>().join(", ");
        match (name, all.len()) {
            (_, 0) => Err(Error::Usage("there is no testbed; `testbed up` makes one".into())),
            (None, 1) => Ok(all.remove(0)),
            (None, _) => {
                Err(Error::Usage(format!("there are several testbeds, say which by --name: {names}")))
            }
            (Some(name), _) => all.into_iter().find(|(_, s)| s.name == name).ok_or_else(|| {
                Error::Usage(format!("there is no testbed called `{name}`; there is {names}"))
            }),
        }
    }
}

/// All numbers, beginning behind the last one given out: a number is taken again as late as possible, so that
/// what still speaks to a testbed that has ended does not meet another.
fn numbers_after(last: u8) -> impl Iterator<Item = u8> {
    let (first, count) = (u16::from(*INDEXES.start()), u16::from(*INDEXES.end()));
    INDEXES.filter_map(move |step| {
        let number = first + (u16::from(last) + u16::from(step) - first) % count;
        u8::try_from(number).ok()
    })
}

fn number_link(index: u8) -> PathBuf {
    Path::new(NUMBERS).join(index.to_string())
}

/// Gives a number back, when nothing named by it is left.
pub(crate) fn give_number_back(index: u8) -> Result<()> {
    let link = number_link(index);
    fs::remove_file(&link).map_err(Error::io("remove", link))
}

/// The numbers whose testbed's directory is not there, each with the directory it was.
pub(crate) fn numbers_without_directory() -> Vec<(u8, PathBuf)> {
    let links = fs::read_dir(NUMBERS).into_iter().flatten().flatten();
    links
        .filter_map(|link| Some((link.file_name().to_str()?.parse().ok()?, fs::read_link(link.path()).ok()?)))
        .filter(|(_, dir)| !dir.exists())
        .collect()
}

/// Writes a file so that a reader, or a run after a crash, sees the old text or the new one.
pub(crate) fn write_whole(path: &Path, text: &[u8]) -> Result<()> {
    let partial = path.with_extension("partial");
    let mut file = File::create(&partial).map_err(Error::io("create", &partial))?;
    file.write_all(text).and_then(|()| file.sync_all()).map_err(Error::io("write", &partial))?;
    fs::rename(&partial, path).map_err(Error::io("rename", &partial))
}

/// The machine's boot, as a random identifier.
pub(crate) fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    Ok(fs::read_to_string(path).map_err(Error::io("read", path))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(name: &str) -> State {
        State {
            name: name.to_owned(),
            index: 3,
            boot_id: "b".into(),
            detached: false,
            release: Release::Bookworm,
            rootfs: "bookworm-0123456789ab".into(),
            hosts: vec![HostState {
                name: "h1".into(),
                number: 1,
                kind: Kind::Nspawn,
                address: Layout::new(3).address(1),
                host_key: "SHA256:x".into(),
            }],
            rules: vec![Rule::all_of(net::End::Machine, net::End::Host("h1".into()))],
        }
    }

    fn home(registry: &Registry, number: u8, name: &str) -> Home {
        let home = Home { dir: registry.dir.join(format!("tb{number}")) };
        fs::create_dir_all(home.dir()).unwrap();
        home.save(&state(name)).unwrap();
        home
    }

    fn registry(dir: &Path) -> Registry {
        Registry { dir: dir.join("testbeds"), cache: dir.join("cache") }
    }

    #[test]
    fn state_is_the_same_after_a_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(&registry(dir.path()), 3, "demo");
        assert_eq!(home.load().unwrap(), state("demo"));
        let changed = home
            .update(
                |s| {
                    s.detached = true;
                    Ok(())
                },
                |_| Ok(()),
            )
            .unwrap();
        assert!(changed.detached);
        assert_eq!(home.load().unwrap(), changed);
    }

    #[test]
    fn numbers_go_round_and_leave_none_out() {
        let from = |last| numbers_after(last).collect::<Vec<_>>();
        assert_eq!(from(0)[..3], [1, 2, 3]);
        assert_eq!(from(249)[..3], [250, 1, 2]);
        assert_eq!(from(250)[..3], [1, 2, 3]);
        for last in 0..=u8::MAX {
            let mut all = from(last);
            all.sort_unstable();
            assert_eq!(all, INDEXES.collect::<Vec<_>>(), "after {last}");
        }
    }

    #[test]
    fn a_change_that_fails_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(&registry(dir.path()), 3, "demo");
        home.update(
            |s| {
                s.name = "other".into();
                Err(Error::Usage("no".into()))
            },
            |_| Ok(()),
        )
        .unwrap_err();
        assert_eq!(home.load().unwrap().name, "demo");
    }

    #[test]
    fn only_one_can_own_a_testbed_and_the_lock_ends_with_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(&registry(dir.path()), 3, "demo");
        let owner = home.try_own().unwrap();
        assert!(owner.is_some());
        assert!(home.try_own().unwrap().is_none());
        drop(owner);
        assert!(home.try_own().unwrap().is_some());
    }

    #[test]
    fn a_testbed_is_found_by_name_or_when_it_is_the_only_one() {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry(dir.path());
        assert!(registry.find(None).unwrap_err().to_string().contains("testbed up"));
        home(&registry, 3, "demo");
        fs::create_dir_all(registry.dir.join("not-a-testbed")).unwrap();
        assert_eq!(registry.find(None).unwrap().1.name, "demo");
        home(&registry, 12, "other");
        assert!(registry.find(None).unwrap_err().to_string().contains("demo, other"));
        assert_eq!(registry.find(Some("other")).unwrap().0.index(), Some(12));
        assert!(registry.find(Some("x")).unwrap_err().to_string().contains("`x`"));
    }

    #[test]
    fn a_state_of_another_shape_is_refused_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(&registry(dir.path()), 3, "demo");
        fs::write(home.state_path(), "{\"name\": 1}").unwrap();
        let error = home.load().unwrap_err().to_string();
        assert!(error.contains("state.json") && error.contains("testbed gc"), "{error}");
    }
}
