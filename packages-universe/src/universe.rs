//! Repositories in their order, and what is found in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::package::Package;
use crate::similar::similar;
use crate::version;

/// Packages from one place.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    /// What people call it.
    pub name: String,
    /// Where it is from.
    pub uri: String,
    /// What is in it.
    pub packages: Vec<Package>,
}

/// Several repositories; the earlier ones win.
#[derive(Clone, Debug, Default)]
pub struct Universe {
    /// The repositories, in the order in which they are asked.
    pub repositories: Vec<Arc<Repository>>,
}

/// A package and where it is from.
#[derive(Clone, Copy, Debug)]
pub struct Found<'u> {
    /// The package.
    pub package: &'u Package,
    /// The repository that has it.
    pub repository: &'u Repository,
}

/// A package that a search found.
#[derive(Clone, Debug)]
pub struct Hit<'u> {
    /// The version that is installed unless another is asked for.
    pub current: Found<'u>,
    /// All versions with their releases.
    pub versions: BTreeMap<String, u64>,
}

/// Why a package was not found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub enum Missing {
    /// No repository has one of that name.
    #[error("there is no package `{name}`{}", meant(.suggestions))]
    Package {
        /// The name.
        name: String,
        /// Names that may have been meant, the nearest first.
        suggestions: Vec<String>,
    },
    /// There is one, but not in that version.
    #[error("there is no version `{version}` of the package `{name}`; there is {}", .known.join(", "))]
    Version {
        /// The name.
        name: String,
        /// The version.
        version: String,
        /// The versions there are, the latest first.
        known: Vec<String>,
    },
}

fn meant(suggestions: &[String]) -> String {
    if suggestions.is_empty() { String::new() } else { format!("; did you mean {}?", suggestions.join(", ")) }
}

impl Universe {
    /// The repositories in their order.
    pub fn new(repositories: impl IntoIterator<Item = impl Into<Arc<Repository>>>) -> Self {
        Self { repositories: repositories.into_iter().map(Into::into).collect() }
    }

    /// Every package of a name, with its repository, in the order in which they win.
    fn named(&self, name: &str) -> impl Iterator<Item = Found<'_>> {
        self.repositories.iter().flat_map(move |repository| {
            let packages = repository.packages.iter().filter(move |package| package.name == name);
            packages.map(move |package| Found { package, repository })
        })
    }

    /// A package: in that version from the first repository that has it, else the latest release of the first repository that has the package.
    ///
    /// # Errors
    /// When there is none, with what may have been meant.
    pub fn find(&self, name: &str, version: Option<&str>) -> Result<Found<'_>, Missing> {
        let found = self.repositories.iter().find_map(|repository| {
            let fitting = repository.packages.iter().filter(|package| package.name == name);
            let fitting = fitting.filter(|package| version.is_none_or(|version| package.version == version));
            let latest = fitting.max_by(|a, b| {
                a.release.cmp(&b.release).then_with(|| version::compare(&a.version, &b.version))
            });
            latest.map(|package| Found { package, repository })
        });
        if let Some(found) = found {
            return Ok(found);
        }
        let mut known: Vec<String> = self.versions(name).into_keys().collect();
        known.sort_by(|a, b| version::compare(b, a));
        match version {
            Some(version) if !known.is_empty() => {
                Err(Missing::Version { name: name.to_owned(), version: version.to_owned(), known })
            }
            _ => Err(Missing::Package { name: name.to_owned(), suggestions: self.suggest(name) }),
        }
    }

    /// The versions of a package with their releases; of one that several repositories have, the first one's.
    pub fn versions(&self, name: &str) -> BTreeMap<String, u64> {
        let mut versions = BTreeMap::new();
        for repository in &self.repositories {
            let mut own: BTreeMap<String, u64> = BTreeMap::new();
            for package in repository.packages.iter().filter(|package| package.name == name) {
                let release = own.entry(package.version.clone()).or_default();
                *release = (*release).max(package.release);
            }
            for (version, release) in own {
                versions.entry(version).or_insert(release);
            }
        }
        versions
    }

    /// Names of packages that may have been meant, the nearest first.
    pub fn suggest(&self, name: &str) -> Vec<String> {
        let known = self.repositories.iter().flat_map(|repository| &repository.packages);
        let mut known: Vec<&str> = known.map(|package| package.name.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        similar(name, known).into_iter().map(str::to_owned).collect()
    }

    /// The packages whose name, description or tags have the query in them, whatever the case; `*` stands for anything. The
    /// selected ones come first, then by name. No query, or an empty one, finds all.
    pub fn search(&self, query: Option<&str>) -> Vec<Hit<'_>> {
        let query = query.unwrap_or_default().to_lowercase();
        let pieces: Vec<&str> = query.split('*').collect();
        let mut hits: BTreeMap<(bool, &str), Hit<'_>> = BTreeMap::new();
        let packages = self.repositories.iter().flat_map(|repository| &repository.packages);
        let mut names: Vec<&str> = packages.map(|package| package.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let fits = |package: &Package| {
                has(&package.name, &pieces)
                    || has(&package.description, &pieces)
                    || package.tags.iter().any(|tag| has(tag, &pieces))
            };
            if !self.named(name).any(|found| fits(found.package)) {
                continue;
            }
            if let Ok(current) = self.find(name, None) {
                let hit = Hit { current, versions: self.versions(name) };
                hits.insert((!current.package.selected, name), hit);
            }
        }
        hits.into_values().collect()
    }
}

/// Whether a text has all pieces, one behind the other.
fn has(text: &str, pieces: &[&str]) -> bool {
    let text = text.to_lowercase();
    let mut rest = text.as_str();
    pieces.iter().all(|piece| match rest.find(piece) {
        Some(at) => {
            rest = rest.get(at + piece.len()..).unwrap_or_default();
            true
        }
        None => false,
    })
}
