//! Points in time as the interface writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// The first millisecond of the year 0 and the last of 9999, so that every value is written with four digits of year.
const FIRST: i64 = -62_167_219_200_000;
const LAST: i64 = 253_402_300_799_999;

/// A point in time in UTC with a precision of milliseconds, written `2026-01-31T08:15:30.123Z`. Order is time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("is not a timestamp like 2026-01-31T08:15:30.123Z")]
pub struct TimestampError;

impl Timestamp {
    /// From milliseconds since 1970; held within the years 0 to 9999.
    pub fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis.clamp(FIRST, LAST))
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. Years are counted from March here,
/// so that the leap day is the last one of a year.
fn date_of(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, of_year - (153 * march_month + 2) / 5 + 1)
}

/// The inverse of [`date_of`].
fn day_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let year_of_era = year.rem_euclid(400);
    let march_month = (month + 9) % 12;
    let of_year = (153 * march_month + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    year.div_euclid(400) * 146_097 + of_era - 719_468
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_of(self.0.div_euclid(86_400_000));
        let of_day = self.0.rem_euclid(86_400_000);
        let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
        let (second, milli) = (of_day / 1_000 % 60, of_day % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// Takes `digits` digits off the front.
fn number(text: &mut &[u8], digits: usize) -> Result<i64, TimestampError> {
    let (front, rest) = text.split_at_checked(digits).ok_or(TimestampError)?;
    *text = rest;
    front.iter().try_fold(0, |sum, c| {
        if c.is_ascii_digit() { Ok(sum * 10 + i64::from(c - b'0')) } else { Err(TimestampError) }
    })
}

/// Takes one given character off the front.
fn sign(text: &mut &[u8], sign: u8) -> Result<(), TimestampError> {
    match text.split_first() {
        Some((first, rest)) if first.eq_ignore_ascii_case(&sign) => {
            *text = rest;
            Ok(())
        }
        _ => Err(TimestampError),
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Reads ISO 8601 with or without a fraction, with `Z` or an offset; digits beyond milliseconds are cut off.
    fn from_str(text: &str) -> Result<Timestamp, TimestampError> {
        let text = &mut text.as_bytes();
        let year = number(text, 4)?;
        sign(text, b'-')?;
        let month = number(text, 2)?;
        sign(text, b'-')?;
        let day = number(text, 2)?;
        sign(text, b'T')?;
        let hour = number(text, 2)?;
        sign(text, b':')?;
        let minute = number(text, 2)?;
        sign(text, b':')?;
        let second = number(text, 2)?;
        let mut millis = 0;
        if sign(text, b'.').is_ok() {
            let digits = text.iter().take_while(|c| c.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return Err(TimestampError);
            }
            for place in [100, 10, 1] {
                if text.first().is_some_and(u8::is_ascii_digit) {
                    millis += place * number(text, 1)?;
                }
            }
            while text.first().is_some_and(u8::is_ascii_digit) {
                number(text, 1)?;
            }
        }
        let offset = if sign(text, b'Z').is_ok() {
            0
        } else {
            let direction = if sign(text, b'+').is_ok() { 1 } else { sign(text, b'-').map(|()| -1)? };
            let hours = number(text, 2)?;
            // Both +01:00 and +0100 are ISO 8601.
            let _ = sign(text, b':');
            let minutes = number(text, 2)?;
            if hours > 23 || minutes > 59 {
                return Err(TimestampError);
            }
            direction * (hours * 60 + minutes)
        };
        let days = day_of(year, month, day);
        let real = (1..=12).contains(&month) && day >= 1 && date_of(days) == (year, month, day);
        if !text.is_empty() || !real || hour > 23 || minute > 59 || second > 59 {
            return Err(TimestampError);
        }
        let minutes = days * 1_440 + hour * 60 + minute - offset;
        let all = (minutes * 60 + second) * 1_000 + millis;
        if (FIRST..=LAST).contains(&all) { Ok(Timestamp(all)) } else { Err(TimestampError) }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_points_in_time_are_written_as_the_interface_says() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_769_847_330_123, "2026-01-31T08:15:30.123Z"),
            (FIRST, "0000-01-01T00:00:00.000Z"),
            (LAST, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp(millis).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp(millis)));
        }
    }

    #[test]
    fn other_spellings_of_the_same_moment_are_read() {
        let moment = Ok(Timestamp(1_769_847_330_120));
        for text in [
            "2026-01-31T08:15:30.12Z",
            "2026-01-31t08:15:30.120999z",
            "2026-01-31T09:15:30.12+01:00",
            "2026-01-31T03:45:30.120-0430",
        ] {
            assert_eq!(text.parse(), moment, "{text}");
        }
        assert_eq!("2026-01-31T08:15:30Z".parse(), Ok(Timestamp(1_769_847_330_000)));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "now",
            "2026-01-31",
            "2026-01-31T08:15:30.123",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T08:15:30.Z",
            "2026-01-31T08:15:30.123Zx",
            "0000-01-01T00:00:00+01:00",
            "２０２６-01-31T08:15:30Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_written_timestamp_reads_back_and_order_is_time(a in FIRST..=LAST, b in FIRST..=LAST) {
            let (a, b) = (Timestamp(a), Timestamp(b));
            prop_assert_eq!(a.to_string().parse(), Ok(a));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }
}
