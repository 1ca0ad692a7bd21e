//! The agent from end to end: a master that the tests play, an agent in a process of its own, real tasks.

#[cfg(test)]
mod cluster;

use std::time::Duration;

use agent::proc::Identity;
use api::link::wire::{PeersChanged, agent_message, master_message};
use api::mesos::{
    Check, CheckAddress, CheckKind, CommandLine, HealthReport, Peers, Purpose, Reason, Response, Sight,
    TaskState, Volume,
};
use cluster::{Agent, Master, check, in_sandbox, is_up, task, work_dir};

#[test]
fn be_agent() {
    cluster::be_agent();
}

/// A task that writes down its number and stays.
const SLEEP: &str = "echo $$ > pid.new; mv pid.new pid; exec sleep 1000";

/// One of many that an agent has room for.
#[cfg(test)]
fn small(id: &str) -> api::mesos::TaskInfo {
    api::mesos::TaskInfo { resources: "cpus:0.01;mem:32".parse().unwrap(), ..task(id, "true") }
}

/// The process that a task wrote down as its own.
#[cfg(test)]
fn identity(work_dir: &std::path::Path, id: &str) -> Identity {
    let text = std::fs::read_to_string(in_sandbox(work_dir, id, "pid")).unwrap();
    Identity::of(text.trim().parse().unwrap()).unwrap()
}

/// Whether it runs still; one that only nobody has reaped does not.
#[cfg(test)]
fn runs(task: &Identity) -> bool {
    let now = agent::proc::stat(task.pid);
    now.is_ok_and(|now| now.start_time == task.start_time && now.state != 'Z')
}

#[tokio::test]
async fn a_task_is_launched_told_of_and_killed() {
    let (dir, mut master) = (work_dir(), Master::start().await);
    let mut agent = Agent::start(dir.path(), &master, None);
    let (mut session, register) = master.admitted(1).await;
    assert_eq!((register.agent_id.as_str(), register.tasks.len()), ("", 0));
    session.launch(&task("t", SLEEP)).await;
    for state in [TaskState::Starting, TaskState::Running] {
        let status = session.update().await;
        assert_eq!(status.state, state, "{status:?}");
        session.acknowledge(&status).await;
    }
    session.kill("t", None).await;
    assert_eq!(session.until("t", TaskState::Killing).await.state, TaskState::Killing);
    let end = session.until("t", TaskState::Killed).await;
    assert_eq!(end.message.as_deref(), Some("Command terminated by signal SIGTERM"));
    // The same id again is not launched again.
    session.launch(&task("t", SLEEP)).await;
    let again = session.update().await;
    assert_eq!((again.state, again.uuid), (TaskState::Killed, None), "{again:?}");
    agent.tell("stop").await;
    agent.wait().await;
}

#[tokio::test]
async fn a_burst_of_launches_runs_to_its_end() {
    let (dir, mut master) = (work_dir(), Master::start().await);
    let mut agent = Agent::start(dir.path(), &master, None);
    let (mut session, _) = master.admitted(1).await;
    let ids: Vec<String> = (0..40).map(|number| format!("t{number}")).collect();
    let launching = session.launch_all(ids.iter().map(|id| small(id)).collect());
    let mut left: std::collections::BTreeSet<String> = ids.into_iter().collect();
    while !left.is_empty() {
        let status = session.update().await;
        session.acknowledge(&status).await;
        if status.state.is_terminal() {
            assert_eq!(status.state, TaskState::Finished, "{status:?}");
            left.remove(status.task.as_str());
        }
    }
    launching.await.unwrap();
    agent.tell("stop").await;
    agent.wait().await;
}

#[tokio::test]
async fn ends_are_told_with_their_cause() {
    let (dir, mut master) = (work_dir(), Master::start().await);
    let mut agent = Agent::start(dir.path(), &master, None);
    let (mut session, _) = master.admitted(1).await;
    session.launch(&task("good", "exit 0")).await;
    session.until("good", TaskState::Finished).await;
    session.launch(&task("bad", "exit 7")).await;
    let bad = session.until("bad", TaskState::Failed).await;
    assert_eq!(bad.message.as_deref(), Some("Command exited with status 7"));
    let mut none = task("none", "");
    none.command.line = api::mesos::CommandLine::Argv(vec!["/no/such/program".into()]);
    session.launch(&none).await;
    let none = session.until("none", TaskState::Failed).await;
    assert_eq!(none.reason, Some(Reason::CommandExecutorFailed));
    assert!(none.message.unwrap().contains("/no/such/program"));
    let mut files = task("files", "exit 0");
    files.command.uris.push(api::mesos::Uri {
        value: "http://x/y".into(),
        executable: false,
        extract: false,
        cache: false,
        output_file: None,
    });
    session.launch(&files).await;
    let files = session.until("files", TaskState::Failed).await;
    assert_eq!(files.reason, Some(Reason::ContainerLaunchFailed));
    let mut big = task("big", "exit 0");
    big.resources = "cpus:64".parse().unwrap();
    session.launch(&big).await;
    let big = session.until("big", TaskState::Error).await;
    assert!(big.message.unwrap().contains("do not fit"));
    agent.tell("stop").await;
    agent.wait().await;
}

