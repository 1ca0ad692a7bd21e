//! A command on this machine, without SSH: the same script through the same wrapper.

use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use bytes::{Bytes, BytesMut};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use crate::exec::{Broken, Event, Sink, Source, Start};

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// What a command says. When it goes, the command and what it started in its group are ended.
pub(crate) struct Said {
    child: Child,
    group: Option<Pid>,
    out: Option<ChildStdout>,
    err: Option<ChildStderr>,
    status: Option<ExitStatus>,
}

/// Its standard input. Only one writes; the lock is there for the type.
pub(crate) struct Way(Mutex<Option<ChildStdin>>);

/// Starts a command in a process group of its own.
pub(crate) fn run(start: &Start) -> io::Result<(Said, Way)> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(&start.command).process_group(0).kill_on_drop(true);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let way = Way(Mutex::new(child.stdin.take()));
    Ok((Said { group, out: child.stdout.take(), err: child.stderr.take(), child, status: None }, way))
}

impl Source for Said {
    async fn next(&mut self) -> Event {
        let mut bytes = BytesMut::with_capacity(PIECE);
        let mut others = BytesMut::with_capacity(PIECE);
        loop {
            // Reading into a buffer of its own is given up without loss; the end of both streams comes before the status.
            tokio::select! {
                read = read(&mut self.out, &mut bytes), if self.out.is_some() => match read {
                    Ok(0) | Err(_) => self.out = None,
                    Ok(_) => return Event::Out(bytes.freeze()),
                },
                read = read(&mut self.err, &mut others), if self.err.is_some() => match read {
                    Ok(0) | Err(_) => self.err = None,
                    Ok(_) => return Event::Err(others.freeze()),
                },
                waited = self.child.wait(), if self.out.is_none() && self.err.is_none() && self.status.is_none() => {
                    let Ok(status) = waited else { return Event::Closed };
                    self.status = Some(status);
                    return match (status.code(), status.signal()) {
                        (Some(code), _) => u32::try_from(code).map_or(Event::Closed, Event::Exit),
                        (None, Some(signal)) => Event::Signal(name(signal)),
                        (None, None) => Event::Closed,
                    };
                }
                else => return Event::Closed,
            }
        }
    }
}

async fn read<R: AsyncRead + Unpin>(from: &mut Option<R>, into: &mut BytesMut) -> io::Result<usize> {
    match from {
        Some(stream) => stream.read_buf(into).await,
        None => std::future::pending().await,
    }
}

fn name(signal: i32) -> String {
    let known = [
        (Signal::ABORT, "ABRT"),
        (Signal::ALARM, "ALRM"),
        (Signal::BUS, "BUS"),
        (Signal::FPE, "FPE"),
        (Signal::HUP, "HUP"),
        (Signal::ILL, "ILL"),
        (Signal::INT, "INT"),
        (Signal::KILL, "KILL"),
        (Signal::PIPE, "PIPE"),
        (Signal::QUIT, "QUIT"),
        (Signal::SEGV, "SEGV"),
        (Signal::TERM, "TERM"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ];
    let found = known.iter().find(|(number, _)| number.as_raw() == signal);
    found.map_or_else(|| signal.to_string(), |(_, name)| (*name).to_owned())
}

impl Drop for Said {
    fn drop(&mut self) {
        if let (Some(group), None) = (self.group, self.status) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Sink for Way {
    async fn write(&self, bytes: Bytes) -> Result<(), Broken> {
        match self.0.lock().await.as_mut() {
            Some(input) => input.write_all(&bytes).await.map_err(|error| {
                if error.kind() != ErrorKind::BrokenPipe {
                    tracing::debug!(%error, "a local script takes no input");
                }
                Broken
            }),
            None => Err(Broken),
        }
    }

    async fn finish(&self) -> Result<(), Broken> {
        // Dropping it is its end.
        self.0.lock().await.take().map(drop).ok_or(Broken)
    }
}
