//! Isolation by control groups and namespaces, on this machine's own kernel. Run with `--ignored`, as root.

#[cfg(test)]
mod harness;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::sync::atomic::{AtomicU32, Ordering};

use agent::adopt::{self, State, Why};
use agent::cgroup::{CgroupError, Group, Layout, Limits};
use agent::proc::Identity;
use agent::process::Process;
use agent::record;
use agent::spec::{Command, End, Namespaces, Started};
use agent::user::User;
use harness::{Fixture, LIMIT, Mark, STUBBORN, adopted, failed, start_by_an_agent_that_is_killed};
use rustix::process::Signal;

const NOBODY: u32 = 65534;
static NUMBER: AtomicU32 = AtomicU32::new(0);

#[cfg(test)]
impl Fixture {
    /// With control groups below a parent of its own.
    fn as_root() -> Self {
        assert!(rustix::process::geteuid().is_root(), "needs root");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut fixture = Self::plain();
        fixture.parent = Some(format!("clusterctl-agent-test-{}-{number}", std::process::id()));
        fixture.layout = Layout::detect().unwrap();
        fixture
    }

    fn group(&self, id: &str) -> Group {
        Group::new(self.layout.clone(), &format!("{}/{id}", self.parent.as_ref().unwrap())).unwrap()
    }

    /// Whether the task's group is gone from every hierarchy.
    fn group_is_gone(&self, id: &str) -> bool {
        let group = self.group(id);
        group.layout().hierarchies.iter().all(|h| !h.mount.join(group.path()).exists())
    }
}

const OWN: Namespaces = Namespaces { pid: true, mount: true };

#[test]
#[ignore = "needs root"]
fn a_task_runs_in_its_groups_and_nothing_is_left_of_them() {
    let fixture = Fixture::as_root();
    for (id, namespaces) in [("shared", Namespaces::default()), ("own", OWN)] {
        let mut spec = fixture.spec(id, "cat /proc/self/cgroup; exit 5");
        spec.namespaces = namespaces;
        let exit = fixture.run(&spec);
        assert_eq!((&exit.end, exit.oom), (&End::Code(5), false), "{id}");
        assert!(exit.usage.cpu_ns.is_some_and(|ns| ns > 0), "{exit:?}");
        let inside = format!(":/{}", spec.groups.unwrap().task);
        let output = fixture.output(id);
        let count = output.lines().filter(|line| line.ends_with(&inside)).count();
        assert_eq!(count, fixture.group(id).layout().hierarchies.len(), "{output}");
        assert!(fixture.group_is_gone(id));
    }
}

#[test]
#[ignore = "needs root"]
fn a_shim_stands_beside_its_task_and_not_in_it() {
    let fixture = Fixture::as_root();
    let spec = fixture.spec("t", "echo up > mark; exec sleep 1000");
    let mut mark = Mark::new(&fixture.sandbox("t"));
    let task = fixture.start(&spec);
    mark.wait();
    assert!(!fixture.group("t").holds(task.shim_pid()));
    assert!(fixture.group("shims").holds(task.shim_pid()));
    assert_eq!(fixture.group("t").usage().pids.unwrap_or(1), 1);
    task.kill();
    assert_eq!(task.wait().end, End::Signal(15));
}

#[test]
#[ignore = "needs root"]
fn an_agent_that_was_killed_finds_the_same_process_and_its_end() {
    let fixture = Fixture::as_root();
    let mut spec = fixture.spec("t", "read code < mark; echo $code; exit $code");
    spec.namespaces = OWN;
    let _mark = Mark::new(&fixture.sandbox("t"));
    start_by_an_agent_that_is_killed(&fixture, &spec, "helper_agent");
    let running = adopted(&fixture, "t");
    let started = running.started.clone().unwrap();
    assert_eq!(Identity::of(running.shim.pid()).unwrap(), started.shim);
    assert_eq!(Identity::of(started.leader.pid).unwrap(), started.leader);
    assert!(fixture.group("t").holds(started.leader.pid));
    fs::write(fixture.sandbox("t").join("mark"), "42\n").unwrap();
    let exit = running.wait(&fixture.task_dir("t"), LIMIT).unwrap().unwrap();
    assert_eq!(exit.end, End::Code(42));
    assert!(fixture.group_is_gone("t"));
}

#[test]
#[ignore = "started by another test"]
fn helper_agent() {
    harness::be_agent();
}

