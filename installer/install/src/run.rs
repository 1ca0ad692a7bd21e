//! A run over all hosts of an inventory: connect, look, check, plan, carry out. The caller asks the questions between, and shows what it
//! hears. I/O.
//!
//! One host's steps are taken in their order and end at its first error; hosts do not wait for each other but where the cluster needs
//! it: coordinators have a quorum before masters are started, and a master leads before agents are.

mod carry;
mod remove;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use futures_util::StreamExt as _;
use futures_util::stream;
use inventory::{Connection, Inventory};
use pki::Pki;
use secrecy::SecretString;
use ssh::{ConnectError, Connector, Session, UnknownKey};
use tokio::sync::Semaphore;

use crate::apply::Places;
use crate::connect::{Base, becoming, target};
use crate::coordinators;
use crate::desired::{
    self, AGENT_UNIT, Credential, DesiredError, ETCD_UNIT, MASTER_UNIT, Material, OPT, TASKS_UNIT, VAR,
};
use crate::event::{Event, Failure, Listener, Outcome};
use crate::facts::Facts;
use crate::host::{Blind, Host, millis};
use crate::item::{Desired, Item};
use crate::leaves::{Leaves, leaves};
use crate::phase::Phase;
use crate::plan::{Step, plan};
use crate::preflight::{self, Checked, Finding, Level};
use crate::probe::Look;

pub use self::carry::CarryError;
pub use self::remove::{Removal, removal};
pub use self::verify::cluster_findings;

/// So many hosts are worked on at once.
pub const PARALLEL: usize = 64;
/// So many large uploads go out at once: more only share the same line.
pub const UPLOADS: usize = 8;

/// How a run is to be.
pub struct Options {
    /// Where relative paths of the inventory begin.
    pub base: Base,
    /// Hosts that are worked on at once.
    pub parallel: usize,
    /// Large uploads at once.
    pub uploads: usize,
    /// After so many failed hosts no further one is begun.
    pub max_failures: Option<usize>,
    /// The password of sudo, where one was given.
    pub become_password: Option<SecretString>,
    /// The password of SSH, where one was given.
    pub ssh_password: Option<SecretString>,
    /// Whether it is for all hosts; else for those that name a file with it.
    pub ssh_password_for_all: bool,
    /// Hosts that are left out.
    pub exclude: BTreeSet<String>,
}

/// One host of a run.
struct Member {
    link: Option<Arc<Host>>,
    facts: Option<Arc<Facts>>,
    desired: Option<Arc<Desired>>,
    steps: Vec<Step>,
    outcome: Option<Outcome>,
    taken: usize,
    /// It could not be looked at without a password for sudo.
    waits: Option<Failure>,
}

/// A run.
pub struct Run {
    inventory: Inventory,
    options: Options,
    connector: Connector,
    listener: Listener,
    members: BTreeMap<String, Member>,
    places: Places,
    uploads: Arc<Semaphore>,
    began: Instant,
    stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("cluster", &self.inventory.cluster.name).finish_non_exhaustive()
    }
}

/// What a plan found.
#[derive(Debug, Default)]
pub struct Planned {
    /// What stops it, and what should be known.
    pub findings: Vec<Finding>,
    /// Steps by host, in the inventory's order; hosts that could not be looked at are not there.
    pub hosts: Vec<(String, Vec<Step>)>,
    /// Why there are new certificates.
    pub renewed: Vec<(String, String)>,
}

impl Planned {
    /// Whether something stops it.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Error)
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.iter().all(|(_, steps)| steps.is_empty())
    }
}

impl Run {
    /// One over this inventory. Nothing is connected to yet.
    #[must_use]
    pub fn new(inventory: Inventory, options: Options, connector: Connector, listener: Listener) -> Self {
        let member = |host: &inventory::Host| {
            let excluded = options.exclude.contains(&host.name);
            let outcome =
                excluded.then(|| Outcome::Skipped { why: "it was left out with --exclude".to_owned() });
            let member = Member {
                link: None,
                facts: None,
                desired: None,
                steps: Vec::new(),
                outcome,
                taken: 0,
                waits: None,
            };
            (host.name.clone(), member)
        };
        let members = inventory.hosts.iter().map(member).collect();
        let uploads = Arc::new(Semaphore::new(options.uploads.max(1)));
        Self {
            inventory,
            options,
            connector,
            listener,
            members,
            places: Places::default(),
            uploads,
            began: Instant::now(),
            stop: Arc::default(),
        }
    }

