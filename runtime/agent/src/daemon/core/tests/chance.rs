//! By chance: launches, kills, lost acknowledgements, streams that break, ends, and crashes between any two effects.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use api::link::wire::{agent_message, master_message};
use api::link::{info_to_wire, status_from_wire};
use api::marathon::Timestamp;
use api::mesos::{TaskState, TaskStatus};
use proptest::prelude::*;

use super::info;
use crate::adopt::Why;
use crate::cgroup::Usage;
use crate::daemon::core::*;
use crate::spec::{End, Exit};

#[derive(Clone, Debug)]
enum Op {
    Launch(u8),
    Kill(u8),
    /// Acknowledge the oldest statement that the master has not, or lose it.
    Acknowledge(bool),
    CarryOut(u8),
    Exit(u8),
    Break,
    Dial,
    Crash,
    /// From now on, nothing of a task can be looked at, or it can again.
    Blind(bool),
    Wait(u16),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => (0..4_u8).prop_map(Op::Launch),
        1 => (0..4_u8).prop_map(Op::Kill),
        4 => any::<bool>().prop_map(Op::Acknowledge),
        8 => (1..6_u8).prop_map(Op::CarryOut),
        1 => (0..4_u8).prop_map(Op::Exit),
        1 => Just(Op::Break),
        3 => Just(Op::Dial),
        1 => Just(Op::Crash),
        1 => any::<bool>().prop_map(Op::Blind),
        2 => (1..700_u16).prop_map(Op::Wait),
    ];
    proptest::collection::vec(op, 0..120)
}

/// What is true of a shim, whoever knows.
#[derive(Clone, Debug, PartialEq)]
enum Shim {
    Runs,
    Ended(Box<Exit>),
    Released,
}

/// What survives a crash.
#[derive(Default)]
struct Disk {
    epoch: u64,
    id: Option<AgentId>,
    tasks: BTreeMap<Uuid, (Checkpoint, Journal)>,
    past: BTreeMap<Uuid, Past>,
}

struct World {
    disk: Disk,
    state: State,
    queue: VecDeque<Effect>,
    shims: BTreeMap<Uuid, Shim>,
    blind: bool,
    names: BTreeMap<Uuid, TaskKey>,
    starts: BTreeMap<TaskKey, u32>,
    heard: BTreeMap<TaskKey, Vec<TaskStatus>>,
    unanswered: VecDeque<TaskStatus>,
    link: u64,
    now: Duration,
    seed: u128,
}

fn about() -> About {
    About {
        name: "a".into(),
        hostname: "h".into(),
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        port: 1,
        resources: "cpus:4;mem:1024".parse().unwrap(),
        attributes: String::new(),
        region: String::new(),
        zone: String::new(),
        work_dir: "/w".into(),
        grace: Duration::from_secs(5),
    }
}

fn rank(state: TaskState) -> u8 {
    match state {
        TaskState::Starting => 1,
        TaskState::Running => 2,
        TaskState::Killing => 3,
        other if other.is_terminal() => 4,
        other => panic!("{other} is never said"),
    }
}

impl World {
    fn new() -> Self {
        Self {
            disk: Disk::default(),
            state: State::new(about(), None, 0, 1),
            queue: VecDeque::new(),
            shims: BTreeMap::new(),
            blind: false,
            names: BTreeMap::new(),
            starts: BTreeMap::new(),
            heard: BTreeMap::new(),
            unanswered: VecDeque::new(),
            link: 0,
            now: Duration::from_secs(1000),
            seed: 1,
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            elapsed: self.now,
            wall: Timestamp::from_millis(i64::try_from(self.now.as_millis()).unwrap()),
        }
    }

    fn input(&mut self, input: Input) {
        let now = self.moment();
        let effects = step(&mut self.state, input, now);
        self.queue.extend(effects);
    }

    fn say(&mut self, body: master_message::Body) {
        let message = Box::new(wire::MasterMessage { epoch: 1, body: Some(body) });
        self.input(Input::Heard(self.link, message));
    }

