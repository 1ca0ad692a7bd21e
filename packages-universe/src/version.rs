//! The order of versions that people write: `1.10` is later than `1.9`, `2.0-beta` earlier than `2.0`, `1.0-1` later than `1.0`.

use std::cmp::Ordering;

/// A run of digits, or of letters.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    /// Without leading zeros.
    Number(&'a str),
    /// What comes is of the package, not of what is packed: `1.0-1`.
    Revision,
    /// Of a version before the one it is named for, by how far before.
    Before(u8),
    /// Any other word.
    Word(String),
}

/// How far a word says that a version comes before the one it is named for.
fn before(word: &str, digit_follows: bool) -> Option<u8> {
    match word {
        "dev" | "snapshot" | "nightly" => Some(0),
        "alpha" => Some(1),
        "beta" => Some(2),
        "milestone" => Some(3),
        "pre" | "preview" | "ea" => Some(4),
        "rc" | "cr" => Some(5),
        // A single letter alone is a later release in some projects: `1.0.2a`.
        "a" if digit_follows => Some(1),
        "b" if digit_follows => Some(2),
        "m" if digit_follows => Some(3),
        _ => None,
    }
}

/// A version's parts; what stands between them says nothing.
fn parts(version: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = match version.strip_prefix(['v', 'V']) {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => rest,
        _ => version,
    };
    while let Some(first) = rest.chars().next() {
        let same: fn(char) -> bool = if first.is_ascii_digit() {
            |c| c.is_ascii_digit()
        } else if first.is_alphabetic() {
            |c| c.is_alphabetic()
        } else {
            rest = &rest[first.len_utf8()..];
            if matches!(first, '-' | '+' | '_') && rest.starts_with(|c: char| c.is_ascii_digit()) {
                parts.push(Part::Revision);
            }
            continue;
        };
        let end = rest.find(|c| !same(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        parts.push(if first.is_ascii_digit() {
            Part::Number(run.trim_start_matches('0'))
        } else {
            let word = run.to_lowercase();
            match before(&word, after.starts_with(|c: char| c.is_ascii_digit())) {
                Some(far) => Part::Before(far),
                None => Part::Word(word),
            }
        });
        rest = after;
    }
    parts
}

/// Where a part stands among others at the same place; `None` is the end of a version.
fn rank(part: Option<&Part<'_>>) -> u8 {
    match part {
        Some(Part::Before(_)) => 0,
        None => 1,
        Some(Part::Revision) => 2,
        Some(Part::Word(_)) => 3,
        Some(Part::Number(_)) => 4,
    }
}

/// Compares two versions. The order is total: only the same text is equal.
pub fn compare(one: &str, other: &str) -> Ordering {
    let (left, right) = (parts(one), parts(other));
    for at in 0..left.len().max(right.len()) {
        let (a, b) = (left.get(at), right.get(at));
        let order = rank(a).cmp(&rank(b)).then_with(|| match (a, b) {
            (Some(Part::Number(a)), Some(Part::Number(b))) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            (Some(Part::Before(a)), Some(Part::Before(b))) => a.cmp(b),
            (Some(Part::Word(a)), Some(Part::Word(b))) => a.cmp(b),
            _ => Ordering::Equal,
        });
        if order.is_ne() {
            return order;
        }
    }
    one.cmp(other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_have_the_order_that_people_mean() {
        let rising = [
            vec!["1.9", "1.10", "1.100"],
            vec![
                "2.0.0-dev",
                "2.0.0-alpha",
                "2.0.0-beta",
                "2.0.0-beta2",
                "2.0.0-beta10",
                "2.0.0-rc1",
                "2.0.0",
                "2.0.0-1",
                "2.0.1",
            ],
            vec!["1.0", "1.0-1", "1.0-2", "1.0-10", "1.0.1"],
            vec!["1.0.0rc1", "1.0.0", "1.0.0a", "1.0.0b"],
            vec!["1.0b1", "1.0"],
            vec!["v1.2", "1.3", "v1.4"],
            vec!["0.2.0-1", "0.10.0-1.5.1"],
            vec!["2.2.0-1.9.0-beta", "2.2.0-1.9.0", "2.2.0-1.10.0"],
            vec![
                "1.99999999999999999999999998",
                "1.99999999999999999999999999",
                "1.100000000000000000000000000",
            ],
            vec!["", "0", "1"],
        ];
        for versions in rising {
            for pair in versions.windows(2) {
                assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_order_is_total(versions in proptest::collection::vec("(v?[0-9]{1,3}([.+-]([0-9]{1,3}|beta|rc|alpha|final|a|b|m)){0,4})|\\PC{0,6}", 3)) {
            let [a, b, c] = [&versions[0], &versions[1], &versions[2]];
            prop_assert_eq!(compare(a, b), compare(b, a).reverse());
            prop_assert_eq!(compare(a, b).is_eq(), a == b);
            if compare(a, b).is_le() && compare(b, c).is_le() {
                prop_assert!(compare(a, c).is_le());
            }
        }
    }
}
