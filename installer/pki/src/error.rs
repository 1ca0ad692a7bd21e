//! The faults of making certificates.

use std::error::Error;

use thiserror::Error;

use crate::Kind;

/// What a library below said.
type Cause = Box<dyn Error + Send + Sync>;

/// Why no certificate was made, or why an authority cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PkiError {
    /// An authority carries its cluster's name, which X.509 limits.
    #[error("the cluster's name {name:?} {fault}")]
    ClusterName {
        /// The name.
        name: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A host's name that no certificate can carry, since no client would accept it.
    #[error(
        "{name:?} is neither an address nor a host name (letters, digits and hyphens between dots): leave it out, or write the address"
    )]
    HostName {
        /// The name.
        name: String,
    },
    /// The request is for a peer of another cluster than the authority's.
    #[error("the authority is that of cluster {ca:?}, and the certificate is for one of cluster {wanted:?}")]
    OtherCluster {
        /// Of which the authority is.
        ca: String,
        /// For which the certificate was wanted.
        wanted: String,
    },
    /// The authority is past its end.
    #[error("the {kind} authority of cluster {cluster:?} expired on {on}, and can issue nothing")]
    Expired {
        /// Which of the two.
        kind: Kind,
        /// Of which cluster.
        cluster: String,
        /// When, as a date.
        on: String,
    },
    /// The authority is younger than the time that this machine has.
    #[error(
        "the {kind} authority of cluster {cluster:?} is valid from {from}, and it is {now} on this machine: set its clock"
    )]
    ClockBehind {
        /// Which of the two.
        kind: Kind,
        /// Of which cluster.
        cluster: String,
        /// From when on, as a date.
        from: String,
        /// What time it is here.
        now: String,
    },
    /// What should be an authority's certificate is none.
    #[error("this is no certificate of an authority that clusterctl made: {detail}")]
    Certificate {
        /// What is wrong with it.
        detail: String,
    },
    /// What should be a private key is none. No cause is kept, since it may quote the key.
    #[error("this is no private key in PEM form")]
    Key,
    /// A key that belongs to another certificate.
    #[error("the private key is not the one of the certificate")]
    KeyDiffers,
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    Random(#[source] Cause),
    /// The library failed to make a key or a certificate.
    #[error("cannot make a {what}")]
    Make {
        /// `key` or `certificate`.
        what: &'static str,
        /// Why not.
        #[source]
        source: Cause,
    },
}

impl PkiError {
    pub(crate) fn make(what: &'static str) -> impl FnOnce(rcgen::Error) -> Self {
        move |fault| Self::Make { what, source: Box::new(fault) }
    }
}
