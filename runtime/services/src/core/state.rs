//! All that is known: what is stored, and what the master said since.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::marathon::{
    ActionKind, ApiError, App, AppId, CheckResult, Condition, GroupId, HealthCheckResult, InstanceId,
    ReadinessCheckResult, Task, TaskFailure, TaskId, Timestamp, Uuid,
};
use api::mesos::{TaskKey, TaskState};
use scheduler::{AgentId, FrameworkId, Host};

use super::backoff::Backoff;
use super::books::Books;
use super::history::{Delta, Group};
use super::peers;
use super::plan::Step;
use super::queue::Waiting;
use super::reconcile::Link;
use super::service_ports::ServicePorts;
use super::{Config, Effect, Ticket};

/// What `step` works on.
#[derive(Debug)]
pub struct State {
    pub(crate) config: Config,
    pub(crate) apps: BTreeMap<AppId, Entry>,
    /// All groups, the root included. Every app and every group stands in one.
    pub(crate) groups: BTreeMap<GroupId, Arc<Group>>,
    /// The changes of the root that are remembered, by version.
    pub(crate) history: BTreeMap<Timestamp, Arc<Delta>>,
    pub(crate) books: Books,
    pub(crate) service_ports: ServicePorts,
    pub(crate) deployments: BTreeMap<Uuid, Deployment>,
    pub(crate) framework: Option<FrameworkId>,
    pub(crate) link: Link,
    pub(crate) frozen: bool,
    pub(crate) last_version: Timestamp,
    pub(crate) random: Random,
    /// The next port to look at, by agent.
    pub(crate) next_port: BTreeMap<AgentId, u64>,
    /// Apps whose instances, definition or deployment changed since they were last looked at.
    pub(crate) dirty: BTreeSet<AppId>,
    /// Apps that time may change something of: the others are left alone until they are touched.
    pub(crate) timed: BTreeSet<AppId>,
    /// Apps with instances to be launched.
    pub(crate) waiting: BTreeSet<AppId>,
    /// Apps whose view is to be made anew.
    pub(crate) touched: BTreeSet<AppId>,
    /// Groups whose view is to be made anew.
    pub(crate) touched_groups: BTreeSet<GroupId>,
    /// Whether the views of deployments are to be made anew.
    pub(crate) touched_deployments: bool,
    pub(crate) peers: peers::Book,
    pub(crate) pending: BTreeMap<Ticket, Vec<Effect>>,
    pub(crate) next_ticket: Ticket,
}

/// Everything about one app id; also of an app that is gone while its instances end.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) app: Option<Arc<App>>,
    pub(crate) versions: BTreeMap<Timestamp, Arc<App>>,
    /// How many times deltas name each version.
    pub(crate) refs: BTreeMap<Timestamp, u32>,
    pub(crate) instances: BTreeMap<Uuid, Instance>,
    pub(crate) deployment: Option<Uuid>,
    /// The deployment has not come to the app yet: this counts until then, nothing for an app that is new.
    pub(crate) held: Option<Option<Arc<App>>>,
    pub(crate) failure: Option<TaskFailure>,
    /// By the version of the configuration.
    pub(crate) backoff: BTreeMap<Timestamp, Backoff>,
    pub(crate) waiting: Option<Waiting>,
}

/// An instance that may run.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) id: InstanceId,
    pub(crate) task: TaskId,
    pub(crate) key: TaskKey,
    /// The definition that it was launched with.
    pub(crate) spec: Arc<App>,
    pub(crate) version: Timestamp,
    pub(crate) agent: AgentId,
    pub(crate) host: Arc<Host>,
    pub(crate) address: IpAddr,
    pub(crate) ports: Vec<u16>,
    pub(crate) role: String,
    pub(crate) index: u32,
    pub(crate) staged_at: Timestamp,
    /// It was decided that it ends. Stored, so that the next leader does not take it for one that stays.
    pub(crate) killing: bool,
    /// A deployment launched it, so its agent looks whether it is ready. Stored: the next leader goes on waiting.
    pub(crate) looked_at: bool,
    // What follows is not stored.
    /// It shall end; written down as soon as a commit has room for it.
    pub(crate) marked: bool,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) condition: Condition,
    pub(crate) state: TaskState,
    /// The master has said something about it since this process knows it.
    pub(crate) confirmed: bool,
    /// Since when this process knows it.
    pub(crate) known_since: Duration,
    pub(crate) running_since: Option<Duration>,
    pub(crate) kill_asked: Option<Duration>,
    pub(crate) unreachable_since: Option<Duration>,
    pub(crate) addresses: Vec<IpAddr>,
    /// One per health check of `spec`.
    pub(crate) health: Vec<Option<HealthCheckResult>>,
    /// The last word about its health as a whole that was published.
    pub(crate) said_healthy: Option<bool>,
    /// In a box, as few have one.
    pub(crate) readiness: Option<Box<ReadinessCheckResult>>,
    /// What the app's `check` saw.
    pub(crate) check: Option<CheckResult>,
    /// What its sandbox says of its peers.
    pub(crate) told: peers::Told,
    /// As the interface shows it, once it was asked for.
    pub(crate) shown: OnceLock<Arc<Task>>,
}

