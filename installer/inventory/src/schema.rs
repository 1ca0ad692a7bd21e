//! The form of an inventory as a JSON Schema, for editors that complete and check.

use serde_json::{Map, Value as Json, json};

use crate::form::{self, Form, Value};

/// The JSON Schema (2020-12) of an inventory. It allows what the reader accepts, and knows the same keys; what several keys
/// have to do with each other the reader alone checks.
pub fn schema() -> Json {
    let mut schema = of_form(&form::INVENTORY);
    if let Json::Object(object) = &mut schema {
        object.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        object.insert("title".to_owned(), json!("An inventory of clusterctl"));
    }
    schema
}

fn of_form(form: &Form) -> Json {
    let mut properties = Map::new();
    for key in form.keys {
        let mut value = of_value(&key.value);
        if let Json::Object(object) = &mut value {
            object.insert("description".to_owned(), json!(key.help));
        }
        properties.insert(key.name.to_owned(), value);
    }
    let required: Vec<&str> = form.keys.iter().filter(|key| key.is_required).map(|key| key.name).collect();
    // A map whose keys are all optional may have lost the last one.
    let kinds = if required.is_empty() { json!(["object", "null"]) } else { json!("object") };
    let mut schema = json!({"type": kinds, "properties": properties, "additionalProperties": false});
    if let (Json::Object(object), false) = (&mut schema, required.is_empty()) {
        object.insert("required".to_owned(), json!(required));
    }
    schema
}

/// A value with a variable in it may stand everywhere.
fn or_variable(schema: &Json) -> Json {
    json!({"anyOf": [schema, {"type": "string", "pattern": "\\$\\{"}]})
}

fn of_value(value: &Value) -> Json {
    match value {
        // Quotes are optional: `08` is a name and a number, `no` a name and a truth value, to readers of old YAML.
        Value::Text => json!({"type": ["string", "number", "boolean"]}),
        Value::Port => or_variable(
            &json!({"type": ["integer", "string"], "minimum": 1, "maximum": 65535, "pattern": "^[0-9]+$"}),
        ),
        Value::Truth => {
            or_variable(&json!({"enum": [true, false, "true", "false", "yes", "no", "on", "off"]}))
        }
        Value::Duration => or_variable(&json!({"type": "string", "pattern": "^[0-9]+ *(ms|s|m|min|h)$"})),
        Value::Choice(words) => or_variable(&json!({"enum": words})),
        Value::Some(value) => {
            let one = of_value(value);
            json!({"anyOf": [one.clone(), {"type": "array", "items": one}]})
        }
        Value::Maps(form) => json!({"type": "array", "items": of_form(form), "minItems": 1}),
        Value::Map(form) => of_form(form),
        Value::Named => json!({
            "type": ["object", "string", "null"],
            "additionalProperties": {"type": ["string", "number", "boolean"]},
        }),
    }
}
