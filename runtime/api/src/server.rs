//! What stands before every HTTP interface, the masters' and the agents': connections on one port, HTTP/1 and HTTP/2, in the
//! clear on loopback or over TLS, with a limit for everything that a peer can make us wait for or keep; and [`guard`], which
//! keeps web pages out.

pub mod guard;
mod places;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tls::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use places::{Entrance, Places};

/// From a connection to its first request, from the first byte of a request to the end of its headers, and of an idle connection.
const HEADERS_WITHIN: Duration = Duration::from_secs(30);
/// Of one HTTP/1 connection's headers.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// After the end was asked for, answers that are under way have so long.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// After an accept that failed, as for want of file descriptors.
const AFTER_A_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// Ends a connection from within an answer, for a peer that does not take what it is sent. An extension of every request.
#[derive(Clone, Debug, Default)]
pub struct Hangup(Arc<Notify>);

impl Hangup {
    /// The connection shall end, whatever is under way on it.
    pub fn ask(&self) {
        self.0.notify_one();
    }

    /// Waits until that was asked for.
    pub async fn asked(&self) {
        self.0.notified().await;
    }
}

/// How connections begin.
#[derive(Clone, Debug)]
pub enum Entry {
    /// In the clear. For loopback alone, see [`Entry::allows`].
    Plain,
    /// With a handshake. Whoever shows a good certificate has his identity among the extensions of his requests.
    Tls(Acceptor),
}

impl Entry {
    /// Whether one may listen there: beyond loopback nothing is spoken in the clear.
    #[must_use]
    pub fn allows(&self, address: SocketAddr) -> bool {
        matches!(self, Self::Tls(_)) || address.ip().is_loopback()
    }
}

