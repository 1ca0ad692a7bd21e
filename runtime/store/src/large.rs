//! Changes that are larger than a batch: immutable values under a new version first, in as many commits as it takes, then
//! one commit that flips a pointer. A reader sees the old content or the new, never a part.
//!
//! ```text
//!  <root>/@current                 the pointer: a version and how many entries it has
//!  <root>/@<epoch>-<n>/<key>       the entries of a version
//! ```
//!
//! A version whose writer was cut off, failed or was dropped is never pointed to. [`collect`] removes it: those of earlier
//! reigns, whose leaders are gone, and those of this reign that no call is writing any more. Works over any [`Store`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::batch::Op;
use crate::{Batch, Condition, Epoch, Key, KeyError, Leadership, Prefix, Snapshot, Stamp, Store, StoreError};

/// Entries by their keys below the root. Each value is within [`crate::MAX_VALUE_BYTES`]; their number is not limited.
pub type Content = BTreeMap<Key, Vec<u8>>;

const CURRENT: &str = "current";

/// Names a version: the reign that wrote it, and a count within this process, which alone has that reign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    epoch: Epoch,
    count: u64,
}

impl Version {
    fn new(epoch: Epoch) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Self { epoch, count: COUNT.fetch_add(1, Ordering::Relaxed) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.count)
    }
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parse = || {
            let (epoch, count) = text.split_once('-')?;
            Some(Self { epoch: Epoch::new(epoch.parse().ok()?), count: count.parse().ok()? })
        };
        parse().ok_or(())
    }
}

/// A version that a call of this process is writing, as long as this lives: also a call whose future is dropped ends.
struct InFlight(Version);

impl InFlight {
    fn new(version: Version) -> Self {
        Self::all().insert(version);
        Self(version)
    }

    fn all() -> MutexGuard<'static, BTreeSet<Version>> {
        static ALL: Mutex<BTreeSet<Version>> = Mutex::new(BTreeSet::new());
        ALL.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        Self::all().remove(&self.0);
    }
}

/// What stands at the pointer.
struct Pointer {
    version: Version,
    entries: usize,
}

impl Pointer {
    fn to_bytes(&self) -> Vec<u8> {
        format!("{} {}", self.version, self.entries).into_bytes()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, entries) = std::str::from_utf8(bytes).ok()?.split_once(' ')?;
        Some(Self { version: version.parse().ok()?, entries: entries.parse().ok()? })
    }
}

/// The key of the pointer: its `modified` changes whenever the content below `root` does.
///
/// # Errors
/// When the key becomes too long.
pub fn pointer(root: &Key) -> Result<Key, KeyError> {
    root.own(CURRENT)
}

/// Replaces all that lies below `root` by `content`, all at once, together with `with`: a batch that is committed in the
/// flip itself, its conditions included. Then removes what was there before.
///
/// Of two calls for the same root at once, one fails with `Precondition`.
///
/// # Errors
/// As of a commit; nothing of `content` or `with` is to be seen then, but for an outcome that is unknown. `Batch` also
/// when `with` leaves no room for the pointer.
pub async fn write(
    store: &dyn Store,
    leadership: &Leadership,
    root: &Key,
    content: Content,
    with: Batch,
) -> Result<Stamp, StoreError> {
    let version = Version::new(leadership.epoch());
    let _writing = InFlight::new(version);
    let home = root.own(version)?;
    let new = Pointer { version, entries: content.len() };
    let ops = content
        .into_iter()
        .map(|(key, value)| Ok((home.join(&key)?, Op::Put(value))))
        .collect::<Result<Vec<_>, KeyError>>()?;
    replace(store, leadership, root, (ops, Some(new)), with).await
}

/// Removes all that lies below `root`, all at once, together with `with`.
///
/// # Errors
/// As of [`write()`].
pub async fn remove(
    store: &dyn Store,
    leadership: &Leadership,
    root: &Key,
    with: Batch,
) -> Result<Stamp, StoreError> {
    replace(store, leadership, root, (Vec::new(), None), with).await
}

