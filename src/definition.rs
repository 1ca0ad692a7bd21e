//! Services and groups out of the files that describe them, in every shape that people have at hand.

use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::error::CliError;
use crate::input::{self, Document};

/// What the server says about a service, and nobody sets.
const SERVERS: [&str; 11] = [
    "version",
    "versionInfo",
    "tasksStaged",
    "tasksRunning",
    "tasksHealthy",
    "tasksUnhealthy",
    "deployments",
    "tasks",
    "lastTaskFailure",
    "taskStats",
    "readinessCheckResults",
];

/// One service or group, and where it is described.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) object: Map<String, Value>,
    document: Rc<Document>,
    /// Where in the document, like `/apps(2)`.
    path: String,
}

impl Definition {
    /// `FILE:LINE` of something in it; nothing when it is not there.
    pub(crate) fn place(&self, path: &str) -> Option<String> {
        self.document.place(&format!("{}{path}", self.path))
    }

    /// `FILE:LINE` of something in it, or of what is around.
    pub(crate) fn near(&self, path: &str) -> String {
        self.document.near(&format!("{}{path}", self.path))
    }

    /// Its id as it is written.
    pub(crate) fn id(&self) -> Option<&str> {
        self.object.get("id").and_then(Value::as_str)
    }
}

/// The services that a file, a directory or standard input describes: one, a list, what `service list -o json` or `service
/// show -o json` prints.
pub(crate) fn services(path: &Path) -> Result<Vec<Definition>, CliError> {
    all(path, "service", in_services)
}

/// The groups that a file, a directory or standard input describes.
pub(crate) fn groups(path: &Path) -> Result<Vec<Definition>, CliError> {
    all(path, "group", in_groups)
}

type Parts = Result<Vec<(String, Value)>, CliError>;

fn all(path: &Path, kind: &str, parts: fn(&Document) -> Parts) -> Result<Vec<Definition>, CliError> {
    let (mut found, mut wrong): (Vec<Definition>, Vec<CliError>) = (Vec::new(), Vec::new());
    for document in input::read(path)? {
        let document = Rc::new(document);
        let parts = match parts(&document) {
            Ok(parts) => parts,
            Err(error) => {
                wrong.push(error);
                continue;
            }
        };
        for (path, value) in parts {
            let place = document.near(&path);
            match value {
                Value::Object(object) => found.push(Definition { object, document: document.clone(), path }),
                _ => wrong.push(CliError::usage(format!("{place}: this is no {kind}, but {}", what(&value)))),
            }
        }
    }
    wrong.extend(twice(&found));
    input::together(wrong).map_or(Ok(found), Err)
}

/// An id that is described more than once: only one of them can be meant.
fn twice(found: &[Definition]) -> Vec<CliError> {
    let mut wrong = Vec::new();
    for (at, definition) in found.iter().enumerate() {
        let Some(id) = definition.id().map(|id| id.trim_matches('/')) else { continue };
        let same = |other: &&Definition| other.id().is_some_and(|other| other.trim_matches('/') == id);
        if let Some(first) = found.iter().take(at).find(same) {
            let place = definition.near("/id");
            wrong.push(CliError::usage(format!(
                "{place}: /{id} is described already, at {}",
                first.near("/id")
            )));
        }
    }
    wrong
}

fn what(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) | Value::Number(_) | Value::String(_) => "a single value",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn in_services(document: &Document) -> Parts {
    let has = |key: &str| document.value.get(key).is_some();
    let place = || document.near("");
    let listed = |list: &[Value], key: &str| match list {
        [] => Err(CliError::usage(format!("{} holds a list without services", place()))),
        items => {
            let items = items.iter().zip(0_usize..);
            Ok(items.map(|(item, at)| (format!("{key}({at})"), without_servers(item.clone()))).collect())
        }
    };
    match &document.value {
        Value::Object(_) if has("groups") || (has("apps") && has("id")) => {
            Err(CliError::usage(format!("{} describes a group, not a service", place()))
                .hint("`clusterctl group create -f` and `clusterctl group update -f` take groups"))
        }
        Value::Object(object) => match (object.get("apps"), object.get("app")) {
            (Some(Value::Array(apps)), _) => listed(apps, "/apps"),
            (None, Some(app)) if object.len() == 1 => {
                Ok(vec![("/app".to_owned(), without_servers(app.clone()))])
            }
            _ => Ok(vec![(String::new(), without_servers(document.value.clone()))]),
        },
        Value::Array(items) => listed(items, ""),
        value => Err(CliError::usage(format!("{}: this is no service, but {}", place(), what(value)))
            .hint("the smallest definition is {\"id\": \"/web\", \"cmd\": \"sleep 1000\"}")),
    }
}

