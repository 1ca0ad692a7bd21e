//! The stream of events (§10).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::marathon::{ApiError, Event, Subscription, TimedEvent};
use api::server::Hangup;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use super::Clock;

const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Gives each event to all who listen, and waits for nobody: a reader that is too far behind is cut off.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Shared>);

struct Shared {
    readers: Mutex<Readers>,
    /// How many streams may be open.
    most: usize,
    /// How many events a reader may be behind.
    behind: usize,
}

#[derive(Default)]
struct Readers {
    open: Vec<Open>,
    next: u64,
    /// Nothing more comes.
    closed: bool,
}

/// The near end of one stream.
struct Open {
    number: u64,
    subscription: Subscription,
    frames: mpsc::Sender<Bytes>,
    /// A reader that does not read would not see the end of the stream either.
    hangup: Option<Hangup>,
}

impl Open {
    /// False when the stream is over.
    fn give(&self, frame: &Bytes) -> bool {
        match self.frames.try_send(frame.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                tracing::info!(stream = self.number, "a reader of events is too slow and is cut off");
                self.hangup.iter().for_each(Hangup::ask);
                false
            }
        }
    }
}

/// Who wants a stream.
pub(crate) struct Listener<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) subscription: Subscription,
    pub(crate) remote: String,
    pub(crate) hangup: Option<Hangup>,
}

impl Hub {
    pub(crate) fn new(most: usize, behind: usize) -> Hub {
        Hub(Arc::new(Shared { readers: Mutex::default(), most, behind }))
    }

    /// Nothing is left half done under this lock, and nothing is waited for.
    fn readers(&self) -> MutexGuard<'_, Readers> {
        self.0.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many streams are open.
    pub(crate) fn count(&self) -> usize {
        self.readers().open.len()
    }

    /// Ends all streams, after what was published: their readers find the next leader.
    pub(crate) fn close(&self) {
        let mut readers = self.readers();
        readers.closed = true;
        readers.open.clear();
    }

    pub(crate) fn publish(&self, event: &TimedEvent) {
        let mut readers = self.readers();
        let mut frame = None;
        readers.open.retain(|open| {
            !open.subscription.wants(&event.event)
                || open.give(frame.get_or_insert_with(|| Bytes::from(event.frame())))
        });
    }

    /// Opens a stream for a reader who takes server-sent events.
    pub(crate) fn open(&self, listener: Listener<'_>, clock: Clock) -> Result<Response, ApiError> {
        let accept = listener.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        if !accept.into_iter().any(|value| value.to_ascii_lowercase().contains("text/event-stream")) {
            return Err(ApiError::MethodNotAllowed);
        }
        let (sender, frames) = mpsc::channel(self.0.behind);
        let number = self.enter(listener.subscription, sender, listener.hangup)?;
        let mut keep_alive = interval_at(tokio::time::Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let attached = Attached { hub: self.clone(), number, remote: listener.remote, clock };
        attached.say(|remote_address| Event::StreamAttached { remote_address });
        let reader = Reader { frames, keep_alive, _attached: attached };
        let frames = stream::unfold(reader, |mut reader| async move {
            let frame = reader.next().await?;
            Some((Ok::<Bytes, std::convert::Infallible>(frame), reader))
        });
        let mut response = Response::new(Body::from_stream(frames));
        let kind = header::HeaderValue::from_static("text/event-stream;charset=UTF-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(response)
    }

    fn enter(
        &self,
        subscription: Subscription,
        frames: mpsc::Sender<Bytes>,
        hangup: Option<Hangup>,
    ) -> Result<u64, ApiError> {
        let mut readers = self.readers();
        if readers.closed {
            return Err(ApiError::Unavailable("This master leads no more. Try again.".to_owned()));
        }
        if readers.open.len() >= self.0.most {
            let most = self.0.most;
            return Err(ApiError::Unavailable(format!(
                "{most} streams of events are open, which is the most. Close one, or try again later."
            )));
        }
        readers.next += 1;
        let number = readers.next;
        readers.open.push(Open { number, subscription, frames, hangup });
        Ok(number)
    }
}

/// The far end of one stream.
struct Reader {
    frames: mpsc::Receiver<Bytes>,
    keep_alive: Interval,
    _attached: Attached,
}

impl Reader {
    /// The next frame; nothing when the reader was too slow, or when there is nobody any more who publishes.
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            frame = self.frames.recv() => frame,
            _ = self.keep_alive.tick() => Some(Bytes::from_static(Subscription::KEEP_ALIVE.as_bytes())),
        }
    }
}

