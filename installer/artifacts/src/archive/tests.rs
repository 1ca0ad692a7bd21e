//! Hostile archives, and random ones.

use std::collections::BTreeMap;
use std::io::Cursor;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

/// One raw entry, with names that no honest program writes.
fn entry(kind: EntryType, name: &str, link: &str, mode: u32, data: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(data.len() as u64);
    let ustar = header.as_ustar_mut().unwrap();
    ustar.name[..name.len()].copy_from_slice(name.as_bytes());
    ustar.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, data: &str) -> Vec<u8> {
    entry(EntryType::Regular, name, "", 0o644, data.as_bytes())
}

fn link(name: &str, target: &str) -> Vec<u8> {
    entry(EntryType::Symlink, name, target, 0o777, b"")
}

fn hard(name: &str, target: &str) -> Vec<u8> {
    entry(EntryType::Link, name, target, 0o644, b"")
}

fn tar_of(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend_from_slice(&[0; 1024]);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zipped(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, mode, data) in entries {
        let options = zip::write::SimpleFileOptions::default();
        match mode & TYPE {
            TYPE_LINK => writer.add_symlink(*name, std::str::from_utf8(data).unwrap(), options).unwrap(),
            TYPE_DIRECTORY => writer.add_directory(*name, options.unix_permissions(*mode)).unwrap(),
            _ => {
                writer.start_file(*name, options.unix_permissions(*mode)).unwrap();
                writer.write_all(data).unwrap();
            }
        }
    }
    writer.finish().unwrap().into_inner()
}

fn limits() -> Limits {
    Limits { bytes: 1 << 20, entries: 50, ratio: 20, ratio_from: 64 << 10, path: 1000 }
}

/// What comes out of it below `base`: paths with what is there.
fn out(bytes: &[u8], base: &str, limits: &Limits) -> Result<BTreeMap<String, String>, String> {
    let mut archive = tempfile::tempfile().unwrap();
    archive.write_all(bytes).unwrap();
    archive.rewind().unwrap();
    let mut tree = Tree::new(limits.clone());
    let mut heap = Heap::new(Vec::new());
    unpack(archive, base, limits, &mut tree, &mut heap).map_err(|why| why.to_string())?;
    let bytes = heap.into_inner();
    let shown = |node: &Node| match node {
        Node::Directory => "directory".to_owned(),
        Node::Link(target) => format!("-> {target}"),
        Node::File(leaf) => {
            let Content::Heap(at) = leaf.content else { panic!("it is out of an archive") };
            let at = usize::try_from(at).unwrap();
            let (from, to) = (at, at + usize::try_from(leaf.length).unwrap());
            let mark = if leaf.executable { "*" } else { "" };
            format!("{}{mark}", String::from_utf8_lossy(&bytes[from..to]))
        }
    };
    Ok(tree.nodes().map(|(path, node)| (path.to_owned(), shown(node))).collect())
}

