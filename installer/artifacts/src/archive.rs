//! Reading hostile archives: their entries into a tree, the bytes of their files into one heap, so that no name in them ever is a
//! path on this machine.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write};
use std::rc::Rc;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use tar::EntryType;

use crate::tree::{Content, Leaf, Limits, Node, Tree};

/// What one step from an entry to the next may read: long names, extended headers, which are held in memory.
const HEADERS: u64 = 1 << 20;
/// What an xz archive may make its decoder hold, in KiB: twice what `xz -9` asks for.
const XZ_KIB: u32 = 128 << 10;
/// The longest symbolic link in a zip archive, in bytes.
const MAX_LINK: u64 = 4096;
/// The file type bits of a Unix mode.
const TYPE: u32 = 0o170_000;
const TYPE_DIRECTORY: u32 = 0o040_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_LINK: u32 = 0o120_000;

/// Why an archive is refused, with the entry at which it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("entry {entry:?}: {why}")]
    Entry { entry: String, why: Box<Refusal> },
    #[error("{0}")]
    Because(String),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Zip(#[from] zip::result::ZipError),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::Because(why)
    }
}

impl Refusal {
    fn at(self, name: &[u8]) -> Self {
        let entry = String::from_utf8_lossy(name).chars().take(200).collect();
        Self::Entry { entry, why: Box::new(self) }
    }
}

/// The bytes of all files that were unpacked.
#[derive(Debug)]
pub(crate) struct Heap<W> {
    file: W,
    at: u64,
}

impl<W: Write> Heap<W> {
    pub(crate) fn new(file: W) -> Self {
        Self { file, at: 0 }
    }

    pub(crate) fn into_inner(self) -> W {
        self.file
    }

    fn add(&mut self, contents: &mut impl Read, executable: bool) -> io::Result<Leaf> {
        let offset = self.at;
        let length = io::copy(contents, &mut self.file)?;
        self.at += length;
        Ok(Leaf { content: Content::Heap(offset), length, executable })
    }
}

/// What came out of one archive, against the limits.
#[derive(Debug)]
struct Gauge {
    limits: Limits,
    /// The archive's own size.
    packed: u64,
    unpacked: Cell<u64>,
    ahead: Cell<u64>,
}

impl Gauge {
    fn count(&self, bytes: u64) -> io::Result<()> {
        let out = self.unpacked.get().saturating_add(bytes);
        self.unpacked.set(out);
        let Some(ahead) = self.ahead.get().checked_sub(bytes) else {
            return Err(io::Error::other(format!("a header is longer than {HEADERS} bytes")));
        };
        self.ahead.set(ahead);
        let Limits { bytes: most, ratio, ratio_from, .. } = self.limits;
        if out > most {
            return Err(io::Error::other(format!("more than {most} bytes come out of the archive")));
        }
        if out > ratio_from && out / ratio.max(1) > self.packed {
            let why = format!("the archive grows more than {ratio} times when it is unpacked");
            return Err(io::Error::other(why));
        }
        Ok(())
    }
}

/// Bounds what comes out of a decoder.
struct Meter<R> {
    inner: R,
    gauge: Rc<Gauge>,
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.gauge.count(n as u64)?;
        Ok(n)
    }
}

/// Puts all that is in the archive below the path `base` of the tree. `before` came out of other archives already.
pub(crate) fn unpack<W: Write>(
    mut file: File,
    base: &str,
    limits: &Limits,
    tree: &mut Tree,
    heap: &mut Heap<W>,
) -> Result<(), Refusal> {
    let packed = file.metadata()?.len();
    let mut magic = [0; 512];
    let mut length = 0;
    while length < magic.len() {
        match file.read(magic.get_mut(length..).unwrap_or_default())? {
            0 => break,
            n => length += n,
        }
    }
    file.seek(SeekFrom::Start(0))?;
    // What came out of others counts too, but is not this one's growth.
    let limits = Limits { bytes: limits.bytes.saturating_sub(heap.at), ..limits.clone() };
    let gauge = Rc::new(Gauge { limits, packed, unpacked: Cell::new(0), ahead: Cell::new(u64::MAX) });
    let input = BufReader::with_capacity(64 << 10, file);
    let magic = magic.get(..length).unwrap_or_default();
    if magic.starts_with(b"PK\x03\x04") || magic.starts_with(b"PK\x05\x06") {
        zip(input, base, &gauge, tree, heap)
    } else if magic.starts_with(b"\x1f\x8b") {
        tar(MultiGzDecoder::new(input), base, &gauge, tree, heap)
    } else if magic.starts_with(b"BZh") {
        tar(MultiBzDecoder::new(input), base, &gauge, tree, heap)
    } else if magic.starts_with(b"\xfd7zXZ\0") {
        tar(XzReader::new_mem_limit(input, true, XZ_KIB), base, &gauge, tree, heap)
    } else if magic.get(257..262) == Some(b"ustar") {
        tar(input, base, &gauge, tree, heap)
    } else {
        Err(Refusal::Because("it is no archive that can be unpacked: tar (gz, bz2, xz) or zip".to_owned()))
    }
}

