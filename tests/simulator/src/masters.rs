//! Master processes: each follows, or leads with a master and services of its own upon one leadership, as the gateway does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use api::Moment;
use api::link::wire;
use api::marathon::Timestamp;
use api::mesos::{Call, Event as Said, FrameworkInfo, TaskInfo};
use master::core::{Config, Effect, FromAgent, Input, State, ToAgent, master_id, master_id_key};
use master::words;
use scheduler::Role;
use services::HostPaths;
use services::core as service;
use store::{Batch, Snapshot};

use crate::network::Item;
use crate::random::Random;
use crate::store_model::Commit;
use crate::world::{Answer, Event, Part, Question, START, World};
use crate::{Switch, store_model};

pub(crate) const REREGISTRATION: u64 = 40_000;
pub(crate) const UNREACHABLE: u64 = 15_000;
/// The loop looks at its clock at least once a second; after so long it did not run (the shell's own figure).
const STALL: u64 = 5_000;
/// How long a client's request waits between two tries to lead.
const RETRY: (u64, u64) = (100, 1_500);

/// A place where a process may be struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// A change was found good, and nothing of it is written.
    Validated,
    /// A commit was sent to the store.
    CommitSent,
    /// The store has said that a commit is made.
    Committed,
    /// A launch is about to be sent.
    BeforeLaunch,
    /// A launch was sent.
    Launched,
    /// A kill was sent.
    Killed,
    /// News of a task has come, and nothing was done about it.
    UpdateReceived,
    /// It was decided about.
    UpdateDecided,
    /// It is about to be acknowledged.
    BeforeAcknowledge,
    /// It was acknowledged.
    Acknowledged,
    /// A client is about to be answered.
    BeforeReply,
    /// A client was answered.
    Replied,
    /// An agent was told its id.
    Registered,
    /// A leadership was won, and nothing was read yet.
    Won,
}

impl Point {
    /// Every one.
    pub const ALL: [Point; 14] = [
        Self::Validated,
        Self::CommitSent,
        Self::Committed,
        Self::BeforeLaunch,
        Self::Launched,
        Self::Killed,
        Self::UpdateReceived,
        Self::UpdateDecided,
        Self::BeforeAcknowledge,
        Self::Acknowledged,
        Self::BeforeReply,
        Self::Replied,
        Self::Registered,
        Self::Won,
    ];
}

/// A place at which the next process that comes there is struck.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Armed {
    pub(crate) point: Point,
    pub(crate) passes: u64,
    /// Stopped for so long, or else killed.
    pub(crate) pause: Option<u64>,
}

/// What an answer of the store is waited for by.
#[derive(Debug)]
pub(crate) enum Want {
    Leadership,
    State(u64),
    Id(u64, Box<Snapshot>, String),
    Kept(u64),
    Master(u64, u64, String),
    Services(u64),
}

#[derive(Default)]
pub(crate) struct MasterProcess {
    pub(crate) life: u64,
    pub(crate) up: bool,
    pub(crate) paused: bool,
    pub(crate) held: Vec<Event>,
    pub(crate) reign: Option<Box<Reign>>,
    pub(crate) wants: BTreeMap<u64, Want>,
    pub(crate) next_question: u64,
    /// The highest epoch that it knows of.
    observed: u64,
    /// Of its date, in milliseconds.
    pub(crate) skew: i64,
}

/// All that stands on one leadership.
pub(crate) struct Reign {
    pub(crate) epoch: u64,
    began: u64,
    pub(crate) master: State,
    inbox: VecDeque<Input>,
    todo: VecDeque<Effect>,
    /// Streams that something can be said on.
    pub(crate) agents: BTreeSet<u64>,
    /// Commits that wait for an earlier one of the same subject.
    waiting: BTreeMap<String, VecDeque<(u64, Batch)>>,
    turning: bool,
    stale: bool,
    cycling: bool,
    /// The master's clock stands still while it does.
    looked: u64,
    stood: u64,
    kept_at: u64,
    pub(crate) services: service::State,
    heard: VecDeque<service::Input>,
    say: VecDeque<service::Effect>,
    deciding: Option<Deciding>,
    services_turning: bool,
    channel: Option<u64>,
    channels: u64,
}

