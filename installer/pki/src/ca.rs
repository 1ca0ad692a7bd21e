//! An authority: its certificate and its key.

use std::fmt;
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SerialNumber,
};
use secrecy::{ExposeSecret, SecretString};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::OID_X509_ORGANIZATIONAL_UNIT;
use x509_parser::pem::{Pem, parse_x509_pem};

use crate::time::{DAY, HOUR, at, seconds, seconds_of, set_validity, text};
use crate::{Fingerprint, PkiError};

/// How long an authority lasts. Its certificate is in every node's and client's configuration, and changing it touches
/// all of them; ten years outlive the machines.
const YEARS_OF_CA: u64 = 3652 * DAY;
/// How much earlier than now a certificate begins: hosts whose clocks are behind by less accept it at once.
pub(crate) const BACK_DATED: u64 = HOUR;

/// Which of a cluster's two authorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The one of masters, agents and clients.
    Cluster,
    /// The one of etcd, whose certificates only coordinators and masters hold: what it signs may write the cluster's state.
    Etcd,
}

impl Kind {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Cluster, Self::Etcd];

    /// Its word in certificates, file names and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Etcd => "etcd",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// All that is random in one certificate.
pub struct Draw {
    serial: [u8; 16],
    key: KeyPair,
}

impl Draw {
    /// A new key (ECDSA on P-256, which every TLS client there is accepts), and a new serial number.
    ///
    /// # Errors
    /// [`PkiError::Random`], [`PkiError::Make`]: the system has no random numbers.
    pub fn new() -> Result<Self, PkiError> {
        let mut serial = [0; 16];
        getrandom::fill(&mut serial).map_err(|fault| PkiError::Random(Box::new(fault)))?;
        Ok(Self { serial, key: KeyPair::generate().map_err(PkiError::make("key"))? })
    }

    /// By value: what was drawn is used once.
    pub(crate) fn into_parts(self) -> (SerialNumber, KeyPair) {
        let Self { mut serial, key } = self;
        // Positive, and of one length, in whatever way it is read.
        serial[0] = serial[0] & 0x7f | 0x40;
        (SerialNumber::from_slice(&serial), key)
    }
}

impl fmt::Debug for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draw").finish_non_exhaustive()
    }
}

/// A certificate authority of one cluster.
#[derive(Debug, Clone)]
pub struct Ca {
    kind: Kind,
    cluster: String,
    certificate: String,
    pub(crate) der: Vec<u8>,
    key: SecretString,
    not_before: u64,
    not_after: u64,
}

