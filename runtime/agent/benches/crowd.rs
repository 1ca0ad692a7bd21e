//! How an agent bears a burst: 1,000 short tasks, then 1,000 that stay; and what it costs while 100 tasks are idle.
//! With control groups and namespaces when run as root. `cargo bench -p agent --bench crowd`.

#[path = "../tests/cluster/mod.rs"]
#[expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "it is the tests' own, of which this needs a part"
)]
mod cluster;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use agent::cgroup::{Group, Layout};
use agent::spec::Started;
use api::mesos::{TaskInfo, TaskState};
use cluster::{Agent, Master, Session, task, work_dir};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const CROWD: usize = 1000;
const IDLE: usize = 100;
const WATCHED: Duration = Duration::from_secs(20);
/// Ticks of `/proc/PID/stat` per second: the same on every Linux that this runs on.
const TICKS: u64 = 100;

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
fn main() -> Result<()> {
    // The agent is this program again.
    if std::env::args().any(|arg| arg == "be_agent") {
        cluster::be_agent();
        return Ok(());
    }
    let parent = format!("clusterctl-crowd-bench-{}", std::process::id());
    let group = rustix::process::geteuid().is_root().then_some(parent.as_str());
    println!("groups and namespaces: {}", group.is_some());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        burst("true", "exec true", group).await?;
        burst("sleep", "exec sleep 1000", group).await?;
        idle(group).await
    });
    if let Some(parent) = group {
        let group = Group::new(Layout::detect()?, parent)?;
        group.kill(Duration::from_secs(5))?;
        group.remove()?;
    }
    ended
}

fn small(id: &str, line: &str) -> Result<TaskInfo> {
    Ok(TaskInfo { resources: "cpus:0.004;mem:4".parse()?, ..task(id, line) })
}

/// When each task was first heard of in these states.
#[derive(Default)]
struct Heard {
    running: BTreeMap<String, Duration>,
    ended: BTreeMap<String, Duration>,
    finished: usize,
}

/// Launches them all at once and listens until all run, or all have ended.
async fn launch(session: &mut Session, tasks: Vec<TaskInfo>, to_end: bool) -> Result<Heard> {
    let (count, begun, mut heard) = (tasks.len(), Instant::now(), Heard::default());
    let launching = session.launch_all(tasks);
    while if to_end { heard.ended.len() } else { heard.running.len() } < count {
        let status = session.update().await;
        session.acknowledge(&status).await;
        let (id, at) = (status.task.to_string(), begun.elapsed());
        if status.state.is_terminal() {
            heard.finished += usize::from(status.state == TaskState::Finished);
            if !to_end || (status.state != TaskState::Finished && heard.ended.is_empty()) {
                return Err(format!("{status:?}").into());
            }
            heard.ended.insert(id, at);
        } else if status.state == TaskState::Running {
            heard.running.insert(id, at);
        }
    }
    launching.await?;
    Ok(heard)
}

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
async fn burst(name: &str, line: &str, group: Option<&str>) -> Result<()> {
    let (dir, mut master) = (work_dir(), Master::start().await);
    let mut agent = Agent::start(dir.path(), &master, group);
    let (mut session, _) = master.admitted(1).await;
    let ids = (0..CROWD).map(|number| small(&format!("{name}-{number}"), line));
    let heard = launch(&mut session, ids.collect::<Result<_>>()?, name == "true").await?;
    print_times(&format!("{CROWD} x {name}: RUNNING"), &heard.running);
    if name == "true" {
        print_times(&format!("{CROWD} x {name}: ended"), &heard.ended);
        println!("  {} of them FINISHED", heard.finished);
    }
    agent.tell("kill").await;
    while session.try_hear().await.is_some() {}
    agent.wait().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
fn print_times(what: &str, times: &BTreeMap<String, Duration>) {
    let mut times: Vec<Duration> = times.values().copied().collect();
    times.sort_unstable();
    let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len() - 1)).copied();
    let [p50, p99, all] = [50, 99, 100].map(|percent| at(percent).unwrap_or_default());
    println!("{what}: p50 {p50:.2?}, p99 {p99:.2?}, all {all:.2?} after the burst began");
}

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
async fn idle(group: Option<&str>) -> Result<()> {
    let (dir, mut master) = (work_dir(), Master::start().await);
    let mut agent = Agent::start(dir.path(), &master, group);
    let (mut session, _) = master.admitted(1).await;
    let tasks = (0..IDLE).map(|number| small(&format!("idle-{number}"), "exec sleep 1000"));
    launch(&mut session, tasks.collect::<Result<_>>()?, false).await?;
    let pid = child()?;
    let before = cpu_ticks(pid)?;
    tokio::time::sleep(WATCHED).await;
    let used = cpu_ticks(pid)?.saturating_sub(before);
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    println!(
        "agent with {IDLE} idle tasks: {} KiB RSS, {} KiB PSS",
        kib(&rollup, "Rss:"),
        kib(&rollup, "Pss:")
    );
    println!("  {used} ticks of {TICKS} a second in {WATCHED:?}: {:.3} % of a processor", percent(used));
    let (shims, pss) = shims(dir.path())?;
    println!("  {shims} shims: {} KiB PSS each (with its process 1)", pss / shims.max(1));
    agent.tell("kill").await;
    while session.try_hear().await.is_some() {}
    agent.wait().await;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn percent(ticks: u64) -> f64 {
    ticks as f64 * 100.0 / TICKS as f64 / WATCHED.as_secs_f64()
}

/// This program's only child.
fn child() -> Result<i32> {
    for thread in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(thread?.path().join("children"))?;
        if let Some(pid) = text.split_whitespace().next() {
            return Ok(pid.parse()?);
        }
    }
    Err("the agent is not there".into())
}

/// What a process has used, in user and kernel mode.
fn cpu_ticks(pid: i32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let rest = text.rsplit_once(')').ok_or("the form of stat")?.1;
    let fields: Vec<&str> = rest.split_whitespace().skip(11).take(2).collect();
    fields.iter().map(|field| Ok(field.parse::<u64>()?)).sum()
}

/// How many shims live, and their PSS in KiB with that of the processes 1 of their tasks' namespaces.
fn shims(work_dir: &Path) -> Result<(u64, u64)> {
    let (mut count, mut pss) = (0, 0);
    for entry in fs::read_dir(work_dir.join("meta/tasks"))? {
        let started = agent::record::read::<Started>(&entry?.path())?.ok_or("a task is not started")?;
        let mut ours = vec![started.shim.pid];
        let leader = fs::read_link(format!("/proc/{}/exe", started.leader.pid))?;
        if leader == fs::read_link(format!("/proc/{}/exe", started.shim.pid))? {
            ours.push(started.leader.pid);
        }
        for pid in ours {
            pss += kib(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?, "Pss:");
        }
        count += 1;
    }
    Ok((count, pss))
}

fn kib(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
