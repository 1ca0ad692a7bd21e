//! Files and directories, one act at a time.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::DirectoryError;

/// No file of ours comes near it; what is larger is something else.
const LARGEST: u64 = 64 * 1024;
/// The bits that let others in.
const OTHERS: u32 = 0o077;

/// `pki` becomes `pki<suffix>`, in the same directory.
pub(super) fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = dir.file_name().map_or_else(|| OsString::from("pki"), OsString::from);
    name.push(suffix);
    dir.with_file_name(name)
}

/// Whether there is a directory with anything in it.
pub(super) fn holds_something(dir: &Path) -> Result<bool, DirectoryError> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(false),
        Err(fault) if fault.kind() == ErrorKind::NotADirectory => {
            Err(DirectoryError::NoDirectory { path: dir.to_owned() })
        }
        Err(fault) => Err(io_fault(dir, "read")(fault)),
    }
}

pub(super) fn check_dir(dir: &Path) -> Result<(), DirectoryError> {
    check(dir, 0o700)
}

pub(super) fn check_key(path: &Path) -> Result<(), DirectoryError> {
    check(path, 0o600)
}

fn check(path: &Path, wanted: u32) -> Result<(), DirectoryError> {
    let found = fs::metadata(path).map_err(io_fault(path, "look at"))?;
    private(path, &found, wanted, rustix::process::geteuid().as_raw())
}

/// Only its owner can get at it, and that is the user who asks. Root may use anyone's: it can read all of them anyway.
fn private(path: &Path, found: &Metadata, wanted: u32, user: u32) -> Result<(), DirectoryError> {
    let (mode, owner) = (found.mode() & 0o7777, found.uid());
    if mode & OTHERS != 0 {
        return Err(DirectoryError::Lax { path: path.to_owned(), mode, wanted });
    }
    if user != 0 && owner != user {
        return Err(DirectoryError::Owner { path: path.to_owned(), owner });
    }
    Ok(())
}

pub(super) fn read(path: &Path) -> Result<String, DirectoryError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io_fault(path, "read"))?;
    file.take(LARGEST).read_to_end(&mut bytes).map_err(io_fault(path, "read"))?;
    // Bytes that are no text become text that is no PEM file, which is what is then said of it.
    Ok(String::from_utf8(bytes).unwrap_or_default())
}

/// What the directory will lie in, private from the start where it is new.
pub(super) fn make_parent(dir: &Path) -> Result<(), DirectoryError> {
    let parent = parent(dir);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent)
        .map_err(io_fault(parent, "make the directory"))
}

pub(super) fn make_dir(dir: &Path) -> Result<(), DirectoryError> {
    DirBuilder::new().mode(0o700).create(dir).map_err(io_fault(dir, "make the directory"))
}

/// Removes what a killed run left.
pub(super) fn remove(dir: &Path) -> Result<(), DirectoryError> {
    match fs::remove_dir_all(dir) {
        Err(fault) if fault.kind() != ErrorKind::NotFound => Err(io_fault(dir, "remove")(fault)),
        _ => Ok(()),
    }
}

/// Removes a file that a killed run left.
pub(super) fn remove_file(path: &Path) -> Result<(), DirectoryError> {
    match fs::remove_file(path) {
        Err(fault) if fault.kind() != ErrorKind::NotFound => Err(io_fault(path, "remove")(fault)),
        _ => Ok(()),
    }
}

/// Whether anything has that name, even a link that leads nowhere.
pub(super) fn is_there(path: &Path) -> Result<bool, DirectoryError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(false),
        Err(fault) => Err(io_fault(path, "look at")(fault)),
    }
}

/// A new file, on the disk when this returns.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DirectoryError> {
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    written().map_err(io_fault(path, "write"))
}

pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), DirectoryError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_fault(dir, "sync"))
}

/// Gives a file or directory its name, which is on the disk when this returns. A directory that is there and empty is replaced.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), DirectoryError> {
    fs::rename(from, to).map_err(io_fault(to, "put in place"))?;
    sync_dir(parent(to))
}

fn parent(dir: &Path) -> &Path {
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn io_fault(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> DirectoryError {
    move |source| DirectoryError::Io { path: path.to_owned(), action, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn names_beside_a_directory_lie_beside_it() {
        assert_eq!(beside(Path::new("a/pki"), ".lock"), Path::new("a/pki.lock"));
        assert_eq!(beside(Path::new("pki"), ".new"), Path::new("pki.new"));
        assert_eq!(parent(Path::new("pki")), Path::new("."));
    }

    #[test]
    fn what_belongs_to_another_user_is_refused_to_all_but_root() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let found = fs::metadata(dir.path()).unwrap();
        let other = found.uid() + 1;
        assert!(private(dir.path(), &found, 0o700, found.uid()).is_ok());
        assert!(private(dir.path(), &found, 0o700, 0).is_ok());
        let refused = private(dir.path(), &found, 0o700, other);
        assert!(matches!(refused, Err(DirectoryError::Owner { owner, .. }) if owner == found.uid()));
    }
}
