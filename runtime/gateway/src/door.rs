//! The way from a request to the room that answers it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use access::{Caller, Clock};
use api::marathon::ApiError;
use api::server::guard;
use axum::body::{Body, HttpBody as _};
use axum::extract::ConnectInfo;
use axum::http::header::{
    ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, Request, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::{Json, Router};
use futures_util::{StreamExt as _, stream};
use identity::Identity;
use tokio::sync::watch;
use tower::{ServiceBuilder, ServiceExt as _};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::figures;
use crate::lead::Rooms;
use crate::route::{Room, room};

/// A body of which nothing comes for so long is given up.
const BODY_IDLE: Duration = Duration::from_secs(30);
/// A request for the leader waits so long for one.
const LEADER_WITHIN: Duration = Duration::from_millis(2500);
/// What a browser may do with any answer: show it, and nothing else. Files of tasks come with the type that their agent says.
const NO_PAGE: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");
/// Where Marathon has its web interface.
const UI: &str = "\
This is a clusterctl master. There is no web interface.

  clusterctl service list     what runs, on the command line
  /v2/apps                    Marathon's interface
  /state                      Mesos' interface
  /metrics                    figures, for Prometheus
";

/// Ends when whoever was let in would not be again.
type Void = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Why an answer broke off.
#[derive(Debug, thiserror::Error)]
#[error("whoever asked may not any more")]
struct NotAnyMore;

/// The way from a request to the room that answers it.
#[derive(Clone)]
pub(crate) struct Door {
    rooms: watch::Receiver<Option<Rooms>>,
    artifacts: Router,
    leader: Option<HeaderValue>,
    /// Where everybody has to say who it is: what tells whether that holds yet.
    login: Option<Clock>,
}

impl Door {
    pub(crate) fn new(
        rooms: watch::Receiver<Option<Rooms>>,
        artifacts: Router,
        leader: Option<HeaderValue>,
        login: Option<Clock>,
    ) -> Self {
        Self { rooms, artifacts, leader, login }
    }

    pub(crate) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let mut response = self.in_room(request).await;
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, NO_PAGE);
        response
    }

    async fn in_room(&self, request: Request<Body>) -> Response<Body> {
        let checked = if self.login.is_some() {
            guard::check_secure(request.uri(), request.headers())
        } else {
            guard::check(request.uri(), request.headers(), &[])
        };
        if let Err(refusal) = checked {
            return message(refusal.status, &refusal.message);
        }
        let asked = request.uri().path().to_owned();
        let (room, path) = room(&asked);
        let mut request = match with_path(request, &path) {
            Ok(request) => request,
            Err(response) => return *response,
        };
        // On the path that the room will see, and before anything of the body is read.
        let void = match &self.login {
            Some(clock) => match self.let_in(room, &mut request, clock).await {
                Ok(void) => void,
                Err(refused) => return *refused,
            },
            None => None,
        };
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let mut response = match room {
            Room::Artifacts => bounded(self.artifacts.clone()).oneshot(request).await.into_response(),
            Room::Root | Room::Ui | Room::Metrics | Room::Prometheus if !reads => {
                let allow = [(ALLOW, "GET, HEAD")];
                (allow, message(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")).into_response()
            }
            Room::Root => (StatusCode::FOUND, [(LOCATION, ui(&asked))]).into_response(),
            Room::Ui => UI.into_response(),
            room => self.by_leader(room, request).await,
        };
        if room == Room::Services
            && let Some(leader) = &self.leader
            && self.rooms.borrow().is_some()
        {
            response.headers_mut().insert("x-marathon-leader", leader.clone());
        }
        match void {
            Some(void) => response.map(|body| no_longer_than(body, void)),
            None => response,
        }
    }

    /// Whether the caller may do this; who it is goes with the request from here on. An answer that takes long ends with what is
    /// returned. An agent's stream has its own last word.
    async fn let_in(
        &self,
        room: Room,
        request: &mut Request<Body>,
        clock: &Clock,
    ) -> Result<Option<Void>, Box<Response<Body>>> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let rooms = self.rooms.borrow().clone();
        let rooms = match rooms {
            // Only the leader knows users; what is open needs none.
            None if access::right_of(&method, &path) == Some(access::Right::Open) => return Ok(None),
            None if room == Room::Services => self.next_reign().await,
            rooms => rooms,
        };
        let Some(access) = rooms.and_then(|rooms| rooms.access) else { return Err(Box::new(no_leader())) };
        let peer = request.extensions().get::<Identity>().cloned();
        let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        match access.enter(&method, &path, request.headers(), peer.as_ref(), from, clock.now()).await {
            Ok(caller) => {
                let lasts = caller == Caller::Anyone || room == Room::Link;
                let void = (!lasts).then(|| -> Void { Box::pin(access.void(&caller)) });
                request.extensions_mut().insert(caller);
                Ok(void)
            }
            Err(refusal) if room == Room::Link => Err(Box::new(refused_link(refusal))),
            Err(refusal) => Err(Box::new(refusal.into_response())),
        }
    }

    /// What only the leader answers.
    async fn by_leader(&self, room: Room, request: Request<Body>) -> Response<Body> {
        let rooms = self.rooms.borrow().clone();
        let asks_who_leads = room == Room::Services
            && request.method() == Method::GET
            && request.uri().path().trim_end_matches('/') == "/v2/leader";
        let rooms = match rooms {
            None if asks_who_leads => return refuse(&ApiError::NoLeader),
            None if room == Room::Services => self.next_reign().await,
            rooms => rooms,
        };
        let Some(rooms) = rooms else { return no_leader() };
        match room {
            // A stream for life, with its own way to find out that the other end is gone.
            Room::Link => rooms.link.oneshot(request).await.into_response(),
            Room::Services => bounded(rooms.services).oneshot(request).await.into_response(),
            Room::Metrics if figures::wants_json(request.headers()) => {
                let (master, services) = (rooms.of_master.prometheus(), rooms.of_services.figures());
                Json(figures::json(&master, &services)).into_response()
            }
            Room::Metrics | Room::Prometheus => prometheus(&rooms),
            Room::Access => match &rooms.access {
                Some(access) => bounded(access.router()).oneshot(request).await.into_response(),
                None => nothing(request.uri().clone()).await,
            },
            Room::Master | Room::Artifacts | Room::Root | Room::Ui => {
                bounded(rooms.master.fallback(nothing)).oneshot(request).await.into_response()
            }
        }
    }

    /// Waits a while for somebody to lead.
    async fn next_reign(&self) -> Option<Rooms> {
        let mut rooms = self.rooms.clone();
        let led = tokio::time::timeout(LEADER_WITHIN, rooms.wait_for(Option::is_some)).await;
        led.ok()?.ok()?.clone()
    }
}

