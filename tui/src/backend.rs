//! Where frames come from and requests go to.

use std::future::Future;

use tokio::sync::mpsc;

use crate::{Effect, Input};

/// The two ends that a backend holds.
#[derive(Debug)]
pub struct Link {
    /// [`Effect::Ask`], [`Effect::Forget`], [`Effect::Follow`] and [`Effect::Reconnect`]; the others stay with the terminal.
    pub effects: mpsc::UnboundedReceiver<Effect>,
    /// What comes of them, and the cluster's frames.
    pub inputs: mpsc::Sender<Input>,
}

/// A cluster, or what looks like one.
pub trait Backend: Send + 'static {
    /// Keeps the stream alive and answers, until the dashboard has gone away.
    fn run(self, link: Link) -> impl Future<Output = ()> + Send;
}
