//! `/clusterctl/v1/secrets`: what is told of secrets, and changes of them. Values go in and never come out.

use std::time::Duration;

use access::Caller;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use crate::MAX_SECRET;
use crate::book::SecretError;
use crate::path::SecretPath;
use crate::shell::Secrets;

/// The longest body: a secret each byte of which is escaped.
const MAX_BODY: usize = 6 * MAX_SECRET + 1024;
/// A body that takes longer to come is given up.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// Whether this room answers a path.
#[must_use]
pub fn serves(path: &str) -> bool {
    path == "/clusterctl/v1/secrets" || path.starts_with("/clusterctl/v1/secrets/")
}

impl Secrets {
    /// Answers requests.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/clusterctl/v1/secrets", get(list))
            .route("/clusterctl/v1/secrets/{*path}", get(show).put(put).delete(remove))
            .with_state(self.clone())
    }
}

type OfCaller = Option<Extension<Caller>>;

/// Why a request was not done.
enum Refused {
    Secret(SecretError),
    Body(StatusCode, String),
}

impl From<SecretError> for Refused {
    fn from(error: SecretError) -> Self {
        Self::Secret(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Body(status, message) => (status, message),
            Self::Secret(error) => (status(&error), error.to_string()),
        };
        let body = Json(json!({ "message": message }));
        match status {
            StatusCode::SERVICE_UNAVAILABLE => (status, [(RETRY_AFTER, "1")], body).into_response(),
            _ => (status, body).into_response(),
        }
    }
}

fn status(error: &SecretError) -> StatusCode {
    match error {
        SecretError::Path(_) => StatusCode::BAD_REQUEST,
        SecretError::Absent(_) => StatusCode::NOT_FOUND,
        SecretError::Value(_) => StatusCode::UNPROCESSABLE_ENTITY,
        SecretError::NoKey(_)
        | SecretError::OtherKey { .. }
        | SecretError::Tampered(_)
        | SecretError::Damaged { .. }
        | SecretError::TooMany => StatusCode::CONFLICT,
        SecretError::Store(_) | SecretError::Ended => StatusCode::SERVICE_UNAVAILABLE,
        SecretError::Written(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn path_of(text: &str) -> Result<SecretPath, SecretError> {
    Ok(text.parse()?)
}

async fn list(State(secrets): State<Secrets>) -> Json<Value> {
    let mut answer = json!({ "secrets": secrets.all() });
    if let (Some(problem), Some(answer)) = (secrets.problem(), answer.as_object_mut()) {
        answer.insert("problem".to_owned(), problem.into());
    }
    Json(answer)
}

async fn show(State(secrets): State<Secrets>, Path(path): Path<String>) -> Result<Response, Refused> {
    Ok(Json(secrets.one(&path_of(&path)?)?).into_response())
}

async fn put(
    State(secrets): State<Secrets>,
    caller: OfCaller,
    Path(path): Path<String>,
    body: Body,
) -> Result<Response, Refused> {
    let path = path_of(&path)?;
    let value = value(body).await?;
    // Without a login, everyone who gets here may do it.
    let by = caller.map_or_else(|| Caller::Anyone.who(), |Extension(caller)| caller.who());
    let fresh = secrets.put(vec![(path.clone(), value)], &by, None).await?;
    let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(secrets.one(&path)?)).into_response())
}

async fn remove(State(secrets): State<Secrets>, Path(path): Path<String>) -> Result<StatusCode, Refused> {
    secrets.remove(path_of(&path)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `{"value": "…"}`. What is wrong with it is said by place: the parser's own texts would quote a value in the wrong place.
async fn value(body: Body) -> Result<SecretString, Refused> {
    let refused = |status, text: &str| Refused::Body(status, text.to_owned());
    let reading = tokio::time::timeout(BODY_WITHIN, Limited::new(body, MAX_BODY).collect()).await;
    let read =
        reading.map_err(|_elapsed| refused(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"))?;
    let bytes: Bytes = read
        .map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => refused(StatusCode::PAYLOAD_TOO_LARGE, "a secret has 64 KiB at most"),
            None => refused(StatusCode::BAD_REQUEST, "the body ended early; send it again"),
        })?
        .to_bytes();
    let wanted = "the body has to be {\"value\": \"…\"}";
    let mut fields: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|error| {
        let text =
            format!("{wanted}; there is a mistake at line {}, column {}", error.line(), error.column());
        refused(StatusCode::BAD_REQUEST, &text)
    })?;
    match (fields.remove("value"), fields.is_empty()) {
        (Some(Value::String(value)), true) => Ok(value.into()),
        _ => Err(refused(StatusCode::BAD_REQUEST, wanted)),
    }
}
