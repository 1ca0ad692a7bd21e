//! Checkpoints that are made durable together: a burst of launches waits for few turns of the disk, not for three each.

use std::path::PathBuf;
use std::thread;

use super::paths::Meta;
use crate::record::{Draft, RecordError, sync_directory};

/// The file system writes for so many who wait at the same time what it can write for one.
const THREADS: usize = 8;

/// Syncs them, lets them show, and syncs that. Answers in their order.
pub(super) fn finish(meta: &Meta, drafts: Vec<Draft>) -> Vec<Result<(), RecordError>> {
    if drafts.is_empty() {
        return Vec::new();
    }
    let shown = side_by_side(drafts, |draft| {
        draft.sync()?;
        let path = draft.publish()?;
        match path.parent().map_or(Ok(()), sync_directory) {
            Ok(()) => Ok(path),
            Err(source) => Err(RecordError::Io { action: "sync the directory of", path, source }),
        }
    });
    // Once, for all the directories in it.
    let tasks = meta.tasks();
    let failed = sync_directory(&tasks).err().map(|e| (e.kind(), e.to_string()));
    let last = |_: PathBuf| match &failed {
        None => Ok(()),
        Some((kind, text)) => Err(RecordError::Io {
            action: "sync",
            path: tasks.clone(),
            source: std::io::Error::new(*kind, text.clone()),
        }),
    };
    shown.into_iter().map(|shown| shown.and_then(last)).collect()
}

fn side_by_side<T: Send, R: Send>(mut all: Vec<T>, each: impl Fn(T) -> R + Sync) -> Vec<R> {
    if all.len() == 1 {
        return all.into_iter().map(each).collect();
    }
    let share = all.len().div_ceil(THREADS);
    let mut parts = Vec::with_capacity(THREADS);
    while !all.is_empty() {
        let rest = all.split_off(share.min(all.len()));
        parts.push(std::mem::replace(&mut all, rest));
    }
    thread::scope(|scope| {
        let each = &each;
        let threads: Vec<_> = parts
            .into_iter()
            .map(|part| scope.spawn(move || part.into_iter().map(each).collect::<Vec<_>>()))
            .collect();
        let done = threads.into_iter().map(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        done.flatten().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::core::Checkpoint;
    use crate::daemon::core::tests::info;
    use api::marathon::Uuid;

    #[test]
    fn each_is_answered_for_itself_and_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let meta = Meta::of(dir.path());
        meta.make().unwrap();
        let tasks: Vec<Checkpoint> = (0..50)
            .map(|number| Checkpoint {
                framework: "f".into(),
                info: info(&format!("t{number}"), "cpus:1"),
                container: Uuid::from_bits(number),
                directory: "/w/t".into(),
            })
            .collect();
        let drafts = tasks.iter().map(|task| meta.draft(task).unwrap()).collect();
        std::fs::remove_dir_all(meta.task(tasks[17].container)).unwrap();
        let kept = finish(&meta, drafts);
        for (number, (task, kept)) in tasks.iter().zip(kept).enumerate() {
            assert_eq!(kept.is_ok(), number != 17, "{number}: {kept:?}");
            let read = meta.read_checkpoint(task.container).unwrap();
            assert_eq!(read.as_ref(), (number != 17).then_some(task));
        }
        assert!(finish(&meta, vec![]).is_empty());
    }
}
