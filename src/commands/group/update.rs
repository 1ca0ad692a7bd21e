//! `group create` and `group update`: a group becomes what its definition says.

use std::path::Path;

use api::client::{Client, ClientError};
use api::marathon::GroupId;
use serde_json::{Map, Value};

use super::change::{follow, subject};
use super::{existing, group_id, services};
use crate::commands::service::change::refused;
use crate::commands::service::plan::{of_kind, steps};
use crate::commands::service::watch::Goal;
use crate::commands::service::{ChangeArgs, WaitArgs};
use crate::confirm::confirm;
use crate::definition::{self, Definition};
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::input::together;
use crate::printer::Printer;
use crate::text;

/// A group that is to become what a file says.
pub(super) struct Wanted {
    group: GroupId,
    definition: Definition,
}

impl Wanted {
    fn body(&self) -> Value {
        let mut object: Map<String, Value> = self.definition.object.clone();
        object.insert("id".to_owned(), self.group.as_str().into());
        Value::Object(object)
    }

    fn refused(&self, error: ClientError) -> CliError {
        refused(error, &[self.definition.clone().into()])
    }
}

/// The groups that a file describes. With `group` there is one, and it may leave its id out.
pub(super) fn read(group: Option<&GroupId>, file: &Path) -> Result<Vec<Wanted>, CliError> {
    let definitions = definition::groups(file)?;
    if let (Some(group), several) = (group, definitions.len())
        && several != 1
    {
        return Err(CliError::usage(format!("there are {several} definitions, and {group} is one group"))
            .hint("without GROUP all that are described are updated"));
    }
    let (mut wanted, mut wrong) = (Vec::new(), Vec::new());
    for definition in definitions {
        match named(&definition, group) {
            Ok(group) => wanted.push(Wanted { group, definition }),
            Err(error) => wrong.push(error),
        }
    }
    together(wrong).map_or(Ok(wanted), Err)
}

fn named(definition: &Definition, group: Option<&GroupId>) -> Result<GroupId, CliError> {
    let id =
        definition.id().map(group_id).transpose().map_err(|error| error.context(&definition.near("/id")))?;
    match (id, group) {
        (Some(id), Some(group)) if id != *group => Err(CliError::usage(format!(
            "{}: the definition is of {id}, not of {group}",
            definition.near("/id")
        ))),
        (Some(id), _) => Ok(id),
        (None, Some(group)) => Ok(group.clone()),
        (None, None) => {
            Err(CliError::usage(format!("{}: the definition names no group", definition.near("")))
                .hint("give it an `id`, like \"id\": \"/shop\""))
        }
    }
}

pub(super) async fn create(
    ui: &mut Printer,
    client: &Client,
    file: &Path,
    wait: WaitArgs,
) -> Result<Exit, CliError> {
    for wanted in read(None, file)? {
        let Wanted { group, .. } = &wanted;
        let result = client.create_group(&wanted.body()).await;
        let result = result.map_err(|error| about_create(error, &wanted))?;
        let subject = subject(group, "created", "created", format!("clusterctl group remove {group}"));
        follow(ui, client, group, &subject, (&result, Goal::Up), &[], wait).await?;
    }
    Ok(Exit::Done)
}

fn about_create(error: ClientError, wanted: &Wanted) -> CliError {
    let taken = matches!(&error, ClientError::Refused(refusal) if refusal.status == 409 && refusal.deployments.is_empty());
    let shown = wanted.refused(error);
    if taken {
        shown.hint("`clusterctl group update -f FILE --dry-run` shows what would change in it")
    } else {
        shown
    }
}

/// What the server would do about it.
async fn plan(client: &Client, wanted: &Wanted) -> Result<Value, CliError> {
    existing(client, &wanted.group, false)
        .await
        .map_err(|error| error.hint("`clusterctl group create -f FILE` creates it"))?;
    let plan = client.plan_group(&wanted.group, &wanted.body()).await;
    plan.map_err(|error| wanted.refused(error))
}

pub(super) async fn dry_run(
    ui: &mut Printer,
    client: &Client,
    definitions: &[Wanted],
) -> Result<Exit, CliError> {
    let mut exit = Exit::Done;
    for wanted in definitions {
        let plan = plan(client, wanted).await?;
        let lines: String = steps(&plan).iter().map(|line| format!("  {}\n", text::visible(line))).collect();
        if lines.is_empty() {
            ui.hint(&format!("{}: nothing would change", wanted.group));
        } else {
            exit = Exit::Differences;
        }
        let words = if lines.is_empty() { String::new() } else { format!("{}\n{lines}", wanted.group) };
        ui.result(&words, &Event::Answer { of: "plan", answer: &plan })?;
    }
    Ok(exit)
}

pub(super) async fn update(
    ui: &mut Printer,
    client: &Client,
    definitions: &[Wanted],
    yes: bool,
    args: ChangeArgs,
) -> Result<Exit, CliError> {
    let mut plans = Vec::new();
    for wanted in definitions {
        plans.push(plan(client, wanted).await?);
    }
    let gone: Vec<&str> = plans.iter().flat_map(|plan| of_kind(plan, "StopApplication")).collect();
    if !gone.is_empty() {
        // What a file does not name is easily forgotten there.
        confirm(
            ui,
            yes,
            &format!("This removes {}, which the definition does not name. Go on?", gone.join(", ")),
        )?;
    }
    for (wanted, plan) in definitions.iter().zip(&plans) {
        let Wanted { group, .. } = wanted;
        if steps(plan).is_empty() {
            // It is sent all the same: what a group depends on is no step.
            ui.hint(&format!("no service of {group} changes"));
        }
        let before = services(client, group).await?;
        let result = client.put_group(group, &wanted.body(), args.force).await;
        let result = result.map_err(|error| wanted.refused(error))?;
        let subject = subject(group, "updated", "updated", format!("clusterctl group rollback {group}"));
        // A service that the new definition does not name is to be gone.
        follow(ui, client, group, &subject, (&result, Goal::Restored), &before, args.wait).await?;
    }
    Ok(Exit::Done)
}