/// Answers requests on at most so many connections until `stop` says true or its sender is
/// gone; then answers what is under way, and ends. Every request carries its peer's address
/// (`ConnectInfo<SocketAddr>`), its connection's [`Hangup`], and the `identity::Identity` of a peer that showed one.
///
/// In the clear, more connections wait in the kernel's queue. Over TLS, nobody waits behind strangers: those who are not through
/// with their handshakes have places of their own, and when there are too many the oldest has to go; and those without
/// a certificate have no more than half of all places.
pub async fn serve<F, A>(
    listener: TcpListener,
    entry: Entry,
    most: usize,
    mut stop: watch::Receiver<bool>,
    answer: F,
) where
    F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let places = Places::new(&entry, most);
    let mut entrance = Entrance::new(most);
    let mut connections = JoinSet::new();
    let builder = builder();
    loop {
        let place = match &entry {
            Entry::Plain => tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                place = places.take(false) => place,
            },
            Entry::Tls(_) => None,
        };
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            // Takes ended connections off the list.
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(AFTER_A_FAILED_ACCEPT).await;
                continue;
            }
        };
        // A connection without it works, only later.
        let _ = stream.set_nodelay(true);
        let (entry, builder, answer, mut stop) =
            (entry.clone(), builder.clone(), answer.clone(), stop.clone());
        let (mut waiting, places) = (entrance.enter(), places.clone());
        connections.spawn(async move {
            match entry {
                Entry::Plain => {
                    drop(waiting);
                    converse(stream, peer, None, &builder, answer, stop).await;
                }
                Entry::Tls(acceptor) => {
                    let entering = async {
                        let (stream, identity) = enter(&acceptor, stream, peer).await?;
                        let place = tokio::time::timeout(HEADERS_WITHIN, places.take(identity.is_some()));
                        Some((stream, identity, place.await.ok()?))
                    };
                    // Nobody who is only shaking hands is waited for at the end.
                    let entered = tokio::select! {
                        entered = entering => entered,
                        () = waiting.too_long() => None,
                        _ = stop.wait_for(|stop| *stop) => None,
                    };
                    drop(waiting);
                    if let Some((stream, identity, _place)) = entered {
                        converse(stream, peer, identity, &builder, answer, stop).await;
                    }
                }
            }
            drop(place);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(MAX_HEADER_BYTES)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(256);
    builder
}

/// The handshake. One that fails is the other end's affair; it is told to those who look for it.
async fn enter(
    acceptor: &Acceptor,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<(impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Option<identity::Identity>)> {
    match acceptor.accept(stream).await {
        Ok(accepted) => Some((accepted.stream, accepted.peer)),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            tracing::info!(%peer, "not let in: {error}{}", cause.unwrap_or_default());
            None
        }
    }
}

/// One connection, to its end.
async fn converse<S, F, A>(
    stream: S,
    peer: SocketAddr,
    identity: Option<identity::Identity>,
    builder: &Builder<TokioExecutor>,
    answer: F,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let hangup = Hangup::default();
    let within = hangup.clone();
    // HTTP has no clock for a connection on which nothing was ever asked.
    let asked = Arc::new(Notify::new());
    let asking = Arc::clone(&asked);
    let service = service_fn(move |mut request: Request<hyper::body::Incoming>| {
        asking.notify_one();
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(within.clone());
        if let Some(identity) = &identity {
            request.extensions_mut().insert(identity.clone());
        }
        // In a box, which goes with the answer: the stream that an agent is spoken to on stays for weeks, and would keep the room.
        let answering = Box::pin(answer(request.map(Body::new)));
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = stop.wait_for(|stop| *stop) => None,
        // Dropped with all that it has not sent.
        () = hangup.asked() => Some(Ok(())),
        () = silent(&asked) => Some(Ok(())),
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_ANSWERS, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection");
    }
}

/// Ends when nothing was asked in time.
async fn silent(asked: &Notify) {
    if tokio::time::timeout(HEADERS_WITHIN, asked.notified()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn served() -> (TcpStream, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let answer = |request: Request<Body>| async move {
            Response::new(Body::from(request.uri().path().to_owned()))
        };
        (stream, stop, tokio::spawn(serve(listener, Entry::Plain, 8, stopped, answer)))
    }

    // In these tests time stands still, and leaps to the next deadline when everyone waits.

    #[tokio::test(start_paused = true)]
    async fn one_who_does_not_finish_a_request_is_not_waited_for() {
        let (mut stream, _stop, _serving) = served().await;
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: loc").await.unwrap();
        let mut rest = Vec::new();
        // The end of the connection, with or without a word.
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!String::from_utf8_lossy(&rest).contains("/slow"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_asks_for_nothing_is_not_waited_for_whatever_he_speaks() {
        // Nothing; part of what both versions of HTTP begin with; and HTTP/2 with its settings, where pings keep it alive.
        let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        for begun in [b"".as_slice(), b"P", http2] {
            let (mut stream, _stop, _serving) = served().await;
            stream.write_all(begun).await.unwrap();
            let began = tokio::time::Instant::now();
            let mut rest = Vec::new();
            let ended = tokio::time::timeout(HEADERS_WITHIN * 100, stream.read_to_end(&mut rest)).await;
            assert!(ended.is_ok(), "{begun:?}");
            let waited = began.elapsed();
            assert!(waited < HEADERS_WITHIN + Duration::from_secs(2), "{begun:?}: {waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_comes_also_with_connections_that_stand_idle() {
        let (mut stream, stop, serving) = served().await;
        stream.write_all(b"GET /one HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 1024];
        let read = stream.read(&mut answer).await.unwrap();
        assert!(String::from_utf8_lossy(&answer[..read]).ends_with("/one"));
        stop.send_replace(true);
        serving.await.unwrap();
        assert_eq!(stream.read(&mut answer).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn an_answer_knows_its_peer_and_can_end_its_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_stop, stopped) = watch::channel(false);
        let answer = |request: Request<Body>| async move {
            let peer = request.extensions().get::<ConnectInfo<std::net::SocketAddr>>().map(|peer| peer.0);
            if request.uri().path() == "/end" {
                request.extensions().get::<Hangup>().unwrap().ask();
                std::future::pending::<()>().await;
            }
            Response::new(Body::from(peer.map(|peer| peer.to_string()).unwrap_or_default()))
        };
        tokio::spawn(serve(listener, Entry::Plain, 8, stopped, answer));
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 1024];
        let read = stream.read(&mut answer).await.unwrap();
        let own = stream.local_addr().unwrap().to_string();
        assert!(String::from_utf8_lossy(&answer[..read]).ends_with(&own));
        stream.write_all(b"GET /end HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        assert_eq!(stream.read(&mut answer).await.unwrap_or(0), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn headers_have_a_limit() {
        let (mut stream, _stop, _serving) = served().await;
        let long =
            format!("GET /long HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEADER_BYTES));
        // Refused before all of it is read.
        let _ = stream.write_all(long.as_bytes()).await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!String::from_utf8_lossy(&rest).contains("/long"));
    }
}
