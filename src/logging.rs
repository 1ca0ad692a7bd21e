//! Diagnostics: what the program does and why, on standard error.
//!
//! `-q` and `-v` set the level; `CLUSTERCTL_LOG` sets it per target, and in general where neither flag is given.

use std::ffi::{OsStr, OsString};
use std::io;

use thiserror::Error;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::{self, time};
use tracing_subscriber::layer::SubscriberExt;

use crate::error::CliError;
use crate::printer::{Printer, Verbosity};

/// The variable with the directives, such as `info,clusterctl=debug`.
pub(crate) const VARIABLE: &str = "CLUSTERCTL_LOG";

/// Sends diagnostics to standard error from here on.
pub(crate) fn init(ui: &Printer, directives: Option<OsString>) -> Result<(), CliError> {
    let directives = Directives::from_variable(directives)?;
    // A failing standard error is not reported on standard error, which would panic.
    let layer = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(ui.diagnostics_in_colour())
        .with_timer(time::uptime())
        .log_internal_errors(false);
    let subscriber = tracing_subscriber::registry().with(layer).with(directives.targets(ui.verbosity()));
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|cause| CliError::internal("cannot send diagnostics to standard error").caused_by(&cause))
}

/// What the variable says, read and checked.
#[derive(Debug, Default, PartialEq)]
struct Directives {
    /// For all targets that are not named.
    level: Option<LevelFilter>,
    targets: Vec<(String, LevelFilter)>,
}

/// A directive that cannot be understood, and where it stands.
#[derive(Debug, Error, PartialEq)]
#[error("column {column}: {fault}")]
struct Mistake {
    /// In characters, from 1.
    column: usize,
    fault: Fault,
}

/// What is wrong with a directive.
#[derive(Debug, Error, PartialEq)]
enum Fault {
    #[error("`{0}` is not a level")]
    NoLevel(String),
    #[error("`{0}` is not a target: a target is a module path such as `clusterctl::commands`")]
    NoTarget(String),
}

impl Directives {
    /// Reads the variable; a mistake in it is a usage error that shows where.
    fn from_variable(value: Option<OsString>) -> Result<Self, CliError> {
        let Some(value) = value else { return Ok(Self::default()) };
        let value = value.to_str().ok_or_else(|| refuse(&value))?;
        Self::parse(value).map_err(|mistakes| {
            mistakes.iter().fold(refuse(OsStr::new(value)), |error, mistake| error.caused_by(mistake))
        })
    }

    /// Reads `LEVEL` and `TARGET=LEVEL`, separated by commas, and finds every mistake.
    ///
    /// The subscriber's own parser takes a lone word for a target at the level trace, so that a mistyped level
    /// (`debgu`) would silence everything without a word.
    fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        let mut directives = Self::default();
        let mut mistakes = Vec::new();
        let mut column = 1;
        for piece in text.split(',') {
            let start = column + piece.chars().take_while(|character| character.is_whitespace()).count();
            column += piece.chars().count() + 1;
            match Directive::parse(piece.trim(), start) {
                Ok(Some(Directive::Everything(level))) => directives.level = Some(level),
                Ok(Some(Directive::Target(target, level))) => directives.targets.push((target, level)),
                Ok(None) => {}
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.is_empty() { Ok(directives) } else { Err(mistakes) }
    }

    /// The filter. Flags win over a level for everything: they are nearer to the user than a variable.
    fn targets(self, verbosity: Verbosity) -> Targets {
        let level = match verbosity {
            Verbosity::Quiet => LevelFilter::ERROR,
            Verbosity::Normal => self.level.unwrap_or(LevelFilter::WARN),
            Verbosity::Verbose(0 | 1) => LevelFilter::INFO,
            Verbosity::Verbose(2) => LevelFilter::DEBUG,
            Verbosity::Verbose(3..) => LevelFilter::TRACE,
        };
        Targets::new().with_default(level).with_targets(self.targets)
    }
}

/// One piece of the variable.
enum Directive {
    Everything(LevelFilter),
    Target(String, LevelFilter),
}

impl Directive {
    /// Reads one directive that starts at `column`; there is none between two commas.
    fn parse(text: &str, column: usize) -> Result<Option<Self>, Mistake> {
        if text.is_empty() {
            return Ok(None);
        }
        let Some((target, level)) = text.split_once('=') else {
            return parse_level(text, column).map(|level| Some(Self::Everything(level)));
        };
        if !is_target(target) {
            return Err(Mistake { column, fault: Fault::NoTarget(target.to_owned()) });
        }
        let level = parse_level(level, column + target.chars().count() + 1)?;
        Ok(Some(Self::Target(target.to_owned(), level)))
    }
}

fn parse_level(text: &str, column: usize) -> Result<LevelFilter, Mistake> {
    // The empty string would pass as a level.
    let level = if text.is_empty() { None } else { text.parse().ok() };
    level.ok_or_else(|| Mistake { column, fault: Fault::NoLevel(text.to_owned()) })
}

/// Excludes what other programs allow there, such as `target[span]`, and what would never match.
fn is_target(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|character| character.is_alphanumeric() || "_-:.".contains(character))
}