/// Says at its end that the reader went.
struct Attached {
    hub: Hub,
    number: u64,
    remote: String,
    clock: Clock,
}

impl Attached {
    fn say(&self, event: impl FnOnce(String) -> Event) {
        let event = event(self.remote.clone());
        self.hub.publish(&TimedEvent { event, timestamp: self.clock.now().wall });
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.hub.readers().open.retain(|open| open.number != self.number);
        self.say(|remote_address| Event::StreamDetached { remote_address });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::time::Instant;

    use super::*;

    fn listen(hub: &Hub, types: &[&str], hangup: Option<Hangup>) -> Result<Response, ApiError> {
        let headers = HeaderMap::from_iter([(header::ACCEPT, "text/event-stream".parse().unwrap())]);
        let subscription = Subscription::new(types.iter().copied());
        let listener = Listener { headers: &headers, subscription, remote: "127.0.0.9".to_owned(), hangup };
        hub.open(listener, Clock(Instant::now()))
    }

    fn happened(event: Event) -> TimedEvent {
        TimedEvent { event, timestamp: api::marathon::Timestamp::from_millis(0) }
    }

    fn gone(app: &str) -> TimedEvent {
        happened(Event::AppTerminated { app_id: app.parse().unwrap() })
    }

    async fn text(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn readers_get_what_they_named_and_the_schedulers_events_only_then() {
        let hub = Hub::new(10, 10);
        let registered =
            || happened(Event::SchedulerRegistered { framework_id: "F".into(), master: "m".into() });
        let all = listen(&hub, &[], None).unwrap();
        let named = listen(&hub, &["scheduler_registered_event"], None).unwrap();
        hub.publish(&registered());
        hub.publish(&gone("/web"));
        hub.close();
        let (all, named) = (text(all).await, text(named).await);
        assert!(all.contains("event: app_terminated_event\ndata: {\"appId\":\"/web\""), "{all}");
        assert!(all.contains("\"remoteAddress\":\"127.0.0.9\""), "{all}");
        assert!(!all.contains("scheduler_"), "{all}");
        assert_eq!(named.matches("event: ").count(), 1, "{named}");
        assert!(named.starts_with("event: scheduler_registered_event\n"), "{named}");
        assert!(matches!(listen(&hub, &[], None), Err(ApiError::Unavailable(_))), "it is closed");
    }

    #[tokio::test]
    async fn a_reader_that_is_too_far_behind_is_cut_off_and_the_others_are_not() {
        let hub = Hub::new(10, 4);
        let hangup = Hangup::default();
        let _slow = listen(&hub, &["app_terminated_event"], Some(hangup.clone())).unwrap();
        let mut quick = listen(&hub, &["app_terminated_event"], None).unwrap().into_body().into_data_stream();
        for _ in 0..5 {
            hub.publish(&gone("/web"));
            assert!(quick.next().await.is_some());
        }
        hangup.asked().await;
        assert_eq!(hub.count(), 1);
    }

    #[tokio::test]
    async fn a_reader_who_goes_makes_room_for_another() {
        let hub = Hub::new(1, 4);
        let first = listen(&hub, &[], None).unwrap();
        assert!(matches!(listen(&hub, &[], None), Err(ApiError::Unavailable(_))));
        drop(first);
        assert!(listen(&hub, &[], None).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_is_kept_open_with_blank_lines() {
        let hub = Hub::new(1, 4);
        let start = Instant::now();
        let mut stream = listen(&hub, &["none"], None).unwrap().into_body().into_data_stream();
        assert_eq!(stream.next().await.unwrap().unwrap(), "\n");
        assert_eq!(start.elapsed(), KEEP_ALIVE);
    }
}
