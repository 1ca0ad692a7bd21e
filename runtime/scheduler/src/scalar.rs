//! Amounts in fixed point, so that adding and taking away never drifts.

use std::fmt;
use std::str::FromStr;

/// An amount in thousandths: 1.5 CPUs are `Scalar` 1500, one MiB of memory is `Scalar` 1000.
///
/// Mesos compares scalars after rounding to three decimals; here they are never anything else. Arithmetic
/// saturates at the ends of `i64`, which [`Scalar::LIMIT`] keeps out of reach of 100,000 agents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scalar(i64);

/// Why a text or a number is no scalar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScalarError {
    /// It is not written as a decimal number.
    #[error("`{0}` is not a number such as 4 or 0.25")]
    NotANumber(String),
    /// It is beyond [`Scalar::LIMIT`].
    #[error("`{0}` is beyond 10 billion")]
    TooLarge(String),
}

impl Scalar {
    /// Nothing.
    pub const ZERO: Scalar = Scalar(0);
    /// The largest amount that is read from outside: ten billion, in MiB ten petabytes.
    pub const LIMIT: Scalar = Scalar(10_000_000_000_000);

    /// So many thousandths.
    pub const fn from_thousandths(thousandths: i64) -> Scalar {
        Scalar(thousandths)
    }

    /// So many whole ones.
    pub const fn whole(units: i64) -> Scalar {
        Scalar(units.saturating_mul(1000))
    }

    /// A number of the wire, rounded half-even to three decimals. `None` for NaN and beyond [`Scalar::LIMIT`].
    pub fn from_f64(value: f64) -> Option<Scalar> {
        let thousandths = (value * 1000.0).round_ties_even();
        if thousandths.abs() <= Scalar::LIMIT.as_f64() * 1000.0 {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole, and within ±10^13 as just compared"
            )]
            return Some(Scalar(thousandths as i64));
        }
        None
    }

    /// The amount in thousandths.
    pub const fn thousandths(self) -> i64 {
        self.0
    }

    /// The amount as the wire writes it.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// True for nothing at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum.
    #[must_use]
    pub const fn plus(self, other: Scalar) -> Scalar {
        Scalar(self.0.saturating_add(other.0))
    }

    /// The difference, which may be below zero.
    #[must_use]
    pub const fn minus(self, other: Scalar) -> Scalar {
        Scalar(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Scalar {
    /// Up to three decimals, without trailing zeros: `4`, `0.25`, `-1.005`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (units, rest) = (self.0.unsigned_abs() / 1000, self.0.unsigned_abs() % 1000);
        if rest == 0 {
            return write!(f, "{sign}{units}");
        }
        let decimals = format!("{rest:03}");
        write!(f, "{sign}{units}.{}", decimals.trim_end_matches('0'))
    }
}

impl FromStr for Scalar {
    type Err = ScalarError;

    /// Reads `4`, `-0.25`, `.5`, `1e3`; what is written exactly is rounded half-even from its digits, not from
    /// the nearest binary number.
    fn from_str(text: &str) -> Result<Scalar, ScalarError> {
        let not_a_number = || ScalarError::NotANumber(text.to_owned());
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return Err(not_a_number());
        }
        if digits.contains(['e', 'E']) {
            let value: f64 = text.parse().ok().ok_or_else(not_a_number)?;
            return Scalar::from_f64(value).ok_or_else(|| ScalarError::TooLarge(text.to_owned()));
        }
        let (units, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if units.len() + decimals.len() == 0 || !all_digits(units) || !all_digits(decimals) {
            return Err(not_a_number());
        }
        let too_large = || ScalarError::TooLarge(text.to_owned());
        let units: i64 = if units.is_empty() { 0 } else { units.parse().ok().ok_or_else(too_large)? };
        if units > Scalar::LIMIT.0 / 1000 {
            return Err(too_large());
        }
        let thousandths = units * 1000 + rounded_decimals(decimals);
        Ok(Scalar(if negative { -thousandths } else { thousandths }))
    }
}

/// The thousandths that decimals stand for, rounded half-even: `0005` is 0, `0015` is 2, `00051` is 1.
fn rounded_decimals(decimals: &str) -> i64 {
    let digit = |at: usize| decimals.as_bytes().get(at).map_or(0, |b| i64::from(b - b'0'));
    let kept = digit(0) * 100 + digit(1) * 10 + digit(2);
    let beyond = decimals.bytes().skip(4).any(|b| b != b'0');
    // A thousand is even, so that the units before the point do not change which neighbour is the even one.
    let up = digit(3) > 5 || (digit(3) == 5 && (beyond || kept % 2 == 1));
    kept + i64::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_rounded_half_even_to_three_decimals() {
        for (text, shown) in [
            ("4", "4"),
            ("1024.5", "1024.5"),
            ("0.0005", "0"),
            ("0.0015", "0.002"),
            ("0.00051", "0.001"),
            ("0.9995", "1"),
            (".25", "0.25"),
            ("-1.0050", "-1.005"),
            ("1e3", "1000"),
            ("+7.", "7"),
        ] {
            assert_eq!(text.parse::<Scalar>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", ".", "-", "4x", "nan", "inf", "1.2.3", "0x10", "1e", "--1"] {
            assert_eq!(text.parse::<Scalar>(), Err(ScalarError::NotANumber(text.into())));
        }
        for text in ["10000000001", "1e30", "99999999999999999999"] {
            assert_eq!(text.parse::<Scalar>(), Err(ScalarError::TooLarge(text.into())));
        }
    }

    #[test]
    fn numbers_of_the_wire_are_rounded_and_bounded() {
        assert_eq!(Scalar::from_f64(0.1 + 0.2), Some(Scalar::from_thousandths(300)));
        assert_eq!(Scalar::from_f64(f64::NAN), None);
        assert_eq!(Scalar::from_f64(f64::INFINITY), None);
        assert_eq!(Scalar::from_f64(1e300), None);
        assert_eq!(Scalar::whole(3).as_f64(), 3.0);
    }
}
