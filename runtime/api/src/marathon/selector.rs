//! Label selectors (§3), like `env==prod,tier in (web,api)`.

use std::collections::BTreeMap;
use std::str::FromStr;

use thiserror::Error;

/// The text is no label selector.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid label selector '{selector}': expected {expected} at character {at}")]
pub struct SelectorError {
    selector: String,
    expected: &'static str,
    at: usize,
}

/// Conditions on labels, all of which must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSelector(Vec<Condition>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    name: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl LabelSelector {
    /// Whether the labels fulfil every condition. `!=` and `notin` need the label to exist.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|condition| match (&condition.test, labels.get(&condition.name)) {
            (_, None) => false,
            (Test::Exists, Some(_)) => true,
            (Test::In(values), Some(value)) => values.contains(value),
            (Test::NotIn(values), Some(value)) => !values.contains(value),
        })
    }
}

/// Goes through the characters of a selector.
struct Parser {
    text: Vec<char>,
    at: usize,
}

/// What was expected instead.
type Expected = &'static str;

impl Parser {
    fn skip_space(&mut self) {
        while self.text.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
    }

    fn take(&mut self, sign: &str) -> bool {
        self.skip_space();
        let found = sign.chars().enumerate().all(|(i, c)| self.text.get(self.at + i) == Some(&c));
        if found {
            self.at += sign.chars().count();
        }
        found
    }

    fn term(&mut self, expected: Expected) -> Result<String, Expected> {
        self.skip_space();
        let mut term = String::new();
        while let Some(c) = self.text.get(self.at) {
            if c.is_ascii_alphanumeric() || "-_.".contains(*c) {
                term.push(*c);
                self.at += 1;
            } else if *c == '\\' {
                let escaped = self.text.get(self.at + 1).ok_or("a character after the backslash")?;
                term.push(*escaped);
                self.at += 2;
            } else {
                break;
            }
        }
        if term.is_empty() { Err(expected) } else { Ok(term) }
    }

    fn values(&mut self) -> Result<Vec<String>, Expected> {
        if !self.take("(") {
            return Err("'('");
        }
        let mut values = vec![self.term("a value")?];
        while self.take(",") {
            values.push(self.term("a value")?);
        }
        if self.take(")") { Ok(values) } else { Err("',' or ')'") }
    }

    fn condition(&mut self) -> Result<Condition, Expected> {
        let name = self.term("a label's name")?;
        let test = if self.take("==") {
            Test::In(vec![self.term("a value")?])
        } else if self.take("!=") {
            Test::NotIn(vec![self.term("a value")?])
        } else if self.take("notin") {
            Test::NotIn(self.values()?)
        } else if self.take("in") {
            Test::In(self.values()?)
        } else {
            Test::Exists
        };
        Ok(Condition { name, test })
    }

    fn selector(&mut self) -> Result<Vec<Condition>, Expected> {
        let mut conditions = vec![self.condition()?];
        while self.take(",") {
            conditions.push(self.condition()?);
        }
        self.skip_space();
        if self.at == self.text.len() { Ok(conditions) } else { Err("'==', '!=', 'in', 'notin' or ','") }
    }
}

impl FromStr for LabelSelector {
    type Err = SelectorError;

    fn from_str(selector: &str) -> Result<LabelSelector, SelectorError> {
        let mut parser = Parser { text: selector.chars().collect(), at: 0 };
        parser.selector().map(LabelSelector).map_err(|expected| SelectorError {
            selector: selector.to_owned(),
            expected,
            at: parser.at + 1,
        })
    }
}

impl From<SelectorError> for super::error::ApiError {
    fn from(error: SelectorError) -> Self {
        super::error::ApiError::IllegalArgument(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn selectors_match_as_the_interface_says() {
        let labels = [("env", "prod"), ("tier", "web"), ("in", "x"), ("a b", "c,d"), ("empty", "")];
        let labels: BTreeMap<String, String> =
            labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        for (selector, expected) in [
            ("env", true),
            ("missing", false),
            ("empty", true),
            ("env==prod", true),
            ("env == prod", true),
            ("env==dev", false),
            ("env!=dev", true),
            ("env!=prod", false),
            ("missing!=x", false),
            ("env in (dev, prod)", true),
            ("env in (dev)", false),
            ("env notin (dev,test)", true),
            ("env notin (prod)", false),
            ("missing notin (x)", false),
            ("env==prod, tier in (web,api)", true),
            ("env==prod,tier==api", false),
            ("in", true),
            ("in in (x)", true),
            ("a\\ b==c\\,d", true),
        ] {
            let parsed: LabelSelector = selector.parse().unwrap();
            assert_eq!(parsed.matches(&labels), expected, "{selector}");
        }
    }

    #[test]
    fn bad_selectors_are_refused_with_the_place() {
        for (selector, at) in [
            ("", 1),
            ("==x", 1),
            ("a==", 4),
            ("a=b", 2),
            ("a in x", 6),
            ("a in (", 7),
            ("a in ()", 7),
            ("a in (b", 8),
            ("a,", 3),
            ("a b", 3),
            ("!a", 1),
            ("a\\", 2),
            ("ä", 1),
        ] {
            let error = selector.parse::<LabelSelector>().unwrap_err();
            assert_eq!(error.at, at, "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_escaped_selects_itself(name in "\\PC{1,8}", value in "\\PC{1,8}") {
            let escape = |text: &str| text.chars().flat_map(|c| ['\\', c]).collect::<String>();
            let selector: LabelSelector = format!("{}=={}", escape(&name), escape(&value)).parse().unwrap();
            prop_assert!(selector.matches(&BTreeMap::from([(name, value)])));
        }
    }
}
