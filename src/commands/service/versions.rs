//! `service versions` and `service diff`.

use api::client::Client;
use api::marathon::{AppId, Timestamp};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Map, Value, json};

use super::existing;
use super::plain::{plain, yaml};
use super::rollback::{before, pick_version, texts};
use crate::commands::task::view::time;
use crate::diff::unified;
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::output::OutputArgs;
use crate::printer::Printer;
use crate::table::{Cell, Table};
use crate::{text, value};

/// Of how many versions it is shown what they changed: each takes a request.
const COMPARED: usize = 20;

/// How many versions are read at once.
const AT_ONCE: usize = 8;

pub(super) async fn list(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    output: OutputArgs,
) -> Result<Exit, CliError> {
    let now = existing(client, app, &[]).await?;
    let answer = client.app_versions(app).await?;
    let mut versions = texts(&answer);
    versions.sort_unstable_by(|one, other| other.cmp(one));
    let shown = if output.is_table() && !ui.is_json() { versions.len().min(COMPARED + 1) } else { 0 };
    let definitions =
        stream::iter(versions.iter().take(shown).map(|version| client.app_version(app, version)));
    let definitions: Vec<Value> = definitions.buffered(AT_ONCE).try_collect().await?;
    let plain: Vec<Map<String, Value>> =
        definitions.iter().map(|definition| plain(definition, app)).collect();
    let current = value::text(&now, "version");
    let clock = text::now();
    output.show(ui, "versions", &answer, |wide| table(&versions, &plain, current, wide, clock).render())
}

fn table(
    versions: &[&str],
    definitions: &[Map<String, Value>],
    current: &str,
    wide: bool,
    now: Timestamp,
) -> Table {
    let mut table = Table::new(&["", "VERSION", "AGE", "CHANGED"]);
    for (at, version) in versions.iter().enumerate() {
        let changed = match (definitions.get(at), definitions.get(at + 1)) {
            (Some(_), None) if at + 1 == versions.len() => Cell::plain("created"),
            (Some(new), Some(old)) => match changed(old, new).as_slice() {
                [] => Cell::plain("nothing"),
                keys => Cell::plain(keys.join(", ")),
            },
            _ => Cell::none(),
        };
        let mark = if *version == current { "*" } else { "" };
        let age = time(text::time(&json!(version)), wide, now);
        table.row(vec![Cell::plain(mark), Cell::plain(version), age, changed]);
    }
    table
}

/// The keys that are not the same.
fn changed<'a>(old: &'a Map<String, Value>, new: &'a Map<String, Value>) -> Vec<&'a str> {
    let mut keys: Vec<&str> = old.keys().chain(new.keys()).map(String::as_str).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.retain(|key| old.get(*key) != new.get(*key));
    keys
}

pub(super) async fn diff(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<Exit, CliError> {
    let now = existing(client, app, &[]).await?;
    let answer = client.app_versions(app).await?;
    let versions = texts(&answer);
    let list = format!("clusterctl service versions {app}");
    let to =
        to.map(|to| pick_version(&versions, to, &list)).transpose()?.unwrap_or(value::text(&now, "version"));
    let from = match from {
        Some(from) => pick_version(&versions, from, &list)?,
        None => before(&versions, to, app)?,
    };
    let (old, new) = (client.app_version(app, from).await?, client.app_version(app, to).await?);
    let (old, new) = (yaml(&plain(&old, app))?, yaml(&plain(&new, app))?);
    let exit = show_difference(ui, app, (from, to), &old, &new)?;
    if exit == Exit::Done {
        ui.hint(&format!("{from} and {to} are the same"));
    }
    Ok(exit)
}

/// Prints the difference between two definitions, and says by the exit code whether there is one.
pub(super) fn show_difference(
    ui: &mut Printer,
    app: &AppId,
    (from, to): (&str, &str),
    old: &str,
    new: &str,
) -> Result<Exit, CliError> {
    let difference = unified(&format!("{app} {from}"), &format!("{app} {to}"), old, new);
    let plain = difference.as_deref().map(|text| anstream::adapter::strip_str(text).to_string());
    let event =
        Event::Difference { name: app.as_str(), from, to, diff: plain.as_deref().unwrap_or_default() };
    ui.styled_result(difference.as_deref().unwrap_or_default(), &event)?;
    Ok(if difference.is_some() { Exit::Differences } else { Exit::Done })
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn versions_say_what_they_changed() {
        let object = |value: Value| value.as_object().cloned().unwrap();
        let definitions = [
            object(json!({"cmd": "b", "cpus": 1})),
            object(json!({"cmd": "a", "mem": 1})),
            object(json!({"cmd": "a", "mem": 1})),
        ];
        let versions = ["2026-11-22T11:57:00.000Z", "2026-11-22T11:00:00.000Z", "2026-11-20T00:00:00.000Z"];
        let now = "2026-11-22T12:00:00.000Z".parse().unwrap();
        let shown = table(&versions, &definitions, versions[0], false, now).render();
        insta::assert_snapshot!(strip_str(&shown), @r"
           VERSION                   AGE      CHANGED
        *  2026-11-22T11:57:00.000Z  3m ago   cmd, cpus, mem
           2026-11-22T11:00:00.000Z  60m ago  nothing
           2026-11-20T00:00:00.000Z  2d ago   created
        ");
    }
}
