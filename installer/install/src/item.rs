//! What a host is to have: the parts of its desired state. Pure data.
//!
//! Each kind knows three things elsewhere: how the probe looks at it ([`crate::probe`]), how it is compared ([`crate::plan`]), and
//! how it is put in place ([`crate::apply`]).

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::blob::Blob;
use crate::phase::Phase;

/// Who may do what with a file or directory of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Permission bits, like `0o644`.
    pub mode: u32,
    /// The user, by name.
    pub owner: String,
    /// The group, by name.
    pub group: String,
}

impl Access {
    /// Of root.
    #[must_use]
    pub fn root(mode: u32) -> Self {
        Self::of("root", "root", mode)
    }

    /// Of that user and group.
    #[must_use]
    pub fn of(owner: &str, group: &str, mode: u32) -> Self {
        Self { mode, owner: owner.to_owned(), group: group.to_owned() }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o} {}:{}", self.mode, self.owner, self.group)
    }
}

/// A SHA-256, in lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sum(String);

impl Sum {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(bytes))
    }

    /// Of what a hasher has seen.
    #[must_use]
    pub fn finish(hasher: Sha256) -> Self {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in hasher.finalize() {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// Reads one; nothing when the text is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        fits.then(|| Self(text.to_owned()))
    }

    /// All 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits, enough to tell builds apart.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands in a file.
#[derive(Clone, Debug)]
pub enum Content {
    /// Text that anybody may see: shown in diffs.
    Text(Arc<str>),
    /// Text that nobody may see.
    Secret(Arc<secrecy::SecretString>),
    /// A large file, the same on many hosts.
    Blob(Arc<Blob>),
    /// What the host has already: with this digest.
    Kept(Sum),
}

impl Content {
    /// Its digest.
    #[must_use]
    pub fn sum(&self) -> Sum {
        use secrecy::ExposeSecret as _;
        match self {
            Self::Text(text) => Sum::of(text.as_bytes()),
            Self::Secret(text) => Sum::of(text.expose_secret().as_bytes()),
            Self::Blob(blob) => blob.sum().clone(),
            Self::Kept(sum) => sum.clone(),
        }
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        use secrecy::ExposeSecret as _;
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Secret(text) => text.expose_secret().len() as u64,
            Self::Blob(blob) => blob.size(),
            Self::Kept(_) => 0,
        }
    }
}

/// One thing that a host is to have.
#[derive(Clone, Debug)]
pub enum Item {
    /// A system user with a group of the same name, without a home or a login.
    User {
        /// The name.
        name: String,
    },
    /// A directory.
    Dir {
        /// Absolute.
        path: String,
        /// Whose it is.
        access: Access,
        /// Filled by the programs that run there, so that a reset removes it with all that is in it.
        data: bool,
    },
    /// A file.
    File {
        /// Absolute.
        path: String,
        /// Whose it is.
        access: Access,
        /// What stands in it.
        content: Content,
    },
    /// A symbolic link.
    Link {
        /// Absolute.
        path: String,
        /// What it says.
        target: String,
    },
    /// A command that is run unless its guard succeeds.
    Command {
        /// What it does, for people.
        what: String,
        /// POSIX sh; success says that there is nothing to do.
        guard: String,
        /// POSIX sh.
        command: String,
    },
    /// A systemd unit, enabled and running.
    Unit {
        /// Like `clusterctl-agent.service`.
        name: String,
        /// What it was to be started with: a process whose `CLUSTERCTL_INPUTS` says something else is started anew. Without it the
        /// unit is never restarted.
        inputs: Option<Sum>,
        /// Files that it reads when it starts: when one of them is put right, so is the process.
        reads: Vec<String>,
        /// Its start is waited for no longer than so many seconds; it goes on starting all the same.
        within: Option<u16>,
    },
}

impl Item {
    /// In a few words, for people.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Self::User { name } => format!("user {name}"),
            Self::Dir { path, .. } | Self::File { path, .. } | Self::Link { path, .. } => path.clone(),
            Self::Command { what, .. } => what.clone(),
            Self::Unit { name, .. } => name.clone(),
        }
    }

    /// Its path, if it has one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Dir { path, .. } | Self::File { path, .. } | Self::Link { path, .. } => {
                Some(Path::new(path))
            }
            Self::User { .. } | Self::Command { .. } | Self::Unit { .. } => None,
        }
    }
}

/// What a host is to have, in the order in which it is put there; the phase says when.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// The items.
    pub items: Vec<(Phase, Item)>,
}

impl Desired {
    /// One more.
    pub fn push(&mut self, phase: Phase, item: Item) {
        self.items.push((phase, item));
    }

    /// Items without their phases.
    pub fn iter(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().map(|(_, item)| item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_sixty_four_digits_or_none() {
        let sum = Sum::of(b"abc");
        assert_eq!(sum.as_str(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(sum.short(), "ba7816bf");
        assert_eq!(Sum::parse(sum.as_str()), Some(sum));
        assert_eq!(Sum::parse("BA78"), None);
    }

    #[test]
    fn a_secret_is_not_printed() {
        let content = Content::Secret(Arc::new("canary".to_owned().into()));
        assert!(!format!("{content:?}").contains("canary"));
    }
}
