//! A master that says what a test wants, and agents that talk to it: in this process, or in one that can be killed.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::daemon::{Fetcher, Isolation, NothingToFetch, NothingToShow, Options, Parts, run};
use agent::launch::Program;
use api::link::wire::{self, agent_message, master_message};
use api::link::{info_to_wire, status_from_wire};
use api::mesos::{Check, CheckKind, Command, CommandLine, Limits, TaskInfo, TaskState, TaskStatus};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use wire::link_server::{Link, LinkServer};

/// More than any step takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
pub(crate) const FRAMEWORK: &str = "framework-1";
pub(crate) const AGENT: &str = "agent-1";

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

pub(crate) struct Master {
    pub(crate) url: String,
    sessions: mpsc::Receiver<Session>,
    server: tokio::task::JoinHandle<()>,
    artifacts: Artifacts,
}

/// By their sums, and how often one was asked for.
#[derive(Clone, Default)]
pub(crate) struct Artifacts(Arc<Mutex<BTreeMap<String, Vec<u8>>>>, Arc<AtomicUsize>);

struct Service(mpsc::Sender<Session>);

type Answers = Pin<Box<dyn Stream<Item = Result<wire::MasterMessage, Status>> + Send>>;

#[tonic::async_trait]
impl Link for Service {
    type ConnectStream = Answers;

