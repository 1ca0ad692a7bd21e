//! The arguments of `clusterctl package`, which are its help.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::commands::service::{ChangeArgs, WaitArgs};
use crate::connect::ClusterArgs;
use crate::output::OutputArgs;

const EXAMPLES: &str = "\
Examples:
  clusterctl package search spark              what there is
  clusterctl package describe spark            what it is, which versions there are, how to reach it
  clusterctl package options spark             what can be set, and what it is when nothing is said
  clusterctl package install spark --set worker.instances=3
  clusterctl package list                      what is installed
  clusterctl package uninstall spark

What a package brings along is fetched on this machine, uploaded to the masters once, and kept there.";

/// Arguments of `clusterctl package`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PackageArgs {
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
    #[command(subcommand)]
    pub(super) command: PackageCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum PackageCommand {
    /// List the packages that can be installed
    #[command(after_help = "Examples:\n  clusterctl package search\n  clusterctl package search 'elastic*'")]
    Search {
        /// A part of a name, description or tag; * stands for anything
        query: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show a package: what it is, its versions, what it needs
    #[command(
        after_help = "Examples:\n  clusterctl package describe spark\n  clusterctl package describe spark -o json"
    )]
    Describe {
        /// The package
        package: String,
        /// A version, as `describe` lists them; without it, the newest
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the options of a package, with their types and what they are when nothing is said
    #[command(
        after_help = "Examples:\n  clusterctl package options spark\n  clusterctl package options spark -o yaml > options.yaml"
    )]
    Options {
        /// The package
        package: String,
        /// A version
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Install a package, and wait until all of it runs and is healthy
    ///
    /// Shows what will run, what it takes and whether it fits, and asks. What the package brings along is fetched with this machine's
    /// own pip, mvn, npm and apt, or from its makers, compared with its checksum, and uploaded.
    #[command(
        after_help = "Examples:\n  clusterctl package install spark -y\n  clusterctl package install spark --id /team/spark --options options.yaml\n  clusterctl package install spark --set worker.instances=3 --set worker.mem=2048"
    )]
    Install(InstallArgs),
    /// List what is installed
    #[command(after_help = "Examples:\n  clusterctl package list\n  clusterctl package list -o json")]
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Change the version or the options of an installed package, one instance after the other
    ///
    /// Options that were given before stay, but for those that are given now.
    #[command(
        after_help = "Examples:\n  clusterctl package update spark --set worker.instances=5\n  clusterctl package update /team/spark --version 3.5.4"
    )]
    Update {
        /// The id of the installed package, or its name when it is installed once
        installed: String,
        /// The version to change to; without it, the one that is there
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,
        /// Forget the options that were given before
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        options: OptionArgs,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Remove an installed package with all that it runs
    #[command(
        after_help = "Examples:\n  clusterctl package uninstall spark\n  clusterctl package uninstall spark --id /team/spark -y"
    )]
    Uninstall {
        /// The package
        package: String,
        /// Which one, when it is installed more than once
        #[arg(long, value_name = "ID", conflicts_with = "all")]
        id: Option<String>,
        /// All of them
        #[arg(long)]
        all: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        wait: WaitArgs,
    },
}

#[derive(Args, Debug)]
pub(super) struct InstallArgs {
    /// The package
    pub(super) package: String,
    /// A version; without it, the newest
    #[arg(long, value_name = "VERSION")]
    pub(super) version: Option<String>,
    /// The id of its service or group; without it, the package's name
    #[arg(long, value_name = "ID")]
    pub(super) id: Option<String>,
    #[command(flatten)]
    pub(super) options: OptionArgs,
    /// Show what would run, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) wait: WaitArgs,
}

#[derive(Args, Debug)]
pub(super) struct OptionArgs {
    /// Options in a file, JSON or YAML, or - for standard input; later files win
    #[arg(long, value_name = "FILE")]
    pub(super) options: Vec<PathBuf>,
    /// One option, like worker.instances=3; wins over files
    #[arg(long, value_name = "OPTION=VALUE")]
    pub(super) set: Vec<String>,
}
