//! The documents of a YAML file, as texts.

/// The text of one document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    /// How many lines of the file stand before it.
    pub(super) before: u64,
}

/// Cuts a file at `---` and `...`, which stand at the beginning of a line nowhere else in YAML. What holds nothing but
/// comments and directives is no document.
pub(super) fn of(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut piece = Piece { text: String::new(), before: 0 };
    for (line, before) in text.split_inclusive('\n').zip(0_u64..) {
        match marker(line) {
            Some(rest) => {
                let next = Piece { text: format!("{}{rest}", " ".repeat(line.len() - rest.len())), before };
                pieces.push(std::mem::replace(&mut piece, next));
            }
            None => piece.text.push_str(line),
        }
    }
    pieces.push(piece);
    pieces.retain(|piece| piece.text.lines().any(says_something));
    pieces
}

/// What stands behind a marker on its line.
fn marker(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("---").or_else(|| line.strip_prefix("..."))?;
    (rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])).then_some(rest)
}

fn says_something(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with(['#', '%'])
}

/// The number of the first line that says something, from 1.
pub(super) fn first_line(text: &str) -> u64 {
    text.lines().zip(1..).find(|(line, _)| says_something(line)).map_or(1, |(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_at_its_markers_and_lines_are_counted() {
        let text = "# services\n---\nid: a\n--- # second\nid: b\ncmd: echo ---x\n...\n---\n# nothing\n";
        let pieces = of(text);
        let found: Vec<(&str, u64)> =
            pieces.iter().map(|piece| (piece.text.trim(), piece.before + first_line(&piece.text))).collect();
        assert_eq!(found, [("id: a", 3), ("# second\nid: b\ncmd: echo ---x", 5)]);
        assert_eq!(of("id: a"), [Piece { text: "id: a".to_owned(), before: 0 }]);
        assert_eq!(of("%YAML 1.2\n---\n"), []);
    }
}
