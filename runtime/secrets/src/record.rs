//! A secret as the store has it.

use api::marathon::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use store::Key as Place;

use crate::key::Sealed;
use crate::path::SecretPath;

/// The layout of the records; a reader refuses later ones.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    path: String,
    /// The id of the key.
    key: String,
    nonce: String,
    sealed: String,
    size: usize,
    created_ms: i64,
    changed_ms: i64,
    by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    package: Option<String>,
}

/// A secret, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) path: SecretPath,
    pub(crate) key: String,
    nonce: Vec<u8>,
    bytes: Vec<u8>,
    pub(crate) size: usize,
    pub(crate) created: Timestamp,
    pub(crate) changed: Timestamp,
    pub(crate) by: String,
    pub(crate) package: Option<String>,
}

impl Record {
    pub(crate) fn new(
        path: SecretPath,
        key: String,
        sealed: Sealed,
        size: usize,
        now: Timestamp,
        by: String,
    ) -> Self {
        let Sealed { nonce, bytes } = sealed;
        Self { path, key, nonce, bytes, size, created: now, changed: now, by, package: None }
    }

    pub(crate) fn sealed(&self) -> Sealed {
        Sealed { nonce: self.nonce.clone(), bytes: self.bytes.clone() }
    }

    pub(crate) fn bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Written {
            version: VERSION,
            path: self.path.to_string(),
            key: self.key.clone(),
            nonce: STANDARD.encode(&self.nonce),
            sealed: STANDARD.encode(&self.bytes),
            size: self.size,
            created_ms: self.created.as_millis(),
            changed_ms: self.changed.as_millis(),
            by: self.by.clone(),
            package: self.package.clone(),
        })
    }

    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn read(place: &Place, value: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        // The version first: a later layout may look like damage.
        let Versioned { version } = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        if version > VERSION {
            return Err(format!("it has version {version}, this program knows {VERSION}: run a later one"));
        }
        let read: Written = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        let path: SecretPath = read.path.parse().map_err(|error: crate::PathError| error.to_string())?;
        if path.key().as_ref() != Ok(place) {
            return Err(format!("it is the record of {path}"));
        }
        let bytes = |text: &str| STANDARD.decode(text).map_err(|error| error.to_string());
        Ok(Self {
            path,
            key: read.key,
            nonce: bytes(&read.nonce)?,
            bytes: bytes(&read.sealed)?,
            size: read.size,
            created: Timestamp::from_millis(read.created_ms),
            changed: Timestamp::from_millis(read.changed_ms),
            by: read.by,
            package: read.package,
        })
    }
}
