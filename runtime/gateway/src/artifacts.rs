//! Artifacts: files that are known by their SHA-256, kept by the masters, fetched by agents (design §10, §13).
//!
//! `PUT /clusterctl/v1/artifacts/sha256/<hex>` keeps the body when it has that sum (201, or 200 when it was there already;
//! 422 when it has another), `GET` and `HEAD` give it, with ranges, `DELETE` forgets it (204), `GET /clusterctl/v1/artifacts` lists
//! what this master has.
//!
//! Of several masters most have it before an upload is acknowledged; to send it again is how one goes on that was not. A master
//! that is asked for what it lacks has it from another one and keeps it. Among each other they use `/clusterctl/v1/copies`, which
//! is about one master's disk alone.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path as Segment, Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::{Stream, StreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use tokio::fs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

/// The path of all artifacts.
pub(crate) const ALL: &str = "/clusterctl/v1/artifacts";
/// The path that artifacts lie below.
pub(crate) const PREFIX: &str = "/clusterctl/v1/artifacts/";
/// The path that one master's own copies lie below, for the others.
pub(crate) const COPIES: &str = "/clusterctl/v1/copies/";
/// One artifact has at most so many bytes: 16 GiB.
const MAX_BYTES: u64 = 16 << 30;
/// So much stays free on the disk, for what else the master keeps there.
const RESERVE: u64 = 256 << 20;
/// How much may come between two looks at the disk.
const LOOK: u64 = 64 << 20;
/// What is read and sent at a time.
const BLOCK: usize = 256 << 10;
/// Another master answers so soon when it has nothing to do first.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// And has this long for each MiB of a copy.
const MIB_WITHIN: Duration = Duration::from_millis(500);

/// Where artifacts are kept. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Artifacts {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    reserve: u64,
    others: Others,
    /// What is being had from another master, by its sum: several may wait for it.
    coming: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

/// The other masters.
#[derive(Clone, Debug)]
pub(crate) struct Others {
    http: reqwest::Client,
    /// `scheme://host:port`.
    all: Vec<String>,
}

impl Others {
    /// At these `host:port`; `http` shows them this master's certificate, and knows them by theirs.
    pub(crate) fn new(http: reqwest::Client, scheme: &str, all: Vec<String>) -> Self {
        Self { http, all: all.into_iter().map(|one| format!("{scheme}://{one}")).collect() }
    }

    /// How many of them are to have an artifact, beside this master: then most masters do.
    fn needed(&self) -> usize {
        self.all.len().div_ceil(2)
    }
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
    #[error(
        "the master's disk has {free} bytes free, of which {RESERVE} stay so, and {wanted} are needed; nothing was kept"
    )]
    NoRoom { free: u64, wanted: u64 },
    #[error("this master keeps it, and of the others too few do: {0}; send it again")]
    TooFew(String),
    #[error("this master lacks it, and of the others not all were asked: {0}; try again")]
    Unknown(String),
    #[error("this master forgot it, and others did not: {0}; try again")]
    Remembered(String),
    #[error("the master cannot keep it: {0}")]
    Disk(#[from] io::Error),
}

impl IntoResponse for ArtifactError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NoSum(_) | Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::OtherSum { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoRoom { .. } => StatusCode::INSUFFICIENT_STORAGE,
            Self::TooFew(_) | Self::Unknown(_) | Self::Remembered(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Disk(error) if error.kind() == io::ErrorKind::StorageFull => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            Self::Disk(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(serde_json::json!({ "message": self.to_string() }))).into_response()
    }
}

/// A file under way, removed unless it got its name.
struct Part {
    path: PathBuf,
    kept: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            // What is left of it goes at the next start, too.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Artifacts {
    /// Below `dir`, which is made. What an upload that was cut off left there is removed.
    pub(crate) async fn open(dir: PathBuf, others: Others) -> io::Result<Self> {
        fs::create_dir_all(&dir).await?;
        let mut entries = fs::read_dir(&dir).await?;
        while let Some(entry) = entries.next_entry().await? {
            if entry.path().extension().is_some_and(|end| end == "part") {
                fs::remove_file(entry.path()).await?;
            }
        }
        Ok(Self { inner: Arc::new(Inner { dir, reserve: RESERVE, others, coming: Mutex::default() }) })
    }

