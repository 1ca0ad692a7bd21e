//! Options as the user gives them: files, and single ones that win over them. Pure but for the reading of files.

use serde_json::{Map, Value};

use super::args::OptionArgs;
use crate::error::CliError;
use crate::input::{self, together};

/// All options together.
pub(super) fn read(args: &OptionArgs, schema: Option<&Value>) -> Result<Value, CliError> {
    let mut all = Value::Object(Map::new());
    for file in &args.options {
        for document in input::read(file)? {
            if !document.value.is_object() && !document.value.is_null() {
                return Err(CliError::usage(format!(
                    "{}: options are a map of names and values",
                    file.display()
                ))
                .hint("`clusterctl package options PACKAGE -o yaml` writes one with all options"));
            }
            if document.value.is_object() {
                all = merge(all, document.value);
            }
        }
    }
    let mut wrong = Vec::new();
    for text in &args.set {
        match single(text, schema) {
            Ok(one) => all = merge(all, one),
            Err(error) => wrong.push(error),
        }
    }
    together(wrong).map_or(Ok(all), Err)
}

/// Whether the schema takes these options.
///
/// # Errors
/// Every mistake, with the option's path.
pub(super) fn check(schema: &Value, given: &Value, package: &str) -> Result<(), CliError> {
    universe::options::resolve_with(schema, given).map(drop).map_err(|faults| {
        let mut error = CliError::usage(format!("{package} does not take these options"));
        error.causes.extend(faults.to_string().lines().map(str::to_owned));
        error.hint(format!("`clusterctl package options {package}` lists what can be set"))
    })
}

/// The right side wins, object by object.
fn merge(left: Value, right: Value) -> Value {
    universe::options::merge(left, right)
}

/// `a.b=3`: the value is read as the schema wants it, else as JSON if it is some, else as text.
fn single(text: &str, schema: Option<&Value>) -> Result<Value, CliError> {
    let wrong = || {
        CliError::usage(format!("{text:?} sets no option"))
            .hint("write OPTION=VALUE, like worker.instances=3")
    };
    let (path, value) = text.split_once('=').ok_or_else(wrong)?;
    let names: Vec<&str> = path.split('.').collect();
    if names.iter().any(|name| name.is_empty()) {
        return Err(wrong());
    }
    let kind = schema.and_then(|schema| kind_at(schema, &names));
    let value = match kind {
        Some("string") => Value::String(value.to_owned()),
        _ => serde_json::from_str(value).unwrap_or_else(|_text| Value::String(value.to_owned())),
    };
    Ok(names
        .iter()
        .rev()
        .fold(value, |value, name| Value::Object(Map::from_iter([((*name).to_owned(), value)]))))
}

fn kind_at<'a>(schema: &'a Value, names: &[&str]) -> Option<&'a str> {
    let found = names.iter().try_fold(schema, |schema, name| schema.get("properties")?.get(name))?;
    found.get("type")?.as_str()
}

/// One line of the list of options.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    pub(super) path: String,
    pub(super) kind: String,
    pub(super) default: Option<Value>,
    pub(super) description: String,
    pub(super) required: bool,
}

/// All options of a schema, in its own order of names.
pub(super) fn lines(schema: &Value) -> Vec<Line> {
    let mut lines = Vec::new();
    walk(schema, "", &mut lines);
    lines
}

fn walk(schema: &Value, above: &str, lines: &mut Vec<Line>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, property) in properties {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        let has_own = property.get("properties").is_some_and(Value::is_object);
        if has_own && property.get("default").is_none() {
            walk(property, &path, lines);
            continue;
        }
        let text = |key: &str| property.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let kind = match property.get("enum").and_then(Value::as_array) {
            Some(values) => {
                let values = values
                    .iter()
                    .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                values.collect::<Vec<_>>().join("|")
            }
            None => text("type"),
        };
        let required = required.contains(&name.as_str());
        let (default, description) = (property.get("default").cloned(), text("description"));
        lines.push(Line { path, kind, default, description, required });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({ "type": "object", "properties": {
            "service": { "type": "object", "required": ["name"], "properties": {
                "name": { "type": "string", "default": "web", "description": "How it is called" },
                "count": { "type": "integer", "default": 2 },
            }},
            "level": { "enum": ["low", "high"], "default": "low" },
        }})
    }

    #[test]
    fn an_option_is_read_as_its_schema_wants_it() {
        let schema = schema();
        let one = |text| single(text, Some(&schema)).unwrap();
        assert_eq!(one("service.name=3"), json!({ "service": { "name": "3" } }));
        assert_eq!(one("service.count=3"), json!({ "service": { "count": 3 } }));
        assert_eq!(one("level=high"), json!({ "level": "high" }));
        assert_eq!(one("service.list=[1,2]"), json!({ "service": { "list": [1, 2] } }));
        assert_eq!(one("service.name=a=b"), json!({ "service": { "name": "a=b" } }));
        for wrong in ["name", ".a=1", "a..b=1", "=1"] {
            assert!(single(wrong, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_are_listed_by_their_paths() {
        let lines: Vec<_> = lines(&schema())
            .into_iter()
            .map(|line| {
                format!("{} {} {} {}", line.path, line.kind, line.default.unwrap_or_default(), line.required)
            })
            .collect();
        assert_eq!(
            lines,
            [
                r#"level low|high "low" false"#,
                "service.count integer 2 false",
                r#"service.name string "web" true"#,
            ]
        );
    }
}
