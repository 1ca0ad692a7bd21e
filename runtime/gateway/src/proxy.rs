//! Passing a request on to the leader, and its answer back: both bodies as they come, with a time for every wait, and as the
//! one who sent it. Over TLS the leader is known by the role in its certificate, and shown this master's own.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, ORIGIN, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use futures_util::{StreamExt as _, stream};
use identity::PeerRole;
use store::Leader;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tower_http::timeout::TimeoutBody;

use crate::behalf;
use crate::door::message;
use crate::options::{GatewayError, Options};
use crate::reign::Rooms;
use crate::seat::Seat;

/// A leader whose host is gone is not waited for longer; its port is on this network.
const CONNECT: Duration = Duration::from_secs(2);
/// From the last piece of a request to the head of its answer: longer than the leader itself takes for any.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);
/// The same for an upload that the leader passes on to other masters before it answers.
const KEPT_WITHIN: Duration = Duration::from_secs(900);
/// Between two pieces of an answer: streams of events say something every ten seconds.
const PIECE_WITHIN: Duration = Duration::from_secs(60);
/// A body of which nothing comes for so long is given up, as at the leader.
const BODY_IDLE: Duration = Duration::from_secs(30);
/// A connection that was not used for so long is not used again: the leader ends it after half a minute.
const IDLE: Duration = Duration::from_secs(15);
/// So many requests are passed on at once. Each takes a connection of its own.
const AT_ONCE: usize = 4096;
/// Which masters a request has come through, as Marathon writes it.
const VIA: HeaderName = HeaderName::from_static("x-marathon-via");

/// What is about one connection, and not about what is sent over it.
const HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The way to the leader. Clones are the same.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) http: reqwest::Client,
    pub(crate) scheme: &'static str,
    own: String,
    seats: watch::Receiver<Seat<Rooms>>,
    places: Arc<Semaphore>,
}

/// Why no answer came from the leader.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// It took no connection: nothing was sent.
    NotReached(String),
    /// It was given something, and said nothing for so long.
    Late(Duration),
    /// It leads no more, as this master knows meanwhile.
    Deposed,
    /// The connection broke.
    Broken(String),
}

/// Why an answer broke off.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("the leader has sent nothing for {} s", PIECE_WITHIN.as_secs())]
    Silent,
    #[error("the master that answered leads no more")]
    Deposed,
}

