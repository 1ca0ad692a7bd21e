//! Hostile archives against a sandbox with a canary beside it.

mod place;
mod random;

use std::io::Write;

use tar::EntryType;

use super::*;
use crate::fetch::job::{Archive, Limits};
use place::{Place, entry, file, gzip, hard, link, tar, wrapped, zipped};

#[test]
fn every_kind_of_archive_is_unpacked_alike() {
    let plain = tar(&[
        entry(EntryType::Directory, "d/", "", 0o4777, b""),
        entry(EntryType::Regular, "d/run", "", 0o6777, b"#!"),
        file("./e/f/text", "hello"),
        link("d/link", "../e/f/text"),
        hard("second", "e/f/text"),
    ]);
    let zip = zipped(&[
        ("d/", 0o044_777, b""),
        ("d/run", 0o106_777, b"#!"),
        ("e/f/text", 0o100_644, b"hello"),
        ("d/link", 0o120_777, b"../e/f/text"),
        ("second", 0o100_644, b"hello"),
    ]);
    for (kind, bytes) in wrapped(&plain).into_iter().chain([(Archive::Zip, zip)]) {
        let place = Place::new();
        let answer = place.extract(kind, &bytes).unwrap();
        assert!(matches!(answer, Answer::Done { entries: 5, .. }), "{kind:?} {answer:?}");
        let listing = place.listing();
        let found: Vec<_> = listing.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            found,
            [
                ("d", "755 directory"),
                ("d/link", "-> ../e/f/text"),
                ("d/run", "755 \"#!\""),
                ("e", "755 directory"),
                ("e/f", "755 directory"),
                ("e/f/text", "644 \"hello\""),
                ("second", "644 \"hello\""),
            ],
            "{kind:?}"
        );
        // A second time, as after a crash, nothing is in the way.
        place.extract(kind, &bytes).unwrap();
        assert_eq!(place.listing(), listing);
    }
}

