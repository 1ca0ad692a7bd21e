//! Running a script, and what comes back.

mod drive;
mod head;
mod output;
mod sudo;
mod wrapper;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;
use thiserror::Error;

pub(crate) use drive::{Broken, Driven, Event, Sink, Source, drive};
pub use sudo::SudoFault;
pub(crate) use sudo::SudoWay;
pub(crate) use wrapper::{Start, check, start, stop};

/// As whom a script runs.
#[derive(Debug, Clone, Default)]
pub enum Become {
    /// As the user who is logged in.
    #[default]
    No,
    /// As root, by sudo; as it is when that user is root already.
    Sudo {
        /// The user's password, given to sudo alone and only when it asks.
        password: Option<SecretString>,
    },
}

/// How long a script may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Without a byte in either direction.
    pub idle: Duration,
    /// In all.
    pub total: Duration,
}

impl Default for Limits {
    /// A minute of silence, ten in all: enough for a package to be installed from a slow mirror.
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), total: Duration::from_secs(600) }
    }
}

/// Who hears each line of output as it comes, without its end. It is called between network events and must not wait.
pub type LineSink = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// A script to run.
#[derive(Clone)]
pub struct Exec {
    /// In POSIX sh. It is sent over standard input, so it may be long and may hold secrets. It runs in the home directory,
    /// with `LC_ALL=C`.
    pub script: String,
    /// What the script reads from its standard input; shared between hosts, not copied.
    pub input: Vec<Bytes>,
    /// As whom.
    pub r#become: Become,
    /// How long it may take.
    pub limits: Limits,
    /// The most that it may write to standard output, in bytes. Of standard error as much is kept, from its end.
    pub max_output: usize,
    /// Who hears lines of standard output.
    pub on_line: Option<LineSink>,
}

impl Exec {
    /// A script without input, as the user, within the usual limits.
    pub fn new(script: impl Into<String>) -> Self {
        Self {
            script: script.into(),
            input: Vec::new(),
            r#become: Become::No,
            limits: Limits::default(),
            max_output: 8 << 20,
            on_line: None,
        }
    }

    /// The same with input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Bytes>) -> Self {
        self.input.push(input.into());
        self
    }

    /// The same as root.
    #[must_use]
    pub fn sudo(mut self, password: Option<SecretString>) -> Self {
        self.r#become = Become::Sudo { password };
        self
    }
}

/// How a script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// By itself.
    Exit(u32),
    /// By a signal, named without `SIG`.
    Signal(String),
    /// The other side did not say, or said two things. It is not a success.
    Missing,
}

impl Status {
    /// Whether it ended well.
    pub fn success(&self) -> bool {
        *self == Self::Exit(0)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit status {code}"),
            Self::Signal(name) => write!(f, "killed by SIG{name}"),
            Self::Missing => write!(f, "no exit status"),
        }
    }
}

/// What came back from a script: its own output, without what a login shell says before it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: Status,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error, or the end of it.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Its standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Why a script did not run, or not to its end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExecError {
    /// The connection broke. What the script did is not known.
    #[error("the connection to {host} broke: {reason}")]
    ConnectionLost {
        /// The host.
        host: String,
        /// What is known of why.
        reason: String,
    },
    /// The server opens no further sessions.
    #[error("{host} does not start a session: {reason}")]
    NoSession {
        /// The host.
        host: String,
        /// What the server says.
        reason: String,
    },
    /// Nothing was heard for too long. The script was told to end.
    #[error("nothing was heard of the script on {host} for {} s", .after.as_secs_f64())]
    Idle {
        /// The host.
        host: String,
        /// The limit.
        after: Duration,
    },
    /// It took too long in all. The script was told to end.
    #[error("the script on {host} did not end within {} s", .after.as_secs_f64())]
    TooLong {
        /// The host.
        host: String,
        /// The limit.
        after: Duration,
    },
    /// It wrote too much. It was told to end.
    #[error("the script on {host} wrote more than {limit} bytes")]
    TooMuchOutput {
        /// The host.
        host: String,
        /// The limit.
        limit: usize,
    },
    /// The login shell did not come to the script.
    #[error("{host} did not start the script ({status}); the login shell said: {said}")]
    NotStarted {
        /// The host.
        host: String,
        /// How the shell ended.
        status: Status,
        /// The end of what was printed instead.
        said: String,
    },
    /// sudo did not run it.
    #[error("{fault} on {host}")]
    Sudo {
        /// The host.
        host: String,
        /// Why.
        fault: SudoFault,
    },
    /// There is a zero byte in the script, or a line's end in the password.
    #[error("the {what} cannot be sent: it has {has} in it")]
    Unsendable {
        /// Which one.
        what: &'static str,
        /// What it must not have.
        has: &'static str,
    },
    /// This machine's own shell could not be started.
    #[error("cannot start a shell on this machine")]
    Spawn(#[source] std::io::Error),
}

impl ExecError {
    /// The same without the host's name: for lists that name it otherwise, and in which equal errors are to be equal.
    #[must_use]
    pub fn without_host(mut self) -> Self {
        match &mut self {
            Self::ConnectionLost { host, .. }
            | Self::NoSession { host, .. }
            | Self::Idle { host, .. }
            | Self::TooLong { host, .. }
            | Self::TooMuchOutput { host, .. }
            | Self::NotStarted { host, .. }
            | Self::Sudo { host, .. } => "the host".clone_into(host),
            Self::Unsendable { .. } | Self::Spawn(_) => {}
        }
        self
    }

    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::ConnectionLost { .. } => "run it again: what was done is found done".into(),
            Self::NoSession { .. } => {
                "look for MaxSessions in the server's sshd_config, and for its memory".into()
            }
            Self::Idle { .. } | Self::TooLong { .. } => {
                "look at what hangs there: a mount, a lock of the package manager, the disk".into()
            }
            Self::NotStarted { .. } => {
                "the user needs a shell that runs commands: not nologin, nor a start-up file that ends early"
                    .into()
            }
            Self::Sudo { fault, .. } => fault.hint().into(),
            Self::TooMuchOutput { .. } | Self::Unsendable { .. } | Self::Spawn(_) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_their_hosts_equal_errors_are_equal() {
        let wrong = |host: &str| ExecError::Sudo { host: host.to_owned(), fault: SudoFault::WrongPassword };
        assert_eq!(wrong("a1").to_string(), "sudo does not take the password on a1");
        assert_eq!(wrong("a1").without_host().to_string(), "sudo does not take the password on the host");
        let lost =
            |host: &str| ExecError::ConnectionLost { host: host.to_owned(), reason: "reset".to_owned() };
        assert_eq!(lost("a1").without_host().to_string(), lost("a2").without_host().to_string());
    }
}
