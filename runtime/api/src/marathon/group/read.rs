//! Group bodies (§3): everything that is wrong with a group, its groups and its apps is said at once, each with its place.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::marathon::app::App;
use crate::marathon::error::ApiError;
use crate::marathon::json::{Item, Problems, Reader};
use crate::marathon::path_id::{AppId, GroupId, PathId};
use crate::marathon::timestamp::Timestamp;

/// The largest number that instances may be multiplied by.
const MOST: f64 = 1e6;

/// What a group, and what stands in it, shall be. What is `None` stays as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupUpdate {
    /// Absolute.
    pub id: GroupId,
    /// Where it stands in the body, like `/groups(1)`; empty for the whole body. An app's place is `…/apps(0)`.
    pub path: String,
    /// The apps that stand directly in it, each as a whole; others go.
    pub apps: Option<Vec<App>>,
    /// The groups that stand directly in it; others go.
    pub groups: Option<Vec<GroupUpdate>>,
    /// What comes first.
    pub dependencies: Option<Vec<PathId>>,
    /// Whether the group's name is the role of its apps.
    pub enforce_role: Option<bool>,
}

/// What a `PUT` of a group asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupChange {
    /// `{"version": ts}`: the group as it was when the root had that version.
    Rollback {
        /// Which group.
        id: GroupId,
        /// The version of the root.
        version: Timestamp,
    },
    /// `{"scaleBy": x}`: every app's instances, multiplied and rounded up.
    Scale {
        /// Which group.
        id: GroupId,
        /// By what.
        by: f64,
    },
    /// Anything else.
    Update(GroupUpdate),
}

impl GroupUpdate {
    /// Reads the body of a `POST` to the group `base`. Versions are the server's to give: one in the body counts for nothing.
    ///
    /// # Errors
    /// All mistakes, each with its place.
    pub fn create(body: &Value, base: &GroupId) -> Result<GroupUpdate, ApiError> {
        let mut reading = Reading::default();
        let problems = Problems::default();
        let reader = Reader::new(body, "", &problems);
        let id = own_id(&reader, base, base);
        let update = reading.group(&reader, "", id.as_ref().unwrap_or(base));
        reading.done(problems, update)
    }
}

impl GroupChange {
    /// Reads the body of a `PUT` to the group `base`, which may name a group below it.
    ///
    /// # Errors
    /// All mistakes, each with its place.
    pub fn read(body: &Value, base: &GroupId) -> Result<GroupChange, ApiError> {
        let mut reading = Reading::default();
        let problems = Problems::default();
        let reader = Reader::new(body, "", &problems);
        let id = own_id(&reader, base, &base.parent().unwrap_or_else(GroupId::root));
        let id = id.unwrap_or_else(|| base.clone());
        let version = reader.string("version").and_then(|text| {
            let read = text.parse::<Timestamp>();
            read.map_err(|error| reader.invalid("version", error.to_string())).ok()
        });
        let by = reader.number("scaleBy", 0.0, MOST);
        let special = if version.is_some() { Some("version") } else { by.map(|_| "scaleBy") };
        if let Some(key) = special {
            let given = |key: &&str| match reader.value(key) {
                Some(Value::Array(items)) => !items.is_empty(),
                other => other.is_some(),
            };
            if ["apps", "groups", "dependencies", "enforceRole"].iter().any(given) {
                reader.invalid(key, format!("The '{key}' field may only be combined with the 'id' field."));
            }
        }
        let change = match (version, by) {
            (Some(version), _) => GroupChange::Rollback { id, version },
            (None, Some(by)) => GroupChange::Scale { id, by },
            (None, None) => GroupChange::Update(reading.group(&reader, "", &id)),
        };
        reading.done(problems, change)
    }

    /// The group that is changed.
    pub fn id(&self) -> &GroupId {
        match self {
            GroupChange::Rollback { id, .. } | GroupChange::Scale { id, .. } => id,
            GroupChange::Update(update) => &update.id,
        }
    }
}

/// The group that the body names, which must be `base` or stand below it. The name of `base` itself, written from
/// `parent`, means `base`.
fn own_id(r: &Reader<'_>, base: &GroupId, parent: &GroupId) -> Option<GroupId> {
    let text = r.string("id")?;
    let own = GroupId::resolve(&text, parent).ok().filter(|id| id == base);
    match own.map_or_else(|| GroupId::resolve(&text, base), Ok) {
        Ok(id) if base.path().contains(id.path()) => Some(id),
        Ok(_) => {
            r.invalid("id", format!("must be {base} or stand below it"));
            None
        }
        Err(error) => {
            r.invalid("id", error.to_string());
            None
        }
    }
}

/// What was refused on the way, besides what the readers noted.
#[derive(Default)]
struct Reading {
    refused: Vec<ApiError>,
}

