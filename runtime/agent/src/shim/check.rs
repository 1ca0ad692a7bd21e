//! A health check's command, run beside its task: the question comes on standard input, for it may hold secrets, and
//! the answer goes to standard output.
//!
//! A command that takes too long is killed with its process group. What leaves that stays in the task's control group,
//! where there is one, and ends with the task.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command as Program, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces, set_no_new_privs};
use serde::{Deserialize, Serialize};

use super::BROKEN;
use super::entry::{PATH, become_user, capabilities, chain, end_of, inherit, program};
use crate::process::Process;
use crate::record;
use crate::spec::{Command, End, Spec, Started};

/// A question is a command line.
const MAX_QUESTION: u64 = 1 << 20;

/// What to run, and for how long at most.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) command: Command,
    pub(crate) timeout_ms: u64,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// Exit status 0.
    Good,
    /// Another exit status.
    Code(i32),
    /// It did not come to one.
    Bad(String),
}

pub(super) fn run(dir: &Path) -> ExitCode {
    let mut text = Vec::new();
    let read = io::stdin().lock().take(MAX_QUESTION).read_to_end(&mut text);
    let Some(question) = read.ok().and_then(|_| serde_json::from_slice::<Question>(&text).ok()) else {
        return ExitCode::from(BROKEN);
    };
    let answer = ask(dir, &question).unwrap_or_else(Answer::Bad);
    let Ok(line) = serde_json::to_string(&answer) else { return ExitCode::from(BROKEN) };
    match io::stdout().lock().write_all(line.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(BROKEN),
    }
}

fn ask(dir: &Path, question: &Question) -> Result<Answer, String> {
    let spec: Spec = record::read(dir).map_err(|e| chain(&e))?.ok_or("the task has no spec.json")?;
    join(dir, &spec)?;
    let mut program = program(&question.command)?;
    program.env_clear().env("PATH", PATH);
    program.envs(spec.env.iter().map(|(name, value)| (name, value.expose())));
    finish(program, Duration::from_millis(question.timeout_ms))
}

/// As the entry does it, in the same order, but into what is there already.
fn join(dir: &Path, spec: &Spec) -> Result<(), String> {
    inherit::forget().map_err(|e| format!("cannot close what the agent left open: {e}"))?;
    let started = record::read::<Started>(dir).map_err(|e| chain(&e))?.ok_or("the task does not run")?;
    let leader = Process::open_exactly(&started.leader)
        .map_err(|e| format!("cannot look at the task's first process: {e}"))?
        .ok_or("the task does not run")?;
    if let Some(groups) = &spec.groups {
        groups.task().and_then(|group| group.enter()).map_err(|e| chain(&e))?;
    }
    if spec.namespaces.mount || spec.namespaces.pid {
        let mut types = ThreadNameSpaceType::MOUNT;
        types.set(ThreadNameSpaceType::PROCESS_ID, spec.namespaces.pid);
        move_into_thread_name_spaces(leader.as_fd(), types)
            .map_err(|e| format!("cannot join the task's namespaces: {e}"))?;
    }
    if spec.groups.is_some() || spec.namespaces.mount || spec.namespaces.pid {
        capabilities::bound().map_err(|e| format!("cannot give up capabilities: {e}"))?;
    }
    if let Some(user) = &spec.user {
        become_user(user).map_err(|e| format!("cannot become user {}: {e}", user.uid))?;
    }
    if spec.no_new_privileges {
        set_no_new_privs(true).map_err(|e| format!("cannot give up new privileges: {e}"))?;
    }
    std::env::set_current_dir(&spec.cwd).map_err(|e| format!("cannot enter {}: {e}", spec.cwd.display()))
}

fn finish(mut program: Program, timeout: Duration) -> Result<Answer, String> {
    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = program.spawn().map_err(|e| format!("cannot run the command: {e}"))?;
    let pid = i32::try_from(child.id()).map_err(|e| e.to_string())?;
    let ended = Process::open(pid).is_some_and(|process| process.wait(timeout));
    if !ended {
        if let Some(group) = Pid::from_raw(pid) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.kill();
    }
    let status = child.wait().map_err(|e| format!("cannot wait for the command: {e}"))?;
    Ok(match end_of(status) {
        _ if !ended => Answer::Bad(format!("the command took longer than {} ms", timeout.as_millis())),
        End::Code(0) => Answer::Good,
        End::Code(code) => Answer::Code(code),
        End::Signal(signal) => Answer::Bad(format!("the command was terminated by signal {signal}")),
        End::Failed(why) | End::Stuck(why) => Answer::Bad(why),
    })
}
