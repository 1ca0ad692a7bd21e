//! What is told while an artifact is obtained.

use std::fmt;
use std::sync::Arc;

/// One thing that happened. Counts are of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A source is tried.
    Trying {
        /// The artifact, or the member of a closure.
        artifact: String,
        /// The source, as it may be shown.
        source: String,
    },
    /// Another process obtains the same.
    Waiting {
        /// The artifact.
        artifact: String,
    },
    /// Bytes came.
    Downloading {
        /// The artifact.
        artifact: String,
        /// The source.
        source: String,
        /// So many.
        done: u64,
        /// Of so many, where the server says it.
        total: Option<u64>,
    },
    /// What a client program says.
    Said {
        /// The artifact.
        artifact: String,
        /// The line.
        line: String,
    },
    /// Its checksum is compared.
    Verifying {
        /// The artifact.
        artifact: String,
        /// So many bytes are read.
        done: u64,
        /// Of so many.
        total: u64,
    },
    /// A source could not be had; the next one is tried, where there is one.
    Failed {
        /// The artifact.
        artifact: String,
        /// The source.
        source: String,
        /// Why.
        why: String,
    },
    /// Members of a closure are put together.
    Assembling {
        /// The artifact.
        artifact: String,
        /// So many members are in it.
        done: usize,
        /// Of so many.
        total: usize,
    },
    /// It is in the cache.
    Done {
        /// The artifact.
        artifact: String,
        /// Its sum.
        sha256: String,
        /// Its size.
        bytes: u64,
        /// It was there before.
        cached: bool,
    },
}

/// Who hears of it. Called from several threads, and not to wait.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(Event) + Send + Sync>);

impl Progress {
    /// Calls this.
    pub fn new(hear: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    /// Tells nobody.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    pub(crate) fn tell(&self, event: Event) {
        (self.0)(event);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
