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
use crate::rootfs::{Cache, Release, remove_tree};

/// Where testbeds stand unless `CLUSTERCTL_TESTBED_DIR` says otherwise.
const DIR: &str = "/var/lib/clusterctl-testbed";
/// Where root file systems are kept unless `CLUSTERCTL_TESTBED_CACHE` says otherwise.
const CACHE: &str = "/var/cache/clusterctl-testbed";
/// Links from each number in use to its testbed's directory, and the number that was given out last.
const NUMBERS: &str = "/run/clusterctl-testbed";
const OWNER_LOCK: &str = "owner.lock";
/// Directories that are not yet, or no longer, a testbed's.
const GONE: &str = "gone-";

/// A testbed's state file. Fields may be added, with a default: other builds read it too.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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

    /// The number in the directory's name, by which all else is found.
    pub(crate) fn index(&self) -> Option<u8> {
        let name = self.dir.file_name()?.to_str()?;
        INDEXES.into_iter().find(|index| name == directory_name(*index))
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

    /// Held for one change of the testbed.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.dir.join("state.lock");
        let lock = File::create(&path).map_err(Error::io("create", &path))?;
        lock.lock().map_err(Error::io("lock", &path))?;
        Ok(lock)
    }

    /// Changes the state; `change` sees what is on disk, and `then` is carried out before another process
    /// may change it.
    pub(crate) fn update(
        &self,
        change: impl FnOnce(&mut State) -> Result<()>,
        then: impl FnOnce(&State) -> Result<()>,
    ) -> Result<State> {
        let _lock = self.lock()?;
        let mut state = self.load()?;
        change(&mut state)?;
        self.save(&state)?;
        then(&state)?;
        Ok(state)
    }

    /// Takes the owner's lock if nobody holds it. Nothing also when the directory has just gone.
    pub(crate) fn try_own(&self) -> Result<Option<File>> {
        let path = self.dir.join(OWNER_LOCK);
        // Never made here: a testbed that is just being removed would be half there again.
        let lock = match File::open(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(Error::io("open", &path))?,
        };
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(source)) => Err(Error::Io { action: "lock", path, source }),
        }
    }

    /// Takes the directory out of sight in one step, then removes it.
    pub(crate) fn remove(&self) -> Result<()> {
        let Some(parent) = self.dir.parent() else { return Ok(()) };
        let gone = parent.join(format!("{GONE}{}", crate::prepare::machine_id()?));
        match fs::rename(&self.dir, &gone) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed.map_err(Error::io("rename", &self.dir))?,
        }
        remove_tree(&gone)
    }
}

/// All testbeds of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    dir: PathBuf,
    cache: PathBuf,
}

impl Registry {
    /// The registry that the environment names, or the machine's. Its directory is made.
    ///
    /// # Errors
    /// When a directory cannot be made, or its name cannot stand in a mount's options.
    pub(crate) fn from_env() -> Result<Self> {
        let path = |name: &str, default: &str| {
            let path = std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map_or_else(|| PathBuf::from(default), PathBuf::from);
            fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
            // One name for one directory: it is compared with what the kernel and other processes say.
            let path = fs::canonicalize(&path).map_err(Error::io("resolve", &path))?;
            if path.to_string_lossy().contains([',', ':', ' ', '\\']) {
                let path = path.display();
                return Err(Error::Usage(format!(
                    "{name} is {path}: commas, colons, spaces and backslashes cannot stand in a mount's options"
                )));
            }
            Ok(path)
        };
        Ok(Self {
            dir: path("CLUSTERCTL_TESTBED_DIR", DIR)?,
            cache: path("CLUSTERCTL_TESTBED_CACHE", CACHE)?,
        })
    }

    pub(crate) fn cache(&self) -> Cache {
        Cache::at(self.cache.clone())
    }

