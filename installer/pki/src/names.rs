//! The names that a certificate is for, one set for what is wanted and for what is found.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::PkiError;

/// One of the names in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AltName {
    /// Who its holder is, for the cluster.
    Uri(String),
    /// A host name, in lower case.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A sort that clusterctl never writes.
    Other(String),
}

impl AltName {
    /// An address, or a host name that clients can verify.
    pub(crate) fn host(text: &str) -> Result<Self, PkiError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        // All digits in the last label: an address that was mistyped, never a name.
        let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        let fit = name.len() <= 253
            && name.split('.').all(is_label)
            && !name.rsplit('.').next().is_some_and(|last| name.contains('.') && numeric(last));
        if fit { Ok(Self::Dns(name)) } else { Err(PkiError::HostName { name: text.to_owned() }) }
    }

    /// All that a certificate has. A list that cannot be read is none that was wanted.
    pub(crate) fn of(certificate: &X509Certificate<'_>) -> BTreeSet<Self> {
        match certificate.subject_alternative_name() {
            Ok(Some(list)) => list.value.general_names.iter().map(Self::from_general).collect(),
            Ok(None) => BTreeSet::new(),
            Err(fault) => BTreeSet::from([Self::Other(fault.to_string())]),
        }
    }

    fn from_general(name: &GeneralName<'_>) -> Self {
        match name {
            GeneralName::URI(uri) => Self::Uri((*uri).to_owned()),
            GeneralName::DNSName(name) => Self::Dns(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => {
                address(bytes).map_or_else(|| Self::Other(name.to_string()), Self::Ip)
            }
            _ => Self::Other(name.to_string()),
        }
    }
}

impl fmt::Display for AltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(text) | Self::Dns(text) | Self::Other(text) => f.write_str(text),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_host_names_are_told_apart() {
        let ip = |text: &str| AltName::Ip(text.parse().unwrap());
        let dns = |text: &str| AltName::Dns(text.to_owned());
        for (text, wanted) in [
            ("192.0.2.11", ip("192.0.2.11")),
            ("2001:DB8::1", ip("2001:db8::1")),
            ("m1", dns("m1")),
            ("7", dns("7")),
            ("M1.Example.org.", dns("m1.example.org")),
            ("10g-node.example", dns("10g-node.example")),
        ] {
            assert_eq!(AltName::host(text).unwrap(), wanted);
        }
    }

    #[test]
    fn what_no_client_would_verify_is_refused() {
        let long = format!("{}.example", "a".repeat(64));
        for text in [
            "",
            ".",
            "a..b",
            "node_1",
            "-a",
            "a-",
            "*.example",
            "192.0.2.256",
            "m1:5050",
            "mü.example",
            &long,
        ] {
            let refused = AltName::host(text);
            assert!(
                matches!(&refused, Err(PkiError::HostName { name }) if name == text),
                "{text:?}: {refused:?}"
            );
        }
    }
}
