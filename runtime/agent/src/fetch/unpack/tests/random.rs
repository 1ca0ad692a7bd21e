//! Random names and random damage: nothing appears outside, and nothing panics.

use proptest::prelude::*;
use tar::EntryType;

use super::super::*;
use super::place::{Place, entry, file, gzip, hard, link, tar, wrapped, zipped};
use crate::fetch::job::{Archive, Limits};

fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just(String::new()),
        Just("canary".to_owned()),
        Just("nest".to_owned()),
        "[ab]",
        "[ab]",
    ]
}

fn path_like() -> impl Strategy<Value = String> {
    proptest::collection::vec(part(), 1..5).prop_map(|parts| parts.join("/"))
}

fn any_entry() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![
        3 => Just(EntryType::Regular),
        2 => Just(EntryType::Directory),
        4 => Just(EntryType::Symlink),
        3 => Just(EntryType::Link),
    ];
    (kind, path_like(), path_like(), 0_u32..0o10000).prop_map(|(kind, name, target, mode)| {
        let data: &[u8] = if kind == EntryType::Regular { b"dead" } else { b"" };
        entry(kind, &name, &target, mode, data)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// Entries one archive each, so that one that is refused does not hide the next.
    #[test]
    fn whatever_the_names_nothing_appears_outside(entries in proptest::collection::vec(any_entry(), 1..12)) {
        let place = Place::new();
        for entry in entries {
            let _ = place.extract(Archive::Tar, &tar(&[entry]));
        }
    }
}

/// What is done to an archive: bytes changed, a piece repeated or lost, the end cut off.
#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    Lose(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
    Cut(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        8 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        1 => (at(), 1_usize..600).prop_map(|(at, length)| Damage::Lose(at, length)),
        1 => (at(), 1_usize..600).prop_map(|(at, length)| Damage::Repeat(at, length)),
        1 => at().prop_map(Damage::Cut),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        let piece = |at: usize, length: usize, bytes: &[u8]| at..(at + length).min(bytes.len());
        match damage {
            Damage::Set(at, byte) => *at.get_mut(&mut bytes) = *byte,
            Damage::Lose(at, length) => drop(bytes.drain(piece(at.index(bytes.len()), *length, &bytes))),
            Damage::Repeat(at, length) => {
                let piece = piece(at.index(bytes.len()), *length, &bytes);
                let (end, again) = (piece.end, bytes[piece].to_vec());
                bytes.splice(end..end, again);
            }
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
    bytes
}

/// Mends the sums of headers, so that damage gets past them.
fn mended(mut bytes: Vec<u8>) -> Vec<u8> {
    for block in bytes.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            let mut header = tar::Header::from_byte_slice(block).clone();
            header.set_cksum();
            block.copy_from_slice(header.as_bytes());
        }
    }
    bytes
}

fn long_name() -> String {
    format!("{}x", "long/".repeat(40))
}

fn good_tar() -> Vec<u8> {
    tar(&[
        entry(EntryType::Directory, "d/", "", 0o755, b""),
        file("d/text", &"some text ".repeat(60)),
        link("d/link", "text"),
        hard("hard", "d/text"),
        entry(EntryType::GNULongName, "././@LongLink", "", 0, long_name().as_bytes()),
        file("cut", "x"),
        entry(EntryType::XHeader, "pax", "", 0o644, b"17 path=pax/name\n"),
        file("short", "y"),
        link("up", "d"),
    ])
}

fn good_zip() -> Vec<u8> {
    zipped(&[
        ("d/", 0o040_755, b""),
        ("d/text", 0o100_644, "some text ".repeat(60).as_bytes()),
        ("d/link", 0o120_777, b"text"),
        ("run", 0o100_755, b"#!"),
    ])
}

#[test]
fn what_is_to_be_damaged_is_good_before() {
    let place = Place::new();
    for (kind, bytes) in wrapped(&mended(good_tar())).into_iter().chain([(Archive::Zip, good_zip())]) {
        place.extract(kind, &bytes).unwrap();
    }
    let listing = place.listing();
    assert_eq!((&*listing[&long_name()], &*listing["pax/name"]), ("644 \"x\"", "644 \"y\""));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn damage_never_panics_and_never_reaches_outside(
        which in 0_usize..7,
        damages in proptest::collection::vec(damage(), 0..12),
    ) {
        let mut place = Place::new();
        place.limits = Limits { bytes: 4 << 20, entries: 500, ratio_from: 1 << 20, ..Limits::default() };
        let action = |kind| Action::Extract { kind };
        let (action, bytes) = match which {
            // Damage below the wrapping, with sums that hold.
            0 => (action(Archive::Tar), mended(damaged(good_tar(), &damages))),
            1 => (action(Archive::TarGzip), gzip(&mended(damaged(good_tar(), &damages)))),
            2 => (action(Archive::Zip), damaged(good_zip(), &damages)),
            3 => (Action::Gunzip { to: "x".into() }, damaged(gzip(&good_tar()), &damages)),
            n => {
                let (kind, bytes) = wrapped(&good_tar())[n - 3].clone();
                (action(kind), damaged(bytes, &damages))
            }
        };
        let _ = place.perform(action, &bytes);
    }
}
