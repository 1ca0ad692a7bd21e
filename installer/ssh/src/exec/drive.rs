//! The conversation with a running wrapper: what is sent when, what is kept, and when it has taken too long.

use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::head::{Head, Word};
use super::output::{Output as Collected, Tail};
use super::{Become, Exec, ExecError, Output, Start, Status, SudoFault, SudoWay};

/// Input goes out in pieces of this size, so that a slow way shows that it moves.
const PIECE: usize = 128 << 10;

/// What a running command does.
#[derive(Debug)]
pub(crate) enum Event {
    Out(Bytes),
    Err(Bytes),
    Exit(u32),
    Signal(String),
    /// All was said.
    Closed,
    /// The connection broke.
    Lost(String),
}

/// The other side takes no more.
#[derive(Debug)]
pub(crate) struct Broken;

/// Where events come from. Giving up a wait loses none.
pub(crate) trait Source: Send {
    fn next(&mut self) -> impl Future<Output = Event> + Send;
}

/// Where input goes.
pub(crate) trait Sink: Send + Sync {
    fn write(&self, bytes: Bytes) -> impl Future<Output = Result<(), Broken>> + Send;
    fn finish(&self) -> impl Future<Output = Result<(), Broken>> + Send;
}

/// What became of a script, and what was learned about sudo on the way.
pub(crate) struct Driven {
    pub(crate) result: Result<Output, ExecError>,
    pub(crate) way: Option<SudoWay>,
    /// How often an answer was waited for.
    pub(crate) round_trips: u64,
    /// How many bytes of input were sent.
    pub(crate) sent: u64,
}

/// What the wrapper has said so far.
struct Talk<'a> {
    host: &'a str,
    exec: &'a Exec,
    start: &'a Start,
    /// As which process the script runs, as soon as that is known; others look at it when they give it up.
    pid: &'a AtomicU32,
    input: Option<mpsc::UnboundedSender<Bytes>>,
    out: Head,
    err: Head,
    stdout: Option<Collected>,
    stderr: Option<Tail>,
    status: Option<Status>,
    fault: Option<SudoFault>,
    way: Option<SudoWay>,
    round_trips: u64,
}

/// Runs the conversation to its end, within the script's limits.
pub(crate) async fn drive<R: Source, W: Sink>(
    host: &str,
    exec: &Exec,
    start: &Start,
    (source, sink): (&mut R, &W),
    pid: &AtomicU32,
) -> Driven {
    let (sender, mut queue) = mpsc::unbounded_channel::<Bytes>();
    let mut talk = Talk::new(host, exec, start, pid, sender);
    let begin = Instant::now();
    // Milliseconds since the beginning at which something moved, in either direction.
    let moved = AtomicU64::new(0);
    let sent = AtomicU64::new(0);
    let now = || u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    let uploading = async {
        while let Some(mut bytes) = queue.recv().await {
            while !bytes.is_empty() {
                let piece = bytes.split_to(bytes.len().min(PIECE));
                let length = piece.len() as u64;
                sink.write(piece).await?;
                sent.fetch_add(length, Ordering::Relaxed);
                moved.fetch_max(now(), Ordering::Relaxed);
            }
        }
        sink.finish().await
    };
    let mut uploading = std::pin::pin!(uploading);
    let mut uploaded = false;
    let end = begin + exec.limits.total;
    let result = loop {
        let idle = begin + Duration::from_millis(moved.load(Ordering::Relaxed)) + exec.limits.idle;
        tokio::select! {
            biased;
            event = source.next() => {
                moved.fetch_max(now(), Ordering::Relaxed);
                if let Some(result) = talk.hear(event) {
                    break result;
                }
                // A script that never pauses does not let the clock below have its turn.
                if Instant::now() >= end {
                    break Err(ExecError::TooLong { host: host.to_owned(), after: exec.limits.total });
                }
            }
            // What a broken way means is told by the events.
            _ = &mut uploading, if !uploaded => uploaded = true,
            () = sleep_until(idle.min(end)) => {
                let (host, limits) = (host.to_owned(), exec.limits);
                if Instant::now() >= end {
                    break Err(ExecError::TooLong { host, after: limits.total });
                }
                if Duration::from_millis(now().saturating_sub(moved.load(Ordering::Relaxed))) >= limits.idle {
                    break Err(ExecError::Idle { host, after: limits.idle });
                }
            }
        }
    };
    Driven { result, way: talk.way, round_trips: talk.round_trips, sent: sent.load(Ordering::Relaxed) }
}

impl<'a> Talk<'a> {
    fn new(
        host: &'a str,
        exec: &'a Exec,
        start: &'a Start,
        pid: &'a AtomicU32,
        input: mpsc::UnboundedSender<Bytes>,
    ) -> Self {
        let mut talk = Self {
            host,
            exec,
            start,
            pid,
            input: Some(input),
            out: Head::new(&start.mark),
            err: Head::new(&start.mark),
            stdout: None,
            stderr: None,
            status: None,
            fault: None,
            way: None,
            round_trips: 1,
        };
        if !start.first.is_empty() {
            talk.send(&start.first, start.on_ready.is_empty());
        }
        talk
    }

