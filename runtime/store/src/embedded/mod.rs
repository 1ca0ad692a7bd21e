//! The embedded store: one redb file, one process, one thread that writes.
//!
//! ```text
//!  tasks ──► bounded queue ──► writer thread: takes all that waits, one transaction, one fsync ──► an answer to each
//!  loads ──► blocking threads, each on its own snapshot of the file
//! ```
//!
//! The lock on the file makes this process the only candidate. After a fault of the disk nothing more is written: the
//! store must be opened again, which checks every page of it first.

mod apply;
mod disk;
mod file;
mod lock;
mod request;
mod won;
mod writer;

#[cfg(feature = "failpoints")]
use std::sync::Arc;

use std::fmt;
use std::path::{Path, PathBuf};

use tokio::sync::{oneshot, watch};

#[cfg(feature = "failpoints")]
pub use self::disk::{Act as DiskAct, Hook as DiskHook};

use self::request::Request;
use self::writer::{Shared, place_of};
use crate::failpoint::{self, Failpoint};
use crate::queue::{self, Queue};
use crate::{
    Answer, Batch, Candidate, ClusterVersion, Epoch, LeaderView, Leadership, Made, Prefix, Snapshot, Stamp,
    Store, StoreError,
};

/// The answer to a request that was queued.
type Answered<T> = oneshot::Receiver<Result<T, StoreError>>;

/// How to open an embedded store.
#[derive(Clone)]
pub struct Options {
    /// What this binary is: a newer store is refused.
    pub version: ClusterVersion,
    /// Sees every access to the file, and may make it fail.
    #[cfg(feature = "failpoints")]
    pub hook: Option<Arc<dyn DiskHook>>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: ClusterVersion::OWN,
            #[cfg(feature = "failpoints")]
            hook: None,
        }
    }
}

/// The store of a cluster with one master: a directory with a redb file, which one process has open.
///
/// [`Store::close`] it before it is opened again: one that is merely dropped lets go of the file when its writer has carried
/// out what was queued, some time later, and until then the next open is told `InUse`.
///
/// What is promised when the disk rots: a whole file that is damaged is refused. After a process that did not close the
/// store, damage to the pages of the very last group of commits looks like a write that was cut off, and that one group
/// is taken back with all of its effects; nothing before it. A group that raises the epoch is the exception, written in
/// two phases: damage to it is refused, so that an epoch is never issued twice.
pub struct EmbeddedStore {
    path: PathBuf,
    queue: Queue<Request>,
    shared: std::sync::Arc<Shared>,
}

impl EmbeddedStore {
    /// Opens the store in `dir`, and makes both if there are none (0700, 0600). Reads and checks the whole file, and
    /// changes nothing of it before all of it was found sound.
    ///
    /// # Errors
    /// `InUse` names who has it open; `Damaged`, `Newer`, `NewerFormat`; `Open` for what the system says.
    pub async fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        let dir = dir.to_owned();
        let opening =
            tokio::task::spawn_blocking(move || file::open(&dir, &options).map(|file| (file, options)));
        let (opened, options) = opening.await.map_err(|fault| StoreError::Failed {
            place: "opening".to_owned(),
            source: std::sync::Arc::new(fault),
        })??;
        let path = opened.path.clone();
        let (queue, requests) = queue::new();
        let shared = writer::start(opened, options.version, requests)?;
        Ok(Self { path, queue, shared })
    }

    async fn ask<T>(
        &self,
        bytes: usize,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> Result<T, StoreError> {
        let answered = self.send(bytes, request).await?;
        self.answer(answered).await
    }

    /// Queues a request.
    async fn send<T>(
        &self,
        bytes: usize,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> Result<Answered<T>, StoreError> {
        let (answer, answered) = oneshot::channel();
        if let Err(closed) = self.queue.send(bytes, request(answer)).await {
            return self.shared.sound().and(Err(closed));
        }
        failpoint::hit(Failpoint::Queued);
        Ok(answered)
    }

    /// Waits until a request that was queued is carried out.
    async fn answer<T>(&self, answered: Answered<T>) -> Result<T, StoreError> {
        answered.await.map_err(|lost| StoreError::Unknown {
            place: place_of(&self.path),
            source: std::sync::Arc::new(lost),
        })?
    }

    async fn commit_each(&self, epoch: Epoch, batches: Vec<Batch>) -> (usize, Option<StoreError>) {
        let mut queued = Vec::with_capacity(batches.len());
        let mut wrong = None;
        for batch in batches {
            let sent = match batch.check() {
                Ok(()) => self.send(batch.bytes(), |answer| Request::Commit { epoch, batch, answer }).await,
                Err(error) => Err(error.into()),
            };
            match sent {
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
}

impl Store for EmbeddedStore {
    fn load<'a>(&'a self, prefix: &'a Prefix) -> Answer<'a, Snapshot> {
        Box::pin(self.shared.clone().load(prefix.clone()))
    }

    fn commit<'a>(&'a self, leadership: &'a Leadership, batch: Batch) -> Answer<'a, Stamp> {
        Box::pin(async move {
            batch.check()?;
            let epoch = leadership.epoch();
            self.ask(batch.bytes(), |answer| Request::Commit { epoch, batch, answer }).await
        })
    }

    fn commit_all<'a>(&'a self, leadership: &'a Leadership, batches: Vec<Batch>) -> Made<'a> {
        Box::pin(self.commit_each(leadership.epoch(), batches))
    }

    fn campaign<'a>(&'a self, candidate: &'a Candidate) -> Answer<'a, Leadership> {
        let candidate = candidate.clone();
        Box::pin(async move {
            let won = self.ask(0, |answer| Request::Campaign { candidate, answer }).await?;
            // It is taken but once, and that is here.
            won.take().ok_or(StoreError::Closed)
        })
    }

    fn observe_leader(&self) -> watch::Receiver<LeaderView> {
        self.shared.leader.subscribe()
    }

    fn resign<'a>(&'a self, leadership: &'a Leadership) -> Answer<'a, ()> {
        let epoch = leadership.epoch();
        Box::pin(self.ask(0, move |answer| Request::Resign { epoch, answer }))
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let _no_more_loads = self.shared.end_loads().await;
            let closed = self.ask(0, |answer| Request::Close { answer }).await;
            // Another's close may have been first, and be still at it.
            self.shared.ended().await;
            self.shared.let_go();
            match closed {
                Err(StoreError::Closed) => Ok(()),
                closed => closed,
            }
        })
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").field("path", &self.path).finish_non_exhaustive()
    }
}
