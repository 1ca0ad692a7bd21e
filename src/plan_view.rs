//! A plan, and what stands in its way, as people read it. Pure; colours are for the printer to keep or to strip.

use installer::phase::Phase;
use installer::plan::{Deed, Step, Write};
use installer::preflight::{Finding, Level};

use crate::diff;
use crate::error::labelled;
use crate::printer::style;
use crate::text::{count, visible};

/// So many names of hosts stand in one line.
const NAMES: usize = 12;

/// How much of files is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// All that they will hold.
    Whole,
    /// What changes in those that are there; of new ones the names.
    Changes,
}

/// What would be done on each host, by phase, with the difference in each file; then how many hosts change. Hosts with the
/// very same steps are shown once.
pub(crate) fn plan_view(plan: &[(String, Vec<Step>)], detail: Detail) -> String {
    let mut groups: Vec<(Vec<&str>, &[Step])> = Vec::new();
    for (host, steps) in plan.iter().filter(|(_, steps)| !steps.is_empty()) {
        match groups.iter_mut().find(|(_, others)| *others == steps.as_slice()) {
            Some((hosts, _)) => hosts.push(host),
            None => groups.push((vec![host], steps)),
        }
    }
    let mut text = String::new();
    for (hosts, steps) in &groups {
        let heading = style::HEADING;
        let same = if hosts.len() > 1 { "  (the same on each)" } else { "" };
        text += &format!("{heading}{}{heading:#}{same}\n", names(hosts));
        text += &of_host(steps, detail);
        text.push('\n');
    }
    let unchanged: Vec<&str> =
        plan.iter().filter(|(_, steps)| steps.is_empty()).map(|(host, _)| host.as_str()).collect();
    let changed = plan.len() - unchanged.len();
    text += &match (changed, unchanged.len()) {
        (0, same) => format!("nothing to change, {same} as they are\n"),
        (changed, 0) => format!("{changed} to change\n"),
        (changed, same) => format!("{changed} to change, {same} as they are ({})\n", names(&unchanged)),
    };
    text
}

/// Names with commas; of very many the first.
fn names(hosts: &[&str]) -> String {
    let shown: Vec<String> = hosts.iter().take(NAMES).map(|host| visible(host)).collect();
    let more = hosts.len().saturating_sub(NAMES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &more
}

fn of_host(steps: &[Step], detail: Detail) -> String {
    let mut text = String::new();
    let mut phase: Option<Phase> = None;
    for step in steps {
        if phase.replace(step.phase) != Some(step.phase) {
            text += &format!("  {}\n", step.phase);
        }
        text += &format!("    {}: {}\n", visible(&step.what), visible(&step.deed.words()));
        if let Deed::Write(write) = &step.deed
            && (detail == Detail::Whole || !write.new)
        {
            text += &content(write);
        }
    }
    text
}

/// What a file holds and will hold, each line below the step's.
fn content(write: &Write) -> String {
    let remark = |words: &str| {
        let dim = style::CAUSE;
        format!("{dim}({words}){dim:#}\n")
    };
    let shown = match (&write.after, &write.before, &write.sum) {
        (None, _, None) => remark("not shown"),
        (None, _, Some(sum)) => remark(&format!("SHA-256 {}…", sum.short())),
        (Some(after), None, _) if write.new => difference("", after).unwrap_or_else(|| remark("it is empty")),
        (Some(after), None, _) => {
            remark("what it holds now is not known") + &difference("", after).unwrap_or_default()
        }
        (Some(after), Some(before), _) => {
            difference(before, after).unwrap_or_else(|| remark("only line ends differ"))
        }
    };
    shown.lines().map(|line| format!("      {line}\n")).collect()
}

/// Without the two lines of names, which the step's own line has said.
fn difference(before: &str, after: &str) -> Option<String> {
    let text = diff::unified("", "", before, after)?;
    Some(text.lines().skip(2).map(|line| format!("{line}\n")).collect())
}

/// What checks found: equal findings once, errors first, each with what to do about it.
pub(crate) fn findings_view(findings: &[Finding]) -> String {
    let mut groups: Vec<(&Finding, Vec<&str>)> = Vec::new();
    for finding in findings {
        let is_same = |other: &Finding| {
            (other.level, other.check, &other.what, &other.remedy)
                == (finding.level, finding.check, &finding.what, &finding.remedy)
        };
        match groups.iter_mut().find(|(other, _)| is_same(other)) {
            Some((_, hosts)) => hosts.push(&finding.host),
            None => groups.push((finding, vec![&finding.host])),
        }
    }
    // Stable: within a level they stay in the order in which they were found.
    groups.sort_by_key(|(finding, _)| std::cmp::Reverse(finding.level));
    let mut text = String::new();
    for (finding, hosts) in &groups {
        let label = match finding.level {
            Level::Error => (style::ERROR, "error:"),
            Level::Warning => (style::WARNING, "warning:"),
        };
        let who = match hosts.as_slice() {
            [one] => visible(one),
            many => format!("{} hosts ({})", many.len(), names(many)),
        };
        text += &labelled(label.0, label.1, &format!("{who}: {}: {}", finding.check, finding.what));
        text += &format!("\n  {}\n", labelled(style::ACTION, "hint:", &finding.remedy));
    }
    let levels: Vec<Level> = groups.iter().map(|(finding, _)| finding.level).collect();
    text + &tally(&levels)
}

fn tally(levels: &[Level]) -> String {
    let number = |level| levels.iter().filter(|each| **each == level).count() as u64;
    match (number(Level::Error), number(Level::Warning)) {
        (0, 0) => String::new(),
        (errors, 0) => count(errors, "error") + "\n",
        (0, warnings) => count(warnings, "warning") + "\n",
        (errors, warnings) => format!("{}, {}\n", count(errors, "error"), count(warnings, "warning")),
    }
}

#[cfg(test)]
mod tests;
