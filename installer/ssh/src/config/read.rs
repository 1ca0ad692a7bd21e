//! Reading configuration files, and those that they include.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::{SshConfig, in_home};
use crate::pattern::Patterns;

/// More than this is no configuration that somebody wrote.
const MAX_BYTES: u64 = 4 << 20;

impl SshConfig {
    /// Reads a file and all that it includes; a file that is not there says nothing. Relative includes are below
    /// `.ssh` of `home`.
    pub fn load(path: &Path, home: &Path) -> io::Result<Self> {
        let text = match read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            text => text?,
        };
        let mut failed = Ok(());
        let config = Self::parse(path, &text, &mut |pattern| {
            let mut texts = Vec::new();
            for path in files(&home.join(".ssh").join(in_home(pattern, home))) {
                match read(&path) {
                    Ok(text) => texts.push((path, text)),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => {
                        let said = io::Error::new(error.kind(), format!("{}: {error}", path.display()));
                        failed = std::mem::replace(&mut failed, Ok(())).and(Err(said));
                    }
                }
            }
            texts
        });
        failed.map(|()| config)
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The files that a path with wildcards in its last part names, sorted as a shell does.
fn files(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (Some(directory), true) = (path.parent(), name.contains(['*', '?'])) else {
        return vec![path.to_owned()];
    };
    let patterns = Patterns::new(std::iter::once(name.as_str()));
    let mut found: Vec<PathBuf> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
            !name.starts_with('.') && patterns.matches(&name)
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}
