//! What is wrong with a package: where, what, and what to write instead.

use std::fmt;

use serde::Serialize;

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The package cannot be used.
    Error,
    /// It can, but it is not as the form says.
    Warning,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// The file, by its path below what was loaded.
    pub file: String,
    /// The line in it, from 1, where that is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// How bad it is.
    pub severity: Severity,
}

impl Fault {
    /// A fault that makes the package unusable.
    pub(crate) fn error(file: &str, line: Option<usize>, what: impl Into<String>, hint: &str) -> Self {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        Self { file: file.to_owned(), line, what: what.into(), hint, severity: Severity::Error }
    }
}

impl fmt::Display for Fault {
    /// `file:line: what`, and the hint in a line of its own. Control characters do not get through.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", harmless(&self.file))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", harmless(&self.what))?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  {}", harmless(hint))?;
        }
        Ok(())
    }
}

/// A text without characters by which it could change what a terminal shows.
fn harmless(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect()
}

/// A fault of a value that stands in a file, by its path of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) path: Vec<String>,
    pub(crate) what: String,
    pub(crate) hint: String,
    pub(crate) severity: Severity,
}

impl Problem {
    /// One that makes the package unusable.
    pub(crate) fn new(path: &[&str], what: impl Into<String>, hint: impl Into<String>) -> Self {
        let path = path.iter().map(|&key| key.to_owned()).collect();
        Self { path, what: what.into(), hint: hint.into(), severity: Severity::Error }
    }

    /// One with which it can be used.
    pub(crate) fn mild(path: &[&str], what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::new(path, what, hint) }
    }

    /// The fault in a file, its line found by the path.
    pub(crate) fn at(self, file: &str, text: &str) -> Fault {
        let line = line_of(text, &self.path);
        Fault { severity: self.severity, ..Fault::error(file, line, self.what, &self.hint) }
    }
}

/// The line at which a path of keys stands in a YAML or JSON text: each key behind the one before it. As far as keys are found.
pub(crate) fn line_of(text: &str, path: &[String]) -> Option<usize> {
    let json = text.trim_start().starts_with('{');
    let lines: Vec<&str> = text.lines().collect();
    // Where to look on: a line, and how much of it is passed.
    let (mut from, mut passed) = (0, 0);
    let mut depth: Option<usize> = None;
    let mut found = None;
    for key in path {
        let index = key.parse::<usize>().ok();
        let mut seen = 0;
        let here = lines.iter().enumerate().skip(from).find_map(|(at, line)| {
            let rest = if at == from { line.get(passed..)? } else { line };
            let item = rest.trim_start().starts_with("- ");
            let outside = depth.is_some_and(|depth| indent(line) <= depth && !item);
            if at != from && outside {
                return None;
            }
            match index {
                Some(index) => {
                    seen += usize::from(item);
                    (item && seen == index + 1).then(|| (at, line.len() - rest.trim_start().len() + 2))
                }
                None => key_end(rest, key).map(|end| (at, line.len() - rest.len() + end)),
            }
        });
        let Some((at, end)) = here else { break };
        found = Some(at + 1);
        depth = lines.get(at).filter(|_| index.is_none() && !json).map(|line| indent(line));
        (from, passed) = (at, end);
    }
    found
}

/// How far a line is indented.
fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Where a key ends in a line: `key:` or `"key":`.
fn key_end(line: &str, key: &str) -> Option<usize> {
    line.match_indices(key).filter(|_| !key.is_empty()).find_map(|(at, _)| {
        let end = at + key.len();
        let (before, after) = (line.get(..at)?, line.get(end..)?);
        let quoted = before.ends_with('"') && after.starts_with('"');
        let before = if quoted { before.strip_suffix('"')? } else { before };
        let after = if quoted { after.strip_prefix('"')? } else { after };
        let starts = before.chars().next_back().is_none_or(|c| c.is_whitespace() || matches!(c, '{' | ','));
        (starts && after.trim_start().starts_with(':')).then_some(end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_the_path() {
        let yaml = "name: a\nartifacts:\n  one:\n    sources:\n      - url: x\n      - purl: y\n        home: z\n  two:\n    sources: []\n";
        let flow = "{\"a\": {\"x\": 1, \"required\": 2},\n \"b\": {\"required\": 3}}";
        let json = "{\n  \"name\": \"a\",\n  \"properties\": {\n    \"service\": {\n      \"type\": 3 } } }";
        for (text, path, line) in [
            (yaml, vec!["name"], Some(1)),
            (yaml, vec!["artifacts", "two", "sources"], Some(9)),
            (yaml, vec!["artifacts", "one", "sources", "1"], Some(6)),
            (yaml, vec!["artifacts", "one", "sources", "1", "home"], Some(7)),
            (yaml, vec!["artifacts", "none"], Some(2)),
            (yaml, vec!["none"], None),
            (json, vec!["properties", "service", "type"], Some(5)),
            (flow, vec!["a", "required"], Some(1)),
            (flow, vec!["b", "required"], Some(2)),
        ] {
            let path: Vec<String> = path.into_iter().map(str::to_owned).collect();
            assert_eq!(line_of(text, &path), line, "{path:?}");
        }
    }

    #[test]
    fn a_fault_cannot_change_the_terminal() {
        let fault = Fault::error("a\u{1b}]0;x", Some(3), "\u{202e}b", "c");
        assert_eq!(fault.to_string(), "a\u{fffd}]0;x:3: \u{fffd}b\n  c");
    }
}
