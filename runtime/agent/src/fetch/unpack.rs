//! The unpacking child: gives up its privileges and puts what is on its standard input into a sandbox.
//!
//! What it reads is hostile. It writes only through directories that it opened without following a link,
//! below the sandbox, and links it makes point to where they stand or below, so none leads out later.

mod archive;
mod gauge;
mod name;
#[cfg(test)]
mod tests;
mod tree;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::rc::Rc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use rustix::thread::set_no_new_privs;

use super::job::{Action, Answer, Archive, Job};
use crate::files::beneath::Root;
use gauge::{Gauge, Meter};
use name::Name;
use tree::{Attributes, Tree};

/// What a file that is no program is to others.
const PLAIN: u32 = 0o644;
const EXECUTABLE: u32 = 0o755;

/// Why a job came to nothing, with the entry at which it did.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{entry}: {why}")]
    Entry { entry: String, why: Box<Failure> },
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Zip(#[from] zip::result::ZipError),
}

impl Failure {
    fn at(self, name: &[u8]) -> Self {
        let shown: String = String::from_utf8_lossy(name).chars().take(200).collect();
        Self::Entry { entry: format!("entry {shown:?}"), why: Box::new(self) }
    }
}

/// Runs as the child. Its last words are one line of JSON on standard output.
pub(crate) fn run(job: &OsStr) -> ExitCode {
    let (answer, code) = match work(job) {
        Ok(answer) => (answer, ExitCode::SUCCESS),
        Err(why) => (Answer::Failed(why), ExitCode::FAILURE),
    };
    let Ok(mut line) = serde_json::to_vec(&answer) else { return ExitCode::FAILURE };
    line.push(b'\n');
    if io::stdout().write_all(&line).is_ok() { code } else { ExitCode::FAILURE }
}

fn work(job: &OsStr) -> Result<Answer, String> {
    let job: Job = job.to_str().and_then(|text| serde_json::from_str(text).ok()).ok_or("there is no job")?;
    let input = rustix::stdio::stdin().try_clone_to_owned();
    let input = File::from(input.map_err(|e| format!("there is no input: {e}"))?);
    confine(&job)?;
    let sandbox = if job.action == Action::Root { "/".into() } else { job.sandbox };
    perform(&Job { sandbox, ..job }, input).map_err(|e| e.to_string())
}

/// Leaves only the right to write as the task's user, and bounds on what a decoder can take.
fn confine(job: &Job) -> Result<(), String> {
    std::env::set_current_dir("/").map_err(|e| format!("cannot enter /: {e}"))?;
    if let Some(user) = &job.user {
        crate::shim::become_user(user).map_err(|e| format!("cannot become user {}: {e}", user.uid))?;
    }
    if job.action == Action::Root {
        // Owners are root's to give; so of root's rights only those stay, and nothing but the new root is in sight.
        rustix::process::chroot(&job.sandbox).map_err(|e| format!("cannot enter the new root: {e}"))?;
        std::env::set_current_dir("/").map_err(|e| format!("cannot enter /: {e}"))?;
        crate::shim::bound_capabilities().map_err(|e| format!("cannot give up capabilities: {e}"))?;
    }
    set_no_new_privs(true).map_err(|e| format!("cannot give up new privileges: {e}"))?;
    umask(Mode::empty());
    for (resource, value) in [(Resource::Data, job.limits.memory), (Resource::Core, 0)] {
        let value = Some(getrlimit(resource).maximum.map_or(value, |hard| hard.min(value)));
        let limit = Rlimit { current: value, maximum: value };
        setrlimit(resource, limit).map_err(|e| format!("cannot limit itself: {e}"))?;
    }
    Ok(())
}

/// Does the job with the rights of the process as they are.
pub(super) fn perform(job: &Job, input: File) -> Result<Answer, Failure> {
    let root = Root::open(&job.sandbox).map_err(|e| {
        let user = job.user.as_ref().map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid);
        Failure::Refused(format!("cannot open {} as user {user}: {e}", job.sandbox.display()))
    })?;
    let gauge = Rc::new(Gauge::new(job.limits.clone()));
    let mut tree = Tree::new(root, gauge.clone());
    match &job.action {
        Action::Copy { to, executable } => {
            let mode = if *executable { EXECUTABLE } else { PLAIN };
            single(&mut tree, to, mode, input)?;
        }
        Action::Gunzip { to } => {
            let input = archive::gunzip(input, &gauge);
            single(&mut tree, to, PLAIN, Meter::new(input, gauge.clone()))?;
        }
        Action::Extract { kind } => archive::extract(*kind, input, &gauge, &mut tree)?,
        Action::Root => {
            let mut input = input;
            let kind = kind_of(&mut input)?;
            archive::extract(kind, input, &gauge, &mut tree.keep_as_it_is())?;
        }
    }
    Ok(Answer::Done { entries: gauge.entries(), bytes: gauge.written() })
}

fn single(tree: &mut Tree, to: &std::path::Path, mode: u32, mut input: impl io::Read) -> Result<(), Failure> {
    let to = to.as_os_str().as_encoded_bytes();
    let name = Name::parse(to, tree.limits().path).map_err(|e| e.at(to))?;
    let attributes = Attributes { mode, modified: None, size: None, owner: None };
    tree.file(&name, attributes, &mut input).map_err(|e| e.at(to))
}

/// By its first bytes, since an artifact has no name.
fn kind_of(file: &mut File) -> Result<Archive, Failure> {
    let mut first = Vec::new();
    io::Read::take(&mut *file, 6).read_to_end(&mut first)?;
    file.rewind()?;
    match first.as_slice() {
        [0x1f, 0x8b, ..] => Ok(Archive::TarGzip),
        [b'B', b'Z', b'h', ..] => Ok(Archive::TarBzip2),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Ok(Archive::TarXz),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Err(Failure::Refused("it is packed with zstd, which is not supported; use gzip or xz".into()))
        }
        [b'P', b'K', ..] => {
            Err(Failure::Refused("it is a zip archive, which keeps no owners; use tar".into()))
        }
        _ => Ok(Archive::Tar),
    }
}

/// Whether somebody still waits for the answer; a killed agent does not, and another may try again.
fn is_awaited() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    !matches!(poll(&mut fds, Some(&now)), Ok(1..))
        || !fds.iter().any(|fd| fd.revents().contains(PollFlags::ERR))
}
