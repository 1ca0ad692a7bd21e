//! A server that knows many ways to answer, and an agent that fetches from it.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::fetch::{Digest, FetchError, Fetcher, Options};
use agent::launch::Program;
use api::mesos::Uri;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use sha2::Digest as _;
use tokio::sync::Semaphore;

/// What the server was asked, and when it may answer `/gated`.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    pub(crate) gate: Arc<Semaphore>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, asked: Arc::default(), gate: Arc::new(Semaphore::new(0)) };
        let router = Router::new().route("/{*path}", get(answer)).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub(crate) fn uri(&self, path: &str) -> Uri {
        uri(&format!("{}/{path}", self.url))
    }

    pub(crate) fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == path).count()
    }
}

pub(crate) async fn answer(
    State(server): State<Server>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response {
    let nth = {
        let mut asked = server.asked.lock().unwrap();
        asked.push(path.clone());
        asked.iter().filter(|asked| **asked == path).count()
    };
    let (first, rest) = path.split_once('/').unwrap_or((&path, ""));
    match first {
        "text" => "hello".into_response(),
        "archive" => archive().into_response(),
        "gated" => {
            server.gate.acquire().await.unwrap().forget();
            "hello".into_response()
        }
        "third" if nth < 3 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "third" => "hello".into_response(),
        "busy" => StatusCode::BAD_GATEWAY.into_response(),
        "loop" => Redirect::temporary("/loop").into_response(),
        "to" => Redirect::temporary(&format!("/{rest}")).into_response(),
        "silent" => {
            let first = Ok::<_, std::io::Error>(Bytes::from_static(b"hel"));
            let stream = futures_util::stream::iter([first]);
            Body::from_stream(futures_util::StreamExt::chain(stream, futures_util::stream::pending()))
                .into_response()
        }
        "torn" => {
            let chunks = [Ok(Bytes::from_static(b"hel")), Err(std::io::Error::other("torn"))];
            ([(header::CONTENT_LENGTH, "5")], Body::from_stream(futures_util::stream::iter(chunks)))
                .into_response()
        }
        "endless" => {
            let block = || Some((Ok::<_, std::io::Error>(Bytes::from(vec![0; 64 << 10])), ()));
            Body::from_stream(futures_util::stream::unfold((), move |()| async move { block() }))
                .into_response()
        }
        "tagged" => {
            if headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == "\"v1\"") && nth != 4 {
                return StatusCode::NOT_MODIFIED.into_response();
            }
            let text = if nth < 4 { "old" } else { "new" };
            ([(header::ETAG, "\"v1\"")], text).into_response()
        }
        "clusterctl" if rest == format!("v1/artifacts/sha256/{}", sum(b"hello")) => "hello".into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

pub(crate) fn archive() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(4);
    builder.append_data(&mut header, "bin/run", &b"#!sh"[..]).unwrap();
    let tar = builder.into_inner().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    gzip.finish().unwrap()
}

pub(crate) fn sum(bytes: &[u8]) -> Digest {
    let hex: String = sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    Digest::parse(&hex).unwrap()
}

pub(crate) fn uri(value: &str) -> Uri {
    Uri { value: value.into(), executable: false, extract: true, cache: false, output_file: None }
}

pub(crate) struct Agent {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) fetcher: Fetcher,
}

impl Agent {
    pub(crate) fn new(change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = Program { path: env!("CARGO_BIN_EXE_agent-shim").into(), args: vec![] };
        let mut options = Options::new(dir.path().join("cache"), program);
        options.backoff = Duration::ZERO;
        change(&mut options);
        Self { dir, fetcher: Fetcher::new(options) }
    }

    pub(crate) fn sandbox(&self, name: &str) -> PathBuf {
        let sandbox = self.dir.path().join(name);
        fs::create_dir_all(&sandbox).unwrap();
        sandbox
    }

    pub(crate) async fn fetch(&self, name: &str, uris: &[Uri]) -> Result<(), FetchError> {
        self.fetcher.fetch(uris, &self.sandbox(name), None).await
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.path().join(path)).unwrap()
    }

    pub(crate) fn cached(&self) -> usize {
        fs::read_dir(self.dir.path().join("cache/sha256")).unwrap().count()
    }
}
