//! `clusterctl service`: programs that are to run all the time, as Marathon knows them.

use std::path::PathBuf;
use std::time::Duration;

use api::client::{AppEmbed, Client};
use api::marathon::{AppId, GroupId};
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::commands::task::{logs, view as task_view};
use crate::connect::{ClusterArgs, block_on};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::OutputArgs;
use crate::printer::Printer;
use crate::{text, value};

mod change;
mod reason;
mod set;
mod view;
mod wait;
mod watch;

const EXAMPLES: &str = "\
Examples:
  clusterctl service create -f web.json          and wait until it runs
  clusterctl service create web --cmd 'python3 -m http.server $PORT0' --cpus 0.1 --mem 64
  clusterctl service update web --set cpus=0.5 --set env.LEVEL=debug
  clusterctl service scale web 3
  clusterctl service logs web -f                 of all instances
  clusterctl service remove web -y

ID is a service's id; a leading slash may be left out. The smallest definition is {\"id\": \"/web\", \"cmd\": \"…\"}.";

/// Arguments of `clusterctl service`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServiceArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(subcommand)]
    command: ServiceCommand,
}

/// Flags of every command that waits.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct WaitArgs {
    /// Do not wait until it is done
    #[arg(long)]
    no_wait: bool,
    /// How long to wait, like 90s or 10m
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = text::duration)]
    timeout: Duration,
}