    /// Queues bytes; after the last ones the input ends.
    fn send(&mut self, parts: &[Bytes], last: bool) {
        if let Some(input) = &self.input {
            // The other end is gone only when the conversation is.
            parts.iter().for_each(|part| drop(input.send(part.clone())));
        }
        if last {
            self.input = None;
        }
    }

    /// Takes one event; the result, when that was the last.
    fn hear(&mut self, event: Event) -> Option<Result<Output, ExecError>> {
        match event {
            Event::Out(bytes) => self.out(&bytes).err().map(Err),
            Event::Err(bytes) => {
                self.err(&bytes);
                None
            }
            Event::Exit(code) => {
                self.ended(Status::Exit(code));
                None
            }
            Event::Signal(name) => {
                self.ended(Status::Signal(name));
                None
            }
            Event::Closed => Some(self.close()),
            Event::Lost(reason) => {
                Some(Err(ExecError::ConnectionLost { host: self.host.to_owned(), reason }))
            }
        }
    }

    /// Two different statuses are none.
    fn ended(&mut self, status: Status) {
        self.status = match self.status.take() {
            Some(other) if other != status => Some(Status::Missing),
            _ => Some(status),
        };
    }

    fn out(&mut self, bytes: &[u8]) -> Result<(), ExecError> {
        if let Some(stdout) = &mut self.stdout {
            return stdout.push(bytes).map_err(|_over| self.too_much());
        }
        let mut word = self.out.push(bytes);
        while let Some(found) = word {
            match found {
                Word::Start(pid) => {
                    self.pid.store(pid.unwrap_or(0), Ordering::Relaxed);
                    let mut stdout = Collected::new(self.exec.max_output, self.exec.on_line.clone());
                    let pushed = stdout.push(&self.out.rest());
                    self.stdout = Some(stdout);
                    return pushed.map_err(|_over| self.too_much());
                }
                Word::Other(word) => self.word(&word),
            }
            word = self.out.push(b"");
        }
        Ok(())
    }

    fn word(&mut self, word: &str) {
        let start = self.start;
        match word {
            "need" => {
                self.round_trips += 1;
                self.send(&start.on_need, false);
            }
            "good" => {
                self.round_trips += 1;
                self.way = Some(SudoWay::Password);
                self.send(&start.on_good, false);
            }
            // Where sudo wanted nothing, all was sent already.
            "ready" if self.input.is_some() => {
                self.round_trips += 1;
                self.send(&start.on_ready, true);
            }
            "free" => {
                self.round_trips += 1;
                self.way = Some(SudoWay::Free);
                self.send(&start.on_free, true);
            }
            "missing" => self.fault = Some(SudoFault::Missing),
            "shell" => self.fault = Some(SudoFault::Shell),
            // Why is told on the other stream, which may come later.
            "denied" => self.fault = Some(SudoFault::Other(String::new())),
            _ => {}
        }
        if self.fault.is_some() {
            self.input = None;
        }
    }

    fn err(&mut self, bytes: &[u8]) {
        if let Some(stderr) = &mut self.stderr {
            stderr.push(bytes);
            return;
        }
        let mut word = self.err.push(bytes);
        // sudo asks for another password, and there is none.
        if word.is_none()
            && self.way != Some(SudoWay::Free)
            && SudoFault::read(&self.err.noise()) == SudoFault::WrongPassword
        {
            self.input = None;
        }
        while let Some(found) = word {
            if let Word::Start(_) = found {
                let mut stderr = Tail::new(self.exec.max_output);
                stderr.push(&self.err.rest());
                self.stderr = Some(stderr);
                return;
            }
            word = self.err.push(b"");
        }
    }

    fn too_much(&self) -> ExecError {
        ExecError::TooMuchOutput { host: self.host.to_owned(), limit: self.exec.max_output }
    }

    fn close(&mut self) -> Result<Output, ExecError> {
        let status = self.status.take().unwrap_or(Status::Missing);
        if let Some(stdout) = self.stdout.take() {
            let stderr = self.stderr.take().map(Tail::finish).unwrap_or_default();
            return Ok(Output { status, stdout: stdout.finish(), stderr });
        }
        // The script did not begin. What was learned about sudo does not hold.
        self.way = Some(SudoWay::Unknown);
        let host = self.host.to_owned();
        let (noise, said) = (self.err.noise(), self.out.noise());
        let read = SudoFault::read(&noise);
        Err(match (self.fault.take(), &self.exec.r#become) {
            (Some(SudoFault::Other(_)), _) => ExecError::Sudo { host, fault: read },
            (Some(fault), _) => ExecError::Sudo { host, fault },
            (None, Become::Sudo { .. }) if !matches!(read, SudoFault::Other(_)) => {
                ExecError::Sudo { host, fault: read }
            }
            _ => ExecError::NotStarted { host, status, said: format!("{said}{noise}").trim().to_owned() },
        })
    }
}

#[cfg(test)]
mod tests;
