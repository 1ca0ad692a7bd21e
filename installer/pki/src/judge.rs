//! Whether the certificate that a node has will do.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime};

use x509_parser::certificate::X509Certificate;

use crate::ca::{first_certificate, parse};
use crate::time::{DAY, at, seconds, seconds_of, text};
use crate::{AltName, Ca, Fingerprint, Request, Usage};

/// A certificate with less than this left is renewed: two missed monthly runs still leave none expired by surprise, since
/// masters and agents warn from the same day on.
pub const RENEW_BEFORE: Duration = Duration::from_secs(30 * DAY);

/// The algorithm that every authority of ours signs with, as it stands in a certificate.
const ECDSA_WITH_SHA256: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// What is to be done about a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Keep {
        /// Until when it is valid.
        expires: SystemTime,
    },
    /// Issue another one.
    Renew(Reason),
    /// It is another authority's, so the node belongs to another cluster: stop.
    Foreign {
        /// The name of the authority that signed it.
        issuer: String,
        /// The certificate's own fingerprint.
        fingerprint: Fingerprint,
    },
}

/// Why a certificate is renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// There is none.
    Missing,
    /// It is no certificate, or was changed after it was issued.
    Unreadable {
        /// What is wrong.
        detail: String,
    },
    /// It begins later: the clock of the machine that issued it was ahead of this one's.
    NotYetValid {
        /// When it begins.
        from: SystemTime,
    },
    /// It has ended.
    Expired {
        /// When it did.
        on: SystemTime,
    },
    /// Less than [`RENEW_BEFORE`] is left.
    ExpiresSoon {
        /// Whole days that are left.
        days: u64,
    },
    /// It is for other names.
    NamesDiffer {
        /// Names that it has not.
        missing: Vec<AltName>,
        /// Names that it should not have.
        extra: Vec<AltName>,
    },
    /// It may be used at other ends of a connection than it should.
    UsageDiffers,
}

/// Judges the certificate that was found on a node, in PEM form, or that none was found.
///
/// A foreign one is foreign whatever else is wrong with it. One that has our authority's name but was not signed by its
/// key was damaged, since that name is random in part.
#[must_use]
pub fn judge(found: Option<&str>, ca: &Ca, wanted: &Request, now: SystemTime) -> Verdict {
    let Some(found) = found.filter(|found| !found.trim().is_empty()) else {
        return Verdict::Renew(Reason::Missing);
    };
    let unreadable = |detail: &str| Verdict::Renew(Reason::Unreadable { detail: detail.to_owned() });
    let pem = match first_certificate(found) {
        Ok(pem) => pem,
        Err(detail) => return unreadable(detail),
    };
    let certificate = match parse(&pem) {
        Ok(certificate) => certificate,
        Err(detail) => return unreadable(detail),
    };
    match provenance(&certificate, &pem.contents, ca) {
        Provenance::Ours => {}
        Provenance::Damaged => return unreadable("it was changed after it was issued"),
        Provenance::Foreign => {
            let fingerprint = Fingerprint::of(&pem.contents);
            return Verdict::Foreign { issuer: certificate.issuer().to_string(), fingerprint };
        }
    }
    fault(&certificate, ca, wanted, seconds(now)).map_or_else(
        || Verdict::Keep { expires: at(seconds_of(certificate.validity().not_after)) },
        Verdict::Renew,
    )
}

enum Provenance {
    Ours,
    Damaged,
    Foreign,
}

fn provenance(certificate: &X509Certificate<'_>, der: &[u8], ca: &Ca) -> Provenance {
    // The authority was parsed when it was loaded; if that fails now, nothing is ours.
    let Ok((_, authority)) = x509_parser::parse_x509_certificate(&ca.der) else {
        return Provenance::Foreign;
    };
    let named = certificate.issuer().as_raw() == authority.subject().as_raw();
    let signed = certificate.verify_signature(Some(authority.public_key())).is_ok();
    match (named, signed && is_framed_as_issued(certificate, der)) {
        (true, true) => Provenance::Ours,
        (true, false) => Provenance::Damaged,
        (false, _) => Provenance::Foreign,
    }
}

/// What stands around the signed part is not signed, and the parser is lenient there where TLS libraries are not: a damaged
/// file must not be kept that no daemon can use.
fn is_framed_as_issued(certificate: &X509Certificate<'_>, der: &[u8]) -> bool {
    let signature = &certificate.signature_value.data;
    let bit_string = u8::try_from(signature.len() + 1).map(|length| [0x03, length, 0]).unwrap_or_default();
    let frame = [&ECDSA_WITH_SHA256, bit_string.as_slice(), signature].concat();
    let signed = certificate.tbs_certificate.as_ref();
    // Its own head: a sequence with a length in two bytes.
    der.len() == 4 + signed.len() + frame.len() && der.starts_with(&[0x30, 0x82]) && der.ends_with(&frame)
}

/// The first reason to renew a certificate of ours.
fn fault(certificate: &X509Certificate<'_>, ca: &Ca, wanted: &Request, now: u64) -> Option<Reason> {
    let from = seconds_of(certificate.validity().not_before);
    let until = seconds_of(certificate.validity().not_after);
    let left = until.saturating_sub(now);
    let (has, wants) = (AltName::of(certificate), wanted.names());
    if now < from {
        Some(Reason::NotYetValid { from: at(from) })
    } else if left == 0 {
        Some(Reason::Expired { on: at(until) })
    } else if left < RENEW_BEFORE.as_secs() && until < ca.not_after() {
        // One that ends with its authority would be renewed on every run, and for nothing.
        Some(Reason::ExpiresSoon { days: left / DAY })
    } else if has != wants {
        let without = |a: &BTreeSet<AltName>, b: &BTreeSet<AltName>| a.difference(b).cloned().collect();
        Some(Reason::NamesDiffer { missing: without(&wants, &has), extra: without(&has, &wants) })
    } else if usage(certificate) != Some(wanted.wanted_usage()) {
        Some(Reason::UsageDiffers)
    } else {
        None
    }
}

/// The usage that a certificate has, if it is one that is ever issued.
fn usage(certificate: &X509Certificate<'_>) -> Option<Usage> {
    let found = certificate.extended_key_usage().ok()??.value;
    match (found.any, found.client_auth, found.server_auth) {
        (false, true, true) => Some(Usage::ClientAndServer),
        (false, true, false) => Some(Usage::Client),
        _ => None,
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep { expires } => write!(f, "valid until {}", text(seconds(*expires))),
            Self::Renew(reason) => reason.fmt(f),
            Self::Foreign { issuer, fingerprint } => {
                write!(f, "it is of another authority: {issuer} (SHA-256 {fingerprint})")
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is none"),
            Self::Unreadable { detail } => write!(f, "it cannot be used: {detail}"),
            Self::NotYetValid { from } => write!(f, "it is valid only from {}", text(seconds(*from))),
            Self::Expired { on } => write!(f, "it expired on {}", text(seconds(*on))),
            Self::ExpiresSoon { days } => write!(f, "it expires in {days} days"),
            Self::UsageDiffers => f.write_str(
                "it may be used as client or as server where it should not, or not where it should",
            ),
            Self::NamesDiffer { missing, extra } => {
                let list =
                    |names: &[AltName]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                match (missing.is_empty(), extra.is_empty()) {
                    (false, true) => write!(f, "it is not for {}", list(missing)),
                    (true, _) => write!(f, "it is still for {}", list(extra)),
                    (false, false) => write!(f, "it is not for {}, but for {}", list(missing), list(extra)),
                }
            }
        }
    }
}
