//! An installer that is followed event by event, and killed where a test says so.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::operator::Operator;

/// Nothing takes so long, not even on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// An installer at work.
pub(crate) struct Watched {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// All that it told so far.
    pub(crate) seen: Vec<Value>,
}

/// What it did.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) events: Vec<Value>,
    pub(crate) stderr: String,
}

impl Watched {
    pub(crate) fn start(operator: &Operator, arguments: &[&str]) -> Self {
        let mut command = Command::from(operator.command(arguments));
        command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, seen: Vec::new() }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    async fn next(&mut self) -> Option<Value> {
        let line = timeout(LIMIT, self.lines.next_line()).await.unwrap().unwrap()?;
        let event: Value = serde_json::from_str(&line).unwrap();
        self.seen.push(event.clone());
        Some(event)
    }

    /// Waits for an event.
    pub(crate) async fn until(&mut self, what: impl Fn(&Value) -> bool) -> Value {
        loop {
            match self.next().await {
                Some(event) if what(&event) => return event,
                Some(_) => {}
                None => {
                    let mut stderr = String::new();
                    self.child.stderr.take().unwrap().read_to_string(&mut stderr).await.unwrap();
                    panic!("it ended before that: {}\n{stderr}", shown(&self.seen));
                }
            }
        }
    }

    /// As `kill -9` does it.
    pub(crate) async fn kill(mut self) -> Vec<Value> {
        self.child.kill().await.unwrap();
        self.seen
    }

    /// Waits for its end.
    pub(crate) async fn end(mut self) -> Ended {
        while self.next().await.is_some() {}
        let output = timeout(LIMIT, self.child.wait_with_output()).await.unwrap().unwrap();
        Ended {
            status: output.status.code().unwrap_or(-1),
            events: self.seen,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    /// How a host came out of it.
    pub(crate) fn outcome(&self, host: &str) -> &Value {
        let summary = self.events.iter().find(|event| event["type"] == "run_summary");
        let hosts = summary.unwrap_or_else(|| panic!("{self}"))["hosts"].as_array().unwrap();
        &hosts.iter().find(|entry| entry[0] == host).unwrap()[1]
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {}\n{}\n{}", self.status, shown(&self.events), self.stderr)
    }
}

/// Events without the long ones.
fn shown(events: &[Value]) -> String {
    let short = events.iter().filter(|event| event["type"] != "plan" && event["type"] != "upload");
    short.map(|event| format!("{event}\n")).collect()
}

/// Whether it is an event of this type, in this phase.
pub(crate) fn is(event: &Value, kind: &str, phase: &str) -> bool {
    event["type"] == kind && event["phase"] == phase
}
