//! Reading whole definitions and changes to them, and what a change means for the instances (§3, §8).

use serde_json::{Map, Value};

use super::model::App;
use super::normalise::normalise;
use super::raw::RawApp;
use super::validate::validate;
use crate::marathon::error::ApiError;
use crate::marathon::json::{Problems, Reader};
use crate::marathon::path_id::{AppId, GroupId};
use crate::marathon::timestamp::{Timestamp, TimestampError};

impl App {
    /// Reads the definition of a new app, as in `POST /v2/apps`. Versions are the server's to give: those in the body
    /// count for nothing.
    pub fn create(body: &Value, base: &GroupId) -> Result<App, ApiError> {
        let mut app = read(body, "", base, None, validate)?;
        (app.version, app.version_info) = (None, None);
        Ok(app)
    }

    /// Reads a definition that takes the place of the app `id` as a whole, as in `PUT /v2/apps/{id}` with
    /// `partialUpdate=false`, or that creates it.
    pub fn replace(body: &Value, id: &AppId) -> Result<App, ApiError> {
        let mut app = read(body, "", &GroupId::root(), Some(id), validate)?;
        (app.version, app.version_info) = (None, None);
        Ok(app)
    }

    /// Reads an app that was written by this crate, version and all. It was valid when it was written; rules that came
    /// later are for what clients send.
    pub fn stored(body: &Value) -> Result<App, ApiError> {
        read(body, "", &GroupId::root(), None, |_, _, _| ())
    }

    /// The app with so many instances, which not every app may have.
    ///
    /// # Errors
    /// When it may not have them.
    pub fn scaled(&self, instances: u32) -> Result<App, ApiError> {
        let app = App { instances, ..self.clone() };
        let problems = Problems::default();
        validate(&app, "", &problems);
        problems.into_result(app)
    }

    /// The app as JSON, with exactly the keys of the interface.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}

/// All three stages. `path` is where the app stands in the body; paths of mistakes begin with it.
fn read(
    body: &Value,
    path: &str,
    base: &GroupId,
    id: Option<&AppId>,
    check: impl Fn(&App, &str, &Problems),
) -> Result<App, ApiError> {
    let problems = Problems::default();
    let reader = Reader::new(body, path, &problems);
    if !body.is_object() {
        return problems.into_result(()).and(Err(ApiError::invalid("/", "must be an object")));
    }
    let app = normalise(RawApp::read(&reader), base, id, &reader);
    match app {
        Some(app) => {
            check(&app, path, &problems);
            problems.into_result(app)
        }
        // A mistake in the id has been noted; the rest is checked under another name, to say everything at once.
        None => {
            let stand_in: Option<AppId> = "stand-in".parse().ok();
            let mut rest = body.clone();
            if let Some(object) = rest.as_object_mut() {
                object.remove("id");
            }
            let unheard = Problems::default();
            let reader = Reader::new(&rest, path, &unheard);
            if let Some(app) = normalise(RawApp::read(&reader), base, stand_in.as_ref(), &reader) {
                check(&app, path, &problems);
            }
            problems.into_result(()).and(Err(ApiError::invalid("/id", "is required")))
        }
    }
}

/// A change to an app, as in `PATCH`, and in `PUT` unless `partialUpdate=false`.
#[derive(Debug, Clone, PartialEq)]
pub enum AppUpdate {
    /// Back to a version that it had: `{"version": ts}`.
    Rollback(Timestamp),
    /// These keys are replaced as a whole; none of them is `null`.
    Fields(Map<String, Value>),
}

/// A deprecated key, and the keys of the definition that it speaks about in its place.
const TRANSLATED: [(&str, &[&str]); 4] = [
    ("ports", &["portDefinitions"]),
    ("uris", &["fetch"]),
    ("ipAddress", &["networks"]),
    // Exclusive: who sets the one means it in place of the other.
    ("cmd", &["args"]),
];

impl AppUpdate {
    /// Reads a change. Its fields are checked when they are applied.
    pub fn read(body: &Value) -> Result<AppUpdate, ApiError> {
        let problems = Problems::default();
        let reader = Reader::new(body, "", &problems);
        let given = body.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        let fields: Map<String, Value> = given.map(|(key, value)| (key.clone(), value.clone())).collect();
        let version = reader.string("version");
        if version.is_some() && fields.keys().any(|key| !matches!(key.as_str(), "id" | "version")) {
            reader.invalid("version", "The 'version' field may only be combined with the 'id' field.");
        }
        let version: Option<Timestamp> = version.and_then(|text| {
            text.parse().map_err(|error: TimestampError| reader.invalid("version", error.to_string())).ok()
        });
        problems.into_result(match version {
            Some(version) => AppUpdate::Rollback(version),
            None => AppUpdate::Fields(fields),
        })
    }

