//! What differs between two texts, line by line, with what is around it.

/// How many lines that are the same are shown around those that differ.
const CONTEXT: usize = 3;

/// Beyond this many comparisons what differs is shown as one block.
const MOST_COMPARED: usize = 4_000_000;

/// A line of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// In both.
    Same,
    /// Only in the old one.
    Old,
    /// Only in the new one.
    New,
    /// Lines that are the same are left out here; the text says how many.
    Gap,
}

/// The difference; empty when there is none.
pub(crate) fn diff(old: &str, new: &str) -> Vec<(Sign, String)> {
    let lines = compare(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>());
    let mut shown = vec![false; lines.len()];
    for (at, _) in lines.iter().enumerate().filter(|(_, (sign, _))| *sign != Sign::Same) {
        let to = (at + CONTEXT + 1).min(lines.len());
        shown[at.saturating_sub(CONTEXT)..to].fill(true);
    }
    if !shown.contains(&true) {
        return Vec::new();
    }
    let mut answer = Vec::new();
    let mut left_out = 0_usize;
    let gap =
        |count: usize| (Sign::Gap, format!("{count} {} the same", if count == 1 { "line" } else { "lines" }));
    for ((sign, text), shown) in lines.into_iter().zip(shown) {
        if shown {
            if left_out > 0 {
                answer.push(gap(left_out));
                left_out = 0;
            }
            answer.push((sign, text.to_owned()));
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        answer.push(gap(left_out));
    }
    answer
}

/// Old and new lines in one sequence, with as many as possible the same.
fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Sign, &'a str)> {
    let start = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old_rest, new_rest) = (&old[start..], &new[start..]);
    let end = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(old, new)| old == new).count();
    let (old_middle, new_middle) = (&old_rest[..old_rest.len() - end], &new_rest[..new_rest.len() - end]);
    let same = |text: &&'a str| (Sign::Same, *text);
    let mut lines: Vec<_> = old[..start].iter().map(same).collect();
    lines.extend(middle(old_middle, new_middle));
    lines.extend(old_rest[old_rest.len() - end..].iter().map(same));
    lines
}

/// By the longest common subsequence.
fn middle<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Sign, &'a str)> {
    if old.len().saturating_mul(new.len()) > MOST_COMPARED {
        let old = old.iter().map(|text| (Sign::Old, *text));
        return old.chain(new.iter().map(|text| (Sign::New, *text))).collect();
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
    loop {
        let at = row * width + column;
        match (old.get(row), new.get(column)) {
            (Some(a), Some(b)) if a == b => {
                lines.push((Sign::Same, *a));
                (row, column) = (row + 1, column + 1);
            }
            (Some(a), b) if b.is_none() || longest[at + width] >= longest[at + 1] => {
                lines.push((Sign::Old, *a));
                row += 1;
            }
            (_, Some(b)) => {
                lines.push((Sign::New, *b));
                column += 1;
            }
            (_, None) => return lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_differs_is_shown_with_what_is_around_it() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n";
        let new = "a\nb\nC\nd\ne\nf\ng\nh\ni\nj\nl\nm\n";
        let shown: Vec<String> = diff(old, new)
            .into_iter()
            .map(|(sign, text)| {
                let sign = match sign {
                    Sign::Same => ' ',
                    Sign::Old => '-',
                    Sign::New => '+',
                    Sign::Gap => '@',
                };
                format!("{sign}{text}")
            })
            .collect();
        assert_eq!(
            shown,
            [
                " a",
                " b",
                "-c",
                "+C",
                " d",
                " e",
                " f",
                "@1 line the same",
                " h",
                " i",
                " j",
                "-k",
                " l",
                "+m"
            ]
        );
        assert!(diff("a\nb\n", "a\nb\n").is_empty());
        assert_eq!(diff("", "a\n"), [(Sign::New, "a".to_owned())]);
    }

    proptest! {
        #[test]
        fn both_sides_can_be_put_together_again(old in prop::collection::vec("[ab]", 0..12), new in prop::collection::vec("[ab]", 0..12)) {
            let (a, b): (Vec<&str>, Vec<&str>) =
                (old.iter().map(String::as_str).collect(), new.iter().map(String::as_str).collect());
            let lines = compare(&a, &b);
            let side = |without: Sign| -> Vec<&str> {
                lines.iter().filter(|(sign, _)| *sign != without).map(|(_, text)| *text).collect()
            };
            prop_assert_eq!(side(Sign::New), a);
            prop_assert_eq!(side(Sign::Old), b);
        }
    }
}
