//! A master on a free port of 127.0.0.1 over a store in a directory, an agent that speaks the real link, and a framework
//! in the same process.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::link::wire::{self, agent_message, link_client::LinkClient, master_message};
use api::link::{info_to_wire, resources_to_wire, status_to_wire};
use api::marathon::{Timestamp, Uuid};
use api::mesos::{
    Call, Command, CommandLine, Event, FrameworkInfo, Limits, Offer, Source, Subscribe, Subscription,
    TaskInfo, TaskState, TaskStatus,
};
use master::{Master, MasterError, Options};
use scheduler::{AgentId, Filter, Role};
use store::{Candidate, EmbeddedStore, Prefix, Store};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

/// No answer takes so long; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what must come.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.unwrap()
}

pub(crate) struct Running {
    pub(crate) master: Master,
    pub(crate) address: SocketAddr,
    handle: JoinHandle<Result<(), MasterError>>,
    server: JoinHandle<()>,
    quit: oneshot::Sender<()>,
    store: Arc<EmbeddedStore>,
}

impl Running {
    pub(crate) async fn start(dir: &Path, adapt: impl FnOnce(&mut Options)) -> Self {
        // Another test of this process may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let store = Arc::new(EmbeddedStore::open(dir, store::Options::default()).await.unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let leadership = store.campaign(&Candidate::new(address.to_string())).await.unwrap();
        let snapshot = store.load(&Prefix::all()).await.unwrap();
        let mut options = Options::new("test", address.to_string(), reqwest::Client::new());
        adapt(&mut options);
        let (master, handle) = Master::start(options, store.clone(), leadership, &snapshot).await.unwrap();
        let router = master.link().merge(master.router());
        let (quit, asked) = oneshot::channel::<()>();
        let server = tokio::spawn(async move {
            tokio::select! {
                served = axum::serve(listener, router).into_future() => served.unwrap(),
                _ = asked => {}
            }
        });
        Self { master, address, handle, server, quit, store }
    }

    /// Ends the master, its server and its store.
    pub(crate) async fn stop(self) {
        self.master.stop().await;
        soon(self.handle).await.unwrap().unwrap();
        let _ = self.quit.send(());
        soon(self.server).await.unwrap();
        self.store.close().await.unwrap();
    }

    /// Takes the store away under the master; answers what the master ended with.
    pub(crate) async fn break_store(self, then: impl AsyncFnOnce(&Master)) -> MasterError {
        self.store.close().await.unwrap();
        then(&self.master).await;
        let error = soon(self.handle).await.unwrap().unwrap_err();
        let _ = self.quit.send(());
        error
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let answer = soon(reqwest::get(format!("http://{}{path}", self.address))).await.unwrap();
        let status = answer.status().as_u16();
        (status, soon(answer.text()).await.unwrap())
    }

    pub(crate) async fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Waits until a view of the master shows this.
    pub(crate) async fn until(&self, shown: impl FnMut(&Arc<master::view::View>) -> bool) {
        let mut views = self.master.views();
        soon(views.wait_for(shown)).await.unwrap();
    }
}

pub(crate) fn framework_info(name: &str) -> FrameworkInfo {
    FrameworkInfo { id: None, name: name.to_owned(), user: "nobody".to_owned(), roles: vec![] }
}

