//! What can go wrong between a client and a cluster.

use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

/// One mistake in what was sent: where, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The place in the object, like `/container/volumes(1)/mode`; empty where the server named none.
    pub path: String,
    /// All that is wrong there.
    pub errors: Vec<String>,
}

/// An answer that says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The method and URL that were asked for, without the query.
    pub request: String,
    /// The HTTP status.
    pub status: u16,
    /// What the server says, as a person reads it.
    pub message: String,
    /// Every mistake that the server names.
    pub mistakes: Vec<Mistake>,
    /// Deployments that are in the way (409).
    pub deployments: Vec<String>,
    /// The answer itself, where it was JSON.
    pub body: Value,
}

/// Why a call did not do what it should.
#[derive(Debug, Error)]
pub enum ClientError {
    /// What should be a URL of a master is none.
    #[error("{text:?} is no URL of a master: {reason}")]
    BadUrl {
        /// What was given.
        text: String,
        /// Why it is none.
        reason: String,
    },
    /// A token or a password would go over a network in the clear.
    #[error("{what} is not sent to {master}, where everybody on the way can read it")]
    Clear {
        /// What would be sent, or come back.
        what: &'static str,
        /// The master's URL.
        master: String,
    },
    /// No HTTP client could be made at all.
    #[error("cannot set up HTTP: {reason}")]
    Setup {
        /// Why.
        reason: String,
    },
    /// No master took the connection.
    #[error("cannot connect to {}", .tried.iter().map(|(url, _)| url.as_str()).collect::<Vec<_>>().join(", "))]
    CannotConnect {
        /// Each URL that was tried, with what went wrong there.
        tried: Vec<(String, String)>,
    },
    /// Nothing, or not all, came in time.
    #[error("{request} did not answer within {} s", .after.as_secs_f64())]
    Timeout {
        /// The method and URL.
        request: String,
        /// How long was waited.
        after: Duration,
    },
    /// The connection broke before the answer was whole.
    #[error("the connection broke during {request}: {reason}")]
    Broken {
        /// The method and URL.
        request: String,
        /// What HTTP says.
        reason: String,
    },
    /// The server answered, and refused.
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
    /// The answer is not what the interface promises.
    #[error("{request} answered something else than expected: {reason}")]
    BadAnswer {
        /// The method and URL.
        request: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is larger than anything a cluster should send.
    #[error("{request} answered more than {} MiB", .limit >> 20)]
    TooLarge {
        /// The method and URL.
        request: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// What is to be sent cannot be read, or not sent on.
    #[error("cannot upload the file")]
    Read {
        /// The cause.
        source: std::io::Error,
    },
    /// What was read could not be written where the caller wanted it.
    #[error("cannot write what was downloaded")]
    Write {
        /// The cause.
        source: std::io::Error,
    },
}

impl ClientError {
    /// The HTTP status, where the server answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            ClientError::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    /// Whether the same call may succeed a little later: a master is away, slow or electing.
    pub fn is_passing(&self) -> bool {
        match self {
            ClientError::CannotConnect { .. } | ClientError::Timeout { .. } | ClientError::Broken { .. } => {
                true
            }
            ClientError::Refused(refusal) => matches!(refusal.status, 502..=504),
            _ => false,
        }
    }
}

/// How much of a text that is no JSON is shown, in characters.
const SHOWN: usize = 300;

impl Refusal {
    /// Reads a refusal's body: Marathon's JSON in all its shapes, or the plain text of Mesos.
    pub(super) fn read(request: String, status: u16, body: &[u8]) -> Refusal {
        let mut refusal = Refusal {
            request,
            status,
            message: String::new(),
            mistakes: Vec::new(),
            deployments: Vec::new(),
            body: serde_json::from_slice(body).unwrap_or_default(),
        };
        match serde_json::from_slice::<Value>(body) {
            Ok(Value::Object(object)) => {
                refusal.message = object.get("message").map(words).unwrap_or_default();
                refusal.mistakes = object.get("details").map(mistakes).unwrap_or_default();
                refusal.deployments = strings(object.get("deployments"), |item| item.get("id"));
            }
            Ok(Value::String(text)) => refusal.message = text,
            _ => refusal.message = String::from_utf8_lossy(body).trim().chars().take(SHOWN).collect(),
        }
        if refusal.message.is_empty() {
            refusal.message = format!("{} answered {status}", refusal.request);
        }
        refusal
    }
}

fn words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn strings(list: Option<&Value>, of: impl Fn(&Value) -> Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| of(item).map(words)).collect()
}

/// `details` is a text (bad JSON) or a list of paths with their errors.
fn mistakes(details: &Value) -> Vec<Mistake> {
    let Value::Array(list) = details else {
        return vec![Mistake { path: String::new(), errors: vec![words(details)] }];
    };
    list.iter()
        .map(|item| Mistake {
            path: item.get("path").and_then(Value::as_str).unwrap_or_default().to_owned(),
            errors: match item.get("errors") {
                Some(errors) => strings(Some(errors), |error| Some(error)),
                None => vec![words(item)],
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(status: u16, body: &str) -> Refusal {
        Refusal::read("GET http://m:5050/v2/apps/x".to_owned(), status, body.as_bytes())
    }

    #[test]
    fn every_detail_of_a_validation_is_kept() {
        let body = json!({"message": "Object is not valid", "details": [
            {"path": "/id", "errors": ["must not be empty", "must match"]}, {"path": "/cpus", "errors": ["too small"]},
        ]});
        let refusal = read(422, &body.to_string());
        assert_eq!(refusal.message, "Object is not valid");
        assert_eq!(
            refusal.mistakes,
            [
                Mistake { path: "/id".into(), errors: vec!["must not be empty".into(), "must match".into()] },
                Mistake { path: "/cpus".into(), errors: vec!["too small".into()] },
            ]
        );
    }

    #[test]
    fn details_may_be_a_text_and_a_conflict_names_deployments() {
        let refusal = read(400, r#"{"message":"Invalid JSON","details":"line 1"}"#);
        assert_eq!(refusal.mistakes, [Mistake { path: String::new(), errors: vec!["line 1".into()] }]);
        let refusal = read(409, r#"{"message":"App is locked","deployments":[{"id":"d1"},{"id":"d2"}]}"#);
        assert_eq!(refusal.deployments, ["d1", "d2"]);
    }

    #[test]
    fn what_is_no_json_is_shown_and_nothing_is_named_by_its_status() {
        assert_eq!(read(400, "No such file\n").message, "No such file");
        assert_eq!(read(503, "").message, "GET http://m:5050/v2/apps/x answered 503");
        assert_eq!(read(500, &"x".repeat(10_000)).message.len(), SHOWN);
    }
}
