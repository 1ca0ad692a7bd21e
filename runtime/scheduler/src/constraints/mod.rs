//! Marathon's placement constraints (`interfaces/marathon-v2.md` §5).

mod parse;
mod tally;

use std::borrow::Cow;
use std::fmt;

pub use parse::{ConstraintError, ConstraintProblem, parse};
pub use tally::Tally;

use crate::attributes::Attribute;
use crate::host::Host;
use crate::scalar::Scalar;

/// One rule about the value of one field.
#[derive(Clone, Debug)]
pub struct Constraint {
    /// What the rule is about.
    pub field: Field,
    /// The rule.
    pub operator: Operator,
}

/// What a constraint looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// `hostname` or `@hostname`: the agent's hostname.
    Hostname,
    /// `@region`: the region of the agent's domain.
    Region,
    /// `@zone`: the zone of the agent's domain.
    Zone,
    /// The agent's attribute of this name.
    Attribute(String),
}

/// What a constraint demands of the value. Values compare as text.
#[derive(Clone, Debug)]
pub enum Operator {
    /// No two instances share the value.
    Unique,
    /// All on this value, or without one all on that of the first instance.
    Cluster(Option<String>),
    /// Spread evenly over so many values, as the app's target number of instances divides; without a number over all
    /// that are seen.
    GroupBy(Option<usize>),
    /// The whole value matches.
    Like(Pattern),
    /// The whole value does not match, or there is none.
    Unlike(Pattern),
    /// At most so many instances on a value.
    MaxPer(usize),
    /// The value is this one.
    Is(String),
}

/// A regular expression that must match the whole value: Java's, as Marathon takes them, but for look-around and
/// back-references, which [`parse`] refuses.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    whole: regex::Regex,
}

impl fmt::Display for Constraint {
    /// As in an app: `["rack", "GROUP_BY", "3"]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = match &self.field {
            Field::Hostname => "hostname",
            Field::Region => "@region",
            Field::Zone => "@zone",
            Field::Attribute(name) => name,
        };
        let (operator, value) = match &self.operator {
            Operator::Unique => ("UNIQUE", None),
            Operator::Cluster(value) => ("CLUSTER", value.clone()),
            Operator::GroupBy(count) => ("GROUP_BY", count.map(|n| n.to_string())),
            Operator::Like(pattern) => ("LIKE", Some(pattern.text.clone())),
            Operator::Unlike(pattern) => ("UNLIKE", Some(pattern.text.clone())),
            Operator::MaxPer(count) => ("MAX_PER", Some(count.to_string())),
            Operator::Is(value) => ("IS", Some(value.clone())),
        };
        match value {
            None => write!(f, "[{field:?}, {operator:?}]"),
            Some(value) => write!(f, "[{field:?}, {operator:?}, {value:?}]"),
        }
    }
}

/// Whether one more instance may go to `candidate` while the others of its app are on `placed`, first one first, and
/// `target` is how many instances the app is to have. Counts `placed` anew: for many candidates keep [`tally()`]'s counts
/// and ask [`check_tallied`].
///
/// # Errors
/// The first constraint that turns the candidate away.
pub fn check<'c>(
    constraints: &'c [Constraint],
    candidate: &Host,
    placed: &[&Host],
    target: usize,
) -> Result<(), &'c Constraint> {
    check_tallied(constraints, candidate, &tally(constraints, placed.iter().copied()), target)
}

/// What [`check_tallied`] needs to know of the instances that are there, first one first: a tally for each constraint.
pub fn tally<'h>(constraints: &[Constraint], placed: impl IntoIterator<Item = &'h Host>) -> Vec<Tally> {
    let mut tallies: Vec<Tally> = constraints.iter().map(Tally::new).collect();
    for host in placed {
        tallies.iter_mut().for_each(|tally| tally.place(host));
    }
    tallies
}

/// As [`check`], with the [`tally()`] of the same constraints: its cost does not grow with the instances.
///
/// # Errors
/// The first constraint that turns the candidate away.
pub fn check_tallied<'c>(
    constraints: &'c [Constraint],
    candidate: &Host,
    tallies: &[Tally],
    target: usize,
) -> Result<(), &'c Constraint> {
    let mut both = constraints.iter().zip(tallies);
    match both.find(|(constraint, tally)| !constraint.allows(candidate, tally, target)) {
        None => Ok(()),
        Some((constraint, _)) => Err(constraint),
    }
}

impl Field {
    fn value<'h>(&self, host: &'h Host) -> Option<Cow<'h, str>> {
        match self {
            Field::Hostname => Some(Cow::Borrowed(&host.hostname)),
            Field::Region => host.region.as_deref().map(Cow::Borrowed),
            Field::Zone => host.zone.as_deref().map(Cow::Borrowed),
            Field::Attribute(name) => Some(match host.attributes.get(name)? {
                Attribute::Text(text) => Cow::Borrowed(text),
                other => Cow::Owned(other.to_string()),
            }),
        }
    }

    /// The field as a number, when it is an attribute that is one.
    fn scalar(&self, host: &Host) -> Option<Scalar> {
        match self {
            Field::Attribute(name) => match host.attributes.get(name)? {
                Attribute::Scalar(scalar) => Some(*scalar),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Constraint {
    /// Whether this rule alone lets one more instance go to `candidate`; `tally` is of this rule, `target` how many
    /// instances the app is to have.
    pub fn allows(&self, candidate: &Host, tally: &Tally, target: usize) -> bool {
        let Some(value) = self.field.value(candidate) else {
            return matches!(self.operator, Operator::Unlike(_));
        };
        match &self.operator {
            Operator::Unique => tally.count(&value) == 0,
            Operator::Cluster(Some(wanted)) => value == wanted.as_str(),
            Operator::Cluster(None) => tally.first.as_deref().is_none_or(|first| first == value),
            Operator::MaxPer(most) => tally.count(&value) < *most,
            Operator::Like(pattern) => pattern.whole.is_match(&value),
            Operator::Unlike(pattern) => !pattern.whole.is_match(&value),
            Operator::Is(wanted) => match self.field.scalar(candidate) {
                Some(scalar) => wanted.parse() == Ok(scalar),
                None => value == wanted.as_str(),
            },
            Operator::GroupBy(groups) => tally.is_level(*groups, tally.count(&value), target),
        }
    }
}

#[cfg(test)]
mod tests;
