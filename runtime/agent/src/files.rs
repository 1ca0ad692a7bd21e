//! What agents and masters show of their files: sandboxes and logs, and nothing else.
//!
//! Directories and files are attached under virtual paths, as Mesos does; `/files/browse`, `/files/read` and
//! `/files/download` reach what is really below them. What tasks made there is hostile: links that lead out,
//! FIFOs and devices are refused, and nothing is swapped between a look and its use.

mod attached;
pub(crate) mod beneath;
mod browse;
mod download;
mod open;
mod read;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};

pub use attached::Attached;

/// The longest name of a JSONP function, in bytes.
const MAX_JSONP: usize = 128;

/// Why a request is not answered. Said in plain text.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}\n")]
    Bad(String),
    #[error("There is no such file.\n")]
    Missing,
    #[error("{0}\n")]
    Forbidden(&'static str),
    #[error("The directory has more than {0} entries.\n")]
    Large(usize),
    #[error("The file cannot be read: {0}\n")]
    Io(std::io::Error),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Missing => StatusCode::NOT_FOUND,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Large(_) | Self::Io(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, self.to_string()).into_response()
    }
}

/// What a request asks for; numbers as they were written, for our own messages.
#[derive(Debug, Deserialize)]
struct Asked {
    path: Option<String>,
    offset: Option<String>,
    length: Option<String>,
    jsonp: Option<String>,
}

impl Asked {
    fn path(&self) -> Result<String, Refusal> {
        match self.path.as_deref() {
            None | Some("") => Err(Refusal::Bad("Expecting 'path=value' in query.".into())),
            Some(path) if path.contains('\0') => Err(Refusal::Bad("The path holds a NUL.".into())),
            Some(path) => Ok(path.to_owned()),
        }
    }
}

/// The routes, with `.json` behind browse and read too.
pub fn router(attached: Attached) -> Router {
    Router::new()
        .route("/files/browse", get(browse))
        .route("/files/browse.json", get(browse))
        .route("/files/read", get(read))
        .route("/files/read.json", get(read))
        .route("/files/download", get(download))
        .with_state(attached)
}

async fn browse(State(attached): State<Attached>, Query(asked): Query<Asked>) -> Result<Response, Refusal> {
    let path = asked.path()?;
    let listing = blocking(move || browse::list(&attached, &path)).await?;
    json(&listing, asked.jsonp.as_deref())
}

async fn read(State(attached): State<Attached>, Query(asked): Query<Asked>) -> Result<Response, Refusal> {
    let path = asked.path()?;
    let offset = read::number("offset", asked.offset.as_deref())?;
    let length = read::number("length", asked.length.as_deref())?;
    let piece = blocking(move || read::piece(&attached, &path, offset, length)).await?;
    json(&piece, asked.jsonp.as_deref())
}

async fn download(State(attached): State<Attached>, Query(asked): Query<Asked>) -> Result<Response, Refusal> {
    let path = asked.path()?;
    let name = download::name(&path);
    let (file, size) = blocking(move || open::file(&attached.find(&path)?)).await?;
    Ok(download::response(file, size, &name))
}

fn json(value: &impl Serialize, jsonp: Option<&str>) -> Result<Response, Refusal> {
    let text = serde_json::to_string(value).map_err(|e| Refusal::Io(e.into()))?;
    let nosniff = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    let Some(function) = jsonp else {
        return Ok(([(header::CONTENT_TYPE, "application/json"), nosniff], text).into_response());
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.');
    if function.is_empty() || function.len() > MAX_JSONP || !function.chars().all(is_plain) {
        return Err(Refusal::Bad("'jsonp' must be the name of a function.".into()));
    }
    let script = format!("{function}({text});");
    Ok(([(header::CONTENT_TYPE, "text/javascript"), nosniff], script).into_response())
}

/// Runs what blocks off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Refusal::Io(std::io::Error::other("the server is shutting down"))))
}
