//! Bodies: read within limits, and taken apart field by field, so that every mistake is named and no value is repeated: the
//! parser's own texts would quote a password that stands in the wrong place.

use std::time::Duration;

use api::marathon::Detail;
use axum::body::{Body, to_bytes};
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::error::HttpError;

/// The longest body. What is asked for fits many times.
pub(super) const MAX_BODY: usize = 16 << 10;
/// A body that takes longer to come is given up.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// The longest text that is no password.
const MAX_TEXT: usize = 256;

/// An object's fields, and what is wrong with them.
pub(super) struct Fields {
    fields: Map<String, Value>,
    mistakes: Vec<Detail>,
}

/// A field that may be there, be `null`, or be missing.
pub(super) enum Field<T> {
    Missing,
    Null,
    Value(T),
}

impl Fields {
    /// The object in a body; an empty body is an object without fields.
    pub(super) async fn read(body: Body) -> Result<Self, HttpError> {
        let reading = tokio::time::timeout(BODY_WITHIN, to_bytes(body, MAX_BODY)).await;
        let bytes = reading.map_err(|_elapsed| HttpError::TooSlow)?.map_err(|error| {
            // The cause says which of the two it is, and there is no type for it.
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            match cause.contains("length limit") {
                true => HttpError::TooLong,
                false => HttpError::BadRequest("the body ended early; send it again".to_owned()),
            }
        })?;
        Self::parse(&bytes)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, HttpError> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self { fields: Map::new(), mistakes: Vec::new() });
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Self { fields, mistakes: Vec::new() }),
            Ok(_) => Err(HttpError::NoJson("it is not an object like {\"role\": \"viewer\"}".to_owned())),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                Err(HttpError::NoJson(format!("there is a mistake at line {line}, column {column}")))
            }
        }
    }

    pub(super) fn wrong(&mut self, field: &str, error: impl Into<String>) {
        self.mistakes.push(Detail { path: format!("/{field}"), errors: vec![error.into()] });
    }

    fn take(&mut self, field: &str) -> Field<String> {
        match self.fields.remove(field) {
            None => Field::Missing,
            Some(Value::Null) => Field::Null,
            Some(Value::String(text)) => Field::Value(text),
            Some(_) => {
                self.wrong(field, "must be a text");
                Field::Missing
            }
        }
    }

    /// A short text without control characters.
    pub(super) fn text(&mut self, field: &str) -> Option<String> {
        let text = match self.take(field) {
            Field::Value(text) => text,
            Field::Null | Field::Missing => return None,
        };
        if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
            self.wrong(field, format!("has more than {MAX_TEXT} bytes, or a control character"));
            return None;
        }
        Some(text)
    }

    /// A text that is to be there. The caller goes on with an empty one, to find the other mistakes.
    pub(super) fn required(&mut self, field: &str) -> String {
        let before = self.mistakes.len();
        let text = self.text(field);
        if text.is_none() && self.mistakes.len() == before {
            self.wrong(field, "is missing");
        }
        text.unwrap_or_default()
    }

    pub(super) fn secret(&mut self, field: &str) -> Field<SecretString> {
        match self.take(field) {
            Field::Missing => Field::Missing,
            Field::Null => Field::Null,
            Field::Value(text) => Field::Value(SecretString::from(text)),
        }
    }

    pub(super) fn required_secret(&mut self, field: &str) -> SecretString {
        let before = self.mistakes.len();
        match self.secret(field) {
            Field::Value(secret) => secret,
            Field::Null | Field::Missing => {
                if self.mistakes.len() == before {
                    self.wrong(field, "is missing");
                }
                SecretString::default()
            }
        }
    }

    /// A whole number from 0 on.
    pub(super) fn number(&mut self, field: &str) -> Option<u64> {
        match self.fields.remove(field) {
            None | Some(Value::Null) => None,
            Some(value) => {
                if value.as_u64().is_none() {
                    self.wrong(field, "must be a whole number");
                }
                value.as_u64()
            }
        }
    }

    /// All mistakes, those fields among them that nobody asked for.
    pub(super) fn finish(mut self, known: &str) -> Result<(), HttpError> {
        let unknown: Vec<String> = self.fields.keys().map(|name| name.chars().take(64).collect()).collect();
        for name in unknown {
            let error = match known {
                "" => "is no field here: no body is needed".to_owned(),
                known => format!("is no field here; there are: {known}"),
            };
            self.wrong(&name, error);
        }
        if self.mistakes.is_empty() { Ok(()) } else { Err(HttpError::Mistakes(self.mistakes)) }
    }
}