async fn replace(
    store: &dyn Store,
    leadership: &Leadership,
    root: &Key,
    (ops, new): (Vec<(Key, Op)>, Option<Pointer>),
    with: Batch,
) -> Result<Stamp, StoreError> {
    let pointer = pointer(root)?;
    let before = store.load(&Prefix::only(&pointer)).await?;
    let (condition, old) = match before.entries.get(&pointer) {
        Some(entry) => (Condition::At(entry.modified), Pointer::parse(&entry.value)),
        None => (Condition::Absent, None),
    };
    let flip = with.require(pointer.clone(), condition);
    let flip = match &new {
        Some(new) => flip.put(pointer, new.to_bytes()),
        None => flip.delete(pointer),
    };
    let keys: Vec<Key> = ops.iter().map(|(key, _)| key.clone()).collect();
    // What no store takes is found before anything is written.
    let batches = Batch::split(ops);
    for batch in batches.iter().chain([&flip]) {
        batch.check()?;
    }
    let result = async {
        for batch in batches {
            store.commit(leadership, batch).await?;
        }
        store.commit(leadership, flip).await
    }
    .await;
    let left = match &result {
        Ok(_) => match old {
            Some(old) => {
                let home = root.own(old.version)?;
                match store.load(&Prefix::below(&home)).await {
                    Ok(snapshot) => snapshot.entries.into_keys().collect(),
                    Err(_) => Vec::new(),
                }
            }
            None => Vec::new(),
        },
        Err(StoreError::Precondition { .. }) => keys,
        Err(_) => Vec::new(),
    };
    if let Err(error) = delete(store, leadership, left).await {
        // The next leader collects it.
        tracing::debug!(%root, %error, "an old version stays for now");
    }
    result
}

/// The entries below `root`, by their keys below it, out of a snapshot that covers it. `None` when nothing was written
/// there, or it was removed.
///
/// # Errors
/// `Damaged` when the pointer or an entry is not what was written.
pub fn read<'a>(snapshot: &'a Snapshot, root: &Key) -> Result<Option<BTreeMap<Key, &'a [u8]>>, StoreError> {
    let pointer = pointer(root)?;
    let Some(bytes) = snapshot.get(&pointer) else { return Ok(None) };
    let damaged = |detail: String| StoreError::Damaged { place: pointer.to_string(), detail };
    let current = Pointer::parse(bytes).ok_or_else(|| damaged("it is no pointer".to_owned()))?;
    let home = root.own(current.version)?;
    let content: BTreeMap<Key, &[u8]> = snapshot
        .below(&home)
        .filter_map(|(key, entry)| Some((key.below(&home)?, entry.value.as_slice())))
        .collect();
    if content.len() != current.entries {
        return Err(damaged(format!(
            "{} entries were written, {} are there",
            current.entries,
            content.len()
        )));
    }
    Ok(Some(content))
}

/// The keys in `snapshot` of versions that nothing points to and nobody will finish: their writers' reigns ended before
/// `epoch`, or they are of this one and no call of this process is writing them. Roots whose pointer the snapshot does not
/// cover are left alone. Only [`collect`] removes them safely, since the pointer may have moved since the snapshot.
pub fn orphans(snapshot: &Snapshot, epoch: Epoch) -> Vec<Key> {
    by_root(snapshot, epoch).into_values().flatten().collect()
}

fn by_root(snapshot: &Snapshot, epoch: Epoch) -> BTreeMap<Key, Vec<Key>> {
    let writing = InFlight::all().clone();
    let mut orphans: BTreeMap<Key, Vec<Key>> = BTreeMap::new();
    for key in snapshot.entries.keys() {
        let Some((root, version)) = version_of(key) else { continue };
        let Ok(pointer) = pointer(&root) else { continue };
        let may_finish = version.epoch > epoch || writing.contains(&version);
        if may_finish || !snapshot.prefix.covers(&pointer) {
            continue;
        }
        let orphan = match snapshot.get(&pointer) {
            None => true,
            // One that cannot be read is damage for `read` to tell: nothing is removed.
            Some(bytes) => Pointer::parse(bytes).is_some_and(|current| current.version != version),
        };
        if orphan {
            orphans.entry(root).or_default().push(key.clone());
        }
    }
    orphans
}

