//! Many simulated agents: each has a connection of its own, as real ones have, and a task that carries its messages.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::link::MAX_MESSAGE_BYTES;
use api::link::wire::{self, link_client::LinkClient};
use api::marathon::Timestamp;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use crate::Result;
use crate::agent::{Agent, Behaviour, Now};

/// As the real agent's.
const CONNECT: Duration = Duration::from_secs(30);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const OUTBOX: usize = 4096;
/// So many dial at once: a burst of ten thousand would overflow the kernel's queue.
const DIALLING: usize = 64;

/// What a fleet has come to.
#[derive(Debug, Default)]
struct Count {
    registered: AtomicUsize,
    tasks: AtomicUsize,
    lost: AtomicUsize,
}

/// Agents that are connected. They end with it.
pub struct Fleet {
    count: Arc<Count>,
    failure: watch::Receiver<Option<String>>,
    stop: watch::Sender<bool>,
    runtime: Option<Runtime>,
    agents: usize,
}

impl Fleet {
    /// Starts so many agents, on a thread of their own called `fleet`. They dial `master`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(master: SocketAddr, agents: usize, behaviour: &Behaviour) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("fleet")
            .enable_all()
            .build()?;
        let endpoint = Endpoint::from_shared(format!("http://{master}"))?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE * 3)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        let (failed, failure) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let (count, dialling) = (Arc::new(Count::default()), Arc::new(Semaphore::new(DIALLING)));
        let origin = Instant::now();
        for number in 0..agents {
            let agent = Agent::new(number, behaviour.clone());
            let (endpoint, dialling) = (endpoint.clone(), dialling.clone());
            let (count, failed, mut stopped) = (count.clone(), failed.clone(), stopped.clone());
            runtime.spawn(async move {
                let living = live(agent, endpoint, dialling, count.clone(), origin);
                let ended = tokio::select! {
                    ended = living => ended,
                    _ = stopped.wait_for(|stopped| *stopped) => return,
                };
                let why =
                    ended.err().map_or_else(|| "the master hung up".to_owned(), |error| error.to_string());
                count.lost.fetch_add(1, Ordering::Relaxed);
                failed.send_replace(Some(format!("agent {number}: {why}")));
            });
        }
        Ok(Self { count, failure, stop, runtime: Some(runtime), agents })
    }

    /// How many there are.
    #[must_use]
    pub fn agents(&self) -> usize {
        self.agents
    }

    /// How many were admitted.
    #[must_use]
    pub fn registered(&self) -> usize {
        self.count.registered.load(Ordering::Relaxed)
    }

    /// How many tasks they have whose end is not acknowledged.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.count.tasks.load(Ordering::Relaxed)
    }

    /// An error when an agent has lost its link: then figures say nothing.
    ///
    /// # Errors
    /// Says which agent, and why.
    pub fn check(&self) -> Result<()> {
        match &*self.failure.borrow() {
            Some(why) => {
                Err(format!("{} agents lost their link; {why}", self.count.lost.load(Ordering::Relaxed))
                    .into())
            }
            None => Ok(()),
        }
    }

    /// Hangs up. The master's side may go on.
    pub fn stop(mut self) {
        self.hang_up();
    }

    fn hang_up(&mut self) {
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.hang_up();
    }
}

fn now(origin: Instant) -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall = Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    Now { elapsed: origin.elapsed(), wall }
}

/// One agent, until its link is over.
async fn live(
    mut agent: Agent,
    endpoint: Endpoint,
    dialling: Arc<Semaphore>,
    count: Arc<Count>,
    origin: Instant,
) -> Result<()> {
    let permit = dialling.acquire_owned().await?;
    let channel = endpoint.connect().await?;
    let mut client = LinkClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let (sender, messages) = mpsc::channel::<wire::AgentMessage>(OUTBOX);
    sender.send(agent.register()).await?;
    let mut stream = timeout(CONNECT, client.connect(ReceiverStream::new(messages))).await??.into_inner();
    let mut permit = Some(permit);
    let mut out = Vec::new();
    let mut tasks = 0;
    loop {
        let due = agent.next().map(|at| origin + at);
        tokio::select! {
            message = stream.message() => match message? {
                Some(message) => agent.heard(message, now(origin), &mut out),
                None => return Ok(()),
            },
            () = sleep_until(due.unwrap_or(origin)), if due.is_some() => agent.tick(now(origin), &mut out),
        }
        if let Some(why) = agent.refused() {
            return Err(format!("the master refuses it: {why}").into());
        }
        if agent.is_registered() && permit.take().is_some() {
            count.registered.fetch_add(1, Ordering::Relaxed);
        }
        for message in out.drain(..) {
            sender.send(message).await?;
        }
        let (before, after) = (std::mem::replace(&mut tasks, agent.tasks()), agent.tasks());
        count.tasks.fetch_add(after, Ordering::Relaxed);
        count.tasks.fetch_sub(before, Ordering::Relaxed);
    }
}
