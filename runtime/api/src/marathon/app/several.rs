//! Several apps in one body (§3): `PUT` and `PATCH` of `/v2/apps`. All or none, mistakes located by element.

use std::collections::BTreeSet;

use serde_json::Value;

use super::model::App;
use super::update::AppUpdate;
use crate::marathon::error::{ApiError, Detail};
use crate::marathon::path_id::{AppId, GroupId};

/// What one element of the array asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct AppEdit {
    /// The app.
    pub id: AppId,
    /// What it shall be.
    pub change: EditKind,
}

/// Whether an app is changed in part or as a whole.
#[derive(Debug, Clone, PartialEq)]
pub enum EditKind {
    /// These fields, or back to a version.
    Part(AppUpdate),
    /// The definition takes the place of the old one.
    Whole(Box<App>),
}

impl AppEdit {
    /// Reads an array of apps; in part where `partial`.
    ///
    /// # Errors
    /// All mistakes, each with its place, like `/(1)/cpus`. Those in parts show when they are applied.
    pub fn read_all(body: &Value, partial: bool) -> Result<Vec<AppEdit>, ApiError> {
        let Some(items) = body.as_array() else {
            let detail = Detail { path: "/".to_owned(), errors: vec!["error.expected.jsarray".to_owned()] };
            return Err(ApiError::WrongTypes(vec![detail]));
        };
        let mut known = BTreeSet::new();
        let (mut edits, mut refused) = (Vec::new(), Vec::new());
        for (at, item) in items.iter().enumerate() {
            let edit = read(item, partial).and_then(|edit| match known.insert(edit.id.clone()) {
                true => Ok(edit),
                false => Err(ApiError::invalid("/id", "stands there twice")),
            });
            match edit {
                Ok(edit) => edits.push(edit),
                Err(error) => refused.push(error.below(&AppEdit::path(at))),
            }
        }
        ApiError::together(refused).map_or(Ok(edits), Err)
    }

    /// Where the element stands in the body.
    pub fn path(at: usize) -> String {
        format!("/({at})")
    }
}

fn read(item: &Value, partial: bool) -> Result<AppEdit, ApiError> {
    if !partial {
        let app = App::create(item, &GroupId::root())?;
        return Ok(AppEdit { id: app.id.clone(), change: EditKind::Whole(Box::new(app)) });
    }
    let update = AppUpdate::read(item);
    let id = match item.get("id") {
        None | Some(Value::Null) => Err(ApiError::invalid("/id", "is required")),
        Some(Value::String(text)) => AppId::resolve(text, &GroupId::root())
            .map_err(|error| ApiError::invalid("/id", error.to_string())),
        Some(_) => {
            let detail =
                Detail { path: "/id".to_owned(), errors: vec!["error.expected.jsstring".to_owned()] };
            Err(ApiError::WrongTypes(vec![detail]))
        }
    };
    match (update, id) {
        (Ok(update), Ok(id)) => Ok(AppEdit { id, change: EditKind::Part(update) }),
        // Not even an object: there is no id to speak of.
        (Err(error), _) if !item.is_object() => Err(error),
        (update, id) => {
            let refused = [update.err(), id.err()].into_iter().flatten().collect();
            Err(ApiError::together(refused)
                .unwrap_or(ApiError::Internal("the app could not be read".to_owned())))
        }
    }
}
