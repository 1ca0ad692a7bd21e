//! The shim: the supervisor of one task, a small process of one thread that outlives the agent.
//!
//! The program dispatches here before anything else in its `main`. It takes four forms:
//!
//! - `run DIR` supervises the task whose `spec.json` is in `DIR`: takes the lock, makes the groups, starts
//!   the entry, copies output to the logs, reaps, and writes `exit.json`. SIGTERM asks it to end the task.
//! - `entry DIR` is the step between fork and exec, as a program of its own: it joins the task's groups
//!   and namespaces, gives up its privileges and becomes the task, or stays as process 1 of its namespace.
//! - `check DIR` runs a health check's command beside the task: in its groups and namespaces, as its user.
//! - `unpack JOB` puts the file on its standard input into a sandbox, as the task's user ([`crate::fetch`]).
//!
//! Only the shim forks, and a shim is small. Namespaces are unshared by single-threaded programs, so no code
//! runs in a half-made child, and the one `unsafe` marks inherited descriptors, which no safe type can name.

mod check;
mod control;
mod entry;
mod inputs;
mod log;
mod outcome;
mod supervisor;
mod tree;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

pub use outcome::Outcome;

pub(crate) use check::{Answer as CheckAnswer, Question as CheckQuestion};
pub(crate) use entry::{become_user, bound_capabilities, chain};
pub(crate) use supervisor::LOCK;
pub(crate) use tree::Tree;

/// A shim's exit code when its task already has one; the other supervises or supervised it.
pub const ALREADY: u8 = 75;
/// A shim's exit code when it could not even write why.
pub const BROKEN: u8 = 70;

/// Runs as a shim. `args` are those after what makes the program a shim.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let [form, dir] = args.as_slice() else { return ExitCode::from(BROKEN) };
    if form == "unpack" {
        return crate::fetch::unpack(dir);
    }
    let dir = Path::new(dir);
    match form.to_str() {
        Some("run") => supervisor::run(dir),
        Some("entry") => entry::run(dir),
        Some("check") => check::run(dir),
        _ => ExitCode::from(BROKEN),
    }
}

/// Whether this process may make namespaces. Tried by a thread of its own, which takes the new ones with it.
pub(crate) fn can_unshare() -> bool {
    use rustix::thread::UnshareFlags;

    let tried = std::thread::spawn(|| entry::unshare(UnshareFlags::NEWNS | UnshareFlags::NEWPID).is_ok());
    tried.join().unwrap_or(false)
}
