//! `--set PATH=VALUE`.

use serde_json::{Map, Value};

use crate::error::CliError;

/// Puts one value into the change. The server replaces top-level keys whole, so the rest of such a key is taken from
/// what the service is now.
pub(super) fn apply(change: &mut Map<String, Value>, now: &Value, assignment: &str) -> Result<(), CliError> {
    let (path, value) = assignment.split_once('=').ok_or_else(|| wrong(assignment, "it has no `=`"))?;
    let keys: Vec<&str> = path.split('.').collect();
    let (Some((first, rest)), false) = (keys.split_first(), keys.iter().any(|key| key.is_empty())) else {
        return Err(wrong(assignment, "a key is empty"));
    };
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    // Texts are what these hold, also where they look like numbers.
    let value = if matches!(*first, "env" | "labels") && rest.len() == 1 { as_text(value) } else { value };
    let mut place =
        change.entry((*first).to_owned()).or_insert_with(|| now.get(first).cloned().unwrap_or(Value::Null));
    for key in rest {
        if place.is_null() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(object) = place else {
            return Err(wrong(assignment, &format!("what has the key {key:?} is no object")));
        };
        place = object.entry((*key).to_owned()).or_insert(Value::Null);
    }
    *place = value;
    Ok(())
}

fn as_text(value: Value) -> Value {
    match value {
        Value::String(_) | Value::Object(_) | Value::Null => value,
        other => Value::String(other.to_string()),
    }
}

fn wrong(assignment: &str, reason: &str) -> CliError {
    // The value may be a secret: only the path is shown.
    let path = assignment.split('=').next().unwrap_or_default();
    CliError::usage(format!("--set {path} is wrong: {reason}"))
        .hint("write `--set cpus=0.5` or `--set env.LEVEL=debug`")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(assignments: &[&str]) -> Result<Value, CliError> {
        let now = json!({"cpus": 1.0, "env": {"A": "1", "B": "2"}, "cmd": "x"});
        let mut change = Map::new();
        for assignment in assignments {
            apply(&mut change, &now, assignment)?;
        }
        Ok(Value::Object(change))
    }

    #[test]
    fn values_are_set_and_their_neighbours_kept() {
        assert_eq!(
            set(&["cpus=0.5", "env.A=7", "env.C=x=y", "labels.l=true"]),
            Ok(json!({"cpus": 0.5, "env": {"A": "7", "B": "2", "C": "x=y"}, "labels": {"l": "true"}}))
        );
        assert_eq!(set(&["cmd=sleep 10"]), Ok(json!({"cmd": "sleep 10"})));
    }

    #[test]
    fn mistakes_do_not_show_the_value() {
        for wrong in ["cpus", "=hunter2", "env..x=hunter2", "cmd.x=hunter2"] {
            let error = set(&[wrong]).unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
