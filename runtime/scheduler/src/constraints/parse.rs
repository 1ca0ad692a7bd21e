//! Reading constraints as apps write them: `["rack", "GROUP_BY", "3"]`.

use regex::Regex;

use super::{Constraint, Field, Operator, Pattern};

/// A constraint that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("constraint {index}: {problem}")]
pub struct ConstraintError {
    /// Its place in the list, from 0.
    pub index: usize,
    /// What is wrong with it.
    pub problem: ConstraintProblem,
}

/// What can be wrong with a constraint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintProblem {
    /// It does not have two or three parts.
    #[error("it has {0} parts; write it as [field, operator] or [field, operator, value]")]
    Length(usize),
    /// The field is empty.
    #[error("its field is empty")]
    EmptyField,
    /// The field begins with `@` and is none of ours.
    #[error("field `{0}` is unknown: @hostname, @region and @zone are the ones that begin with @")]
    UnknownField(String),
    /// The operator is none of Marathon's.
    #[error("operator `{0}` is unknown: use UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER or IS")]
    UnknownOperator(String),
    /// The operator needs a value.
    #[error("{operator} needs a value: {needs}")]
    MissingValue {
        /// The operator.
        operator: &'static str,
        /// What the value must be.
        needs: &'static str,
    },
    /// The operator takes no value.
    #[error("{0} takes no value")]
    UnexpectedValue(&'static str),
    /// The value is not a whole number that the operator can use.
    #[error("{operator} needs {needs}, not `{value}`")]
    BadNumber {
        /// The operator.
        operator: &'static str,
        /// What the value must be.
        needs: &'static str,
        /// What it is.
        value: String,
    },
    /// The value is no regular expression, or one that needs what only Java has: look-around and back-references, for which
    /// no time can be promised. LIKE and UNLIKE together say most of what they are used for.
    #[error("{operator} needs a regular expression, and `{value}` is none: {reason}")]
    BadPattern {
        /// The operator.
        operator: &'static str,
        /// What the value is.
        value: String,
        /// What is wrong with it, on one line.
        reason: String,
    },
}

/// Reads all constraints of an app.
///
/// # Errors
/// One for each constraint that cannot be read, in their order.
pub fn parse(constraints: &[Vec<String>]) -> Result<Vec<Constraint>, Vec<ConstraintError>> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (index, parts) in constraints.iter().enumerate() {
        match parse_one(parts) {
            Ok(constraint) => good.push(constraint),
            Err(problem) => bad.push(ConstraintError { index, problem }),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(bad) }
}

fn parse_one(parts: &[String]) -> Result<Constraint, ConstraintProblem> {
    let (field, operator, value) = match parts {
        [field, operator] => (field, operator, None),
        // Clients write an empty value where they mean none.
        [field, operator, value] => (field, operator, Some(value).filter(|value| !value.is_empty())),
        _ => return Err(ConstraintProblem::Length(parts.len())),
    };
    let field = match field.as_str() {
        "" => return Err(ConstraintProblem::EmptyField),
        "hostname" | "@hostname" => Field::Hostname,
        "@region" => Field::Region,
        "@zone" => Field::Zone,
        other if other.starts_with('@') => return Err(ConstraintProblem::UnknownField(other.to_owned())),
        other => Field::Attribute(other.to_owned()),
    };
    let needed = |operator, needs| value.ok_or(ConstraintProblem::MissingValue { operator, needs });
    let operator = match operator.as_str() {
        "UNIQUE" if value.is_some() => return Err(ConstraintProblem::UnexpectedValue("UNIQUE")),
        "UNIQUE" => Operator::Unique,
        "CLUSTER" => Operator::Cluster(value.cloned()),
        "GROUP_BY" => Operator::GroupBy(match value {
            None => None,
            Some(value) => Some(number("GROUP_BY", "a whole number of at least 1", value, 1)?),
        }),
        "LIKE" => Operator::Like(pattern("LIKE", needed("LIKE", "a regular expression")?)?),
        "UNLIKE" => Operator::Unlike(pattern("UNLIKE", needed("UNLIKE", "a regular expression")?)?),
        "MAX_PER" => {
            let value = needed("MAX_PER", "a whole number")?;
            Operator::MaxPer(number("MAX_PER", "a whole number", value, 0)?)
        }
        "IS" => Operator::Is(needed("IS", "a number or a text")?.clone()),
        other => return Err(ConstraintProblem::UnknownOperator(other.to_owned())),
    };
    Ok(Constraint { field, operator })
}

fn number(
    operator: &'static str,
    needs: &'static str,
    value: &str,
    least: usize,
) -> Result<usize, ConstraintProblem> {
    let parsed = value.parse().ok().filter(|number| *number >= least);
    parsed.ok_or_else(|| ConstraintProblem::BadNumber { operator, needs, value: value.to_owned() })
}

fn pattern(operator: &'static str, text: &str) -> Result<Pattern, ConstraintProblem> {
    let bad = |error: regex::Error| {
        // The last line of it says what is wrong; those above draw it.
        let shown = error.to_string();
        let mut reason = shown.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        if reason.contains("look-around") || reason.contains("backreference") {
            reason =
                "look-around and back-references of Java are not supported here; write it without them, perhaps as \
                 a LIKE and an UNLIKE"
                    .to_owned();
        }
        ConstraintProblem::BadPattern { operator, value: text.to_owned(), reason }
    };
    // On its own first, so that an unbalanced bracket cannot hide in the one that is put around it.
    Regex::new(text).map_err(bad)?;
    let whole = Regex::new(&format!("^(?:{text})$")).map_err(bad)?;
    Ok(Pattern { text: text.to_owned(), whole })
}
