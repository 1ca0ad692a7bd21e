//! A testbed: made by a builder, torn down when it is dropped.

use std::fs;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::cgroup;
use crate::error::{Error, Result};
use crate::gc;
use crate::host::{Host, Shared};
use crate::inventory::{self, Entry};
use crate::layout::{Kind, MAX_HOSTS};
use crate::net;
use crate::prepare;
use crate::requirements;
use crate::rootfs::{Release, Spec};
use crate::ssh::{self, Ssh};
use crate::state::{Home, HostState, Registry, State};

/// What a new testbed shall be.
pub struct Builder {
    name: Option<String>,
    hosts: u8,
    guests: u8,
    release: Release,
    packages: Vec<String>,
    report: Box<dyn Fn(&str) + Send + Sync>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            name: None,
            hosts: 0,
            guests: 0,
            release: Release::default(),
            packages: Vec::new(),
            report: Box::new(|_| ()),
        }
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("hosts", &self.hosts)
            .field("guests", &self.guests)
            .field("release", &self.release)
            .field("packages", &self.packages)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// A name for people; `tb<number>` unless set.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How many containers, `h1` and on.
    #[must_use]
    pub fn hosts(mut self, hosts: u8) -> Self {
        self.hosts = hosts;
        self
    }

    /// How many virtual machines with control groups v2, `g1` and on.
    #[must_use]
    pub fn guests(mut self, guests: u8) -> Self {
        self.guests = guests;
        self
    }

    /// The Debian release of all hosts.
    #[must_use]
    pub fn release(mut self, release: Release) -> Self {
        self.release = release;
        self
    }

    /// Debian packages that the hosts have besides the usual ones. Each set of packages is a root file
    /// system of its own in the cache.
    #[must_use]
    pub fn packages<P: Into<String>>(mut self, packages: impl IntoIterator<Item = P>) -> Self {
        self.packages.extend(packages.into_iter().map(Into::into));
        self
    }

    /// Called with what there is to wait for.
    #[must_use]
    pub fn report(mut self, report: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.report = Box::new(report);
        self
    }

    /// Makes the hosts and waits until all of them run commands over SSH. First collects what killed runs
    /// left.
    ///
    /// # Errors
    /// [`Error::Missing`] when the machine lacks something, with all of it named; else what went wrong
    /// first. Nothing stays behind then.
    pub async fn start(self) -> Result<Testbed> {
        let total = u16::from(self.hosts) + u16::from(self.guests);
        if total == 0 || total > u16::from(MAX_HOSTS) {
            return Err(Error::Usage(format!(
                "a testbed has 1 to {MAX_HOSTS} hosts, {total} were asked for"
            )));
        }
        if let Some(name) = &self.name {
            check_name(name)?;
        }
        for package in &self.packages {
            check_package(package)?;
        }
        requirements::check(self.guests > 0)?;
        // Takes long enough to be kept off the runtime's own threads. The testbed stays with the work: were it
        // dropped out here while a host is being started there, the host would outlive it.
        let testbed = blocking(move || {
            let registry = Registry::from_env()?;
            for (name, result) in gc::collect(&registry)? {
                let outcome =
                    result.map_or_else(|e| format!("could not be removed: {e}"), |()| "removed".into());
                (self.report)(&format!("{name}, left by a run that ended: {outcome}"));
            }
            let testbed = self.prepare(&registry)?;
            testbed.hosts.iter().try_for_each(Host::power_on)?;
            Ok(testbed)
        })
        .await?;
        let mut booting: JoinSet<Result<()>> = JoinSet::new();
        for host in testbed.hosts.clone() {
            booting.spawn(async move { host.wait_ready().await });
        }
        while let Some(done) = booting.join_next().await {
            done.map_err(|e| Error::Internal(format!("waiting for a host was broken off: {e}")))??;
        }
        Ok(testbed)
    }

    /// Claims a number and writes what each host has of its own; starts nothing.
    fn prepare(self, registry: &Registry) -> Result<Testbed> {
        let hierarchies = cgroup::hierarchies()?;
        let spec = Spec::new(self.release, &self.packages);
        let rootfs = registry.cache().ensure(&spec, &*self.report)?;
        let (home, state, owner) = registry.claim(State {
            name: self.name.unwrap_or_default(),
            index: 0,
            boot_id: String::new(),
            detached: false,
            release: self.release,
            rootfs: spec.key(),
            hosts: Vec::new(),
            rules: Vec::new(),
        })?;
        let shared = Arc::new(Shared { ssh: Ssh::new(home.dir()), home: home.clone(), hierarchies, rootfs });
        // From here on, dropping it on an error takes away what was made.
        let mut testbed = Testbed { shared, hosts: Vec::new(), state, owner: Some(owner) };

        let layout = testbed.state.layout();
        let names = (1..=self.hosts)
            .map(|n| (format!("h{n}"), Kind::Nspawn))
            .chain((1..=self.guests).map(|n| (format!("g{n}"), Kind::Guest)));
        let planned: Vec<(u8, String, Kind)> =
            (1u8..).zip(names).map(|(n, (name, kind))| (n, name, kind)).collect();
        let addresses: Vec<(String, std::net::Ipv4Addr)> =
            planned.iter().map(|(n, name, _)| (name.clone(), layout.address(*n))).collect();
        let key = testbed.shared.ssh.create_key()?;
        let mut known_hosts = String::new();
        let mut hosts = Vec::new();
        for (number, name, kind) in planned {
            let dir = home.host_dir(&name);
            for part in ["upper", "work", "root"] {
                let path = dir.join(part);
                fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
            }
            let address = layout.address(number);
            let upper = dir.join("upper");
            let files = prepare::files(layout, &name, address, &addresses, &key, &prepare::machine_id()?);
            prepare::write(&upper, &files)?;
            let etc_ssh = upper.join("etc/ssh");
            prepare::make_directories(&upper, &etc_ssh)?;
            let (lines, host_key) = ssh::create_host_keys(&etc_ssh, &name, address)?;
            known_hosts.push_str(&lines);
            hosts.push(HostState { name, number, kind, address, host_key });
        }
        let path = testbed.shared.ssh.known_hosts();
        fs::write(&path, known_hosts).map_err(Error::io("write", path))?;
        testbed.state = home.update(
            |state| {
                state.hosts = hosts;
                Ok(())
            },
            |_| Ok(()),
        )?;
        testbed.hosts = testbed.state.hosts_of(&testbed.shared);
        Ok(testbed)
    }
}

