//! Defaults, merging, and what schemas say.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{loaded, with};
use crate::options::{defaults, merge, resolve};
use crate::{OptionFaults, Severity};

#[test]
fn defaults_are_found_along_properties_alone() {
    let schema = json!({"properties": {
        "plain": {"default": 1},
        "outer": {"default": {"a": 1}, "properties": {"b": {"default": 2}}},
        "deep": {"properties": {"c": {"properties": {"d": {"default": null}}}, "e": {}}},
        "empty": {"properties": {"f": {"properties": {}}}},
        "list": {"items": {"properties": {"g": {"default": 3}}}},
        "any": {"anyOf": [{"properties": {"h": {"default": 4}}}]},
        "ref": {"$ref": "#/properties/plain"},
        "default": {"default": "named so"}
    }});
    let found = json!({"plain": 1, "outer": {"a": 1}, "deep": {"c": {"d": null}}, "default": "named so"});
    assert_eq!(defaults(&schema), found);
    assert_eq!(defaults(&json!([])), json!({}));
}

#[test]
fn the_right_side_wins_and_lists_are_replaced() {
    for (left, right, both) in [
        (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 3}}), json!({"a": {"b": 3, "c": 2}})),
        (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
        (json!({"a": {"b": 1}}), json!({"a": null}), json!({"a": null})),
        (json!({"a": 1}), json!({"a": {"b": 2}}), json!({"a": {"b": 2}})),
    ] {
        assert_eq!(merge(left, right), both);
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from)
    ];
    let tree = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    });
    proptest::collection::btree_map("[a-c]", tree, 0..4)
        .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into())
}

/// Whether all of a value is in another, leaf by leaf.
fn within(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|other| within(value, other)))
        }
        (part, whole) => part == whole,
    }
}

proptest! {
    #[test]
    fn merging_keeps_its_laws(left in values(), right in values()) {
        prop_assert_eq!(merge(left.clone(), json!({})), left.clone());
        prop_assert_eq!(merge(json!({}), left.clone()), left.clone());
        prop_assert_eq!(merge(left.clone(), left.clone()), left.clone());
        let both = merge(left.clone(), right.clone());
        prop_assert!(within(&right, &both));
        prop_assert_eq!(merge(both.clone(), right.clone()), both.clone());
        // What only the left side has stays.
        for (key, value) in left.as_object().unwrap() {
            if right.get(key).is_none() {
                prop_assert_eq!(both.get(key), Some(value));
            }
        }
    }
}

const APP: &str = "{\"id\": \"a\"}";

#[test]
fn faults_say_where_and_what() {
    let config = json!({"type": "object", "required": ["service"], "properties": {"service": {
        "type": "object", "additionalProperties": false, "required": ["user", "pass"], "properties": {
            "count": {"type": "integer", "minimum": 1, "maximum": 5}, "kind": {"type": ["string", "null"], "enum": ["a", "b", null]},
            "user": {"type": "string", "pattern": "^[a-z]+$", "default": "u"}, "pass": {"type": "string", "default": "p"},
            "list": {"type": "array", "items": {"type": "integer"}}, "a/b": {"type": "boolean"}}}}});
    let package = with(&config, APP);
    let mut told = String::new();
    for options in [
        json!({"service": {"count": "3"}}),
        json!({"service": {"count": 1.5}}),
        json!({"service": {"count": 0}}),
        json!({"service": {"count": 6}}),
        json!({"service": {"kind": "c"}}),
        json!({"service": {"user": "A1"}}),
        json!({"service": {"usr": "x", "zzz": 1}}),
        json!({"service": {"list": [1, "2"]}}),
        json!({"service": {"a/b": 1}}),
        json!({"service": []}),
        json!([1]),
    ] {
        let Err(OptionFaults::Mismatch(faults)) = resolve(&package, &options) else { panic!("{options}") };
        for fault in faults {
            told.push_str(&format!("{options}\n  {fault}\n  {}\n", fault.cosmos()));
        }
    }
    insta::assert_snapshot!(told);
    let bare = with(&json!({"type": "object", "required": ["x", "y"], "properties": {}}), APP);
    let Err(OptionFaults::Mismatch(faults)) = resolve(&bare, &json!({})) else { panic!() };
    assert_eq!((faults.len(), faults[0].missing.clone()), (1, vec!["x".to_owned(), "y".to_owned()]));
}

#[test]
fn options_of_a_package_without_any_are_refused() {
    let about = json!({"packagingVersion": "3.0", "name": "it", "version": "1", "tags": []}).to_string();
    let package = super::package(&[("package.json", &about), ("marathon.json.mustache", APP)]);
    assert!(matches!(resolve(&package, &json!({"a": 1})), Err(OptionFaults::NotAllowed)));
    assert_eq!(resolve(&package, &json!({})).unwrap(), json!({}));
    assert_eq!(resolve(&package, &Value::Null).unwrap(), json!({}));
}