#[test]
#[ignore = "needs root"]
fn a_hundred_tasks_are_adopted_at_once() {
    let fixture = Fixture::as_root();
    let tasks: Vec<_> =
        (0..100).map(|n| fixture.start(&fixture.spec(&format!("t{n}"), "exec sleep 1000"))).collect();
    let found = adopt::recover(&fixture.tasks()).unwrap();
    assert_eq!(found.iter().filter(|f| matches!(f.state, State::Running(_))).count(), 100);
    for found in found {
        if let State::Running(running) = found.state {
            running.kill();
        }
    }
    for task in tasks {
        assert_eq!(task.wait().end, End::Signal(15));
    }
}

#[test]
#[ignore = "needs root"]
fn a_memory_hog_is_killed_and_the_reason_is_named() {
    let fixture = Fixture::as_root();
    for (id, namespaces) in [("shared", Namespaces::default()), ("own", OWN)] {
        let mut spec = fixture.spec(id, "");
        spec.command = Command::Argv(vec!["tail".into(), "/dev/zero".into()]);
        spec.limits.memory_bytes = Some(32 << 20);
        spec.namespaces = namespaces;
        let exit = fixture.run(&spec);
        assert_eq!((exit.end, exit.oom), (End::Signal(9), true), "{id}");
        assert!(exit.usage.memory_peak_bytes.is_some_and(|peak| peak <= 32 << 20));
    }
}

#[test]
#[ignore = "needs root"]
fn a_fork_bomb_is_held_and_ended() {
    let fixture = Fixture::as_root();
    let mut spec = fixture.spec("t", "f() { f | f & }; f; echo up > mark; exec sleep 1000");
    spec.limits.pids = Some(30);
    spec.grace_ms = 100;
    let mut mark = Mark::new(&fixture.sandbox("t"));
    let task = fixture.start(&spec);
    mark.wait();
    for _ in 0..50 {
        assert!(fixture.group("t").usage().pids.unwrap() <= 30);
    }
    task.kill();
    let exit = task.wait();
    assert_eq!((exit.stuck, exit.killed), (vec![], true));
    assert!(fixture.group_is_gone("t"));
}

#[test]
#[ignore = "needs root"]
fn a_kill_empties_the_group_whatever_is_in_it() {
    let fixture = Fixture::as_root();
    for (id, namespaces) in [("shared", Namespaces::default()), ("own", OWN)] {
        let mut spec = fixture.spec(id, STUBBORN);
        spec.grace_ms = 200;
        spec.namespaces = namespaces;
        let mut mark = Mark::new(&fixture.sandbox(id));
        let task = fixture.start(&spec);
        mark.wait();
        mark.wait();
        assert!(fixture.group(id).pids().len() >= 4, "{:?}", fixture.group(id).pids());
        task.kill();
        let exit = task.wait();
        assert_eq!((exit.end, exit.killed, exit.stuck), (End::Signal(9), true, vec![]), "{id}");
        assert!(fixture.group_is_gone(id));
    }
}

#[test]
#[ignore = "needs root"]
fn a_frozen_task_is_killed_too() {
    let fixture = Fixture::as_root();
    let mut spec = fixture.spec("t", "echo up > mark; exec sleep 1000");
    spec.grace_ms = 100;
    let mut mark = Mark::new(&fixture.sandbox("t"));
    let task = fixture.start(&spec);
    mark.wait();
    let group = fixture.group("t");
    for hierarchy in &group.layout().hierarchies {
        let dir = hierarchy.mount.join(group.path());
        if hierarchy.has_v1("freezer") {
            fs::write(dir.join("freezer.state"), "FROZEN").unwrap();
        } else if hierarchy.is_v2() {
            let _ = fs::write(dir.join("cgroup.freeze"), "1");
        }
    }
    task.kill();
    let exit = task.wait();
    assert_eq!((exit.killed, exit.stuck), (true, vec![]));
    assert!(matches!(exit.end, End::Signal(9 | 15)), "{:?}", exit.end);
}

#[test]
#[ignore = "needs root"]
fn limits_are_what_the_kernel_says_they_are() {
    let fixture = Fixture::as_root();
    let mut spec = fixture.spec("t", "echo up > mark; exec sleep 1000");
    spec.limits =
        Limits { cpu_shares: Some(512), cpu_millis: Some(250), memory_bytes: Some(64 << 20), pids: Some(50) };
    let mut mark = Mark::new(&fixture.sandbox("t"));
    let task = fixture.start(&spec);
    mark.wait();
    let group = fixture.group("t");
    let plan = agent::cgroup::plan(&spec.limits, group.layout(), group.path());
    assert!(plan.settings.len() >= 4 && plan.unenforceable.is_empty());
    for setting in plan.settings {
        let Ok(now) = fs::read_to_string(&setting.file) else {
            assert!(setting.optional, "{setting:?}");
            continue;
        };
        assert_eq!(now.trim(), setting.value, "{}", setting.file.display());
    }
    task.kill();
    task.wait();
}

