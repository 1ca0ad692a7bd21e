//! Ranges in names and addresses: `a[01:20]` is `a01`, `a02` and so on to `a20`.

use std::fmt;

/// The most hosts that an inventory may describe.
pub const MAX_HOSTS: usize = 5000;

/// Longer numbers are no host's.
const MAX_DIGITS: usize = 9;

/// A text with at most one range of numbers in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    before: String,
    range: Option<Range>,
    after: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: usize,
    last: usize,
    /// Shorter numbers get zeros in front; 0 for none.
    width: usize,
}

/// What is wrong with a range, and at which character of the text it stands, from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct RangeError {
    /// The character of the text, from 0.
    pub at: usize,
    /// What is wrong there.
    pub problem: RangeProblem,
}

/// What can be wrong with a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeProblem {
    /// There is no closing bracket, or no opening one.
    #[error("has a bracket without the other one")]
    Unbalanced,
    /// Not two numbers with a colon between them.
    #[error("has brackets that hold no range")]
    NotNumbers,
    /// An IPv6 address in brackets.
    #[error("is an IPv6 address in brackets")]
    Bracketed,
    /// A second range.
    #[error("has a second range")]
    Second,
    /// The range ends before it begins.
    #[error("has a range that ends before it begins")]
    Backward(String, String),
    /// `[01:100]`: it is not clear how the numbers are written.
    #[error("has a range whose numbers have zeros in front and not the same length")]
    Padding(String, String),
    /// More than the inventory may describe.
    #[error("has a range of more than {MAX_HOSTS} hosts")]
    TooMany,
}

impl RangeProblem {
    /// What to write instead.
    pub fn write(&self) -> String {
        match self {
            Self::Unbalanced | Self::NotNumbers => {
                "a range is two numbers in brackets, like `a[01:20]` or `192.0.2.[21:40]`".to_owned()
            }
            Self::Bracketed => "write it without brackets".to_owned(),
            Self::Second => "write an entry of its own for each of the first range's numbers".to_owned(),
            Self::Backward(first, last) | Self::Padding(first, last) => format!("write `[{first}:{last}]`"),
            Self::TooMany => "make several clusters of so many hosts".to_owned(),
        }
    }
}

impl Pattern {
    /// Reads a text with or without a range.
    ///
    /// # Errors
    /// When its brackets are no range.
    pub fn parse(text: &str) -> Result<Pattern, RangeError> {
        let wrong = |byte: usize, problem| {
            let at = text.get(..byte).unwrap_or_default().chars().count();
            Err(RangeError { at, problem })
        };
        let Some((before, rest)) = text.split_once('[') else {
            return match text.find(']') {
                Some(at) => wrong(at, RangeProblem::Unbalanced),
                None => Ok(Pattern { before: text.to_owned(), range: None, after: String::new() }),
            };
        };
        let open = before.len();
        if let Some(at) = before.find(']') {
            return wrong(at, RangeProblem::Unbalanced);
        }
        let Some((inside, after)) = rest.split_once(']') else {
            return wrong(open, RangeProblem::Unbalanced);
        };
        if let Some(at) = after.find(['[', ']']) {
            let problem =
                if after.get(at..=at) == Some("[") { RangeProblem::Second } else { RangeProblem::Unbalanced };
            return wrong(text.len() - after.len() + at, problem);
        }
        match range(inside) {
            Ok(range) => {
                Ok(Pattern { before: before.to_owned(), range: Some(range), after: after.to_owned() })
            }
            Err(problem) => wrong(open, problem),
        }
    }

    /// Whether there is a range in it, even one of a single number.
    pub fn is_range(&self) -> bool {
        self.range.is_some()
    }

    /// How many texts it stands for.
    pub fn count(&self) -> usize {
        self.range.map_or(1, |range| range.last - range.first + 1)
    }

    /// The texts that it stands for, in order.
    pub fn texts(&self) -> impl Iterator<Item = String> + '_ {
        let Range { first, last, width } = self.range.unwrap_or(Range { first: 0, last: 0, width: 0 });
        (first..=last).map(move |number| match self.range {
            Some(_) => format!("{}{number:0width$}{}", self.before, self.after),
            None => self.before.clone(),
        })
    }
}

impl fmt::Display for Pattern {
    /// As it is written in an inventory.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.range {
            Some(Range { first, last, width }) => {
                write!(f, "{}[{first:0width$}:{last:0width$}]{}", self.before, self.after)
            }
            None => f.write_str(&self.before),
        }
    }
}