#[test]
fn hostile_entries_are_refused_by_name() {
    let huge = {
        let mut header = entry(EntryType::Regular, "huge", "", 0o644, b"");
        let mut parsed = tar::Header::from_byte_slice(&header).clone();
        parsed.set_size(1 << 50);
        parsed.set_cksum();
        header[..512].copy_from_slice(parsed.as_bytes());
        header
    };
    let mut messages = Vec::new();
    for entries in [
        vec![file("/etc/x", "x")],
        vec![file("../canary", "x")],
        vec![file("a/../../canary", "x")],
        vec![link("l", "../canary")],
        vec![link("l", "/etc/passwd")],
        vec![link("d", "."), link("d/x", "../canary")],
        vec![link("d", "e"), file("d/x", "x")],
        vec![link("a", "."), link("l", "a/../canary")],
        vec![hard("h", "../canary")],
        vec![hard("h", "/etc/passwd")],
        vec![hard("h", "none")],
        vec![file("x/y/z", ""), link("x/y/l", "../../x"), hard("h", "x/y/l")],
        vec![entry(EntryType::Char, "null", "", 0o666, b"")],
        vec![entry(EntryType::Block, "disk", "", 0o666, b"")],
        vec![entry(EntryType::Fifo, "fifo", "", 0o666, b"")],
        vec![entry(EntryType::new(b'Z'), "odd", "", 0o666, b"")],
        vec![file("a", "x"), file("a/b", "x")],
        vec![file("a/b", "x"), file("a", "x")],
        vec![file(".", "x")],
        vec![huge],
    ] {
        messages.push(Place::new().extract(Archive::Tar, &tar(&entries)).unwrap_err());
    }
    for entries in [
        vec![("/etc/x", 0o100_644, &b"x"[..])],
        vec![("../canary", 0o100_644, b"x")],
        vec![("l", 0o120_777, b"/etc/passwd")],
        vec![("l", 0o120_777, b"."), ("l/x", 0o120_777, b"../canary")],
    ] {
        messages.push(Place::new().extract(Archive::Zip, &zipped(&entries)).unwrap_err());
    }
    insta::assert_snapshot!(messages.join("\n"), @r#"
    entry "/etc/x": its name is absolute
    entry "../canary": its name has a ".."
    entry "a/../../canary": its name has a ".."
    entry "l": it is a link that leads out of the sandbox
    entry "l": it is a link to an absolute path
    entry "d/x": it stands below a link, and nothing is written through links
    entry "d/x": it stands below a link, and nothing is written through links
    entry "l": it is a link with a ".." behind a name
    entry "h": it is a hard link, and of what it links to, its name has a ".."
    entry "h": it is a hard link, and of what it links to, its name is absolute
    entry "h": it is a link to a file that is not in the sandbox
    entry "h": it is a hard link to what is no file
    entry "null": it is a device or a FIFO, which tasks do not get
    entry "disk": it is a device or a FIFO, which tasks do not get
    entry "fifo": it is a device or a FIFO, which tasks do not get
    entry "odd": it is of type 90, which is not supported
    entry "a/b": there is a file or a link where its directory must be
    entry "a": there is a directory of this name
    entry ".": it is no directory, yet has the sandbox's name
    entry "huge": its 1125899906842624 bytes are more than the 68719476736 allowed
    entry "/etc/x": its name is absolute
    entry "../canary": its name has a ".."
    entry "l": it is a link to an absolute path
    entry "l/x": it stands below a link, and nothing is written through links
    "#);
}

#[test]
fn a_link_is_replaced_and_not_written_through() {
    let place = Place::new();
    let entries = [file("a", "old"), link("l", "a"), file("l", "new"), hard("h", "a"), file("h", "other")];
    place.extract(Archive::Tar, &tar(&entries)).unwrap();
    let listing = place.listing();
    assert_eq!(listing["a"], "644 \"old\"");
    assert_eq!((&*listing["l"], &*listing["h"]), ("644 \"new\"", "644 \"other\""));
}

#[test]
fn what_grows_too_much_is_stopped() {
    let mut place = Place::new();
    place.limits =
        Limits { bytes: 1 << 20, entries: 50, ratio: 20, ratio_from: 64 << 10, ..Limits::default() };
    let many: Vec<_> = (0..51).map(|n| file(&format!("f{n}"), "")).collect();
    let names: Vec<_> = (0..51).map(|n| format!("f{n}")).collect();
    let listed: Vec<_> = names.iter().map(|name| (name.as_str(), 0o100_644, &b""[..])).collect();
    let zeros = "\0".repeat(512 << 10);
    let noise: Vec<u8> = (0..2_u32 << 20).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
    let large = entry(EntryType::Regular, "large", "", 0o644, &noise);
    for (kind, bytes, expected) in [
        (Archive::Tar, tar(&many), "entry \"f50\": it is one more than 50 entries"),
        (Archive::Zip, zipped(&listed), "its 51 entries are more than the 50 allowed"),
        (
            Archive::TarGzip,
            gzip(&tar(&[file("zeros", &zeros)])),
            "entry \"zeros\": the archive grows more than 20 times when it is unpacked",
        ),
        (
            Archive::Zip,
            zipped(&[("zeros", 0o100_644, zeros.as_bytes())]),
            "entry \"zeros\": the archive grows more than 20 times when it is unpacked",
        ),
        (Archive::Tar, tar(&[large]), "entry \"large\": its 2097152 bytes are more than the 1048576 allowed"),
        (
            Archive::Zip,
            zipped(&[("large", 0o100_644, &noise)]),
            "entry \"large\": more than 1048576 bytes come out of the archive",
        ),
    ] {
        assert_eq!(place.extract(kind, &bytes), Err(expected.to_owned()));
    }
    let gunzip = Action::Gunzip { to: "x".into() };
    let answer = place.perform(gunzip, &gzip(zeros.as_bytes())).unwrap_err();
    assert_eq!(answer, "entry \"x\": the archive grows more than 20 times when it is unpacked");
}

#[test]
fn long_names_are_bounded_before_they_are_held() {
    let mut place = Place::new();
    place.limits.path = 1000;
    let long = |length: usize| {
        let name = "x/".repeat(length / 2);
        [entry(EntryType::GNULongName, "././@LongLink", "", 0, name.as_bytes()), file("short", "")].concat()
    };
    place.extract(Archive::Tar, &tar(&[long(900)])).unwrap();
    let error = place.extract(Archive::Tar, &tar(&[long(1100)])).unwrap_err();
    assert!(error.ends_with("its name is longer than 1000 bytes") && error.len() < 300, "{error}");
    let error = place.extract(Archive::TarGzip, &gzip(&tar(&[long(3 << 20)]))).unwrap_err();
    assert!(error.contains("a header is longer than 1048576 bytes"), "{error}");
    let error = Place::new().extract(Archive::Tar, &tar(&[file(&"y".repeat(100), "")]));
    error.unwrap();
}

#[test]
fn what_is_damaged_or_no_archive_is_an_error() {
    let whole = tar(&[file("a", &"text ".repeat(1000)), file("b", "x")]);
    let packed = gzip(&whole);
    let mut wrong = packed.clone();
    let at = wrong.len() - 6;
    wrong[at] ^= 1;
    for (kind, bytes) in [
        (Archive::Tar, whole[..700].to_vec()),
        (Archive::Tar, whole[..300].to_vec()),
        (Archive::Tar, b"no archive at all, yet long enough".repeat(40)),
        (Archive::TarGzip, packed[..packed.len() - 1].to_vec()),
        (Archive::TarGzip, packed[..packed.len() / 2].to_vec()),
        (Archive::TarGzip, wrong),
        (Archive::TarGzip, whole.clone()),
        (Archive::TarBzip2, packed.clone()),
        (Archive::TarXz, packed.clone()),
        (Archive::Zip, packed.clone()),
        (Archive::Zip, vec![]),
        (Archive::TarGzip, vec![]),
    ] {
        let error = Place::new().extract(kind, &bytes).unwrap_err();
        assert!(!error.is_empty(), "{kind:?} of {} bytes", bytes.len());
    }
}

#[test]
fn single_files_get_their_place_and_mode() {
    let place = Place::new();
    let copy = |to: &str, executable| Action::Copy { to: to.into(), executable };
    place.perform(copy("a/b", false), b"one").unwrap();
    place.perform(copy("run", true), b"two").unwrap();
    place.perform(Action::Gunzip { to: "text".into() }, &gzip(b"three")).unwrap();
    let listing = place.listing();
    assert_eq!(listing["a/b"], "644 \"one\"");
    assert_eq!(listing["run"], "755 \"two\"");
    assert_eq!(listing["text"], "644 \"three\"");
    std::os::unix::fs::symlink("../nest", place.sandbox().join("out")).unwrap();
    let job = copy("out/x", false);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"x").unwrap();
    let job = Job { sandbox: place.sandbox(), user: None, action: job, limits: Limits::default() };
    let error = perform(&job, file).unwrap_err().to_string();
    assert_eq!(error, "entry \"out/x\": it stands below a link, and nothing is written through links");
    assert!(!place.dir.path().join("nest/x").exists());
}

