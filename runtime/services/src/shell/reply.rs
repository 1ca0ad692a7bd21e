//! How answers leave: status, headers, JSON (§1, §2).

use api::marathon::{ApiError, DeploymentResult, Uuid};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

/// Everything that is answered instead of what was asked for.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// As the interface has it.
    Api(ApiError),
    /// The body is too long; holds the limit.
    TooLong(usize),
    /// The body did not come in time.
    TooSlow,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Refusal {
        Refusal::Api(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let message = |status, text: String| (status, Json(json!({ "message": text }))).into_response();
        match self {
            Refusal::Api(error) => {
                let status =
                    StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (status, Json(error.body())).into_response()
            }
            Refusal::TooLong(most) => {
                message(StatusCode::PAYLOAD_TOO_LARGE, format!("The body is longer than {most} bytes."))
            }
            Refusal::TooSlow => {
                message(StatusCode::REQUEST_TIMEOUT, "The body did not come in time.".to_owned())
            }
        }
    }
}

pub(crate) type Reply = Result<Response, Refusal>;

/// 200 with JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Response {
    Json(value).into_response()
}

/// A deployment's id and version, also in the header that clients look at.
pub(crate) fn deployment(status: StatusCode, result: &DeploymentResult) -> Response {
    let mut response = (status, Json(result)).into_response();
    deployment_header(&mut response, result.deployment_id);
    response
}

pub(crate) fn deployment_header(response: &mut Response, id: Uuid) {
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert("Marathon-Deployment-Id", value);
    }
}

/// Where what was created is.
pub(crate) fn location(response: &mut Response, app: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("/v2/apps{app}")) {
        response.headers_mut().insert(header::LOCATION, value);
    }
}

/// Which methods a path takes, where another one was used.
pub(crate) fn allow(response: &mut Response, methods: &'static str) {
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
}

/// What every answer carries: not to be kept, and who leads.
pub(crate) fn common(response: &mut Response, leader: &str) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(header::EXPIRES, HeaderValue::from_static("0"));
    if let Ok(value) = HeaderValue::from_str(&format!("http://{leader}")) {
        headers.insert("X-Marathon-Leader", value);
    }
}
