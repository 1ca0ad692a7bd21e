//! What the agent shows of itself over HTTP: health, counters, its tasks.

use std::sync::Arc;
use std::time::Duration;

use api::mesos::TaskState;
use api::server::{self, Entry};
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tower::ServiceExt as _;

use super::core::{State, Task};

/// The loop answers within this, or not at all.
const LIMIT: Duration = Duration::from_secs(5);

/// A question to the loop.
pub(super) enum Question {
    /// `/state`
    State(oneshot::Sender<Value>),
    /// `/metrics/snapshot`
    Metrics(oneshot::Sender<Value>),
}

/// The agent's own routes.
pub(super) fn router(questions: mpsc::Sender<Question>) -> Router {
    Router::new()
        .route("/health", get(|| async { StatusCode::OK }))
        .route("/state", get(|shared| ask(shared, Question::State)))
        .route("/metrics/snapshot", get(|shared| ask(shared, Question::Metrics)))
        .with_state(Arc::new(questions))
}

/// So many connections at most are open at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 512;

/// Answers requests as long as it is awaited, but none that a web page makes a browser send. Masters ask by address; over TLS
/// nobody else comes so far.
pub(super) async fn serve(listener: TcpListener, entry: Entry, router: Router, own: [String; 2]) {
    // Nobody asks it to stop: it is dropped with the agent.
    let (_running, stop) = watch::channel(false);
    let own = Arc::new(own);
    let secure = matches!(entry, Entry::Tls(_));
    server::serve(listener, entry, MAX_CONNECTIONS, stop, move |request: Request<Body>| {
        let (router, own) = (router.clone(), own.clone());
        async move {
            let own: [&str; 2] = [&own[0], &own[1]];
            let checked = if secure {
                server::guard::check_secure(request.uri(), request.headers())
            } else {
                server::guard::check(request.uri(), request.headers(), &own)
            };
            match checked {
                Ok(()) => router.oneshot(request).await.into_response(),
                Err(refusal) => (refusal.status, refusal.message).into_response(),
            }
        }
    })
    .await;
}

async fn ask(
    Shared(questions): Shared<Arc<mpsc::Sender<Question>>>,
    question: fn(oneshot::Sender<Value>) -> Question,
) -> Response {
    let (answer, heard) = oneshot::channel();
    let asked = async {
        questions.send(question(answer)).await.ok()?;
        heard.await.ok()
    };
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(Some(value)) => Json(value).into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the agent is busy or ending: ask again").into_response(),
    }
}

pub(super) fn answer(state: &State, question: Question) {
    // Whoever does not wait any more needs no answer.
    let _ = match question {
        Question::State(to) => to.send(state_of(state)),
        Question::Metrics(to) => to.send(metrics(state)),
    };
}

fn state_of(state: &State) -> Value {
    let about = &state.about;
    let tasks: Vec<Value> = state.tasks.values().map(task).collect();
    json!({
        "id": state.id.as_ref().map(ToString::to_string),
        "name": about.name,
        "hostname": about.hostname,
        "pid": format!("slave(1)@{}:{}", about.address, about.port),
        "resources": about.resources.to_string(),
        "attributes": about.attributes,
        "registered": state.is_registered(),
        "epoch": state.epoch(),
        "tasks": tasks,
    })
}

fn task(task: &Task) -> Value {
    let last = task.updates.last.as_ref();
    json!({
        "id": task.info.id.as_str(),
        "name": task.info.name,
        "framework_id": task.framework.as_str(),
        "state": last.map(|last| last.state.name()),
        "healthy": task.healthy(),
        "resources": task.info.resources.to_string(),
        "container": task.container.to_string(),
        "directory": task.directory.to_string_lossy(),
        "unacknowledged": task.updates.pending.len(),
    })
}

fn metrics(state: &State) -> Value {
    let count = |wanted: TaskState| state.tasks.values().filter(|t| t.last_state() == Some(wanted)).count();
    json!({
        "slave/registered": u8::from(state.is_registered()),
        "slave/tasks_starting": count(TaskState::Starting),
        "slave/tasks_running": count(TaskState::Running),
        "slave/tasks_killing": count(TaskState::Killing),
        "slave/unacknowledged_updates": state.tasks.values().map(|t| t.updates.pending.len()).sum::<usize>(),
        "slave/refused_old_epochs": state.counters.old_epochs,
        "slave/bad_messages": state.counters.bad_messages,
        "slave/stray_acknowledgements": state.counters.stray_acknowledgements,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn masters_come_in_by_address_and_web_pages_do_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (questions, _asked) = mpsc::channel(1);
        let own = ["192.0.2.7".to_owned(), "node7".to_owned()];
        let serving = tokio::spawn(serve(listener, Entry::Plain, router(questions), own));
        for (headers, status) in [
            (format!("Host: {address}"), "200"),
            ("Host: 192.0.2.7:5051".to_owned(), "200"),
            ("Host: node7:5051".to_owned(), "200"),
            ("Host: example.org".to_owned(), "403"),
            (format!("Host: {address}\r\nOrigin: http://example.org"), "403"),
            (format!("Host: {address}\r\nSec-Fetch-Site: cross-site"), "403"),
        ] {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let request = format!("GET /health HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}: {answer}");
        }
        serving.abort();
    }
}
