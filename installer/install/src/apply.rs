//! How steps are taken on a host: one script, and the files that follow it on the same stream. Pure, but for the packing of
//! large files.
//!
//! Control flow stays here: the script is a straight list of calls of small functions.

use std::collections::BTreeSet;
use std::io::{self, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use secrecy::ExposeSecret as _;

use crate::blob::padding;
use crate::facts::Facts;
use crate::item::{Access, Content, Desired, Item};
use crate::manifest;
use crate::plan::{Deed, Step, entries};
use crate::shell::line;

const SCRIPT: &str = include_str!("shell/apply.sh");

/// Where a host keeps what belongs to installing.
#[derive(Clone, Debug)]
pub struct Places {
    /// Files on their way; root alone sees them.
    pub staging: String,
    /// What keeps two installers apart on this host.
    pub lock: String,
    /// The list of all that was put there; none keeps no list.
    pub manifest: Option<String>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            staging: "/var/lib/.clusterctl-staging".to_owned(),
            lock: "/run/clusterctl-apply.lock".to_owned(),
            manifest: Some(manifest::PATH.to_owned()),
        }
    }
}

/// What is sent to a host.
#[derive(Debug)]
pub struct Parcel {
    /// POSIX sh.
    pub script: String,
    /// What follows on standard input.
    pub input: Vec<Bytes>,
}

/// A line of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A step begins; its place among those that were sent.
    Started(usize),
    /// A step is done.
    Done(usize),
    /// A step failed, or the files did not arrive.
    Failed {
        /// Which; none before the first.
        step: Option<usize>,
        /// The exit status.
        status: i32,
        /// The last lines of what it said.
        said: String,
    },
    /// All are done.
    Ended,
}

/// What is to be sent for these steps.
///
/// # Errors
/// When a large file cannot be read.
pub fn parcel(places: &Places, desired: &Desired, steps: &[Step], facts: &Facts) -> io::Result<Parcel> {
    let mut script = SCRIPT.to_owned();
    for (name, value) in [
        ("staging", Some(&places.staging)),
        ("lock", Some(&places.lock)),
        ("manifest", places.manifest.as_ref()),
    ] {
        let value = value.map_or("", String::as_str);
        script += &format!("{name}={}\n", crate::shell::quote(value));
    }
    let shrinks = |step: &&Step| match desired.items.get(step.item) {
        Some((_, Item::File { content: Content::Blob(blob), .. })) => blob.shrinks(),
        _ => false,
    };
    // Small files alone are not worth a process on the host.
    let gzip = steps.iter().filter(|step| matches!(step.deed, Deed::Write(_))).any(|step| shrinks(&step));
    let mut tape = Tape::new(gzip);
    let mut dirs = BTreeSet::new();
    let mut calls = String::new();
    let mut sums = String::new();
    for (number, step) in steps.iter().enumerate() {
        let Some((_, item)) = desired.items.get(step.item) else { continue };
        let number = number.to_string();
        if let (Deed::Write(_), Item::File { content, path, .. }) = (&step.deed, item) {
            dirs.extend(path.rsplit_once('/').map(|(dir, _)| dir).filter(|dir| !dir.is_empty()));
            sums += &format!("{}  {number}\n", content.sum());
            tape.file(&number, content)?;
        }
        let mut words = vec!["step".to_owned(), number.clone()];
        words.extend(call(&number, &step.deed, item));
        calls += &line(words.iter().map(String::as_str));
    }
    let notes = entries(desired, steps, facts);
    let noted = places.manifest.is_some() && !notes.is_empty();
    if noted {
        let text = notes.join("\n") + "\n";
        sums += &format!("{}  .note\n", crate::item::Sum::of(text.as_bytes()));
        tape.text(".note", &text)?;
    }
    script.push_str("alone\n");
    let input = if sums.is_empty() {
        Vec::new()
    } else {
        script += &line(["receive", if gzip { "gzip" } else { "plain" }]);
        tape.text(".sums", &sums)?;
        tape.finish()?
    };
    if noted {
        script.push_str("said=$(note 2>&1) || failed receive 1 \"$said\"\n");
    }
    script += &calls;
    if !dirs.is_empty() {
        // Until here a file has its old name or its new one; from here on it stays.
        script += &line(std::iter::once("settle").chain(dirs));
    }
    script.push_str("say end .\n");
    Ok(Parcel { script, input })
}

