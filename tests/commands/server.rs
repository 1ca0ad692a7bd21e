//! A server that speaks just enough of a cluster for one test: it answers what the test wrote down, and keeps what it
//! was asked.
#![expect(clippy::unwrap_used, reason = "a test's own server: where it cannot run, the test fails")]

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

/// What is answered.
#[derive(Clone)]
pub(crate) enum Answer {
    /// This status and object.
    Json(u16, Value),
    /// This text, as it is.
    Text(String),
    /// Events, and then silence.
    Events(Vec<Value>),
    /// Nothing, ever.
    Silence,
}

/// 200 with this object.
pub(crate) fn ok(value: Value) -> Answer {
    Answer::Json(200, value)
}

type Answers = HashMap<String, Vec<Answer>>;

/// A request as it came: `GET /v2/apps?embed=…`, and its body.
pub(crate) type Asked = (String, Value);

#[derive(Clone)]
struct Shared {
    answers: Arc<Mutex<Answers>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// The server, on a port of its own. Its thread ends with the test's process.
pub(crate) struct Cluster {
    /// Its URL.
    pub(crate) url: String,
    shared: Shared,
}

impl Cluster {
    /// Starts with answers by `METHOD /path`; of several for one request each is used once, and the last for ever.
    pub(crate) fn start(answers: impl IntoIterator<Item = (&'static str, Answer)>) -> Cluster {
        let mut by_request = Answers::new();
        for (request, answer) in answers {
            by_request.entry(request.to_owned()).or_default().push(answer);
        }
        let shared = Shared { answers: Arc::new(Mutex::new(by_request)), asked: Arc::default() };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(handle).with_state(shared.clone());
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        Cluster { url, shared }
    }

    /// The binary, speaking to this server, in a home without a file of its own.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clusterctl"));
        command.args(arguments).stdin(Stdio::null()).env_clear();
        command.env("CLUSTERCTL_URL", &self.url).env("HOME", "/nowhere");
        command
    }

    /// Runs it: exit code, standard output, standard error.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&self.url, "URL");
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// What changes were asked for.
    pub(crate) fn changes(&self) -> Vec<Asked> {
        let asked = self.shared.asked.lock().unwrap();
        asked.iter().filter(|(request, _)| !request.starts_with("GET ")).cloned().collect()
    }
}

async fn handle(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let key = format!("{} {}", parts.method, parts.uri.path());
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let full = format!("{} {}", parts.method, parts.uri);
    shared.asked.lock().unwrap().push((full, serde_json::from_slice(&body).unwrap_or_default()));
    let answer = match shared.answers.lock().unwrap().get_mut(&key) {
        Some(answers) if answers.len() > 1 => Some(answers.remove(0)),
        Some(answers) => answers.first().cloned(),
        None => None,
    };
    match answer {
        Some(Answer::Json(status, value)) => {
            (StatusCode::from_u16(status).unwrap(), axum::Json(value)).into_response()
        }
        Some(Answer::Text(text)) => text.into_response(),
        Some(Answer::Events(events)) => {
            let frames: String = events
                .iter()
                .map(|event| format!("event: {}\ndata: {event}\n\n", event["eventType"].as_str().unwrap()))
                .collect();
            let first = futures_util::stream::once(async move { Ok::<_, std::convert::Infallible>(frames) });
            let silence = futures_util::stream::pending();
            Body::from_stream(futures_util::StreamExt::chain(first, silence)).into_response()
        }
        Some(Answer::Silence) => std::future::pending().await,
        None => {
            let message = format!("There is nothing at {}", parts.uri.path());
            (StatusCode::NOT_FOUND, axum::Json(json!({ "message": message }))).into_response()
        }
    }
}
