//! YAML as a tree in which every part knows where it stands; values stay the text that was written.
//!
//! What `no`, `08` or `1e3` mean is for the reader of the form to say: as the name of a host they are names.

mod compose;

pub(crate) use compose::compose;

use crate::mistake::Place;

/// A part of the document.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
}

/// What a part is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// A mistake in it was told already: nothing more is to be said about it.
    Broken,
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    /// What it is, variables put in.
    pub(crate) text: String,
    /// What was written, for messages: what a variable holds may be secret.
    pub(crate) written: String,
    pub(crate) has_variable: bool,
    /// How many characters lie between its place and its first one, where it stands as it is.
    pub(crate) inset: Option<usize>,
    /// Without quotes, so that an empty one, `~` and `null` are no value.
    plain: bool,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Node,
}

impl Node {
    /// Whether there is no value.
    pub(crate) fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar(scalar) => {
                scalar.plain && matches!(scalar.written.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            Kind::List(_) | Kind::Map(_) | Kind::Broken => false,
        }
    }

    /// What it is, in the words of a message.
    pub(crate) fn what(&self) -> &'static str {
        match &self.kind {
            _ if self.is_null() => "nothing",
            Kind::Scalar(_) => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map of keys and values",
            Kind::Broken => "something else",
        }
    }

    fn size(&self) -> usize {
        1 + match &self.kind {
            Kind::List(items) => items.iter().map(Node::size).sum(),
            Kind::Map(entries) => entries.iter().map(|entry| entry.value.size()).sum(),
            Kind::Scalar(_) | Kind::Broken => 0,
        }
    }
}
