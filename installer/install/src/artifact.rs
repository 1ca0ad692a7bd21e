//! Programs that hosts get and that are not this one: fetched on the operator's machine, unpacked, and asked for their version. I/O.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::blob::Blob;
use crate::item::Sum;

/// What is larger is something else.
const LARGEST: u64 = 512 << 20;
/// A server that is not there by then does not come.
const CONNECT: Duration = Duration::from_secs(10);
/// One that says nothing for so long says nothing any more.
const IDLE: Duration = Duration::from_secs(30);
/// One artifact as a whole.
const FETCH: Duration = Duration::from_secs(900);
/// A program tells its version at once.
const ASK: Duration = Duration::from_secs(10);
/// Etcd has all that masters need from then on.
const OLDEST_ETCD: (u32, u32, u32) = (3, 4, 0);

/// Why there is no program.
#[derive(Debug, Error)]
pub enum ArtifactError {
    /// A file or directory of this machine.
    #[error("{path} cannot be used", path = .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server.
    #[error("{url} cannot be fetched")]
    Fetch {
        /// From where.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It does not end.
    #[error("{url} is larger than {} MiB", LARGEST >> 20)]
    TooLarge {
        /// From where.
        url: String,
    },
    /// It is not what was asked for.
    #[error("{place} has the SHA-256 {found}, and the inventory says {wanted}")]
    Differs {
        /// The file, or where it was fetched.
        place: String,
        /// What it has.
        found: Sum,
        /// What it is to have.
        wanted: String,
    },
    /// An archive without the program.
    #[error("{place} has no program `{name}` in it")]
    Lacks {
        /// The file.
        place: String,
        /// What it is called.
        name: String,
    },
    /// Another program.
    #[error("`{} --version` says nothing of etcd: {said:?}", .program.display())]
    NotEtcd {
        /// The file.
        program: PathBuf,
        /// What it says.
        said: String,
    },
    /// Too old.
    #[error("{} is etcd {version}, and {}.{}.{} is the oldest that will do", .program.display(), OLDEST_ETCD.0, OLDEST_ETCD.1, OLDEST_ETCD.2)]
    TooOld {
        /// The file.
        program: PathBuf,
        /// What it is.
        version: String,
    },
    /// It hangs.
    #[error("`{} --version` does not end", .program.display())]
    Hangs {
        /// The file.
        program: PathBuf,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> ArtifactError {
    move |source| ArtifactError::Io { path: path.to_owned(), source }
}

/// Compares a file with its checksum.
///
/// # Errors
/// When it cannot be read, or is another one.
pub fn verify(path: &Path, wanted: &str) -> Result<(), ArtifactError> {
    let blob = Blob::open(path).map_err(io_error(path))?;
    same(&path.display().to_string(), blob.sum().clone(), wanted)
}

fn same(place: &str, found: Sum, wanted: &str) -> Result<(), ArtifactError> {
    if found.as_str() == wanted {
        return Ok(());
    }
    Err(ArtifactError::Differs { place: place.to_owned(), found, wanted: wanted.to_owned() })
}

/// The program `name` of the artifact with this checksum: fetched unless it was before, and taken out of its archive where it is in
/// one. What is fetched is kept in `dir`, by checksum.
///
/// # Errors
/// When it cannot be fetched, is something else than was asked for, or has no such program.
pub async fn fetch(url: &str, sha256: &str, name: &str, dir: &Path) -> Result<PathBuf, ArtifactError> {
    let program = dir.join(format!("{sha256}-{name}"));
    // It got its name when it was whole.
    if program.is_file() {
        return Ok(program);
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error(dir))?;
    let fetched = Unfinished::new(dir.join(format!(".{sha256}.{}", std::process::id())));
    tokio::time::timeout(FETCH, download(url, sha256, &fetched.0)).await.unwrap_or_else(|_elapsed| {
        let source = io::Error::new(io::ErrorKind::TimedOut, format!("{url} takes too long"));
        Err(ArtifactError::Io { path: fetched.0.clone(), source })
    })?;
    let (name, url) = (name.to_owned(), url.to_owned());
    let unpacked = tokio::task::spawn_blocking(move || {
        let new = Unfinished::new(program.with_extension(format!("new{}", std::process::id())));
        unpack(&fetched.0, &new.0, &name, &url)?;
        fs::rename(&new.0, &program).map_err(io_error(&program))?;
        Ok(program)
    });
    match unpacked.await {
        Ok(program) => program,
        Err(error) => Err(ArtifactError::Io { path: dir.to_owned(), source: io::Error::other(error) }),
    }
}

/// A file that is removed again unless it has got another name.
struct Unfinished(PathBuf);

impl Unfinished {
    fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It may be gone, which is what is wanted.
        let _ = fs::remove_file(&self.0);
    }
}

async fn download(url: &str, sha256: &str, to: &Path) -> Result<(), ArtifactError> {
    let failed = |source| ArtifactError::Fetch { url: url.to_owned(), source };
    let client =
        reqwest::Client::builder().connect_timeout(CONNECT).read_timeout(IDLE).build().map_err(failed)?;
    let mut answer =
        client.get(url).send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
    let too_large = || ArtifactError::TooLarge { url: url.to_owned() };
    if answer.content_length().is_some_and(|length| length > LARGEST) {
        return Err(too_large());
    }
    let mut file = create(to, 0o600)?;
    let (mut hasher, mut size) = (Sha256::new(), 0);
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        size += piece.len() as u64;
        if size > LARGEST {
            return Err(too_large());
        }
        hasher.update(&piece);
        file.write_all(&piece).map_err(io_error(to))?;
    }
    same(url, Sum::finish(hasher), sha256)
}

fn create(path: &Path, mode: u32) -> Result<File, ArtifactError> {
    // What a run left that was killed may be there.
    let _ = fs::remove_file(path);
    fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(io_error(path))
}

/// Writes the program of an archive (tar, gzip), or the file itself when it is none.
fn unpack(from: &Path, to: &Path, name: &str, url: &str) -> Result<(), ArtifactError> {
    let mut file = File::open(from).map_err(io_error(from))?;
    let mut magic = [0; 2];
    let is_archive = file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
    let file = File::open(from).map_err(io_error(from))?;
    if !is_archive {
        return write(file, to);
    }
    let mut archive = tar::Archive::new(GzDecoder::new(file).take(4 * LARGEST));
    for entry in archive.entries().map_err(io_error(from))? {
        let entry = entry.map_err(io_error(from))?;
        let is_it = entry.header().entry_type().is_file()
            && entry.path().is_ok_and(|path| path.file_name().is_some_and(|found| found == name));
        if is_it {
            return write(entry, to);
        }
    }
    Err(ArtifactError::Lacks { place: url.to_owned(), name: name.to_owned() })
}

fn write(from: impl Read, to: &Path) -> Result<(), ArtifactError> {
    let mut file = create(to, 0o700)?;
    io::copy(&mut from.take(LARGEST), &mut file).and_then(|_| file.sync_all()).map_err(io_error(to))
}

/// The version of an etcd, where this machine can run it: one for another kind of machine, or without its C library here, does not say.
///
/// # Errors
/// When it is too old, or no etcd.
pub async fn etcd_version(program: &Path) -> Result<Option<String>, ArtifactError> {
    let mut command = tokio::process::Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    // Its settings are also read from there, and are no business of this question.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD_")) {
        command.env_remove(name);
    }
    let output = match tokio::time::timeout(ASK, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => {
            tracing::debug!(%error, program = %program.display(), "etcd does not tell its version here");
            return Ok(None);
        }
        Err(_elapsed) => return Err(ArtifactError::Hangs { program: program.to_owned() }),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let Some((version, number)) = version_in(&said) else {
        let said = said.lines().next().unwrap_or_default().chars().take(100).collect();
        return Err(ArtifactError::NotEtcd { program: program.to_owned(), said });
    };
    if number < OLDEST_ETCD {
        return Err(ArtifactError::TooOld { program: program.to_owned(), version });
    }
    Ok(Some(version))
}

/// What stands after `etcd Version:`, and as numbers.
fn version_in(said: &str) -> Option<(String, (u32, u32, u32))> {
    let version = said.lines().find_map(|line| line.strip_prefix("etcd Version:"))?.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '~');
    let number = |text: Option<&str>| {
        let digits = text?.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    };
    let mut parts = version.splitn(3, '.');
    let number = (number(parts.next())?, number(parts.next())?, number(parts.next())?);
    // It becomes the name of a directory.
    (version.len() <= 40 && version.chars().all(is_plain)).then(|| (version.to_owned(), number))
}

#[cfg(test)]
mod tests;