/// The body, until its reader is void: then it breaks off, so that nobody takes what came for all of it. One that is whole already is
/// sent.
fn no_longer_than(body: Body, mut void: Void) -> Body {
    if body.size_hint().exact().is_some() {
        return body;
    }
    let (mut data, mut over) = (body.into_data_stream(), false);
    Body::from_stream(stream::poll_fn(move |cx| {
        if over {
            return Poll::Ready(None);
        }
        if void.as_mut().poll(cx).is_ready() {
            over = true;
            return Poll::Ready(Some(Err(axum::Error::new(NotAnyMore))));
        }
        data.poll_next_unpin(cx)
    }))
}

/// The web interface's place, for whoever asked for what is above it. With one slash at its front: after two comes another host.
fn ui(asked: &str) -> String {
    match asked.trim_matches('/') {
        "" => "/ui/".to_owned(),
        prefix => format!("/{prefix}/ui/"),
    }
}

fn no_leader() -> Response<Body> {
    let again = [(RETRY_AFTER, "1")];
    let why = "nobody leads at the moment: this master takes the leadership as soon as its store lets it; try again";
    (again, message(StatusCode::SERVICE_UNAVAILABLE, why)).into_response()
}

/// An agent reads why in the words of its protocol: permission denied, and the message.
fn refused_link(refusal: access::Refusal) -> Response<Body> {
    let words = refusal.to_string();
    let escaped: String = words
        .bytes()
        .map(|byte| match byte {
            b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let mut response = refusal.into_response();
    response.headers_mut().insert("grpc-status", HeaderValue::from_static("7"));
    if let Ok(words) = HeaderValue::from_str(&escaped) {
        response.headers_mut().insert("grpc-message", words);
    }
    response
}

async fn nothing(uri: Uri) -> Response<Body> {
    refuse(&ApiError::NoRoute(uri.path().to_owned()))
}

/// A room in which a handler that panics answers 500, and a body that stops coming is given up.
fn bounded(
    room: Router,
) -> impl tower::Service<Request<Body>, Response = impl IntoResponse, Error = std::convert::Infallible, Future: Send>
{
    ServiceBuilder::new()
        .layer(CatchPanicLayer::new())
        .layer(RequestBodyTimeoutLayer::new(BODY_IDLE))
        .service(tower::service_fn(move |request: Request<tower_http::timeout::TimeoutBody<Body>>| {
            room.clone().oneshot(request.map(Body::new))
        }))
}

fn with_path(mut request: Request<Body>, path: &str) -> Result<Request<Body>, Box<Response<Body>>> {
    if request.uri().path() != path {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        match format!("{path}{query}").parse::<Uri>() {
            Ok(uri) => *request.uri_mut() = uri,
            Err(error) => return Err(Box::new(message(StatusCode::BAD_REQUEST, &error.to_string()))),
        }
    }
    Ok(request)
}

fn prometheus(rooms: &Rooms) -> Response<Body> {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let text = figures::text(&rooms.of_master.prometheus(), &rooms.of_services.figures());
    ([(CONTENT_TYPE, kind)], text).into_response()
}

fn refuse(error: &ApiError) -> Response<Body> {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(error.body())).into_response()
}

fn message(status: StatusCode, text: &str) -> Response<Body> {
    (status, Json(serde_json::json!({ "message": text }))).into_response()
}
