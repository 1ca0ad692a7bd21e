//! Every refusal of §2: its status and its body, in one place.

use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

use super::json::MOST_PLACES;
use super::path_id::{AppId, GroupId};
use super::timestamp::Timestamp;
use super::uuid::Uuid;

/// What is wrong at one place of a request: `{"path":"/id","errors":["…"]}` (§2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// The place, like `/container/volumes(1)/mode`.
    pub path: String,
    /// All that is wrong there.
    pub errors: Vec<String>,
}

/// A refusal. `Display` is the answer's message; [`ApiError::status`] and [`ApiError::body`] are what goes out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApiError {
    /// The body is not JSON; holds the parser's text.
    #[error("Invalid JSON")]
    Syntax(String),
    /// Fields have the wrong JSON type; all of them.
    #[error("Invalid JSON")]
    WrongTypes(Vec<Detail>),
    /// `scale` and `wipe` both true, a malformed task id, and the like; holds the message.
    #[error("{0}")]
    BadRequest(String),
    /// Not authenticated.
    #[error("Not Authenticated!")]
    NotAuthenticated,
    /// Not allowed to do this.
    #[error("Not Authorized to perform this action!")]
    NotAuthorized,
    /// As many deployments run as may.
    #[error(
        "Max number ({limit}) of running deployments is achieved. Wait for existing deployments to complete or cancel one."
    )]
    TooManyDeployments {
        /// How many may run at once.
        limit: usize,
    },
    /// No such app, or none in that version.
    #[error("App '{app}' does not exist{}", in_version(.version.as_ref()))]
    NoApp {
        /// The id as it was asked for.
        app: String,
        /// The version that was asked for.
        version: Option<String>,
    },
    /// No such group, or none in that version.
    #[error("Group '{group}' does not exist{}", in_version(.version.as_ref()))]
    NoGroup {
        /// The id as it was asked for.
        group: String,
        /// The version that was asked for.
        version: Option<String>,
    },
    /// No such task; holds the id as it was asked for.
    #[error("Task '{0}' does not exist")]
    NoTask(String),
    /// No such deployment; holds the id as it was asked for.
    #[error("DeploymentPlan {0} does not exist")]
    NoDeployment(String),
    /// Nothing of the app waits to be launched; holds the id as it was asked for.
    #[error("Application {0} not found in tasks queue.")]
    NotQueued(String),
    /// Nobody leads at the moment, as `/v2/leader` says it.
    #[error("There is no leader")]
    NoLeader,
    /// No such endpoint; holds the path.
    #[error("There is nothing at {0}")]
    NoRoute(String),
    /// The endpoint exists but not with this method, or not with what `Accept` asks for.
    #[error("Method Not Allowed")]
    MethodNotAllowed,
    /// The app's id is taken.
    #[error("An app with id [{0}] already exists.")]
    AppExists(AppId),
    /// The group's id is taken.
    #[error("Group {0} is already created. Use PUT to change this group.")]
    GroupExists(GroupId),
    /// Deployments hold the app; their ids.
    #[error(
        "App is locked by one or more deployments. Override with the option '?force=true'. View details at '/v2/deployments/<DEPLOYMENT_ID>'."
    )]
    Locked(Vec<Uuid>),
    /// The request reads well but may not be; all that is wrong.
    #[error("Object is not valid")]
    Invalid(Vec<Detail>),
    /// A bad label selector or another illegal argument; holds the message.
    #[error("{0}")]
    IllegalArgument(String),
    /// A fault of ours; holds a text for the caller, the cause belongs in the log.
    #[error("{0}")]
    Internal(String),
    /// No leader was found in time to pass the request on to.
    #[error("No leader could be reached. Try again later.")]
    NoLeaderInTime,
    /// The store or the leader did not answer in time; holds the message.
    #[error("{0}")]
    Unavailable(String),
}

/// A small body must not make an answer without end.
fn at_most(mut details: Vec<Detail>) -> Vec<Detail> {
    let unsaid = details.len().saturating_sub(MOST_PLACES);
    if unsaid > 0 {
        details.truncate(MOST_PLACES);
        details.push(Detail { path: "/".to_owned(), errors: vec![format!("and {unsaid} more")] });
    }
    details
}

fn in_version(version: Option<&String>) -> String {
    version.map(|version| format!(" in version {version}")).unwrap_or_default()
}

impl ApiError {
    /// No such app.
    pub fn no_app(app: &AppId) -> ApiError {
        ApiError::NoApp { app: app.to_string(), version: None }
    }

    /// The app exists but not in that version.
    pub fn no_app_version(app: &AppId, version: Timestamp) -> ApiError {
        ApiError::NoApp { app: app.to_string(), version: Some(version.to_string()) }
    }

    /// One mistake at one place.
    pub fn invalid(path: &str, error: impl Into<String>) -> ApiError {
        ApiError::Invalid(vec![Detail { path: path.to_owned(), errors: vec![error.into()] }])
    }

    /// The same mistakes of something that stands at `path` of a larger body.
    #[must_use]
    pub fn below(self, path: &str) -> ApiError {
        let lower = |details: Vec<Detail>| {
            let lower = |Detail { path: own, errors }| match own.as_str() {
                "/" if !path.is_empty() => Detail { path: path.to_owned(), errors },
                "/" => Detail { path: own, errors },
                own => Detail { path: format!("{path}{own}"), errors },
            };
            details.into_iter().map(lower).collect()
        };
        match self {
            ApiError::WrongTypes(details) => ApiError::WrongTypes(lower(details)),
            ApiError::Invalid(details) => ApiError::Invalid(lower(details)),
            other => other,
        }
    }