    /// The fields of this update on top of `app`; versions are the server's to give anew. A rollback gives the app
    /// as it is, since the caller has the versions.
    pub fn apply(&self, app: &App) -> Result<App, ApiError> {
        let AppUpdate::Fields(fields) = self else { return Ok(app.clone()) };
        let Value::Object(mut merged) = app.to_json() else {
            return Err(ApiError::Internal("the app could not be written".to_owned()));
        };
        for key in replaced(fields) {
            merged.remove(key);
        }
        for (key, value) in fields {
            merged.insert(key.clone(), value.clone());
        }
        App::replace(&Value::Object(merged), &app.id)
    }

    /// The fields of this update as a new app `id`, for `PUT` of an app that does not exist.
    pub fn create(&self, id: &AppId) -> Result<App, ApiError> {
        match self {
            AppUpdate::Fields(fields) => App::replace(&Value::Object(fields.clone()), id),
            AppUpdate::Rollback(version) => Err(ApiError::no_app_version(id, *version)),
        }
    }
}

/// Keys of the definition that an update takes the place of without naming them.
fn replaced(fields: &Map<String, Value>) -> Vec<&'static str> {
    let mut keys: Vec<&'static str> = Vec::new();
    for (key, instead) in TRANSLATED {
        if fields.contains_key(key) {
            keys.extend(instead);
        }
    }
    if fields.get("args").and_then(Value::as_array).is_some_and(|args| !args.is_empty()) {
        keys.push("cmd");
    }
    let docker = fields.get("container").and_then(|container| container.get("docker"));
    if let Some(network) =
        docker.and_then(|docker| docker.get("network")).filter(|network| !network.is_null())
    {
        keys.push("networks");
        // Host mode keeps its port definitions.
        if network != "HOST" {
            keys.extend(["portDefinitions", "requirePorts"]);
        }
    }
    // Port definitions belong to host mode and go with it.
    let modes = fields.get("networks").and_then(Value::as_array).into_iter().flatten();
    if fields.contains_key("ipAddress")
        || modes.into_iter().any(|n| n.get("mode").is_none_or(|mode| mode != "host"))
    {
        keys.extend(["portDefinitions", "requirePorts"]);
    }
    keys
}

/// What a change of definition means for the instances (§8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// An identical definition: an empty deployment.
    Nothing,
    /// Only `instances` differs.
    Scale,
    /// Anything else: the instances are replaced by ones of the new version.
    Restart,
}

/// Compares two definitions of an app; versions do not count. Service ports should be assigned in both.
pub fn diff(old: &App, new: &App) -> Change {
    let same_but_for_version = |a: &App, b: &App| {
        let b = App { version: a.version, version_info: a.version_info, ..b.clone() };
        *a == b
    };
    if same_but_for_version(old, new) {
        Change::Nothing
    } else if same_but_for_version(old, &App { instances: old.instances, ..new.clone() }) {
        Change::Scale
    } else {
        Change::Restart
    }
}
