//! Standing for election for ever: campaign, reign, step down, campaign again. Losing the store ends a reign and never the
//! process (reliability.md, P9): everything that stood on it ends and is built again from what the store has, here or at the
//! master that wins next.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::server::{Entry, serve};
use axum::Router;
use store::{LeaderView, Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::artifacts::{Artifacts, Others};
use crate::door::Door;
use crate::options::{GatewayError, Options};
use crate::proxy::Proxy;
use crate::reign::{Over, Reign, Rooms, chain, close};
use crate::seat::{Past, Seat, Standing};

/// Each agent has one, and clients have theirs. More wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 65_536;
/// Between attempts to lead that failed.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// A reign that lasted so long was none that failed at once.
const LASTING: Duration = Duration::from_secs(10);
/// One who stepped down on request lets others win for so long.
const ASIDE: Duration = Duration::from_secs(2);

/// A running master.
pub struct Gateway {
    address: SocketAddr,
    orders: mpsc::Sender<Order>,
    stop: watch::Sender<bool>,
    seats: watch::Receiver<Seat<Rooms>>,
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
    /// Stands for election, and answers requests on `listener`: as the leader, or by what it knows of another one. The only master
    /// of a cluster leads when this returns; one of several listens, whoever leads.
    ///
    /// # Errors
    /// When it cannot listen there so, or artifacts cannot be kept. Of the only master also when it cannot lead: its store is in
    /// use, damaged, newer, or its directory cannot be made.
    pub async fn start(listener: TcpListener, options: Options) -> Result<Gateway, GatewayError> {
        let address = listener.local_addr().map_err(GatewayError::Address)?;
        let entry = match &options.tls {
            None => Entry::Plain,
            Some(tls) => Entry::Tls(tls.acceptor(tls::Clients::Any)?),
        };
        if !entry.allows(address) {
            return Err(GatewayError::Exposed { address });
        }
        let (seats, seen) = watch::channel(Seat::open("it starts"));
        let proxy = Proxy::new(&options, seen.clone())?;
        let others = options.masters.iter().filter(|one| **one != options.advertised);
        let others = Others::new(proxy.http.clone(), proxy.scheme, others.cloned().collect());
        let kept = match Artifacts::open(options.artifacts.clone(), others).await {
            Ok(kept) => kept,
            Err(source) => return Err(GatewayError::Artifacts { path: options.artifacts, source }),
        };
        let artifacts = kept.clone().router();
        let first = if options.store.is_shared() {
            None
        } else {
            let reign = only(&options, &artifacts).await?;
            seats.send_replace(Seat::Leads(reign.rooms()));
            Some(reign)
        };
        let (stop, stopped) = watch::channel(false);
        let door = Door::new(seen.clone(), kept, proxy, &options);
        let serving = tokio::spawn(serve(listener, entry, MAX_CONNECTIONS, stopped, move |request| {
            let door = door.clone();
            async move { door.answer(request).await }
        }));
        let (orders, ordered) = mpsc::channel(4);
        let candidate = Stands { options, artifacts, seats, orders: ordered, frozen: false, aside: false };
        let leading = tokio::spawn(candidate.lead(first));
        Ok(Gateway { address, orders, stop, seats: seen, leading, serving })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it stands: whether it leads, or who does.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.seats.borrow().standing()
    }

    /// Waits until it stands otherwise than `known`; how, then. For ever, when it has ended.
    pub fn stands_otherwise(&self, known: Standing) -> impl Future<Output = Standing> + Send + use<> {
        let mut seats = self.seats.clone();
        async move {
            let otherwise = seats.wait_for(|seat| seat.standing() != known).await;
            match otherwise.map(|seat| seat.standing()) {
                Ok(standing) => standing,
                Err(_ended) => std::future::pending().await,
            }
        }
    }

    /// Waits until so many agents are registered here and connected. For ever, when the master has ended.
    pub fn agents_registered(&self, wanted: usize) -> impl Future<Output = ()> + use<> {
        registered(self.seats.clone(), wanted)
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
        let master = match &*self.seats.borrow() {
            Seat::Leads(rooms) => Some(rooms.of_master.clone()),
            Seat::Follows(_) | Seat::Open { .. } => None,
        };
        match master {
            // One whose loop has just ended is being replaced.
            Some(master) => master.is_alive().await || !self.leading.is_finished(),
            None => !self.leading.is_finished(),
        }
    }

    /// Ends it: answers what is under way, writes what is queued, gives the leadership to whoever waits for it, and releases the
    /// store.
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

async fn registered(mut seats: watch::Receiver<Seat<Rooms>>, wanted: usize) {
    loop {
        let master = match &*seats.borrow_and_update() {
            Seat::Leads(rooms) => Some(rooms.of_master.clone()),
            Seat::Follows(_) | Seat::Open { .. } => None,
        };
        if let Some(master) = master {
            let active = |view: &Arc<master::view::View>| {
                view.agents.values().filter(|agent| agent.state == master::core::AgentState::Active).count()
                    >= wanted
            };
            if master.views().wait_for(active).await.is_ok() {
                return;
            }
        }
        if seats.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// The reign of the only master of a cluster, which nobody can keep from leading but its store.
async fn only(options: &Options, artifacts: &Router) -> Result<Reign, GatewayError> {
    let store = options.store.open().await?;
    let begun = Reign::begin(Arc::clone(&store), options, artifacts, || {}).await;
    if begun.is_err() {
        // So that the next attempt may open it.
        let _ = close(store.as_ref()).await;
    }
    begun
}

/// The task that stands for election.
struct Stands {
    options: Options,
    artifacts: Router,
    seats: watch::Sender<Seat<Rooms>>,
    orders: mpsc::Receiver<Order>,
    frozen: bool,
    /// It stepped down on request, and others come first.
    aside: bool,
}

impl Stands {
    /// Leads whenever it may, until it is told to stop.
    async fn lead(mut self, mut first: Option<Reign>) -> Result<(), StoreError> {
        let mut pause = FIRST_RETRY;
        loop {
            let elected = match first.take() {
                Some(reign) => Some(reign),
                None => self.elected(&mut pause).await,
            };
            let Some(reign) = elected else { return Ok(()) };
            let began = Instant::now();
            if let Some(ended) = self.reign(reign).await {
                return ended;
            }
            if began.elapsed() >= LASTING {
                pause = FIRST_RETRY;
            }
            if self.waits(pause).await.is_none() {
                return Ok(());
            }
        }
    }

    /// One reign, to its end; how that went, when this master is to end with it.
    async fn reign(&mut self, mut reign: Reign) -> Option<Result<(), StoreError>> {
        let shared = self.options.store.is_shared();
        if self.frozen {
            reign.freeze().await;
        }
        tracing::info!(epoch = reign.epoch(), "this master leads");
        self.seats.send_replace(Seat::Leads(reign.rooms()));
        let over = loop {
            let order = tokio::select! {
                order = self.orders.recv() => order.unwrap_or(Order::Stop),
                over = reign.over() => break over,
            };
            match order {
                Order::Freeze(done) => {
                    self.frozen = true;
                    reign.freeze().await;
                    let _ = done.send(());
                }
                Order::Stop => {
                    self.step_down(&reign, "it is ending");
                    return Some(reign.end(shared).await);
                }
            }
        };
        match &over {
            Over::Abdicated => tracing::info!("stepping down: {over}"),
            over => tracing::error!("stepping down: {over}"),
        }
        self.aside = shared && matches!(over, Over::Abdicated);
        self.step_down(&reign, &over.to_string());
        // Whoever has won meanwhile is known at once.
        let watching = watch_leader(reign.leaders(), &self.seats, &self.options.advertised);
        let ended = tokio::select! {
            ended = reign.end(shared) => ended,
            never = watching => match never {},
        };
        if let Err(error) = ended {
            tracing::error!(error = chain(&error), "the store did not close in order");
        }
        None
    }

    fn step_down(&self, reign: &Reign, why: &str) {
        let past = Past { rooms: Rooms { lease: None, ..reign.rooms() }, since: reign.over_since() };
        self.seats.send_modify(|seat| seat.step_down(past, why));
    }

    /// Waits until this master is elected, for as long as it takes; nothing when told to stop.
    async fn elected(&mut self, pause: &mut Duration) -> Option<Reign> {
        loop {
            let (options, artifacts) = (self.options.clone(), self.artifacts.clone());
            let (seats, aside) = (self.seats.clone(), self.aside);
            let error = match self.unless_stopped(options.store.open()).await? {
                Ok(store) => {
                    let stood =
                        self.unless_stopped(stand(&store, (&options, &artifacts), &seats, aside)).await;
                    if let Some(Ok(reign)) = stood {
                        self.aside = false;
                        return Some(reign);
                    }
                    // So that the next attempt may open it, or nobody waits for one who is gone.
                    let _ = close(store.as_ref()).await;
                    stood?.err().map(|error| chain(&error)).unwrap_or_default()
                }
                Err(error) => chain(&error),
            };
            tracing::error!(error, "cannot stand for election; trying again");
            self.seats.send_if_modified(|seat| seat.blame(&error));
            self.waits(*pause).await?;
            *pause = (*pause * 2).min(LAST_RETRY);
        }
    }

    async fn waits(&mut self, pause: Duration) -> Option<()> {
        self.unless_stopped(tokio::time::sleep(pause)).await
    }

    /// Does this; nothing when told to stop meanwhile.
    async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                order = self.orders.recv() => match order {
                    Some(Order::Freeze(done)) => {
                        self.frozen = true;
                        let _ = done.send(());
                    }
                    Some(Order::Stop) | None => return None,
                },
            }
        }
    }
}

/// One candidacy, until it is won or fails.
async fn stand(
    store: &Arc<dyn Store>,
    (options, artifacts): (&Options, &Router),
    seats: &watch::Sender<Seat<Rooms>>,
    aside: bool,
) -> Result<Reign, GatewayError> {
    let own = options.advertised.as_str();
    let won = || {
        seats.send_if_modified(|seat| seat.observe(&LeaderView::Vacant, own));
    };
    let begin = async {
        if aside {
            others_first(store.observe_leader(), own).await;
        }
        Reign::begin(Arc::clone(store), options, artifacts, won).await
    };
    let watching = watch_leader(store.observe_leader(), seats, own);
    tokio::select! {
        begun = begin => begun,
        never = watching => match never {},
    }
}

/// Takes note of who leads, as long as it is polled.
async fn watch_leader(
    mut views: watch::Receiver<LeaderView>,
    seats: &watch::Sender<Seat<Rooms>>,
    own: &str,
) -> std::convert::Infallible {
    loop {
        let view = views.borrow_and_update().clone();
        let news = seats.send_if_modified(|seat| seat.observe(&view, own));
        if news {
            tracing::info!("{}", seats.borrow().standing());
        }
        if views.changed().await.is_err() {
            // What else the end of the store means shows elsewhere.
            return std::future::pending().await;
        }
    }
}

/// Waits until somebody else leads, or had the time to.
async fn others_first(mut views: watch::Receiver<LeaderView>, own: &str) {
    let other = |view: &LeaderView| matches!(view, LeaderView::Led(leader) if leader.name != own);
    // Nobody, or the store's end: then this one stands as well.
    let _ = tokio::time::timeout(ASIDE, views.wait_for(other)).await;
}
