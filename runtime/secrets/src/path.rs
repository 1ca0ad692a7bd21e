//! Where a secret is kept, as definitions name it in `source`.

use std::fmt;
use std::str::FromStr;

use store::{Key, KeyError};
use thiserror::Error;

/// The longest path, in bytes: as a key of the store, where one byte may become three, it has room.
const LONGEST: usize = 256;

/// A path such as `db/password`: names between slashes. One slash at its front says nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretPath(String);

/// Why a text is no path of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path:?} is no path of a secret: {fault}")]
pub struct PathError {
    /// The text.
    pub path: String,
    /// What is wrong with it.
    pub fault: &'static str,
}

impl FromStr for SecretPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let path = text.strip_prefix('/').unwrap_or(text);
        let fault = if path.len() > LONGEST {
            "it has more than 256 bytes"
        } else if path.split('/').any(|name| matches!(name, "" | "." | "..")) {
            "it has a name that is empty, . or .."
        } else if path.chars().any(|c| c.is_control() || c.is_whitespace()) {
            "it has a space or a control character"
        } else {
            return Ok(Self(path.to_owned()));
        };
        // A text of any length comes back in answers.
        Err(PathError { path: text.chars().take(LONGEST).collect(), fault })
    }
}

impl SecretPath {
    /// Without a slash at its front.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where it lies in the store.
    pub(crate) fn key(&self) -> Result<Key, KeyError> {
        self.0.split('/').try_fold(all()?, |key, name| key.child(name))
    }
}

/// All secrets lie below it.
pub(crate) fn all() -> Result<Key, KeyError> {
    Key::new("secrets/at")
}

impl fmt::Display for SecretPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_names_between_slashes() {
        for (text, path) in [
            ("a", "a"),
            ("/db/password", "db/password"),
            ("spark/service/a~1b", "spark/service/a~1b"),
            ("ä/@", "ä/@"),
        ] {
            assert_eq!(text.parse::<SecretPath>().unwrap().as_str(), path);
        }
        for text in ["", "/", "//a", "a/", "a//b", "a/../b", ".", "a b", "a\nb", "a\0", &"x".repeat(257)] {
            assert!(text.parse::<SecretPath>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_path_has_a_place_of_its_own(one in "\\PC{1,80}", other in "\\PC{1,80}") {
            if let (Ok(one), Ok(other)) = (one.parse::<SecretPath>(), other.parse::<SecretPath>()) {
                let (first, second) = (one.key().unwrap(), other.key().unwrap());
                prop_assert_eq!(one == other, first == second);
                prop_assert!(first.as_str().starts_with("secrets/at/"));
            }
        }
    }
}
