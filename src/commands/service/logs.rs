//! `service logs`: what all instances of a service, or of all services of a group, wrote.

use api::client::Client;
use api::marathon::{AppId, GroupId};

use super::existing;
use crate::commands::task::{find, logs, view};
use crate::error::CliError;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::value;

pub(super) async fn of_service(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    task: Option<&str>,
    args: &logs::LogArgs,
) -> Result<Exit, CliError> {
    let scope = scope(client, app).await?;
    let answer = client.tasks().await?;
    let all = value::list(&answer, "tasks");
    let mut tasks = view::wanted(all, true, Some(&scope));
    if let Some(task) = task {
        let task = find::task(&tasks, task)?.clone();
        return logs::of_tasks(ui, client, vec![task], args, None).await;
    }
    let alive = view::wanted(&tasks, false, Some(&scope));
    let over: Vec<String> = tasks
        .iter()
        .filter(|task| find::is_over(task))
        .map(|task| value::text(task, "id").to_owned())
        .collect();
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
    logs::of_tasks(ui, client, tasks, args, Some(logs::Following { scope, over })).await
}

/// The service, or a group of that name with services in it.
async fn scope(client: &Client, app: &AppId) -> Result<view::Scope, CliError> {
    let missing = match existing(client, app, &[]).await {
        Ok(_) => return Ok(view::Scope::Service(app.clone())),
        Err(error) => error,
    };
    let group: Option<GroupId> = app.as_str().parse().ok();
    let known = client.apps(&[]).await?;
    let ids: Vec<AppId> =
        value::list(&known, "apps").iter().filter_map(|app| value::text(app, "id").parse().ok()).collect();
    match group.filter(|group| ids.iter().any(|id| group.contains(id))) {
        Some(group) => Ok(view::Scope::Group(group)),
        None => Err(missing),
    }
}
