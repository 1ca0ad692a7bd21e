//! The stream of events (§10).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::marathon::{ApiError, Event, Subscription, TimedEvent};
use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use super::Clock;

/// A reader that is further behind is cut off: several times what a full turn of the loop says at once. All readers share
/// what waits.
const BEHIND: usize = 16_384;
/// Events that wait are sent together up to about so many bytes.
const TOGETHER: usize = 64 << 10;
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// An event, and as it is sent once someone wants it: who publishes does not write it down for readers of other events.
struct Said {
    event: TimedEvent,
    frame: OnceLock<Bytes>,
}

impl Said {
    fn frame(&self) -> Bytes {
        self.frame.get_or_init(|| Bytes::from(self.event.frame())).clone()
    }
}

/// Gives each event to all who listen.
#[derive(Clone)]
pub(crate) struct Hub {
    sender: broadcast::Sender<Arc<Said>>,
    open: Arc<AtomicUsize>,
    most: usize,
    /// Nothing more comes.
    closed: Arc<watch::Sender<bool>>,
}

impl Hub {
    pub(crate) fn new(most: usize) -> Hub {
        Hub {
            sender: broadcast::channel(BEHIND).0,
            open: Arc::default(),
            most,
            closed: Arc::new(watch::channel(false).0),
        }
    }

    /// Ends all streams: their readers find the next leader.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    pub(crate) fn publish(&self, event: TimedEvent) {
        if self.sender.receiver_count() > 0 {
            let _nobody_left = self.sender.send(Arc::new(Said { event, frame: OnceLock::new() }));
        }
    }

    /// Opens a stream for a reader who takes server-sent events.
    pub(crate) fn open(
        &self,
        headers: &HeaderMap,
        subscription: Subscription,
        remote: String,
        clock: Clock,
    ) -> Result<Response, ApiError> {
        let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        if !accept.into_iter().any(|value| value.to_ascii_lowercase().contains("text/event-stream")) {
            return Err(ApiError::MethodNotAllowed);
        }
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(ApiError::Unavailable(format!(
                "{} streams of events are open, which is the most.",
                self.most
            )));
        }
        let mut keep_alive = interval_at(tokio::time::Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let events = self.sender.subscribe();
        let closed = self.closed.subscribe();
        let attached = Attached { hub: self.clone(), remote, clock };
        let reader = Reader { events, subscription, keep_alive, closed, attached };
        reader.attached.say(|remote_address| Event::StreamAttached { remote_address });
        let frames = stream::unfold(reader, |mut reader| async move {
            let frame = reader.next().await?;
            Some((Ok::<Bytes, std::convert::Infallible>(frame), reader))
        });
        let mut response = Response::new(Body::from_stream(frames));
        let kind = header::HeaderValue::from_static("text/event-stream;charset=UTF-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(response)
    }
}

struct Reader {
    events: broadcast::Receiver<Arc<Said>>,
    subscription: Subscription,
    keep_alive: Interval,
    closed: watch::Receiver<bool>,
    attached: Attached,
}

impl Reader {
    /// The next frames; nothing when the reader was too slow, or when there is nobody any more who publishes.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.there() {
                Ok(Some(frames)) => return Some(frames),
                Ok(None) => {}
                Err(Behind) => return None,
            }
            tokio::select! {
                event = self.events.recv() => match event {
                    Ok(said) if self.subscription.wants(&said.event.event) => return Some(said.frame()),
                    Ok(_) => {}
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
                },
                _ = self.closed.wait_for(|closed| *closed) => return None,
                _ = self.keep_alive.tick() => return Some(Bytes::from_static(Subscription::KEEP_ALIVE.as_bytes())),
            }
        }
    }

    /// All that is there already and wanted, up to a limit: who takes events one by one falls behind in a burst.
    fn there(&mut self) -> Result<Option<Bytes>, Behind> {
        let mut frames: Vec<u8> = Vec::new();
        while frames.len() < TOGETHER {
            match self.events.try_recv() {
                Ok(said) if self.subscription.wants(&said.event.event) => frames.extend(said.frame()),
                Ok(_) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                Err(TryRecvError::Lagged(_)) => return Err(Behind),
            }
        }
        Ok((!frames.is_empty()).then(|| frames.into()))
    }
}

/// More was said than the reader may be behind.
struct Behind;

/// Says at its end that the reader went.
struct Attached {
    hub: Hub,
    remote: String,
    clock: Clock,
}

impl Attached {
    fn say(&self, event: impl FnOnce(String) -> Event) {
        let event = event(self.remote.clone());
        self.hub.publish(TimedEvent { event, timestamp: self.clock.now().wall });
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.hub.open.fetch_sub(1, Ordering::Relaxed);
        self.say(|remote_address| Event::StreamDetached { remote_address });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use tokio::time::Instant;

    use super::*;

    fn said(number: u32, wanted: bool) -> TimedEvent {
        let id = api::marathon::Uuid::from_bits(u128::from(number));
        let event = if wanted {
            Event::AppTerminated { app_id: format!("/app-{number}").parse().unwrap() }
        } else {
            Event::UnknownInstanceTerminated {
                instance_id: api::marathon::InstanceId { app: "/other".parse().unwrap(), uuid: id },
                run_spec_id: "/other".parse().unwrap(),
                condition: api::marathon::Condition::Gone,
            }
        };
        TimedEvent { event, timestamp: api::marathon::Timestamp::from_millis(0) }
    }

    #[tokio::test]
    async fn a_reader_that_reads_misses_nothing_of_a_burst_and_one_that_does_not_is_cut_off() {
        let hub = Hub::new(2);
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("text/event-stream"));
        let open = || {
            let wanted = Subscription::new(["app_terminated_event"]);
            let clock = Clock(Instant::now());
            hub.open(&headers, wanted, "1.2.3.4".to_owned(), clock).unwrap().into_body().into_data_stream()
        };
        let (mut reads, mut sleeps) = (open(), open());
        let mut heard = String::new();
        for burst in 0..20 {
            for number in 0..1_000 {
                hub.publish(said(burst * 1_000 + number, number % 10 == 0));
            }
            while heard.matches("data:").count() < (burst as usize + 1) * 100 {
                heard.push_str(std::str::from_utf8(&reads.next().await.unwrap().unwrap()).unwrap());
            }
        }
        assert!(heard.contains("/app-19990\"") && !heard.contains("/other"));
        assert!(sleeps.next().await.is_none(), "twenty thousand events lay there for it");
    }
}
