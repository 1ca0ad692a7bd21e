//! What an agent that starts finds of its tasks.

use std::fs;
use std::time::Duration;

use agent::adopt::{self, Leader, State, Why};
use agent::proc::Identity;
use agent::process::Process;
use agent::record;
use agent::shim::Outcome;
use agent::spec::{End, Exit, Started};
use rustix::process::Signal;

use super::harness::{self, Fixture, Mark, adopted, start_by_an_agent_that_is_killed};
use super::none_is_left;

#[test]
#[ignore = "started by another test"]
fn helper_agent() {
    harness::be_agent();
}

#[test]
fn a_task_is_adopted_after_its_agent_was_killed_and_its_end_is_known() {
    let fixture = Fixture::plain();
    let spec = fixture.spec("t", "read code < mark; echo $code; exit $code");
    let _mark = Mark::new(&fixture.sandbox("t"));
    start_by_an_agent_that_is_killed(&fixture, &spec, "adoption::helper_agent");

    let started: Started = record::read(&fixture.task_dir("t")).unwrap().unwrap();
    let running = adopted(&fixture, "t");
    assert_eq!(Identity::of(running.shim.pid()).unwrap(), started.shim);
    assert_eq!(Identity::of(started.leader.pid).unwrap(), started.leader);
    assert_eq!(running.started, Some(started));

    fs::write(fixture.sandbox("t").join("mark"), "42\n").unwrap();
    let exit = running.wait(&fixture.task_dir("t"), harness::LIMIT).unwrap().unwrap();
    assert_eq!(exit.end, End::Code(42));
    assert_eq!(fixture.output("t"), "42\n");
    match adopt::recover_one(&fixture.task_dir("t")).state {
        State::Exited(found) => assert_eq!(found, exit),
        other => panic!("{other:?}"),
    }
}

#[test]
#[ignore = "started by another test"]
fn helper_without_descriptors() {
    let Some(dir) = std::env::var_os(LOOK_AT).map(std::path::PathBuf::from) else { return };
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    for limit in 0..40 {
        setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum }).unwrap();
        let state = adopt::recover_one(&dir).state;
        setrlimit(Resource::Nofile, Rlimit { current: Some(40), maximum }).unwrap();
        match state {
            State::Unknown(unknown) => assert!(unknown.is_passing(), "{unknown}"),
            State::Running(_) => println!("found with {limit}"),
            other => panic!("{limit}: {other:?}"),
        }
    }
}

const LOOK_AT: &str = "CLUSTERCTL_AGENT_TEST_LOOK_AT";

#[test]
fn a_living_task_is_not_lost_for_want_of_descriptors() {
    let fixture = Fixture::plain();
    let spec = fixture.spec("t", "echo up > mark; exec sleep 1000");
    let mut mark = Mark::new(&fixture.sandbox("t"));
    let _task = fixture.start(&spec);
    mark.wait();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "adoption::helper_without_descriptors", "--include-ignored", "--nocapture"])
        .env(LOOK_AT, fixture.task_dir("t"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("found with 39"), "{said}");
    assert!(!said.contains("found with 0"), "{said}");
}

