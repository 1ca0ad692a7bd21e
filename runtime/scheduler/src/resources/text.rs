//! Mesos' text form: `cpus:4;mem(prod):1024.5;ports:[31000-32000,33000-33001];disks:{a,b}`.

use std::fmt;
use std::str::FromStr;

use super::{Bundle, Resources};
use crate::role::Role;
use crate::scalar::Scalar;
use crate::text::{Piece, TextError, TextProblem, Value, show_set};

impl fmt::Display for Resources {
    /// Unreserved ones first, then by role; within a role amounts, ranges, sets. What is zero is not written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (role, bundle) in self.parts() {
            let role = if role.is_star() { String::new() } else { format!("({role})") };
            let scalars = bundle.scalar_entries().map(|(name, amount)| (name, amount.to_string()));
            let ranges = bundle.ranges_entries().map(|(name, ranges)| (name, ranges.to_string()));
            let sets = bundle.set_entries().map(|(name, items)| (name, show_set(items)));
            for (name, value) in scalars.chain(ranges).chain(sets) {
                write!(f, "{separator}{name}{role}:{value}")?;
                separator = ";";
            }
        }
        Ok(())
    }
}

impl fmt::Display for Bundle {
    /// As unreserved resources.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Resources::from(self.clone()).fmt(f)
    }
}

impl FromStr for Resources {
    type Err = TextError;

    /// A name that stands twice in one role is added up. Scalars are rounded half-even to three decimals.
    fn from_str(text: &str) -> Result<Resources, TextError> {
        let mut resources = Resources::default();
        for item in Piece::new(text).items() {
            let (name, value) = item.split_once(':').ok_or_else(|| item.error(TextProblem::NoColon))?;
            let (name, role) = named_role(name)?;
            let mut bundle = Bundle::default();
            put(&mut bundle, name, value)?;
            resources.add_part(&role, &bundle);
        }
        Ok(resources)
    }
}

/// `mem(prod)` as `mem` and `prod`, `mem` as `mem` and `*`.
fn named_role<'a>(piece: Piece<'a>) -> Result<(&'a str, Role), TextError> {
    let Some((name, role)) = piece.split_once('(') else {
        return Ok((piece.name()?, Role::star()));
    };
    let Some(inner) = role.text.strip_suffix(')') else {
        return Err(piece.error(TextProblem::Unclosed(')')));
    };
    let parsed = inner.trim().parse::<Role>();
    Ok((name.name()?, parsed.map_err(|error| role.error(error))?))
}

fn put(bundle: &mut Bundle, name: &str, piece: Piece<'_>) -> Result<(), TextError> {
    let wrong = |must_be| Err(piece.error(TextProblem::WrongKind { name: name.to_owned(), must_be }));
    match piece.value()? {
        Value::Text(_) => return Err(piece.error(TextProblem::NotAResource)),
        Value::Scalar(amount) if amount < Scalar::ZERO => return Err(piece.error(TextProblem::Negative)),
        Value::Scalar(_) if name == "ports" => return wrong("ranges, such as [31000-32000]"),
        Value::Scalar(amount) => bundle.add_scalar(name, amount),
        _ if matches!(name, "cpus" | "mem" | "disk" | "gpus") => return wrong("a number"),
        Value::Ranges(ranges) => bundle.add_ranges(name, &ranges),
        Value::Set(_) if name == "ports" => return wrong("ranges, such as [31000-32000]"),
        Value::Set(items) => bundle.add_set(name, &items),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_read_and_shown() {
        for (text, shown) in [
            (
                "cpus:4;mem(prod):1024.5;ports:[31000-32000,33000-33001];disks:{a,b}",
                "cpus:4;ports:[31000-32000,33000-33001];disks:{a,b};mem(prod):1024.5",
            ),
            ("cpus : 1 ; cpus:0.5005;", "cpus:1.5"),
            ("cpus(*):1;mem( eng/web ):32", "cpus:1;mem(eng/web):32"),
            ("ports:[2-3,1-1]", "ports:[1-3]"),
            ("cpus:0;ports:[];disks:{}", ""),
            ("widgets:2;widgets:[1-2];widgets:{x}", "widgets:2;widgets:[1-2];widgets:{x}"),
        ] {
            assert_eq!(text.parse::<Resources>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn a_mistake_is_shown_where_it_stands() {
        for (text, message) in [
            ("cpus", "column 1, `cpus`: write it as name:value"),
            ("cpus:1;mem:lots", "column 12, `lots`: a resource is a number, [ranges] or a {set}"),
            ("cpus:-1", "column 6, `-1`: an amount cannot be below zero"),
            ("cpus:1;ports:31000", "column 14, `31000`: `ports` must be ranges, such as [31000-32000]"),
            ("mem:{a}", "column 5, `{a}`: `mem` must be a number"),
            ("mem(prod:1", "column 1, `mem(prod`: the closing `)` is missing"),
            ("mem(a//b):1", "column 5, `a//b)`: role `a//b` has an empty part: write it as `a` or `a/b`"),
            ("cpus:20000000000", "column 6, `20000000000`: `20000000000` is beyond 10 billion"),
            (
                "x:[1-99999999999999999999]",
                "column 4, `1-99999999999999999999`: write a range as begin-end, such as 31000-32000",
            ),
        ] {
            assert_eq!(text.parse::<Resources>().unwrap_err().to_string(), message, "{text}");
        }
    }
}
