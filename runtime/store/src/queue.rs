//! What waits for the writer: bounded in number and in bytes, so that a slow engine slows its callers and fills no memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::StoreError;

/// The most requests that wait. Larger than any group of committers that the benchmarks know, so that a group is never cut.
const REQUESTS: usize = 1024;

/// The most that waits, in KiB: a dozen of the largest batches.
const KIB: u32 = 16 * 1024;

/// A request and the room that it takes until it is applied.
#[derive(Debug)]
pub(crate) struct Queued<R> {
    pub(crate) request: R,
    pub(crate) bytes: usize,
    _room: OwnedSemaphorePermit,
}

/// The callers' end.
pub(crate) struct Queue<R> {
    requests: mpsc::Sender<Queued<R>>,
    room: Arc<Semaphore>,
}

pub(crate) fn new<R>() -> (Queue<R>, mpsc::Receiver<Queued<R>>) {
    let (requests, receiver) = mpsc::channel(REQUESTS);
    (Queue { requests, room: Arc::new(Semaphore::new(KIB as usize)) }, receiver)
}

impl<R> Queue<R> {
    /// Waits for room. In the order of the calls.
    pub(crate) async fn send(&self, bytes: usize, request: R) -> Result<(), StoreError> {
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

    /// Sends until there is no room; answers how many there was room for. Then takes one, and there is room again.
    fn fill(bytes: usize) -> usize {
        let (queue, mut requests) = new();
        let mut context = Context::from_waker(Waker::noop());
        for count in 0.. {
            let mut sending = pin!(queue.send(bytes, vec![0; bytes]));
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
