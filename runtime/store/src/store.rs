//! The trait.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use tokio::sync::watch;

use crate::{Batch, Candidate, Coordinator, LeaderView, Leadership, Prefix, Snapshot, Stamp, StoreError};

/// What a store answers, later. Boxed, so that the masters hold an `Arc<dyn Store>`.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// How many of several commits were made, later, and why not more.
pub type Made<'a> = Pin<Box<dyn Future<Output = (usize, Option<StoreError>)> + Send + 'a>>;

/// Cluster state: keys and values with one history, written by one leader at a time.
///
/// ```text
///  campaign ──► Leadership(epoch) ──► commit, commit, … ──► resign, or another's campaign
///                                        │ refused from then on: NotLeading
/// ```
///
/// There is no unguarded write. A commit is atomic, and is there after a crash of anything once it was acknowledged; one
/// that was not is there wholly or not at all. A batch is limited ([`crate::MAX_OPS`], [`crate::MAX_BATCH_BYTES`], from
/// etcd's limits, so that every implementation takes the same ones). Larger changes are written as immutable versioned
/// values first, in as many batches as it takes, and then one pointer is flipped: [`crate::large`] does that over any
/// implementation.
///
/// One object is one candidate. All calls may be made at once from many tasks of a tokio runtime.
pub trait Store: fmt::Debug + Send + Sync {
    /// All below `prefix`, at one moment, with its stamp; commits go on meanwhile. Anyone may load; what a follower loads
    /// may be overtaken before it is looked at.
    ///
    /// # Errors
    /// When the store failed, is damaged or closed.
    fn load<'a>(&'a self, prefix: &'a Prefix) -> Answer<'a, Snapshot>;

    /// Makes the changes of `batch` if its conditions hold, all or none, and answers when they are durable: with their
    /// revision, which is the `modified` of each key that was put; commits that were made together, none of which depends on
    /// another, may have one in common. Commits of one task happen in the order of their
    /// answers; of several tasks in any order.
    ///
    /// Dropping the future does not take a commit back that was already queued.
    ///
    /// # Errors
    /// `NotLeading`, `Precondition`, `Batch`: nothing was written. What else: see [`StoreError::outcome`].
    fn commit<'a>(&'a self, leadership: &'a Leadership, batch: Batch) -> Answer<'a, Stamp>;

    /// Commits these batches in their order, as [`Store::commit`] does, but without waiting for one before the next is on its
    /// way. Answers how many of the first ones are durable, and what kept the next one from being so; of those behind it
    /// nothing is known.
    fn commit_all<'a>(&'a self, leadership: &'a Leadership, batches: Vec<Batch>) -> Made<'a> {
        Box::pin(async move {
            let mut made = 0;
            for batch in batches {
                match self.commit(leadership, batch).await {
                    Ok(_) => made += 1,
                    Err(error) => return (made, Some(error)),
                }
            }
            (made, None)
        })
    }

    /// Becomes the leader, and raises the epoch in the election's own transaction. Waits as long as another leads; where
    /// nobody else can, it does not. It ends an earlier leadership of this same object. The first campaign of a cluster
    /// writes its [`crate::ClusterVersion`].
    ///
    /// Dropping the future gives the candidacy up; if it was just won, the epoch stays raised.
    ///
    /// # Errors
    /// `Newer` when the store was raised above this binary; when the store failed or is closed.
    fn campaign<'a>(&'a self, candidate: &'a Candidate) -> Answer<'a, Leadership>;

    /// Who leads, now and with every change. A leader whose own epoch is not shown any more steps down. Ends with the
    /// store object.
    fn observe_leader(&self) -> watch::Receiver<LeaderView>;

    /// Until when this process may rely on leading, as far as it knows by itself: the end of its lease by the clock of
    /// this machine, which each renewal moves. Past it, commits are refused without asking, and what this leader read or
    /// remembers may be stale; another may lead from then on. For a leadership that has ended it lies in the past. `None`
    /// where there are no leases and nobody else can lead.
    ///
    /// To wait for the end of a leadership, wait until [`Store::observe_leader`] shows anything but its epoch.
    fn valid_until(&self, _leadership: &Leadership) -> Option<Instant> {
        None
    }

    /// The processes that keep the state where they are others than this one: looks at each now, all at once.
    fn coordinators(&self) -> Pin<Box<dyn Future<Output = Vec<Coordinator>> + Send + '_>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    /// Gives the leadership up, so that the next one need not wait. Commits made before are not affected.
    ///
    /// # Errors
    /// `NotLeading` when it had ended already; when the store failed or is closed.
    fn resign<'a>(&'a self, leadership: &'a Leadership) -> Answer<'a, ()>;

    /// Carries out what is queued, refuses what comes later, and releases the store: another may open it when this
    /// returns. A second call does nothing.
    ///
    /// # Errors
    /// When the engine could not close in order; it is released all the same, and nothing acknowledged is lost.
    fn close(&self) -> Answer<'_, ()>;
}
