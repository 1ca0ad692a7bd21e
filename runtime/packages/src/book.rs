//! What is stored of packages: the list of repositories, and by which sums their artifacts are uploaded. Pure.
//!
//! What is installed is not stored here: it is read from the labels of what runs (interfaces/universe-cosmos.md, §1.7).

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::{Batch, Key, KeyError, Snapshot};
use thiserror::Error;

/// The layout of the records; a reader refuses later ones.
const VERSION: u32 = 1;
/// The name and address of the catalogue that is part of the program.
pub const BUILT_IN: (&str, &str) = (universe::CATALOG_NAME, universe::CATALOG_URI);
/// So many repositories at most.
pub(crate) const MAX_REPOSITORIES: usize = 64;

/// A place that packages come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryEntry {
    /// How people call it.
    pub name: String,
    /// `http://`, `https://`, `artifact://sha256/<hex>` for an uploaded archive, or the program's own.
    pub uri: String,
}

/// An artifact of a package, as it was uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRecord {
    /// In hexadecimal digits.
    pub sha256: String,
    /// Where in the archive the software is; empty for its top.
    #[serde(default)]
    pub home: String,
    /// Its name in a sandbox.
    pub file: String,
    /// Whether it is unpacked there.
    #[serde(default)]
    pub extract: bool,
    /// Where it came from, for people.
    #[serde(default)]
    pub source: String,
}

/// The artifacts of one version of a package, by their names in it.
pub type Artifacts = BTreeMap<String, ArtifactRecord>;

/// All that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    repositories: Vec<RepositoryEntry>,
    artifacts: BTreeMap<(String, String), Artifacts>,
}

/// A record cannot be written or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The key is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A record is not readable.
    #[error("{key}: the record is damaged ({problem}): restore a backup")]
    Damaged {
        /// Where it lies.
        key: Key,
        /// What is wrong with it.
        problem: String,
    },
    /// A record was written by a later version.
    #[error("{key}: the record has version {version}, this program knows {VERSION}: run a later one")]
    Newer {
        /// Where it lies.
        key: Key,
        /// Its version.
        version: u32,
    },
    /// A record could not be written as JSON.
    #[error("a record cannot be written")]
    Json(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct RepositoriesRecord {
    version: u32,
    repositories: Vec<RepositoryEntry>,
}

#[derive(Serialize, Deserialize)]
struct ArtifactsRecord {
    version: u32,
    package: String,
    package_version: String,
    artifacts: Artifacts,
}

/// A change of the book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// At this place in the list; at its end without one.
    AddRepository(RepositoryEntry, Option<usize>),
    /// By whichever of both is named.
    RemoveRepository { name: Option<String>, uri: Option<String> },
    /// What was uploaded for this artifact of this version of this package.
    SetArtifact { package: String, version: String, artifact: String, record: ArtifactRecord },
}

/// Why a change is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ChangeError {
    #[error("a repository with the name [{name}] or the uri [{uri}] is there already")]
    Present { name: String, uri: String },
    #[error("there is no repository {}", wanted(.name.as_deref(), .uri.as_deref()))]
    Absent { name: Option<String>, uri: Option<String> },
    #[error("name or uri has to be given")]
    Unnamed,
    #[error("index {index} is beyond the end of the list, which has {length}")]
    OutOfBounds { index: usize, length: usize },
    #[error("there are {MAX_REPOSITORIES} repositories already; remove one first")]
    TooMany,
}

fn wanted(name: Option<&str>, uri: Option<&str>) -> String {
    [name.map(|name| format!("with the name [{name}]")), uri.map(|uri| format!("with the uri [{uri}]"))]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" and ")
}

fn repositories_key() -> Result<Key, KeyError> {
    Key::new("packages/repositories")
}

fn artifacts_key() -> Result<Key, KeyError> {
    Key::new("packages/artifacts")
}

impl Default for Book {
    fn default() -> Self {
        let (name, uri) = BUILT_IN;
        let repositories = vec![RepositoryEntry { name: name.to_owned(), uri: uri.to_owned() }];
        Self { repositories, artifacts: BTreeMap::new() }
    }
}

impl Book {
    /// What the store has.
    ///
    /// # Errors
    /// When a record is damaged or of a later version.
    pub fn load(snapshot: &Snapshot) -> Result<Self, RecordError> {
        let mut book = Self::default();
        let key = repositories_key()?;
        if let Some(value) = snapshot.get(&key) {
            book.repositories = read::<RepositoriesRecord>(&key, value)?.repositories;
        }
        for (key, entry) in snapshot.below(&artifacts_key()?) {
            let record: ArtifactsRecord = read(key, &entry.value)?;
            book.artifacts.insert((record.package, record.package_version), record.artifacts);
        }
        Ok(book)
    }

    /// In the order in which they are searched.
    #[must_use]
    pub fn repositories(&self) -> &[RepositoryEntry] {
        &self.repositories
    }

    /// What was uploaded for this version of this package.
    #[must_use]
    pub fn artifacts(&self, package: &str, version: &str) -> Artifacts {
        self.artifacts.get(&(package.to_owned(), version.to_owned())).cloned().unwrap_or_default()
    }

