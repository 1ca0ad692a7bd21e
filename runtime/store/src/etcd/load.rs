//! A load: all pages at one revision.

use std::collections::BTreeMap;
use std::time::Instant;

use etcd_client::{GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse};

use super::layout::{Last, Reigned};
use super::members::Fault;
use super::shared::Shared;
use crate::{Entry, Key, Prefix, Snapshot, Stamp, StoreError};

/// Keys of a first page, and the most of any.
const FIRST: i64 = 64;
const MOST: i64 = 512;

/// What a page shall have at most. Pages grow towards it, and the largest values make them smaller again.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// How often a load begins again because its revision was compacted beneath it.
const TURNS: usize = 8;

struct Page {
    entries: Vec<KeyValue>,
    more: bool,
}

/// The next page's size: twice or half of the last one's, by what it had.
fn next_limit(limit: i64, bytes: usize) -> i64 {
    match bytes {
        bytes if bytes > PAGE_BYTES => (limit / 2).max(1),
        bytes if bytes < PAGE_BYTES / 4 => (limit * 2).min(MOST),
        _ => limit,
    }
}

pub(super) async fn load(shared: &Shared, prefix: &Prefix) -> Result<Snapshot, StoreError> {
    let permit = shared.loads.acquire().await;
    let _permit = permit.map_err(|_closed| StoreError::Closed)?;
    let until = Instant::now() + shared.options.patience;
    let mut turns = 0;
    loop {
        match once(shared, prefix).await {
            Ok(snapshot) => return Ok(snapshot),
            Err(Stopped::Compacted) if turns < TURNS || Instant::now() < until => turns += 1,
            Err(Stopped::Compacted) => return Err(shared.members.error(Fault::Compacted)),
            Err(Stopped::Error(error)) => return Err(error),
        }
    }
}

enum Stopped {
    Compacted,
    Error(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Error(error)
    }
}

async fn once(shared: &Shared, prefix: &Prefix) -> Result<Snapshot, Stopped> {
    let (start, end) = shared.layout.range(prefix);
    let mut limit = FIRST;
    let (stamp, revision, mut page) = loop {
        match first(shared, &start, &end, limit).await {
            Err(Fault::TooLarge) if limit > 1 => limit /= 2,
            Err(fault) => return Err(stopped(shared, fault)),
            Ok(found) => break found?,
        }
    };
    let mut entries: BTreeMap<Key, Entry> = BTreeMap::new();
    loop {
        let (mut bytes, mut behind) = (0, None);
        for stored in page.entries {
            let modified = super::layout::revision(stored.mod_revision());
            let (key, value) = stored.into_key_value();
            bytes += key.len() + value.len();
            entries.insert(shared.layout.key_of(&key)?, Entry { value, modified });
            behind = Some(key);
        }
        let Some(mut from) = behind.filter(|_| page.more) else { break };
        from.push(0);
        #[cfg(feature = "failpoints")]
        super::hook::page(&shared.options).await;
        limit = next_limit(limit, bytes);
        page = loop {
            match next(shared, &from, &end, limit, revision).await {
                Err(Fault::TooLarge) if limit > 1 => limit /= 2,
                Err(fault) => return Err(stopped(shared, fault)),
                Ok(page) => break page,
            }
        };
    }
    Ok(Snapshot { stamp, prefix: prefix.clone(), entries })
}

fn stopped(shared: &Shared, fault: Fault) -> Stopped {
    match fault {
        Fault::Compacted => Stopped::Compacted,
        fault => Stopped::Error(shared.members.error(fault)),
    }
}

/// The first page with the stamp of its moment.
async fn first(
    shared: &Shared,
    start: &[u8],
    end: &[u8],
    limit: i64,
) -> Result<Result<(Stamp, i64, Page), StoreError>, Fault> {
    let options = GetOptions::new().with_range(end).with_limit(limit);
    let reads = Txn::new().and_then(vec![
        TxnOp::get(shared.layout.epoch(), None),
        TxnOp::get(shared.layout.last(), None),
        TxnOp::get(start, Some(options)),
    ]);
    let mut answer = shared
        .members
        .ask_within(shared.options.patience, |client| {
            let (reads, kv) = (reads.clone(), client.kv_client());
            async move { kv.max_decoding_message_size(super::members::ANSWER_BYTES).txn(reads).await }
        })
        .await?;
    let revision = answer.take_header().map_or(0, |header| header.revision());
    let mut gets = answer.op_responses().into_iter().map(|response| match response {
        TxnOpResponse::Get(mut get) => (get.more(), get.take_kvs()),
        _ => (false, Vec::new()),
    });
    let mut get = || gets.next().unwrap_or_default();
    let ((_, epoch), (_, last), (more, entries)) = (get(), get(), get());
    let stamp = || {
        let epoch = Reigned::parse(epoch.first())?.epoch;
        Ok(Stamp { epoch, revision: Last::parse(last.first())?.revision() })
    };
    Ok(stamp().map(|stamp| (stamp, revision, Page { entries, more })))
}

async fn next(shared: &Shared, from: &[u8], end: &[u8], limit: i64, revision: i64) -> Result<Page, Fault> {
    let options = GetOptions::new().with_range(end).with_limit(limit).with_revision(revision);
    let mut answer = shared
        .members
        .ask_within(shared.options.patience, |client| {
            let (from, options, kv) = (from.to_vec(), options.clone(), client.kv_client());
            async move {
                let mut kv = kv.max_decoding_message_size(super::members::ANSWER_BYTES);
                kv.get(from, Some(options)).await
            }
        })
        .await?;
    Ok(Page { more: answer.more(), entries: answer.take_kvs() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_the_size_of_what_they_hold() {
        assert_eq!(next_limit(64, 1000), 128);
        assert_eq!(next_limit(64, PAGE_BYTES / 2), 64);
        assert_eq!(next_limit(64, PAGE_BYTES + 1), 32);
        assert_eq!(next_limit(1, PAGE_BYTES + 1), 1);
        assert_eq!(next_limit(MOST, 1000), MOST);
    }
}
