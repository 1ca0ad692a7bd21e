//! What a closure's tar will hold: paths, checked before anything is written. Pure.

use std::collections::BTreeMap;

/// Bounds on what comes out of one archive, and of all members of a closure together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files.
    pub bytes: u64,
    /// Entries, directories among them.
    pub entries: u64,
    /// Bytes that may come out per byte of the archive, counted from `ratio_from` on.
    pub ratio: u64,
    /// Output in bytes below which the ratio does not matter.
    pub ratio_from: u64,
    /// Length of a path, in bytes.
    pub path: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // As agents have them, who unpack the result.
        Self { bytes: 64 << 30, entries: 1_000_000, ratio: 200, ratio_from: 1 << 30, path: 4096 }
    }
}

/// Where the bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The member itself.
    Member(usize),
    /// Among what was unpacked, from there on.
    Heap(u64),
}

/// A file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) content: Content,
    pub(crate) length: u64,
    pub(crate) executable: bool,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Directory,
    File(Leaf),
    Link(String),
}

/// All paths, sorted, directories before what is in them.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: BTreeMap<String, Node>,
    limits: Limits,
    entries: u64,
}

impl Tree {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { nodes: BTreeMap::new(), limits, entries: 0 }
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// One more entry of an archive, whatever becomes of it.
    pub(crate) fn count(&mut self) -> Result<(), String> {
        self.entries += 1;
        let most = self.limits.entries;
        if self.entries > most { Err(format!("it is one more than {most} entries")) } else { Ok(()) }
    }

    /// The path of `name`, as it stands in an archive, below the path `base`; empty for the top.
    pub(crate) fn path(&self, base: &str, name: &[u8]) -> Result<String, String> {
        if name.is_empty() {
            return Err("it has no name".to_owned());
        }
        let name = std::str::from_utf8(name).map_err(|_not_text| "its name is no UTF-8".to_owned())?;
        if name.starts_with('/') {
            return Err("its name is absolute".to_owned());
        }
        let mut path = base.to_owned();
        for part in name.split('/').filter(|part| !matches!(*part, "" | ".")) {
            if part == ".." {
                return Err("its name has a \"..\"".to_owned());
            }
            if part.contains('\0') {
                return Err("its name holds a NUL".to_owned());
            }
            if part.len() > 255 {
                return Err("a part of its name is longer than 255 bytes".to_owned());
            }
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(part);
            if path.len() > self.limits.path {
                return Err(format!("its name is longer than {} bytes", self.limits.path));
            }
        }
        Ok(path)
    }

    pub(crate) fn directory(&mut self, path: &str) -> Result<(), String> {
        self.parents(path)?;
        if path.is_empty() {
            return Ok(());
        }
        match self.nodes.get(path) {
            None => {
                self.nodes.insert(path.to_owned(), Node::Directory);
                Ok(())
            }
            Some(Node::Directory) => Ok(()),
            Some(Node::File(_) | Node::Link(_)) => {
                Err("there is a file or a link where its directory must be".to_owned())
            }
        }
    }

    /// A file out of an archive takes the place of an earlier one, as unpacking one archive after the other does; one that was
    /// named by its path does not, nor is it taken away.
    pub(crate) fn file(&mut self, path: &str, leaf: Leaf) -> Result<(), String> {
        self.place(path, leaf.content)?;
        self.nodes.insert(path.to_owned(), Node::File(leaf));
        Ok(())
    }

    /// A symbolic link: relative, up at most to the top, and from there only down. What leads up then passes directories alone,
    /// since nothing is below a link; so no chain of links leads out.
    pub(crate) fn link(&mut self, path: &str, target: &[u8]) -> Result<(), String> {
        let target =
            std::str::from_utf8(target).map_err(|_not_text| "it is a link to no UTF-8".to_owned())?;
        if target.is_empty() || target.len() > 4095 || target.contains('\0') {
            return Err("it is a link to nothing that can be".to_owned());
        }
        if target.starts_with('/') {
            return Err("it is a link to an absolute path".to_owned());
        }
        let mut parts = target.split('/').filter(|part| !matches!(*part, "" | ".")).peekable();
        let mut up = 0;
        while parts.next_if_eq(&"..").is_some() {
            up += 1;
        }
        if up > path.matches('/').count() {
            return Err("it is a link that leads out of the tree".to_owned());
        }
        if parts.any(|part| part == "..") {
            return Err("it is a link with a \"..\" behind a name".to_owned());
        }
        self.place(path, Content::Heap(0))?;
        self.nodes.insert(path.to_owned(), Node::Link(target.to_owned()));
        Ok(())
    }

    fn place(&mut self, path: &str, content: Content) -> Result<(), String> {
        if path.is_empty() {
            return Err("it is no directory, yet has the name of the top".to_owned());
        }
        self.parents(path)?;
        match (self.nodes.get(path), content) {
            (Some(Node::Directory), _) => Err("there is a directory of this name".to_owned()),
            (Some(Node::File(Leaf { content: Content::Member(_), .. })), _)
            | (Some(_), Content::Member(_)) => Err("there are two of this path".to_owned()),
            _ => Ok(()),
        }
    }

    fn parents(&mut self, path: &str) -> Result<(), String> {
        for (at, _) in path.match_indices('/') {
            let above = path.get(..at).unwrap_or_default();
            match self.nodes.get(above) {
                Some(Node::Directory) => {}
                None => {
                    self.nodes.insert(above.to_owned(), Node::Directory);
                }
                Some(Node::Link(_)) => {
                    return Err("it stands below a link, and nothing is put below links".to_owned());
                }
                Some(Node::File(_)) => {
                    return Err("there is a file or a link where its directory must be".to_owned());
                }
            }
        }
        // Directories that no entry names count as well.
        let most = self.limits.entries.saturating_mul(2);
        if self.nodes.len() as u64 > most { Err(format!("there are more than {most} paths")) } else { Ok(()) }
    }
}