#[test]
fn a_root_file_system_keeps_links_and_modes_and_loses_set_user_id_and_devices() {
    use std::os::unix::fs::MetadataExt;

    let (dir, (uid, gid)) =
        (tempfile::tempdir().unwrap(), (rustix::process::geteuid(), rustix::process::getegid()));
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |kind: tar::EntryType, path: &str, mode: u32, bytes: &[u8], link: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(uid.as_raw().into());
        header.set_gid(gid.as_raw().into());
        header.set_size(bytes.len() as u64);
        if link.is_empty() {
            builder.append_data(&mut header, path, bytes).unwrap();
        } else {
            builder.append_link(&mut header, path, link).unwrap();
        }
    };
    use tar::EntryType::{Block, Directory, Fifo, Regular, Symlink};
    add(Directory, "tmp/", 0o1777, b"", "");
    add(Regular, "bin/su", 0o6755, b"#!", "");
    add(Regular, "etc/secret", 0o600, b"x", "");
    add(Symlink, "bin/sh", 0o777, b"", "/bin/dash");
    add(Symlink, "up", 0o777, b"", "../../..");
    add(Block, "dev/sda", 0o666, b"", "");
    add(Fifo, "run/fifo", 0o666, b"", "");
    let tar = builder.into_inner().unwrap();
    for packed in [tar.clone(), gzip(&tar)] {
        let into = dir.path().join(packed.len().to_string());
        std::fs::create_dir(&into).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&packed).unwrap();
        file.rewind().unwrap();
        let job = Job { sandbox: into.clone(), user: None, action: Action::Root, limits: Limits::default() };
        perform(&job, file).unwrap();
        let mode = |path: &str| std::fs::metadata(into.join(path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("tmp"), mode("bin/su"), mode("etc/secret")), (0o1777, 0o755, 0o600));
        assert_eq!(std::fs::read_link(into.join("bin/sh")).unwrap().to_str(), Some("/bin/dash"));
        assert_eq!(std::fs::read_link(into.join("up")).unwrap().to_str(), Some("../../.."));
        assert!(!into.join("dev/sda").exists() && !into.join("run/fifo").exists());
    }
    // Nothing is written through a link, wherever it leads.
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(Symlink);
    header.set_size(0);
    header.set_mode(0o777);
    builder.append_link(&mut header, "out", dir.path()).unwrap();
    header.set_entry_type(Regular);
    header.set_size(1);
    header.set_mode(0o644);
    builder.append_data(&mut header, "out/x", &b"x"[..]).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&builder.into_inner().unwrap()).unwrap();
    file.rewind().unwrap();
    let into = dir.path().join("into");
    std::fs::create_dir(&into).unwrap();
    let job = Job { sandbox: into, user: None, action: Action::Root, limits: Limits::default() };
    let error = perform(&job, file).unwrap_err().to_string();
    assert!(error.contains("nothing is written through links"), "{error}");
    assert!(!dir.path().join("x").exists());
}
