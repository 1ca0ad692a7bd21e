//! The arguments of `clusterctl group`, which are its help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::commands::service::{ChangeArgs, WaitArgs};
use crate::connect::ClusterArgs;
use crate::output::OutputArgs;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  clusterctl group create -f shop.yaml           all services of a group, in the order of their dependencies
  clusterctl group update -f shop.yaml --dry-run what would be done, step by step
  clusterctl group scale /shop 2                 twice as many instances of each service
  clusterctl group rollback /shop                to the version before
  clusterctl group remove /shop

GROUP is a group's id; a leading slash may be left out, and / is the group of all. The smallest definition is
{\"id\": \"/shop\", \"apps\": [{\"id\": \"web\", \"cmd\": \"…\"}]}.";

/// Arguments of `clusterctl group`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GroupArgs {
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
    #[command(subcommand)]
    pub(super) command: GroupCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// List groups: how many services each has, and how they are
    #[command(
        after_help = "Examples:\n  clusterctl group list\n  clusterctl group list -o json | jq -r '.groups[].id'"
    )]
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show a group with its services and the groups in it
    #[command(after_help = "Example:\n  clusterctl group show /shop")]
    Show {
        /// The group
        group: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Create groups with their services, and wait until all run
    #[command(
        after_help = "Examples:\n  clusterctl group create -f shop.yaml\n  clusterctl group create -f - < shop.json"
    )]
    Create {
        /// Definitions, JSON or YAML: a file, a directory, or - for standard input
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Make a group what a definition says: services that it does not name are removed
    #[command(
        after_help = "Examples:\n  clusterctl group update -f shop.yaml --dry-run\n  clusterctl group update /shop -f shop.yaml -y"
    )]
    Update {
        /// The group; without it, those that FILE names
        group: Option<String>,
        /// Definitions, JSON or YAML: a file, a directory, or - for standard input
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// Show the steps it would take, and exit with 3 if there are any; change nothing
        #[arg(long)]
        dry_run: bool,
        /// Do not ask before services are removed
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Multiply the instances of all services in a group, rounded up
    #[command(
        after_help = "Examples:\n  clusterctl group scale /shop 2\n  clusterctl group scale /shop 0.5 --no-wait"
    )]
    Scale {
        /// The group
        group: String,
        /// By how much, like 2 or 0.5
        #[arg(value_parser = factor)]
        factor: f64,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// List the versions of a group, and which services each one changed
    #[command(
        after_help = "Examples:\n  clusterctl group versions /shop\n  clusterctl group versions /shop -o json"
    )]
    Versions {
        /// The group
        group: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Undo the deployment that runs, or else go back to the version before, or to any
    #[command(
        after_help = "Examples:\n  clusterctl group rollback /shop\n  clusterctl group rollback /shop --to 2026-11-22T11:57:00.000Z"
    )]
    Rollback {
        /// The group
        group: String,
        /// A version, or the beginning of one, as `versions` lists them
        #[arg(long, value_name = "VERSION")]
        to: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Wait until all services of a group are deployed, and their instances run and are healthy
    #[command(after_help = "Example:\n  clusterctl group wait /shop --timeout 90s")]
    Wait {
        /// The group
        group: String,
        /// How long to wait, like 90s or 10m
        #[arg(long, value_name = "TIME", default_value = "10m", value_parser = text::duration)]
        timeout: Duration,
    },
    /// Remove a group with all services and groups in it
    #[command(after_help = "Example:\n  clusterctl group remove /shop -y")]
    Remove {
        /// The group
        group: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// A factor that instances can be multiplied by.
fn factor(text: &str) -> Result<f64, String> {
    let factor: f64 = text.parse().map_err(|error| format!("{error}; write a number, like 2 or 0.5"))?;
    if factor.is_finite() && factor >= 0.0 { Ok(factor) } else { Err("it must be 0 or more".to_owned()) }
}