    /// What everybody sees: the cluster's artifacts.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/clusterctl/v1/artifacts", get(list))
            .route("/clusterctl/v1/artifacts/sha256/{sum}", get(give).put(keep).delete(forget))
            .with_state(self)
    }

    /// What other masters see: those on this disk.
    pub(crate) fn copies(self) -> Router {
        Router::new()
            .route("/clusterctl/v1/copies/sha256/{sum}", get(give_copy).put(keep_copy).delete(forget_copy))
            .with_state(self)
    }

    fn path(&self, sum: &str) -> Result<PathBuf, ArtifactError> {
        let good = sum.len() == 64 && sum.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        if good { Ok(self.inner.dir.join(sum)) } else { Err(ArtifactError::NoSum(sum.to_owned())) }
    }

    /// Whether so many bytes more fit on the disk.
    fn room(&self, wanted: u64) -> Result<(), ArtifactError> {
        let disk = rustix::fs::statvfs(&self.inner.dir).map_err(io::Error::from)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < wanted.saturating_add(self.inner.reserve) {
            return Err(ArtifactError::NoRoom { free, wanted });
        }
        Ok(())
    }

    /// Keeps these bytes when they have that sum; `length` is how many are announced.
    async fn write(
        &self,
        sum: &str,
        length: Option<u64>,
        pieces: impl Stream<Item = Result<axum::body::Bytes, axum::Error>>,
    ) -> Result<(), ArtifactError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let path = self.path(sum)?;
        if length.is_some_and(|length| length > MAX_BYTES) {
            return Err(ArtifactError::TooLarge);
        }
        self.room(length.unwrap_or_default())?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut part = Part { path: self.inner.dir.join(format!("{sum}.{number}.part")), kept: false };
        let mut file = fs::File::create(&part.path).await?;
        let (mut hasher, mut come, mut looked) = (Sha256::new(), 0_u64, 0_u64);
        let mut pieces = std::pin::pin!(pieces);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(ArtifactError::Body)?;
            come += piece.len() as u64;
            if come > MAX_BYTES {
                return Err(ArtifactError::TooLarge);
            }
            if come - looked >= LOOK {
                self.room(0)?;
                looked = come;
            }
            hasher.update(&piece);
            file.write_all(&piece).await?;
        }
        let found = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        if found != sum {
            return Err(ArtifactError::OtherSum { asked: sum.to_owned(), found });
        }
        file.sync_all().await?;
        fs::rename(&part.path, &path).await?;
        part.kept = true;
        fs::File::open(&self.inner.dir).await?.sync_all().await?;
        Ok(())
    }

    /// Gives this master's copy to the others that lack it, until most masters have it; the rest get it meanwhile.
    async fn spread(&self, sum: &str) -> Result<(), ArtifactError> {
        let needed = self.inner.others.needed();
        if needed == 0 {
            return Ok(());
        }
        let (tell, mut told) = mpsc::unbounded_channel();
        for other in self.inner.others.all.clone() {
            let (this, sum, tell) = (self.clone(), sum.to_owned(), tell.clone());
            // It goes on when enough have it, and when whoever sent it is gone.
            tokio::spawn(async move {
                let given = this.give_to(&other, &sum).await;
                let _ = tell.send(given.map_err(|why| format!("{other}: {why}")));
            });
        }
        drop(tell);
        let (mut have, mut faults) = (0, Vec::new());
        while let Some(given) = told.recv().await {
            match given {
                Ok(()) => have += 1,
                Err(fault) => {
                    tracing::warn!(fault, "another master did not take an artifact");
                    faults.push(fault);
                }
            }
            if have >= needed {
                return Ok(());
            }
        }
        Err(ArtifactError::TooFew(faults.join("; ")))
    }

    async fn give_to(&self, other: &str, sum: &str) -> Result<(), String> {
        let url = format!("{other}{COPIES}sha256/{sum}");
        let http = &self.inner.others.http;
        let head = within(ANSWER_WITHIN, http.head(&url).send()).await?;
        if head.status().is_success() {
            return Ok(());
        }
        let path = self.path(sum).map_err(|error| error.to_string())?;
        let file = fs::File::open(&path).await.map_err(|error| error.to_string())?;
        let length = file.metadata().await.map_err(|error| error.to_string())?.len();
        let body = reqwest::Body::wrap_stream(blocks(file));
        let put = http.put(&url).header(CONTENT_LENGTH, length).body(body).send();
        let answer = within(time_for(length), put).await?;
        if answer.status().is_success() {
            return Ok(());
        }
        let status = answer.status();
        let text = within(ANSWER_WITHIN, answer.text()).await.unwrap_or_default();
        Err(format!("{status} {}", text.chars().take(300).collect::<String>()))
    }

    /// Whether it is here now: it may come from another master first.
    async fn have(&self, sum: &str) -> Result<bool, ArtifactError> {
        let path = self.path(sum)?;
        if fs::try_exists(&path).await? {
            return Ok(true);
        }
        if self.inner.others.all.is_empty() {
            return Ok(false);
        }
        let this = self.clone();
        let sum = sum.to_owned();
        // Also when whoever asked does not wait so long: the next one does not begin anew.
        let fetching = tokio::spawn(async move { this.fetch(&sum).await });
        fetching.await.map_err(|ended| ArtifactError::Disk(io::Error::other(ended)))?
    }

    async fn fetch(&self, sum: &str) -> Result<bool, ArtifactError> {
        let turn = {
            let mut coming = self.inner.coming.lock().unwrap_or_else(PoisonError::into_inner);
            coming.retain(|_, turn| turn.strong_count() > 0);
            let turn = coming.get(sum).and_then(Weak::upgrade).unwrap_or_default();
            coming.insert(sum.to_owned(), Arc::downgrade(&turn));
            turn
        };
        let _turn = turn.lock().await;
        if fs::try_exists(self.path(sum)?).await? {
            return Ok(true);
        }
        let mut faults = Vec::new();
        for other in &self.inner.others.all {
            match self.fetch_from(other, sum).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(why) => faults.push(format!("{other}: {why}")),
            }
        }
        if faults.is_empty() { Ok(false) } else { Err(ArtifactError::Unknown(faults.join("; "))) }
    }

    async fn fetch_from(&self, other: &str, sum: &str) -> Result<bool, String> {
        let url = format!("{other}{COPIES}sha256/{sum}");
        let answer = within(ANSWER_WITHIN, self.inner.others.http.get(&url).send()).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(false),
            status => return Err(status.to_string()),
        }
        let length = answer.content_length();
        let pieces = answer.bytes_stream().map(|piece| piece.map_err(axum::Error::new));
        let writing = self.write(sum, length, pieces);
        match tokio::time::timeout(time_for(length.unwrap_or(MAX_BYTES)), writing).await {
            Ok(written) => written.map(|()| true).map_err(|error| error.to_string()),
            Err(_elapsed) => Err("it takes too long".to_owned()),
        }
    }

    async fn forget_here(&self, sum: &str) -> Result<bool, ArtifactError> {
        match fs::remove_file(self.path(sum)?).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn time_for(bytes: u64) -> Duration {
    let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
    ANSWER_WITHIN.saturating_mul(6).saturating_add(MIB_WITHIN.saturating_mul(mib))
}

async fn within<T>(
    time: Duration,
    answer: impl Future<Output = Result<T, reqwest::Error>>,
) -> Result<T, String> {
    match tokio::time::timeout(time, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(crate::reign::chain(&error)),
        Err(_elapsed) => Err(format!("no answer within {} s", time.as_secs())),
    }
}

/// A file, piece by piece.
fn blocks(file: fs::File) -> impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static {
    stream::try_unfold(file, |mut file| async move {
        let mut block = Vec::with_capacity(BLOCK);
        let read = (&mut file).take(BLOCK as u64).read_to_end(&mut block).await?;
        Ok((read > 0).then_some((block, file)))
    })
}

/// How long the body is announced to be.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn list(State(artifacts): State<Artifacts>, method: Method) -> Result<Response, ArtifactError> {
    let mut all = std::collections::BTreeMap::new();
    // Other masters ask with HEAD whether somebody may read here at all.
    if method != Method::HEAD {
        let mut entries = fs::read_dir(&artifacts.inner.dir).await?;
        while let Some(entry) = entries.next_entry().await? {
            let sum = entry.file_name().to_string_lossy().into_owned();
            if artifacts.path(&sum).is_ok() {
                all.insert(sum, entry.metadata().await?.len());
            }
        }
    }
    let all: Vec<_> =
        all.iter().map(|(sum, bytes)| serde_json::json!({"sha256": sum, "bytes": bytes})).collect();
    Ok(Json(serde_json::json!({ "artifacts": all })).into_response())
}

