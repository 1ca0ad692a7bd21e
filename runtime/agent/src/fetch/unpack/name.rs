//! Names of entries: what may stand in an archive as the path of something.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::Failure;
use crate::files::beneath::is_name;

/// The longest target of a symbolic link.
const MAX_TARGET: usize = 4095;

/// A path below the sandbox, of plain names only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    parts: Vec<&'a OsStr>,
}

fn refused<T>(why: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Refused(why.into()))
}

impl<'a> Name<'a> {
    /// Reads a name as it stands in an archive. `max` bounds its length in bytes.
    pub(super) fn parse(name: &'a [u8], max: usize) -> Result<Self, Failure> {
        if name.len() > max {
            return refused(format!("its name is longer than {max} bytes"));
        }
        if name.is_empty() {
            return refused("it has no name");
        }
        if name.starts_with(b"/") {
            return refused("its name is absolute");
        }
        let parts: Vec<&[u8]> =
            name.split(|b| *b == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
        match parts.iter().copied().find(|part| !is_name(part)) {
            Some(b"..") => refused("its name has a \"..\""),
            Some(part) if part.contains(&0) => refused("its name holds a NUL"),
            Some(_) => refused("a part of its name is longer than 255 bytes"),
            None => Ok(Self { parts: parts.into_iter().map(OsStr::from_bytes).collect() }),
        }
    }

    /// The directory it stands in, and its own name there; `None` for the sandbox itself.
    pub(super) fn split(&self) -> Option<(&[&'a OsStr], &'a OsStr)> {
        self.parts.split_last().map(|(last, dirs)| (dirs, *last))
    }

    /// How many directories lead to it.
    pub(super) fn depth(&self) -> usize {
        self.parts.len().saturating_sub(1)
    }
}

/// Some parts as a path.
pub(super) fn path(parts: &[&OsStr]) -> PathBuf {
    parts.iter().collect()
}

/// Whether a symbolic link can point there at all.
pub(super) fn is_target(target: &[u8]) -> Result<(), Failure> {
    if target.is_empty() || target.len() > MAX_TARGET || target.contains(&0) {
        return refused("it is a link to nothing that can be");
    }
    Ok(())
}

/// Checks where a symbolic link points: relative, up at most to the sandbox, and from there only down. The
/// way up then passes real directories alone, since nothing is ever made below a link; the way down passes
/// links that were checked likewise. So no chain of them leads out.
pub(super) fn check_target(name: &Name<'_>, target: &[u8]) -> Result<(), Failure> {
    is_target(target)?;
    if target.starts_with(b"/") {
        return refused("it is a link to an absolute path");
    }
    let mut parts = target.split(|b| *b == b'/').filter(|part| !matches!(*part, b"" | b".")).peekable();
    let mut up = 0;
    while parts.next_if(|part| *part == b"..").is_some() {
        up += 1;
    }
    if up > name.depth() {
        return refused("it is a link that leads out of the sandbox");
    }
    if parts.any(|part| part == b"..") {
        return refused("it is a link with a \"..\" behind a name");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_the_sandbox() {
        for (name, expected) in [
            ("a", Ok(vec!["a"])),
            ("./a//b/", Ok(vec!["a", "b"])),
            ("./", Ok(vec![])),
            ("a\\b", Ok(vec!["a\\b"])),
            ("...", Ok(vec!["..."])),
            ("", Err("it has no name")),
            ("/a", Err("its name is absolute")),
            ("..", Err("its name has a \"..\"")),
            ("a/../b", Err("its name has a \"..\"")),
            ("a\0b", Err("its name holds a NUL")),
            (&"x".repeat(256), Err("a part of its name is longer than 255 bytes")),
            (&"x/".repeat(200), Err("its name is longer than 300 bytes")),
        ] {
            let parsed = Name::parse(name.as_bytes(), 300);
            let parsed = parsed.map(|n| n.parts.iter().map(|p| p.to_str().unwrap()).collect::<Vec<_>>());
            assert_eq!(parsed.map_err(|e| e.to_string()), expected.map_err(str::to_owned), "{name:?}");
        }
    }

    #[test]
    fn links_point_up_to_the_sandbox_and_then_down() {
        for (name, target, good) in [
            ("l", "a/b", true),
            ("l", ".", true),
            ("d/l", "..", true),
            ("d/e/l", "../../x", true),
            ("l", "..", false),
            ("d/l", "../..", false),
            ("d/l", ".././../x", false),
            ("d/l", "a/../b", false),
            ("l", "/etc", false),
            ("l", "", false),
            ("l", "a\0b", false),
        ] {
            let name = Name::parse(name.as_bytes(), 300).unwrap();
            assert_eq!(check_target(&name, target.as_bytes()).is_ok(), good, "{name:?} -> {target:?}");
        }
    }
}
