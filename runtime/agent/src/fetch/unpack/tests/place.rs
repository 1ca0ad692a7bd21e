//! A sandbox with a canary beside it, and archives that no honest program writes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::EntryType;

use super::super::*;
use crate::fetch::job::{Archive, Limits};

pub(super) struct Place {
    pub(super) dir: tempfile::TempDir,
    pub(super) limits: Limits,
}

impl Place {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sandbox")).unwrap();
        fs::write(dir.path().join("canary"), "alive").unwrap();
        fs::create_dir(dir.path().join("nest")).unwrap();
        Self { dir, limits: Limits::default() }
    }

    pub(super) fn sandbox(&self) -> PathBuf {
        self.dir.path().join("sandbox")
    }

    pub(super) fn perform(&self, action: Action, bytes: &[u8]) -> Result<Answer, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        let job = Job { sandbox: self.sandbox(), user: None, action, limits: self.limits.clone() };
        let done = perform(&job, file).map_err(|e| e.to_string());
        self.assert_untouched();
        done
    }

    pub(super) fn extract(&self, kind: Archive, bytes: &[u8]) -> Result<Answer, String> {
        self.perform(Action::Extract { kind }, bytes)
    }

    /// Nothing beside the sandbox changed, and nothing in it leads out.
    pub(super) fn assert_untouched(&self) {
        let mut beside: Vec<_> =
            fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        beside.sort();
        assert_eq!(beside, ["canary", "nest", "sandbox"]);
        assert_eq!(fs::read_to_string(self.dir.path().join("canary")).unwrap(), "alive");
        assert_eq!(fs::metadata(self.dir.path().join("canary")).unwrap().nlink(), 1);
        assert_eq!(fs::read_dir(self.dir.path().join("nest")).unwrap().count(), 0);
        let real = self.sandbox().canonicalize().unwrap();
        let mut ahead = vec![real.clone()];
        while let Some(dir) = ahead.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                if meta.is_dir() {
                    ahead.push(path);
                } else if let Ok(end) = path.canonicalize() {
                    assert!(end.starts_with(&real), "{} leads to {}", path.display(), end.display());
                }
                assert_eq!(meta.mode() & 0o7000, 0, "no set-user-id and the like");
            }
        }
    }

    /// Paths with what is there.
    pub(super) fn listing(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut ahead = vec![self.sandbox()];
        while let Some(dir) = ahead.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                let mode = meta.permissions().mode() & 0o7777;
                let what = if meta.is_symlink() {
                    format!("-> {}", fs::read_link(&path).unwrap().display())
                } else if meta.is_dir() {
                    ahead.push(path.clone());
                    format!("{mode:o} directory")
                } else {
                    format!("{mode:o} {:?}", fs::read_to_string(&path).unwrap())
                };
                let name = path.strip_prefix(self.sandbox()).unwrap().display().to_string();
                found.insert(name, what);
            }
        }
        found
    }
}

/// One raw entry, with names that no honest program writes.
pub(super) fn entry(kind: EntryType, name: &str, link: &str, mode: u32, data: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(1_000_000_000);
    header.set_size(data.len() as u64);
    let ustar = header.as_ustar_mut().unwrap();
    ustar.name[..name.len()].copy_from_slice(name.as_bytes());
    ustar.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub(super) fn file(name: &str, data: &str) -> Vec<u8> {
    entry(EntryType::Regular, name, "", 0o644, data.as_bytes())
}

pub(super) fn link(name: &str, target: &str) -> Vec<u8> {
    entry(EntryType::Symlink, name, target, 0o777, b"")
}

pub(super) fn hard(name: &str, target: &str) -> Vec<u8> {
    entry(EntryType::Link, name, target, 0o644, b"")
}

pub(super) fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend_from_slice(&[0; 1024]);
    bytes
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zipped(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, mode, data) in entries {
        let options = zip::write::SimpleFileOptions::default();
        match mode & 0o170_000 {
            0o120_000 => writer.add_symlink(*name, std::str::from_utf8(data).unwrap(), options).unwrap(),
            0o040_000 => writer.add_directory(*name, options.unix_permissions(*mode)).unwrap(),
            _ => {
                writer.start_file(*name, options.unix_permissions(*mode)).unwrap();
                writer.write_all(data).unwrap();
            }
        }
    }
    writer.finish().unwrap().into_inner()
}

/// A tar archive in all its wrappings.
pub(super) fn wrapped(plain: &[u8]) -> [(Archive, Vec<u8>); 4] {
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(plain).unwrap();
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    xz.write_all(plain).unwrap();
    [
        (Archive::Tar, plain.to_vec()),
        (Archive::TarGzip, gzip(plain)),
        (Archive::TarBzip2, bzip2.finish().unwrap()),
        (Archive::TarXz, xz.finish().unwrap()),
    ]
}
