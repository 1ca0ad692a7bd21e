//! The end of a run, in a table: hosts by outcome, and equal errors once. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::event::{Failure, Outcome};

/// So many names of hosts stand in one line.
const NAMES: usize = 12;

/// How many hosts came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Nothing to do.
    pub ok: usize,
    /// Changed.
    pub changed: usize,
    /// Failed.
    pub failed: usize,
    /// Not reached.
    pub unreachable: usize,
    /// Left out.
    pub skipped: usize,
}

impl Counts {
    /// Counts them.
    #[must_use]
    pub fn of(hosts: &[(String, Outcome)]) -> Self {
        let mut counts = Self::default();
        for (_, outcome) in hosts {
            *match outcome {
                Outcome::Ok => &mut counts.ok,
                Outcome::Changed { .. } => &mut counts.changed,
                Outcome::Failed { .. } => &mut counts.failed,
                Outcome::Unreachable { .. } => &mut counts.unreachable,
                Outcome::Skipped { .. } => &mut counts.skipped,
            } += 1;
        }
        counts
    }

    /// Like `3 ok, 1 failed`.
    #[must_use]
    pub fn words(&self) -> String {
        let all = [
            (self.ok, "ok"),
            (self.changed, "changed"),
            (self.failed, "failed"),
            (self.unreachable, "unreachable"),
            (self.skipped, "skipped"),
        ];
        let words: Vec<_> =
            all.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        if words.is_empty() { "no hosts".to_owned() } else { words.join(", ") }
    }
}

/// The table, as plain text.
#[must_use]
pub fn table(hosts: &[(String, Outcome)]) -> String {
    let mut text = String::new();
    let width = hosts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, outcome) in hosts {
        let more = match outcome {
            Outcome::Ok => String::new(),
            Outcome::Changed { steps } => format!("{steps} step{}", if *steps == 1 { "" } else { "s" }),
            Outcome::Failed { phase, what, .. } => format!("{phase}: {what}"),
            Outcome::Unreachable { failure } => failure.what.clone(),
            Outcome::Skipped { why } => why.clone(),
        };
        let line = format!("{name:width$}  {:11}  {}", outcome.word(), crate::report::one_line(&more));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text + &errors(hosts)
}

/// Every error once, with the hosts that had it.
fn errors(hosts: &[(String, Outcome)]) -> String {
    let mut same: BTreeMap<(String, &Failure), Vec<&str>> = BTreeMap::new();
    let mut order = Vec::new();
    for (name, outcome) in hosts {
        let (about, failure) = match outcome {
            Outcome::Failed { what, failure, .. } => (what.clone(), failure),
            // What is different between hosts, such as their addresses, is in the table.
            Outcome::Unreachable { failure } => (String::new(), failure),
            _ => continue,
        };
        let key = (about, failure);
        if !same.contains_key(&key) {
            order.push(key.clone());
        }
        same.entry(key).or_default().push(name);
    }
    let mut text = String::new();
    for key in order {
        let Some(names) = same.get(&key) else { continue };
        let (about, failure) = key;
        let who = match names.as_slice() {
            [one] => (*one).to_owned(),
            many => {
                let more = many.len().saturating_sub(NAMES);
                let shown = many.iter().take(NAMES).copied().collect::<Vec<_>>().join(", ");
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("same error on {} hosts ({shown}{more})", many.len())
            }
        };
        let about = if about.is_empty() { about } else { format!("{about}: ") };
        let status = failure.status.map(|status| format!(" (exit status {status})")).unwrap_or_default();
        let _ = writeln!(text, "\n{who}: {about}{}{status}", failure.what);
        for line in failure.said.lines() {
            let _ = writeln!(text, "  | {line}");
        }
        if let Some(hint) = &failure.hint {
            let _ = writeln!(text, "  hint: {hint}");
        }
    }
    text
}

/// Without line ends, and not longer than a line.
pub(crate) fn one_line(text: &str) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if flat.chars().count() <= 100 { flat } else { flat.chars().take(99).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phase::Phase;

    #[test]
    fn hosts_are_listed_and_equal_errors_are_said_once() {
        let failed = |what: &str| Outcome::Failed {
            phase: Phase::Distribute,
            what: "/opt/clusterctl".to_owned(),
            failure: Failure {
                what: what.to_owned(),
                status: Some(1),
                said: "mkdir: no space".to_owned(),
                hint: Some("free some".to_owned()),
            },
        };
        let gone = Failure::new(
            "192.0.2.9 port 22 refuses connections",
            Some("check that sshd runs there".to_owned()),
        );
        let hosts: Vec<(String, Outcome)> = [
            ("m1", Outcome::Ok),
            ("a1", failed("it failed")),
            ("a10", failed("it failed")),
            ("a2", failed("it failed otherwise")),
            ("a3", Outcome::Changed { steps: 7 }),
            ("a4", Outcome::Unreachable { failure: gone }),
            ("a5", Outcome::Skipped { why: "it may be absent".to_owned() }),
        ]
        .map(|(name, outcome)| (name.to_owned(), outcome))
        .into();
        assert_eq!(Counts::of(&hosts).words(), "1 ok, 1 changed, 3 failed, 1 unreachable, 1 skipped");
        insta::assert_snapshot!(table(&hosts), @r"
        m1   ok
        a1   failed       distribute: /opt/clusterctl
        a10  failed       distribute: /opt/clusterctl
        a2   failed       distribute: /opt/clusterctl
        a3   changed      7 steps
        a4   unreachable  192.0.2.9 port 22 refuses connections
        a5   skipped      it may be absent

        same error on 2 hosts (a1, a10): /opt/clusterctl: it failed (exit status 1)
          | mkdir: no space
          hint: free some

        a2: /opt/clusterctl: it failed otherwise (exit status 1)
          | mkdir: no space
          hint: free some

        a4: 192.0.2.9 port 22 refuses connections
          hint: check that sshd runs there
        ");
    }
}
