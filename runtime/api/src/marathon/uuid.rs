//! Universally unique identifiers of deployments and instances.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// A UUID; written with lower-case hexadecimal digits in groups of 8, 4, 4, 4 and 12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(u128);

/// The text is no UUID.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("is not a UUID")]
pub struct UuidError;

impl Uuid {
    /// A random UUID (version 4) out of random bits, which the caller draws.
    pub fn from_random(bits: u128) -> Uuid {
        let free = bits & !(0xf << 76) & !(0x3 << 62);
        Uuid(free | 0x4 << 76 | 0x2 << 62)
    }

    /// The UUID of these bits, as they were sent.
    pub fn from_bits(bits: u128) -> Uuid {
        Uuid(bits)
    }

    /// All bits.
    pub fn as_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl FromStr for Uuid {
    type Err = UuidError;

    fn from_str(text: &str) -> Result<Uuid, UuidError> {
        let shape = text.len() == 36
            && text.bytes().enumerate().all(|(at, c)| match at {
                8 | 13 | 18 | 23 => c == b'-',
                _ => c.is_ascii_hexdigit(),
            });
        match u128::from_str_radix(&text.replace('-', ""), 16) {
            Ok(bits) if shape => Ok(Uuid(bits)),
            _ => Err(UuidError),
        }
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn random_bits_become_a_uuid_of_version_four() {
        assert_eq!(Uuid::from_random(0).to_string(), "00000000-0000-4000-8000-000000000000");
        assert_eq!(Uuid::from_random(u128::MAX).to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn what_has_another_shape_is_refused() {
        for text in ["", "0", "00000000000040008000000000000000", "00000000-0000-4000-8000-00000000000g"] {
            assert_eq!(text.parse::<Uuid>(), Err(UuidError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_written_uuid_reads_back(bits: u128) {
            prop_assert_eq!(Uuid(bits).to_string().parse(), Ok(Uuid(bits)));
            prop_assert_eq!(Uuid(bits).to_string().to_uppercase().parse(), Ok(Uuid(bits)));
        }
    }
}