    fn dial(&mut self) {
        self.link += 1;
        self.input(Input::LinkUp(self.link));
        let (agent_id, master_id) = ("A".to_owned(), "M".to_owned());
        self.say(master_message::Body::Registered(wire::Registered { agent_id, master_id, silence_ms: 1 }));
    }

    fn crash(&mut self) {
        self.queue.clear();
        self.unanswered.clear();
        self.seed += 1;
        self.state = State::new(about(), self.disk.id.clone(), self.disk.epoch, self.seed);
        let mut left = Vec::new();
        for (container, (checkpoint, journal)) in self.disk.tasks.clone() {
            let found = self.look(container);
            left.push(Recovered { checkpoint, journal, found });
        }
        let past = self.disk.past.clone().into_iter().collect();
        let now = self.moment();
        let effects = self.state.recover(left, past, now);
        self.queue.extend(effects);
        self.link += 1;
    }

    fn look(&mut self, container: Uuid) -> Found {
        if self.blind {
            return Found::Unknown;
        }
        match self.shims.entry(container).or_insert(Shim::Released) {
            Shim::Runs => Found::Running(Some(0)),
            Shim::Ended(exit) => Found::Exited(exit.clone()),
            Shim::Released => Found::Lost(Why::NeverStarted),
        }
    }

    fn exit(&mut self, container: Uuid, end: End, killed: bool) {
        let exit = Box::new(Exit {
            version: 1,
            task_id: String::new(),
            end,
            oom: false,
            killed,
            stuck: vec![],
            output_lost: 0,
            usage: Usage::default(),
            finished_at_ms: 0,
        });
        self.shims.insert(container, Shim::Ended(exit.clone()));
        match self.blind {
            true => self.input(Input::LookedAt(container, Found::Unknown)),
            false => self.input(Input::ShimEnded(container, Ok(exit))),
        }
    }

    fn carry_out(&mut self) -> bool {
        let Some(effect) = self.queue.pop_front() else { return false };
        match effect {
            Effect::KeepEpoch(epoch) => {
                self.disk.epoch = epoch;
                self.input(Input::EpochKept(epoch, Ok(())));
            }
            Effect::KeepId(id) => self.disk.id = Some(id),
            Effect::Checkpoint(task) => {
                let container = task.container;
                self.names.insert(container, task.info.id.clone());
                self.disk.tasks.insert(container, (*task, Journal::default()));
                self.input(Input::Kept(container, Ok(())));
            }
            Effect::Journal(container, journal) => {
                // One that is not checkpointed has no directory to keep it in.
                if let Some(task) = self.disk.tasks.get_mut(&container) {
                    task.1 = *journal;
                }
            }
            Effect::WritePeers(container, peers) => {
                self.input(Input::PeersWritten(container, peers.version, Ok(())));
            }
            Effect::Prepare(container) => self.input(Input::Prepared(container, Ok(()))),
            Effect::StartShim(container) => self.start(container),
            Effect::AskShim(container) | Effect::KillTask(container) => {
                if self.shims.get(&container) == Some(&Shim::Runs) {
                    self.exit(container, End::Signal(15), true);
                }
            }
            Effect::LookAgain(container) => {
                let found = self.look(container);
                self.input(Input::LookedAt(container, found));
            }
            Effect::Empty(container) => self.input(Input::Emptied(container, Ok(()))),
            Effect::Send(link, message) if link == self.link => self.hear(*message),
            Effect::Remove(container, past) => {
                self.disk.tasks.remove(&container);
                self.disk.past.insert(container, *past);
            }
            Effect::CloseLink(..) | Effect::Done(_) => panic!("{effect:?}"),
            Effect::Send(..) | Effect::CancelPrepare(_) | Effect::Probe(..) => {}
        }
        true
    }

    fn start(&mut self, container: Uuid) {
        assert_eq!(self.shims.get(&container), None, "one start per container");
        let task = self.names[&container].clone();
        *self.starts.entry(task).or_default() += 1;
        self.shims.insert(container, Shim::Runs);
        self.input(Input::Ran(container));
    }

