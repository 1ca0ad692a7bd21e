//! One line of a live view: pieces with colours, cut to what a terminal shows.

use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::text::visible;

/// A line that is being put together.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pieces: Vec<(String, Style)>,
}

impl Line {
    /// Adds a text, in which nothing can steer the terminal.
    pub(super) fn push(&mut self, text: &str, style: Style) {
        self.pieces.push((visible(text), style));
    }

    /// Adds a text without a colour.
    pub(super) fn plain(&mut self, text: &str) {
        self.push(text, Style::new());
    }

    /// The line, not wider than `width`: what does not fit is cut off, and a sign says so.
    pub(super) fn fit(&self, width: usize, colour: bool) -> String {
        let total: usize = self.pieces.iter().map(|(text, _)| text.width()).sum();
        // One column is kept for the sign.
        let mut left = if total > width { width.saturating_sub(1) } else { width };
        let mut line = String::new();
        for (text, style) in &self.pieces {
            let part = head(text, left);
            let cut = part.len() < text.len();
            left -= part.width();
            if colour && !part.is_empty() && *style != Style::new() {
                line += &format!("{style}{part}{style:#}");
            } else {
                line += part;
            }
            if cut {
                break;
            }
        }
        if total > width && width > 0 {
            line.push('…');
        }
        line
    }
}

/// As much of the beginning as fits.
fn head(text: &str, width: usize) -> &str {
    let mut used = 0;
    for (at, character) in text.char_indices() {
        used += character.width().unwrap_or(0);
        if used > width {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// A name filled up to `width` columns, or cut to it.
pub(super) fn column(name: &str, width: usize) -> String {
    let mut line = Line::default();
    line.plain(name);
    let fitted = line.fit(width, false);
    let gap = width.saturating_sub(fitted.width());
    fitted + &" ".repeat(gap)
}

#[cfg(test)]
mod tests {
    use anstyle::AnsiColor;

    use super::*;

    fn line() -> Line {
        let mut line = Line::default();
        line.push("東京", AnsiColor::Red.on_default());
        line.plain(" is\u{1b}[2J wide");
        line
    }

    #[test]
    fn a_line_is_cut_to_what_the_terminal_shows() {
        assert_eq!(line().fit(80, false), "東京 is\\u{1b}[2J wide");
        for width in 0..25 {
            let fitted = line().fit(width, false);
            assert!(fitted.width() <= width, "{fitted:?} in {width}");
        }
        // Half of a wide character is not shown.
        assert_eq!(line().fit(4, false), "東…");
        assert_eq!(line().fit(6, true), "\u{1b}[31m東京\u{1b}[0m …");
    }

    #[test]
    fn a_column_is_filled_or_cut() {
        assert_eq!(column("a1", 4), "a1  ");
        assert_eq!(column("東京", 5), "東京 ");
        assert_eq!(column("a-long-name", 4), "a-l…");
    }
}
