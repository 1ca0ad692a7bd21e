//! What stands beside the inventory of each run: its events, one JSON object a line, and its full log.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use thiserror::Error;

use crate::event::Event;
use crate::phase::Phase;

/// So many runs are kept.
const KEPT: usize = 50;
const EVENTS: &str = "events.jsonl";
const LOG: &str = "log";

/// Why there is no journal.
#[derive(Debug, Error)]
#[error("cannot {action} {}", path.display())]
pub struct JournalError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// A run's journal.
#[derive(Debug)]
pub struct Journal {
    id: String,
    dir: PathBuf,
    files: Mutex<Files>,
}

#[derive(Debug)]
struct Files {
    events: File,
    log: File,
}

/// What an earlier run left.
#[derive(Debug, Clone, PartialEq)]
pub struct Earlier {
    /// Its id.
    pub id: String,
    /// Its directory.
    pub dir: PathBuf,
    /// Its events, as far as they were written.
    pub events: Vec<Event>,
}

impl Earlier {
    /// Whether it came to its end.
    #[must_use]
    pub fn ended(&self) -> bool {
        matches!(self.events.last(), Some(Event::RunEnded { .. }))
    }

    /// Whether it came to its end, and all hosts are as they were to be.
    #[must_use]
    pub fn all_well(&self) -> bool {
        match self.events.last() {
            Some(Event::RunEnded { hosts, .. }) => hosts.iter().all(|(_, outcome)| outcome.is_good()),
            _ => false,
        }
    }

    /// Whether something was done on hosts: what was only looked at was not agreed to.
    #[must_use]
    pub fn was_begun(&self) -> bool {
        let done = |event: &Event| {
            matches!(
                event,
                Event::PhaseStarted { phase: Phase::Distribute | Phase::Masters | Phase::Agents, .. }
            )
        };
        self.events.iter().any(done)
    }

    /// How many hosts came through it.
    #[must_use]
    pub fn finished(&self) -> usize {
        let good = |event: &&Event| matches!(event, Event::HostEnded { outcome, .. } if outcome.is_good());
        self.events.iter().filter(good).count()
    }
}

impl Journal {
    /// Begins one below `runs`; the oldest ones go.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(runs: &Path, now: SystemTime, command: &str) -> Result<Self, JournalError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| JournalError { action, path, source }
        };
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700);
        private.create(runs).map_err(failed("make", runs))?;
        let id = id(now, std::process::id(), command);
        let dir = runs.join(&id);
        private.create(&dir).map_err(failed("make", &dir))?;
        let open = |name: &str| {
            let path = dir.join(name);
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
            file.map_err(failed("make", &path))
        };
        let files = Files { events: open(EVENTS)?, log: open(LOG)? };
        forget_old(runs);
        Ok(Self { id, dir, files: Mutex::new(files) })
    }

    /// The run's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where its full log is.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.dir.join(LOG)
    }

    /// Writes an event down. A disk that is full stops no install: it is told once, where diagnostics go.
    pub fn event(&self, event: &Event, now: SystemTime) {
        let Ok(mut line) = serde_json::to_vec(event) else { return };
        line.push(b'\n');
        // What hosts say may try to steer a terminal.
        let plain = log_line(event).replace(|c: char| c.is_control() && c != '\n', "\u{fffd}");
        let text = format!("{} {plain}\n", clock(now));
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let written = files.events.write_all(&line).and_then(|()| files.log.write_all(text.as_bytes()));
        if let Err(error) = written {
            tracing::warn!(%error, "the journal of this run cannot be written");
        }
    }

    /// Writes text into the log alone.
    pub fn log(&self, text: &str, now: SystemTime) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        // As above: the log is for people, and is not what a run rests on.
        let _ = writeln!(files.log, "{} {text}", clock(now));
    }

    /// The latest install below `runs`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn latest(runs: &Path) -> Result<Option<Earlier>, JournalError> {
        let Some(id) = ids(runs).into_iter().rev().find(|id| id.ends_with("-install")) else {
            return Ok(None);
        };
        let dir = runs.join(&id);
        let path = dir.join(EVENTS);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(Earlier { id, dir, events: Vec::new() }));
            }
            Err(source) => return Err(JournalError { action: "read", path, source }),
        };
        // The last line may be torn, and a later version may have written others.
        let lines = BufReader::new(file).lines().map_while(Result::ok);
        let events = lines.filter_map(|line| serde_json::from_str(&line).ok()).collect();
        Ok(Some(Earlier { id, dir, events }))
    }
}

