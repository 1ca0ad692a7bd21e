//! The text form that Mesos uses for resources and attributes: `name:value;name(role):value`.

use std::collections::BTreeSet;

use crate::ranges::{Range, Ranges};
use crate::role::RoleError;
use crate::scalar::{Scalar, ScalarError};

/// A mistake in a text of resources or attributes, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}, `{text}`: {problem}")]
pub struct TextError {
    /// Where it begins, counted in characters from 1.
    pub column: usize,
    /// The piece of text that is wrong.
    pub text: String,
    /// What is wrong with it.
    pub problem: TextProblem,
}

/// What can be wrong with a text of resources or attributes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextProblem {
    /// There is no `:` between name and value.
    #[error("write it as name:value")]
    NoColon,
    /// The name is empty or has a character that names cannot have.
    #[error("this is no name")]
    BadName,
    /// A bracket is opened and not closed.
    #[error("the closing `{0}` is missing")]
    Unclosed(char),
    /// The role within the brackets is none.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// There is nothing behind the `:`.
    #[error("a value is missing")]
    NoValue,
    /// Not `begin-end`.
    #[error("write a range as begin-end, such as 31000-32000")]
    BadRange,
    /// The range's begin lies behind its end.
    #[error("the range's begin lies behind its end")]
    BackwardRange,
    /// A set has an empty item.
    #[error("a set has no empty items")]
    EmptyItem,
    /// A number is none, or is too large.
    #[error(transparent)]
    Scalar(#[from] ScalarError),
    /// A resource's amount is below zero.
    #[error("an amount cannot be below zero")]
    Negative,
    /// A resource's value is a word.
    #[error("a resource is a number, [ranges] or a {{set}}")]
    NotAResource,
    /// cpus, mem, disk and gpus are numbers, ports are ranges.
    #[error("`{name}` must be {must_be}")]
    WrongKind {
        /// The resource's name.
        name: String,
        /// What it has to be.
        must_be: &'static str,
    },
}

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Scalar(Scalar),
    Ranges(Ranges),
    Set(BTreeSet<String>),
    Text(String),
}

/// A piece of the whole text that knows where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    whole: &'a str,
    begin: usize,
    pub(crate) text: &'a str,
}

impl<'a> Piece<'a> {
    pub(crate) fn new(whole: &'a str) -> Piece<'a> {
        Piece { whole, begin: 0, text: whole }
    }

    pub(crate) fn error(self, problem: impl Into<TextProblem>) -> TextError {
        let column = self.whole[..self.begin].chars().count() + 1;
        TextError { column, text: self.text.to_owned(), problem: problem.into() }
    }

    /// The part from `begin` to `end` of this piece, without the space around it.
    fn part(self, begin: usize, end: usize) -> Piece<'a> {
        let text = &self.text[begin..end];
        let space = text.len() - text.trim_start().len();
        Piece { whole: self.whole, begin: self.begin + begin + space, text: text.trim() }
    }

    pub(crate) fn split(self, separator: char) -> impl Iterator<Item = Piece<'a>> {
        let mut begin = 0;
        self.text.split(separator).map(move |text| {
            let piece = self.part(begin, begin + text.len());
            begin += text.len() + separator.len_utf8();
            piece
        })
    }

    /// The parts before and behind the first separator.
    pub(crate) fn split_once(self, separator: char) -> Option<(Piece<'a>, Piece<'a>)> {
        let at = self.text.find(separator)?;
        Some((self.part(0, at), self.part(at + separator.len_utf8(), self.text.len())))
    }

    /// What stands between the first character and `close`, which must be the last one.
    pub(crate) fn inner(self, close: char) -> Result<Piece<'a>, TextError> {
        if self.text.len() < 2 || !self.text.ends_with(close) {
            return Err(self.error(TextProblem::Unclosed(close)));
        }
        Ok(self.part(1, self.text.len() - close.len_utf8()))
    }

    /// The pieces between semicolons that are not empty.
    pub(crate) fn items(self) -> impl Iterator<Item = Piece<'a>> {
        self.split(';').filter(|piece| !piece.text.is_empty())
    }

    pub(crate) fn name(self) -> Result<&'a str, TextError> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || "()[]{};,:".contains(c);
        if self.text.is_empty() || self.text.contains(bad) {
            return Err(self.error(TextProblem::BadName));
        }
        Ok(self.text)
    }

    pub(crate) fn value(self) -> Result<Value, TextError> {
        match self.text.chars().next() {
            None => Err(self.error(TextProblem::NoValue)),
            Some('[') => self.ranges().map(Value::Ranges),
            Some('{') => self.set().map(Value::Set),
            Some(_) => match self.text.parse::<Scalar>() {
                Ok(scalar) => Ok(Value::Scalar(scalar)),
                Err(ScalarError::NotANumber(_)) => Ok(Value::Text(self.text.to_owned())),
                Err(error) => Err(self.error(error)),
            },
        }
    }

    fn ranges(self) -> Result<Ranges, TextError> {
        let inner = self.inner(']')?;
        if inner.text.is_empty() {
            return Ok(Ranges::default());
        }
        let range = |piece: Piece<'_>| {
            let numbers = piece.text.split_once('-');
            let number = |text: &str| text.trim().parse::<u64>().ok();
            match numbers.and_then(|(begin, end)| Some((number(begin)?, number(end)?))) {
                None => Err(piece.error(TextProblem::BadRange)),
                Some((begin, end)) => {
                    Range::new(begin, end).ok_or_else(|| piece.error(TextProblem::BackwardRange))
                }
            }
        };
        inner.split(',').map(range).collect()
    }

    fn set(self) -> Result<BTreeSet<String>, TextError> {
        let inner = self.inner('}')?;
        if inner.text.is_empty() {
            return Ok(BTreeSet::new());
        }
        let item = |piece: Piece<'_>| match piece.text {
            "" => Err(piece.error(TextProblem::EmptyItem)),
            text => Ok(text.to_owned()),
        };
        inner.split(',').map(item).collect()
    }
}

/// A set as `{a,b}`.
pub(crate) fn show_set(set: &BTreeSet<String>) -> String {
    let items: Vec<&str> = set.iter().map(String::as_str).collect();
    format!("{{{}}}", items.join(","))
}
