//! Hosts: an agent's process, its disk, and the shims and tasks that outlive it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use agent::adopt::Why;
use agent::cgroup::Usage;
use agent::daemon::core::{About, Checkpoint, Effect, Found, Input, Journal, Past, Recovered, State, step};
use agent::spec::{End, Exit};
use api::Moment;
use api::link::wire;
use api::marathon::{Timestamp, Uuid};
use scheduler::AgentId;

use crate::Switch;
use crate::network::Item;
use crate::random::Random;
use crate::world::{Event, START, World};

/// What each host has.
pub(crate) const RESOURCES: &str = "cpus:2;mem:512;disk:1000;ports:[31000-31019]";
/// How long a dialled master may say nothing at first.
const CONNECT: u64 = 5_000;
/// So long what was not synced stays in memory, where an agent does not wait for it.
const UNSYNCED: u64 = 1_500;

/// What is true of a shim, whoever knows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shim {
    /// It was spawned, and has not taken the task's lock.
    Coming,
    Runs,
    Ended(Box<Exit>),
    /// It will find the task ended.
    Released,
    /// Killed without a word.
    Dead,
    Rebooted,
}

/// What survives a crash.
#[derive(Default)]
struct Disk {
    epoch: u64,
    id: Option<AgentId>,
    tasks: BTreeMap<Uuid, (Checkpoint, Journal)>,
    past: BTreeMap<Uuid, Past>,
}

struct Process {
    state: State,
    backlog: VecDeque<Effect>,
    /// On its way to the disk.
    writing: Vec<Effect>,
    /// Not on the disk, although the agent went on; with the switch alone.
    unsynced: VecDeque<(u64, Effect)>,
    stream: Option<u64>,
    number: u64,
    attempt: u32,
    watched: BTreeSet<Uuid>,
    tick_at: Option<u64>,
}

pub(crate) struct Host {
    pub(crate) index: u64,
    pub(crate) life: u64,
    pub(crate) boot: u64,
    pub(crate) paused: bool,
    pub(crate) held: Vec<Event>,
    process: Option<Box<Process>>,
    disk: Disk,
    pub(crate) shims: BTreeMap<Uuid, Shim>,
    /// Tasks by their container.
    pub(crate) names: BTreeMap<Uuid, Checkpoint>,
    /// The next master to be dialled.
    next: usize,
}

impl Host {
    pub(crate) fn new(index: u64) -> Self {
        Self {
            index,
            life: 0,
            boot: 1,
            paused: false,
            held: Vec::new(),
            process: None,
            disk: Disk::default(),
            shims: BTreeMap::new(),
            names: BTreeMap::new(),
            next: usize::try_from(index).unwrap_or(0),
        }
    }

