//! TLS between the parts of a cluster: certificates and keys from disk, who is at the other end, and whether that one is whom
//! we meant. [`Tls`] is a node's own certificate with the authority of its cluster; [`Tls::acceptor`] lets peers in,
//! [`Tls::dialler`] goes to them, and both take a certificate that was replaced on disk without a restart.
//!
//! A peer is known by the [`identity::Identity`] in its certificate and not by its address: role and cluster are compared in
//! the handshake, before a byte of a request is read. What a peer may do, and whether it was admitted, is not decided here.
//! Nothing here makes certificates.

mod accept;
mod dial;
mod error;
mod material;
mod peer;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod verify;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use identity::{Identity, PeerRole};

pub use accept::{AcceptError, Accepted, Acceptor};
pub use dial::{Authority, Dialler, claimed_authority, fingerprint};
pub use error::TlsError;
pub use peer::{PeerError, identity_of};

use material::Material;

/// A certificate with less time left is warned of.
pub const WARN_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Where a node has its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The cluster's authority, PEM.
    pub ca: PathBuf,
    /// The node's certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM; for its owner alone, or for one group to read.
    pub key: PathBuf,
}

/// Who is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Whoever comes: without a certificate, or with one of this cluster. One of anybody else is refused.
    Any,
    /// Those with a certificate of this role of this cluster.
    Only(PeerRole),
}

/// A node's certificate and its cluster's authority. Cheap to clone; clones see the same [`Tls::reload`].
#[derive(Clone, Debug)]
pub struct Tls {
    files: Arc<Files>,
    live: Arc<Live>,
}

/// What is in use now.
#[derive(Debug)]
struct Live {
    own: Identity,
    material: RwLock<Arc<Material>>,
}

impl Live {
    fn now(&self) -> Arc<Material> {
        self.material.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Tls {
    /// Reads the files; the certificate has to say that this is `own`.
    ///
    /// # Errors
    /// When a file cannot be read or is no PEM, the key is open to others or is not the certificate's, the certificate was
    /// not issued by the authority, is not valid at `now`, or is for somebody else.
    pub fn load(files: Files, own: Identity, now: SystemTime) -> Result<Self, TlsError> {
        let material = Material::read(&files, &own, now)?;
        let live = Live { own, material: RwLock::new(Arc::new(material)) };
        Ok(Self { files: Arc::new(files), live: Arc::new(live) })
    }

    /// Reads the files again. New connections are made with what stands there now; those that are open stay.
    ///
    /// # Errors
    /// As of [`Tls::load`]; then what was in use stays in use.
    pub fn reload(&self, now: SystemTime) -> Result<(), TlsError> {
        let material = Material::read(&self.files, &self.live.own, now)?;
        *self.live.material.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(material);
        Ok(())
    }

    /// Who this node is.
    #[must_use]
    pub fn own(&self) -> &Identity {
        &self.live.own
    }

    /// When its certificate ends.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        self.live.now().expires
    }

    /// Whole days until then; none when it has ended.
    #[must_use]
    pub fn days_left(&self, now: SystemTime) -> u64 {
        self.expires().duration_since(now).unwrap_or_default().as_secs() / (24 * 3600)
    }

    /// Says in the log when little time is left.
    pub fn warn_of_expiry(&self, now: SystemTime) {
        let left = self.expires().duration_since(now).unwrap_or_default();
        if left < WARN_BEFORE {
            tracing::warn!(
                "the certificate {} ends in {} days; `clusterctl install` renews it",
                self.files.certificate.display(),
                self.days_left(now)
            );
        }
    }

    /// Lets peers in.
    ///
    /// # Errors
    /// When the TLS library refuses its configuration.
    pub fn acceptor(&self, clients: Clients) -> Result<Acceptor, TlsError> {
        accept::acceptor(&self.live, clients)
    }

    /// Goes to peers of this role of the own cluster, whatever their address, with the own certificate. `protocols` are
    /// offered in this order, like `h2`.
    ///
    /// # Errors
    /// When the TLS library refuses its configuration.
    pub fn dialler(&self, to: PeerRole, protocols: &[&str]) -> Result<Dialler, TlsError> {
        dial::dialler(&self.live, to, protocols)
    }
}

#[cfg(test)]
mod tests;
