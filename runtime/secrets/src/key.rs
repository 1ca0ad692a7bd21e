//! The key that seals secrets, and its file.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::{digest, rand};
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

/// Of the key.
const BYTES: usize = 32;
/// What the id of a key is made of beside it, so that no other digest of the key is the same.
const ID_OF: &[u8] = b"clusterctl key of secrets";
/// What is sealed beside the value.
const SEALED_FOR: &str = "clusterctl secret 1";

/// A key of secrets.
pub struct Key {
    id: String,
    aead: RandomizedNonceKey,
}

/// A value that was sealed: what nobody without the key can read or change.
pub(crate) struct Sealed {
    pub(crate) nonce: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

/// What was sealed does not open: another key, another path, or it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unopened;

/// Why there is no key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file is not there or not to be read.
    #[error("{}: the key of secrets cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It could not be made.
    #[error("{}: a key of secrets cannot be made", .path.display())]
    Make {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others may read it.
    #[error("{}: others may read the key of secrets (mode {mode:o}); `chmod 600` it", .path.display())]
    Lax {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It holds something else.
    #[error("{}: it holds no key of secrets, which has 64 hexadecimal digits", .path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// There are secrets, and the key that they were sealed with is gone.
    #[error("{}: the key of secrets is gone; bring it back from a backup, or remove the secrets", .path.display())]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// None was given.
    #[error(
        "no key of secrets is set up: `clusterctl install` gives masters one (`secrets_key` in their configuration)"
    )]
    None,
    /// The system has no random numbers.
    #[error("the system has no random numbers")]
    Random,
}

/// Where the key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFile {
    /// Nowhere.
    None,
    /// In this file, which the installer wrote.
    At(PathBuf),
    /// In this file, which is made when it is not there and there are no secrets yet: where one master is all.
    OrMade(PathBuf),
}

impl Key {
    /// The key in 64 hexadecimal digits. Nothing when they are none.
    #[must_use]
    pub fn read(text: &SecretString) -> Option<Self> {
        let digits = text.expose_secret().trim();
        if digits.len() != 2 * BYTES || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = Zeroizing::new([0; BYTES]);
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(ID_OF);
        hash.update(&*bytes);
        let id = hash.finish().as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let aead = RandomizedNonceKey::new(&AES_256_GCM, &*bytes).ok()?;
        Some(Self { id, aead })
    }

    /// A new key, as its file has it.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn draw() -> Result<SecretString, KeyError> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        rand::fill(&mut *bytes).map_err(|_unspecified| KeyError::Random)?;
        let mut text = String::with_capacity(2 * BYTES + 1);
        for byte in bytes.iter() {
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(u32::from(digit), 16));
            }
        }
        text.push('\n');
        Ok(text.into())
    }

    /// By which records name it. It says nothing of the key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn seal(&self, path: &str, value: &SecretString) -> Result<Sealed, KeyError> {
        // In place: the plain text is overwritten. With room for the tag, so that it is not moved.
        let text = value.expose_secret().as_bytes();
        let mut bytes = Vec::with_capacity(text.len() + AES_256_GCM.tag_len());
        bytes.extend_from_slice(text);
        match self.aead.seal_in_place_append_tag(self.sealed_for(path), &mut bytes) {
            Ok(nonce) => Ok(Sealed { nonce: nonce.as_ref().to_vec(), bytes }),
            Err(_unspecified) => {
                bytes.zeroize();
                Err(KeyError::Random)
            }
        }
    }

    pub(crate) fn open(&self, path: &str, sealed: &Sealed) -> Result<SecretString, Unopened> {
        let nonce = Nonce::try_assume_unique_for_key(&sealed.nonce).map_err(|_length| Unopened)?;
        let mut bytes = Zeroizing::new(sealed.bytes.clone());
        let text =
            self.aead.open_in_place(nonce, self.sealed_for(path), &mut bytes).map_err(|_wrong| Unopened)?;
        std::str::from_utf8(text).map(SecretString::from).map_err(|_no_text| Unopened)
    }

    fn sealed_for(&self, path: &str) -> Aad<String> {
        Aad::from(format!("{SEALED_FOR}\0{}\0{path}", self.id))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl KeyFile {
    /// Reads the key. `in_use`: whether there are secrets already, for which a new key is none.
    ///
    /// # Errors
    /// Why there is no key.
    pub fn open(&self, in_use: bool) -> Result<Key, KeyError> {
        match self {
            Self::None => Err(KeyError::None),
            Self::At(path) => read(path),
            Self::OrMade(path) => match read(path) {
                Err(KeyError::Read { source, path }) if source.kind() == io::ErrorKind::NotFound => {
                    if in_use {
                        return Err(KeyError::Gone { path });
                    }
                    make(&path)?;
                    read(&path)
                }
                known => known,
            },
        }
    }
}

fn read(path: &Path) -> Result<Key, KeyError> {
    let unreadable = |source| KeyError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode() & 0o7777;
    // Its group may be the one that masters run as.
    if mode & 0o037 != 0 {
        return Err(KeyError::Lax { path: path.to_owned(), mode });
    }
    let mut text = String::with_capacity(4 * BYTES);
    let read = file.take(4 * BYTES as u64).read_to_string(&mut text);
    let text = SecretString::from(text);
    match read {
        Ok(_) => Key::read(&text).ok_or_else(|| KeyError::NoKey { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(KeyError::NoKey { path: path.to_owned() })
        }
        Err(error) => Err(unreadable(error)),
    }
}

/// Makes the file as a whole: half a key must not be found after a crash.
fn make(path: &Path) -> Result<(), KeyError> {
    let text = Key::draw()?;
    let temporary = path.with_extension("new");
    let written = || {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(text.expose_secret().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    };
    written().map_err(|source| KeyError::Make { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_where_there_are_no_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master/secrets.key");
        let file = KeyFile::OrMade(path.clone());
        assert!(matches!(file.open(true), Err(KeyError::Gone { .. })));
        assert!(!path.exists());
        let id = file.open(false).unwrap().id().to_owned();
        assert_eq!(file.open(true).unwrap().id(), id);
        assert_eq!(KeyFile::At(path.clone()).open(true).unwrap().id(), id);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(&path).unwrap().contains(&id));
    }

    #[test]
    fn a_file_that_is_none_is_refused_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        let good = Key::draw().unwrap();
        let good = good.expose_secret();
        for (text, mode) in [
            ("", 0o600),
            (&good[1..], 0o600),
            ("\u{e4}", 0o600),
            (&good.replace(|c: char| c.is_ascii_digit(), "x"), 0o600),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = KeyFile::OrMade(path.clone()).open(false).unwrap_err();
            assert!(matches!(error, KeyError::NoKey { .. }), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, good).unwrap();
        for (mode, fine) in [(0o600, true), (0o640, true), (0o644, false), (0o660, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(KeyFile::At(path.clone()).open(false).is_ok(), fine, "{mode:o}");
        }
        assert!(matches!(KeyFile::At(dir.path().join("no")).open(false), Err(KeyError::Read { .. })));
    }
}