fn in_groups(document: &Document) -> Parts {
    const OF_SERVICES: [&str; 5] = ["cmd", "args", "container", "instances", "cpus"];
    let place = || document.near("");
    match &document.value {
        Value::Object(object) if OF_SERVICES.iter().any(|key| object.contains_key(*key)) => {
            Err(CliError::usage(format!("{} describes a service, not a group", place()))
                .hint("`clusterctl service create -f` takes services; a group has them in its list `apps`"))
        }
        Value::Object(_) => Ok(vec![(String::new(), group_without_servers(document.value.clone()))]),
        Value::Array(items) => {
            let items = items.iter().zip(0_usize..);
            Ok(items.map(|(item, at)| (format!("({at})"), group_without_servers(item.clone()))).collect())
        }
        value => Err(CliError::usage(format!("{}: this is no group, but {}", place(), what(value)))
            .hint("the smallest definition is {\"id\": \"/shop\", \"apps\": [{\"id\": \"web\", \"cmd\": \"sleep 1000\"}]}")),
    }
}

/// A definition without what the server says about it. What asks for another version by naming it alone stays as it is.
pub(crate) fn without_servers(mut app: Value) -> Value {
    if let Value::Object(object) = &mut app {
        let only_version = object.keys().all(|key| matches!(key.as_str(), "id" | "version"));
        object.retain(|key, _| only_version || !SERVERS.contains(&key.as_str()));
    }
    app
}

/// The same for a group and all that is in it.
pub(crate) fn group_without_servers(mut group: Value) -> Value {
    let Value::Object(object) = &mut group else { return group };
    object.retain(|key, _| !matches!(key.as_str(), "version" | "pods"));
    for (key, clean) in
        [("apps", without_servers as fn(Value) -> Value), ("groups", group_without_servers as _)]
    {
        if let Some(Value::Array(items)) = object.get_mut(key) {
            for item in items {
                *item = clean(item.take());
            }
        }
    }
    group
}

#[cfg(test)]
mod tests {
    use std::fs;

    use anstream::adapter::strip_str;
    use serde_json::json;

    use super::*;

    fn read(text: &str, parts: fn(&Path) -> Result<Vec<Definition>, CliError>) -> Result<Vec<Value>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.yaml");
        fs::write(&file, text).unwrap();
        let found = parts(&file).map_err(|error| strip_str(&error.styled()).to_string());
        let found = found.map_err(|error| error.replace(&folder.path().display().to_string(), "DIR"))?;
        Ok(found.into_iter().map(|definition| Value::Object(definition.object)).collect())
    }

    #[test]
    fn services_come_in_every_shape_that_is_at_hand() {
        let (web, db) = (json!({"id": "/web", "cmd": "x"}), json!({"id": "/db", "cmd": "y"}));
        for text in [
            "id: /web\ncmd: x\n---\nid: /db\ncmd: y\n",
            "- {id: /web, cmd: x}\n- {id: /db, cmd: y}\n",
            "apps:\n- {id: /web, cmd: x, tasksRunning: 1, version: v, deployments: []}\n- {id: /db, cmd: y}\n",
            "{app: {id: /web, cmd: x, tasks: []}}\n---\n[{id: /db, cmd: y}]\n",
        ] {
            assert_eq!(read(text, services), Ok(vec![web.clone(), db.clone()]), "{text}");
        }
        let back = json!({"id": "/web", "version": "2026-11-22T11:57:00.000Z"});
        assert_eq!(read(&back.to_string(), services), Ok(vec![back]));
    }

    #[test]
    fn groups_lose_what_the_server_says_about_them() {
        let shown = json!({"id": "/shop", "version": "v", "pods": [], "apps": [{"id": "/shop/web", "tasks": []}],
            "groups": [{"id": "/shop/in", "version": "v", "apps": []}]});
        let sent =
            json!({"id": "/shop", "apps": [{"id": "/shop/web"}], "groups": [{"id": "/shop/in", "apps": []}]});
        assert_eq!(read(&shown.to_string(), groups), Ok(vec![sent]));
    }

    #[test]
    fn what_is_something_else_is_said_with_its_line() {
        let of = |text: &str, parts: fn(&Path) -> Result<Vec<Definition>, CliError>| {
            let error = read(text, parts).unwrap_err();
            error.lines().next().unwrap_or_default().to_owned()
        };
        for (text, says) in [
            ("# a\n[]", "error: DIR/f.yaml:2 holds a list without services"),
            ("id: /g\napps: []", "error: DIR/f.yaml:1 describes a group, not a service"),
            ("- id: /a\n- 7", "error: DIR/f.yaml:2: this is no service, but a single value"),
            ("sleep", "error: DIR/f.yaml:1: this is no service, but a single value"),
            ("id: web\n---\nid: /web", "error: DIR/f.yaml:3: /web is described already, at DIR/f.yaml:1"),
        ] {
            assert_eq!(of(text, services), says);
        }
        assert_eq!(of("id: a\ncmd: b", groups), "error: DIR/f.yaml:1 describes a service, not a group");
        assert_eq!(of("7", groups), "error: DIR/f.yaml:1: this is no group, but a single value");
    }
}
