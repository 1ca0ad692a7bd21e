//! Arguments of the commands that work on the hosts of an inventory.

use std::path::PathBuf;

use clap::Args;

const INSTALL: &str = "\
Examples:
  clusterctl init                                   write an inventory
  clusterctl install inventory.yaml                 look, show the plan, ask, carry it out
  clusterctl plan inventory.yaml --out plan.json    look and plan only
  clusterctl install inventory.yaml --plan plan.json   carry out just that, if it still holds
  clusterctl install inventory.yaml -y --json       for scripts

What is there already is left as it is: a second run changes nothing. A run that was cut off is run again. The cluster's
certificate authority and the journal of all runs are in .clusterctl beside the inventory: keep it, and keep it private.";

/// Which hosts, and how to get there.
#[derive(Args, Clone, Debug)]
pub(crate) struct HostArgs {
    /// The inventory
    #[arg(value_name = "INVENTORY")]
    pub(crate) inventory: PathBuf,

    /// Where the password for sudo stands; - for standard input. Without it, it is asked for when a host wants one
    #[arg(long, value_name = "FILE")]
    pub(crate) become_password_file: Option<PathBuf>,

    /// Ask for the password of SSH logins
    #[arg(long)]
    pub(crate) ask_pass: bool,

    /// Leave this host out; may be given several times
    #[arg(long, value_name = "HOST")]
    pub(crate) exclude: Vec<String>,

    /// How many hosts are worked on at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) parallel: u16,

    /// The program that goes to nodes, where it is not this one
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) program: Option<PathBuf>,
}

/// Arguments of `clusterctl install`.
#[derive(Args, Debug)]
#[command(after_help = INSTALL)]
pub(crate) struct InstallArgs {
    #[command(flatten)]
    pub(crate) hosts: HostArgs,

    /// Don't ask. Host keys that are not known are refused then, unless the inventory says `accept-new`
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,

    /// Carry out this plan, and refuse when hosts have changed since
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub(crate) plan: Option<PathBuf>,

    /// Go on with the last run, which was cut off or failed on some hosts; doesn't ask again
    #[arg(long)]
    pub(crate) resume: bool,

    /// Begin no further host after more than so many have failed
    #[arg(long, value_name = "N")]
    pub(crate) max_failures: Option<usize>,
}

/// Arguments of `clusterctl plan`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  clusterctl plan inventory.yaml\n  clusterctl plan inventory.yaml --out plan.json\n\nExits with 3 when there are differences."
)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) hosts: HostArgs,

    /// Write the plan to a file, for `install --plan`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Arguments of `clusterctl check`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  clusterctl check inventory.yaml\n\nExits with 5 when something is wrong."
)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) hosts: HostArgs,
}

/// Arguments of `clusterctl reset`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  clusterctl reset inventory.yaml\n\nEach host has a list of what was put there. What was changed since is left, and named."
)]
pub(crate) struct ResetArgs {
    #[command(flatten)]
    pub(crate) hosts: HostArgs,

    /// Don't ask
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
}
