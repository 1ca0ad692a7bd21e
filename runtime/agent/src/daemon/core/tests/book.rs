//! The book, case by case.

use api::link::wire::{agent_message, master_message};
use api::link::{info_to_wire, status_from_wire};
use api::marathon::Timestamp;
use api::mesos::{Check, CheckAddress, CheckKind, Purpose, TaskState};

use super::info;
use crate::adopt::{Leader, Why};
use crate::cgroup::Usage;
use crate::daemon::core::*;
use crate::health::Probe;
use crate::spec::{End, Exit};

fn about() -> About {
    About {
        name: "a".into(),
        hostname: "h".into(),
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        port: 1,
        resources: "cpus:2;mem:1024;ports:[31000-31010]".parse().unwrap(),
        attributes: String::new(),
        region: String::new(),
        zone: String::new(),
        work_dir: "/w".into(),
        grace: Duration::from_secs(5),
    }
}

fn at(seconds: u64) -> Moment {
    Moment { elapsed: Duration::from_secs(seconds), wall: Timestamp::from_millis(seconds as i64 * 1000) }
}

struct Book {
    state: State,
    now: u64,
}

impl Book {
    /// Registered, with epoch 5 on disk.
    fn open() -> Self {
        let mut book = Self { state: State::new(about(), Some("A".into()), 5, 9), now: 100 };
        book.link(1);
        book
    }

    fn link(&mut self, number: u64) -> Vec<Effect> {
        let mut effects = self.input(Input::LinkUp(number));
        let (agent_id, master_id) = ("A".to_owned(), "M".to_owned());
        let registered = wire::Registered { agent_id, master_id, silence_ms: 1 };
        effects.extend(self.hear(number, 5, master_message::Body::Registered(registered)));
        effects
    }

    fn input(&mut self, input: Input) -> Vec<Effect> {
        step(&mut self.state, input, at(self.now))
    }

    fn hear(&mut self, number: u64, epoch: u64, body: master_message::Body) -> Vec<Effect> {
        self.input(Input::Heard(number, Box::new(wire::MasterMessage { epoch, body: Some(body) })))
    }

    fn launch_info(&mut self, info: &TaskInfo) -> Vec<Effect> {
        let launch = wire::Launch { framework_id: "F".into(), info: Some(info_to_wire(info)) };
        self.hear(1, 5, master_message::Body::Launch(launch))
    }

    fn launch(&mut self, id: &str, resources: &str) -> Vec<Effect> {
        self.launch_info(&info(id, resources))
    }

    fn kill(&mut self, id: &str, grace_ms: Option<u64>) -> Vec<Effect> {
        let kill = wire::Kill { framework_id: "F".into(), task_id: id.into(), grace_ms };
        self.hear(1, 5, master_message::Body::Kill(kill))
    }

    fn container(&self) -> Uuid {
        *self.state.tasks.keys().next().unwrap()
    }

    /// To the point where its shim answered.
    fn run(&mut self, info: &TaskInfo) -> Uuid {
        self.launch_info(info);
        let container = self.container();
        assert!(self.input(Input::Kept(container, Ok(()))).contains(&Effect::Prepare(container)));
        assert!(self.input(Input::Prepared(container, Ok(()))).contains(&Effect::StartShim(container)));
        self.input(Input::Ran(container));
        container
    }

    fn acknowledge(&mut self, container: Uuid) -> Vec<Effect> {
        let task = &self.state.tasks[&container];
        let (task_id, uuid) = (task.info.id.to_string(), task.updates.pending[0].uuid.as_u128());
        let uuid = uuid.to_be_bytes().to_vec();
        let ack = wire::Acknowledge { framework_id: "F".into(), task_id, uuid };
        self.hear(1, 5, master_message::Body::Acknowledge(ack))
    }
}

