//! All secrets, sealed, and what changes them. Pure, but for the randomness of a sealing.

use std::collections::BTreeMap;

use api::marathon::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use store::{Batch, Key as Place, KeyError as PlaceError, Snapshot, StoreError};
use thiserror::Error;

use crate::MAX_SECRET;
use crate::key::{Key, KeyError};
use crate::path::{self, PathError, SecretPath};
use crate::record::Record;

/// So many secrets at most.
const MOST: usize = 10_000;
/// So many are removed in one commit.
const MOST_AT_ONCE: usize = 100;

/// What is told of a secret. Never its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its path.
    pub path: String,
    /// How long it is, in bytes.
    pub size: usize,
    /// When it was made.
    pub created: Timestamp,
    /// When it got the value that it has.
    pub changed: Timestamp,
    /// By whom.
    pub by: String,
    /// The installed package that it belongs to, by its id, and goes with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Why nobody can read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Why nothing comes of a wish.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The path is none.
    #[error(transparent)]
    Path(#[from] PathError),
    /// There is none.
    #[error("there is no secret {0}; `clusterctl secret set {0}` makes it")]
    Absent(SecretPath),
    /// The value cannot be kept.
    #[error("the value of a secret {0}")]
    Value(&'static str),
    /// There is no key.
    #[error("secrets cannot be used on this master: {0}")]
    NoKey(String),
    /// Another key.
    #[error(
        "the secret {path} was sealed with the key {theirs}, and this master has the key {own}; give it the file of that key, or \
         remove the secret"
    )]
    OtherKey {
        /// Whose.
        path: SecretPath,
        /// The id of the key that it was sealed with.
        theirs: String,
        /// The id of this master's.
        own: String,
    },
    /// What is stored was changed by others, or is another secret's.
    #[error("the record of the secret {0} is not what was stored there; set it again")]
    Tampered(SecretPath),
    /// What is stored cannot be read.
    #[error("the record of the secret {path} is damaged ({problem}); set it again, or restore a backup")]
    Damaged {
        /// Whose.
        path: SecretPath,
        /// What is wrong with it.
        problem: String,
    },
    /// There are too many.
    #[error("there are {MOST} secrets already; remove some first")]
    TooMany,
    /// It cannot be stored.
    #[error("it cannot be stored: {0}")]
    Store(#[from] StoreError),
    /// It cannot be written.
    #[error("it cannot be written: {0}")]
    Written(String),
    /// This master leads no more.
    #[error("this master leads no more")]
    Ended,
}

impl From<PlaceError> for SecretError {
    fn from(error: PlaceError) -> Self {
        Self::Written(error.to_string())
    }
}

