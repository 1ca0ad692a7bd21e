//! What the agent tells its unpacking child, and what the child answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::user::User;

/// Bounds on what comes out of one archive. The task's disk quota is another matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of all files together, and of the archive's stream when it is decompressed.
    pub bytes: u64,
    /// Entries, directories among them.
    pub entries: u64,
    /// Bytes that may come out per byte that went in, counted from `ratio_from` on.
    pub ratio: u64,
    /// Output in bytes below which the ratio does not matter.
    pub ratio_from: u64,
    /// Length of a name with its directories, in bytes.
    pub path: usize,
    /// Memory of the child, in bytes.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 1_000_000,
            // Zeros shrink a thousandfold with deflate; programs and text hardly twentyfold.
            ratio: 200,
            ratio_from: 1 << 30,
            path: 4096,
            memory: 512 << 20,
        }
    }
}

/// How an archive is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Archive {
    Tar,
    TarGzip,
    TarBzip2,
    TarXz,
    Zip,
}

/// What becomes of the bytes on standard input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    /// A file, relative to the sandbox.
    Copy { to: PathBuf, executable: bool },
    /// One compressed file.
    Gunzip { to: PathBuf },
    /// An archive, into the sandbox.
    Extract { kind: Archive },
    /// A root file system, into a directory of the agent's own, with the owners and links that it has.
    Root,
}

/// One child's work: what is on its standard input goes into a sandbox. Holds no address: arguments are
/// seen by all users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) sandbox: PathBuf,
    /// Whom the files belong to; the agent's own user when absent.
    pub(crate) user: Option<User>,
    pub(crate) action: Action,
    pub(crate) limits: Limits,
}

/// The child's one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done { entries: u64, bytes: u64 },
    Failed(String),
}