#[test]
#[ignore = "needs root"]
fn a_group_with_strangers_in_it_is_neither_taken_nor_killed() {
    let fixture = Fixture::as_root();
    let mut stranger = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let group = fixture.group("t");
    group.ensure().unwrap();
    for hierarchy in &group.layout().hierarchies {
        fs::write(hierarchy.mount.join(group.path()).join("cgroup.procs"), stranger.id().to_string())
            .unwrap();
    }
    let (_, shim) = fixture.try_start(&fixture.spec("t", "true"));
    shim.reap();
    let exit: agent::spec::Exit = record::read(&fixture.task_dir("t")).unwrap().unwrap();
    let lives = stranger.try_wait().unwrap().is_none();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(lives);
    assert!(failed(&exit.end).contains("is not empty"), "{exit:?}");
}

#[test]
#[ignore = "needs root"]
fn a_limit_that_cannot_be_held_is_refused() {
    let fixture = Fixture::as_root();
    let mut spec = fixture.spec("t", "true");
    spec.limits.pids = Some(9);
    let groups = spec.groups.as_mut().unwrap();
    groups.layout.hierarchies.retain(|h| !h.has_v1("pids") && !h.has_v2("pids"));
    let (_, shim) = fixture.try_start(&spec);
    shim.reap();
    let exit: agent::spec::Exit = record::read(&fixture.task_dir("t")).unwrap().unwrap();
    assert_eq!(failed(&exit.end), CgroupError::Unenforceable { limits: vec!["pids"] }.to_string());
}

