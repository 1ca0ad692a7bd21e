//! Named points at which a test has this process killed: [`reach`] for those who use a store, and the store's own. Without the
//! feature `failpoints` they are nothing; no build that is shipped has it.

/// Kills this process when the file that the variable `CLUSTERCTL_FAILPOINT` names holds this name. So a test lets all become
/// healthy, and names the point when it wants it.
#[cfg(feature = "failpoints")]
pub fn reach(point: &str) {
    use std::path::PathBuf;
    use std::sync::LazyLock;

    static ARMED: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("CLUSTERCTL_FAILPOINT").map(PathBuf::from));
    let Some(file) = &*ARMED else { return };
    // A file that is not there names no point.
    if std::fs::read_to_string(file).is_ok_and(|named| named == point) {
        kill();
    }
}

/// Nothing, in this build.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn reach(_: &str) {}

/// The points of a commit, in the order in which it passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failpoint {
    /// Its caller has handed it over.
    Queued,
    /// A group was taken from the queue; nothing is written.
    BeforeWrite,
    /// A part of the group was applied to the transaction.
    InGroup,
    /// A write to the file is half done.
    #[cfg(feature = "failpoints")]
    HalfWritten,
    /// All is written and not yet synced.
    BeforeSync,
    /// All is synced and not yet acknowledged by the engine.
    AfterSync,
    /// The engine has acknowledged the group; its callers do not know.
    BeforeAck,
    /// Some callers of the group know.
    InAck,
}

/// Kills this process when the variable `STORE_FAILPOINT` is `<name>:<n>` and this is the n-th time here.
#[cfg(feature = "failpoints")]
pub(crate) fn hit(point: Failpoint) {
    if due(point) {
        kill();
    }
}

#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn hit(_: Failpoint) {}

/// Whether [`hit`] would kill, counting this time; for a point that has something to do first.
#[cfg(feature = "failpoints")]
pub(crate) fn due(point: Failpoint) -> bool {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static CHOSEN: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let text = std::env::var("STORE_FAILPOINT").ok()?;
        let (name, count) = text.split_once(':')?;
        Some((name.to_owned(), AtomicU64::new(count.parse().ok()?)))
    });
    match chosen {
        Some((name, left)) if *name == format!("{point:?}") => left.fetch_sub(1, Ordering::SeqCst) == 1,
        _ => false,
    }
}

/// As `kill -9` does it: nothing runs after this, and nothing is flushed.
#[cfg(feature = "failpoints")]
pub(crate) fn kill() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}
