//! Which virtual path stands for what.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::Refusal;

/// Directories and files that are shown, by virtual path. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Attached {
    paths: Arc<RwLock<BTreeMap<Vec<String>, PathBuf>>>,
}

/// What a virtual path stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// What was attached.
    pub(super) real: PathBuf,
    /// The rest of the path, unchecked.
    pub(super) below: PathBuf,
}

impl Attached {
    /// Shows a directory or a file under a virtual path, instead of what was there.
    pub fn attach(&self, virtual_path: &str, real: &Path) {
        let mut paths = self.paths.write().unwrap_or_else(PoisonError::into_inner);
        paths.insert(parts(virtual_path), real.to_owned());
    }

    /// Shows it no more. What is being downloaded goes on.
    pub fn detach(&self, virtual_path: &str) {
        let mut paths = self.paths.write().unwrap_or_else(PoisonError::into_inner);
        paths.remove(&parts(virtual_path));
    }

    /// The longest virtual path that the asked one is or begins with.
    pub(super) fn find(&self, asked: &str) -> Result<Found, Refusal> {
        let asked = parts(asked);
        let paths = self.paths.read().unwrap_or_else(PoisonError::into_inner);
        (0..=asked.len())
            .rev()
            .find_map(|length| {
                let (front, rest) = asked.split_at(length);
                Some(Found { real: paths.get(front)?.clone(), below: rest.iter().collect() })
            })
            .ok_or(Refusal::Missing)
    }
}

fn parts(path: &str) -> Vec<String> {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_virtual_path_wins() {
        let attached = Attached::default();
        attached.attach("/a", Path::new("/real/a"));
        attached.attach("a/b/c/", Path::new("/real/c"));
        let find = |path: &str| {
            attached.find(path).ok().map(|f| format!("{} {}", f.real.display(), f.below.display()))
        };
        for (path, expected) in [
            ("/a", Some("/real/a ")),
            ("a/", Some("/real/a ")),
            ("//a/./b", Some("/real/a b")),
            ("/a/b/c", Some("/real/c ")),
            ("/a/b/c/d/e", Some("/real/c d/e")),
            ("/a/b/cd", Some("/real/a b/cd")),
            ("/a/../x", Some("/real/a ../x")),
            ("/", None),
            ("/ab", None),
            ("/../a", None),
        ] {
            assert_eq!(find(path).as_deref(), expected, "{path}");
        }
        attached.detach("/a");
        assert_eq!((find("/a"), find("/a/b/c")), (None, Some("/real/c ".into())));
    }
}
