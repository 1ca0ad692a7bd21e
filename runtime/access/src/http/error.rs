//! Refusals of the crate's own routes.

use api::marathon::Detail;
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use thiserror::Error;

use super::body::MAX_BODY;
use crate::change::ChangeError;
use crate::password::PasswordError;
use crate::refusal::Refusal;
use crate::secret::RandomError;

/// Why a request was not done.
#[derive(Debug, Error)]
pub(super) enum HttpError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error("the body has mistakes: {}", first(.0))]
    Mistakes(Vec<Detail>),
    #[error("the body is no JSON: {0}")]
    NoJson(String),
    #[error("the body has more than {MAX_BODY} bytes")]
    TooLong,
    #[error("the body did not come in time")]
    TooSlow,
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    NotFound(String),
}

impl From<PasswordError> for HttpError {
    fn from(error: PasswordError) -> Self {
        Refusal::from(error).into()
    }
}

impl From<RandomError> for HttpError {
    fn from(error: RandomError) -> Self {
        Refusal::from(error).into()
    }
}

/// All of them in one line, for clients that show the message alone.
fn first(details: &[Detail]) -> String {
    let lines = details.iter().map(|detail| format!("{} {}", detail.path, detail.errors.join(", ")));
    lines.collect::<Vec<_>>().join("; ")
}

impl HttpError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Refused(refusal) => refusal.status(),
            Self::Change(error) => match error {
                ChangeError::NoUser(_) | ChangeError::NoToken(_) | ChangeError::NoAdmission(_) => {
                    StatusCode::NOT_FOUND
                }
                ChangeError::BadAgent(_) => StatusCode::BAD_REQUEST,
                ChangeError::TooManyTokens(_) | ChangeError::MadeTooMany(_) => StatusCode::CONFLICT,
                ChangeError::PasswordChanged => StatusCode::UNAUTHORIZED,
                ChangeError::Store(_) | ChangeError::Ended => StatusCode::SERVICE_UNAVAILABLE,
                ChangeError::Record(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Mistakes(_) | Self::NoJson(_) | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let status = self.status();
        let message = self.to_string();
        match self {
            Self::Refused(refusal) => refusal.into_response(),
            Self::Mistakes(details) => {
                (status, Json(json!({ "message": message, "details": details }))).into_response()
            }
            Self::Change(ChangeError::Store(error)) => {
                tracing::error!(%error, "a change of users, tokens or admissions was not stored");
                let again = [(RETRY_AFTER, "1")];
                (status, again, Json(json!({ "message": message }))).into_response()
            }
            _ => (status, Json(json!({ "message": message }))).into_response(),
        }
    }
}
