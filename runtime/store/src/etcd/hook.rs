//! What tests may do to a store of etcd's: lose answers, keep messages back, hold up renewals and loads.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use etcd_client::{Compare, Error, KvClient, Txn, TxnResponse};
use tokio::sync::oneshot;

use super::EtcdOptions;

/// Until a test lets it go on.
pub type Held = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What becomes of a commit's transaction on its way.
#[derive(Debug)]
pub enum Fate {
    /// It is sent, and answered.
    Answered,
    /// It is sent, and the answer is lost.
    Lost,
    /// It is not sent.
    Dropped,
    /// Its sender hears nothing; it is sent when the test says so. The second end says how etcd answered: whether it was
    /// carried out.
    Late(oneshot::Receiver<()>, oneshot::Sender<bool>),
}

/// A test's hands.
pub trait EtcdHook: Send + Sync {
    /// Of the next transaction of a commit.
    fn fate(&self) -> Fate {
        Fate::Answered
    }

    /// Which of the guards of a commit are sent: that of the leader key, of the epoch, and of the commit before. Tests leave
    /// one out to see that it is missed.
    fn guards(&self) -> [bool; 3] {
        [true; 3]
    }

    /// Before a renewal of the lease is sent.
    fn renewal(&self) -> Held {
        Box::pin(async {})
    }

    /// Between two pages of a load.
    fn page(&self) -> Held {
        Box::pin(async {})
    }
}

impl fmt::Debug for dyn EtcdHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EtcdHook")
    }
}

pub(super) fn guards(options: &EtcdOptions, guards: Vec<Compare>) -> Vec<Compare> {
    let kept = options.hook.as_ref().map_or([true; 3], |hook| hook.guards());
    guards.into_iter().zip(kept).filter_map(|(guard, kept)| kept.then_some(guard)).collect()
}

pub(super) async fn renewal(options: &EtcdOptions) {
    if let Some(hook) = &options.hook {
        hook.renewal().await;
    }
}

pub(super) async fn page(options: &EtcdOptions) {
    if let Some(hook) = &options.hook {
        hook.page().await;
    }
}

pub(super) fn deliver(
    options: &EtcdOptions,
    mut kv: KvClient,
    txn: Txn,
) -> impl Future<Output = Result<TxnResponse, Error>> + use<> {
    let hook: Option<Arc<dyn EtcdHook>> = options.hook.clone();
    async move {
        let lost = || Error::IoError(io::Error::other("lost by a test"));
        match hook.map_or(Fate::Answered, |hook| hook.fate()) {
            Fate::Answered => kv.txn(txn).await,
            Fate::Lost => kv.txn(txn).await.and_then(|_| Err(lost())),
            Fate::Dropped => Err(lost()),
            Fate::Late(now, done) => {
                tokio::spawn(async move {
                    let _ = now.await;
                    let made = kv.txn(txn).await.is_ok_and(|answer| answer.succeeded());
                    let _ = done.send(made);
                });
                Err(lost())
            }
        }
    }
}