impl State {
    fn hosts_of(&self, shared: &Arc<Shared>) -> Vec<Host> {
        self.hosts.iter().map(|host| Host::new(shared.clone(), self, host.clone())).collect()
    }
}

/// A name that can stand in a shell's line and in a table.
fn check_name(name: &str) -> Result<()> {
    let good = !name.is_empty()
        && name.len() <= 32
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        // The names of those that were given none.
        && !name.strip_prefix("tb").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
    if good {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "`{name}` cannot be a testbed's name: 1 to 32 of a-z, 0-9 and -, no - at the beginning, and \
         not `tb` with a number"
    )))
}

/// The form of Debian's package names (Debian Policy 5.6.1).
fn check_package(name: &str) -> Result<()> {
    let good = name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
    if good {
        return Ok(());
    }
    Err(Error::Usage(format!("`{name}` cannot be a Debian package's name")))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(Error::Internal(format!("the work was broken off: {e}"))),
    }
}

/// Who will take a testbed away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The process that made it, and that still runs.
    Process,
    /// Nobody: it was left standing on purpose.
    Nobody,
    /// A process that has ended without doing so.
    Gone,
}

/// Real hosts on this machine. Dropping it removes them, unless it was [detached](Testbed::detach).
#[derive(Debug)]
pub struct Testbed {
    shared: Arc<Shared>,
    hosts: Vec<Host>,
    state: State,
    /// The lock by which others see that somebody will tear this down.
    owner: Option<File>,
}

impl Testbed {
    /// A new testbed.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// One that stands already: by name, or the only one. Dropping this value leaves it standing.
    ///
    /// # Errors
    /// When there is none of that name, or several and no name.
    pub fn open(name: Option<&str>) -> Result<Self> {
        requirements::check_for_removing()?;
        let registry = Registry::from_env()?;
        let (home, state) = registry.find(name)?;
        Self::standing(&registry, home, state)
    }

    fn standing(registry: &Registry, home: Home, state: State) -> Result<Self> {
        let rootfs = registry.cache().get(&state.rootfs)?;
        let shared =
            Arc::new(Shared { ssh: Ssh::new(home.dir()), home, hierarchies: cgroup::hierarchies()?, rootfs });
        let hosts = state.hosts_of(&shared);
        Ok(Self { shared, hosts, state, owner: None })
    }

    /// All that stand on this machine. Those whose state cannot be read are left out; `gc` names them.
    ///
    /// # Errors
    /// When the directory of testbeds cannot be read.
    pub fn list() -> Result<Vec<Self>> {
        requirements::check_for_removing()?;
        let registry = Registry::from_env()?;
        registry.all()?.into_iter().map(|(home, state)| Self::standing(&registry, home, state)).collect()
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// The release of its hosts.
    #[must_use]
    pub fn release(&self) -> Release {
        self.state.release
    }

    /// Who will take it away.
    ///
    /// # Errors
    /// When its lock cannot be looked at.
    pub fn owner(&self) -> Result<Owner> {
        Ok(match (&self.owner, self.state.detached) {
            (Some(_), _) => Owner::Process,
            (None, true) => Owner::Nobody,
            (None, false) if self.shared.home.try_own()?.is_none() => Owner::Process,
            (None, false) => Owner::Gone,
        })
    }

    /// How many rules cut hosts off or lose packets.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.shared.home.load().map_or(0, |state| state.rules.len())
    }

