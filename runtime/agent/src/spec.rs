//! What the agent tells the shim, and what the shim leaves behind: the records in a task's directory.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

pub use api::Secret;
use serde::{Deserialize, Serialize};

use crate::cgroup::{CgroupError, Group, Layout, Limits, Usage};
use crate::proc::Identity;
use crate::record::Record;
use crate::user::User;

/// How to run one task. Written by the agent before it starts the shim, never changed after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The protocol, [`crate::record::PROTOCOL`].
    pub version: u32,
    /// The task's id, for messages.
    pub task_id: String,
    /// What to run.
    pub command: Command,
    /// The whole environment; nothing is inherited. Values may be secrets.
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// Where it runs: the sandbox, which the agent has made and given to the user.
    pub cwd: PathBuf,
    /// As whom; `None` for the shim's own user.
    #[serde(default)]
    pub user: Option<User>,
    /// Its control groups; `None` without root, where a task is its shim's descendants.
    #[serde(default)]
    pub groups: Option<Groups>,
    /// What it may use. Without groups only memory (per process) and pids (per user) can be held, by rlimits.
    #[serde(default)]
    pub limits: Limits,
    /// Where output goes.
    pub logs: Logs,
    /// From SIGTERM to SIGKILL, in milliseconds.
    pub grace_ms: u64,
    /// Namespaces of its own.
    #[serde(default)]
    pub namespaces: Namespaces,
    /// What of the host it sees elsewhere; only with a mount namespace of its own.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// The root file system it runs in; the host's own when absent. Needs both namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<RootFs>,
    /// Whether set-user-id programs stay without effect; so they do when nothing is said.
    #[serde(default = "yes")]
    pub no_new_privileges: bool,
}

fn yes() -> bool {
    true
}

/// What `spec.json` holds: the spec, and when that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launched {
    /// The boot in which the task was launched: in a later one it may have run, though nothing else was kept.
    #[serde(default)]
    pub boot_id: Option<String>,
    /// The spec.
    #[serde(flatten)]
    pub spec: Spec,
}

/// What to run.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A program, looked for in the task's own `PATH`, and its arguments.
    Argv(Vec<String>),
    /// A line for `/bin/sh -c`.
    Shell(String),
}

/// Command lines too may hold secrets.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argv(argv) => write!(f, "Argv({:?}, {} more)", argv.first(), argv.len().saturating_sub(1)),
            Self::Shell(_) => f.write_str("Shell(***)"),
        }
    }
}

/// Where a task and its shim stand among the control groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups {
    /// The hierarchies, as the agent found them, so that no shim scans the mount table.
    pub layout: Layout,
    /// The task's own group.
    pub task: String,
    /// The group that shims share, beside the tasks', so that no task's limits bind a shim.
    pub shim: String,
}

impl Groups {
    /// The task's group.
    ///
    /// # Errors
    /// When the path is none.
    pub fn task(&self) -> Result<Group, CgroupError> {
        Group::new(self.layout.clone(), &self.task)
    }

    /// The shims' group.
    ///
    /// # Errors
    /// When the path is none.
    pub fn shim(&self) -> Result<Group, CgroupError> {
        Group::new(self.layout.clone(), &self.shim)
    }
}

/// Output files and their sizes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// Directory of `stdout` and `stderr`: the sandbox.
    pub dir: PathBuf,
    /// Size at which a file is rotated.
    pub max_bytes: u64,
    /// How many old files are kept of each; a stream takes at most `max_bytes * (keep + 1)`.
    pub keep: u32,
}

/// Namespaces of a task's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    /// Process numbers, with a first process of ours that reaps orphans; the task is number 2.
    pub pid: bool,
    /// Mounts, which follow the machine's but do not show there. Implied by `pid`, for its `/proc`.
    pub mount: bool,
}

/// Something of the host that a task sees at another place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// A directory that the operator allows; absolute.
    pub root: PathBuf,
    /// What of it, by its path within, which no link leads out of. Empty: all of it.
    pub source: PathBuf,
    /// Where: within the working directory, made if it is not there, or absolute, and then there already.
    pub target: PathBuf,
    /// Whether it cannot be written to.
    #[serde(default)]
    pub read_only: bool,
}

/// A root file system of a task's own: an image that many tasks share, and what this one writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// The image; never written to.
    pub image: PathBuf,
    /// The task's own directory, with `upper`, `work` and `merged` in it.
    pub scratch: PathBuf,
}

/// That a task was started. Written by the shim before the task's program runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The protocol.
    pub version: u32,
    /// The task's id.
    pub task_id: String,
    /// The shim.
    pub shim: Identity,
    /// The task's first process: the task itself, or process 1 of its pid namespace.
    pub leader: Identity,
    /// Where it stands, to be emptied should the shim be gone.
    pub groups: Option<Groups>,
    /// When, in milliseconds since 1970.
    pub started_at_ms: u64,
}

