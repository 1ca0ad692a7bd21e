use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;

use super::*;
use crate::key::tests::{ECDSA, ED25519, ED25519_OTHER};

fn key(text: &str) -> HostKey {
    text.parse().unwrap()
}

fn verdict(text: &str, host: &str, port: u16, shown: &str) -> Verdict {
    check(&[KnownHosts::parse("/h", text)], host, port, &key(shown))
}

/// The verdict in a word, with the lines it names.
fn word(verdict: &Verdict) -> String {
    let lines =
        |places: &[Place]| places.iter().map(|place| place.line.to_string()).collect::<Vec<_>>().join(",");
    match verdict {
        Verdict::Known => "known".to_owned(),
        Verdict::Unknown => "unknown".to_owned(),
        Verdict::Changed(places) => format!("changed {}", lines(places)),
        Verdict::OtherType(places) => format!("other {}", lines(places)),
        Verdict::Revoked(place) => format!("revoked {}", place.line),
        Verdict::Certified(place) => format!("certified {}", place.line),
    }
}

#[test]
fn every_form_of_a_line_means_what_openssh_says() {
    let table: &[(&str, &str, u16, &str)] = &[
        ("", "a", 22, "unknown"),
        ("a KEY", "a", 22, "known"),
        ("A KEY", "a", 22, "known"),
        ("a KEY", "A", 22, "known"),
        ("b KEY", "a", 22, "unknown"),
        ("b,a,c KEY", "a", 22, "known"),
        ("a,192.0.2.1 KEY comment with words", "192.0.2.1", 22, "known"),
        ("a\tKEYTAB\tcomment", "a", 22, "known"),
        ("  a   KEY\r", "a", 22, "known"),
        ("# a KEY\n\n   # b", "a", 22, "unknown"),
        ("*.example.org KEY", "m1.example.org", 22, "known"),
        ("*.example.org,!m1.example.org KEY", "m1.example.org", 22, "unknown"),
        ("192.0.2.? OTHER", "192.0.2.5", 22, "changed 1"),
        // Ports.
        ("[a]:2222 KEY", "a", 2222, "known"),
        ("[a]:2222 KEY", "a", 22, "unknown"),
        ("[a]:2222 KEY", "a", 2223, "unknown"),
        ("[a]:* OTHER", "a", 2222, "changed 1"),
        ("a KEY", "a", 2222, "known"),
        ("a OTHER", "a", 2222, "unknown"),
        ("a OTHER\n[a]:2222 KEY", "a", 2222, "known"),
        ("a KEY\n[a]:2222 OTHER", "a", 2222, "changed 2"),
        ("@revoked a KEY", "a", 2222, "revoked 1"),
        // Other keys.
        ("a OTHER", "a", 22, "changed 1"),
        ("a OTHER\na KEY", "a", 22, "known"),
        ("a OTHER\nb KEY\n*  OTHER", "a", 22, "changed 1,3"),
        ("a ECDSA", "a", 22, "other 1"),
        ("a ECDSA\na OTHER", "a", 22, "changed 2"),
        ("a ECDSA\na KEY", "a", 22, "known"),
        // Markers.
        ("@revoked * KEY", "a", 22, "revoked 1"),
        ("a KEY\n@revoked a KEY", "a", 22, "revoked 2"),
        ("@revoked a OTHER", "a", 22, "unknown"),
        ("@revoked b KEY\na KEY", "a", 22, "known"),
        ("@cert-authority * KEY", "a", 22, "certified 1"),
        ("@cert-authority * OTHER\na KEY", "a", 22, "known"),
        ("@cert-authority * KEY\na OTHER", "a", 22, "changed 2"),
        ("@strange a KEY", "a", 22, "unknown"),
        // Lines that cannot be read.
        ("a", "a", 22, "unknown"),
        ("a ssh-ed25519", "a", 22, "unknown"),
        ("a ssh-ed25519 AAAA", "a", 22, "unknown"),
        ("a ssh-rsa ED25519BLOB", "a", 22, "unknown"),
        ("@revoked", "a", 22, "unknown"),
        ("|1|x|y KEY", "a", 22, "unknown"),
        ("|1| KEY", "a", 22, "unknown"),
    ];
    for (text, host, port, expected) in table {
        let blob = ED25519.split_once(' ').unwrap().1;
        let text = text
            .replace("KEYTAB", &ED25519.replace(' ', "\t"))
            .replace("KEY", ED25519)
            .replace("ED25519BLOB", blob)
            .replace("OTHER", ED25519_OTHER)
            .replace("ECDSA", ECDSA);
        assert_eq!(word(&verdict(&text, host, *port, ED25519)), *expected, "{text}");
    }
}

/// Made by `ssh-keygen -H`.
const HASHED: &str = "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ";

