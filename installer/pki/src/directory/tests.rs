//! The directory as operators, killed runs and other users leave it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use super::*;

const FILES: [&str; 4] = ["cluster-ca.pem", "cluster-ca.key", "etcd-ca.pem", "etcd-ca.key"];

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

/// What removes all of it, and a cluster's directory that was made.
fn made() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("demo/pki");
    let (_, origin) = open_or_create(&dir, "demo", now()).unwrap();
    assert_eq!(origin, Origin::Created);
    (root, dir)
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// What is said of a directory that must not be used, and must stay as it is.
fn refusal(dir: &Path) -> DirectoryError {
    let before = contents(dir);
    let fault = open_or_create(dir, "demo", now()).unwrap_err();
    assert_eq!(contents(dir), before, "a refusal changes nothing");
    fault
}

fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn what_was_made_is_found_again_and_is_private() {
    let (_root, dir) = made();
    let first = open(&dir, "demo").unwrap().unwrap();
    let (second, origin) = open_or_create(&dir, "demo", now() + Duration::from_secs(86_400)).unwrap();
    assert_eq!(origin, Origin::Found);
    assert_eq!(first.cluster.fingerprint(), second.cluster.fingerprint());
    assert_eq!(first.etcd.fingerprint(), second.etcd.fingerprint());
    assert_ne!(first.cluster.fingerprint(), first.etcd.fingerprint());
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(dir.parent().unwrap()), 0o700);
    assert_eq!(mode(&dir.join("cluster-ca.key")), 0o600);
    assert_eq!(mode(&dir.join("etcd-ca.key")), 0o600);
    assert_eq!(mode(&dir.join("../pki.lock")), 0o600);
}

#[test]
fn a_look_makes_nothing() {
    let root = tempfile::tempdir().unwrap();
    assert!(open(&root.path().join("demo/pki"), "demo").unwrap().is_none());
    assert_eq!(contents(root.path()), []);
}

#[test]
fn many_at_once_make_one_pair_of_authorities() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("demo/pki");
    let start = Barrier::new(8);
    let results: Vec<_> = thread::scope(|scope| {
        let one = || {
            start.wait();
            open_or_create(&dir, "demo", now()).unwrap()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|(_, origin)| *origin == Origin::Created).count(), 1);
    let first = &results[0].0;
    for (pki, _) in &results {
        assert_eq!(pki.cluster.fingerprint(), first.cluster.fingerprint());
        assert_eq!(pki.etcd.fingerprint(), first.etcd.fingerprint());
    }
}

#[test]
fn what_a_killed_run_left_is_no_obstacle_and_goes() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("pki");
    let half = root.path().join("pki.new");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("cluster-ca.key"), "half of a k").unwrap();
    open_or_create(&dir, "demo", now()).unwrap();
    assert!(!half.exists());
    assert!(open(&dir, "demo").unwrap().is_some());
}

#[test]
fn an_empty_directory_is_filled_and_made_private() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("pki");
    fs::create_dir(&dir).unwrap();
    chmod(&dir, 0o755);
    assert_eq!(open_or_create(&dir, "demo", now()).unwrap().1, Origin::Created);
    assert_eq!(mode(&dir), 0o700);
}

#[test]
fn modes_that_let_others_in_are_refused_with_the_command_that_helps() {
    for (name, lax, wanted) in [
        ("", 0o750, "chmod 700"),
        ("", 0o701, "chmod 700"),
        ("cluster-ca.key", 0o640, "chmod 600"),
        ("etcd-ca.key", 0o604, "chmod 600"),
        ("etcd-ca.key", 0o620, "chmod 600"),
    ] {
        let (_root, dir) = made();
        let path = if name.is_empty() { dir.clone() } else { dir.join(name) };
        chmod(&path, lax);
        let refused = refusal(&dir);
        assert!(matches!(&refused, DirectoryError::Lax { path: found, .. } if *found == path), "{refused:?}");
        assert!(refused.to_string().contains(&format!("{wanted} {}", path.display())), "{refused}");
    }
}

#[test]
fn each_missing_file_is_named_and_none_is_made_anew() {
    for name in FILES {
        let (_root, dir) = made();
        fs::remove_file(dir.join(name)).unwrap();
        let refused = refusal(&dir);
        assert!(
            matches!(&refused, DirectoryError::Incomplete { missing, .. } if missing == &[name]),
            "{refused:?}"
        );
        assert!(refused.to_string().contains("restore it from a backup"), "{refused}");
    }
}

