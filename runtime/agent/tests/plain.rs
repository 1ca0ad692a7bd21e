//! Tasks without root and without control groups: what every user has.

#[cfg(test)]
mod harness;

use std::fs;
use std::time::Duration;

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
    task.kill();
    let exit = task.wait();
    assert_eq!((exit.end, exit.killed, exit.stuck), (End::Signal(9), true, vec![]));
}

/// Waits for a task that ends by itself and must take all these with it.
#[cfg(test)]
fn none_is_left(pids: &str, count: usize) {
    let pids: Vec<i32> = pids.lines().map(|line| line.trim().parse().unwrap()).collect();
    assert_eq!(pids.len(), count, "{pids:?}");
    for pid in pids {
        assert!(Process::open(pid).is_none_or(|p| p.has_ended()), "{pid} lives");
    }
}

#[test]
fn more_processes_than_descriptors_are_all_ended() {
    let fixture = Fixture::plain();
    let line = "i=0; while [ $i -lt 150 ]; do setsid sleep 1000 & echo $!; i=$((i+1)); done; exit 0";
    let spec = fixture.spec("t", line);
    let exit = fixture.start_by(&harness::after("ulimit -n 40"), &spec).wait();
    assert_eq!((exit.end, exit.stuck), (End::Code(0), vec![]));
    none_is_left(&fixture.output("t"), 150);
}

#[test]
fn a_chain_of_double_forks_is_ended_to_its_last() {
    let fixture = Fixture::plain();
    let spec = fixture.spec("t", "sh chain 10; read line < mark.2; exit 0");
    let chain = r#"echo $$; [ $1 = 0 ] && { echo last > mark; exec sleep 1000; }
(setsid sh chain $(($1-1)) > pids.$1 2>&1 &); [ $1 = 10 ] || exec sleep 1000"#;
    fs::write(fixture.sandbox("t").join("chain"), chain).unwrap();
    let mut mark = Mark::new(&fixture.sandbox("t"));
    Mark::make(&fixture.sandbox("t").join("mark.2"));
    let task = fixture.start(&spec);
    assert_eq!(mark.wait(), "last");
    fs::write(fixture.sandbox("t").join("mark.2"), "go\n").unwrap();
    let exit = task.wait();
    assert_eq!((exit.end, exit.stuck), (End::Code(0), vec![]));
    let pids: String = (1..=10)
        .map(|n| fs::read_to_string(fixture.sandbox("t").join(format!("pids.{n}"))).unwrap())
        .collect();
    none_is_left(&pids, 10);
}

#[test]
fn a_process_whose_name_is_no_text_is_ended_too() {
    let fixture = Fixture::plain();
    let line = r#"(setsid sh -c 'printf "\377\376" > /proc/$$/comm; echo $$ > pid; echo up > mark; while :; do sleep 1000; done' &)
read line < mark.2; exit 0"#;
    let spec = fixture.spec("t", line);
    let mut mark = Mark::new(&fixture.sandbox("t"));
    Mark::make(&fixture.sandbox("t").join("mark.2"));
    let task = fixture.start(&spec);
    mark.wait();
    let pid = fs::read_to_string(fixture.sandbox("t").join("pid")).unwrap();
    let name = fs::read(format!("/proc/{}/comm", pid.trim())).unwrap();
    assert!(std::str::from_utf8(&name).is_err(), "{name:?}");
    fs::write(fixture.sandbox("t").join("mark.2"), "go\n").unwrap();
    assert!(task.wait().stuck.is_empty());
    none_is_left(&pid, 1);
}

#[test]
fn a_task_has_no_files_mask_or_weight_of_its_agents() {
    let fixture = Fixture::plain();
    let line = "ls /proc/$$/fd; umask; cat /proc/self/oom_score_adj; ulimit -n; :";
    let spec = fixture.spec("t", line);
    let inherited = "exec 5</dev/null 9>/dev/null; umask 077; echo 500 > /proc/self/oom_score_adj";
    assert_eq!(fixture.start_by(&harness::after(inherited), &spec).wait().end, End::Code(0));
    assert_eq!(fixture.output("t"), "0\n1\n2\n0022\n0\n1024\n");
}

#[test]
fn a_log_that_its_task_deleted_goes_on() {
    let fixture = Fixture::plain();
    let spec = fixture.spec("t", "echo first; echo up > mark; read line < mark.2; echo last");
    let mut mark = Mark::new(&fixture.sandbox("t"));
    Mark::make(&fixture.sandbox("t").join("mark.2"));
    let task = fixture.start(&spec);
    mark.wait();
    let stdout = fixture.sandbox("t").join("stdout");
    // What it said before is on its way still.
    harness::eventually(|| fs::read_to_string(&stdout).is_ok_and(|text| text == "first\n"));
    fs::remove_file(&stdout).unwrap();
    fs::write(fixture.sandbox("t").join("mark.2"), "go\n").unwrap();
    assert_eq!(task.wait().output_lost, 0);
    assert_eq!(fixture.output("t"), "last\n");
}

#[test]
fn a_request_to_end_while_a_task_starts_is_never_lost() {
    let fixture = Fixture::plain();
    for n in 0..20 {
        let mut spec = fixture.spec(&format!("t{n}"), "exec sleep 1000");
        // A request that does not get through would be waited for much longer than this test.
        spec.grace_ms = 3_600_000;
        fixture.kill_at_start(&spec);
    }
}

#[test]
fn a_stream_that_somebody_else_keeps_open_is_not_waited_for() {
    let fixture = Fixture::plain();
    let spec = fixture.spec("t", "echo said; echo up > mark; read line < mark.2");
    let mut mark = Mark::new(&fixture.sandbox("t"));
    Mark::make(&fixture.sandbox("t").join("mark.2"));
    let task = fixture.start(&spec);
    mark.wait();
    let leader = adopted(&fixture, "t").started.unwrap().leader.pid;
    let output = fs::OpenOptions::new().write(true).open(format!("/proc/{leader}/fd/1")).unwrap();
    let mut stranger = std::process::Command::new("yes").stdout(output).spawn().unwrap();
    fs::write(fixture.sandbox("t").join("mark.2"), "go\n").unwrap();
    let exit = task.wait();
    let _ = stranger.kill();
    stranger.wait().unwrap();
    assert_eq!((exit.end, exit.stuck), (End::Code(0), vec![]));
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

#[cfg(test)]
const LOOK_AT: &str = "CLUSTERCTL_AGENT_TEST_LOOK_AT";

#[test]
fn a_living_task_is_not_lost_for_want_of_descriptors() {
    let fixture = Fixture::plain();
    let spec = fixture.spec("t", "echo up > mark; exec sleep 1000");
    let mut mark = Mark::new(&fixture.sandbox("t"));
    let _task = fixture.start(&spec);
    mark.wait();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_without_descriptors", "--include-ignored", "--nocapture"])
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
