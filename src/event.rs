//! What `--json` prints: one object per line on standard output, told apart by `type`.
//!
//! Readers skip types and fields they do not know. What is added leaves [`SCHEMA`] as it is; what is
//! renamed, removed or given another meaning raises it.

use serde::Serialize;

use crate::error::{CliError, ErrorKind};
use crate::version;

/// The version of the form of the events.
pub(crate) const SCHEMA: u32 = 1;

/// One line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// Always the first.
    Start {
        schema: u32,
        /// Of this program.
        version: &'a str,
    },
    /// A completion script.
    Completions { shell: &'a str, script: &'a str },
    /// The run failed; nothing follows.
    Error { kind: ErrorKind, message: &'a str, causes: &'a [String], hints: &'a [String], exit_code: u8 },
}

impl Event<'_> {
    /// The event that opens the stream.
    pub(crate) fn start() -> Self {
        Self::Start { schema: SCHEMA, version: version::VERSION }
    }
}

impl<'a> From<&'a CliError> for Event<'a> {
    fn from(error: &'a CliError) -> Self {
        Self::Error {
            kind: error.kind,
            message: &error.message,
            causes: &error.causes,
            hints: &error.hints,
            exit_code: error.exit().code(),
        }
    }
}