/// Removes the [`orphans`] of a snapshot of this reign: for a new leader that has just loaded, and for one that wants to be rid
/// of what calls left that failed or were dropped. Below a root whose pointer has moved since the snapshot nothing is
/// removed. Answers how many keys they were.
///
/// # Errors
/// As of a commit. What was removed until then is removed.
pub async fn collect(
    store: &dyn Store,
    leadership: &Leadership,
    snapshot: &Snapshot,
) -> Result<usize, StoreError> {
    let mut count = 0;
    for (root, keys) in by_root(snapshot, leadership.epoch()) {
        let pointer = pointer(&root)?;
        // A flip that was queued when its caller was dropped may still happen, and make of an orphan what is read.
        let unmoved = match snapshot.entries.get(&pointer) {
            Some(entry) => Condition::At(entry.modified),
            None => Condition::Absent,
        };
        for batch in Batch::split(keys.into_iter().map(|key| (key, Op::Delete))) {
            let deletes = batch.len();
            match store.commit(leadership, batch.require(pointer.clone(), unmoved)).await {
                Ok(_) => count += deletes,
                Err(StoreError::Precondition { .. }) => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(count)
}

async fn delete(store: &dyn Store, leadership: &Leadership, keys: Vec<Key>) -> Result<(), StoreError> {
    for batch in Batch::split(keys.into_iter().map(|key| (key, Op::Delete))) {
        store.commit(leadership, batch).await?;
    }
    Ok(())
}

/// The root and the version that an entry belongs to.
fn version_of(key: &Key) -> Option<(Key, Version)> {
    let (root, rest) = key.as_str().split_once("/@")?;
    let (version, _) = rest.split_once('/')?;
    Some((Key::stored(root).ok()?, version.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Entry;

    fn snapshot(prefix: Prefix, entries: &[(&str, &str)]) -> Snapshot {
        let entries = entries
            .iter()
            .map(|(key, value)| {
                let entry = Entry { value: value.as_bytes().to_vec(), modified: Default::default() };
                (Key::stored(*key).unwrap(), entry)
            })
            .filter(|(key, _)| prefix.covers(key))
            .collect();
        Snapshot { stamp: Stamp::default(), prefix, entries }
    }

    const ENTRIES: [(&str, &str); 7] = [
        ("a/@3-0/x", "orphan"),
        ("a/@4-1/x", "live"),
        ("a/@5-0/x", "being written"),
        ("a/@current", "4-1 1"),
        ("b/@2-7/y/z", "orphan: it was removed"),
        ("c/@1-0/x", "of a pointer that cannot be read"),
        ("c/@current", "?"),
    ];

    #[test]
    fn orphans_are_what_nothing_points_to_and_nobody_is_writing() {
        let writing = InFlight::new("5-0".parse().unwrap());
        let names = |prefix, epoch| -> Vec<String> {
            let keys = orphans(&snapshot(prefix, &ENTRIES), Epoch::new(epoch));
            keys.iter().map(ToString::to_string).collect()
        };
        assert_eq!(names(Prefix::all(), 5), ["a/@3-0/x", "b/@2-7/y/z"]);
        drop(writing);
        assert_eq!(names(Prefix::all(), 5), ["a/@3-0/x", "a/@5-0/x", "b/@2-7/y/z"]);
        assert_eq!(names(Prefix::all(), 4), ["a/@3-0/x", "b/@2-7/y/z"], "of a later reign");
        assert_eq!(names(Prefix::all(), 1), [""; 0]);
        let inside = Prefix::below(&Key::stored("a/@4-1").unwrap());
        assert_eq!(names(inside, 6), [""; 0], "a live version is no orphan for want of its pointer");
    }

    #[test]
    fn a_missing_entry_is_damage_and_not_an_empty_content() {
        let a = Key::new("a").unwrap();
        let whole = snapshot(Prefix::all(), &ENTRIES);
        assert_eq!(read(&whole, &a).unwrap().unwrap()[&Key::new("x").unwrap()], b"live");
        assert_eq!(read(&whole, &Key::new("b").unwrap()).unwrap(), None);
        let torn = snapshot(Prefix::all(), &ENTRIES[3..]);
        let message = read(&torn, &a).unwrap_err().to_string();
        assert!(
            message.contains("a/@current") && message.contains("1 entries were written, 0 are"),
            "{message}"
        );
        assert!(read(&whole, &Key::new("c").unwrap()).is_err());
    }
}
