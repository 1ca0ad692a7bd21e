//! A host on which scripts can be run.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::connection::Connection;
use crate::exec::{Become, Driven, Exec, ExecError, Limits, Output, SudoWay, check, drive, start, stop};
use crate::{local, remote};

/// What a session has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Scripts that were begun.
    pub execs: u64,
    /// Bytes sent, encrypted and with all that SSH adds; on this machine, bytes of scripts and input.
    pub bytes_up: u64,
    /// Bytes received; on this machine, bytes of output.
    pub bytes_down: u64,
    /// How often an answer of the host was waited for, from the first packet on. A window that fills during a large
    /// upload is not counted.
    pub round_trips: u64,
}

/// How long it may take to end a script that is given up.
const STOPPING: Limits = Limits { idle: Duration::from_secs(15), total: Duration::from_secs(15) };

/// A host on which a user is logged in, or this machine.
pub struct Session(Arc<Inner>);

struct Inner {
    name: String,
    place: Place,
    /// What was found out about sudo here.
    way: Mutex<SudoWay>,
    execs: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

enum Place {
    Remote { connection: Arc<Connection>, root: bool },
    Local { root: bool },
}

impl Session {
    pub(crate) fn remote(name: String, user: &str, connection: Arc<Connection>) -> Self {
        Self::at(name, Place::Remote { connection, root: user == "root" })
    }

    /// This machine, through its own `/bin/sh`, as whoever runs this.
    pub fn local() -> Self {
        Self::at("this machine".to_owned(), Place::Local { root: rustix::process::geteuid().is_root() })
    }

    fn at(name: String, place: Place) -> Self {
        let zero = AtomicU64::default;
        let way = Mutex::default();
        Self(Arc::new(Inner { name, place, way, execs: zero(), up: zero(), down: zero() }))
    }

    /// How people call the host.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        match &self.0.place {
            Place::Remote { connection, .. } => connection.handle.is_closed(),
            Place::Local { .. } => false,
        }
    }

    /// Runs a script, and answers when it has ended. Several may run at once; what is over sshd's limit waits. One that is
    /// given up (by dropping this) is told to end.
    ///
    /// A status other than zero is no error here: the caller knows what it means.
    pub async fn exec(&self, exec: Exec) -> Result<Output, ExecError> {
        check(&exec)?;
        let inner = &self.0;
        inner.execs.fetch_add(1, Ordering::Relaxed);
        let way = inner.way(&exec);
        match inner.run(&exec, way, true).await {
            // What was known about sudo does not hold any more, and the script has not begun: find out again.
            Err(ExecError::Sudo { .. }) if matches!(way, SudoWay::Free | SudoWay::Password) => {
                inner.run(&exec, SudoWay::Unknown, true).await
            }
            result => result,
        }
    }

    /// What it has cost so far, without the connections to hosts on the way.
    pub fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let execs = read(&self.0.execs);
        match &self.0.place {
            Place::Remote { connection, .. } => Counters {
                execs,
                bytes_up: read(&connection.traffic.up),
                bytes_down: read(&connection.traffic.down),
                round_trips: read(&connection.round_trips),
            },
            Place::Local { .. } => {
                Counters { execs, bytes_up: read(&self.0.up), bytes_down: read(&self.0.down), round_trips: 0 }
            }
        }
    }

    /// Ends the connection politely. Dropping a session ends it too.
    pub async fn close(self) {
        if let Some(Inner { place: Place::Remote { connection, .. }, .. }) = Arc::into_inner(self.0)
            && let Some(connection) = Arc::into_inner(connection)
        {
            connection.close().await;
        }
    }
}

impl Inner {
    fn way(&self, exec: &Exec) -> SudoWay {
        let (Place::Remote { root, .. } | Place::Local { root }) = &self.place;
        match &exec.r#become {
            Become::Sudo { .. } if !root => *self.way.lock().unwrap_or_else(PoisonError::into_inner),
            _ => SudoWay::None,
        }
    }

    /// Runs a script; when that is given up in the middle and `stopping` is wished, the script is ended.
    async fn run(self: &Arc<Self>, exec: &Exec, way: SudoWay, stopping: bool) -> Result<Output, ExecError> {
        let mark = mark();
        let start = start(exec, way, &mark);
        let pid = Arc::new(AtomicU32::new(0));
        let guard = Guard { inner: self, pid: &pid, mark: &mark, exec, armed: stopping };
        let driven = match &self.place {
            Place::Remote { connection, .. } => {
                let (mut said, sink) = remote::run(connection, exec, &start).await?;
                let driven = drive(&self.name, exec, &start, (&mut said, &sink), &pid).await;
                connection.round_trips.fetch_add(driven.round_trips, Ordering::Relaxed);
                driven
            }
            Place::Local { .. } => {
                let (mut said, sink) = local::run(&start).map_err(ExecError::Spawn)?;
                let driven = drive(&self.name, exec, &start, (&mut said, &sink), &pid).await;
                self.count(&driven);
                driven
            }
        };
        if driven.result.is_ok() {
            guard.disarm();
        }
        if let (Some(found), true) = (driven.way, way != SudoWay::None) {
            *self.way.lock().unwrap_or_else(PoisonError::into_inner) = found;
        }
        driven.result
    }

    fn count(&self, driven: &Driven) {
        self.up.fetch_add(driven.sent, Ordering::Relaxed);
        if let Ok(output) = &driven.result {
            self.down.fetch_add((output.stdout.len() + output.stderr.len()) as u64, Ordering::Relaxed);
        }
    }
}

/// Ends a script that began and that nobody waits for any longer: it took too long, or an interrupt came.
struct Guard<'a> {
    inner: &'a Arc<Inner>,
    pid: &'a AtomicU32,
    mark: &'a str,
    exec: &'a Exec,
    armed: bool,
}

impl Guard<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let pid = self.pid.load(Ordering::Relaxed);
        if !self.armed || pid == 0 {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let inner = Arc::clone(self.inner);
        let r#become = self.exec.r#become.clone();
        let exec = Exec { r#become, limits: STOPPING, ..Exec::new(stop(self.mark, pid)) };
        runtime.spawn(async move {
            let way = inner.way(&exec);
            if let Err(error) = inner.run(&exec, way, false).await {
                tracing::debug!(host = inner.name, %error, "a script that was given up may go on");
            }
        });
    }
}

/// What the wrapper's words begin with: nothing that a shell prints by itself. Two in a row that are alike would do no harm.
fn mark() -> String {
    let mut bytes = [0x5a; 8];
    let _ = getrandom::fill(&mut bytes);
    format!("clusterctl{:016x}", u64::from_le_bytes(bytes))
}
