//! Files of agents, fetched for those who cannot reach them.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use scheduler::AgentId;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::Master;
use crate::core::AgentState;
use crate::shell::Agents;

/// The most bytes of a listing or of a piece of a file. Whole files have as many as they have.
const MAX_PIECE: usize = 16 << 20;

/// What is passed on of the agent's headers.
const PASSED: [HeaderName; 3] = [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_DISPOSITION];

pub(super) async fn proxy(
    State(master): State<Master>,
    Path((id, call)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let call = call.trim_end_matches(".json");
    if !matches!(call, "browse" | "read" | "download") {
        return refuse(StatusCode::NOT_FOUND, format!("files have browse, read and download, not {call}"));
    }
    let view = master.view();
    let Some(agent) = view.agents.get(&AgentId::from(id.as_str())) else {
        return refuse(StatusCode::NOT_FOUND, format!("there is no agent {id}"));
    };
    if matches!(agent.state, AgentState::Unreachable | AgentState::Recovering) {
        let text =
            format!("agent {id} ({}) is {}; try again when it is back", agent.facts.name, agent.state.name());
        return refuse(StatusCode::SERVICE_UNAVAILABLE, text);
    }
    let Ok(permit) = master.files().clone().try_acquire_owned() else {
        let text = "too many files are being read at once; try again".to_owned();
        return refuse(StatusCode::SERVICE_UNAVAILABLE, text);
    };
    let address = SocketAddr::new(agent.facts.address, agent.facts.port);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let secure = matches!(master.options().agents, Agents::Admitted(_));
    let scheme = if secure { "https" } else { "http" };
    let request = master.options().http.get(format!("{scheme}://{address}/files/{call}{query}")).send();
    let wait = master.options().files_timeout;
    let answer = match timeout(wait, request).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            let text = format!("agent {id} at {address} cannot be reached: {}", error.without_url());
            return refuse(StatusCode::BAD_GATEWAY, text);
        }
        Err(_elapsed) => {
            let text = format!("agent {id} at {address} did not answer within {wait:?}");
            return refuse(StatusCode::BAD_GATEWAY, text);
        }
    };
    // That it is an agent of this cluster was seen in the handshake.
    if secure && let Err(found) = is_agent(&answer, &agent.facts.name) {
        let text = format!("at {address}, where agent {id} ({}) should be, is {found}", agent.facts.name);
        return refuse(StatusCode::BAD_GATEWAY, text);
    }
    let headers: HeaderMap = PASSED
        .into_iter()
        .filter_map(|name| answer.headers().get(&name).cloned().map(|value| (name, value)))
        .collect();
    let most = if call == "download" { usize::MAX } else { MAX_PIECE };
    let status = answer.status();
    let body = Body::from_stream(pieces(answer.bytes_stream(), wait, most, permit));
    (status, headers, body).into_response()
}

/// Whether it was this agent that answered; else who did.
fn is_agent(answer: &reqwest::Response, name: &str) -> Result<(), String> {
    let shown = answer.extensions().get::<reqwest::tls::TlsInfo>().and_then(|info| info.peer_certificate());
    let nobody = || "somebody without a certificate".to_owned();
    let found = tls::identity_of(shown.ok_or_else(nobody)?).map_err(|error| error.to_string())?;
    if found.name() == name { Ok(()) } else { Err(found.to_string()) }
}

/// The agent's pieces as they come, no more than `most` bytes, and none later than `wait` after the one before.
fn pieces(
    body: impl Stream<Item = Result<Bytes, reqwest::Error>> + Send + 'static,
    wait: Duration,
    most: usize,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    stream::try_unfold((Box::pin(body), most, permit), move |(mut body, left, permit)| async move {
        let late = |_| std::io::Error::new(std::io::ErrorKind::TimedOut, "the agent stopped sending");
        let Some(piece) = timeout(wait, body.next()).await.map_err(late)? else { return Ok(None) };
        let piece = piece.map_err(std::io::Error::other)?;
        let Some(left) = left.checked_sub(piece.len()) else {
            return Err(std::io::Error::other("the agent sent more than was asked for"));
        };
        Ok(Some((piece, (body, left, permit))))
    })
}

fn refuse(status: StatusCode, text: String) -> Response {
    (status, text).into_response()
}
