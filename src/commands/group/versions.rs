//! `group versions` and `group rollback`.

use std::collections::BTreeMap;

use api::client::Client;
use api::marathon::{AppId, GroupId, Timestamp};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use super::change::{follow, subject};
use super::{existing, services, tree};
use crate::commands::service::watch::Goal;
use crate::commands::service::{ChangeArgs, pick_version};
use crate::commands::task::view::time;
use crate::definition::without_servers;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::OutputArgs;
use crate::printer::Printer;
use crate::table::{Cell, Table};
use crate::{text, value};

/// Of how many versions it is shown what they changed: each takes a request.
const COMPARED: usize = 20;

/// How many versions are read at once.
const AT_ONCE: usize = 8;

/// A group's services in one version, without what the server says about them.
type Content = BTreeMap<String, Value>;

fn content(group: &Value) -> Content {
    let app = |app: &&Value| (value::text(app, "id").to_owned(), without_servers((*app).clone()));
    tree::services(group).iter().map(app).collect()
}

/// The versions that an answer names, newest first.
fn newest_first(answer: &Value) -> Vec<&str> {
    let mut versions: Vec<&str> = value::items(answer).iter().filter_map(Value::as_str).collect();
    versions.sort_unstable_by(|one, other| other.cmp(one));
    versions
}

pub(super) async fn list(
    ui: &mut Printer,
    client: &Client,
    group: &GroupId,
    output: OutputArgs,
) -> Result<Exit, CliError> {
    let now = existing(client, group, false).await?;
    let answer = client.group_versions(group).await?;
    let versions = newest_first(&answer);
    let shown = if output.is_table() && !ui.is_json() { versions.len().min(COMPARED + 1) } else { 0 };
    let read = stream::iter(versions.iter().take(shown).map(|version| client.group_version(group, version)));
    let contents: Vec<Content> = read.buffered(AT_ONCE).map_ok(|group| content(&group)).try_collect().await?;
    let current = value::text(&now, "version");
    let clock = text::now();
    output.show(ui, "versions", &answer, |wide| table(&versions, &contents, current, wide, clock).render())
}

fn table(versions: &[&str], contents: &[Content], current: &str, wide: bool, now: Timestamp) -> Table {
    let mut table = Table::new(&["", "VERSION", "AGE", "CHANGED"]);
    for (at, version) in versions.iter().enumerate() {
        let changed = match (contents.get(at), contents.get(at + 1)) {
            (Some(_), None) if at + 1 == versions.len() => Cell::plain("created"),
            (Some(new), Some(old)) => match changed(old, new).as_slice() {
                [] => Cell::plain("nothing"),
                services => Cell::plain(services.join(", ")),
            },
            _ => Cell::none(),
        };
        let mark = if *version == current { "*" } else { "" };
        let age = time(text::time(&json!(version)), wide, now);
        table.row(vec![Cell::plain(mark), Cell::plain(version), age, changed]);
    }
    table
}

/// The services that are not the same.
fn changed<'a>(old: &'a Content, new: &'a Content) -> Vec<&'a str> {
    let mut ids: Vec<&str> = old.keys().chain(new.keys()).map(String::as_str).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|id| old.get(*id) != new.get(*id));
    ids
}

pub(super) async fn rollback(
    ui: &mut Printer,
    client: &Client,
    group: &GroupId,
    to: Option<&str>,
    args: ChangeArgs,
) -> Result<Exit, CliError> {
    let now = existing(client, group, false).await?;
    let before = services(client, group).await?;
    let result = match (to, running(client, group).await?.as_slice()) {
        (None, [one]) => client.undo_deployment(one).await?,
        (None, [_, _, ..]) if !args.force => {
            return Err(CliError::locked(format!("several deployments change {group}"))
                .hint("`clusterctl service deployments` lists them, and `clusterctl service stop-deployment ID` stops one")
                .hint("`--force` puts the version before in the place of all"));
        }
        (to, _) => {
            let answer = client.group_versions(group).await?;
            let versions = newest_first(&answer);
            let version = match to {
                Some(to) => pick_version(&versions, to, &format!("clusterctl group versions {group}"))?,
                None => before_this(client, group, &now, &versions).await?,
            };
            client.roll_back_group(group, version, args.force).await?
        }
    };
    let subject = subject(group, "rolled back", "rolled_back", format!("clusterctl group rollback {group}"));
    follow(ui, client, group, &subject, (&result, Goal::Restored), &before, args.wait).await
}

/// The deployments that change something in the group.
async fn running(client: &Client, group: &GroupId) -> Result<Vec<String>, CliError> {
    let deployments = client.deployments().await?;
    let touches = |one: &&Value| {
        let apps = value::list(one, "affectedApps").iter().filter_map(Value::as_str);
        apps.filter_map(|app| app.parse::<AppId>().ok()).any(|app| group.contains(&app))
    };
    let all = value::items(&deployments).iter().filter(touches);
    Ok(all.map(|one| value::text(one, "id").to_owned()).collect())
}

/// The newest version in which the group was not what it is now: others may have changed at the same time.
async fn before_this<'a>(
    client: &Client,
    group: &GroupId,
    now: &Value,
    versions: &[&'a str],
) -> Result<&'a str, CliError> {
    let current = content(now);
    let older = versions.iter().filter(|version| **version < value::text(now, "version"));
    for version in older.take(COMPARED) {
        if content(&client.group_version(group, version).await?) != current {
            return Ok(version);
        }
    }
    Err(CliError::usage(format!("{group} has no version before this one"))
        .hint(format!("`clusterctl group versions {group}` lists its versions; `--to VERSION` goes to any")))
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn versions_say_which_services_they_changed() {
        let group = |cmd: &str| {
            json!({"id": "/shop", "version": cmd, "groups": [],
            "apps": [{"id": "/shop/web", "cmd": cmd, "version": cmd}, {"id": "/shop/db", "cmd": "x"}]})
        };
        let contents = [content(&group("b")), content(&group("a")), content(&json!({"id": "/shop"}))];
        let answer =
            json!(["2026-11-20T00:00:00.000Z", "2026-11-22T11:00:00.000Z", "2026-11-22T11:57:00.000Z"]);
        let versions = newest_first(&answer);
        let now = "2026-11-22T12:00:00.000Z".parse().unwrap();
        insta::assert_snapshot!(strip_str(&table(&versions, &contents, versions[0], false, now).render()), @r"
           VERSION                   AGE      CHANGED
        *  2026-11-22T11:57:00.000Z  3m ago   /shop/web
           2026-11-22T11:00:00.000Z  60m ago  /shop/db, /shop/web
           2026-11-20T00:00:00.000Z  2d ago   created
        ");
    }
}
