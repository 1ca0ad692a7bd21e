//! A store, a master and agents, all in one struct and one thread. Every commit is held against the promises: no more
//! instances than may be, no fewer healthy ones than must be.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use api::Moment;
use api::marathon::{
    ActionKind, ApiError, App, AppId, Condition, GroupId, InstanceId, TimedEvent, Timestamp, Uuid,
};
use api::mesos::{
    Call, Event, HealthReport, Offer, Purpose, Response, Sight, Source, TaskInfo, TaskKey, TaskState,
    TaskStatus,
};
use scheduler::{AgentId, Bundle, Host, Range, Resources, Role, Scalar};
use serde_json::Value;
use store::{Batch, Entry, Key, Prefix, Revision, Snapshot, Stamp};

use crate::core::goal::bounds;
use crate::core::{Answer, Ask, Caller, Change, Config, Effect, HostPaths, Input, Request, State, steps};

/// 2026-01-31T08:15:30.123Z.
const START: i64 = 1_769_847_330_123;

pub(super) struct Task {
    pub(super) info: TaskInfo,
    pub(super) state: TaskState,
}

pub(super) struct World {
    pub(super) state: State,
    pub(super) store: BTreeMap<Key, Vec<u8>>,
    pub(super) tasks: BTreeMap<TaskKey, Task>,
    pub(super) published: Vec<TimedEvent>,
    pub(super) replies: BTreeMap<u64, Result<Answer, ApiError>>,
    pub(super) calls: Vec<Call>,
    pub(super) millis: u64,
    pub(super) commits: usize,
    /// The process ends right after these commits.
    pub(super) crash_after: BTreeSet<usize>,
    /// What tasks answer to their checks.
    pub(super) alive: bool,
    /// Failures in a row that count; none in the grace period.
    pub(super) failures: u32,
    /// What they answer when they are asked whether they are ready.
    pub(super) ready: bool,
    /// What their informational checks see.
    pub(super) sight: Option<Sight>,
    /// No list of peers arrives.
    pub(super) loses_messages: bool,
    /// Agents that offer.
    pub(super) agents: Vec<&'static str>,
    crashed: bool,
    pub(super) events: VecDeque<Event>,
    suppressed: bool,
    numbers: u64,
    launched: BTreeSet<TaskKey>,
    /// What the last updates of tasks are acknowledged by.
    last_words: BTreeSet<Uuid>,
}

fn config() -> Config {
    Config {
        role: Role::star(),
        roles: vec![Role::star()],
        service_ports: 10_000..=20_000,
        max_deployments: 100,
        max_versions: 5,
        max_app_bytes: 100_000,
        host_paths: HostPaths { allowed: vec!["/data".into()], links_only: false },
    }
}

pub(super) fn app(definition: &Value) -> App {
    App::create(definition, &GroupId::root()).unwrap()
}

pub(super) fn id(text: &str) -> AppId {
    text.parse().unwrap()
}

impl World {
    pub(super) fn new() -> World {
        let mut world = World {
            state: State::empty(config(), 1),
            store: BTreeMap::new(),
            tasks: BTreeMap::new(),
            published: Vec::new(),
            replies: BTreeMap::new(),
            calls: Vec::new(),
            millis: 0,
            commits: 0,
            crash_after: BTreeSet::new(),
            alive: true,
            failures: 3,
            ready: true,
            sight: None,
            loses_messages: false,
            agents: vec!["a1", "a2", "a3"],
            crashed: false,
            events: VecDeque::new(),
            suppressed: false,
            numbers: 0,
            launched: BTreeSet::new(),
            last_words: BTreeSet::new(),
        };
        world.subscribe();
        world
    }

    pub(super) fn subscribe(&mut self) {
        self.suppressed = false;
        self.events.clear();
        let framework = self.state.framework().cloned().unwrap_or_else(|| "F-0000".into());
        self.input(Input::Event(Event::Subscribed { framework, master: "M".to_owned() }));
        for (task, known) in &self.tasks {
            if let Some(peers) = &known.info.peers {
                let version = peers.version;
                self.events.push_back(Event::PeersHeld { task: task.clone(), version });
            }
        }
    }

    pub(super) fn now(&self) -> Moment {
        let wall = Timestamp::from_millis(START + i64::try_from(self.millis).unwrap());
        Moment { elapsed: Duration::from_millis(self.millis), wall }
    }

