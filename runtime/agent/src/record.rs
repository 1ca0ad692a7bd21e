//! State files of a task: written whole, and believed only when every byte is as it was written.
//!
//! A record is one JSON object whose last field, `check`, is a checksum over all bytes before it. Unknown
//! fields are ignored, so that shims and agents of different minor versions read each other's files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Version of all records; raised only when an older reader would misread them.
pub const PROTOCOL: u32 = 1;
/// No record of ours comes near this size; whatever is longer is not one.
const MAX_BYTES: u64 = 4 << 20;
/// What [`reserve`] takes: more than an exit record comes to.
const RESERVED: usize = 16 << 10;
const CHECK: &str = ",\"check\":\"";

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file is not as it was written.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Written by a later major version.
    #[error("{} has protocol {found}, this program knows {PROTOCOL}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The value cannot be written as JSON.
    #[error("cannot encode {}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

/// Something with a record of its own.
pub trait Record: Serialize + DeserializeOwned {
    /// Name of its file in the task's directory.
    const FILE: &'static str;
    /// The protocol version it was written with.
    fn version(&self) -> u32;
}

/// Whether a record must survive a power cut; one that only counts until the next boot need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Synced to disk, file and directory.
    Synced,
    /// Whole for every other process, but perhaps lost with the machine.
    ThisBoot,
}

/// Writes a record whole: temporary name, sync if asked for, rename. Only its owner can read it.
///
/// # Errors
/// When the directory cannot be written.
pub fn write<R: Record>(dir: &Path, record: &R, durability: Durability) -> Result<(), RecordError> {
    let draft = draft(dir, record)?;
    if durability == Durability::Synced {
        draft.sync()?;
    }
    let path = draft.publish()?;
    if durability == Durability::Synced {
        sync_directory(dir).map_err(|source| RecordError::Io { action: "write", path, source })?;
    }
    Ok(())
}

/// A record that is written but does not show yet.
pub(crate) struct Draft {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl Draft {
    pub(crate) fn sync(&self) -> Result<(), RecordError> {
        self.file.sync_all().map_err(|source| self.failed(source))
    }

    /// Lets it show; for good once its directory is synced. Says where.
    pub(crate) fn publish(self) -> Result<PathBuf, RecordError> {
        fs::rename(&self.temporary, &self.path).map_err(|source| self.failed(source))?;
        Ok(self.path)
    }

    fn failed(&self, source: io::Error) -> RecordError {
        RecordError::Io { action: "write", path: self.path.clone(), source }
    }
}

pub(crate) fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The first step of [`write`], for several that are synced together.
pub(crate) fn draft<R: Record>(dir: &Path, record: &R) -> Result<Draft, RecordError> {
    let path = dir.join(R::FILE);
    let text = encode(record).map_err(|source| RecordError::Encode { path: path.clone(), source })?;
    let temporary = dir.join(format!(".{}.new", R::FILE));
    let failed = |source| RecordError::Io { action: "write", path: path.clone(), source };
    // What a writer that was killed left behind is no obstacle.
    let mut file = temporary_file(&temporary).map_err(failed)?;
    // Over what may be reserved there, whose blocks a full disk could not give again.
    file.write_all(text.as_bytes()).and_then(|()| file.set_len(text.len() as u64)).map_err(failed)?;
    Ok(Draft { file, temporary, path })
}

/// Takes the room for a record that must be written later, when the disk may be full.
///
/// # Errors
/// When there is none.
pub fn reserve<R: Record>(dir: &Path) -> Result<(), RecordError> {
    let path = dir.join(format!(".{}.new", R::FILE));
    temporary_file(&path)
        .and_then(|mut file| file.write_all(&[b' '; RESERVED]))
        .map_err(|source| RecordError::Io { action: "reserve", path, source })
}

fn temporary_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Reads a record; `None` when there is no such file.
///
/// # Errors
/// When it cannot be read, is not byte for byte what was written, or has a later version.
pub fn read<R: Record>(dir: &Path) -> Result<Option<R>, RecordError> {
    let path = dir.join(R::FILE);
    let mut bytes = Vec::new();
    let opened = match File::open(&path) {
        Ok(file) => file.take(MAX_BYTES + 1).read_to_end(&mut bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => Err(e),
    };
    opened.map_err(|source| RecordError::Io { action: "read", path: path.clone(), source })?;
    // The version first: a later one may be of another form altogether.
    if let Some(found) = later_version(&bytes) {
        return Err(RecordError::Version { path, found });
    }
    decode(&bytes).map(Some).map_err(|what| RecordError::Damaged { path, what: what.into() })
}

fn later_version(bytes: &[u8]) -> Option<u32> {
    #[derive(serde::Deserialize)]
    struct Any {
        version: u32,
    }
    let any: Any = serde_json::from_slice(bytes).ok()?;
    (any.version > PROTOCOL).then_some(any.version)
}

fn encode<R: Serialize>(record: &R) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string(record)?;
    text.pop();
    let sum = checksum(text.as_bytes());
    text.push_str(CHECK);
    text.push_str(&format!("{sum:016x}\"}}"));
    Ok(text)
}

fn decode<R: DeserializeOwned>(bytes: &[u8]) -> Result<R, &'static str> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err("it is too long");
    }
    let text = std::str::from_utf8(bytes).ok().ok_or("it is no text")?;
    let (body, tail) = text.rsplit_once(CHECK).ok_or("it is cut off")?;
    if tail != format!("{:016x}\"}}", checksum(body.as_bytes())) {
        return Err("its checksum is wrong");
    }
    serde_json::from_str(text).ok().ok_or("it is no such record")
}

