//! The text of an inventory: decoded with limits, its lines at hand, what is secret taken out of them.

use crate::mistake::{Mistake, Place};

/// The most that an inventory may hold, in bytes: thousands of hosts, each described at length.
pub const MAX_BYTES: usize = 1 << 20;

/// How many characters before and behind a mistake go with it.
const MOST_AROUND: usize = 200;

/// What is shown in place of a secret.
const MASK: &str = "***";

/// Words in the name of a key that has a secret behind it.
const SECRET_WORDS: [&str; 8] =
    ["password", "passwd", "passphrase", "secret", "token", "private_key", "api_key", "credential"];

/// The lines of an inventory and the file they are from, to say where something stands in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    name: String,
    lines: Vec<String>,
}

impl Source {
    /// Takes the lines without what is secret in them.
    pub fn new(name: &str, text: &str) -> Source {
        Source { name: name.to_owned(), lines: masked(text) }
    }

    /// The file's name, as the caller gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A mistake at a place, with the text of its line.
    pub fn mistake(&self, place: Place, message: impl Into<String>, write: Option<String>) -> Mistake {
        let line = place.line.checked_sub(1).and_then(|at| self.lines.get(at)).map_or("", String::as_str);
        // A whole inventory can be one line, and have many mistakes.
        let cut = place.column.saturating_sub(MOST_AROUND);
        let line_text = line.chars().skip(cut).take(2 * MOST_AROUND).collect();
        Mistake {
            file: self.name.clone(),
            place,
            line_text,
            caret: place.column - cut,
            message: message.into(),
            write,
        }
    }
}

/// A text and its beginning, or why it is none and where.
pub(crate) fn decode(bytes: &[u8]) -> Result<String, (Place, String, &'static str)> {
    if bytes.len() > MAX_BYTES {
        let much = format!("the inventory has {} bytes, and at most {MAX_BYTES} are read", bytes.len());
        return Err((Place::START, much, "ranges like `a[01:20]` describe many hosts in one entry"));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let message = "the inventory is written in UTF-16".to_owned();
        return Err((Place::START, message, "save it as UTF-8"));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let whole = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let place = end_of(&String::from_utf8_lossy(whole));
            return Err((place, "this is no text in UTF-8".to_owned(), "save it as UTF-8"));
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(before) = text.find('\0').and_then(|at| text.get(..at)) {
        let message = "a character with the code 0 stands here".to_owned();
        return Err((end_of(before), message, "an inventory is plain text; UTF-16 looks like this too"));
    }
    // One kind of line's end, so that every part counts lines alike.
    Ok(text.replace("\r\n", "\n").replace('\r', "\n"))
}

/// The place behind a text.
fn end_of(text: &str) -> Place {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let last = text.rsplit('\n').next().unwrap_or_default();
    Place { line: text.matches('\n').count() + 1, column: last.chars().count() + 1 }
}

/// Whether a key of this name has a secret behind it, and not a file with one.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace('-', "_");
    if matches!(key.as_str(), "pass" | "pwd") || key.ends_with("_pass") || key.ends_with("_pwd") {
        return true;
    }
    SECRET_WORDS.iter().any(|word| key.contains(word)) && !key.ends_with("_file")
}

/// The lines of a text, with a mask in place of what stands behind a key with a secret, and of private keys. It looks at
/// letters alone: what cannot be read as YAML is shown too.
fn masked(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    // Lines that lie deeper than a key with a secret belong to it.
    let (mut below, mut in_key): (Option<usize>, bool) = (None, false);
    for line in text.split('\n') {
        let depth = line.chars().take_while(|character| matches!(character, ' ' | '\t' | '-')).count();
        let is_empty = line.trim().is_empty();
        if below.is_some_and(|key| depth <= key && !is_empty) {
            below = None;
        }
        let begins_key = line.contains("PRIVATE KEY-----") && line.contains("-----BEGIN");
        if begins_key || in_key || (below.is_some() && !is_empty) {
            let space = line.len() - line.trim_start().len();
            lines.push(line.get(..space).unwrap_or_default().to_owned() + MASK);
            in_key = (in_key || begins_key) && !line.contains("-----END");
            continue;
        }
        match secret_value(line) {
            Some(at) => {
                below = Some(depth);
                lines.push(line.get(..at).unwrap_or_default().to_owned() + MASK);
            }
            None => lines.push(without_user(line)),
        }
    }
    lines
}

/// A text with stars in place of the user and password of an URL; columns stay what they are.
pub(crate) fn without_user(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let host = behind.split(['/', ' ', '"', '\'', ',', '}']).next().unwrap_or_default();
        let user = host.rsplit_once('@').map_or("", |(user, _)| user);
        shown.extend(user.chars().map(|_| '*'));
        rest = behind.get(user.len()..).unwrap_or_default();
    }
    shown + rest
}

/// Where in a line the value of the first key with a secret begins.
fn secret_value(line: &str) -> Option<usize> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    for (colon, sign) in line.char_indices().filter(|(_, sign)| matches!(sign, ':' | '=')) {
        let before = line.get(..colon)?.trim_end().trim_end_matches(['"', '\'']);
        let begin = before.rfind(|character| !is_part(character)).map_or(0, |at| at + 1);
        // What cannot be a key's first byte is one of more than one byte.
        let key = before.get(begin..).or_else(|| before.get(begin + 1..)).unwrap_or_default();
        if is_secret(key) {
            let behind = line.get(colon + sign.len_utf8()..)?;
            let value = behind.trim_start();
            return (!value.is_empty()).then_some(line.len() - value.len()).or(Some(line.len()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_not_in_a_line() {
        for (text, shown) in [
            ("ssh: {password: canary, user: x}", "ssh: {password: ***"),
            ("  sudo_pass: canary\n  become-password: canary", "  sudo_pass: ***\n  become-password: ***"),
            ("password_file: ~/pass # not a secret", "password_file: ~/pass # not a secret"),
            ("\"API_KEY\" : 'canary", "\"API_KEY\" : ***"),
            ("token: |\n  canary\n\n  canary\nname: x", "token: ***\n  ***\n\n  ***\nname: x"),
            (
                "a: |\n  -----BEGIN OPENSSH PRIVATE KEY-----\n  canary\n  -----END OPENSSH PRIVATE KEY-----\nb: c",
                "a: |\n  ***\n  ***\n  ***\nb: c",
            ),
            ("é: ü=ö", "é: ü=ö"),
            (
                "url: \"https://me:canary@x.org/a@b\" # http://é@y",
                "url: \"https://*********@x.org/a@b\" # http://*@y",
            ),
            ("ansible_become_pass: canary", "ansible_become_pass: ***"),
        ] {
            assert_eq!(masked(text).join("\n"), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_text_is_told_with_its_place() {
        for (bytes, line, column) in
            [(&b"a: b\r\n\xff"[..], 2, 1), (b"a\0: b", 1, 2), (b"\xff\xfea\0", 1, 1), (b"a: \xe4\xb8", 1, 4)]
        {
            let (place, message, _) = decode(bytes).unwrap_err();
            assert_eq!(place, Place { line, column }, "{message}");
        }
        assert!(decode(&vec![b'#'; MAX_BYTES + 1]).is_err());
        assert_eq!(decode(b"\xef\xbb\xbfa: b\r\nc: d\re: f").unwrap(), "a: b\nc: d\ne: f");
    }
}