#[test]
fn a_task_of_a_later_program_is_left_alone() {
    let fixture = Fixture::plain();
    drop(fixture.spec("t", ""));
    fs::write(fixture.task_dir("t").join("started.json"), r#"{"version":2,"of":"another form"}"#).unwrap();
    match adopt::recover_one(&fixture.task_dir("t")).state {
        State::Unknown(unknown) => {
            assert!(!unknown.is_passing());
            assert!(unknown.to_string().contains("has protocol 2"), "{unknown}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_launch_again_does_not_change_what_a_task_was_started_with() {
    let fixture = Fixture::plain();
    let spec = fixture.spec("t", "echo up > mark; exec sleep 1000");
    let mut mark = Mark::new(&fixture.sandbox("t"));
    let task = fixture.start(&spec);
    mark.wait();
    let written = || fs::read(fixture.task_dir("t").join("spec.json")).unwrap();
    let before = written();
    let mut other = spec.clone();
    other.grace_ms += 1;
    let (outcome, shim) = fixture.try_start(&other);
    shim.reap();
    assert_eq!(outcome, Outcome::Already);
    assert!(written() == before);
    task.kill();
    task.wait();
}

#[test]
fn children_of_a_task_whose_shim_was_killed_are_ended_by_their_session() {
    let fixture = Fixture::plain();
    let spec =
        fixture.spec("t", "sleep 1000 & echo $! > pid; (sleep 1000 & echo $! >> pid); echo up > mark; wait");
    let mut mark = Mark::new(&fixture.sandbox("t"));
    let task = fixture.start(&spec);
    mark.wait();
    let running = adopted(&fixture, "t");
    let started = running.started.clone().unwrap();
    let leader = Process::open_exactly(&started.leader).unwrap().unwrap();
    running.shim.signal(Signal::KILL);
    assert!(running.shim.wait(harness::LIMIT) && leader.wait(harness::LIMIT));
    let pids = fs::read_to_string(fixture.sandbox("t").join("pid")).unwrap();
    adopt::clean_up(&started, harness::LIMIT).unwrap();
    none_is_left(&pids, 2);
    drop(task);
}

#[test]
fn a_task_goes_with_its_shim_and_that_is_told() {
    let fixture = Fixture::plain();
    let spec = fixture.spec("t", "echo up > mark; exec sleep 1000");
    let mut mark = Mark::new(&fixture.sandbox("t"));
    let task = fixture.start(&spec);
    mark.wait();
    let running = adopted(&fixture, "t");
    let leader = Process::open_exactly(&running.started.clone().unwrap().leader).unwrap().unwrap();
    assert_eq!(running.shim.pid(), task.shim_pid());
    running.shim.signal(Signal::KILL);
    assert!(leader.wait(harness::LIMIT));
    assert!(running.shim.wait(harness::LIMIT));
    match adopt::recover_one(&fixture.task_dir("t")).state {
        State::Lost { why: Why::ShimGone { leader: Leader::Gone }, started: Some(started) } => {
            adopt::clean_up(&started, harness::LIMIT).unwrap();
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_task_that_never_started_can_be_kept_from_starting() {
    let fixture = Fixture::plain();
    let spec = fixture.spec("t", "echo ran");
    record::write(&fixture.task_dir("t"), &spec, record::Durability::ThisBoot).unwrap();
    assert!(matches!(
        adopt::recover_one(&fixture.task_dir("t")).state,
        State::Lost { why: Why::NeverStarted, started: None }
    ));
    let exit = Exit {
        version: 1,
        task_id: "t".into(),
        end: End::Failed("the agent restarted".into()),
        oom: false,
        killed: false,
        stuck: vec![],
        output_lost: 0,
        usage: agent::cgroup::Usage::default(),
        finished_at_ms: 0,
    };
    assert!(adopt::release_unstarted(&fixture.task_dir("t"), &exit).unwrap());
    let (outcome, shim) = fixture.try_start(&spec);
    shim.reap();
    assert_eq!(outcome, Outcome::Already);
    assert!(!fixture.sandbox("t").join("stdout").exists());
    assert!(!adopt::release_unstarted(&fixture.task_dir("t"), &exit).unwrap());
}

#[test]
fn a_stranger_with_a_recorded_number_is_left_alone() {
    let fixture = Fixture::plain();
    drop(fixture.spec("t", ""));
    let mut stranger = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = i32::try_from(stranger.id()).unwrap();
    let mut identity = Identity::of(pid).unwrap();
    identity.start_time -= 1;
    let started = Started {
        version: 1,
        task_id: "t".into(),
        shim: identity.clone(),
        leader: identity,
        groups: None,
        started_at_ms: 0,
    };
    record::write(&fixture.task_dir("t"), &started, record::Durability::ThisBoot).unwrap();
    let state = adopt::recover_one(&fixture.task_dir("t")).state;
    adopt::clean_up(&started, Duration::ZERO).unwrap();
    let lives = stranger.try_wait().unwrap().is_none();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(lives);
    assert!(matches!(state, State::Lost { why: Why::ShimGone { leader: Leader::Reused }, .. }), "{state:?}");
}
