//! Certificates and keys as they are on disk, checked.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use identity::Identity;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use secrecy::{ExposeSecret as _, SecretSlice};

use crate::Files;
use crate::error::TlsError;
use crate::peer::{identity_of, parse};

/// No certificate or key is larger.
const MAX_FILE: u64 = 1 << 20;

/// All that a handshake needs. Everything in it belongs together.
#[derive(Debug)]
pub(crate) struct Material {
    pub(crate) roots: Arc<RootCertStore>,
    /// For the signatures of servers.
    pub(crate) servers: Arc<WebPkiServerVerifier>,
    /// For clients' certificates.
    pub(crate) clients: Arc<dyn ClientCertVerifier>,
    /// Absent for somebody who has no certificate.
    pub(crate) key: Option<Arc<CertifiedKey>>,
    pub(crate) expires: SystemTime,
}

/// The one crypto provider of the program.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl Material {
    /// From files, of which the certificate must be `own`'s and good at `now`.
    pub(crate) fn read(files: &Files, own: &Identity, now: SystemTime) -> Result<Self, TlsError> {
        let name = |path: &Path| path.display().to_string();
        let ca = read(&files.ca)?;
        let certificate = read(&files.certificate)?;
        guard_key(&files.key)?;
        let key = SecretSlice::from(read(&files.key)?);
        let names =
            Names { ca: name(&files.ca), certificate: name(&files.certificate), key: name(&files.key) };
        let material = Self::parse(&ca, Some((&certificate, key.expose_secret())), &names, now)?;
        let found = material.key.as_ref().and_then(|key| key.cert.first());
        let found = identity_of(found.map_or(&[], |certificate| certificate.as_ref()))
            .map_err(|source| TlsError::Identity { place: names.certificate.clone(), source })?;
        if &found != own {
            return Err(TlsError::NotOurs {
                place: names.certificate,
                found: Box::new(found),
                own: Box::new(own.clone()),
            });
        }
        Ok(material)
    }

    /// From PEM; with a certificate and its key, or without.
    pub(crate) fn parse(
        ca: &[u8],
        leaf: Option<(&[u8], &[u8])>,
        names: &Names,
        now: SystemTime,
    ) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let authorities = certificates(ca, &names.ca)?;
        for authority in &authorities {
            roots.add(authority.clone()).map_err(|error| TlsError::Pem {
                place: names.ca.clone(),
                what: "certificate of an authority",
                reason: error.to_string(),
            })?;
        }
        let roots = Arc::new(roots);
        let setup = |error: rustls::server::VerifierBuilderError| TlsError::Setup(error.to_string());
        let servers =
            WebPkiServerVerifier::builder_with_provider(roots.clone(), provider()).build().map_err(setup)?;
        let clients =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider()).build().map_err(setup)?;
        let mut material = Self { roots, servers, clients, key: None, expires: SystemTime::now() };
        if let Some((chain, key)) = leaf {
            let mut chain = certificates(chain, &names.certificate)?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::Pem {
                place: names.key.clone(),
                what: "private key",
                // Of a key nothing is quoted.
                reason: short(&error).to_owned(),
            })?;
            material.expires = material.check(&chain, names, now)?;
            // Sent along, so that somebody who logs in for the first time can be shown its fingerprint.
            if let [authority] = authorities.as_slice()
                && !chain.contains(authority)
            {
                chain.push(authority.clone());
            }
            let key =
                CertifiedKey::from_der(chain, key, &provider()).map_err(|error| TlsError::Mismatch {
                    certificate: names.certificate.clone(),
                    key: names.key.clone(),
                    reason: error.to_string(),
                })?;
            material.key = Some(Arc::new(key));
        }
        Ok(material)
    }

    /// The own certificate has to hold as the peers will look at it; when it ends.
    fn check(
        &self,
        chain: &[CertificateDer<'static>],
        names: &Names,
        now: SystemTime,
    ) -> Result<SystemTime, TlsError> {
        let untrusted = |reason: String| TlsError::Untrusted {
            certificate: names.certificate.clone(),
            ca: names.ca.clone(),
            reason,
        };
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let Some((own, between)) = chain.split_first() else {
            return Err(untrusted("it is empty".to_owned()));
        };
        self.clients
            .verify_client_cert(own, between, UnixTime::since_unix_epoch(since))
            .map_err(|error| untrusted(error.to_string()))?;
        let parsed = parse(own).map_err(|error| untrusted(error.to_string()))?;
        let ends = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        Ok(UNIX_EPOCH + Duration::from_secs(ends))
    }
}

/// How the parts are called in errors.
pub(crate) struct Names {
    pub(crate) ca: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

fn certificates(pem: &[u8], place: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: &str| TlsError::Pem {
        place: place.to_owned(),
        what: "certificate",
        reason: reason.to_owned(),
    };
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(short(&error)))?;
    if found.is_empty() { Err(wrong("there is none in it")) } else { Ok(found) }
}

/// The kind of fault, without what stands in the file.
fn short(error: &rustls_pki_types::pem::Error) -> &'static str {
    use rustls_pki_types::pem::Error;
    match error {
        Error::MissingSectionEnd { .. } => "a section has no end, so the file is cut off",
        Error::IllegalSectionStart { .. } => "a section does not begin as it should",
        Error::Base64Decode(_) => "what stands in it is no base64",
        Error::NoItemsFound => "there is none in it",
        _ => "it is not readable",
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(failed(io::Error::other("it is too large for a certificate or key")));
    }
    Ok(bytes)
}

/// A key is for its owner, or for a group to read; and its owner is this process' user or root.
fn guard_key(path: &Path) -> Result<(), TlsError> {
    let meta = fs::metadata(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o137 != 0 {
        return Err(TlsError::OpenKey { path: path.to_owned(), mode });
    }
    let (owner, own) = (meta.uid(), rustix::process::geteuid().as_raw());
    if owner != 0 && owner != own {
        return Err(TlsError::Owner { path: path.to_owned(), owner, own });
    }
    Ok(())
}
