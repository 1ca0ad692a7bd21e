//! `clusterctl`: installer, node daemons, command line and dashboard of a datacentre operating system, in one
//! binary.
//!
//! This crate is the command line: it understands what the user typed, hands the work to the crates below and
//! prints what they answer. It decides nothing about clusters.

mod cli;
mod commands;
mod confirm;
mod connect;
mod context;
mod daemon;
mod definition;
mod diff;
mod editor;
mod error;
mod event;
mod exit;
mod input;
mod inventory_file;
mod logging;
mod output;
mod password;
mod plan_view;
mod printer;
mod progress;
mod sandbox;
mod table;
mod text;
mod value;
mod version;

use std::env;
use std::process::ExitCode;

use cli::Invocation;
use error::CliError;
use exit::Exit;
use printer::Printer;

/// The first argument that makes this program a task's shim. It is looked at before anything else is done: a shim is small.
const SHIM: &str = "shim";

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == SHIM) {
        return agent::shim::main(arguments);
    }
    // It fails only where one is installed already, and then that one serves.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments: Vec<_> = env::args_os().collect();
    let invocation = Invocation::parse(&arguments);
    let global = invocation.global();
    let mut ui = Printer::stdio(global.verbosity(), global.color, global.json);
    let exit = run(&mut ui, invocation).unwrap_or_else(|error| {
        ui.error(&error);
        error.exit()
    });
    exit.into()
}

fn run(ui: &mut Printer, invocation: Invocation) -> Result<Exit, CliError> {
    match invocation {
        Invocation::Answer { answer, .. } => answer.print(ui),
        Invocation::Run(cli) => {
            logging::init(ui, env::var_os(logging::VARIABLE))?;
            commands::run(ui, &cli.command)
        }
    }
}