    pub(crate) fn lives(&self, life: u64) -> bool {
        self.life == life && self.process.is_some()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn state(&self) -> Option<&State> {
        self.process.as_ref().map(|process| &process.state)
    }

    pub(crate) fn stream(&self) -> Option<u64> {
        self.process.as_ref()?.stream
    }

    pub(crate) fn id(&self) -> Option<&AgentId> {
        self.disk.id.as_ref()
    }

    /// The containers whose tasks run.
    pub(crate) fn running(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.shims.iter().filter(|(_, shim)| **shim == Shim::Runs).map(|(container, _)| *container)
    }

    fn about(&self) -> About {
        About {
            name: format!("a{}", self.index),
            hostname: format!("host{}", self.index),
            address: std::net::Ipv4Addr::new(10, 0, 0, u8::try_from(self.index).unwrap_or(0)).into(),
            port: 5051,
            resources: RESOURCES.parse().unwrap_or_default(),
            attributes: String::new(),
            region: String::new(),
            zone: String::new(),
            work_dir: "/w".into(),
            grace: Duration::from_secs(5),
        }
    }

    fn look(&mut self, container: Uuid) -> Found {
        match self.shims.entry(container).or_insert(Shim::Released) {
            Shim::Runs => Found::Running(None),
            Shim::Ended(exit) => Found::Exited(exit.clone()),
            shim @ Shim::Coming => {
                *shim = Shim::Released;
                Found::Lost(Why::NeverStarted)
            }
            Shim::Released => Found::Lost(Why::NeverStarted),
            Shim::Dead => Found::Lost(Why::ShimGone { leader: agent::adopt::Leader::Gone }),
            Shim::Rebooted => Found::Lost(Why::Rebooted),
        }
    }

    fn write(&mut self, effect: &Effect) {
        match effect {
            Effect::KeepEpoch(epoch) => self.disk.epoch = *epoch,
            Effect::KeepId(id) => self.disk.id = Some(id.clone()),
            Effect::Checkpoint(task) => {
                self.disk.tasks.insert(task.container, ((**task).clone(), Journal::default()));
            }
            Effect::Journal(container, journal) => {
                if let Some(task) = self.disk.tasks.get_mut(container) {
                    task.1 = (**journal).clone();
                }
            }
            Effect::Remove(container, past) => {
                self.disk.tasks.remove(container);
                self.disk.past.insert(*container, (**past).clone());
            }
            _ => {}
        }
    }
}

fn exit(end: End, killed: bool) -> Box<Exit> {
    Box::new(Exit {
        version: 1,
        task_id: String::new(),
        end,
        oom: false,
        killed,
        stuck: vec![],
        output_lost: 0,
        usage: Usage::default(),
        finished_at_ms: 0,
    })
}

impl World {
    fn agent_now(&self) -> Moment {
        let wall = Timestamp::from_millis(START.saturating_add_unsigned(self.now));
        Moment { elapsed: Duration::from_millis(self.now), wall }
    }

    pub(crate) fn start_agent(&mut self, agent: usize) {
        if self.hosts[agent].is_up() {
            return;
        }
        let (now, random) = (self.agent_now(), Random::new(self.random.next()).wide());
        let blind = self.random.per_cent(5);
        let host = &mut self.hosts[agent];
        host.life += 1;
        let mut state = State::new(host.about(), host.disk.id.clone(), host.disk.epoch, random);
        let (mut left, mut watched) = (Vec::new(), BTreeSet::new());
        for (container, (checkpoint, journal)) in host.disk.tasks.clone() {
            let found = if blind { Found::Unknown } else { host.look(container) };
            if matches!(found, Found::Running(_)) {
                watched.insert(container);
            }
            left.push(Recovered { checkpoint, journal, found });
        }
        let past = host.disk.past.clone().into_iter().collect();
        let backlog = state.recover(left, past, now).into();
        host.process = Some(Box::new(Process {
            state,
            backlog,
            writing: Vec::new(),
            unsynced: VecDeque::new(),
            stream: None,
            number: 0,
            attempt: 0,
            watched,
            tick_at: None,
        }));
        let life = host.life;
        self.note(|| format!("a{agent} starts"));
        self.agent_goes_on(agent);
        self.at(self.now, Event::Dial(agent, life));
    }

    /// The process is gone; of what was on its way to the disk, some may be there.
    pub(crate) fn kill_agent(&mut self, agent: usize) {
        let host = &mut self.hosts[agent];
        let Some(process) = host.process.take() else { return };
        (host.paused, host.held) = (false, Vec::new());
        let kept = self.random.below(process.writing.len() + 1);
        if self.switch != Some(Switch::AgentWritesLater) {
            process.writing.iter().take(kept).for_each(|effect| host.write(effect));
        }
        let life = host.life;
        self.note(|| format!("a{agent} is killed"));
        self.reset_streams(|stream| stream.agent == agent && stream.agent_life == life);
    }

