//! The dashboard's stream (`api::watch`): what agents, services, tasks and deployments are, and what changes of them.
//!
//! ```text
//!  master's views ───┐                         room in the channel?
//!                    ├─▶ Views ─▶ difference ─▶ frames ─▶ channel ─▶ body
//!  services' views ──┘      what this reader was told last
//! ```
//!
//! Each reader has a task of its own, which compares only when its reader has taken what went before: a slow one is told less often,
//! and nothing piles up for it.

mod difference;
mod rows;

use std::sync::Arc;
use std::time::Duration;

use access::{Caller, Clock, Right};
use api::server::Hangup;
use api::watch::{Frame, Hello};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::get;
use futures_util::stream;
use master::Master;
use services::Services;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::door::message;
use crate::options::Options;
use difference::{Views, frames};
use rows::millis;

/// Where it is.
pub(crate) const PATH: &str = "/clusterctl/v1/watch";
/// From one look at what changed to the next.
const PAUSE: Duration = Duration::from_millis(250);
/// A sign of life comes so often.
const ALIVE: Duration = Duration::from_secs(5);
/// Frames on their way to the body.
const AHEAD: usize = 2;
/// A reader that takes nothing for so long is cut off.
const STUCK: Duration = Duration::from_secs(60);

/// The streams of one reign. Clones are the same.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Inner>);

struct Inner {
    master: Master,
    services: Services,
    /// As every stream says it.
    hello: Hello,
    /// Nobody has to say who it is.
    anybody: bool,
    clock: Clock,
    places: Arc<Semaphore>,
    most: usize,
}

impl Watch {
    /// As many streams may be open as of events.
    pub(crate) fn new(master: Master, services: Services, options: &Options) -> Self {
        let most = options.services.max_event_streams;
        let leader = options.tls.as_ref().map_or(options.advertised.as_str(), |tls| tls.own().name());
        let hello = Hello {
            cluster: options.master.cluster.clone(),
            version: options.master.version.clone(),
            leader: leader.to_owned(),
            epoch: master.epoch(),
            user: None,
            operates: false,
        };
        Self(Arc::new(Inner {
            master,
            services,
            hello,
            anybody: options.tls.is_none(),
            clock: options.clock.clone(),
            places: Arc::new(Semaphore::new(most)),
            most,
        }))
    }

    pub(crate) fn router(&self) -> Router {
        Router::new().route("/clusterctl/v1/watch", get(open)).with_state(self.clone())
    }
}

async fn open(State(Watch(watch)): State<Watch>, request: Request) -> Response<Body> {
    let Ok(place) = Arc::clone(&watch.places).try_acquire_owned() else {
        let most = watch.most;
        let why = format!("{most} dashboards are watching, which is the most; close one, or try again later");
        let again = [(RETRY_AFTER, "1")];
        return (again, message(StatusCode::SERVICE_UNAVAILABLE, &why)).into_response();
    };
    let caller = request.extensions().get::<Caller>();
    let hello = Hello {
        user: caller.and_then(name),
        operates: caller.map_or(watch.anybody, |caller| caller.may(Right::Operate)),
        ..watch.hello.clone()
    };
    let (sender, receiver) = mpsc::channel(AHEAD);
    let reader = Reader {
        frames: sender,
        hangup: request.extensions().get::<Hangup>().cloned(),
        master: watch.master.views(),
        services: watch.services.watch(),
        clock: watch.clock.clone(),
        _place: Some(place),
    };
    // It ends with its reader, or with the reign.
    tokio::spawn(reader.run(hello));
    let pieces = stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(piece), receiver))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let kind = HeaderValue::from_static("text/event-stream;charset=UTF-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// A user's name, or that of a certificate.
fn name(caller: &Caller) -> Option<String> {
    match caller {
        Caller::Anyone => None,
        Caller::User { name, .. } => Some(name.to_string()),
        Caller::Peer { identity, .. } => Some(identity.name().to_owned()),
    }
}

/// One who reads.
struct Reader {
    frames: mpsc::Sender<Bytes>,
    hangup: Option<Hangup>,
    master: watch::Receiver<Arc<master::view::View>>,
    services: watch::Receiver<Arc<services::View>>,
    clock: Clock,
    _place: Option<OwnedSemaphorePermit>,
}

impl Reader {
    /// Until nobody reads or nobody leads any more; that is nothing, so that a question mark ends it.
    async fn run(mut self, hello: Hello) -> Option<()> {
        self.say(&Frame::Hello(hello)).await?;
        let mut shown: Option<Views> = None;
        let mut ready = Instant::now();
        loop {
            // What is looked at is what is so when there is room for it.
            drop(self.room().await?);
            let begun = Instant::now();
            let now = Views {
                master: self.master.borrow_and_update().clone(),
                services: self.services.borrow_and_update().clone(),
            };
            let said = self.tell(shown.as_ref(), &now).await?;
            if said || shown.is_none() || ready.elapsed() >= ALIVE {
                self.say(&Frame::Ready { now: millis(self.clock.now()) }).await?;
                ready = Instant::now();
            }
            shown = Some(now);
            tokio::select! {
                () = sleep_until(begun + PAUSE) => {}
                () = self.frames.closed() => return None,
            }
            tokio::select! {
                changed = self.master.changed() => changed.ok()?,
                changed = self.services.changed() => changed.ok()?,
                () = sleep_until(ready + ALIVE) => {}
                () = self.frames.closed() => return None,
            }
        }
    }

    /// All that a reader who knows `shown` lacks; whether that was anything.
    async fn tell(&self, shown: Option<&Views>, now: &Views) -> Option<bool> {
        let (mut missing, mut said) = (frames(shown, now), false);
        loop {
            let room = self.room().await?;
            // Who was slow is not told at length what the last reign knew.
            if self.master.has_changed().is_err() || self.services.has_changed().is_err() {
                return None;
            }
            let Some(frame) = missing.next() else { return Some(said) };
            room.send(event(&frame)?);
            said = true;
        }
    }

    async fn say(&self, frame: &Frame) -> Option<()> {
        self.room().await?.send(event(frame)?);
        Some(())
    }

    async fn room(&self) -> Option<mpsc::Permit<'_, Bytes>> {
        match timeout(STUCK, self.frames.reserve()).await {
            Ok(room) => room.ok(),
            Err(_elapsed) => {
                tracing::info!("a dashboard reads nothing, and is cut off");
                self.hangup.iter().for_each(Hangup::ask);
                None
            }
        }
    }
}

fn event(frame: &Frame) -> Option<Bytes> {
    let data = serde_json::to_string(frame).ok()?;
    Some(Bytes::from(format!("event: {}\ndata: {data}\n\n", frame.name())))
}

#[cfg(test)]
mod tests;
