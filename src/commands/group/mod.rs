//! `clusterctl group`: services that belong together, and change together.

use api::client::{AppEmbed, Client};
use api::marathon::{AppId, GroupId};
use serde_json::Value;

use crate::connect::block_on;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::OutputArgs;
use crate::printer::Printer;
use crate::{text, value};

mod args;
mod change;
mod tree;
mod update;
mod versions;
mod view;

pub(crate) use args::GroupArgs;
use args::GroupCommand;

/// Reads a group's id, with or without its leading slash.
fn group_id(text: &str) -> Result<GroupId, CliError> {
    GroupId::resolve(text, &GroupId::root()).map_err(|error| {
        CliError::usage(format!("{text:?} cannot be a group's id"))
            .caused_by(&error)
            .hint("ids are like /shop or /shop/backend; / is the group of all")
    })
}

/// Carries out a `group` command.
pub(crate) fn run(ui: &mut Printer, args: &GroupArgs) -> Result<Exit, CliError> {
    let client = args.cluster.client()?;
    block_on(command(ui, &client, &args.command))
}

async fn command(ui: &mut Printer, client: &Client, command: &GroupCommand) -> Result<Exit, CliError> {
    match command {
        GroupCommand::List { output } => list(ui, client, *output).await,
        GroupCommand::Show { group, output } => show(ui, client, &group_id(group)?, *output).await,
        GroupCommand::Create { file, wait } => update::create(ui, client, file, *wait).await,
        GroupCommand::Update { group, file, dry_run, yes, change } => {
            let group = group.as_deref().map(group_id).transpose()?;
            let definitions = update::read(group.as_ref(), file)?;
            match dry_run {
                true => update::dry_run(ui, client, &definitions).await,
                false => update::update(ui, client, &definitions, *yes, *change).await,
            }
        }
        GroupCommand::Scale { group, factor, change } => {
            change::scale(ui, client, &group_id(group)?, *factor, *change).await
        }
        GroupCommand::Versions { group, output } => {
            versions::list(ui, client, &group_id(group)?, *output).await
        }
        GroupCommand::Rollback { group, to, change } => {
            versions::rollback(ui, client, &group_id(group)?, to.as_deref(), *change).await
        }
        GroupCommand::Wait { group, timeout } => {
            change::until_up(ui, client, &group_id(group)?, *timeout).await
        }
        GroupCommand::Remove { group, yes, change } => {
            change::remove(ui, client, &group_id(group)?, *yes, *change).await
        }
    }
}

/// The group, or an error that knows what other groups there are.
async fn existing(client: &Client, group: &GroupId, counts: bool) -> Result<Value, CliError> {
    match client.group(group, counts).await {
        Err(error) if error.status() == Some(404) => {
            // Only for better advice: that it is not there is known already.
            let all = client.group(&GroupId::root(), false).await.unwrap_or_default();
            Err(unknown(group, &all))
        }
        answer => Ok(answer?),
    }
}

fn unknown(group: &GroupId, all: &Value) -> CliError {
    let names = tree::groups(all).into_iter().map(|group| value::text(group, "id")).filter(|id| *id != "/");
    let mut shown = CliError::usage(format!("there is no group {group}"));
    for name in text::similar(group.as_str(), names) {
        shown = shown.hint(format!("did you mean `{name}`?"));
    }
    if tree::services(all).iter().any(|app| value::text(app, "id") == group.as_str()) {
        shown = shown.hint(format!("{group} is a service; `clusterctl service show {group}` shows it"));
    }
    shown.hint("`clusterctl group list` shows all groups")
}

/// The services in a group as they are, with their instances.
async fn services(client: &Client, group: &GroupId) -> Result<Vec<(AppId, Value)>, CliError> {
    let mut answer = client.apps(&[AppEmbed::Tasks, AppEmbed::LastTaskFailure]).await?;
    let Some(Value::Array(apps)) = answer.get_mut("apps").map(Value::take) else { return Ok(Vec::new()) };
    let with_id = |app: Value| Some((value::text(&app, "id").parse::<AppId>().ok()?, app));
    Ok(apps.into_iter().filter_map(with_id).filter(|(id, _)| group.contains(id)).collect())
}

async fn list(ui: &mut Printer, client: &Client, output: OutputArgs) -> Result<Exit, CliError> {
    let answer = client.group(&GroupId::root(), true).await?;
    let empty = value::list(&answer, "groups").is_empty();
    if empty && output.is_table() && !ui.is_json() {
        ui.hint("there are no groups yet; `clusterctl group create -f FILE` makes one, and so does a service with an id like /shop/web");
        return Ok(Exit::Done);
    }
    let now = text::now();
    output.show(ui, "groups", &answer, |wide| view::groups(&answer, wide, now).render())
}

async fn show(
    ui: &mut Printer,
    client: &Client,
    group: &GroupId,
    output: OutputArgs,
) -> Result<Exit, CliError> {
    let found = existing(client, group, true).await?;
    let reasons = match output.is_table() {
        true => crate::commands::service::reason::Reasons::read(client).await,
        false => crate::commands::service::reason::Reasons::default(),
    };
    let now = text::now();
    output.show(ui, "group", &found, |wide| view::group(&found, &reasons, wide, now))
}
