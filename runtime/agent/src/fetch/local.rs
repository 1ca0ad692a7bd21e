//! Files of this machine, below the directories that its operator named.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, fstat};
use sha2::{Digest as _, Sha256};

use super::cache::Cache;
use super::digest::Digest;
use super::error::Why;
use super::http::Body;
use crate::files::beneath::{Links, Root, leads_out};

/// Opens a file below one of the roots, both taken by their real paths.
pub(super) fn open(path: &Path, roots: &[PathBuf]) -> Result<File, Why> {
    let outside = || Why::Outside { path: path.to_owned(), allowed: listed(roots) };
    if roots.is_empty() {
        return Err(outside());
    }
    let reals: Vec<PathBuf> = roots.iter().filter_map(|root| root.canonicalize().ok()).collect();
    // What lies elsewhere is not looked at: whether it exists is nobody's business.
    let Ok(real) = path.canonicalize() else {
        let near = roots.iter().chain(&reals).any(|root| path.starts_with(root));
        return Err(if near { Why::io("open", path)(io::ErrorKind::NotFound.into()) } else { outside() });
    };
    let (root, below) =
        reals.iter().find_map(|root| Some((root, real.strip_prefix(root).ok()?))).ok_or_else(outside)?;
    // It may have changed since; what is opened is below the root all the same, and no FIFO is waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = Root::open(root).and_then(|root| root.get(below, flags, Links::Refused));
    let file = opened.map_err(|e| if leads_out(&e) { outside() } else { Why::io("open", path)(e) })?;
    let stat = fstat(&file).map_err(|e| Why::io("open", path)(e.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Why::io("open", path)(io::Error::other("it is no regular file")));
    }
    Ok(file.into())
}

fn listed(roots: &[PathBuf]) -> String {
    if roots.is_empty() {
        return "none is named".into();
    }
    roots.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// A copy with its sum, which then cannot change any more.
pub(super) fn copy(path: &Path, roots: &[PathBuf], max: u64, cache: &Cache) -> Result<Body, Why> {
    let mut source = open(path, roots)?;
    let mut temporary = cache.temporary()?;
    let (mut hasher, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 256 << 10]);
    loop {
        let n = source.read(&mut buffer).map_err(Why::io("read", path))?;
        if n == 0 {
            let sum = Digest::of(hasher);
            return Ok(Body { temporary, size, sum, etag: None, last_modified: None });
        }
        size += n as u64;
        if size > max {
            return Err(Why::Large(max));
        }
        let block = buffer.get(..n).unwrap_or_default();
        hasher.update(block);
        temporary.file.write_all(block).map_err(Why::io("write", "the fetcher's cache"))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_files_really_below_a_named_directory_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("ok/d")).unwrap();
        fs::write(at("ok/file"), "x").unwrap();
        fs::write(at("secret"), "x").unwrap();
        symlink("file", at("ok/link")).unwrap();
        symlink("../secret", at("ok/out")).unwrap();
        symlink("ok", at("alias")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("ok/fifo"), 0o600.into()).unwrap();
        for (path, expected) in [
            ("ok/file", "opened"),
            ("ok/link", "opened"),
            ("alias/file", "opened"),
            ("ok/../ok/file", "opened"),
            ("ok/out", "outside"),
            ("secret", "outside"),
            ("none", "outside"),
            ("ok/../secret", "outside"),
            ("ok/none", "failed"),
            ("ok/d", "failed"),
            ("ok/fifo", "failed"),
        ] {
            let got = match open(&at(path), &[at("none-such"), at("alias")]) {
                Ok(_) => "opened",
                Err(Why::Outside { .. }) => "outside",
                Err(_) => "failed",
            };
            // A path that does not exist is only known to be near when it is written with a root's name.
            assert_eq!(got, expected, "{path}");
        }
        assert!(open(&at("ok/file"), &[]).unwrap_err().to_string().contains("file_roots"));
    }
}