/// Commits of services that are being made.
struct Deciding {
    unsent: VecDeque<(Vec<service::Ticket>, Batch)>,
    sent: VecDeque<Vec<service::Ticket>>,
    free: Vec<service::Effect>,
    now: Moment,
    /// They were let out already.
    early: bool,
}

fn config(proved_names: bool) -> Config {
    Config {
        ping: Duration::from_secs(3),
        unreachable_after: Duration::from_millis(UNREACHABLE),
        reregistration: Duration::from_millis(REREGISTRATION),
        completed_per_framework: 200,
        offers_per_cycle: 500,
        proved_names,
    }
}

fn services_config() -> service::Config {
    service::Config {
        role: Role::star(),
        roles: vec![Role::star()],
        service_ports: 10_000..=20_000,
        max_deployments: 100,
        max_versions: 5,
        max_app_bytes: 100_000,
        host_paths: HostPaths::default(),
    }
}

impl Reign {
    fn new(epoch: u64, now: u64, master: State, services: service::State) -> Self {
        Self {
            epoch,
            began: now,
            master,
            inbox: VecDeque::new(),
            todo: VecDeque::new(),
            agents: BTreeSet::new(),
            waiting: BTreeMap::new(),
            turning: false,
            stale: false,
            cycling: false,
            looked: 0,
            stood: 0,
            kept_at: now,
            services,
            heard: VecDeque::new(),
            say: VecDeque::new(),
            deciding: None,
            services_turning: false,
            channel: None,
            channels: 0,
        }
    }

    fn master_now(&mut self, now: u64, skew: i64) -> Moment {
        let real = now - self.began;
        let gap = real.saturating_sub(self.looked);
        if gap > STALL {
            self.stood += gap;
        }
        self.looked = real;
        moment(real.saturating_sub(self.stood), now, skew)
    }
}

fn moment(elapsed: u64, now: u64, skew: i64) -> Moment {
    let wall = Timestamp::from_millis(START.saturating_add_unsigned(now) + skew);
    Moment { elapsed: Duration::from_millis(elapsed), wall }
}

impl World {
    pub(crate) fn reign(&mut self, master: usize, life: u64, epoch: u64) -> Option<&mut Reign> {
        let process = &mut self.masters[master];
        if !process.up || process.paused || process.life != life {
            return None;
        }
        process.reign.as_deref_mut().filter(|reign| reign.epoch == epoch)
    }

    fn reigns(&mut self, master: usize) -> Option<&mut Reign> {
        self.masters[master].reign.as_deref_mut()
    }

    pub(crate) fn start_master(&mut self, master: usize) {
        let process = &mut self.masters[master];
        if process.up {
            return;
        }
        process.up = true;
        process.observed = 0;
        process.life += 1;
        let life = process.life;
        self.note(|| format!("m{master} starts"));
        self.at(self.now, Event::Stand(master, life));
    }

    /// The process is gone, and all that it had in memory. Its streams are reset.
    pub(crate) fn kill_master(&mut self, master: usize) {
        if !self.masters[master].up {
            return;
        }
        self.note(|| format!("m{master} is killed"));
        let process = &mut self.masters[master];
        process.up = false;
        process.paused = false;
        process.held.clear();
        process.reign = None;
        process.wants.clear();
        let life = process.life;
        self.reset_streams(|stream| stream.master == master && stream.master_life == life);
    }

    /// The lines are reset on one side; what the other one was told before still arrives, or does not.
    pub(crate) fn reset_streams(&mut self, of: impl Fn(&crate::network::Stream) -> bool) {
        let all: Vec<u64> =
            self.streams.iter().filter(|(_, s)| !s.broken && of(s)).map(|(id, _)| *id).collect();
        for id in all {
            if self.random.per_cent(50) {
                self.break_stream(id);
            } else {
                self.say_down(id, Item::Closed);
                self.say_up(id, Item::Closed);
            }
        }
    }

    pub(crate) fn pause_master(&mut self, master: usize, millis: u64) {
        let process = &mut self.masters[master];
        if !process.up || process.paused {
            return;
        }
        process.paused = true;
        let life = process.life;
        self.note(|| format!("m{master} is stopped for {millis} ms"));
        let until = (self.now + millis).min(self.faults_end.max(self.now));
        self.at(until, Event::ResumeMaster(master, life));
    }