/// The function that does it, with what it needs.
fn call(number: &str, deed: &Deed, item: &Item) -> Vec<String> {
    let access =
        |access: &Access| vec![format!("{:04o}", access.mode), access.owner.clone(), access.group.clone()];
    let mut words: Vec<String> = Vec::new();
    let mut say = |all: &[&str]| words.extend(all.iter().map(|&word| word.to_owned()));
    match (deed, item) {
        (Deed::MakeUser, Item::User { name }) => say(&["make_user", name]),
        (Deed::MakeDir { access: to }, Item::Dir { path, .. }) => {
            say(&["make_dir", path]);
            words.extend(access(to));
        }
        (Deed::SetAccess { to, .. }, item) => {
            say(&["set_access", &item.what()]);
            words.extend(access(to));
        }
        (Deed::Write(write), Item::File { path, .. }) => {
            say(&["put", number, path]);
            words.extend(access(&write.access));
        }
        (Deed::Link { to, .. }, Item::Link { path, .. }) => say(&["make_link", to, path]),
        (Deed::Run, Item::Command { command, .. }) => say(&["run", command]),
        (Deed::Reload, _) => say(&["reload"]),
        (Deed::Enable, item) => say(&["enable", &item.what()]),
        // It may have been started by somebody else meanwhile, with something else.
        (Deed::Start { enable } | Deed::Restart { enable }, Item::Unit { name, inputs, within, .. }) => {
            let is_new = matches!(deed, Deed::Start { .. }) && inputs.is_none();
            let verb = if is_new { "start" } else { "restart" };
            say(&["start_unit", if *enable { "enable" } else { ":" }, verb, name]);
            words.extend(within.map(|seconds| seconds.to_string()));
        }
        // A deed belongs to its kind of item; nothing else is ever planned.
        _ => say(&["false"]),
    }
    words
}

/// Reads one line of the answer; nothing for one that says nothing of steps.
#[must_use]
pub fn progress(line: &str) -> Option<Progress> {
    let (word, rest) = line.split_once('\t')?;
    match word {
        "start" => rest.parse().ok().map(Progress::Started),
        "done" => rest.parse().ok().map(Progress::Done),
        "end" => Some(Progress::Ended),
        "failed" => {
            let mut fields = rest.splitn(3, '\t');
            let step = fields.next()?.parse().ok();
            let status = fields.next()?.parse().ok()?;
            let said = BASE64_STANDARD.decode(fields.next()?).ok()?;
            Some(Progress::Failed { step, status, said: String::from_utf8_lossy(&said).trim().to_owned() })
        }
        _ => None,
    }
}

/// A tar archive, as it is or in gzip members. The bytes of large files are shared between hosts.
struct Tape {
    gzip: bool,
    open: Vec<u8>,
    done: Vec<Bytes>,
}

impl Tape {
    fn new(gzip: bool) -> Self {
        Self { gzip, open: Vec::new(), done: Vec::new() }
    }

    fn file(&mut self, name: &str, content: &Content) -> io::Result<()> {
        match content {
            Content::Text(text) => self.text(name, text),
            Content::Secret(text) => self.text(name, text.expose_secret()),
            // It went away since it was looked at: what the digests say shows it.
            Content::Kept(_) => Ok(()),
            Content::Blob(blob) => {
                self.header(name, blob.size())?;
                self.close()?;
                self.done.push(blob.bytes(self.gzip)?);
                Ok(())
            }
        }
    }

    fn text(&mut self, name: &str, text: &str) -> io::Result<()> {
        self.header(name, text.len() as u64)?;
        self.open.extend_from_slice(text.as_bytes());
        self.open.extend_from_slice(&padding(text.len() as u64));
        Ok(())
    }

    fn header(&mut self, name: &str, size: u64) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_size(size);
        header.set_mode(0o600);
        header.set_cksum();
        self.open.extend_from_slice(header.as_bytes());
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        let open = std::mem::take(&mut self.open);
        if open.is_empty() {
            return Ok(());
        }
        let whole = if self.gzip {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&open)?;
            encoder.finish()?
        } else {
            open
        };
        self.done.push(whole.into());
        Ok(())
    }

    fn finish(mut self) -> io::Result<Vec<Bytes>> {
        // Two empty blocks end an archive.
        self.open.extend_from_slice(&[0; 1024]);
        self.close()?;
        Ok(self.done)
    }
}

#[cfg(test)]
mod tests;
