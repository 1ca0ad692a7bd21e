//! Leading: the store's leadership, and what stands on it. When the store fails, everything that stood on it ends and is built
//! again from what the store has; requests are answered 503 meanwhile, and the process lives on (reliability.md, P9).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use access::{Access, Clock};
use api::server::{Entry, serve};
use axum::Router;
use axum::http::HeaderValue;
use master::Master;
use services::Services;
use store::{Candidate, EmbeddedStore, Prefix, Store, StoreError};
use thiserror::Error;
use tls::Tls;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::artifacts::Artifacts;
use crate::door::Door;

/// Each agent has one, and clients have theirs. More wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 65_536;
/// Between attempts to open a store that failed.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// A part that was told to end and has not is ended.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
/// From the answer that the leader steps down to its doing so.
const BEFORE_ABDICATION: Duration = Duration::from_millis(500);

/// What a master is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory of the store.
    pub store: PathBuf,
    /// How the store is opened.
    pub storage: store::Options,
    /// The directory of artifacts.
    pub artifacts: PathBuf,
    /// `host:port` that clients and agents reach this master at.
    pub advertised: String,
    /// This master's certificate. With it everybody logs in, and agents are admitted; without it nobody does, and it listens on
    /// loopback alone.
    pub tls: Option<Tls>,
    /// By which is told whether a token still holds.
    pub clock: Clock,
    /// Of the master.
    pub master: master::Options,
    /// Of the services framework.
    pub services: services::Options,
}

impl Options {
    /// For a cluster on one machine, with its state in `dir`, reached at `address`.
    #[must_use]
    pub fn one_machine(dir: &Path, address: SocketAddr, http: reqwest::Client) -> Self {
        Self::new("up", dir, address.to_string(), http)
    }

    /// For a master of this cluster, with its state in `dir`, reached at `advertised` (`host:port`). `http` goes to agents.
    #[must_use]
    pub fn new(cluster: &str, dir: &Path, advertised: String, http: reqwest::Client) -> Self {
        Self {
            store: dir.join("store"),
            storage: store::Options::default(),
            artifacts: dir.join("artifacts"),
            master: master::Options::new(cluster, &advertised, http),
            services: services::Options::new(&advertised),
            advertised,
            tls: None,
            clock: Clock::default(),
        }
    }

    /// Tasks may have what is in these directories of agents' hosts; `links_only` where agents have no root.
    pub fn host_paths(&mut self, allowed: Vec<PathBuf>, links_only: bool) {
        self.services.host_paths = services::HostPaths { allowed, links_only };
    }
}

