//! Reading archives, entry by entry.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use tar::EntryType;

use super::Failure;
use super::gauge::{Gauge, Intake, Meter};
use super::name::Name;
use super::tree::{Attributes, Tree};
use crate::fetch::job::Archive;

/// What an xz archive may make its decoder hold, in KiB: twice what `xz -9` asks for.
const XZ_KIB: u32 = 128 << 10;
/// The longest symbolic link in a zip archive, in bytes.
const MAX_LINK: u64 = 4096;
/// The file type bits of a Unix mode.
const TYPE: u32 = 0o170_000;
const TYPE_DIRECTORY: u32 = 0o040_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_LINK: u32 = 0o120_000;

type Input = BufReader<Intake<File>>;

fn input(file: File, gauge: &Rc<Gauge>) -> Input {
    BufReader::with_capacity(64 << 10, Intake::new(file, gauge.clone()))
}

/// One compressed file.
pub(super) fn gunzip(file: File, gauge: &Rc<Gauge>) -> impl Read {
    MultiGzDecoder::new(input(file, gauge))
}

/// Unpacks a whole archive, up to its last byte, where the checksums are.
pub(super) fn extract(kind: Archive, file: File, gauge: &Rc<Gauge>, tree: &mut Tree) -> Result<(), Failure> {
    let input = input(file, gauge);
    match kind {
        Archive::Tar => tar(input, gauge, tree),
        Archive::TarGzip => tar(MultiGzDecoder::new(input), gauge, tree),
        Archive::TarBzip2 => tar(MultiBzDecoder::new(input), gauge, tree),
        Archive::TarXz => tar(XzReader::new_mem_limit(input, true, XZ_KIB), gauge, tree),
        Archive::Zip => zip(input, gauge, tree),
    }
}

fn tar(stream: impl Read, gauge: &Rc<Gauge>, tree: &mut Tree) -> Result<(), Failure> {
    let mut archive = tar::Archive::new(Meter::new(stream, gauge.clone()));
    let mut entries = archive.entries()?;
    loop {
        gauge.headers();
        let Some(entry) = entries.next() else { break };
        let mut entry = entry?;
        gauge.contents();
        let name = entry.path_bytes().into_owned();
        tar_entry(&mut entry, &name, tree).map_err(|why| why.at(&name))?;
        // Whatever an entry has that nobody asked for; else it would count as headers.
        io::copy(&mut entry, &mut io::sink()).map_err(|e| Failure::from(e).at(&name))?;
    }
    gauge.contents();
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(())
}

fn tar_entry(entry: &mut tar::Entry<'_, impl Read>, name: &[u8], tree: &mut Tree) -> Result<(), Failure> {
    let kind = entry.header().entry_type();
    if kind == EntryType::XGlobalHeader {
        return Ok(());
    }
    let max = tree.limits().path;
    let parsed = Name::parse(name, max)?;
    let mode = entry.header().mode()?;
    // One that does not say whose it is is root's.
    let number = |id: io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok());
    let owner = number(entry.header().uid()).zip(number(entry.header().gid()));
    // Before POSIX, a directory was a file with a slash behind its name.
    let kind = if kind == EntryType::Regular && name.ends_with(b"/") { EntryType::Directory } else { kind };
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let size = entry.size();
            let most = tree.limits().bytes;
            if size > most {
                return Err(Failure::Refused(format!("its {size} bytes are more than the {most} allowed")));
            }
            let modified = entry.header().mtime().ok().and_then(|t| i64::try_from(t).ok());
            tree.file(&parsed, Attributes { mode, modified, size: Some(size), owner }, entry)
        }
        EntryType::Directory => tree.directory(&parsed, mode, owner),
        EntryType::Symlink => {
            tree.symbolic_link(&parsed, &entry.link_name_bytes().unwrap_or_default(), owner)
        }
        EntryType::Link => {
            let target = entry.link_name_bytes().unwrap_or_default();
            let target = Name::parse(&target, max).map_err(|why| {
                Failure::Refused(format!("it is a hard link, and of what it links to, {why}"))
            })?;
            tree.hard_link(&parsed, &target)
        }
        // A task has devices of its own.
        EntryType::Block | EntryType::Char | EntryType::Fifo if tree.keeps_all() => Ok(()),
        EntryType::Block | EntryType::Char | EntryType::Fifo => {
            Err(Failure::Refused("it is a device or a FIFO, which tasks do not get".into()))
        }
        other => {
            Err(Failure::Refused(format!("it is of type {:?}, which is not supported", other.as_byte())))
        }
    }
}

fn zip(input: Input, gauge: &Rc<Gauge>, tree: &mut Tree) -> Result<(), Failure> {
    let mut archive = zip::ZipArchive::new(input)?;
    let most = gauge.limits().entries;
    if archive.len() as u64 > most {
        return Err(Failure::Refused(format!(
            "its {} entries are more than the {most} allowed",
            archive.len()
        )));
    }
    for index in 0..archive.len() {
        let name = archive.by_index_data(index)?.name()?.into_owned();
        zip_entry(&mut archive, index, &name, gauge, tree).map_err(|why| why.at(name.as_bytes()))?;
    }
    Ok(())
}

fn zip_entry(
    archive: &mut zip::ZipArchive<Input>,
    index: usize,
    name: &str,
    gauge: &Rc<Gauge>,
    tree: &mut Tree,
) -> Result<(), Failure> {
    let entry = archive.by_index(index)?;
    let parsed = Name::parse(name.as_bytes(), tree.limits().path)?;
    let (mode, size) = (entry.unix_mode(), entry.size());
    let kind = mode.map_or(0, |mode| mode & TYPE);
    let mut contents = Meter::new(entry, gauge.clone());
    if name.ends_with('/') || kind == TYPE_DIRECTORY {
        return tree.directory(&parsed, mode.unwrap_or(0o755), None);
    }
    match kind {
        TYPE_LINK => {
            let mut target = Vec::new();
            contents.take(MAX_LINK).read_to_end(&mut target)?;
            tree.symbolic_link(&parsed, &target, None)
        }
        0 | TYPE_FILE => {
            let mode = mode.unwrap_or(0o644);
            let attributes = Attributes { mode, modified: None, size: Some(size), owner: None };
            tree.file(&parsed, attributes, &mut contents)
        }
        _ => Err(Failure::Refused("it is a device or a FIFO, which tasks do not get".into())),
    }
}
