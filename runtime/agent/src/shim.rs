//! The shim: the supervisor of one task, a small process of one thread that outlives the agent.
//!
//! The program dispatches here before anything else in its `main`. It takes two forms:
//!
//! - `run DIR` supervises the task whose `spec.json` is in `DIR`: takes the lock, makes the groups, starts
//!   the entry, copies output to the logs, reaps, and writes `exit.json`. SIGTERM asks it to end the task.
//! - `entry DIR` is the step between fork and exec, as a program of its own: it joins the task's groups
//!   and namespaces, gives up its privileges and becomes the task, or stays as process 1 of its namespace.
//!
//! Only the shim forks, and a shim is small. Namespaces are unshared by single-threaded programs, so no code
//! runs in a half-made child, and the one `unsafe` marks inherited descriptors, which no safe type can name.

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
pub(crate) use supervisor::LOCK;

/// A shim's exit code when its task already has one; the other supervises or supervised it.
pub const ALREADY: u8 = 75;
/// A shim's exit code when it could not even write why.
pub const BROKEN: u8 = 70;

/// Runs as a shim. `args` are those after what makes the program a shim.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let [form, dir] = args.as_slice() else { return ExitCode::from(BROKEN) };
    let dir = Path::new(dir);
    match form.to_str() {
        Some("run") => supervisor::run(dir),
        Some("entry") => entry::run(dir),
        _ => ExitCode::from(BROKEN),
    }
}
