//! The agent's end of the link: dials a master, again and again.

use std::time::Duration;

use api::link::{LEADER, MAX_MESSAGE_BYTES, wire};
use hyper_util::rt::TokioIo;
use tls::Dialler;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Uri};
use wire::link_client::LinkClient;

use crate::shim::chain;

/// A connection that is not there by then does not come.
const CONNECT: Duration = Duration::from_secs(5);
/// A peer that answers no HTTP/2 ping for so long is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Until a master has said otherwise, silence is no longer than this.
const SILENCE: Duration = Duration::from_secs(30);
/// The bounds of the wait before the next dialling; the first ones are quick.
const WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// After the loss of a leader, where there are several masters, the first wait is up to 800 ms.
const LOST: u32 = 3;
/// No master's URL is longer.
const MAX_URL: usize = 300;
/// So many messages may wait to be sent; with more, the link is closed, and a new registration says it all.
const OUTBOX: usize = 4096;

/// Where to put messages. Dropping it closes the stream.
pub(super) struct Outbox {
    pub(super) messages: mpsc::Sender<wire::AgentMessage>,
    _open: oneshot::Sender<()>,
}

/// What the dialler says.
pub(super) enum Word {
    /// A stream is open: its number, and its outbox.
    Up(u64, Outbox),
    /// A message.
    Heard(u64, Box<wire::MasterMessage>),
    /// It is closed.
    Down(u64),
}

/// How long to wait before the next try: full jitter, which keeps many agents from coming all at once.
pub(super) fn wait_before(attempt: u32, random: u64) -> Duration {
    let most = WAIT.0.saturating_mul(1_u32 << attempt.min(16)).min(WAIT.1);
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random % most.saturating_add(1))
}

/// Why there is no stream.
enum Failure {
    /// It may be there the next time.
    Passing(String),
    /// A master does not want this agent, which somebody has to know.
    Unwanted(String),
    /// A master that does not lead names the one that does, by its URL.
    Elsewhere(String),
}

/// Who is dialled next, and when. Pure.
#[derive(Debug)]
struct Round {
    masters: usize,
    /// Of those that the agent was given.
    at: usize,
    /// How many times in a row no master admitted this agent.
    failures: u32,
    /// The one that was dialled last had been named by another.
    named: bool,
}

/// How a dialling ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The agent was admitted, and then lost its master.
    Lost,
    /// It was not.
    Failed,
    /// A master named another one.
    Named,
}

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The master that was named, at once.
    Named,
    /// One of the list, after a wait that grows with this number.
    Listed(usize, u32),
}

impl Round {
    fn new(masters: usize) -> Self {
        Self { masters, at: 0, failures: 0, named: false }
    }

    /// Masters may name each other while nobody leads, so that only one name in a row is followed without a wait, and none makes the
    /// wait shorter.
    fn after(&mut self, end: End) -> Next {
        if end == End::Named && !self.named {
            self.named = true;
            return Next::Named;
        }
        self.named = false;
        self.at = (self.at + 1) % self.masters.max(1);
        self.failures = match end {
            // There is no leader for a while: all agents of a large cluster have lost theirs in the same moment.
            End::Lost if self.masters > 1 => LOST,
            End::Lost => 0,
            End::Failed | End::Named => self.failures.saturating_add(1),
        };
        Next::Listed(self.at, self.failures)
    }
}

/// Dials the masters in turn for ever, over TLS with a `dialler`; ends when nobody listens.
pub(super) async fn run(masters: Vec<Endpoint>, dialler: Option<Dialler>, words: mpsc::Sender<Word>) {
    let Some(first) = masters.first() else { return };
    let mut number = 0;
    let mut round = Round::new(masters.len());
    let mut master = first.clone();
    loop {
        number += 1;
        let talked = talk(&master, dialler.as_ref(), number, &words).await;
        if words.is_closed() {
            return;
        }
        let mut leader = None;
        let end = match talked {
            Ok(true) => End::Lost,
            Ok(false) => End::Failed,
            Err(Failure::Passing(why)) => {
                tracing::debug!("master {}: {why}", at(&master));
                End::Failed
            }
            Err(Failure::Unwanted(why)) => {
                tracing::warn!("master {}: {why}; it is asked again", at(&master));
                End::Failed
            }
            Err(Failure::Elsewhere(url)) => {
                tracing::debug!("master {}: {url} leads", at(&master));
                leader = named(&url, dialler.is_some());
                if leader.is_some() { End::Named } else { End::Failed }
            }
        };
        match (round.after(end), leader) {
            (Next::Named, Some(leader)) => master = leader,
            (Next::Named, None) => {}
            (Next::Listed(at, attempt), _) => {
                master = masters.get(at).unwrap_or(first).clone();
                tokio::time::sleep(wait_before(attempt, random())).await;
            }
        }
    }
}

