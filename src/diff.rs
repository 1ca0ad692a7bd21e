//! Differences between texts, line by line, as `diff -u` shows them.

use anstyle::{AnsiColor, Style};

use crate::printer::style;
use crate::text::visible;

/// How many lines that are the same are shown around those that differ.
const CONTEXT: usize = 3;

/// Beyond this many comparisons what differs is shown as one block.
const MOST_COMPARED: usize = 25_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'a> {
    Same(&'a str),
    Old(&'a str),
    New(&'a str),
}

/// The difference with its two names, coloured; nothing when there is none.
pub(crate) fn unified(old_name: &str, new_name: &str, old: &str, new: &str) -> Option<String> {
    let lines = compare(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>());
    let changed: Vec<usize> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| !matches!(line, Line::Same(_)))
        .map(|(at, _)| at)
        .collect();
    if changed.is_empty() {
        return None;
    }
    let bold = style::HEADING;
    let mut text =
        format!("{bold}--- {}{bold:#}\n{bold}+++ {}{bold:#}\n", visible(old_name), visible(new_name));
    for (first, last) in hunks(&changed, lines.len()) {
        text += &hunk(&lines, first, last);
    }
    Some(text)
}

/// Ranges of lines to show: changes with what is around them, those that would touch as one.
fn hunks(changed: &[usize], lines: usize) -> Vec<(usize, usize)> {
    let mut hunks: Vec<(usize, usize)> = Vec::new();
    for at in changed {
        let (first, last) = (at.saturating_sub(CONTEXT), (at + CONTEXT + 1).min(lines));
        match hunks.last_mut() {
            Some((_, end)) if *end >= first => *end = last,
            _ => hunks.push((first, last)),
        }
    }
    hunks
}

fn hunk(lines: &[Line<'_>], first: usize, last: usize) -> String {
    let count = |lines: &[Line<'_>], without: fn(&Line<'_>) -> bool| {
        lines.iter().filter(|line| !without(line)).count()
    };
    let (before, shown) = (&lines[..first], &lines[first..last]);
    let range = |without: fn(&Line<'_>) -> bool| {
        let (start, length) = (count(before, without), count(shown, without));
        format!("{},{length}", if length == 0 { start } else { start + 1 })
    };
    let old = range(|line| matches!(line, Line::New(_)));
    let new = range(|line| matches!(line, Line::Old(_)));
    let head = AnsiColor::Cyan.on_default();
    let mut text = format!("{head}@@ -{old} +{new} @@{head:#}\n");
    for line in shown {
        let (sign, colour, content) = match line {
            Line::Same(content) => (' ', Style::new(), content),
            Line::Old(content) => ('-', AnsiColor::Red.on_default(), content),
            Line::New(content) => ('+', AnsiColor::Green.on_default(), content),
        };
        text += &format!("{colour}{sign}{}{colour:#}\n", visible(content));
    }
    text
}

/// Old and new lines in one sequence, with as many as possible the same.
fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let start = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old_rest, new_rest) = (&old[start..], &new[start..]);
    let end = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(old, new)| old == new).count();
    let (old_middle, new_middle) = (&old_rest[..old_rest.len() - end], &new_rest[..new_rest.len() - end]);
    let mut lines: Vec<Line<'a>> = old[..start].iter().copied().map(Line::Same).collect();
    lines.extend(middle(old_middle, new_middle));
    lines.extend(old_rest[old_rest.len() - end..].iter().copied().map(Line::Same));
    lines
}

/// By the longest common subsequence.
fn middle<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    if old.len().saturating_mul(new.len()) > MOST_COMPARED {
        let old = old.iter().copied().map(Line::Old);
        return old.chain(new.iter().copied().map(Line::New)).collect();
    }
    let width = new.len() + 1;
    // How long the longest common subsequence of what follows is.
    let mut longest = vec![0_u32; (old.len() + 1) * width];
    for (row, a) in old.iter().enumerate().rev() {
        for (column, b) in new.iter().enumerate().rev() {
            let at = row * width + column;
            longest[at] =
                if a == b { longest[at + width + 1] + 1 } else { longest[at + width].max(longest[at + 1]) };
        }
    }
    let (mut row, mut column, mut lines) = (0, 0, Vec::new());
    while row < old.len() || column < new.len() {
        let at = row * width + column;
        match (old.get(row), new.get(column)) {
            (Some(a), Some(b)) if a == b => {
                lines.push(Line::Same(a));
                (row, column) = (row + 1, column + 1);
            }
            (Some(a), b) if b.is_none() || longest[at + width] >= longest[at + 1] => {
                lines.push(Line::Old(a));
                row += 1;
            }
            (_, Some(b)) => {
                lines.push(Line::New(b));
                column += 1;
            }
            (_, None) => break,
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    fn shown(old: &str, new: &str) -> Option<String> {
        unified("old", "new", old, new).map(|text| strip_str(&text).to_string())
    }

    #[test]
    fn what_differs_is_shown_with_what_is_around_it() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n";
        let new = "a\nb\nC\nd\ne\nf\ng\nh\ni\nj\nl\nm\n";
        insta::assert_snapshot!(shown(old, new).unwrap(), @r"
        --- old
        +++ new
        @@ -1,6 +1,6 @@
         a
         b
        -c
        +C
         d
         e
         f
        @@ -8,5 +8,5 @@
         h
         i
         j
        -k
         l
        +m
        ");
    }

    #[test]
    fn all_is_new_where_nothing_was_and_nothing_is_said_of_what_is_the_same() {
        assert_eq!(shown("a\nb\n", "a\nb\n"), None);
        assert_eq!(shown("", "a\n").unwrap(), "--- old\n+++ new\n@@ -0,0 +1,1 @@\n+a\n");
    }

    #[test]
    fn both_sides_can_be_put_together_again() {
        // Every pair of short texts over three letters.
        let mut texts: Vec<Vec<&str>> = vec![vec![]];
        for at in 0..40 {
            let longer: Vec<Vec<&str>> =
                ["a", "b", "c"].iter().map(|letter| [texts[at].as_slice(), &[*letter]].concat()).collect();
            texts.extend(longer);
        }
        for old in &texts {
            for new in &texts {
                let lines = compare(old, new);
                let side = |without: fn(&&Line<'_>) -> bool| -> Vec<&str> {
                    let kept = lines.iter().filter(|line| !without(line));
                    kept.map(|line| match line {
                        Line::Same(text) | Line::Old(text) | Line::New(text) => *text,
                    })
                    .collect()
                };
                assert_eq!(side(|line| matches!(line, Line::New(_))), *old);
                assert_eq!(side(|line| matches!(line, Line::Old(_))), *new);
            }
        }
    }
}