    /// The number and names of its network: this machine's address there, as text with the prefix length.
    #[must_use]
    pub fn network(&self) -> String {
        format!("{}/24 on {}", self.state.layout().gateway(), self.state.layout().bridge())
    }

    /// Its own directory, removed with it: a place for what belongs to the hosts.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.shared.home.dir().to_owned()
    }

    /// All hosts, containers first.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The host of that name.
    ///
    /// # Errors
    /// When there is none; the text names those there are.
    pub fn host(&self, name: &str) -> Result<&Host> {
        self.hosts.iter().find(|h| h.name() == name).ok_or_else(|| {
            let names = self.hosts.iter().map(Host::name).collect::<Vec<_>>().join(", ");
            Error::Usage(format!("testbed {} has no host `{name}`; it has {names}", self.name()))
        })
    }

    /// An inventory of the hosts, as `clusterctl install` reads it.
    #[must_use]
    pub fn inventory(&self) -> String {
        let entries: Vec<Entry<'_>> = self
            .hosts
            .iter()
            .map(|h| Entry { name: h.name(), address: h.address(), host_key: h.host_key() })
            .collect();
        inventory::render(self.name(), &self.shared.ssh.key(), &entries)
    }

    /// Cuts these hosts off from all others and from this machine; among themselves they still speak.
    ///
    /// # Errors
    /// When the rules cannot be put in force.
    pub fn partition(&self, group: &[&Host]) -> Result<()> {
        let group: Vec<String> = group.iter().map(|h| h.name().to_owned()).collect();
        let all: Vec<String> = self.hosts.iter().map(|h| h.name().to_owned()).collect();
        self.shared.change_rules(|rules| rules.extend(net::partition(&group, &all)))
    }

    /// Ends every partition and loss of packets.
    ///
    /// # Errors
    /// When the rules cannot be taken back.
    pub fn heal(&self) -> Result<()> {
        self.shared.change_rules(Vec::clear)
    }

    /// Leaves the hosts standing when this value is dropped and the process ends.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn detach(mut self) -> Result<()> {
        self.shared.home.update(
            |state| {
                state.detached = true;
                Ok(())
            },
            |_| Ok(()),
        )?;
        self.owner = None;
        Ok(())
    }

    /// Removes the hosts and everything that was made for them.
    ///
    /// # Errors
    /// When another living process owns it, or something cannot be removed; `gc` tries again.
    pub async fn down(mut self) -> Result<()> {
        let owner = match self.owner.take() {
            Some(owner) => owner,
            None => self.shared.home.try_own()?.ok_or_else(|| {
                Error::Usage(format!(
                    "testbed {} belongs to a running process, which is still making it or takes it down itself",
                    self.name()
                ))
            })?,
        };
        let home = self.shared.home.clone();
        blocking(move || {
            let result = gc::teardown(&home);
            drop(owner);
            result
        })
        .await
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        let Some(owner) = self.owner.take() else { return };
        if let Err(error) = gc::teardown(&self.shared.home) {
            // Nobody is left to be told otherwise; what remains is collected by the next run.
            #[expect(clippy::print_stderr, reason = "a destructor has no other way to report")]
            {
                eprintln!("testbed {} was not removed whole: {error}; `testbed gc` tries again", self.name());
            }
        }
        drop(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_shell_or_a_path_would_take_otherwise_are_refused() {
        for (name, good) in [
            ("demo", true),
            ("a-1", true),
            ("", false),
            ("-x", false),
            ("a b", false),
            ("../x", false),
            ("A", false),
            ("tb7", false),
            ("tbx7", true),
        ] {
            assert_eq!(check_name(name).is_ok(), good, "{name:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_package_is_refused_before_anything_is_built() {
        for (name, good) in
            [("fish", true), ("g++-12", true), ("foo bar", false), ("-x", false), ("a,b", false), ("", false)]
        {
            assert_eq!(check_package(name).is_ok(), good, "{name:?}");
        }
    }

    #[tokio::test]
    async fn a_testbed_without_hosts_is_refused_before_anything_is_made() {
        let error = Testbed::builder().start().await.unwrap_err().to_string();
        assert!(error.contains("1 to 200"), "{error}");
    }
}
