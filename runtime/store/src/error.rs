//! The faults of a store.

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::{BatchError, ClusterVersion, Condition, Epoch, Key, KeyError, Revision, VersionError};

/// What an engine said; shared, since one fault may be the answer to many commits.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why a store did not do what it was asked for.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The leadership has ended: someone campaigned since, or it was given up. Step down.
    #[error("the leadership of epoch {held} has ended: the store is at epoch {current}")]
    NotLeading {
        /// The epoch of the leadership that was shown.
        held: Epoch,
        /// The epoch of the store.
        current: Epoch,
    },
    /// A condition did not hold. Nothing of the batch was written.
    #[error("{key} is not {wanted}: it is {}", found_text(.found))]
    Precondition {
        /// The first key of which it is not true.
        key: Key,
        /// What was required.
        wanted: Condition,
        /// When it was last written, if it is there.
        found: Option<Revision>,
    },
    /// No store takes such a batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// No store has such a key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store belongs to a later version: install that one, or restore a backup of this one's.
    #[error(
        "the store is of cluster version {store}, and this is clusterctl {binary}, which is older: run {store} or later"
    )]
    Newer {
        /// What the store was raised to.
        store: ClusterVersion,
        /// What this binary is.
        binary: ClusterVersion,
    },
    /// The file is laid out in a later way.
    #[error("{path}: the file has format {store}, and clusterctl {binary} knows formats up to {known}: run a later version", path = .path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        store: u64,
        /// The highest that this binary knows.
        known: u64,
        /// What this binary is.
        binary: ClusterVersion,
    },
    /// The stored cluster version is not one.
    #[error("the store's cluster version is not readable")]
    Version(#[from] VersionError),
    /// Another process has the store open.
    #[error("{path}: the store is in use by {holder}", path = .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Program and process, as the other wrote them down.
        holder: String,
    },
    /// What is stored is not what was written. Nothing was changed.
    #[error("{place}: the store is damaged: {detail}; nothing was changed, restore a backup")]
    Damaged {
        /// The file, or the key.
        place: String,
        /// What is wrong there.
        detail: String,
    },
    /// The file or its directory could not be made or opened.
    #[error("{path}: cannot {action}", path = .path.display())]
    Open {
        /// Which one.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// The engine failed before anything was written. Reopen the store.
    #[error("{place}: the store failed, and the commit was not written; open it again")]
    Failed {
        /// The file.
        place: String,
        /// The first fault.
        #[source]
        source: Cause,
    },
    /// The engine failed while it wrote: what was to be committed may be there or not, wholly in either case. Open the
    /// store again and look: opening first has the kernel forget what it holds of the file, since after a failed sync that
    /// may be more than the disk has.
    #[error("{place}: the store failed while it wrote: the commit may be there or not; open the store again")]
    Unknown {
        /// The file.
        place: String,
        /// The fault.
        #[source]
        source: Cause,
    },
    /// Nothing of the cluster answers. Nothing was written; the same object goes on when it is there again.
    #[error("{place}: etcd cannot be reached")]
    Unreachable {
        /// The endpoints.
        place: String,
        /// What the last of them said.
        #[source]
        source: Cause,
    },
    /// Members answer, but have no majority, or none in time. Nothing was written; the same object goes on when they have
    /// one again.
    #[error("{place}: etcd answers, but has no majority that does")]
    NoQuorum {
        /// The endpoints.
        place: String,
        /// What the last of them said.
        #[source]
        source: Cause,
    },
    /// etcd's quota is used up. Nothing was written, and nothing can be; reads and the leadership go on.
    #[error(
        "{place}: etcd has no space left below its quota: compact and defragment it, or raise its quota, and disarm the alarm NOSPACE"
    )]
    NoSpace {
        /// The endpoints.
        place: String,
    },
    /// etcd refuses. Nothing was written.
    #[error("{place}: etcd refuses")]
    Refused {
        /// The endpoints.
        place: String,
        /// Its words.
        #[source]
        source: Cause,
    },
    /// How to reach etcd is not said in a way that can be used.
    #[error("{place}: {detail}")]
    Endpoint {
        /// The endpoint, or what is wrong beside it.
        place: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The leadership ended while the commit was under way, and nobody could be asked: it may be there or not, wholly in
    /// either case. A load tells as soon as there is a later leader; the same object goes on.
    #[error("{place}: the leadership ended while etcd did not answer: the commit may be there or not")]
    Undecided {
        /// The endpoints.
        place: String,
        /// What the last of them said.
        #[source]
        source: Cause,
    },
    /// What shall be filled holds something already.
    #[error("the store to copy into is not empty: it has {key}")]
    NotEmpty {
        /// One of its keys.
        key: String,
    },
    /// There are no more epochs.
    #[error("no epoch is left above {0}")]
    EpochExhausted(Epoch),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// What is known of a commit that was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was not written and never will be.
    Refused,
    /// It was written as a whole or not at all. A load from the reopened store tells.
    Unknown,
}

impl StoreError {
    /// What is known of the commit that was answered so.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unknown { .. } | Self::Undecided { .. } => Outcome::Unknown,
            _ => Outcome::Refused,
        }
    }

    /// Whether this store object is of no more use, and a new one must be opened.
    pub fn must_reopen(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Unknown { .. } | Self::Closed)
    }
}

fn found_text(found: &Option<Revision>) -> String {
    match found {
        Some(revision) => Condition::At(*revision).to_string(),
        None => Condition::Absent.to_string(),
    }
}
