//! What goes on in a run, and the lines that show it. Pure: events and times come in, lines go out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use installer::event::{Event, Outcome};
use installer::phase::Phase;
use unicode_width::UnicodeWidthStr as _;

use super::line::{Line, column};
use crate::printer::style;
use crate::text;

/// So many busy hosts are shown.
const SHOWN: usize = 8;
/// A name of a host has at most so many columns.
const NAME: usize = 24;
/// Phases have so many.
const PHASE: usize = 10;
/// An upload's bar has so many.
const BAR: usize = 16;

const GOOD: Style = AnsiColor::Green.on_default();
const WARN: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// All that is going on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    phases: Vec<Stage>,
    busy: BTreeMap<String, Busy>,
    uploads: BTreeMap<String, Upload>,
    waiting: Option<(String, Duration)>,
}

/// A phase that began.
#[derive(Clone, Debug)]
struct Stage {
    phase: Phase,
    hosts: usize,
    since: Duration,
    done: BTreeSet<String>,
    failed: BTreeSet<String>,
    /// How many failed and how long it took, once it is over.
    ended: Option<(usize, Duration)>,
}

/// What a host is at.
#[derive(Clone, Debug)]
struct Busy {
    phase: Phase,
    what: String,
    step: usize,
    of: usize,
    since: Duration,
    expected: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Upload {
    sent: u64,
    total: u64,
    since: Duration,
}

/// A busy host as it is shown.
struct Row<'a> {
    host: &'a str,
    busy: Option<&'a Busy>,
    upload: Option<Upload>,
    took: Duration,
}

impl Row<'_> {
    fn is_slow(&self) -> bool {
        self.busy.is_some_and(|busy| self.took > busy.expected)
    }

    fn what(&self) -> String {
        let steps = |busy: &Busy| format!("{}/{} {}", busy.step, busy.of, busy.what);
        self.busy.map_or_else(|| "upload".to_owned(), steps)
    }
}

impl Model {
    /// Takes in what happened, `now` since the beginning.
    pub(crate) fn apply(&mut self, event: &Event, now: Duration) {
        match event {
            Event::PhaseStarted { phase, hosts } => {
                self.phases.retain(|stage| stage.phase != *phase);
                self.phases.push(Stage {
                    phase: *phase,
                    hosts: *hosts,
                    since: now,
                    done: BTreeSet::new(),
                    failed: BTreeSet::new(),
                    ended: None,
                });
                self.waiting = None;
            }
            Event::PhaseEnded { phase, failed, millis } => {
                if let Some(stage) = self.stage(*phase) {
                    stage.ended = Some((*failed, Duration::from_millis(*millis)));
                }
                self.busy.retain(|_, busy| busy.phase != *phase);
                self.waiting = None;
            }
            Event::StepStarted { host, phase, what, step, of, expected } => {
                let (phase, what, expected) = (*phase, what.clone(), Duration::from_secs(*expected));
                let busy = Busy { phase, what, step: *step, of: *of, since: now, expected };
                self.busy.insert(host.clone(), busy);
            }
            Event::StepDone { host, phase, .. } => {
                let last = self.busy.remove(host).is_some_and(|busy| busy.step >= busy.of);
                if last && let Some(stage) = self.stage(*phase) {
                    stage.done.insert(host.clone());
                }
            }
            Event::StepFailed { host, phase, .. } => self.fail(host, Some(*phase)),
            Event::Upload { host, sent, total } if sent < total => {
                let since = self.uploads.get(host).map_or(now, |upload| upload.since);
                self.uploads.insert(host.clone(), Upload { sent: *sent, total: *total, since });
            }
            Event::Upload { host, .. } => {
                self.uploads.remove(host);
            }
            Event::Waiting { what } => self.waiting = Some((what.clone(), now)),
            Event::HostEnded { host, outcome: Outcome::Failed { phase, .. } } => {
                self.fail(host, Some(*phase));
            }
            Event::HostEnded { host, outcome: Outcome::Unreachable { .. } } => self.fail(host, None),
            Event::HostEnded { host, .. } => self.forget(host),
            Event::RunEnded { .. } => {
                self.busy.clear();
                self.uploads.clear();
                self.waiting = None;
            }
            Event::RunStarted { .. } | Event::Note { .. } => {}
        }
    }

    fn stage(&mut self, phase: Phase) -> Option<&mut Stage> {
        self.phases.iter_mut().find(|stage| stage.phase == phase)
    }

    fn forget(&mut self, host: &str) {
        self.busy.remove(host);
        self.uploads.remove(host);
    }

    /// A host failed in a phase; without one, in whichever goes on.
    fn fail(&mut self, host: &str, phase: Option<Phase>) {
        self.forget(host);
        let stage = self.phases.iter_mut().rev().find(|stage| match phase {
            Some(phase) => stage.phase == phase,
            None => stage.ended.is_none(),
        });
        if let Some(stage) = stage {
            stage.failed.insert(host.to_owned());
        }
    }

