//! A whole store into another: from the embedded one into etcd, when a cluster gets more masters.

use std::collections::BTreeSet;

use crate::batch::Op;
use crate::{
    Batch, Candidate, Condition, Key, KeyError, Leadership, Prefix, Snapshot, Stamp, Store, StoreError,
};

/// Says how far a copy into this store is: `begun`, or `done <epoch> <revision>` of what was copied.
const MARK: &str = "@import";
const BEGUN: &[u8] = b"begun";

fn mark() -> Result<Key, KeyError> {
    Key::stored(MARK)
}

fn done(from: Stamp) -> Vec<u8> {
    format!("done {} {}", from.epoch, from.revision).into_bytes()
}

/// Whether a copy into this store was begun and not finished: who leads it now must resign, and leave it to
/// [`copy`]. The snapshot is of [`Prefix::all`].
pub fn import_pending(snapshot: &Snapshot) -> bool {
    mark().is_ok_and(|mark| snapshot.get(&mark) == Some(BEGUN))
}

/// Copies all of `from`, which nobody may write meanwhile, into `to`, under a leadership of `to` whose epoch is above all
/// of `from`'s, and which is given up again. `to` is empty, or is what a copy left that was cut off: the same call
/// finishes it, however often it was cut off. One that had been finished changes nothing.
///
/// # Errors
/// `NotEmpty` when `to` holds something else, `Newer` when `from` is of a later version than this binary; as of a load, a campaign and
/// a commit.
pub async fn copy(from: &dyn Store, to: &dyn Store, name: &str) -> Result<Stamp, StoreError> {
    let source = from.load(&Prefix::all()).await?;
    let leadership = to.campaign(&Candidate::new(name).above(source.stamp.epoch)).await?;
    let copied = fill(&source, to, &leadership).await;
    let resigned = to.resign(&leadership).await;
    let stamp = copied?;
    resigned?;
    Ok(stamp)
}

async fn fill(source: &Snapshot, to: &dyn Store, leadership: &Leadership) -> Result<Stamp, StoreError> {
    let mark = mark()?;
    let version = crate::ClusterVersion::key();
    if let Some(version) = crate::ClusterVersion::of(source)? {
        crate::ClusterVersion::OWN.admits(version)?;
    }
    let target = to.load(&Prefix::all()).await?;
    let done = done(source.stamp);
    let begun = match target.get(&mark) {
        // The campaign wrote the version. Anything else was not left by a copy.
        None if target.entries.keys().all(|key| *key == version) => {
            let begin = Batch::new().require(mark.clone(), Condition::Absent).put(mark.clone(), BEGUN);
            to.commit(leadership, begin).await?.revision
        }
        Some(BEGUN) => target.entries[&mark].modified,
        Some(found) if found == done => return Ok(target.stamp),
        _ => {
            let key = target.entries.keys().find(|key| **key != version).unwrap_or(&mark).to_string();
            return Err(StoreError::NotEmpty { key });
        }
    };
    // What an earlier call wrote of something that is not there any more.
    let wanted: BTreeSet<&Key> = source.entries.keys().collect();
    let stale =
        target.entries.keys().filter(|key| !wanted.contains(key) && **key != mark && **key != version);
    let deletes = stale.map(|key| (key.clone(), Op::Delete));
    // The version comes last: it is what a leader looks at.
    let puts = source.entries.iter().filter(|(key, _)| **key != version && **key != mark);
    let puts = puts.map(|(key, entry)| (key.clone(), Op::Put(entry.value.clone())));
    for batch in Batch::split(deletes.chain(puts)) {
        to.commit(leadership, batch).await?;
    }
    let mut end = Batch::new().require(mark.clone(), Condition::At(begun)).put(mark, done);
    if let Some(value) = source.get(&version) {
        end = end.put(version, value);
    }
    to.commit(leadership, end).await
}
