//! The door over TLS: who asks is known, and slow peers are held to the same limits as in the clear.
#![cfg(feature = "server")]
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::net::SocketAddr;
use std::path::Path;

use api::server::{Entry, serve};
use axum::body::Body;
use axum::http::{Request, Response};
use identity::{Identity, PeerRole};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Places of the door.
const MOST: usize = 8;

/// A master's door, and the way there for an agent; a request is answered with who sends it.
async fn secured(dir: &Path) -> (SocketAddr, tls::Dialler, watch::Sender<bool>, JoinHandle<()>) {
    let ca = tls::testing::TestCa::new();
    let master = ca.node(&dir.join("m1"), "demo", PeerRole::Master, "m1");
    let agent = ca.node(&dir.join("a1"), "demo", PeerRole::Agent, "a1");
    let entry = Entry::Tls(master.acceptor(tls::Clients::Any).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let answer = |request: Request<Body>| async move {
        let peer = request.extensions().get::<Identity>().map(ToString::to_string);
        Response::new(Body::from(peer.unwrap_or_default()))
    };
    let serving = tokio::spawn(serve(listener, entry, MOST, stopped, answer));
    (address, agent.dialler(PeerRole::Master, &["http/1.1"]).unwrap(), stop, serving)
}

/// Asks over a connection that stays open; tells the answer.
async fn asked(dialler: &tls::Dialler, address: SocketAddr) -> (impl Send + use<>, String) {
    let mut stream = dialler.connect("127.0.0.1", address.port()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: m1\r\n\r\n").await.unwrap();
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).await.unwrap();
    (stream, String::from_utf8_lossy(&answer[..read]).into_owned())
}

#[tokio::test]
async fn strangers_however_many_do_not_keep_agents_out() {
    let dir = tempfile::tempdir().unwrap();
    let ca = tls::testing::TestCa::new();
    let master = ca.node(&dir.path().join("m1"), "demo", PeerRole::Master, "m1");
    let agent = ca.node(&dir.path().join("a1"), "demo", PeerRole::Agent, "a1");
    let agent = agent.dialler(PeerRole::Master, &["http/1.1"]).unwrap();
    let nobody = tls::Authority { ca: &ca.pem, own: None };
    let entry = Entry::Tls(master.acceptor(tls::Clients::Any).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, stopped) = watch::channel(false);
    let answer = |_: Request<Body>| async move { Response::new(Body::from("in")) };
    tokio::spawn(serve(listener, entry, MOST, stopped, answer));
    let mut config = nobody.dialler(std::time::SystemTime::now()).unwrap().config();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let mut kept = Vec::new();
    // Half of the places are theirs.
    for _ in 0..MOST / 2 {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: m1\r\n\r\n").await.unwrap();
        let mut answer = [0; 1024];
        let read = stream.read(&mut answer).await.unwrap();
        assert!(String::from_utf8_lossy(&answer[..read]).ends_with("in"));
        kept.push(stream);
    }
    // More of them, through with the handshake; and many who do not even begin one.
    for _ in 0..MOST {
        let stream = TcpStream::connect(address).await.unwrap();
        kept.push(connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap());
    }
    let mut silent = Vec::new();
    for _ in 0..MOST * 4 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let entering = tokio::time::timeout(std::time::Duration::from_secs(10), asked(&agent, address));
    let (_connection, answer) = entering.await.unwrap();
    assert!(answer.ends_with("in"), "{answer}");
}

#[tokio::test]
async fn an_answer_knows_who_asks() {
    let dir = tempfile::tempdir().unwrap();
    let (address, dialler, stop, serving) = secured(dir.path()).await;
    let (_stream, answer) = asked(&dialler, address).await;
    assert!(answer.ends_with("clusterctl://demo/agent/a1"), "{answer}");
    // One that only shakes hands, and one that stands idle, are not waited for at the end.
    let _silent = TcpStream::connect(address).await.unwrap();
    stop.send_replace(true);
    serving.await.unwrap();
}

// Time stands still, and leaps to the next deadline when everyone waits.
#[tokio::test(start_paused = true)]
async fn one_who_does_not_finish_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let (address, dialler, _stop, _serving) = secured(dir.path()).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(silent.read(&mut [0; 16]).await.unwrap_or(0), 0);
    let mut stream = dialler.connect("127.0.0.1", address.port()).await.unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: m").await.unwrap();
    let mut rest = Vec::new();
    // The end of the connection, with or without a word.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
}
