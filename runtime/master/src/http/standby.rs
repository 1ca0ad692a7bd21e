//! What a master answers itself that does not lead (§2): whether it is there, what it is, and that it is not elected.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{MESOS_VERSION, answer};

/// The answer to `GET /<name>` of a master that runs `version` since `up`; nothing for what only the leader answers.
/// `function` is the query's `jsonp`.
#[must_use]
pub fn standby(name: &str, function: Option<&str>, version: &str, up: Duration) -> Option<Response> {
    let value = match name {
        "health" => return Some(StatusCode::OK.into_response()),
        "version" => self::version(version),
        "metrics/snapshot" => json!({ "master/elected": 0.0, "master/uptime_secs": up.as_secs_f64() }),
        _ => return None,
    };
    let params = function.map(|function| ("jsonp".to_owned(), function.to_owned()));
    Some(answer(&params.into_iter().collect::<HashMap<_, _>>(), &value))
}

pub(super) fn version(version: &str) -> Value {
    json!({ "version": MESOS_VERSION, "clusterctl_version": version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_itself_is_answered() {
        let of = |name| standby(name, None, "1.2.3", Duration::from_secs(3)).map(|answer| answer.status());
        for name in ["health", "version", "metrics/snapshot"] {
            assert_eq!(of(name), Some(StatusCode::OK), "{name}");
        }
        for name in ["state", "slaves", "redirect", "x"] {
            assert_eq!(of(name), None, "{name}");
        }
    }
}
