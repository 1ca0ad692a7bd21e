//! Starting a shim, without ever forking the caller.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::process::Process;
use crate::record::{self, Durability, Record, RecordError};
use crate::shim::Outcome;
use crate::spec::{Exit, Launched, Spec, Started};

/// An answer is one short line.
const MAX_ANSWER: u64 = 64 << 10;

/// How this program is started as a shim.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file; a version with living shims must stay on disk.
    pub path: PathBuf,
    /// What makes it a shim, before [`crate::shim::main`]'s own arguments.
    pub args: Vec<OsString>,
}

/// Why a shim was not started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The task's directory cannot be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The shim's program cannot be started.
    #[error("cannot start the shim {}", path.display())]
    Spawn {
        /// The program.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The shim ended or closed its pipe without an answer.
    #[error("the shim did not say what became of the task")]
    Silent,
}

/// A shim that was started and has not answered yet.
#[derive(Debug)]
pub struct Launching {
    child: Child,
    answer: ChildStdout,
}

/// Writes the spec and starts a shim for it. The caller's memory is not copied: this is `posix_spawn`.
///
/// Safe to do again after a crash: a task whose shim lives, lived or ended answers [`Outcome::Already`].
///
/// # Errors
/// When the directory cannot be written or the program not started.
pub fn launch(program: &Program, dir: &Path, spec: &Spec) -> Result<Launching, LaunchError> {
    let failed = |source| LaunchError::Spawn { path: program.path.clone(), source };
    // What a task was started with is what its adopters must read. The shim says that it has one.
    if !is_taken(dir)? {
        let boot_id = Some(crate::proc::boot_id().map_err(failed)?);
        record::write(dir, &Launched { boot_id, spec: spec.clone() }, Durability::ThisBoot)?;
    }
    // The shim works from the root directory, so as not to hold another.
    let dir = std::path::absolute(dir).map_err(failed)?;
    // The shim's own last words, should it panic; it outlives our standard error.
    let words = OpenOptions::new().create(true).append(true).open(dir.join("shim.log")).map_err(failed)?;
    let mut child = Command::new(&program.path)
        .args(&program.args)
        .arg("run")
        .arg(&dir)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(words)
        .spawn()
        .map_err(failed)?;
    let answer = child.stdout.take().ok_or(LaunchError::Silent)?;
    Ok(Launching { child, answer })
}

/// Whether a shim has or had this task.
fn is_taken(dir: &Path) -> Result<bool, RecordError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| RecordError::Io { action: "look at", path, source }
    };
    for file in [Started::FILE, Exit::FILE].map(|name| dir.join(name)) {
        if file.try_exists().map_err(failed(&file))? {
            return Ok(true);
        }
    }
    let lock = dir.join(crate::shim::LOCK);
    crate::adopt::lock_is_held(&lock).map_err(failed(&lock))
}

impl Launching {
    /// The pipe the answer comes on, to be waited for together with others.
    #[must_use]
    pub fn pipe(&self) -> &ChildStdout {
        &self.answer
    }

    /// A handle to the shim. Cannot be another process's, since nobody has reaped it yet.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        Process::open(i32::try_from(self.child.id()).ok()?)
    }

    /// Waits for the answer. The shim is then the caller's child, to be reaped by it.
    ///
    /// # Errors
    /// When the shim ended without one.
    pub fn outcome(self) -> Result<(Outcome, Shim), LaunchError> {
        let mut line = String::new();
        let read = BufReader::new(self.answer.take(MAX_ANSWER)).read_line(&mut line);
        let shim = Shim { child: self.child };
        match read.ok().and_then(|_| serde_json::from_str(&line).ok()) {
            Some(outcome) => Ok((outcome, shim)),
            None => {
                shim.reap();
                Err(LaunchError::Silent)
            }
        }
    }
}

/// A shim that this process started.
#[derive(Debug)]
pub struct Shim {
    child: Child,
}

impl Shim {
    /// Its number.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }

    /// A handle to wait on. Cannot be another process's, since nobody has reaped it yet.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        Process::open(self.pid())
    }

    /// Waits for its end and takes it off the process table.
    pub fn reap(mut self) {
        let _ = self.child.wait();
    }
}
