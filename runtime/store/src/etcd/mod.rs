//! The store of a cluster with several masters, in etcd.
//!
//! ```text
//!  tasks ──► bounded queue ──► writer: one guarded transaction with all that waits and fits ──► an answer to each
//!  loads ──► pages at one revision
//!            renewals of the lease while this store leads; who leads is watched, and read again on a timer
//! ```
//!
//! Nothing here needs to be opened again after etcd was away: what cannot be done is refused, and done when it can be.

#[cfg(feature = "failpoints")]
mod hook;
mod layout;
mod load;
mod members;
mod merge;
mod observe;
mod renew;
mod shared;
mod writer;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio::sync::{oneshot, watch};

#[cfg(feature = "failpoints")]
pub use self::hook::{EtcdHook, Fate, Held};

use self::layout::Layout;
use self::members::Members;
use self::shared::Shared;
use self::writer::{Request, Writer};
use crate::queue::{self, Queue};
use crate::{
    Answer, Batch, Candidate, ClusterVersion, Coordinator, LeaderView, Leadership, Made, Prefix, Snapshot,
    Stamp, Store, StoreError,
};

/// The shortest lease that etcd gives.
const SHORTEST_LEASE: Duration = Duration::from_secs(2);

/// Where an etcd cluster is, and how to use it.
#[derive(Debug, Clone)]
pub struct EtcdOptions {
    /// Each member's address for clients, such as `https://10.0.0.1:2379`; `http` where there is no [`EtcdTls`].
    pub endpoints: Vec<String>,
    /// `None` speaks in the clear.
    pub tls: Option<EtcdTls>,
    /// Before every key, with a slash at its end; at most 64 bytes.
    pub prefix: String,
    /// How long a leader that went silent keeps the others from being elected; whole seconds, at least 2.
    pub lease: Duration,
    /// What this binary is: a newer store is refused.
    pub version: ClusterVersion,
    /// How long a connection may take.
    pub connect: Duration,
    /// How long one member may take for one answer, before another is asked.
    pub request: Duration,
    /// How long all members together are asked, before a caller is told that etcd does not answer. A leader's commits are
    /// sent as long as its lease is sure to live.
    pub patience: Duration,
    /// Sees messages, and may lose them.
    #[cfg(feature = "failpoints")]
    pub hook: Option<Arc<dyn EtcdHook>>,
}

/// A client's part of mutual TLS. All are PEM.
#[derive(Debug, Clone)]
pub struct EtcdTls {
    /// Who signed the members' certificates.
    pub ca: String,
    /// This client's certificate.
    pub certificate: String,
    /// Its key.
    pub key: SecretString,
}

impl EtcdOptions {
    /// With what is usual for all but the place.
    pub fn new(endpoints: Vec<String>, tls: Option<EtcdTls>) -> Self {
        Self {
            endpoints,
            tls,
            prefix: "clusterctl/".to_owned(),
            lease: Duration::from_secs(10),
            version: ClusterVersion::OWN,
            connect: Duration::from_secs(1),
            request: Duration::from_secs(2),
            patience: Duration::from_secs(5),
            #[cfg(feature = "failpoints")]
            hook: None,
        }
    }

    /// How often who leads is read again.
    fn poll(&self) -> Duration {
        self.lease / 2
    }
}

/// One master's store in etcd: one candidate.
///
/// A store that is merely dropped carries out what was queued and gives its leadership up, some time later.
pub struct EtcdStore {
    shared: Arc<Shared>,
    queue: Queue<Request>,
}

