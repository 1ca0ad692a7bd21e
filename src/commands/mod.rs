//! The subcommands: a file each, with its arguments and a `run` that hands the work to the crate it belongs to.

use crate::cli::Command;
use crate::error::CliError;
use crate::exit::Exit;
use crate::printer::Printer;

pub(crate) mod agent;
pub(crate) mod bundle;
pub(crate) mod cluster;
pub(crate) mod completions;
pub(crate) mod group;
pub(crate) mod hold;
pub(crate) mod init;
pub(crate) mod install;
pub(crate) mod inventory;
pub(crate) mod login;
pub(crate) mod master;
pub(crate) mod node;
pub(crate) mod package;
pub(crate) mod quorum;
pub(crate) mod secret;
pub(crate) mod service;
pub(crate) mod task;
pub(crate) mod tui;
pub(crate) mod universe;
pub(crate) mod up;
pub(crate) mod user;

/// Carries out one command.
pub(crate) fn run(ui: &mut Printer, command: &Command) -> Result<Exit, CliError> {
    match command {
        Command::Init(args) => init::run(ui, args),
        Command::Inventory(args) => inventory::run(ui, args),
        Command::Install(args) => install::install(ui, args),
        Command::Plan(args) => install::plan(ui, args),
        Command::Check(args) => install::check(ui, args),
        Command::Reset(args) => install::reset(ui, args),
        Command::Up(args) => up::run(ui, args),
        Command::Agent(args) => agent::run(args),
        Command::Master(args) => master::run(args),
        Command::Hold => hold::run(),
        Command::Quorum(args) => quorum::run(args),
        Command::Service(args) => service::run(ui, args),
        Command::Group(args) => group::run(ui, args),
        Command::Package(args) => package::run(ui, args),
        Command::Task(args) => task::run(ui, args),
        Command::Tui(args) => tui::run(args),
        Command::Node(args) => node::run(ui, args),
        Command::Cluster(args) => cluster::run(ui, args),
        Command::Bundle(args) => bundle::run(ui, args),
        Command::Universe(args) => universe::run(ui, args),
        Command::Secret(args) => secret::run(ui, args),
        Command::Login(args) => login::log_in(ui, args),
        Command::Logout(args) => login::log_out(ui, args),
        Command::User(args) => user::run(ui, args),
        Command::Completions(args) => completions::run(ui, args),
    }
}
