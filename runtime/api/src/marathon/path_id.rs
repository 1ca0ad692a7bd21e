//! Path ids of apps and groups (§1, §4): absolute, like `/shop/web`, whatever was written.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// The longest id in characters. A task id holds the app's id and becomes a directory name, which file systems limit
/// to 255 bytes.
pub const MAX_ID_LENGTH: usize = 190;

/// Words that no id may end in, since URLs end in them (§1).
const RESERVED: [&str; 5] = ["restart", "tasks", "versions", ".", ".."];

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// Nothing but slashes, where an app was meant.
    #[error("must not be empty")]
    Empty,
    /// Longer than [`MAX_ID_LENGTH`].
    #[error("must have at most {MAX_ID_LENGTH} characters")]
    TooLong,
    /// An element breaks the rule of §4.
    #[error(
        "has the element '{element}', which may hold only lower-case letters, digits, hyphens and dots, and must begin and end with a letter or digit, also beside a dot"
    )]
    Element {
        /// The element as it was written, cut to a readable length.
        element: String,
    },
    /// The last element is a word that URLs end in.
    #[error("must not end in '{word}', which is reserved")]
    Reserved {
        /// The word.
        word: &'static str,
    },
    /// More `..` than there are elements.
    #[error("leads above the root")]
    AboveRoot,
}

/// The id of an app or a group, as dependencies name either (§4). Always absolute; `/` is the root. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(Arc<str>);

/// The id of an app: at least one element.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(PathId);

/// The id of a group; the root group is `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(PathId);

impl PathId {
    /// The root, `/`.
    pub fn root() -> PathId {
        PathId("/".into())
    }

    /// The id that `text` means when read within `base`. Slashes may repeat and may stand at the end.
    pub fn resolve(text: &str, base: &PathId) -> Result<PathId, IdError> {
        let mut elements: Vec<&str> =
            if text.starts_with('/') { Vec::new() } else { base.elements().collect() };
        for element in text.split('/') {
            match element {
                "" | "." => {}
                ".." => {
                    elements.pop().ok_or(IdError::AboveRoot)?;
                }
                element => {
                    check_element(element)?;
                    elements.push(element);
                }
            }
        }
        let id = format!("/{}", elements.join("/"));
        if id.len() > MAX_ID_LENGTH {
            return Err(IdError::TooLong);
        }
        Ok(PathId(id.into()))
    }

    /// The absolute id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The elements from the root down; none for the root.
    pub fn elements(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|element| !element.is_empty())
    }

    /// The last element; `None` for the root.
    pub fn name(&self) -> Option<&str> {
        self.elements().last()
    }

    /// The id one element shorter; `None` for the root.
    pub fn parent(&self) -> Option<PathId> {
        match self.0.rfind('/') {
            _ if &*self.0 == "/" => None,
            Some(0) | None => Some(PathId::root()),
            Some(end) => Some(PathId(self.0[..end].into())),
        }
    }

    /// Whether `other` is this id or lies below it.
    pub fn contains(&self, other: &PathId) -> bool {
        match other.0.strip_prefix(self.0.trim_end_matches('/')) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

/// Refuses ids whose last element, as written, is a reserved word.
fn check_last(text: &str) -> Result<(), IdError> {
    let last = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match RESERVED.iter().find(|word| **word == last) {
        Some(word) => Err(IdError::Reserved { word }),
        None => Ok(()),
    }
}

fn check_element(element: &str) -> Result<(), IdError> {
    let alphanumeric = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let good = element.split('.').all(|label| {
        let bytes = label.as_bytes();
        alphanumeric(bytes.first().copied())
            && alphanumeric(bytes.last().copied())
            && bytes.iter().all(|c| *c == b'-' || alphanumeric(Some(*c)))
    });
    if good { Ok(()) } else { Err(IdError::Element { element: element.chars().take(80).collect() }) }
}

impl AppId {
    /// The app that `text` means when read within the group `base`.
    pub fn resolve(text: &str, base: &GroupId) -> Result<AppId, IdError> {
        check_last(text)?;
        AppId::try_from(PathId::resolve(text, &base.0)?)
    }

    /// The absolute id as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The same as a general id.
    pub fn path(&self) -> &PathId {
        &self.0
    }

    /// The group that the app stands in.
    pub fn parent(&self) -> GroupId {
        GroupId(self.0.parent().unwrap_or_else(PathId::root))
    }
}

impl GroupId {
    /// The root group, `/`.
    pub fn root() -> GroupId {
        GroupId(PathId::root())
    }

    /// The group that `text` means when read within the group `base`; the empty text is `base`.
    pub fn resolve(text: &str, base: &GroupId) -> Result<GroupId, IdError> {
        check_last(text)?;
        Ok(GroupId(PathId::resolve(text, &base.0)?))
    }

    /// The absolute id as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The same as a general id.
    pub fn path(&self) -> &PathId {
        &self.0
    }

    /// The group that this one stands in; `None` for the root.
    pub fn parent(&self) -> Option<GroupId> {
        self.0.parent().map(GroupId)
    }

    /// What the ids of everything below this group begin with.
    pub fn prefix(&self) -> String {
        format!("{}/", self.as_str().trim_end_matches('/'))
    }

    /// Whether the app stands in this group or in one below it.
    pub fn contains(&self, app: &AppId) -> bool {
        self.0.contains(&app.0)
    }
}

impl TryFrom<PathId> for AppId {
    type Error = IdError;

    fn try_from(path: PathId) -> Result<AppId, IdError> {
        let name = path.name().ok_or(IdError::Empty)?;
        check_last(name)?;
        Ok(AppId(path))
    }
}

impl From<AppId> for PathId {
    fn from(id: AppId) -> PathId {
        id.0
    }
}

impl From<GroupId> for PathId {
    fn from(id: GroupId) -> PathId {
        id.0
    }
}

impl FromStr for PathId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<PathId, IdError> {
        PathId::resolve(text, &PathId::root())
    }
}

