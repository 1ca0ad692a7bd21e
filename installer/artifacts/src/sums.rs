//! Checksums: of files, and those that projects publish beside theirs. Pure but for reading the file.

use std::fmt::Write as _;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256, Sha512};

use crate::spec::Sum;

/// What is read and hashed at a time.
const BLOCK: usize = 256 << 10;

/// What a file came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) sha256: String,
    pub(crate) sha512: String,
    pub(crate) bytes: u64,
}

/// Both sums of what goes through it.
#[derive(Clone, Default)]
pub(crate) struct Sums {
    short: Sha256,
    long: Sha512,
    bytes: u64,
}

impl Sums {
    pub(crate) fn add(&mut self, piece: &[u8]) {
        self.short.update(piece);
        self.long.update(piece);
        self.bytes += piece.len() as u64;
    }

    pub(crate) fn end(self) -> Found {
        Found { sha256: hex(&self.short.finalize()), sha512: hex(&self.long.finalize()), bytes: self.bytes }
    }
}

/// Both sums of all that comes; `told` hears of each piece.
pub(crate) fn of(mut input: impl Read, mut told: impl FnMut(u64)) -> io::Result<Found> {
    let mut sums = Sums::default();
    let mut block = vec![0; BLOCK];
    loop {
        let n = match input.read(&mut block) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            n => n?,
        };
        if n == 0 {
            return Ok(sums.end());
        }
        sums.add(block.get(..n).unwrap_or_default());
        told(sums.bytes);
    }
}

/// The SHA-256 of all that comes.
pub(crate) fn sha256_of(mut input: impl Read) -> io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let mut block = vec![0; BLOCK];
    let mut bytes = 0;
    loop {
        let n = match input.read(&mut block) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            n => n?,
        };
        if n == 0 {
            return Ok((hex(&hasher.finalize()), bytes));
        }
        hasher.update(block.get(..n).unwrap_or_default());
        bytes += n as u64;
    }
}

/// The SHA-256 of a text, as a name.
pub(crate) fn of_text(text: &str) -> String {
    hex(&Sha256::digest(text))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether these are so many hexadecimal digits.
pub(crate) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The sum as which so many digits are read.
fn sum(digits: &str) -> Option<Sum> {
    let digits = digits.to_ascii_lowercase();
    if is_hex(&digits, 64) {
        Some(Sum::Sha256(digits))
    } else if is_hex(&digits, 128) {
        Some(Sum::Sha512(digits))
    } else {
        None
    }
}

/// What a published file of checksums says of the file `name`: SHA-256 or SHA-512, in one of the forms
///
/// ```text
/// 0123…                      alone
/// 0123…  name                as sha256sum writes it, also with `*` before the name
/// SHA512 (name) = 0123…      as BSD and openssl write it
/// name: 0123 4567 …          as gpg writes it, over several lines
/// ```
///
/// Where it holds one sum alone, its name does not matter.
pub(crate) fn published(text: &str, name: &str) -> Option<Sum> {
    let mut of_others = Vec::new();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    while let Some(line) = lines.next() {
        let read = if let Some((found, rest)) = line.split_once(':') {
            let mut digits: String = rest.split_whitespace().collect();
            while let Some(more) = lines.next_if(|more| {
                more.chars().all(|c| c.is_ascii_hexdigit() || c.is_whitespace()) && digits.len() < 128
            }) {
                digits.extend(more.split_whitespace());
            }
            sum(&digits).map(|sum| (Some(found), sum))
        } else if let Some((head, digits)) = line.split_once('=') {
            let found = head.split_once('(').and_then(|(_, rest)| rest.trim_end().strip_suffix(')'));
            sum(digits.trim()).map(|sum| (found, sum))
        } else {
            let (digits, found) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let found = found.trim_start().trim_start_matches('*');
            sum(digits).map(|sum| (Some(found).filter(|found| !found.is_empty()), sum))
        };
        let Some((found, sum)) = read else { continue };
        let is_it = found.is_some_and(|found| found.rsplit('/').next() == Some(name));
        if is_it {
            return Some(sum);
        }
        of_others.push(sum);
    }
    match of_others.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_sums_are_read_in_every_usual_form() {
        let short = "ab".repeat(32);
        let long = "0123456789abcdef".repeat(8);
        let grouped = |lines: usize| {
            let upper = long.to_uppercase();
            let groups: Vec<&str> =
                upper.as_bytes().chunks(8).map(|g| std::str::from_utf8(g).unwrap()).collect();
            groups.chunks(16 / lines).map(|l| l.join(" ")).collect::<Vec<_>>().join("\n      ")
        };
        let long_sum = Some(Sum::Sha512(long.clone()));
        for text in [
            long.clone(),
            format!("{long}\n"),
            format!("{long}  a.tgz\n"),
            format!("{long} *a.tgz\r\n"),
            format!("{short}  b.tgz\n{long}  ./dir/a.tgz\n{short}  c.tgz\n"),
            format!("a.tgz: {}\n", grouped(1)),
            format!("a.tgz: {}\n", grouped(4)),
            format!("a.tgz:\n      {}\n", grouped(4)),
            format!("SHA512 (a.tgz) = {long}\n"),
            format!("SHA512(a.tgz)= {long}\n"),
            format!("SHA256 (b.tgz) = {short}\nSHA512 (a.tgz) = {long}\n"),
            format!("{long}  apache-a.tgz"),
        ] {
            assert_eq!(published(&text, "a.tgz"), long_sum, "{text}");
        }
        assert_eq!(published(&format!("{short}  a.tgz"), "a.tgz"), Some(Sum::Sha256(short.clone())));
        for text in [
            String::new(),
            "<html>not found</html>".to_owned(),
            format!("{short}  b.tgz\n{long}  c.tgz\n"),
            format!("{}  a.tgz", "ab".repeat(20)),
            format!("{}  a.tgz", "xy".repeat(32)),
        ] {
            assert_eq!(published(&text, "a.tgz"), None, "{text}");
        }
    }

    #[test]
    fn both_sums_are_those_of_the_standard() {
        let found = of(&b"abc"[..], |_| {}).unwrap();
        assert_eq!(found.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(found.sha512.starts_with("ddaf35a193617abacc417349ae204131") && found.bytes == 3);
        assert_eq!(sha256_of(&b"abc"[..]).unwrap(), (found.sha256, 3));
    }
}
