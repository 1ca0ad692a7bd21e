//! Whom a certificate is for, by the one URI among its alternative names. Pure.

use identity::{Identity, IdentityError};
use thiserror::Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Why a certificate names nobody of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerError {
    /// It is no certificate.
    #[error("it is no readable certificate: {0}")]
    Unreadable(String),
    /// It has another number of URIs than one, so that two readers could see two peers in it.
    #[error("it has {0} URIs among its names, and a peer's certificate has one")]
    Uris(usize),
    /// The URI is no identity.
    #[error("its name is none of a cluster's peer")]
    Name(#[from] IdentityError),
}

/// Whom the certificate (DER) is for. Whether it is to be believed is not looked at.
///
/// # Errors
/// When it is not readable, or has not exactly one URI, or that is no identity.
pub fn identity_of(certificate: &[u8]) -> Result<Identity, PeerError> {
    let certificate = parse(certificate)?;
    let uris = uris(&certificate)?;
    match uris.as_slice() {
        [uri] => Ok(uri.parse()?),
        uris => Err(PeerError::Uris(uris.len())),
    }
}

/// Whether it has any URI among its names: one that has none is not of our making.
pub(crate) fn names_a_peer(certificate: &[u8]) -> Result<bool, PeerError> {
    let certificate = parse(certificate)?;
    Ok(!uris(&certificate)?.is_empty())
}

pub(crate) fn parse(certificate: &[u8]) -> Result<X509Certificate<'_>, PeerError> {
    let (rest, parsed) =
        X509Certificate::from_der(certificate).map_err(|error| PeerError::Unreadable(error.to_string()))?;
    if rest.is_empty() { Ok(parsed) } else { Err(PeerError::Unreadable("something follows it".to_owned())) }
}

fn uris<'a>(certificate: &'a X509Certificate<'_>) -> Result<Vec<&'a str>, PeerError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| PeerError::Unreadable(error.to_string()))?
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let uri = |name: &'a GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    };
    Ok(names.iter().filter_map(uri).collect())
}
