//! Which address gave what, so that a server can be asked whether it changed.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::digest::Digest;

const FILE: &str = "index.json";
/// The oldest go first.
const MAX: usize = 4096;
/// Servers' words that are longer are not remembered.
const MAX_VALIDATOR: usize = 1024;

/// What an address gave, and the server's words by which it knows that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Known {
    /// The sum of what came.
    pub(in super::super) sum: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) last_modified: Option<String>,
    #[serde(default)]
    order: u64,
}

impl Known {
    pub(in super::super) fn new(sum: Digest, etag: Option<String>, last_modified: Option<String>) -> Self {
        let short = |text: Option<String>| text.filter(|text| text.len() <= MAX_VALIDATOR);
        Self { sum: sum.to_string(), etag: short(etag), last_modified: short(last_modified), order: 0 }
    }
}

/// By the sums of addresses, which may hold secrets.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in super::super) struct Index {
    urls: BTreeMap<String, Known>,
}

impl Index {
    /// What cannot be read is forgotten.
    pub(super) fn read(dir: &Path) -> Self {
        let bytes = fs::read(dir.join(FILE)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let temporary = dir.join("tmp").join(FILE);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&temporary, dir.join(FILE))?;
        File::open(dir)?.sync_all()
    }

    pub(super) fn get(&self, url: &str) -> Option<&Known> {
        self.urls.get(&key(url))
    }

    /// An address that cannot be asked about again is forgotten.
    pub(super) fn put(&mut self, url: &str, mut known: Known) {
        let key = key(url);
        if known.etag.is_none() && known.last_modified.is_none() {
            self.urls.remove(&key);
            return;
        }
        known.order = self.urls.values().map(|known| known.order).max().unwrap_or(0) + 1;
        self.urls.insert(key, known);
        while self.urls.len() > MAX {
            let oldest = self.urls.iter().min_by_key(|(_, known)| known.order).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            self.urls.remove(&oldest);
        }
    }
}

fn key(url: &str) -> String {
    Digest::of_bytes(url.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_remembered_without_being_written_down() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tmp")).unwrap();
        let known = Known::new(Digest::of_bytes(b""), Some("\"x\"".into()), None);
        let mut index = Index::default();
        index.put("https://me:secret@h/", known.clone());
        index.write(dir.path()).unwrap();
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(!text.contains("secret"), "{text}");
        let read = Index::read(dir.path());
        assert_eq!(read.get("https://me:secret@h/").map(|k| k.etag.clone()), Some(known.etag));
        assert_eq!(read.get("https://h/"), None);
        fs::write(dir.path().join(FILE), &text[1..]).unwrap();
        assert!(Index::read(dir.path()).urls.is_empty());
    }

    #[test]
    fn the_oldest_go_first_and_what_cannot_be_asked_about_is_forgotten() {
        let mut index = Index::default();
        let known = |etag: Option<&str>| Known::new(Digest::of_bytes(b""), etag.map(Into::into), None);
        for n in 0..MAX + 2 {
            index.put(&n.to_string(), known(Some("e")));
        }
        assert_eq!((index.urls.len(), index.get("1"), index.get("2").is_some()), (MAX, None, true));
        index.put("2", known(None));
        assert_eq!(index.get("2"), None);
    }
}
