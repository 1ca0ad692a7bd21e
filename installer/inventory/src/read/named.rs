//! `attributes` and `resources`: a map of names and values, or Mesos' text for them.

use std::fmt::Write as _;
use std::str::FromStr;

use scheduler::attributes::Attributes;
use scheduler::{Resources, TextError, TextProblem};

use crate::faults::{Faults, Problem, quoted};
use crate::fields::{Fields, blame, scalar, secret};
use crate::tree::{Kind, Node};

/// What an agent has to offer.
pub(super) fn resources(fields: &Fields<'_>, faults: &mut Faults<'_>) -> Option<Resources> {
    text::<Resources>(
        fields.node("resources")?,
        "resources",
        "`cpus: 8`, `ports: \"[31000-32000]\"`",
        faults,
    )?
    .parse()
    .ok()
}

/// What is said about an agent.
pub(super) fn attributes(fields: &Fields<'_>, faults: &mut Faults<'_>) -> Option<Attributes> {
    text::<Attributes>(fields.node("attributes")?, "attributes", "`rack: r1`", faults)?.parse().ok()
}

/// The whole in Mesos' form, each part of which can be read as `T`.
fn text<T: FromStr<Err = TextError>>(
    node: &Node,
    name: &str,
    example: &str,
    faults: &mut Faults<'_>,
) -> Option<String> {
    let form = format!("write names and values, like {example}");
    let wrong = |problem: &TextError| {
        Problem::new(format!("does not stand for {name}: {}", problem.problem), form.clone())
    };
    let entries = match &node.kind {
        Kind::Map(entries) => entries,
        Kind::List(_) => {
            faults.add(node.place, format!("`{name}` is a map of names and values, not a list"), form);
            return None;
        }
        Kind::Broken => return None,
        _ if node.is_null() => return Some(String::new()),
        Kind::Scalar(scalar) => {
            return match scalar.text.parse::<T>() {
                Ok(_) => Some(scalar.text.clone()),
                Err(error) => {
                    let problem = Problem::new(format!("does not stand for {name}: {error}"), form.clone());
                    blame(node.place, scalar, problem, faults);
                    None
                }
            };
        }
    };
    let mut whole = String::new();
    for entry in entries {
        if let Some(why) = bad_name::<T>(&entry.key) {
            let message = format!("{} cannot stand in `{name}`{why}", quoted(&entry.key));
            faults.add(entry.place, message, form.clone());
            continue;
        }
        if secret(entry, faults) {
            continue;
        }
        let Some(value) = scalar(&entry.value, &entry.key, faults) else { continue };
        let item = format!("{}:{}", entry.key, value.text);
        if value.text.contains(';') {
            let problem = Problem::new("holds a semicolon, which stands between two of them", form.clone());
            blame(entry.value.place, value, problem, faults);
            continue;
        }
        match item.parse::<T>() {
            // Writing to a string does not fail.
            Ok(_) => drop(write!(whole, "{}{item}", if whole.is_empty() { "" } else { ";" })),
            Err(error) => blame(entry.value.place, value, wrong(&error), faults),
        }
    }
    Some(whole)
}

/// Why a name is none; nothing when it is one.
fn bad_name<T: FromStr<Err = TextError>>(key: &str) -> Option<String> {
    let problem = format!("{key}:1").parse::<T>().err().map(|error| error.problem);
    match problem {
        _ if key.contains([':', ';']) => Some(": names have no colon or semicolon".to_owned()),
        Some(TextProblem::Role(error)) => Some(format!(": {error}")),
        Some(TextProblem::BadName | TextProblem::Unclosed(_)) => Some(String::new()),
        // Ports, for one, are no amounts: that is for their value to show.
        _ => None,
    }
}