    fn hear(&mut self, message: wire::AgentMessage) {
        let Some(agent_message::Body::Update(update)) = message.body else { return };
        let status = status_from_wire(update.status.unwrap()).unwrap();
        if status.uuid.is_some() {
            self.heard.entry(status.task.clone()).or_default().push(status.clone());
            self.unanswered.push_back(status);
        }
    }

    fn acknowledge(&mut self) {
        let Some(status) = self.unanswered.pop_front() else { return };
        let uuid = status.uuid.unwrap().as_u128().to_be_bytes().to_vec();
        let (framework_id, task_id) = ("F".to_owned(), status.task.to_string());
        self.say(master_message::Body::Acknowledge(wire::Acknowledge { framework_id, task_id, uuid }));
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Launch(n) => {
                let info = Some(info_to_wire(&info(&format!("t{n}"), "cpus:1;mem:32")));
                if self.state.is_registered() {
                    self.say(master_message::Body::Launch(wire::Launch { framework_id: "F".into(), info }));
                }
            }
            Op::Kill(n) if self.state.is_registered() => {
                let (framework_id, task_id) = ("F".to_owned(), format!("t{n}"));
                self.say(master_message::Body::Kill(wire::Kill { framework_id, task_id, grace_ms: None }));
            }
            Op::Kill(_) => {}
            Op::Acknowledge(true) if self.state.is_registered() => self.acknowledge(),
            Op::Acknowledge(_) => drop(self.unanswered.pop_front()),
            Op::CarryOut(count) => {
                for _ in 0..*count {
                    self.carry_out();
                }
            }
            Op::Exit(n) => {
                let running = self.shims.iter().filter(|(_, shim)| **shim == Shim::Runs);
                let running: Vec<Uuid> = running.map(|(container, _)| *container).collect();
                if let Some(container) = running.get(usize::from(*n)) {
                    self.exit(*container, End::Code(i32::from(*n)), false);
                }
            }
            Op::Break => self.input(Input::LinkDown(self.link)),
            Op::Dial => self.dial(),
            Op::Crash => self.crash(),
            Op::Blind(blind) => self.blind = *blind,
            Op::Wait(seconds) => {
                self.now += Duration::from_secs(u64::from(*seconds));
                self.input(Input::Tick);
            }
        }
    }

    /// No more faults: everything ends, and is said and acknowledged.
    fn settle(&mut self) {
        self.blind = false;
        self.dial();
        for _ in 0..200 {
            while self.carry_out() {}
            let running = self.shims.iter().find(|(_, shim)| **shim == Shim::Runs);
            if let Some(container) = running.map(|(container, _)| *container) {
                self.exit(container, End::Code(0), false);
            }
            self.acknowledge();
            self.now += Duration::from_secs(1);
            self.input(Input::Tick);
        }
    }

    fn check_order(&self) {
        for (task, said) in &self.heard {
            let mut seen = BTreeSet::new();
            let mut last = 0;
            for status in said.iter().filter(|s| seen.insert(s.uuid.unwrap().as_u128())) {
                let rank = rank(status.state);
                assert!(rank >= last && last < 4, "{task}: {said:#?}");
                last = rank;
            }
        }
        for (task, starts) in &self.starts {
            assert_eq!(*starts, 1, "{task} was started again");
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_no_task_starts_twice_and_no_word_is_lost_or_out_of_order(ops in ops()) {
        let mut world = World::new();
        for op in &ops {
            world.run(op);
        }
        world.check_order();
        world.settle();
        world.check_order();
        prop_assert!(world.state.tasks.is_empty(), "{:#?}", world.state.tasks);
        prop_assert!(world.disk.tasks.is_empty());
        for task in world.starts.keys() {
            let last = world.heard.get(task).and_then(|said| said.last());
            prop_assert!(last.is_some_and(|last| last.state.is_terminal()), "{}: {:?}", task, last);
        }
    }
}