fn range(inside: &str) -> Result<Range, RangeProblem> {
    if inside.parse::<std::net::Ipv6Addr>().is_ok() {
        return Err(RangeProblem::Bracketed);
    }
    let (first, last) = inside.split_once(':').ok_or(RangeProblem::NotNumbers)?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(first) || !is_number(last) {
        return Err(RangeProblem::NotNumbers);
    }
    let number = |text: &str| {
        let fits = text.len() <= MAX_DIGITS;
        fits.then(|| text.parse::<usize>().ok()).flatten().ok_or(RangeProblem::TooMany)
    };
    let (low, high) = (number(first)?, number(last)?);
    let is_padded = |text: &str| text.len() > 1 && text.starts_with('0');
    let width = if is_padded(first) || is_padded(last) { first.len().max(last.len()) } else { 0 };
    if low > high {
        return Err(RangeProblem::Backward(last.to_owned(), first.to_owned()));
    }
    if width > 0 && first.len() != last.len() {
        return Err(RangeProblem::Padding(format!("{low:0width$}"), format!("{high:0width$}")));
    }
    if high - low >= MAX_HOSTS {
        return Err(RangeProblem::TooMany);
    }
    Ok(Range { first: low, last: high, width })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(text: &str) -> Vec<String> {
        Pattern::parse(text).unwrap().texts().collect()
    }

    #[test]
    fn a_range_stands_for_each_of_its_numbers() {
        for (text, expected) in [
            ("m1", &["m1"][..]),
            ("a[8:11]", &["a8", "a9", "a10", "a11"]),
            ("a[08:11]", &["a08", "a09", "a10", "a11"]),
            ("192.0.2.[254:255]", &["192.0.2.254", "192.0.2.255"]),
            ("2001:db8::[9:10]", &["2001:db8::9", "2001:db8::10"]),
            ("[1:2].example.org", &["1.example.org", "2.example.org"]),
            ("n[5:5]", &["n5"]),
            ("n[0:1]-x", &["n0-x", "n1-x"]),
        ] {
            assert_eq!(texts(text), expected, "{text}");
            assert_eq!(Pattern::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_bad_range_is_told_with_its_place() {
        use RangeProblem::*;
        for (text, at, problem) in [
            ("a[1", 1, Unbalanced),
            ("a1]", 2, Unbalanced),
            ("é[1:2]]", 6, Unbalanced),
            ("a[1-2]", 1, NotNumbers),
            ("a[a:f]", 1, NotNumbers),
            ("a[1:2:3]", 1, NotNumbers),
            ("a[]", 1, NotNumbers),
            ("a[-1:2]", 1, NotNumbers),
            ("[2001:db8::1]", 0, Bracketed),
            ("a[1:2]b[1:2]", 7, Second),
            ("a[20:1]", 1, Backward("1".into(), "20".into())),
            ("a[01:100]", 1, Padding("001".into(), "100".into())),
            ("a[1:010]", 1, Padding("001".into(), "010".into())),
            ("a[1:5001]", 1, TooMany),
            ("a[1:99999999999999999999]", 1, TooMany),
        ] {
            assert_eq!(Pattern::parse(text), Err(RangeError { at, problem }), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_a_range_stands_for_reads_back_as_its_numbers(
            first in 0_usize..2000, more in 0..MAX_HOSTS, padded: bool, before in "[a-z.]{0,5}", after in "[a-z.]{0,5}",
        ) {
            let last = first + more;
            let width = if padded { last.to_string().len() } else { 0 };
            let text = format!("{before}[{first:0width$}:{last:0width$}]{after}");
            let pattern = Pattern::parse(&text).unwrap();
            let numbers: Vec<usize> = pattern.texts().map(|text| {
                let digits = text.strip_prefix(before.as_str()).unwrap().strip_suffix(after.as_str()).unwrap();
                assert!(digits.len() >= width);
                digits.parse().unwrap()
            }).collect();
            prop_assert_eq!(numbers, (first..=last).collect::<Vec<_>>());
            prop_assert_eq!(pattern.count(), more + 1);
            prop_assert_eq!(pattern.to_string(), text);
        }

        #[test]
        fn any_text_is_a_pattern_or_a_mistake_in_it(text in ".{0,40}") {
            match Pattern::parse(&text) {
                Ok(pattern) => prop_assert_eq!(pattern.texts().count(), pattern.count()),
                Err(error) => prop_assert!(error.at < text.chars().count()),
            }
        }
    }
}