    /// The inventory.
    #[must_use]
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Hosts that are left out.
    #[must_use]
    pub fn excluded(&self) -> &BTreeSet<String> {
        &self.options.exclude
    }

    fn tell(&self, event: Event) {
        (self.listener)(event);
    }

    /// Hosts that are still in it, in the inventory's order.
    fn active(&self) -> impl Iterator<Item = &inventory::Host> {
        self.inventory
            .hosts
            .iter()
            .filter(|host| self.members.get(&host.name).is_some_and(|member| member.outcome.is_none()))
    }

    fn link(&self, name: &str) -> Option<Arc<Host>> {
        self.members.get(name)?.link.clone()
    }

    /// Sets how a host came out of it, once.
    fn end(&mut self, name: &str, outcome: Outcome) {
        let Some(member) = self.members.get_mut(name).filter(|member| member.outcome.is_none()) else {
            return;
        };
        member.outcome = Some(outcome.clone());
        self.tell(Event::HostEnded { host: name.to_owned(), outcome });
    }

    fn failed(&self) -> usize {
        let bad = |member: &&Member| {
            matches!(member.outcome, Some(Outcome::Failed { .. } | Outcome::Unreachable { .. }))
        };
        self.members.values().filter(bad).count()
    }

    /// Why no further host is begun.
    fn has_had_enough(&self) -> Option<&'static str> {
        if self.stop.load(Ordering::Relaxed) {
            return Some("the run was interrupted before it");
        }
        let too_many = self.options.max_failures.is_some_and(|most| self.failed() > most);
        too_many.then_some("too many hosts failed before it (--max-failures)")
    }

    fn begin(&self, phase: Phase, hosts: usize) -> (Phase, usize, Instant) {
        self.tell(Event::PhaseStarted { phase, hosts });
        (phase, self.failed(), Instant::now())
    }

    fn close_phase(&self, (phase, before, since): (Phase, usize, Instant)) {
        let failed = self.failed().saturating_sub(before);
        self.tell(Event::PhaseEnded { phase, failed, millis: millis(since.elapsed()) });
    }

    /// Connects to all hosts that are not connected yet. Those whose host key is not known are answered, to be asked about,
    /// learned, and connected to by calling this again.
    pub async fn connect(&mut self) -> Vec<(String, UnknownKey)> {
        let todo: Vec<inventory::Host> =
            self.active().filter(|host| self.link(&host.name).is_none()).cloned().collect();
        let phase = self.begin(Phase::Connect, todo.len());
        let this = &*self;
        let connected: Vec<_> = stream::iter(&todo)
            .map(|host| async move { (host.name.clone(), this.connect_to(host).await) })
            .buffer_unordered(self.options.parallel.max(1))
            .collect()
            .await;
        let mut unknown = Vec::new();
        for (name, result) in connected {
            match result {
                Ok(link) => {
                    if let Some(member) = self.members.get_mut(&name) {
                        member.link = Some(Arc::new(link));
                    }
                }
                Err(Refused::Unknown(key)) => unknown.push((name, *key)),
                Err(Refused::Failure(failure)) => self.cannot_reach(&name, failure),
            }
        }
        unknown.sort_by(|one, two| one.0.cmp(&two.0));
        self.close_phase(phase);
        unknown
    }

    fn cannot_reach(&mut self, name: &str, failure: Failure) {
        let may_be_absent = self.inventory.host(name).is_some_and(|host| host.absent_ok);
        self.end(
            name,
            match may_be_absent {
                true => Outcome::Skipped { why: format!("it may be absent, and is: {}", failure.what) },
                false => Outcome::Unreachable { failure },
            },
        );
    }

    async fn connect_to(&self, host: &inventory::Host) -> Result<Host, Refused> {
        let since = Instant::now();
        let what = format!("connect to {}", host.address);
        self.tell(Event::StepStarted {
            host: host.name.clone(),
            phase: Phase::Connect,
            what: what.clone(),
            step: 1,
            of: 1,
            expected: 3,
        });
        let session = match host.connection {
            Connection::Local => Session::local(),
            Connection::Ssh => {
                // One host's password is no other's business.
                let own = self.options.ssh_password_for_all || host.ssh.password_file.is_some();
                let password = self.options.ssh_password.clone().filter(|_| own);
                let target = target(host, &self.options.base, password)
                    .map_err(|error| Refused::Failure(Failure::of(&error, None)))?;
                match self.connector.connect(&target).await {
                    Ok(session) => session,
                    Err(error) => return Err(self.refused(host, &what, &error)),
                }
            }
        };
        let (host, phase) = (host.clone(), Phase::Connect);
        let took = millis(since.elapsed());
        self.tell(Event::StepDone { host: host.name.clone(), phase, what, changed: false, millis: took });
        Ok(Host::new(&host.name, session, becoming(&host, self.options.become_password.clone())))
    }

    fn refused(&self, host: &inventory::Host, what: &str, error: &ConnectError) -> Refused {
        use inventory::HostKeyChecking::Ask;
        if let Some(key) = error.unknown_key()
            && host.ssh.host_key_checking == Ask
        {
            return Refused::Unknown(Box::new(key.clone()));
        }
        let failure = without_address(Failure::of(error, Some(error.hint())), &host.address.to_string());
        self.tell(Event::StepFailed {
            host: host.name.clone(),
            phase: Phase::Connect,
            what: what.to_owned(),
            failure: failure.clone(),
        });
        Refused::Failure(failure)
    }

    /// Writes down host keys that the user agreed to.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn learn(&self, keys: &[(String, UnknownKey)]) -> Result<(), ssh::known_hosts::FileError> {
        let mut entries = Vec::new();
        for (_, key) in keys {
            // Several hosts behind one that is not known ask about the same key.
            if !entries.contains(&key.entry()) {
                entries.push(key.entry());
            }
        }
        self.connector.learn(entries).await
    }

    /// Gives hosts up whose key the user did not agree to.
    pub fn refuse_keys(&mut self, keys: &[(String, UnknownKey)]) {
        for (name, key) in keys {
            let what = format!("the key of {} is not known: {}", key.host, key.key.fingerprint());
            let hint = "compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there; then write it as `host_key:` in \
                        the inventory, or set `host_key_checking: accept-new`";
            self.cannot_reach(name, Failure::new(what, Some(hint.to_owned())));
        }
    }

    /// Looks at all hosts that are connected to, at each once.
    ///
    /// # Errors
    /// When a template is broken: a fault of this program.
    pub async fn look(&mut self, material: &Material) -> Result<(), DesiredError> {
        let hosts: Vec<inventory::Host> = self.active().cloned().collect();
        let phase = self.begin(Phase::Facts, hosts.len());
        let mut looks = Vec::new();
        for host in hosts.iter().filter(|host| self.is_unseen(&host.name)) {
            if let Some(link) = self.link(&host.name) {
                looks.push((link, look(&self.inventory, host, material)?));
            }
        }
        let looked: Vec<_> = stream::iter(looks)
            .map(|(link, look)| async move { Some((link.name.clone(), link.look(&look).await)) })
            .buffer_unordered(self.options.parallel.max(1))
            .filter_map(std::future::ready)
            .collect()
            .await;
        for (name, result) in looked {
            self.seen(&name, result, "what the host is and has");
        }
        self.close_phase(phase);
        Ok(())
    }

    fn is_unseen(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|member| member.facts.is_none())
    }

    /// Takes in what a look at a host told.
    fn seen(&mut self, name: &str, result: Result<Facts, Blind>, what: &str) {
        let Some(member) = self.members.get_mut(name) else { return };
        member.waits = None;
        match result {
            Ok(facts) => member.facts = Some(Arc::new(facts)),
            Err(Blind { failure, wants_password: true }) => member.waits = Some(failure),
            Err(Blind { failure, .. }) => self.fail(name, Phase::Facts, what, failure),
        }
    }

    /// Whether there are hosts whose sudo wants a password that nobody has given.
    #[must_use]
    pub fn wants_password(&self) -> bool {
        self.members.values().any(|member| member.outcome.is_none() && member.waits.is_some())
    }

    /// With this password for sudo from now on.
    pub fn use_password(&mut self, password: &SecretString) {
        for member in self.members.values_mut() {
            // Nobody else holds it between two phases.
            if let Some(link) = member.link.as_mut().and_then(Arc::get_mut) {
                link.use_password(password.clone());
            }
        }
    }

    /// Gives hosts up for which there is no password.
    pub fn give_up_waiting(&mut self) {
        let waiting: Vec<(String, Failure)> = self
            .members
            .iter_mut()
            .filter_map(|(name, member)| Some((name.clone(), member.waits.take()?)))
            .collect();
        for (name, failure) in waiting {
            self.fail(&name, Phase::Facts, "become root", failure);
        }
    }

    /// Begins no further host from when this is set.
    pub fn stop_when(&mut self, stop: Arc<AtomicBool>) {
        self.stop = stop;
    }

    /// Begins no further host after more than so many have failed.
    pub fn max_failures(&mut self, most: Option<usize>) {
        self.options.max_failures = most;
    }

    fn fail(&mut self, name: &str, phase: Phase, what: &str, failure: Failure) {
        self.tell(Event::StepFailed {
            host: name.to_owned(),
            phase,
            what: what.to_owned(),
            failure: failure.clone(),
        });
        self.end(name, Outcome::Failed { phase, what: what.to_owned(), failure });
    }

    /// What there is to do, and what stands in the way.
    ///
    /// # Errors
    /// When certificates cannot be made, or a template is broken: faults of this program.
    pub fn plan(
        &mut self,
        material: &Material,
        pki: &Pki,
        programs: &BTreeMap<String, (crate::binary::Needs, u64)>,
        etcd: Option<&preflight::EtcdProgram>,
        now: SystemTime,
    ) -> Result<Planned, PlanError> {
        let phase = self.begin(Phase::Preflight, self.active().count());
        let facts: BTreeMap<String, Facts> = self
            .members
            .iter()
            .filter(|(_, member)| member.outcome.is_none())
            .filter_map(|(name, member)| Some((name.clone(), member.facts.as_deref()?.clone())))
            .collect();
        let checked = Checked { inventory: &self.inventory, facts: &facts, programs, etcd };
        let mut planned = Planned { findings: preflight::check(&checked), ..Planned::default() };
        let hosts: Vec<inventory::Host> = self.active().cloned().collect();
        for host in &hosts {
            let Some(facts) = facts.get(&host.name) else { continue };
            let Leaves { all, renewed, findings } = leaves(&self.inventory, host, facts, pki, now)?;
            // The key of another cluster's master is none to bring here.
            if findings.is_empty() {
                let key = material.secrets_key().sum();
                planned.findings.extend(preflight::secrets_key(host, facts, &key));
            }
            planned.findings.extend(findings);
            planned.renewed.extend(renewed.into_iter().map(|why| (host.name.clone(), why)));
            let desired = match desired::desired(&self.inventory, host, &facts.system.machine, &all, material)
            {
                Ok(desired) => desired,
                // The checks have said so.
                Err(DesiredError::NoProgram { .. }) => continue,
                Err(DesiredError::NoAddress { name }) => {
                    planned.findings.push(no_address(&host.name, &name));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            planned.findings.extend(roles_taken_away(&host.name, &desired, facts));
            match plan(&desired, facts) {
                Ok(steps) => {
                    planned.hosts.push((host.name.clone(), steps.clone()));
                    if let Some(member) = self.members.get_mut(&host.name) {
                        member.steps = steps;
                        member.desired = Some(Arc::new(desired));
                    }
                }
                Err(conflicts) => planned.findings.extend(preflight::conflicts(&host.name, &conflicts)),
            }
        }
        self.close_phase(phase);
        Ok(planned)
    }

    /// How all hosts came out of it, in the inventory's order. Those that nothing was done with yet are skipped with these words.
    pub fn outcomes(&mut self, otherwise: &str) -> Vec<(String, Outcome)> {
        let names: Vec<String> = self.inventory.hosts.iter().map(|host| host.name.clone()).collect();
        for name in &names {
            self.end(name, Outcome::Skipped { why: otherwise.to_owned() });
        }
        names
            .into_iter()
            .filter_map(|name| {
                let outcome = self.members.get(&name)?.outcome.clone()?;
                Some((name, outcome))
            })
            .collect()
    }

    /// Tells the end, and ends all connections.
    pub async fn finish(mut self, log: &std::path::Path) -> Vec<(String, Outcome)> {
        let hosts = self.outcomes("nothing was done there");
        self.tell(Event::RunEnded {
            hosts: hosts.clone(),
            millis: millis(self.began.elapsed()),
            log: log.display().to_string(),
        });
        let links: Vec<Arc<Host>> =
            self.members.values_mut().filter_map(|member| member.link.take()).collect();
        stream::iter(links)
            .for_each_concurrent(None, |link| async {
                if let Some(link) = Arc::into_inner(link) {
                    link.close().await;
                }
            })
            .await;
        hosts
    }

    /// What all connections have cost: scripts that were run, and round trips.
    #[must_use]
    pub fn cost(&self) -> (u64, u64) {
        let counters = self.members.values().filter_map(|member| Some(member.link.as_ref()?.counters()));
        counters.fold((0, 0), |(execs, trips), c| (execs + c.execs, trips + c.round_trips))
    }
}

/// The report says which host it is; without its address, the same error of many hosts is the same.
fn without_address(mut failure: Failure, address: &str) -> Failure {
    if let Some(rest) = failure.what.strip_prefix(address).and_then(|rest| rest.strip_prefix(' ')) {
        failure.what = rest.to_owned();
    }
    failure
}

/// Daemons that run there and that the inventory has no role for any more. What they keep is not taken away unasked.
fn roles_taken_away(host: &str, desired: &Desired, facts: &Facts) -> Vec<Finding> {
    let wanted =
        |unit: &str| desired.iter().any(|item| matches!(item, Item::Unit { name, .. } if name == unit));
    let finding = |unit: &String| {
        Finding {
        host: host.to_owned(),
        check: "roles",
        level: Level::Error,
        what: format!("{unit} was installed there, and the inventory has no role for it"),
        remedy: "give the role back; or `clusterctl reset` with the host alone in an inventory, which loses what it keeps".to_owned(),
    }
    };
    facts.manifest.units.iter().filter(|unit| !wanted(unit)).map(finding).collect()
}

fn no_address(host: &str, name: &str) -> Finding {
    Finding {
        host: host.to_owned(),
        check: "network",
        level: Level::Error,
        what: format!(
            "this machine knows no IP address of {name}, and agents and coordinators listen on one"
        ),
        remedy: "write the IP address at which the other hosts reach it as `private_address:`".to_owned(),
    }
}

/// Why a host is not connected to.
enum Refused {
    Unknown(Box<UnknownKey>),
    Failure(Failure),
}

/// A plan that could not be made: a fault of this program.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Certificates.
    #[error("cannot make a certificate")]
    Leaf(#[from] crate::leaves::LeafError),
    /// What hosts are to have.
    #[error(transparent)]
    Desired(#[from] DesiredError),
}

/// What is looked at on a host. What kind of machine it is, and which certificates it has, is not known yet: so it is asked about all
/// that it might be to have.
fn look(inventory: &Inventory, host: &inventory::Host, material: &Material) -> Result<Look, DesiredError> {
    let leaves: Vec<String> =
        Credential::of(inventory, host).map(|credential| credential.leaf().to_owned()).collect();
    let mut look = Look {
        system: true,
        manifest: true,
        certificates: leaves,
        disks: vec![OPT.to_owned(), VAR.to_owned()],
        reach: preflight::to_reach(inventory, host),
        units: [ETCD_UNIT, MASTER_UNIT, AGENT_UNIT, TASKS_UNIT].map(str::to_owned).to_vec(),
        there: vec![coordinators::kept(), coordinators::embedded_store()],
        ..Look::default()
    };
    for machine in material.programs.keys() {
        let desired = match desired::desired(inventory, host, machine, &BTreeMap::new(), material) {
            // The plan says so.
            Err(DesiredError::NoAddress { .. }) => continue,
            desired => desired?,
        };
        if look.desired.items.is_empty() {
            look.desired = desired;
        } else {
            let paths = desired.iter().filter_map(|item| item.path()?.to_str().map(str::to_owned));
            look.paths.extend(paths);
        }
    }
    Ok(look)
}

/// Where a run's state is kept beside the inventory.
#[must_use]
pub fn runs_dir(state: &std::path::Path) -> PathBuf {
    state.join("runs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_error_of_two_hosts_is_the_same_text() {
        for (text, expected) in [
            ("192.0.2.9 port 22 refuses connections", "port 22 refuses connections"),
            ("192.0.2.90 port 22 refuses connections", "192.0.2.90 port 22 refuses connections"),
            ("the host key of 192.0.2.9 is revoked", "the host key of 192.0.2.9 is revoked"),
        ] {
            let failure = without_address(Failure::new(text, None), "192.0.2.9");
            assert_eq!(failure.what, expected);
        }
    }
}
