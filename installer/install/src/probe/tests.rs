use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use proptest::prelude::*;

use super::*;
use crate::phase::Phase;

fn now() -> Looked {
    let now = SystemTime::now();
    Looked { began: now - Duration::from_secs(60), ended: now + Duration::from_secs(60) }
}

fn look(look: &Look) -> Facts {
    let output = Command::new("sh").args(["-c", &look.script()]).stdin(Stdio::null()).output().unwrap();
    Look::read(&String::from_utf8(output.stdout).unwrap(), now()).unwrap()
}

fn file(path: &str, text: &str) -> Item {
    Item::File { path: path.to_owned(), access: Access::root(0o644), content: Content::Text(Arc::from(text)) }
}

#[test]
fn this_machine_is_described() {
    let facts = look(&Look {
        system: true,
        disks: vec!["/opt/clusterctl/none/such".to_owned()],
        units: vec!["no-such-unit.service".to_owned()],
        ..Look::default()
    });
    let system = facts.system;
    assert_eq!(system.clock_ahead, 0.0);
    assert_eq!(
        system.root,
        std::fs::metadata("/proc/self").is_ok_and(|_| rustix::process::geteuid().is_root())
    );
    assert!(system.cpus > 0 && system.memory > 1000 && !system.kernel.is_empty(), "{system:?}");
    assert!(system.glibc.is_some_and(|glibc| glibc >= (2, 17)), "{system:?}");
    assert!(facts.disks["/opt/clusterctl/none/such"].free > 0);
}

#[test]
fn files_links_and_directories_are_seen_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(at("same it's"), "as it is to be\n").unwrap();
    std::fs::write(at("other"), "old\n").unwrap();
    std::fs::set_permissions(at("other"), std::fs::Permissions::from_mode(0o640)).unwrap();
    std::fs::write(at("leaf"), "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\nprivate\n")
        .unwrap();
    std::os::unix::fs::symlink("nowhere", at("link")).unwrap();
    let mut desired = Desired::default();
    desired.push(Phase::Distribute, file(&at("same it's"), "as it is to be\n"));
    desired.push(Phase::Distribute, file(&at("other"), "new\n"));
    desired.push(Phase::Distribute, file(&at("none"), "new\n"));
    desired.push(Phase::Distribute, Item::Link { path: at("link"), target: "x".to_owned() });
    let guards = [("true", true), ("false", false), ("cat", true), ("exit 3", false)];
    for (guard, _) in guards {
        let (what, command) = (String::new(), String::new());
        desired.push(Phase::Distribute, Item::Command { what, command, guard: guard.to_owned() });
    }
    desired.push(Phase::Distribute, Item::User { name: "root".to_owned() });
    desired.push(Phase::Distribute, Item::User { name: "no-such-user".to_owned() });
    let facts = look(&Look { desired, certificates: vec![at("leaf")], ..Look::default() });

    let same = &facts.paths[&at("same it's")];
    assert_eq!((same.kind, &same.content), (Kind::File, &None));
    assert_eq!(same.sum, Some(Sum::of(b"as it is to be\n")));
    let other = &facts.paths[&at("other")];
    assert_eq!((other.access.mode, other.content.as_deref()), (0o640, Some("old\n")));
    assert!(!facts.paths.contains_key(&at("none")));
    let link = &facts.paths[&at("link")];
    assert_eq!((link.kind, link.target.as_deref(), &link.sum), (Kind::Link, Some("nowhere"), &None));
    let leaf = facts.paths[&at("leaf")].certificate.as_deref().unwrap();
    assert!(leaf.contains("END") && !leaf.contains("private"), "{leaf}");
    let passed: Vec<usize> = facts.guards.into_iter().collect();
    assert_eq!(passed, [4, 6]);
    assert_eq!(facts.users, BTreeSet::from(["root".to_owned()]));
}

#[test]
fn what_can_be_reached_is_told_from_what_only_refuses() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap().port();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at = |port| ("127.0.0.1".to_owned(), port);
    let facts = look(&Look { reach: vec![at(open), at(closed)], ..Look::default() });
    assert_eq!((facts.reach[&at(open)], facts.reach[&at(closed)]), (Reach::Open, Reach::Refused));
}

#[test]
fn a_cut_off_answer_is_no_answer() {
    let error = Look::read("uid\t0\nhostname\tx\n", now()).unwrap_err();
    assert_eq!(error, ProbeError::CutOff { lines: 2 });
    assert!(
        Look::read("uid\t0\nwhat is this\nend\t.\n", now()).unwrap_err().to_string().contains("what is this")
    );
}

#[test]
fn clocks_are_compared_with_the_time_of_the_look() {
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    let looked = Looked { began: at(1000), ended: at(1002) };
    for (text, expected) in [
        ("1001.5", 0.0),
        ("990.000", -10.0),
        ("1012.0", 10.0),
        ("1000.N", 0.0),
        ("1003", 1.0),
        ("1009.", 7.0),
    ] {
        let found = ahead(text, looked).unwrap();
        assert!((found - expected).abs() < 0.01, "{text}: {found}");
    }
}

#[test]
fn c_libraries_are_told_apart() {
    let table = [
        ("glibc 2.36", Some((2, 36))),
        ("ldd (GNU libc) 2.28", Some((2, 28))),
        ("ldd (Debian GLIBC 2.31-13+deb11u11) 2.31", Some((2, 31))),
        ("musl libc (x86_64)", None),
        ("", None),
    ];
    for (text, expected) in table {
        assert_eq!(glibc(text), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn whatever_a_host_answers_is_read_or_refused(text in "([a-z_]{1,8}\t?[ -~\t]{0,30}\n){0,8}") {
        let _ = Look::read(&text, now());
    }
}
