//! A definition as a person would have written it: without what the server says, and without what it would fill in.

use api::marathon::{App, AppId};
use serde_json::{Map, Value};

use crate::definition::without_servers;
use crate::error::CliError;

/// The order in which people write a definition; what is not named here follows by name.
const FIRST: [&str; 9] = ["id", "cmd", "args", "instances", "cpus", "mem", "disk", "gpus", "env"];

/// Only what somebody has set, as far as that can be told: a key whose absence would mean the same is left out.
pub(super) fn plain(app: &Value, id: &AppId) -> Map<String, Value> {
    let Value::Object(mut object) = without_servers(app.clone()) else { return Map::new() };
    object.retain(|_, value| !value.is_null());
    let whole = App::replace(&Value::Object(object.clone()), id).ok();
    let keys: Vec<String> = object.keys().filter(|key| *key != "id").cloned().collect();
    for key in keys {
        let mut without = object.clone();
        without.remove(&key);
        let same = whole.is_some() && App::replace(&Value::Object(without.clone()), id).ok() == whole;
        if same {
            object = without;
        }
    }
    object
}

/// As YAML that reads well.
pub(super) fn yaml(object: &Map<String, Value>) -> Result<String, CliError> {
    let place = |key: &String| FIRST.iter().position(|first| first == key).unwrap_or(FIRST.len());
    let mut keys: Vec<&String> = object.keys().collect();
    keys.sort_by_key(|key| (place(key), *key));
    let mut text = String::new();
    for key in keys {
        // One at a time: the map itself knows no order but that of the alphabet.
        let one: Map<String, Value> =
            object.get_key_value(key).map(|(key, value)| (key.clone(), value.clone())).into_iter().collect();
        text += &serde_yaml::to_string(&one)
            .map_err(|error| CliError::internal(format!("cannot write YAML: {error}")))?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_fills_in_is_left_out() {
        let id: AppId = "/web".parse().unwrap();
        let written =
            json!({"id": "/web", "cmd": "sleep 1000", "instances": 2, "env": {"A": "1"}, "mem": 32.0});
        let mut shown = App::create(&written, &api::marathon::GroupId::root()).unwrap().to_json();
        shown["version"] = json!("2026-11-22T11:57:00.000Z");
        shown["tasksRunning"] = json!(2);
        assert!(shown.as_object().unwrap().len() > 12, "{shown}");
        assert_eq!(Value::Object(plain(&shown, &id)), written);
        assert_eq!(
            yaml(&plain(&shown, &id)).unwrap(),
            "id: /web\ncmd: sleep 1000\ninstances: 2\nmem: 32.0\nenv:\n  A: '1'\n"
        );
    }

    #[test]
    fn what_is_not_understood_stays() {
        let id: AppId = "/web".parse().unwrap();
        let odd = json!({"id": "/web", "cmd": 7, "instances": 1, "tasks": []});
        assert_eq!(Value::Object(plain(&odd, &id)), json!({"id": "/web", "cmd": 7, "instances": 1}));
    }
}
