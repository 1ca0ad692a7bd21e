//! One process at a time, and a name for the one that is there.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use crate::StoreError;

/// Held as long as it lives; the kernel takes it back from a process that was killed. It is a file of its own, which is
/// never removed: a lock on a file that another process replaces guards nothing.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

/// Closing the file is not enough: a child of this process that is just being started has it too, until it runs its own
/// program.
impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

pub(super) fn take(dir: &Path) -> Result<Lock, StoreError> {
    take_as(dir, write_holder)
}

fn take_as(dir: &Path, write_holder: impl FnOnce(&mut File) -> io::Result<()>) -> Result<Lock, StoreError> {
    let path = dir.join("store.lock");
    let fault = |action| {
        let path = path.clone();
        move |source: io::Error| StoreError::Open { path, action, source: Arc::new(source) }
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(fault("open the lock"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StoreError::InUse { path: dir.to_owned(), holder: holder(&mut file) });
        }
        Err(TryLockError::Error(source)) => return Err(fault("lock")(source)),
    }
    // The lock holds without it: a full disk is no reason not to open a store that is to be read, or emptied.
    if let Err(error) = write_holder(&mut file) {
        tracing::warn!(path = %path.display(), %error, "the lock cannot say who holds it");
    }
    Ok(Lock { file })
}

fn write_holder(file: &mut File) -> io::Result<()> {
    let program = std::env::current_exe().unwrap_or_default();
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{name}, process {}", std::process::id())
}

/// As it wrote itself down: words of another process, so cut to what a message bears.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(200).read_to_string(&mut text);
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    if read.is_err() || text.is_empty() { "another process".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_cannot_name_its_holder_holds_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let full = |file: &mut File| {
            file.set_len(0)?;
            Err(io::ErrorKind::StorageFull.into())
        };
        let lock = take_as(directory.path(), full).unwrap();
        let refused = take(directory.path()).unwrap_err();
        assert!(
            matches!(&refused, StoreError::InUse { holder, .. } if holder == "another process"),
            "{refused}"
        );
        drop(lock);
        take(directory.path()).unwrap();
    }
}