/// Runs below the directory, the oldest first: their ids begin with the time.
fn ids(runs: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(runs) else { return Vec::new() };
    let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
    let mut ids: Vec<String> = entries.filter_map(name).collect();
    ids.sort();
    ids
}

fn forget_old(runs: &Path) {
    let ids = ids(runs);
    for id in ids.iter().take(ids.len().saturating_sub(KEPT)) {
        // What cannot be removed now is tried again by the next run.
        let _ = fs::remove_dir_all(runs.join(id));
    }
}

/// Like `20261126T021530.123Z-4711-install`: in order, and never the same twice.
fn id(now: SystemTime, pid: u32, command: &str) -> String {
    let stamp: String = clock(now).to_string().chars().filter(|c| !"-:".contains(*c)).collect();
    format!("{stamp}-{pid}-{command}")
}

/// RFC 3339 in UTC, with milliseconds.
pub fn clock(now: SystemTime) -> impl std::fmt::Display {
    humantime::format_rfc3339_millis(now)
}

/// One event for people, in full.
fn log_line(event: &Event) -> String {
    match event {
        Event::RunStarted { command, cluster, hosts, .. } => {
            format!("{command}: cluster {cluster}, {} hosts: {}", hosts.len(), hosts.join(" "))
        }
        Event::PhaseStarted { phase, hosts } => format!("phase {phase}: {hosts} hosts"),
        Event::PhaseEnded { phase, failed, millis } => {
            format!("phase {phase} ended after {millis} ms, {failed} failed")
        }
        Event::StepStarted { host, phase, what, step, of, .. } => {
            format!("{host} {phase} {step}/{of}: {what}")
        }
        Event::StepDone { host, phase, what, changed, millis } => {
            format!("{host} {phase}: {what}: {} after {millis} ms", if *changed { "changed" } else { "ok" })
        }
        Event::StepFailed { host, phase, what, failure } => {
            let status = failure.status.map(|status| format!(" (exit status {status})")).unwrap_or_default();
            format!("{host} {phase}: {what}: FAILED: {}{status}\n{}", failure.what, failure.said)
        }
        Event::Upload { host, sent, total } => format!("{host}: {sent} of {total} bytes sent"),
        Event::Waiting { what } => format!("waiting for {what}"),
        Event::Note { host, text } => {
            format!("{}{text}", host.as_ref().map(|h| format!("{h}: ")).unwrap_or_default())
        }
        Event::HostEnded { host, outcome } => format!("{host}: {}", outcome.word()),
        Event::RunEnded { millis, .. } => format!("ended after {millis} ms"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_latest_run_is_found_with_what_it_wrote_even_when_it_was_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Journal::latest(&dir.path().join("none")).unwrap(), None);
        let now = UNIX_EPOCH + Duration::from_secs(1_795_660_530);
        Journal::begin(dir.path(), now, "install").unwrap();
        let journal = Journal::begin(dir.path(), now + Duration::from_millis(5), "install").unwrap();
        let event = Event::Waiting { what: "a leader".to_owned() };
        journal.event(&event, now);
        let mut file = OpenOptions::new().append(true).open(journal.dir.join(EVENTS)).unwrap();
        file.write_all(b"{\"type\":\"waiti").unwrap();
        let earlier = Journal::latest(dir.path()).unwrap().unwrap();
        assert_eq!((earlier.id.as_str(), &earlier.events), (journal.id(), &vec![event]));
        assert!(!earlier.ended());
        assert!(fs::read_to_string(journal.log_path()).unwrap().contains("waiting for a leader"));
    }

    #[test]
    fn old_runs_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        for second in 0..KEPT as u64 + 3 {
            Journal::begin(dir.path(), UNIX_EPOCH + Duration::from_secs(second), "install").unwrap();
        }
        let ids = ids(dir.path());
        assert_eq!(ids.len(), KEPT);
        assert!(ids[0].starts_with("19700101T000003"), "{}", ids[0]);
    }
}
