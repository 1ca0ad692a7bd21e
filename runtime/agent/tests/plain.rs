//! Tasks without root and without control groups: what every user has.

#[cfg(test)]
mod harness;

use std::fs;
use std::time::{Duration, Instant};

use agent::adopt::{self, Leader, State, Why};
use agent::proc::Identity;
use agent::process::Process;
use agent::record;
use agent::shim::Outcome;
use agent::spec::{Command, End, Exit, Started};
use harness::{Fixture, Mark, STUBBORN, adopted, failed, start_by_an_agent_that_is_killed};
use rustix::process::Signal;

#[test]
fn without_groups_a_task_runs_logs_and_leaves_its_exit_code() {
    let fixture = Fixture::plain();
    let spec = fixture.spec("t", "pwd; echo $NAME; echo oops >&2; exit 7");
    let exit = fixture.run(&spec);
    assert_eq!((exit.end, exit.oom, exit.killed), (End::Code(7), false, false));
    assert_eq!(fixture.output("t"), format!("{}\nvalue\n", fixture.sandbox("t").display()));
    assert_eq!(fs::read_to_string(fixture.sandbox("t").join("stderr")).unwrap(), "oops\n");
}

#[test]
fn a_task_inherits_nothing_but_its_own_environment() {
    let fixture = Fixture::plain();
    let mut spec = fixture.spec("t", "");
    spec.command = Command::Argv(vec!["env".into()]);
    fixture.run(&spec);
    let mut lines: Vec<String> = fixture.output("t").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines[0], "NAME=value");
    assert!(lines.len() == 2 && lines[1].starts_with("PATH="), "{lines:?}");
}

#[test]
fn what_cannot_run_says_why() {
    let fixture = Fixture::plain();
    let missing = |id: &str| {
        let mut spec = fixture.spec(id, "");
        spec.command = Command::Argv(vec!["no-such-program".into()]);
        spec
    };
    let program = missing("program");
    let mut empty = missing("empty");
    empty.command = Command::Argv(vec![]);
    let mut cwd = missing("cwd");
    cwd.cwd = "/no/such/sandbox".into();
    let mut logs = missing("logs");
    logs.logs.dir = "/no/such/sandbox".into();
    for (spec, expected) in [
        (program, "cannot run no-such-program: No such file or directory"),
        (empty, "the command is empty"),
        (cwd, "cannot enter /no/such/sandbox: No such file"),
        (logs, "cannot open stdout in /no/such/sandbox: No such file"),
    ] {
        let (outcome, shim) = fixture.try_start(&spec);
        shim.reap();
        let exit: Exit = record::read(&fixture.task_dir(&spec.task_id)).unwrap().unwrap();
        assert!(failed(&exit.end).starts_with(expected), "{exit:?}");
        assert_eq!(outcome, Outcome::Failed { why: failed(&exit.end).to_owned() });
    }
}

#[test]
fn a_task_that_ends_takes_what_it_left_behind_with_it() {
    let fixture = Fixture::plain();
    let spec = fixture.spec("t", "setsid sleep 1000 & echo $!; exit 0");
    let exit = fixture.run(&spec);
    assert_eq!((exit.end, exit.stuck), (End::Code(0), vec![]));
    let left: i32 = fixture.output("t").trim().parse().unwrap();
    assert!(Process::open(left).is_none_or(|p| p.has_ended()));
}

#[test]
fn without_groups_a_kill_reaches_the_stubborn_and_the_stopped() {
    let fixture = Fixture::plain();
    let mut spec = fixture.spec("t", STUBBORN);
    spec.grace_ms = 100;
    let mut mark = Mark::new(&fixture.sandbox("t"));
    let task = fixture.start(&spec);
    let mut marks = [mark.wait(), mark.wait()];
    marks.sort();
    assert_eq!(marks, ["inner", "outer"]);
    let asked = Instant::now();
    task.kill();
    let exit = task.wait();
    assert!(asked.elapsed() < Duration::from_millis(5100), "{:?}", asked.elapsed());
    assert_eq!((exit.end, exit.killed, exit.stuck), (End::Signal(9), true, vec![]));
}

#[test]
fn a_task_that_hears_sigterm_has_its_grace_period() {
    let fixture = Fixture::plain();
    let line = r#"trap 'echo bye; exit 3' TERM; echo up > mark; while :; do sleep 1000 & wait $!; done"#;
    let spec = fixture.spec("t", line);
    let mut mark = Mark::new(&fixture.sandbox("t"));
    let task = fixture.start(&spec);
    mark.wait();
    task.kill();
    let exit = task.wait();
    assert_eq!((exit.end, exit.killed), (End::Code(3), true));
    assert_eq!(fixture.output("t"), "bye\n");
}

#[test]
fn without_groups_memory_is_held_by_an_rlimit() {
    let fixture = Fixture::plain();
    let mut spec = fixture.spec("t", "");
    spec.command = Command::Argv(vec!["tail".into(), "/dev/zero".into()]);
    spec.limits.memory_bytes = Some(64 << 20);
    assert_eq!(fixture.run(&spec).end, End::Code(1));
}

#[test]
fn a_flood_of_output_keeps_its_size() {
    let fixture = Fixture::plain();
    let mut spec = fixture.spec("t", "head -c 10000000 /dev/zero; echo the end");
    (spec.logs.max_bytes, spec.logs.keep) = (100_000, 2);
    let exit = fixture.run(&spec);
    assert_eq!((exit.end, exit.output_lost), (End::Code(0), 0));
    let sizes = ["stdout", "stdout.1", "stdout.2"]
        .map(|name| fs::metadata(fixture.sandbox("t").join(name)).unwrap().len());
    assert_eq!(sizes, [8, 100_000, 100_000]);
    assert!(!fixture.sandbox("t").join("stdout.3").exists());
}

#[test]
fn a_second_launch_of_the_same_task_starts_nothing() {
    let fixture = Fixture::plain();
    let spec = fixture.spec("t", "echo ran; echo up > mark; read line < mark.2");
    let mut mark = Mark::new(&fixture.sandbox("t"));
    let task = fixture.start(&spec);
    mark.wait();
    for _ in 0..3 {
        let (outcome, shim) = fixture.try_start(&spec);
        shim.reap();
        assert_eq!(outcome, Outcome::Already);
    }
    task.kill();
    task.wait();
    let (outcome, shim) = fixture.try_start(&spec);
    shim.reap();
    assert_eq!(outcome, Outcome::Already, "after its end too");
    assert_eq!(fixture.output("t"), "ran\n");
}

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
    start_by_an_agent_that_is_killed(&fixture, &spec, "helper_agent");

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
fn a_task_goes_with_its_shim_and_that_is_told() {
    let fixture = Fixture::plain();
    let spec = fixture.spec("t", "echo up > mark; exec sleep 1000");
    let mut mark = Mark::new(&fixture.sandbox("t"));
    let task = fixture.start(&spec);
    mark.wait();
    let running = adopted(&fixture, "t");
    let leader = Process::open_exactly(&running.started.clone().unwrap().leader).unwrap();
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
