//! What the writer is asked for.

use tokio::sync::oneshot;

use super::won::Won;
use crate::{Batch, Candidate, Epoch, Stamp, StoreError};

/// To the caller of a request.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Request {
    Commit { epoch: Epoch, batch: Batch, answer: Reply<Stamp> },
    Campaign { candidate: Candidate, answer: Reply<Won> },
    Resign { epoch: Epoch, answer: Reply<()> },
    Close { answer: Reply<()> },
}