async fn give(
    State(artifacts): State<Artifacts>,
    Segment(sum): Segment<String>,
    request: Request,
) -> Result<Response, ArtifactError> {
    artifacts.have(&sum).await?;
    give_copy(State(artifacts), Segment(sum), request).await
}

async fn give_copy(
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
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ArtifactError> {
    let kept = keep_copy(State(artifacts.clone()), Segment(sum.clone()), headers, body).await?;
    artifacts.spread(&sum).await?;
    Ok(kept)
}

async fn keep_copy(
    State(artifacts): State<Artifacts>,
    Segment(sum): Segment<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ArtifactError> {
    if fs::try_exists(artifacts.path(&sum)?).await? {
        return Ok(StatusCode::OK);
    }
    artifacts.write(&sum, length(&headers), body.into_data_stream()).await?;
    Ok(StatusCode::CREATED)
}

async fn forget(
    State(artifacts): State<Artifacts>,
    Segment(sum): Segment<String>,
) -> Result<StatusCode, ArtifactError> {
    let mut found = artifacts.forget_here(&sum).await?;
    let others = &artifacts.inner.others;
    let all = others.all.iter().map(|other| {
        let sum = &sum;
        async move {
            let request = others.http.delete(format!("{other}{COPIES}sha256/{sum}")).send();
            match within(ANSWER_WITHIN, request).await {
                Ok(answer) if answer.status() == StatusCode::NO_CONTENT => Ok(true),
                Ok(answer) if answer.status() == StatusCode::NOT_FOUND => Ok(false),
                Ok(answer) => Err(format!("{other}: {}", answer.status())),
                Err(why) => Err(format!("{other}: {why}")),
            }
        }
    });
    let mut faults = Vec::new();
    for forgot in futures_util::future::join_all(all).await {
        match forgot {
            Ok(there) => found |= there,
            Err(fault) => faults.push(fault),
        }
    }
    if !faults.is_empty() {
        // One that keeps it would give it back to the others.
        return Err(ArtifactError::Remembered(faults.join("; ")));
    }
    Ok(if found { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND })
}

async fn forget_copy(
    State(artifacts): State<Artifacts>,
    Segment(sum): Segment<String>,
) -> Result<StatusCode, ArtifactError> {
    let found = artifacts.forget_here(&sum).await?;
    Ok(if found { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `hello`.
    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    async fn alone(dir: PathBuf) -> Artifacts {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Artifacts::open(dir, Others::new(reqwest::Client::new(), "http", Vec::new())).await.unwrap()
    }

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
        let router = alone(dir.path().join("a")).await.router();
        assert_eq!(ask(&router, "GET", HELLO, "").await.0, 404);
        assert_eq!(ask(&router, "PUT", HELLO, "hello").await.0, 201);
        assert_eq!(ask(&router, "PUT", HELLO, "hello").await.0, 200);
        assert_eq!(ask(&router, "GET", HELLO, "").await, (200, "hello".to_owned()));
        // It is there for the next master too.
        let router = alone(dir.path().join("a")).await.router();
        assert_eq!(ask(&router, "GET", HELLO, "").await, (200, "hello".to_owned()));
        assert_eq!(ask(&router, "DELETE", HELLO, "").await.0, 204);
        assert_eq!(ask(&router, "DELETE", HELLO, "").await.0, 404);
    }

    #[tokio::test]
    async fn what_has_another_sum_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let router = alone(dir.path().to_owned()).await.router();
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
        alone(dir.path().to_owned()).await;
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_does_not_fit_on_the_disk_is_refused_before_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = alone(dir.path().to_owned()).await;
        let free = rustix::fs::statvfs(dir.path()).unwrap();
        let full = Inner {
            dir: dir.path().to_owned(),
            reserve: free.f_blocks * free.f_frsize,
            others: artifacts.inner.others.clone(),
            coming: Mutex::default(),
        };
        let router = Artifacts { inner: Arc::new(full) }.router();
        let (status, text) = ask(&router, "PUT", HELLO, "hello").await;
        assert_eq!(status, 507);
        assert!(text.contains("bytes free"), "{text}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn most_masters_have_it() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let needed = |others: usize| {
            let others = vec!["m".to_owned(); others];
            Others::new(reqwest::Client::new(), "http", others).needed()
        };
        assert_eq!([0, 1, 2, 3, 4].map(needed), [0, 1, 1, 2, 2]);
    }
}
