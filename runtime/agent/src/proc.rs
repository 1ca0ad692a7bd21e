//! What `/proc` says of a process, and identities that outlive the reuse of a number.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its number, seen from the agent's pid namespace.
    pub pid: i32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/pid/stat`).
    pub start_time: u64,
    /// The boot in which that was.
    pub boot_id: String,
}

impl Identity {
    /// The identity of a living process.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: i32) -> io::Result<Self> {
        let stat = stat(pid)?;
        Ok(Self { pid, start_time: stat.start_time, boot_id: boot_id()? })
    }
}

/// The part of `/proc/pid/stat` that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The parent's number.
    pub parent: i32,
    /// One letter: `R`, `S`, `D`, `T`, `Z`, ….
    pub state: char,
    /// Clock ticks since boot.
    pub start_time: u64,
}

/// Reads a process's stat.
///
/// # Errors
/// When there is no such process.
pub fn stat(pid: i32) -> io::Result<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat"))?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/pid/stat has another form"))
}

/// This boot's name.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// All descendants of a process, zombies left out.
#[must_use]
pub fn descendants(ancestor: i32) -> Vec<i32> {
    let mut found = Vec::new();
    let mut parents = vec![ancestor];
    while let Some(parent) = parents.pop() {
        let children = children(parent).unwrap_or_else(|_| children_by_scan(parent));
        found.extend(children.iter().copied().filter(|pid| stat(*pid).is_ok_and(|s| s.state != 'Z')));
        parents.extend(children);
    }
    found
}

/// The children of all threads of a process, from the kernel's own list (`CONFIG_PROC_CHILDREN`).
fn children(parent: i32) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else { return Ok(found) };
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(text) => found.extend(text.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok())),
            Err(_) if !thread.path().exists() => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

fn children_by_scan(parent: i32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| stat(*pid).is_ok_and(|s| s.parent == parent))
        .collect()
}

/// How many threads a user has on this machine, which is what `RLIMIT_NPROC` counts.
pub(crate) fn threads_of(uid: u32) -> u64 {
    use std::os::unix::fs::MetadataExt;

    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<i32>().is_ok()))
        .filter(|entry| entry.metadata().is_ok_and(|m| m.uid() == uid))
        .map(|entry| fs::read_dir(entry.path().join("task")).map_or(1, |threads| threads.count() as u64))
        .sum()
}

/// The name in brackets may hold anything, brackets and blanks too, so fields are counted after the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let start_time = fields.nth(17)?.parse().ok()?;
    Some(Stat { parent, state, start_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_the_process_calls_itself() {
        for name in ["sh", "a b", "x) R 1 (y", ")"] {
            let text =
                format!("12 ({name}) S 7 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 200 1 1");
            assert_eq!(parse_stat(&text), Some(Stat { parent: 7, state: 'S', start_time: 98765 }), "{name}");
        }
        for text in ["", "12 (sh", "12 (sh) S", "12 (sh) S x 1 1"] {
            assert_eq!(parse_stat(text), None, "{text}");
        }
    }

    #[test]
    fn this_process_has_one_identity() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let own = Identity::of(pid).unwrap();
        assert_eq!(own, Identity::of(pid).unwrap());
        assert_eq!(own.boot_id.len(), 36);
        assert!(Identity::of(i32::MAX).is_err());
    }
}
