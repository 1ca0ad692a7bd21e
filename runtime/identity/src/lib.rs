//! Who a certificate is for. Each leaf of a cluster's certificate authority carries one URI as its subject's alternative
//! name, `clusterctl://<cluster>/<role>/<name>`, and this crate writes and reads that URI.
//!
//! Text to data and back, and nothing else: it knows no certificate, no key, no clock, and decides nothing about what an
//! identity may do.
//!
//! ```
//! use identity::{Identity, PeerRole};
//! let agent = Identity::new("prod", PeerRole::Agent, "node 7")?;
//! assert_eq!(agent.to_string(), "clusterctl://prod/agent/node%207");
//! assert_eq!("clusterctl://prod/agent/node%207".parse::<Identity>()?, agent);
//! # Ok::<(), identity::IdentityError>(())
//! ```

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// What the URI begins with.
pub const SCHEME: &str = "clusterctl://";
/// The longest cluster name or peer name, in bytes: as long as a host's name can be.
pub const MAX_PART_BYTES: usize = 253;

/// What the holder of a certificate is in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerRole {
    /// A master.
    Master,
    /// An agent.
    Agent,
    /// An operator who may do everything.
    Admin,
}

impl PeerRole {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Master, Self::Agent, Self::Admin];

    /// The word in the URI.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Agent => "agent",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for PeerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PeerRole {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| IdentityError::Role { found: text.to_owned() })
    }
}

/// Why something is no identity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Not one of ours at all.
    #[error("{uri:?} does not have the form clusterctl://<cluster>/<role>/<name>")]
    Form {
        /// The whole text.
        uri: String,
    },
    /// The role is unknown.
    #[error("{found:?} is no role of a peer: master, agent or admin")]
    Role {
        /// What stood there.
        found: String,
    },
    /// A cluster name or peer name that cannot be.
    #[error("the {what} {value:?} {fault}")]
    Part {
        /// `cluster name` or `peer name`.
        what: &'static str,
        /// What stood there.
        value: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The same identity is written in one way only; this is another.
    #[error("{uri:?} is not in its normal form, which is {normal:?}")]
    NotNormal {
        /// The whole text.
        uri: String,
        /// How it is written.
        normal: String,
    },
}

/// Who a certificate is for. One that exists is well formed: [`Identity::new`] and parsing are the ways to it. Two are the
/// same when all three parts are the same, byte for byte; there is no part of a name that stands for others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    cluster: String,
    role: PeerRole,
    name: String,
}

impl Identity {
    /// Checks the parts.
    ///
    /// # Errors
    /// When the cluster name or the peer name is empty, longer than [`MAX_PART_BYTES`], `.` or `..`, or has a control character.
    pub fn new(
        cluster: impl Into<String>,
        role: PeerRole,
        name: impl Into<String>,
    ) -> Result<Self, IdentityError> {
        let (cluster, name) = (cluster.into(), name.into());
        check("cluster name", &cluster)?;
        check("peer name", &name)?;
        Ok(Self { cluster, role, name })
    }

    /// The cluster that it belongs to.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// What it is there.
    #[must_use]
    pub const fn role(&self) -> PeerRole {
        self.role
    }

    /// Its name among those of its role.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is of this role in this cluster.
    #[must_use]
    pub fn is(&self, cluster: &str, role: PeerRole) -> bool {
        self.cluster == cluster && self.role == role
    }

    /// The URI, as [`fmt::Display`] writes it.
    #[must_use]
    pub fn to_uri(&self) -> String {
        self.to_string()
    }
}

fn check(what: &'static str, value: &str) -> Result<(), IdentityError> {
    let fault = match value {
        "" => "is empty",
        "." | ".." => "is no name",
        _ if value.len() > MAX_PART_BYTES => "is longer than 253 bytes",
        _ if value.chars().any(char::is_control) => "has a control character",
        _ => return Ok(()),
    };
    Err(IdentityError::Part { what, value: value.to_owned(), fault })
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}/{}", Encoded(&self.cluster), self.role, Encoded(&self.name))
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    /// Takes the one form that [`fmt::Display`] writes: a capital in the scheme, a needless `%41`, lower-case digits after `%`, a
    /// port, a query or one slash more are all refused, so that no two readers can see two different names in one URI.
    fn from_str(uri: &str) -> Result<Self, IdentityError> {
        let form = || IdentityError::Form { uri: uri.to_owned() };
        let rest = uri.strip_prefix(SCHEME).ok_or_else(form)?;
        let mut parts = rest.split('/');
        let (Some(cluster), Some(role), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(form());
        };
        let decoded = |part: &str| decode(part).ok_or_else(form);
        let identity = Self::new(decoded(cluster)?, role.parse()?, decoded(name)?)?;
        let normal = identity.to_string();
        if normal == uri {
            Ok(identity)
        } else {
            Err(IdentityError::NotNormal { uri: uri.to_owned(), normal })
        }
    }
}

/// A part with all but letters, digits, `-`, `.`, `_` and `~` written as `%2F`.
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    write!(f, "{}", char::from(byte))?;
                }
                other => write!(f, "%{other:02X}")?,
            }
        }
        Ok(())
    }
}

/// Takes `%2F` back; nothing when a percent sign stands before something else, or the bytes are no text.
fn decode(part: &str) -> Option<String> {
    let mut bytes = part.bytes();
    let mut decoded = Vec::with_capacity(part.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let value = digit(bytes.next()?)? * 16 + digit(bytes.next()?)?;
            decoded.push(u8::try_from(value).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests;