#[test]
fn damage_to_any_file_is_noticed_and_the_file_named() {
    for name in FILES {
        for damage in ["emptied", "halved", "of another cluster", "other text", "no text"] {
            let (_root, dir) = made();
            let path = dir.join(name);
            let whole = fs::read(&path).unwrap();
            let bytes = match damage {
                "emptied" => Vec::new(),
                "halved" => whole[..whole.len() / 2].to_vec(),
                "of another cluster" => {
                    let (_other_root, other) = made();
                    fs::read(other.join(name)).unwrap()
                }
                "other text" => b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_vec(),
                _ => vec![0xff; 2000],
            };
            fs::write(&path, bytes).unwrap();
            let refused = refusal(&dir);
            // Another authority's certificate is whole: then it is the key that does not fit.
            let named = if damage == "of another cluster" { path.with_extension("key") } else { path };
            assert!(
                matches!(&refused, DirectoryError::Damaged { path, .. } if *path == named),
                "{name} {damage}: {refused:?}"
            );
        }
    }
}

#[test]
fn authorities_of_another_cluster_or_of_the_other_kind_are_refused() {
    let (_root, dir) = made();
    let refused = open_or_create(&dir, "prod", now()).unwrap_err().to_string();
    let said = r#"cluster authority of cluster "demo", and not the cluster authority of cluster "prod""#;
    assert!(refused.contains(said), "{refused}");

    for (one, other) in [("cluster-ca.pem", "etcd-ca.pem"), ("cluster-ca.key", "etcd-ca.key")] {
        let (first, second) = (fs::read(dir.join(one)).unwrap(), fs::read(dir.join(other)).unwrap());
        fs::write(dir.join(one), second).unwrap();
        fs::write(dir.join(other), first).unwrap();
    }
    let refused = refusal(&dir);
    assert!(matches!(refused, DirectoryError::Other { .. }), "{refused:?}");
}

#[test]
fn a_file_in_the_directorys_place_is_named() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("pki");
    fs::write(&path, "not a directory").unwrap();
    assert!(matches!(open(&path, "demo"), Err(DirectoryError::NoDirectory { .. })));
}

#[test]
fn no_message_and_no_debugging_text_holds_a_key() {
    let (_root, dir) = made();
    let pki = open(&dir, "demo").unwrap().unwrap();
    let lines = |name: &str| {
        let text = fs::read_to_string(dir.join(name)).unwrap();
        text.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned).collect::<Vec<_>>()
    };
    let secret = [lines("cluster-ca.key"), lines("etcd-ca.key")].concat();
    assert!(secret.len() >= 4);
    // One sign that is not base64: parsers quote what they cannot read.
    let path = dir.join("cluster-ca.key");
    let damaged = fs::read_to_string(&path).unwrap().replacen(&secret[0], &format!("?{}", &secret[0]), 1);
    fs::write(&path, damaged).unwrap();
    let refused = refusal(&dir);
    let mut texts = format!("{pki:?} {refused:?} {refused}");
    let mut cause = std::error::Error::source(&refused);
    while let Some(fault) = cause {
        texts.push_str(&format!(" {fault:?} {fault}"));
        cause = fault.source();
    }
    for line in &secret {
        assert!(!texts.contains(&line[..16]), "{texts}");
    }
}

#[test]
fn a_secret_beside_the_authorities_is_made_once() {
    let (_root, dir) = made();
    let path = dir.join("a.key");
    fs::write(dir.join("a.key.new"), "half of a k").unwrap();
    let keep = |text: &str| {
        let (kept, origin) = keep(&dir, "a.key", &text.to_owned().into()).unwrap();
        (kept.expose_secret().to_owned(), origin)
    };
    assert_eq!(keep("one\n"), ("one\n".to_owned(), Origin::Created));
    assert_eq!(keep("two\n"), ("one\n".to_owned(), Origin::Found));
    assert_eq!(mode(&path), 0o600);
    assert!(!dir.join("a.key.new").exists());
    assert!(open(&dir, "demo").unwrap().is_some(), "the authorities are whole with it");
}

#[test]
fn a_secret_that_others_may_read_or_that_leads_nowhere_stays_as_it_is() {
    let (_root, dir) = made();
    let path = dir.join("a.key");
    let new = SecretString::from("new\n".to_owned());
    fs::write(&path, "old\n").unwrap();
    chmod(&path, 0o640);
    assert!(matches!(keep(&dir, "a.key", &new), Err(DirectoryError::Lax { mode: 0o640, .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "old\n");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/gone/a.key", &path).unwrap();
    assert!(matches!(keep(&dir, "a.key", &new), Err(DirectoryError::Io { .. })));
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert!(matches!(keep(&dir.join("no"), "a.key", &new), Err(DirectoryError::Io { .. })));
}

#[test]
fn many_at_once_make_one_secret() {
    let (_root, dir) = made();
    let start = Barrier::new(8);
    let one = |number: usize| {
        start.wait();
        let (kept, origin) = keep(&dir, "a.key", &format!("{number}\n").into()).unwrap();
        (kept.expose_secret().to_owned(), origin)
    };
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                scope.spawn({
                    let one = &one;
                    move || one(number)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|(_, origin)| *origin == Origin::Created).count(), 1);
    assert!(results.iter().all(|(kept, _)| *kept == results[0].0), "{results:?}");
}
