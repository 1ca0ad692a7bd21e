//! Whether the other end of a handshake is whom we meant: its chain, then its identity.

use std::sync::Arc;

use identity::PeerRole;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, verify_server_cert_signed_by_trust_anchor};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::material::{Material, provider};
use crate::peer::{identity_of, names_a_peer};
use crate::{Clients, Live};

/// A certificate that is good, but of somebody whom we did not mean.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WrongPeer(String);

fn wrong(why: String) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(WrongPeer(why)))))
}

/// Whether a certificate is for this role (any, when none is named) of this cluster.
fn is_peer(certificate: &CertificateDer<'_>, cluster: &str, role: Option<PeerRole>) -> Result<(), Error> {
    let found = identity_of(certificate).map_err(|error| wrong(error.to_string()))?;
    if found.cluster() != cluster {
        return Err(wrong(format!("{found} is of another cluster than {cluster}")));
    }
    match role {
        Some(role) if found.role() != role => Err(wrong(format!("{found} is no {role}"))),
        _ => Ok(()),
    }
}

/// Clients at our door.
#[derive(Debug)]
pub(crate) struct OurClients {
    pub(crate) live: Arc<Live>,
    pub(crate) clients: Clients,
}

impl ClientCertVerifier for OurClients {
    fn client_auth_mandatory(&self) -> bool {
        matches!(self.clients, Clients::Only(_))
    }

    // No hints: whoever has a certificate is to show it.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.live.now().clients.verify_client_cert(end_entity, intermediates, now)?;
        let role = match self.clients {
            Clients::Any => None,
            Clients::Only(role) => Some(role),
        };
        is_peer(end_entity, self.live.own.cluster(), role)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.live.now().clients.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.live.now().clients.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.live.now().clients.supported_verify_schemes()
    }
}

/// How a server is known.
#[derive(Debug)]
pub(crate) enum Known {
    /// By its role in this cluster, whatever its address: nodes know each other so.
    Role {
        /// The cluster.
        cluster: String,
        /// The role.
        role: PeerRole,
    },
    /// By the name or address that was dialled; and one whose certificate names a peer has to be a master, so that no agent
    /// is told a token.
    Name,
}

/// Where what is to be believed comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// It may change.
    Live(Arc<Live>),
    /// It stays.
    Fixed(Arc<Material>),
}

impl Source {
    fn now(&self) -> Arc<Material> {
        match self {
            Self::Live(live) => live.now(),
            Self::Fixed(material) => material.clone(),
        }
    }
}

/// Servers that we go to.
#[derive(Debug)]
pub(crate) struct OurServers {
    pub(crate) source: Arc<Source>,
    pub(crate) known: Known,
}

impl ServerCertVerifier for OurServers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let material = self.source.now();
        match &self.known {
            Known::Role { cluster, role } => {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                let algorithms = provider().signature_verification_algorithms.all;
                verify_server_cert_signed_by_trust_anchor(
                    &parsed,
                    &material.roots,
                    intermediates,
                    now,
                    algorithms,
                )?;
                is_peer(end_entity, cluster, Some(*role))?;
                Ok(ServerCertVerified::assertion())
            }
            Known::Name => {
                let verified = material.servers.verify_server_cert(
                    end_entity,
                    intermediates,
                    server_name,
                    ocsp_response,
                    now,
                )?;
                if names_a_peer(end_entity).map_err(|error| wrong(error.to_string()))? {
                    let found = identity_of(end_entity).map_err(|error| wrong(error.to_string()))?;
                    if found.role() != PeerRole::Master {
                        return Err(wrong(format!("{found} is no master")));
                    }
                }
                Ok(verified)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.source.now().servers.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.source.now().servers.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.source.now().servers.supported_verify_schemes()
    }
}

/// The own certificate, as it is now.
#[derive(Debug)]
pub(crate) struct OwnKey(pub(crate) Arc<Source>);

impl ResolvesServerCert for OwnKey {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.now().key.clone()
    }
}

impl ResolvesClientCert for OwnKey {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.now().key.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.now().key.is_some()
    }
}
