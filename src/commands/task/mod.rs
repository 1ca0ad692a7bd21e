//! `clusterctl task`: what runs, whoever started it.

use std::path::PathBuf;

use api::client::Client;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::confirm::confirm;
use crate::connect::{ClusterArgs, block_on};
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::output::OutputArgs;
use crate::printer::Printer;
use crate::sandbox::Sandbox;
use crate::{text, value};

mod files;
pub(crate) mod find;
pub(crate) mod logs;
pub(crate) mod view;

const EXAMPLES: &str = "\
Examples:
  clusterctl task list --service web          what runs of the service /web
  clusterctl task logs web.3f0c8a52 -f        what it writes, as it writes it
  clusterctl task files web.3f0c8a52          what is in its sandbox
  clusterctl task files web.3f0c8a52 core --download core.dump
  clusterctl task kill web.3f0c8a52           its service starts another one

TASK is an id, a short name as `task list` prints it, or any part of an id that only one task has.";

/// Arguments of `clusterctl task`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TaskArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(subcommand)]
    command: TaskCommand,
}

#[derive(Debug, Subcommand)]
enum TaskCommand {
    /// List tasks that run, of all frameworks
    #[command(
        after_help = "Examples:\n  clusterctl task list --service web\n  clusterctl task list --all -o wide"
    )]
    List {
        /// Those too that are over
        #[arg(short, long)]
        all: bool,
        /// Those of one service only
        #[arg(long, value_name = "ID")]
        service: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Print what a task wrote
    #[command(after_help = "Example:\n  clusterctl task logs web.3f0c8a52 -f")]
    Logs {
        /// The task: its id, short name, or a part that only one has
        task: String,
        #[command(flatten)]
        logs: logs::LogArgs,
    },
    /// List the files in a task's sandbox, or fetch one
    #[command(
        after_help = "Examples:\n  clusterctl task files web.3f0c8a52\n  clusterctl task files web.3f0c8a52 logs\n  clusterctl task files web.3f0c8a52 stdout --download web.log"
    )]
    Files {
        /// The task: its id, short name, or a part that only one has
        task: String,
        /// A directory in the sandbox; with --download, a file
        path: Option<String>,
        /// Write the file PATH of the sandbox to this file
        #[arg(long, value_name = "FILE", requires = "path")]
        download: Option<PathBuf>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Kill an instance of a service, which then starts another one
    #[command(
        after_help = "Examples:\n  clusterctl task kill web.3f0c8a52\n  clusterctl task kill web.3f0c8a52 --scale -y"
    )]
    Kill {
        /// The task: its id, short name, or a part that only one has
        task: String,
        /// Start no other one: the service has one instance less from then on
        #[arg(long)]
        scale: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// Carries out a `task` command.
pub(crate) fn run(ui: &mut Printer, args: &TaskArgs) -> Result<Exit, CliError> {
    let client = args.cluster.client()?;
    block_on(async {
        match &args.command {
            TaskCommand::List { all, service, output } => {
                list(ui, &client, *all, service.as_deref(), *output).await
            }
            TaskCommand::Logs { task, logs } => {
                let tasks = client.tasks().await?;
                let task = find::task(value::list(&tasks, "tasks"), task)?.clone();
                logs::of_tasks(ui, &client, vec![task], logs, None).await
            }
            TaskCommand::Files { task, path, download, output } => {
                let tasks = client.tasks().await?;
                let sandbox = sandbox(find::task(value::list(&tasks, "tasks"), task)?)?;
                let path = path.as_deref().unwrap_or_default();
                match download {
                    Some(to) => files::download(ui, &client, &sandbox, path, to).await,
                    None => files::list(ui, &client, &sandbox, path, *output).await,
                }
            }
            TaskCommand::Kill { task, scale, yes } => kill(ui, &client, task, *scale, *yes).await,
        }
    })
}

fn sandbox(task: &Value) -> Result<Sandbox, CliError> {
    Sandbox::of(task).ok_or_else(|| {
        CliError::internal(format!("the master does not say where task {} runs", value::text(task, "id")))
    })
}

async fn list(
    ui: &mut Printer,
    client: &Client,
    all: bool,
    service: Option<&str>,
    output: OutputArgs,
) -> Result<Exit, CliError> {
    let service = service.map(crate::commands::service::app_id).transpose()?;
    let mut answer = client.tasks().await?;
    let nodes = if output.is_table() { client.nodes().await? } else { json!({}) };
    let scope = service.clone().map(view::Scope::Service);
    let tasks = view::wanted(value::list(&answer, "tasks"), all, scope.as_ref());
    let none = tasks.is_empty();
    answer["tasks"] = Value::Array(tasks);
    let now = text::now();
    if none && output.is_table() && !ui.is_json() {
        ui.hint(
            match (all, &service) {
                (false, Some(app)) => {
                    format!("nothing of {app} runs; `clusterctl service show {app}` says why")
                }
                (false, None) => "no task runs; `clusterctl service create -f FILE` starts a service, \
                              and `--all` shows what is over"
                    .to_owned(),
                (true, _) => {
                    "there are no tasks; `clusterctl service create -f FILE` starts a service".to_owned()
                }
            }
            .as_str(),
        );
        return Ok(Exit::Done);
    }
    output.show(ui, "tasks", &answer, |wide| view::tasks(&answer, &nodes, wide, now).render())
}

async fn kill(
    ui: &mut Printer,
    client: &Client,
    wanted: &str,
    scale: bool,
    yes: bool,
) -> Result<Exit, CliError> {
    let tasks = client.tasks().await?;
    let task = find::task(value::list(&tasks, "tasks"), wanted)?;
    let id = value::text(task, "id");
    let parsed = id.parse::<api::marathon::TaskId>().map_err(|error| {
        CliError::usage(format!("task {id} is no instance of a service"))
            .caused_by(&error)
            .hint("its framework decides on it; ask that to end it")
    })?;
    let name = find::short(id);
    if find::is_over(task) {
        return Err(CliError::usage(format!("task {name} is over: {}", value::text(task, "state"))));
    }
    let then = if scale { "and have one instance less" } else { "and let its service start another one" };
    confirm(ui, yes, &format!("Kill {name} {then}?"))?;
    client.kill_app_task(parsed.app(), id, scale).await?;
    ui.result(&format!("killed {name}\n"), &Event::Done { what: "killed", name: id })?;
    ui.hint(&format!("`clusterctl service show {}` shows what follows", parsed.app()));
    Ok(Exit::Done)
}
