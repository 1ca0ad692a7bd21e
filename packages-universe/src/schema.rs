//! The JSON Schema of a package's options, draft 4: made fit for a validator that is stricter than what packages were written for.
//!
//! Only what validates is kept, so that nothing else in a schema can do harm. Nothing is fetched: a `$ref` stays in its file. A schema
//! that refers to itself is refused, since options are a form that a person fills in, and such a schema can cost without end.

use std::collections::BTreeMap;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value, json};

use crate::fault::Problem;
use crate::options::OptionFault;
use crate::similar::similar;

/// How deep a schema may be nested.
const DEEPEST: usize = 40;
/// How many schemas one may consist of, with each `$ref` counted as what it stands for.
const MOST_NODES: u64 = 100_000;
/// How often a pattern may go back before it is given up.
const BACKTRACKS: usize = 100_000;
/// How large a compiled pattern may be, in bytes.
const PATTERN_BYTES: usize = 1 << 20;
/// How many faults of options are told.
const MOST_FAULTS: usize = 100;

/// The types of draft 4.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// A value's type, by the name that schemas use.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A key as a segment of a JSON pointer.
pub(crate) fn segment(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The keys of a JSON pointer.
pub(crate) fn segments(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~"))
}

/// The pointers of all options with `secret: true`.
pub(crate) fn secrets(schema: &Value) -> Vec<String> {
    fn walk(schema: &Value, pointer: &str, depth: usize, found: &mut Vec<String>) {
        let Some(properties) =
            schema.get("properties").and_then(Value::as_object).filter(|_| depth < DEEPEST)
        else {
            return;
        };
        for (name, property) in properties {
            let pointer = format!("{pointer}{}", segment(name));
            if property.get("secret") == Some(&Value::Bool(true)) {
                found.push(pointer);
            } else {
                walk(property, &pointer, depth + 1, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(schema, "", 0, &mut found);
    found
}

/// The names of the options at a pointer.
pub(crate) fn known_at(schema: &Value, pointer: &str) -> Vec<String> {
    let mut at = Some(schema);
    for key in segments(pointer) {
        at = at.and_then(|schema| schema.get("properties")?.get(&key));
    }
    let properties = at.and_then(|schema| schema.get("properties")?.as_object());
    properties.map(|map| map.keys().cloned().collect()).unwrap_or_default()
}

/// A schema, ready to judge options by.
#[derive(Debug)]
pub(crate) struct Schema<'a> {
    written: &'a Value,
    validator: Validator,
}

impl<'a> Schema<'a> {
    /// Prepares one; what was left out of it goes to `problems`.
    ///
    /// # Errors
    /// When options cannot be judged by it: references that lead elsewhere or nowhere, or to where they come from; too much of it.
    pub(crate) fn new(written: &'a Value, problems: &mut Vec<Problem>) -> Result<Self, Problem> {
        if !written.is_object() {
            return Err(Problem::new(
                &[],
                format!("the schema is {}, no object", kind(written)),
                "it begins with `type: object` and `properties:`",
            ));
        }
        let tidy = Tidy { problems, path: Vec::new() }.schema(written)?;
        let mut costs = Costs { root: &tidy, stack: vec!["#".to_owned()], known: BTreeMap::new() };
        costs.of(&tidy)?;
        let validator = options().build(&tidy).map_err(|error| {
            Problem::new(&[], format!("the schema cannot be used: {}", error.masked()), "")
        })?;
        Ok(Self { written, validator })
    }

    /// What is wrong with options. Nothing of what stands at the `hidden` pointers gets into it.
    pub(crate) fn judge(&self, options: &Value, hidden: &[String]) -> Vec<OptionFault> {
        let mut faults: Vec<OptionFault> = Vec::new();
        for error in self.validator.iter_errors(options).take(MOST_FAULTS) {
            let fault = self.fault(&error, hidden);
            // One fault for all that is missing at the same place.
            let same = faults.last_mut().filter(|last| {
                last.pointer == fault.pointer && !last.missing.is_empty() && !fault.missing.is_empty()
            });
            match same {
                Some(last) => {
                    last.missing.extend(fault.missing);
                    last.message = missing(&last.missing);
                }
                None => faults.push(fault),
            }
        }
        faults
    }

    fn fault(&self, error: &ValidationError<'_>, hidden: &[String]) -> OptionFault {
        let pointer = error.instance_path().to_string();
        let found = error.instance();
        let secret = hidden.iter().any(|one| {
            pointer == *one
                || pointer.starts_with(&format!("{one}/"))
                || one.starts_with(&format!("{pointer}/"))
                || pointer.is_empty()
        });
        // Of a large value its type says enough.
        let shown = match &**found {
            Value::Array(_) | Value::Object(_) => None,
            Value::String(text) if text.len() > 200 => None,
            _ if secret => None,
            other => Some(other.clone()),
        };
        let mut fault = OptionFault { pointer, ..OptionFault::default() };
        let limit = |what: &str, limit: &dyn std::fmt::Display| format!("{what} {limit}");
        fault.message = match error.kind() {
            ValidationErrorKind::Type { kind: expected } => {
                let types: Vec<String> = match expected {
                    TypeKind::Single(one) => vec![one.to_string()],
                    TypeKind::Multiple(set) => set.iter().map(|one| one.to_string()).collect(),
                };
                let message =
                    format!("a value of type {} is needed here, not {}", types.join(" or "), kind(found));
                fault.expected = Some(json!(types));
                fault.found = Some(json!(kind(found)));
                message
            }
            ValidationErrorKind::Required { property } => {
                fault.missing = vec![property.as_str().unwrap_or_default().to_owned()];
                missing(&fault.missing)
            }
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                fault.unwanted.clone_from(unexpected);
                let known = known_at(self.written, &fault.pointer);
                let mut message = format!("there is no option {}", quoted(unexpected));
                let near: Vec<&str> = unexpected
                    .iter()
                    .flat_map(|wrong| similar(wrong, known.iter().map(String::as_str)))
                    .collect();
                if !near.is_empty() {
                    message.push_str(&format!(" (did you mean {}?)", near.join(", ")));
                }
                message
            }
            ValidationErrorKind::Enum { options } => {
                fault.expected = Some((**options).clone());
                fault.found = shown;
                let listed: Vec<String> =
                    options.as_array().into_iter().flatten().map(Value::to_string).collect();
                format!("the value is none of {}", listed.join(", "))
            }
            ValidationErrorKind::Minimum { limit: least } => {
                (fault.minimum, fault.found) = (Some(least.clone()), shown);
                limit("the number is below the least that is taken,", least)
            }
            ValidationErrorKind::ExclusiveMinimum { limit: least } => {
                (fault.minimum, fault.found) = (Some(least.clone()), shown);
                limit("the number has to be larger than", least)
            }
            ValidationErrorKind::Maximum { limit: most } => {
                (fault.maximum, fault.found) = (Some(most.clone()), shown);
                limit("the number is above the most that is taken,", most)
            }
            ValidationErrorKind::ExclusiveMaximum { limit: most } => {
                (fault.maximum, fault.found) = (Some(most.clone()), shown);
                limit("the number has to be smaller than", most)
            }
            ValidationErrorKind::Pattern { pattern } => {
                (fault.expected, fault.found) = (Some(json!(pattern)), shown);
                format!("the text does not match the pattern {pattern}")
            }
            ValidationErrorKind::Format { format } => {
                (fault.expected, fault.found) = (Some(json!(format)), shown);
                format!("the text is no {format}")
            }
            ValidationErrorKind::MinLength { limit: least } => limit("the text is shorter than", least),
            ValidationErrorKind::MaxLength { limit: most } => limit("the text is longer than", most),
            ValidationErrorKind::MinItems { limit: least } => limit("there are fewer entries than", least),
            ValidationErrorKind::MaxItems { limit: most } => limit("there are more entries than", most),
            ValidationErrorKind::UniqueItems => "an entry stands here twice".to_owned(),
            ValidationErrorKind::MultipleOf { multiple_of } => {
                limit("the number is no multiple of", multiple_of)
            }
            ValidationErrorKind::BacktrackLimitExceeded { .. }
            | ValidationErrorKind::RegexEngineFailure { .. } => {
                "the text is too much for the pattern it has to match".to_owned()
            }
            ValidationErrorKind::AnyOf { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
                "the value is of none of the forms that are taken here".to_owned()
            }
            ValidationErrorKind::OneOfMultipleValid { .. } => {
                "the value is of more than one of the forms of which it may have one".to_owned()
            }
            // What the others quote may be secret or large.
            _ => error.masked().to_string(),
        };
        fault
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn missing(names: &[String]) -> String {
    format!("{} {} missing", quoted(names), if names.len() == 1 { "is" } else { "are" })
}

fn options<'i>() -> jsonschema::ValidationOptions<'i> {
    let patterns = PatternOptions::fancy_regex();
    let patterns =
        patterns.backtrack_limit(BACKTRACKS).size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES);
    jsonschema::options().with_draft(Draft::Draft4).offline().with_pattern_options(patterns)
}

/// Copies what validates.
struct Tidy<'a> {
    problems: &'a mut Vec<Problem>,
    path: Vec<String>,
}

impl Tidy<'_> {
    fn here<'p>(&'p self, key: &'p str) -> Vec<&'p str> {
        self.path.iter().map(String::as_str).chain([key]).collect()
    }

    fn schema(&mut self, written: &Value) -> Result<Value, Problem> {
        if self.path.len() > 2 * DEEPEST {
            return Err(Problem::new(&self.here("")[..3], "the schema is nested too deep", ""));
        }
        let Some(written) = written.as_object() else {
            let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
            self.problems.push(Problem::mild(
                &path,
                format!("a schema is expected here, not {}", kind(written)),
                "",
            ));
            return Ok(json!({}));
        };
        if let Some(reference) = written.get("$ref") {
            return match reference.as_str() {
                Some(inner) if inner == "#" || inner.starts_with("#/") => Ok(json!({"$ref": inner})),
                _ => Err(Problem::new(
                    &self.here("$ref"),
                    format!("`$ref` leads out of this file: {reference}"),
                    "nothing is fetched for a schema; put it below `definitions` and write `$ref: \"#/definitions/…\"`",
                )),
            };
        }
        let mut tidy = Map::new();
        for (key, value) in written {
            self.path.push(key.clone());
            let kept = self.keyword(key, value);
            self.path.pop();
            if let Some(kept) = kept? {
                tidy.insert(key.clone(), kept);
            }
        }
        // Draft 4 has these beside the limit alone.
        for (alone, with) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
            if !tidy.contains_key(with) {
                tidy.remove(alone);
            }
        }
        Ok(Value::Object(tidy))
    }

    /// What is kept of a keyword.
    fn keyword(&mut self, key: &str, value: &Value) -> Result<Option<Value>, Problem> {
        let fits = match key {
            "properties" | "patternProperties" | "definitions" => {
                let Some(map) = value.as_object() else { return Ok(self.left_out(key, value)) };
                let mut tidy = Map::new();
                for (name, one) in map {
                    if key == "patternProperties" && !self.pattern(name) {
                        continue;
                    }
                    self.path.push(name.clone());
                    let one = self.schema(one);
                    self.path.pop();
                    tidy.insert(name.clone(), one?);
                }
                return Ok(Some(Value::Object(tidy)));
            }
            "allOf" | "anyOf" | "oneOf" => {
                let Some(list) = value.as_array().filter(|list| !list.is_empty()) else {
                    return Ok(self.left_out(key, value));
                };
                return list
                    .iter()
                    .map(|one| self.schema(one))
                    .collect::<Result<Vec<_>, _>>()
                    .map(|all| Some(json!(all)));
            }
            "items" if value.is_array() => {
                let list = value.as_array().into_iter().flatten();
                return list
                    .map(|one| self.schema(one))
                    .collect::<Result<Vec<_>, _>>()
                    .map(|all| Some(json!(all)));
            }
            "not" | "items" => return self.schema(value).map(Some),
            "additionalProperties" | "additionalItems" if value.is_object() => {
                return self.schema(value).map(Some);
            }
            "additionalProperties"
            | "additionalItems"
            | "uniqueItems"
            | "exclusiveMinimum"
            | "exclusiveMaximum" => value.is_boolean(),
            "dependencies" => {
                let Some(map) = value.as_object() else { return Ok(self.left_out(key, value)) };
                let mut tidy = Map::new();
                for (name, one) in map {
                    if names(one) {
                        tidy.insert(name.clone(), one.clone());
                    } else if one.is_object() {
                        tidy.insert(name.clone(), self.schema(one)?);
                    }
                }
                return Ok(Some(Value::Object(tidy)));
            }
            "type" => {
                let known = |one: &Value| one.as_str().is_some_and(|one| TYPES.contains(&one));
                known(value)
                    || value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(known))
            }
            "required" => names(value),
            "enum" => value.as_array().is_some_and(|list| {
                !list.is_empty() && list.iter().enumerate().all(|(at, one)| !list[..at].contains(one))
            }),
            "minimum" | "maximum" => value.is_number(),
            "multipleOf" => value.as_f64().is_some_and(|number| number > 0.0),
            "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" => {
                value.is_u64()
            }
            "pattern" => match value.as_str() {
                Some(pattern) if self.pattern(pattern) => true,
                Some(_) => return Ok(None),
                None => false,
            },
            "format" => value.is_string(),
            // Titles, defaults, identifiers, and what others made up.
            _ => return Ok(None),
        };
        Ok(if fits { Some(value.clone()) } else { self.left_out(key, value) })
    }

    fn left_out(&mut self, key: &str, value: &Value) -> Option<Value> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let (what, hint) = match (key, value) {
            ("required", Value::Bool(_)) => (
                "`required` of draft 3 says nothing here".to_owned(),
                "list the names of what is required beside `properties`: `required: [name]`".to_owned(),
            ),
            ("required", Value::Array(list)) if list.is_empty() => return None,
            ("type", Value::String(any)) if any == "any" => return None,
            ("type", other) => (format!("{other} is no type"), format!("the types are {}", TYPES.join(", "))),
            _ => {
                (format!("`{key}` has a value that says nothing in draft 4, and is left out"), String::new())
            }
        };
        self.problems.push(Problem::mild(&path, what, hint));
        None
    }

    /// Whether a pattern can be used; many were written for other engines.
    fn pattern(&mut self, pattern: &str) -> bool {
        let fits = options().build(&json!({"pattern": pattern})).is_ok();
        if !fits {
            let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
            self.problems.push(Problem::mild(
                &path,
                format!("the pattern `{pattern}` cannot be used, and is left out"),
                "",
            ));
        }
        fits
    }
}

