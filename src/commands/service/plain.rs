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
    object.values_mut().for_each(whole_numbers);
    let whole = read(&object, id);
    let keys: Vec<String> = object.keys().filter(|key| *key != "id").cloned().collect();
    for key in keys {
        let mut without = object.clone();
        without.remove(&key);
        if whole.is_some() && read(&without, id) == whole {
            object = without;
        }
    }
    object
}

/// As the server reads it, but for the numbers of ports that it chose itself and keeps.
fn read(object: &Map<String, Value>, id: &AppId) -> Option<App> {
    let mut object = object.clone();
    let required = object.get("requirePorts").and_then(Value::as_bool).unwrap_or_default();
    if let (false, Some(Value::Array(ports))) = (required, object.get_mut("portDefinitions")) {
        for port in ports.iter_mut().filter_map(|port| port.get_mut("port")) {
            *port = 0.into();
        }
    }
    App::replace(&Value::Object(object), id).ok()
}

/// `32` and `32.0` are the same; people write the first.
fn whole_numbers(value: &mut Value) {
    // Beyond this a float does not hold every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => {
            let float = number
                .as_f64()
                .filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it is whole, and smaller than what i64 holds"
            )]
            if let Some(float) = float {
                *value = (float as i64).into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(object) => object.values_mut().for_each(whole_numbers),
        _ => {}
    }
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
            json!({"id": "/web", "cmd": "sleep 1000", "instances": 2, "env": {"A": "1"}, "mem": 32});
        let mut shown = App::create(&written, &api::marathon::GroupId::root()).unwrap().to_json();
        shown["version"] = json!("2026-11-22T11:57:00.000Z");
        shown["tasksRunning"] = json!(2);
        shown["portDefinitions"] =
            json!([{"port": 10004, "protocol": "tcp", "name": "default", "labels": {}}]);
        assert!(shown.as_object().unwrap().len() > 12, "{shown}");
        assert_eq!(Value::Object(plain(&shown, &id)), written);
        assert_eq!(
            yaml(&plain(&shown, &id)).unwrap(),
            "id: /web\ncmd: sleep 1000\ninstances: 2\nmem: 32\nenv:\n  A: \"1\"\n"
        );
    }

    #[test]
    fn ports_that_somebody_chose_stay() {
        let id: AppId = "/web".parse().unwrap();
        for ports in [
            json!({"portDefinitions": [{"port": 8080, "name": "http"}]}),
            json!({"portDefinitions": [{"port": 8080, "name": "default"}], "requirePorts": true}),
        ] {
            let mut app = ports.clone();
            app["id"] = json!("/web");
            app["cmd"] = json!("x");
            assert_eq!(plain(&app, &id).get("portDefinitions"), ports.get("portDefinitions"), "{app}");
        }
    }

    #[test]
    fn what_is_not_understood_stays() {
        let id: AppId = "/web".parse().unwrap();
        let odd = json!({"id": "/web", "cmd": 7, "instances": 1, "tasks": []});
        assert_eq!(Value::Object(plain(&odd, &id)), json!({"id": "/web", "cmd": 7, "instances": 1}));
    }
}