fn tar<W: Write>(
    stream: impl Read,
    base: &str,
    gauge: &Rc<Gauge>,
    tree: &mut Tree,
    heap: &mut Heap<W>,
) -> Result<(), Refusal> {
    let mut archive = tar::Archive::new(Meter { inner: stream, gauge: gauge.clone() });
    let mut entries = archive.entries()?;
    loop {
        gauge.ahead.set(HEADERS);
        let Some(entry) = entries.next() else { break };
        let mut entry = entry?;
        gauge.ahead.set(u64::MAX);
        let name = entry.path_bytes().into_owned();
        tar_entry(&mut entry, &name, base, gauge, tree, heap).map_err(|why| why.at(&name))?;
        // Whatever an entry has that nobody asked for; else it would count as headers.
        io::copy(&mut entry, &mut io::sink()).map_err(|e| Refusal::from(e).at(&name))?;
    }
    gauge.ahead.set(u64::MAX);
    // To its last byte, where the checksums are.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(())
}

fn tar_entry<W: Write>(
    entry: &mut tar::Entry<'_, impl Read>,
    name: &[u8],
    base: &str,
    gauge: &Gauge,
    tree: &mut Tree,
    heap: &mut Heap<W>,
) -> Result<(), Refusal> {
    let kind = entry.header().entry_type();
    if kind == EntryType::XGlobalHeader {
        return Ok(());
    }
    tree.count()?;
    let path = tree.path(base, name)?;
    // Before POSIX, a directory was a file with a slash behind its name.
    let kind = if kind == EntryType::Regular && name.ends_with(b"/") { EntryType::Directory } else { kind };
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let (size, most) = (entry.size(), gauge.limits.bytes);
            if size > most {
                return Err(format!("its {size} bytes are more than the {most} allowed").into());
            }
            let executable = entry.header().mode()? & 0o111 != 0;
            let leaf = heap.add(entry, executable)?;
            Ok(tree.file(&path, leaf)?)
        }
        EntryType::Directory => Ok(tree.directory(&path)?),
        EntryType::Symlink => Ok(tree.link(&path, &entry.link_name_bytes().unwrap_or_default())?),
        EntryType::Link => {
            let target = tree.path(base, &entry.link_name_bytes().unwrap_or_default());
            let target =
                target.map_err(|why| format!("it is a hard link, and of what it links to, {why}"))?;
            match tree.get(&target) {
                Some(Node::File(leaf)) => {
                    let leaf = *leaf;
                    Ok(tree.file(&path, leaf)?)
                }
                _ => Err("it is a hard link to what is no file of the archive".to_owned().into()),
            }
        }
        EntryType::Block | EntryType::Char | EntryType::Fifo => {
            Err("it is a device or a FIFO, which tasks do not get".to_owned().into())
        }
        other => Err(format!("it is of type {:?}, which is not supported", other.as_byte()).into()),
    }
}

fn zip<W: Write>(
    input: BufReader<File>,
    base: &str,
    gauge: &Rc<Gauge>,
    tree: &mut Tree,
    heap: &mut Heap<W>,
) -> Result<(), Refusal> {
    let mut archive = zip::ZipArchive::new(input)?;
    let most = gauge.limits.entries;
    if archive.len() as u64 > most {
        return Err(format!("its {} entries are more than the {most} allowed", archive.len()).into());
    }
    for index in 0..archive.len() {
        let name = archive.by_index_data(index)?.name()?.into_owned();
        zip_entry(&mut archive, index, &name, base, gauge, tree, heap)
            .map_err(|why| why.at(name.as_bytes()))?;
    }
    Ok(())
}

fn zip_entry<W: Write>(
    archive: &mut zip::ZipArchive<BufReader<File>>,
    index: usize,
    name: &str,
    base: &str,
    gauge: &Rc<Gauge>,
    tree: &mut Tree,
    heap: &mut Heap<W>,
) -> Result<(), Refusal> {
    let entry = archive.by_index(index)?;
    tree.count()?;
    let path = tree.path(base, name.as_bytes())?;
    let mode = entry.unix_mode();
    let kind = mode.map_or(0, |mode| mode & TYPE);
    let mut contents = Meter { inner: entry, gauge: gauge.clone() };
    if name.ends_with('/') || kind == TYPE_DIRECTORY {
        return Ok(tree.directory(&path)?);
    }
    match kind {
        TYPE_LINK => {
            let mut target = Vec::new();
            contents.take(MAX_LINK).read_to_end(&mut target)?;
            Ok(tree.link(&path, &target)?)
        }
        0 | TYPE_FILE => {
            let leaf = heap.add(&mut contents, mode.is_some_and(|mode| mode & 0o111 != 0))?;
            Ok(tree.file(&path, leaf)?)
        }
        _ => Err("it is a device or a FIFO, which tasks do not get".to_owned().into()),
    }
}

#[cfg(test)]
mod tests;
