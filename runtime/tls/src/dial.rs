//! Going to peers, and what a client without files needs for it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use identity::PeerRole;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
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
        let own = self.own.map(|(certificate, key)| (certificate.as_bytes(), key.expose_secret().as_bytes()));
        let material = Material::parse(self.ca.as_bytes(), own, &names, now)?;
        config(Arc::new(Source::Fixed(Arc::new(material))), Known::Name, &["h2", "http/1.1"])
    }
}

/// The certificate of the authority that a server says it has, PEM: nothing is believed yet, and nothing is sent. A person
/// compares its [`fingerprint`] with what the cluster's operator told.
///
/// # Errors
/// When nobody answers there with TLS in ten seconds, or the server does not send its authority along.
pub async fn claimed_authority(host: &str, port: u16) -> io::Result<String> {
    let seen = Arc::new(Looker::default());
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
        .with_no_client_auth();
    let dialler = Dialler(Arc::new(config));
    let looked = tokio::time::timeout(LOOK_WITHIN, dialler.connect(host, port)).await;
    let shown = seen.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (shown, looked) {
        (Some(authority), _) => Ok(pem_of(&authority)),
        (None, Ok(Err(error))) => Err(error),
        (None, Err(_elapsed)) => Err(io::ErrorKind::TimedOut.into()),
        (None, Ok(Ok(_))) => Err(io::Error::other("it does not send its authority along")),
    }
}

/// A look takes no longer.
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// Believes nobody: notes the last certificate that is shown, and ends the handshake.
#[derive(Debug, Default)]
struct Looker(Mutex<Option<CertificateDer<'static>>>);

impl ServerCertVerifier for Looker {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        // Only one that issued the server's certificate is worth a question.
        let Some(last) = intermediates.last() else { return Err(refused) };
        let mut roots = rustls::RootCertStore::empty();
        roots.add(last.clone().into_owned())?;
        let parsed = rustls::server::ParsedCertificate::try_from(end_entity)?;
        let algorithms = provider().signature_verification_algorithms.all;
        rustls::client::verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, algorithms)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(last.clone().into_owned());
        Err(refused)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer))
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

fn pem_of(certificate: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for (at, character) in text.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem + "\n-----END CERTIFICATE-----\n"
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