#[test]
fn hashed_names_are_recognised() {
    let line = format!("{HASHED}{ED25519}");
    assert_eq!(verdict(&line, "192.168.1.61", 22, ED25519), Verdict::Known);
    assert_eq!(word(&verdict(&line, "192.168.1.61", 22, ED25519_OTHER)), "changed 1");
    assert_eq!(verdict(&line, "192.168.1.62", 22, ED25519), Verdict::Unknown);
}

#[test]
fn a_change_names_file_line_and_the_key_that_was_there() {
    let Verdict::Changed(places) = verdict(&format!("\n\na {ED25519_OTHER}"), "a", 22, ED25519) else {
        panic!()
    };
    assert_eq!(places[0].path.to_str(), Some("/h"));
    assert_eq!((places[0].line, places[0].fingerprint), (3, key(ED25519_OTHER).fingerprint()));
}

#[test]
fn a_revocation_in_any_file_wins() {
    let files = [
        KnownHosts::parse("/1", &format!("a {ED25519}")),
        KnownHosts::parse("/2", &format!("@revoked * {ED25519}")),
    ];
    assert_eq!(word(&check(&files, "a", 22, &key(ED25519))), "revoked 1");
}

#[test]
fn the_types_that_are_recorded_are_those_to_ask_for() {
    let files =
        [KnownHosts::parse("/1", &format!("a {ECDSA}\n[a]:23 {ED25519}\n@cert-authority a {ED25519}"))];
    assert_eq!(kinds(&files, "a", 22), ["ecdsa-sha2-nistp256"]);
    assert_eq!(kinds(&files, "a", 23), ["ssh-ed25519"]);
    assert_eq!(kinds(&files, "a", 24), ["ecdsa-sha2-nistp256"]);
    assert!(kinds(&files, "b", 22).is_empty());
}

#[test]
fn what_is_learned_is_known_then_and_written_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/known_hosts");
    let entry = |host: &str, port, text| Entry { host: host.to_owned(), port, key: key(text) };
    let entries = [entry("A", 22, ED25519), entry("b", 2222, ECDSA), entry("a", 22, ED25519)];
    learn(&path, &entries).unwrap();
    learn(&path, &entries).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("a {ED25519}\n[b]:2222 {ECDSA}\n"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    let known = [load(&path).unwrap()];
    assert_eq!(check(&known, "b", 2222, &key(ECDSA)), Verdict::Known);
}

#[test]
fn learning_keeps_what_is_there_through_links_modes_and_cut_off_lines() {
    let directory = tempfile::tempdir().unwrap();
    let (real, link) = (directory.path().join("real"), directory.path().join("link"));
    fs::write(&real, format!("a {ED25519}\nb {ED25519_OTH}", ED25519_OTH = &ED25519_OTHER[..30])).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
    symlink(&real, &link).unwrap();
    learn(&link, &[Entry { host: "c".to_owned(), port: 22, key: key(ECDSA) }]).unwrap();
    let text = fs::read_to_string(&real).unwrap();
    assert_eq!(text, format!("a {ED25519}\nb {}\nc {ECDSA}\n", &ED25519_OTHER[..30]));
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o644);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(load(&link).unwrap().unreadable(), [2]);
}

#[test]
fn many_who_learn_at_once_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("known_hosts");
    std::thread::scope(|scope| {
        for number in 0..16 {
            let path = &path;
            scope.spawn(move || {
                learn(path, &[Entry { host: format!("h{number}"), port: 22, key: key(ED25519) }]).unwrap();
            });
        }
    });
    let known = [load(&path).unwrap()];
    for number in 0..16 {
        assert_eq!(check(&known, &format!("h{number}"), 22, &key(ED25519)), Verdict::Known);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_not_an_empty_one() {
    let directory = tempfile::tempdir().unwrap();
    let error = load(directory.path()).unwrap_err();
    assert_eq!(error.to_string(), format!("{}: cannot read the known hosts", directory.path().display()));
    assert!(load(&directory.path().join("none")).unwrap().lines.is_empty());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(?s).{0,200}", host in "\\PC{0,20}", port in any::<u16>()) {
        let _ = verdict(&text, &host, port, ED25519);
    }

    #[test]
    fn no_line_of_likely_words_makes_it_panic_or_trust(
        words in prop::collection::vec(prop::sample::select(vec!["a", "|1|", "|1|AA==|AA==", "*", "!a", "@revoked",
            "@cert-authority", "ssh-ed25519", "ssh-rsa", ED25519_OTHER, ECDSA, "\t", "\n", ","]), 0..12),
    ) {
        // The key that is shown is nowhere in it.
        prop_assert_ne!(verdict(&words.join(" "), "a", 22, ED25519), Verdict::Known);
    }
}
