//! Signals that end the agent, and leave its tasks.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::DaemonError;

/// SIGTERM and SIGINT, or none.
pub(super) struct Signals(Option<(Signal, Signal)>);

impl Signals {
    pub(super) fn listen(wanted: bool) -> Result<Self, DaemonError> {
        if !wanted {
            return Ok(Self(None));
        }
        let listen =
            |kind| signal(kind).map_err(|e| DaemonError::Broken(format!("cannot listen for signals: {e}")));
        Ok(Self(Some((listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?))))
    }

    /// The next of them; never, where none is wanted.
    pub(super) async fn next(&mut self) {
        match &mut self.0 {
            Some((terminate, interrupt)) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            None => std::future::pending().await,
        }
    }
}
