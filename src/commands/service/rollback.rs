//! `service rollback`: to what was before, or to any version.

use api::client::{AppEmbed, Client};
use api::marathon::AppId;
use serde_json::{Value, json};

use super::change::{begun, deployment};
use super::wait::Subject;
use super::watch::{Goal, Watch};
use super::{ChangeArgs, existing};
use crate::error::CliError;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::value;

/// The one of these versions that is meant: by all of it, or by a beginning that only one has.
pub(crate) fn pick_version<'a>(versions: &[&'a str], wanted: &str, list: &str) -> Result<&'a str, CliError> {
    let found: Vec<&str> = versions.iter().copied().filter(|version| version.starts_with(wanted)).collect();
    match found.as_slice() {
        _ if wanted.is_empty() => {
            Err(CliError::usage("no version is named").hint(format!("`{list}` lists them")))
        }
        [] => {
            Err(CliError::usage(format!("there is no version {wanted}")).hint(format!("`{list}` lists them")))
        }
        [one] => Ok(one),
        many => {
            let mut error = CliError::usage(format!("{wanted} means {} versions", many.len()));
            error.causes.extend(many.iter().take(10).map(ToString::to_string));
            Err(error.hint("write more of it"))
        }
    }
}

/// An answer's versions as texts.
pub(super) fn texts(answer: &Value) -> Vec<&str> {
    value::list(answer, "versions").iter().filter_map(Value::as_str).collect()
}

/// The newest version that is older than this one.
pub(super) fn before<'a>(versions: &[&'a str], current: &str, app: &AppId) -> Result<&'a str, CliError> {
    let older = versions.iter().copied().filter(|version| *version < current).max();
    older.ok_or_else(|| CliError::usage(format!("{app} has no version before this one")))
}

pub(super) async fn rollback(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    to: Option<&str>,
    args: ChangeArgs,
) -> Result<Exit, CliError> {
    let now = existing(client, app, &[AppEmbed::Tasks, AppEmbed::LastTaskFailure]).await?;
    let running = value::list(&now, "deployments").first().map(|deployment| value::text(deployment, "id"));
    let result = match (to, running) {
        (None, Some(running)) => client.undo_deployment(running).await?,
        (to, _) => {
            let answer = client.app_versions(app).await?;
            let version = match to {
                Some(to) => pick_version(&texts(&answer), to, &format!("clusterctl service versions {app}"))?,
                None => before(&texts(&answer), value::text(&now, "version"), app)?,
            };
            if version == value::text(&now, "version") {
                ui.hint(&format!("{app} is at {version} already; nothing was changed"));
                return Ok(Exit::Done);
            }
            client.patch_app(app, &json!({ "version": version }), args.force).await?
        }
    };
    let subject =
        Subject::service(app, "rolled back", "rolled_back", format!("clusterctl service rollback {app}"));
    // What is restored may be that there is no such service.
    let watch = Watch::new(app, deployment(&result), Goal::Restored).knowing(&now);
    begun(ui, client, &subject, vec![watch], args.wait).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_version_will_do() {
        let versions = ["2026-11-22T11:57:00.000Z", "2026-11-22T08:00:00.000Z", "2026-11-20T00:00:00.000Z"];
        let pick = |wanted| pick_version(&versions, wanted, "list").map_err(|error| error.message);
        assert_eq!(pick("2026-11-20"), Ok(versions[2]));
        assert_eq!(pick(versions[0]), Ok(versions[0]));
        assert_eq!(pick("2026-11-22"), Err("2026-11-22 means 2 versions".to_owned()));
        assert_eq!(pick("2025"), Err("there is no version 2025".to_owned()));
        assert_eq!(pick(""), Err("no version is named".to_owned()));
        let app = "/web".parse().unwrap();
        assert_eq!(before(&versions, versions[0], &app), Ok(versions[1]));
        assert!(before(&versions, versions[2], &app).is_err());
    }
}
