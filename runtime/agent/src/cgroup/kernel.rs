//! The few file operations control groups are made of, behind a trait so that tests can record them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The kernel's side of control groups.
pub trait Kernel {
    /// Makes one directory.
    ///
    /// # Errors
    /// As of mkdir(2).
    fn make(&self, dir: &Path) -> io::Result<()>;
    /// Removes one directory.
    ///
    /// # Errors
    /// As of rmdir(2).
    fn remove(&self, dir: &Path) -> io::Result<()>;
    /// Writes a setting into a file that exists.
    ///
    /// # Errors
    /// As of open(2) and write(2).
    fn write(&self, file: &Path, value: &str) -> io::Result<()>;
    /// Reads a file.
    ///
    /// # Errors
    /// As of open(2) and read(2).
    fn read(&self, file: &Path) -> io::Result<String>;
    /// The groups directly below one.
    ///
    /// # Errors
    /// As of opendir(3).
    fn children(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
}

/// The running kernel.
#[derive(Clone, Copy, Debug)]
pub struct Linux;

impl Kernel for Linux {
    fn make(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)
    }

    fn remove(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn write(&self, file: &Path, value: &str) -> io::Result<()> {
        // Never creates: a misspelt setting must fail. One write, as the kernel takes each for itself.
        OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
    }

    fn read(&self, file: &Path) -> io::Result<String> {
        fs::read_to_string(file)
    }

    fn children(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                found.push(entry.path());
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
pub(crate) mod double {
    use super::*;
    use std::cell::RefCell;
    use std::collections::{BTreeMap, BTreeSet};

    /// Records what is done, answers from a map, and fails where it is told to.
    #[derive(Default)]
    pub(crate) struct Recorder {
        pub(crate) files: RefCell<BTreeMap<PathBuf, String>>,
        pub(crate) dirs: RefCell<BTreeSet<PathBuf>>,
        pub(crate) log: RefCell<Vec<String>>,
        pub(crate) failures: BTreeMap<PathBuf, io::ErrorKind>,
    }

    impl Recorder {
        pub(crate) fn with(files: &[(&str, &str)]) -> Self {
            let files = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
            Self { files: RefCell::new(files), ..Self::default() }
        }

        pub(crate) fn failing(mut self, path: &str, kind: io::ErrorKind) -> Self {
            self.failures.insert(path.into(), kind);
            self
        }

        pub(crate) fn log(&self) -> String {
            self.log.borrow().join("\n")
        }

        fn note(&self, path: &Path, text: String) -> io::Result<()> {
            self.log.borrow_mut().push(text);
            self.failures.get(path).map_or(Ok(()), |kind| Err((*kind).into()))
        }
    }

    impl Kernel for Recorder {
        fn make(&self, dir: &Path) -> io::Result<()> {
            if self.dirs.borrow().contains(dir) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            self.note(dir, format!("mkdir {}", dir.display()))?;
            self.dirs.borrow_mut().insert(dir.to_owned());
            Ok(())
        }

        fn remove(&self, dir: &Path) -> io::Result<()> {
            self.note(dir, format!("rmdir {}", dir.display()))?;
            match self.dirs.borrow_mut().remove(dir) {
                true => Ok(()),
                false => Err(io::ErrorKind::NotFound.into()),
            }
        }

        fn write(&self, file: &Path, value: &str) -> io::Result<()> {
            self.note(file, format!("{} = {value}", file.display()))
        }

        fn read(&self, file: &Path) -> io::Result<String> {
            if let Some(kind) = self.failures.get(file) {
                return Err((*kind).into());
            }
            self.files.borrow().get(file).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
        }

        fn children(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
            Ok(self.dirs.borrow().iter().filter(|d| d.parent() == Some(dir)).cloned().collect())
        }
    }
}
