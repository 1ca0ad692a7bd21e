//! A real process is killed at every point of a commit, and at any moment; what it acknowledged is there.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![expect(clippy::panic, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use store::suite::{Rng, run};
use store::{Batch, Candidate, EmbeddedStore, Key, Options, Prefix, Snapshot, Store};

/// Tasks of the child that commit at the same time, so that there are groups.
const WRITERS: usize = 8;

/// Commits of each, if nothing kills the child before. More than any failpoint below waits for.
const COMMITS: u64 = 400;

const DIRECTORY: &str = "STORE_TEST_DIRECTORY";
const FAILPOINT: &str = "STORE_FAILPOINT";

/// In the order in which a commit passes them.
const FAILPOINTS: [&str; 8] =
    ["Queued", "BeforeWrite", "InGroup", "HalfWritten", "BeforeSync", "AfterSync", "BeforeAck", "InAck"];

fn key(text: impl Into<String>) -> Key {
    Key::new(text).unwrap()
}

/// The child: commits until it is killed, and says what was acknowledged. A commit writes two entries and moves a counter.
#[test]
fn helper_commits_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    run(async move {
        let store = EmbeddedStore::open(Path::new(&directory), Options::default()).await.unwrap();
        let leadership = store.campaign(&Candidate::new("child")).await.unwrap();
        println!("\nepoch {}", leadership.epoch());
        let begun = store.load(&Prefix::all()).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (store, leadership) = (store.clone(), leadership.clone());
                let last = counter(&begun, writer);
                tokio::spawn(async move {
                    for n in last + 1..=last + COMMITS {
                        let batch = Batch::new()
                            .put(key(format!("w{writer}/left/{n}")), vec![7; 300])
                            .put(key(format!("w{writer}/last")), n.to_string())
                            .put(key(format!("w{writer}/right/{n}")), vec![7; 300])
                            .delete(key(format!("w{writer}/left/{}", n.saturating_sub(50))))
                            .delete(key(format!("w{writer}/right/{}", n.saturating_sub(50))));
                        store.commit(&leadership, batch).await.unwrap();
                        println!("acknowledged {writer} {n}");
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

fn counter(snapshot: &Snapshot, writer: usize) -> u64 {
    let value = snapshot.get(&key(format!("w{writer}/last")));
    value.map_or(0, |value| std::str::from_utf8(value).unwrap().parse().unwrap())
}

/// What the child said.
#[derive(Debug, Default)]
struct Said {
    epoch: u64,
    last: BTreeMap<usize, u64>,
}

/// Runs a child over `directory` and has it killed: by a failpoint, or by us when it has acknowledged so many commits.
fn killed(directory: &Path, failpoint: Option<&str>, after: Option<u64>) -> Said {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "helper_commits_until_it_is_killed", "--nocapture", "--test-threads=1"]);
    command.env(DIRECTORY, directory).env_remove(FAILPOINT);
    if let Some(failpoint) = failpoint {
        command.env(FAILPOINT, failpoint);
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut said, mut count) = (Said::default(), 0);
    if after == Some(0) {
        child.kill().unwrap();
    }
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["epoch", epoch] => said.epoch = epoch.parse().unwrap(),
            ["acknowledged", writer, n] => {
                said.last.insert(writer.parse().unwrap(), n.parse().unwrap());
                count += 1;
                if Some(count) == after {
                    child.kill().unwrap();
                }
            }
            _ => {}
        }
    }
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(9), "{failpoint:?} was not reached: {status}, {said:?}");
    said
}

/// What was acknowledged is there; what was not is there wholly or not at all; the epoch did not fall.
async fn check(directory: &Path, said: &Said, before: &mut Said, what: &str) {
    let store = EmbeddedStore::open(directory, Options::default())
        .await
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let loaded = store.load(&Prefix::all()).await.unwrap();
    let epoch = loaded.stamp.epoch.get();
    assert!(epoch >= said.epoch && epoch >= before.epoch, "{what}: epoch {epoch}, {said:?}, {before:?}");
    for writer in 0..WRITERS {
        let last = counter(&loaded, writer);
        let base = before.last.get(&writer).copied().unwrap_or(0);
        let acknowledged = said.last.get(&writer).copied().unwrap_or(base);
        // One is under way, and no more.
        assert!((acknowledged..=acknowledged + 1).contains(&last), "{what}: {writer} is at {last}, {said:?}");
        let expected: BTreeSet<u64> = (last.saturating_sub(49).max(1)..=last).collect();
        for side in ["left", "right"] {
            let found: BTreeSet<u64> = loaded
                .below(&key(format!("w{writer}/{side}")))
                .map(|(key, _)| key.name().unwrap().parse().unwrap())
                .collect();
            assert_eq!(found, expected, "{what}: writer {writer}, {side}");
        }
        before.last.insert(writer, last);
    }
    let leadership = store.campaign(&Candidate::new("parent")).await.unwrap();
    assert!(leadership.epoch().get() > epoch);
    before.epoch = leadership.epoch().get();
    store.close().await.unwrap();
}

#[test]
fn a_kill_at_every_point_of_a_commit_loses_nothing_acknowledged() {
    let mut rng = Rng::new(1);
    for failpoint in FAILPOINTS {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("store");
        let mut before = Said::default();
        for round in 0..12 {
            // The first ones also meet the writes of opening and campaigning.
            let count = if round < 4 { round + 1 } else { 1 + rng.below(60) };
            let what = format!("{failpoint}:{count}");
            let said = killed(&directory, Some(&what), None);
            run(check(&directory, &said, &mut before, &what));
        }
    }
}

#[test]
fn a_kill_at_any_moment_loses_nothing_acknowledged() {
    let mut rng = Rng::new(2);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("store");
    let mut before = Said::default();
    for round in 0..40 {
        let after = rng.below(300);
        let said = killed(&directory, None, Some(after));
        run(check(&directory, &said, &mut before, &format!("round {round}, after {after}")));
    }
}
