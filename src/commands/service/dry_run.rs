//! `--dry-run`: what a change would make of the definitions, as a difference. The server is asked for what is there, and
//! for nothing else.

use api::client::Client;
use api::marathon::AppId;
use serde_json::{Map, Value};

use super::change::{Described, Update};
use super::many;
use super::plain::{plain, yaml};
use super::versions::show_difference;
use super::{existing, unknown};
use crate::error::CliError;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::value;

pub(super) async fn create(
    ui: &mut Printer,
    client: &Client,
    described: &[Described],
) -> Result<Exit, CliError> {
    let ids = described.iter().map(Described::id).collect::<Result<Vec<_>, _>>()?;
    many::free(client, described, &ids).await?;
    let mut exit = Exit::Done;
    for (one, id) in described.iter().zip(&ids) {
        let after = yaml(&plain(&Value::Object(one.object.clone()), id))?;
        exit = worse(exit, show_difference(ui, id, ("nothing", "to be created"), "", &after)?);
    }
    Ok(exit)
}

pub(super) async fn update(ui: &mut Printer, client: &Client, update: Update) -> Result<Exit, CliError> {
    let now: Vec<Value> = match update.ids.as_slice() {
        [one] => vec![existing(client, one, &[]).await?],
        several => {
            let known = client.apps(&[]).await?;
            many::all(&known, &update.described, several)?.into_iter().cloned().collect()
        }
    };
    let mut exit = Exit::Done;
    for ((one, id), now) in update.described.iter().zip(&update.ids).zip(&now) {
        let change = match update.ids.len() {
            1 => update.change(now)?,
            _ => Value::Object(one.object.clone()),
        };
        let after = after(client, id, now, change, update.replace).await?;
        let before = yaml(&plain(now, id))?;
        exit = worse(exit, show_difference(ui, id, ("now", "as updated"), &before, &yaml(&after)?)?);
    }
    if exit == Exit::Done {
        ui.hint("nothing would change");
    }
    Ok(exit)
}

fn worse(one: Exit, other: Exit) -> Exit {
    if one == Exit::Done { other } else { one }
}

/// What the definition would be: the change itself, or what is there with the keys that it names.
async fn after(
    client: &Client,
    id: &AppId,
    now: &Value,
    change: Value,
    replace: bool,
) -> Result<Map<String, Value>, CliError> {
    let Value::Object(change) = change else { return Err(unknown(id, &Value::Null)) };
    if let (Some(version), true) = (
        change.get("version").and_then(Value::as_str),
        change.keys().all(|key| matches!(key.as_str(), "id" | "version")),
    ) {
        return Ok(plain(&client.app_version(id, version).await?, id));
    }
    let mut object = match now {
        Value::Object(now) if !replace => now.clone(),
        _ => Map::new(),
    };
    object.extend(change);
    object.insert("id".to_owned(), value::text(now, "id").into());
    Ok(plain(&Value::Object(object), id))
}
