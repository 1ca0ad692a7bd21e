//! How users may be called.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The longest name of a user, in characters.
pub const MAX_NAME: usize = 64;

/// The name of a user: a letter or digit, then letters, digits, `.`, `_`, `@` and `-`, [`MAX_NAME`] at most. Small and capital
/// letters are different ones.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(String);

/// A text that is no name of a user.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{name:?} is no name of a user: it begins with a letter or digit, has letters, digits, '.', '_', '@' and '-' after it, and 64 of them at most"
)]
pub struct NameError {
    name: String,
}

impl UserName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte));
        if first && rest && name.len() <= MAX_NAME {
            Ok(Self(name.to_owned()))
        } else {
            // Whatever was sent here, the answer stays short.
            Err(NameError { name: name.chars().take(MAX_NAME).collect() })
        }
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_can_be_and_names_that_cannot() {
        for good in ["a", "7", "joe", "Joe.Doe@example.org", "ci-runner_2", &"a".repeat(MAX_NAME)] {
            assert_eq!(good.parse::<UserName>().unwrap().as_str(), good);
        }
        for bad in
            ["", ".a", "-a", "@a", "a b", "a/b", "a:b", "a\n", "\u{e9}", "a%41", &"a".repeat(MAX_NAME + 1)]
        {
            assert!(bad.parse::<UserName>().is_err(), "{bad:?}");
        }
    }
}
