//! Texts for cells: nothing in them is taken for a control sequence, and they are as wide as they are said to be.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A text of somebody else's, fit for one line: control characters and what turns the direction of writing become `�`, a tab a blank.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if is_odd(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// How many columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// At most `columns` of a text, with `…` where something is left out.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut fitted = String::new();
    let mut taken = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if taken + wide + 1 > columns {
            break;
        }
        taken += wide;
        fitted.push(c);
    }
    if columns > 0 {
        fitted.push('…');
    }
    fitted
}

/// Exactly `columns` of a text.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    let mut text = fit(text, columns);
    let missing = columns.saturating_sub(text.width());
    text.extend(std::iter::repeat_n(' ', missing));
    text
}

/// Exactly `columns` of a text that stands to the right.
pub(crate) fn right(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let missing = columns.saturating_sub(text.width());
    format!("{}{text}", " ".repeat(missing))
}

/// How long something took or is ago, in milliseconds: `3s`, `6m 04s`, `2h 10m`, `9d`.
pub(crate) fn age(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// MiB as people read them.
pub(crate) fn mebibytes(mib: f64) -> String {
    if mib >= 1024.0 * 1024.0 {
        format!("{:.1} TiB", mib / 1024.0 / 1024.0)
    } else if mib >= 1024.0 {
        format!("{:.1} GiB", mib / 1024.0)
    } else {
        format!("{mib:.0} MiB")
    }
}

/// The time of day in UTC: `10:23:51`.
pub(crate) fn clock(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_clean_and_as_wide_as_they_are_said_to_be() {
        assert_eq!(clean("a\u{1b}[31mb\tc\u{202e}"), "a�[31mb c�");
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(pad("日本語", 5), "日本…");
        assert_eq!(right("7", 3), "  7");
        assert_eq!(
            [age(59_999), age(364_000), age(7_800_000), age(777_600_000)],
            ["59s", "6m 04s", "2h 10m", "9d"]
        );
        assert_eq!(
            [mebibytes(512.0), mebibytes(1536.0), mebibytes(2_097_152.0)],
            ["512 MiB", "1.5 GiB", "2.0 TiB"]
        );
    }
}