fn refuse(value: &OsStr) -> CliError {
    CliError::usage(format!("cannot understand {VARIABLE}=\"{}\"", value.display()))
        .hint(format!("write LEVEL or TARGET=LEVEL, separated by commas: `{VARIABLE}=info,clusterctl=debug`"))
        .hint("levels are off, error, warn, info, debug and trace")
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use insta::assert_snapshot;
    use tracing::Level;

    use super::*;

    fn filter(value: Option<&str>, verbosity: Verbosity) -> String {
        Directives::from_variable(value.map(OsString::from)).unwrap().targets(verbosity).to_string()
    }

    #[test]
    fn flags_set_the_level_and_warn_is_the_default() {
        for (verbosity, level) in [
            (Verbosity::Quiet, "error"),
            (Verbosity::Normal, "warn"),
            (Verbosity::Verbose(1), "info"),
            (Verbosity::Verbose(2), "debug"),
            (Verbosity::Verbose(3), "trace"),
            (Verbosity::Verbose(9), "trace"),
        ] {
            assert_eq!(filter(None, verbosity), level, "{verbosity:?}");
        }
    }

    #[test]
    fn the_variable_sets_levels_for_targets_and_for_the_rest() {
        let directives = Directives::parse(" INFO, clusterctl::commands=debug,russh=off,,").unwrap();
        let targets = directives.targets(Verbosity::Normal);
        assert!(targets.would_enable("clusterctl::commands::completions", &Level::DEBUG));
        assert!(!targets.would_enable("clusterctl", &Level::DEBUG));
        assert!(targets.would_enable("clusterctl", &Level::INFO));
        assert!(!targets.would_enable("russh", &Level::ERROR));
    }

    #[test]
    fn a_flag_wins_over_the_variable_but_for_the_targets_it_names() {
        assert_eq!(filter(Some("trace,russh=debug"), Verbosity::Verbose(1)), "russh=debug,info");
        assert_eq!(filter(Some("trace,russh=debug"), Verbosity::Quiet), "russh=debug,error");
    }

    #[test]
    fn an_empty_variable_says_nothing() {
        assert_eq!(filter(Some(""), Verbosity::Normal), "warn");
    }

    #[test]
    fn every_mistake_is_reported_with_its_column() {
        let error =
            Directives::from_variable(Some("wärn, russh=debgu,=info,a[b]=info,c=".into())).unwrap_err();
        assert_eq!(error.exit(), crate::exit::Exit::WrongUsage);
        assert_snapshot!(strip_str(&error.styled()), @r#"
        error: cannot understand CLUSTERCTL_LOG="wärn, russh=debgu,=info,a[b]=info,c="
          caused by: column 1: `wärn` is not a level
          caused by: column 13: `debgu` is not a level
          caused by: column 19: `` is not a target: a target is a module path such as `clusterctl::commands`
          caused by: column 25: `a[b]` is not a target: a target is a module path such as `clusterctl::commands`
          caused by: column 37: `` is not a level
        hint: write LEVEL or TARGET=LEVEL, separated by commas: `CLUSTERCTL_LOG=info,clusterctl=debug`
        hint: levels are off, error, warn, info, debug and trace
        "#);
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_text_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let error = Directives::from_variable(Some(OsString::from_vec(vec![b'a', 0xff]))).unwrap_err();
        assert_eq!(error.message, "cannot understand CLUSTERCTL_LOG=\"a\u{fffd}\"");
    }
}
