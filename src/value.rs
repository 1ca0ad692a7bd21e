//! Looking into the objects that the API answers, where anything may be missing.

use serde_json::Value;

/// The text at a key, or nothing.
pub(crate) fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The whole number at a key, or 0.
pub(crate) fn whole(object: &Value, key: &str) -> u64 {
    object.get(key).and_then(Value::as_u64).unwrap_or_default()
}

/// The number at a key, or 0.
pub(crate) fn number(object: &Value, key: &str) -> f64 {
    object.get(key).and_then(Value::as_f64).unwrap_or_default()
}

/// The list at a key, or an empty one.
pub(crate) fn list<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    object.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// What a list holds, or nothing.
pub(crate) fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The nodes that `/slaves` lists: those that came to this leader, and those that it still waits for.
pub(crate) fn nodes(answer: &Value) -> Vec<&Value> {
    list(answer, "slaves").iter().chain(list(answer, "recovered_slaves")).collect()
}
