//! The sending ends of connections and channels.

use std::collections::HashMap;

use tokio::sync::{mpsc, oneshot};

/// One peer: where what it is to hear goes. What listens to it ends when this is dropped.
pub(super) struct Peer<T> {
    pub(super) sender: mpsc::Sender<T>,
    pub(super) _end: oneshot::Sender<()>,
}

/// Peers by number. Sending never waits.
pub(super) struct Table<T>(HashMap<u64, Peer<T>>);

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    pub(super) fn open(&mut self, number: u64, peer: Peer<T>) {
        self.0.insert(number, peer);
    }

    /// False when the peer is gone or too slow: its connection is over.
    pub(super) fn send(&mut self, number: u64, message: T) -> bool {
        let Some(peer) = self.0.get(&number) else { return true };
        let sent = peer.sender.try_send(message).is_ok();
        if !sent {
            self.0.remove(&number);
        }
        sent
    }

    pub(super) fn close(&mut self, number: u64) {
        self.0.remove(&number);
    }
}
