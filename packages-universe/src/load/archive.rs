//! Packages from a zip, a tar or a tar.gz. Nothing is written; what a good archive does not have is refused as a whole.

use std::io::{self, Cursor, Read};

use flate2::read::MultiGzDecoder;

use super::{Budget, FILES, LoadError, Loaded, MOST_BYTES, MOST_ENTRIES, Tree, from_tree};

/// What an archive is refused with that unpacks to too much.
const TOO_MUCH: &str = "it unpacks to more than repositories have";

/// Loads what [`directory`](super::directory) loads, out of an archive.
///
/// # Errors
/// When it is no archive, has names that lead out of it or links in the place of packages' files, or is more than a repository may be.
pub fn archive(bytes: &[u8]) -> Result<Loaded, LoadError> {
    let tree = if bytes.starts_with(b"PK") {
        zip(bytes)?
    } else if bytes.starts_with(&[0x1f, 0x8b]) {
        tar(MultiGzDecoder::new(bytes))?
    } else {
        tar(bytes)?
    };
    if tree.is_empty() {
        return Err(LoadError::Archive("it has no package's files".to_owned()));
    }
    Ok(from_tree(&tree, None))
}

/// Where a file goes in the tree, when it is of a package.
fn wanted(name: &[u8]) -> Result<Option<(String, String)>, LoadError> {
    let Ok(name) = std::str::from_utf8(name) else {
        return Err(LoadError::Refused("a name in it is no UTF-8".to_owned()));
    };
    let plain = name.strip_prefix("./").unwrap_or(name);
    if plain.starts_with('/') || plain.contains(['\\', '\0']) || plain.split('/').any(|part| part == "..") {
        return Err(LoadError::Refused(format!("`{}` leads out of it", name.escape_debug())));
    }
    let (directory, file) = plain.rsplit_once('/').unwrap_or(("", plain));
    Ok(FILES.contains(&file).then(|| (directory.to_owned(), file.to_owned())))
}

fn put(tree: &mut Tree, (directory, file): (String, String), content: Vec<u8>) -> Result<(), LoadError> {
    let name = format!("{directory}/{file}");
    match tree.entry(directory).or_default().insert(file, content) {
        // Which of the two counts would depend on the reader.
        Some(_) => Err(LoadError::Refused(format!("`{name}` is in it twice"))),
        None => Ok(()),
    }
}

fn tar(stream: impl Read) -> Result<Tree, LoadError> {
    let broken = |error: io::Error| {
        let what = error.to_string();
        if what.contains(TOO_MUCH) {
            LoadError::TooLarge(TOO_MUCH.to_owned())
        } else {
            LoadError::Archive(what)
        }
    };
    let (mut tree, mut budget) = (Tree::new(), Budget::default());
    let mut archive = tar::Archive::new(Meter { inner: stream, left: MOST_BYTES });
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        budget.entry()?;
        let Some(place) = wanted(&entry.path_bytes())? else { continue };
        if entry.header().entry_type().is_dir() {
            continue;
        }
        if !entry.header().entry_type().is_file() {
            return Err(LoadError::Refused(format!("`{}/{}` is no plain file", place.0, place.1)));
        }
        let content = budget.read(&mut entry, &place.1).map_err(|error| match error {
            LoadError::Read { source, .. } => broken(source),
            other => other,
        })?;
        put(&mut tree, place, content)?;
    }
    Ok(tree)
}

fn zip(bytes: &[u8]) -> Result<Tree, LoadError> {
    let broken = |error: zip::result::ZipError| LoadError::Archive(error.to_string());
    let (mut tree, mut budget) = (Tree::new(), Budget::default());
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    if archive.len() > MOST_ENTRIES {
        return Err(LoadError::TooLarge(format!("it has more than {MOST_ENTRIES} files")));
    }
    for at in 0..archive.len() {
        let entry = archive.by_index(at).map_err(broken)?;
        let Some(place) = wanted(entry.name_raw())? else { continue };
        if entry.is_dir() {
            continue;
        }
        if entry.is_symlink() {
            return Err(LoadError::Refused(format!("`{}/{}` is no plain file", place.0, place.1)));
        }
        let content = budget.read(entry, &place.1).map_err(|error| match error {
            LoadError::Read { source, .. } => LoadError::Archive(source.to_string()),
            other => other,
        })?;
        put(&mut tree, place, content)?;
    }
    Ok(tree)
}

/// Passes on no more than a repository may be, whatever it was compressed from.
struct Meter<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other(TOO_MUCH))?;
        Ok(read)
    }
}