    pub(crate) fn resume_master(&mut self, master: usize, life: u64) {
        let process = &mut self.masters[master];
        if process.life != life || !process.paused {
            return;
        }
        process.paused = false;
        let held = std::mem::take(&mut process.held);
        self.note(|| format!("m{master} goes on"));
        self.wake(master, Part::Master);
        self.wake(master, Part::Services);
        for event in held {
            self.at(self.now, event);
        }
    }

    /// A process came to a place. True when it was struck there: it does nothing more for now.
    fn comes_to(&mut self, master: usize, point: Point) -> bool {
        self.figures.points.entry(point).or_default().0 += 1;
        let Some(armed) = self.armed.as_mut().filter(|armed| armed.point == point) else { return false };
        if armed.passes > 0 {
            armed.passes -= 1;
            return false;
        }
        let pause = armed.pause;
        self.armed = None;
        self.figures.points.entry(point).or_default().1 += 1;
        self.note(|| format!("m{master} is struck at {point:?}"));
        match pause {
            Some(millis) => self.pause_master(master, millis),
            None => {
                self.kill_master(master);
                let back = self.random.within(100, 6_000);
                self.restart_master(master, back);
            }
        }
        true
    }

    pub(crate) fn restart_master(&mut self, master: usize, millis: u64) {
        let at = (self.now + millis).min(self.faults_end.max(self.now));
        self.at(at, Event::StartMaster(master));
    }

    pub(crate) fn stand(&mut self, master: usize) {
        if self.masters[master].wants.values().any(|want| matches!(want, Want::Leadership)) {
            return;
        }
        self.ask_store(master, Question::Campaign, Some(Want::Leadership));
    }

