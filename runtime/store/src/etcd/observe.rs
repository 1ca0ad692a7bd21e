//! Who leads: read, then watched, then read again on a timer, since watches end without a word, fall behind and forget.

use std::sync::Weak;
use std::time::Duration;

use etcd_client::{Error, EventType, WatchOptions};

use super::layout::Elected;
use super::members::Fault;
use super::shared::Shared;
use crate::StoreError;

/// After what failed, so that a member in trouble is not asked without a pause.
const PAUSE: Duration = Duration::from_millis(100);

/// As long as the store object lives.
pub(super) async fn observe(shared: Weak<Shared>) {
    loop {
        let Some(shared) = shared.upgrade().filter(|shared| !shared.is_closed()) else { return };
        match look(&shared).await {
            Ok(revision) => {
                // Whatever it ends with, all is read again.
                let watched = watch(&shared, revision + 1);
                let ended = tokio::time::timeout(shared.options.poll(), watched).await;
                drop(shared);
                if ended.is_ok() {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "who leads cannot be read");
                shared.blind();
                drop(shared);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Reads who leads. Answers etcd's revision.
async fn look(shared: &Shared) -> Result<i64, StoreError> {
    let turn = shared.turn();
    let key = shared.layout.leader();
    let asked = shared.members.ask_within(shared.options.request, |client| {
        let (key, mut kv) = (key.clone(), client.kv_client());
        async move { kv.get(key, None).await }
    });
    let answer = asked.await.map_err(|fault| shared.members.error(fault))?;
    let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
    let found = answer.kvs().first().map(Elected::parse).transpose()?;
    shared.read(turn, revision, found);
    Ok(revision)
}

/// Watches until the stream ends, with or without an error.
async fn watch(shared: &Shared, from: i64) -> Result<(), Fault> {
    let key = shared.layout.leader();
    let options = WatchOptions::new().with_start_revision(from);
    // Longer than it is waited for: that nobody resigns is no fault of the member's.
    let within = 2 * shared.options.poll();
    shared
        .members
        .ask_one(within, |client| async move {
            let mut watch = client.watch_client();
            let mut stream = watch.watch(key, Some(options)).await?;
            while let Some(message) = stream.message().await? {
                if message.canceled() {
                    return Err(Error::WatchError(message.cancel_reason().to_owned()));
                }
                for event in message.events() {
                    let Some(key) = event.kv() else { continue };
                    let found = match event.event_type() {
                        EventType::Put => Some(Elected::parse(key)),
                        EventType::Delete => None,
                    };
                    let Ok(found) = found.transpose() else {
                        return Err(Error::WatchError("the leader key cannot be read".to_owned()));
                    };
                    shared.told(key.mod_revision(), found);
                }
            }
            Ok(())
        })
        .await
}
