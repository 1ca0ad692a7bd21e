use std::sync::Arc;

use super::*;

fn text(path: &str, text: &str) -> Item {
    Item::File { path: path.to_owned(), access: Access::root(0o644), content: Content::Text(Arc::from(text)) }
}

fn unit(inputs: Option<&Sum>) -> Item {
    Item::Unit {
        name: "u.service".to_owned(),
        inputs: inputs.cloned(),
        reads: vec!["/etc/f".to_owned()],
        within: None,
    }
}

fn desired(items: impl IntoIterator<Item = Item>) -> Desired {
    Desired { items: items.into_iter().map(|item| (Phase::Distribute, item)).collect() }
}

fn found(kind: Kind, text: Option<&str>) -> Found {
    Found {
        kind,
        access: Access::root(0o644),
        size: 0,
        sum: text.map(|text| Sum::of(text.as_bytes())),
        content: text.map(str::to_owned),
        target: None,
        certificate: None,
    }
}

fn running(inputs: Option<&Sum>) -> UnitFound {
    UnitFound {
        loaded: true,
        active: "active".to_owned(),
        enabled: true,
        stale: false,
        inputs: inputs.cloned(),
    }
}

fn words(desired: &Desired, facts: &Facts) -> String {
    match plan(desired, facts) {
        Ok(steps) => steps.iter().map(|step| format!("{}: {}\n", step.what, step.deed.words())).collect(),
        Err(conflicts) => conflicts.iter().map(|c| format!("! {}: {}\n", c.path, c.what)).collect(),
    }
}