#[tokio::test]
async fn tasks_survive_an_agent_that_is_killed_and_those_that_ended_meanwhile_are_told_of() {
    let (dir, mut master) = (work_dir(), Master::start().await);
    let agent = Agent::start(dir.path(), &master, None);
    let (mut session, _) = master.admitted(1).await;
    session.launch(&task("stays", SLEEP)).await;
    session.until("stays", TaskState::Running).await;
    session
        .launch(&task("ends", "mkfifo go; echo $$ > pid.new; mv pid.new pid; read line < go; exit 9"))
        .await;
    session.until("ends", TaskState::Running).await;
    is_up(dir.path(), "stays").await;
    is_up(dir.path(), "ends").await;
    let before = identity(dir.path(), "stays");
    agent.kill().await;

    let fifo = in_sandbox(dir.path(), "ends", "go");
    std::fs::write(&fifo, "now\n").unwrap();

    let mut agent = Agent::start(dir.path(), &master, None);
    let (mut session, register) = master.admitted(2).await;
    assert_eq!(register.agent_id, cluster::AGENT);
    let known: Vec<&str> = register.tasks.iter().map(|t| t.info.as_ref().unwrap().id.as_str()).collect();
    assert!(known.contains(&"stays") && known.contains(&"ends"), "{known:?}");
    let end = session.until("ends", TaskState::Failed).await;
    assert!(end.message.unwrap().contains("exited with status 9"));
    assert_eq!(identity(dir.path(), "stays"), before, "it was never started anew");

    agent.tell("kill").await;
    session.until("stays", TaskState::Killed).await;
    agent.wait().await;
    assert!(!runs(&before), "it still runs");
}

