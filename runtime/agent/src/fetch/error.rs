//! Why something could not be fetched.

use std::path::PathBuf;
use std::sync::Arc;

use super::digest::Digest;

/// A failed fetch: which address, without what may be secret in it, and why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot fetch {uri}: {why}")]
pub struct FetchError {
    /// The address as it may be shown.
    pub uri: String,
    /// The cause. It is part of the message.
    pub why: Why,
}

/// Causes. They can be cloned, since several tasks may wait for one download.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// The address cannot be understood.
    #[error("{0}")]
    Address(String),
    /// No way to fetch such addresses.
    #[error("the scheme {0}: is not supported; use http, https, file or artifact")]
    Scheme(String),
    /// The path in the sandbox that it should have.
    #[error("the output_file {path:?} is refused: {why}")]
    Output {
        /// As asked for.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A local file outside the directories that the agent was told.
    #[error("{} is not below a directory that this agent may fetch from (its option file_roots: {allowed})", path.display())]
    Outside {
        /// The file.
        path: PathBuf,
        /// The directories, or that there is none.
        allowed: String,
    },
    /// An artifact, and no master to ask.
    #[error("this agent knows no master to fetch artifacts from (its option masters)")]
    NoMaster,
    /// The server's answer.
    #[error("{from} answered {status}")]
    Status {
        /// The server.
        from: String,
        /// HTTP status.
        status: u16,
    },
    /// A redirect that is not followed.
    #[error("{from}: {what}")]
    Redirect {
        /// The server first asked.
        from: String,
        /// What is wrong with it.
        what: String,
    },
    /// The server cannot be reached, or the connection broke.
    #[error("{from}: {what}")]
    Network {
        /// The server.
        from: String,
        /// What happened, with its causes.
        what: String,
    },
    /// It took longer than allowed.
    #[error("it took longer than {0} s")]
    Slow(u64),
    /// It is larger than allowed.
    #[error("it is larger than the {0} bytes allowed")]
    Large(u64),
    /// Not what was asked for.
    #[error("its SHA-256 sum is {got}, but {wanted} was asked for")]
    Sum {
        /// As asked for.
        wanted: Digest,
        /// As computed.
        got: Digest,
    },
    /// This machine refused.
    #[error("cannot {action} {}: {cause}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        cause: Arc<std::io::Error>,
    },
    /// It came, but could not be put into the sandbox.
    #[error("cannot put it into the sandbox: {0}")]
    Unpack(String),
    /// A part of the agent ended early, as when it shuts down.
    #[error("the agent is shutting down")]
    Stopped,
}

impl Why {
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Io { action, path, cause: Arc::new(cause) }
    }

    /// Whether the same may succeed a moment later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Network { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }
}
