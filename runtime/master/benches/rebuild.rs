//! How long a new master takes to know again what runs, with Mesos' parameter sets: `cargo bench -p master --bench rebuild`.
//!
//! As in Mesos' failover benchmark: agents in the same process, which all register again with a master that has their
//! admissions, ten tasks each of one framework, ten labels a task. Measured is the core's work: every registration, the
//! framework's subscription, the first offers, and the question for all tasks that a framework asks. Prints the median of
//! five runs, and the memory that a master of that size has grown by.

#![expect(clippy::print_stdout, reason = "it is a program whose output is its result")]
#![expect(clippy::expect_used, reason = "a program that measures may stop at the first surprise")]

use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::Moment;
use api::marathon::{Timestamp, Uuid};
use api::mesos::{
    Call, Command, CommandLine, FrameworkInfo, Limits, Source, TaskInfo, TaskState, TaskStatus,
};
use master::core::{
    AgentFacts, Config, Effect, FromAgent, Input, Registration, Report, State, ToAgent, step,
};
use scheduler::{AgentId, FrameworkId, Host, Role};
use store::{Candidate, EmbeddedStore, Options, Prefix, Snapshot, Store as _};

/// Agents, tasks on each, and the goal in seconds.
const SETS: [(usize, usize, f64); 2] = [(10_000, 10, 0.5), (40_000, 10, 2.0)];
const LABELS: usize = 10;
const RUNS: usize = 5;

fn now() -> Moment {
    Moment { elapsed: Duration::from_secs(1), wall: Timestamp::from_millis(1_700_000_000_000) }
}

fn address(at: usize) -> String {
    format!("10.{}.{}.{}", at >> 16, at >> 8 & 255, at & 255)
}

fn registration(id: Option<AgentId>, at: usize, tasks: Vec<Report>) -> Registration {
    let host = Host { hostname: address(at), ..Host::default() };
    let facts = AgentFacts {
        name: format!("a{at}"),
        host: host.into(),
        address: address(at).parse().expect("made of numbers"),
        port: 5051,
        total: "cpus:24;mem:4096;disk:4096;ports:[31000-32000]".parse().expect("it is constant"),
        version: "0.1.0".to_owned(),
    };
    Registration { id, facts, tasks }
}

fn report(framework: &FrameworkId, agent: &AgentId, number: usize) -> Report {
    let id: api::mesos::TaskKey = format!("task-{number}").parse().expect("made of letters and numbers");
    let info = TaskInfo {
        id: id.clone(),
        name: format!("task-{number}"),
        agent: agent.clone(),
        role: Role::star(),
        resources: "cpus:0.1;mem:32;ports:[31000-31000]".parse().expect("it is constant"),
        command: Command {
            line: CommandLine::Shell("sleep 1000".to_owned()),
            env: Default::default(),
            secrets: [].into(),
            user: None,
            uris: vec![],
        },
        limits: Limits::default(),
        grace: None,
        checks: vec![],
        volumes: vec![],
        labels: (0..LABELS).map(|n| (format!("key-{n}"), format!("value-{n}"))).collect(),
        peers: None,
    };
    let status = TaskStatus {
        task: id,
        state: TaskState::Running,
        message: None,
        source: Source::Executor,
        reason: None,
        agent: Some(agent.clone()),
        uuid: Some(Uuid::from_bits(number as u128 + 1)),
        healthy: None,
        timestamp: now().wall,
        addresses: vec![],
    };
    let directory =
        format!("/var/lib/clusterctl/agent/slaves/S0/frameworks/F/executors/task-{number}/runs/1");
    Report {
        framework: framework.clone(),
        info: Arc::new(info),
        status,
        health: vec![],
        directory,
        peers: None,
    }
}

