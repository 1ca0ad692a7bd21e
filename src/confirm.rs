//! The one question that some commands ask.

use std::io::{self, BufRead as _, IsTerminal as _};

use crate::error::CliError;
use crate::printer::Printer;

/// Asks, unless it was answered with `-y` already. Without somebody to ask it is an error.
pub(crate) fn confirm(ui: &mut Printer, yes: bool, question: &str) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    if ui.is_json() || !io::stdin().is_terminal() {
        return Err(CliError::usage(format!("{question} There is nobody here to answer"))
            .hint("add `-y` to say yes beforehand"));
    }
    if ask(ui, question)? { Ok(()) } else { Err(CliError::interrupted("nothing was changed")) }
}

/// Asks somebody who is there.
pub(crate) fn ask(ui: &mut Printer, question: &str) -> Result<bool, CliError> {
    ui.prompt(&format!("{question} [y/N] "));
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| CliError::internal("cannot read the answer").caused_by(&error))?;
    Ok(is_yes(&line))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        assert!(is_yes("y\n") && is_yes(" YES "));
        assert!(!is_yes("\n") && !is_yes("yeah") && !is_yes("n"));
    }
}
