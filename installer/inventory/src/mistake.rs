//! A mistake in an inventory: where it stands, what is wrong, what to write instead.

use std::fmt;

use serde::Serialize;
use unicode_width::UnicodeWidthChar as _;

/// How much of a long line is shown, in columns.
const SHOWN_WIDTH: usize = 100;

/// How many mistakes are shown; the rest is counted.
const SHOWN_MISTAKES: usize = 50;

/// Where something stands in the text. Line and column count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The character in it, from 1.
    pub column: usize,
}

impl Place {
    /// The beginning of a text.
    pub const START: Place = Place { line: 1, column: 1 };
}

/// One mistake. [`Source::mistake`](crate::Source::mistake) makes one, with the text of its line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// The file's name, as the caller gave it.
    pub file: String,
    /// Where it stands.
    pub place: Place,
    /// The line in which it stands, without what is secret; of a very long one the part around the place.
    pub line_text: String,
    /// Below which character of that text the caret stands, from 1.
    pub caret: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead, where that is known.
    pub write: Option<String>,
}

impl fmt::Display for Mistake {
    /// The place and what is wrong, the line with a caret below the place, and what to write.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column } = self.place;
        write!(f, "{}:{line}:{column}: {}", harmless(&self.file), harmless(&self.message))?;
        let (text, before) = window(&self.line_text, self.caret);
        if !text.trim().is_empty() {
            let number = line.to_string();
            write!(f, "\n  {number} | {text}\n  {:width$} | {:before$}^", "", "", width = number.len())?;
        }
        if let Some(write) = &self.write {
            write!(f, "\n  {}", harmless(write))?;
        }
        Ok(())
    }
}

/// All mistakes of an inventory, in the order of their places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    /// One after the other, with an empty line between two; of very many the first ones.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.0.iter().take(SHOWN_MISTAKES).enumerate() {
            let separator = if at == 0 { "" } else { "\n\n" };
            write!(f, "{separator}{mistake}")?;
        }
        match self.0.len().saturating_sub(SHOWN_MISTAKES) {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

/// A text that cannot steer a terminal, nor turn the direction of what follows.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, character| {
        match visible(character) {
            Some(plain) => shown.push(plain),
            None => shown.extend(character.escape_unicode()),
        }
        shown
    })
}

/// The character as it is shown; nothing for one that has to be escaped.
fn visible(character: char) -> Option<char> {
    match character {
        '\t' => Some(' '),
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => None,
        character if character.is_control() => None,
        character => Some(character),
    }
}

/// The part of a line around a column, and how many columns of the terminal lie before the caret.
fn window(line: &str, column: usize) -> (String, usize) {
    let shown = |character: char| harmless(character.encode_utf8(&mut [0; 4]));
    let width = |text: &str| text.chars().map(|character| character.width().unwrap_or(0)).sum::<usize>();
    let pieces: Vec<String> = line.trim_end().chars().map(shown).collect();
    let at = column.saturating_sub(1).min(pieces.len());
    // A third of the window lies before the caret.
    let (mut from, mut before) = (at, 0);
    while let Some(piece) = from.checked_sub(1).and_then(|previous| pieces.get(previous)) {
        let whole_fits = pieces.len() <= SHOWN_WIDTH;
        if before + width(piece) > SHOWN_WIDTH / 3 && !whole_fits {
            break;
        }
        (from, before) = (from - 1, before + width(piece));
    }
    let mut text = String::new();
    if from > 0 {
        text.push('…');
        before += 1;
    }
    let mut used = 0;
    for piece in pieces.iter().skip(from) {
        used += width(piece);
        if used > SHOWN_WIDTH {
            text.push('…');
            break;
        }
        text.push_str(piece);
    }
    (text, before)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn at(column: usize, line: &str) -> Mistake {
        let place = Place { line: 7, column };
        let (file, message) = ("inventory.yaml".to_owned(), "unknown key `adress`".to_owned());
        Mistake {
            file,
            place,
            line_text: line.to_owned(),
            caret: column,
            message,
            write: Some("write `address`".to_owned()),
        }
    }

    #[test]
    fn a_mistake_shows_its_line_with_a_caret() {
        assert_snapshot!(at(16, "  - {name: m1, adress: 192.0.2.11}"), @r"
        inventory.yaml:7:16: unknown key `adress`
          7 |   - {name: m1, adress: 192.0.2.11}
            |                ^
          write `address`
        ");
    }

    #[test]
    fn the_caret_stands_right_behind_wide_characters_and_tabs() {
        assert_snapshot!(at(13, "\t- {name: 東京, adress: x}").to_string().replace(' ', "."), @r"
        inventory.yaml:7:13:.unknown.key.`adress`
        ..7.|..-.{name:.東京,.adress:.x}
        ....|...............^
        ..write.`address`
        ");
    }

    #[test]
    fn of_a_long_line_the_part_around_the_caret_is_shown() {
        let line = format!("{}adress: {}", "x, ".repeat(100), "y".repeat(300));
        assert_snapshot!(at(301, &line), @r"
        inventory.yaml:7:301: unknown key `adress`
          7 | …x, x, x, x, x, x, x, x, x, x, x, adress: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…
            |                                   ^
          write `address`
        ");
    }

    #[test]
    fn what_is_shown_cannot_steer_the_terminal() {
        let shown = at(3, "a\u{1b}[2Jb\u{202e}c").to_string();
        assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
        assert_snapshot!(shown, @r"
        inventory.yaml:7:3: unknown key `adress`
          7 | a\u{1b}[2Jb\u{202e}c
            |        ^
          write `address`
        ");
    }

    #[test]
    fn of_very_many_mistakes_the_rest_is_counted() {
        let all = Mistakes(vec![at(1, "x"); 53]).to_string();
        assert!(all.ends_with("\n\nand 3 more"), "{all}");
    }
}
