//! The faults of the directory.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::PkiError;

/// Why the authorities could not be loaded or made. Nothing that was there was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Others could read or change what makes certificates.
    #[error(
        "{path} has mode {mode:04o}, so others can get at the keys of the cluster's authorities: `chmod {wanted:o} {path}`, and consider who may have read them",
        path = .path.display()
    )]
    Lax {
        /// The directory or the key.
        path: PathBuf,
        /// The mode that it has.
        mode: u32,
        /// The mode that it should have.
        wanted: u32,
    },
    /// It belongs to another user, who can read and change it.
    #[error("{path} belongs to user {owner}: run this as that user, or `chown` it", path = .path.display())]
    Owner {
        /// The directory or the key.
        path: PathBuf,
        /// The number of the user that it belongs to.
        owner: u32,
    },
    /// Something is there that is no directory.
    #[error("{path} is no directory: move it away", path = .path.display())]
    NoDirectory {
        /// What is there.
        path: PathBuf,
    },
    /// Part of it is there.
    #[error(
        "{dir} lacks {}: restore it from a backup; new authorities would be refused by all nodes that know the old ones",
        .missing.join(", "), dir = .dir.display()
    )]
    Incomplete {
        /// The directory.
        dir: PathBuf,
        /// The files that are not there.
        missing: Vec<String>,
    },
    /// A file is not what was written.
    #[error("{path} is damaged: restore the whole directory from a backup", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<PkiError>,
    },
    /// It belongs to something else.
    #[error("{path} is the {found}, and not the {wanted}: name another directory, or correct the cluster's name", path = .path.display())]
    Other {
        /// The certificate.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// The file system refused.
    #[error("{path}: cannot {action}", path = .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The authorities could not be made.
    #[error("cannot make the cluster's authorities")]
    Make(#[source] Box<PkiError>),
}

impl From<PkiError> for DirectoryError {
    fn from(fault: PkiError) -> Self {
        Self::Make(Box::new(fault))
    }
}