/// How a task ended. Written by the shim when nothing of the task runs any more; synced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The protocol.
    pub version: u32,
    /// The task's id.
    pub task_id: String,
    /// `code`, `signal` or `failed`.
    #[serde(flatten)]
    pub end: End,
    /// Whether the kernel killed a process of it for want of memory.
    #[serde(default)]
    pub oom: bool,
    /// Whether it was asked to end.
    #[serde(default)]
    pub killed: bool,
    /// Processes that even SIGKILL did not end; their group stays.
    #[serde(default)]
    pub stuck: Vec<i32>,
    /// Bytes of output that could not be written.
    #[serde(default)]
    pub output_lost: u64,
    /// The last reading of its group.
    #[serde(default)]
    pub usage: Usage,
    /// When, in milliseconds since 1970.
    pub finished_at_ms: u64,
}

/// The end of a task's main process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It exited.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It never ran, and why.
    Failed(String),
    /// Not even SIGKILL ended it, and what is known.
    #[serde(rename = "does_not_end")]
    Stuck(String),
}

impl Record for Spec {
    const FILE: &'static str = "spec.json";
    fn version(&self) -> u32 {
        self.version
    }
}

impl Record for Launched {
    const FILE: &'static str = Spec::FILE;
    fn version(&self) -> u32 {
        self.spec.version
    }
}

impl Record for Started {
    const FILE: &'static str = "started.json";
    fn version(&self) -> u32 {
        self.version
    }
}

impl Record for Exit {
    const FILE: &'static str = "exit.json";
    fn version(&self) -> u32 {
        self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    fn spec() -> Spec {
        Spec {
            version: 1,
            task_id: "web.1".into(),
            command: Command::Shell("serve --password hunter2".into()),
            env: [("TOKEN".to_owned(), Secret::from("hunter2"))].into(),
            cwd: "/sandbox".into(),
            user: None,
            groups: None,
            limits: Limits::default(),
            logs: Logs { dir: "/sandbox".into(), max_bytes: 1 << 20, keep: 1 },
            grace_ms: 3000,
            namespaces: Namespaces::default(),
            mounts: vec![],
            root: None,
            no_new_privileges: true,
        }
    }

    #[test]
    fn secrets_are_not_printed_but_reach_the_shim() {
        assert!(!format!("{:?}", spec()).contains("hunter2"));
        assert!(!format!("{:#?}", Command::Argv(vec!["p".into(), "hunter2".into()])).contains("hunter2"));
        assert!(serde_json::to_string(&spec()).unwrap().contains("hunter2"));
    }

    #[test]
    fn a_spec_with_only_what_is_needed_is_read() {
        let text = r#"{"version":1,"task_id":"t","command":{"argv":["true"]},"cwd":"/","later":1,
            "logs":{"dir":"/","max_bytes":1,"keep":0},"grace_ms":0}"#;
        let spec: Spec = serde_json::from_str(text).unwrap();
        assert_eq!(spec.namespaces, Namespaces::default());
        assert!(spec.env.is_empty() && spec.groups.is_none());
        assert!(spec.no_new_privileges, "the safe side");
        assert_eq!(serde_json::from_str::<Launched>(text).unwrap(), Launched { boot_id: None, spec });
    }

    #[test]
    fn a_spec_that_was_launched_is_read_as_a_spec_too() {
        let launched = Launched { boot_id: Some("this".into()), spec: spec() };
        let text = serde_json::to_string(&launched).unwrap();
        assert_eq!(serde_json::from_str::<Spec>(&text).unwrap(), launched.spec);
        assert_eq!(serde_json::from_str::<Launched>(&text).unwrap(), launched);
    }

    #[test]
    fn an_end_reads_like_this() {
        let exit = |end| Exit {
            version: 1,
            task_id: "t".into(),
            end,
            oom: true,
            killed: false,
            stuck: vec![],
            output_lost: 0,
            usage: Usage::default(),
            finished_at_ms: 7,
        };
        let ends = [
            End::Code(0),
            End::Signal(9),
            End::Failed("no such program".into()),
            End::Stuck("it hangs".into()),
        ];
        let texts = ends.map(|end| {
            let text = serde_json::to_string(&exit(end.clone())).unwrap();
            assert_eq!(serde_json::from_str::<Exit>(&text).unwrap(), exit(end));
            text
        });
        assert_snapshot!(texts.join("\n"), @r#"
        {"version":1,"task_id":"t","code":0,"oom":true,"killed":false,"stuck":[],"output_lost":0,"usage":{"cpu_ns":null,"memory_bytes":null,"memory_peak_bytes":null,"pids":null,"oom_kills":null},"finished_at_ms":7}
        {"version":1,"task_id":"t","signal":9,"oom":true,"killed":false,"stuck":[],"output_lost":0,"usage":{"cpu_ns":null,"memory_bytes":null,"memory_peak_bytes":null,"pids":null,"oom_kills":null},"finished_at_ms":7}
        {"version":1,"task_id":"t","failed":"no such program","oom":true,"killed":false,"stuck":[],"output_lost":0,"usage":{"cpu_ns":null,"memory_bytes":null,"memory_peak_bytes":null,"pids":null,"oom_kills":null},"finished_at_ms":7}
        {"version":1,"task_id":"t","does_not_end":"it hangs","oom":true,"killed":false,"stuck":[],"output_lost":0,"usage":{"cpu_ns":null,"memory_bytes":null,"memory_peak_bytes":null,"pids":null,"oom_kills":null},"finished_at_ms":7}
        "#);
    }
}
