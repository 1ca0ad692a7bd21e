//! What russh asks while a connection is made, and what a server may not do.

use std::sync::{Arc, Mutex, PoisonError};

use russh::client::{self, ChannelOpenHandle, DisconnectReason, Msg, Session};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, ChannelId};

use crate::error::{ConnectError, UnknownKey};
use crate::key::{Fingerprint, HostKey};
use crate::known_hosts::{KnownHosts, Verdict, check};

/// Which key a host must show.
#[derive(Debug, Clone)]
pub(crate) struct Expectation {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) pinned: Vec<Fingerprint>,
    pub(crate) known: Arc<Vec<KnownHosts>>,
}

impl Expectation {
    /// Whether the key that a host shows is the one that it ought to have.
    pub(crate) fn verify(&self, key: &HostKey) -> Result<(), ConnectError> {
        let (host, port, found) = (self.host.clone(), self.port, key.fingerprint());
        let verdict = check(&self.known, &self.host, self.port, key);
        // What is revoked stays so, whoever pinned it.
        if let Verdict::Revoked(place) = verdict {
            return Err(ConnectError::RevokedHostKey { host, found, place: place.into() });
        }
        if !self.pinned.is_empty() {
            return if self.pinned.contains(&found) {
                Ok(())
            } else {
                Err(ConnectError::WrongPinnedKey { host, found, pinned: self.pinned.clone() })
            };
        }
        Err(match verdict {
            Verdict::Known => return Ok(()),
            Verdict::Unknown => ConnectError::UnknownHostKey(UnknownKey { host, port, key: key.clone() }),
            Verdict::Changed(recorded) => ConnectError::ChangedHostKey { host, port, found, recorded },
            Verdict::OtherType(recorded) => {
                ConnectError::OtherKeyType { host, port, kind: key.kind().to_owned(), found, recorded }
            }
            Verdict::Revoked(place) => ConnectError::RevokedHostKey { host, found, place: place.into() },
            Verdict::Certified(place) => ConnectError::HostCertificate { host, found, place: place.into() },
        })
    }
}

/// Why a connection ended, for those who find it ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending(Arc<Mutex<Option<String>>>);

impl Ending {
    fn set(&self, reason: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
    }

    /// The first reason that was heard of.
    pub(crate) fn reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A fault while a connection is served.
#[derive(Debug)]
pub(crate) enum Fault {
    Russh(russh::Error),
    HostKey(Box<ConnectError>),
    /// The server asked for what nobody offered it.
    Uninvited(&'static str),
}

impl From<russh::Error> for Fault {
    fn from(error: russh::Error) -> Self {
        Self::Russh(error)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Russh(error) => write!(f, "{error}"),
            Self::HostKey(error) => write!(f, "{error}"),
            Self::Uninvited(what) => write!(f, "the server opened {what} that nobody had asked for"),
        }
    }
}

pub(crate) struct Handler {
    pub(crate) expectation: Expectation,
    pub(crate) ending: Ending,
}

/// A server that opens a channel to us is at fault: nothing was ever forwarded. russh's own answers would accept.
macro_rules! refuse {
    ($name:ident, $what:literal $(, $argument:ident: $kind:ty)*) => {
        async fn $name(
            &mut self,
            _channel: Channel<Msg>,
            $($argument: $kind,)*
            _reply: ChannelOpenHandle,
            _session: &mut Session,
        ) -> Result<(), Fault> {
            Err(Fault::Uninvited($what))
        }
    };
}

impl client::Handler for Handler {
    type Error = Fault;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Fault> {
        // No certificate types are offered, so none can come; if one does, it is judged by its plain key.
        let key = HostKey::of(&shown.public_key()).ok_or(russh::Error::UnknownKey)?;
        self.expectation.verify(&key).map_err(|error| Fault::HostKey(Box::new(error)))?;
        Ok(true)
    }

    refuse!(server_channel_open_forwarded_tcpip, "a TCP forwarding", _a: &str, _b: u32, _c: &str, _d: u32);
    refuse!(server_channel_open_forwarded_streamlocal, "a socket forwarding", _a: &str);
    refuse!(server_channel_open_agent_forward, "an agent forwarding");
    refuse!(server_channel_open_session, "a session");
    refuse!(server_channel_open_direct_tcpip, "a TCP connection", _a: &str, _b: u32, _c: &str, _d: u32);
    refuse!(server_channel_open_direct_streamlocal, "a socket connection", _a: &str);
    refuse!(server_channel_open_x11, "an X11 connection", _a: &str, _b: u32);

    async fn should_accept_unknown_server_channel(&mut self, _id: ChannelId, _kind: &str) -> bool {
        false
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Fault>) -> Result<(), Fault> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                // The server chose the text: a line of it, without what a terminal would obey.
                let said: String = info.message.chars().filter(|c| !c.is_control()).take(200).collect();
                self.ending.set(format!("the server ended it: {said}"));
                Ok(())
            }
            DisconnectReason::Error(fault) => {
                self.ending.set(fault.to_string());
                Err(fault)
            }
        }
    }
}
