//! What answers say of packages, out of their definitions. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The parts of a definition that version 2 of `describe` has beside the package.
const PARTS: [&str; 4] = ["marathon", "config", "resource", "command"];

/// Version 3: the definition as it is.
pub(crate) fn described_v3(definition: &Value) -> Value {
    json!({ "package": definition })
}

/// Version 2: the package without its parts, which stand beside it.
pub(crate) fn described_v2(definition: &Value) -> Value {
    let mut package = definition.as_object().cloned().unwrap_or_default();
    let mut answer = Map::new();
    for part in PARTS {
        let Some(value) = package.remove(part) else { continue };
        if part == "marathon" {
            let text = value.get("v2AppMustacheTemplate").and_then(Value::as_str);
            let text = text.and_then(|text| STANDARD.decode(text).ok());
            let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
            answer.extend(text.map(|text| ("marathonMustache".to_owned(), text.into())));
        } else {
            answer.insert(part.to_owned(), value);
        }
    }
    answer.insert("package".to_owned(), package.into());
    answer.into()
}

/// One line of a search: all versions of one package, the newest of which is `newest`.
pub(crate) fn found(newest: &Value, versions: impl IntoIterator<Item = (String, u64)>) -> Value {
    let versions: Map<String, Value> =
        versions.into_iter().map(|(version, release)| (version, release.to_string().into())).collect();
    let of = |key: &str| newest.get(key).cloned();
    let mut line = json!({
        "name": of("name"),
        "currentVersion": of("version"),
        "versions": versions,
        "description": of("description").unwrap_or_else(|| "".into()),
        "framework": of("framework").unwrap_or(Value::Bool(false)),
        "tags": of("tags").unwrap_or_else(|| json!([])),
    });
    if let Some(line) = line.as_object_mut() {
        line.extend(of("selected").map(|selected| ("selected".to_owned(), selected)));
        let images = newest.pointer("/resource/images").cloned();
        line.extend(images.map(|images| ("images".to_owned(), images)));
    }
    line
}

/// Versions that a package of this definition can be changed to: later ones that take it, earlier ones that it gives way to.
/// `all` are the definitions of all its versions.
pub(crate) fn neighbours(definition: &Value, all: &[&Value]) -> (Vec<String>, Vec<String>) {
    let version = definition.get("version").and_then(Value::as_str).unwrap_or_default();
    let names = |value: &Value, key: &str, wanted: &str| {
        let listed = value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        listed.iter().filter_map(Value::as_str).any(|one| one == "*" || one == wanted)
    };
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for other in all {
        let Some(theirs) = other.get("version").and_then(Value::as_str).filter(|theirs| *theirs != version)
        else {
            continue;
        };
        if names(other, "upgradesFrom", version) {
            up.push(theirs.to_owned());
        }
        if names(definition, "downgradesTo", theirs) {
            down.push(theirs.to_owned());
        }
    }
    (up, down)
}

/// An id with its leading slash, and none at its end.
pub(crate) fn absolute(id: &str) -> String {
    format!("/{}", id.trim_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_described_in_both_forms() {
        let definition = json!({
            "name": "web", "version": "1", "config": {"type": "object"}, "resource": {"images": {}},
            "marathon": {"v2AppMustacheTemplate": STANDARD.encode("{}")},
        });
        assert_eq!(described_v3(&definition), json!({ "package": definition }));
        assert_eq!(
            described_v2(&definition),
            json!({
                "package": {"name": "web", "version": "1"}, "config": {"type": "object"},
                "resource": {"images": {}}, "marathonMustache": "{}",
            })
        );
    }

    #[test]
    fn neighbours_are_those_that_say_so() {
        let two = json!({ "version": "2", "upgradesFrom": ["1"], "downgradesTo": ["1"] });
        let (one, three) = (json!({ "version": "1" }), json!({ "version": "3", "upgradesFrom": ["*"] }));
        let all = [&one, &two, &three];
        assert_eq!(neighbours(&two, &all), (vec!["3".to_owned()], vec!["1".to_owned()]));
        assert_eq!(neighbours(&one, &all), (vec!["2".to_owned(), "3".to_owned()], vec![]));
    }

    #[test]
    fn a_search_has_versions_as_texts() {
        let newest = json!({ "name": "a", "version": "2", "selected": true, "resource": {"images": {"icon-small": "x"}} });
        assert_eq!(
            found(&newest, [("1".to_owned(), 0), ("2".to_owned(), 1)]),
            json!({
                "name": "a", "currentVersion": "2", "versions": {"1": "0", "2": "1"}, "description": "",
                "framework": false, "tags": [], "selected": true, "images": {"icon-small": "x"},
            })
        );
    }
}
