//! Taking an `ssh_config` apart. Pure: what is included comes in through a function.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Condition, Setting, SshConfig, Value, Warning};
use crate::pattern::Patterns;

/// As OpenSSH: enough for people, few enough for a circle to end.
const MAX_DEPTH: usize = 16;
/// All files together. What is beyond is no configuration that somebody wrote.
const MAX_LINES: usize = 20_000;

/// The files that a pattern after `Include` names, with their texts.
pub(crate) type Include<'a> = dyn FnMut(&str) -> Vec<(PathBuf, String)> + 'a;

/// Options whose absence changes where a connection goes or who is trusted.
const MATTERS: [&str; 8] = [
    "revokedhostkeys",
    "proxycommand",
    "hostkeyalias",
    "certificatefile",
    "identityagent",
    "canonicalizehostname",
    "knownhostscommand",
    "globalknownhostsfile",
];

impl SshConfig {
    /// Reads a text that stands in `path`; `include` answers for the files that it includes.
    pub(crate) fn parse(path: &Path, text: &str, include: &mut Include<'_>) -> Self {
        let mut config = Self::default();
        let mut lines = MAX_LINES;
        config.add(path, text, &[], include, MAX_DEPTH, &mut lines);
        config
    }

    fn add(
        &mut self,
        path: &Path,
        text: &str,
        outer: &[Condition],
        include: &mut Include<'_>,
        depth: usize,
        lines: &mut usize,
    ) {
        let mut conditions = outer.to_vec();
        for (index, line) in text.lines().enumerate() {
            let warn = |text: String| Warning { path: path.to_owned(), line: index + 1, text };
            if *lines == 0 {
                self.warnings.push(warn(
                    "there are too many lines; this one and all after it mean nothing".to_owned(),
                ));
                return;
            }
            *lines -= 1;
            let Some((keyword, arguments)) = split(line) else { continue };
            match keyword.as_str() {
                "host" => {
                    conditions.truncate(outer.len());
                    conditions.push(Condition::Host(Patterns::new(arguments.iter().map(String::as_str))));
                }
                "match" => {
                    conditions.truncate(outer.len());
                    if !matches!(arguments.as_slice(), [all] if all.eq_ignore_ascii_case("all")) {
                        conditions.push(Condition::Never);
                        let text =
                            "`Match` is not supported: what follows it, up to the next `Host`, means nothing";
                        self.warnings.push(warn(text.to_owned()));
                    }
                }
                "include" if depth == 0 => {
                    self.warnings.push(warn(format!("files include each other more than {MAX_DEPTH} deep")));
                }
                "include" => {
                    for (path, text) in
                        arguments.iter().flat_map(|pattern| include(pattern)).collect::<Vec<_>>()
                    {
                        self.add(&path, &text, &conditions, include, depth - 1, lines);
                    }
                }
                _ => match value(&keyword, &arguments) {
                    Ok(Some(value)) => self.settings.push(Setting { conditions: conditions.clone(), value }),
                    Ok(None) if MATTERS.contains(&keyword.as_str()) => {
                        self.warnings
                            .push(warn(format!("`{keyword}` is not supported and means nothing here")));
                    }
                    Ok(None) => {}
                    Err(text) => self.warnings.push(warn(text)),
                },
            }
        }
    }
}

/// A keyword in lower case and its arguments: `Keyword a "b c"`, or `Keyword=a`.
fn split(line: &str) -> Option<(String, Vec<String>)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let (mut arguments, mut current, mut quoted, mut open) = (Vec::new(), String::new(), false, false);
    for c in rest.chars() {
        match c {
            '"' => (quoted, open) = (!quoted, true),
            '#' if !quoted && !open => break,
            c if c.is_whitespace() && !quoted => {
                if open {
                    arguments.push(std::mem::take(&mut current));
                }
                open = false;
            }
            c => {
                current.push(c);
                open = true;
            }
        }
    }
    if open {
        arguments.push(current);
    }
    Some((keyword.to_ascii_lowercase(), arguments))
}

/// What an option says; nothing when it is not one of ours.
fn value(keyword: &str, arguments: &[String]) -> Result<Option<Value>, String> {
    let one = || match arguments {
        [value] if !value.is_empty() => Ok(value.clone()),
        _ => Err(format!("`{keyword}` takes one value")),
    };
    let wrong = |value: &str, wanted: &str| format!("`{keyword}`: {value:?} is not {wanted}");
    Ok(Some(match keyword {
        "hostname" => Value::HostName(one()?),
        "user" => Value::User(one()?),
        "identityfile" => Value::IdentityFile(one()?),
        "port" => {
            let text = one()?;
            let port = text.parse().ok().filter(|port| *port != 0);
            Value::Port(port.ok_or_else(|| wrong(&text, "a port"))?)
        }
        "identitiesonly" => match one()?.to_ascii_lowercase().as_str() {
            "yes" | "true" => Value::IdentitiesOnly(true),
            "no" | "false" => Value::IdentitiesOnly(false),
            other => return Err(wrong(other, "yes or no")),
        },
        "proxyjump" => {
            let text = one()?;
            let hops = if text.eq_ignore_ascii_case("none") {
                Ok(Vec::new())
            } else {
                text.split(',').map(|hop| hop.trim().parse()).collect()
            };
            Value::ProxyJump(hops.map_err(|error: crate::target::HopError| error.to_string())?)
        }
        "userknownhostsfile" if arguments.is_empty() => return Err(format!("`{keyword}` takes a file")),
        "userknownhostsfile" => Value::UserKnownHostsFile(arguments.to_vec()),
        "connecttimeout" => {
            let text = one()?;
            match text.parse() {
                Ok(0) => return Ok(None),
                Ok(seconds) => Value::ConnectTimeout(Duration::from_secs(seconds)),
                Err(_) if text.eq_ignore_ascii_case("none") => return Ok(None),
                Err(_) => return Err(wrong(&text, "a number of seconds")),
            }
        }
        _ => return Ok(None),
    }))
}