/// What is sent, in short.
fn said(effects: &[Effect]) -> Vec<String> {
    let sent = effects.iter().filter_map(|effect| match effect {
        Effect::Send(_, message) => message.body.clone(),
        _ => None,
    });
    sent.map(|body| match body {
        agent_message::Body::Register(it) => format!("register {} tasks", it.tasks.len()),
        agent_message::Body::Pong(_) => "pong".into(),
        agent_message::Body::PeersHeld(it) => format!("peers {}", it.version),
        agent_message::Body::Health(it) => format!("health {} {}", it.alive, it.consecutive_failures),
        agent_message::Body::Update(it) => {
            let status = status_from_wire(it.status.unwrap()).unwrap();
            let once = if status.uuid.is_some() { "" } else { " once" };
            format!("{}{once}", status.state)
        }
    })
    .collect()
}

fn exit(end: End, killed: bool) -> Box<Exit> {
    Box::new(Exit {
        version: 1,
        task_id: "t".into(),
        end,
        oom: false,
        killed,
        stuck: vec![],
        output_lost: 0,
        usage: Usage::default(),
        finished_at_ms: 0,
    })
}

#[test]
fn an_older_epoch_is_refused_and_its_stream_closed() {
    let mut book = Book::open();
    let info = Some(info_to_wire(&info("t", "cpus:1")));
    let launch = wire::Launch { framework_id: "F".into(), info };
    let effects = book.hear(1, 4, master_message::Body::Launch(launch.clone()));
    assert!(
        matches!(effects.as_slice(), [Effect::CloseLink(1, why)] if why.contains("epoch is 4")),
        "{effects:?}"
    );
    assert_eq!(book.state.counters.old_epochs, 1);
    // Nothing more is heard on it, whatever epoch it names then.
    assert_eq!(book.hear(1, 9, master_message::Body::Launch(launch)), []);
    assert!(book.state.tasks.is_empty());
}

#[test]
fn a_new_epoch_is_on_disk_before_it_is_obeyed() {
    let mut book = Book::open();
    let launch = |id| {
        let info = Some(info_to_wire(&info(id, "cpus:1")));
        master_message::Body::Launch(wire::Launch { framework_id: "F".into(), info })
    };
    assert_eq!(book.hear(1, 6, launch("a")), [Effect::KeepEpoch(6)]);
    assert_eq!(book.hear(1, 6, launch("b")), []);
    assert!(book.state.tasks.is_empty());
    book.input(Input::EpochKept(6, Ok(())));
    assert_eq!(book.state.tasks.len(), 2);
    // One that cannot be written down is not obeyed, and is tried again on the next stream.
    book.hear(1, 7, launch("c"));
    let effects = book.input(Input::EpochKept(7, Err("disk full".into())));
    assert!(matches!(effects.as_slice(), [Effect::CloseLink(1, why)] if why.contains("disk full")));
    assert_eq!((book.state.tasks.len(), book.state.epoch()), (2, 6));
}

#[test]
fn a_launch_is_written_down_prepared_started_and_told() {
    let mut book = Book::open();
    let effects = book.launch("t", "cpus:1");
    assert!(matches!(&effects[0], Effect::Checkpoint(task) if task.info.id.as_str() == "t"));
    assert!(matches!(effects[1], Effect::Journal(..)), "kept before it is sent");
    assert_eq!(said(&effects), ["TASK_STARTING"]);
    let container = book.container();
    book.input(Input::Kept(container, Ok(())));
    book.input(Input::Prepared(container, Ok(())));
    assert_eq!(said(&book.input(Input::Ran(container))), [""; 0], "one at a time");
    assert_eq!(said(&book.acknowledge(container)), ["TASK_RUNNING"]);
    assert_eq!(said(&book.acknowledge(container)), [""; 0]);
    assert_eq!(
        said(&book.input(Input::ShimEnded(container, Ok(exit(End::Code(0), false))))),
        ["TASK_FINISHED"]
    );
    let effects = book.acknowledge(container);
    assert!(matches!(&effects[..], [Effect::Remove(c, _)] if *c == container), "{effects:?}");
    assert_eq!(said(&book.launch("t", "cpus:1")), ["TASK_FINISHED once"], "its name is known");
    assert_eq!(said(&book.kill("t", None)), ["TASK_FINISHED once"]);
    assert_eq!(said(&book.kill("other", None)), ["TASK_GONE once"]);
    book.input(Input::Forgotten(container));
    assert_eq!(said(&book.kill("t", None)), ["TASK_GONE once"]);
}