impl FromStr for AppId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<AppId, IdError> {
        AppId::resolve(text, &GroupId::root())
    }
}

impl FromStr for GroupId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<GroupId, IdError> {
        GroupId::resolve(text, &GroupId::root())
    }
}

/// Shows and writes an id as its absolute text, whose order is the id's: what stands below an id follows without a gap.
macro_rules! shown_as_text {
    ($($id:ty),*) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Borrow<str> for $id {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    )*};
}

shown_as_text!(PathId, AppId, GroupId);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_shown_absolute_whatever_was_written() {
        for (text, base, shown) in [
            ("web", "/", "/web"),
            ("/web", "/shop", "/web"),
            ("web", "/shop", "/shop/web"),
            ("//shop//web/", "/", "/shop/web"),
            ("../db", "/shop", "/db"),
            ("./db", "/shop", "/shop/db"),
            ("a.b-c.d/0", "/", "/a.b-c.d/0"),
        ] {
            let base: GroupId = base.parse().unwrap();
            assert_eq!(AppId::resolve(text, &base).unwrap().to_string(), shown, "{text} in {base}");
        }
    }

    #[test]
    fn ids_that_break_a_rule_say_which() {
        let element = |element: &str| IdError::Element { element: element.to_owned() };
        for (text, error) in [
            ("", IdError::Empty),
            ("/", IdError::Empty),
            ("Web", element("Web")),
            ("a b", element("a b")),
            ("-a", element("-a")),
            ("a-", element("a-")),
            ("a..b", element("a..b")),
            ("a/.b", element(".b")),
            ("größe", element("größe")),
            ("a_b", element("a_b")),
            ("shop/restart", IdError::Reserved { word: "restart" }),
            ("tasks", IdError::Reserved { word: "tasks" }),
            ("versions/", IdError::Reserved { word: "versions" }),
            ("a/..", IdError::Reserved { word: ".." }),
            ("a/.", IdError::Reserved { word: "." }),
            ("../a", IdError::AboveRoot),
        ] {
            assert_eq!(text.parse::<AppId>(), Err(error), "{text}");
        }
        assert_eq!("a".repeat(10_000).parse::<AppId>(), Err(IdError::TooLong));
    }

    #[test]
    fn reserved_words_may_stand_before_the_last_element() {
        assert_eq!("tasks/web".parse::<AppId>().unwrap().as_str(), "/tasks/web");
    }

    #[test]
    fn parents_lead_to_the_root_and_end_there() {
        let app: AppId = "/a/b/c".parse().unwrap();
        let group = app.parent();
        assert_eq!(group.as_str(), "/a/b");
        let top = group.parent().unwrap();
        assert_eq!(top.as_str(), "/a");
        assert_eq!(top.parent().unwrap(), GroupId::root());
        assert_eq!(GroupId::root().parent(), None);
    }

    #[test]
    fn a_group_contains_what_is_below_it_and_not_what_is_named_alike() {
        let group: GroupId = "/shop".parse().unwrap();
        assert!(group.contains(&"/shop/web".parse().unwrap()));
        assert!(!group.contains(&"/shopping/web".parse().unwrap()));
        assert!(GroupId::root().contains(&"/shop/web".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn a_shown_id_reads_back_as_itself(text in "/?[a-c.]{1,3}(/[a-z0-9.-]{1,4}){0,4}/{0,2}") {
            if let Ok(id) = text.parse::<AppId>() {
                prop_assert_eq!(id.to_string().parse::<AppId>(), Ok(id.clone()));
                prop_assert_eq!(AppId::resolve(id.path().name().unwrap(), &id.parent()), Ok(id));
            }
        }

        #[test]
        fn no_text_makes_reading_an_id_fail_badly(text in "\\PC*") {
            let _ = text.parse::<AppId>();
        }
    }
}
