//! The agent with all of its isolation, on this machine's own kernel. Run with `--ignored`, as root.

#[cfg(test)]
mod cluster;

use std::time::Duration;

use agent::cgroup::{Group, Layout};
use api::mesos::{Check, CheckKind, CommandLine, Reason, TaskState};
use cluster::{Agent, Master, check, in_sandbox, is_up, task, work_dir};

#[test]
fn be_agent() {
    cluster::be_agent();
}

/// A parent group that is emptied and removed at the end.
struct Parent(String);

#[cfg(test)]
impl Parent {
    fn new(name: &str) -> Self {
        Self(format!("clusterctl-daemon-test-{}-{name}", std::process::id()))
    }

    fn group(&self) -> Group {
        Group::new(Layout::detect().unwrap(), &self.0).unwrap()
    }

    /// The groups of tasks, in the first hierarchy.
    fn tasks(&self) -> Vec<String> {
        let layout = Layout::detect().unwrap();
        let of_agent = layout.hierarchies[0].mount.join(&self.0);
        let dirs = |dir: &std::path::Path| {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            entries.map(|e| e.path()).filter(|p| p.is_dir()).collect::<Vec<_>>()
        };
        let below = dirs(&of_agent).iter().flat_map(|dir| dirs(dir)).collect::<Vec<_>>();
        let names = below.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned());
        names.filter(|name| name != "shims").collect()
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        if let Ok(layout) = Layout::detect()
            && let Ok(group) = Group::new(layout, &self.0)
        {
            let _ = group.kill(Duration::from_secs(10));
            let _ = group.remove();
        }
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_task_has_its_user_its_groups_and_its_namespaces_and_so_has_its_check() {
    let (dir, mut master, parent) = (work_dir(), Master::start().await, Parent::new("user"));
    let mut agent = Agent::start(dir.path(), &master, Some(&parent.0));
    let (mut session, _) = master.admitted(1).await;
    let ask = |to: &str| {
        format!(
            "id -u > {to}.uid; cat /proc/self/cgroup > {to}.groups; readlink /proc/self/ns/pid /proc/self/ns/mnt > {to}.ns; mv {to}.ns {to}.done"
        )
    };
    let mut task = task("t", &format!("{}; while :; do sleep 1000; done", ask("task")));
    task.command.user = Some("nobody".into());
    let command = CommandLine::Shell(format!("{}; test -e healthy", ask("check")));
    let once = Check {
        delay: Duration::from_millis(300),
        interval: Duration::from_millis(300),
        ..check(CheckKind::Command(command), Some(1))
    };
    task.checks = vec![once];
    session.launch(&task).await;
    let end = session.until("t", TaskState::Killed).await;
    assert_eq!(end.reason, Some(Reason::TaskHealthCheckStatusUpdated), "{end:?}");
    let read = |file: &str| std::fs::read_to_string(in_sandbox(dir.path(), "t", file)).unwrap();
    for file in ["uid", "groups", "done"] {
        assert_eq!(read(&format!("task.{file}")), read(&format!("check.{file}")), "{file}");
    }
    assert_eq!(read("task.uid").trim(), "65534");
    assert!(read("task.groups").contains(&parent.0));
    let own = std::fs::read_link("/proc/self/ns/pid").unwrap();
    assert!(!read("task.done").contains(own.to_str().unwrap()), "a pid namespace of its own");
    assert_eq!(parent.tasks(), [""; 0], "nothing is left");
    agent.tell("stop").await;
    agent.wait().await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_task_that_takes_too_much_memory_is_told_of_with_its_limit() {
    let (dir, mut master, parent) = (work_dir(), Master::start().await, Parent::new("oom"));
    let mut agent = Agent::start(dir.path(), &master, Some(&parent.0));
    let (mut session, _) = master.admitted(1).await;
    // Without a limit of CPU that would make it slow.
    let mut greedy = task("t", "exec tail /dev/zero");
    greedy.resources = "cpus:2;mem:32".parse().unwrap();
    session.launch(&greedy).await;
    let end = session.until("t", TaskState::Failed).await;
    assert_eq!(end.reason, Some(Reason::ContainerLimitationMemory), "{end:?}");
    assert!(end.message.as_ref().unwrap().contains("whose limit is 32 MiB"), "{end:?}");
    agent.tell("stop").await;
    agent.wait().await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn an_agent_that_ends_with_its_tasks_leaves_no_group() {
    let layout = Layout::detect().unwrap();
    for word in ["stop", "kill"] {
        let (dir, mut master, parent) = (work_dir(), Master::start().await, Parent::new(word));
        let there = || {
            let dirs = layout.hierarchies.iter().map(|h| h.mount.join(&parent.0));
            dirs.filter(|dir| dir.exists()).collect::<Vec<_>>()
        };
        let mut agent = Agent::start(dir.path(), &master, Some(&parent.0));
        let (mut session, _) = master.admitted(1).await;
        session.launch_all(vec![task("t", "while :; do sleep 1000; done")]).await.unwrap();
        session.until("t", TaskState::Running).await;
        assert!(!there().is_empty());
        agent.tell(word).await;
        session.until("t", TaskState::Killed).await;
        agent.wait().await;
        assert_eq!(there(), [""; 0].map(std::path::PathBuf::from), "{word}");
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn an_adopted_task_is_killed_with_all_it_started() {
    let (dir, mut master, parent) = (work_dir(), Master::start().await, Parent::new("adopt"));
    let agent = Agent::start(dir.path(), &master, Some(&parent.0));
    let (mut session, _) = master.admitted(1).await;
    let line = "trap '' TERM; (setsid sh -c 'trap \"\" TERM; while :; do sleep 1000; done' &); echo up > pid; while :; do sleep 1000; done";
    session.launch(&task("t", line)).await;
    session.until("t", TaskState::Running).await;
    is_up(dir.path(), "t").await;
    let before = parent.group().pids();
    agent.kill().await;

    let mut agent = Agent::start(dir.path(), &master, Some(&parent.0));
    let (mut session, register) = master.admitted(1).await;
    assert_eq!(register.tasks.len(), 1);
    for pid in &before {
        assert!(parent.group().pids().contains(pid), "{pid} of {before:?} is gone");
    }
    session.kill("t", Some(100)).await;
    session.until("t", TaskState::Killed).await;
    assert_eq!(parent.tasks(), [""; 0]);
    agent.tell("stop").await;
    agent.wait().await;
}
