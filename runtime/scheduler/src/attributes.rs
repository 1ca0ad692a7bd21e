//! What is said about an agent beside its resources: `rack:r1;level:10;slots:[1-4];disks:{ssd,hdd}`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::ranges::Ranges;
use crate::scalar::{Scalar, ScalarError};
use crate::text::{Piece, TextError, TextProblem, Value, show_set};

/// One attribute's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A word.
    Text(String),
    /// A number, which may be below zero.
    Scalar(Scalar),
    /// Ranges of whole numbers.
    Ranges(Ranges),
    /// A set of words.
    Set(BTreeSet<String>),
}

impl fmt::Display for Attribute {
    /// As Marathon compares them: scalars rounded half-even to three decimals without trailing zeros,
    /// ranges `[a-b,…]`, sets `{x,y}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attribute::Text(text) => f.write_str(text),
            Attribute::Scalar(scalar) => write!(f, "{scalar}"),
            Attribute::Ranges(ranges) => write!(f, "{ranges}"),
            Attribute::Set(set) => f.write_str(&show_set(set)),
        }
    }
}

/// An agent's attributes in the order they were given. A name may stand twice; constraints see the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(String, Attribute)>);

impl Attributes {
    /// The first attribute of this name.
    pub fn get(&self, name: &str) -> Option<&Attribute> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// All, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Attribute)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, Attribute)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (String, Attribute)>>(attributes: I) -> Attributes {
        Attributes(attributes.into_iter().collect())
    }
}

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ";" };
            write!(f, "{separator}{name}:{value}")?;
        }
        Ok(())
    }
}

impl FromStr for Attributes {
    type Err = TextError;

    /// Mesos' form. A value that reads as a number is one, up to [`Scalar::LIMIT`]; the name ends at the first colon.
    fn from_str(text: &str) -> Result<Attributes, TextError> {
        let attribute = |item: Piece<'_>| {
            let (name, value) = item.split_once(':').ok_or_else(|| item.error(TextProblem::NoColon))?;
            let parsed = match value.value() {
                // Digits that name something, such as a serial number, are no amount.
                Err(TextError { problem: TextProblem::Scalar(ScalarError::TooLarge(_)), .. }) => {
                    Value::Text(value.text.to_owned())
                }
                parsed => parsed?,
            };
            let value = match parsed {
                Value::Text(text) => Attribute::Text(text),
                Value::Scalar(scalar) => Attribute::Scalar(scalar),
                Value::Ranges(ranges) => Attribute::Ranges(ranges),
                Value::Set(set) => Attribute::Set(set),
            };
            Ok((name.name()?.to_owned(), value))
        };
        Piece::new(text).items().map(attribute).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_and_shown_as_marathon_compares_them() {
        for (text, shown) in [
            ("rack:r1;level:10", "rack:r1;level:10"),
            ("level:10.5000;low:-2", "level:10.5;low:-2"),
            ("x:0.0005; y:0.0015", "x:0;y:0.002"),
            ("slots:[5-6, 1-4]", "slots:[1-6]"),
            ("disks:{hdd, ssd}", "disks:{hdd,ssd}"),
            ("version:1.2.3;image:a:b", "version:1.2.3;image:a:b"),
            ("", ""),
            ("rack:r1;", "rack:r1"),
            ("serial:20261122143500;n:1e99", "serial:20261122143500;n:1e99"),
        ] {
            assert_eq!(text.parse::<Attributes>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn a_mistake_is_shown_where_it_stands() {
        for (text, message) in [
            ("rack", "column 1, `rack`: write it as name:value"),
            ("a:1;rack:", "column 10, ``: a value is missing"),
            ("a:1; :x", "column 6, ``: this is no name"),
            ("é:1;s:{a,,b}", "column 10, ``: a set has no empty items"),
            ("s:[1-2,4]", "column 8, `4`: write a range as begin-end, such as 31000-32000"),
            ("s:[2-1]", "column 4, `2-1`: the range's begin lies behind its end"),
            ("s:{a", "column 3, `{a`: the closing `}` is missing"),
        ] {
            assert_eq!(text.parse::<Attributes>().unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn the_first_of_two_of_one_name_counts() {
        let attributes: Attributes = "rack:r1;rack:r2".parse().unwrap();
        assert_eq!(attributes.get("rack"), Some(&Attribute::Text("r1".into())));
        assert_eq!(attributes.get("zone"), None);
    }
}
