//! Running a client program: found on the path, with a time limit, its last words kept, and ended with all that it started when
//! nobody waits for it any more. I/O.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::error::Fault;

/// What of a program's words is kept.
const LINES: usize = 20;
const LINE: usize = 500;

/// The program of this name on the path.
pub(crate) fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(|file| {
        file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// One run of a program.
pub(crate) struct Run<'a> {
    pub(crate) program: &'a Path,
    /// Seen by everybody on this machine: nothing secret.
    pub(crate) args: &'a [OsString],
    pub(crate) dir: &'a Path,
    pub(crate) env: &'a [(&'a str, &'a str)],
    pub(crate) within: Duration,
}

/// Its group of processes ends with this, unless it was waited for.
struct Group {
    child: Child,
    pid: Option<Pid>,
}

impl Group {
    fn end(&mut self) {
        if let Some(pid) = self.pid.take() {
            // It may be gone.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// The last lines that were said, on both streams.
#[derive(Clone, Default)]
struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn add(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            return "  (it said nothing)".to_owned();
        }
        lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
    }
}

/// A line as it may be shown: without passwords in addresses, and without what moves a cursor.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    // What was written over what stood there before.
    let text = text.trim_end().rsplit('\r').next().unwrap_or_default();
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("://") {
        let end = behind.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | ')'));
        let (authority, after) = behind.split_at(end.unwrap_or(behind.len()));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        plain.extend([before, "://", host]);
        rest = after;
    }
    plain.push_str(rest);
    plain.chars().filter(|c| !c.is_control()).take(LINE).collect()
}

async fn listen(stream: Option<impl AsyncRead + Unpin>, tail: Tail, hear: &(impl Fn(String) + Sync)) {
    let Some(stream) = stream else { return };
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        let block = match stream.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(block) => block,
        };
        let (piece, ends) = match block.iter().position(|byte| *byte == b'\n') {
            Some(at) => (block.get(..=at).unwrap_or_default(), true),
            None => (block, false),
        };
        // A line without end is no reason to hold it.
        if line.len() < 16 * LINE {
            line.extend_from_slice(piece);
        }
        let taken = piece.len();
        stream.consume(taken);
        if ends {
            let text = shown(&line);
            line.clear();
            if !text.is_empty() {
                tail.add(text.clone());
                hear(text);
            }
        }
    }
    let text = shown(&line);
    if !text.is_empty() {
        tail.add(text);
    }
}

impl Run<'_> {
    /// Runs it to its end; `hear` is told each line.
    ///
    /// # Errors
    /// When it does not start, takes too long, or says that it failed.
    pub(crate) async fn run(&self, hear: impl Fn(String) + Sync) -> Result<(), Fault> {
        let name = self.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut command = Command::new(self.program);
        command
            .args(self.args)
            .current_dir(self.dir)
            .envs(self.env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().map_err(Fault::io("start", self.program))?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let mut group = Group { child, pid };
        let tail = Tail::default();
        let (out, err) = (group.child.stdout.take(), group.child.stderr.take());
        let mut words = Box::pin(async {
            tokio::join!(listen(out, tail.clone(), &hear), listen(err, tail.clone(), &hear));
        });
        let work = async {
            let mut silent = false;
            loop {
                tokio::select! {
                    status = group.child.wait() => break (status, silent),
                    () = &mut words, if !silent => silent = true,
                }
            }
        };
        let Ok((status, silent)) = tokio::time::timeout(self.within, work).await else {
            return Err(Fault::Slow { what: name, seconds: self.within.as_secs() });
        };
        // What it left running is not what was asked for, and would keep the streams open.
        group.end();
        if !silent {
            let _ = tokio::time::timeout(Duration::from_secs(1), &mut words).await;
        }
        let status: ExitStatus = status.map_err(Fault::io("wait for", self.program))?;
        if status.success() {
            return Ok(());
        }
        Err(Fault::Program { name, status: status.to_string(), said: tail.text() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_is_shown_without_passwords_and_control() {
        for (said, expected) in [
            (
                "Looking in https://me:secret@h.example/simple, https://i/",
                "Looking in https://h.example/simple, https://i/",
            ),
            ("\x1b[1mbold\x1b[m\n", "[1mbold[m"),
            ("  0%\r 50%\r100% done\r\n", "100% done"),
            ("a@b c://d", "a@b c://d"),
        ] {
            assert_eq!(shown(said.as_bytes()), expected);
        }
    }

    fn sh(script: &str) -> Vec<OsString> {
        vec!["-c".into(), script.into()]
    }

    #[tokio::test]
    async fn the_last_lines_stand_in_the_error_and_the_time_is_limited() {
        let run = async |script: &str, within| {
            let args = sh(script);
            let run = Run {
                program: Path::new("/bin/sh"),
                args: &args,
                dir: Path::new("/"),
                env: &[("WORD", "there")],
                within,
            };
            run.run(|_| {}).await
        };
        let minute = Duration::from_secs(60);
        assert!(run("exit 0", minute).await.is_ok());
        let error = run("seq 1 100; echo hello $WORD >&2; exit 3", minute).await.unwrap_err().to_string();
        assert!(error.starts_with("sh ended with exit status: 3:\n"), "{error}");
        assert!(
            error.contains("\n  hello there") && error.contains("\n  100") && !error.contains("\n  50"),
            "{error}"
        );
        let slow = run("sleep 600", Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(slow, Fault::Slow { .. }), "{slow}");
        // What it left behind does not keep us, and is ended.
        assert!(run("sleep 600 & exit 0", minute).await.is_ok());
    }

    #[tokio::test]
    async fn all_of_its_processes_end_when_nobody_waits_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("alive");
        let status = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(status.success());
        let script = format!("(exec 3>{0}; echo started >&3; sleep 600) & wait", fifo.display());
        let args = sh(&script);
        let (program, root) = (Path::new("/bin/sh"), Path::new("/"));
        let run = Run { program, args: &args, dir: root, env: &[], within: Duration::from_secs(600) };
        let reader = tokio::task::spawn_blocking(move || {
            use std::io::Read as _;
            let mut file = std::fs::File::open(fifo).unwrap();
            let mut word = [0; 8];
            file.read_exact(&mut word).unwrap();
            (file, word)
        });
        let (file, word) = tokio::select! {
            read = reader => read.unwrap(),
            _ = run.run(|_| {}) => panic!("it ended"),
        };
        assert_eq!(&word, b"started\n");
        // The pipe ends when the last process that holds it does.
        let rest = tokio::task::spawn_blocking(move || {
            use std::io::Read as _;
            let mut rest = Vec::new();
            (&file).read_to_end(&mut rest).map(|_| rest)
        });
        let rest = tokio::time::timeout(Duration::from_secs(30), rest).await.unwrap().unwrap().unwrap();
        assert!(rest.is_empty());
    }
}