    /// Hosts at work, those that have been longest at one thing first.
    fn rows<'a>(&'a self, now: Duration) -> Vec<Row<'a>> {
        let hosts: BTreeSet<&String> = self.busy.keys().chain(self.uploads.keys()).collect();
        let row = |host: &'a String| {
            let (busy, upload) = (self.busy.get(host), self.uploads.get(host).copied());
            let since = busy.map(|busy| busy.since).or(upload.map(|upload| upload.since)).unwrap_or(now);
            Row { host, busy, upload, took: now.saturating_sub(since) }
        };
        let mut rows: Vec<Row<'a>> = hosts.into_iter().map(row).collect();
        // Stable, so that equals stay in the order of their names.
        rows.sort_by_key(|row| std::cmp::Reverse(row.took));
        rows
    }

    /// What is shown at that time, in lines of at most `width` columns.
    pub(crate) fn lines(&self, now: Duration, width: usize, colour: bool) -> Vec<String> {
        let rows = self.rows(now);
        let shown = rows.get(..SHOWN.min(rows.len())).unwrap_or_default();
        let names = shown.iter().map(|row| text::visible(row.host).width()).max().unwrap_or(0).min(NAME);
        let any_slow = shown.iter().any(Row::is_slow);
        let phases = self.phases.iter().map(|stage| stage.line(now));
        let hosts = shown.iter().map(|row| row.line(names, any_slow));
        let mut lines: Vec<Line> = phases.chain(hosts).collect();
        if rows.len() > shown.len() {
            let mut line = Line::default();
            line.push(&format!("  and {} more", rows.len() - shown.len()), style::CAUSE);
            lines.push(line);
        }
        if let Some((what, since)) = &self.waiting {
            let mut line = Line::default();
            line.plain(&format!("waiting for {what}  "));
            line.push(&clock(now.saturating_sub(*since)), style::CAUSE);
            lines.push(line);
        }
        lines.iter().map(|line| line.fit(width, colour)).collect()
    }

    /// Who is busy with what, in one line for a reader that has heard nothing for a while; nothing when nobody is.
    pub(crate) fn heartbeat(&self, now: Duration) -> Option<String> {
        let rows = self.rows(now);
        let of_row = |row: &Row<'_>| {
            let phase = row.busy.map(|busy| format!("{} ", busy.phase)).unwrap_or_default();
            let slow = if row.is_slow() { ", slow" } else { "" };
            let sent = row.upload.map(|upload| format!(", {}", upload.words())).unwrap_or_default();
            let (host, what) = (text::visible(row.host), text::visible(&row.what()));
            format!("{host} ({phase}{what}{sent}, {}{slow})", clock(row.took))
        };
        let mut parts: Vec<String> = rows.iter().take(SHOWN).map(of_row).collect();
        if rows.len() > SHOWN {
            parts.push(format!("{} more", rows.len() - SHOWN));
        }
        if let Some((what, since)) = &self.waiting {
            let took = clock(now.saturating_sub(*since));
            parts.push(format!("waiting for {} ({took})", text::visible(what)));
        }
        (!parts.is_empty()).then(|| format!("still busy: {}", parts.join(", ")))
    }
}

impl Stage {
    fn line(&self, now: Duration) -> Line {
        let (failed, took) = self.ended.unwrap_or((self.failed.len(), now.saturating_sub(self.since)));
        let done = if self.ended.is_some() { self.hosts.saturating_sub(failed) } else { self.done.len() };
        let mut line = Line::default();
        line.push(&column(self.phase.name(), PHASE), style::HEADING);
        let whole = self.ended.is_some() && failed == 0;
        line.push(&format!("  {done}/{}", self.hosts), if whole { GOOD } else { Style::new() });
        if failed > 0 {
            line.push(&format!("  {failed} failed"), BAD);
        }
        line.push(&format!("  {}", clock(took)), style::CAUSE);
        line
    }
}

impl Row<'_> {
    /// What matters most stands first, since the end may be cut off.
    fn line(&self, names: usize, any_slow: bool) -> Line {
        let mut line = Line::default();
        line.plain(&format!("  {}  ", column(self.host, names)));
        line.push(&format!("{:>6}", clock(self.took)), style::CAUSE);
        if any_slow {
            line.push(if self.is_slow() { "  SLOW" } else { "      " }, WARN);
        }
        if let Some(upload) = self.upload {
            line.push(&format!("  {}", upload.bar()), GOOD);
            line.plain(&format!(" {}", upload.words()));
        }
        if self.busy.is_some() || self.upload.is_none() {
            line.plain(&format!("  {}", self.what()));
        }
        line
    }
}

impl Upload {
    fn bar(self) -> String {
        let full = u128::from(self.sent) * BAR as u128 / u128::from(self.total.max(1));
        let full = usize::try_from(full).unwrap_or(BAR).min(BAR);
        format!("[{}{}]", "#".repeat(full), "-".repeat(BAR - full))
    }

    fn words(self) -> String {
        format!("{} of {}", text::bytes(self.sent), text::bytes(self.total))
    }
}

/// A time that goes on: `7s`, `1m05s`, `2h03m`.
pub(super) fn clock(took: Duration) -> String {
    let seconds = took.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests;
