//! A cursor in rows of which only those in sight are ever built.

use std::cell::Cell;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Where a list stands. The rows themselves belong to the page.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    /// The row under the cursor.
    pub(crate) cursor: usize,
    /// The first row in sight: a memory of the drawing, which alone knows how many fit.
    first: Cell<usize>,
    /// How many were in sight at the last drawing.
    height: Cell<usize>,
}

impl List {
    /// Takes a key that moves the cursor; false when it is none of those.
    pub(crate) fn key(&mut self, key: KeyEvent, rows: usize) -> bool {
        let last = rows.saturating_sub(1);
        let half = (self.height.get() / 2).max(1);
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        self.cursor = match key.code {
            KeyCode::Char('d') if control => self.cursor + half,
            KeyCode::Char('u') if control => self.cursor.saturating_sub(half),
            _ if control => return false,
            KeyCode::Char('j') | KeyCode::Down => self.cursor + 1,
            KeyCode::Char('k') | KeyCode::Up => self.cursor.saturating_sub(1),
            KeyCode::Char('g') | KeyCode::Home => 0,
            KeyCode::Char('G') | KeyCode::End => last,
            KeyCode::PageDown => self.cursor + 2 * half,
            KeyCode::PageUp => self.cursor.saturating_sub(2 * half),
            _ => return false,
        }
        .min(last);
        true
    }

    /// Keeps the cursor inside when rows go away.
    pub(crate) fn clamp(&mut self, rows: usize) {
        self.cursor = self.cursor.min(rows.saturating_sub(1));
    }

    /// The rows to draw in a place of that height: the cursor is among them.
    pub(crate) fn window(&self, rows: usize, height: usize) -> std::ops::Range<usize> {
        self.height.set(height);
        let cursor = self.cursor.min(rows.saturating_sub(1));
        let mut first = self.first.get().min(rows.saturating_sub(height));
        if cursor < first {
            first = cursor;
        } else if height > 0 && cursor >= first + height {
            first = cursor + 1 - height;
        }
        self.first.set(first);
        first..rows.min(first + height)
    }

    /// The row at a line of the place where the list was drawn last.
    pub(crate) fn row_at(&self, line: usize) -> usize {
        self.first.get() + line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_always_in_sight_and_never_past_the_end() {
        let mut list = List::default();
        assert_eq!(list.window(100, 10), 0..10);
        assert!(list.key(KeyCode::Char('G').into(), 100));
        assert_eq!((list.cursor, list.window(100, 10)), (99, 90..100));
        assert!(list.key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL), 100));
        assert_eq!((list.cursor, list.window(100, 10)), (94, 90..100));
        list.clamp(3);
        assert_eq!((list.cursor, list.window(3, 10)), (2, 0..3));
        assert_eq!(list.window(0, 10), 0..0);
        assert!(!list.key(KeyCode::Char('x').into(), 3));
    }
}