impl Proxy {
    pub(crate) fn new(options: &Options, seats: watch::Receiver<Seat<Rooms>>) -> Result<Self, GatewayError> {
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .tcp_keepalive(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy();
        // HTTP/1 alone: the leader may end one connection for a reader that does not read, and has a limit of streams on each.
        let builder = match &options.tls {
            Some(tls) => {
                let dialler = tls.dialler(PeerRole::Master, &["http/1.1"])?;
                builder.tls_backend_preconfigured(dialler.config()).https_only(true)
            }
            None => builder.tls_certs_only([]),
        };
        let http = builder.http1_only().build().map_err(GatewayError::Proxy)?;
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let own = options.advertised.clone();
        Ok(Self { http, scheme, own, seats, places: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    /// Whether the request has come through another master, where none has a certificate.
    pub(crate) fn has_come_through(headers: &HeaderMap) -> bool {
        headers.contains_key(VIA)
    }

    /// What the leader answers to this request.
    pub(crate) async fn pass(&self, leader: &Leader, target: &str, request: Request<Body>) -> Response<Body> {
        let to = format!("{}://{}", self.scheme, leader.name);
        if request.headers().contains_key(UPGRADE) {
            let why = format!(
                "this master does not lead, and passes no connection on: ask the leader, {to}, for an upgrade"
            );
            return message(StatusCode::NOT_IMPLEMENTED, &why);
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let why =
                format!("{AT_ONCE} requests are passed on already, which is the most; ask the leader, {to}");
            return again(message(StatusCode::SERVICE_UNAVAILABLE, &why));
        };
        let Some(url) = url(&to, target) else {
            let why = "the path is not in its normal form: write it without '.' and '..'";
            return message(StatusCode::BAD_REQUEST, why);
        };
        let (parts, body) = request.into_parts();
        let method = parts.method.clone();
        let is_upload = method == Method::PUT && target.starts_with(crate::artifacts::PREFIX);
        let within = if is_upload { KEPT_WITHIN } else { ANSWER_WITHIN };
        let (request, progress) = self.request(url, parts, body);
        let fault = tokio::select! {
            answer = request.send() => match answer {
                Ok(answer) => return self.answer(leader, answer, place),
                Err(error) => fault(&error),
            },
            () = silent(progress, within) => Fault::Late(within),
            () = self.deposed(leader.clone()) => Fault::Deposed,
        };
        refuse(&method, &to, &fault)
    }

    fn request(
        &self,
        url: reqwest::Url,
        parts: Parts,
        body: Body,
    ) -> (reqwest::RequestBuilder, watch::Receiver<Instant>) {
        let mut headers = parts.headers;
        off_hop(&mut headers);
        // Was looked at here, with the name that this master was asked by.
        for name in [HOST, ORIGIN, EXPECT, CONTENT_LENGTH] {
            headers.remove(name);
        }
        behalf::say(&mut headers, &parts.extensions);
        self.sign(&mut headers);
        let (sender, progress) = watch::channel(Instant::now());
        let mut request = self.http.request(parts.method, url);
        if !body.is_end_stream() {
            // How the body ended up here says how long it is, and not a header beside it.
            if let Some(length) = body.size_hint().exact() {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            let body = Body::new(TimeoutBody::new(BODY_IDLE, body)).into_data_stream();
            let body = body.inspect(move |_piece| {
                sender.send_replace(Instant::now());
            });
            request = request.body(reqwest::Body::wrap_stream(body));
        }
        (request.headers(headers), progress)
    }

    fn sign(&self, headers: &mut HeaderMap) {
        if let Ok(own) = HeaderValue::from_str(&format!("1.1 {}", self.own)) {
            headers.append(VIA, own);
        }
    }

    fn answer(
        &self,
        leader: &Leader,
        answer: reqwest::Response,
        place: tokio::sync::OwnedSemaphorePermit,
    ) -> Response<Body> {
        let status = answer.status();
        let mut headers = answer.headers().clone();
        off_hop(&mut headers);
        self.sign(&mut headers);
        let pieces = Box::pin(answer.bytes_stream());
        let deposed = Box::pin(self.deposed(leader.clone()));
        let pieces = stream::unfold(Some((pieces, deposed, place)), |state| async move {
            let (mut pieces, mut deposed, place) = state?;
            let piece = tokio::select! {
                piece = tokio::time::timeout(PIECE_WITHIN, pieces.next()) => piece,
                () = &mut deposed => return Some((Err(axum::Error::new(Cut::Deposed)), None)),
            };
            match piece {
                Ok(Some(Ok(piece))) => Some((Ok(piece), Some((pieces, deposed, place)))),
                Ok(Some(Err(error))) => Some((Err(axum::Error::new(error)), None)),
                Ok(None) => None,
                Err(_elapsed) => Some((Err(axum::Error::new(Cut::Silent)), None)),
            }
        });
        let mut response = Response::new(Body::from_stream(pieces));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    /// Until this master knows that this leader leads no more.
    fn deposed(&self, leader: Leader) -> impl Future<Output = ()> + Send + use<> {
        let mut seats = self.seats.clone();
        async move {
            let other = |seat: &Seat<Rooms>| !matches!(seat, Seat::Follows(known) if *known == leader);
            if seats.wait_for(other).await.is_err() {
                // This master is ending; what is under way has its own time.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The whole address, if the path stays as it was sent.
fn url(to: &str, target: &str) -> Option<reqwest::Url> {
    let url = reqwest::Url::parse(&format!("{to}{target}")).ok()?;
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    (url.path() == path).then_some(url)
}

/// Takes off what is about one connection: the known ones, and those that `Connection` names.
fn off_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.into_iter().chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Until nothing was sent for so long.
async fn silent(mut progress: watch::Receiver<Instant>, within: Duration) {
    loop {
        let until = *progress.borrow_and_update() + within;
        tokio::select! {
            () = tokio::time::sleep_until(until) => return,
            changed = progress.changed() => if changed.is_err() {
                // All was sent.
                let until = *progress.borrow() + within;
                return tokio::time::sleep_until(until).await;
            },
        }
    }
}

fn fault(error: &reqwest::Error) -> Fault {
    let why = crate::reign::chain(error);
    if error.is_connect() { Fault::NotReached(why) } else { Fault::Broken(why) }
}

/// What the client is told: that nothing happened, or that it is not known.
fn refuse(method: &Method, leader: &str, fault: &Fault) -> Response<Body> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let unsure = if reads { "" } else { "; whether it was done is not known: look before you try again" };
    let (status, why) = match fault {
        Fault::NotReached(why) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the leader, {leader}, is not reached: {why}; try again"),
        ),
        Fault::Deposed if reads => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{leader} leads no more; try again"))
        }
        Fault::Deposed => (StatusCode::BAD_GATEWAY, format!("{leader} leads no more{unsure}")),
        Fault::Late(within) => {
            let seconds = within.as_secs();
            let why = format!("the leader, {leader}, did not answer within {seconds} s{unsure}");
            (StatusCode::GATEWAY_TIMEOUT, why)
        }
        Fault::Broken(why) => {
            (StatusCode::BAD_GATEWAY, format!("the connection to the leader, {leader}, broke: {why}{unsure}"))
        }
    };
    let response = message(status, &why);
    if status == StatusCode::SERVICE_UNAVAILABLE { again(response) } else { response }
}

fn again(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(axum::http::header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
