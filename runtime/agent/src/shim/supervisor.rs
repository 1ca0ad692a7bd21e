//! The supervisor: one thread, one loop around poll(2).

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command as Program, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::{Resource, Rlimit, getrlimit, set_child_subreaper, setrlimit, setsid};
use rustix::thread::UnshareFlags;

use super::control::{Line, Word};
use super::entry::{chain, end_of, unshare};
use super::inputs::{Signals, Stream, drain};
use super::log::Log;
use super::tree::{Tree, reap};
use super::{ALREADY, BROKEN, Outcome};
use crate::proc::Identity;
use crate::process::timespec;
use crate::record::{self, Durability, PROTOCOL};
use crate::spec::{End, Exit, Spec, Started};

/// Name of the file whose lock says that a shim lives.
pub(crate) const LOCK: &str = "lock";
/// How long the killed may take to be gone before they are called stuck.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// No deadline: look around once in a while all the same.
const IDLE: Duration = Duration::from_secs(24 * 3600);

pub(super) fn run(dir: &Path) -> ExitCode {
    // First of all, so that no request to end is lost on the way.
    raise_descriptors();
    let Ok(signals) = Signals::listen() else { return ExitCode::from(BROKEN) };
    // Of no terminal's and no agent's group.
    let _ = setsid();
    let _lock = match lock(dir) {
        Ok(Some(file)) => file,
        Ok(None) => return already(),
        Err(_) => return ExitCode::from(BROKEN),
    };
    // Under the lock: whatever an earlier shim left is complete, and a task is started once.
    for file in [<Started as record::Record>::FILE, <Exit as record::Record>::FILE] {
        match dir.join(file).try_exists() {
            Ok(false) => {}
            Ok(true) => return already(),
            // Perhaps it was started.
            Err(_) => return ExitCode::from(BROKEN),
        }
    }
    let _ = std::env::set_current_dir("/");
    let spec: Spec = match record::read(dir) {
        Ok(Some(spec)) => spec,
        Ok(None) => return give_up(dir, "", "there is no spec.json"),
        Err(e) => return give_up(dir, "", &chain(&e)),
    };
    match Supervisor::start(dir, &spec, &signals) {
        Ok(supervisor) => supervisor.supervise(&signals),
        Err(NotStarted { why, killed, stuck }) => {
            if let Some(Ok(group)) = spec.groups.as_ref().map(crate::spec::Groups::task)
                && group.try_pids().is_ok_and(|pids| pids.is_empty())
            {
                // Half made, perhaps. One that somebody else's processes are in stays as it is.
                let _ = group.remove();
            }
            end_unstarted(dir, &spec.task_id, NotStarted { why, killed, stuck })
        }
    }
}

/// Why the task's program was not started.
struct NotStarted {
    why: String,
    /// Whether that was asked for.
    killed: bool,
    /// What was started for it and does not end.
    stuck: Vec<i32>,
}

impl From<String> for NotStarted {
    fn from(why: String) -> Self {
        Self { why, killed: false, stuck: vec![] }
    }
}

/// As many descriptors as we may have: running out of them while a task is looked at or killed would be ours to
/// suffer. The entry sets what its task gets.
fn raise_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// A record lock: not inherited by children, gone with the process, and the kernel tells whose it is.
fn lock(dir: &Path) -> io::Result<Option<std::fs::File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(LOCK))?;
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn already() -> ExitCode {
    report(&Outcome::Already);
    ExitCode::from(ALREADY)
}

fn give_up(dir: &Path, task_id: &str, why: &str) -> ExitCode {
    end_unstarted(dir, task_id, why.to_owned().into())
}

fn end_unstarted(dir: &Path, task_id: &str, NotStarted { why, killed, stuck }: NotStarted) -> ExitCode {
    let exit = Exit {
        version: PROTOCOL,
        task_id: task_id.to_owned(),
        end: End::Failed(why.clone()),
        oom: false,
        killed,
        stuck,
        output_lost: 0,
        usage: crate::cgroup::Usage::default(),
        finished_at_ms: now_ms(),
    };
    let written = record::write(dir, &exit, Durability::Synced);
    report(&Outcome::Failed { why });
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) }
}

/// Tells the agent, if it still listens, and closes the pipe.
fn report(outcome: &Outcome) {
    if let Ok(line) = serde_json::to_string(outcome) {
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.write_all(b"\n"));
        let _ = stdout.flush();
    }
    if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(null.as_fd());
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