#[test]
fn what_does_not_fit_is_an_error_and_leaves_nothing() {
    for (second, fits) in [
        ("cpus:1;mem:512;ports:[31001-31001]", true),
        ("cpus:1.001", false),
        ("mem:1025", false),
        ("ports:[31000-31000]", false),
        ("ports:[40000-40000]", false),
        ("gpus:1", false),
    ] {
        let mut book = Book::open();
        book.launch("first", "cpus:1;ports:[31000-31000]");
        let effects = book.launch("second", second);
        assert_eq!(book.state.tasks.len() == 2, fits, "{second}");
        if !fits {
            assert_eq!(said(&effects), ["TASK_ERROR once"], "{second}");
        }
    }
    let mut book = Book::open();
    let mut stray = info("t", "cpus:1");
    stray.agent = "B".into();
    assert_eq!(said(&book.launch_info(&stray)), ["TASK_ERROR once"]);
    let mut long = info("t", "cpus:1");
    long.name = "x".repeat(2 << 20);
    assert_eq!(said(&book.launch_info(&long)), ["TASK_ERROR once"]);
}

#[test]
fn what_cannot_be_prepared_fails_with_its_cause() {
    for stage in 0..2 {
        let mut book = Book::open();
        book.launch("t", "cpus:1");
        let container = book.container();
        book.acknowledge(container);
        let effects = if stage == 0 {
            book.input(Input::Kept(container, Err("no space".into())))
        } else {
            book.input(Input::Kept(container, Ok(())));
            book.input(Input::Prepared(container, Err("no space".into())))
        };
        assert_eq!(said(&effects), ["TASK_FAILED"]);
        let last = book.state.tasks[&container].updates.last.clone().unwrap();
        assert!(last.message.unwrap().contains("no space"));
        assert_eq!(last.reason, Some(api::mesos::Reason::ContainerLaunchFailed));
    }
}

#[test]
fn a_kill_before_the_start_stops_it() {
    let mut book = Book::open();
    book.launch("t", "cpus:1");
    let container = book.container();
    book.input(Input::Kept(container, Ok(())));
    let effects = book.kill("t", None);
    assert!(effects.contains(&Effect::CancelPrepare(container)));
    assert!(book.state.tasks[&container].has_ended());
    assert_eq!(book.input(Input::Prepared(container, Ok(()))), [], "too late");
}

#[test]
fn a_shorter_grace_is_enforced_by_the_agent_and_a_longer_one_is_the_shims() {
    for (asked, killed_at) in
        [(Some(0), Some(100)), (Some(2000), Some(102)), (Some(9000), None), (None, None)]
    {
        let mut book = Book::open();
        let container = book.run(&info("t", "cpus:1"));
        let effects = book.kill("t", asked);
        assert!(effects.contains(&Effect::AskShim(container)));
        let mut at = effects.contains(&Effect::KillTask(container)).then_some(book.now);
        for second in 101..104 {
            book.now = second;
            if book.input(Input::Tick).contains(&Effect::KillTask(container)) {
                at.get_or_insert(second);
            }
        }
        assert_eq!(at, killed_at, "{asked:?}");
        // The shim's own limit and a while later, the agent empties the group itself.
        book.now = 115;
        assert!(book.input(Input::Tick).contains(&Effect::Empty(container)));
    }
}

#[test]
fn a_lost_shims_end_is_told_when_nothing_runs_any_more() {
    let mut book = Book::open();
    let container = book.run(&info("t", "cpus:1"));
    book.acknowledge(container);
    book.acknowledge(container);
    let gone = Why::ShimGone { leader: Leader::Alive };
    assert_eq!(book.input(Input::ShimEnded(container, Err(gone))), [Effect::Empty(container)]);
    assert_eq!(book.input(Input::Emptied(container, Err("stuck".into()))), []);
    book.now += 10;
    assert!(book.input(Input::Tick).contains(&Effect::Empty(container)), "again");
    assert_eq!(said(&book.input(Input::Emptied(container, Ok(())))), ["TASK_FAILED"]);
}

