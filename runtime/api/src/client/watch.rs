//! The dashboard's stream.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::Response;

use super::events::{Decoder, MAX_EVENT, Piece};
use super::{Call, Client, ClientError, broken};
use crate::watch::Frame;

/// How long the stream may be silent; the master says something every five seconds.
const SILENT: Duration = Duration::from_secs(15);

/// What the cluster is, and what changes of it. It ends when the server or the network ends it, as when another master leads; the
/// caller connects again, and begins anew with [`Frame::Hello`].
#[derive(Debug)]
pub struct WatchStream {
    request: String,
    response: Response,
    decoder: Decoder,
    ready: VecDeque<Frame>,
}

impl WatchStream {
    /// The next frame; `None` when the server has ended the stream. What a newer master says beside is left out. May be dropped
    /// while it waits: nothing is lost.
    ///
    /// # Errors
    /// [`ClientError::Broken`], [`ClientError::Timeout`] when nothing came for 15 s, [`ClientError::TooLarge`] or
    /// [`ClientError::BadAnswer`].
    pub async fn next(&mut self) -> Result<Option<Frame>, ClientError> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Ok(Some(frame));
            }
            let coming = tokio::time::timeout(SILENT, self.response.chunk()).await;
            let bytes = match coming {
                Ok(bytes) => bytes.map_err(|error| broken(&self.request, &error))?,
                Err(_elapsed) => {
                    return Err(ClientError::Timeout { request: self.request.clone(), after: SILENT });
                }
            };
            let Some(bytes) = bytes else { return Ok(None) };
            let pieces = self.decoder.push(&bytes).map_err(|_too_long| ClientError::TooLarge {
                request: self.request.clone(),
                limit: MAX_EVENT,
            })?;
            for piece in pieces {
                self.ready.extend(self.frame(&piece)?);
            }
        }
    }

    fn frame(&self, piece: &Piece) -> Result<Option<Frame>, ClientError> {
        if !Frame::NAMES.contains(&piece.name.as_str()) {
            return Ok(None);
        }
        serde_json::from_str(&piece.data).map(Some).map_err(|error| ClientError::BadAnswer {
            request: self.request.clone(),
            reason: format!("an event is not what it is called: {error}"),
        })
    }
}

impl Client {
    /// Follows the whole cluster: `/clusterctl/v1/watch`.
    ///
    /// # Errors
    /// See [`ClientError`]; 503 when nobody leads, or too many watch.
    pub async fn watch(&self) -> Result<WatchStream, ClientError> {
        let mut call = Call::get(["clusterctl", "v1", "watch"]);
        call.accept = "text/event-stream".into();
        let (request, response) = self.timed(&call, self.answer(&call)).await?;
        Ok(WatchStream { request, response, decoder: Decoder::default(), ready: VecDeque::new() })
    }
}
