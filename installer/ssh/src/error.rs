//! Why there is no connection.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::key::{Fingerprint, HostKey};
use crate::known_hosts::{Entry, FileError, Place};

/// How far a connection had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The TCP connection, or the channel through the last jump host.
    Tcp,
    /// The server's first line.
    Banner,
    /// Agreeing on keys.
    Kex,
    /// Logging in.
    Auth,
}

impl Phase {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Tcp => "connecting",
            Self::Banner => "waiting for the SSH server's first line",
            Self::Kex => "agreeing on keys",
            Self::Auth => "logging in",
        }
    }
}

/// A host key about which nothing is recorded: what there is to ask a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKey {
    /// The name or address by which it was connected to.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The key.
    pub key: HostKey,
}

impl UnknownKey {
    /// The entry to learn when the answer is yes.
    pub fn entry(&self) -> Entry {
        Entry { host: self.host.clone(), port: self.port, key: self.key.clone() }
    }
}

/// Why there is no connection. [`ConnectError::hint`] says what to do.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No address is known by that name.
    #[error("{host} has no address")]
    Unresolvable {
        /// The name.
        host: String,
        /// What the resolver says.
        #[source]
        source: Arc<io::Error>,
    },
    /// Nobody listens there.
    #[error("{host} port {port} refuses connections")]
    Refused {
        /// The name or address.
        host: String,
        /// The port.
        port: u16,
    },
    /// The network says that there is no way.
    #[error("{host} port {port} cannot be reached")]
    Unreachable {
        /// The name or address.
        host: String,
        /// The port.
        port: u16,
        /// What the network says.
        #[source]
        source: Arc<io::Error>,
    },
    /// It took too long.
    #[error("{host} did not answer within {} s while {}", .after.as_secs_f64(), .phase.text())]
    TimedOut {
        /// The name or address.
        host: String,
        /// What was going on.
        phase: Phase,
        /// How long was waited.
        after: Duration,
    },
    /// The other side ended the connection, or it broke.
    #[error("the connection to {host} ended while {}: {reason}", .phase.text())]
    Dropped {
        /// The name or address.
        host: String,
        /// What was going on.
        phase: Phase,
        /// What is known of why.
        reason: String,
    },
    /// What answers there is no SSH server, or one that breaks the protocol.
    #[error("what answers at {host} port {port} breaks the SSH protocol: {reason}")]
    Protocol {
        /// The name or address.
        host: String,
        /// The port.
        port: u16,
        /// What is wrong.
        reason: String,
    },
    /// Both sides know no common algorithm.
    #[error("{host} offers no {kind} algorithm that is safe to use: {}", .theirs.join(", "))]
    NoCommonAlgorithm {
        /// The name or address.
        host: String,
        /// For what.
        kind: String,
        /// What the server offers.
        theirs: Vec<String>,
    },
    /// Nothing is recorded for the host.
    #[error("the host key of {} port {} is not known: {} {}", .0.host, .0.port, .0.key.kind(), .0.key.fingerprint())]
    UnknownHostKey(UnknownKey),
    /// Another key of the same type is recorded: another machine answers, or it was set up anew.
    #[error("{host} has another host key than is recorded: {found}, but {} has {}", place(.recorded), recorded_text(.recorded))]
    ChangedHostKey {
        /// The name or address.
        host: String,
        /// The port.
        port: u16,
        /// The key's fingerprint.
        found: Fingerprint,
        /// What is recorded.
        recorded: Vec<Place>,
    },
    /// Only keys of other types are recorded. It may be another machine.
    #[error("{host} shows a host key of type {kind} ({found}), but {} has {}", place(.recorded), recorded_text(.recorded))]
    OtherKeyType {
        /// The name or address.
        host: String,
        /// The port.
        port: u16,
        /// The type of the key.
        kind: String,
        /// The key's fingerprint.
        found: Fingerprint,
        /// What is recorded.
        recorded: Vec<Place>,
    },
    /// The key is marked as revoked.
    #[error("the host key of {host}, {found}, is revoked by {} line {}", .place.path.display(), .place.line)]
    RevokedHostKey {
        /// The name or address.
        host: String,
        /// The key's fingerprint.
        found: Fingerprint,
        /// Where it is revoked.
        place: Box<Place>,
    },
    /// The host is recorded by its certificate authority alone.
    #[error("{host} is recorded by a certificate authority alone ({} line {}), and host certificates are not supported", .place.path.display(), .place.line)]
    HostCertificate {
        /// The name or address.
        host: String,
        /// The fingerprint of the plain key that it showed.
        found: Fingerprint,
        /// The line of the authority.
        place: Box<Place>,
    },
    /// The key is not the one that the target names.
    #[error("the host key of {host} is {found}, and should be {}", .pinned.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "))]
    WrongPinnedKey {
        /// The name or address.
        host: String,
        /// The fingerprint that it has.
        found: Fingerprint,
        /// The fingerprints that it may have.
        pinned: Vec<Fingerprint>,
    },
    /// A file of known hosts could not be read or written.
    #[error("the known hosts cannot be used")]
    KnownHosts(#[source] Arc<FileError>),
    /// The server takes nothing of what was tried.
    #[error("{host} does not let {user} in; tried {}{}", tried_text(.tried), accepted_text(.accepts))]
    AuthRefused {
        /// The name or address.
        host: String,
        /// The user.
        user: String,
        /// Every key and method, in order, with what came of it where that is not a plain no.
        tried: Vec<String>,
        /// The methods that the server would still take.
        accepts: Vec<String>,
    },
    /// Jump hosts lead through each other without end.
    #[error("the way to {host} leads through more than {limit} jump hosts")]
    TooManyHops {
        /// The name or address.
        host: String,
        /// How many are allowed.
        limit: usize,
    },
    /// A host on the way could not be connected to, or let nothing through.
    #[error("the jump host {hop} failed")]
    Jump {
        /// The host on the way.
        hop: String,
        /// Why.
        #[source]
        source: Arc<ConnectError>,
    },
    /// A jump host does not open a way to the next host.
    #[error("it does not connect further to {host} port {port}: {reason}")]
    NoForwarding {
        /// The next host.
        host: String,
        /// Its port.
        port: u16,
        /// What the jump host says.
        reason: String,
    },
    /// A file that is needed could not be read.
    #[error("{path}: {reason}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

fn place(recorded: &[Place]) -> String {
    recorded.first().map_or_else(String::new, |place| format!("{} line {}", place.path.display(), place.line))
}

fn recorded_text(recorded: &[Place]) -> String {
    let keys: Vec<_> = recorded.iter().map(|place| format!("{} {}", place.kind, place.fingerprint)).collect();
    keys.join(", ")
}

fn tried_text(tried: &[String]) -> String {
    if tried.is_empty() {
        "nothing, since there is no key and no password".to_owned()
    } else {
        tried.join("; ")
    }
}

fn accepted_text(accepts: &[String]) -> String {
    if accepts.is_empty() { String::new() } else { format!("; it takes {}", accepts.join(", ")) }
}

impl ConnectError {
    /// The key to ask about, if that is all that is missing: the host's own, or that of a host on the way.
    pub fn unknown_key(&self) -> Option<&UnknownKey> {
        match self {
            Self::UnknownHostKey(unknown) => Some(unknown),
            Self::Jump { source, .. } => source.unknown_key(),
            _ => None,
        }
    }

    /// Whether the network failed before anything was tried that the server counts, so that trying again is harmless.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Dropped { phase: Phase::Banner | Phase::Kex, .. })
    }
}
