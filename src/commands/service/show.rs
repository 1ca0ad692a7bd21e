//! `service list` and `service show`.

use api::client::{AppEmbed, Client};
use api::marathon::AppId;
use serde_json::json;

use super::reason::Reasons;
use super::{existing, view};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::OutputArgs;
use crate::printer::Printer;
use crate::{text, value};

/// What waits, where a person reads it.
async fn reasons(client: &Client, output: OutputArgs) -> Reasons {
    if output.is_table() { Reasons::read(client).await } else { Reasons::default() }
}

pub(super) async fn list(ui: &mut Printer, client: &Client, output: OutputArgs) -> Result<Exit, CliError> {
    let answer = client.apps(&[]).await?;
    if value::list(&answer, "apps").is_empty() && output.is_table() && !ui.is_json() {
        ui.hint("there are no services yet; `clusterctl service create -f FILE` starts one");
        return Ok(Exit::Done);
    }
    let reasons = reasons(client, output).await;
    let now = text::now();
    let apps = value::list(&answer, "apps");
    output.show(ui, "services", &answer, |wide| view::services(apps, &reasons, wide, now).render())
}

pub(super) async fn one(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    output: OutputArgs,
) -> Result<Exit, CliError> {
    let embed = [AppEmbed::Tasks, AppEmbed::LastTaskFailure, AppEmbed::TaskStats];
    let found = existing(client, app, &embed).await?;
    let reason = reasons(client, output).await.waiting(app.as_str());
    let now = text::now();
    output.show(ui, "service", &json!({ "app": found }), |wide| {
        view::service(&found, reason.as_deref(), wide, now)
    })
}
