//! Cosmos' errors: a type, a sentence, data (interfaces/universe-cosmos.md, §3).

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::media::{ERROR, MediaError};

/// Why a call was not carried out, in Cosmos' form.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct CosmosError {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) data: Value,
}

impl CosmosError {
    /// With status 400, as nearly all have.
    pub(crate) fn new(kind: &'static str, message: impl Into<String>, data: Value) -> Self {
        Self { status: StatusCode::BAD_REQUEST, kind, message: message.into(), data }
    }

    pub(crate) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn no_package(name: &str, nearest: &[String]) -> Self {
        let hint = if nearest.is_empty() {
            String::new()
        } else {
            format!("; did you mean {}?", nearest.join(", "))
        };
        Self::new(
            "PackageNotFound",
            format!("Package [{name}] not found{hint}"),
            json!({ "packageName": name }),
        )
    }

    pub(crate) fn no_version(name: &str, version: &str, versions: &[String]) -> Self {
        let there = versions.join(", ");
        let text = format!("Version [{version}] of package [{name}] not found; there are: {there}");
        Self::new("VersionNotFound", text, json!({ "packageName": name, "packageVersion": version }))
    }

    pub(crate) fn not_installed(name: &str) -> Self {
        let text = format!("Package [{name}] is not installed");
        Self::new("PackageNotInstalled", text, json!({ "packageName": name }))
    }

    pub(crate) fn no_app(id: &str) -> Self {
        let text = format!("Unable to locate service with app id: '{id}'");
        Self::new("MarathonAppNotFound", text, json!({ "appId": id }))
    }

    /// A body that is not what the call takes.
    pub(crate) fn body(message: impl Into<String>) -> Self {
        Self::new("JsonParsingError", message, json!({}))
    }

    /// Nothing can be said or stored at the moment.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new("ServiceUnavailable", message, json!({ "serviceName": "clusterctl" }))
            .status(StatusCode::SERVICE_UNAVAILABLE)
    }
}

impl From<MediaError> for CosmosError {
    fn from(error: MediaError) -> Self {
        Self::new("InvalidMediaType", error.to_string(), json!({}))
    }
}

impl IntoResponse for CosmosError {
    fn into_response(self) -> Response {
        let Self { status, kind, message, data } = self;
        let body = json!({ "type": kind, "message": message, "data": data });
        (status, [(CONTENT_TYPE, HeaderValue::from_static(ERROR))], Json(body)).into_response()
    }
}
