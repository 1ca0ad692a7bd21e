//! Names of roles.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

/// The role `*`, shared.
static STAR: LazyLock<Role> = LazyLock::new(|| Role("*".into()));

/// The longest role, in bytes.
pub const MAX_ROLE_BYTES: usize = 255;

/// The most parts of a role: those who follow it from part to part need bounded room.
pub const MAX_ROLE_PARTS: usize = 16;

/// A role: `*`, or one or more components such as `eng/web`, whose parent is `eng`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(Arc<str>);

/// Why a text is no role (Mesos' rules, and two limits of ours).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// Nothing, or nothing between two slashes.
    #[error("role `{0}` has an empty part: write it as `a` or `a/b`")]
    Empty(String),
    /// A part that is `.`, `..` or, below another one, `*`.
    #[error("role `{role}` has the part `{part}`, which is reserved")]
    Reserved {
        /// The whole text.
        role: String,
        /// The part of it.
        part: String,
    },
    /// More than [`MAX_ROLE_BYTES`].
    #[error("role `{begin}…` has {bytes} bytes, {MAX_ROLE_BYTES} at most are possible")]
    TooLong {
        /// Its first characters.
        begin: String,
        /// Its length.
        bytes: usize,
    },
    /// More than [`MAX_ROLE_PARTS`].
    #[error("role `{role}` has {parts} parts, {MAX_ROLE_PARTS} at most are possible")]
    TooDeep {
        /// The whole text.
        role: String,
        /// How many parts it has.
        parts: usize,
    },
    /// A part that begins with `-`.
    #[error("role `{0}` has a part that begins with `-`")]
    Dash(String),
    /// Space, control character or backslash.
    #[error("role `{role}` holds the character {character:?}, which roles cannot have")]
    Character {
        /// The whole text.
        role: String,
        /// The character.
        character: char,
    },
}

impl Role {
    /// The role `*`, which as the owner of resources means that they are unreserved.
    pub fn star() -> Role {
        STAR.clone()
    }

    /// True for `*`.
    pub fn is_star(&self) -> bool {
        &*self.0 == "*"
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The role one level up: `eng` for `eng/web`, nothing for `eng`.
    pub fn parent(&self) -> Option<Role> {
        self.0.rsplit_once('/').map(|(parent, _)| Role(parent.into()))
    }

    /// Whether this is `role` or stands above it. Resources reserved for a role may be offered to all below it.
    pub fn covers(&self, role: &Role) -> bool {
        let below = role.0.strip_prefix(&*self.0);
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Role, RoleError> {
        if text == "*" {
            return Ok(Role::star());
        }
        if text.len() > MAX_ROLE_BYTES {
            let begin = text.chars().take(32).collect();
            return Err(RoleError::TooLong { begin, bytes: text.len() });
        }
        let role = || text.to_owned();
        let parts = text.split('/').count();
        if parts > MAX_ROLE_PARTS {
            return Err(RoleError::TooDeep { role: role(), parts });
        }
        for part in text.split('/') {
            if part.is_empty() {
                return Err(RoleError::Empty(role()));
            }
            if matches!(part, "." | ".." | "*") {
                return Err(RoleError::Reserved { role: role(), part: part.to_owned() });
            }
            if part.starts_with('-') {
                return Err(RoleError::Dash(role()));
            }
        }
        match text.chars().find(|c| c.is_whitespace() || c.is_control() || *c == '\\') {
            Some(character) => Err(RoleError::Character { role: role(), character }),
            None => Ok(Role(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(text: &str) -> Role {
        text.parse().unwrap()
    }

    #[test]
    fn a_role_covers_itself_and_what_is_below_it() {
        assert!(role("eng").covers(&role("eng")));
        assert!(role("eng").covers(&role("eng/web/a")));
        assert!(!role("eng").covers(&role("engine")));
        assert!(!role("eng/web").covers(&role("eng")));
        assert_eq!(role("eng/web").parent(), Some(role("eng")));
        assert_eq!(role("eng").parent(), None);
    }

    #[test]
    fn names_that_mesos_refuses_are_refused() {
        for text in ["", "/", "a//b", "/a", "a/", ".", "a/..", "a/*", "-a", "a/-b", "a b", "a\\b", "a\u{7f}"]
        {
            assert!(text.parse::<Role>().is_err(), "{text}");
        }
        assert!(role("*").is_star());
    }

    #[test]
    fn a_role_is_bounded_in_length_and_depth() {
        assert!("a".repeat(MAX_ROLE_BYTES).parse::<Role>().is_ok());
        let long = "é".repeat(MAX_ROLE_BYTES).parse::<Role>().unwrap_err().to_string();
        assert!(long.contains("has 510 bytes, 255 at most") && long.len() < 200, "{long}");
        let deep = |parts| vec!["a"; parts].join("/").parse::<Role>();
        assert!(deep(MAX_ROLE_PARTS).is_ok());
        let parts = MAX_ROLE_PARTS + 1;
        assert!(matches!(deep(parts), Err(RoleError::TooDeep { parts: found, .. }) if found == parts));
    }
}
