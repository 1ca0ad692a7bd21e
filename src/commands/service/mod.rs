//! `clusterctl service`: programs that are to run all the time, as Marathon knows them.

use api::client::{AppEmbed, Client};
use api::marathon::{AppId, GroupId};
use serde_json::Value;

use crate::connect::block_on;
use crate::error::CliError;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::{text, value};

mod args;
pub(crate) mod change;
mod deployments;
mod dry_run;
mod edit;
mod logs;
mod many;
mod plain;
pub(crate) mod plan;
pub(crate) mod reason;
mod rollback;
mod set;
mod show;
mod versions;
pub(crate) mod view;
pub(crate) mod wait;
pub(crate) mod watch;

use args::ServiceCommand;
pub(crate) use args::{ChangeArgs, ServiceArgs, WaitArgs};
pub(crate) use rollback::pick_version;

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
        ServiceCommand::List { output } => show::list(ui, client, *output).await,
        ServiceCommand::Show { id, output } => show::one(ui, client, &app_id(id)?, *output).await,
        ServiceCommand::Create { id, file, dry_run, quick, wait } => {
            let flags = id.as_deref().map(|id| (id, quick));
            let definitions = change::definitions(file.as_deref(), flags)?;
            match dry_run {
                true => dry_run::create(ui, client, &definitions).await,
                false => change::create(ui, client, &definitions, *wait).await,
            }
        }
        ServiceCommand::Update { id, file, set, replace, dry_run, change } => {
            let id = id.as_deref().map(app_id).transpose()?;
            let update = change::Update::read(id, file.as_deref(), set, *replace)?;
            match dry_run {
                true => dry_run::update(ui, client, update).await,
                false => change::update(ui, client, update, *change).await,
            }
        }
        ServiceCommand::Edit { id, output, change } => {
            edit::edit(ui, client, &app_id(id)?, *output, *change).await
        }
        ServiceCommand::Scale { id, instances, change } => {
            change::scale(ui, client, &app_id(id)?, *instances, *change).await
        }
        ServiceCommand::Suspend { id, change } => change::suspend(ui, client, &app_id(id)?, *change).await,
        ServiceCommand::Restart { id, change } => change::restart(ui, client, &app_id(id)?, *change).await,
        ServiceCommand::Rollback { id, to, change } => {
            rollback::rollback(ui, client, &app_id(id)?, to.as_deref(), *change).await
        }
        ServiceCommand::Versions { id, output } => versions::list(ui, client, &app_id(id)?, *output).await,
        ServiceCommand::Diff { id, from, to } => {
            versions::diff(ui, client, &app_id(id)?, from.as_deref(), to.as_deref()).await
        }
        ServiceCommand::Deployments { id, output } => {
            let app = id.as_deref().map(app_id).transpose()?;
            deployments::list(ui, client, app.as_ref(), *output).await
        }
        ServiceCommand::StopDeployment { id, force, yes, wait } => {
            deployments::stop(ui, client, id, *force, *yes, *wait).await
        }
        ServiceCommand::Logs { id, task, logs } => {
            logs::of_service(ui, client, &app_id(id)?, task.as_deref(), logs).await
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
            Err(unknown(app, &known))
        }
        Ok(mut answer) => match answer.get_mut("app").map(Value::take) {
            Some(app) => Ok(app),
            None => Err(CliError::internal("the answer about a service has no `app`")),
        },
        Err(error) => Err(error.into()),
    }
}

/// There is no such service, but there are others.
fn unknown(app: &AppId, known: &Value) -> CliError {
    let names: Vec<&str> = value::list(known, "apps").iter().map(|app| value::text(app, "id")).collect();
    let mut shown = CliError::usage(format!("there is no service {app}"));
    for name in text::similar(app.as_str(), names.iter().copied()) {
        shown = shown.hint(format!("did you mean `{name}`?"));
    }
    let below = format!("{app}/");
    if names.iter().any(|name| name.starts_with(&below)) {
        shown = shown.hint(format!("{app} is a group; `clusterctl group show {app}` shows it"));
    }
    shown.hint("`clusterctl service list` shows all services")
}