impl Ca {
    /// A new authority, valid for ten years from an hour before `now`. Its name has the cluster's and a short random id,
    /// so that two of the same cluster's name are told apart.
    ///
    /// # Errors
    /// [`PkiError::ClusterName`]; [`PkiError::Make`] when the library fails.
    pub fn create(kind: Kind, cluster: &str, now: SystemTime, draw: Draw) -> Result<Self, PkiError> {
        check_cluster(cluster)?;
        let id: String = draw.serial[12..].iter().map(|byte| format!("{byte:02x}")).collect();
        let (serial, key) = draw.into_parts();
        let mut params = CertificateParams::default();
        let now = seconds(now);
        set_validity(&mut params, now.saturating_sub(BACK_DATED), now + YEARS_OF_CA);
        params.serial_number = Some(serial);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, cluster);
        params.distinguished_name.push(DnType::OrganizationalUnitName, kind.as_str());
        let whose: String = cluster.chars().take(32).collect();
        params.distinguished_name.push(DnType::CommonName, format!("clusterctl {whose} {kind} CA {id}"));
        // It signs leaves only: none of them can be an authority.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(PkiError::make("certificate"))?;
        Self::from_pem(&certificate.pem(), SecretString::from(key.serialize_pem()))
    }

    /// An authority that was made before.
    ///
    /// # Errors
    /// [`PkiError::Certificate`], [`PkiError::Key`], [`PkiError::KeyDiffers`]. Whether it is still valid is not looked at:
    /// [`Ca::issue`] does that, and what an expired one has issued can still be judged.
    pub fn from_pem(certificate: &str, key: SecretString) -> Result<Self, PkiError> {
        let wrong = |detail: &str| PkiError::Certificate { detail: detail.to_owned() };
        let pem = first_certificate(certificate).map_err(wrong)?;
        let parsed = parse(&pem).map_err(wrong)?;
        let ends_here = match parsed.basic_constraints() {
            Ok(Some(found)) => found.value.ca && found.value.path_len_constraint == Some(0),
            _ => false,
        };
        if !ends_here {
            return Err(wrong("it may not sign certificates, or may sign other authorities"));
        }
        parsed.verify_signature(None).map_err(|fault| PkiError::Certificate {
            detail: format!("it is not signed by its own key, or was changed ({fault})"),
        })?;
        let cluster = parsed.subject().iter_organization().next().and_then(|name| name.as_str().ok());
        let cluster =
            cluster.ok_or_else(|| wrong("its subject has no organization, which is the cluster's name"))?;
        let unit = parsed.subject().iter_by_oid(&OID_X509_ORGANIZATIONAL_UNIT).next();
        let unit = unit.and_then(|name| name.as_str().ok()).unwrap_or_default();
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == unit);
        let kind = kind.ok_or_else(|| wrong("its subject's unit is neither cluster nor etcd"))?;

        let pair = key_pair(&key)?;
        if pair.subject_public_key_info() != parsed.public_key().raw {
            return Err(PkiError::KeyDiffers);
        }
        Ok(Self {
            kind,
            cluster: cluster.to_owned(),
            certificate: certificate.to_owned(),
            not_before: seconds_of(parsed.validity().not_before),
            not_after: seconds_of(parsed.validity().not_after),
            der: pem.contents.clone(),
            key,
        })
    }

    /// Which of the two.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whose it is.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Its certificate in PEM form: what nodes and clients are given to trust.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Its private key in PEM form, which stays with the operator.
    #[must_use]
    pub const fn key(&self) -> &SecretString {
        &self.key
    }

    /// What people compare.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    /// When it ends. No leaf of it lasts longer.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        at(self.not_after)
    }

    pub(crate) const fn not_after(&self) -> u64 {
        self.not_after
    }

    /// What signs with its key, if it is valid now.
    pub(crate) fn issuer(&self, now: u64) -> Result<Issuer<'static, KeyPair>, PkiError> {
        if now >= self.not_after {
            let on = text(self.not_after);
            return Err(PkiError::Expired { kind: self.kind, cluster: self.cluster.clone(), on });
        }
        if now < self.not_before {
            return Err(PkiError::ClockBehind {
                kind: self.kind,
                cluster: self.cluster.clone(),
                from: text(self.not_before),
                now: text(now),
            });
        }
        Issuer::from_ca_cert_pem(&self.certificate, key_pair(&self.key)?)
            .map_err(PkiError::make("certificate"))
    }
}

fn key_pair(key: &SecretString) -> Result<KeyPair, PkiError> {
    #[expect(clippy::map_err_ignore, reason = "the library's text may quote the key")]
    KeyPair::from_pem(key.expose_secret()).map_err(|_| PkiError::Key)
}

/// The subject's organization: X.509 allows 64 characters.
fn check_cluster(name: &str) -> Result<(), PkiError> {
    let fault = match name.chars().count() {
        0 => "is empty",
        1..=64 if !name.chars().any(char::is_control) => return Ok(()),
        1..=64 => "has control characters",
        _ => "is longer than the 64 characters that a certificate can carry",
    };
    Err(PkiError::ClusterName { name: name.to_owned(), fault })
}

/// The first certificate in a PEM file, which is the holder's own where several stand.
pub(crate) fn first_certificate(text: &str) -> Result<Pem, &'static str> {
    match parse_x509_pem(text.as_bytes()) {
        Ok((_, pem)) if pem.label == "CERTIFICATE" => Ok(pem),
        Ok(_) => Err("the PEM file holds something else"),
        Err(_) => Err("it is not in PEM form"),
    }
}

/// What the PEM file's bytes say, all of them.
pub(crate) fn parse(pem: &Pem) -> Result<X509Certificate<'_>, &'static str> {
    match x509_parser::parse_x509_certificate(&pem.contents) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err("there are bytes after its end"),
        Err(_) => Err("it is damaged"),
    }
}
