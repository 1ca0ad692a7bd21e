//! The shell around [`crate::core`]: one task owns the state; connections, channels and the store's answers reach it
//! through one bounded queue, and it never waits for any of them.

mod channel;
mod link;
mod run;
mod table;

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::marathon::{Timestamp, Uuid};
use api::{Moment, Secret};
use store::{Batch, Condition, Coordinator, Leadership, Snapshot, Store};
use tls::Tls;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use link::{from_wire, registration, to_wire};

use crate::MasterError;
use crate::core::{Config, State, master_id, master_id_key};
use crate::metrics::Gauges;
use crate::view::View;
use run::{Loop, Post};

/// How a master is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster's name, for people.
    pub cluster: String,
    /// Where clients and agents reach this master: `host:port`.
    pub address: String,
    /// This program's version.
    pub version: String,
    /// For files of agents. Where they have certificates it tells them (`tls_info`).
    pub http: reqwest::Client,
    /// Who may be an agent.
    pub agents: Agents,
    /// Has the values of secrets; without it, no launch that needs one is sent.
    pub secrets: Option<Arc<dyn Secrets>>,
    /// Its certificate, of which is told when it ends.
    pub certificate: Option<Tls>,
    /// What the decisions depend on.
    pub config: Config,
    /// An agent that dialled must register within.
    pub register_within: Duration,
    /// The shortest time between two offer cycles.
    pub cycle_gap: Duration,
    /// What waits to be decided, at most; whoever comes then waits.
    pub input_queue: usize,
    /// What waits to be sent to one agent, at most; beyond that its connection ends. More than the tasks it can have.
    pub agent_queue: usize,
    /// What waits to be heard by one framework, at most; beyond that its subscription ends.
    pub framework_queue: usize,
    /// Until an agent answers a request for a file, and from one piece of it to the next.
    pub files_timeout: Duration,
    /// Requests for files at once; beyond that they are refused.
    pub files_at_once: usize,
}

impl Options {
    /// Mesos' times, and room for ten thousand tasks per agent.
    #[must_use]
    pub fn new(cluster: impl Into<String>, address: impl Into<String>, http: reqwest::Client) -> Self {
        Self {
            cluster: cluster.into(),
            address: address.into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            http,
            agents: Agents::Anybody,
            secrets: None,
            certificate: None,
            config: Config::default(),
            register_within: Duration::from_secs(10),
            cycle_gap: Duration::from_millis(10),
            input_queue: 4096,
            agent_queue: 16_384,
            framework_queue: 262_144,
            files_timeout: Duration::from_secs(15),
            files_at_once: 64,
        }
    }
}

/// Who may be an agent.
#[derive(Clone, Debug)]
pub enum Agents {
    /// Whoever can reach this master, in the clear: a cluster of one machine.
    Anybody,
    /// Who has a certificate by the name it registers with, as long as it is admitted; and its files are read over TLS.
    Admitted(Arc<dyn Admissions>),
}

/// Tells which agents are admitted.
pub trait Admissions: fmt::Debug + Send + Sync {
    /// The admission of the agent of this name: ends when it is taken back, also when another is given at once. Nothing for an
    /// agent that has none.
    fn admission(&self, name: &str) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>>;
}

/// Has the values of secrets, for launches.
pub trait Secrets: fmt::Debug + Send + Sync {
    /// The value of the secret at this path.
    ///
    /// # Errors
    /// Why there is none, in a sentence that names the path.
    fn reveal(&self, path: &str) -> Result<Secret, String>;
}

/// A running master, for those who read, subscribe and connect. Cheap to clone.
#[derive(Clone)]
pub struct Master(Arc<Inner>);

struct Inner {
    id: String,
    epoch: u64,
    started: Timestamp,
    options: Options,
    posts: mpsc::Sender<Post>,
    view: watch::Receiver<Arc<View>>,
    gauges: Gauges,
    numbers: AtomicU64,
    files: Arc<Semaphore>,
    /// Only to be looked at; it ends with the leadership, whoever still reads.
    store: Weak<dyn Store>,
}

impl fmt::Debug for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Master").field("id", &self.0.id).field("epoch", &self.0.epoch).finish()
    }
}

/// The clock as decisions see it. It stands still while the process does: a master that was stopped, or starved, must not
/// take its own silence for that of its agents.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    /// Of the last look.
    last: Duration,
    /// Spent standing still.
    lost: Duration,
}

/// The loop looks at least once a second; after so long without a look it did not run.
const STALL: Duration = Duration::from_secs(5);

impl Clock {
    fn new() -> Self {
        Self { origin: Instant::now(), last: Duration::ZERO, lost: Duration::ZERO }
    }

    pub(crate) fn now(&mut self) -> Moment {
        Moment { elapsed: self.look(self.origin.elapsed()), wall: wall() }
    }

