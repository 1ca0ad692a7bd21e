//! What DC/OS' clients ask when they log in, and in the form that they read: `{title, description, code}` for mistakes.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::body::Fields;
use super::error::HttpError;
use super::login::enter;
use super::{Allowed, Origin};
use crate::shell::Access;

/// What a token that such a client got is for.
const LABEL: &str = "DC/OS login";

/// A refusal in the clients' form.
pub(super) struct Fault(HttpError);

impl From<HttpError> for Fault {
    fn from(error: HttpError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = self.0.status();
        let code = match status {
            StatusCode::UNAUTHORIZED => "ERR_INVALID_CREDENTIALS",
            StatusCode::BAD_REQUEST => "ERR_INVALID_DATA",
            StatusCode::TOO_MANY_REQUESTS => "ERR_TOO_MANY_REQUESTS",
            _ => "ERR_UNAVAILABLE",
        };
        let headers = match &self.0 {
            HttpError::Refused(refusal) => refusal.headers(),
            _ => HeaderMap::new(),
        };
        let title = status.canonical_reason().unwrap_or_default();
        let body = json!({ "title": title, "description": self.0.to_string(), "code": code });
        (status, headers, Json(body)).into_response()
    }
}

pub(super) async fn log_in(
    State(access): State<Access>,
    from: Origin,
    body: Body,
) -> Result<Response, Fault> {
    let mut fields = Fields::read(body).await?;
    let user = fields.required("uid");
    let password = fields.required_secret("password");
    fields.finish("uid, password")?;
    let made = enter(&access, &user, password, LABEL.to_owned(), &from).await?;
    let body = json!({ "token": made.text.expose_secret() });
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// One way to log in: with user and password.
pub(super) async fn providers() -> Json<Value> {
    Json(json!({
        "dcos-users": {
            "authentication-type": "dcos-uid-password",
            "client-method": "dcos-usercredential-post-receive-authtoken",
            "config": { "start_flow_url": "/acs/api/v1/auth/login" },
            "description": "Users of this cluster",
        },
    }))
}

/// Whoever sees it is logged in. It says nothing else.
pub(super) async fn build_info(_: Allowed) -> Json<Value> {
    Json(json!({}))
}
