//! Artifacts: files that are known by their SHA-256, kept by the master, fetched by agents (design §10, §13).
//!
//! `PUT /clusterctl/v1/artifacts/sha256/<hex>` keeps the body when it has that sum (201, or 200 when it was there already;
//! 422 when it has another), `GET` and `HEAD` give it, with ranges, `DELETE` forgets it (204). Without a route to list them
//! until packages need one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::{Path as Segment, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::fs;
use tokio::io::AsyncWriteExt as _;
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

/// The path that artifacts lie below.
pub(crate) const PREFIX: &str = "/clusterctl/v1/artifacts/";
/// One artifact has at most so many bytes: 16 GiB.
const MAX_BYTES: u64 = 16 << 30;

/// Where artifacts are kept.
#[derive(Clone, Debug)]
pub(crate) struct Artifacts {
    dir: PathBuf,
}

/// Why an artifact was not kept or given.
#[derive(Debug, thiserror::Error)]
enum ArtifactError {
    #[error("{0:?} is no SHA-256: 64 digits from 0 to f, in lower case")]
    NoSum(String),
    #[error("the body has the SHA-256 {found}, not {asked}; nothing was kept, send it again")]
    OtherSum { asked: String, found: String },
    #[error("an artifact has at most {MAX_BYTES} bytes; nothing was kept")]
    TooLarge,
    #[error("the body ended early: {0}; nothing was kept, send it again")]
    Body(#[source] axum::Error),
    #[error("the master cannot keep it: {0}")]
    Disk(#[from] io::Error),
}

impl IntoResponse for ArtifactError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NoSum(_) | Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::OtherSum { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Disk(error) if error.kind() == io::ErrorKind::StorageFull => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            Self::Disk(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(serde_json::json!({ "message": self.to_string() }))).into_response()
    }
}

impl Artifacts {
    /// Below `dir`, which is made. What an upload that was cut off left there is removed.
    pub(crate) async fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir).await?;
        let mut entries = fs::read_dir(&dir).await?;
        while let Some(entry) = entries.next_entry().await? {
            if entry.path().extension().is_some_and(|end| end == "part") {
                fs::remove_file(entry.path()).await?;
            }
        }
        Ok(Self { dir })
    }

    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/clusterctl/v1/artifacts/sha256/{sum}", get(give).put(keep).delete(forget))
            .with_state(self)
    }

    fn path(&self, sum: &str) -> Result<PathBuf, ArtifactError> {
        let good = sum.len() == 64 && sum.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        if good { Ok(self.dir.join(sum)) } else { Err(ArtifactError::NoSum(sum.to_owned())) }
    }
}

async fn give(
    State(artifacts): State<Artifacts>,
    Segment(sum): Segment<String>,
    request: Request,
) -> Result<Response, ArtifactError> {
    let path = artifacts.path(&sum)?;
    if !fs::try_exists(&path).await? {
        let message = format!("there is no artifact sha256/{sum}; upload it first");
        return Ok((StatusCode::NOT_FOUND, Json(serde_json::json!({ "message": message }))).into_response());
    }
    match ServeFile::new(path).oneshot(request).await {
        Ok(response) => Ok(response.map(Body::new)),
        Err(never) => match never {},
    }
}

async fn keep(
    State(artifacts): State<Artifacts>,
    Segment(sum): Segment<String>,
    body: Body,
) -> Result<StatusCode, ArtifactError> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let path = artifacts.path(&sum)?;
    if fs::try_exists(&path).await? {
        return Ok(StatusCode::OK);
    }
    let part = artifacts.dir.join(format!("{sum}.{}.part", NUMBER.fetch_add(1, Ordering::Relaxed)));
    let kept = write(&part, &sum, body).await;
    if kept.is_err() {
        // What is left of it goes at the next start, too.
        let _ = fs::remove_file(&part).await;
    }
    kept?;
    fs::rename(&part, &path).await?;
    fs::File::open(&artifacts.dir).await?.sync_all().await?;
    Ok(StatusCode::CREATED)
}

async fn write(part: &Path, asked: &str, body: Body) -> Result<(), ArtifactError> {
    let mut file = fs::File::create(part).await?;
    let mut sum = Sha256::new();
    let mut length = 0_u64;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(ArtifactError::Body)?;
        length += chunk.len() as u64;
        if length > MAX_BYTES {
            return Err(ArtifactError::TooLarge);
        }
        sum.update(&chunk);
        file.write_all(&chunk).await?;
    }
    let found = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    if found != asked {
        return Err(ArtifactError::OtherSum { asked: asked.to_owned(), found });
    }
    file.sync_all().await?;
    Ok(())
}

async fn forget(
    State(artifacts): State<Artifacts>,
    Segment(sum): Segment<String>,
) -> Result<StatusCode, ArtifactError> {
    match fs::remove_file(artifacts.path(&sum)?).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(StatusCode::NOT_FOUND),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `hello`.
    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    async fn ask(router: &Router, method: &str, sum: &str, body: &'static str) -> (u16, String) {
        let request = Request::builder()
            .method(method)
            .uri(format!("{PREFIX}sha256/{sum}"))
            .body(Body::from(body))
            .unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn what_has_the_sum_is_kept_and_given() {
        let dir = tempfile::tempdir().unwrap();
        let router = Artifacts::open(dir.path().join("a")).await.unwrap().router();
        assert_eq!(ask(&router, "GET", HELLO, "").await.0, 404);
        assert_eq!(ask(&router, "PUT", HELLO, "hello").await.0, 201);
        assert_eq!(ask(&router, "PUT", HELLO, "hello").await.0, 200);
        assert_eq!(ask(&router, "GET", HELLO, "").await, (200, "hello".to_owned()));
        // It is there for the next master too.
        let router = Artifacts::open(dir.path().join("a")).await.unwrap().router();
        assert_eq!(ask(&router, "GET", HELLO, "").await, (200, "hello".to_owned()));
        assert_eq!(ask(&router, "DELETE", HELLO, "").await.0, 204);
        assert_eq!(ask(&router, "DELETE", HELLO, "").await.0, 404);
    }

    #[tokio::test]
    async fn what_has_another_sum_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let router = Artifacts::open(dir.path().to_owned()).await.unwrap().router();
        let (status, text) = ask(&router, "PUT", HELLO, "hullo").await;
        assert_eq!(status, 422);
        assert!(text.contains(HELLO), "{text}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        for wrong in ["..%2f..%2fx", "abc", &HELLO.to_uppercase()] {
            assert_eq!(ask(&router, "PUT", wrong, "hello").await.0, 400, "{wrong}");
        }
    }

    #[tokio::test]
    async fn what_an_upload_that_was_cut_off_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(format!("{HELLO}.0.part")), "hel").unwrap();
        Artifacts::open(dir.path().to_owned()).await.unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
