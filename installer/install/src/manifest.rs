//! The list, on each host, of all that was put there: by it alone things are taken away again. Pure.
//!
//! One entry a line, `KIND<tab>NAME` or `file<tab>PATH<tab>SHA-256`. It is written ahead of the deed, so that whatever stands on the host
//! stands in it; a file may have several digests, of which it has one.

use std::collections::{BTreeMap, BTreeSet};

use crate::item::Sum;

/// Where it is.
pub const PATH: &str = "/var/lib/clusterctl/manifest";

/// Everything that was put on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Files, and the digests that they were given.
    pub files: BTreeMap<String, BTreeSet<Sum>>,
    /// Links.
    pub links: BTreeSet<String>,
    /// Directories; those with data are removed with all that is in them.
    pub dirs: BTreeMap<String, bool>,
    /// Users that were made.
    pub users: BTreeSet<String>,
    /// Units that were enabled and started.
    pub units: BTreeSet<String>,
    /// Packages that were installed.
    pub packages: BTreeSet<String>,
    /// Lines that this version does not know.
    pub unknown: Vec<String>,
}

/// One line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A file with that digest.
    File(&'a str, &'a Sum),
    /// A link.
    Link(&'a str),
    /// A directory.
    Dir(&'a str),
    /// A directory that programs fill.
    Data(&'a str),
    /// A user.
    User(&'a str),
    /// A unit.
    Unit(&'a str),
}

impl Entry<'_> {
    /// The line, without its end.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::File(path, sum) => format!("file\t{path}\t{sum}"),
            Self::Link(path) => format!("link\t{path}"),
            Self::Dir(path) => format!("dir\t{path}"),
            Self::Data(path) => format!("data\t{path}"),
            Self::User(name) => format!("user\t{name}"),
            Self::Unit(name) => format!("unit\t{name}"),
        }
    }
}

impl Manifest {
    /// Takes one line in. A damaged or unknown one is kept as it is, and named by whoever would act on it.
    pub fn read(&mut self, line: &str) {
        let mut fields = line.split('\t');
        let kind = fields.next().unwrap_or_default();
        let (name, more) = (fields.next().filter(|name| !name.is_empty()), fields.next());
        match (kind, name, more) {
            ("file", Some(path), Some(sum)) if Sum::parse(sum).is_some() => {
                self.files.entry(path.to_owned()).or_default().extend(Sum::parse(sum));
            }
            ("link", Some(path), None) => _ = self.links.insert(path.to_owned()),
            ("dir", Some(path), None) => _ = self.dirs.entry(path.to_owned()).or_default(),
            ("data", Some(path), None) => _ = self.dirs.insert(path.to_owned(), true),
            ("user", Some(name), None) => _ = self.users.insert(name.to_owned()),
            ("unit", Some(name), None) => _ = self.units.insert(name.to_owned()),
            ("package", Some(name), None) => _ = self.packages.insert(name.to_owned()),
            _ => self.unknown.push(line.to_owned()),
        }
    }

    /// Whether nothing was put there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether something at that path was put there by an installer.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.links.contains(path) || self.dirs.contains_key(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_back() {
        let (one, two) = (Sum::of(b"1"), Sum::of(b"2"));
        let mut manifest = Manifest::default();
        for entry in [
            Entry::File("/etc/a b", &one),
            Entry::File("/etc/a b", &two),
            Entry::Link("/opt/current"),
            Entry::Dir("/opt"),
            Entry::Data("/var/x"),
            Entry::User("clusterctl"),
            Entry::Unit("u.service"),
        ] {
            manifest.read(&entry.line());
        }
        assert_eq!(manifest.files["/etc/a b"], BTreeSet::from([one, two]));
        assert_eq!(manifest.dirs, BTreeMap::from([("/opt".into(), false), ("/var/x".into(), true)]));
        assert!(manifest.has("/opt/current") && manifest.has("/opt") && !manifest.has("/"));
        assert!(manifest.users.contains("clusterctl") && manifest.units.contains("u.service"));
        assert!(manifest.unknown.is_empty());
    }

    #[test]
    fn a_torn_or_unknown_line_is_kept_aside() {
        let mut manifest = Manifest::default();
        for line in ["file\t/etc/a\tba78", "file\t/etc", "magic\tx", "", "dir\t"] {
            manifest.read(line);
        }
        assert_eq!(manifest.unknown.len(), 5);
        assert!(manifest.files.is_empty());
    }
}
