//! Host keys and their fingerprints, as OpenSSH writes them.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use russh::keys::{HashAlg, PublicKey};
use thiserror::Error;

/// Why a text is no key or fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not a SHA-256 fingerprint.
    #[error(
        "{text:?} is no fingerprint: write it as `ssh-keygen -lf` does, like SHA256:… with 43 characters after it"
    )]
    Fingerprint {
        /// What was given.
        text: String,
    },
    /// Not a public key.
    #[error("{text:?} is no public key: write its type and its base64 text, as in a .pub file")]
    Key {
        /// What was given.
        text: String,
    },
}

/// The SHA-256 fingerprint of a key. It prints as `SHA256:…`, as OpenSSH does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Fingerprint {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = text
            .strip_prefix("SHA256:")
            .and_then(|encoded| STANDARD_NO_PAD.decode(encoded.trim_end_matches('=')).ok())
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Self).ok_or_else(|| KeyError::Fingerprint { text: text.to_owned() })
    }
}

/// A host's public key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostKey {
    kind: String,
    blob: Vec<u8>,
    fingerprint: Fingerprint,
}

impl HostKey {
    /// The key that a server has shown, if it can be written down at all.
    pub(crate) fn of(key: &PublicKey) -> Option<Self> {
        let blob = key.to_bytes().ok()?;
        let fingerprint = Fingerprint(key.fingerprint(HashAlg::Sha256).sha256()?);
        Some(Self { kind: wire_kind(&blob)?, blob, fingerprint })
    }

    /// Its type as it stands in files, like `ssh-ed25519`. An RSA key is `ssh-rsa`, whatever it signs with.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Its fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// Type and base64 text, as in a `.pub` file.
impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, STANDARD.encode(&self.blob))
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.fingerprint)
    }
}

impl FromStr for HostKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        PublicKey::from_openssh(text)
            .ok()
            .and_then(|key| Self::of(&key))
            .ok_or_else(|| KeyError::Key { text: text.to_owned() })
    }
}

/// The type that a key's own bytes name: they begin with its length and its name.
pub(crate) fn wire_kind(blob: &[u8]) -> Option<String> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    let name = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let name = std::str::from_utf8(name).ok()?;
    (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())).then(|| name.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    pub(crate) const ED25519_OTHER: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";
    pub(crate) const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBMxBTpMIGvo7CnordO7wP0QQRqpBwUjOLl4eMhfucfE1sjTYyK5wmTl1UqoSDS1PtRVTBdl+0+9pquFb46U7fwg=";

    #[test]
    fn a_key_is_written_as_it_was_read_and_its_fingerprint_as_openssh_prints_it() {
        for text in [ED25519, ED25519_OTHER, ECDSA] {
            let key: HostKey = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
            assert_eq!(key.kind(), text.split(' ').next().unwrap());
            assert_eq!(key.fingerprint().to_string().parse(), Ok(key.fingerprint()));
            assert_eq!(key.fingerprint().to_string().len(), "SHA256:".len() + 43);
        }
    }

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        for text in [
            "",
            "SHA256:",
            "MD5:aa:bb",
            "SHA256:AAAA",
            "SHA256:ä",
            "sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
        ] {
            assert_eq!(
                text.parse::<Fingerprint>(),
                Err(KeyError::Fingerprint { text: text.to_owned() }),
                "{text}"
            );
        }
        assert!("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".parse::<Fingerprint>().is_ok());
    }

    #[test]
    fn the_name_inside_a_key_is_read_with_care() {
        assert_eq!(wire_kind(b"\0\0\0\x03abcrest").as_deref(), Some("abc"));
        for blob in [
            &b""[..],
            b"\0\0",
            b"\0\0\0\x09abc",
            b"\xff\xff\xff\xffabc",
            b"\0\0\0\0",
            b"\0\0\0\x01\n",
            b"\0\0\0\x01\xff",
        ] {
            assert_eq!(wire_kind(blob), None, "{blob:?}");
        }
    }
}