    /// The host is started anew: nothing that ran on it runs.
    pub(crate) fn reboot(&mut self, agent: usize) {
        self.kill_agent(agent);
        self.note(|| format!("a{agent}'s host is started anew"));
        let host = &mut self.hosts[agent];
        host.boot += 1;
        let gone: Vec<Uuid> = host.running().collect();
        for shim in host.shims.values_mut() {
            if matches!(shim, Shim::Runs | Shim::Coming) {
                *shim = Shim::Rebooted;
            }
        }
        for container in gone {
            self.task_ended(agent, container);
        }
    }

    pub(crate) fn pause_agent(&mut self, agent: usize, millis: u64) {
        let host = &mut self.hosts[agent];
        if host.paused || !host.is_up() {
            return;
        }
        host.paused = true;
        let life = host.life;
        self.note(|| format!("a{agent} is stopped for {millis} ms"));
        let until = (self.now + millis).min(self.faults_end.max(self.now));
        self.at(until, Event::ResumeAgent(agent, life));
    }

    pub(crate) fn resume_agent(&mut self, agent: usize, life: u64) {
        let host = &mut self.hosts[agent];
        if host.life != life || !std::mem::take(&mut host.paused) {
            return;
        }
        let held = std::mem::take(&mut host.held);
        self.note(|| format!("a{agent} goes on"));
        for event in held {
            self.at(self.now, event);
        }
    }

    pub(crate) fn dial(&mut self, agent: usize, life: u64) {
        let masters = self.masters.len();
        let host = &mut self.hosts[agent];
        let Some(process) = host.process.as_mut().filter(|process| process.stream.is_none()) else { return };
        if host.life != life {
            return;
        }
        process.number += 1;
        let (number, master) = (process.number, host.next % masters);
        host.next += 1;
        let id = self.open(agent, life, number, master);
        if let Some(process) = &mut self.hosts[agent].process {
            process.stream = Some(id);
        }
        self.note(|| format!("a{agent} dials m{master}: stream {id}"));
        self.after(CONNECT, Event::Unanswered(agent, life, id));
        self.agent_input(agent, Input::LinkUp(number));
    }

    /// The agent's end of a stream is over.
    fn hang_up(&mut self, agent: usize, id: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if !std::mem::replace(&mut stream.agent_open, false) {
            return;
        }
        let (number, answered, broken) = (stream.number, stream.answered, stream.broken);
        if !broken {
            self.say_up(id, Item::Closed);
        }
        let host = &mut self.hosts[agent];
        let life = host.life;
        let Some(process) = &mut host.process else { return };
        process.stream.take_if(|current| *current == id);
        process.attempt = if answered { 0 } else { process.attempt + 1 };
        let most = (100_u64 << process.attempt.min(6)).min(5_000);
        self.agent_input(agent, Input::LinkDown(number));
        let pause = self.random.within(0, most);
        self.after(pause, Event::Dial(agent, life));
    }

    fn own_stream(&self, agent: usize, life: u64, id: u64) -> bool {
        let stream = self.streams.get(&id);
        self.hosts[agent].lives(life)
            && stream.is_some_and(|s| s.agent == agent && s.agent_life == life && s.agent_open)
    }

    pub(crate) fn unanswered(&mut self, agent: usize, life: u64, id: u64) {
        if self.own_stream(agent, life, id) && self.streams.get(&id).is_some_and(|s| !s.answered) {
            self.hang_up(agent, id);
        }
    }

    pub(crate) fn silence(&mut self, agent: usize, life: u64, id: u64) {
        if !self.own_stream(agent, life, id) {
            return;
        }
        let Some(stream) = self.streams.get(&id) else { return };
        let until = stream.heard_at + stream.silence;
        if self.now >= until {
            self.note(|| format!("a{agent}: the master is silent"));
            self.hang_up(agent, id);
        } else {
            self.at(until, Event::Silence(agent, life, id));
        }
    }