/// What an earlier master with so many agents left in its store: its records, the agents' ids, and the framework's.
async fn earlier(agents: usize) -> (Snapshot, Vec<AgentId>, FrameworkId) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = EmbeddedStore::open(dir.path(), Options::default()).await.expect("a store");
    let leadership = store.campaign(&Candidate::new("m1")).await.expect("nobody else leads");
    let mut state = State::new("m".to_owned(), Config::default());
    let mut batches = Vec::new();
    let mut ids = Vec::new();
    let mut framework = None;
    let subscribe = Input::Subscribed { channel: 1, info: framework_info(None) };
    let connect = |at| Input::AgentConnected {
        connection: at as u64 + 1,
        registration: registration(None, at, vec![]),
    };
    for input in std::iter::once(subscribe).chain((0..agents).map(connect)) {
        let mut effects = step(&mut state, input, now());
        while !effects.is_empty() {
            let mut more = Vec::new();
            for effect in effects {
                match effect {
                    Effect::Commit { ticket, batch, .. } => {
                        batches.push(batch);
                        more.extend(step(&mut state, Input::Committed { ticket }, now()));
                    }
                    Effect::SendAgent { message: ToAgent::Registered { agent, .. }, .. } => ids.push(agent),
                    Effect::SendFramework {
                        event: api::mesos::Event::Subscribed { framework: id, .. },
                        ..
                    } => framework = Some(id),
                    _ => {}
                }
            }
            effects = more;
        }
    }
    let (made, error) = store.commit_all(&leadership, batches).await;
    assert!(error.is_none() && made > agents, "{error:?}");
    let snapshot = store.load(&Prefix::all()).await.expect("it was written just now");
    store.close().await.expect("nothing is under way");
    (snapshot, ids, framework.expect("it subscribed"))
}

fn framework_info(id: Option<FrameworkId>) -> FrameworkInfo {
    FrameworkInfo { id, name: "bench".to_owned(), user: "nobody".to_owned(), roles: vec![Role::star()] }
}

/// One new master, from its load to the last answer; the time, and the state.
fn rebuild(
    snapshot: &Snapshot,
    registrations: Vec<Registration>,
    framework: &FrameworkId,
) -> (Duration, State) {
    let begin = Instant::now();
    let mut state =
        State::load("m".to_owned(), snapshot, Config::default(), now().elapsed).expect("its own records");
    let info = framework_info(Some(framework.clone()));
    black_box(step(&mut state, Input::Subscribed { channel: 1, info }, now()));
    for (at, registration) in registrations.into_iter().enumerate() {
        let connection = at as u64 + 1;
        black_box(step(&mut state, Input::AgentConnected { connection, registration }, now()));
        // It is believed when it has answered.
        let message = FromAgent::Pong;
        black_box(step(&mut state, Input::AgentMessage { connection, message }, now()));
    }
    black_box(step(&mut state, Input::Call { channel: 1, call: Call::Reconcile(vec![]) }, now()));
    black_box(step(&mut state, Input::Cycle, now()));
    (begin.elapsed(), state)
}

fn resident_mib() -> f64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0.0);
    pages * 4096.0 / 1_048_576.0
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for (agents, tasks, goal) in SETS {
        let (snapshot, ids, framework) = runtime.block_on(earlier(agents));
        let all = || -> Vec<Registration> {
            let mut number = 0;
            let one = |(at, id): (usize, &AgentId)| {
                let reports = (0..tasks).map(|_| {
                    number += 1;
                    report(&framework, id, number)
                });
                registration(Some(id.clone()), at, reports.collect())
            };
            ids.iter().enumerate().map(one).collect()
        };
        let mut times: Vec<Duration> = Vec::new();
        let mut grown = 0.0;
        for run in 0..RUNS {
            let registrations = all();
            let before = resident_mib();
            let (time, state) = rebuild(&snapshot, registrations, &framework);
            // What the registrations hold goes over into the state, so it counts as if it had been there before.
            if run == 0 {
                grown = resident_mib() - before;
            }
            times.push(time);
            drop(state);
        }
        times.sort_unstable();
        println!(
            "{agents} agents, {} tasks: {:.3} s (least {:.3}, most {:.3}; goal {goal} s), state beside the reports {grown:.0} MiB",
            agents * tasks,
            times[RUNS / 2].as_secs_f64(),
            times[0].as_secs_f64(),
            times[RUNS - 1].as_secs_f64(),
        );
    }
}
