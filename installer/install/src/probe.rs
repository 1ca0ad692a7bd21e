//! The one look at a host: what is asked, as a script, and what it answers, as [`Facts`]. Pure.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use thiserror::Error;

use crate::facts::{Disk, Facts, Found, Kind, Looked, Reach, UnitFound};
use crate::item::{Access, Content, Desired, Item, Sum};
use crate::manifest;
use crate::shell::line;

const SCRIPT: &str = include_str!("shell/probe.sh");

/// What to look at.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Each of these is looked at, as far as it can be without knowing what else is there.
    pub desired: Desired,
    /// Files with a certificate and its key, whose certificate is wanted.
    pub certificates: Vec<String>,
    /// Directories whose file systems are of interest.
    pub disks: Vec<String>,
    /// Addresses to be reached from there.
    pub reach: Vec<(String, u16)>,
    /// Whether to read what was put there before.
    pub manifest: bool,
    /// More paths of which it is told what is there, with digests.
    pub paths: Vec<String>,
    /// More paths of which it is told whether something is there, and no more: they may be large.
    pub there: Vec<String>,
    /// More units.
    pub units: Vec<String>,
    /// Whether to look at what the host is.
    pub system: bool,
}

/// Why an answer is none.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ProbeError {
    /// It ends before its end.
    #[error("the answer is cut off after {lines} lines")]
    CutOff {
        /// How many came.
        lines: usize,
    },
    /// A line that cannot be read.
    #[error("the answer has a line that cannot be understood: {line:?}")]
    Line {
        /// The line.
        line: String,
    },
}

impl Look {
    /// The script.
    #[must_use]
    pub fn script(&self) -> String {
        let mut script = SCRIPT.to_owned();
        // All at once, and before anything else is said.
        for (host, port) in &self.reach {
            let call = line(["reach", host, &port.to_string()]);
            script += &format!("{} &\n", call.trim_end());
        }
        script.push_str("wait\n");
        let mut call = |words: &[&str]| script += &line(words.iter().copied());
        if self.system {
            call(&["system"]);
        }
        for disk in &self.disks {
            call(&["disk", disk]);
        }
        if self.manifest {
            call(&["manifest", manifest::PATH]);
        }
        let (all, files) = self.all_paths();
        if !all.is_empty() {
            call(&prefixed("paths", &all));
        }
        if !files.is_empty() {
            call(&prefixed("digests", &files));
        }
        let mut units: BTreeSet<&str> = self.units.iter().map(String::as_str).collect();
        for (number, item) in self.desired.iter().enumerate() {
            match item {
                Item::User { name } => call(&["user", name]),
                Item::File { path, content: content @ Content::Text(_), .. } => {
                    call(&["content", path, content.sum().as_str()]);
                }
                Item::Link { path, .. } => call(&["target", path]),
                Item::Command { guard, .. } => call(&["guard", &number.to_string(), guard]),
                Item::Unit { name, .. } => _ = units.insert(name),
                Item::Dir { .. } | Item::File { .. } => {}
            }
        }
        for path in &self.certificates {
            call(&["certificate", path]);
        }
        if !units.is_empty() {
            call(&prefixed("units", &units));
        }
        script.push_str("say end .\n");
        script
    }

