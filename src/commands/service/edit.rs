//! `service edit`: the definition in the user's editor, again and again until the server takes it or the user gives up.

use api::client::{AppEmbed, Client, ClientError};
use api::marathon::AppId;
use serde_json::Value;

use super::args::EditFormat;
use super::change::updated;
use super::plain::{plain, yaml};
use super::{ChangeArgs, existing};
use crate::editor::Draft;
use crate::error::CliError;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::{input, value};

mod page;

use page::{Mistake, Page};

const EMBED: [AppEmbed; 2] = [AppEmbed::Tasks, AppEmbed::LastTaskFailure];

/// Said once; a text that is saved unchanged is one that was given up.
const MEANWHILE: &str = "somebody else has changed it meanwhile; change anything, be it a space, and save to put this in its place";

pub(super) async fn edit(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    format: EditFormat,
    args: ChangeArgs,
) -> Result<Exit, CliError> {
    let mut now = existing(client, app, &EMBED).await?;
    let before = plain(&now, app);
    let (body, ending) = match format {
        EditFormat::Yaml => (yaml(&before)?, "yaml"),
        EditFormat::Json => (page::json(&before)?, "json"),
    };
    let before = Value::Object(before);
    let page = Page::new(app, format);
    let draft = Draft::new(&app.as_str().replace('/', "-"), ending)?;
    // What stands in the editor, and what is said about it.
    let (mut shown, mut mistakes) = (body, Vec::new());
    loop {
        draft.write(&page.compose(&shown, &mistakes))?;
        let typed = page.body(&draft.edit().await?);
        if typed == shown && mistakes.is_empty() {
            return unchanged(ui, app, draft);
        }
        if typed.trim().is_empty() {
            draft.remove();
            return Err(CliError::interrupted(format!(
                "there is nothing left of {app}; nothing was changed"
            )));
        }
        if typed == shown {
            // Closing the editor without a change is how one gives up on mistakes.
            return Err(
                draft.kept(CliError::usage(format!("{app} was not changed: the mistakes are still there")))
            );
        }
        shown = typed;
        let change = match read(&page, &shown, app) {
            Ok(change) if Value::Object(plain(&change, app)) == before => return unchanged(ui, app, draft),
            Ok(change) => change,
            Err(wrong) => {
                mistakes = wrong;
                continue;
            }
        };
        let latest = existing(client, app, &EMBED).await.map_err(|error| draft.kept(error))?;
        if value::text(&latest, "version") != value::text(&now, "version") {
            mistakes = vec![Mistake::about(MEANWHILE)];
            now = latest;
            continue;
        }
        match client.put_app(app, &change, args.force).await {
            Ok(result) => {
                draft.remove();
                return updated(ui, client, app, &now, &result, args.wait).await;
            }
            Err(error) if is_in_the_text(&error) => mistakes = page.refused(&shown, &error),
            Err(error) => return Err(draft.kept(error.into())),
        }
    }
}

fn unchanged(ui: &mut Printer, app: &AppId, draft: Draft) -> Result<Exit, CliError> {
    draft.remove();
    ui.hint(&format!("nothing is different; {app} was not changed"));
    Ok(Exit::Done)
}

/// Whether another text could be taken.
fn is_in_the_text(error: &ClientError) -> bool {
    matches!(error.status(), Some(400 | 413 | 422))
}

/// What was typed as a definition of this service, or what is wrong with it.
fn read(page: &Page<'_>, typed: &str, app: &AppId) -> Result<Value, Vec<Mistake>> {
    let documents = input::parse("", typed)
        .map_err(|errors| errors.iter().map(Mistake::of_reading).collect::<Vec<_>>())?;
    let [document] = documents.as_slice() else {
        return Err(vec![Mistake::about("there is more than one definition; one service at a time, please")]);
    };
    let Value::Object(object) = &document.value else {
        return Err(vec![Mistake::about("this is no definition: it has no keys")]);
    };
    let named = object.get("id").map(|id| id.as_str().and_then(|id| super::app_id(id).ok()));
    if named.is_some_and(|named| named.as_ref() != Some(app)) {
        let words = format!(
            "the id cannot be changed; `clusterctl service create -f FILE` makes another service beside {app}"
        );
        return Err(vec![Mistake::at(page.line(typed, "/id"), words)]);
    }
    Ok(document.value.clone())
}
