//! Tasks for tests: each fixture has its own directory and parent group, and ends and removes all it made
//! when it is dropped, also by a failed test.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::time::{Duration, Instant};

use agent::adopt::{self, State};
use agent::cgroup::{Group, Layout, Limits};
use agent::launch;
use agent::record::{self, PROTOCOL};
use agent::shim::Outcome;
use agent::spec::{Command, End, Exit, Groups, Logs, Namespaces, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

/// More than any step takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Fixture {
    dir: tempfile::TempDir,
    /// Group below which all of its tasks stand.
    pub(crate) parent: Option<String>,
    pub(crate) layout: Layout,
}

impl Fixture {
    /// Without any group.
    pub(crate) fn plain() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["tasks", "sandbox"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir, parent: None, layout: Layout::default() }
    }

    /// The tasks' directories.
    pub(crate) fn tasks(&self) -> PathBuf {
        self.dir.path().join("tasks")
    }

    pub(crate) fn task_dir(&self, id: &str) -> PathBuf {
        self.tasks().join(id)
    }

    pub(crate) fn sandbox(&self, id: &str) -> PathBuf {
        self.dir.path().join("sandbox").join(id)
    }

    /// Directories and a spec for a shell line.
    pub(crate) fn spec(&self, id: &str, line: &str) -> Spec {
        fs::create_dir(self.task_dir(id)).unwrap();
        fs::create_dir(self.sandbox(id)).unwrap();
        let groups = self.parent.as_ref().map(|parent| Groups {
            layout: self.layout.clone(),
            task: format!("{parent}/{id}"),
            shim: format!("{parent}/shims"),
        });
        Spec {
            version: PROTOCOL,
            task_id: id.into(),
            command: Command::Shell(line.into()),
            env: [("NAME".to_owned(), "value".into())].into(),
            cwd: self.sandbox(id),
            user: None,
            groups,
            limits: Limits::default(),
            logs: Logs { dir: self.sandbox(id), max_bytes: 1 << 20, keep: 1 },
            grace_ms: 3000,
            namespaces: Namespaces::default(),
            mounts: vec![],
            root: None,
            no_new_privileges: false,
        }
    }

    /// Starts a task whose program must come to run.
    pub(crate) fn start(&self, spec: &Spec) -> Task {
        let (outcome, shim) = self.try_start(spec);
        assert!(matches!(outcome, Outcome::Running { .. }), "{outcome:?}");
        Task { dir: self.task_dir(&spec.task_id), shim: Some(shim) }
    }

    /// As [`Self::start`], by another program.
    pub(crate) fn start_by(&self, program: &launch::Program, spec: &Spec) -> Task {
        let dir = self.task_dir(&spec.task_id);
        let (outcome, shim) = launch::launch(program, &dir, spec).unwrap().outcome().unwrap();
        assert!(matches!(outcome, Outcome::Running { .. }), "{outcome:?}");
        Task { dir, shim: Some(shim) }
    }

    /// Starts a task, asks it to end as soon as its shim has begun, and waits for its end.
    pub(crate) fn kill_at_start(&self, spec: &Spec) {
        let dir = self.task_dir(&spec.task_id);
        let launching = launch::launch(&program(), &dir, spec).unwrap();
        let started = dir.join("started.json");
        eventually(|| started.exists());
        let process = launching.process().unwrap();
        process.signal(Signal::TERM);
        assert!(process.wait(LIMIT), "the request was lost");
        let (_, shim) = launching.outcome().unwrap();
        shim.reap();
        let exit: Exit = record::read(&dir).unwrap().expect("an exit.json");
        assert!(exit.killed && exit.stuck.is_empty(), "{exit:?}");
        let started: agent::spec::Started = record::read(&dir).unwrap().unwrap();
        assert!(agent::process::Process::open_exactly(&started.leader).unwrap().is_none());
    }

    pub(crate) fn try_start(&self, spec: &Spec) -> (Outcome, launch::Shim) {
        launch::launch(&program(), &self.task_dir(&spec.task_id), spec).unwrap().outcome().unwrap()
    }

    /// Runs a task to its end.
    pub(crate) fn run(&self, spec: &Spec) -> Exit {
        self.start(spec).wait()
    }

    pub(crate) fn output(&self, id: &str) -> String {
        fs::read_to_string(self.sandbox(id).join("stdout")).unwrap()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        for found in adopt::recover(&self.tasks()).unwrap_or_default() {
            match found.state {
                State::Running(running) => {
                    running.shim.signal(Signal::KILL);
                    let _ = running.shim.wait(LIMIT);
                    if let Some(started) = running.started {
                        let _ = adopt::clean_up(&started, LIMIT);
                    }
                }
                State::Lost { started: Some(started), .. } => drop(adopt::clean_up(&started, LIMIT)),
                _ => {}
            }
        }
        if let Some(parent) = &self.parent {
            let group = Group::new(self.layout.clone(), parent).unwrap();
            let _ = group.kill(LIMIT);
            let _ = group.remove();
        }
    }
}

