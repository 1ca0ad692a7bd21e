//! Where mistakes are gathered while an inventory is read.

use crate::mistake::{Mistake, Mistakes, Place};
use crate::source::{Source, without_passwords};

/// More mistakes are not gathered: nobody reads them, and a text of a megabyte could hold very many.
const MOST: usize = 200;

/// What is wrong with one value, as words that follow it: `is no port`, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) write: Option<String>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>, write: impl Into<String>) -> Problem {
        Problem { message: message.into(), write: Some(write.into()) }
    }
}

/// The mistakes found so far, and the text that they are in.
pub(crate) struct Faults<'s> {
    source: &'s Source,
    found: Vec<Mistake>,
}

impl<'s> Faults<'s> {
    pub(crate) fn new(source: &'s Source) -> Faults<'s> {
        Faults { source, found: Vec::new() }
    }

    /// A mistake, and what to write instead.
    pub(crate) fn add(&mut self, place: Place, message: impl Into<String>, write: impl Into<String>) {
        self.push(place, message.into(), Some(write.into()));
    }

    /// A mistake that says itself what to do.
    pub(crate) fn push(&mut self, place: Place, message: String, write: Option<String>) {
        if self.found.len() < MOST {
            self.found.push(self.source.mistake(place, message, write));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All, in the order in which they stand in the text.
    pub(crate) fn into_mistakes(mut self) -> Mistakes {
        // A stable order, since one place can have several.
        self.found.sort_by_key(|mistake| mistake.place);
        self.found.dedup();
        Mistakes(self.found)
    }
}

/// A text as a message quotes it: short, and without the password of an URL and without a private key.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.is_empty() {
        return "an empty text".to_owned();
    }
    if text.contains("PRIVATE KEY") {
        return "`***`".to_owned();
    }
    let text = without_passwords(text);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("`{}…`", text.get(..end).unwrap_or_default()),
        None => format!("`{text}`"),
    }
}