    pub(crate) fn agent_loses(&mut self, id: u64) {
        let Some(stream) = self.streams.get(&id) else { return };
        let (agent, life) = (stream.agent, stream.agent_life);
        if self.own_stream(agent, life, id) {
            self.hang_up(agent, id);
        }
    }

    pub(crate) fn agent_hears(&mut self, id: u64, item: Item<wire::MasterMessage>) {
        let Some(stream) = self.streams.get(&id) else { return };
        let (agent, life, broken) = (stream.agent, stream.agent_life, stream.broken);
        if broken || !self.own_stream(agent, life, id) {
            return;
        }
        let now = self.now;
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let mut message = match item {
            Item::Closed => return self.hang_up(agent, id),
            Item::Message(message) => message,
        };
        stream.heard_at = now;
        let first = !std::mem::replace(&mut stream.answered, true);
        if let Some(wire::master_message::Body::Registered(registered)) = &message.body {
            stream.silence = registered.silence_ms;
        }
        let number = stream.number;
        if first {
            self.at(now, Event::Silence(agent, life, id));
        }
        let (epoch, kept) = (message.epoch, self.hosts[agent].disk.epoch);
        if self.switch == Some(Switch::AgentTakesAnyEpoch)
            && let Some(process) = &self.hosts[agent].process
        {
            message.epoch = epoch.max(process.state.epoch());
        }
        let before = self.hosts[agent].process.as_ref().map_or(0, |process| process.backlog.len());
        self.hears(agent, Input::Heard(number, message));
        // P2: what an old leader says is not obeyed once a later one was heard.
        let Some(process) = &self.hosts[agent].process else { return };
        let obeyed =
            process.backlog.iter().skip(before).find(|effect| !matches!(effect, Effect::CloseLink(..)));
        if let Some(obeyed) = obeyed.filter(|_| epoch < kept) {
            let what =
                format!("P2, old epochs are not obeyed: a{agent}, epoch {epoch} after {kept}: {obeyed:?}");
            self.fail(what);
        }
        self.agent_goes_on(agent);
    }

    pub(crate) fn agent_input(&mut self, agent: usize, input: Input) {
        self.hears(agent, input);
        self.agent_goes_on(agent);
    }

    fn hears(&mut self, agent: usize, input: Input) {
        let now = self.agent_now();
        if let Some(process) = &mut self.hosts[agent].process {
            process.backlog.extend(step(&mut process.state, input, now));
        }
    }

    /// In every fourth history agents are struck at the steps of a launch. True when this one was.
    fn is_struck(&mut self, agent: usize, step: &'static str) -> bool {
        let strikes = self.seed.is_multiple_of(4) && self.now + 1_000 < self.faults_end;
        if !strikes || !self.agent_random.per_cent(2) {
            return false;
        }
        *self.figures.faults.entry(step).or_default() += 1;
        self.note(|| format!("FAULT {step}"));
        self.kill_agent(agent);
        let back = self.now + self.agent_random.within(5, 400);
        self.at(back, Event::StartAgent(agent));
        true
    }

