//! What is in a directory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir, FileType, OFlags, Stat, statat};
use serde::Serialize;

use super::Refusal;
use super::attached::Attached;
use super::open::{Place, size, stat};

/// More are not listed: an answer is held in memory.
const MAX_ENTRIES: usize = 100_000;

/// One entry, as Mesos describes it.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    /// The virtual path.
    path: String,
    nlink: u64,
    /// In bytes.
    size: u64,
    /// Seconds since 1970.
    mtime: i64,
    mode: String,
    /// A name, or a number without one.
    uid: String,
    gid: String,
}

/// The entries of a directory, by name; none of a file, as with Mesos.
pub(super) fn list(attached: &Attached, path: &str) -> Result<Vec<Entry>, Refusal> {
    let place = Place::of(&attached.find(path)?)?;
    let is_dir = FileType::from_raw_mode(stat(&place.get(&place.below, OFlags::PATH)?)?.st_mode).is_dir();
    if !is_dir {
        return Ok(Vec::new());
    }
    let fd = place.get(&place.below, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let (users, groups) = (names("/etc/passwd"), names("/etc/group"));
    let mut entries = BTreeMap::new();
    for entry in Dir::read_from(&fd).map_err(std::io::Error::from)? {
        let entry = entry.map_err(std::io::Error::from)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        if entries.len() == MAX_ENTRIES {
            return Err(Refusal::Large(MAX_ENTRIES));
        }
        // Gone meanwhile: it is not there.
        let Ok(own) = statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let stat = followed(&place, name, own);
        let user = |id: u32, names: &BTreeMap<u32, String>| names.get(&id).cloned().unwrap_or(id.to_string());
        let described = Entry {
            path: format!("{}/{}", path.trim_end_matches('/'), name.to_string_lossy()),
            nlink: wide(stat.st_nlink),
            size: size(&stat),
            mtime: stat.st_mtime,
            mode: mode(stat.st_mode),
            uid: user(stat.st_uid, &users),
            gid: user(stat.st_gid, &groups),
        };
        entries.insert(name.to_owned(), described);
    }
    Ok(entries.into_values().collect())
}

/// What a link leads to when that is inside, else the link.
fn followed(place: &Place, name: &OsStr, own: Stat) -> Stat {
    if FileType::from_raw_mode(own.st_mode) != FileType::Symlink {
        return own;
    }
    place.get(&place.below.join(name), OFlags::PATH).and_then(|fd| stat(&fd)).unwrap_or(own)
}

/// The kernel counts links in 32 or 64 bits, by architecture.
fn wide(count: impl Into<u64>) -> u64 {
    count.into()
}

/// As `ls -l` writes it.
fn mode(mode: u32) -> String {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::RegularFile | FileType::Unknown => '-',
    };
    let rights = (0..9).rev().zip("rwxrwxrwx".chars());
    let rights = rights.map(|(bit, letter)| if mode & (1 << bit) == 0 { '-' } else { letter });
    std::iter::once(kind).chain(rights).collect()
}

/// Names by number, of users or groups.
fn names(file: &str) -> BTreeMap<u32, String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut names = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(id))) = (fields.next(), fields.nth(1).map(str::parse)) {
            names.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_ls_does() {
        for (bits, expected) in [
            (0o100_644, "-rw-r--r--"),
            (0o040_755, "drwxr-xr-x"),
            (0o120_777, "lrwxrwxrwx"),
            (0o010_001, "p--------x"),
            (0o104_750, "-rwxr-x---"),
        ] {
            assert_eq!(mode(bits), expected);
        }
    }
}
