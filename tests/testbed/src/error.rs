//! What can go wrong with a testbed, each with what to do about it.

use std::path::PathBuf;
use std::time::Duration;

/// A fault of the testbed. The text says what was tried and what to do instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Tools, rights or kernel features are missing; the text lists all of them with their packages.
    #[error("the testbed needs what this machine does not have:\n{0}")]
    Missing(String),
    /// An outside command could not be started or ended with a fault.
    #[error("`{command}` failed{}: {output}", status.map(|s| format!(" with status {s}")).unwrap_or_default())]
    Command {
        /// The command line.
        command: String,
        /// Its exit status, if it ended by itself.
        status: Option<i32>,
        /// The last lines of what it wrote, or why it could not be started.
        output: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// The verb: read, write, create, …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A state file is not what this version of the testbed writes.
    #[error(
        "{path} is not a state that this build can read; use the build that made it, or remove its directory and \
         run `testbed gc`"
    )]
    State {
        /// The state file.
        path: PathBuf,
        /// The parser's reason.
        #[source]
        source: serde_json::Error,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {} s{detail}", limit.as_secs())]
    Timeout {
        /// What was awaited.
        what: String,
        /// How long.
        limit: Duration,
        /// Further facts, such as the console's last lines; empty or begins with a line break.
        detail: String,
    },
    /// A host ended while it was starting.
    #[error("host {host} ended while it was starting; its console says:\n{console}")]
    HostDied {
        /// The host.
        host: String,
        /// The console's last lines.
        console: String,
    },
    /// The process itself failed at something that no caller could have avoided.
    #[error("{0}")]
    Internal(String),
    /// The caller asked for something that does not exist or is not possible.
    #[error("{0}")]
    Usage(String),
    /// A command inside a host ended with a fault.
    #[error("on {host}, `{command}` ended with status {status}: {output}")]
    Remote {
        /// The host.
        host: String,
        /// The command.
        command: String,
        /// Its exit status; 255 is ssh's own fault.
        status: i32,
        /// What it wrote.
        output: String,
    },
}

/// What every fallible call of the testbed returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
