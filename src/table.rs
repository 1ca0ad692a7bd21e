//! Tables: aligned by what a terminal shows, not by bytes.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr as _;

use crate::printer::style;
use crate::text::visible;

/// One place in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A text that is shown as it is, but for what would steer the terminal.
    pub(crate) fn plain(text: impl AsRef<str>) -> Self {
        Self { text: visible(text.as_ref()), style: Style::new() }
    }

    /// Something is as it should be.
    pub(crate) fn good(text: impl AsRef<str>) -> Self {
        Self { style: AnsiColor::Green.on_default(), ..Self::plain(text) }
    }

    /// Something is on its way, or wants attention.
    pub(crate) fn warn(text: impl AsRef<str>) -> Self {
        Self { style: AnsiColor::Yellow.on_default(), ..Self::plain(text) }
    }

    /// Something is wrong.
    pub(crate) fn bad(text: impl AsRef<str>) -> Self {
        Self { style: AnsiColor::Red.on_default(), ..Self::plain(text) }
    }

    /// Nothing stands here.
    pub(crate) fn none() -> Self {
        Self { style: style::CAUSE, ..Self::plain("-") }
    }

    /// The text, or a sign for nothing.
    pub(crate) fn or_none(text: Option<&str>) -> Self {
        text.filter(|text| !text.is_empty()).map_or_else(Self::none, Self::plain)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::plain(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::plain(text)
    }
}

/// A head and rows; rendered with colours for the printer to keep or strip.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
}

const GAP: &str = "  ";

impl Table {
    /// A table with these heads of columns.
    pub(crate) fn new(head: &[&str]) -> Self {
        let head = head.iter().map(|text| Cell { style: style::HEADING, ..Cell::plain(text) }).collect();
        Self { rows: vec![head] }
    }

    /// A table without a head: names and what belongs to them.
    pub(crate) fn facts() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Adds a name and what belongs to it.
    pub(crate) fn fact(&mut self, name: &str, cell: impl Into<Cell>) {
        self.rows.push(vec![Cell { style: style::HEADING, ..Cell::plain(format!("{name}:")) }, cell.into()]);
    }

    /// The lines. The last column is not filled up, so that no line is longer than it must be.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|at| {
                let column = self.rows.iter().filter_map(|row| row.get(at));
                column.map(|cell| cell.text.width()).max().unwrap_or_default()
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let Cell { text: content, style } = cell;
                text += &format!("{style}{content}{style:#}");
                if at + 1 < row.len() {
                    text += &" ".repeat(width - content.width());
                    text += GAP;
                }
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_a_terminal_shows_them() {
        let mut table = Table::new(&["NAME", "STATE", "HOST"]);
        table.row(vec!["日本".into(), Cell::good("running"), "h1".into()]);
        table.row(vec!["e\u{1b}[2J".into(), Cell::bad("failed"), Cell::none()]);
        insta::assert_snapshot!(strip_str(&table.render()), @r"
        NAME        STATE    HOST
        日本        running  h1
        e\u{1b}[2J  failed   -
        ");
    }

    #[test]
    fn facts_line_up() {
        let mut table = Table::facts();
        table.fact("Id", "/web");
        table.fact("Instances", "2 of 3");
        insta::assert_snapshot!(strip_str(&table.render()), @r"
        Id:         /web
        Instances:  2 of 3
        ");
    }
}