#[test]
fn every_kind_of_archive_is_read_alike() {
    let plain = tar_of(&[
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
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&plain).unwrap();
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    xz.write_all(&plain).unwrap();
    for bytes in [gzip(&plain), bzip2.finish().unwrap(), xz.finish().unwrap(), zip, plain.clone()] {
        let found = out(&bytes, "lib", &limits()).unwrap();
        let found: Vec<_> = found.iter().map(|(path, what)| format!("{path} {what}")).collect();
        assert_eq!(
            found,
            [
                "lib directory",
                "lib/d directory",
                "lib/d/link -> ../e/f/text",
                "lib/d/run #!*",
                "lib/e directory",
                "lib/e/f directory",
                "lib/e/f/text hello",
                "lib/second hello",
            ]
        );
    }
}

#[test]
fn hostile_entries_are_refused_by_name() {
    for (entries, why) in [
        (vec![file("/etc/x", "x")], "its name is absolute"),
        (vec![file("../canary", "x")], "its name has a \"..\""),
        (vec![file("a/../../canary", "x")], "its name has a \"..\""),
        (vec![link("l", "../canary")], "it is a link that leads out of the tree"),
        (vec![link("l", "/etc/passwd")], "it is a link to an absolute path"),
        (vec![link("d", "."), link("d/x", "../canary")], "it stands below a link"),
        (vec![link("d", "e"), file("d/x", "x")], "it stands below a link"),
        (vec![link("a", "."), link("l", "a/../canary")], "it is a link with a \"..\" behind a name"),
        (vec![hard("h", "../canary")], "it is a hard link, and of what it links to, its name has a \"..\""),
        (vec![hard("h", "none")], "it is a hard link to what is no file"),
        (vec![link("l", "x"), hard("h", "l")], "it is a hard link to what is no file"),
        (vec![entry(EntryType::Char, "null", "", 0o666, b"")], "it is a device or a FIFO"),
        (vec![entry(EntryType::Fifo, "fifo", "", 0o666, b"")], "it is a device or a FIFO"),
        (vec![entry(EntryType::new(b'Z'), "odd", "", 0o666, b"")], "it is of type 90"),
        (vec![file("a", "x"), file("a/b", "x")], "there is a file or a link where its directory must be"),
        (vec![file("a/b", "x"), file("a", "x")], "there is a directory of this name"),
        (vec![file(".", "x")], "it is no directory, yet has the name of the top"),
    ] {
        let refused = out(&tar_of(&entries), "", &limits()).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    for (entries, why) in [
        (vec![("/etc/x", 0o100_644, &b"x"[..])], "its name is absolute"),
        (vec![("../canary", 0o100_644, b"x")], "its name has a \"..\""),
        (vec![("l", 0o120_777, b"/etc/passwd")], "it is a link to an absolute path"),
        (vec![("l", 0o120_777, b"."), ("l/x", 0o100_644, b"x")], "it stands below a link"),
    ] {
        let refused = out(&zipped(&entries), "", &limits()).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn what_grows_too_much_is_stopped() {
    let names: Vec<_> = (0..51).map(|n| format!("f{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| file(name, "")).collect();
    let listed: Vec<_> = names.iter().map(|name| (name.as_str(), 0o100_644, &b""[..])).collect();
    let zeros = "\0".repeat(512 << 10);
    let mut random = 1_u64;
    let noise = std::iter::repeat_with(|| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        random.to_be_bytes()[0]
    });
    let noise: Vec<u8> = noise.take(2 << 20).collect();
    let sparse = {
        let mut header = entry(EntryType::Regular, "huge", "", 0o644, b"");
        let mut parsed = tar::Header::from_byte_slice(&header).clone();
        parsed.set_size(1 << 50);
        parsed.set_cksum();
        header[..512].copy_from_slice(parsed.as_bytes());
        header
    };
    let long = entry(EntryType::GNULongName, "././@LongLink", "", 0, &vec![b'x'; 3 << 20]);
    for (bytes, why) in [
        (tar_of(&many), "it is one more than 50 entries"),
        (zipped(&listed), "its 51 entries are more than the 50 allowed"),
        (gzip(&tar_of(&[file("zeros", &zeros)])), "the archive grows more than 20 times"),
        (zipped(&[("zeros", 0o100_644, zeros.as_bytes())]), "the archive grows more than 20 times"),
        (tar_of(&[sparse]), "its 1125899906842624 bytes are more than the 1048576 allowed"),
        (zipped(&[("large", 0o100_644, &noise)]), "more than 1048576 bytes come out of the archive"),
        (tar_of(&[long]), "a header is longer than 1048576 bytes"),
        (tar_of(&[file(&"x/".repeat(45), "")]), ""),
    ] {
        match out(&bytes, "", &limits()) {
            Err(refused) => assert!(!why.is_empty() && refused.contains(why), "{refused} instead of {why}"),
            Ok(_) => assert_eq!(why, ""),
        }
    }
}

#[test]
fn what_is_damaged_or_no_archive_is_an_error() {
    let whole = tar_of(&[file("a", &"text ".repeat(1000)), file("b", "x")]);
    let packed = gzip(&whole);
    let mut wrong = packed.clone();
    let at = wrong.len() - 6;
    wrong[at] ^= 1;
    for bytes in [
        whole[..700].to_vec(),
        b"no archive at all, yet long enough".repeat(40),
        packed[..packed.len() - 1].to_vec(),
        packed[..packed.len() / 2].to_vec(),
        wrong,
        gzip(b"one file"),
        b"PK\x03\x04 and nothing else".to_vec(),
        vec![],
    ] {
        assert!(out(&bytes, "", &limits()).is_err(), "{} bytes", bytes.len());
    }
}

/// Names of entries and links, most of them honest.
fn name() -> impl Strategy<Value = String> {
    let part = prop_oneof![8 => "[abc]", 1 => Just("..".to_owned()), 1 => Just(".".to_owned()), 1 => Just(String::new())];
    prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"))
}

/// The directories that a path leads through, links resolved as a kernel does; nothing when it leads out or nowhere.
fn walk(tree: &BTreeMap<String, String>, from: &[String], path: &str, left: u32) -> Option<Vec<String>> {
    let mut at = from.to_vec();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            at.pop()?;
            continue;
        }
        let here = [&at[..], &[part.to_owned()]].concat();
        match tree.get(&here.join("/")).and_then(|what| what.strip_prefix("-> ")) {
            Some(target) if left > 0 => at = walk(tree, &at, target, left - 1)?,
            _ => at = here,
        }
    }
    Some(at)
}

proptest! {
    #[test]
    fn no_archive_leads_out(
        entries in prop::collection::vec((name(), name(), 0..4_u8), 1..8),
        zip in any::<bool>(),
    ) {
        let bytes = if zip {
            let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
            for (name, target, kind) in &entries {
                let options = zip::write::SimpleFileOptions::default();
                // A writer that refuses what is twice there writes the rest.
                let _ = match kind {
                    0 => writer.add_symlink(name.as_str(), target, options),
                    1 => writer.add_directory(name.as_str(), options),
                    _ => writer.start_file(name.as_str(), options).and_then(|()| Ok(writer.write_all(b"x")?)),
                };
            }
            writer.finish().unwrap().into_inner()
        } else {
            tar_of(&entries.iter().map(|(name, target, kind)| match kind {
                0 => link(name, target),
                1 => entry(EntryType::Directory, name, "", 0o755, b""),
                2 => hard(name, target),
                _ => file(name, "x"),
            }).collect::<Vec<_>>())
        };
        if let Ok(tree) = out(&bytes, "top", &limits()) {
            for (path, what) in &tree {
                prop_assert!(path == "top" || path.starts_with("top/"), "{path}");
                prop_assert!(!path.split('/').any(|part| matches!(part, "" | "." | "..")), "{path}");
                let above = path.rsplit_once('/').map(|(above, _)| above.to_owned());
                prop_assert!(above.is_none_or(|above| tree[&above] == "directory"), "{path}");
                if let Some(target) = what.strip_prefix("-> ") {
                    let from: Vec<String> = path.split('/').map(str::to_owned).collect();
                    let (_, dirs) = from.split_last().unwrap();
                    prop_assert!(walk(&tree, dirs, target, 40).is_some(), "{path} {what} in {tree:?}");
                }
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_give_too_much(
        begin in prop::sample::select(vec![&b"PK\x03\x04"[..], b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b""]),
        rest in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let _ = out(&[begin, &rest].concat(), "", &limits());
    }
}
