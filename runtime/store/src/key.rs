//! Where a value lies: slash paths without surprises.

use std::borrow::Borrow;
use std::fmt;

use thiserror::Error;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;

/// A slash path such as `services/web/spec`: segments of printable ASCII without spaces, none of them empty, `.` or
/// `..`; no slash at either end. A segment that begins with `@` belongs to this crate. Names that others chose go
/// through [`Key::child`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Longer than [`MAX_KEY_BYTES`].
    #[error("the key has {length} bytes, {MAX_KEY_BYTES} at most are possible")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A segment that cannot be.
    #[error("the key {key:?} has the segment {segment:?}, which {fault}")]
    Segment {
        /// The whole text.
        key: String,
        /// The part between two slashes.
        segment: String,
        /// What is wrong with it.
        fault: &'static str,
    },
}

impl Key {
    /// Checks a whole path.
    ///
    /// # Errors
    /// When a segment is not as a key's must be, or the whole is too long.
    pub fn new(text: impl Into<String>) -> Result<Self, KeyError> {
        let text = text.into();
        match text.split('/').find_map(|segment| Some((segment, reserved(segment)?))) {
            Some((segment, fault)) => {
                Err(KeyError::Segment { segment: segment.to_owned(), key: text.clone(), fault })
            }
            None => Self::stored(text),
        }
    }

    /// Checks a path read from a store, which may hold segments of this crate's own.
    pub(crate) fn stored(text: impl Into<String>) -> Result<Self, KeyError> {
        let text = text.into();
        if text.len() > MAX_KEY_BYTES {
            return Err(KeyError::TooLong { length: text.len() });
        }
        match text.split('/').find_map(|segment| Some((segment, malformed(segment)?))) {
            Some((segment, fault)) => {
                Err(KeyError::Segment { segment: segment.to_owned(), key: text.clone(), fault })
            }
            None => Ok(Self(text)),
        }
    }

    /// The key one segment below, for any name whatever: bytes that cannot stand in a key are written `%2F`.
    /// Different names give different keys.
    ///
    /// # Errors
    /// When the name is empty or the whole becomes too long.
    pub fn child(&self, name: &str) -> Result<Self, KeyError> {
        let whole_dots = name == "." || name == "..";
        let mut segment = String::with_capacity(name.len());
        for (at, byte) in name.bytes().enumerate() {
            let plain = byte.is_ascii_graphic() && byte != b'/' && byte != b'%' && !(at == 0 && byte == b'@');
            if plain && !whole_dots {
                segment.push(char::from(byte));
            } else {
                segment.push_str(&format!("%{byte:02X}"));
            }
        }
        Self::stored(format!("{}/{segment}", self.0))
    }

    /// The name that [`Key::child`] was given for the last segment. `None` when it is not one that it writes.
    pub fn name(&self) -> Option<String> {
        let mut bytes = self.segments().next_back()?.bytes();
        let mut name = Vec::new();
        while let Some(byte) = bytes.next() {
            if byte == b'%' {
                let digits = [bytes.next()?, bytes.next()?];
                name.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            } else {
                name.push(byte);
            }
        }
        String::from_utf8(name).ok()
    }

    /// The key `below` this one.
    ///
    /// # Errors
    /// When the whole becomes too long.
    pub fn join(&self, below: &Key) -> Result<Self, KeyError> {
        Self::stored(format!("{}/{}", self.0, below.0))
    }

    /// What is left of this key below `above`.
    pub fn below(&self, above: &Key) -> Option<Key> {
        let rest = self.0.strip_prefix(&above.0)?.strip_prefix('/')?;
        Some(Self(rest.to_owned()))
    }

    /// A segment of this crate's own below this key; `word` goes without the `@`.
    pub(crate) fn own(&self, word: impl fmt::Display) -> Result<Self, KeyError> {
        Self::stored(format!("{}/@{word}", self.0))
    }

    /// The parts between the slashes, from the left.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The whole path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn malformed(segment: &str) -> Option<&'static str> {
    match segment {
        "" => Some("is empty"),
        "." | ".." => Some("is no name"),
        _ if !segment.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Some("has something other than printable ASCII")
        }
        _ => None,
    }
}

fn reserved(segment: &str) -> Option<&'static str> {
    segment.starts_with('@').then_some("begins with @, which the store keeps for itself")
}

/// Keys have the order of their texts.
impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A part of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(Part);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    All,
    /// With the slash at its end.
    Below(String),
    Only(Key),
}

impl Prefix {
    /// All keys.
    pub fn all() -> Self {
        Self(Part::All)
    }

    /// The keys below `key`, without `key` itself.
    pub fn below(key: &Key) -> Self {
        Self(Part::Below(format!("{key}/")))
    }

    /// This key alone.
    pub fn only(key: &Key) -> Self {
        Self(Part::Only(key.clone()))
    }

    /// Whether `key` is among them.
    pub fn covers(&self, key: &Key) -> bool {
        match &self.0 {
            Part::All => true,
            Part::Below(start) => key.0.starts_with(start.as_str()),
            Part::Only(only) => only == key,
        }
    }

    /// The least text that it can cover: all that it covers follows without a gap.
    pub(crate) fn start(&self) -> &str {
        match &self.0 {
            Part::All => "",
            Part::Below(start) => start,
            Part::Only(key) => key.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_and_everything_else_is_named() {
        for good in ["a", "services/web/spec", "a/b.c/%2Fd", "users/joe@example.org", "a/..."] {
            assert_eq!(Key::new(good).unwrap().as_str(), good);
        }
        for (bad, fault) in [
            ("", "is empty"),
            ("/a", "is empty"),
            ("a/", "is empty"),
            ("a//b", "is empty"),
            ("a/../b", "is no name"),
            ("./a", "is no name"),
            ("a b", "printable ASCII"),
            ("a/\u{e9}", "printable ASCII"),
            ("a\nb", "printable ASCII"),
            ("a/@b", "keeps for itself"),
        ] {
            let message = Key::new(bad).unwrap_err().to_string();
            assert!(message.contains(fault), "{bad:?}: {message}");
        }
        let long = "a".repeat(MAX_KEY_BYTES + 1);
        assert_eq!(Key::new(long), Err(KeyError::TooLong { length: MAX_KEY_BYTES + 1 }));
    }

    #[test]
    fn any_name_becomes_one_segment_and_comes_back() {
        let tasks = Key::new("tasks").unwrap();
        let names = ["web.1", "a/b", "@x", "x@y", ".", "..", "100%", "%2F", "\u{e9}t\u{e9}", " ", "\0"];
        for name in names {
            let key = tasks.child(name).unwrap();
            assert!(Key::new(key.as_str()).is_ok(), "{key}");
            assert_eq!(key.segments().count(), 2);
            assert_eq!(key.name().as_deref(), Some(name));
        }
        assert!(tasks.child("").is_err());
    }

    #[test]
    fn below_stops_at_the_slash() {
        let key = Key::new("a/b").unwrap();
        let below = Prefix::below(&key);
        for (text, covered) in [("a/b", false), ("a/b/c", true), ("a/bc", false), ("a/b/c/d", true)] {
            assert_eq!(below.covers(&Key::new(text).unwrap()), covered, "{text}");
        }
        assert!(Prefix::only(&key).covers(&key));
    }
}
