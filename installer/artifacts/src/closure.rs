//! Many files put together to one tar: the same bytes for the same members, on whatever machine. Blocks.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::path::PathBuf;

use crate::archive::{Heap, unpack};
use crate::error::Fault;
use crate::tree::{Content, Leaf, Limits, Node, Tree};

/// One member, checked, on this disk.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Where it is.
    pub(crate) file: PathBuf,
    /// Its path in the tar, or the directory of its contents.
    pub(crate) path: String,
    pub(crate) unpack: bool,
}

/// Which member is at fault, and why.
pub(crate) type At = (usize, Fault);

/// Writes the tar of all parts to `out`. `heap` is an empty file; `told` hears how many parts are in it.
///
/// # Errors
/// For the first part that cannot be in it.
pub(crate) fn assemble(
    parts: &[Part],
    heap: &File,
    out: &File,
    limits: &Limits,
    told: impl Fn(usize),
) -> Result<(), At> {
    let mut tree = Tree::new(limits.clone());
    let mut contents = Heap::new(BufWriter::with_capacity(256 << 10, heap));
    let mut members = 0_u64;
    for (n, part) in parts.iter().enumerate() {
        let fault = |fault: Fault| (n, fault);
        let refused = |why: String| (n, Fault::Archive(format!("{:?}: {why}", part.path)));
        let is_top = part.unpack && matches!(part.path.as_str(), "" | "." | "./" | "/");
        let path = match is_top {
            true => String::new(),
            false => tree.path("", part.path.as_bytes()).map_err(refused)?,
        };
        let file = File::open(&part.file).map_err(Fault::io("open", &part.file)).map_err(fault)?;
        if part.unpack {
            tree.directory(&path).map_err(refused)?;
            unpack(file, &path, limits, &mut tree, &mut contents)
                .map_err(|why| fault(Fault::Archive(why.to_string())))?;
        } else {
            let length = file.metadata().map_err(Fault::io("read", &part.file)).map_err(fault)?.len();
            members += length;
            if members > limits.bytes {
                return Err(fault(Fault::Large(limits.bytes)));
            }
            let leaf = Leaf { content: Content::Member(n), length, executable: false };
            tree.file(&path, leaf).map_err(refused)?;
        }
        told(n + 1);
    }
    let all = parts.len().saturating_sub(1);
    let io = |error| (all, Fault::io("write", "the archive")(error));
    contents.into_inner().flush().map_err(io)?;
    write(&tree, parts, heap, out).map_err(io)
}

fn write(tree: &Tree, parts: &[Part], mut heap: &File, out: &File) -> io::Result<()> {
    let mut builder = tar::Builder::new(BufWriter::with_capacity(256 << 10, out));
    for (path, node) in tree.nodes() {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        match node {
            Node::Directory => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(0o755);
                builder.append_data(&mut header, format!("{path}/"), io::empty())?;
            }
            Node::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                builder.append_link(&mut header, path, target)?;
            }
            Node::File(leaf) => {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_mode(if leaf.executable { 0o755 } else { 0o644 });
                header.set_size(leaf.length);
                match leaf.content {
                    Content::Heap(offset) => {
                        heap.seek(SeekFrom::Start(offset))?;
                        builder.append_data(&mut header, path, heap.take(leaf.length))?;
                    }
                    Content::Member(n) => {
                        let part = parts.get(n).ok_or_else(|| io::Error::other("a member is missing"))?;
                        let file = BufReader::with_capacity(256 << 10, File::open(&part.file)?);
                        builder.append_data(&mut header, path, file.take(leaf.length))?;
                    }
                }
            }
        }
    }
    builder.into_inner()?.flush()
}
