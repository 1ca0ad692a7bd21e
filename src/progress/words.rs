//! What is said of events in lines that stay. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use installer::event::{Event, Failure, Outcome};
use installer::phase::Phase;
use installer::report::Counts;

use crate::error::labelled;
use crate::printer::style;
use crate::text::{count, spoken, visible};

/// So many of the last lines that a failing command said are shown at once; the end of the run shows all.
const SAID: usize = 5;

/// How much somebody has to want to read to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// Something failed: always.
    Failure,
    /// Something to know.
    Note,
    /// A phase or a host is at another state: where no live view shows it.
    Change,
    /// A step is done: with `-v`.
    Detail,
}

/// Turns events into words; remembers what was said.
#[derive(Clone, Debug, Default)]
pub(super) struct Teller {
    /// Where hosts are: the step, and how many there are.
    steps: BTreeMap<String, (usize, usize)>,
    /// How many steps of the phase changed something.
    changed: BTreeMap<(String, Phase), usize>,
    /// Hosts whose failure was told.
    told: BTreeSet<String>,
    waiting: Option<String>,
}

impl Teller {
    /// What there is to say: at most one thing, of one or several lines, with colours.
    pub(super) fn tell(&mut self, event: &Event) -> Option<(Weight, String)> {
        match event {
            Event::RunStarted { command, cluster, hosts, .. } => {
                let hosts = count(hosts.len() as u64, "host");
                Some((Weight::Change, visible(&format!("{command}: cluster {cluster}, {hosts}"))))
            }
            Event::PhaseStarted { phase, hosts } => {
                Some((Weight::Change, format!("{phase}: {}", count(*hosts as u64, "host"))))
            }
            Event::PhaseEnded { phase, failed, millis } => {
                let took = spoken(Duration::from_millis(*millis));
                let words = match failed {
                    0 => format!("{phase}: done after {took}"),
                    failed => format!("{phase}: ended after {took}, {failed} failed"),
                };
                Some((Weight::Change, words))
            }
            Event::StepStarted { host, step, of, .. } => {
                self.steps.insert(host.clone(), (*step, *of));
                None
            }
            Event::StepDone { host, phase, what, changed, millis } => {
                self.step_done(host, *phase, what, *changed, *millis)
            }
            Event::StepFailed { host, phase, what, failure } => {
                self.fail(host, &format!("{phase}: {what}"), failure)
            }
            Event::HostEnded { host, outcome: Outcome::Failed { phase, what, failure } } => {
                self.fail(host, &format!("{phase}: {what}"), failure)
            }
            Event::HostEnded { host, outcome: Outcome::Unreachable { failure } } => {
                self.fail(host, "unreachable", failure)
            }
            Event::HostEnded { host, outcome } => {
                let more = match outcome {
                    Outcome::Changed { steps } => format!(", {}", count(*steps as u64, "step")),
                    Outcome::Skipped { why } => format!(": {why}"),
                    _ => String::new(),
                };
                Some((Weight::Change, visible(&format!("{host}: {}{more}", outcome.word()))))
            }
            Event::Waiting { what } => {
                let is_new = self.waiting.replace(what.clone()).as_ref() != Some(what);
                is_new.then(|| (Weight::Change, visible(&format!("waiting for {what}"))))
            }
            Event::Note { host, text } => {
                let host = host.as_ref().map(|host| format!("{host}: ")).unwrap_or_default();
                Some((Weight::Note, labelled(style::ACTION, "note:", &format!("{host}{text}"))))
            }
            Event::RunEnded { hosts, millis, .. } => {
                let took = spoken(Duration::from_millis(*millis));
                Some((Weight::Change, format!("ended after {took}: {}", Counts::of(hosts).words())))
            }
            Event::Upload { .. } => None,
        }
    }

    /// The last of several steps says what the host went through, each of them only who wants details.
    fn step_done(
        &mut self,
        host: &str,
        phase: Phase,
        what: &str,
        changed: bool,
        millis: u64,
    ) -> Option<(Weight, String)> {
        let (step, of) = self.steps.remove(host).unwrap_or_default();
        let so_far = self.changed.entry((host.to_owned(), phase)).or_default();
        *so_far += usize::from(changed);
        let took = spoken(Duration::from_millis(millis));
        let word = if changed { "changed" } else { "ok" };
        let detail = visible(&format!("{host}: {phase} {step}/{of}: {what}: {word} after {took}"));
        if step < of || *so_far == 0 {
            return Some((Weight::Detail, detail));
        }
        let whole = visible(&format!("{host}: {phase}: {} done", count(*so_far as u64, "step")));
        Some((Weight::Change, whole))
    }

    fn fail(&mut self, host: &str, what: &str, failure: &Failure) -> Option<(Weight, String)> {
        self.steps.remove(host);
        if !self.told.insert(host.to_owned()) {
            return None;
        }
        let status = failure.status.map(|status| format!(" (exit status {status})")).unwrap_or_default();
        let mut text = format!("{host}: {what}: {}{status}", failure.what);
        let said: Vec<&str> = failure.said.lines().collect();
        for line in said.get(said.len().saturating_sub(SAID)..).unwrap_or_default() {
            text = format!("{text}\n| {line}");
        }
        let mut text = labelled(style::ERROR, "failed:", &text);
        if let Some(hint) = &failure.hint {
            text = format!("{text}\n  {}", labelled(style::ACTION, "hint:", hint));
        }
        Some((Weight::Failure, text))
    }
}

#[cfg(test)]
mod tests;
