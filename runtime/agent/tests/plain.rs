//! Tasks without root and without control groups: what every user has.

#[cfg(test)]
#[path = "plain/adoption.rs"]
mod adoption;
#[cfg(test)]
mod harness;

use std::fs;

use agent::process::Process;
use agent::record;
use agent::shim::Outcome;
use agent::spec::{Command, End, Exit};
use harness::{Fixture, Mark, STUBBORN, adopted, failed};

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