/// The master that another one named, if it can be dialled as the others are. Who it is shows in its certificate.
fn named(url: &str, secure: bool) -> Option<Endpoint> {
    let scheme = if secure { "https://" } else { "http://" };
    let good = url.len() <= MAX_URL && url.starts_with(scheme);
    good.then(|| endpoint(url).ok()).flatten()
}

pub(super) fn random() -> u64 {
    // Without randomness there is only less jitter.
    getrandom::u64().unwrap_or(0)
}

/// A master's address, as it is dialled.
///
/// # Errors
/// When it is none.
pub(super) fn endpoint(master: &str) -> Result<Endpoint, tonic::transport::Error> {
    let named = Endpoint::from_shared(master.to_owned())?;
    let origin = named.uri().clone();
    // The handshake is our dialler's. Whether the transport has one of its own, and insists on it for https, depends on what else is
    // built with it; so it is not told, and requests say where they go all the same.
    let dialled = match master.strip_prefix("https://") {
        Some(place) => Endpoint::from_shared(format!("http://{place}"))?,
        None => named,
    };
    Ok(dialled
        .origin(origin)
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}

/// Where a master is, for people.
fn at(master: &Endpoint) -> &str {
    master.uri().authority().map_or("", |place| place.as_str())
}

/// One stream, from its opening to its end; whether this agent was admitted.
async fn talk(
    master: &Endpoint,
    dialler: Option<&Dialler>,
    number: u64,
    words: &mpsc::Sender<Word>,
) -> Result<bool, Failure> {
    let channel: Channel = match dialler {
        None => master.connect().await.map_err(|e| Failure::Passing(chain(&e)))?,
        Some(dialler) => {
            let dialler = dialler.clone();
            let connector = tower::service_fn(move |uri: Uri| {
                let dialler = dialler.clone();
                async move { secure(&dialler, &uri).await.map(TokioIo::new) }
            });
            // What is wrong with a certificate stays wrong until somebody does something.
            master.connect_with_connector(connector).await.map_err(|e| match refused_by_tls(&e) {
                true => Failure::Unwanted(chain(&e)),
                false => Failure::Passing(chain(&e)),
            })?
        }
    };
    let mut client = LinkClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let (sender, messages) = mpsc::channel(OUTBOX);
    let (open, closed) = oneshot::channel();
    // The registration is there before the stream is opened: a master may answer nothing before it has read it.
    let _ = words.send(Word::Up(number, Outbox { messages: sender, _open: open })).await;
    let talked = converse(&mut client, messages, closed, number, words).await;
    let _ = words.send(Word::Down(number)).await;
    talked
}

/// A connection with a handshake, within its time.
async fn secure(
    dialler: &Dialler,
    uri: &Uri,
) -> std::io::Result<impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + use<>> {
    let host = uri.host().unwrap_or_default();
    let connecting = dialler.connect(host, uri.port_u16().unwrap_or(443));
    tokio::time::timeout(CONNECT, connecting).await.unwrap_or_else(|_elapsed| {
        let text = format!("no handshake within {} s", CONNECT.as_secs());
        Err(std::io::Error::new(std::io::ErrorKind::TimedOut, text))
    })
}

/// Whether the handshake failed for what one of both is, and not for the network.
fn refused_by_tls(error: &tonic::transport::Error) -> bool {
    let first: Option<&dyn std::error::Error> = Some(error);
    let mut causes = std::iter::successors(first, |error| error.source());
    causes.any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| io.kind() == std::io::ErrorKind::InvalidData)
    })
}

