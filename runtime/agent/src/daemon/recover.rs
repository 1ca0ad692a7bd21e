//! What an earlier agent left in the work directory.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use api::marathon::Uuid;

use super::core::{Found, Recovered};
use super::paths::Meta;
use crate::adopt::{self, State, Why, release_unstarted};
use crate::process::Process;
use crate::record::{PROTOCOL, RecordError};
use crate::shim::chain;
use crate::spec::{End, Exit};

/// So many directories are looked at side by side; most of the time is waiting for the disk.
const THREADS: usize = 8;
/// How long what cannot be accounted for may take to die.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// A task that was found, with its shim where that lives.
pub(super) struct Left {
    pub(super) task: Recovered,
    pub(super) shim: Option<Process>,
}

/// Looks at all tasks of the work directory. What cannot be read is ended, put aside and named.
///
/// # Errors
/// When the directory cannot be listed.
pub(super) fn recover(meta: &Meta) -> io::Result<Vec<Left>> {
    let mut containers = Vec::new();
    for entry in fs::read_dir(meta.tasks())? {
        if let Some(container) = entry?.file_name().to_str().and_then(|name| name.parse::<Uuid>().ok()) {
            containers.push(container);
        }
    }
    let share = containers.len().div_ceil(THREADS).max(1);
    let mut left: Vec<Left> = Vec::with_capacity(containers.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = containers
            .chunks(share)
            .map(|part| scope.spawn(|| part.iter().filter_map(|c| recover_one(meta, *c)).collect::<Vec<_>>()))
            .collect();
        for thread in threads {
            left.extend(thread.join().unwrap_or_default());
        }
    });
    left.sort_by_key(|left| left.task.checkpoint.container);
    Ok(left)
}

fn recover_one(meta: &Meta, container: Uuid) -> Option<Left> {
    let dir = meta.task(container);
    let checkpoint = match meta.read_checkpoint(container) {
        Ok(Some(checkpoint)) => checkpoint,
        Ok(None) => {
            // Its writer was killed before it was written, so nothing was done for it.
            let _ = fs::remove_dir_all(&dir);
            return None;
        }
        Err(e @ (RecordError::Damaged { .. } | RecordError::Encode { .. })) => {
            give_up(meta, &dir, &chain(&e));
            return None;
        }
        // That it cannot be read now is no reason to end it.
        Err(e) => {
            tracing::error!(
                "a task is left alone and not told of until this agent is started anew: {}",
                chain(&e)
            );
            return None;
        }
    };
    let (found, shim) = find(&dir, checkpoint.info.id.as_str());
    let journal = meta.read_journal(container);
    Some(Left { task: Recovered { checkpoint, journal, found }, shim })
}

/// What became of a task, and its shim where that lives. May keep one that was never started from starting.
pub(super) fn find(dir: &Path, task: &str) -> (Found, Option<Process>) {
    loop {
        match adopt::recover_one(dir).state {
            State::Running(running) => {
                if let Some(damage) = &running.damage {
                    tracing::warn!("a task is adopted without all that is known of it: {damage}");
                }
                let since = running.started.map(|started| started.started_at_ms);
                return (Found::Running(since), Some(running.shim));
            }
            State::Exited(exit) => return (Found::Exited(Box::new(exit)), None),
            State::Lost { why: Why::NeverStarted, .. } => {
                // A shim that was spawned and has not taken its lock yet must find the task ended.
                let exit = never_started(task);
                match release_unstarted(dir, &exit) {
                    Ok(true) => return (Found::Lost(Why::NeverStarted), None),
                    // It was faster.
                    Ok(false) => {}
                    Err(e) => {
                        tracing::warn!("task {task} is looked at again: {}", chain(&e));
                        return (Found::Unknown, None);
                    }
                }
            }
            State::Lost { why, .. } => return (Found::Lost(why), None),
            State::Unknown(unknown) => {
                tracing::warn!("task {task} is looked at again: {}", chain(&unknown));
                return (Found::Unknown, None);
            }
        }
    }
}

fn never_started(task: &str) -> Exit {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Exit {
        version: PROTOCOL,
        task_id: task.to_owned(),
        end: End::Failed("the agent was started anew before the task ran".to_owned()),
        oom: false,
        killed: false,
        stuck: vec![],
        output_lost: 0,
        usage: crate::cgroup::Usage::default(),
        finished_at_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
    }
}

/// Whose task that is cannot be told any more, so nobody could ever end it: it is ended now. The master hears of it by
/// its absence.
fn give_up(meta: &Meta, dir: &Path, why: &str) {
    let started = match adopt::recover_one(dir).state {
        State::Running(running) => {
            running.shim.signal(rustix::process::Signal::KILL);
            let _ = running.shim.wait(KILL_LIMIT);
            running.started
        }
        State::Lost { started, .. } => started,
        State::Exited(_) => None,
        State::Unknown(unknown) => {
            tracing::error!(
                "a task is left alone, and nobody knows whose it is ({why}): {}",
                chain(&unknown)
            );
            return;
        }
    };
    if let Some(Err(e)) = started.map(|started| adopt::clean_up(&started, KILL_LIMIT)) {
        tracing::error!("what is left of {} was not ended: {}", dir.display(), chain(&e));
    }
    match meta.put_aside(dir) {
        Ok(aside) => tracing::error!("a task is given up, its records are in {}: {why}", aside.display()),
        Err(e) => tracing::error!("a task is given up: {why}; its records stay: {}", chain(&e)),
    }
}
