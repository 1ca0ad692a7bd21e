//! The arguments of `clusterctl service`, which are its help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::commands::task::logs;
use crate::connect::ClusterArgs;
use crate::output::OutputArgs;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  clusterctl service create -f web.json          and wait until it runs
  clusterctl service create -f services/         all that a directory describes
  clusterctl service create web --cmd 'python3 -m http.server $PORT0' --cpus 0.1 --mem 64
  clusterctl service update web --set cpus=0.5 --set env.LEVEL=debug
  clusterctl service scale web 3
  clusterctl service edit web                    in your editor
  clusterctl service rollback web                to the version before
  clusterctl service logs web -f                 of all instances
  clusterctl service deployments                 what is being changed, and why it waits
  clusterctl service remove web -y

ID is a service's id; a leading slash may be left out. The smallest definition is {\"id\": \"/web\", \"cmd\": \"…\"}.";

/// Arguments of `clusterctl service`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServiceArgs {
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
    #[command(subcommand)]
    pub(super) command: ServiceCommand,
}

/// Flags of every command that waits.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct WaitArgs {
    /// Do not wait until it is done
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait, like 90s or 10m
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = text::duration)]
    pub(crate) timeout: Duration,
}

/// Flags of every command that changes a service.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ChangeArgs {
    /// Put this in the place of a deployment that is not done
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// A service described by flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Instead of a file")]
pub(super) struct QuickArgs {
    /// What each instance runs, as a shell reads it
    #[arg(long, value_name = "COMMAND", requires = "id", conflicts_with = "file")]
    pub(super) cmd: Option<String>,
    /// How many processors each instance gets
    #[arg(long, value_name = "N", requires = "id")]
    pub(super) cpus: Option<f64>,
    /// How much memory each instance gets, in MiB
    #[arg(long, value_name = "MIB", requires = "id")]
    pub(super) mem: Option<f64>,
    /// How many instances there are to be
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) instances: u32,
    /// A variable of its environment
    #[arg(long, value_name = "NAME=VALUE", requires = "id")]
    pub(super) env: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ServiceCommand {
    /// List services
    #[command(
        after_help = "Examples:\n  clusterctl service list -o wide\n  clusterctl service list -o json | jq -r '.apps[].id'"
    )]
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show a service: what it is, its instances, why the last one failed
    #[command(after_help = "Example:\n  clusterctl service show web")]
    Show {
        /// The service
        id: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Create services and wait until they run
    #[command(override_usage = "clusterctl service create [OPTIONS] <--file <FILE>|ID --cmd <COMMAND>>")]
    #[command(
        after_help = "Examples:\n  clusterctl service create -f web.json\n  clusterctl service create -f services/\n  clusterctl service create -f - < web.yaml\n  clusterctl service create web --cmd 'sleep 1000' --cpus 0.1 --mem 32"
    )]
    Create {
        /// The service, where flags describe it
        #[arg(requires = "cmd")]
        id: Option<String>,
        /// Definitions, JSON or YAML: a file, a directory, or - for standard input
        #[arg(short, long, value_name = "FILE", required_unless_present = "id", conflicts_with = "id")]
        file: Option<PathBuf>,
        /// Show what would be created; change nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        quick: QuickArgs,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Change services: the keys that are named, or with --replace all of it
    #[command(
        after_help = "Examples:\n  clusterctl service update web -f change.yaml\n  clusterctl service update -f services/ --dry-run\n  clusterctl service update web --set cpus=0.5 --set env.LEVEL=debug\n  clusterctl service update web -f web.json --replace"
    )]
    #[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
    Update {
        /// The service; without it, those that FILE names
        #[arg(required_unless_present = "file")]
        id: Option<String>,
        /// What to change, JSON or YAML: a file, a directory, or - for standard input
        #[arg(short, long, value_name = "FILE", group = "change")]
        file: Option<PathBuf>,
        /// Set one value, like cpus=0.5 or env.LEVEL=debug; JSON where it is JSON, else text
        #[arg(long, value_name = "PATH=VALUE", group = "change")]
        set: Vec<String>,
        /// Take FILE as the whole definition: what it does not name gets its default
        #[arg(long, requires = "file")]
        replace: bool,
        /// Show what would change, and exit with 3 if anything would; change nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Change a service in your editor: $VISUAL, else $EDITOR, else vi
    #[command(
        after_help = "Examples:\n  clusterctl service edit web\n  EDITOR=nano clusterctl service edit web -o json --no-wait"
    )]
    Edit {
        /// The service
        id: String,
        /// The form of the text
        #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = EditFormat::Yaml)]
        output: EditFormat,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Change how many instances there are
    #[command(
        after_help = "Examples:\n  clusterctl service scale web 3\n  clusterctl service scale web 0 --no-wait"
    )]
    Scale {
        /// The service
        id: String,
        /// How many instances there are to be
        instances: u32,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Run no instance any more, and keep the definition
    #[command(
        after_help = "Examples:\n  clusterctl service suspend web\n  clusterctl service scale web 3      and it runs again"
    )]
    Suspend {
        /// The service
        id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Replace all instances by new ones, as the upgrade strategy says
    #[command(after_help = "Example:\n  clusterctl service restart web --timeout 2m")]
    Restart {
        /// The service
        id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Undo the deployment that runs, or else go back to the version before, or to any
    #[command(
        after_help = "Examples:\n  clusterctl service rollback web\n  clusterctl service rollback web --to 2026-11-22T11:57:00.000Z"
    )]
    Rollback {
        /// The service
        id: String,
        /// A version, or the beginning of one, as `versions` lists them
        #[arg(long, value_name = "VERSION")]
        to: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// List the versions of a service, and what each one changed
    #[command(
        after_help = "Examples:\n  clusterctl service versions web\n  clusterctl service versions web -o json"
    )]
    Versions {
        /// The service
        id: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show what changed from one version to another; exit with 3 if anything did
    #[command(
        after_help = "Examples:\n  clusterctl service diff web                     what the last change was\n  clusterctl service diff web --from 2026-11-21   from the version of that day until now"
    )]
    Diff {
        /// The service
        id: String,
        /// A version, or the beginning of one; the one before, if not given
        #[arg(long, value_name = "VERSION")]
        from: Option<String>,
        /// A version, or the beginning of one; the present one, if not given
        #[arg(long, value_name = "VERSION")]
        to: Option<String>,
    },
    /// List deployments that run: what each one does, and why it waits
    #[command(
        after_help = "Examples:\n  clusterctl service deployments\n  clusterctl service deployments web -o json"
    )]
    Deployments {
        /// Those of one service only
        id: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Stop a deployment and roll back what it did, or drop it where it stands
    #[command(
        after_help = "Examples:\n  clusterctl service stop-deployment 5d0c8a52\n  clusterctl service stop-deployment web --force -y    keep what it did until now"
    )]
    StopDeployment {
        /// The deployment: its id, the beginning of it, or a service that it changes
        id: String,
        /// Roll nothing back: leave everything as it is at this moment
        #[arg(long)]
        force: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Print what all instances of a service or a group wrote, each line after its instance's name
    #[command(
        after_help = "Examples:\n  clusterctl service logs web -f\n  clusterctl service logs /shop -f           of all services of a group\n  clusterctl service logs web --stderr -n 20 --task 3f0c8a52"
    )]
    Logs {
        /// The service, or a group of them
        id: String,
        /// Of one instance only: its id, short name, or a part that only one has
        #[arg(long, value_name = "TASK")]
        task: Option<String>,
        #[command(flatten)]
        logs: logs::LogArgs,
    },
    /// Wait until a service is deployed and all its instances run and are healthy
    #[command(after_help = "Example:\n  clusterctl service wait web --timeout 90s")]
    Wait {
        /// The service
        id: String,
        /// How long to wait, like 90s or 10m
        #[arg(long, value_name = "TIME", default_value = "10m", value_parser = text::duration)]
        timeout: Duration,
    },
    /// Remove a service with all its instances
    #[command(after_help = "Example:\n  clusterctl service remove web -y")]
    Remove {
        /// The service
        id: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        wait: WaitArgs,
    },
}

/// The form of a definition in an editor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum EditFormat {
    Yaml,
    Json,
}
