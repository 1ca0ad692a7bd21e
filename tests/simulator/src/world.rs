//! The queue of events and all that they happen to.

use std::collections::BTreeMap;

use api::link::wire;
use store::{Batch, Snapshot};

use crate::agents::Host;
use crate::checks::Truth;
use crate::clients::Clients;
use crate::masters::{Armed, MasterProcess, Want};
use crate::network::{Item, Line, Stream};
use crate::random::Random;
use crate::store_model::{Commit, Model};
use crate::{Broken, Figures, Outcome, Switch};

/// 2026-01-31T08:15:30.123Z, when every history begins.
pub(crate) const START: i64 = 1_769_847_330_123;

/// What masters ask the store.
#[derive(Debug)]
pub(crate) enum Question {
    Campaign,
    Keep(u64),
    Load,
    Commit(u64, Batch),
    Resign(u64),
}

/// What it answers.
#[derive(Debug)]
pub(crate) enum Answer {
    Won(u64),
    /// Whether, and which epoch the store is at.
    Kept(bool, u64),
    Loaded(Box<Snapshot>),
    Commit(Commit),
}

/// Whose tick it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Master,
    Services,
    Lease,
}

/// What happens. Lives and epochs tell whether it still concerns anyone.
#[derive(Debug)]
pub(crate) enum Event {
    ToStore {
        from: usize,
        life: u64,
        number: u64,
        question: Question,
    },
    FromStore {
        to: usize,
        life: u64,
        number: u64,
        answer: Answer,
    },
    StoreLate {
        to: usize,
        life: u64,
        number: u64,
    },
    Observed {
        to: usize,
        epoch: u64,
    },
    LeaseEnds,
    Stand(usize, u64),
    Turn(usize, u64, u64, Part),
    Tick(usize, u64, u64, Part),
    Cycle(usize, u64, u64),
    Subscribe(usize, u64, u64),
    Up(u64, Item<wire::AgentMessage>),
    Down(u64, Item<wire::MasterMessage>),
    /// Seen by the master, or else by the agent.
    Broken(u64, bool),
    Dial(usize, u64),
    Unanswered(usize, u64, u64),
    Silence(usize, u64, u64),
    AgentTick(usize, u64, u64),
    Disk(usize, u64),
    Agent(usize, u64, agent::daemon::core::Input),
    /// Only to an agent that looks after this shim.
    ShimSays(usize, api::marathon::Uuid, agent::daemon::core::Input),
    ShimStarts(usize, u64, api::marathon::Uuid),
    ShimEnds(usize, u64, api::marathon::Uuid, agent::spec::End, bool),
    Client,
    ClientAsks(u64, usize),
    ClientHears(u64, Option<bool>),
    Fault,
    ResumeMaster(usize, u64),
    ResumeAgent(usize, u64),
    StartMaster(usize),
    StartAgent(usize),
    Look,
}

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) switch: Option<Switch>,
    pub(crate) random: Random,
    /// For what befalls agents at the steps of a launch: without it nothing else is drawn differently.
    pub(crate) agent_random: Random,
    pub(crate) now: u64,
    step: u64,
    queue: BTreeMap<(u64, u64), Event>,
    number: u64,
    pub(crate) store: Model,
    pub(crate) store_lines: Vec<Line>,
    store_order: Vec<(u64, u64)>,
    /// So many of the next answers to each master are lost.
    pub(crate) lost_answers: Vec<u64>,
    pub(crate) masters: Vec<MasterProcess>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) lines: BTreeMap<(usize, usize), Line>,
    pub(crate) streams: BTreeMap<u64, Stream>,
    pub(crate) next_stream: u64,
    pub(crate) clients: Clients,
    pub(crate) truth: Truth,
    pub(crate) armed: Option<Armed>,
    pub(crate) figures: Figures,
    pub(crate) faults_end: u64,
    pub(crate) steps_down: bool,
    pub(crate) pipelined: bool,
    pub(crate) proved_names: bool,
    calm: u32,
    broken: Option<Broken>,
    done: bool,
    record: bool,
    log: Vec<String>,
}

/// So long after the last fault everything has to be as it should be: the agents' time to come back, until an instance is given
/// up, and half a minute.
const SETTLED_WITHIN: u64 = crate::masters::REREGISTRATION + crate::masters::UNREACHABLE + 20_000 + 30_000;

