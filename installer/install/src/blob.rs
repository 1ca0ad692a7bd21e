//! A large file that goes to many hosts: read once, compressed once, its bytes shared.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use crate::item::Sum;

/// How much is looked at to tell whether compressing is worth it.
const SAMPLE: usize = 256 << 10;
/// Read in pieces of this size.
const PIECE: usize = 256 << 10;
/// What a tar archive pads to.
const TAR_BLOCK: u64 = 512;

/// A file that goes to many hosts.
pub struct Blob {
    source: PathBuf,
    size: u64,
    sum: Sum,
    /// Made when the first host needs it, while the others wait for it.
    packed: Mutex<Option<Bytes>>,
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob").field("source", &self.source).field("size", &self.size).finish_non_exhaustive()
    }
}

impl Blob {
    /// Reads the file through for its size and digest.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(source: &Path) -> io::Result<Self> {
        let mut file = File::open(source)?;
        let mut hasher = Sha256::new();
        let mut piece = vec![0; PIECE];
        let mut size = 0;
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            let seen = piece.get(..read).unwrap_or_default();
            hasher.update(seen);
            size += seen.len() as u64;
        }
        Ok(Self { source: source.to_owned(), size, sum: Sum::finish(hasher), packed: Mutex::default() })
    }

    /// Where it was read.
    #[must_use]
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// Bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its digest.
    #[must_use]
    pub fn sum(&self) -> &Sum {
        &self.sum
    }

    /// One gzip member with the file and a tar archive's padding. It takes a moment the first time; off the async threads.
    ///
    /// # Errors
    /// When the file cannot be read again, or is not the same any more.
    pub fn packed(&self) -> io::Result<Bytes> {
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(packed) = &*packed {
            return Ok(packed.clone());
        }
        Ok(packed.insert(self.pack()?).clone())
    }

    fn pack(&self) -> io::Result<Bytes> {
        let mut file = File::open(&self.source)?;
        let mut hasher = Sha256::new();
        let mut piece = vec![0; PIECE.max(SAMPLE)];
        let first = read_full(&mut file, &mut piece)?;
        let sample = piece.get(..first).unwrap_or_default();
        let mut encoder = GzEncoder::new(Vec::new(), level(sample)?);
        hasher.update(sample);
        encoder.write_all(sample)?;
        let mut size = first as u64;
        loop {
            let read = read_full(&mut file, &mut piece)?;
            if read == 0 {
                break;
            }
            let seen = piece.get(..read).unwrap_or_default();
            hasher.update(seen);
            encoder.write_all(seen)?;
            size += read as u64;
        }
        if size != self.size || Sum::finish(hasher) != self.sum {
            return Err(io::Error::other("the file changed while it was in use; run this again"));
        }
        encoder.write_all(&padding(size))?;
        Ok(encoder.finish()?.into())
    }
}

/// What a tar archive has after a file of this size.
pub(crate) fn padding(size: u64) -> Vec<u8> {
    let rest = size % TAR_BLOCK;
    // Less than a block.
    vec![0; usize::try_from((TAR_BLOCK - rest) % TAR_BLOCK).unwrap_or(0)]
}

/// Quick compression where it helps, none where it does not: random or compressed data only costs time.
fn level(sample: &[u8]) -> io::Result<Compression> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(sample)?;
    let packed = encoder.finish()?.len();
    let helps = packed < sample.len() / 10 * 9;
    Ok(if helps { Compression::new(3) } else { Compression::none() })
}

fn read_full(file: &mut File, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn what_is_packed_is_the_file_and_its_padding() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let bytes: Vec<u8> =
            (0..700_001_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        std::fs::write(&path, &bytes).unwrap();
        let blob = Blob::open(&path).unwrap();
        assert_eq!((blob.size(), blob.sum()), (700_001, &Sum::of(&bytes)));
        let mut unpacked = Vec::new();
        GzDecoder::new(&blob.packed().unwrap()[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked.len() % 512, 0);
        assert!(unpacked.starts_with(&bytes));
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "one").unwrap();
        let blob = Blob::open(&path).unwrap();
        std::fs::write(&path, "two").unwrap();
        assert!(blob.packed().is_err());
    }

    #[test]
    fn padding_fills_the_block() {
        for (size, rest) in [(0, 0), (1, 511), (512, 0), (513, 511)] {
            assert_eq!(padding(size).len(), rest, "{size}");
        }
    }
}
