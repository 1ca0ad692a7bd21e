//! Pieces of a file as text.

use std::io;
use std::os::unix::fs::FileExt;

use serde::Serialize;

use super::Refusal;
use super::attached::Attached;
use super::open;

/// What one answer holds at most: 16 pages, as Mesos has it.
const MAX_PIECE: u64 = 64 << 10;

/// A piece of a file.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Piece {
    data: String,
    /// Where the piece begins, in bytes; the file's size when none was asked for.
    offset: u64,
}

/// A number of the query: `None` when it is absent or -1.
pub(super) fn number(name: &str, text: Option<&str>) -> Result<Option<u64>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(number) => u64::try_from(number)
            .map(Some)
            .map_err(|_negative| Refusal::Bad(format!("Negative {name} provided: {number}."))),
        Err(e) => Err(Refusal::Bad(format!("Failed to parse {name}: {e}."))),
    }
}

/// Reads from an offset; without one, only says the size.
pub(super) fn piece(
    attached: &Attached,
    path: &str,
    offset: Option<u64>,
    length: Option<u64>,
) -> Result<Piece, Refusal> {
    let (file, size) = open::file(&attached.find(path)?)?;
    let Some(offset) = offset.filter(|offset| *offset < size) else {
        return Ok(Piece { data: String::new(), offset: size });
    };
    let length = length.unwrap_or(MAX_PIECE).min(MAX_PIECE).min(size - offset);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    bytes.truncate(filled);
    Ok(Piece { data: text(&bytes), offset })
}

/// Text of as many bytes as it stands for, so that whoever adds its length to the offset reads on rightly:
/// each byte that is no UTF-8 becomes one `?`, and a character that the end cuts is left for the next piece,
/// unless nothing else is there.
fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let e = match std::str::from_utf8(rest) {
            Ok(good) => {
                text.push_str(good);
                break;
            }
            Err(e) => e,
        };
        let (good, bad) = rest.split_at(e.valid_up_to());
        text.push_str(&String::from_utf8_lossy(good));
        let wrong = match e.error_len() {
            Some(wrong) => wrong,
            None if text.is_empty() => bad.len(),
            None => break,
        };
        text.extend(std::iter::repeat_n('?', wrong));
        rest = bad.get(wrong..).unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_absent_or_from_zero_on() {
        for (asked, expected) in [
            (None, Ok(None)),
            (Some("-1"), Ok(None)),
            (Some("0"), Ok(Some(0))),
            (Some("9223372036854775807"), Ok(Some(i64::MAX as u64))),
            (Some("-2"), Err("Negative offset provided: -2.\n")),
            (Some("x"), Err("Failed to parse offset: invalid digit found in string.\n")),
            (Some(""), Err("Failed to parse offset: cannot parse integer from empty string.\n")),
        ] {
            assert_eq!(number("offset", asked).map_err(|e| e.to_string()), expected.map_err(str::to_owned));
        }
    }

    #[test]
    fn text_has_as_many_bytes_as_it_stands_for() {
        for (bytes, expected) in [
            (&b"plain"[..], "plain"),
            ("zwölf €".as_bytes(), "zwölf €"),
            (b"a\xffb\xc3(", "a?b?("),
            (b"a\xe2\x82", "a"),
            (b"\xe2\x82", "??"),
            (b"\x82\xacx", "??x"),
            (b"", ""),
        ] {
            assert_eq!(text(bytes), expected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn pieces_put_together_are_the_file(file in "\\PC{0,60}", length in 1_usize..9) {
            let bytes = file.as_bytes();
            let (mut at, mut whole) = (0, String::new());
            while at < bytes.len() {
                let piece = text(&bytes[at..bytes.len().min(at + length)]);
                prop_assert!(!piece.is_empty());
                at += piece.len();
                whole.push_str(&piece);
            }
            prop_assert_eq!(at, bytes.len());
            if length >= 4 {
                prop_assert_eq!(whole, file);
            }
        }
    }
}
