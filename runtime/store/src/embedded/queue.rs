//! What waits for the writer: bounded in number and in bytes, so that a slow disk slows its callers and fills no memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::won::Won;
use crate::{Batch, Candidate, Epoch, Stamp, StoreError};

/// The most requests that wait. Larger than any group of committers that the benchmarks know, so that a group is never cut.
const REQUESTS: usize = 1024;

/// The most that waits, in KiB: a dozen of the largest batches.
const KIB: u32 = 16 * 1024;

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

/// A request and the room that it takes until it is applied.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) request: Request,
    pub(super) bytes: usize,
    _room: OwnedSemaphorePermit,
}

/// The callers' end.
pub(super) struct Queue {
    requests: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
}

pub(super) fn new() -> (Queue, mpsc::Receiver<Queued>) {
    let (requests, receiver) = mpsc::channel(REQUESTS);
    (Queue { requests, room: Arc::new(Semaphore::new(KIB as usize)) }, receiver)
}

impl Queue {
    /// Waits for room. In the order of the calls.
    pub(super) async fn send(&self, bytes: usize, request: Request) -> Result<(), StoreError> {
        let kib = u32::try_from(bytes / 1024).unwrap_or(KIB).min(KIB);
        let room = self.room.clone().acquire_many_owned(kib).await.map_err(|_closed| StoreError::Closed)?;
        self.requests.send(Queued { request, bytes, _room: room }).await.map_err(|_closed| StoreError::Closed)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::Key;

    fn commit(bytes: usize) -> Request {
        let batch = Batch::new().put(Key::new("k").unwrap(), vec![0; bytes]);
        Request::Commit { epoch: Epoch::default(), batch, answer: oneshot::channel().0 }
    }

    /// Sends until there is no room; answers how many there was room for. Then takes one, and there is room again.
    fn fill(bytes: usize) -> usize {
        let (queue, mut requests) = new();
        let mut context = Context::from_waker(Waker::noop());
        for count in 0.. {
            let mut sending = pin!(queue.send(bytes, commit(bytes)));
            if sending.as_mut().poll(&mut context).is_pending() {
                drop(requests.try_recv().unwrap());
                assert!(sending.as_mut().poll(&mut context).is_ready());
                return count;
            }
        }
        0
    }

    #[test]
    fn a_full_queue_makes_its_callers_wait_until_one_is_carried_out() {
        assert_eq!(fill(10), REQUESTS);
        assert_eq!(fill(1024 * 1024), 16);
    }
}
