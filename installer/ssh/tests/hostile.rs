//! Servers that hang, lie, or break the protocol.

#[cfg(test)]
mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use harness::{Client, Sshd};
use russh::server::{self, Auth, Msg, Session as ServerSession};
use russh::{Channel, ChannelId};
use ssh::{Checking, ConnectError, Exec, ExecError, Phase, Session, Status, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A listener that does something with each connection; and a target for it.
#[cfg(test)]
async fn listener<F, T>(serve: F) -> Target
where
    F: Fn(TcpStream, u32) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, number));
        }
    });
    Target {
        port: Some(port),
        connect_timeout: Some(Duration::from_millis(300)),
        checking: Checking::AcceptNew,
        ..Target::new("host", "127.0.0.1")
    }
}

#[cfg(test)]
async fn fault(target: &Target) -> ConnectError {
    Client::new().connector().connect(target).await.err().expect("no connection")
}

#[tokio::test]
async fn a_server_that_never_says_a_word_is_told_from_one_that_stops_in_the_middle() {
    let silent = listener(|mut stream, _| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let error = fault(&silent).await;
    assert!(matches!(error, ConnectError::TimedOut { phase: Phase::Banner, .. }), "{error}");

    let stopping = listener(|mut stream, _| async move {
        stream.write_all(b"SSH-2.0-half\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let error = fault(&stopping).await;
    assert!(matches!(error, ConnectError::TimedOut { phase: Phase::Kex, .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_ssh_server_is_said_to_be_none() {
    for said in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        &[b'x'; 100_000],
        b"SSH-1.5-old\r\n",
        // A first packet that claims to be four gigabytes long.
        b"SSH-2.0-x\r\n\xff\xff\xff\xff\x04aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        b"SSH-2.0-x\r\n\0\0\0\x0c\xffaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        b"SSH-2.0-x\r\n\0\0\0\x0c\x04\x14aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        let target = listener(move |mut stream, _| async move {
            let _ = stream.write_all(said).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
        .await;
        let error = fault(&target).await;
        assert!(
            matches!(
                error,
                ConnectError::Protocol { .. } | ConnectError::Dropped { .. } | ConnectError::TimedOut { .. }
            ),
            "{error}"
        );
    }
}

#[tokio::test]
async fn nobody_and_nowhere_are_faults_of_their_own() {
    let nobody = Target { port: Some(1), ..Target::new("h", "127.0.0.1") };
    assert!(matches!(fault(&nobody).await, ConnectError::Refused { port: 1, .. }));
    let nowhere = Target::new("h", "no-such-host.invalid");
    let error = fault(&Target { connect_timeout: Some(Duration::from_secs(30)), ..nowhere }).await;
    assert!(matches!(error, ConnectError::Unresolvable { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_turns_the_first_connections_away_is_tried_again() {
    let server = Sshd::start(&[]);
    for (turned_away, ok) in [(2, true), (3, false)] {
        let port = server.port();
        let tries = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&tries);
        let proxy = listener(move |mut stream, number| {
            count.fetch_add(1, Ordering::Relaxed);
            async move {
                if number >= turned_away {
                    let mut to = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut to).await;
                }
            }
        })
        .await;
        let target = Target { identities: vec![server.identity()], connect_timeout: None, ..proxy };
        let client = Client::new();
        let result = client.connector().connect(&target).await;
        assert_eq!(result.is_ok(), ok, "{:?}", result.err());
        if let Err(error) = result {
            assert!(matches!(error, ConnectError::Dropped { phase: Phase::Banner, .. }), "{error}");
            assert_eq!(tries.load(Ordering::Relaxed), 3);
        }
    }
}

/// What a lying server does when it is asked to run something.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lie {
    NoStatus,
    TwoStatuses,
    Uninvited,
    Flood,
    Refuse,
    Hang,
}

#[derive(Clone)]
struct Liar(Lie);

#[cfg(test)]
impl server::Handler for Liar {
    type Error = russh::Error;

    async fn auth_none(&mut self, _user: &str) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: server::ChannelOpenHandle,
        _session: &mut ServerSession,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut ServerSession,
    ) -> Result<(), Self::Error> {
        if self.0 == Lie::Refuse {
            return session.channel_failure(id);
        }
        session.channel_success(id)?;
        // It pretends to be the wrapper, whose mark stands in the command.
        let command = String::from_utf8_lossy(command).into_owned();
        let at = command.find("clusterctl").unwrap();
        session.data(id, format!("{}:start\n", &command[at..at + 26]))?;
        match self.0 {
            Lie::NoStatus => session.close(id),
            Lie::TwoStatuses => {
                session.exit_status_request(id, 1)?;
                session.exit_status_request(id, 0)?;
                session.close(id)
            }
            Lie::Uninvited => {
                session.channel_open_forwarded_tcpip("a", 1, "b", 2)?;
                Ok(())
            }
            Lie::Flood => {
                let handle = session.handle();
                tokio::spawn(async move { while handle.data(id, vec![b'x'; 32_000]).await.is_ok() {} });
                Ok(())
            }
            Lie::Refuse | Lie::Hang => Ok(()),
        }
    }
}

#[cfg(test)]
async fn with_liar(lie: Lie) -> Session {
    let mut config = server::Config::default();
    let directory = tempfile::tempdir().unwrap();
    harness::keygen(&directory.path().join("key"), "ed25519", "");
    config.keys.push(russh::keys::load_secret_key(directory.path().join("key"), None).unwrap());
    let config = Arc::new(config);
    let target = listener(move |stream, _| {
        let config = Arc::clone(&config);
        async move {
            if let Ok(running) = server::run_stream(config, stream, Liar(lie)).await {
                let _ = running.await;
            }
        }
    })
    .await;
    let target = Target { connect_timeout: None, ..target };
    Client::new().connector().connect(&target).await.unwrap()
}

#[tokio::test]
async fn a_missing_or_doubled_exit_status_is_no_success() {
    for lie in [Lie::NoStatus, Lie::TwoStatuses] {
        let output = with_liar(lie).await.exec(Exec::new("x")).await.unwrap();
        assert_eq!(output.status, Status::Missing, "{lie:?}");
    }
}

#[tokio::test]
async fn a_server_that_opens_channels_by_itself_is_left() {
    let session = with_liar(Lie::Uninvited).await;
    let error = session.exec(Exec::new("x")).await.unwrap_err();
    let ExecError::ConnectionLost { reason, .. } = &error else { panic!("{error}") };
    assert!(reason.contains("nobody had asked for"), "{reason}");
}

#[tokio::test]
async fn a_flood_ends_at_the_limit_and_a_refusal_is_an_error() {
    let exec = Exec { max_output: 1 << 20, ..Exec::new("x") };
    let error = with_liar(Lie::Flood).await.exec(exec).await.unwrap_err();
    assert!(matches!(error, ExecError::TooMuchOutput { .. }), "{error}");
    let error = with_liar(Lie::Refuse).await.exec(Exec::new("x")).await.unwrap_err();
    assert!(matches!(error, ExecError::NotStarted { status: Status::Missing, .. }), "{error}");
    let mut exec = Exec::new("x");
    exec.limits.idle = Duration::from_millis(200);
    let error = with_liar(Lie::Hang).await.exec(exec).await.unwrap_err();
    assert!(matches!(error, ExecError::Idle { .. }), "{error}");
}