impl World {
    pub(crate) fn new(seed: u64, switch: Option<Switch>, record: bool) -> Self {
        let mut random = Random::new(seed);
        let masters = [1, 3, 3, 3, 5][random.below(5)];
        let agents = if random.per_cent(75) { random.within(3, 5) } else { random.within(6, 10) };
        let faults_end = random.within(30_000, 120_000);
        let mut world = Self {
            seed,
            switch,
            agent_random: Random::new(!seed),
            now: 0,
            step: 0,
            queue: BTreeMap::new(),
            number: 0,
            store: Model::default(),
            store_lines: vec![Line::default(); masters],
            store_order: vec![(0, 0); masters],
            lost_answers: vec![0; masters],
            masters: (0..masters).map(|_| MasterProcess::default()).collect(),
            hosts: (0..agents).map(Host::new).collect(),
            lines: BTreeMap::new(),
            streams: BTreeMap::new(),
            next_stream: 0,
            clients: Clients::default(),
            truth: Truth::default(),
            armed: None,
            figures: Figures::default(),
            faults_end,
            steps_down: random.per_cent(50),
            pipelined: random.per_cent(50),
            proved_names: random.per_cent(50),
            calm: 0,
            broken: None,
            done: false,
            record,
            log: Vec::new(),
            random,
        };
        for master in 0..masters {
            let at = world.random.within(0, 500);
            world.at(at, Event::StartMaster(master));
        }
        for agent in 0..world.hosts.len() {
            let at = world.random.within(0, 3_000);
            world.at(at, Event::StartAgent(agent));
        }
        world.at(4_000, Event::Client);
        world.at(5_000, Event::Fault);
        world.at(1_000, Event::Look);
        world
    }

    pub(crate) fn at(&mut self, time: u64, event: Event) {
        self.number += 1;
        self.queue.insert((time.max(self.now), self.number), event);
    }

