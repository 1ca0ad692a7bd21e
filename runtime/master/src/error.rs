//! What ends a master.

use store::{Epoch, KeyError, StoreError};
use thiserror::Error;

use crate::core::RecordError;

/// Why a master did not start, or does not go on. The caller campaigns anew and starts another one.
#[derive(Debug, Error)]
pub enum MasterError {
    /// The store did not take a change. What was to be told after it was told to nobody.
    #[error("the master ends, since the store did not take a change")]
    Store(#[from] StoreError),
    /// Another master leads.
    #[error("the master of epoch {held} ends, since {leader} leads with epoch {epoch}")]
    Deposed {
        /// This master's epoch.
        held: Epoch,
        /// Who leads.
        leader: String,
        /// That one's epoch.
        epoch: Epoch,
    },
    /// What is stored cannot be read.
    #[error("the master cannot start from what is stored")]
    Records(#[from] RecordError),
    /// The system gave no random bits for the master's id.
    #[error("the master cannot make its id: no random bits ({0})")]
    Random(String),
    /// A commit's task ended without an answer.
    #[error("the master ends, since a commit ended without an answer ({0})")]
    Lost(String),
}

impl From<KeyError> for MasterError {
    fn from(error: KeyError) -> Self {
        Self::Records(error.into())
    }
}
