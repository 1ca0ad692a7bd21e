//! Services, as a client of theirs in the same process sees them: no way of packages' own leads to them.

use axum::Router;
use axum::body::Body;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::error::CosmosError;

/// The longest answer that is read: the list of all apps.
const MAX_BYTES: usize = 512 << 20;

/// The way to services.
#[derive(Clone, Debug)]
pub(crate) struct Marathon(pub(crate) Router);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Marathon {
    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When the answer is longer than it may be, or is no JSON.
    pub(crate) async fn ask(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> Result<Answer, CosmosError> {
        let wrong = |error: String| {
            CosmosError::new("MarathonGenericError", format!("services cannot be asked: {error}"), json!({}))
                .status(StatusCode::INTERNAL_SERVER_ERROR)
        };
        let text = body.map(Value::to_string).unwrap_or_default();
        let mut request = Request::new(Body::from(text));
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().map_err(|error| wrong(format!("{target}: {error}")))?;
        let json_type = HeaderValue::from_static("application/json");
        request.headers_mut().insert(ACCEPT, json_type.clone());
        request.headers_mut().insert(CONTENT_TYPE, json_type);
        let response = match self.0.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let status = response.status();
        let bytes = Limited::new(response.into_body(), MAX_BYTES).collect().await;
        let bytes = bytes.map_err(|error| wrong(error.to_string()))?.to_bytes();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?
        };
        Ok(Answer { status, body })
    }

    /// All apps' definitions.
    pub(crate) async fn apps(&self) -> Result<Vec<Value>, CosmosError> {
        let answer = self.ask(Method::GET, "/v2/apps", None).await?.good()?;
        Ok(match answer {
            Value::Object(mut object) => match object.remove("apps") {
                Some(Value::Array(apps)) => apps,
                _ => Vec::new(),
            },
            _ => Vec::new(),
        })
    }

    /// Whether there is an app or a group by this id.
    pub(crate) async fn has(&self, id: &str) -> Result<bool, CosmosError> {
        for kind in ["apps", "groups"] {
            let answer = self.ask(Method::GET, &format!("/v2/{kind}/{id}"), None).await?;
            if answer.status.is_success() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Answer {
    /// The body of an answer that is good, else services' refusal in Cosmos' form.
    pub(crate) fn good(self) -> Result<Value, CosmosError> {
        let Self { status, body } = self;
        if status.is_success() {
            return Ok(body);
        }
        let said = body.get("message").and_then(Value::as_str).unwrap_or("no reason was given");
        let details: Vec<String> = body
            .get("details")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .flat_map(|detail| {
                let path = detail.get("path").and_then(Value::as_str).unwrap_or_default().to_owned();
                let errors = detail.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
                errors.into_iter().map(move |error| match error {
                    Value::String(error) => format!("{path}: {error}"),
                    other => format!("{path}: {other}"),
                })
            })
            .collect();
        let errors = if details.is_empty() { vec![said.to_owned()] } else { details };
        let text = format!("services answered {}: {}", status.as_u16(), errors.join("; "));
        let data = json!({ "errors": errors });
        Err(match status {
            StatusCode::SERVICE_UNAVAILABLE => CosmosError::unavailable(text),
            status if status.is_server_error() => CosmosError::new(
                "MarathonGenericError",
                text,
                json!({ "marathonStatusCode": status.as_u16() }),
            )
            .status(StatusCode::INTERNAL_SERVER_ERROR),
            _ => CosmosError::new("MarathonBadResponse", text, data),
        })
    }
}
