//! The command line: global flags, the list of commands, and the help, which is made from the comments here.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, ColorChoice, CommandFactory as _, Parser, Subcommand, ValueEnum as _};

use crate::commands::agent::AgentArgs;
use crate::commands::bundle::BundleArgs;
use crate::commands::cluster::ClusterCommandArgs;
use crate::commands::completions::CompletionsArgs;
use crate::commands::group::GroupArgs;
use crate::commands::init::InitArgs;
use crate::commands::install::{CheckArgs, InstallArgs, PlanArgs, ResetArgs};
use crate::commands::inventory::InventoryArgs;
use crate::commands::login::{LoginArgs, LogoutArgs};
use crate::commands::master::MasterArgs;
use crate::commands::node::NodeArgs;
use crate::commands::package::PackageArgs;
use crate::commands::quorum::QuorumArgs;
use crate::commands::secret::SecretArgs;
use crate::commands::service::ServiceArgs;
use crate::commands::task::TaskArgs;
use crate::commands::tui::TuiArgs;
use crate::commands::universe::UniverseArgs;
use crate::commands::up::UpArgs;
use crate::commands::user::UserArgs;
use crate::exit::Exit;
use crate::printer::{Verbosity, style};
use crate::{context, logging, version};

pub(crate) mod usage;

/// Turn a list of SSH hosts into a datacentre operating system
///
/// One binary that installs and runs a cluster: two-level scheduling, long-running services, jobs, a package
/// catalogue and a dashboard.
#[derive(Debug, Parser)]
#[command(
    name = "clusterctl",
    version = version::BUILD,
    styles = style::HELP,
    after_long_help = after_help(),
    args_override_self = true,
    arg_required_else_help = true,
    subcommand_required = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask a few questions and write an inventory: the machines of a cluster
    Init(InitArgs),
    /// See what an inventory says, or every mistake in it
    Inventory(InventoryArgs),
    /// Make a cluster of the hosts in an inventory, or put right what differs
    Install(InstallArgs),
    /// Show what `install` would do, host by host, with differences of files
    Plan(PlanArgs),
    /// Check the hosts and the cluster of an inventory, changing nothing
    Check(CheckArgs),
    /// Remove all that `install` put on the hosts of an inventory, and nothing else
    Reset(ResetArgs),
    /// Run a one-machine cluster in the foreground; no root needed
    Up(UpArgs),
    /// Run the daemon of a node that leads
    Master(MasterArgs),
    /// Run the daemon of a node that runs tasks
    Agent(AgentArgs),
    /// Hold the control group of all tasks of a node
    #[command(hide = true)]
    Hold,
    /// Ask the coordinators whether they have a quorum
    #[command(hide = true)]
    Quorum(QuorumArgs),
    /// Run services: list, show, create, update, edit, scale, restart, roll back, read logs, wait, remove
    Service(ServiceArgs),
    /// Run services that belong together: list, show, create, update, scale, roll back, wait, remove
    Group(GroupArgs),
    /// Install packaged services: search, describe, options, install, list, update, uninstall
    Package(PackageArgs),
    /// See what runs: list tasks, read their logs and files, kill one
    Task(TaskArgs),
    /// See the machines that run tasks
    Node(NodeArgs),
    /// See how the cluster is, and choose which cluster to speak to
    Cluster(ClusterCommandArgs),
    /// See and change where packages come from: list, add, remove, lint
    Universe(UniverseArgs),
    /// See and steer the whole cluster in a dashboard
    Tui(TuiArgs),
    /// Put what packages bring along into one file, for places without the internet, or take it out of one
    Bundle(BundleArgs),
    /// Keep what services need and nobody is to read: list, set, remove
    Secret(SecretArgs),
    /// Log in to a cluster: what you may do is then yours until you log out
    Login(LoginArgs),
    /// Log out of a cluster
    Logout(LogoutArgs),
    /// See and change who may use the cluster: list, add, remove, passwd
    User(UserArgs),
    /// Print a script that completes commands and flags in your shell
    Completions(CompletionsArgs),
}

