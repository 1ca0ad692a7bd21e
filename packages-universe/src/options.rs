//! A package's options: its defaults, what a user said, the two together, and whether the schema takes them.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::package::Package;
use crate::schema::{Schema, kind, segments};

/// How much options may be when they are put together, in bytes of JSON.
const MOST_BYTES: usize = 1 << 20;

/// One thing that is wrong with options.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OptionFault {
    /// Where, as a JSON pointer; empty for the options as a whole.
    pub pointer: String,
    /// What is wrong, for people.
    pub message: String,
    /// What would be right: types, values, a pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Value>,
    /// What was found: a type, or a value when it is short and not secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Value>,
    /// The names that are missing here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The names that do not belong here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unwanted: Vec<String>,
    /// The least that is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Value>,
    /// The most that is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Value>,
}

impl OptionFault {
    /// The entry of Cosmos' `JsonSchemaMismatch` for it.
    pub fn cosmos(&self) -> Value {
        let mut entry = json!(self);
        if let Some(map) = entry.as_object_mut() {
            map.remove("pointer");
            map.insert("instance".to_owned(), json!({"pointer": self.pointer}));
        }
        entry
    }
}

impl fmt::Display for OptionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "options" } else { &self.pointer };
        write!(f, "{place}: {}", self.message)
    }
}

/// Why options cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum OptionFaults {
    /// The schema does not take them.
    #[error("{}", list(.0))]
    Mismatch(Vec<OptionFault>),
    /// There are some, and the package has none.
    #[error("the package has no options")]
    NotAllowed,
    /// The package's own schema is of no use.
    #[error("the package's schema cannot be used: {0}")]
    Schema(String),
}

impl OptionFaults {
    /// The faults, where there are several.
    pub fn faults(&self) -> &[OptionFault] {
        match self {
            Self::Mismatch(faults) => faults,
            Self::NotAllowed | Self::Schema(_) => &[],
        }
    }
}

fn list(faults: &[OptionFault]) -> String {
    faults.iter().map(OptionFault::to_string).collect::<Vec<_>>().join("\n")
}

/// The defaults of a schema: along `properties`, where a `default` wins over what is below it; what has none below it is left out.
pub fn defaults(schema: &Value) -> Value {
    Value::Object(defaults_below(schema))
}

fn defaults_below(schema: &Value) -> Map<String, Value> {
    let mut all = Map::new();
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if let Some(default) = property.get("default") {
            all.insert(name.clone(), default.clone());
        } else {
            let below = defaults_below(property);
            if !below.is_empty() {
                all.insert(name.clone(), Value::Object(below));
            }
        }
    }
    all
}

/// Two values together: objects key by key, all else as the right one says.
pub fn merge(left: Value, right: Value) -> Value {
    match (left, right) {
        (Value::Object(mut left), Value::Object(right)) => {
            for (key, value) in right {
                let merged = match left.remove(&key) {
                    Some(before) => merge(before, value),
                    None => value,
                };
                left.insert(key, merged);
            }
            Value::Object(left)
        }
        (_, right) => right,
    }
}

/// The defaults with the user's options over them, checked against the schema. At a secret option `{"secret": "<name>"}` may stand
/// for one that is stored already.
///
/// # Errors
/// When the schema does not take them, or there is none.
pub fn resolve(package: &Package, user: &Value) -> Result<Value, OptionFaults> {
    let empty = user.as_object().is_some_and(Map::is_empty) || user.is_null();
    let Some(config) = &package.config else {
        return if empty { Ok(json!({})) } else { Err(OptionFaults::NotAllowed) };
    };
    resolve_with(config, user)
}

/// The same by a schema alone.
///
/// # Errors
/// When the schema does not take them.
pub fn resolve_with(config: &Value, user: &Value) -> Result<Value, OptionFaults> {
    let user = if user.is_null() { json!({}) } else { user.clone() };
    if !user.is_object() {
        return Err(OptionFaults::Mismatch(vec![OptionFault {
            message: format!("options are an object, not {}", kind(&user)),
            expected: Some(json!(["object"])),
            found: Some(json!(kind(&user))),
            ..OptionFault::default()
        }]));
    }
    let merged = merge(defaults(config), user);
    if merged.to_string().len() > MOST_BYTES {
        let message = format!("options may have {MOST_BYTES} bytes together");
        return Err(OptionFaults::Mismatch(vec![OptionFault { message, ..OptionFault::default() }]));
    }
    let secrets = crate::schema::secrets(config);
    // A reference stands for a text that was checked when it was stored.
    let mut plain = merged.clone();
    let mut stored = Vec::new();
    for pointer in &secrets {
        if let Some(value) = plain.pointer_mut(pointer)
            && let Some(name) = reference(value)
        {
            *value = Value::String(name.to_owned());
            stored.push(pointer);
        }
    }
    let schema =
        Schema::new(config, &mut Vec::new()).map_err(|problem| OptionFaults::Schema(problem.what))?;
    let mut faults = schema.judge(&plain, &secrets);
    faults.retain(|fault| !stored.contains(&&fault.pointer));
    if faults.is_empty() { Ok(merged) } else { Err(OptionFaults::Mismatch(faults)) }
}

/// The name in `{"secret": "<name>"}`.
pub(crate) fn reference(value: &Value) -> Option<&str> {
    let map = value.as_object().filter(|map| map.len() == 1)?;
    map.get("secret")?.as_str()
}

/// Puts a value where a pointer leads, in objects alone; does nothing when there is nothing.
pub(crate) fn replace(options: &mut Value, pointer: &str, value: Value) {
    let mut at = options;
    for key in segments(pointer) {
        let Some(next) = at.as_object_mut().and_then(|map| map.get_mut(&key)) else { return };
        at = next;
    }
    *at = value;
}