/// Why a master could not be started or went down.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory of artifacts.
    #[error("{}: cannot keep artifacts", path.display())]
    Artifacts {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The master.
    #[error("the master could not start")]
    Master(#[from] master::MasterError),
    /// The services framework.
    #[error("the services could not start")]
    Services(#[from] services::ServicesError),
    /// Users, tokens and admissions.
    #[error("what is known of users could not be read")]
    Access(#[from] access::AccessError),
    /// The certificate.
    #[error("TLS cannot be set up")]
    Tls(#[from] tls::TlsError),
    /// Without a certificate it listens on loopback alone.
    #[error(
        "{address} is reached by others, and without a certificate there is no login: give the master one, or let it listen on 127.0.0.1"
    )]
    Exposed {
        /// Where it was to listen.
        address: SocketAddr,
    },
}

/// All that stands on one leadership.
struct Reign {
    store: Arc<dyn Store>,
    master: Master,
    services: Services,
    /// Nothing once it has ended.
    master_ended: Option<JoinHandle<Result<(), master::MasterError>>>,
    services_ended: Option<JoinHandle<Result<(), services::ServicesError>>>,
    /// Where there is a login.
    access: Option<Access>,
    access_ended: Option<JoinHandle<Result<(), StoreError>>>,
}

/// Admissions, as the master asks for them.
#[derive(Debug)]
struct Admitted(Access);

impl master::Admissions for Admitted {
    fn admission(&self, name: &str) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let admission = self.0.admitted(name)?;
        Some(Box::pin(self.0.dismissed(&admission)))
    }
}

/// What requests need of it.
#[derive(Clone)]
pub(crate) struct Rooms {
    pub(crate) link: Router,
    pub(crate) master: Router,
    pub(crate) services: Router,
    pub(crate) of_master: Master,
    pub(crate) of_services: Services,
    /// Where there is a login.
    pub(crate) access: Option<Access>,
}

/// Why a reign is over.
enum Over {
    /// A part of it ended, as it does when the store fails it.
    Failed(String),
    /// A client asked the leader to step down.
    Abdicated,
}

impl Reign {
    async fn begin(options: &Options) -> Result<Reign, GatewayError> {
        let store: Arc<dyn Store> =
            Arc::new(EmbeddedStore::open(&options.store, options.storage.clone()).await?);
        match Reign::upon(Arc::clone(&store), options).await {
            Ok(reign) => Ok(reign),
            Err(error) => {
                // So that the next attempt may open it.
                let _ = store.close().await;
                Err(error)
            }
        }
    }

    async fn upon(store: Arc<dyn Store>, options: &Options) -> Result<Reign, GatewayError> {
        let leadership = store.campaign(&Candidate::new(&options.advertised)).await?;
        let snapshot = store.load(&Prefix::all()).await?;
        store::large::collect(store.as_ref(), &leadership, &snapshot).await?;
        let (access, access_ended) = match &options.tls {
            None => (None, None),
            Some(tls) => {
                let mut with = access::Options::new(tls.own().cluster());
                with.clock = options.clock.clone();
                let (access, ended) = Access::start(with, Arc::clone(&store), leadership.clone(), &snapshot)?;
                (Some(access), Some(ended))
            }
        };
        let mut of_master = options.master.clone();
        of_master.certificate.clone_from(&options.tls);
        if let Some(access) = &access {
            of_master.agents = master::Agents::Admitted(Arc::new(Admitted(access.clone())));
        }
        let (master, master_ended) =
            Master::start(of_master, Arc::clone(&store), leadership.clone(), &snapshot).await?;
        let started = Services::start(
            options.services.clone(),
            Arc::clone(&store),
            leadership,
            &snapshot,
            Arc::new(master.clone()),
        );
        match started {
            Ok((services, services_ended)) => Ok(Reign {
                store,
                master,
                services,
                master_ended: Some(master_ended),
                services_ended: Some(services_ended),
                access,
                access_ended,
            }),
            Err(error) => {
                master.stop().await;
                stop(Some(master_ended)).await;
                Err(error.into())
            }
        }
    }

    fn rooms(&self) -> Rooms {
        Rooms {
            link: self.master.link(),
            master: self.master.router(),
            services: self.services.router(),
            of_master: self.master.clone(),
            of_services: self.services.clone(),
            access: self.access.clone(),
        }
    }

    /// Until master or services end, which they do when the store fails them, or until a client wants another leader.
    async fn over(&mut self) -> Over {
        let abdicated = async {
            self.services.abdicated().await;
            // Time for the answer.
            tokio::time::sleep(BEFORE_ABDICATION).await;
        };
        tokio::select! {
            ended = over(&mut self.master_ended) => Over::Failed(format!("the master ended: {ended}")),
            ended = over(&mut self.services_ended) => Over::Failed(format!("the services ended: {ended}")),
            ended = over(&mut self.access_ended) => Over::Failed(format!("the record of users ended: {ended}")),
            () = abdicated => Over::Abdicated,
        }
    }

    async fn end(self) -> Result<(), StoreError> {
        // Both let go of the store before it is closed.
        self.services.stop().await;
        stop(self.services_ended).await;
        self.master.stop().await;
        stop(self.master_ended).await;
        if let Some(access) = &self.access {
            access.stop();
        }
        stop(self.access_ended).await;
        self.store.close().await
    }
}

/// Waits for a task that has not been seen to end; for ever for one that has.
async fn over<E: std::error::Error>(task: &mut Option<JoinHandle<Result<(), E>>>) -> String {
    let Some(handle) = task else { return std::future::pending().await };
    let ended = handle.await;
    *task = None;
    why(ended)
}

/// Waits for a task that was told to end, and ends it when it does not.
async fn stop<T>(task: Option<JoinHandle<T>>) {
    if let Some(mut task) = task
        && tokio::time::timeout(ENDED_WITHIN, &mut task).await.is_err()
    {
        task.abort();
        let _ = task.await;
    }
}

fn why<E: std::error::Error>(ended: Result<Result<(), E>, tokio::task::JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "without an error".to_owned(),
        Ok(Err(error)) => {
            let causes = std::iter::successors(error.source(), |cause| cause.source());
            causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
        }
        Err(panicked) => panicked.to_string(),
    }
}

