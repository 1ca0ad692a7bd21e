//! Small things that people read: times, sizes, and texts of others that must not steer a terminal.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::marathon::Timestamp;
use serde_json::Value;

/// A text of somebody else as one line that shows what is in it: control characters, escape sequences and marks that
/// turn the direction of writing around appear as text.
pub(crate) fn visible(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => line.push_str("    "),
            steering if steering.is_control() || turns_direction(steering) => {
                // Writing to a string does not fail.
                let _ = write!(line, "{}", steering.escape_default());
            }
            plain => line.push(plain),
        }
    }
    line
}

pub(crate) fn turns_direction(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// The time now, as rendering functions are given it.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A point in time as an interface writes it: Marathon's text, or seconds since 1970.
pub(crate) fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a cast from float saturates, and so does the timestamp"
        )]
        Value::Number(seconds) => Some(Timestamp::from_millis((seconds.as_f64()? * 1000.0) as i64)),
        _ => None,
    }
}

/// How long ago it was, in the largest unit that says enough.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = (now.as_millis() - then.as_millis()) / 1000;
    match seconds {
        ..0 => "just now".to_owned(),
        0..100 => format!("{seconds}s ago"),
        100..6_000 => format!("{}m ago", seconds / 60),
        6_000..172_800 => format!("{}h ago", seconds / 3600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

/// A number without needless digits: `2`, `0.5`, `0.125`.
pub(crate) fn number(value: f64) -> String {
    let rounded = format!("{value:.3}");
    let short = rounded.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

/// Mebibytes as people say them.
pub(crate) fn mebibytes(value: f64) -> String {
    if value.abs() >= 10_240.0 {
        format!("{} GiB", number((value / 102.4).round() / 10.0))
    } else {
        format!("{} MiB", number(value.round()))
    }
}

/// Bytes as people say them.
pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if value < 1024 {
        return format!("{value} B");
    }
    let mut tenths = u128::from(value) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// Reads `90`, `90s`, `10m`, `2h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len());
    let seconds = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("{unit:?} is no unit of time; write ms, s, m or h")),
    };
    let number: f64 = digits
        .parse()
        .map_err(|error| format!("{digits:?}: {error}; write a number and a unit, like 90s or 10m"))?;
    Duration::try_from_secs_f64(number * seconds)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "it must be more than nothing and less than for ever".to_owned())
}

/// A duration as the flag takes it.
pub(crate) fn spoken(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        _ if duration.subsec_millis() > 0 => format!("{} s", number(duration.as_secs_f64())),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

/// `1 instance`, `2 instances`.
pub(crate) fn count(number: u64, of: &str) -> String {
    if number == 1 { format!("1 {of}") } else { format!("{number} {of}s") }
}

/// The words that `wrong` may have been meant to be, best first: few letters apart, or a part of it.
pub(crate) fn similar<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|word| {
            let away = distance(wrong, word);
            let part = wrong.len() > 2 && word.contains(wrong);
            (part || away <= 1 + wrong.chars().count() / 5).then_some((away, word))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, word)| word).collect()
}

/// How many letters have to be put in, taken out, changed or swapped with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, a) in one.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, b) in other.iter().enumerate() {
            let mut best =
                (last[column] + usize::from(a != b)).min(last[column + 1] + 1).min(next[column] + 1);
            let swapped = row > 0 && column > 0 && one[row - 1] == *b && other[column - 1] == *a;
            if swapped {
                best = best.min(before[column - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut last, next);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_becomes_visible() {
        assert_eq!(visible("a\u{1b}[2Jb\u{202e}c\td\r"), "a\\u{1b}[2Jb\\u{202e}c    d\\r");
    }

    #[test]
    fn times_are_told_in_the_unit_that_says_enough() {
        let now = Timestamp::from_millis(1_000_000_000_000);
        for (seconds, text) in [
            (-5, "just now"),
            (3, "3s ago"),
            (180, "3m ago"),
            (7_200, "2h ago"),
            (86_400, "24h ago"),
            (864_000, "10d ago"),
        ] {
            assert_eq!(ago(Timestamp::from_millis(now.as_millis() - seconds * 1000), now), text);
        }
    }

    #[test]
    fn times_come_as_text_or_seconds() {
        let expected = Timestamp::from_millis(1_500);
        assert_eq!(time(&Value::from(1.5)), Some(expected));
        assert_eq!(time(&Value::from("1970-01-01T00:00:01.500Z")), Some(expected));
        assert_eq!(time(&Value::Null), None);
    }

    #[test]
    fn numbers_lose_what_they_do_not_need() {
        assert_eq!([number(2.0), number(0.5), number(0.1234), number(-0.0)], ["2", "0.5", "0.123", "0"]);
        assert_eq!([mebibytes(512.0), mebibytes(16_384.0)], ["512 MiB", "16 GiB"]);
        assert_eq!([bytes(3), bytes(1536), bytes(5 << 30)], ["3 B", "1.5 KiB", "5.0 GiB"]);
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "m", "5d", "-3s", "0", "nan"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn slips_of_the_fingers_are_recognised() {
        let known = ["/web", "/shop/web", "/db"];
        assert_eq!(similar("/wbe", known), ["/web"]);
        assert_eq!(similar("shop", known), ["/shop/web"]);
        assert_eq!(similar("/cache", known), Vec::<&str>::new());
    }
}