struct Supervisor<'a> {
    dir: &'a Path,
    spec: &'a Spec,
    tree: Tree,
    leader: i32,
    control: Line,
    streams: [Stream; 2],
    buffer: Vec<u8>,
    reported: bool,
    end: Option<End>,
    leader_gone: bool,
    /// Once asked to end: when what is left is killed.
    deadline: Option<Instant>,
}

impl<'a> Supervisor<'a> {
    fn start(dir: &'a Path, spec: &'a Spec, signals: &Signals) -> Result<Self, NotStarted> {
        let own = rustix::process::getpid();
        set_child_subreaper(Some(own)).map_err(|e| format!("cannot adopt orphans: {e}"))?;
        let mut task = None;
        if let Some(groups) = &spec.groups {
            let shim = groups.shim().map_err(|e| chain(&e))?;
            shim.ensure().and_then(|()| shim.enter()).map_err(|e| chain(&e))?;
            let group = groups.task().map_err(|e| chain(&e))?;
            group.create(&spec.limits).map_err(|e| chain(&e))?;
            task = Some(group);
        }
        let open = |name| {
            let logs = &spec.logs;
            let log = Log::open(&logs.dir, name, logs.max_bytes, logs.keep, spec.user.as_ref())
                .map_err(|e| format!("cannot open {name} in {}: {e}", logs.dir.display()))?;
            let (read, write) = io::pipe().map_err(|e| format!("cannot make a pipe: {e}"))?;
            rustix::io::ioctl_fionbio(&read, true).map_err(|e| format!("cannot use a pipe: {e}"))?;
            Ok::<_, String>((Stream { pipe: Some(read), log }, Stdio::from(write)))
        };
        let (stdout, task_stdout) = open("stdout")?;
        let (stderr, task_stderr) = open("stderr")?;
        let (control, task_control) = UnixStream::pair().map_err(|e| format!("cannot make a socket: {e}"))?;
        if spec.namespaces.pid {
            // Ours stays; the next child is process 1 of the new one.
            unshare(UnshareFlags::NEWPID).map_err(|e| format!("cannot make a pid namespace: {e}"))?;
        }
        // The program that runs now, even when its file was replaced, with what made it a shim.
        let mut args: Vec<_> = std::env::args_os().skip(1).collect();
        args.truncate(args.len().saturating_sub(2));
        // Reaped by wait(2), like all children, adopted ones too.
        let child = Program::new("/proc/self/exe")
            .args(args)
            .arg("entry")
            .arg(dir)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(task_control)))
            .stdout(task_stdout)
            .stderr(task_stderr)
            .spawn()
            .map_err(|e| format!("cannot start the entry: {e}"))?;
        let leader = i32::try_from(child.id()).map_err(|e| e.to_string())?;
        let control = Line::new(control).map_err(|e| format!("cannot use a socket: {e}"))?;
        let mut supervisor = Self {
            dir,
            spec,
            tree: Tree::new(task, own.as_raw_nonzero().get()),
            leader,
            control,
            streams: [stdout, stderr],
            buffer: vec![0; 16 << 10],
            reported: false,
            end: None,
            leader_gone: false,
            deadline: None,
        };
        if let Err(why) = supervisor.record_start() {
            let stuck = supervisor.tree.kill(KILL_LIMIT);
            return Err(NotStarted { why, killed: false, stuck });
        }
        if drain(&signals.term) {
            let stuck = supervisor.tree.kill(KILL_LIMIT);
            return Err(NotStarted { why: "it was killed before it ran".into(), killed: true, stuck });
        }
        supervisor.control.go();
        Ok(supervisor)
    }

    fn record_start(&self) -> Result<(), String> {
        let identity = |pid| Identity::of(pid).map_err(|e| format!("cannot identify process {pid}: {e}"));
        let started = Started {
            version: PROTOCOL,
            task_id: self.spec.task_id.clone(),
            shim: identity(rustix::process::getpid().as_raw_nonzero().get())?,
            leader: identity(self.leader)?,
            groups: self.spec.groups.clone(),
            started_at_ms: now_ms(),
        };
        // How it ended must be told on a full disk too.
        record::reserve::<Exit>(self.dir).map_err(|e| chain(&e))?;
        record::write(self.dir, &started, Durability::ThisBoot).map_err(|e| chain(&e))
    }

    fn supervise(mut self, signals: &Signals) -> ExitCode {
        while !self.is_over() {
            self.wait(signals);
            self.listen();
            if drain(&signals.term) && self.deadline.is_none() {
                self.ask_to_end();
            }
            if drain(&signals.child) {
                self.reap();
            }
            for stream in &mut self.streams {
                stream.copy(&mut self.buffer);
            }
        }
        self.finish()
    }

    /// What is not the task's own program yet cannot hear a request, so it has no grace period.
    fn ask_to_end(&mut self) {
        let grace = if self.reported { self.spec.grace_ms } else { 0 };
        let now = Instant::now();
        self.deadline = Some(now.checked_add(Duration::from_millis(grace)).unwrap_or(now + IDLE));
        if self.reported {
            self.tree.terminate();
        }
    }

    /// Over when the main process ended; those left behind have the rest of a grace period only when the
    /// task was asked to end. At its end they are killed, main process and all.
    fn is_over(&self) -> bool {
        match (&self.end, self.deadline) {
            (_, Some(deadline)) if Instant::now() >= deadline => true,
            (Some(_), None) => true,
            (Some(_), Some(_)) => self.leader_gone && self.tree.is_empty(),
            (None, _) => false,
        }
    }

    fn wait(&self, signals: &Signals) {
        let mut fds =
            vec![PollFd::new(&signals.term, PollFlags::IN), PollFd::new(&signals.child, PollFlags::IN)];
        fds.extend(self.control.stream().map(|s| PollFd::new(s, PollFlags::IN)));
        fds.extend(
            self.streams.iter().filter_map(|s| s.pipe.as_ref()).map(|p| PollFd::new(p, PollFlags::IN)),
        );
        let limit = self.deadline.map_or(IDLE, |d| d.saturating_duration_since(Instant::now()));
        // Interrupted or not, the loop looks at everything.
        let _ = poll(&mut fds, Some(&timespec(limit)));
    }

    /// Hears the entry. A direct one goes silent when it becomes the task.
    fn listen(&mut self) {
        for word in self.control.words() {
            match word {
                Word::Runs => self.report_running(),
                Word::Ended(end) => {
                    self.end.get_or_insert(end);
                }
            }
        }
        if self.control.stream().is_none() && self.end.is_none() && !self.spec.namespaces.pid {
            self.report_running();
        }
    }

    fn report_running(&mut self) {
        if !self.reported {
            self.reported = true;
            report(&Outcome::Running { pid: self.leader });
        }
    }

    /// Reaps all that ended, orphans too.
    fn reap(&mut self) {
        let mut ended = None;
        let leader = self.leader;
        reap(&mut |pid, status| ended = ended.or((pid == leader).then_some(status)));
        self.leader_ended(ended);
    }

    fn leader_ended(&mut self, status: Option<ExitStatus>) {
        let Some(status) = status else { return };
        // What it said before it ended counts more than how it ended.
        self.listen();
        self.leader_gone = true;
        self.end.get_or_insert(end_of(status));
    }

    fn finish(mut self) -> ExitCode {
        let (mut ended, leader) = (None, self.leader);
        let stuck = self
            .tree
            .kill_and_reap(KILL_LIMIT, |pid, status| ended = ended.or((pid == leader).then_some(status)));
        self.leader_ended(ended);
        self.listen();
        for stream in &mut self.streams {
            stream.finish(&mut self.buffer);
        }
        let usage = self.tree.group().map(crate::cgroup::Group::usage).unwrap_or_default();
        let end = self.end.take().unwrap_or_else(|| End::Stuck("its main process does not end".into()));
        let exit = Exit {
            version: PROTOCOL,
            task_id: self.spec.task_id.clone(),
            end,
            oom: usage.oom_kills.is_some_and(|n| n > 0),
            killed: self.deadline.is_some(),
            output_lost: self.streams.iter().map(|s| s.log.lost()).sum(),
            usage,
            finished_at_ms: now_ms(),
            stuck,
        };
        let written = record::write(self.dir, &exit, Durability::Synced);
        if let Some(group) = self.tree.group().filter(|_| exit.stuck.is_empty()) {
            // What was moved in meanwhile keeps it; the agent looks again.
            let _ = group.remove();
        }
        if !self.reported {
            match &exit.end {
                End::Failed(why) | End::Stuck(why) => report(&Outcome::Failed { why: why.clone() }),
                _ => self.report_running(),
            }
        }
        if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) }
    }
}