impl Reading {
    fn done<T>(self, problems: Problems, value: T) -> Result<T, ApiError> {
        let Reading { mut refused } = self;
        let value = match problems.into_result(value) {
            Ok(value) => Some(value),
            Err(error) => {
                refused.insert(0, error);
                None
            }
        };
        match (ApiError::together(refused), value) {
            (None, Some(value)) => Ok(value),
            (error, _) => {
                Err(error.unwrap_or_else(|| ApiError::Internal("the group could not be read".to_owned())))
            }
        }
    }

    /// The group `id`, which stands at `path`.
    fn group(&mut self, r: &Reader<'_>, path: &str, id: &GroupId) -> GroupUpdate {
        if r.value("pods").and_then(Value::as_array).is_some_and(|pods| !pods.is_empty()) {
            r.invalid("pods", "pods are not supported");
        }
        let enforce_role = r.boolean("enforceRole");
        if enforce_role.is_some() && id.path().elements().count() != 1 {
            r.invalid("enforceRole", "may be set only on a group that stands in the root");
        }
        let apps = r.items("apps").map(|items| self.apps(&items, id));
        let groups = r.items("groups").map(|items| self.groups(&items, id));
        let names: BTreeSet<&PathId> = groups.iter().flatten().map(|group| group.id.path()).collect();
        for (at, app) in apps.iter().flatten() {
            if names.contains(app.id.path()) {
                r.invalid(&format!("apps({at})/id"), SAME);
            }
        }
        GroupUpdate {
            id: id.clone(),
            path: path.to_owned(),
            apps: apps.map(|apps| apps.into_iter().map(|(_, app)| app).collect()),
            groups,
            dependencies: dependencies(r, id),
            enforce_role,
        }
    }

    /// The apps that are right, each with its place in the body.
    fn apps(&mut self, items: &[Item<'_>], group: &GroupId) -> Vec<(usize, App)> {
        let mut known: BTreeSet<AppId> = BTreeSet::new();
        let mut apps = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let app = App::create(item.value, group).and_then(|app| {
                if app.id.parent() != *group {
                    return Err(ApiError::invalid(
                        "/id",
                        format!("must stand directly in the group {group}"),
                    ));
                }
                if !known.insert(app.id.clone()) {
                    return Err(ApiError::invalid("/id", "stands there twice"));
                }
                Ok(app)
            });
            match app {
                Ok(app) => apps.push((at, app)),
                Err(error) => self.refused.push(error.below(&item.path)),
            }
        }
        apps
    }

    fn groups(&mut self, items: &[Item<'_>], base: &GroupId) -> Vec<GroupUpdate> {
        let mut known: BTreeSet<GroupId> = BTreeSet::new();
        let mut groups = Vec::new();
        for item in items {
            let r = item.reader();
            if r.value("scaleBy").is_some() {
                r.invalid("scaleBy", "may stand only at the top of the body, and alone");
            }
            let id = inner_id(&r, base);
            if let Some(id) = &id
                && !known.insert(id.clone())
            {
                r.invalid("id", "stands there twice");
            }
            // Read under another name when its own is wrong, to say everything at once.
            let id = id.or_else(|| GroupId::resolve("stand-in", base).ok());
            groups.push(self.group(&r, &item.path, &id.unwrap_or_else(|| base.clone())));
        }
        groups
    }
}

/// The same id for an app and a group.
const SAME: &str = "Groups and Applications may not have the same identifier.";

fn inner_id(r: &Reader<'_>, base: &GroupId) -> Option<GroupId> {
    let text = r.required("id");
    if text.is_empty() {
        return None;
    }
    match GroupId::resolve(&text, base) {
        Ok(id) if id.parent().as_ref() == Some(base) => Some(id),
        Ok(_) => {
            r.invalid("id", format!("must stand directly in the group {base}"));
            None
        }
        Err(error) => {
            r.invalid("id", error.to_string());
            None
        }
    }
}

/// Relative ids start from the group's own, so that `../db` is its neighbour.
fn dependencies(r: &Reader<'_>, group: &GroupId) -> Option<Vec<PathId>> {
    let mut all: Vec<PathId> = Vec::new();
    let mut known: BTreeSet<PathId> = BTreeSet::new();
    for (at, text) in r.strings("dependencies")?.iter().enumerate() {
        let key = format!("dependencies({at})");
        match PathId::resolve(text, group.path()) {
            Ok(id) if id.contains(group.path()) || group.path().contains(&id) => {
                let message =
                    "must be neither the group itself, nor in it, nor around it, which would be cyclic";
                r.invalid(&key, message);
            }
            Ok(id) if !known.insert(id.clone()) => {}
            Ok(id) => all.push(id),
            Err(error) => r.invalid(&key, error.to_string()),
        }
    }
    Some(all)
}
