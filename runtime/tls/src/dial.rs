//! Going to peers, and what a client without files needs for it.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use identity::PeerRole;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Live;
use crate::error::TlsError;
use crate::material::{Material, Names, provider};
use crate::verify::{Known, OurServers, OwnKey, Source};

/// Goes to peers. The configuration in it follows [`crate::Tls::reload`].
#[derive(Clone, Debug)]
pub struct Dialler(Arc<ClientConfig>);

pub(crate) fn dialler(live: &Arc<Live>, to: PeerRole, protocols: &[&str]) -> Result<Dialler, TlsError> {
    let source = Arc::new(Source::Live(live.clone()));
    let known = Known::Role { cluster: live.own.cluster().to_owned(), role: to };
    config(source, known, protocols)
}

fn config(source: Arc<Source>, known: Known, protocols: &[&str]) -> Result<Dialler, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OurServers { source: source.clone(), known }))
        .with_client_cert_resolver(Arc::new(OwnKey(source)));
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    // Each connection looks at the server's certificate, and shows the one that is on disk now.
    config.resumption = Resumption::disabled();
    Ok(Dialler(Arc::new(config)))
}

impl Dialler {
    /// For HTTP clients that make their connections themselves.
    #[must_use]
    pub fn config(&self) -> ClientConfig {
        self.0.as_ref().clone()
    }

    /// Connects, and makes the handshake. The caller limits the time.
    ///
    /// # Errors
    /// When nobody answers there, or somebody else than was meant.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<TlsStream<TcpStream>> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let stream = TcpStream::connect((bare, port)).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(self.0.clone()).connect(name, stream).await
    }
}

/// The authority that a client of a cluster believes, and what it shows of itself.
#[derive(Debug)]
pub struct Authority<'a> {
    /// PEM of the cluster's authority.
    pub ca: &'a str,
    /// PEM of a certificate and its key, for a client that has one.
    pub own: Option<(&'a str, &'a SecretString)>,
}

impl Authority<'_> {
    /// Goes to masters by the names and addresses in their certificates.
    ///
    /// # Errors
    /// When what is given is no PEM, or does not belong together.
    pub fn dialler(&self, now: SystemTime) -> Result<Dialler, TlsError> {
        let names = Names {
            ca: "the cluster's authority".to_owned(),
            certificate: "of this client".to_owned(),
            key: "of this client".to_owned(),
        };
        let own = self
            .own
            .map(|(certificate, key)| (certificate.as_bytes(), key.expose_secret().as_bytes()));
        let material = Material::parse(self.ca.as_bytes(), own, &names, now)?;
        config(Arc::new(Source::Fixed(Arc::new(material))), Known::Name, &["h2", "http/1.1"])
    }
}

/// What belongs together or not: a test may want a client that shows what no client would.
#[cfg(test)]
pub(crate) fn with(material: Material, protocols: &[&str]) -> Result<Dialler, TlsError> {
    config(Arc::new(Source::Fixed(Arc::new(material))), Known::Name, protocols)
}

/// SHA-256 of the first certificate of a PEM text, as `SHA256:` and pairs of digits.
///
/// # Errors
/// When there is none.
pub fn fingerprint(pem: &str) -> Result<String, TlsError> {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_not_shown| TlsError::Pem {
        place: "the text".to_owned(),
        what: "certificate",
        reason: "there is none in it".to_owned(),
    })?;
    let pairs: Vec<String> = Sha256::digest(&certificate).iter().map(|byte| format!("{byte:02X}")).collect();
    Ok(format!("SHA256:{}", pairs.join(":")))
}
