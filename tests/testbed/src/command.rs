//! Outside commands, with errors that name them.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use crate::error::{Error, Result};

/// How much of a failed command's output an error shows.
const SHOWN_LINES: usize = 12;

/// Runs a short command and gives its standard output.
///
/// # Errors
/// When it cannot be started or its status is not 0; the error carries its last lines.
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Result<String> {
    run_with_input(program, args, None)
}

/// As [`run`], with a text on standard input.
pub(crate) fn run_with_input<S: AsRef<OsStr>>(
    program: &str,
    args: &[S],
    input: Option<&str>,
) -> Result<String> {
    use std::io::Write as _;

    let shown = shown(program, args);
    let failed =
        |e: std::io::Error| Error::Command { command: shown.clone(), status: None, output: e.to_string() };
    let mut child = std::process::Command::new(program)
        .args(args)
        .env("PATH", search_path())
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        // A command that ends before it has read all says why in its output.
        let _ = stdin.write_all(text.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(Error::Command { command: shown, status: output.status.code(), output: tail(&text, SHOWN_LINES) })
}

/// What a command wrote and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The exit status; 128 + n when signal n ended it. Over SSH, 255 is ssh's own fault.
    pub status: i32,
    /// Standard output, decoded leniently.
    pub stdout: String,
    /// Standard error, decoded leniently.
    pub stderr: String,
}

impl Output {
    /// Whether the status is 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == 0
    }
}

/// Runs a command that may fail, for at most `limit`; it is killed when the time is up or the future dropped.
pub(crate) async fn output(mut command: tokio::process::Command, limit: Duration) -> Result<Output> {
    use std::os::unix::process::ExitStatusExt as _;

    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let shown = {
        let std = command.as_std();
        shown(&std.get_program().to_string_lossy(), &std.get_args().collect::<Vec<_>>())
    };
    let child = command.output();
    let done = match tokio::time::timeout(limit, child).await {
        Ok(Ok(done)) => done,
        Ok(Err(e)) => return Err(Error::Command { command: shown, status: None, output: e.to_string() }),
        Err(_elapsed) => {
            return Err(Error::Timeout {
                what: format!("the end of `{shown}`"),
                limit,
                detail: String::new(),
            });
        }
    };
    Ok(Output {
        status: done.status.code().unwrap_or_else(|| 128 + done.status.signal().unwrap_or(0)),
        stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}

/// The user's path with the directories of system tools, which not every root shell has on it.
pub(crate) fn search_path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin:/usr/bin:/bin");
    path
}

fn shown<S: AsRef<OsStr>>(program: &str, args: &[S]) -> String {
    let mut text = program.to_owned();
    for arg in args {
        text.push(' ');
        text.push_str(&arg.as_ref().to_string_lossy());
    }
    text
}

/// The last `lines` lines of a text, without trailing white space.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_named_with_its_status_and_last_lines() {
        let error = run("sh", &["-c", "echo one; echo two >&2; exit 3"]).unwrap_err();
        let Error::Command { command, status, output } = error else { panic!("{error}") };
        assert_eq!(command, "sh -c echo one; echo two >&2; exit 3");
        assert_eq!(status, Some(3));
        assert_eq!(output, "one\ntwo");
    }

    #[test]
    fn input_reaches_the_command() {
        assert_eq!(run_with_input("cat", &[] as &[&str], Some("hello")).unwrap(), "hello");
    }

    #[test]
    fn tail_keeps_the_end() {
        assert_eq!(tail("a\nb\nc\n\n", 2), "b\nc");
        assert_eq!(tail("", 2), "");
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_is_ended() {
        let mut command = tokio::process::Command::new("sleep");
        command.arg("600");
        let error = output(command, Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
    }
}