async fn converse(
    client: &mut LinkClient<Channel>,
    messages: mpsc::Receiver<wire::AgentMessage>,
    mut closed: oneshot::Receiver<()>,
    number: u64,
    words: &mpsc::Sender<Word>,
) -> Result<bool, Failure> {
    let opened = tokio::time::timeout(CONNECT, client.connect(ReceiverStream::new(messages))).await;
    let mut stream = match opened {
        Ok(Ok(answer)) => answer.into_inner(),
        Ok(Err(status)) if matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated) => {
            return Err(Failure::Unwanted(status.message().to_owned()));
        }
        Ok(Err(status)) => {
            let leader = status.metadata().get(LEADER).and_then(|url| url.to_str().ok());
            return Err(match leader.filter(|_| status.code() == Code::Unavailable) {
                Some(url) => Failure::Elsewhere(url.to_owned()),
                None => Failure::Passing(chain(&status)),
            });
        }
        Err(_) => return Err(Failure::Passing(format!("no answer within {} s", CONNECT.as_secs()))),
    };
    let mut silence = SILENCE;
    let mut admitted = false;
    loop {
        let next = tokio::select! {
            next = tokio::time::timeout(silence, stream.message()) => next,
            _ = &mut closed => return Ok(admitted),
        };
        let message = match next {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return Ok(admitted),
            Ok(Err(status)) => {
                tracing::debug!("master {}: {}", number, chain(&status));
                return Ok(admitted);
            }
            Err(_) => {
                tracing::warn!("the master is silent for {} s, it is dialled anew", silence.as_secs());
                return Ok(admitted);
            }
        };
        if let Some(wire::master_message::Body::Registered(registered)) = &message.body {
            admitted = true;
            if registered.silence_ms > 0 {
                silence = Duration::from_millis(registered.silence_ms);
            }
        }
        if words.send(Word::Heard(number, Box::new(message))).await.is_err() {
            return Ok(admitted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_a_tenth_of_a_second_to_five() {
        let most: Vec<u128> =
            (0..9).map(|n| (0..20_000).map(|r| wait_before(n, r).as_millis()).max().unwrap()).collect();
        assert_eq!(most, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
        assert_eq!(wait_before(0, 0), Duration::ZERO);
        assert_eq!(wait_before(u32::MAX, 5000), Duration::from_secs(5));
    }

    #[test]
    fn a_named_leader_is_dialled_at_once_and_names_do_not_shorten_the_wait() {
        let mut round = Round::new(3);
        let mut after = |end| round.after(end);
        assert_eq!(after(End::Failed), Next::Listed(1, 1));
        assert_eq!(after(End::Named), Next::Named);
        // It names another one, in a circle perhaps.
        assert_eq!(after(End::Named), Next::Listed(2, 2));
        assert_eq!(after(End::Named), Next::Named);
        assert_eq!(after(End::Failed), Next::Listed(0, 3));
        assert_eq!(after(End::Named), Next::Named);
        // Admitted, and lost.
        assert_eq!(after(End::Lost), Next::Listed(1, LOST));
        assert_eq!(after(End::Failed), Next::Listed(2, LOST + 1));
        assert_eq!(Round::new(1).after(End::Lost), Next::Listed(0, 0));
    }

    #[test]
    fn masters_that_name_each_other_for_ever_are_dialled_as_seldom_as_ones_that_are_gone() {
        let mut round = Round::new(2);
        let nexts: Vec<Next> = (0..100).map(|_| round.after(End::Named)).collect();
        let waits: Vec<u32> = nexts
            .iter()
            .filter_map(|next| match next {
                Next::Named => None,
                Next::Listed(_, attempt) => Some(*attempt),
            })
            .collect();
        assert_eq!(waits, (1..=50).collect::<Vec<_>>());
        assert_eq!(wait_before(50, 5000), WAIT.1);
    }

    #[test]
    fn only_a_name_that_can_be_dialled_in_the_same_way_is_followed() {
        assert!(named("https://m2:5050", true).is_some());
        assert!(named("http://127.0.0.1:5050", false).is_some());
        for (url, secure) in [
            ("http://m2:5050", true),
            ("https://m2:5050", false),
            ("m2:5050", true),
            ("https://", true),
            ("", false),
        ] {
            assert!(named(url, secure).is_none(), "{url}");
        }
        assert!(named(&format!("https://{}", "m".repeat(MAX_URL)), true).is_none());
    }
}
