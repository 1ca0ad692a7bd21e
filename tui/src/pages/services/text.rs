//! Texts that are longer than their place: definitions, differences, explanations.

use std::cell::Cell;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::Value;

use super::pieces::row;
use crate::diff::Sign;
use crate::state::State;
use crate::text::{clean, width};
use crate::theme::Tone;

/// A definition as people read it, in lines.
pub(super) fn yaml(value: &Value) -> Vec<String> {
    let text = serde_yaml::to_string(value).unwrap_or_else(|_| json(value));
    text.lines().map(str::to_owned).collect()
}

/// A definition as the interface has it.
pub(super) fn json(value: &Value) -> String {
    format!("{value:#}\n")
}

/// How far a text is scrolled.
#[derive(Clone, Debug, Default)]
pub(super) struct Pane {
    top: usize,
    lines: Cell<usize>,
    height: Cell<usize>,
}

impl Pane {
    /// Takes a key that scrolls; false when it is none of those.
    pub(super) fn key(&mut self, key: KeyEvent) -> bool {
        let last = self.lines.get().saturating_sub(self.height.get());
        let half = (self.height.get() / 2).max(1);
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        self.top = match key.code {
            KeyCode::Char('d') if control => self.top + half,
            KeyCode::Char('u') if control => self.top.saturating_sub(half),
            _ if control => return false,
            KeyCode::Char('j') | KeyCode::Down => self.top + 1,
            KeyCode::Char('k') | KeyCode::Up => self.top.saturating_sub(1),
            KeyCode::Char('g') | KeyCode::Home => 0,
            KeyCode::Char('G') | KeyCode::End => last,
            KeyCode::PageDown => self.top + 2 * half,
            KeyCode::PageUp => self.top.saturating_sub(2 * half),
            _ => return false,
        }
        .min(last);
        true
    }

    /// The lines in sight, of so many, in a place of that height.
    pub(super) fn window(&self, lines: usize, height: u16) -> std::ops::Range<usize> {
        let height = usize::from(height);
        self.lines.set(lines);
        self.height.set(height);
        let top = self.top.min(lines.saturating_sub(height));
        top..lines.min(top + height)
    }

    /// Draws lines, of which only those in sight are made ready.
    pub(super) fn draw(&self, state: &State, lines: &[String], place: Rect, canvas: &mut Buffer) {
        for (at, line) in self.window(lines.len(), place.height).enumerate() {
            let (Some(text), Some(row)) = (lines.get(line), row(place, at)) else { break };
            let text = state.look().plain(&clean(text));
            canvas.set_stringn(row.x, row.y, text, usize::from(row.width), state.look().text());
        }
    }

    /// Draws a difference.
    pub(super) fn draw_diff(
        &self,
        state: &State,
        lines: &[(Sign, String)],
        place: Rect,
        canvas: &mut Buffer,
    ) {
        let look = state.look();
        for (at, line) in self.window(lines.len(), place.height).enumerate() {
            let (Some((sign, text)), Some(row)) = (lines.get(line), row(place, at)) else { break };
            let (mark, style) = match sign {
                Sign::Same => (' ', look.text()),
                Sign::Old => ('-', look.tone(Tone::Bad)),
                Sign::New => ('+', look.tone(Tone::Good)),
                Sign::Gap => ('@', look.dim()),
            };
            let text = look.plain(&clean(&format!("{mark} {text}")));
            canvas.set_stringn(row.x, row.y, text, usize::from(row.width), style);
        }
    }

    /// Draws sentences with their tones; they are broken into lines between words.
    pub(super) fn draw_sentences(
        &self,
        state: &State,
        sentences: &[(Option<Tone>, String)],
        place: Rect,
        canvas: &mut Buffer,
    ) {
        let look = state.look();
        let columns = usize::from(place.width.saturating_sub(2)).max(1);
        let mut lines: Vec<(Option<Tone>, bool, String)> = Vec::new();
        for (tone, text) in sentences {
            for (at, line) in broken(&look.plain(&clean(text)), columns).into_iter().enumerate() {
                lines.push((*tone, at == 0, line));
            }
        }
        for (at, line) in self.window(lines.len(), place.height).enumerate() {
            let (Some((tone, first, text)), Some(row)) = (lines.get(line), row(place, at)) else { break };
            let style = tone.map_or(look.text(), |tone| look.tone(tone));
            if let Some(tone) = tone.filter(|_| *first) {
                canvas.set_string(row.x, row.y, look.glyph(tone), style);
            }
            canvas.set_stringn(row.x + 2, row.y, text, columns, style);
        }
    }
}

/// A text in lines of at most so many columns, broken between words where that can be.
pub(super) fn broken(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut taken = 0;
    for word in text.split(' ') {
        let mut word = word.to_owned();
        let wide = width(&word);
        if taken > 0 && taken + 1 + wide > columns {
            lines.push(String::new());
            taken = 0;
        }
        // A word that is longer than a line is cut.
        while width(&word) > columns {
            let (head, rest) = word.split_at(cut(&word, columns));
            let (head, rest) = (head.to_owned(), rest.to_owned());
            if let Some(last) = lines.last_mut() {
                last.push_str(&head);
            }
            lines.push(String::new());
            word = rest;
        }
        if let Some(last) = lines.last_mut() {
            if taken > 0 {
                last.push(' ');
            }
            last.push_str(&word);
            taken = width(last).max(1);
        }
    }
    lines
}

/// How many bytes of a text fit in so many columns; at least one character.
pub(super) fn cut(text: &str, columns: usize) -> usize {
    use unicode_width::UnicodeWidthChar as _;
    let mut taken = 0;
    for (at, c) in text.char_indices() {
        taken += c.width().unwrap_or(0);
        if taken > columns && at > 0 {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_broken_between_words_and_long_words_are_cut() {
        assert_eq!(broken("no agent has 4 cores", 9), ["no agent", "has 4", "cores"]);
        assert_eq!(broken("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
        assert_eq!(broken("", 4), [""]);
        assert_eq!(broken("日本語", 4), ["日本", "語"]);
        assert_eq!(broken("  two  blanks", 20), ["  two  blanks"]);
        assert_eq!(cut("日本", 1), 3);
    }

    #[test]
    fn a_pane_is_never_scrolled_past_its_end() {
        let mut pane = Pane::default();
        assert_eq!(pane.window(10, 4), 0..4);
        assert!(pane.key(KeyCode::PageDown.into()) && pane.key(KeyCode::PageDown.into()));
        assert_eq!(pane.window(10, 4), 6..10);
        assert!(pane.key(KeyCode::Up.into()));
        assert_eq!(pane.window(10, 4), 5..9);
        assert_eq!(pane.window(2, 4), 0..2);
        assert!(!pane.key(KeyCode::Char('x').into()));
    }
}