impl EtcdStore {
    /// Makes the store. Nothing is asked of etcd before this returns, and it may be away: who leads is unknown then.
    ///
    /// # Errors
    /// `Endpoint` when an address, a certificate or the prefix cannot be used.
    pub async fn connect(mut options: EtcdOptions) -> Result<Self, StoreError> {
        let seconds = options.lease.max(SHORTEST_LEASE).as_millis().div_ceil(1000);
        options.lease = Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX));
        let layout = Layout::new(&options.prefix)?;
        let members = Members::new(&options).await?;
        let shared = Arc::new(Shared::new(members, layout, options));
        let (queue, requests) = queue::new();
        tokio::spawn(Writer::new(shared.clone(), requests).run());
        tokio::spawn(observe::observe(Arc::downgrade(&shared)));
        Ok(Self { shared, queue })
    }

    /// Queues a request.
    async fn send<T>(
        &self,
        bytes: usize,
        request: impl FnOnce(writer::Reply<T>) -> Request,
    ) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(bytes, request(answer)).await?;
        Ok(answered)
    }

    async fn commit_each(&self, leadership: &Leadership, batches: Vec<Batch>) -> (usize, Option<StoreError>) {
        let mut queued = Vec::with_capacity(batches.len());
        let mut wrong = None;
        for batch in batches {
            match self.queue_commit(leadership, batch).await {
                Ok(answered) => queued.push(answered),
                Err(error) => {
                    wrong = Some(error);
                    break;
                }
            }
        }
        let mut made = 0;
        for answered in queued {
            match self.answer(answered).await {
                Ok(_) => made += 1,
                Err(error) => return (made, Some(error)),
            }
        }
        (made, wrong)
    }

    /// Refuses at once what is known to be refused.
    async fn queue_commit(
        &self,
        leadership: &Leadership,
        batch: Batch,
    ) -> Result<oneshot::Receiver<Result<Stamp, StoreError>>, StoreError> {
        batch.check()?;
        let epoch = leadership.epoch();
        self.shared.guard(epoch)?;
        self.send(batch.bytes(), |answer| Request::Commit { epoch, batch, answer }).await
    }

    /// Waits until a request that was queued is carried out.
    async fn answer<T>(&self, answered: oneshot::Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
        answered.await.map_err(|lost| StoreError::Undecided {
            place: self.shared.members.place(),
            source: Arc::new(lost),
        })?
    }
}

/// Waits until a majority of etcd answers.
///
/// # Errors
/// `Endpoint` when the options cannot be used; otherwise what kept it from answering `within` that time.
pub async fn wait_for_quorum(options: &EtcdOptions, within: Duration) -> Result<(), StoreError> {
    let layout = Layout::new(&options.prefix)?;
    let members = Members::new(options).await?;
    let asked = members.ask_within(within, |client| {
        let (key, mut kv) = (layout.epoch(), client.kv_client());
        async move { kv.get(key, None).await }
    });
    asked.await.map(drop).map_err(|fault| members.error(fault))
}

impl Store for EtcdStore {
    fn load<'a>(&'a self, prefix: &'a Prefix) -> Answer<'a, Snapshot> {
        Box::pin(async move {
            if self.shared.is_closed() {
                return Err(StoreError::Closed);
            }
            load::load(&self.shared, prefix).await
        })
    }

    fn commit<'a>(&'a self, leadership: &'a Leadership, batch: Batch) -> Answer<'a, Stamp> {
        Box::pin(async move {
            let answered = self.queue_commit(leadership, batch).await?;
            self.answer(answered).await
        })
    }

    fn commit_all<'a>(&'a self, leadership: &'a Leadership, batches: Vec<Batch>) -> Made<'a> {
        Box::pin(self.commit_each(leadership, batches))
    }

    fn campaign<'a>(&'a self, candidate: &'a Candidate) -> Answer<'a, Leadership> {
        Box::pin(async move {
            let mut view = self.observe_leader();
            loop {
                let candidate = candidate.clone();
                let answered = self.send(0, |answer| Request::Campaign { candidate, answer }).await?;
                // It is taken but once, and that is here.
                if let Some(leadership) = self.answer(answered).await?.and_then(writer::Won::take) {
                    return Ok(leadership);
                }
                let led = |view: &LeaderView| matches!(view, LeaderView::Led(_));
                // The sender lives as long as this store.
                let _ = view.wait_for(|view| !led(view)).await;
            }
        })
    }

    fn observe_leader(&self) -> watch::Receiver<LeaderView> {
        self.shared.view.subscribe()
    }

    fn valid_until(&self, leadership: &Leadership) -> Option<Instant> {
        Some(self.shared.valid_until(leadership.epoch()))
    }

    fn coordinators(&self) -> Pin<Box<dyn Future<Output = Vec<Coordinator>> + Send + '_>> {
        Box::pin(self.shared.members.look())
    }

    fn resign<'a>(&'a self, leadership: &'a Leadership) -> Answer<'a, ()> {
        let epoch = leadership.epoch();
        Box::pin(async move {
            let answered = self.send(0, move |answer| Request::Resign { epoch, answer }).await?;
            self.answer(answered).await
        })
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let closed = match self.send(0, |answer| Request::Close { answer }).await {
                Ok(answered) => self.answer(answered).await,
                Err(error) => Err(error),
            };
            self.shared.closed().await;
            match closed {
                Err(StoreError::Closed | StoreError::Undecided { .. }) => Ok(()),
                closed => closed,
            }
        })
    }
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdStore").field("endpoints", &self.shared.options.endpoints).finish_non_exhaustive()
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
