//! Why an artifact cannot be had, and what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::purl::PurlError;

/// Why one source could not be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Fault {
    /// The address.
    #[error("it is no address that can be fetched: {0}")]
    Address(String),
    /// The package URL.
    #[error(transparent)]
    Purl(#[from] PurlError),
    /// The server's answer.
    #[error("{from} answered {status}")]
    Status {
        /// The server.
        from: String,
        /// HTTP status.
        status: u16,
    },
    /// The server is not reached, or the connection broke.
    #[error("{from}: {what}")]
    Network {
        /// The server.
        from: String,
        /// What happened, with its causes.
        what: String,
    },
    /// It took too long.
    #[error("{what} took longer than {seconds} s")]
    Slow {
        /// What.
        what: String,
        /// The limit.
        seconds: u64,
    },
    /// It is too large.
    #[error("it is larger than the {0} bytes allowed")]
    Large(u64),
    /// It is another file than was asked for.
    #[error("it has the {kind} {found}, and {wanted} was asked for")]
    Differs {
        /// Which sum.
        kind: &'static str,
        /// What it has.
        found: String,
        /// What it is to have.
        wanted: String,
    },
    /// A sum that is none.
    #[error("{0:?} is no checksum: a SHA-256 has 64 hexadecimal digits, a SHA-512 128")]
    NoSum(String),
    /// The published file of checksums.
    #[error("the checksum file {url} says nothing of {name}")]
    NotPublished {
        /// Where it is.
        url: String,
        /// The file.
        name: String,
    },
    /// What anybody on the way can change is no checksum.
    #[error("the checksum file {url} comes over a connection that is not encrypted, and proves nothing")]
    Plain {
        /// Where it is.
        url: String,
    },
    /// A client program is not there.
    #[error("there is no {name} on this machine")]
    NoProgram {
        /// Its name.
        name: &'static str,
        /// How to get it.
        advice: &'static str,
    },
    /// A client program failed.
    #[error("{name} ended with {status}:\n{said}")]
    Program {
        /// Its name.
        name: String,
        /// How it ended.
        status: String,
        /// Its last lines.
        said: String,
    },
    /// A client program ended well, and left no file, or several.
    #[error("{name} left {count} files where one was expected")]
    Files {
        /// Its name.
        name: String,
        /// So many.
        count: usize,
    },
    /// A source distribution is not asked for what it is without a checksum.
    #[error(
        "pip runs code of a source distribution when it downloads it, and without a sha256 that could be anybody's"
    )]
    Unpinned,
    /// No name for the file.
    #[error("its address does not name a file; give the artifact a `file`")]
    NoName,
    /// An archive.
    #[error("{0}")]
    Archive(String),
    /// This machine.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A part of this process ended early.
    #[error("the work was given up")]
    Stopped,
}

impl Fault {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the same may succeed a moment later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Network { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Address(_) | Self::Purl(_) | Self::NoSum(_) | Self::Plain { .. } | Self::NoName => {
                "put the package right; `clusterctl universe lint DIR` shows where"
            }
            Self::Unpinned => "give the source a sha256",
            Self::Status { status: 401 | 403 | 407, .. } => {
                "see whether this machine may fetch it: a proxy, a login"
            }
            Self::Status { status: 404 | 410, .. } => {
                "it is not there any more; take a newer version of the package, or name a copy as a further source"
            }
            Self::Status { .. } | Self::Network { .. } | Self::Slow { .. } => {
                "try again; what came is kept, and goes on from there"
            }
            Self::Differs { .. } | Self::NotPublished { .. } => {
                "do not use it: ask the package's maintainer, or whoever runs the mirror"
            }
            Self::NoProgram { advice, .. } => advice,
            Self::Program { .. } | Self::Files { .. } => {
                "run it by hand; its own configuration says which mirror it asks"
            }
            Self::Large(_) | Self::Archive(_) => "do not use it: no honest archive is like that",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "make room, or set XDG_CACHE_HOME to a directory on another disk"
            }
            Self::Io { .. } => "see to this file or directory, and try again",
            Self::Stopped => "try again",
        }
    }
}

/// A source that was tried.
#[derive(Debug)]
pub struct Tried {
    /// Which, as it may be shown.
    pub source: String,
    /// Why it could not be had.
    pub why: Fault,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n     → {}", self.source, self.why, self.why.advice())
    }
}

/// Why an artifact cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ObtainError {
    /// None of its sources.
    #[error("artifact {artifact}: {}", listed(.tried))]
    Sources {
        /// Its name.
        artifact: String,
        /// All of them, in order.
        tried: Vec<Tried>,
    },
    /// A member of a closure.
    #[error("artifact {artifact}: {member}")]
    Member {
        /// The artifact's name.
        artifact: String,
        /// Which, and why.
        member: Tried,
    },
    /// It could not be made, or the cache cannot be used.
    #[error("artifact {artifact}: {why}\n     → {}", why.advice())]
    Made {
        /// Its name.
        artifact: String,
        /// Why.
        why: Fault,
    },
}

fn listed(all: &[Tried]) -> String {
    match all {
        [] => "it has no sources".to_owned(),
        all => {
            let lines = all.iter().enumerate().map(|(n, tried)| format!("\n  {}. {tried}", n + 1));
            format!("none of its sources can be had{}", lines.collect::<String>())
        }
    }
}
