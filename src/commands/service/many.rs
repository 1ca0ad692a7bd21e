//! Several services by one deployment, so that what depends on another one starts after it.

use std::collections::BTreeSet;

use api::client::{AppEmbed, Client};
use api::marathon::AppId;
use serde_json::Value;

use super::change::{Described, Update, begun, deployment, refused};
use super::wait::Subject;
use super::watch::{Goal, Watch};
use super::{ChangeArgs, WaitArgs, unknown};
use crate::error::CliError;
use crate::exit::Exit;
use crate::input::together;
use crate::printer::Printer;
use crate::{text, value};

fn subject(count: usize, verb: &str, what: &'static str, undo: &str) -> Subject {
    let name = text::count(u64::try_from(count).unwrap_or(u64::MAX), "service");
    Subject {
        done: format!("{name} are {verb}"),
        name,
        what,
        undo: undo.to_owned(),
        again: "clusterctl service wait ID".to_owned(),
        more: "`clusterctl service list` and `clusterctl service show ID` say more".to_owned(),
    }
}

/// The ids of all definitions, or what is wrong with each that has none.
fn ids(described: &[Described]) -> Result<Vec<AppId>, CliError> {
    let (mut ids, mut wrong) = (Vec::new(), Vec::new());
    for one in described {
        match one.id() {
            Ok(id) => ids.push(id),
            Err(error) => wrong.push(error),
        }
    }
    together(wrong).map_or(Ok(ids), Err)
}

fn bodies(described: &[Described], ids: &[AppId]) -> Value {
    let body = |(one, id): (&Described, &AppId)| {
        let mut object = one.object.clone();
        object.insert("id".to_owned(), id.as_str().into());
        Value::Object(object)
    };
    described.iter().zip(ids).map(body).collect()
}

pub(super) async fn create(
    ui: &mut Printer,
    client: &Client,
    described: &[Described],
    wait: WaitArgs,
) -> Result<Exit, CliError> {
    let ids = ids(described)?;
    free(client, described, &ids).await?;
    let result = client.put_apps(&bodies(described, &ids), false, false).await;
    let result = result.map_err(|error| refused(error, described))?;
    let subject = subject(ids.len(), "created", "created", "clusterctl service remove ID");
    let watches = ids.iter().map(|id| Watch::new(id, deployment(&result), Goal::Up)).collect();
    begun(ui, client, &subject, watches, wait).await
}

/// Whether all of these ids are free: a list of services is sent as a change, which would take over what is there.
pub(super) async fn free(client: &Client, described: &[Described], ids: &[AppId]) -> Result<(), CliError> {
    let known = client.apps(&[]).await?;
    let known: BTreeSet<&str> =
        value::list(&known, "apps").iter().map(|app| value::text(app, "id")).collect();
    let taken = described.iter().zip(ids).filter(|(_, id)| known.contains(id.as_str())).map(|(one, id)| {
        CliError::usage(format!("{}{id} exists already", one.at()))
            .hint("`clusterctl service update -f FILE` changes what is there")
    });
    together(taken.collect()).map_or(Ok(()), Err)
}

pub(super) async fn update(
    ui: &mut Printer,
    client: &Client,
    update: &Update,
    args: ChangeArgs,
) -> Result<Exit, CliError> {
    let Update { described, ids, replace, .. } = update;
    let known = client.apps(&[AppEmbed::Tasks, AppEmbed::LastTaskFailure]).await?;
    let now = all(&known, described, ids)?;
    let bodies = bodies(described, ids);
    let result = match replace {
        true => client.put_apps(&bodies, true, args.force).await,
        false => client.patch_apps(&bodies, args.force).await,
    };
    let result = result.map_err(|error| refused(error, described))?;
    let subject = subject(ids.len(), "updated", "updated", "clusterctl service rollback ID");
    let watch = |(id, now): (&AppId, &Value)| Watch::new(id, deployment(&result), Goal::Up).knowing(now);
    let watches = ids.iter().zip(now).map(watch).collect();
    begun(ui, client, &subject, watches, args.wait).await
}

/// All of these services as they are now, or which of them are not there.
pub(super) fn all<'a>(
    known: &'a Value,
    described: &[Described],
    ids: &[AppId],
) -> Result<Vec<&'a Value>, CliError> {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for (id, one) in ids.iter().zip(described) {
        match value::list(known, "apps").iter().find(|app| value::text(app, "id") == id.as_str()) {
            Some(app) => found.push(app),
            None => {
                let mut error = unknown(id, known);
                error.message = format!("{}{}", one.at(), error.message);
                wrong.push(error.hint("`clusterctl service create -f FILE` creates what is not there"));
            }
        }
    }
    together(wrong).map_or(Ok(found), Err)
}
