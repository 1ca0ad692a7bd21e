//! Why certificates cannot be used.

use std::io;
use std::path::PathBuf;

use identity::Identity;
use thiserror::Error;

use crate::peer::PeerError;

/// What is wrong with the files, or with what stands in them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A private key that others can read.
    #[error("the private key {} can be read by others (mode {mode:04o}): `chmod 600` it, and have the certificate issued anew if others were there", path.display())]
    OpenKey {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A private key of another user.
    #[error("the private key {} belongs to user {owner}, and this process is user {own}: give it to that user or to root", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose this process is.
        own: u32,
    },
    /// What should be PEM is none, or has nothing of what is needed.
    #[error("{place} holds no {what} in PEM form: {reason}")]
    Pem {
        /// The file, or what was given.
        place: String,
        /// `certificate` or `private key`.
        what: &'static str,
        /// What the reader says.
        reason: String,
    },
    /// The key is not the certificate's.
    #[error("the private key {key} does not belong to the certificate {certificate}: {reason}")]
    Mismatch {
        /// The certificate's file.
        certificate: String,
        /// The key's file.
        key: String,
        /// What the library says.
        reason: String,
    },
    /// The certificate does not hold before its own authority.
    #[error("the certificate {certificate} is not good under the authority {ca}: {reason}")]
    Untrusted {
        /// The certificate's file.
        certificate: String,
        /// The authority's file.
        ca: String,
        /// What is wrong.
        reason: String,
    },
    /// The certificate does not say whose it is.
    #[error("the certificate {place} does not say whom it is for")]
    Identity {
        /// Its file.
        place: String,
        /// Why not.
        #[source]
        source: PeerError,
    },
    /// The certificate is somebody else's.
    #[error(
        "the certificate {place} is for {found}, and this is {own}: the configuration and the certificate differ"
    )]
    NotOurs {
        /// Its file.
        place: String,
        /// Whom it is for.
        found: Box<Identity>,
        /// Who we are.
        own: Box<Identity>,
    },
    /// The TLS library refuses.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}
