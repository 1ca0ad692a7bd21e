//! The subcommands: a file each, with its arguments and a `run` that hands the work to the crate it belongs to.

use crate::cli::Command;
use crate::error::CliError;
use crate::exit::Exit;
use crate::printer::Printer;

pub(crate) mod completions;

/// Carries out one command.
pub(crate) fn run(ui: &mut Printer, command: &Command) -> Result<Exit, CliError> {
    match command {
        Command::Completions(args) => completions::run(ui, args),
    }
}
