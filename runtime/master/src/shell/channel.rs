//! Frameworks in the same process.

use std::future::Future;
use std::pin::Pin;

use api::mesos::{Call, FrameworkInfo, Subscribe, Subscription};
use tokio::sync::{mpsc, oneshot};

use super::Master;
use super::run::Post;
use crate::core::Input;

/// Calls of one framework that wait; whoever makes more waits.
const CALLS: usize = 1024;

impl Subscribe for Master {
    fn subscribe(
        &self,
        info: FrameworkInfo,
    ) -> Pin<Box<dyn Future<Output = Option<Subscription>> + Send + '_>> {
        Box::pin(async move {
            let channel = self.number();
            let (calls, asked) = mpsc::channel(CALLS);
            let (sender, events) = mpsc::channel(self.options().framework_queue);
            let (end, ended) = oneshot::channel();
            self.posts().send(Post::Framework { channel, info, sender, end }).await.ok()?;
            tokio::spawn(pump(self.posts().clone(), channel, asked, ended));
            Some(Subscription { calls, events })
        })
    }
}

/// Carries calls to the loop, in order, until either side ends the channel.
async fn pump(
    posts: mpsc::Sender<Post>,
    channel: u64,
    mut calls: mpsc::Receiver<Call>,
    mut ended: oneshot::Receiver<()>,
) {
    loop {
        let call = tokio::select! {
            _ = &mut ended => return,
            call = calls.recv() => call,
        };
        let over = call.is_none();
        let input = match call {
            Some(call) => Input::Call { channel, call },
            None => Input::ChannelClosed { channel },
        };
        if posts.send(Post::Input(input)).await.is_err() || over {
            return;
        }
    }
}
