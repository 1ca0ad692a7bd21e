//! What an authority issues.

use std::collections::BTreeSet;
use std::time::SystemTime;

use identity::{Identity, PeerRole};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
};
use secrecy::SecretString;

use crate::ca::BACK_DATED;
use crate::time::{DAY, at, seconds, set_validity};
use crate::{AltName, Ca, Draw, PkiError};

/// How long a leaf lasts.
const LASTS: u64 = 365 * DAY;

/// Which ends of a connection a certificate may stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Usage {
    /// The end that dials.
    Client,
    /// Both: masters and agents are dialled, and dial.
    ClientAndServer,
}

/// What a certificate shall be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    identity: Identity,
    hosts: BTreeSet<AltName>,
    usage: Usage,
}

impl Request {
    /// A certificate for this identity, with the usage that its role needs: an operator only dials.
    #[must_use]
    pub const fn new(identity: Identity) -> Self {
        let usage = match identity.role() {
            PeerRole::Master | PeerRole::Agent => Usage::ClientAndServer,
            PeerRole::Admin => Usage::Client,
        };
        Self { identity, hosts: BTreeSet::new(), usage }
    }

    /// Adds a host name or an address under which the holder is dialled. One that is there already is no error.
    ///
    /// # Errors
    /// [`PkiError::HostName`]
    pub fn host(mut self, host: &str) -> Result<Self, PkiError> {
        self.hosts.insert(AltName::host(host)?);
        Ok(self)
    }

    /// Another usage than the role's own.
    #[must_use]
    pub const fn usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    /// Whom it is for.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// All names that the certificate has: the identity's URI, host names and addresses.
    #[must_use]
    pub fn names(&self) -> BTreeSet<AltName> {
        let uri = AltName::Uri(self.identity.to_string());
        self.hosts.iter().cloned().chain([uri]).collect()
    }

    pub(crate) const fn wanted_usage(&self) -> Usage {
        self.usage
    }
}

/// A certificate that was issued, and its key.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The certificate in PEM form.
    pub certificate: String,
    /// Its private key in PEM form (PKCS #8).
    pub key: SecretString,
    /// Until when it is valid.
    pub expires: SystemTime,
}

impl Ca {
    /// Issues a certificate: for one year from an hour before `now`, but not longer than the authority lasts itself.
    ///
    /// # Errors
    /// [`PkiError::OtherCluster`]; [`PkiError::Expired`] and [`PkiError::ClockBehind`] when the authority is not valid
    /// now; [`PkiError::Make`] when the library fails.
    pub fn issue(&self, request: &Request, now: SystemTime, draw: Draw) -> Result<Leaf, PkiError> {
        let identity = &request.identity;
        if identity.cluster() != self.cluster() {
            let (ca, wanted) = (self.cluster().to_owned(), identity.cluster().to_owned());
            return Err(PkiError::OtherCluster { ca, wanted });
        }
        let now = seconds(now);
        let issuer = self.issuer(now)?;
        let until = (now + LASTS).min(self.not_after());

        let (serial, pair) = draw.into_parts();
        let mut params = CertificateParams::default();
        set_validity(&mut params, now.saturating_sub(BACK_DATED), until);
        params.serial_number = Some(serial);
        params.distinguished_name = subject(identity);
        params.subject_alt_names = request.names().iter().map(alternative).collect::<Result<_, _>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match request.usage {
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::ClientAndServer => {
                vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth]
            }
        };
        // Strict clients (Python's since 3.13) want to be told which key signed.
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&pair, &issuer).map_err(PkiError::make("certificate"))?;
        let key = SecretString::from(pair.serialize_pem());
        Ok(Leaf { certificate: certificate.pem(), key, expires: at(until) })
    }
}

/// For people who look at a certificate: what counts is the URI. X.509 limits each part to 64 characters.
fn subject(identity: &Identity) -> DistinguishedName {
    let short = |text: &str| text.chars().take(64).collect::<String>();
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, short(identity.cluster()));
    name.push(DnType::OrganizationalUnitName, identity.role().as_str());
    name.push(DnType::CommonName, short(identity.name()));
    name
}

fn alternative(name: &AltName) -> Result<SanType, PkiError> {
    let ascii = |text: &str| text.to_owned().try_into().map_err(PkiError::make("certificate"));
    Ok(match name {
        AltName::Uri(uri) => SanType::URI(ascii(uri)?),
        AltName::Dns(host) | AltName::Other(host) => SanType::DnsName(ascii(host)?),
        AltName::Ip(address) => SanType::IpAddress(*address),
    })
}
