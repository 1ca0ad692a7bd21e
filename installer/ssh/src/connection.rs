//! One connection: from bytes to a server that has let us in.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use russh::client::{self, Handle};
use russh::{ChannelOpenFailure, Disconnect};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use crate::algorithms;
use crate::error::{ConnectError, Phase};
use crate::handler::{Ending, Expectation, Fault, Handler};
use crate::known_hosts::kinds;
use crate::stream::{Lifeline, Traffic, Watched};

/// sshd's own limit is 10 sessions on one connection; what is being closed still counts there for a moment.
const MAX_SESSIONS: usize = 8;
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a connection can be made over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection on which a user is logged in.
pub(crate) struct Connection {
    pub(crate) handle: Handle<Handler>,
    pub(crate) host: String,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) sessions: Arc<Semaphore>,
    /// How often an answer was waited for.
    pub(crate) round_trips: AtomicU64,
    ending: Ending,
    _lifeline: Lifeline,
    /// The way that this one goes: it must stay as long as we do.
    _through: Option<Arc<Connection>>,
}

/// A server whose key is right, and to which nobody has logged in yet.
pub(crate) struct Greeted {
    pub(crate) handle: Handle<Handler>,
    traffic: Arc<Traffic>,
    ending: Ending,
    lifeline: Lifeline,
}

/// Opens a TCP connection, to the first address that takes one.
pub(crate) async fn open_tcp(host: &str, port: u16, patience: Duration) -> Result<TcpStream, ConnectError> {
    let late = || ConnectError::TimedOut { host: host.to_owned(), phase: Phase::Tcp, after: patience };
    let unresolvable =
        |source| ConnectError::Unresolvable { host: host.to_owned(), source: Arc::new(source) };
    let addresses: Vec<_> = timeout(patience, lookup_host((host, port)))
        .await
        .map_err(|_elapsed| late())?
        .map_err(unresolvable)?
        .collect();
    // Each address gets its share, so that a dead one does not use up the time of the next.
    let share = patience / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = unresolvable(io::Error::new(ErrorKind::NotFound, "the name has no address"));
    for address in addresses {
        last = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Without it, each small message would wait for the answer to the one before.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(host, %error, "no TCP_NODELAY");
                }
                return Ok(stream);
            }
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                ConnectError::Refused { host: host.to_owned(), port }
            }
            Ok(Err(error)) if error.kind() == ErrorKind::TimedOut => late(),
            Ok(Err(error)) => {
                ConnectError::Unreachable { host: host.to_owned(), port, source: Arc::new(error) }
            }
            Err(_) => late(),
        };
    }
    Err(last)
}

impl Connection {
    /// Opens a way through this connection to another host, as seen from its server.
    pub(crate) async fn open_through(
        &self,
        host: &str,
        port: u16,
        patience: Duration,
    ) -> Result<impl Stream + 'static, ConnectError> {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        let opening = self.handle.channel_open_direct_tcpip(host, port.into(), "127.0.0.1", 0);
        match timeout(patience, opening).await {
            Ok(Ok(channel)) => Ok(channel.into_stream()),
            Ok(Err(russh::Error::ChannelOpenFailure(failure))) => Err(ConnectError::NoForwarding {
                host: host.to_owned(),
                port,
                reason: match failure {
                    ChannelOpenFailure::AdministrativelyProhibited => "it is forbidden there".to_owned(),
                    ChannelOpenFailure::ConnectFailed => "the connection failed".to_owned(),
                    ChannelOpenFailure::ResourceShortage => "it has too many connections".to_owned(),
                    other => format!("{other:?}"),
                },
            }),
            Ok(Err(error)) => Err(ConnectError::Dropped {
                host: self.host.clone(),
                phase: Phase::Tcp,
                reason: self.ending().unwrap_or_else(|| error.to_string()),
            }),
            Err(_) => {
                Err(ConnectError::TimedOut { host: host.to_owned(), phase: Phase::Tcp, after: patience })
            }
        }
    }

    /// Why it ended, if it has.
    pub(crate) fn ending(&self) -> Option<String> {
        self.ending.reason()
    }

    /// Says goodbye, and waits a moment for it to be sent.
    pub(crate) async fn close(mut self) {
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
        if timeout(FAREWELL, &mut self.handle).await.is_err() {
            tracing::debug!(host = self.host, "the connection did not end by itself");
        }
    }
}

/// Agrees on keys with what answers on a stream, and makes sure that it is the right host. Each part has its own limit:
/// a server that never says a word is told from one that stops in the middle.
pub(crate) async fn greet(
    stream: Box<dyn Stream>,
    expectation: Expectation,
    patience: Duration,
) -> Result<Greeted, ConnectError> {
    let (host, port) = (expectation.host.clone(), expectation.port);
    let config = Arc::new(algorithms::config(&kinds(&expectation.known, &host, port)));
    let (traffic, ending) = (Arc::new(Traffic::default()), Ending::default());
    let (stream, lifeline) = Watched::new(stream, Arc::clone(&traffic));
    let handler = Handler { expectation, ending: ending.clone() };
    let mut making = Box::pin(client::connect_stream(config, stream, handler));
    let late = |phase| ConnectError::TimedOut { host: host.clone(), phase, after: patience };

    let banner = Instant::now() + patience;
    let early = tokio::select! {
        biased;
        made = &mut making => Some(made),
        came = timeout_at(banner, traffic.banner()) => match came {
            Ok(()) => None,
            Err(_) => return Err(late(Phase::Banner)),
        },
    };
    let made = match early {
        Some(made) => made,
        None => timeout(patience, making).await.map_err(|_elapsed| late(Phase::Kex))?,
    };
    match made {
        Ok(handle) => Ok(Greeted { handle, traffic, ending, lifeline }),
        Err(fault) => {
            let phase = if traffic.has_banner() { Phase::Kex } else { Phase::Banner };
            Err(failed(fault, host, port, phase))
        }
    }
}

impl Greeted {
    /// The connection, when somebody has logged in.
    pub(crate) fn logged_in(
        self,
        host: String,
        round_trips: u64,
        through: Option<Arc<Connection>>,
    ) -> Connection {
        Connection {
            handle: self.handle,
            host,
            traffic: self.traffic,
            sessions: Arc::new(Semaphore::new(MAX_SESSIONS)),
            round_trips: AtomicU64::new(round_trips),
            ending: self.ending,
            _lifeline: self.lifeline,
            _through: through,
        }
    }
}

/// What a fault during the handshake means.
fn failed(fault: Fault, host: String, port: u16, phase: Phase) -> ConnectError {
    use russh::Error;
    let error = match fault {
        Fault::HostKey(error) => return *error,
        Fault::Uninvited(_) => return ConnectError::Protocol { host, port, reason: fault.to_string() },
        Fault::Russh(error) => error,
    };
    match error {
        Error::NoCommonAlgo { kind, theirs, .. } => {
            ConnectError::NoCommonAlgorithm { host, kind: format!("{kind:?}").to_lowercase(), theirs }
        }
        Error::HUP | Error::Disconnect | Error::SendError | Error::RecvError | Error::IO(_) => {
            ConnectError::Dropped { host, phase, reason: error.to_string() }
        }
        other => ConnectError::Protocol { host, port, reason: other.to_string() },
    }
}
