//! The shell: one task owns the state, everyone else reads views of it.

mod apps;
mod dns;
mod events;
mod figures;
mod groups;
mod http;
mod offers;
mod others;
mod reply;
mod run;
mod view;

#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::Moment;
use api::marathon::{ApiError, AppId, Timestamp};
use api::mesos::{FrameworkInfo, Subscribe};
use scheduler::Role;
use store::{Leadership, Snapshot, Store, StoreError};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::core::{Answer, Ask, Caller, Config, HostPaths, LoadError, Request, State};
use events::Hub;
pub use figures::Figure;
pub use others::ping;
pub use run::batches;
pub use view::View;

/// How long a client waits for a change to be stored.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many requests may wait for the loop.
const INBOX: usize = 256;

/// What services are set up with.
#[derive(Clone, Debug)]
pub struct Options {
    /// `host:port` that the leading master is reached at.
    pub leader: String,
    /// The name as a framework.
    pub name: String,
    /// Whose tasks are, unless an app says it.
    pub user: String,
    /// The role of apps that name none.
    pub role: Role,
    /// Further roles that offers are asked for in.
    pub more_roles: Vec<Role>,
    /// Where service ports are given from.
    pub service_ports: RangeInclusive<u16>,
    /// Whether other masters stand by.
    pub high_availability: bool,
    /// What was built, for `/v2/info`.
    pub build: String,
    /// How many deployments may run at once.
    pub max_deployments: usize,
    /// How many versions of an app are kept.
    pub max_versions: usize,
    /// The longest app definition, in bytes of its JSON.
    pub max_app_bytes: usize,
    /// What of agents' hosts tasks may have.
    pub host_paths: HostPaths,
    /// The longest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// How many streams of events may be open.
    pub max_event_streams: usize,
    /// How many events a reader may be behind before it is cut off. The reference has 1024, fewer than one large deployment says at
    /// once here: readers that keep up would be cut off, too.
    pub max_events_behind: usize,
    /// How often time is looked at.
    pub tick: Duration,
}

impl Options {
    /// The reference's defaults for a master that is reached at `leader` (`host:port`).
    pub fn new(leader: impl Into<String>) -> Options {
        Options {
            leader: leader.into(),
            name: "marathon".to_owned(),
            user: "root".to_owned(),
            role: Role::star(),
            more_roles: Vec::new(),
            service_ports: 10_000..=20_000,
            high_availability: false,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            max_deployments: 100,
            max_versions: 50,
            max_app_bytes: 256 * 1024,
            host_paths: HostPaths::default(),
            max_body_bytes: 8 * 1024 * 1024,
            max_event_streams: 1_000,
            max_events_behind: 16_384,
            tick: Duration::from_millis(500),
        }
    }

    fn config(&self) -> Config {
        let mut roles = vec![self.role.clone()];
        roles.extend(self.more_roles.iter().cloned());
        roles.dedup();
        Config {
            role: self.role.clone(),
            roles,
            service_ports: self.service_ports.clone(),
            max_deployments: self.max_deployments,
            max_versions: self.max_versions,
            max_app_bytes: self.max_app_bytes,
            host_paths: self.host_paths.clone(),
        }
    }

    fn framework(&self, state: &State) -> FrameworkInfo {
        FrameworkInfo {
            id: state.framework().cloned(),
            name: self.name.clone(),
            user: self.user.clone(),
            roles: self.config().roles,
        }
    }
}

/// Why services could not start, or had to end. The caller loads a new snapshot and starts them again.
#[derive(Debug, Error)]
pub enum ServicesError {
    /// A stored record cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A commit was not made. What was decided since the last one counts for nothing.
    #[error("services could not store a change and have ended; start them again from what is stored")]
    Store(#[from] StoreError),
    /// The system gave no random bits.
    #[error("no random bits could be drawn: {0}")]
    Random(String),
}

/// The way to running services. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    inbox: mpsc::Sender<Message>,
    view: watch::Receiver<Arc<View>>,
    hub: Hub,
    options: Arc<Options>,
    clock: Clock,
    /// Whether a client asked the leader to step down.
    abdicated: Arc<watch::Sender<bool>>,
}

/// What the loop is sent.
enum Message {
    Ask { request: Request, force: bool, caller: Caller, answer: oneshot::Sender<Result<Answer, ApiError>> },
    Freeze(oneshot::Sender<()>),
    Stop,
}