/// An error with its causes, in one line.
pub(crate) fn line(error: &KeyError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// All secrets.
#[derive(Clone, Debug, Default)]
pub struct Book {
    records: BTreeMap<SecretPath, Record>,
    /// Records that cannot be read, by their places, and why.
    damaged: BTreeMap<Place, String>,
}

/// A new value.
#[derive(Clone)]
pub(crate) struct New {
    pub(crate) path: SecretPath,
    pub(crate) value: SecretString,
    pub(crate) by: String,
    pub(crate) package: Option<String>,
}

/// The book after a change and what is to be committed.
pub(crate) type Planned = (Book, Batch);

impl Book {
    /// What the store has. A record that cannot be read is one secret's fault alone.
    ///
    /// # Errors
    /// Never, as long as the place of secrets is a key.
    pub(crate) fn load(snapshot: &Snapshot) -> Result<Self, PlaceError> {
        let mut book = Self::default();
        for (place, entry) in snapshot.below(&path::all()?) {
            match Record::read(place, &entry.value) {
                Ok(record) => {
                    book.records.insert(record.path.clone(), record);
                }
                Err(problem) => {
                    tracing::error!(%place, problem, "the record of a secret cannot be read");
                    book.damaged.insert(place.clone(), problem);
                }
            }
        }
        Ok(book)
    }

    /// Whether there are any, readable or not.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.damaged.is_empty()
    }

    /// The first that was sealed with another key.
    pub(crate) fn foreign(&self, key: &Key) -> Option<SecretError> {
        self.records.values().find_map(|record| other_key(record, key))
    }

    fn shown_of(record: &Record, key: Option<&Key>) -> Shown {
        let problem = key.and_then(|key| other_key(record, key));
        Shown {
            path: record.path.to_string(),
            size: record.size,
            created: record.created,
            changed: record.changed,
            by: record.by.clone(),
            package: record.package.clone(),
            problem: problem.map(|error| error.to_string()),
        }
    }

    /// What is told of all.
    pub(crate) fn all(&self, key: Option<&Key>) -> Vec<Shown> {
        self.records.values().map(|record| Self::shown_of(record, key)).collect()
    }

    fn record(&self, path: &SecretPath) -> Result<&Record, SecretError> {
        if let Some(record) = self.records.get(path) {
            return Ok(record);
        }
        match self.damaged.get(&path.key()?) {
            Some(problem) => Err(SecretError::Damaged { path: path.clone(), problem: problem.clone() }),
            None => Err(SecretError::Absent(path.clone())),
        }
    }

    /// What is told of one.
    pub(crate) fn one(&self, path: &SecretPath, key: Option<&Key>) -> Result<Shown, SecretError> {
        Ok(Self::shown_of(self.record(path)?, key))
    }

    /// A value.
    pub(crate) fn reveal(&self, path: &SecretPath, key: &Key) -> Result<SecretString, SecretError> {
        let record = self.record(path)?;
        if let Some(error) = other_key(record, key) {
            return Err(error);
        }
        key.open(path.as_str(), &record.sealed()).map_err(|_unopened| SecretError::Tampered(path.clone()))
    }

    /// Keeps values: all or none.
    pub(crate) fn put(&self, news: Vec<New>, key: &Key, now: Timestamp) -> Result<Planned, SecretError> {
        // Two keys in use at once are one too many: the other masters have the other one.
        if let Some(error) = self.foreign(key) {
            return Err(error);
        }
        let (mut book, mut batch) = (self.clone(), Batch::new());
        for New { path, value, by, package } in news {
            check(&value)?;
            let written = |error: &dyn std::fmt::Display| SecretError::Written(error.to_string());
            let sealed = key.seal(path.as_str(), &value).map_err(|error| written(&error))?;
            let size = value.expose_secret().len();
            let mut record = Record::new(path.clone(), key.id().to_owned(), sealed, size, now, by);
            if let Some(old) = self.records.get(&path) {
                record.created = old.created;
                record.package.clone_from(&old.package);
            }
            record.package = package.or(record.package);
            let place = path.key()?;
            batch = batch.put(place.clone(), record.bytes().map_err(|error| written(&error))?);
            book.damaged.remove(&place);
            book.records.insert(path, record);
        }
        if book.records.len() > MOST.max(self.records.len()) {
            return Err(SecretError::TooMany);
        }
        Ok((book, batch))
    }

    /// Forgets one. That takes no key.
    pub(crate) fn remove(&self, path: &SecretPath) -> Result<Planned, SecretError> {
        let place = path.key()?;
        let mut book = self.clone();
        if book.records.remove(path).is_none() & book.damaged.remove(&place).is_none() {
            return Err(SecretError::Absent(path.clone()));
        }
        Ok((book, Batch::new().delete(place)))
    }

    /// Forgets those of a package, so many at once; an empty commit when there are none.
    pub(crate) fn remove_of(&self, package: &str) -> Result<Planned, SecretError> {
        let (mut book, mut batch) = (self.clone(), Batch::new());
        let of_it = self.records.values().filter(|record| record.package.as_deref() == Some(package));
        for record in of_it.take(MOST_AT_ONCE) {
            batch = batch.delete(record.path.key()?);
            book.records.remove(&record.path);
        }
        Ok((book, batch))
    }
}

fn other_key(record: &Record, key: &Key) -> Option<SecretError> {
    (record.key != key.id()).then(|| SecretError::OtherKey {
        path: record.path.clone(),
        theirs: record.key.clone(),
        own: key.id().to_owned(),
    })
}

/// It has to fit into an environment.
fn check(value: &SecretString) -> Result<(), SecretError> {
    let text = value.expose_secret();
    if text.is_empty() {
        return Err(SecretError::Value("must not be empty"));
    }
    if text.len() > MAX_SECRET {
        return Err(SecretError::Value("must not have more than 64 KiB"));
    }
    if text.contains('\0') {
        return Err(SecretError::Value("must not have a byte 0, which no environment takes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
