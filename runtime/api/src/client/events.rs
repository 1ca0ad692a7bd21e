//! Server-sent events: how they are cut out of a stream, and the stream itself.

use std::collections::VecDeque;

use reqwest::Response;
use serde_json::Value;

use super::{Call, Client, ClientError, broken};

/// The most that one event may hold, in bytes.
pub(super) const MAX_EVENT: usize = 16 << 20;

/// An event as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerEvent {
    /// Its type, as `eventType` names it.
    pub kind: String,
    /// Its payload.
    pub data: Value,
}

/// A piece of the stream: the name and the data of one event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Piece {
    pub(super) name: String,
    pub(super) data: String,
}

/// An event is larger than [`MAX_EVENT`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Cuts events out of bytes, wherever the network cuts those. Lines end with LF or CRLF.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    line: Vec<u8>,
    piece: Piece,
}

impl Decoder {
    /// Takes bytes, answers the pieces that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Piece>, TooLong> {
        let mut pieces = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + self.piece.data.len() + part.len() > MAX_EVENT {
                return Err(TooLong);
            }
            self.line.extend_from_slice(part);
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                let text = String::from_utf8_lossy(&line);
                pieces.extend(self.line(text.trim_end_matches(['\r', '\n'])));
            }
        }
        Ok(pieces)
    }

    /// An empty line ends a piece; one without data is a sign of life.
    fn line(&mut self, line: &str) -> Option<Piece> {
        if line.is_empty() {
            let piece = std::mem::take(&mut self.piece);
            return (!piece.data.is_empty()).then_some(piece);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.piece.name),
            "data" => {
                if !self.piece.data.is_empty() {
                    self.piece.data.push('\n');
                }
                self.piece.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

/// Marathon's events as they happen. It ends when the server or the network ends it; the caller connects again, and reads
/// anew what it may have missed.
#[derive(Debug)]
pub struct EventStream {
    request: String,
    response: Response,
    decoder: Decoder,
    ready: VecDeque<ServerEvent>,
}

impl EventStream {
    /// The next event; `None` when the server has ended the stream. May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// [`ClientError::Broken`], [`ClientError::Timeout`] when nothing came for 35 s, not even a sign of life, or
    /// [`ClientError::BadAnswer`].
    pub async fn next(&mut self) -> Result<Option<ServerEvent>, ClientError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let Some(bytes) = self.response.chunk().await.map_err(|error| broken(&self.request, &error))?
            else {
                return Ok(None);
            };
            let pieces = self.decoder.push(&bytes).map_err(|TooLong| ClientError::TooLarge {
                request: self.request.clone(),
                limit: MAX_EVENT,
            })?;
            for piece in pieces {
                let event = self.event(piece)?;
                self.ready.push_back(event);
            }
        }
    }

    fn event(&self, piece: Piece) -> Result<ServerEvent, ClientError> {
        let data: Value = serde_json::from_str(&piece.data).map_err(|error| ClientError::BadAnswer {
            request: self.request.clone(),
            reason: format!("an event is no JSON: {error}"),
        })?;
        let named = data.get("eventType").and_then(Value::as_str).map(str::to_owned);
        Ok(ServerEvent { kind: named.unwrap_or(piece.name), data })
    }
}

impl Client {
    /// Subscribes to events of these types; none means all.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(&self, types: &[&str]) -> Result<EventStream, ClientError> {
        let mut call =
            types.iter().fold(Call::get(["v2", "events"]), |call, kind| call.query("event_type", *kind));
        call.accept = "text/event-stream".into();
        let (request, response) = self.timed(&call, self.answer(&call)).await?;
        Ok(EventStream { request, response, decoder: Decoder::default(), ready: VecDeque::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(pieces: &[&str]) -> Vec<(String, String)> {
        let mut decoder = Decoder::default();
        let frames = pieces.iter().flat_map(|piece| decoder.push(piece.as_bytes()).unwrap());
        frames.map(|frame| (frame.name, frame.data)).collect()
    }

    #[test]
    fn frames_are_the_same_wherever_the_network_cuts_them() {
        let text = "event: a\ndata: {\"x\":1}\n\n\n: alive\r\nevent: b\r\ndata: 1\r\ndata: 2\r\n\r\n";
        let expected = vec![("a".to_owned(), "{\"x\":1}".to_owned()), ("b".to_owned(), "1\n2".to_owned())];
        assert_eq!(decode(&[text]), expected);
        for cut in 1..text.len() {
            assert_eq!(decode(&[&text[..cut], &text[cut..]]), expected, "{cut}");
        }
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut decoder = Decoder::default();
        let chunk = vec![b'x'; MAX_EVENT / 2];
        assert_eq!(decoder.push(&chunk), Ok(vec![]));
        assert_eq!(decoder.push(&chunk), Ok(vec![]));
        assert_eq!(decoder.push(b"x"), Err(TooLong));
    }
}