#[tokio::test]
async fn health_is_reported_and_its_failure_kills() {
    let (dir, mut master) = (work_dir(), Master::start().await);
    let mut agent = Agent::start(dir.path(), &master, None);
    let (mut session, _) = master.admitted(1).await;
    // Two checks that only report, of a server of the test's own, and a command that kills when `ok` is gone.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let moved = axum::http::StatusCode::PERMANENT_REDIRECT;
    let router = axum::Router::new().route("/moved", axum::routing::get(move || async move { moved }));
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let mut task = task("t", "touch ok; echo $$ > pid.new; mv pid.new pid; exec sleep 1000");
    let http = |path: &str| CheckKind::Http {
        address: CheckAddress::Loopback,
        port,
        path: path.into(),
        tls: false,
        ignore_1xx: false,
    };
    let command = CommandLine::Shell("test -e ok && test \"$MESOS_SANDBOX\" = \"$PWD\"".into());
    task.checks = vec![
        check(http("/moved"), None),
        check(http("/none"), None),
        Check { delay: Duration::from_millis(200), ..check(CheckKind::Command(command), Some(2)) },
    ];
    session.launch(&task).await;
    let mut seen = std::collections::BTreeMap::new();
    let mut healthy = false;
    while seen.len() < 3 || !healthy {
        match session.hear().await {
            agent_message::Body::Health(report) => {
                seen.insert(report.check, (report.alive, report.last_failure_cause));
            }
            agent_message::Body::Update(update) => {
                let status = api::link::status_from_wire(update.status.unwrap()).unwrap();
                healthy |= status.healthy == Some(true);
                session.acknowledge(&status).await;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((seen[&0].0, seen[&1].0, seen[&2].0), (true, false, true), "{seen:?}");
    assert!(seen[&1].1.as_ref().unwrap().contains("status 404"), "{seen:?}");
    server.abort();
    std::fs::remove_file(in_sandbox(dir.path(), "t", "ok")).unwrap();
    let end = session.until("t", TaskState::Killed).await;
    assert_eq!((end.reason, end.healthy), (Some(Reason::TaskHealthCheckStatusUpdated), Some(false)));
    let message = end.message.unwrap();
    assert!(
        message.starts_with("Task was killed since health check failed: 2 failures in a row"),
        "{message}"
    );
    assert!(message.contains("exited with status 1"), "{message}");
    agent.tell("stop").await;
    agent.wait().await;
}

#[tokio::test]
async fn a_task_whose_record_is_damaged_is_ended_and_put_aside() {
    let (dir, mut master) = (work_dir(), Master::start().await);
    let agent = Agent::start(dir.path(), &master, None);
    let (mut session, _) = master.admitted(1).await;
    session.launch(&task("t", SLEEP)).await;
    session.until("t", TaskState::Running).await;
    is_up(dir.path(), "t").await;
    let before = identity(dir.path(), "t");
    agent.kill().await;
    let tasks = dir.path().join("meta/tasks");
    let entry = std::fs::read_dir(&tasks).unwrap().next().unwrap().unwrap();
    let record = entry.path().join("task.json");
    let mut bytes = std::fs::read(&record).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&record, bytes).unwrap();

    let mut agent = Agent::start(dir.path(), &master, None);
    let (_session, register) = master.admitted(1).await;
    assert!(register.tasks.is_empty());
    assert!(!runs(&before), "it still runs");
    assert!(dir.path().join("meta/damaged").join(entry.file_name()).exists());
    agent.tell("stop").await;
    agent.wait().await;
}

#[tokio::test]
async fn an_older_master_is_refused_and_the_next_one_obeyed() {
    let (dir, mut master) = (work_dir(), Master::start().await);
    let mut agent = Agent::start(dir.path(), &master, None);
    let (mut session, _) = master.admitted(7).await;
    session.launch(&task("t", SLEEP)).await;
    session.until("t", TaskState::Running).await;
    session.epoch = 6;
    session.kill("t", None).await;
    assert!(session.try_hear().await.is_none(), "the stream is closed");
    let (mut session, register) = master.admitted(7).await;
    assert_eq!(register.tasks[0].status.as_ref().unwrap().state, "TASK_RUNNING");
    session.kill("t", Some(0)).await;
    session.until("t", TaskState::Killed).await;
    agent.tell("stop").await;
    agent.wait().await;
}

#[tokio::test]
async fn a_master_that_stands_by_sends_the_agent_to_the_leader() {
    // The agent knows the one that stands by alone.
    let (dir, mut leader) = (work_dir(), Master::start().await);
    let (standby, dialled) = Master::standby(&leader.url).await;
    let mut agent = Agent::start(dir.path(), &standby, None);
    for epoch in 1..=3 {
        let (session, _) = leader.admitted(epoch).await;
        assert_eq!(dialled.load(std::sync::atomic::Ordering::SeqCst) as u64, epoch);
        // The stream ends, and it asks again who leads.
        drop(session);
    }
    agent.tell("stop").await;
    agent.wait().await;
}

#[tokio::test]
async fn the_end_of_the_lifeline_leaves_tasks_and_stop_ends_them_without_a_master() {
    let (dir, mut master) = (work_dir(), Master::start().await);
    let mut agent = Agent::start(dir.path(), &master, None);
    let (mut session, _) = master.admitted(1).await;
    for id in ["a", "b"] {
        session.launch(&task(id, SLEEP)).await;
        session.until(id, TaskState::Running).await;
        is_up(dir.path(), id).await;
    }
    let before = ["a", "b"].map(|id| identity(dir.path(), id));
    drop(agent.lifeline.take());
    agent.wait().await;
    assert_eq!(["a", "b"].map(|id| identity(dir.path(), id)), before);
    drop((session, master));

    let master = Master::start().await;
    let mut agent = Agent::start(dir.path(), &master, None);
    agent.tell("stop").await;
    agent.wait().await;
    for task in &before {
        assert!(!runs(task), "{task:?} still runs");
    }
}

/// A server that answers `/ready` as it is told, and counts the questions.
#[cfg(test)]
struct Server {
    port: u16,
    asked: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    ready: std::sync::Arc<std::sync::atomic::AtomicBool>,
    serving: tokio::task::JoinHandle<()>,
}

#[cfg(test)]
impl Server {
    async fn start() -> Self {
        use std::sync::atomic::Ordering::SeqCst;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, ready) = (
            std::sync::Arc::<std::sync::atomic::AtomicUsize>::default(),
            std::sync::Arc::<std::sync::atomic::AtomicBool>::default(),
        );
        let (count, is_ready) = (asked.clone(), ready.clone());
        let answer = move || {
            let ready = is_ready.load(SeqCst);
            count.fetch_add(1, SeqCst);
            async move {
                let status = if ready { 201 } else { 503 };
                let body = if ready { "x".repeat(100_000) } else { "wait".to_owned() };
                (axum::http::StatusCode::from_u16(status).unwrap(), body)
            }
        };
        let router = axum::Router::new().route("/ready", axum::routing::get(answer));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, asked, ready, serving }
    }

    fn asked(&self) -> usize {
        self.asked.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn check(&self, purpose: Purpose) -> Check {
        let kind = CheckKind::Http {
            address: CheckAddress::Loopback,
            port: self.port,
            path: "/ready".into(),
            tls: false,
            ignore_1xx: false,
        };
        Check { purpose, ..check(kind, None) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The next report that is as wanted.
#[cfg(test)]
async fn report(session: &mut cluster::Session, wanted: impl Fn(&HealthReport) -> bool) -> HealthReport {
    loop {
        match session.hear().await {
            agent_message::Body::Health(report) => {
                let report = api::link::health_from_wire(&cluster::AGENT.into(), report).unwrap();
                if wanted(&report) {
                    return report;
                }
            }
            agent_message::Body::Update(update) => {
                let status = api::link::status_from_wire(update.status.unwrap()).unwrap();
                if status.uuid.is_some() {
                    session.acknowledge(&status).await;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn readiness_is_looked_at_across_agents_until_it_is_there_and_never_after() {
    let (dir, mut master) = (work_dir(), Master::start().await);
    let server = Server::start().await;
    let mut agent = Agent::start(dir.path(), &master, None);
    let (mut session, _) = master.admitted(1).await;
    let mut task = task("t", SLEEP);
    task.checks = vec![server.check(Purpose::Readiness { statuses: vec![200, 201], keep_response: true })];
    session.launch(&task).await;
    let first = report(&mut session, |_| true).await;
    let response = |status, body: &str| Response {
        status,
        content_type: "text/plain; charset=utf-8".into(),
        body: body.into(),
    };
    assert_eq!((first.alive, first.sight), (false, Some(Sight::Response(response(503, "wait")))));

    // The next agent asks on, whoever was killed in the middle of it.
    agent.kill().await;
    let before = server.asked();
    agent = Agent::start(dir.path(), &master, None);
    (session, _) = master.admitted(1).await;
    assert!(!report(&mut session, |_| true).await.alive);
    assert!(server.asked() > before);

    server.ready.store(true, std::sync::atomic::Ordering::SeqCst);
    let ready = report(&mut session, |report| report.alive).await;
    let kept = "x".repeat(4096);
    assert_eq!(ready.sight, Some(Sight::Response(response(201, &kept))));

    // The one after that knows the answer, and says it with its registration.
    agent.kill().await;
    let before = server.asked();
    agent = Agent::start(dir.path(), &master, None);
    let (_session, register) = master.admitted(1).await;
    let said = register.tasks[0].health.clone().pop().unwrap();
    let said = api::link::health_from_wire(&cluster::AGENT.into(), said).unwrap();
    assert_eq!((said.alive, said.sight), (true, ready.sight));
    agent.tell("stop").await;
    agent.wait().await;
    assert_eq!(server.asked(), before);
}

#[tokio::test]
async fn informational_checks_tell_what_they_see_and_end_nothing() {
    let (dir, mut master) = (work_dir(), Master::start().await);
    let server = Server::start().await;
    let mut agent = Agent::start(dir.path(), &master, None);
    let (mut session, _) = master.admitted(1).await;
    let inform = |kind| Check { purpose: Purpose::Information, ..check(kind, None) };
    let mut task = task("t", "touch ok; echo $$ > pid.new; mv pid.new pid; exec sleep 1000");
    task.checks = vec![
        server.check(Purpose::Information),
        inform(CheckKind::Tcp { address: CheckAddress::Loopback, port: server.port }),
        Check {
            delay: Duration::from_millis(200),
            ..inform(CheckKind::Command(CommandLine::Shell("test -e ok || exit 3".into())))
        },
    ];
    session.launch(&task).await;
    // Each is told once, in an order that nobody knows.
    let mut left = vec![Sight::Status(503), Sight::Connected(true), Sight::Exit(0)];
    while !left.is_empty() {
        let seen = report(&mut session, |_| true).await;
        left.retain(|sight| seen.sight.as_ref() != Some(sight));
    }
    std::fs::remove_file(in_sandbox(dir.path(), "t", "ok")).unwrap();
    let bad = report(&mut session, |report| report.sight == Some(Sight::Exit(3))).await;
    assert!(bad.last_failure_cause.unwrap().contains("status 3"));
    let task = identity(dir.path(), "t");
    assert!(runs(&task));
    agent.tell("stop").await;
    agent.wait().await;
}

/// A volume of the directory that the tests' agents allow.
#[cfg(test)]
fn volume(work_dir: &std::path::Path, at: &str, inside: &str, read_only: bool) -> Volume {
    let host_path = work_dir.join("allowed").join(inside).to_str().unwrap().to_owned();
    Volume { container_path: at.into(), host_path, read_only }
}

#[tokio::test]
async fn without_mounts_a_volume_is_a_link_and_what_that_cannot_be_is_said() {
    let (dir, mut master) = (work_dir(), Master::start().await);
    std::fs::create_dir_all(dir.path().join("allowed/data")).unwrap();
    std::os::unix::fs::symlink("/etc", dir.path().join("allowed/away")).unwrap();
    let mut agent = Agent::start(dir.path(), &master, None);
    let (mut session, _) = master.admitted(1).await;
    let mut good = task("good", "echo said > in/deep/file");
    good.volumes = vec![volume(dir.path(), "in/deep", "data", false)];
    session.launch(&good).await;
    session.until("good", TaskState::Finished).await;
    assert_eq!(std::fs::read_to_string(dir.path().join("allowed/data/file")).unwrap(), "said\n");
    let elsewhere = Volume { container_path: "d".into(), host_path: "/etc".into(), read_only: false };
    for (id, volume, why) in [
        ("ro", volume(dir.path(), "d", "data", true), "make the mode RW"),
        ("abs", volume(dir.path(), "/mnt", "data", false), "the containerPath relative"),
        ("none", volume(dir.path(), "d", "none", false), "No such file"),
        ("away", volume(dir.path(), "d", "away", false), "leads out of what is allowed"),
        ("not", elsewhere, "--allow-host-path"),
    ] {
        session.launch(&api::mesos::TaskInfo { volumes: vec![volume], ..task(id, "true") }).await;
        let end = session.until(id, TaskState::Failed).await;
        assert_eq!(end.reason, Some(Reason::ContainerLaunchFailed), "{id}");
        assert!(end.message.as_ref().unwrap().contains(why), "{end:?}");
    }
    agent.tell("stop").await;
    agent.wait().await;
}

#[tokio::test]
async fn a_sandbox_tells_of_its_peers_from_the_start_and_of_every_change_whatever_becomes_of_the_agent() {
    let (dir, mut master) = (work_dir(), Master::start().await);
    let agent = Agent::start(dir.path(), &master, None);
    let (mut session, _) = master.admitted(1).await;
    let list =
        |version: u64| Peers { version, json: format!("{{\"v\":{version}}}").into(), tsv: "a\t0\n".into() };
    let changed = |version| {
        let (framework_id, task_id) = (cluster::FRAMEWORK.to_owned(), "t".to_owned());
        let peers = Some(api::link::peers_to_wire(&list(version)));
        master_message::Body::PeersChanged(PeersChanged { framework_id, task_id, peers })
    };
    let read = |file: &str| std::fs::read_to_string(in_sandbox(dir.path(), "t", file)).unwrap();

    let line = format!("cat peers.json peers.tsv; {SLEEP}");
    session.launch(&api::mesos::TaskInfo { peers: Some(list(1)), ..task("t", &line) }).await;
    session.until("t", TaskState::Running).await;
    is_up(dir.path(), "t").await;
    session.say(changed(2)).await;
    assert_eq!(session.held().await, 2);
    assert_eq!((read("peers.json"), read("peers.tsv")), ("{\"v\":2}".to_owned(), "a\t0\n".to_owned()));
    agent.kill().await;

    // The next agent knows what is there, and does not go back to what the task was launched with.
    let mut agent = Agent::start(dir.path(), &master, None);
    let (mut session, register) = master.admitted(2).await;
    assert_eq!(register.tasks[0].peers_version, Some(2));
    assert_eq!(read("peers.json"), "{\"v\":2}");
    session.say(changed(2)).await;
    assert_eq!(session.held().await, 2, "said again to who asks again");
    session.say(changed(3)).await;
    assert_eq!(session.held().await, 3);
    assert_eq!(read("peers.json"), "{\"v\":3}");
    session.kill("t", Some(0)).await;
    session.until("t", TaskState::Killed).await;
    assert_eq!(read("stdout"), "{\"v\":1}a\t0\n", "there before it ran");
    agent.tell("stop").await;
    agent.wait().await;
}