pub(crate) struct Task {
    dir: PathBuf,
    shim: Option<launch::Shim>,
}

impl Task {
    /// Asks the shim to end the task.
    pub(crate) fn kill(&self) {
        self.shim.as_ref().unwrap().process().unwrap().signal(Signal::TERM);
    }

    pub(crate) fn shim_pid(&self) -> i32 {
        self.shim.as_ref().unwrap().pid()
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Exit {
        let shim = self.shim.take().unwrap();
        assert!(shim.process().unwrap().wait(LIMIT), "the shim does not end");
        shim.reap();
        record::read(&self.dir).unwrap().expect("an exit.json")
    }
}

pub(crate) fn program() -> launch::Program {
    launch::Program { path: env!("CARGO_BIN_EXE_agent-shim").into(), args: vec![] }
}

/// The same, started by a shell that did something first.
pub(crate) fn after(line: &str) -> launch::Program {
    let script = format!("{line}; exec \"$0\" \"$@\"");
    launch::Program {
        path: "/bin/sh".into(),
        args: vec!["-c".into(), script.into(), program().path.into_os_string()],
    }
}

/// Looks until it is so; for what no event tells.
pub(crate) fn eventually(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "it does not come to pass");
        std::thread::yield_now();
    }
}

/// A named pipe by which a task says how far it is.
pub(crate) struct Mark {
    file: File,
}

impl Mark {
    pub(crate) fn new(sandbox: &Path) -> Self {
        let path = sandbox.join("mark");
        Self::make(&path);
        // For writing too, so that it is open before any writer and stays so after the last.
        Self { file: OpenOptions::new().read(true).write(true).open(path).unwrap() }
    }

    /// Makes a pipe that a task waits on.
    pub(crate) fn make(path: &Path) {
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    }

    /// Waits for the next line.
    pub(crate) fn wait(&mut self) -> String {
        let deadline = Instant::now() + LIMIT;
        let mut line = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            assert!(
                poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&timeout)).unwrap() > 0,
                "no mark"
            );
            let mut byte = [0];
            self.file.read_exact(&mut byte).unwrap();
            match byte[0] {
                b'\n' => return line,
                other => line.push(char::from(other)),
            }
        }
    }
}

/// Starts `spec` by another process, an "agent", and kills that with SIGKILL once the task runs.
pub(crate) fn start_by_an_agent_that_is_killed(fixture: &Fixture, spec: &Spec, helper: &str) {
    let dir = fixture.task_dir(&spec.task_id);
    record::write(&dir, spec, record::Durability::ThisBoot).unwrap();
    let mut agent = Program::new(std::env::current_exe().unwrap())
        .args(["--exact", helper, "--include-ignored", "--nocapture"])
        .env(AGENT_TASK, &dir)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut stdout = std::io::BufReader::new(agent.stdout.take().unwrap());
    while !said.contains("task runs") {
        let read = std::io::BufRead::read_line(&mut stdout, &mut said).unwrap();
        assert!(read > 0, "the agent ended: {said}");
    }
    agent.kill().unwrap();
    agent.wait().unwrap();
}

const AGENT_TASK: &str = "CLUSTERCTL_AGENT_TEST_TASK";

/// The "agent": launches what it finds and waits to be killed.
pub(crate) fn be_agent() {
    let Some(dir) = std::env::var_os(AGENT_TASK).map(PathBuf::from) else { return };
    let spec: Spec = record::read(&dir).unwrap().unwrap();
    let (outcome, shim) = launch::launch(&program(), &dir, &spec).unwrap().outcome().unwrap();
    assert!(matches!(outcome, Outcome::Running { .. }), "{outcome:?}");
    println!("task runs");
    shim.reap();
}

/// The task as an agent that has just started finds it, which must be running.
pub(crate) fn adopted(fixture: &Fixture, id: &str) -> adopt::Running {
    match adopt::recover_one(&fixture.task_dir(id)).state {
        State::Running(running) => running,
        other => panic!("{id} is {other:?}"),
    }
}

pub(crate) fn failed(end: &End) -> &str {
    match end {
        End::Failed(why) => why,
        other => panic!("{other:?}"),
    }
}

/// A tree of the worst children: a session of its own after a double fork, deaf to SIGTERM, stopped.
pub(crate) const STUBBORN: &str = r#"
trap "" TERM
(setsid sh -c 'trap "" TERM; (sleep 1000 &); echo inner > mark; kill -STOP $$' &)
echo outer > mark
while :; do sleep 1000; done
"#;