/// What loading says of a schema, if the package cannot be used.
fn refused(config: &Value) -> Option<String> {
    let about = json!({"packagingVersion": "3.0", "name": "it", "version": "1", "tags": []}).to_string();
    let loaded = loaded(&[
        ("package.json", &about),
        ("config.json", &config.to_string()),
        ("marathon.json.mustache", APP),
    ]);
    let first = loaded.faults.iter().find(|fault| fault.severity == Severity::Error).map(ToString::to_string);
    assert_eq!(first.is_some(), loaded.packages.is_empty());
    first
}

#[test]
fn schemas_that_lead_elsewhere_or_cost_without_end_are_refused() {
    let deep = (0..50).fold(json!({}), |inner, _| json!({"properties": {"a": inner}}));
    let doubling: serde_json::Map<String, Value> = (0..30)
        .map(|at| (format!("d{at}"), json!({"allOf": [{"$ref": format!("#/definitions/d{}", at + 1)}, {"$ref": format!("#/definitions/d{}", at + 1)}]})))
        .chain([("d30".to_owned(), json!({}))])
        .collect();
    for (config, why) in [
        (json!({"properties": {"a": {"$ref": "http://example.org/s.json"}}}), "leads out of this file"),
        (json!({"properties": {"a": {"$ref": "file:///etc/passwd"}}}), "leads out of this file"),
        (json!({"properties": {"a": {"$ref": "other.json#/x"}}}), "leads out of this file"),
        (json!({"properties": {"a": {"$ref": 3}}}), "leads out of this file"),
        (json!({"properties": {"a": {"$ref": "#"}}}), "refers to itself"),
        (json!({"properties": {"a": {"$ref": "#/properties/a"}}}), "refers to itself"),
        (
            json!({"definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"$ref": "#/definitions/a"}}}),
            "refers to itself",
        ),
        (json!({"properties": {"a": {"$ref": "#/definitions/none"}}}), "leads to nothing"),
        (json!({"definitions": doubling, "$ref": "#/definitions/d0"}), "leads to nothing"),
        (json!({"definitions": doubling, "properties": {"a": {"$ref": "#/definitions/d0"}}}), "too large"),
        (deep, "nested too deep"),
        (json!([]), "no object"),
    ] {
        let said = refused(&config).unwrap_or_default();
        assert!(said.contains(why), "{why}: {said}");
    }
}

#[test]
fn what_validators_choke_on_is_left_out() {
    for (config, options, taken) in [
        (json!({"properties": {"a": {"type": "string", "required": false}}}), json!({"a": 1}), false),
        (json!({"properties": {"a": {"type": "any", "required": true}}}), json!({}), true),
        (json!({"properties": {"a": {"type": "wrong"}}, "required": []}), json!({"a": 1}), true),
        (json!({"properties": {"a": {"enum": []}, "b": {"minimum": "3"}}}), json!({"a": 1, "b": 1}), true),
        (json!({"properties": {"a": {"pattern": "(["}}}), json!({"a": "x"}), true),
        (
            json!({"id": "http://example.org/x", "$schema": "http://example.org/y", "properties": {"id": {"type": "string"}}}),
            json!({"id": 1}),
            false,
        ),
        (
            json!({"properties": {"required": {"type": "boolean", "default": true}}}),
            json!({"required": "x"}),
            false,
        ),
        (
            json!({"properties": {"properties": {"type": "object", "properties": {"$ref": {"type": "string"}}}}}),
            json!({"properties": {"$ref": 1}}),
            false,
        ),
        (json!({"properties": {"a": {"exclusiveMinimum": true}}}), json!({"a": 1}), true),
        (json!({"properties": {"a": {"minimum": 1, "exclusiveMinimum": true}}}), json!({"a": 1}), false),
        (json!({"properties": {"a": true}}), json!({"a": 1}), true),
        (json!({"properties": {"a": {"default": "wrong type", "type": "integer"}}}), json!({}), false),
    ] {
        assert_eq!(refused(&config), None);
        assert_eq!(resolve(&with(&config, APP), &options).is_ok(), taken, "{config}");
    }
}

#[test]
fn a_pattern_cannot_keep_a_master_busy() {
    let config = json!({"properties": {"a": {"type": "string", "pattern": "^(?=(a+)+$)(a|aa)+\\1$"}}});
    let package = with(&config, APP);
    let begun = std::time::Instant::now();
    assert!(resolve(&package, &json!({"a": format!("{}!", "a".repeat(50_000))})).is_err());
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
}