    /// What is left of testbeds whose removal was broken off.
    pub(crate) fn remove_gone(&self) -> Result<()> {
        for entry in fs::read_dir(&self.dir).map_err(Error::io("read", &self.dir))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(GONE) {
                remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }

    /// The directories of all testbeds, by number.
    pub(crate) fn homes(&self) -> Result<Vec<Home>> {
        let entries = fs::read_dir(&self.dir).map_err(Error::io("read", &self.dir))?;
        let mut homes: Vec<Home> =
            entries.flatten().map(|e| Home { dir: e.path() }).filter(|home| home.index().is_some()).collect();
        homes.sort_by_key(Home::index);
        Ok(homes)
    }

    /// The testbeds whose state can be read.
    pub(crate) fn all(&self) -> Result<Vec<(Home, State)>> {
        let homes = self.homes()?.into_iter();
        Ok(homes.filter_map(|home| home.load().ok().map(|state| (home, state))).collect())
    }

    /// Takes a free number: its directory, its bridge, and the owner's lock. The state's `index`, `name` (if
    /// empty) and `boot_id` are filled in.
    ///
    /// # Errors
    /// When the name is taken, no number is free, or the bridge cannot be made; nothing stays behind.
    pub(crate) fn claim(&self, mut state: State) -> Result<(Home, State, File)> {
        let _lock = machine_lock()?;
        if self.all()?.iter().any(|(_, s)| s.name == state.name) {
            return Err(Error::Usage(format!(
                "there is a testbed called `{0}` already; take another name, or end it with `testbed down --name {0}`",
                state.name
            )));
        }
        state.boot_id = boot_id()?;
        let unnamed = state.name.is_empty();
        let last_path = Path::new(NUMBERS).join("last");
        let last = fs::read_to_string(&last_path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        for index in numbers_after(last) {
            let home = Home { dir: self.dir.join(directory_name(index)) };
            if home.dir().exists() || !net::is_free(Layout::new(index))? {
                continue;
            }
            state.index = index;
            if unnamed {
                state.name = directory_name(index);
            }
            let Some(owner) = self.create(&home, &state)? else { continue };
            let made = home.take_number(index).and_then(|mine| {
                if mine {
                    net::create_bridge(state.layout())?;
                }
                Ok(mine)
            });
            match made {
                Ok(true) => {
                    // Only the order in which numbers are tried hangs on it.
                    let _ = write_whole(&last_path, index.to_string().as_bytes());
                    return Ok((home, state, owner));
                }
                Ok(false) => home.remove()?,
                Err(error) => {
                    crate::gc::teardown(&home)?;
                    return Err(error);
                }
            }
        }
        Err(Error::Usage(format!(
            "no number between {} and {} is free for another testbed: each is taken (`testbed list`), or a route of \
             this machine leads to its network 10.213.<number>.0/24 (`ip route`)",
            INDEXES.start(),
            INDEXES.end()
        )))
    }

    /// Makes a testbed's directory, whole at once: with its state, and its owner's lock held. Nothing when
    /// it is there already.
    fn create(&self, home: &Home, state: &State) -> Result<Option<File>> {
        let partial = Home { dir: self.dir.join(format!("{GONE}{}", crate::prepare::machine_id()?)) };
        fs::create_dir(partial.dir()).map_err(Error::io("create", partial.dir()))?;
        let lock_path = partial.dir().join(OWNER_LOCK);
        let made = File::create(&lock_path)
            .and_then(|lock| lock.lock().map(|()| lock))
            .map_err(Error::io("create", &lock_path))
            .and_then(|lock| partial.save(state).map(|()| lock));
        let owner = match made {
            Ok(owner) => owner,
            Err(error) => {
                remove_tree(partial.dir())?;
                return Err(error);
            }
        };
        if fs::rename(partial.dir(), home.dir()).is_err() {
            remove_tree(partial.dir())?;
            return Ok(None);
        }
        Ok(Some(owner))
    }

    /// The testbed of that name; without a name, the only one.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<(Home, State)> {
        let mut all = self.all()?;
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

fn directory_name(index: u8) -> String {
    format!("tb{index}")
}

fn number_link(index: u8) -> PathBuf {
    Path::new(NUMBERS).join(index.to_string())
}

/// Gives a number back, when nothing named by it is left.
pub(crate) fn give_number_back(index: u8) -> Result<()> {
    let link = number_link(index);
    fs::remove_file(&link).map_err(Error::io("remove", link))
}

/// Held while numbers are taken or collected on this machine, so that no testbed is taken for abandoned
/// while it is being made, whatever its registry.
pub(crate) fn machine_lock() -> Result<File> {
    fs::create_dir_all(NUMBERS).map_err(Error::io("create", NUMBERS))?;
    let path = Path::new(NUMBERS).join("lock");
    let lock = File::create(&path).map_err(Error::io("create", &path))?;
    lock.lock().map_err(Error::io("lock", &path))?;
    Ok(lock)
}

/// The numbers in use, each with its testbed's directory, in whatever registry.
pub(crate) fn numbers() -> Vec<(u8, Home)> {
    let links = fs::read_dir(NUMBERS).into_iter().flatten().flatten();
    links
        .filter_map(|link| Some((link.file_name().to_str()?.parse().ok()?, fs::read_link(link.path()).ok()?)))
        .map(|(index, dir)| (index, Home { dir }))
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
        File::create(home.dir().join(OWNER_LOCK)).unwrap();
        home
    }

    fn registry(dir: &Path) -> Registry {
        let registry = Registry { dir: dir.join("testbeds"), cache: dir.join("cache") };
        fs::create_dir_all(&registry.dir).unwrap();
        registry
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
        // A process that another test is just starting has the file open until it runs its program.
        let begin = std::time::Instant::now();
        while home.try_own().unwrap().is_none() {
            assert!(begin.elapsed().as_secs() < 10, "nobody gives the lock up");
            std::thread::yield_now();
        }
    }

    #[test]
    fn only_directories_that_we_make_are_testbeds() {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry(dir.path());
        for name in ["tb1", "tb250", "tb0", "tb251", "tb007", "tb+7", "tb", "tb1.old", "holiday"] {
            fs::create_dir_all(registry.dir.join(name)).unwrap();
        }
        let found: Vec<_> = registry.homes().unwrap().iter().filter_map(Home::index).collect();
        assert_eq!(found, [1, 250]);
    }

    #[test]
    fn a_testbed_appears_whole_and_owned_and_goes_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry(dir.path());
        let home = Home { dir: registry.dir.join("tb3") };
        let owner = registry.create(&home, &state("demo")).unwrap().expect("nothing is in the way");
        assert_eq!(home.load().unwrap(), state("demo"));
        assert!(home.try_own().unwrap().is_none(), "it is owned from the beginning");
        assert!(registry.create(&home, &state("other")).unwrap().is_none(), "it is there");
        assert_eq!(home.load().unwrap().name, "demo");
        drop(owner);
        home.remove().unwrap();
        assert!(home.try_own().unwrap().is_none() && !home.dir().exists(), "nothing makes it anew");
        assert_eq!(fs::read_dir(&registry.dir).unwrap().count(), 0);
        home.remove().unwrap();
    }

    #[test]
    fn a_state_with_fields_of_a_later_build_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(&registry(dir.path()), 3, "demo");
        let text = fs::read_to_string(home.state_path()).unwrap();
        fs::write(home.state_path(), text.replacen('{', "{\"later\": [1],", 1)).unwrap();
        assert_eq!(home.load().unwrap(), state("demo"));
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
        assert!(error.contains("state.json") && error.contains("remove"), "{error}");
    }
}
