//! Reading files of known hosts, and adding to one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

use super::{KnownHosts, Verdict, check, host_name};
use crate::key::HostKey;

/// More than this is no file that people keep.
const MAX_BYTES: u64 = 16 << 20;

/// Why a file of known hosts cannot be used. It is never taken for an empty one.
#[derive(Debug, Error)]
#[error("{path}: cannot {action}", path = .path.display())]
pub struct FileError {
    /// The file, or its directory.
    pub path: PathBuf,
    /// What was tried.
    pub action: &'static str,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// A key that somebody agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name or address by which it was connected to.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The key.
    pub key: HostKey,
}

/// Reads a file. One that is not there is empty.
pub fn load(path: &Path) -> Result<KnownHosts, FileError> {
    let failed = |source| FileError { path: path.to_owned(), action: "read the known hosts", source };
    match File::open(path) {
        Ok(mut file) => read(&mut file).map(|text| KnownHosts::parse(path, &text)).map_err(failed),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(KnownHosts::parse(path, "")),
        Err(error) => Err(failed(error)),
    }
}

/// Adds keys to a file, making it and its directory where they are not there, readable for their owner alone. Entries
/// that it has already are left out.
///
/// It adds at the end, in one write, under a lock that others of us take too: the system's own ssh adds to the same file
/// without any lock, and what it adds in between must not be lost by a rename.
pub fn learn(path: &Path, entries: &[Entry]) -> Result<(), FileError> {
    let failed = |action| move |source| FileError { path: path.to_owned(), action, source };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(failed("make the directory of the known hosts"))?;
    }
    let mut options = OpenOptions::new();
    let opened = options.read(true).append(true).create(true).mode(0o600).open(path);
    let mut file = opened.map_err(failed("open the known hosts for adding to them"))?;
    flock(&file, FlockOperation::LockExclusive)
        .map_err(io::Error::from)
        .map_err(failed("lock the known hosts"))?;

    let text = read(&mut file).map_err(failed("read the known hosts"))?;
    let mut known = KnownHosts::parse(path, &text);
    // A last line without its end is what a writer left that was cut off; ours must not become a part of it.
    let mut added = String::from(if text.is_empty() || text.ends_with('\n') { "" } else { "\n" });
    let before = added.len();
    for Entry { host, port, key } in entries {
        if check(std::slice::from_ref(&known), host, *port, key) == Verdict::Known {
            continue;
        }
        let line = format!("{} {key}\n", host_name(host, *port));
        known.lines.extend(KnownHosts::parse(path, &line).lines);
        added.push_str(&line);
    }
    if added.len() == before {
        return Ok(());
    }
    file.write_all(added.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed("add to the known hosts"))?;
    // A file that was just made is there for good when its directory knows of it; not all file systems can say so.
    if let Some(directory) = fs::canonicalize(path).ok().as_deref().and_then(Path::parent) {
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
    }
    Ok(())
}

fn read(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(io::Error::new(
            ErrorKind::FileTooLarge,
            format!("it is larger than {} MiB", MAX_BYTES >> 20),
        ));
    }
    // Comments may be in any encoding; names and keys are ASCII, so nothing that counts is changed.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
