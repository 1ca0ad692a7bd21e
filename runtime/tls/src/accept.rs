//! Letting peers in: the handshake of a connection, within its time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use identity::Identity;
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::error::TlsError;
use crate::material::provider;
use crate::peer::{PeerError, identity_of};
use crate::verify::{OurClients, OwnKey, Source};
use crate::{Clients, Live};

/// From the connection to the end of the handshake, of anybody.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// The same where only nodes of the cluster come, which are quick.
const NODES_WITHIN: Duration = Duration::from_secs(3);
/// The first byte of every TLS connection.
const HANDSHAKE: u8 = 0x16;
/// What one who speaks in the clear is told.
const PLAIN: &str = "this port speaks TLS: ask again with https://\n";

/// Makes handshakes with those who come.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    within: Duration,
    clients: Clients,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

/// A connection that was let in.
#[derive(Debug)]
pub struct Accepted {
    /// To speak on.
    pub stream: TlsStream<TcpStream>,
    /// Whom its certificate is for; nobody, when it showed none.
    pub peer: Option<Identity>,
}

/// Why somebody was not let in.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// Nothing, or not all, came in time.
    #[error("no handshake within {} s", .within.as_secs())]
    Late {
        /// The time that there was.
        within: Duration,
    },
    /// It spoke in the clear.
    #[error("it does not speak TLS")]
    Plain,
    /// The handshake failed.
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
    /// Its certificate was let through and names nobody.
    #[error("its certificate names nobody")]
    Peer(#[from] PeerError),
}

pub(crate) fn acceptor(live: &Arc<Live>, clients: Clients) -> Result<Acceptor, TlsError> {
    let source = Arc::new(Source::Live(live.clone()));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))?
        .with_client_cert_verifier(Arc::new(OurClients { live: live.clone(), clients }))
        .with_cert_resolver(Arc::new(OwnKey(source)));
    config.alpn_protocols = ["h2", "http/1.1"].map(|name| name.as_bytes().to_vec()).into();
    // A resumed session would bring a certificate back that was not looked at again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    let within = match clients {
        Clients::Any => HANDSHAKE_WITHIN,
        Clients::Only(_) => NODES_WITHIN,
    };
    Ok(Acceptor { tls: TlsAcceptor::from(Arc::new(config)), within, clients })
}

impl Acceptor {
    /// Whom it lets in.
    #[must_use]
    pub fn clients(&self) -> Clients {
        self.clients
    }

    /// Makes the handshake on a new connection.
    ///
    /// # Errors
    /// When it takes more than ten seconds, or three where a certificate is asked for, the other end does not speak TLS, or shows a certificate that is not good here.
    pub async fn accept(&self, stream: TcpStream) -> Result<Accepted, AcceptError> {
        tokio::time::timeout(self.within, self.handshake(stream))
            .await
            .unwrap_or_else(|_elapsed| Err(AcceptError::Late { within: self.within }))
    }

    async fn handshake(&self, mut stream: TcpStream) -> Result<Accepted, AcceptError> {
        let mut first = [0];
        let read = stream.peek(&mut first).await.map_err(AcceptError::Handshake)?;
        if read == 1 && first != [HANDSHAKE] {
            // It may have gone already; then nobody needs to be told.
            let answer = format!(
                "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{PLAIN}",
                PLAIN.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
            return Err(AcceptError::Plain);
        }
        let stream = self.tls.accept(stream).await.map_err(AcceptError::Handshake)?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let peer = shown.map(|certificate| identity_of(certificate)).transpose()?;
        Ok(Accepted { stream, peer })
    }
}