    /// The process ends and another one begins from what is stored.
    pub(super) fn crash(&mut self) {
        self.crashed = false;
        let entry = |(key, value): (&Key, &Vec<u8>)| {
            (key.clone(), Entry { value: value.clone(), modified: Revision::new(1) })
        };
        let entries = self.store.iter().map(entry).collect();
        let snapshot = Snapshot { stamp: Stamp::default(), prefix: Prefix::all(), entries };
        self.numbers += 1;
        self.state = State::load(&snapshot, config(), u128::from(self.numbers)).unwrap();
        self.subscribe();
    }

    pub(super) fn input(&mut self, input: Input) {
        self.inputs(vec![input]);
    }

    /// Several that come together.
    pub(super) fn inputs(&mut self, together: Vec<Input>) {
        let mut inputs = VecDeque::from([together]);
        while let Some(together) = inputs.pop_front() {
            let before = Before::of(&self.state);
            let now = self.now();
            let mut effects = steps(&mut self.state, together, now);
            for effect in effects.drain(..) {
                match effect {
                    Effect::Commit { ticket, changes } => {
                        let batch =
                            changes.iter().cloned().fold(Batch::new(), |batch, change| match change {
                                Change::Put(key, value) => batch.put(key, value),
                                Change::Delete(key) => batch.delete(key),
                            });
                        batch.check().unwrap();
                        before.check(&self.state);
                        for change in changes {
                            match change {
                                Change::Put(key, value) => self.store.insert(key, value),
                                Change::Delete(key) => self.store.remove(&key),
                            };
                        }
                        self.commits += 1;
                        if self.crash_after.remove(&self.commits) {
                            self.crashed = true;
                            return;
                        }
                        inputs.push_back(vec![Input::Committed(ticket)]);
                    }
                    Effect::Call(call) => self.call(call),
                    Effect::Publish(event) => self.published.push(event),
                    Effect::Reply { request, result } => {
                        self.replies.insert(request, result);
                    }
                }
            }
        }
    }

    /// Asks, and gives the answer; `None` when the process ended before it came.
    pub(super) fn ask(&mut self, request: Request, force: bool) -> Option<Result<Answer, ApiError>> {
        self.numbers += 1;
        let number = self.numbers;
        let ask = Ask { number, request, force, caller: Caller::default() };
        self.input(Input::Request(Box::new(ask)));
        self.replies.remove(&number)
    }

    pub(super) fn create(&mut self, definition: &Value) -> Result<Answer, ApiError> {
        self.ask(Request::Create(Box::new(app(definition))), false).unwrap()
    }

    fn call(&mut self, call: Call) {
        self.calls.push(call.clone());
        match call {
            Call::Accept { tasks, .. } => {
                for info in tasks {
                    let key = crate::core::record::instance_key(instance_of(&info.id).as_ref().unwrap());
                    assert!(self.store.contains_key(&key), "launched before it was written down");
                    assert!(self.launched.insert(info.id.clone()), "launched twice");
                    self.tasks.insert(info.id.clone(), Task { info, state: TaskState::Staging });
                }
            }
            Call::Kill { task, .. } => match self.tasks.get_mut(&task) {
                Some(known) => known.state = TaskState::Killing,
                None => self.say(&task, TaskState::Gone),
            },
            Call::Reconcile(tasks) => {
                let all = self.tasks.keys().map(|task| (task.clone(), None)).collect();
                let tasks = if tasks.is_empty() { all } else { tasks };
                for (task, _) in tasks {
                    let state = self.tasks.get(&task).map_or(TaskState::Gone, |task| task.state);
                    self.say(&task, state);
                }
            }
            Call::Peers { task, peers } => {
                if !self.loses_messages
                    && let Some(known) = self.tasks.get_mut(&task)
                {
                    let version = peers.version;
                    known.info.peers = Some(peers);
                    self.events.push_back(Event::PeersHeld { task, version });
                }
            }
            Call::Suppress(_) => self.suppressed = true,
            Call::Revive(_) => self.suppressed = false,
            Call::Acknowledge { task, uuid, .. } => {
                let instance = instance_of(&task);
                let gone = self.last_words.contains(&uuid);
                let known = instance
                    .is_some_and(|id| self.store.contains_key(&crate::core::record::instance_key(&id)));
                assert!(!(gone && known), "acknowledged before the record was gone");
            }
            Call::Decline { .. } | Call::Teardown => {}
        }
    }