#[test]
fn what_cannot_be_looked_at_is_left_alone_and_looked_at_again() {
    let mut book = Book::open();
    let container = book.run(&info("t", "cpus:1"));
    book.acknowledge(container);
    book.acknowledge(container);
    let looked = |found| Input::LookedAt(container, found);
    for _ in 0..3 {
        assert_eq!(book.input(looked(Found::Unknown)), []);
        book.now += 5;
        assert_eq!(book.input(Input::Tick), [Effect::LookAgain(container)]);
    }
    assert_eq!(book.input(looked(Found::Running(None))), [], "that is told already");
    book.input(looked(Found::Unknown));
    book.kill("t", None);
    assert!(book.input(looked(Found::Running(None))).contains(&Effect::AskShim(container)));
    let end = looked(Found::Exited(exit(End::Signal(15), true)));
    assert_eq!(said(&book.input(end)), [""; 0], "after what is not acknowledged");
    assert!(book.state.tasks[&container].has_ended());
}

#[test]
fn statements_are_said_again_later_and_at_once_to_a_new_master() {
    let mut book = Book::open();
    book.launch("t", "cpus:1");
    assert_eq!(book.state.wake_at(), Some(at(110).elapsed));
    book.now = 110;
    assert_eq!(said(&book.input(Input::Tick)), ["TASK_STARTING"]);
    assert_eq!(book.state.wake_at(), Some(at(130).elapsed));
    book.input(Input::LinkDown(1));
    assert_eq!(book.state.wake_at(), None, "nobody listens");
    assert_eq!(said(&book.link(2)), ["register 1 tasks", "TASK_STARTING"]);
}

#[test]
fn a_shutdown_ends_all_tasks_and_then_the_agent() {
    for (at_once, acknowledged) in [(false, true), (true, true), (false, false)] {
        let mut book = Book::open();
        let container = book.run(&info("t", "cpus:1"));
        let effects = book.input(Input::ShutDown { at_once });
        assert_eq!(effects.contains(&Effect::KillTask(container)), at_once);
        assert_eq!(said(&book.launch("new", "cpus:0.1")), ["TASK_DROPPED once"]);
        let effects = book.input(Input::ShimEnded(container, Ok(exit(End::Signal(15), true))));
        assert!(!effects.contains(&Effect::Done(Ok(()))), "its end is still to be heard");
        let mut effects = Vec::new();
        if acknowledged {
            while book.state.tasks.contains_key(&container) {
                effects = book.acknowledge(container);
            }
        } else {
            book.now += 3;
            effects.extend(book.input(Input::Tick));
        }
        assert!(effects.contains(&Effect::Done(Ok(()))), "{at_once} {acknowledged}: {effects:?}");
    }
    let mut idle = Book::open();
    assert_eq!(idle.input(Input::ShutDown { at_once: false }), [Effect::Done(Ok(()))]);
}

#[test]
fn failing_health_kills_and_says_why() {
    let mut book = Book::open();
    let mut task = info("t", "cpus:1");
    task.checks.push(Check {
        kind: CheckKind::Tcp { address: CheckAddress::Agent, port: 1 },
        delay: Duration::ZERO,
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        grace_period: Duration::ZERO,
        kill_after: Some(2),
        purpose: Purpose::Health,
    });
    let container = book.run(&task);
    book.acknowledge(container);
    book.acknowledge(container);
    let mut log = Vec::new();
    for (second, probe) in
        [(101, Probe::Good), (102, Probe::Bad("refused".into())), (103, Probe::Bad("refused".into()))]
    {
        book.now = second;
        let effects = book.input(Input::Tick);
        assert!(effects.iter().any(|e| matches!(e, Effect::Probe(c, 0, ..) if *c == container)), "{second}");
        let effects = book.input(Input::Probed(container, 0, probe.into()));
        log.extend(said(&effects));
        log.extend(effects.contains(&Effect::AskShim(container)).then(|| "asked".to_owned()));
        if !book.state.tasks[&container].updates.pending.is_empty() {
            book.acknowledge(container);
        }
    }
    let expected = [
        "health true 0",
        "TASK_RUNNING",
        "health false 1",
        "TASK_RUNNING",
        "health false 2",
        "TASK_KILLING",
        "asked",
    ];
    assert_eq!(log, expected);
    book.input(Input::ShimEnded(container, Ok(exit(End::Signal(15), true))));
    let last = book.state.tasks[&container].updates.last.clone().unwrap();
    assert_eq!((last.state, last.healthy), (TaskState::Killed, Some(false)));
    let message = "Task was killed since health check failed: 2 failures in a row, the last: refused";
    assert_eq!(last.message.as_deref(), Some(message));
}