    /// Several refusals of one request as one; `None` when there are none. Wrong types come first, then the first that
    /// is not about places of the body, then what is invalid.
    pub fn together(errors: Vec<ApiError>) -> Option<ApiError> {
        let (mut wrong_types, mut invalid, mut other) = (Vec::new(), Vec::new(), None);
        for error in errors {
            match error {
                ApiError::WrongTypes(details) => wrong_types.extend(details),
                ApiError::Invalid(details) => invalid.extend(details),
                error => other = other.or(Some(error)),
            }
        }
        if !wrong_types.is_empty() {
            return Some(ApiError::WrongTypes(at_most(wrong_types)));
        }
        other.or_else(|| (!invalid.is_empty()).then(|| ApiError::Invalid(at_most(invalid))))
    }

    /// The HTTP status (§2).
    pub fn status(&self) -> u16 {
        match self {
            ApiError::Syntax(_) | ApiError::WrongTypes(_) | ApiError::BadRequest(_) => 400,
            ApiError::NotAuthenticated => 401,
            ApiError::NotAuthorized | ApiError::TooManyDeployments { .. } => 403,
            ApiError::NoApp { .. }
            | ApiError::NoGroup { .. }
            | ApiError::NoTask(_)
            | ApiError::NoDeployment(_)
            | ApiError::NotQueued(_)
            | ApiError::NoLeader
            | ApiError::NoRoute(_) => 404,
            ApiError::MethodNotAllowed => 405,
            ApiError::AppExists(_) | ApiError::GroupExists(_) | ApiError::Locked(_) => 409,
            ApiError::Invalid(_) | ApiError::IllegalArgument(_) => 422,
            ApiError::Internal(_) => 500,
            ApiError::NoLeaderInTime => 502,
            ApiError::Unavailable(_) => 503,
        }
    }

    /// The JSON body (§2).
    pub fn body(&self) -> Value {
        let message = self.to_string();
        match self {
            ApiError::Syntax(details) => json!({ "message": message, "details": details }),
            ApiError::WrongTypes(details) | ApiError::Invalid(details) => {
                json!({ "message": message, "details": details })
            }
            ApiError::Locked(deployments) => {
                let deployments: Vec<Value> = deployments.iter().map(|id| json!({ "id": id })).collect();
                json!({ "message": message, "deployments": deployments })
            }
            _ => json!({ "message": message }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_has_its_status_and_body() {
        let app: AppId = "/x".parse().unwrap();
        let group: GroupId = "/x".parse().unwrap();
        let deployment: Uuid = "3f0c8a52-9f0e-4d0b-8a43-0b6c3a0d1e2f".parse().unwrap();
        let version: Timestamp = "2026-01-31T08:15:30.123Z".parse().unwrap();
        let detail = |path: &str, error: &str| vec![Detail { path: path.into(), errors: vec![error.into()] }];
        let message = |text: &str| json!({ "message": text });
        for (error, status, body) in [
            (
                ApiError::Syntax("expected value at line 1 column 1".into()),
                400,
                json!({"message": "Invalid JSON", "details": "expected value at line 1 column 1"}),
            ),
            (
                ApiError::WrongTypes(detail("/id", "error.expected.jsstring")),
                400,
                json!({"message": "Invalid JSON", "details": [{"path": "/id", "errors": ["error.expected.jsstring"]}]}),
            ),
            (ApiError::BadRequest("no".into()), 400, message("no")),
            (ApiError::NotAuthenticated, 401, message("Not Authenticated!")),
            (ApiError::NotAuthorized, 403, message("Not Authorized to perform this action!")),
            (
                ApiError::TooManyDeployments { limit: 100 },
                403,
                message(
                    "Max number (100) of running deployments is achieved. Wait for existing deployments to complete or cancel one.",
                ),
            ),
            (ApiError::no_app(&app), 404, message("App '/x' does not exist")),
            (
                ApiError::no_app_version(&app, version),
                404,
                message("App '/x' does not exist in version 2026-01-31T08:15:30.123Z"),
            ),
            (
                ApiError::NoGroup { group: "/x".into(), version: None },
                404,
                message("Group '/x' does not exist"),
            ),
            (ApiError::NoTask("id".into()), 404, message("Task 'id' does not exist")),
            (ApiError::NoDeployment("id".into()), 404, message("DeploymentPlan id does not exist")),
            (ApiError::NotQueued(app.to_string()), 404, message("Application /x not found in tasks queue.")),
            (ApiError::NoLeader, 404, message("There is no leader")),
            (ApiError::NoRoute("/v3".into()), 404, message("There is nothing at /v3")),
            (ApiError::MethodNotAllowed, 405, message("Method Not Allowed")),
            (ApiError::AppExists(app), 409, message("An app with id [/x] already exists.")),
            (
                ApiError::GroupExists(group),
                409,
                message("Group /x is already created. Use PUT to change this group."),
            ),
            (
                ApiError::Locked(vec![deployment]),
                409,
                json!({
                    "message": "App is locked by one or more deployments. Override with the option '?force=true'. View details at '/v2/deployments/<DEPLOYMENT_ID>'.",
                    "deployments": [{"id": "3f0c8a52-9f0e-4d0b-8a43-0b6c3a0d1e2f"}],
                }),
            ),
            (
                ApiError::invalid("/cpus", "no"),
                422,
                json!({"message": "Object is not valid", "details": [{"path": "/cpus", "errors": ["no"]}]}),
            ),
            (ApiError::IllegalArgument("no".into()), 422, message("no")),
            (ApiError::Internal("no".into()), 500, message("no")),
            (ApiError::NoLeaderInTime, 502, message("No leader could be reached. Try again later.")),
            (ApiError::Unavailable("no".into()), 503, message("no")),
        ] {
            assert_eq!((error.status(), error.body()), (status, body), "{error:?}");
        }
    }
}
