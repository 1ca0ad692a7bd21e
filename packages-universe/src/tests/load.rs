//! Directories, archives and indexes: good, broken and hostile.

use std::fs;
use std::io::{Cursor, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::json;

use super::GOOD;
use crate::load::{LoadError, archive, directory, index};

/// A tar with these entries, whatever their names.
fn tar(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        if *kind == tar::EntryType::Symlink {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

const FILE: tar::EntryType = tar::EntryType::Regular;

#[test]
fn archives_hold_what_directories_hold() {
    let names: Vec<String> =
        GOOD.iter().map(|(name, _)| format!("top-1/catalog/shop/1.0.0/{name}")).collect();
    let files: Vec<(&str, &[u8])> =
        names.iter().map(String::as_str).zip(GOOD.iter().map(|(_, text)| text.as_bytes())).collect();
    let entries: Vec<(&str, tar::EntryType, &[u8])> = files
        .iter()
        .map(|(name, text)| (*name, FILE, *text))
        .chain([("top-1/README", FILE, &b"x"[..])])
        .collect();
    for bytes in [tar(&entries), gzip(&tar(&entries)), zip(&files)] {
        let loaded = archive(&bytes).unwrap();
        assert_eq!(loaded.faults, []);
        assert_eq!(loaded.packages.len(), 1);
        assert_eq!(loaded.packages[0].artifacts.len(), 1);
    }
    assert!(matches!(archive(b""), Err(LoadError::Archive(_))));
    assert!(matches!(archive(b"PK\x03\x04 nothing"), Err(LoadError::Archive(_))));
    assert!(matches!(archive(&[0x1f, 0x8b, 1, 2]), Err(LoadError::Archive(_))));
    assert!(matches!(archive(&zip(&[("README", b"x")])), Err(LoadError::Archive(_))));
}

#[test]
fn hostile_archives_are_refused() {
    for name in
        ["../package.json", "/package.json", "a/../../package.json", "a\\package.json", "../other", "/etc/x"]
    {
        assert!(matches!(archive(&tar(&[(name, FILE, b"{}")])), Err(LoadError::Refused(_))), "{name}");
        assert!(matches!(archive(&gzip(&tar(&[(name, FILE, b"{}")]))), Err(LoadError::Refused(_))), "{name}");
        assert!(matches!(archive(&zip(&[(name, b"{}")])), Err(LoadError::Refused(_))), "{name}");
    }
    for kind in [tar::EntryType::Symlink, tar::EntryType::Fifo, tar::EntryType::Char] {
        assert!(
            matches!(archive(&tar(&[("a/package.json", kind, b"")])), Err(LoadError::Refused(_))),
            "{kind:?}"
        );
    }
    let twice = tar(&[("a/package.json", FILE, b"{}"), ("./a/package.json", FILE, b"[]")]);
    assert!(matches!(archive(&twice), Err(LoadError::Refused(_))));
    let mut link = zip::ZipWriter::new(Cursor::new(Vec::new()));
    link.add_symlink("a/package.json", "/etc/passwd", zip::write::SimpleFileOptions::default()).unwrap();
    assert!(matches!(archive(&link.finish().unwrap().into_inner()), Err(LoadError::Refused(_))));
}

#[test]
fn bombs_are_refused() {
    let zeros = vec![0; 5 << 20];
    for bytes in [zip(&[("a/package.json", &zeros)]), gzip(&tar(&[("a/package.json", FILE, &zeros)]))] {
        assert!(bytes.len() < 1 << 20);
        assert!(matches!(archive(&bytes), Err(LoadError::TooLarge(_))));
    }
    // Not one of the package's files, and 16 GiB by its header, a little of which is there.
    let mut header = tar::Header::new_ustar();
    header.set_path("big").unwrap();
    header.set_size(16 << 30);
    header.set_entry_type(FILE);
    header.set_cksum();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(header.as_bytes()).unwrap();
    for _ in 0..257 {
        gzip.write_all(&vec![0; 1 << 20]).unwrap();
    }
    assert!(matches!(archive(&gzip.finish().unwrap()), Err(LoadError::TooLarge(_))));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(head in prop_oneof![Just(&b"PK\x03\x04"[..]), Just(&[0x1f, 0x8b, 8][..]), Just(&b"{\"packages\":["[..])], bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let all = [head, &bytes].concat();
        let _ = archive(&all);
        let _ = index(&all);
    }
}

#[test]
fn a_bad_package_does_not_hide_the_others() {
    let good = json!({"packagingVersion": "4.0", "name": "good", "version": "1.0", "maintainer": "m", "description": "d", "tags": [], "releaseVersion": 4});
    let with = |key: &str, value: serde_json::Value| {
        let mut package = good.clone();
        package[key] = value;
        package
    };
    let packages = json!([
        good,
        with("packagingVersion", json!("6.0")),
        with("packagingVersion", json!(4)),
        with("name", json!("Bad Name")),
        with("version", json!("with blanks")),
        with("version", json!("")),
        with("releaseVersion", json!(-1)),
        with("marathon", json!({"v2AppMustacheTemplate": "%%%"})),
        with("config", json!({"$ref": "http://example.org/"})),
        "no object",
        null,
    ]);
    let loaded = index(json!({"packages": packages}).to_string().as_bytes()).unwrap();
    assert_eq!(loaded.packages.len(), 1);
    let told: String = loaded.errors().map(|fault| format!("{fault}\n")).collect();
    insta::assert_snapshot!(told);
    for bytes in [&b"["[..], b"[]", b"{}", b"{\"packages\": 3}", b"\xff"] {
        assert!(matches!(index(bytes), Err(LoadError::Index(_))));
    }
}

#[test]
fn releases_follow_versions_where_nothing_says_them() {
    let directory_ = tempfile::tempdir().unwrap();
    for version in ["1.9.0", "1.10.0", "1.10.0-beta"] {
        let place = directory_.path().join("shop").join(version);
        fs::create_dir_all(&place).unwrap();
        for (name, text) in GOOD {
            fs::write(place.join(name), text.replace("1.0.0", version)).unwrap();
        }
    }
    let copy = directory_.path().join("shop/copy");
    fs::create_dir_all(&copy).unwrap();
    for (name, text) in GOOD {
        fs::write(copy.join(name), text.replace("1.0.0", "1.9.0")).unwrap();
    }
    let loaded = directory(directory_.path()).unwrap();
    let mut releases: Vec<(u64, &str)> =
        loaded.packages.iter().map(|one| (one.release, one.version.as_str())).collect();
    releases.sort_unstable();
    assert_eq!(releases, [(0, "1.9.0"), (1, "1.10.0-beta"), (2, "1.10.0")]);
    assert_eq!(loaded.errors().count(), 1);
    assert!(loaded.packages.iter().all(|one| one.definition["releaseVersion"] == one.release));
}

#[test]
fn links_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    let inside = tempfile::tempdir().unwrap();
    let place = inside.path().join("shop");
    fs::create_dir(&place).unwrap();
    for (name, text) in GOOD {
        fs::write(outside.path().join(name), text).unwrap();
        std::os::unix::fs::symlink(outside.path().join(name), place.join(name)).unwrap();
    }
    std::os::unix::fs::symlink(outside.path(), inside.path().join("other")).unwrap();
    let loaded = directory(inside.path()).unwrap();
    assert!(loaded.packages.is_empty());
    assert_eq!(loaded.errors().count(), 4);
}