/// FNV-1a. Each step can be undone, so two texts that differ in one byte never have the same sum.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        version: u32,
        name: String,
    }

    impl Record for Sample {
        const FILE: &'static str = "sample.json";
        fn version(&self) -> u32 {
            self.version
        }
    }

    fn sample() -> Sample {
        Sample { version: PROTOCOL, name: "a,\"check\":\"b".into() }
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read::<Sample>(dir.path()).unwrap().is_none());
        for durability in [Durability::ThisBoot, Durability::Synced] {
            write(dir.path(), &sample(), durability).unwrap();
            assert_eq!(read::<Sample>(dir.path()).unwrap(), Some(sample()));
        }
        let text = fs::read_to_string(dir.path().join("sample.json")).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "other tools can read it too");
    }

    #[test]
    fn a_record_torn_at_any_byte_is_not_believed() {
        let text = encode(&sample()).unwrap();
        for end in 0..text.len() {
            assert!(decode::<Sample>(&text.as_bytes()[..end]).is_err(), "torn at {end}");
        }
    }

    #[test]
    fn a_record_with_any_flipped_bit_is_not_believed() {
        let text = encode(&sample()).unwrap().into_bytes();
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<Sample>(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn unknown_fields_are_ignored_and_later_versions_refused() {
        #[derive(Serialize, Deserialize)]
        struct Later {
            version: u32,
            name: String,
            added: bool,
        }
        let text = encode(&Later { version: 1, name: "n".into(), added: true }).unwrap();
        assert_eq!(decode::<Sample>(text.as_bytes()), Ok(Sample { version: 1, name: "n".into() }));
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &Sample { version: 2, name: "n".into() }, Durability::ThisBoot).unwrap();
        assert!(matches!(read::<Sample>(dir.path()), Err(RecordError::Version { found: 2, .. })));
    }

    #[test]
    fn a_later_version_is_told_from_damage_whatever_its_form() {
        let dir = tempfile::tempdir().unwrap();
        for text in [r#"{"version":2,"sum":"of another kind"}"#, r#"{"check":"","version":2,"name":[]}"#] {
            fs::write(dir.path().join("sample.json"), text).unwrap();
            let read = read::<Sample>(dir.path());
            assert!(matches!(read, Err(RecordError::Version { found: 2, .. })), "{read:?}");
        }
    }

    #[test]
    fn a_reserved_record_is_no_record_until_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        reserve::<Sample>(dir.path()).unwrap();
        assert!(read::<Sample>(dir.path()).unwrap().is_none());
        write(dir.path(), &sample(), Durability::Synced).unwrap();
        assert_eq!(read::<Sample>(dir.path()).unwrap(), Some(sample()));
    }

    #[test]
    fn what_a_killed_writer_left_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".sample.json.new"), "{\"half").unwrap();
        write(dir.path(), &sample(), Durability::Synced).unwrap();
        assert_eq!(read::<Sample>(dir.path()).unwrap(), Some(sample()));
    }
}
