//! What is stored of users, tokens and admissions, and reading it back. Secrets are stored as hashes only.

use api::marathon::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::{Key, KeyError};
use thiserror::Error;

use crate::book::{Admission, Token, User};
use crate::name::UserName;
use crate::password::{Cost, PasswordHash};
use crate::secret::{Sum, TokenId, from_hex, to_hex};

/// The layout of all records; a reader refuses later ones.
const VERSION: u32 = 1;

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
struct UserRecord {
    version: u32,
    role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<PasswordRecord>,
    created_ms: i64,
    changed_ms: i64,
    by: String,
}

/// Of argon2id, version 0x13, one lane.
#[derive(Serialize, Deserialize)]
struct PasswordRecord {
    memory_kib: u32,
    passes: u32,
    salt: String,
    hash: String,
}

#[derive(Serialize, Deserialize)]
struct TokenRecord {
    version: u32,
    /// The SHA-256 of the token.
    sum: String,
    user: String,
    label: String,
    login: bool,
    created_ms: i64,
    expires_ms: i64,
    by: String,
}

#[derive(Serialize, Deserialize)]
struct AdmissionRecord {
    version: u32,
    admitted_ms: i64,
    by: String,
}

/// Where the kinds of records lie.
pub(crate) fn users() -> Result<Key, KeyError> {
    Key::new("access/users")
}

pub(crate) fn tokens() -> Result<Key, KeyError> {
    Key::new("access/tokens")
}

pub(crate) fn admissions() -> Result<Key, KeyError> {
    Key::new("access/admissions")
}

pub(crate) fn user_key(name: &UserName) -> Result<Key, KeyError> {
    users()?.child(name.as_str())
}

pub(crate) fn token_key(id: &TokenId) -> Result<Key, KeyError> {
    tokens()?.child(id.as_str())
}

pub(crate) fn admission_key(name: &str) -> Result<Key, KeyError> {
    admissions()?.child(name)
}

pub(crate) fn user_bytes(user: &User) -> Result<Vec<u8>, RecordError> {
    let password = user.password.as_ref().map(|hash| PasswordRecord {
        memory_kib: hash.cost.memory_kib,
        passes: hash.cost.passes,
        salt: to_hex(&hash.salt),
        hash: to_hex(&hash.sum.0),
    });
    Ok(serde_json::to_vec(&UserRecord {
        version: VERSION,
        role: user.role.as_str().to_owned(),
        password,
        created_ms: user.created.as_millis(),
        changed_ms: user.changed.as_millis(),
        by: user.by.clone(),
    })?)
}

pub(crate) fn token_bytes(token: &Token) -> Result<Vec<u8>, RecordError> {
    Ok(serde_json::to_vec(&TokenRecord {
        version: VERSION,
        sum: to_hex(&token.sum.0),
        user: token.user.to_string(),
        label: token.label.clone(),
        login: token.login,
        created_ms: token.created.as_millis(),
        expires_ms: token.expires.as_millis(),
        by: token.by.clone(),
    })?)
}

pub(crate) fn admission_bytes(admission: &Admission) -> Result<Vec<u8>, RecordError> {
    Ok(serde_json::to_vec(&AdmissionRecord {
        version: VERSION,
        admitted_ms: admission.admitted.as_millis(),
        by: admission.by.clone(),
    })?)
}

/// One stored value.
pub(crate) struct Stored<'a> {
    pub(crate) key: &'a Key,
    pub(crate) value: &'a [u8],
}

impl Stored<'_> {
    fn damaged(&self, problem: impl std::fmt::Display) -> RecordError {
        RecordError::Damaged { key: self.key.clone(), problem: problem.to_string() }
    }

    /// The version is read first: a later layout may look like damage.
    fn read<T: DeserializeOwned>(&self) -> Result<T, RecordError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        // Without the parser's text, which repeats values.
        let damaged = |error: serde_json::Error| {
            self.damaged(format!("at line {}, column {}", error.line(), error.column()))
        };
        let Versioned { version } = serde_json::from_slice(self.value).map_err(damaged)?;
        if version > VERSION {
            return Err(RecordError::Newer { key: self.key.clone(), version });
        }
        serde_json::from_slice(self.value).map_err(damaged)
    }

    pub(crate) fn name(&self) -> Result<String, RecordError> {
        self.key.name().ok_or_else(|| self.damaged("the key is no name"))
    }

    pub(crate) fn user(&self) -> Result<User, RecordError> {
        let record: UserRecord = self.read()?;
        let password = record.password.map(|stored| {
            let salt = from_hex(&stored.salt).ok_or_else(|| self.damaged("the salt is none"))?;
            let sum = Sum(from_hex(&stored.hash).ok_or_else(|| self.damaged("the hash is none"))?);
            let cost = Cost { memory_kib: stored.memory_kib, passes: stored.passes };
            Ok::<_, RecordError>(PasswordHash { cost, salt, sum })
        });
        Ok(User {
            name: self.name()?.parse().map_err(|error| self.damaged(error))?,
            role: record.role.parse().map_err(|error| self.damaged(error))?,
            password: password.transpose()?,
            created: Timestamp::from_millis(record.created_ms),
            changed: Timestamp::from_millis(record.changed_ms),
            by: record.by,
        })
    }

    pub(crate) fn token(&self) -> Result<Token, RecordError> {
        let record: TokenRecord = self.read()?;
        Ok(Token {
            id: self.name()?.parse().map_err(|error| self.damaged(error))?,
            sum: Sum(from_hex(&record.sum).ok_or_else(|| self.damaged("the sum is none"))?),
            user: record.user.parse().map_err(|error| self.damaged(error))?,
            label: record.label,
            login: record.login,
            created: Timestamp::from_millis(record.created_ms),
            expires: Timestamp::from_millis(record.expires_ms),
            by: record.by,
        })
    }

    pub(crate) fn admission(&self, serial: u64) -> Result<Admission, RecordError> {
        let record: AdmissionRecord = self.read()?;
        Ok(Admission {
            name: self.name()?,
            admitted: Timestamp::from_millis(record.admitted_ms),
            by: record.by,
            serial,
        })
    }
}