    /// The reign is over, as it is for the gateway when a part of it ends; the process stands for election again.
    fn step_down(&mut self, master: usize, why: &str) {
        let Some(reign) = self.masters[master].reign.take() else { return };
        let epoch = reign.epoch;
        self.note(|| format!("m{master} steps down from epoch {epoch}: {why}"));
        self.masters[master].wants.clear();
        for id in reign.agents {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.master_open = false;
            }
            self.say_down(id, Item::Closed);
        }
        self.ask_store(master, Question::Resign(epoch), None);
        let (life, pause) = (self.masters[master].life, self.random.within(RETRY.0, RETRY.1));
        self.after(pause, Event::Stand(master, life));
    }

    pub(crate) fn abdicate(&mut self, master: usize) {
        self.step_down(master, "it abdicates");
    }

    pub(crate) fn observed(&mut self, master: usize, epoch: u64) {
        // What was heard stays known: one that wins too late finds it.
        let process = &mut self.masters[master];
        process.observed = process.observed.max(epoch);
        if self.reigns(master).is_some_and(|reign| reign.epoch < epoch) {
            self.step_down(master, "another one leads");
        }
    }

    pub(crate) fn store_is_late(&mut self, master: usize, number: u64) {
        let Some(want) = self.masters[master].wants.remove(&number) else { return };
        match want {
            Want::Leadership => self.stand(master),
            Want::State(_) | Want::Id(..) => {
                let (life, pause) = (self.masters[master].life, self.random.within(RETRY.0, RETRY.1));
                self.after(pause, Event::Stand(master, life));
            }
            Want::Kept(_) => {}
            Want::Master(..) | Want::Services(_) => self.commit_failed(master, &want),
        }
    }

    pub(crate) fn store_answers(&mut self, master: usize, number: u64, answer: Answer) {
        let Some(want) = self.masters[master].wants.remove(&number) else { return };
        match (want, answer) {
            (Want::Leadership, Answer::Won(epoch)) => {
                if self.comes_to(master, Point::Won) && !self.masters[master].paused {
                    return;
                }
                self.ask_store(master, Question::Load, Some(Want::State(epoch)));
            }
            (Want::State(epoch), Answer::Loaded(snapshot)) => match master_id(&snapshot) {
                Ok(Some(id)) => self.begin(master, epoch, &snapshot, id),
                Ok(None) => {
                    let id = format!("M{epoch}");
                    match master_id_key() {
                        Ok(key) => {
                            let batch = Batch::new().put(key, id.as_bytes());
                            let want = Want::Id(epoch, snapshot, id);
                            self.ask_store(master, Question::Commit(epoch, batch), Some(want));
                        }
                        Err(error) => self.fail(format!("the id's key is one: {error}")),
                    }
                }
                Err(error) => self.fail(format!("what is stored can be read: {error}")),
            },
            (Want::Id(epoch, snapshot, id), Answer::Commit(Commit::Made)) => {
                self.begin(master, epoch, &snapshot, id);
            }
            (Want::Id(..), _) => {
                let (life, pause) = (self.masters[master].life, self.random.within(RETRY.0, RETRY.1));
                self.after(pause, Event::Stand(master, life));
            }
            (Want::Kept(epoch), Answer::Kept(kept, leads)) => {
                let now = self.now;
                self.observed(master, leads);
                let Some(reign) = self.reigns(master).filter(|reign| reign.epoch == epoch) else { return };
                if kept {
                    reign.kept_at = now;
                } else {
                    self.step_down(master, "nobody leads, for the store");
                }
            }
            (Want::Master(epoch, ticket, subject), Answer::Commit(Commit::Made)) => {
                self.master_committed(master, epoch, ticket, subject);
            }
            (Want::Services(epoch), Answer::Commit(Commit::Made)) => self.services_committed(master, epoch),
            (want, _) => self.commit_failed(master, &want),
        }
    }

    fn begin(&mut self, master: usize, epoch: u64, snapshot: &Snapshot, id: String) {
        let config = config(self.proved_names);
        let state = State::load(id, snapshot, config, Duration::ZERO);
        let services =
            service::State::load(snapshot, services_config(), Random::new(self.random.next()).wide());
        let (state, services) = match (state, services) {
            (Ok(state), Ok(services)) => (state, services),
            (Err(error), _) => return self.fail(format!("what is stored can be read: {error}")),
            (_, Err(error)) => return self.fail(format!("what is stored can be read: {error}")),
        };
        self.figures.reigns += 1;
        self.note(|| format!("m{master} reigns as epoch {epoch}"));
        if epoch == self.store.epoch {
            self.check_clients(&services);
        }
        self.masters[master].reign = Some(Box::new(Reign::new(epoch, self.now, state, services)));
        let life = self.masters[master].life;
        self.at(self.now, Event::Subscribe(master, life, epoch));
        for part in [Part::Master, Part::Services, Part::Lease] {
            self.at(self.now, Event::Tick(master, life, epoch, part));
        }
        self.observed(master, self.masters[master].observed);
    }

    pub(crate) fn subscribe(&mut self, master: usize, life: u64, epoch: u64) {
        let Some(reign) = self.reign(master, life, epoch) else { return };
        reign.channels += 1;
        let channel = reign.channels;
        reign.channel = Some(channel);
        let info = FrameworkInfo {
            id: reign.services.framework().cloned(),
            name: "marathon".to_owned(),
            user: "root".to_owned(),
            roles: vec![Role::star()],
        };
        reign.inbox.push_back(Input::Subscribed { channel, info });
        self.wake(master, Part::Master);
    }

    pub(crate) fn tick(&mut self, master: usize, life: u64, epoch: u64, part: Part) {
        let (now, steps_down) = (self.now, self.steps_down);
        let Some(reign) = self.reign(master, life, epoch) else { return };
        let period = match part {
            Part::Master => {
                reign.inbox.extend([Input::Tick, Input::Cycle]);
                1_000
            }
            Part::Services => {
                reign.heard.push_back(service::Input::Tick);
                500
            }
            Part::Lease if steps_down && now > reign.kept_at + store_model::LEASE => {
                return self.step_down(master, "its lease ran out");
            }
            Part::Lease => {
                self.ask_store(master, Question::Keep(epoch), Some(Want::Kept(epoch)));
                1_000
            }
        };
        if part != Part::Lease {
            self.wake(master, part);
        }
        self.after(period, Event::Tick(master, life, epoch, part));
    }

    pub(crate) fn cycle(&mut self, master: usize, life: u64, epoch: u64) {
        let Some(reign) = self.reign(master, life, epoch) else { return };
        reign.cycling = false;
        reign.inbox.push_back(Input::Cycle);
        self.wake(master, Part::Master);
    }

    pub(crate) fn wake(&mut self, master: usize, part: Part) {
        let life = self.masters[master].life;
        let Some(reign) = self.reigns(master) else { return };
        let (epoch, turning) = match part {
            Part::Services => (reign.epoch, &mut reign.services_turning),
            _ => (reign.epoch, &mut reign.turning),
        };
        if !std::mem::replace(turning, true) {
            let pause = self.random.within(0, 2);
            self.after(pause, Event::Turn(master, life, epoch, part));
        }
    }

    pub(crate) fn master_turn(&mut self, master: usize, life: u64, epoch: u64) {
        let Some(reign) = self.reign(master, life, epoch) else { return };
        reign.turning = false;
        loop {
            let (now, skew) = (self.now, self.masters[master].skew);
            let Some(reign) = self.reign(master, life, epoch) else { return };
            if let Some(effect) = reign.todo.pop_front() {
                self.master_does(master, epoch, effect);
                continue;
            }
            let Some(next) = reign.inbox.front() else { break };
            let news = matches!(next, Input::AgentMessage { message: FromAgent::Update { .. }, .. });
            if news && self.comes_to(master, Point::UpdateReceived) {
                return;
            }
            let Some(reign) = self.reign(master, life, epoch) else { return };
            let Some(input) = reign.inbox.pop_front() else { break };
            match &input {
                Input::Cycle => reign.stale = false,
                Input::AgentDisconnected { connection } => {
                    reign.agents.remove(connection);
                }
                _ => reign.stale = true,
            }
            let at = reign.master_now(now, skew);
            let effects = master::core::step(&mut reign.master, input, at);
            reign.todo.extend(effects);
            if news && self.comes_to(master, Point::UpdateDecided) {
                return;
            }
        }
        let Some(reign) = self.reign(master, life, epoch) else { return };
        if reign.stale && !std::mem::replace(&mut reign.cycling, true) {
            self.after(30, Event::Cycle(master, life, epoch));
        }
    }

    fn master_does(&mut self, master: usize, epoch: u64, effect: Effect) {
        match effect {
            Effect::SendAgent { connection, message } => {
                let (before, after) = match &message {
                    ToAgent::Launch { .. } => (Some(Point::BeforeLaunch), Some(Point::Launched)),
                    ToAgent::Kill { .. } => (None, Some(Point::Killed)),
                    ToAgent::Acknowledge { .. } => {
                        (Some(Point::BeforeAcknowledge), Some(Point::Acknowledged))
                    }
                    ToAgent::Registered { .. } => (None, Some(Point::Registered)),
                    _ => (None, None),
                };
                if before.is_some_and(|point| self.comes_to(master, point)) {
                    // One that was stopped goes on with it.
                    if let Some(reign) = self.reigns(master) {
                        reign.todo.push_front(Effect::SendAgent { connection, message });
                    }
                    return;
                }
                let Some(reign) = self.reigns(master) else { return };
                if !reign.agents.contains(&connection) {
                    return;
                }
                let message = words::to_wire(epoch, reign.master.master(), message);
                self.say_down(connection, Item::Message(Box::new(message)));
                if let Some(point) = after {
                    self.comes_to(master, point);
                }
            }
            Effect::CloseAgent { connection } => {
                if self.reigns(master).is_some_and(|reign| reign.agents.remove(&connection)) {
                    if let Some(stream) = self.streams.get_mut(&connection) {
                        stream.master_open = false;
                    }
                    self.say_down(connection, Item::Closed);
                }
            }
            Effect::SendFramework { channel, event } => {
                if self.reigns(master).is_some_and(|reign| reign.channel == Some(channel)) {
                    if let Said::Update(status) = &event {
                        let status = status.clone();
                        self.told(&status);
                    }
                    self.services_hear(master, service::Input::Event(event));
                }
            }
            Effect::CloseFramework { channel } => {
                let life = self.masters[master].life;
                let Some(reign) = self.reigns(master).filter(|reign| reign.channel == Some(channel)) else {
                    return;
                };
                reign.channel = None;
                self.services_hear(master, service::Input::Disconnected);
                self.after(100, Event::Subscribe(master, life, epoch));
            }
            Effect::Commit { ticket, subject, batch } => {
                let Some(reign) = self.reigns(master) else { return };
                if let Some(waiting) = reign.waiting.get_mut(&subject) {
                    waiting.push_back((ticket, batch));
                } else {
                    reign.waiting.insert(subject.clone(), VecDeque::new());
                    let want = Want::Master(epoch, ticket, subject);
                    self.ask_store(master, Question::Commit(epoch, batch), Some(want));
                    self.comes_to(master, Point::CommitSent);
                }
            }
            Effect::Note(text) => self.note(|| format!("m{master}: {text}")),
        }
    }

    fn master_committed(&mut self, master: usize, epoch: u64, ticket: u64, subject: String) {
        if self.comes_to(master, Point::Committed) && !self.masters[master].paused {
            return;
        }
        let Some(reign) = self.reigns(master).filter(|reign| reign.epoch == epoch) else { return };
        reign.inbox.push_back(Input::Committed { ticket });
        match reign.waiting.get_mut(&subject).and_then(VecDeque::pop_front) {
            Some((ticket, batch)) => {
                let want = Want::Master(epoch, ticket, subject);
                self.ask_store(master, Question::Commit(epoch, batch), Some(want));
            }
            None => {
                reign.waiting.remove(&subject);
            }
        }
        self.wake(master, Part::Master);
    }

    /// A commit was not made, or nobody knows: whoever waits is told so, and the reign ends.
    fn commit_failed(&mut self, master: usize, want: &Want) {
        match want {
            Want::Master(_, ticket, _) => {
                let (now, skew) = (self.now, self.masters[master].skew);
                let Some(reign) = self.reigns(master) else { return };
                let (epoch, at) = (reign.epoch, reign.master_now(now, skew));
                for effect in
                    master::core::step(&mut reign.master, Input::CommitFailed { ticket: *ticket }, at)
                {
                    if matches!(effect, Effect::SendAgent { .. } | Effect::CloseAgent { .. }) {
                        self.master_does(master, epoch, effect);
                    }
                }
            }
            Want::Services(_) => {
                let asked: Vec<u64> = self.clients.waiting_at(master);
                for number in asked {
                    self.say_to_client(number, None);
                }
            }
            _ => return,
        }
        self.step_down(master, "the store did not make a commit");
    }

    pub(crate) fn services_hear(&mut self, master: usize, input: service::Input) {
        let Some(reign) = self.reigns(master) else { return };
        reign.heard.push_back(input);
        self.wake(master, Part::Services);
    }

    pub(crate) fn services_turn(&mut self, master: usize, life: u64, epoch: u64) {
        let (now, skew) = (self.now, self.masters[master].skew);
        let Some(reign) = self.reign(master, life, epoch) else { return };
        reign.services_turning = false;
        if reign.deciding.is_some() {
            return self.send_commits(master, epoch);
        }
        if !reign.say.is_empty() {
            return self.say(master, life, epoch);
        }
        if reign.heard.is_empty() {
            return;
        }
        let inputs: Vec<service::Input> = reign.heard.drain(..).collect();
        let at = moment(now - reign.began, now, skew);
        let asked = inputs.iter().any(|input| matches!(input, service::Input::Request(_)));
        let effects = service::steps(&mut reign.services, inputs, at);
        self.decided(master, life, epoch, effects, Vec::new(), at);
        if asked {
            self.comes_to(master, Point::Validated);
        }
        self.wake(master, Part::Services);
    }

    /// Commits what is to be committed; all else waits for it.
    fn decided(
        &mut self,
        master: usize,
        life: u64,
        epoch: u64,
        effects: Vec<service::Effect>,
        mut free: Vec<service::Effect>,
        at: Moment,
    ) {
        let switch = self.switch;
        let Some(reign) = self.reign(master, life, epoch) else { return };
        let (mut commits, mut early) = (Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                service::Effect::Commit { ticket, changes } => commits.push((ticket, changes)),
                other => free.push(other),
            }
        }
        if commits.is_empty() {
            reign.say.extend(free);
            return self.wake(master, Part::Services);
        }
        let cheat = matches!(switch, Some(Switch::LaunchBeforeCommit | Switch::AnswerBeforeCommit));
        let mut at_once = 0;
        while cheat && at_once < commits.len() {
            let ticket = commits[at_once].0;
            at_once += 1;
            for effect in service::step(&mut reign.services, service::Input::Committed(ticket), at) {
                let answers = matches!(effect, service::Effect::Reply { .. });
                match effect {
                    service::Effect::Commit { ticket, changes } => commits.push((ticket, changes)),
                    effect if answers == (switch == Some(Switch::AnswerBeforeCommit)) => early.push(effect),
                    effect => free.push(effect),
                }
            }
        }
        let unsent = services::batches(commits).into();
        reign.deciding = Some(Deciding { unsent, sent: VecDeque::new(), free, now: at, early: cheat });
        for effect in early {
            self.say_one(master, effect);
        }
    }

    fn send_commits(&mut self, master: usize, epoch: u64) {
        let pipelined = self.pipelined;
        loop {
            let Some(deciding) = self.reigns(master).and_then(|reign| reign.deciding.as_mut()) else {
                return;
            };
            if !deciding.sent.is_empty() && !pipelined {
                return;
            }
            let Some((tickets, batch)) = deciding.unsent.pop_front() else { return };
            deciding.sent.push_back(tickets);
            self.ask_store(master, Question::Commit(epoch, batch), Some(Want::Services(epoch)));
            if self.comes_to(master, Point::CommitSent) {
                return;
            }
        }
    }

    fn services_committed(&mut self, master: usize, epoch: u64) {
        if self.comes_to(master, Point::Committed) && !self.masters[master].paused {
            return;
        }
        let life = self.masters[master].life;
        let Some(reign) = self.reigns(master).filter(|reign| reign.epoch == epoch) else { return };
        let Some(deciding) = reign.deciding.as_mut() else { return };
        let (at, early) = (deciding.now, deciding.early);
        for ticket in deciding.sent.pop_front().unwrap_or_default() {
            if !early {
                let effects = service::step(&mut reign.services, service::Input::Committed(ticket), at);
                deciding.free.extend(effects);
            }
        }
        if deciding.sent.is_empty() && deciding.unsent.is_empty() {
            let effects = std::mem::take(&mut deciding.free);
            reign.deciding = None;
            // One that was stopped meanwhile finds this when it goes on.
            if self.masters[master].paused {
                let Some(reign) = self.reigns(master) else { return };
                let (commits, free): (Vec<_>, Vec<_>) =
                    effects.into_iter().partition(|effect| matches!(effect, service::Effect::Commit { .. }));
                let commits = commits.into_iter().filter_map(|effect| match effect {
                    service::Effect::Commit { ticket, changes } => Some((ticket, changes)),
                    _ => None,
                });
                let unsent: VecDeque<_> = services::batches(commits.collect()).into();
                if unsent.is_empty() {
                    reign.say.extend(free);
                } else {
                    reign.deciding =
                        Some(Deciding { unsent, sent: VecDeque::new(), free, now: at, early: false });
                }
                return;
            }
            self.decided(master, life, epoch, effects, Vec::new(), at);
        }
        self.wake(master, Part::Services);
    }

    /// Carries out what may be seen now.
    fn say(&mut self, master: usize, life: u64, epoch: u64) {
        while let Some(reign) = self.reign(master, life, epoch) {
            let Some(effect) = reign.say.pop_front() else { break };
            if matches!(effect, service::Effect::Reply { .. }) && self.comes_to(master, Point::BeforeReply) {
                if let Some(reign) = self.reigns(master) {
                    reign.say.push_front(effect);
                }
                return;
            }
            self.say_one(master, effect);
        }
        self.wake_if_more(master);
    }

    fn wake_if_more(&mut self, master: usize) {
        if self.reigns(master).is_some_and(|reign| !reign.heard.is_empty()) {
            self.wake(master, Part::Services);
        }
    }

    fn say_one(&mut self, master: usize, effect: service::Effect) {
        match effect {
            service::Effect::Call(call) => {
                if let Call::Accept { tasks, .. } = &call {
                    self.check_recorded(tasks);
                }
                let Some(reign) = self.reigns(master) else { return };
                let Some(channel) = reign.channel else { return };
                reign.inbox.push_back(Input::Call { channel, call });
                self.wake(master, Part::Master);
            }
            service::Effect::Reply { request, result } => {
                let made = match &result {
                    Ok(_) => Some(true),
                    Err(api::marathon::ApiError::Unavailable(_)) => None,
                    Err(_) => Some(false),
                };
                self.say_to_client(request, made);
                self.comes_to(master, Point::Replied);
            }
            service::Effect::Publish(_) | service::Effect::Commit { .. } => {}
        }
    }

    /// P1, P2: an instance is on record before its launch is asked for, so that the next leader knows of it.
    fn check_recorded(&mut self, tasks: &[TaskInfo]) {
        let unknown = tasks.iter().map(|task| task.id.to_string()).find(|task| {
            let id: Option<api::marathon::TaskId> = task.parse().ok();
            !id.is_some_and(|id| self.store.has_recorded(&id.instance().to_string()))
        });
        if let Some(task) = unknown {
            self.fail(format!("P2, what is launched is on record: {task} is not"));
        }
    }

    /// Something comes from an agent.
    pub(crate) fn master_hears(&mut self, id: u64, item: Item<wire::AgentMessage>) {
        let Some(stream) = self.streams.get(&id) else { return };
        let (master, life) = (stream.master, stream.master_life);
        let process = &self.masters[master];
        if stream.broken || !stream.master_open {
            return;
        }
        if !process.up || process.life != life {
            // Nobody is there who would know of it: the line is reset.
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.master_open = false;
            }
            return self.say_down(id, Item::Closed);
        }
        let (known, reigns) = (stream.epoch, process.reign.as_ref().map(|reign| reign.epoch));
        let message = match item {
            Item::Closed => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.master_open = false;
                }
                if known.is_some() && known == reigns {
                    self.send_master(master, Input::AgentDisconnected { connection: id });
                }
                return;
            }
            Item::Message(message) => message,
        };
        let input = match (message.body, known, reigns) {
            (Some(wire::agent_message::Body::Register(register)), None, Some(epoch)) => {
                match words::registration(register) {
                    Ok(registration) => {
                        if let Some(stream) = self.streams.get_mut(&id) {
                            stream.epoch = Some(epoch);
                        }
                        if let Some(reign) = self.reigns(master) {
                            reign.agents.insert(id);
                        }
                        Input::AgentConnected { connection: id, registration }
                    }
                    Err(error) => return self.fail(format!("what agents say can be read: {error}")),
                }
            }
            (body, Some(known), Some(epoch)) if known == epoch => {
                match words::from_wire(wire::AgentMessage { body }) {
                    Ok(Some(message)) => {
                        if self.switch == Some(Switch::MasterAcknowledgesUnheard) {
                            self.acknowledge_unheard(id, epoch, &message);
                        }
                        Input::AgentMessage { connection: id, message }
                    }
                    Ok(None) => return,
                    Err(error) => return self.fail(format!("what agents say can be read: {error}")),
                }
            }
            // It does not lead, or not any more.
            _ => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.master_open = false;
                }
                return self.say_down(id, Item::Closed);
            }
        };
        self.send_master(master, input);
    }

    fn acknowledge_unheard(&mut self, id: u64, epoch: u64, message: &FromAgent) {
        let FromAgent::Update { framework, status } = message else { return };
        let Some(uuid) = status.uuid else { return };
        let acknowledge =
            ToAgent::Acknowledge { framework: framework.clone(), task: status.task.clone(), uuid };
        let message = words::to_wire(epoch, "M", acknowledge);
        self.say_down(id, Item::Message(Box::new(message)));
    }

    fn send_master(&mut self, master: usize, input: Input) {
        if let Some(reign) = self.reigns(master) {
            reign.inbox.push_back(input);
            self.wake(master, Part::Master);
        }
    }

    pub(crate) fn master_loses(&mut self, id: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if !std::mem::replace(&mut stream.master_open, false) {
            return;
        }
        let (master, life, epoch) = (stream.master, stream.master_life, stream.epoch);
        let process = &self.masters[master];
        let same = process.reign.as_ref().map(|reign| reign.epoch) == epoch;
        if process.up && process.life == life && epoch.is_some() && same {
            self.send_master(master, Input::AgentDisconnected { connection: id });
        }
    }
}
