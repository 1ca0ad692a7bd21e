//! What a package says of its artifacts. Plain data.

use std::path::PathBuf;

/// A file that a package's tasks need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Its name in the package.
    pub name: String,
    /// Its name in the sandbox; the last part of its source's where it is absent.
    pub file: Option<String>,
    /// Whether agents unpack it; by its name where it is absent.
    pub extract: Option<bool>,
    /// How it is had.
    pub kind: ArtifactKind,
}

/// How an artifact is had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArtifactKind {
    /// From the first of these that can be had.
    Sources(Vec<Source>),
    /// All of these, put together to one tar.
    Closure(Vec<Member>),
    /// A root file system of Debian packages.
    Rootfs {
        /// The release's name, as `bookworm`.
        debian: String,
        /// What is in it beside the essential packages.
        packages: Vec<String>,
    },
}

/// One place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where.
    pub at: At,
    /// What it must come to.
    pub sum: Option<Sum>,
    /// The directory within the archive that matters; empty for its top.
    pub home: String,
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// `https:` or `http:`.
    Url(String),
    /// On this machine; relative to the package's directory.
    File(PathBuf),
    /// A package URL, which the user's own client resolves.
    Purl(String),
}

/// What a file must come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sum {
    /// 64 hexadecimal digits.
    Sha256(String),
    /// 128 hexadecimal digits.
    Sha512(String),
    /// In the file of checksums at this address.
    Published(String),
}

/// One file of a closure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it is.
    pub at: At,
    /// What it must come to.
    pub sum: Option<Sum>,
    /// Its path in the tar; the directory of its contents where it is unpacked.
    pub path: String,
    /// Whether its contents are put there instead of the archive itself.
    pub unpack: bool,
}

impl std::fmt::Display for At {
    /// Without what may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(url) => f.write_str(&crate::names::shown(url)),
            Self::File(path) => path.display().fmt(f),
            Self::Purl(purl) => f.write_str(purl),
        }
    }
}