#[test]
fn orders_before_admission_and_final_refusals_end_the_stream() {
    let mut book = Book { state: State::new(about(), None, 5, 9), now: 100 };
    book.input(Input::LinkUp(1));
    assert!(matches!(book.kill("t", None).as_slice(), [Effect::CloseLink(1, _)]));
    for (last, expected) in [(false, 1), (true, 2)] {
        let mut book = Book { state: State::new(about(), None, 5, 9), now: 100 };
        book.input(Input::LinkUp(1));
        let refused = wire::Refused { message: "no".into(), r#final: last };
        assert_eq!(book.hear(1, 5, master_message::Body::Refused(refused)).len(), expected);
    }
}

/// Ready at once, by a server that may not be asked again.
fn readiness() -> Check {
    Check {
        kind: CheckKind::Tcp { address: CheckAddress::Agent, port: 1 },
        delay: Duration::ZERO,
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
        grace_period: Duration::ZERO,
        kill_after: None,
        purpose: Purpose::Readiness { statuses: vec![200], keep_response: false },
    }
}

#[test]
fn readiness_is_found_once_and_said_again_on_every_stream() {
    let mut book = Book::open();
    let mut task = info("t", "cpus:1");
    task.checks.push(readiness());
    let container = book.run(&task);
    let probe = |book: &mut Book, probe: Probe| {
        let effects = book.input(Input::Tick);
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Probe(_, 0, _))), "{effects:?}");
        book.input(Input::Probed(container, 0, probe.into()))
    };
    assert_eq!(said(&probe(&mut book, Probe::Bad("503".into()))), ["health false 1"]);
    book.now = 110;
    let effects = probe(&mut book, Probe::Good);
    let kept = effects.iter().position(|effect| {
        matches!(effect, Effect::Journal(_, journal) if journal.ready.as_ref().is_some_and(|it| it.at == at(110).wall))
    });
    let sent = effects.iter().position(|effect| matches!(effect, Effect::Send(..)));
    assert!(kept.unwrap() < sent.unwrap(), "kept before it is sent: {effects:?}");
    assert_eq!(said(&effects), ["health true 0"]);
    book.now = 500;
    assert!(!book.input(Input::Tick).iter().any(|effect| matches!(effect, Effect::Probe(..))));

    let registered = |effects: &[Effect]| {
        let register = effects.iter().find_map(|effect| match effect {
            Effect::Send(_, message) => match &message.body {
                Some(agent_message::Body::Register(register)) => Some(register.tasks[0].health.clone()),
                _ => None,
            },
            _ => None,
        });
        register.unwrap().iter().map(|report| (report.check, report.alive)).collect::<Vec<_>>()
    };
    assert_eq!(registered(&book.link(2)), [(0, true)]);

    // The next agent knows it from the journal, and does not ask the task again.
    let recovered = |journal: Journal| {
        let checkpoint = book.state.tasks[&container].checkpoint();
        let mut state = State::new(about(), Some("A".into()), 5, 9);
        let found = Recovered { checkpoint, journal, found: Found::Running(Some(100_000)) };
        state.recover(vec![found], vec![], at(600));
        Book { state, now: 600 }
    };
    let asks = |book: &mut Book| {
        book.input(Input::Tick).iter().any(|effect| matches!(effect, Effect::Probe(_, 0, _)))
    };
    let journal = book.state.tasks[&container].journal();
    let mut knows = recovered(journal.clone());
    assert_eq!(registered(&knows.link(1)), [(0, true)]);
    assert!(!asks(&mut knows));
    // One that was found not ready, or not looked at, is looked at on.
    let mut looks = recovered(Journal { ready: None, ..journal });
    assert_eq!(registered(&looks.link(1)), []);
    assert!(asks(&mut looks));
}

