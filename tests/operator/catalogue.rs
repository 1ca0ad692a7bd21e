//! An operator who installs packages, and waits for what comes of it.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Operator, Ran};

/// An operator whose downloads are kept for the next run.
pub(crate) struct Catalogue<'a> {
    pub(crate) operator: &'a Operator,
}

impl Catalogue<'_> {
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        // pip and Maven are the operator's own, with their mirrors and authorities.
        let own = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy().to_uppercase();
            ["PIP_", "MAVEN_", "SSL_", "JAVA_"].iter().any(|prefix| name.starts_with(prefix))
                || name.ends_with("_PROXY")
        });
        self.operator.command(arguments).envs(own).env("XDG_CACHE_HOME", cache).output().unwrap().into()
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.status, 0, "{arguments:?}: {ran}");
        ran.stdout
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    /// Tasks of an app: id, host, ports.
    pub(crate) fn tasks(&self, app: &str) -> Vec<(String, String, Vec<u64>)> {
        let shown = self.json(&["service", "show", app, "-o", "json"]);
        let tasks = shown["app"]["tasks"].as_array().unwrap().iter();
        let one = |task: &Value| {
            let text = |key: &str| task[key].as_str().unwrap().to_owned();
            let ports = task["ports"].as_array().unwrap().iter().map(|port| port.as_u64().unwrap());
            (text("id"), text("host"), ports.collect())
        };
        tasks.map(one).collect()
    }
}

/// Waits until it is so; what a process elsewhere does has no event to wait for.
pub(crate) async fn until<T>(what: &str, within: Duration, mut seen: impl FnMut() -> Result<T, String>) -> T {
    let begin = Instant::now();
    loop {
        match seen() {
            Ok(found) => return found,
            Err(instead) => assert!(begin.elapsed() < within, "{what}: not within {within:?}; {instead}"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
