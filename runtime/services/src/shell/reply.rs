//! How answers leave: status, headers, JSON (§1, §2).

use std::sync::Arc;

use api::marathon::{ApiError, DeploymentResult, Uuid};
use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::{Serialize, Serializer};
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

/// Something that others show too.
pub(crate) struct Shared<T>(pub(crate) Arc<T>);

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// So many bytes are made at once.
const PIECE: usize = 64 << 10;

/// 200 with a JSON object of one array, `{"name":[…]}`, made piece by piece as it is read: whoever reads much holds nobody else
/// up, and nothing is kept of what was sent.
pub(crate) fn list<T, I>(name: &str, items: I) -> Response
where
    T: Serialize,
    I: Iterator<Item = T> + Send + 'static,
{
    let begin = format!("{{\"{name}\":[").into_bytes();
    let pieces = stream::unfold((Some(items), begin), |(items, mut piece)| async move {
        let mut items = items?;
        // Others get their turn.
        tokio::task::yield_now().await;
        let mut comma = !piece.ends_with(b"[");
        while piece.len() < PIECE {
            let Some(item) = items.next() else {
                piece.extend_from_slice(b"]}");
                return Some((Ok(Bytes::from(piece)), (None, Vec::new())));
            };
            if comma {
                piece.push(b',');
            }
            comma = true;
            if let Err(error) = serde_json::to_writer(&mut piece, &item) {
                return Some((Err(error), (None, Vec::new())));
            }
        }
        Some((Ok(Bytes::from(piece)), (Some(items), Vec::with_capacity(PIECE + PIECE / 4))))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
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

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use futures_util::StreamExt as _;

    use super::*;

    async fn read(count: usize) -> serde_json::Value {
        let response = list("numbers", (0..count).map(|number| format!("number {number}")));
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn a_list_is_whole_however_many_pieces_it_takes() {
        for count in [0, 1, 2, 3_000, 20_000] {
            let expected: Vec<String> = (0..count).map(|number| format!("number {number}")).collect();
            assert_eq!(read(count).await, json!({ "numbers": expected }));
        }
        let mut pieces = list("numbers", 0..100_000).into_body().into_data_stream();
        let mut lengths = Vec::new();
        while let Some(piece) = pieces.next().await {
            lengths.push(piece.unwrap().len());
        }
        assert!(lengths.len() > 5 && lengths.iter().all(|length| *length < 2 * PIECE), "{lengths:?}");
    }
}
