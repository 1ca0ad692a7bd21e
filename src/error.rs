//! The one error of the command line: what went wrong, why, and what to type next.
//!
//! The crates below name their faults in enums of their own; a command turns them into this.

use std::error::Error;
use std::fmt::Write as _;
use std::iter;

use serde::Serialize;

use crate::exit::Exit;
use crate::printer::style;

/// What sort of fault it is, which decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorKind {
    /// Nothing the user wrote is wrong.
    Internal,
    /// Flags, arguments, variables or files the user wrote.
    Usage,
    /// A cluster or a host did not answer.
    Unreachable,
    /// What was to be done was begun, and did not come to a good end.
    Failed,
    /// Something else holds what was to be changed.
    Locked,
    /// The user stopped it.
    Interrupted,
}

impl ErrorKind {
    fn exit(self) -> Exit {
        match self {
            Self::Internal => Exit::InternalFault,
            Self::Usage => Exit::WrongUsage,
            Self::Unreachable => Exit::HostsUnreachable,
            Self::Failed => Exit::StepsFailed,
            Self::Locked => Exit::Locked,
            Self::Interrupted => Exit::Interrupted,
        }
    }
}

/// A fault as the user gets to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CliError {
    pub(crate) kind: ErrorKind,
    /// What went wrong, without the cause.
    pub(crate) message: String,
    /// Why, from the nearest cause to the farthest, or one entry for each mistake in an input.
    pub(crate) causes: Vec<String>,
    /// What to do about it, with the commands to type in backticks.
    pub(crate) hints: Vec<String>,
}

impl CliError {
    /// A fault that is not the user's.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// A mistake in what the user wrote.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// A cluster or a host did not answer.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unreachable, message)
    }

    /// What was begun did not come to a good end.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    /// Something else holds what was to be changed.
    pub(crate) fn locked(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Locked, message)
    }

    /// The user stopped it.
    pub(crate) fn interrupted(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Interrupted, message)
    }

    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hints: Vec::new() }
    }

    /// Adds an error and all that caused it.
    pub(crate) fn caused_by(mut self, error: &(dyn Error + 'static)) -> Self {
        let chain = iter::successors(Some(error), |&error| error.source());
        self.causes.extend(chain.map(ToString::to_string));
        self
    }

    /// Says what the message is about.
    pub(crate) fn context(mut self, about: &str) -> Self {
        self.message = format!("{about}: {}", self.message);
        self
    }

    /// Adds a hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The exit code of a run that ends with this error.
    pub(crate) fn exit(&self) -> Exit {
        self.kind.exit()
    }
}

/// For people: the message, then one line for each cause and each hint. Holds colours, which the printer
/// takes out where they are not wanted.
impl CliError {
    /// As a person reads it on standard error, with colours for the printer to keep or to strip.
    pub(crate) fn styled(&self) -> String {
        let mut text = labelled(style::ERROR, "error:", &self.message) + "\n";
        for cause in &self.causes {
            text = text + "  " + &labelled(style::CAUSE, "caused by:", cause) + "\n";
        }
        for hint in &self.hints {
            text = text + &labelled(style::ACTION, "hint:", hint) + "\n";
        }
        text
    }
}

/// A styled label before a text, of which further lines are indented, and which cannot steer the terminal:
/// it may quote what a user, a file or a host wrote.
pub(crate) fn labelled(style: anstyle::Style, label: &str, text: &str) -> String {
    let mut line = format!("{style}{label}{style:#} ");
    for character in text.chars() {
        match character {
            '\n' => line.push_str("\n    "),
            control if control.is_control() || crate::text::turns_direction(control) => {
                // Writing to a string does not fail.
                let _ = write!(line, "{}", control.escape_default());
            }
            plain => line.push(plain),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io;

    use anstream::adapter::strip_str;
    use insta::assert_snapshot;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read inventory.yaml")]
    struct Unreadable {
        source: io::Error,
    }

    fn example() -> CliError {
        let cause = Unreadable { source: io::Error::other("the disk is on fire") };
        CliError::usage("there is no plan")
            .caused_by(&cause)
            .hint("`clusterctl plan` makes one")
            .hint("water helps")
    }

    #[test]
    fn an_error_shows_message_then_causes_then_hints() {
        assert_snapshot!(strip_str(&example().styled()), @r"
        error: there is no plan
          caused by: cannot read inventory.yaml
          caused by: the disk is on fire
        hint: `clusterctl plan` makes one
        hint: water helps
        ");
    }

    #[test]
    fn only_the_labels_are_coloured() {
        let escaped = example().styled().replace('\u{1b}', "^");
        assert_snapshot!(escaped, @r"
        ^[1m^[31merror:^[0m there is no plan
          ^[2mcaused by:^[0m cannot read inventory.yaml
          ^[2mcaused by:^[0m the disk is on fire
        ^[1m^[36mhint:^[0m `clusterctl plan` makes one
        ^[1m^[36mhint:^[0m water helps
        ");
    }

    #[test]
    fn further_lines_of_a_message_are_indented() {
        let error = CliError::internal("one\ntwo");
        assert_eq!(strip_str(&error.styled()).to_string(), "error: one\n    two\n");
    }

    #[test]
    fn what_a_message_quotes_cannot_steer_the_terminal() {
        let error = CliError::usage("unknown host \u{1b}[2J\u{7}é");
        assert_eq!(strip_str(&error.styled()).to_string(), "error: unknown host \\u{1b}[2J\\u{7}é\n");
    }

    #[test]
    fn the_kind_decides_the_exit_code() {
        assert_eq!(CliError::internal("").exit(), Exit::InternalFault);
        assert_eq!(CliError::usage("").exit(), Exit::WrongUsage);
        assert_eq!(CliError::unreachable("").exit(), Exit::HostsUnreachable);
        assert_eq!(CliError::failed("").exit(), Exit::StepsFailed);
        assert_eq!(CliError::locked("").exit(), Exit::Locked);
        assert_eq!(CliError::interrupted("").exit(), Exit::Interrupted);
    }
}
