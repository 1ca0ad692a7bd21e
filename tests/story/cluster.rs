//! A cluster made by `clusterctl up` in a directory of its own, and what can be asked of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Nothing in the story takes so long; what does is a failure.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// Of whoever runs things without root, where the test itself has it.
const NOBODY: u32 = 65534;

/// Where and as whom the story is played.
pub(crate) struct Stage {
    root: TempDir,
    /// Run as nobody though we are root.
    drop_root: bool,
}

impl Stage {
    pub(crate) fn new(drop_root: bool) -> Self {
        let root = tempfile::Builder::new().prefix("story").tempdir().unwrap();
        let stage = Self { root, drop_root };
        fs::set_permissions(stage.root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (from, name) in [
            (PathBuf::from(env!("CARGO_BIN_EXE_clusterctl")), "clusterctl"),
            (std::env::current_exe().unwrap(), "server"),
        ] {
            fs::copy(from, stage.path(name)).unwrap();
        }
        for name in ["state", "config", "cwd", "shared"] {
            fs::create_dir(stage.path(name)).unwrap();
            if drop_root {
                chown(stage.path(name), Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        fs::write(stage.path("shared/greeting"), "welcome\n").unwrap();
        stage
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The program as the story's person runs it.
    pub(crate) fn clusterctl(&self, arguments: &[&str]) -> Command {
        let program = self.path("clusterctl");
        let mut command = if self.drop_root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(arguments).current_dir(self.path("cwd")).env("XDG_CONFIG_HOME", self.path("config"));
        for variable in ["NO_COLOR", "CLICOLOR_FORCE", "CLUSTERCTL_LOG", "CLUSTERCTL_URL"] {
            command.env_remove(variable);
        }
        command
    }
}

/// A running cluster. Ended, and what it may have left with it, when it is dropped.
pub(crate) struct Cluster<'s> {
    stage: &'s Stage,
    process: Child,
    news: Lines<BufReader<ChildStdout>>,
    pub(crate) url: String,
    agents: BTreeMap<String, i32>,
}

impl<'s> Cluster<'s> {
    pub(crate) fn up(stage: &'s Stage, agents: u32, ports: &str) -> Self {
        let dir = stage.path("state");
        let mut process = stage
            .clusterctl(&["up", "--json", "--port", "0", "--dir"])
            .arg(&dir)
            .args(["--agents", &agents.to_string(), "--task-ports", ports])
            .args(["--resources", "cpus:8;mem:4096;disk:4096"])
            .arg("--allow-host-path")
            .arg(stage.path("shared"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let news = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut cluster = Self { stage, process, news, url: String::new(), agents: BTreeMap::new() };
        let ready = cluster.hear("up_ready");
        cluster.url = ready["url"].as_str().unwrap().to_owned();
        for agent in ready["agents"].as_array().unwrap() {
            cluster.note(agent);
        }
        assert_eq!(cluster.agents.len(), agents as usize);
        cluster
    }

    fn note(&mut self, agent: &Value) {
        let pid = i32::try_from(agent["pid"].as_i64().unwrap()).unwrap();
        self.agents.insert(agent["name"].as_str().unwrap().to_owned(), pid);
    }

    /// Waits for a line of `up --json`.
    pub(crate) fn hear(&mut self, kind: &str) -> Value {
        for line in self.news.by_ref() {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if event["type"] == kind {
                if kind == "up_agent_started" {
                    self.note(&event["agent"]);
                }
                return event;
            }
            assert_ne!(event["type"], "error", "{event}");
        }
        panic!("`up` ended before it said {kind}");
    }

    /// Runs another command against this cluster; what it printed. It must succeed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        self.run_with(arguments, "")
    }

    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> String {
        let mut process = self
            .stage
            .clusterctl(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that does not read its input has closed it.
        let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
        let output = process.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{}{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments)).unwrap()
    }

    /// Waits, on the event stream, until something is so.
    pub(crate) fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let since = Instant::now();
        let mut stream = TcpStream::connect(self.url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
            .write_all(b"GET /v2/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
            .unwrap();
        let mut chunk = [0; 4096];
        loop {
            // The answer's head comes once the subscription stands, so that nothing is missed after the first look.
            assert_ne!(stream.read(&mut chunk).unwrap(), 0, "the event stream ended");
            if so(self) {
                return;
            }
            assert!(since.elapsed() < LIMIT, "not so in time: {what}\n{}", self.run(&["task", "list"]));
        }
    }

    /// Waits until a task's sandbox tells of such peers.
    pub(crate) fn until_told(&self, task: &str, so: impl Fn(&Value) -> bool) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        use rustix::fs::inotify;

        let sandbox = sandbox_of(&self.stage.path("state"), task).unwrap();
        let changes = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&changes, &sandbox, inotify::WatchFlags::MOVED_TO).unwrap();
        let since = Instant::now();
        loop {
            let text = fs::read_to_string(sandbox.join("peers.json")).unwrap();
            if so(&serde_json::from_str(&text).unwrap()) {
                return;
            }
            let left = LIMIT.saturating_sub(since.elapsed());
            let left = Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap(), tv_nsec: 0 };
            let mut wait = [PollFd::new(&changes, PollFlags::IN)];
            assert_ne!(poll(&mut wait, Some(&left)).unwrap(), 0, "{task} was told of nothing else: {text}");
            rustix::io::read(&changes, &mut [0; 4096]).unwrap();
        }
    }

    /// What the master answers.
    pub(crate) fn get(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(self.url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}"))
    }

    /// Ids of the running tasks of a service.
    pub(crate) fn running(&self, service: &str) -> Vec<String> {
        let mut ids: Vec<_> = self.json(&["service", "show", service, "-o", "json"])["app"]["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|task| task["state"] == "TASK_RUNNING")
            .map(|task| task["id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    }

    /// Process and start time of each of a service's tasks, as this machine knows them.
    pub(crate) fn processes(&self, service: &str) -> BTreeMap<String, (i32, u64)> {
        self.running(service)
            .into_iter()
            .map(|task| {
                let process = process_of(&task).unwrap_or_else(|| panic!("no process of {task}"));
                (task, process)
            })
            .collect()
    }

    pub(crate) fn kill_an_agent(&mut self) {
        let (_, pid) = self.agents.first_key_value().unwrap();
        signal(*pid, Signal::KILL);
        self.hear("up_agent_started");
    }

    /// As a power cut would: no chance to end anything.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        // Its agents hear that it is gone, and go too.
        for pid in std::mem::take(&mut self.agents).into_values() {
            wait_for_the_end(pid);
        }
        std::mem::forget(self);
    }

    /// As Ctrl-C does.
    pub(crate) fn stop(mut self) {
        signal(i32::try_from(self.process.id()).unwrap(), Signal::INT);
        self.hear("up_stopped");
        assert!(self.process.wait().unwrap().success());
        let left = left_in(&self.stage.root);
        assert!(left.is_empty(), "left running: {left:?}");
        std::mem::forget(self);
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for pid in left_in(&self.stage.root) {
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// The newest sandbox of a task, whichever agent has it.
fn sandbox_of(dir: &Path, task: &str) -> Option<PathBuf> {
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in
            fs::read_dir(dir).ok()?.flatten().filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()))
        {
            if entry.file_name() == task {
                return Some(entry.path().join("runs/latest"));
            }
            dirs.push(entry.path());
        }
    }
    None
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn wait_for_the_end(pid: i32) {
    let Ok(handle) =
        rustix::process::pidfd_open(Pid::from_raw(pid).unwrap(), rustix::process::PidfdFlags::empty())
    else {
        return;
    };
    let mut wait = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec { tv_sec: 60, tv_nsec: 0 };
    assert_ne!(rustix::event::poll(&mut wait, Some(&limit)).unwrap(), 0, "process {pid} does not end");
}

fn processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Processes of this stage: those that run one of its programs, or were given one of its paths.
fn left_in(root: &TempDir) -> Vec<i32> {
    let mark = root.path().as_os_str().as_encoded_bytes();
    let mentions = |file: PathBuf| {
        fs::read(file).is_ok_and(|bytes| bytes.windows(mark.len()).any(|window| window == mark))
    };
    processes()
        .filter(|pid| i32::try_from(std::process::id()) != Ok(*pid))
        .filter(|pid| {
            let dir = Path::new("/proc").join(pid.to_string());
            mentions(dir.join("cmdline")) || mentions(dir.join("environ"))
        })
        .collect()
}

/// The task's process: the one that has the task's id in its environment and whose parent has not.
fn process_of(task: &str) -> Option<(i32, u64)> {
    let mark = format!("MESOS_TASK_ID={task}\0");
    let mut own: Vec<(u64, i32)> = processes()
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|bytes| bytes.windows(mark.len()).any(|window| window == mark.as_bytes()))
        })
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let started = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
            Some((started, pid))
        })
        .collect();
    own.sort_unstable();
    own.first().map(|(started, pid)| (*pid, *started))
}

/// Whether this test can play without root though it has it.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}
