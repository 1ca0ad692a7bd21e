//! A command on the other side of a connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::exec::{Broken, Event, Exec, ExecError, Sink, Source, Start};

/// What is said for a stream that is neither output nor input: only this one has a meaning.
const STDERR: u32 = 1;

/// What a command says.
pub(crate) struct Said {
    channel: ChannelReadHalf,
    connection: Arc<Connection>,
}

/// The way to a command. When it goes, the session on the server is closed.
pub(crate) struct Way {
    channel: Option<ChannelWriteHalf<Msg>>,
    permit: Option<OwnedSemaphorePermit>,
}

/// Starts a command in a session of its own.
pub(crate) async fn run(
    connection: &Arc<Connection>,
    exec: &Exec,
    start: &Start,
) -> Result<(Said, Way), ExecError> {
    let host = || connection.host.clone();
    let lost = |reason: String| ExecError::ConnectionLost {
        host: host(),
        reason: connection.ending().unwrap_or(reason),
    };
    let idle = || ExecError::Idle { host: host(), after: exec.limits.idle };
    let permit = timeout(exec.limits.total, Arc::clone(&connection.sessions).acquire_owned()).await;
    let permit = permit.map_err(|_elapsed| idle())?.map_err(|error| lost(error.to_string()))?;
    connection.round_trips.fetch_add(1, Ordering::Relaxed);
    let opened = timeout(exec.limits.idle, connection.handle.channel_open_session())
        .await
        .map_err(|_elapsed| idle())?;
    let channel = opened.map_err(|error| match error {
        russh::Error::ChannelOpenFailure(failure) => {
            ExecError::NoSession { host: host(), reason: format!("{failure:?}") }
        }
        other => lost(other.to_string()),
    })?;
    let (channel, way) = channel.split();
    let way = Way { channel: Some(way), permit: Some(permit) };
    if let Some(channel) = &way.channel {
        // No answer is waited for: a refusal is heard of as an event.
        channel.exec(true, start.command.as_str()).await.map_err(|error| lost(error.to_string()))?;
    }
    Ok((Said { channel, connection: Arc::clone(connection) }, way))
}

impl Source for Said {
    async fn next(&mut self) -> Event {
        loop {
            return match self.channel.wait().await {
                Some(ChannelMsg::Data { data }) => Event::Out(data),
                Some(ChannelMsg::ExtendedData { data, ext: STDERR }) => Event::Err(data),
                Some(ChannelMsg::ExitStatus { exit_status }) => Event::Exit(exit_status),
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => Event::Signal(name(&signal_name)),
                // The server runs no commands at all; it says no more after that.
                Some(ChannelMsg::Close | ChannelMsg::Failure) => Event::Closed,
                None => {
                    let reason = self.connection.ending();
                    Event::Lost(reason.unwrap_or_else(|| "it ended without a word".to_owned()))
                }
                Some(_) => continue,
            };
        }
    }
}

/// The signal without `SIG`. A server may send any text: what a terminal would obey is left out.
fn name(signal: &Sig) -> String {
    let name = match signal {
        Sig::Custom(name) => name.clone(),
        other => format!("{other:?}"),
    };
    name.chars().filter(char::is_ascii_alphanumeric).take(20).collect()
}

impl Sink for Way {
    async fn write(&self, bytes: Bytes) -> Result<(), Broken> {
        match &self.channel {
            Some(channel) => channel.data_bytes(bytes).await.map_err(|_elapsed| Broken),
            None => Err(Broken),
        }
    }

    async fn finish(&self) -> Result<(), Broken> {
        match &self.channel {
            Some(channel) => channel.eof().await.map_err(|_elapsed| Broken),
            None => Err(Broken),
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        let (Some(channel), Ok(runtime)) = (self.channel.take(), Handle::try_current()) else { return };
        let permit = self.permit.take();
        runtime.spawn(async move {
            let _ = channel.close().await;
            drop(permit);
        });
    }
}
