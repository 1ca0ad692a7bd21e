//! A host on which scripts can be run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::connection::Connection;
use crate::exec::{Become, Driven, Exec, ExecError, Output, SudoWay, check, drive, start};
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

/// A host on which a user is logged in, or this machine.
pub struct Session {
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
    pub(crate) fn remote(name: String, user: String, connection: Arc<Connection>) -> Self {
        Self::at(name, Place::Remote { connection, root: user == "root" })
    }

    /// This machine, through its own `/bin/sh`, as whoever runs this.
    pub fn local() -> Self {
        Self::at("this machine".to_owned(), Place::Local { root: rustix::process::geteuid().is_root() })
    }

    fn at(name: String, place: Place) -> Self {
        let zero = AtomicU64::default;
        Self { name, place, way: Mutex::default(), execs: zero(), up: zero(), down: zero() }
    }

    /// How people call the host.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        match &self.place {
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
        self.execs.fetch_add(1, Ordering::Relaxed);
        let way = self.way(&exec);
        match self.run(&exec, way).await {
            // What was known about sudo does not hold any more, and the script has not begun: find out again.
            Err(ExecError::Sudo { .. }) if matches!(way, SudoWay::Free | SudoWay::Password) => {
                self.run(&exec, SudoWay::Unknown).await
            }
            result => result,
        }
    }

    fn way(&self, exec: &Exec) -> SudoWay {
        let (Place::Remote { root, .. } | Place::Local { root }) = &self.place;
        match &exec.r#become {
            Become::Sudo { .. } if !root => *self.way.lock().unwrap_or_else(PoisonError::into_inner),
            _ => SudoWay::None,
        }
    }

    async fn run(&self, exec: &Exec, way: SudoWay) -> Result<Output, ExecError> {
        let start = start(exec, way, &mark());
        let driven = match &self.place {
            Place::Remote { connection, .. } => {
                let (mut said, sink) = remote::run(connection, exec, &start).await?;
                let driven = drive(&self.name, exec, &start, &mut said, &sink).await;
                if driven.result.is_ok() {
                    sink.ended();
                }
                connection.round_trips.fetch_add(driven.round_trips, Ordering::Relaxed);
                driven
            }
            Place::Local { .. } => {
                let (mut said, sink) = local::run(&start).map_err(ExecError::Spawn)?;
                let driven = drive(&self.name, exec, &start, &mut said, &sink).await;
                self.count(&driven);
                driven
            }
        };
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

    /// What it has cost so far, without the connections to hosts on the way.
    pub fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let execs = read(&self.execs);
        match &self.place {
            Place::Remote { connection, .. } => Counters {
                execs,
                bytes_up: read(&connection.traffic.up),
                bytes_down: read(&connection.traffic.down),
                round_trips: read(&connection.round_trips),
            },
            Place::Local { .. } => {
                Counters { execs, bytes_up: read(&self.up), bytes_down: read(&self.down), round_trips: 0 }
            }
        }
    }

    /// Ends the connection politely. Dropping a session ends it too.
    pub async fn close(self) {
        if let Place::Remote { connection, .. } = self.place
            && let Some(connection) = Arc::into_inner(connection)
        {
            connection.close().await;
        }
    }
}

/// What the wrapper's words begin with: nothing that a shell prints by itself. Two in a row that are alike would do no harm.
fn mark() -> String {
    let mut bytes = [0x5a; 8];
    let _ = getrandom::fill(&mut bytes);
    format!("clusterctl{:016x}", u64::from_le_bytes(bytes))
}