/// Flags that every command takes, before or after its name.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Print results and errors only
    #[arg(short, long, global = true)]
    quiet: bool,

    /// Say more on standard error: -v what is done, -vv why, -vvv everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,

    /// Colour the output; auto means on a terminal
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,

    /// Print events and errors as JSON, one object per line on standard output
    ///
    /// The first object carries the version of the schema. Diagnostics stay text on standard error.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Cli {
    /// Refuses flags that contradict each other. Clap would not notice where one stands before the command and
    /// the other after it.
    fn checked(self) -> Result<Self, clap::Error> {
        if self.global.quiet && self.global.verbose > 0 {
            let message = "'--quiet' cannot be used with '--verbose'";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, message));
        }
        Ok(self)
    }
}

impl GlobalArgs {
    /// How much the user wants to read.
    pub(crate) fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, times) => Verbosity::Verbose(times),
        }
    }

    /// The flags that decide on the form of the output, out of a command line that cannot be parsed: an error
    /// in it, too, is to come in the form that was asked for.
    fn scan(arguments: &[OsString]) -> Self {
        let mut global = Self { quiet: false, verbose: 0, color: ColorChoice::Auto, json: false };
        let mut rest =
            arguments.iter().map(OsString::as_os_str).take_while(|argument| *argument != "--").peekable();
        while let Some(argument) = rest.next() {
            let color = match argument.to_str() {
                Some("--json") => {
                    global.json = true;
                    None
                }
                Some("--color") => rest.peek().and_then(|value| value.to_str()),
                Some(argument) => argument.strip_prefix("--color="),
                None => None,
            };
            if let Some(choice) = color.and_then(|color| ColorChoice::from_str(color, false).ok()) {
                global.color = choice;
            }
        }
        global
    }
}

/// What the arguments of the process amount to.
pub(crate) enum Invocation {
    /// A command to carry out.
    Run(Cli),
    /// Nothing to carry out: help or the version was asked for, or the arguments are wrong.
    Answer { global: GlobalArgs, answer: usage::Answer },
}

impl Invocation {
    /// Understands the arguments of the process, of which the first is the program.
    pub(crate) fn parse(arguments: &[OsString]) -> Self {
        match Cli::try_parse_from(arguments).and_then(Cli::checked) {
            Ok(cli) => Self::Run(cli),
            Err(error) => Self::Answer {
                global: GlobalArgs::scan(arguments),
                answer: usage::Answer::new(&error, arguments),
            },
        }
    }

    /// The flags that hold for the whole run.
    pub(crate) fn global(&self) -> &GlobalArgs {
        match self {
            Self::Run(cli) => &cli.global,
            Self::Answer { global, .. } => global,
        }
    }
}

/// What stands below the flags in `--help`.
fn after_help() -> String {
    let heading = style::HEADING;
    let codes: String =
        Exit::TABLE.iter().map(|(exit, meaning)| format!("  {:>3}  {meaning}\n", exit.code())).collect();
    format!(
        "{heading}Environment:{heading:#}\n\
         \x20 {url}  The masters to speak to, as --url\n\
         \x20 {ca}  The file of the authority that masters' certificates are from\n\
         \x20 {token}  A token of a user, instead of the one that logging in gave\n\
         \x20 {log}  Levels of the diagnostics on standard error, such as info,clusterctl=debug\n\
         \x20 NO_COLOR        No colours\n\
         \x20 CLICOLOR_FORCE  Colours also where the output is not a terminal\n\
         \n\
         {heading}Exit codes:{heading:#}\n{codes}",
        log = logging::VARIABLE,
        url = context::URL_VARIABLE,
        ca = context::CA_VARIABLE,
        token = context::TOKEN_VARIABLE,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn global(line: &str) -> GlobalArgs {
        Invocation::parse(&arguments(line)).global().clone()
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for line in [
            "clusterctl -vv --json --color never completions bash",
            "clusterctl completions bash -vv --json --color=never",
        ] {
            let global = global(line);
            assert_eq!((global.verbosity(), global.json), (Verbosity::Verbose(2), true), "{line}");
            assert_eq!(global.color, ColorChoice::Never, "{line}");
        }
    }

    #[test]
    fn the_form_of_the_output_is_known_even_when_the_arguments_are_wrong() {
        let wrong = global("clusterctl no-such --color always --json");
        assert_eq!((wrong.color, wrong.json), (ColorChoice::Always, true));
        let wrong = global("clusterctl --color=sometimes");
        assert_eq!((wrong.color, wrong.json), (ColorChoice::Auto, false));
        let after_the_flags = global("clusterctl no-such -- --json --color always");
        assert_eq!((after_the_flags.color, after_the_flags.json), (ColorChoice::Auto, false));
    }
}
