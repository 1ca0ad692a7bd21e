//! `cluster_version`: which binaries may open a store.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::{Key, Snapshot, StoreError};

/// A version of clusterctl. In the store, under [`ClusterVersion::KEY`], it says which formats are written; the last step of
/// an upgrade raises it, by an ordinary commit. A binary refuses a store whose version is above its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterVersion {
    /// Formats may change without a way back.
    pub major: u64,
    /// Formats may grow; one apart works together.
    pub minor: u64,
    /// Formats stay.
    pub patch: u64,
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no version such as 1.2.3")]
pub struct VersionError(String);

impl ClusterVersion {
    /// Where the store keeps it: text such as `1.2.3`.
    pub const KEY: &str = "cluster_version";

    /// The version of this binary.
    pub const OWN: Self = Self {
        major: number(env!("CARGO_PKG_VERSION_MAJOR")),
        minor: number(env!("CARGO_PKG_VERSION_MINOR")),
        patch: number(env!("CARGO_PKG_VERSION_PATCH")),
    };

    /// [`ClusterVersion::KEY`] as a key.
    pub fn key() -> Key {
        #[expect(clippy::expect_used, reason = "a constant that a test holds against the rules of keys")]
        Key::new(Self::KEY).expect("cluster_version is a key")
    }

    /// The version of a loaded store; `None` before the first campaign.
    ///
    /// # Errors
    /// When what stands there is no version.
    pub fn of(snapshot: &Snapshot) -> Result<Option<Self>, StoreError> {
        snapshot.get(&Self::key()).map(Self::from_bytes).transpose()
    }

    /// The stored form.
    pub fn to_bytes(self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        Ok(String::from_utf8_lossy(bytes).parse::<Self>()?)
    }

    /// Refuses a store that was raised above `self`.
    pub(crate) fn admits(self, store: Self) -> Result<(), StoreError> {
        if store > self { Err(StoreError::Newer { store, binary: self }) } else { Ok(()) }
    }
}

/// The digits of a version, which cargo has checked.
const fn number(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let (mut value, mut at) = (0, 0);
    while at < bytes.len() {
        value = value * 10 + (bytes[at] - b'0') as u64;
        at += 1;
    }
    value
}

impl fmt::Display for ClusterVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for ClusterVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let numbers: Vec<u64> = text.split('.').map(str::parse).collect::<Result<_, _>>().unwrap_or_default();
        match numbers[..] {
            [major, minor, patch] => Ok(Self { major, minor, patch }),
            _ => Err(VersionError(text.chars().take(64).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_version_is_the_package_s_and_its_key_is_a_key() {
        assert_eq!(ClusterVersion::OWN.to_string(), env!("CARGO_PKG_VERSION"));
        assert_eq!(ClusterVersion::key().as_str(), ClusterVersion::KEY);
    }

    #[test]
    fn versions_compare_by_number_and_anything_else_is_refused() {
        let version = |text: &str| text.parse::<ClusterVersion>();
        assert!(version("0.10.0").unwrap() > version("0.9.9").unwrap());
        for bad in ["", "1.2", "1.2.3.4", "1.2.x", "v1.2.3"] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }
}