    /// All paths, and those of them that have a digest.
    fn all_paths(&self) -> (BTreeSet<&str>, BTreeSet<&str>) {
        let mut all: BTreeSet<&str> =
            self.paths.iter().chain(&self.certificates).map(String::as_str).collect();
        let mut files = all.clone();
        all.extend(self.there.iter().map(String::as_str));
        for item in self.desired.iter() {
            let path = match item {
                Item::Dir { path, .. } | Item::Link { path, .. } => path,
                Item::File { path, .. } => {
                    files.insert(path);
                    path
                }
                Item::User { .. } | Item::Command { .. } | Item::Unit { .. } => continue,
            };
            all.insert(path);
        }
        (all, files)
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// When it is cut off, or not what the script says.
    pub fn read(answer: &str, looked: Looked) -> Result<Facts, ProbeError> {
        let mut facts = Facts::default();
        let mut ended = false;
        let mut found = std::collections::BTreeMap::new();
        for line in answer.lines() {
            let (word, rest) = line.split_once('\t').unwrap_or((line, ""));
            if word == "end" {
                ended = true;
                break;
            }
            let understood = system(&mut facts, word, rest, looked)
                .or_else(|| path(&mut found, word, rest))
                .or_else(|| other(&mut facts, word, rest));
            if understood.is_none() {
                return Err(ProbeError::Line { line: line.chars().take(200).collect() });
            }
        }
        facts.paths = found;
        if ended { Ok(facts) } else { Err(ProbeError::CutOff { lines: answer.lines().count() }) }
    }
}

fn prefixed<'a>(word: &'a str, rest: &BTreeSet<&'a str>) -> Vec<&'a str> {
    std::iter::once(word).chain(rest.iter().copied()).collect()
}

type Paths = std::collections::BTreeMap<String, Found>;

/// Takes a line about the host itself in, if it is one.
fn system(facts: &mut Facts, word: &str, rest: &str, looked: Looked) -> Option<()> {
    let system = &mut facts.system;
    match word {
        "clock" => system.clock_ahead = ahead(rest, looked)?,
        "uid" => system.root = rest == "0",
        "uname" => {
            let (machine, kernel) = rest.split_once(' ')?;
            (system.machine, system.kernel) = (machine.to_owned(), kernel.to_owned());
        }
        "hostname" => rest.clone_into(&mut system.hostname),
        "machine_id" => rest.clone_into(&mut system.machine_id),
        "boot_id" => rest.clone_into(&mut system.boot_id),
        "os" => rest.clone_into(&mut system.os),
        "libc" => system.glibc = glibc(rest),
        "cpus" => system.cpus = rest.parse().unwrap_or(0),
        "memory" => system.memory = rest.parse().unwrap_or(0),
        "systemd" => system.systemd = rest.split_whitespace().nth(1).and_then(leading_number),
        "cgroup" => system.cgroups.v2 = rest == "cgroup2fs",
        "controllers" => {
            let names = rest.split([' ', ',']).map(|name| name.rsplit('/').next().unwrap_or(name));
            system.cgroups.controllers = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        }
        "selinux" => system.selinux = rest == "Enforcing",
        "listening" => {
            let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
            system.listening = rest.split_whitespace().filter_map(port).collect();
        }
        "lacks" => _ = system.lacks.insert(rest.to_owned()),
        _ => return None,
    }
    Some(())
}

/// Takes a line about a path in, if it is one.
fn path(paths: &mut Paths, word: &str, rest: &str) -> Option<()> {
    match word {
        "path" => {
            let [mode, owner, group, size, kind, path] = fields(rest)?;
            let found = Found {
                kind: match kind {
                    "regular file" | "regular empty file" => Kind::File,
                    "directory" => Kind::Dir,
                    "symbolic link" => Kind::Link,
                    _ => Kind::Other,
                },
                access: Access::of(owner, group, u32::from_str_radix(mode, 8).ok()?),
                size: size.parse().ok()?,
                sum: None,
                content: None,
                target: None,
                certificate: None,
            };
            paths.insert(path.to_owned(), found);
        }
        "sum" => {
            let [sum, path] = fields(rest)?;
            let sum = Sum::parse(sum)?;
            // A link's digest would be that of what it leads to.
            if let Some(found) = paths.get_mut(path).filter(|found| found.kind == Kind::File) {
                found.sum = Some(sum);
            }
        }
        "target" => {
            let [target, path] = fields(rest)?;
            if let Some(found) = paths.get_mut(path) {
                found.target = Some(target.to_owned());
            }
        }
        "content" | "certificate" => {
            let [path, text] = fields(rest)?;
            let text = BASE64_STANDARD.decode(text).ok()?;
            let text = String::from_utf8_lossy(&text).into_owned();
            if let Some(found) = paths.get_mut(path) {
                *(if word == "content" { &mut found.content } else { &mut found.certificate }) = Some(text);
            }
        }
        _ => return None,
    }
    Some(())
}

/// Takes a line about anything else in, if it is one.
fn other(facts: &mut Facts, word: &str, rest: &str) -> Option<()> {
    match word {
        "user" => _ = facts.users.insert(rest.to_owned()),
        "guard" => _ = facts.guards.insert(rest.parse().ok()?),
        "manifest" => facts.manifest.read(rest),
        "unit" => {
            let [name, load, active, file, stale, inputs] = fields(rest)?;
            let unit = UnitFound {
                loaded: load == "loaded",
                active: active.to_owned(),
                enabled: file == "enabled",
                stale: stale == "yes",
                inputs: Sum::parse(inputs),
            };
            facts.units.insert(name.to_owned(), unit);
        }
        "disk" => {
            let [asked, free, mount, options] = fields(rest)?;
            let disk = Disk {
                free: free.parse().unwrap_or(0),
                mount: mount.to_owned(),
                options: options.to_owned(),
            };
            facts.disks.insert(asked.to_owned(), disk);
        }
        "reach" => {
            let [host, port, found] = fields(rest)?;
            let reach = match found {
                "open" => Reach::Open,
                "refused" => Reach::Refused,
                "none" => Reach::None,
                _ => Reach::Unknown,
            };
            facts.reach.insert((host.to_owned(), port.parse().ok()?), reach);
        }
        _ => return None,
    }
    Some(())
}

fn fields<const N: usize>(rest: &str) -> Option<[&str; N]> {
    let mut fields = rest.splitn(N, '\t');
    let mut all = [""; N];
    for field in &mut all {
        *field = fields.next()?;
    }
    Some(all)
}

/// How far a clock is ahead of ours: against the middle of the look, or not at all when it lies within it.
fn ahead(text: &str, looked: Looked) -> Option<f64> {
    // Without GNU's date there are no fractions, and whatever stands in their place.
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: u64 = whole.parse().ok()?;
    let (fraction, unsure) = match format!("0.{fraction}").parse::<f64>() {
        Ok(fraction) if !fraction_is_missing(text) => (fraction, 0.0),
        _ => (0.5, 0.5),
    };
    let theirs = UNIX_EPOCH + Duration::from_secs(whole) + Duration::from_secs_f64(fraction);
    let signed = |from: std::time::SystemTime| match theirs.duration_since(from) {
        Ok(after) => after.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    };
    let (after_begin, after_end) = (signed(looked.began) + unsure, signed(looked.ended) - unsure);
    Some(if after_begin < 0.0 {
        after_begin
    } else if after_end > 0.0 {
        after_end
    } else {
        0.0
    })
}

fn fraction_is_missing(text: &str) -> bool {
    !text
        .split_once('.')
        .is_some_and(|(_, fraction)| fraction.bytes().all(|b| b.is_ascii_digit()) && !fraction.is_empty())
}

/// `glibc 2.36`, or what `ldd --version` says.
fn glibc(text: &str) -> Option<(u32, u32)> {
    let lower = text.to_lowercase();
    if lower.contains("musl") || !(lower.contains("glibc") || lower.contains("gnu")) {
        return None;
    }
    let version = text.split_whitespace().next_back()?;
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, leading_number(minor)?))
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests;