    fn look(&mut self, real: Duration) -> Duration {
        let gap = real.saturating_sub(self.last);
        if gap > STALL {
            tracing::warn!("the master stood still for {} s", gap.as_secs());
            self.lost += gap;
        }
        self.last = real;
        real.saturating_sub(self.lost)
    }
}

fn wall() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Master {
    /// Starts from what the store holds. `snapshot` covers `master/`, `agents/` and `frameworks/`, loaded under this
    /// leadership. The handle answers when the master has ended: with `Ok` after [`Master::stop`], or with what ended it.
    ///
    /// # Errors
    /// When what is stored is not readable, or the master's id cannot be made.
    pub async fn start(
        options: Options,
        store: Arc<dyn Store>,
        leadership: Leadership,
        snapshot: &Snapshot,
    ) -> Result<(Self, JoinHandle<Result<(), MasterError>>), MasterError> {
        let id = match master_id(snapshot)? {
            Some(id) => id,
            None => make_id(&*store, &leadership).await?,
        };
        let mut clock = Clock::new();
        let now = clock.now();
        let mut config = options.config.clone();
        config.proved_names |= matches!(options.agents, Agents::Admitted(_));
        let state = State::load(id.clone(), snapshot, config, now.elapsed)?;
        let (posts, inbox) = mpsc::channel(options.input_queue);
        let (publish, view) = watch::channel(Arc::new(View::of(&state, now)));
        let gauges = Gauges::default();
        gauges.fetch_ms.set((clock.now().elapsed - now.elapsed).as_secs_f64() * 1000.0);
        let inner = Inner {
            id,
            epoch: leadership.epoch().get(),
            started: now.wall,
            posts,
            view,
            gauges: gauges.clone(),
            numbers: AtomicU64::new(1),
            files: Arc::new(Semaphore::new(options.files_at_once)),
            options: options.clone(),
            store: Arc::downgrade(&store),
        };
        let gap = options.cycle_gap;
        let mut turns = Loop::new(state, clock, gap, store, leadership, publish, gauges);
        turns.secrets = options.secrets;
        Ok((Self(Arc::new(inner)), tokio::spawn(turns.run(inbox))))
    }

    /// The master's id: the cluster's, the same after each start.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The epoch of its leadership.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// When it started.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.0.started
    }

    /// The processes that keep the state, as they are now.
    pub(crate) async fn coordinators(&self) -> Vec<Coordinator> {
        match self.0.store.upgrade() {
            Some(store) => store.coordinators().await,
            None => Vec::new(),
        }
    }

    /// How it is.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// The newest moment of the state.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.0.view.borrow().clone()
    }

    /// Every later moment of the state; several may pass between two looks.
    #[must_use]
    pub fn views(&self) -> watch::Receiver<Arc<View>> {
        self.0.view.clone()
    }

    /// Ends the master: connections and subscriptions are over, tasks run on. The handle of [`Master::start`] says when.
    pub async fn stop(&self) {
        // One that has ended need not be told.
        let _ = self.0.posts.send(Post::Stop).await;
    }

    /// Whether its loop turns: answers when it has come to the question, and that it does not when it has ended.
    pub async fn is_alive(&self) -> bool {
        let (answer, heard) = oneshot::channel();
        self.0.posts.send(Post::Alive(answer)).await.is_ok() && heard.await.is_ok()
    }

    /// Whether its loop still decides.
    pub(crate) fn leads(&self) -> bool {
        !self.0.posts.is_closed()
    }

    pub(crate) fn gauges(&self) -> &Gauges {
        &self.0.gauges
    }

    pub(crate) fn waiting(&self) -> usize {
        self.0.posts.max_capacity() - self.0.posts.capacity()
    }

    pub(crate) fn files(&self) -> &Arc<Semaphore> {
        &self.0.files
    }

    fn number(&self) -> u64 {
        self.0.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn posts(&self) -> &mpsc::Sender<Post> {
        &self.0.posts
    }
}

/// Makes the id that the cluster keeps: agents' and frameworks' ids begin with it.
async fn make_id(store: &dyn Store, leadership: &Leadership) -> Result<String, MasterError> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(|error| MasterError::Random(error.to_string()))?;
    let id = Uuid::from_random(u128::from_be_bytes(bits)).to_string();
    let key = master_id_key()?;
    let batch = Batch::new().require(key.clone(), Condition::Absent).put(key, id.as_bytes());
    store.commit(leadership, batch).await?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stands_still_while_the_process_does_and_never_goes_back() {
        let mut clock = Clock::new();
        let looks = [1, 2, 7, 87, 88, 94].map(|real| clock.look(Duration::from_secs(real)).as_secs());
        assert_eq!(looks, [1, 2, 7, 7, 8, 8]);
    }
}
