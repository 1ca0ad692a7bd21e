//! The entry: everything between fork and exec, done by a program of its own.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command as Program, ExitCode, Stdio};

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{
    DumpableBehavior, Gid, Resource, Rlimit, Signal, Uid, WaitOptions, getrlimit, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit, setsid, wait,
};
use rustix::thread::{
    UnshareFlags, set_no_new_privs, set_thread_gid, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::control::{Word, may_go, say};
use crate::record;
use crate::spec::{Command, End, Spec};
use crate::user::User;

pub(super) mod capabilities;
pub(super) mod inherit;
mod mounts;
mod root;

pub(crate) use capabilities::bound as bound_capabilities;

/// Where programs are looked for when the task's environment does not say.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn run(dir: &Path) -> ExitCode {
    // A copy that exec closes: that it is closed tells the shim that the program runs.
    let Ok(control) = rustix::stdio::stdin().try_clone_to_owned() else { return ExitCode::FAILURE };
    let mut control = UnixStream::from(control);
    match start(dir, &mut control) {
        Ok(code) => code,
        Err(why) => {
            say(&mut control, &Word::Ended(End::Failed(why)));
            ExitCode::FAILURE
        }
    }
}

fn start(dir: &Path, control: &mut UnixStream) -> Result<ExitCode, String> {
    let spec: Spec = record::read(dir).map_err(|e| e.to_string())?.ok_or("there is no spec.json")?;
    isolate(&spec)?;
    if !may_go(control) {
        return Ok(ExitCode::FAILURE);
    }
    let mut program = program(&spec.command)?;
    program.stdin(Stdio::null()).env_clear().env("PATH", PATH);
    program.envs(spec.env.iter().map(|(name, value)| (name, value.expose())));
    if spec.namespaces.pid {
        Ok(be_first_process(program, control)
            .unwrap_or_else(|e| failed_to_run(control, &program_name(&spec), &e)))
    } else {
        let e = program.exec();
        Ok(failed_to_run(control, &program_name(&spec), &e))
    }
}

fn failed_to_run(control: &mut UnixStream, name: &str, e: &io::Error) -> ExitCode {
    say(control, &Word::Ended(End::Failed(format!("cannot run {name}: {e}"))));
    ExitCode::FAILURE
}

/// In this order: groups while we still may, mounts, then the user, and what its change would undo last.
fn isolate(spec: &Spec) -> Result<(), String> {
    inherit::forget().map_err(|e| format!("cannot close what the agent left open: {e}"))?;
    if let Some(groups) = &spec.groups {
        groups.task().and_then(|group| group.enter()).map_err(|e| chain(&e))?;
    } else {
        limit(spec);
    }
    if spec.namespaces.mount || spec.namespaces.pid {
        own_mounts(spec.namespaces.pid).map_err(|e| format!("cannot make a mount namespace: {e}"))?;
        let volumes = mounts::open(spec)?;
        let host = spec.root.as_ref().map(|root| root::enter(spec, root)).transpose()?;
        mounts::make(spec, volumes)?;
        if let Some(host) = host {
            host.let_go(spec)?;
        }
    } else if spec.root.is_some() || !spec.mounts.is_empty() {
        return Err("volumes and a root file system need a mount namespace, and the task has none".to_owned());
    }
    // A session of its own: no terminal, and a process group by which to find it.
    let _ = setsid();
    if spec.groups.is_some() || spec.namespaces.mount || spec.namespaces.pid {
        capabilities::bound().map_err(|e| format!("cannot give up capabilities: {e}"))?;
    }
    if let Some(user) = &spec.user {
        become_user(user).map_err(|e| format!("cannot become user {}: {e}", user.uid))?;
    }
    // Process 1 has the task's user, who must not get at our end of the control socket. Exec undoes it.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|e| format!("cannot hide from ptrace: {e}"))?;
    if spec.no_new_privileges {
        set_no_new_privs(true).map_err(|e| format!("cannot give up new privileges: {e}"))?;
    }
    // A task without a supervisor has nobody who logs, reaps or kills it: it goes with its shim.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| format!("cannot follow the shim: {e}"))?;
    std::env::set_current_dir(&spec.cwd).map_err(|e| format!("cannot enter {}: {e}", spec.cwd.display()))
}

