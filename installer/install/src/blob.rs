//! A large file that goes to many hosts: read once, compressed once where that helps, its bytes shared.

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

/// Read in pieces of this size; the first one tells whether compressing is worth it.
const PIECE: usize = 256 << 10;
/// What a tar archive pads to.
const TAR_BLOCK: u64 = 512;

/// A file that goes to many hosts.
pub struct Blob {
    source: PathBuf,
    size: u64,
    sum: Sum,
    shrinks: bool,
    /// Each made when the first host needs it, while the others wait for it.
    plain: Mutex<Option<Bytes>>,
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
        let mut reading = Reading::open(source)?;
        let shrinks = shrinks(reading.next()?)?;
        while !reading.next()?.is_empty() {}
        let Reading { size, hasher, .. } = reading;
        let (source, sum) = (source.to_owned(), Sum::finish(hasher));
        Ok(Self { source, size, sum, shrinks, plain: Mutex::default(), packed: Mutex::default() })
    }

    /// Whether compressing is worth its time.
    #[must_use]
    pub fn shrinks(&self) -> bool {
        self.shrinks
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

    /// The file and a tar archive's padding, as one gzip member or as they are. It takes a moment the first time; off the async threads.
    ///
    /// # Errors
    /// When the file cannot be read again, or is not the same any more.
    pub fn bytes(&self, gzip: bool) -> io::Result<Bytes> {
        let place = if gzip { &self.packed } else { &self.plain };
        let mut made = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = &*made {
            return Ok(bytes.clone());
        }
        let bytes = if gzip {
            let level = if self.shrinks { Compression::new(3) } else { Compression::none() };
            self.copy_to(GzEncoder::new(Vec::new(), level))?.finish()?
        } else {
            // No larger than what was read when it was opened.
            let room = usize::try_from(self.size + TAR_BLOCK).unwrap_or(0);
            self.copy_to(Vec::with_capacity(room))?
        };
        Ok(made.insert(bytes.into()).clone())
    }

    fn copy_to<W: io::Write>(&self, mut out: W) -> io::Result<W> {
        let mut reading = Reading::open(&self.source)?;
        loop {
            let piece = reading.next()?;
            if piece.is_empty() {
                break;
            }
            out.write_all(piece)?;
        }
        if reading.size != self.size || Sum::finish(reading.hasher) != self.sum {
            return Err(io::Error::other("the file changed while it was in use; run this again"));
        }
        out.write_all(&padding(self.size))?;
        Ok(out)
    }
}

/// A file that is read piece by piece, and what was seen of it.
struct Reading {
    file: File,
    piece: Vec<u8>,
    size: u64,
    hasher: Sha256,
}

impl Reading {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, piece: vec![0; PIECE], size: 0, hasher: Sha256::new() })
    }

    /// The next piece, full but for the last one; empty at the end.
    fn next(&mut self) -> io::Result<&[u8]> {
        let read = read_full(&mut self.file, &mut self.piece)?;
        let piece = self.piece.get(..read).unwrap_or_default();
        self.hasher.update(piece);
        self.size += read as u64;
        Ok(piece)
    }
}

/// What a tar archive has after a file of this size.
pub(crate) fn padding(size: u64) -> Vec<u8> {
    let rest = size % TAR_BLOCK;
    // Less than a block.
    vec![0; usize::try_from((TAR_BLOCK - rest) % TAR_BLOCK).unwrap_or(0)]
}

/// Random or compressed data only costs time, here and on the host.
fn shrinks(sample: &[u8]) -> io::Result<bool> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(sample)?;
    Ok(encoder.finish()?.len() < sample.len() / 10 * 9)
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
        GzDecoder::new(&blob.bytes(true).unwrap()[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked.len() % 512, 0);
        assert!(unpacked.starts_with(&bytes));
        assert_eq!(blob.bytes(false).unwrap(), unpacked);
    }

    #[test]
    fn what_does_not_get_smaller_is_known_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let (mut state, mut noise) = (1_u64, Vec::new());
        while noise.len() < 300_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            noise.extend_from_slice(&state.to_be_bytes()[..4]);
        }
        for (bytes, shrinks) in [(noise, false), (vec![7; 300_000], true), (Vec::new(), false)] {
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(Blob::open(&path).unwrap().shrinks(), shrinks, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "one").unwrap();
        let blob = Blob::open(&path).unwrap();
        std::fs::write(&path, "two").unwrap();
        assert!(blob.bytes(true).is_err() && blob.bytes(false).is_err());
    }

    #[test]
    fn padding_fills_the_block() {
        for (size, rest) in [(0, 0), (1, 511), (512, 0), (513, 511)] {
            assert_eq!(padding(size).len(), rest, "{size}");
        }
    }
}