/// A running master.
pub struct Gateway {
    address: SocketAddr,
    orders: mpsc::Sender<Order>,
    stop: watch::Sender<bool>,
    rooms: watch::Receiver<Option<Rooms>>,
    leading: JoinHandle<Result<(), StoreError>>,
    serving: JoinHandle<()>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("address", &self.address).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Order {
    Freeze(oneshot::Sender<()>),
    Stop,
}

impl Gateway {
    /// Takes the leadership, starts what stands on it, and answers requests on `listener`.
    ///
    /// # Errors
    /// When the store cannot be opened at the start: it is in use, damaged, newer, or its directory cannot be made.
    pub async fn start(listener: TcpListener, options: Options) -> Result<Gateway, GatewayError> {
        let address = listener.local_addr().map_err(|source| StoreError::Open {
            path: options.store.clone(),
            action: "tell the port's address",
            source: Arc::new(source),
        })?;
        let entry = match &options.tls {
            None => Entry::Plain,
            Some(tls) => Entry::Tls(tls.acceptor(tls::Clients::Any)?),
        };
        if !entry.allows(address) {
            return Err(GatewayError::Exposed { address });
        }
        let reign = Reign::begin(&options).await?;
        let artifacts = match Artifacts::open(options.artifacts.clone()).await {
            Ok(artifacts) => artifacts.router(),
            Err(source) => {
                let _ = reign.end().await;
                return Err(GatewayError::Artifacts { path: options.artifacts, source });
            }
        };
        let (rooms, seen) = watch::channel(Some(reign.rooms()));
        let (stop, stopped) = watch::channel(false);
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let leader = HeaderValue::from_str(&format!("{scheme}://{}", options.advertised)).ok();
        let door =
            Door::new(seen.clone(), artifacts, leader, options.tls.as_ref().map(|_| options.clock.clone()));
        let serving = tokio::spawn(serve(listener, entry, MAX_CONNECTIONS, stopped, move |request| {
            let door = door.clone();
            async move { door.answer(request).await }
        }));
        let (orders, ordered) = mpsc::channel(4);
        let leading = tokio::spawn(lead(reign, options, rooms, ordered));
        Ok(Gateway { address, orders, stop, rooms: seen, leading, serving })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until so many agents are registered and connected. For ever, when the master has ended.
    pub fn agents_registered(&self, wanted: usize) -> impl Future<Output = ()> + use<> {
        registered(self.rooms.clone(), wanted)
    }

    /// From now on no service is started, replaced or moved: the machine is about to go down, and what ends now is not to
    /// be made up for. Status updates are still taken.
    pub async fn freeze(&self) {
        let (done, frozen) = oneshot::channel();
        if self.orders.send(Order::Freeze(done)).await.is_ok() {
            let _ = frozen.await;
        }
    }

    /// Whether it works: its loops turn, or it stands for election.
    pub async fn is_alive(&self) -> bool {
        let master = self.rooms.borrow().as_ref().map(|rooms| rooms.of_master.clone());
        match master {
            // One whose loop has just ended is being replaced.
            Some(master) => master.is_alive().await || !self.leading.is_finished(),
            None => !self.leading.is_finished(),
        }
    }

    /// Ends it: answers what is under way, writes what is queued and releases the store.
    ///
    /// # Errors
    /// When the store could not close in order; nothing acknowledged is lost.
    pub async fn stop(self) -> Result<(), GatewayError> {
        self.stop.send_replace(true);
        let _ = self.orders.send(Order::Stop).await;
        let _ = self.serving.await;
        match self.leading.await {
            Ok(ended) => Ok(ended?),
            Err(_cancelled_or_panicked) => Ok(()),
        }
    }
}

async fn registered(mut rooms: watch::Receiver<Option<Rooms>>, wanted: usize) {
    loop {
        let master = rooms.borrow_and_update().as_ref().map(|rooms| rooms.of_master.clone());
        if let Some(master) = master {
            let active = |view: &Arc<master::view::View>| {
                view.agents.values().filter(|agent| agent.state == master::core::AgentState::Active).count()
                    >= wanted
            };
            if master.views().wait_for(active).await.is_ok() {
                return;
            }
        }
        if rooms.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Leads until told to stop, again and again.
async fn lead(
    mut reign: Reign,
    options: Options,
    rooms: watch::Sender<Option<Rooms>>,
    mut orders: mpsc::Receiver<Order>,
) -> Result<(), StoreError> {
    let mut frozen = false;
    loop {
        let order = tokio::select! {
            order = orders.recv() => order.unwrap_or(Order::Stop),
            over = reign.over() => {
                match over {
                    Over::Failed(why) => tracing::error!("{why}; starting again from the store"),
                    Over::Abdicated => tracing::info!("stepping down, and standing for election again"),
                }
                rooms.send_replace(None);
                if let Err(error) = reign.end().await {
                    tracing::error!(%error, "the store did not close in order");
                }
                match again(&options, &mut orders, &mut frozen).await {
                    Some(next) => reign = next,
                    None => return Ok(()),
                }
                if frozen {
                    reign.services.freeze().await;
                }
                rooms.send_replace(Some(reign.rooms()));
                continue;
            }
        };
        match order {
            Order::Freeze(done) => {
                frozen = true;
                reign.services.freeze().await;
                let _ = done.send(());
            }
            Order::Stop => return reign.end().await,
        }
    }
}

/// Opens the store again, for as long as it takes; nothing when told to stop.
async fn again(options: &Options, orders: &mut mpsc::Receiver<Order>, frozen: &mut bool) -> Option<Reign> {
    let mut pause = FIRST_RETRY;
    loop {
        let mut waiting = std::pin::pin!(tokio::time::sleep(pause));
        loop {
            tokio::select! {
                () = &mut waiting => break,
                order = orders.recv() => match order {
                    Some(Order::Freeze(done)) => {
                        *frozen = true;
                        let _ = done.send(());
                    }
                    Some(Order::Stop) | None => return None,
                },
            }
        }
        match Reign::begin(options).await {
            Ok(reign) => return Some(reign),
            Err(error) => tracing::error!(%error, "cannot lead; trying again"),
        }
        pause = (pause * 2).min(LAST_RETRY);
    }
}