    /// The book after a change, and the commit that makes it; an empty one where nothing changes.
    ///
    /// # Errors
    /// Why the change is none.
    pub(crate) fn plan(&self, change: Change) -> Result<Result<(Book, Batch), RecordError>, ChangeError> {
        let mut book = self.clone();
        match change {
            Change::AddRepository(entry, index) => {
                let list = &mut book.repositories;
                if list.iter().any(|known| known.name == entry.name || known.uri == entry.uri) {
                    return Err(ChangeError::Present { name: entry.name, uri: entry.uri });
                }
                if list.len() >= MAX_REPOSITORIES {
                    return Err(ChangeError::TooMany);
                }
                let (index, length) = (index.unwrap_or(list.len()), list.len());
                if index > length {
                    return Err(ChangeError::OutOfBounds { index, length });
                }
                list.insert(index, entry);
                Ok(book.repositories_batch().map(|batch| (book, batch)))
            }
            Change::RemoveRepository { name: None, uri: None } => Err(ChangeError::Unnamed),
            Change::RemoveRepository { name, uri } => {
                let is_it = |known: &RepositoryEntry| {
                    name.as_ref().is_none_or(|name| *name == known.name)
                        && uri.as_ref().is_none_or(|uri| *uri == known.uri)
                };
                let Some(at) = book.repositories.iter().position(is_it) else {
                    return Err(ChangeError::Absent { name, uri });
                };
                book.repositories.remove(at);
                Ok(book.repositories_batch().map(|batch| (book, batch)))
            }
            Change::SetArtifact { package, version, artifact, record } => {
                let place = (package, version);
                book.artifacts.entry(place.clone()).or_default().insert(artifact, record);
                Ok(book.artifacts_batch(&place).map(|batch| (book, batch)))
            }
        }
    }

    fn repositories_batch(&self) -> Result<Batch, RecordError> {
        let record = RepositoriesRecord { version: VERSION, repositories: self.repositories.clone() };
        Ok(Batch::new().put(repositories_key()?, serde_json::to_vec(&record)?))
    }

    fn artifacts_batch(&self, (package, version): &(String, String)) -> Result<Batch, RecordError> {
        let record = ArtifactsRecord {
            version: VERSION,
            package: package.clone(),
            package_version: version.clone(),
            artifacts: self.artifacts(package, version),
        };
        let key = artifacts_key()?.child(package)?.child(version)?;
        Ok(Batch::new().put(key, serde_json::to_vec(&record)?))
    }
}

/// The version is read first: a later layout may look like damage.
fn read<T: DeserializeOwned>(key: &Key, value: &[u8]) -> Result<T, RecordError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let damaged =
        |error: serde_json::Error| RecordError::Damaged { key: key.clone(), problem: error.to_string() };
    let Versioned { version } = serde_json::from_slice(value).map_err(damaged)?;
    if version > VERSION {
        return Err(RecordError::Newer { key: key.clone(), version });
    }
    serde_json::from_slice(value).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, uri: &str) -> RepositoryEntry {
        RepositoryEntry { name: name.to_owned(), uri: uri.to_owned() }
    }

    fn add(name: &str, uri: &str, index: Option<usize>) -> Change {
        Change::AddRepository(entry(name, uri), index)
    }

    fn names(book: &Book) -> Vec<&str> {
        book.repositories().iter().map(|one| one.name.as_str()).collect()
    }

    #[test]
    fn repositories_stand_in_the_order_that_was_asked_for() {
        let (book, _) = Book::default().plan(add("last", "https://l", None)).unwrap().unwrap();
        let (book, batch) = book.plan(add("first", "https://f", Some(0))).unwrap().unwrap();
        assert_eq!(names(&book), ["first", "clusterctl", "last"]);
        assert_eq!(batch.len(), 1);
        let beyond = book.plan(add("x", "https://x", Some(4)));
        assert!(matches!(beyond, Err(ChangeError::OutOfBounds { index: 4, length: 3 })));
        for same in [add("last", "https://other", None), add("other", "https://l", None)] {
            assert!(matches!(book.plan(same), Err(ChangeError::Present { .. })));
        }
    }

    #[test]
    fn a_repository_is_removed_by_name_or_uri_or_both() {
        let remove = |name: Option<&str>, uri: Option<&str>| Change::RemoveRepository {
            name: name.map(str::to_owned),
            uri: uri.map(str::to_owned),
        };
        let (book, _) = Book::default().plan(add("a", "https://a", None)).unwrap().unwrap();
        for change in
            [remove(Some("a"), None), remove(None, Some("https://a")), remove(Some("a"), Some("https://a"))]
        {
            assert_eq!(names(&book.plan(change).unwrap().unwrap().0), ["clusterctl"]);
        }
        assert!(matches!(book.plan(remove(Some("a"), Some("https://b"))), Err(ChangeError::Absent { .. })));
        assert!(matches!(book.plan(remove(None, None)), Err(ChangeError::Unnamed)));
    }
}