#[test]
fn a_fresh_host_gets_all_in_order() {
    let sum = Sum::of(b"x");
    let desired = desired([
        Item::User { name: "clusterctl".to_owned() },
        Item::Dir { path: "/opt/clusterctl".to_owned(), access: Access::root(0o755), data: false },
        text("/etc/systemd/system/u.service", "[Unit]\n"),
        Item::Link { path: "/opt/clusterctl/current".to_owned(), target: "1.0".to_owned() },
        unit(Some(&sum)),
    ]);
    insta::assert_snapshot!(words(&desired, &Facts::default()), @r"
    user clusterctl: make this user
    /opt/clusterctl: make this directory (0755 root:root)
    /etc/systemd/system/u.service: new file (0644 root:root, 7 B)
    systemd reads its units: reload
    /opt/clusterctl/current: link to 1.0
    u.service: enable and start
    ");
    let steps = plan(&desired, &Facts::default()).unwrap();
    assert_eq!(entries(&desired, &steps, &Facts::default()).len(), 5);
}

#[test]
fn a_host_that_has_all_gets_nothing() {
    let sum = Sum::of(b"x");
    let desired = desired([text("/etc/f", "text"), unit(Some(&sum)), unit(None)]);
    let mut facts = Facts::default();
    facts.paths.insert("/etc/f".to_owned(), found(Kind::File, Some("text")));
    facts.units.insert("u.service".to_owned(), running(Some(&sum)));
    assert_eq!(plan(&desired, &facts), Ok(Vec::new()));
}

#[test]
fn a_unit_is_restarted_when_it_runs_with_something_else() {
    let (old, new) = (Sum::of(b"old"), Sum::of(b"new"));
    let table: [(UnitFound, Option<&Sum>, Option<Deed>); 8] = [
        (UnitFound::default(), Some(&new), Some(Deed::Start { enable: true })),
        (running(Some(&new)), Some(&new), None),
        (running(Some(&old)), Some(&new), Some(Deed::Restart { enable: false })),
        (running(None), Some(&new), Some(Deed::Restart { enable: false })),
        (running(Some(&old)), None, None),
        (UnitFound { enabled: false, ..running(Some(&new)) }, Some(&new), Some(Deed::Enable)),
        (
            UnitFound { active: "failed".into(), ..running(None) },
            Some(&new),
            Some(Deed::Start { enable: false }),
        ),
        (
            UnitFound { active: "activating".into(), ..running(None) },
            Some(&new),
            Some(Deed::Restart { enable: false }),
        ),
    ];
    for (found, inputs, expected) in table {
        assert_eq!(unit_deed(&found, inputs), expected, "{found:?} {inputs:?}");
    }
}

#[test]
fn what_others_put_there_is_in_the_way() {
    let desired = desired([
        text("/etc/theirs", "ours"),
        text("/etc/same", "same"),
        text("/etc/dir", "x"),
        Item::Dir { path: "/opt".to_owned(), access: Access::root(0o755), data: false },
    ]);
    let mut facts = Facts::default();
    facts.paths.insert("/etc/theirs".to_owned(), found(Kind::File, Some("theirs")));
    facts.paths.insert("/etc/same".to_owned(), found(Kind::File, Some("same")));
    facts.paths.insert("/etc/dir".to_owned(), found(Kind::Dir, None));
    facts.paths.insert("/opt".to_owned(), found(Kind::File, Some("")));
    insta::assert_snapshot!(words(&desired, &facts), @r"
    ! /etc/theirs: a file that no installer of ours put there
    ! /etc/dir: a directory
    ! /opt: a file that no installer of ours put there
    ");
    facts.manifest.read(&Entry::File("/etc/theirs", &Sum::of(b"earlier")).line());
    let Err(conflicts) = plan(&desired, &facts) else { panic!("two are still in the way") };
    assert_eq!(conflicts.len(), 2, "what an installer put there and somebody changed is put right");
}

#[test]
fn secrets_and_large_files_show_no_text() {
    let desired = desired([Item::File {
        path: "/k".to_owned(),
        access: Access::root(0o600),
        content: Content::Secret(Arc::new("canary".to_owned().into())),
    }]);
    let mut facts = Facts::default();
    facts.manifest.read(&Entry::File("/k", &Sum::of(b"")).line());
    facts.paths.insert("/k".to_owned(), found(Kind::File, Some("older canary")));
    let steps = plan(&desired, &facts).unwrap();
    let shown = format!("{steps:?}{}", serde_json::to_string(&steps).unwrap());
    assert!(!shown.contains("canary") && !shown.contains(Sum::of(b"canary").as_str()), "{shown}");
}

#[test]
fn sizes_are_for_people() {
    for (bytes, shown) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (60 << 20, "60.0 MiB")] {
        assert_eq!(size(bytes), shown);
    }
}

#[test]
fn a_fingerprint_tells_other_steps_but_not_new_certificates() {
    let of = |content: &str| {
        let desired = desired([text("/etc/systemd/system/u.service", content)]);
        fingerprint(&plan(&desired, &Facts::default()).unwrap())
    };
    let one = of("a\nEnvironment=CLUSTERCTL_INPUTS=1111\nb\n");
    assert_eq!(one, of("a\nEnvironment=CLUSTERCTL_INPUTS=2222\nb\n"));
    assert_ne!(one, of("a\nEnvironment=CLUSTERCTL_INPUTS=1111\nc\n"));

    let secret = |text: &str| {
        let (path, access) = ("/k".to_owned(), Access::root(0o600));
        let content = Content::Secret(Arc::new(text.to_owned().into()));
        fingerprint(&plan(&desired([Item::File { path, access, content }]), &Facts::default()).unwrap())
    };
    assert_eq!(secret("a key"), secret("another key"));
}

#[test]
fn a_file_that_is_put_right_restarts_who_reads_it() {
    let sum = Sum::of(b"x");
    let desired = desired([text("/etc/f", "text"), unit(Some(&sum)), unit(None)]);
    let mut facts = Facts::default();
    facts.manifest.read(&Entry::File("/etc/f", &Sum::of(b"text")).line());
    facts.paths.insert("/etc/f".to_owned(), found(Kind::File, Some("edited")));
    facts.units.insert("u.service".to_owned(), running(Some(&sum)));
    insta::assert_snapshot!(words(&desired, &facts), @r"
    /etc/f: changed (0644 root:root, 4 B)
    u.service: restart
    ");
}