fn peers(version: u64) -> api::mesos::Peers {
    api::mesos::Peers { version, json: format!("{{\"peers\":\"{version}\"}}").into(), tsv: "t".into() }
}

fn tell(book: &mut Book, number: u64, version: u64) -> Vec<Effect> {
    let peers = Some(api::link::peers_to_wire(&peers(version)));
    let changed = wire::PeersChanged { framework_id: "F".into(), task_id: "t".into(), peers };
    book.hear(number, 5, master_message::Body::PeersChanged(changed))
}

fn writes(effects: &[Effect]) -> Vec<u64> {
    let written = effects.iter().filter_map(|effect| match effect {
        Effect::WritePeers(_, peers) => Some(peers.version),
        _ => None,
    });
    written.collect()
}

#[test]
fn peers_are_written_one_list_after_the_other_and_said_when_they_are_there() {
    let mut book = Book::open();
    assert_eq!(tell(&mut book, 1, 9), [], "of no task");
    let info = TaskInfo { peers: Some(peers(1)), ..info("t", "cpus:1") };
    book.launch_info(&info);
    let container = book.container();
    book.input(Input::Kept(container, Ok(())));
    assert_eq!(book.state.tasks[&container].info.peers, Some(peers(1)), "the sandbox is made with them");
    assert!(writes(&tell(&mut book, 1, 2)).is_empty(), "the sandbox is being made");
    assert_eq!(writes(&book.input(Input::Prepared(container, Ok(())))), [2]);
    book.input(Input::Ran(container));
    assert!(writes(&tell(&mut book, 1, 3)).is_empty(), "one after the other");
    assert!(writes(&tell(&mut book, 1, 4)).is_empty());
    let effects = book.input(Input::PeersWritten(container, 2, Ok(())));
    assert_eq!((said(&effects), writes(&effects)), (vec!["peers 2".to_owned()], vec![4]), "the newest alone");
    let effects = book.input(Input::PeersWritten(container, 4, Err("no room".into())));
    assert_eq!((said(&effects).len(), writes(&effects).len()), (0, 0), "it is sent again");
    assert_eq!(writes(&tell(&mut book, 1, 4)), [4]);
    let effects = book.input(Input::PeersWritten(container, 4, Ok(())));
    let journal = effects.iter().find_map(|effect| match effect {
        Effect::Journal(_, journal) => Some(journal.clone()),
        _ => None,
    });
    let journal = journal.unwrap();
    assert_eq!(journal.peers, Some(4), "written down before it is said");
    assert_eq!(said(&tell(&mut book, 1, 4)), ["peers 4"], "it is there: nothing is written");

    // The next agent says so when it registers.
    let registered = |book: &mut Book| {
        let effects = book.input(Input::LinkUp(7));
        let Some(Effect::Send(_, message)) = effects.first() else { panic!("{effects:?}") };
        let Some(agent_message::Body::Register(register)) = &message.body else { panic!("{message:?}") };
        register.tasks[0].peers_version
    };
    assert_eq!(registered(&mut book), Some(4));
    for (journal, version) in [(*journal, 4), (Journal::default(), 1)] {
        let mut next = Book { state: State::new(about(), Some("A".into()), 5, 9), now: 200 };
        let checkpoint =
            Checkpoint { framework: "F".into(), info: info.clone(), container, directory: "/w/t".into() };
        let task = Recovered { checkpoint, journal, found: Found::Running(None) };
        next.state.recover(vec![task], vec![], at(200));
        assert_eq!(registered(&mut next), Some(version));
    }
}