/// The time since the start, and the date.
#[derive(Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn now(self) -> Moment {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        Moment { elapsed: self.0.elapsed(), wall: Timestamp::from_millis(millis) }
    }
}

impl Services {
    /// Starts services as the leader: from what `snapshot` holds, as a framework of `master`. The handle ends with `Ok`
    /// after [`Services::stop`] or when the master ends, and with an error when a change could not be stored.
    ///
    /// # Errors
    /// When a stored record cannot be read.
    pub fn start(
        options: Options,
        store: Arc<dyn Store>,
        leadership: Leadership,
        snapshot: &Snapshot,
        master: Arc<dyn Subscribe>,
    ) -> Result<(Services, JoinHandle<Result<(), ServicesError>>), ServicesError> {
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).map_err(|error| ServicesError::Random(error.to_string()))?;
        let mut state = State::load(snapshot, options.config(), u128::from_le_bytes(seed))?;
        let clock = Clock(Instant::now());
        let mut first = View::default();
        first.update(&mut state);
        let (views, view) = watch::channel(Arc::new(first));
        let (inbox, messages) = mpsc::channel(INBOX);
        let hub = Hub::new(options.max_event_streams, options.max_events_behind);
        let options = Arc::new(options);
        let abdicated = Arc::new(watch::channel(false).0);
        let services = Services { inbox, view, hub: hub.clone(), options: options.clone(), clock, abdicated };
        let owner = run::Owner::new(state, options, store, leadership, master, views, hub, clock);
        Ok((services, tokio::spawn(owner.run(messages))))
    }

    /// Launches and kills nothing from now on; what the master says is still recorded and acknowledged. For an orderly
    /// end of the whole cluster, when agents end their tasks and nobody is to replace them. Returns when it counts.
    pub async fn freeze(&self) {
        let (done, frozen) = oneshot::channel();
        if self.inbox.send(Message::Freeze(done)).await.is_ok() {
            let _ended_meanwhile = frozen.await;
        }
    }

    /// Ends the services; tasks go on. The handle of [`Services::start`] tells when.
    pub async fn stop(&self) {
        let _ended_already = self.inbox.send(Message::Stop).await;
    }

    /// Waits until a client asks the leader to step down (`DELETE /v2/leader`). Who leads ends it then; nothing here does.
    pub async fn abdicated(&self) {
        let mut abdicated = self.abdicated.subscribe();
        // The sender lives as long as these services do.
        let _asked = abdicated.wait_for(|asked| *asked).await;
    }

    /// Figures about services, as they are now.
    #[must_use]
    pub fn figures(&self) -> Vec<Figure> {
        figures::of(&self.view(), self.hub.count(), self.clock.now())
    }

    /// Marathon v2 REST below `/v2` and `/ping`.
    pub fn router(&self) -> axum::Router {
        http::router(self.clone())
    }

    /// Has something changed, and waits until that is stored.
    ///
    /// # Errors
    /// What the interface refuses (§2); `Unavailable` when it was not stored in time.
    pub async fn ask(&self, request: Request, force: bool, caller: Caller) -> Result<Answer, ApiError> {
        let (answer, answered) = oneshot::channel();
        let message = Message::Ask { request, force, caller, answer };
        let late = || ApiError::Unavailable("The services did not answer in time. Try again.".to_owned());
        let asking = async {
            self.inbox.send(message).await.ok()?;
            answered.await.ok()
        };
        tokio::time::timeout(PATIENCE, asking).await.ok().flatten().ok_or_else(late)?
    }

    /// Why instances of an app are not launched, in one sentence; `None` when none waits.
    pub fn why_waiting(&self, app: &AppId) -> Option<String> {
        Some(self.view().apps.get(app)?.queued.as_ref()?.why.clone())
    }

    /// What readers see, and each later moment of it; several may pass between two looks. It ends with the services.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Whether the loop still decides. What is read after that is what was known last.
    fn leads(&self) -> bool {
        !self.inbox.is_closed()
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").field("leader", &self.options.leader).finish_non_exhaustive()
    }
}

/// A request on its way into the core.
fn ask_of(number: u64, request: Request, force: bool, caller: Caller) -> Box<Ask> {
    Box::new(Ask { number, request, force, caller })
}