#[test]
#[ignore = "needs root"]
fn the_user_and_no_new_privileges_are_in_force() {
    let fixture = Fixture::as_root();
    for (id, namespaces, no_new_privileges, effective) in [
        ("strict", OWN, true, "65534"),
        ("plain-strict", Namespaces::default(), true, "65534"),
        ("loose", OWN, false, "0"),
    ] {
        let line = "id -u; id -g; id -G; ./id-as-root -u; grep NoNewPrivs /proc/self/status; touch made";
        let mut spec = fixture.spec(id, line);
        spec.user = Some(User { uid: NOBODY, gid: NOBODY, groups: vec![12345] });
        spec.namespaces = namespaces;
        spec.no_new_privileges = no_new_privileges;
        chown(fixture.sandbox(id), Some(NOBODY), Some(NOBODY)).unwrap();
        let program = fixture.sandbox(id).join("id-as-root");
        fs::copy("/usr/bin/id", &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
        assert_eq!(fixture.run(&spec).end, End::Code(0));
        let output = fixture.output(id);
        let lines: Vec<&str> = output.lines().collect();
        let said = format!("NoNewPrivs:\t{}", u8::from(no_new_privileges));
        assert_eq!(lines, ["65534", "65534", "65534 12345", effective, &said], "{id}");
        for file in ["made", "stdout"] {
            assert_eq!(fs::metadata(fixture.sandbox(id).join(file)).unwrap().uid(), NOBODY, "{file}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn an_own_pid_namespace_shows_the_task_alone() {
    let fixture = Fixture::as_root();
    let mut spec =
        fixture.spec("t", "echo $$; cat /proc/1/cmdline | tr '\\0' ' '; echo; ls /proc | grep -c '^[0-9]'");
    spec.namespaces = OWN;
    assert_eq!(fixture.run(&spec).end, End::Code(0));
    let output = fixture.output("t");
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], "2");
    assert!(lines[2].parse::<u32>().unwrap() <= 4, "{output}");
}

#[test]
#[ignore = "needs root"]
fn in_an_own_pid_namespace_orphans_are_reaped_and_sigterm_works() {
    let fixture = Fixture::as_root();
    let line = "(sleep 0 &); (sh -c '(exit 3) &'); echo up > mark; exec sleep 1000";
    let mut spec = fixture.spec("t", line);
    spec.namespaces = OWN;
    let mut mark = Mark::new(&fixture.sandbox("t"));
    let task = fixture.start(&spec);
    mark.wait();
    task.kill();
    let exit = task.wait();
    assert_eq!((exit.end, exit.killed), (End::Signal(15), true));
}

#[test]
#[ignore = "needs root"]
fn an_own_mount_namespace_is_not_the_machines_and_not_roots_to_change() {
    let fixture = Fixture::as_root();
    let machines = fs::read_link("/proc/self/ns/mnt").unwrap();
    for (id, namespaces) in [("own", OWN), ("mount-only", Namespaces { pid: false, mount: true })] {
        let line = "readlink /proc/self/ns/mnt; mkdir here && mount -t tmpfs none here";
        let mut spec = fixture.spec(id, line);
        spec.namespaces = namespaces;
        assert!(matches!(fixture.run(&spec).end, End::Code(code) if code != 0));
        let output = fixture.output(id);
        assert!(output.starts_with("mnt:[") && output.trim() != machines.to_str().unwrap(), "{output}");
    }
}

#[test]
#[ignore = "needs root"]
fn root_in_a_task_is_not_the_machines_root() {
    let fixture = Fixture::as_root();
    for (id, namespaces) in [("shared", Namespaces::default()), ("own", OWN)] {
        let mut spec = fixture.spec(id, "grep ^Cap /proc/self/status; mknod device c 1 3 || exit 3");
        spec.namespaces = namespaces;
        assert_eq!(fixture.run(&spec).end, End::Code(3));
        let output = fixture.output(id);
        // chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, sys_chroot,
        // audit_write, setfcap: bits 0, 1, 3 to 8, 10, 18, 29 and 31.
        let allowed = "00000000a00405fb";
        let none = "0000000000000000";
        let expected = [("Inh", none), ("Prm", allowed), ("Eff", allowed), ("Bnd", allowed), ("Amb", none)]
            .map(|(set, bits)| format!("Cap{set}:\t{bits}"));
        assert_eq!(output.lines().collect::<Vec<_>>(), expected, "{id}");
    }
}

#[test]
#[ignore = "needs root"]
fn below_a_first_process_of_ours_nothing_is_inherited_either() {
    let fixture = Fixture::as_root();
    let mut spec = fixture.spec("t", "ls /proc/$$/fd; umask; cat /proc/self/oom_score_adj; ulimit -n; :");
    spec.namespaces = OWN;
    let inherited = "exec 5</dev/null 9>/dev/null; umask 077; echo 500 > /proc/self/oom_score_adj";
    assert_eq!(fixture.start_by(&harness::after(inherited), &spec).wait().end, End::Code(0));
    assert_eq!(fixture.output("t"), "0\n1\n2\n0022\n0\n1024\n");
}

#[test]
#[ignore = "needs root"]
fn a_request_to_end_on_the_way_into_the_group_is_never_lost() {
    let fixture = Fixture::as_root();
    for (name, namespaces) in [("shared", Namespaces::default()), ("own", OWN)] {
        for n in 0..10 {
            let id = format!("{name}{n}");
            let mut spec = fixture.spec(&id, "exec sleep 1000");
            spec.grace_ms = 3_600_000;
            spec.namespaces = namespaces;
            fixture.kill_at_start(&spec);
            assert!(fixture.group_is_gone(&id), "{id}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn how_a_task_ended_is_known_on_a_full_disk_too() {
    let fixture = Fixture::as_root();
    let spec = fixture.spec("t", "echo up > mark; read code < mark.2; exit $code");
    let dir = fixture.task_dir("t");
    let run = |program: &str, args: &[&str]| {
        assert!(std::process::Command::new(program).args(args).arg(&dir).status().unwrap().success());
    };
    run("mount", &["-t", "tmpfs", "-o", "size=256k", "none"]);
    let mut mark = Mark::new(&fixture.sandbox("t"));
    Mark::make(&fixture.sandbox("t").join("mark.2"));
    let task = fixture.start(&spec);
    mark.wait();
    let full = fs::write(dir.join("filler"), vec![0; 1 << 20]).unwrap_err();
    fs::write(fixture.sandbox("t").join("mark.2"), "6\n").unwrap();
    let exit = task.wait();
    run("umount", &["-l"]);
    assert_eq!((full.kind(), exit.end), (std::io::ErrorKind::StorageFull, End::Code(6)));
}

#[test]
#[ignore = "needs root"]
fn a_task_goes_with_its_shim_and_its_group_is_cleaned_up() {
    let fixture = Fixture::as_root();
    for (id, namespaces) in [("shared", Namespaces::default()), ("own", OWN)] {
        let mut spec = fixture.spec(id, "setsid sleep 1000 & echo up > mark; wait");
        spec.namespaces = namespaces;
        let mut mark = Mark::new(&fixture.sandbox(id));
        let _task = fixture.start(&spec);
        mark.wait();
        let running = adopted(&fixture, id);
        let started: Started = running.started.clone().unwrap();
        let leader = Process::open_exactly(&started.leader).unwrap().unwrap();
        running.shim.signal(Signal::KILL);
        assert!(running.shim.wait(LIMIT) && leader.wait(LIMIT));
        match adopt::recover_one(&fixture.task_dir(id)).state {
            State::Lost { why: Why::ShimGone { .. }, started: Some(started) } => {
                adopt::clean_up(&started, LIMIT).unwrap();
            }
            other => panic!("{other:?}"),
        }
        assert!(fixture.group_is_gone(id));
    }
}
