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

/// Which of the following lines belong to a secret.
#[derive(Clone, Copy)]
enum Belongs {
    /// Those that lie deeper than the key.
    Deeper(usize),
    /// All up to the one that ends these quotes, and within braces up to the one that ends those.
    Quoted(char, bool),
    /// All up to the one that ends the braces.
    Braced,
    /// All up to the end of a key in PEM.
    UpToEnd,
    /// The next one.
    Next,
}

/// The lines of a text, with a mask in place of what stands behind a key with a secret, and of private keys. It looks at
/// letters alone, and rather hides too much: what cannot be read as YAML is shown too.
fn masked(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut belongs = None;
    for line in text.split('\n') {
        let space = line.len() - line.trim_start().len();
        let hidden = || line.get(..space).unwrap_or_default().to_owned() + MASK;
        let depth = line.chars().take_while(|character| matches!(character, ' ' | '\t' | '-')).count();
        if line.trim().is_empty() {
            lines.push(String::new());
            continue;
        }
        let is_hidden = match belongs {
            Some(Belongs::Deeper(key)) => depth > key,
            Some(_) => true,
            None => false,
        };
        if is_hidden || line.contains("-----BEGIN") {
            lines.push(hidden());
            belongs = match belongs {
                Some(Belongs::Quoted(quote, is_braced)) if line.contains(quote) => {
                    (is_braced && !line.contains('}')).then_some(Belongs::Braced)
                }
                Some(Belongs::Braced) if line.contains('}') => None,
                Some(Belongs::UpToEnd) if line.contains("-----END") => None,
                Some(Belongs::Next) => None,
                None if !line.contains("-----END") => Some(Belongs::UpToEnd),
                before => before,
            };
            continue;
        }
        belongs = None;
        if line.trim().strip_prefix("? ").is_some_and(is_secret) {
            belongs = Some(Belongs::Next);
        }
        match secret_value(line) {
            Some(at) => {
                let (shown, value) = line.split_at_checked(at).unwrap_or((line, ""));
                belongs = Some(what_follows(shown, value, depth));
                lines.push(shown.to_owned() + MASK);
            }
            None => lines.push(without_passwords(line)),
        }
    }
    lines
}

/// Where a value goes on that begins in a line.
fn what_follows(before: &str, value: &str, depth: usize) -> Belongs {
    let count = |text: &str, sign: char| text.matches(sign).count();
    // Within braces, indentation means nothing.
    let is_braced = count(before, '{') > count(before, '}') + count(value, '}');
    let quote = value.chars().next().filter(|sign| matches!(sign, '"' | '\''));
    match quote.filter(|quote| !count(value, *quote).is_multiple_of(2)) {
        Some(quote) => Belongs::Quoted(quote, is_braced),
        None if is_braced => Belongs::Braced,
        None => Belongs::Deeper(depth),
    }
}

/// A text with stars in place of user and password in an URL, and of the password in `user:password@host`; columns stay
/// what they are.
pub(crate) fn without_passwords(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '{' | '}' | '`');
    let mut shown = String::with_capacity(text.len());
    for word in text.split_inclusive(is_end) {
        let begin = word.find("://").map_or_else(|| word.find(':').map(|at| at + 1), |at| Some(at + 3));
        let secret = begin.and_then(|begin| Some((begin, word.rfind('@').filter(|end| *end > begin)?)));
        let Some((begin, end)) = secret else {
            shown.push_str(word);
            continue;
        };
        shown.push_str(word.get(..begin).unwrap_or_default());
        shown.extend(word.get(begin..end).unwrap_or_default().chars().map(|_| '*'));
        shown.push_str(word.get(end..).unwrap_or_default());
    }
    shown
}

/// Where in a line the value of the first key with a secret begins.
fn secret_value(line: &str) -> Option<usize> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    line.char_indices().filter(|(_, sign)| matches!(sign, ':' | '=')).find_map(|(colon, _)| {
        let before = line.get(..colon)?.trim_end().trim_end_matches(['"', '\'']);
        let key = before.rsplit(|character| !is_part(character)).next()?;
        let behind = line.get(colon + 1..)?;
        is_secret(key).then_some(line.len() - behind.trim_start().len())
    })
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
            ("password:\n  canary\nname: x", "password:***\n  ***\nname: x"),
            ("- password: x\n  name: y", "- password: ***\n  name: y"),
            ("{password: \"x\ncanary\", a: b}\nc: d", "{password: ***\n***\nc: d"),
            ("{password: x\ncanary, a: b}\nc: d", "{password: ***\n***\nc: d"),
            ("? password\n: canary\nc: d", "? password\n***\nc: d"),
            ("、password: canary", "、password: ***"),
            (
                "a: |\n  -----BEGIN OPENSSH PRIVATE KEY-----\n  canary\n  -----END OPENSSH PRIVATE KEY-----\nb: c",
                "a: |\n  ***\n  ***\n  ***\nb: c",
            ),
            ("é: ü=ö", "é: ü=ö"),
            (
                "url: \"https://me:canary@x.org/a\" # http://é@y",
                "url: \"https://*********@x.org/a\" # http://*@y",
            ),
            ("jump: [ops:canary@b, ops@c:22, 'o@[::1]:22']", "jump: [ops:******@b, ops@c:22, 'o@[::1]:22']"),
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
