//! The bytes of one connection: counted, watched for the server's first line, and cut off when the connection is given up.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, oneshot};

/// What is known of a connection's bytes.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) up: AtomicU64,
    pub(crate) down: AtomicU64,
    banner: AtomicBool,
    banner_came: Notify,
}

impl Traffic {
    /// Waits for the server's first line.
    pub(crate) async fn banner(&self) {
        // Registered before the look, so that it cannot come in between.
        let came = self.banner_came.notified();
        if !self.has_banner() {
            came.await;
        }
    }

    pub(crate) fn has_banner(&self) -> bool {
        self.banner.load(Ordering::Acquire)
    }
}

/// A stream that ends when its [`Lifeline`] goes. Without that, the task that serves a connection would go on waiting for
/// a server that never answers, long after all who wanted the connection have gone.
pub(crate) struct Watched<S> {
    inner: S,
    traffic: Arc<Traffic>,
    /// None once the lifeline has gone.
    cut: Option<oneshot::Receiver<()>>,
    first: FirstLine,
}

/// As long as it lives, so may the connection.
#[derive(Debug)]
pub(crate) struct Lifeline {
    _cut: oneshot::Sender<()>,
}

/// Looks for a line that begins with `SSH-`.
#[derive(Debug, Default)]
struct FirstLine {
    at: usize,
    other: bool,
}

impl FirstLine {
    fn push(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            match byte {
                b'\n' => *self = Self::default(),
                _ if self.other => {}
                byte if Some(byte) == b"SSH-".get(self.at) => {
                    self.at += 1;
                    if self.at == 4 {
                        return true;
                    }
                }
                _ => self.other = true,
            }
        }
        false
    }
}

impl<S> Watched<S> {
    pub(crate) fn new(inner: S, traffic: Arc<Traffic>) -> (Self, Lifeline) {
        let (sender, cut) = oneshot::channel();
        (Self { inner, traffic, cut: Some(cut), first: FirstLine::default() }, Lifeline { _cut: sender })
    }

    /// An error once the lifeline has gone.
    fn alive(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().map(|cut| Pin::new(cut).poll(cx)) {
            Some(Poll::Pending) => return Ok(()),
            Some(Poll::Ready(_)) => self.cut = None,
            None => {}
        }
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was given up"))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.alive(cx)?;
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
        let new = buffer.filled().get(before..).unwrap_or_default();
        this.traffic.down.fetch_add(new.len() as u64, Ordering::Relaxed);
        if !this.traffic.has_banner() && this.first.push(new) {
            this.traffic.banner.store(true, Ordering::Release);
            this.traffic.banner_came.notify_waiters();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.alive(cx)?;
        let written = std::task::ready!(Pin::new(&mut this.inner).poll_write(cx, bytes))?;
        this.traffic.up.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.alive(cx)?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn a_first_line_may_come_after_others_and_in_pieces() {
        let found = |pieces: &[&str]| {
            let mut first = FirstLine::default();
            pieces.iter().any(|piece| first.push(piece.as_bytes()))
        };
        assert!(found(&["SSH-2.0-x"]));
        assert!(found(&["welcome\r\nnot SSH- here\nS", "SH", "-2.0"]));
        assert!(!found(&["HTTP/1.1 SSH-\nxSSH-\nSSH"]));
    }

    #[tokio::test]
    async fn it_counts_and_ends_when_its_lifeline_goes() {
        let (near, mut far) = tokio::io::duplex(64);
        let traffic = Arc::new(Traffic::default());
        let (mut watched, lifeline) = Watched::new(near, Arc::clone(&traffic));
        far.write_all(b"SSH-2.0-x\n").await.unwrap();
        watched.write_all(b"abc").await.unwrap();
        watched.read_exact(&mut [0; 10]).await.unwrap();
        traffic.banner().await;
        assert_eq!((traffic.up.load(Ordering::Relaxed), traffic.down.load(Ordering::Relaxed)), (3, 10));

        // It waits for more, and learns then that nobody wants it any longer.
        let mut buffer = [0];
        let reading = watched.read(&mut buffer);
        drop(lifeline);
        assert_eq!(reading.await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert!(watched.write_all(b"x").await.is_err());
    }
}