    async fn connect(
        &self,
        request: Request<Streaming<wire::AgentMessage>>,
    ) -> Result<Response<Answers>, Status> {
        let (to_agent, answers) = mpsc::channel(64);
        let session = Session { from_agent: request.into_inner(), to_agent, epoch: 1 };
        self.0.send(session).await.map_err(|_full| Status::unavailable("the test is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

impl Master {
    pub(crate) async fn start() -> Self {
        let (opened, sessions) = mpsc::channel(8);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let artifacts = Artifacts::default();
        let router = axum::Router::new()
            .route_service("/clusterctl.link.v1.Link/{method}", LinkServer::new(Service(opened)))
            .route("/clusterctl/v1/artifacts/sha256/{sum}", axum::routing::get(artifact))
            .with_state(artifacts.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, sessions, server, artifacts }
    }

    /// Has the file; its address.
    pub(crate) fn hold(&self, bytes: Vec<u8>) -> String {
        use sha2::Digest;
        let sum: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let address = format!("artifact://sha256/{sum}");
        self.artifacts.0.lock().unwrap().insert(sum, bytes);
        address
    }

    /// How often it was asked for an artifact.
    pub(crate) fn asked(&self) -> usize {
        self.artifacts.1.load(Ordering::SeqCst)
    }

    /// One that does not lead, and names who does. It counts who dials.
    pub(crate) async fn standby(leader: &str) -> (Self, Arc<AtomicUsize>) {
        let (_opened, sessions) = mpsc::channel(1);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (dialled, leader) = (Arc::<AtomicUsize>::default(), leader.to_owned());
        let count = dialled.clone();
        let answer = move || {
            count.fetch_add(1, Ordering::SeqCst);
            let headers = [
                ("content-type", "application/grpc".to_owned()),
                ("grpc-status", "14".to_owned()),
                (api::link::LEADER, leader.clone()),
            ];
            async move { headers }
        };
        let router =
            axum::Router::new().route("/clusterctl.link.v1.Link/{method}", axum::routing::post(answer));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (Self { url, sessions, server, artifacts: Artifacts::default() }, dialled)
    }

    /// The next agent that dials, with its registration.
    pub(crate) async fn session(&mut self) -> (Session, wire::Register) {
        let mut session = soon("a session", self.sessions.recv()).await.unwrap();
        match session.hear().await {
            agent_message::Body::Register(register) => (session, register),
            other => panic!("{other:?}"),
        }
    }

    /// The next agent that dials, admitted.
    pub(crate) async fn admitted(&mut self, epoch: u64) -> (Session, wire::Register) {
        let (mut session, register) = self.session().await;
        session.epoch = epoch;
        session.admit().await;
        (session, register)
    }
}

async fn artifact(
    axum::extract::State(artifacts): axum::extract::State<Artifacts>,
    axum::extract::Path(sum): axum::extract::Path<String>,
) -> Result<Vec<u8>, axum::http::StatusCode> {
    artifacts.1.fetch_add(1, Ordering::SeqCst);
    artifacts.0.lock().unwrap().get(&sum).cloned().ok_or(axum::http::StatusCode::NOT_FOUND)
}

impl Drop for Master {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub(crate) struct Session {
    from_agent: Streaming<wire::AgentMessage>,
    to_agent: mpsc::Sender<Result<wire::MasterMessage, Status>>,
    pub(crate) epoch: u64,
}

impl Session {
    /// `None` when the agent has closed the stream.
    pub(crate) async fn try_hear(&mut self) -> Option<agent_message::Body> {
        soon("a message", self.from_agent.message()).await.ok().flatten().and_then(|message| message.body)
    }

    pub(crate) async fn hear(&mut self) -> agent_message::Body {
        self.try_hear().await.expect("a message")
    }

    pub(crate) async fn say(&self, body: master_message::Body) {
        let message = wire::MasterMessage { epoch: self.epoch, body: Some(body) };
        self.to_agent.send(Ok(message)).await.unwrap();
    }

    pub(crate) async fn admit(&self) {
        let (agent_id, master_id) = (AGENT.to_owned(), "master-1".to_owned());
        self.say(master_message::Body::Registered(wire::Registered {
            agent_id,
            master_id,
            silence_ms: 60_000,
        }))
        .await;
    }

    pub(crate) async fn launch(&self, info: &TaskInfo) {
        let (framework_id, info) = (FRAMEWORK.to_owned(), Some(info_to_wire(info)));
        self.say(master_message::Body::Launch(wire::Launch { framework_id, info })).await;
    }

    /// Launches them in one burst, while the caller goes on and listens.
    pub(crate) fn launch_all(&self, infos: Vec<TaskInfo>) -> tokio::task::JoinHandle<()> {
        let (to_agent, epoch) = (self.to_agent.clone(), self.epoch);
        tokio::spawn(async move {
            for info in infos {
                let (framework_id, info) = (FRAMEWORK.to_owned(), Some(info_to_wire(&info)));
                let body = Some(master_message::Body::Launch(wire::Launch { framework_id, info }));
                to_agent.send(Ok(wire::MasterMessage { epoch, body })).await.unwrap();
            }
        })
    }

    pub(crate) async fn kill(&self, task: &str, grace_ms: Option<u64>) {
        let (framework_id, task_id) = (FRAMEWORK.to_owned(), task.to_owned());
        self.say(master_message::Body::Kill(wire::Kill { framework_id, task_id, grace_ms })).await;
    }

    /// The next statement, health reports passed over.
    pub(crate) async fn update(&mut self) -> TaskStatus {
        loop {
            match self.hear().await {
                agent_message::Body::Update(update) => {
                    return status_from_wire(update.status.unwrap()).unwrap();
                }
                agent_message::Body::Health(_) | agent_message::Body::PeersHeld(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn acknowledge(&self, status: &TaskStatus) {
        let uuid = status.uuid.expect("a uuid").as_u128().to_be_bytes().to_vec();
        let (framework_id, task_id) = (FRAMEWORK.to_owned(), status.task.to_string());
        self.say(master_message::Body::Acknowledge(wire::Acknowledge { framework_id, task_id, uuid })).await;
    }

    /// The next list of peers that a sandbox is said to hold; all else is passed over.
    pub(crate) async fn held(&mut self) -> u64 {
        loop {
            if let agent_message::Body::PeersHeld(held) = self.hear().await {
                return held.version;
            }
        }
    }

    /// Acknowledges statements until the task has one in this state, which is acknowledged too.
    pub(crate) async fn until(&mut self, task: &str, state: TaskState) -> TaskStatus {
        loop {
            let status = self.update().await;
            if status.uuid.is_some() {
                self.acknowledge(&status).await;
            }
            if status.task.as_str() == task && (status.state == state || status.state.is_terminal()) {
                assert_eq!(status.state, state, "{status:?}");
                return status;
            }
        }
    }
}

pub(crate) fn task(id: &str, line: &str) -> TaskInfo {
    TaskInfo {
        id: id.parse().unwrap(),
        name: id.into(),
        agent: AGENT.into(),
        role: "*".parse().unwrap(),
        resources: "cpus:0.1;mem:32".parse().unwrap(),
        command: Command {
            line: CommandLine::Shell(line.into()),
            env: std::collections::BTreeMap::new(),
            secrets: [].into(),
            user: None,
            uris: vec![],
        },
        limits: Limits::default(),
        grace: Some(Duration::from_secs(3)),
        checks: vec![],
        labels: std::collections::BTreeMap::new(),
        peers: None,
        volumes: vec![],
    }
}

pub(crate) fn program() -> Program {
    Program { path: env!("CARGO_BIN_EXE_agent-shim").into(), args: vec![] }
}

fn options(work_dir: &Path, master: &str, isolation: Isolation) -> Options {
    let mut options = Options::new(work_dir.to_owned(), vec![master.to_owned()], program());
    options.isolation = isolation;
    // Beside the work directory of a test nothing else is allowed.
    options.host_paths = vec![work_dir.join("allowed")];
    options.resources = "cpus:4;mem:4096;disk:4096;ports:[31000-31100]".parse().unwrap();
    options
}

/// A work directory that other users can reach.
pub(crate) fn work_dir() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// An agent in a process of its own. Dropping it kills it, but not its tasks.
pub(crate) struct Agent {
    child: Child,
    pub(crate) lifeline: Option<ChildStdin>,
}

const WORK_DIR: &str = "CLUSTERCTL_AGENT_TEST_WORK_DIR";
const MASTER: &str = "CLUSTERCTL_AGENT_TEST_MASTER";
const GROUP: &str = "CLUSTERCTL_AGENT_TEST_GROUP";
const FETCHES: &str = "CLUSTERCTL_AGENT_TEST_FETCHES";

impl Agent {
    /// With control groups below `group`, or without any. The test binary has a test `be_agent`.
    pub(crate) fn start(work_dir: &Path, master: &Master, group: Option<&str>) -> Self {
        Self::start_with(work_dir, master, group, false)
    }

    /// One that fetches artifacts from the master.
    pub(crate) fn start_fetching(work_dir: &Path, master: &Master, group: Option<&str>) -> Self {
        Self::start_with(work_dir, master, group, true)
    }

    fn start_with(work_dir: &Path, master: &Master, group: Option<&str>, fetches: bool) -> Self {
        let mut program = tokio::process::Command::new(std::env::current_exe().unwrap());
        program
            .args(["--exact", "be_agent", "--include-ignored", "--nocapture"])
            .env(WORK_DIR, work_dir)
            .env(MASTER, &master.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        if let Some(group) = group {
            program.env(GROUP, group);
        }
        if fetches {
            program.env(FETCHES, "1");
        }
        let mut child = program.spawn().unwrap();
        let lifeline = child.stdin.take();
        Self { child, lifeline }
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// One line on its lifeline, then its end.
    pub(crate) async fn tell(&mut self, word: &str) {
        let line = format!("{word}\n");
        self.lifeline.as_mut().unwrap().write_all(line.as_bytes()).await.unwrap();
    }

    pub(crate) async fn wait(mut self) {
        let status = soon("the agent's end", self.child.wait()).await.unwrap();
        assert!(status.success(), "{status:?}");
    }
}

/// What the test `be_agent` does: nothing, or being an agent.
pub(crate) fn be_agent() {
    let Some(work_dir) = std::env::var_os(WORK_DIR).map(PathBuf::from) else { return };
    let master = std::env::var(MASTER).unwrap();
    let isolation = match std::env::var(GROUP) {
        Ok(parent) => Isolation::Auto { parent },
        Err(_) => Isolation::Off,
    };
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let options = options(&work_dir, &master, isolation);
    if std::env::var_os(FETCHES).is_none() {
        return be(options, NothingToFetch);
    }
    let mut fetching = agent::fetch::Options::new(work_dir.join("fetch"), program());
    fetching.masters = vec![master];
    be(options, agent::fetch::Fetcher::new(fetching));
}

fn be(options: Options, fetcher: impl Fetcher) {
    let parts = Parts {
        fetcher,
        attached: NothingToShow,
        router: axum::Router::new(),
        lifeline: Some(tokio::io::stdin()),
        ready: None,
    };
    // As the shipped program does it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(run(options, parts));
    runtime.shutdown_background();
    ended.unwrap();
}

/// A file of a task's sandbox.
pub(crate) fn in_sandbox(work_dir: &Path, task: &str, file: &str) -> PathBuf {
    let runs = format!("slaves/{AGENT}/frameworks/{FRAMEWORK}/executors/{task}/runs/latest");
    work_dir.join(runs).join(file)
}

/// Until a task has written its number down.
pub(crate) async fn is_up(work_dir: &Path, id: &str) {
    let path = in_sandbox(work_dir, id, "pid");
    let there = async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the task's pid", there).await;
}

/// A check ten times a second.
pub(crate) fn check(kind: CheckKind, kill_after: Option<u32>) -> Check {
    Check {
        kind,
        delay: Duration::ZERO,
        interval: Duration::from_millis(100),
        timeout: Duration::from_secs(10),
        grace_period: Duration::ZERO,
        kill_after,
        purpose: api::mesos::Purpose::Health,
    }
}
