//! What people compare when they are to trust a certificate: the SHA-256 of it.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use thiserror::Error;

/// SHA-256 of a certificate in DER form, written as `openssl x509 -fingerprint -sha256` writes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// A text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{found:?} is no SHA-256 fingerprint, which is 64 hexadecimal digits, with or without colons between pairs"
)]
pub struct FingerprintError {
    /// The text.
    pub found: String,
}

impl Fingerprint {
    /// The fingerprint of a certificate in DER form.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            let colon = if place == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Takes what [`Display`](fmt::Display) writes, in either case, with colons between all pairs or none.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let wrong = || FingerprintError { found: text.to_owned() };
        let bare = text.trim();
        let pairs: Vec<&str> = if bare.contains(':') {
            bare.split(':').collect()
        } else {
            (0..bare.len()).step_by(2).filter_map(|from| bare.get(from..from + 2)).collect()
        };
        if bare.len() != if bare.contains(':') { 95 } else { 64 } {
            return Err(wrong());
        }
        let byte = |pair: &str| {
            let digits = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            digits.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
        };
        let bytes: Option<Vec<u8>> = pairs.into_iter().map(byte).collect();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_sha_256_in_pairs() {
        let shown = Fingerprint::of(b"abc").to_string();
        assert!(shown.starts_with("BA:78:16:BF:8F:01:CF:EA") && shown.ends_with(":F2:00:15:AD"), "{shown}");
        assert_eq!(shown.len(), 95);
    }

    #[test]
    fn it_is_read_with_and_without_colons_and_in_either_case() {
        let one = Fingerprint::of(b"abc");
        for text in [one.to_string(), one.to_string().to_lowercase(), one.to_string().replace(':', "")] {
            assert_eq!(text.parse(), Ok(one), "{text}");
        }
    }

    #[test]
    fn what_is_too_short_too_long_or_has_other_signs_is_refused() {
        let whole = Fingerprint::of(b"abc").to_string();
        let bare = whole.replace(':', "");
        for text in [
            "",
            "BA",
            &whole[3..],
            &format!("{whole}:00"),
            &bare.replace('B', "+"),
            &whole.replacen(':', "", 1),
            &whole.replacen("BA:7", "B:A7", 1),
            &format!("é{}", &bare[2..]),
        ] {
            assert_eq!(text.parse::<Fingerprint>(), Err(FingerprintError { found: text.to_owned() }));
        }
    }
}
