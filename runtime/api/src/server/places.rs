//! Places for connections, so that strangers cannot take all of them.

use std::collections::VecDeque;
use std::sync::Arc;

use tls::Clients;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::Entry;

/// Places of those who are let in.
#[derive(Clone, Debug)]
pub(super) struct Places {
    known: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl Places {
    /// So many in all. Where both come, half of them are for those who show a certificate: strangers may be as many as they
    /// like, agents still get in.
    pub(super) fn new(entry: &Entry, most: usize) -> Self {
        let (known, strangers) = match entry {
            Entry::Plain => (0, most),
            Entry::Tls(acceptor) => match acceptor.clients() {
                Clients::Any => (most - most / 2, most / 2),
                Clients::Only(_) => (most, 0),
            },
        };
        Self { known: Arc::new(Semaphore::new(known)), strangers: Arc::new(Semaphore::new(strangers)) }
    }

    /// Waits for one; nothing is only where nobody will ever have one.
    pub(super) async fn take(&self, known: bool) -> Option<OwnedSemaphorePermit> {
        let places = if known { &self.known } else { &self.strangers };
        Arc::clone(places).acquire_owned().await.ok()
    }
}

/// Those who are not in yet. No one of them waits for another one: when there are too many, the one who has been there longest
/// goes, since whoever is able to come in needs a moment only.
#[derive(Debug)]
pub(super) struct Entrance {
    most: usize,
    waiting: VecDeque<oneshot::Sender<()>>,
}

/// One who is not in yet, as long as this is kept.
#[derive(Debug)]
pub(super) struct Waiting(oneshot::Receiver<()>);

impl Entrance {
    /// For half as many as have places.
    pub(super) fn new(most: usize) -> Self {
        Self { most: (most / 2).max(1), waiting: VecDeque::new() }
    }

    pub(super) fn enter(&mut self) -> Waiting {
        if self.waiting.len() >= self.most {
            self.waiting.retain(|waiting| !waiting.is_closed());
        }
        if self.waiting.len() >= self.most {
            self.waiting.pop_front();
        }
        let (end, ended) = oneshot::channel();
        self.waiting.push_back(end);
        Waiting(ended)
    }
}

impl Waiting {
    /// Ends when somebody else needs the place.
    pub(super) async fn too_long(&mut self) {
        // An error: the sender was dropped, which is how it is told.
        let _ = (&mut self.0).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_one_who_waits_longest_makes_room_and_those_who_are_in_do_not_count() {
        let mut entrance = Entrance::new(4);
        let mut first = entrance.enter();
        drop(entrance.enter());
        let mut third = entrance.enter();
        assert!(first.0.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        let _fourth = entrance.enter();
        first.too_long().await;
        assert!(third.0.try_recv() == Err(oneshot::error::TryRecvError::Empty));
    }
}