    pub(crate) fn after(&mut self, millis: u64, event: Event) {
        self.at(self.now + millis, event);
    }

    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        if self.record {
            let line = format!("{:>8} {:>7} {}", self.step, self.now, text());
            self.log.push(line);
        }
    }

    /// A promise is broken: the first one counts.
    pub(crate) fn fail(&mut self, what: String) {
        self.note(|| format!("BROKEN {what}"));
        let (seed, step, at) = (self.seed, self.step, self.now);
        self.broken.get_or_insert(Broken { seed, step, at, what });
    }

    pub(crate) fn run(&mut self, steps: Option<u64>) {
        while self.broken.is_none() && !self.done && steps.is_none_or(|most| self.step < most) {
            let Some(((time, _), event)) = self.queue.pop_first() else { break };
            self.now = time;
            self.step += 1;
            self.happen(event);
        }
    }

    pub(crate) fn outcome(self) -> Outcome {
        let mut figures = self.figures;
        (figures.millis, figures.events) = (self.now, self.step);
        figures.tasks = self.truth.starts.len() as u64;
        figures.asked = self.clients.figures();
        Outcome { figures, broken: self.broken, log: self.log }
    }

    /// A stopped process finds what happened when it goes on.
    fn held(&mut self, event: Event) -> Option<Event> {
        let (master, agent) = match &event {
            Event::FromStore { to, .. } | Event::StoreLate { to, .. } | Event::Observed { to, .. } => {
                (Some(*to), None)
            }
            Event::Stand(m, _)
            | Event::Turn(m, ..)
            | Event::Tick(m, ..)
            | Event::Cycle(m, ..)
            | Event::Subscribe(m, ..)
            | Event::ClientAsks(_, m) => (Some(*m), None),
            Event::Up(id, _) | Event::Broken(id, true) => (self.streams.get(id).map(|s| s.master), None),
            Event::Down(id, _) | Event::Broken(id, false) => (None, self.streams.get(id).map(|s| s.agent)),
            Event::Dial(a, _)
            | Event::Unanswered(a, ..)
            | Event::Silence(a, ..)
            | Event::AgentTick(a, ..)
            | Event::Disk(a, _)
            | Event::Agent(a, ..)
            | Event::ShimSays(a, ..) => (None, Some(*a)),
            _ => (None, None),
        };
        let held = match (master, agent) {
            (Some(master), _) if self.masters[master].paused => &mut self.masters[master].held,
            (_, Some(agent)) if self.hosts[agent].paused => &mut self.hosts[agent].held,
            _ => return Some(event),
        };
        held.push(event);
        None
    }

    fn happen(&mut self, event: Event) {
        let Some(event) = self.held(event) else { return };
        match event {
            Event::ToStore { from, life, number, question } => self.store_hears(from, life, number, question),
            Event::FromStore { to, life, number, answer } => {
                if self.masters[to].life == life && self.masters[to].up {
                    self.store_answers(to, number, answer);
                }
            }
            Event::StoreLate { to, life, number } => {
                if self.masters[to].life == life && self.masters[to].up {
                    self.store_is_late(to, number);
                }
            }
            Event::Observed { to, epoch } => self.observed(to, epoch),
            Event::LeaseEnds => self.elect(),
            Event::Stand(master, life) => {
                let process = &self.masters[master];
                if process.up && process.life == life && process.reign.is_none() {
                    self.stand(master);
                }
            }
            Event::Turn(master, life, epoch, part) => match part {
                Part::Services => self.services_turn(master, life, epoch),
                _ => self.master_turn(master, life, epoch),
            },
            Event::Tick(master, life, epoch, part) => self.tick(master, life, epoch, part),
            Event::Cycle(master, life, epoch) => self.cycle(master, life, epoch),
            Event::Subscribe(master, life, epoch) => self.subscribe(master, life, epoch),
            Event::Up(id, item) => self.master_hears(id, item),
            Event::Down(id, item) => self.agent_hears(id, item),
            Event::Broken(id, true) => self.master_loses(id),
            Event::Broken(id, false) => self.agent_loses(id),
            Event::Dial(agent, life) => self.dial(agent, life),
            Event::Unanswered(agent, life, id) => self.unanswered(agent, life, id),
            Event::Silence(agent, life, id) => self.silence(agent, life, id),
            Event::AgentTick(agent, life, at) => self.agent_tick(agent, life, at),
            Event::Disk(agent, life) => self.disk(agent, life),
            Event::Agent(agent, life, input) => {
                if self.hosts[agent].lives(life) {
                    self.agent_input(agent, input);
                }
            }
            Event::ShimSays(agent, container, input) => self.shim_says(agent, container, input),
            Event::ShimStarts(agent, boot, container) => self.shim_starts(agent, boot, container),
            Event::ShimEnds(agent, boot, container, end, killed) => {
                self.shim_ends(agent, boot, container, end, killed);
            }
            Event::Client => self.client(),
            Event::ClientAsks(number, master) => self.client_asks(number, master),
            Event::ClientHears(number, made) => self.client_hears(number, made),
            Event::Fault => self.fault(),
            Event::ResumeMaster(master, life) => self.resume_master(master, life),
            Event::ResumeAgent(agent, life) => self.resume_agent(agent, life),
            Event::StartMaster(master) => self.start_master(master),
            Event::StartAgent(agent) => self.start_agent(agent),
            Event::Look => self.look_around(),
        }
    }

    /// Asks the store, in order; the answer is waited for by `want`.
    pub(crate) fn ask_store(&mut self, from: usize, question: Question, want: Option<Want>) {
        let life = self.masters[from].life;
        self.masters[from].next_question += 1;
        let number = self.masters[from].next_question;
        if let Some(want) = want {
            let patience = if matches!(want, Want::Leadership) { 20_000 } else { 5_000 };
            self.masters[from].wants.insert(number, want);
            self.after(patience, Event::StoreLate { to: from, life, number });
        }
        let at = self.arrival(self.store_lines[from].up, self.store_order[from].0);
        self.store_order[from].0 = at;
        self.at(at, Event::ToStore { from, life, number, question });
    }

    fn answer(&mut self, to: usize, life: u64, number: u64, answer: Answer) {
        let lost = !matches!(answer, Answer::Kept(..)) && self.lost_answers[to] > 0;
        if lost {
            self.lost_answers[to] -= 1;
            self.note(|| format!("store's answer {number} to m{to} is lost"));
            return;
        }
        let at = self.arrival(self.store_lines[to].down, self.store_order[to].1);
        self.store_order[to].1 = at;
        self.at(at, Event::FromStore { to, life, number, answer });
    }

    fn store_hears(&mut self, from: usize, life: u64, number: u64, question: Question) {
        let answer = match question {
            Question::Campaign => {
                self.store.waiting.retain(|(master, ..)| *master != from);
                self.store.waiting.push_back((from, life, number));
                return self.elect();
            }
            Question::Keep(epoch) => Answer::Kept(self.store.keep(epoch, self.now), self.store.epoch),
            Question::Load => Answer::Loaded(Box::new(self.store.snapshot())),
            Question::Commit(epoch, batch) => {
                let guarded = self.switch != Some(Switch::StoreComparesNothing);
                match self.store.commit(epoch, batch, guarded) {
                    Ok(commit) => {
                        self.note(|| format!("store: commit {number} of m{from}, epoch {epoch}: {commit:?}"));
                        if let Commit::Refused(why) = &commit {
                            self.fail(format!("a batch is never refused by the store: {why}"));
                        }
                        Answer::Commit(commit)
                    }
                    Err(broken) => return self.fail(format!("P2, one leader at a time writes: {broken}")),
                }
            }
            Question::Resign(epoch) => {
                self.store.resign(epoch);
                return self.elect();
            }
        };
        self.answer(from, life, number, answer);
    }

    pub(crate) fn elect(&mut self) {
        if let Some((master, life, number)) = self.store.elect(self.now) {
            let epoch = self.store.epoch;
            self.note(|| format!("store: m{master} leads as epoch {epoch}"));
            self.answer(master, life, number, Answer::Won(epoch));
            for to in 0..self.masters.len() {
                let at = self.arrival(self.store_lines[to].down, 0);
                self.at(at, Event::Observed { to, epoch });
            }
        }
        if let Some(holder) = &self.store.holder
            && !self.store.waiting.is_empty()
        {
            let until = holder.until;
            self.at(until, Event::LeaseEnds);
        }
    }

    /// Once a second: whether what can be seen from outside is as it should be, and after the last fault, whether all is.
    fn look_around(&mut self) {
        self.check_resources();
        if self.now >= self.faults_end {
            match self.settled() {
                Ok(()) => self.calm += 1,
                Err(why) if self.now >= self.faults_end + SETTLED_WITHIN => {
                    self.fail(format!("P3, P10, all comes to rest: {why}"));
                }
                Err(_) => self.calm = 0,
            }
            if self.calm == 1 {
                self.figures.settled = self.now - self.faults_end;
            }
            if self.calm >= 3 {
                self.check_end();
                self.done = true;
            }
        }
        self.after(1_000, Event::Look);
    }
}