/// Whether this is a list of different names, with one at least.
fn names(value: &Value) -> bool {
    value.as_array().is_some_and(|list| {
        !list.is_empty()
            && list.iter().enumerate().all(|(at, one)| one.is_string() && !list[..at].contains(one))
    })
}

/// Counts what a schema consists of when every reference is what it stands for.
struct Costs<'a> {
    root: &'a Value,
    stack: Vec<String>,
    known: BTreeMap<String, u64>,
}

impl Costs<'_> {
    fn of(&mut self, value: &Value) -> Result<u64, Problem> {
        let mut sum: u64 = 1;
        match value {
            Value::Array(list) => {
                for one in list {
                    sum = sum.saturating_add(self.of(one)?);
                }
            }
            Value::Object(map) => {
                // A property may have that name, and is no text then.
                if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                    return self.reference(reference);
                }
                for one in map.values() {
                    sum = sum.saturating_add(self.of(one)?);
                }
            }
            _ => {}
        }
        if sum > MOST_NODES {
            return Err(Problem::new(&[], "the schema is too large when its references are followed", ""));
        }
        Ok(sum)
    }

    fn reference(&mut self, reference: &str) -> Result<u64, Problem> {
        if let Some(known) = self.known.get(reference) {
            return Ok(*known);
        }
        if self.stack.iter().any(|one| one == reference) {
            return Err(Problem::new(
                &[],
                format!("the schema refers to itself: `$ref: \"{reference}\"`"),
                "write out what is meant, as deep as options go",
            ));
        }
        let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        let Some(target) = target.filter(|target| target.is_object()) else {
            return Err(Problem::new(
                &[],
                format!("`$ref: \"{reference}\"` leads to nothing in this file"),
                "",
            ));
        };
        if self.stack.len() >= DEEPEST {
            return Err(Problem::new(&[], "references follow one another too long", ""));
        }
        self.stack.push(reference.to_owned());
        let cost = self.of(target);
        self.stack.pop();
        let cost = cost?;
        self.known.insert(reference.to_owned(), cost);
        Ok(cost)
    }
}