/// Mounts of our own that follow the machine's. Unsharing files alone would be unsafe beside other threads.
#[expect(
    deprecated,
    reason = "the unsafe successor guards against UnshareFlags::FILES, which is not used here"
)]
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    Ok(rustix::thread::unshare(flags)?)
}

fn own_mounts(own_proc: bool) -> io::Result<()> {
    unshare(UnshareFlags::NEWNS)?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    if own_proc {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("proc", "/proc", "proc", flags, None)?;
    }
    Ok(())
}

pub(crate) fn become_user(user: &User) -> io::Result<()> {
    let gid = Gid::from_raw(user.gid);
    let uid = Uid::from_raw(user.uid);
    let groups: Vec<Gid> = user.groups.iter().map(|g| Gid::from_raw(*g)).collect();
    let (own_uid, own_gid) = (rustix::process::geteuid(), rustix::process::getegid());
    // Another user must never keep our groups; without root nobody but ourselves can be become.
    if own_uid.is_root() || own_uid != uid || own_gid != gid {
        set_thread_groups(&groups)?;
    }
    set_thread_gid(gid)?;
    set_thread_res_gid(gid, gid, gid)?;
    Ok(set_thread_res_uid(uid, uid, uid)?)
}

/// Without groups: memory counts per process, and processes per user, so those that the user has now are
/// added. Better than nothing, and all that there is without root.
fn limit(spec: &Spec) {
    let lower = |resource, value: u64| {
        let hard = getrlimit(resource).maximum;
        let value = hard.map_or(value, |hard| hard.min(value));
        let _ = setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) });
    };
    if let Some(bytes) = spec.limits.memory_bytes {
        lower(Resource::Data, bytes);
    }
    if let Some(pids) = spec.limits.pids {
        let uid = spec.user.as_ref().map_or_else(|| rustix::process::geteuid().as_raw(), |u| u.uid);
        lower(Resource::Nproc, pids.saturating_add(crate::proc::threads_of(uid)));
    }
}

pub(super) fn program(command: &Command) -> Result<Program, String> {
    match command {
        Command::Argv(argv) => {
            let (first, rest) = argv.split_first().ok_or("the command is empty")?;
            let mut program = Program::new(first);
            program.args(rest);
            Ok(program)
        }
        Command::Shell(line) => {
            let mut program = Program::new("/bin/sh");
            program.args(["-c", line]);
            Ok(program)
        }
    }
}

fn program_name(spec: &Spec) -> String {
    match &spec.command {
        Command::Argv(argv) => argv.first().cloned().unwrap_or_default(),
        Command::Shell(_) => "/bin/sh".into(),
    }
}

/// Process 1 of a pid namespace: starts the task as number 2, so that signals work for it as everywhere (for
/// process 1 those without a handler are lost), reaps all orphans, and ends with the last of them. It needs
/// no handler itself: what the shim sends to the group is lost on it but for SIGKILL.
fn be_first_process(mut program: Program, control: &mut UnixStream) -> io::Result<ExitCode> {
    let mut child = program.spawn()?;
    say(control, &Word::Runs);
    let main = i32::try_from(child.id()).unwrap_or(0);
    drop(child.stdin.take());
    // Only the task's own processes keep its output open.
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(null.as_fd())?;
    rustix::stdio::dup2_stderr(null.as_fd())?;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get() == main => {
                let status = std::process::ExitStatus::from_raw(status.as_raw());
                say(control, &Word::Ended(end_of(status)));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Ok(ExitCode::SUCCESS),
        }
    }
}

pub(super) fn end_of(status: std::process::ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Code(code),
        (None, Some(signal)) => End::Signal(signal),
        (None, None) => End::Failed("it ended in a way that has no name".into()),
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