    /// Gives the disk what it has room for, and sees to it that time passes.
    fn agent_goes_on(&mut self, agent: usize) {
        let now = self.now;
        let host = &mut self.hosts[agent];
        let life = host.life;
        let Some(process) = &mut host.process else { return };
        let wake = process.state.wake_at().map(|at| u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
        let tick = wake.map(|at| at.max(now + 1)).filter(|at| process.tick_at.is_none_or(|set| *at < set));
        if tick.is_some() {
            process.tick_at = tick;
        }
        let writes = process.writing.is_empty() && !process.backlog.is_empty();
        if writes {
            let most = self.random.below(6) + 1;
            let most = most.min(process.backlog.len());
            process.writing = process.backlog.drain(..most).collect();
            let kept = |effect: &Effect| {
                matches!(effect, Effect::KeepEpoch(_) | Effect::KeepId(_) | Effect::Checkpoint(_))
                    || matches!(effect, Effect::Journal(..) | Effect::Remove(..))
            };
            let writes = process.writing.iter().any(kept);
            let takes = if writes { self.random.within(1, 8) } else { 0 };
            self.after(takes, Event::Disk(agent, life));
        }
        if let Some(at) = tick {
            self.at(at, Event::AgentTick(agent, life, at));
        }
    }

    pub(crate) fn agent_tick(&mut self, agent: usize, life: u64, at: u64) {
        let host = &mut self.hosts[agent];
        let Some(process) = host.process.as_mut().filter(|_| host.life == life) else { return };
        if process.tick_at != Some(at) {
            return;
        }
        process.tick_at = None;
        self.agent_input(agent, Input::Tick);
    }

    /// What was to be written is on the disk: what follows may happen.
    pub(crate) fn disk(&mut self, agent: usize, life: u64) {
        let (now, later) = (self.now, self.switch == Some(Switch::AgentWritesLater));
        let host = &mut self.hosts[agent];
        if !host.lives(life) {
            return;
        }
        let Some(mut process) = host.process.take() else { return };
        let written = std::mem::take(&mut process.writing);
        for effect in &written {
            match later {
                true => process.unsynced.push_back((now + UNSYNCED, effect.clone())),
                false => host.write(effect),
            }
        }
        while process.unsynced.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, effect)) = process.unsynced.pop_front() {
                host.write(&effect);
            }
        }
        host.process = Some(process);
        for effect in written {
            if self.hosts[agent].lives(life) {
                self.agent_does(agent, life, effect);
            }
        }
        self.agent_goes_on(agent);
    }

    fn agent_does(&mut self, agent: usize, life: u64, effect: Effect) {
        match effect {
            Effect::KeepEpoch(epoch) => self.agent_input(agent, Input::EpochKept(epoch, Ok(()))),
            Effect::Checkpoint(task) => {
                let container = task.container;
                self.hosts[agent].names.insert(container, *task);
                if self.is_struck(agent, "agent killed behind a checkpoint") {
                    return;
                }
                self.agent_input(agent, Input::Kept(container, Ok(())));
            }
            Effect::Prepare(container) => {
                if self.is_struck(agent, "agent killed while it prepares") {
                    return;
                }
                let takes = if self.random.per_cent(5) { 3_000 } else { self.random.within(1, 60) };
                let ready = if self.random.per_cent(1) { Err("no such file".to_owned()) } else { Ok(()) };
                self.after(takes, Event::Agent(agent, life, Input::Prepared(container, ready)));
            }
            Effect::StartShim(container) => self.start_shim(agent, life, container),
            Effect::AskShim(container) => {
                let takes = if self.random.per_cent(10) { 5_000 } else { self.random.within(5, 400) };
                self.end_shim(agent, container, takes, End::Signal(15));
            }
            Effect::KillTask(container) => self.end_shim(agent, container, 5, End::Signal(9)),
            Effect::Empty(container) => {
                if let Some(shim) = self.hosts[agent].shims.get_mut(&container)
                    && matches!(shim, Shim::Runs | Shim::Coming)
                {
                    *shim = Shim::Dead;
                    self.task_ended(agent, container);
                }
                self.after(5, Event::Agent(agent, life, Input::Emptied(container, Ok(()))));
            }
            Effect::LookAgain(container) => {
                let host = &mut self.hosts[agent];
                let found = host.look(container);
                if let Some(process) = host.process.as_mut().filter(|_| matches!(found, Found::Running(_))) {
                    process.watched.insert(container);
                }
                self.after(2, Event::Agent(agent, life, Input::LookedAt(container, found)));
            }
            Effect::Send(number, message) => {
                let stream = self.hosts[agent].stream();
                if let Some(id) = stream.filter(|id| self.streams.get(id).is_some_and(|s| s.number == number))
                {
                    self.say_up(id, Item::Message(message));
                }
            }
            Effect::CloseLink(number, why) => {
                self.note(|| format!("a{agent} hangs up: {why}"));
                let stream = self.hosts[agent].stream();
                if let Some(id) = stream.filter(|id| self.streams.get(id).is_some_and(|s| s.number == number))
                {
                    self.hang_up(agent, id);
                }
            }
            Effect::Done(Err(why)) => self.fail(format!("no agent is refused for good: a{agent}: {why}")),
            Effect::Done(Ok(()))
            | Effect::KeepId(_)
            | Effect::Journal(..)
            | Effect::Remove(..)
            | Effect::CancelPrepare(_)
            | Effect::Probe(..) => {}
            Effect::WritePeers(container, peers) => {
                self.agent_input(agent, Input::PeersWritten(container, peers.version, Ok(())));
            }
        }
    }

    fn start_shim(&mut self, agent: usize, life: u64, container: Uuid) {
        let host = &mut self.hosts[agent];
        let boot = host.boot;
        if let Some(process) = &mut host.process {
            process.watched.insert(container);
        }
        if host.shims.contains_key(&container) {
            let why = "the task had a shim".to_owned();
            return self.after(2, Event::Agent(agent, life, Input::NotStarted(container, why)));
        }
        host.shims.insert(container, Shim::Coming);
        let mut takes = if self.random.per_cent(5) { 2_000 } else { self.random.within(2, 60) };
        if self.is_struck(agent, "agent killed while a shim starts") {
            takes = self.agent_random.within(1, 900);
        }
        self.after(takes, Event::ShimStarts(agent, boot, container));
    }

    pub(crate) fn shim_starts(&mut self, agent: usize, boot: u64, container: Uuid) {
        let host = &mut self.hosts[agent];
        if host.boot != boot {
            return;
        }
        let anyway = self.switch == Some(Switch::ShimStartsAnyway);
        let Some(shim) = host.shims.get_mut(&container) else { return };
        if *shim != Shim::Coming && !(anyway && *shim == Shim::Released) {
            return;
        }
        if self.random.per_cent(2) {
            let ended = exit(End::Failed("no such program".to_owned()), false);
            *shim = Shim::Ended(ended.clone());
            let says = Input::ShimEnded(container, Ok(ended));
            return self.after(1, Event::ShimSays(agent, container, says));
        }
        *shim = Shim::Runs;
        let takes = self.random.within(1, 30);
        self.task_started(agent, container);
        self.after(takes, Event::ShimSays(agent, container, Input::Ran(container)));
        if self.now < self.faults_end && self.random.per_cent(10) {
            let end = if self.random.per_cent(50) { End::Code(0) } else { End::Code(1) };
            let lives = self.random.within(20, 20_000);
            self.after(lives, Event::ShimEnds(agent, boot, container, end, false));
        }
    }

    fn end_shim(&mut self, agent: usize, container: Uuid, takes: u64, end: End) {
        let boot = self.hosts[agent].boot;
        self.after(takes, Event::ShimEnds(agent, boot, container, end, true));
    }

    pub(crate) fn shim_ends(&mut self, agent: usize, boot: u64, container: Uuid, end: End, killed: bool) {
        let host = &mut self.hosts[agent];
        let Some(shim) = host.shims.get_mut(&container).filter(|_| host.boot == boot) else { return };
        if *shim != Shim::Runs {
            return;
        }
        let ended = exit(end, killed);
        *shim = Shim::Ended(ended.clone());
        self.task_ended(agent, container);
        let takes = self.random.within(1, 20);
        self.after(takes, Event::ShimSays(agent, container, Input::ShimEnded(container, Ok(ended))));
    }

    /// Said to whoever looks after it: a later agent has seen for itself.
    pub(crate) fn shim_says(&mut self, agent: usize, container: Uuid, input: Input) {
        let Some(process) = &self.hosts[agent].process else { return };
        if process.watched.contains(&container) {
            self.agent_input(agent, input);
        }
    }
}
