//! The way from a request to the room that answers it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use access::{Caller, Clock};
use api::marathon::ApiError;
use api::server::guard;
use axum::body::{Body, HttpBody as _};
use axum::extract::{ConnectInfo, Query};
use axum::http::header::{
    ALLOW, AUTHORIZATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
    RETRY_AFTER, WARNING, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{Method, Request, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::{Json, Router};
use futures_util::{StreamExt as _, stream};
use identity::Identity;
use store::Leader;
use tls::Tls;
use tokio::sync::watch;
use tower::{ServiceBuilder, ServiceExt as _};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::artifacts::{self, Artifacts};
use crate::follow::{self, Way};
use crate::options::Options;
use crate::proxy::Proxy;
use crate::reign::Rooms;
use crate::route::{Room, room};
use crate::seat::{Seat, age};
use crate::{behalf, dcos, figures};

/// A body of which nothing comes for so long is given up.
const BODY_IDLE: Duration = Duration::from_secs(30);
/// A request for the leader waits so long for one.
const LEADER_WITHIN: Duration = Duration::from_millis(2500);
/// Who leads, as Marathon's clients read it.
const X_MARATHON_LEADER: HeaderName = HeaderName::from_static("x-marathon-leader");
/// For how many seconds what an answer says may have been otherwise.
const STALE: HeaderName = HeaderName::from_static("x-clusterctl-stale");
/// Where the leader says who a caller is.
const WHO_AM_I: &str = "/clusterctl/v1/whoami";
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
    seats: watch::Receiver<Seat<Rooms>>,
    artifacts: Router,
    copies: Router,
    /// What DC/OS' clients ask beside all else.
    dcos: Router,
    proxy: Proxy,
    /// Where everybody has to say who it is: what tells whether that holds yet.
    login: Option<Clock>,
    own: Arc<Own>,
}

/// What a master says of itself, whoever leads.
struct Own {
    /// Its own address as a leader's.
    leader: Option<HeaderValue>,
    address: String,
    version: String,
    tls: Option<Tls>,
    since: Instant,
    /// The longest body that services take.
    max_body: usize,
}

/// A request, with what was found out about it.
struct Asked {
    room: Room,
    /// As it was sent, with its query.
    target: Uri,
    /// It reads.
    reads: bool,
    /// Another master has passed it on.
    passed_on: bool,
    /// With the path as the room sees it.
    head: Parts,
}

impl Asked {
    fn path(&self) -> &str {
        self.head.uri.path()
    }

    fn is_own(&self) -> bool {
        self.reads && follow::is_own(self.target.path(), self.room, self.path())
    }

    fn asks_who_leads(&self) -> bool {
        self.room == Room::Services && self.reads && self.path().trim_end_matches('/') == "/v2/leader"
    }

    /// Only a reign that goes on has anything to say there.
    fn asks_for_events(&self) -> bool {
        self.room == Room::Watch
            || self.room == Room::Services && self.path().trim_end_matches('/') == "/v2/events"
    }
}

/// Who is to answer.
enum By {
    /// This master leads.
    Reign(Rooms),
    /// It did, until then.
    Past(Rooms, Instant),
    /// Another one.
    Leader(Leader),
    /// Nobody, for this reason.
    Nobody(String),
}

impl Door {
    pub(crate) fn new(
        seats: watch::Receiver<Seat<Rooms>>,
        artifacts: Artifacts,
        proxy: Proxy,
        options: &Options,
    ) -> Self {
        let own = Own {
            leader: HeaderValue::from_str(&format!("{}://{}", proxy.scheme, options.advertised)).ok(),
            address: options.advertised.clone(),
            version: options.master.version.clone(),
            tls: options.tls.clone(),
            since: Instant::now(),
            max_body: options.services.max_body_bytes,
        };
        let login = options.tls.as_ref().map(|_| options.clock.clone());
        let (artifacts, copies) = (artifacts.clone().router(), artifacts.copies());
        let dcos = dcos::router(&options.master.cluster, &options.advertised);
        Self { seats, artifacts, copies, dcos, proxy, login, own: Arc::new(own) }
    }

    pub(crate) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let mut response = match self.look(request) {
            Ok((asked, body)) => self.by_seat(asked, body).await,
            Err(refused) => *refused,
        };
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, NO_PAGE);
        response
    }

    /// What the request is, and whether it is one that is answered at all.
    fn look(&self, request: Request<Body>) -> Result<(Asked, Body), Box<Response<Body>>> {
        let checked = if self.login.is_some() {
            guard::check_secure(request.uri(), request.headers())
        } else {
            guard::check(request.uri(), request.headers(), &[])
        };
        if let Err(refusal) = checked {
            return Err(Box::new(message(refusal.status, &refusal.message)));
        }
        let (mut parts, body) = request.into_parts();
        let taken = behalf::take(&mut parts.headers, &mut parts.extensions);
        let taken = taken.map_err(|error| message(StatusCode::BAD_REQUEST, &error.to_string()))?;
        let passed_on = taken || self.login.is_none() && Proxy::has_come_through(&parts.headers);
        let target = parts.uri.clone();
        let (room, path) = room(target.path());
        parts.uri = with_path(parts.uri, &path)?;
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        Ok((Asked { room, target, reads, passed_on, head: parts }, body))
    }

    /// Who answers it; waits a short while where nobody leads.
    async fn who(&self, asked: &Asked) -> By {
        let mut seats = self.seats.clone();
        let now = Instant::now();
        let waits = !asked.is_own() && !asked.asks_who_leads() && asked.room != Room::Link;
        loop {
            let (by, until) = match &*seats.borrow_and_update() {
                Seat::Leads(rooms) => {
                    match rooms.lease.as_ref().and_then(|lease| lease.lapsed(Instant::now())) {
                        None => return By::Reign(rooms.clone()),
                        // It is about to know it.
                        Some(since) => return By::Past(rooms.clone(), since),
                    }
                }
                Seat::Follows(leader) if !asked.passed_on => return By::Leader(leader.clone()),
                // Two masters that each take the other for the leader would pass it on for ever.
                Seat::Follows(leader) => {
                    (By::Nobody(format!("this master follows {}", leader.name)), now + LEADER_WITHIN)
                }
                Seat::Open { past: Some(past), .. } if asked.reads => {
                    (By::Past(past.rooms.clone(), past.since), past.since + LEADER_WITHIN)
                }
                Seat::Open { past: Some(past), why: _ } => {
                    (By::Past(past.rooms.clone(), past.since), now + LEADER_WITHIN)
                }
                Seat::Open { past: None, why } => (By::Nobody(why.clone()), now + LEADER_WITHIN),
            };
            if !waits {
                return by;
            }
            let changed = tokio::time::timeout_at(until.into(), seats.changed());
            if !matches!(changed.await, Ok(Ok(()))) {
                return by;
            }
        }
    }

    async fn by_seat(&self, asked: Asked, body: Body) -> Response<Body> {
        // Masters know each other by their certificates, whoever leads.
        if asked.room == Room::Copies {
            return match self.refused_at_once(&asked) {
                None => self.from(&self.copies, Request::from_parts(asked.head, body)).await,
                Some(refused) => refused.into_response(),
            };
        }
        match self.who(&asked).await {
            By::Reign(rooms) => {
                let (services, reads) = (asked.room == Room::Services, asked.reads);
                let mut response = self.in_reign(asked, body, &rooms).await;
                // It may have stood still while it was answered.
                let lapsed = rooms.lease.as_ref().and_then(|lease| lease.lapsed(Instant::now()));
                match (lapsed, &self.own.leader) {
                    (Some(since), _) if reads => mark_stale(&mut response, since),
                    (None, Some(leader)) if services => {
                        response.headers_mut().insert(X_MARATHON_LEADER, leader.clone());
                    }
                    _ => {}
                }
                response
            }
            By::Past(rooms, since) => self.in_past(asked, body, &rooms, since).await,
            By::Leader(leader) => self.at_leader(asked, body, &leader).await,
            By::Nobody(why) => self.by_nobody(asked, &why).await,
        }
    }

    /// This master leads.
    async fn in_reign(&self, asked: Asked, body: Body, rooms: &Rooms) -> Response<Body> {
        let Asked { room, target, head, .. } = asked;
        let mut request = Request::from_parts(head, body);
        // On the path that the room will see, and before anything of the body is read.
        let void = match &self.login {
            Some(clock) => match let_in(rooms, room, &mut request, clock).await {
                Ok(void) => void,
                Err(refused) => return *refused,
            },
            None => None,
        };
        let response = self.in_room(room, target.path(), request, rooms).await;
        match void {
            Some(void) => response.map(|body| no_longer_than(body, void)),
            None => response,
        }
    }

    /// This master led, and what it knew last may be told to those who read, marked with its age (reliability.md, P9).
    async fn in_past(&self, asked: Asked, body: Body, rooms: &Rooms, since: Instant) -> Response<Body> {
        if asked.room == Room::Link {
            return no_link(None, "this master leads no more");
        }
        if !asked.reads || asked.asks_for_events() {
            return no_leader("this master leads no more, and no other one is known to lead");
        }
        let (who_leads, is_own) = (asked.asks_who_leads(), asked.is_own());
        let Asked { room, target, head, .. } = asked;
        let mut request = Request::from_parts(head, body);
        if let Some(clock) = &self.login
            && let Err(refused) = let_in(rooms, room, &mut request, clock).await
        {
            return *refused;
        }
        if who_leads {
            return refuse(&ApiError::NoLeader);
        }
        if is_own {
            return self.of_itself(room, &request.into_parts().0, None).await;
        }
        let mut response = self.in_room(room, target.path(), request, rooms).await;
        response.headers_mut().remove(X_MARATHON_LEADER);
        mark_stale(&mut response, since);
        response
    }

    /// Another master leads.
    async fn at_leader(&self, asked: Asked, body: Body, leader: &Leader) -> Response<Body> {
        if asked.room == Room::Link {
            let url = format!("{}://{}", self.proxy.scheme, leader.name);
            return no_link(HeaderValue::from_str(&url).ok(), "this master does not lead");
        }
        let place = follow::Place { scheme: self.proxy.scheme, address: &leader.name };
        let way = follow::way(asked.target.path(), asked.target.query(), (asked.room, asked.path()), place);
        match way {
            // What is known by its sum is the same everywhere.
            Way::Pass if asked.room == Room::Artifacts && asked.reads => {
                if let Err(refused) = self.known_to(leader, &asked).await {
                    return *refused;
                }
                self.from(&self.artifacts, Request::from_parts(asked.head, body)).await
            }
            Way::Own if asked.reads => {
                if let Err(refused) = self.known_to(leader, &asked).await {
                    return *refused;
                }
                self.of_itself(asked.room, &asked.head, Some(leader)).await
            }
            Way::Moved(status, to) => match HeaderValue::from_str(&to) {
                Ok(to) => (status, [(LOCATION, to)]).into_response(),
                Err(_not_text) => no_leader("the leader's address is no address"),
            },
            // The leader would end the connection in the middle of it, and its answer be lost.
            Way::Pass
                if asked.room == Room::Services && body.size_hint().lower() > self.own.max_body as u64 =>
            {
                let most = self.own.max_body;
                let why = format!("The body is longer than {most} bytes.");
                message(StatusCode::PAYLOAD_TOO_LARGE, &why)
            }
            Way::Own | Way::Pass => {
                let target = asked.target.path_and_query().map_or("/", |target| target.as_str());
                self.proxy.pass(leader, target, Request::from_parts(asked.head, body)).await
            }
        }
    }

    /// No master is known to lead.
    async fn by_nobody(&self, asked: Asked, why: &str) -> Response<Body> {
        if asked.room == Room::Link {
            return no_link(None, why);
        }
        let own = asked.is_own();
        if !own && !asked.asks_who_leads() || !self.is_certainly_let_in(&asked) {
            return no_leader(why);
        }
        if own {
            return self.of_itself(asked.room, &asked.head, None).await;
        }
        refuse(&ApiError::NoLeader)
    }

    /// Whether the caller may read what is this master's own. Only the leader knows users: it is asked who that is.
    async fn known_to(&self, leader: &Leader, asked: &Asked) -> Result<(), Box<Response<Body>>> {
        if self.is_certainly_let_in(asked) {
            return Ok(());
        }
        // Agents are nobody there, yet may fetch: whether they are admitted, the leader knows.
        let place = if asked.room == Room::Artifacts { artifacts::ALL } else { WHO_AM_I };
        let mut ask = Request::new(Body::empty());
        *ask.method_mut() = if asked.room == Room::Artifacts { Method::HEAD } else { Method::GET };
        *ask.uri_mut() = Uri::from_static(place);
        for credential in asked.head.headers.get_all(AUTHORIZATION) {
            ask.headers_mut().append(AUTHORIZATION, credential.clone());
        }
        ask.extensions_mut().clone_from(&asked.head.extensions);
        let answer = self.proxy.pass(leader, place, ask).await;
        if answer.status().is_success() { Ok(()) } else { Err(Box::new(answer)) }
    }

    /// Whether that can be told without a record of users: of an open route, and of an operator's certificate.
    fn is_certainly_let_in(&self, asked: &Asked) -> bool {
        self.refused_at_once(asked).is_none()
    }

    /// Why not, then: as one of whom nothing is known but the certificate.
    fn refused_at_once(&self, asked: &Asked) -> Option<access::Refusal> {
        self.login.as_ref()?;
        let peer = asked.head.extensions.get::<Identity>();
        let shows_more = asked.head.headers.contains_key(AUTHORIZATION);
        let caller = match peer {
            Some(identity) if !shows_more => Caller::Peer { identity: identity.clone(), admitted: false },
            _ => Caller::Anyone,
        };
        access::authorize(&caller, &asked.head.method, asked.path()).err()
    }

    async fn from(&self, room: &Router, request: Request<Body>) -> Response<Body> {
        bounded(room.clone()).oneshot(request).await.into_response()
    }

    /// What a master says of itself that does not lead.
    async fn of_itself(&self, room: Room, head: &Parts, leader: Option<&Leader>) -> Response<Body> {
        match room {
            Room::This => self.this(false, leader.map(|leader| (leader.name.as_str(), leader.epoch.get()))),
            Room::Services => services::ping(&head.headers),
            Room::Metrics if figures::wants_json(&head.headers) => {
                Json(figures::json("", &self.figures(false))).into_response()
            }
            Room::Metrics | Room::Prometheus => prometheus("", &self.figures(false)),
            _ => {
                let Query(params) =
                    Query::<HashMap<String, String>>::try_from_uri(&head.uri).unwrap_or_default();
                let function = params.get("jsonp").map(String::as_str);
                let name = follow::mesos_name(head.uri.path()).unwrap_or_default();
                let up = self.own.since.elapsed();
                match master::standby(name, function, &self.own.version, up) {
                    Some(answer) => answer,
                    None => nothing(head.uri.clone()).await,
                }
            }
        }
    }

    fn this(&self, leads: bool, leader: Option<(&str, u64)>) -> Response<Body> {
        let own = &*self.own;
        Json(serde_json::json!({
            "address": own.address,
            "name": own.tls.as_ref().map(|tls| tls.own().name()),
            "version": own.version,
            "leads": leads,
            "leader": leader.map(|(address, _)| address),
            "epoch": leader.map(|(_, epoch)| epoch),
            "certificate_days": self.certificate_days(),
        }))
        .into_response()
    }

    fn certificate_days(&self) -> Option<u64> {
        self.own.tls.as_ref().map(|tls| tls.days_left(SystemTime::now()))
    }

    fn figures(&self, leads: bool) -> Vec<services::Figure> {
        figures::own(leads, self.certificate_days())
    }

    async fn in_room(
        &self,
        room: Room,
        asked: &str,
        request: Request<Body>,
        rooms: &Rooms,
    ) -> Response<Body> {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        match room {
            Room::Root | Room::Ui | Room::Metrics | Room::Prometheus | Room::This | Room::Watch if !reads => {
                let allow = [(ALLOW, "GET, HEAD")];
                (allow, message(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")).into_response()
            }
            Room::Root => (StatusCode::FOUND, [(LOCATION, ui(asked))]).into_response(),
            Room::Ui => UI.into_response(),
            Room::Artifacts => self.from(&self.artifacts, request).await,
            Room::Copies => self.from(&self.copies, request).await,
            Room::This => self.this(true, Some((&self.own.address, rooms.of_master.epoch()))),
            // A stream for life, with its own way to find out that the other end is gone.
            Room::Link => rooms.link.clone().oneshot(request).await.into_response(),
            Room::Services => bounded(rooms.services.clone()).oneshot(request).await.into_response(),
            Room::Metrics | Room::Prometheus => {
                let (text, mut figures) = (rooms.of_master.prometheus(), rooms.of_services.figures());
                figures.extend(self.figures(rooms.lease.is_some()));
                if room == Room::Metrics && figures::wants_json(request.headers()) {
                    return Json(figures::json(&text, &figures)).into_response();
                }
                prometheus(&text, &figures)
            }
            Room::Packages => {
                bounded(rooms.packages.clone().fallback(nothing)).oneshot(request).await.into_response()
            }
            Room::Secrets => {
                bounded(rooms.secrets.clone().fallback(nothing)).oneshot(request).await.into_response()
            }
            Room::Access => match &rooms.access {
                Some(access) => bounded(access.router()).oneshot(request).await.into_response(),
                None if dcos::asked_without_login(request.uri().path()) => {
                    self.from(&dcos::without_login(), request).await
                }
                None => nothing(request.uri().clone()).await,
            },
            Room::Dcos => self.from(&self.dcos, request).await,
            Room::Watch => self.from(&rooms.watch, request).await,
            Room::Master => {
                bounded(rooms.master.clone().fallback(nothing)).oneshot(request).await.into_response()
            }
        }
    }
}

/// Whether the caller may do this; who it is goes with the request from here on. An answer that takes long ends with what is
/// returned. An agent's stream has its own last word.
async fn let_in(
    rooms: &Rooms,
    room: Room,
    request: &mut Request<Body>,
    clock: &Clock,
) -> Result<Option<Void>, Box<Response<Body>>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let Some(access) = &rooms.access else { return Err(Box::new(no_leader("nobody knows users"))) };
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

/// Says that it may be otherwise since then, as HTTP has it (RFC 9111, §5.5) and as a number.
fn mark_stale(response: &mut Response<Body>, since: Instant) {
    let headers = response.headers_mut();
    headers.insert(WARNING, HeaderValue::from_static("110 clusterctl \"Response is Stale\""));
    headers.insert(STALE, HeaderValue::from(age(since, Instant::now())));
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

fn no_leader(why: &str) -> Response<Body> {
    let again = [(RETRY_AFTER, "1")];
    let text = format!("nobody leads at the moment ({why}); try again");
    (again, message(StatusCode::SERVICE_UNAVAILABLE, &text)).into_response()
}

/// An agent reads in the words of its protocol that it is not served here, and by whom it is.
fn no_link(leader: Option<HeaderValue>, why: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static("14"));
    if let Ok(words) = HeaderValue::from_str(&grpc_text(why)) {
        headers.insert("grpc-message", words);
    }
    if let Some(leader) = leader {
        headers.insert(api::link::LEADER, leader);
    }
    response
}

/// An agent reads why in the words of its protocol: permission denied, and the message.
fn refused_link(refusal: access::Refusal) -> Response<Body> {
    let words = grpc_text(&refusal.to_string());
    let mut response = refusal.into_response();
    response.headers_mut().insert("grpc-status", HeaderValue::from_static("7"));
    if let Ok(words) = HeaderValue::from_str(&words) {
        response.headers_mut().insert("grpc-message", words);
    }
    response
}

/// As gRPC writes messages into headers.
fn grpc_text(words: &str) -> String {
    let escaped = words.bytes().map(|byte| match byte {
        b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    escaped.collect()
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

fn with_path(uri: Uri, path: &str) -> Result<Uri, Box<Response<Body>>> {
    if uri.path() == path {
        return Ok(uri);
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let changed = format!("{path}{query}").parse::<Uri>();
    changed.map_err(|error| Box::new(message(StatusCode::BAD_REQUEST, &error.to_string())))
}

fn prometheus(master: &str, figures: &[services::Figure]) -> Response<Body> {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, kind)], figures::text(master, figures)).into_response()
}

fn refuse(error: &ApiError) -> Response<Body> {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(error.body())).into_response()
}

pub(crate) fn message(status: StatusCode, text: &str) -> Response<Body> {
    (status, Json(serde_json::json!({ "message": text }))).into_response()
}