pub(crate) async fn subscribe(master: &Master, name: &str) -> (String, Subscription) {
    let mut subscription = soon(master.subscribe(framework_info(name))).await.unwrap();
    match event(&mut subscription).await {
        Event::Subscribed { framework, master: id } => {
            assert_eq!(id, master.id());
            (framework.to_string(), subscription)
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn event(subscription: &mut Subscription) -> Event {
    soon(subscription.events.recv()).await.unwrap()
}

pub(crate) async fn offers(subscription: &mut Subscription) -> Vec<Offer> {
    loop {
        match event(subscription).await {
            Event::Offers(offers) => return offers,
            Event::Rescind(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn update(subscription: &mut Subscription) -> TaskStatus {
    loop {
        match event(subscription).await {
            Event::Update(status) => return status,
            Event::Offers(_) | Event::Rescind(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn task(offer: &Offer, id: &str, resources: &str) -> TaskInfo {
    TaskInfo {
        id: id.parse().unwrap(),
        name: id.to_owned(),
        agent: offer.agent.clone(),
        role: Role::star(),
        resources: resources.parse().unwrap(),
        command: Command {
            line: CommandLine::Shell("sleep 1000".to_owned()),
            env: [("PASSWORD".to_owned(), "canary".to_owned().into())].into(),
            secrets: [].into(),
            user: None,
            uris: vec![],
        },
        limits: Limits::default(),
        grace: None,
        checks: vec![],
        labels: [("kind".to_owned(), "test".to_owned())].into(),
        peers: None,
        volumes: vec![],
    }
}

pub(crate) async fn launch(subscription: &Subscription, offer: &Offer, task: TaskInfo) {
    let call = Call::Accept {
        offers: vec![offer.id.clone()],
        tasks: vec![task],
        filter: Filter::from_seconds(Some(3600.0)),
    };
    soon(subscription.calls.send(call)).await.unwrap();
}

pub(crate) fn status(task: &str, agent: &str, state: TaskState, uuid: u128) -> TaskStatus {
    TaskStatus {
        task: task.parse().unwrap(),
        state,
        message: None,
        source: Source::Executor,
        reason: None,
        agent: Some(AgentId::from(agent)),
        uuid: Some(Uuid::from_bits(uuid)),
        healthy: None,
        timestamp: Timestamp::from_millis(1_000),
        addresses: vec!["127.0.0.1".parse().unwrap()],
    }
}

/// An agent's end of the link.
pub(crate) struct Agent {
    pub(crate) id: String,
    pub(crate) epoch: u64,
    out: mpsc::Sender<wire::AgentMessage>,
    inbound: tonic::Streaming<wire::MasterMessage>,
}

pub(crate) fn register(id: &str, port: u16, tasks: Vec<wire::TaskReport>) -> wire::Register {
    wire::Register {
        agent_id: id.to_owned(),
        name: "a1".to_owned(),
        hostname: "127.0.0.1".to_owned(),
        address: "127.0.0.1".to_owned(),
        port: u32::from(port),
        resources: resources_to_wire(&"cpus:4;mem:1024;disk:1000;ports:[31000-31099]".parse().unwrap()),
        attributes: "rack:r1;level:3".to_owned(),
        region: String::new(),
        zone: String::new(),
        version: "0.1.0".to_owned(),
        tasks,
    }
}

pub(crate) fn report(framework: &str, info: &TaskInfo, status: &TaskStatus) -> wire::TaskReport {
    wire::TaskReport {
        framework_id: framework.to_owned(),
        info: Some(info_to_wire(info)),
        status: Some(status_to_wire(status)),
        health: vec![],
        directory: format!("/sandboxes/{}", info.id),
        peers_version: None,
    }
}

impl Agent {
    /// Dials without a word.
    pub(crate) async fn dial(address: SocketAddr) -> Self {
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = soon(channel.connect()).await.unwrap();
        let (out, outbound) = mpsc::channel(64);
        let mut client = LinkClient::new(channel);
        let inbound = soon(client.connect(ReceiverStream::new(outbound))).await.unwrap().into_inner();
        Self { id: String::new(), epoch: 0, out, inbound }
    }

    pub(crate) async fn connect(address: SocketAddr, register: wire::Register) -> Self {
        let mut agent = Self::dial(address).await;
        let known = !register.agent_id.is_empty();
        agent.say(agent_message::Body::Register(register)).await;
        match agent.hear().await {
            Some(master_message::Body::Registered(registered)) => agent.id = registered.agent_id,
            other => panic!("{other:?}"),
        }
        if known {
            // A master counts on one that was there before once it has said something on this stream.
            agent.say(agent_message::Body::Pong(wire::Pong {})).await;
        }
        agent
    }

    /// Says no more, and goes on listening.
    pub(crate) fn hang_up(&mut self) {
        self.out = mpsc::channel(1).0;
    }

    pub(crate) async fn say(&self, body: agent_message::Body) {
        soon(self.out.send(wire::AgentMessage { body: Some(body) })).await.unwrap();
    }

    pub(crate) async fn update(&self, framework: &str, status: &TaskStatus) {
        let (framework_id, status) = (framework.to_owned(), Some(status_to_wire(status)));
        self.say(agent_message::Body::Update(wire::StatusUpdate { framework_id, status })).await;
    }

    /// The next thing that the master says; `None` when it hung up.
    pub(crate) async fn hear(&mut self) -> Option<master_message::Body> {
        loop {
            let message = soon(self.inbound.message()).await.ok().flatten()?;
            self.epoch = message.epoch;
            match message.body.unwrap() {
                master_message::Body::Ping(_) => {
                    self.say(agent_message::Body::Pong(wire::Pong {})).await;
                }
                body => return Some(body),
            }
        }
    }
}
