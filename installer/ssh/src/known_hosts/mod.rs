//! Which key a host ought to show: files in the format of sshd(8), read with all that it knows. Lists, wildcards, negation,
//! ports, hashed names, `@revoked` and `@cert-authority`; and a host that is known by a key of another type is not a host
//! that is unknown.
//!
//! [`check`] decides and is pure; [`load`] and [`learn`] are the files.

mod file;
mod line;

use std::path::PathBuf;
use std::sync::Arc;

pub use file::{Entry, FileError, learn, load};
pub(crate) use line::host_name;
use line::{Line, Marker};

use crate::key::{Fingerprint, HostKey};

/// A file of known hosts, as it was read.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts {
    path: Arc<PathBuf>,
    lines: Vec<Line>,
    unreadable: Vec<usize>,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: Arc<PathBuf>,
    /// Its line, from 1.
    pub line: usize,
    /// The type of the key there.
    pub kind: String,
    /// The fingerprint of the key there.
    pub fingerprint: Fingerprint,
}

/// What the files say of a host and the key that it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This key is recorded for the host.
    Known,
    /// Nothing is recorded for it.
    Unknown,
    /// Other keys of the same type are recorded.
    Changed(Vec<Place>),
    /// Keys are recorded, but none of the type that the host shows.
    OtherType(Vec<Place>),
    /// This very key is marked as not to be trusted.
    Revoked(Place),
    /// The host is to be known by certificates of an authority, which are not supported, and showed a plain key.
    Certified(Place),
}

impl KnownHosts {
    /// Takes a file's text apart. Lines that cannot be read mean nothing, as for OpenSSH, and are counted.
    pub fn parse(path: impl Into<PathBuf>, text: &str) -> Self {
        let mut known = Self { path: Arc::new(path.into()), ..Self::default() };
        for (index, text) in text.lines().enumerate() {
            match line::parse(index + 1, text) {
                Ok(line) => known.lines.extend(line),
                Err(line::Unreadable) => known.unreadable.push(index + 1),
            }
        }
        known
    }

    /// The file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The numbers of the lines that cannot be read.
    pub fn unreadable(&self) -> &[usize] {
        &self.unreadable
    }

    fn place(&self, line: &Line) -> Place {
        Place {
            path: Arc::clone(&self.path),
            line: line.number,
            kind: line.key.kind().to_owned(),
            fingerprint: line.key.fingerprint(),
        }
    }

    /// The lines about a name, in the file's order.
    fn about<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| line.hosts.matches(name))
    }
}

/// What the files say of `host` at `port` showing `key`. A file's order does not matter: a revocation wins over all, a
/// recorded key over others that are recorded beside it.
pub fn check(files: &[KnownHosts], host: &str, port: u16, key: &HostKey) -> Verdict {
    let verdict = check_name(files, &host_name(host, port), key);
    // As OpenSSH does: a key that is recorded without a port is good on all of them. A mismatch there says nothing,
    // since two ports may well be two hosts.
    if verdict == Verdict::Unknown && port != 22 {
        let plain = check_name(files, &host_name(host, 22), key);
        if matches!(plain, Verdict::Known | Verdict::Revoked(_)) {
            return plain;
        }
    }
    verdict
}

fn check_name(files: &[KnownHosts], name: &str, key: &HostKey) -> Verdict {
    let (mut known, mut authority) = (false, None);
    let (mut same, mut other) = (Vec::new(), Vec::new());
    for (file, line) in files.iter().flat_map(|file| file.about(name).map(move |line| (file, line))) {
        match line.marker {
            Some(Marker::Revoked) if line.key == *key => return Verdict::Revoked(file.place(line)),
            Some(Marker::Revoked) => {}
            Some(Marker::Authority) => authority = authority.or_else(|| Some(file.place(line))),
            None if line.key == *key => known = true,
            None if line.key.kind() == key.kind() => same.push(file.place(line)),
            None => other.push(file.place(line)),
        }
    }
    match (known, same, other, authority) {
        (true, ..) => Verdict::Known,
        (_, same, ..) if !same.is_empty() => Verdict::Changed(same),
        (_, _, other, _) if !other.is_empty() => Verdict::OtherType(other),
        (_, _, _, Some(place)) => Verdict::Certified(place),
        _ => Verdict::Unknown,
    }
}

/// The types of the keys that are recorded for a host: those to ask it for first.
pub(crate) fn kinds(files: &[KnownHosts], host: &str, port: u16) -> Vec<String> {
    let of = |name: &str| -> Vec<String> {
        let lines = files.iter().flat_map(|file| file.about(name));
        lines.filter(|line| line.marker.is_none()).map(|line| line.key.kind().to_owned()).collect()
    };
    let kinds = of(&host_name(host, port));
    if kinds.is_empty() && port != 22 { of(&host_name(host, 22)) } else { kinds }
}

#[cfg(test)]
mod tests;