    fn say(&mut self, task: &TaskKey, state: TaskState) {
        let agent = self.tasks.get(task).map(|task| task.info.agent.clone());
        self.numbers += 1;
        let uuid = Uuid::from_bits(u128::from(self.numbers));
        if state.is_terminal() {
            self.last_words.insert(uuid);
        }
        self.events.push_back(Event::Update(TaskStatus {
            task: task.clone(),
            state,
            message: Some("so it is".to_owned()),
            source: Source::Agent,
            reason: None,
            agent: agent.or_else(|| Some(AgentId::from("a1"))),
            uuid: Some(uuid),
            healthy: None,
            timestamp: self.now().wall,
            addresses: Vec::new(),
        }));
    }

    /// A task changes by itself.
    pub(super) fn becomes(&mut self, task: &TaskKey, state: TaskState) {
        if let Some(known) = self.tasks.get_mut(task) {
            known.state = state;
            self.say(task, state);
            if state.is_terminal() {
                self.tasks.remove(task);
            }
        }
    }

    /// Its agent is silent.
    pub(super) fn lose(&mut self, task: &TaskKey) {
        self.say(task, TaskState::Unreachable);
        self.deliver();
    }

    pub(super) fn offer(&mut self) {
        if self.suppressed {
            return;
        }
        let mut offers = Vec::new();
        for agent in self.agents.clone() {
            self.numbers += 1;
            let ports = [Range::new(31_000, 31_999).unwrap()].into_iter().collect();
            let (whole, much) = (Scalar::whole(4), Scalar::whole(4_096));
            offers.push(Offer {
                id: format!("M-O{}", self.numbers),
                role: Role::star(),
                agent: AgentId::from(agent),
                host: Host { hostname: agent.to_owned(), ..Host::default() }.into(),
                address: "127.0.0.2".parse().unwrap(),
                resources: Resources::from(Bundle::new(whole, much, much).with_ports(ports)),
            });
        }
        self.events.push_back(Event::Offers(offers));
    }

    pub(super) fn deliver(&mut self) {
        let news = |event: &Event| matches!(event, Event::Update(_) | Event::Health(_));
        // In every other second news come all at once.
        let together = self.millis / 1_000 % 2 == 1;
        while let Some(event) = self.events.pop_front() {
            let mut events = vec![Input::Event(event)];
            while together && self.events.front().is_some_and(news) {
                events.extend(self.events.pop_front().map(Input::Event));
            }
            self.inputs(events);
            if self.crashed {
                self.crash();
            }
        }
    }

    /// A second passes: tasks go on, news arrives, offers come.
    pub(super) fn round(&mut self) {
        if self.crashed {
            self.crash();
        }
        self.millis += 1_000;
        let tasks: Vec<(TaskKey, TaskState)> =
            self.tasks.iter().map(|(key, task)| (key.clone(), task.state)).collect();
        for (task, state) in tasks {
            match state {
                TaskState::Staging => self.becomes(&task, TaskState::Running),
                TaskState::Killing => self.becomes(&task, TaskState::Killed),
                TaskState::Running => self.report(&task),
                _ => {}
            }
        }
        self.offer();
        self.deliver();
        self.input(Input::Tick);
        if self.crashed {
            self.crash();
        }
        self.deliver();
    }

    pub(super) fn report(&mut self, task: &TaskKey) {
        let Some(known) = self.tasks.get(task) else { return };
        let (at, agent) = (self.now().wall, known.info.agent.clone());
        for (check, asked) in known.info.checks.iter().enumerate() {
            let (alive, sight) = match &asked.purpose {
                Purpose::Health => (self.alive, None),
                Purpose::Readiness { statuses, keep_response } => {
                    let status = if self.ready { statuses[0] } else { 503 };
                    let (content_type, body) = ("text/plain".to_owned(), "so it is".to_owned());
                    let response = Response { status, content_type, body };
                    (self.ready, keep_response.then_some(Sight::Response(response)))
                }
                Purpose::Information => (self.alive, self.sight.clone()),
            };
            self.events.push_back(Event::Health(HealthReport {
                task: task.clone(),
                agent: agent.clone(),
                check,
                alive,
                consecutive_failures: u32::from(!alive) * self.failures,
                first_success: alive.then_some(at),
                last_success: alive.then_some(at),
                last_failure: (!alive).then_some(at),
                last_failure_cause: (!alive).then(|| "it answered 500".to_owned()),
                sight,
            }));
        }
    }