/// A deployment that runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deployment {
    pub(crate) id: Uuid,
    /// What it brings about.
    pub(crate) delta: Arc<Delta>,
    pub(crate) steps: Vec<Step>,
    /// The current step, from 0.
    pub(crate) step: usize,
    /// The place in the current step of an action that was not done when it was last looked at.
    pub(crate) waits_for: usize,
}

/// Numbers that look random (splitmix64), from a seed that the shell draws.
#[derive(Debug, Clone)]
pub(crate) struct Random(u128, u64);

impl Random {
    pub(crate) fn new(seed: u128) -> Self {
        Self(seed, 0)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.1 = self.1.wrapping_add(1);
        let [low, high] = halves(self.0);
        mix(mix(low ^ self.1.wrapping_mul(0x9e37_79b9_7f4a_7c15)) ^ high)
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        let (high, low) = (self.next(), self.next());
        Uuid::from_random(u128::from(high) << 64 | u128::from(low))
    }
}

fn halves(seed: u128) -> [u64; 2] {
    let bytes = seed.to_le_bytes();
    let half = |at: usize| bytes[at..at + 8].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    [half(0), half(8)]
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Failures before the first success and within the grace period are told with none in a row: they count for nothing.
pub(crate) fn counts(result: &HealthCheckResult) -> bool {
    result.alive || result.consecutive_failures > 0
}

/// The version that the configuration, as apart from `instances`, dates from.
pub(crate) fn config_version(app: &App) -> Timestamp {
    let own = app.version.unwrap_or(Timestamp::from_millis(0));
    app.version_info.map_or(own, |info| info.last_config_change_at)
}

impl Entry {
    fn is_timed(&self) -> bool {
        let waits = |i: &Instance| {
            i.is_unreachable() || i.kill_asked.is_some() || i.killing || i.marked || !i.confirmed
        };
        !self.backoff.is_empty() || self.instances.values().any(waits)
    }
}

impl Instance {
    /// The agent is silent, and for so long that others take its place.
    pub(crate) fn is_inactive(&self) -> bool {
        self.condition == Condition::UnreachableInactive
    }

    pub(crate) fn is_unreachable(&self) -> bool {
        self.unreachable_since.is_some()
    }

    /// Counts among those that are wanted.
    pub(crate) fn is_active(&self) -> bool {
        !self.killing && !self.marked && !self.is_inactive()
    }

    /// Runs, every check passes, and where a deployment waits for that, it can take work.
    pub(crate) fn is_ready(&self) -> bool {
        self.serves() && (!self.looked_at || self.readiness.as_ref().is_some_and(|result| result.ready))
    }

    /// Counts for the health that a restart keeps up. Readiness is asked of what takes over, and of nothing that goes.
    pub(crate) fn carries(&self, app: &App) -> bool {
        if self.is_outdated(app) { self.serves() } else { self.is_ready() }
    }

    /// Runs, and every check passes.
    pub(crate) fn serves(&self) -> bool {
        self.condition == Condition::Running
            && self.healthy() != Some(false)
            && self.health.iter().all(|result| result.as_ref().is_some_and(counts))
    }

    /// It said itself that it cannot take work yet.
    pub(crate) fn is_unready(&self) -> bool {
        self.looked_at && self.readiness.as_ref().is_some_and(|result| !result.ready)
    }

    /// Whether every check passes; `None` without checks, or while one without a result might. What fails in its grace
    /// period has none.
    pub(crate) fn healthy(&self) -> Option<bool> {
        if self.health.is_empty() {
            return None;
        }
        let mut results = self.health.iter().map(|result| result.as_ref().filter(|result| counts(result)));
        if results.clone().flatten().any(|result| !result.alive) {
            return Some(false);
        }
        results.all(|result| result.is_some()).then_some(true)
    }

    /// It is known not to serve: its end takes nothing from anyone.
    pub(crate) fn is_known_bad(&self) -> bool {
        let not_yet = matches!(self.condition, Condition::Staging | Condition::Starting);
        self.is_unreachable() || (self.confirmed && not_yet) || self.healthy() == Some(false)
    }

    /// Its configuration is another than that of `app`.
    pub(crate) fn is_outdated(&self, app: &App) -> bool {
        config_version(&self.spec) != config_version(app)
    }
}

impl Entry {
    /// The definition that counts now.
    pub(crate) fn definition(&self) -> Option<&Arc<App>> {
        self.held.as_ref().unwrap_or(&self.app).as_ref()
    }

    /// There is no such app any more, and nothing of it runs.
    pub(crate) fn is_over(&self) -> bool {
        self.app.is_none() && self.instances.is_empty() && self.deployment.is_none()
    }
}

impl Deployment {
    /// What is done now to `app`.
    pub(crate) fn action(&self, app: &AppId) -> Option<ActionKind> {
        self.steps.get(self.step)?.action(app)
    }
}

impl State {
    pub(crate) fn empty(config: Config, seed: u128) -> Self {
        Self {
            config,
            apps: BTreeMap::new(),
            groups: BTreeMap::from([(GroupId::root(), Arc::default())]),
            history: BTreeMap::new(),
            books: Books::default(),
            service_ports: ServicePorts::new(),
            deployments: BTreeMap::new(),
            framework: None,
            link: Link::default(),
            frozen: false,
            last_version: Timestamp::from_millis(0),
            random: Random::new(seed),
            next_port: BTreeMap::new(),
            dirty: BTreeSet::new(),
            timed: BTreeSet::new(),
            waiting: BTreeSet::new(),
            touched: BTreeSet::new(),
            touched_groups: BTreeSet::from([GroupId::root()]),
            touched_deployments: false,
            peers: peers::Book::default(),
            pending: BTreeMap::new(),
            next_ticket: 1,
        }
    }

    /// The id as a framework, once the master gave one.
    pub fn framework(&self) -> Option<&FrameworkId> {
        self.framework.as_ref()
    }

    /// Apps whose view changed since this was last asked.
    pub fn take_touched(&mut self) -> BTreeSet<AppId> {
        std::mem::take(&mut self.touched)
    }

    /// Groups whose view changed since this was last asked.
    pub fn take_touched_groups(&mut self) -> BTreeSet<GroupId> {
        std::mem::take(&mut self.touched_groups)
    }

    /// Whether a deployment began, went on or ended since this was last asked.
    pub fn take_touched_deployments(&mut self) -> bool {
        std::mem::take(&mut self.touched_deployments)
    }

    /// Something of the app changed: it is looked at before the step ends.
    pub(crate) fn touch(&mut self, app: &AppId) {
        if !self.dirty.contains(app) {
            self.dirty.insert(app.clone());
        }
        if !self.touched.contains(app) {
            self.touched.insert(app.clone());
        }
        self.peers.touch(app);
        if !self.timed.contains(app) {
            self.timed.insert(app.clone());
        }
    }

    /// For every change that the interface shows.
    pub(crate) fn instance_mut(&mut self, id: &InstanceId) -> Option<&mut Instance> {
        let instance = self.apps.get_mut(&id.app)?.instances.get_mut(&id.uuid)?;
        instance.shown.take();
        Some(instance)
    }

    pub(crate) fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.apps.get(&id.app)?.instances.get(&id.uuid)
    }

    /// All instances.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.apps.values().flat_map(|entry| entry.instances.values())
    }

    /// Apps that time may change something of.
    pub(crate) fn timed(&self) -> impl Iterator<Item = &Entry> {
        self.timed.iter().filter_map(|app| self.apps.get(app))
    }

    /// Leaves those alone that nothing of is waited for.
    pub(crate) fn forget_untimed(&mut self) {
        let Self { timed, apps, .. } = self;
        timed.retain(|app| apps.get(app).is_some_and(Entry::is_timed));
    }

    pub(crate) fn hold(&mut self, effects: Vec<Effect>) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.pending.insert(ticket, effects);
        ticket
    }

    pub(crate) fn release(&mut self, ticket: Ticket) -> Vec<Effect> {
        self.pending.remove(&ticket).unwrap_or_default()
    }

    /// The answers to those who wait; all else of the step must not be.
    pub(crate) fn give_up(&mut self, ticket: Ticket) -> Vec<Effect> {
        let unknown = || ApiError::Unavailable("The change could not be stored. Try again.".to_owned());
        let failed = |effect| match effect {
            Effect::Reply { request, result } => {
                Some(Effect::Reply { request, result: result.and_then(|_| Err(unknown())) })
            }
            _ => None,
        };
        self.release(ticket).into_iter().filter_map(failed).collect()
    }
}
