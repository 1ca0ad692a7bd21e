//! Starting the unpacking child, without forking the agent.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::error::Why;
use super::job::{Answer, Job};
use crate::launch::Program;

/// An answer is one short line.
const MAX_ANSWER: u64 = 16 << 10;

/// Has a child do the job. The child ends with this future.
pub(super) async fn run(program: &Program, job: &Job, input: File, limit: Duration) -> Result<(), Why> {
    let text =
        serde_json::to_string(job).map_err(|e| Why::Unpack(format!("the job cannot be written: {e}")))?;
    let mut child = Command::new(&program.path)
        .args(&program.args)
        .arg("unpack")
        .arg(text)
        .env_clear()
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(Why::io("start", &program.path))?;
    let stdout = child.stdout.take();
    let work = async {
        let mut line = Vec::new();
        if let Some(stdout) = stdout {
            let read = stdout.take(MAX_ANSWER).read_to_end(&mut line).await;
            read.map_err(Why::io("hear", &program.path))?;
        }
        let status = child.wait().await.map_err(Why::io("wait for", &program.path))?;
        match serde_json::from_slice(&line) {
            Ok(Answer::Done { entries, bytes }) => {
                tracing::debug!(entries, bytes, "unpacked");
                Ok(())
            }
            Ok(Answer::Failed(why)) => Err(Why::Unpack(why)),
            Err(_) => Err(Why::Unpack(format!("the unpacking process ended with {status} and said nothing"))),
        }
    };
    tokio::time::timeout(limit, work).await.unwrap_or(Err(Why::Slow(limit.as_secs())))
}