/// Flags of every command that changes a service.
#[derive(Args, Clone, Copy, Debug)]
struct ChangeArgs {
    /// Put this in the place of a deployment that is not done
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// A service described by flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Instead of a file")]
struct QuickArgs {
    /// What each instance runs, as a shell reads it
    #[arg(long, value_name = "COMMAND", requires = "id", conflicts_with = "file")]
    cmd: Option<String>,
    /// How many processors each instance gets
    #[arg(long, value_name = "N", requires = "id")]
    cpus: Option<f64>,
    /// How much memory each instance gets, in MiB
    #[arg(long, value_name = "MIB", requires = "id")]
    mem: Option<f64>,
    /// How many instances there are to be
    #[arg(long, value_name = "N", default_value_t = 1)]
    instances: u32,
    /// A variable of its environment
    #[arg(long, value_name = "NAME=VALUE", requires = "id")]
    env: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum ServiceCommand {
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
    /// Create a service and wait until it runs
    #[command(override_usage = "clusterctl service create [OPTIONS] <--file <FILE>|ID --cmd <COMMAND>>")]
    #[command(
        after_help = "Examples:\n  clusterctl service create -f web.json\n  clusterctl service create -f - < web.yaml\n  clusterctl service create web --cmd 'sleep 1000' --cpus 0.1 --mem 32"
    )]
    Create {
        /// The service, where flags describe it
        #[arg(requires = "cmd")]
        id: Option<String>,
        /// Its definition, JSON or YAML; - is standard input
        #[arg(short, long, value_name = "FILE", required_unless_present = "id", conflicts_with = "id")]
        file: Option<PathBuf>,
        #[command(flatten)]
        quick: QuickArgs,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Change a service: the keys that are named, or with --replace all of it
    #[command(
        after_help = "Examples:\n  clusterctl service update web -f change.yaml\n  clusterctl service update web --set cpus=0.5 --set env.LEVEL=debug\n  clusterctl service update web -f web.json --replace"
    )]
    #[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
    Update {
        /// The service
        id: String,
        /// What to change, JSON or YAML; - is standard input
        #[arg(short, long, value_name = "FILE", group = "change")]
        file: Option<PathBuf>,
        /// Set one value, like cpus=0.5 or env.LEVEL=debug; JSON where it is JSON, else text
        #[arg(long, value_name = "PATH=VALUE", group = "change")]
        set: Vec<String>,
        /// Take FILE as the whole definition: what it does not name gets its default
        #[arg(long, requires = "file")]
        replace: bool,
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
    /// Replace all instances by new ones, as the upgrade strategy says
    #[command(after_help = "Example:\n  clusterctl service restart web --timeout 2m")]
    Restart {
        /// The service
        id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Undo the deployment that runs, or else go back to the version before
    #[command(after_help = "Example:\n  clusterctl service rollback web")]
    Rollback {
        /// The service
        id: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Print what all instances wrote, each line after its instance's name
    #[command(
        after_help = "Examples:\n  clusterctl service logs web -f\n  clusterctl service logs web --stderr -n 20 --task 3f0c8a52"
    )]
    Logs {
        /// The service
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

/// Reads a service's id, with or without its leading slash.
pub(crate) fn app_id(text: &str) -> Result<AppId, CliError> {
    AppId::resolve(text, &GroupId::root()).map_err(|error| {
        CliError::usage(format!("{text:?} cannot be a service's id"))
            .caused_by(&error)
            .hint("ids are like /web or /shop/web")
    })
}

/// Carries out a `service` command.
pub(crate) fn run(ui: &mut Printer, args: &ServiceArgs) -> Result<Exit, CliError> {
    let client = args.cluster.client()?;
    block_on(command(ui, &client, &args.command))
}

async fn command(ui: &mut Printer, client: &Client, command: &ServiceCommand) -> Result<Exit, CliError> {
    match command {
        ServiceCommand::List { output } => list(ui, client, *output).await,
        ServiceCommand::Show { id, output } => show(ui, client, &app_id(id)?, *output).await,
        ServiceCommand::Create { id, file, quick, wait } => {
            let flags = id.as_deref().map(|id| (id, quick));
            change::create(ui, client, file.as_deref(), flags, *wait).await
        }
        ServiceCommand::Update { id, file, set, replace, change } => {
            let what = change::Update { file: file.as_deref(), set, replace: *replace };
            change::update(ui, client, &app_id(id)?, &what, *change).await
        }
        ServiceCommand::Scale { id, instances, change } => {
            change::scale(ui, client, &app_id(id)?, *instances, *change).await
        }
        ServiceCommand::Restart { id, change } => change::restart(ui, client, &app_id(id)?, *change).await,
        ServiceCommand::Rollback { id, wait } => change::rollback(ui, client, &app_id(id)?, *wait).await,
        ServiceCommand::Logs { id, task, logs } => {
            service_logs(ui, client, &app_id(id)?, task.as_deref(), logs).await
        }
        ServiceCommand::Wait { id, timeout } => wait::until_up(ui, client, &app_id(id)?, *timeout).await,
        ServiceCommand::Remove { id, yes, wait } => {
            change::remove(ui, client, &app_id(id)?, *yes, *wait).await
        }
    }
}

/// The app, or an error that knows what other services there are.
async fn existing(client: &Client, app: &AppId, embed: &[AppEmbed]) -> Result<Value, CliError> {
    match client.app(app, embed).await {
        Err(error) if error.status() == Some(404) => {
            // Only for better advice: that it is not there is known already.
            let known = client.apps(&[]).await.unwrap_or_default();
            let names = value::list(&known, "apps").iter().map(|app| value::text(app, "id"));
            let mut shown = CliError::usage(format!("there is no service {app}"));
            for name in text::similar(app.as_str(), names) {
                shown = shown.hint(format!("did you mean `{name}`?"));
            }
            Err(shown.hint("`clusterctl service list` shows all services"))
        }
        Ok(mut answer) => match answer.get_mut("app").map(Value::take) {
            Some(app) => Ok(app),
            None => Err(CliError::internal("the answer about a service has no `app`")),
        },
        Err(error) => Err(error.into()),
    }
}

async fn list(ui: &mut Printer, client: &Client, output: OutputArgs) -> Result<Exit, CliError> {
    let answer = client.apps(&[]).await?;
    if value::list(&answer, "apps").is_empty() && output.is_table() && !ui.is_json() {
        ui.hint("there are no services yet; `clusterctl service create -f FILE` starts one");
        return Ok(Exit::Done);
    }
    let now = text::now();
    output.show(ui, "services", &answer, |wide| view::services(&answer, wide, now).render())
}

async fn show(ui: &mut Printer, client: &Client, app: &AppId, output: OutputArgs) -> Result<Exit, CliError> {
    let embed = [AppEmbed::Tasks, AppEmbed::LastTaskFailure, AppEmbed::TaskStats];
    let found = existing(client, app, &embed).await?;
    let queue = if output.is_table() { client.queue().await? } else { Value::Null };
    let reason = reason::waiting(&queue, app.as_str());
    let now = text::now();
    output.show(ui, "service", &serde_json::json!({ "app": found }), |wide| {
        view::service(&found, reason.as_deref(), wide, now)
    })
}

async fn service_logs(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    task: Option<&str>,
    args: &logs::LogArgs,
) -> Result<Exit, CliError> {
    existing(client, app, &[]).await?;
    let answer = client.tasks().await?;
    let mut tasks = task_view::wanted(value::list(&answer, "tasks"), true, Some(app));
    if let Some(task) = task {
        let task = crate::commands::task::find::task(&tasks, task)?.clone();
        return logs::of_tasks(ui, client, vec![task], args, None).await;
    }
    let alive = task_view::wanted(&tasks, false, Some(app));
    if alive.is_empty() {
        // What ended last is what one wants to read then.
        tasks = tasks.split_off(tasks.len().saturating_sub(1));
    } else {
        tasks = alive;
    }
    if tasks.is_empty() && !args.follow {
        ui.hint(&format!("{app} has no instances yet; `clusterctl service show {app}` says why"));
        return Ok(Exit::Done);
    }
    logs::of_tasks(ui, client, tasks, args, Some(app)).await
}