    /// Lets time pass until nothing is left to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..400 {
            self.round();
            let quiet = self.events.is_empty() && !self.crashed;
            let steady = |task: &Task| task.state == TaskState::Running;
            if quiet
                && self.state.deployments.is_empty()
                && self.state.waiting.is_empty()
                && self.tasks.values().all(steady)
            {
                return;
            }
        }
        let left: Vec<_> =
            self.state.instances().map(|i| (i.condition, i.killing, i.confirmed, i.health.len())).collect();
        panic!("it does not end: {:?}, waiting {:?}, {left:?}", self.state.deployments, self.state.waiting);
    }

    /// How many of an app run.
    pub(super) fn running(&self, app: &str) -> usize {
        let of = |key: &&TaskKey| instance_of(key).is_some_and(|instance| instance.app == id(app));
        self.tasks.keys().filter(of).count()
    }

    /// The kinds of record that are stored, without those that tell of what was.
    pub(super) fn kinds(&self) -> BTreeSet<&str> {
        let kinds = self.store.keys().filter_map(|key| key.segments().nth(1));
        kinds.filter(|kind| !["history", "versions", "groups"].contains(kind)).collect()
    }

    pub(super) fn keys(&self) -> Vec<TaskKey> {
        self.tasks.keys().cloned().collect()
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.published.iter().map(|event| event.event.event_type()).collect()
    }
}

fn instance_of(task: &TaskKey) -> Option<InstanceId> {
    Some(task.as_str().parse::<api::marathon::TaskId>().ok()?.instance().clone())
}

/// What the core knew before a step.
struct Before {
    /// Whether it was being ended, whether it served and was ready, and whether this leader has yet to hear of it.
    instances: BTreeMap<InstanceId, (bool, bool, bool, bool)>,
    /// What was being restarted, by which deployment.
    restarting: BTreeMap<AppId, Uuid>,
}

impl Before {
    fn of(state: &State) -> Before {
        let unheard = |i: &crate::core::state::Instance| i.condition == Condition::Unknown;
        let known = |i: &crate::core::state::Instance| {
            (i.id.clone(), (i.killing, i.serves(), i.is_ready(), unheard(i)))
        };
        Before { instances: state.instances().map(known).collect(), restarting: restarting(state).collect() }
    }

    /// P8, by our own act: what this step launched and killed.
    fn check(&self, after: &State) {
        for (app_id, entry) in &after.apps {
            let Some(app) = entry.definition() else { continue };
            let action = entry.deployment.and_then(|id| after.deployments.get(&id)?.action(app_id));
            let ready = entry.instances.values().filter(|i| i.is_active() && i.carries(app)).count();
            let (least, most) = bounds(app, usize::MAX);
            let wanted = app.instances as usize;
            let launched = entry
                .instances
                .keys()
                .any(|uuid| !self.instances.contains_key(&InstanceId { app: app_id.clone(), uuid: *uuid }));
            if launched {
                let most = if action == Some(ActionKind::RestartApplication) { most } else { wanted };
                let present = entry.instances.values().filter(|i| !i.is_inactive()).count();
                assert!(present <= most, "{present} instances where {most} may be");
            }
            if action != Some(ActionKind::RestartApplication) || least == 0 {
                continue;
            }
            for instance in entry.instances.values().filter(|i| i.killing && !i.marked) {
                let Some((false, served, ready_before, unheard)) = self.instances.get(&instance.id) else {
                    continue;
                };
                let was_ready = if instance.is_outdated(app) { served } else { ready_before };
                // A change that is forced in the midst of a restart wants fewer than there are for a moment, and takes back what
                // was launched last: not what an earlier leader launched, nor once the restart itself goes on.
                let takes_back = !unheard && self.restarting.get(app_id) != entry.deployment.as_ref();
                assert!(instance.confirmed || takes_back, "killed what may be healthy for all that is known");
                assert!(!was_ready || ready >= least, "{ready} are healthy where {least} must be");
            }
        }
    }
}

/// The apps that are being restarted, and by which deployment.
fn restarting(state: &State) -> impl Iterator<Item = (AppId, Uuid)> {
    state.apps.iter().filter_map(|(app, entry)| {
        let id = entry.deployment?;
        let action = state.deployments.get(&id)?.action(app);
        (action == Some(ActionKind::RestartApplication)).then(|| (app.clone(), id))
    })
}
