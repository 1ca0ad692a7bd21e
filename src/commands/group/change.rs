//! Changes of a group, and waiting for all services that they touch.

use std::collections::BTreeSet;
use std::time::Duration;

use api::client::Client;
use api::marathon::{AppId, GroupId};
use serde_json::{Value, json};

use super::{existing, services, tree};
use crate::commands::service::change::{begun, deployment};
use crate::commands::service::wait::{Subject, until_done};
use crate::commands::service::watch::{Goal, Watch};
use crate::commands::service::{ChangeArgs, WaitArgs};
use crate::confirm::confirm;
use crate::error::CliError;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::{text, value};

/// What the user is told about a change of a group.
pub(super) fn subject(group: &GroupId, verb: &str, what: &'static str, undo: impl Into<String>) -> Subject {
    Subject {
        name: group.to_string(),
        done: format!("{group} is {verb}"),
        what,
        undo: undo.into(),
        again: format!("clusterctl group wait {group}"),
        more: format!(
            "`clusterctl group show {group}` and `clusterctl service logs {group} --stderr` say more"
        ),
    }
}

/// Follows a change that was accepted: all services of the group that its deployment touches. `before` are those that there
/// were.
pub(super) async fn follow(
    ui: &mut Printer,
    client: &Client,
    group: &GroupId,
    subject: &Subject,
    (result, goal): (&Value, Goal),
    before: &[(AppId, Value)],
    wait: WaitArgs,
) -> Result<Exit, CliError> {
    let id = deployment(result);
    let deployments = client.deployments().await?;
    let ours = |one: &&Value| id.as_deref() == Some(value::text(one, "id"));
    let touched: BTreeSet<AppId> = match value::items(&deployments).iter().find(ours) {
        Some(running) => {
            value::list(running, "affectedApps").iter().filter_map(|app| app.as_str()?.parse().ok()).collect()
        }
        // It is done already: then all must be as it should be.
        None => {
            let after = services(client, group).await?;
            before.iter().chain(&after).map(|(id, _)| id.clone()).collect()
        }
    };
    let known = |app: &AppId| before.iter().find(|(id, _)| id == app).map_or(&Value::Null, |(_, app)| app);
    let watch = |app: &AppId| Watch::new(app, id.clone(), goal.clone()).knowing(known(app));
    begun(ui, client, subject, touched.iter().map(watch).collect(), wait).await
}

pub(super) async fn scale(
    ui: &mut Printer,
    client: &Client,
    group: &GroupId,
    factor: f64,
    args: ChangeArgs,
) -> Result<Exit, CliError> {
    let found = existing(client, group, false).await?;
    if tree::services(&found).is_empty() {
        ui.hint(&format!("{group} has no services; nothing was changed"));
        return Ok(Exit::Done);
    }
    let before = services(client, group).await?;
    let result = client.put_group(group, &json!({ "scaleBy": factor }), args.force).await?;
    let verb = format!("scaled by {}", text::number(factor));
    let undo = format!("clusterctl group rollback {group}");
    let subject = subject(group, &verb, "scaled", undo);
    // How many there were is in the versions alone: times nothing there is no way back.
    if factor == 0.0 {
        ui.hint(&format!("`clusterctl group rollback {group}` brings back what there was"));
    }
    follow(ui, client, group, &subject, (&result, Goal::Up), &before, args.wait).await
}

pub(super) async fn remove(
    ui: &mut Printer,
    client: &Client,
    group: &GroupId,
    yes: bool,
    args: ChangeArgs,
) -> Result<Exit, CliError> {
    existing(client, group, false).await?;
    let before = services(client, group).await?;
    let running = before.iter().map(|(_, app)| value::whole(app, "tasksRunning")).sum();
    let count = text::count(u64::try_from(before.len()).unwrap_or(u64::MAX), "service");
    let what = if *group == GroupId::root() { "everything".to_owned() } else { group.to_string() };
    confirm(ui, yes, &format!("Remove {what}: {count} with {}?", text::count(running, "running instance")))?;
    let result = client.delete_group(group, args.force).await?;
    let subject = subject(group, "removed", "removed", "clusterctl group create -f FILE");
    follow(ui, client, group, &subject, (&result, Goal::Removed), &before, args.wait).await
}

/// Waits until all services of a group are deployed and up, whoever changed them.
pub(super) async fn until_up(
    ui: &mut Printer,
    client: &Client,
    group: &GroupId,
    timeout: Duration,
) -> Result<Exit, CliError> {
    existing(client, group, false).await?;
    let now = services(client, group).await?;
    let subject = subject(group, "up", "up", format!("clusterctl group rollback {group}"));
    let watches = now.iter().map(|(id, app)| Watch::new(id, None, Goal::Up).knowing(app)).collect();
    until_done(ui, client, &subject, watches, timeout).await
}
