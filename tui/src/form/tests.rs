use proptest::prelude::*;
use serde_json::json;

use super::*;

fn form(properties: &Value) -> Form {
    Form::new(&json!({ "type": "object", "properties": properties }), &Value::Null)
}

fn number_of(form: &Form, path: &str) -> usize {
    let path: Vec<&str> = path.split('.').collect();
    form.fields.iter().position(|field| field.path == path).unwrap()
}

fn typed(form: &mut Form, path: &str, text: &str) {
    let number = number_of(form, path);
    form.change(number, |field| {
        field.empty();
        text.chars().for_each(|c| field.push(c, 0));
    });
}

fn fault<'a>(form: &'a Form, path: &str) -> Option<&'a str> {
    form.faults.at.get(&number_of(form, path)).map(String::as_str)
}

/// Each shape of a schema, the field that it becomes, and what it shows.
#[test]
fn every_shape_has_its_field() {
    let few = json!(["a", "b", "c", "d"]);
    let many = json!(["a", "b", "c", "d", "e"]);
    for (schema, kind, shows) in [
        (json!({"type": "boolean", "default": true}), Kind::Check, "true"),
        (json!({"type": "string", "enum": few}), Kind::Choice(few.as_array().unwrap().clone()), ""),
        (json!({"enum": many, "default": "e"}), Kind::Choice(many.as_array().unwrap().clone()), "e"),
        (
            json!({"type": "integer", "enum": [1, 3], "default": 3}),
            Kind::Choice(vec![json!(1), json!(3)]),
            "3",
        ),
        (json!({"type": "integer", "default": 512}), Kind::Integer, "512"),
        (json!({"type": "number", "default": 0.5}), Kind::Number, "0.5"),
        (json!({"type": "string", "default": "x"}), Kind::Text(Hint::Plain), "x"),
        (json!({"type": "string", "default": "a\nb"}), Kind::Lines, "a\nb"),
        (json!({"type": "string", "secret": true, "default": "hush"}), Kind::Secret, "••••"),
        (json!({"type": "array", "default": [1]}), Kind::Yaml, "[1]"),
        (json!({"type": "object"}), Kind::Yaml, ""),
        (json!({"type": "object", "properties": {}}), Kind::Yaml, ""),
        (json!({"type": ["string", "null"]}), Kind::Yaml, ""),
        (json!({"$ref": "#/definitions/x"}), Kind::Yaml, ""),
        (json!({}), Kind::Yaml, ""),
        (json!(true), Kind::Yaml, ""),
        (json!({"type": "nonsense"}), Kind::Yaml, ""),
        (
            json!({"type": "string", "media": {"type": "application/x-region+string"}}),
            Kind::Text(Hint::Region),
            "",
        ),
        (
            json!({"type": "string", "media": {"type": "application/x-region-zone-constraints+json"}}),
            Kind::Text(Hint::Constraints),
            "",
        ),
        (
            json!({"type": "string", "media": {"type": "application/x-service-account+string"}}),
            Kind::Text(Hint::Account),
            "",
        ),
        (
            json!({"type": "string", "media": {"type": "application/x-secret+string"}}),
            Kind::Text(Hint::SecretName),
            "",
        ),
        (json!({"type": "string", "media": {"type": "application/x-yaml"}}), Kind::Lines, ""),
    ] {
        let form = form(&json!({ "x": schema }));
        assert_eq!((&form.fields[0].kind, form.fields[0].text().as_str()), (&kind, shows), "{schema}");
        assert_eq!(form.options(), json!({}), "{schema}: nothing differs");
    }
}

#[test]
fn what_is_no_schema_has_no_fields() {
    for schema in
        [json!(null), json!({}), json!([1]), json!("x"), json!({"type": "object"}), json!({"properties": 3})]
    {
        let form = Form::new(&schema, &Value::Null);
        assert!(form.sections.is_empty() && form.fields.is_empty() && form.count() == 0, "{schema}");
        assert_eq!(form.options(), json!({}));
    }
}

/// What is typed, what is kept of it, and what is wrong with it.
#[test]
fn what_is_typed_is_kept_and_judged() {
    for (schema, text, kept, wrong) in [
        (json!({"type": "integer", "minimum": 512, "default": 640}), "700", json!({"x": 700}), None),
        (json!({"type": "integer", "minimum": 512, "default": 640}), "640", json!({}), None),
        (
            json!({"type": "integer", "minimum": 512, "default": 640}),
            "51",
            json!({"x": 51}),
            Some("at least 512"),
        ),
        (json!({"type": "integer", "maximum": 9}), "10", json!({"x": 10}), Some("at most 9")),
        (
            json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}),
            "1",
            json!({"x": 1}),
            Some("more than 1"),
        ),
        (json!({"type": "number", "exclusiveMaximum": 2}), "2", json!({"x": 2}), Some("less than 2")),
        (json!({"type": "integer", "default": 1}), "abc", json!({"x": "abc"}), Some("a whole number")),
        (json!({"type": "integer", "default": 1}), "1.5", json!({"x": 1.5}), Some("a whole number")),
        (json!({"type": "integer", "default": 1}), "", json!({"x": ""}), Some("a whole number")),
        (json!({"type": "integer"}), "", json!({}), None),
        (json!({"type": "number"}), "1e999", json!({"x": "1e999"}), Some("a number")),
        (json!({"type": "number"}), "0.050", json!({"x": 0.05}), None),
        (json!({"type": "string", "default": "a"}), "", json!({"x": ""}), None),
        (json!({"type": "string"}), "", json!({}), None),
        (json!({"type": "string"}), "12", json!({"x": "12"}), None),
        (
            json!({"type": "string", "pattern": "^[a-z]+$"}),
            "A",
            json!({"x": "A"}),
            Some("has to match ^[a-z]+$"),
        ),
        // Not in this dialect: the masters judge it.
        (json!({"type": "string", "pattern": "^(?!a)"}), "a", json!({"x": "a"}), None),
        (json!({"type": "string", "minLength": 3}), "ab", json!({"x": "ab"}), Some("at least 3 characters")),
        (
            json!({"type": "string", "secret": true, "minLength": 3}),
            "ab",
            json!({"x": "ab"}),
            Some("at least 3 characters"),
        ),
        (
            json!({"type": "string", "media": {"type": "x-zone-constraints+json"}}),
            "[[",
            json!({"x": "[["}),
            Some(r#"a list as JSON, like [["@zone", "GROUP_BY"]]"#),
        ),
    ] {
        let mut form = form(&json!({ "x": schema }));
        typed(&mut form, "x", text);
        assert_eq!(form.options(), kept, "{schema} {text:?}");
        assert_eq!(fault(&form, "x"), wrong, "{schema} {text:?}");
        form.change(0, Field::reset);
        assert_eq!(form.options(), json!({}), "back to the default");
    }
}

#[test]
fn defaults_that_are_wrong_are_shown_and_blamed_and_can_be_mended() {
    let schema = json!({ "count": {"type": "integer", "default": "5"}, "on": {"type": "boolean", "default": "yes"},
        "one": {"enum": ["a", "b"], "default": "z"}, "group": {"type": "object", "default": "none", "properties": {"a": {"type": "string"}}} });
    let mut form = form(&schema);
    assert_eq!(fault(&form, "count"), Some("a whole number"));
    assert_eq!(fault(&form, "on"), Some("true or false"));
    assert_eq!(fault(&form, "one"), Some("one of a, b"));
    assert_eq!(
        (fault(&form, "group"), &form.fields[number_of(&form, "group")].kind),
        (Some("names with values"), &Kind::Yaml)
    );
    typed(&mut form, "count", "5");
    for path in ["on", "one"] {
        let number = number_of(&form, path);
        form.change(number, |field| field.turn(true));
    }
    let number = number_of(&form, "group");
    form.change(number, |field| field.edited("a: x".into()));
    assert_eq!(form.options(), json!({"count": 5, "on": true, "one": "a", "group": {"a": "x"}}));
    assert_eq!(form.count(), 0);
}

#[test]
fn groups_nest_and_a_default_above_wins() {
    let form = form(&json!({
        "b": {"type": "object", "description": "About b.", "default": {"in": {"deep": 7}}, "properties": {
            "in": {"properties": {"deep": {"type": "integer", "default": 1}, "more": {"properties": {"last": {"type": "string"}}}}},
            "z": {"type": "boolean", "default": true},
        }},
        "a": {"type": "string"},
    }));
    let shown: Vec<_> =
        form.sections.iter().map(|section| (section.name.as_str(), section.rows.clone())).collect();
    assert_eq!(shown[0].0, "general");
    assert_eq!(shown[1].0, "b");
    assert_eq!(
        shown[1].1,
        [
            Row::Group("in".into(), 0),
            Row::Field(1),
            Row::Group("more".into(), 1),
            Row::Field(2),
            Row::Field(3)
        ]
    );
    assert_eq!(form.fields[1].text(), "7");
    assert_eq!((form.fields[1].depth, form.fields[2].depth), (1, 2));
    assert_eq!(form.fields[3].value(), None, "the default above says nothing of it");
}

#[test]
fn what_is_required_is_asked_for_where_its_object_is() {
    let schema = json!({ "required": ["name", "net"], "properties": {
        "name": {"type": "string"},
        "net": {"type": "object", "required": ["port"], "properties": {"port": {"type": "integer"}}},
        "tls": {"type": "object", "required": ["key"], "properties": {"key": {"type": "string"}, "on": {"type": "boolean"}}},
        "old": {"type": "string", "required": false},
    }});
    let mut form = Form::new(&schema, &Value::Null);
    assert_eq!((fault(&form, "name"), fault(&form, "net.port")), (Some("is required"), Some("is required")));
    assert_eq!((fault(&form, "tls.key"), form.needed()), (None, 3));
    let on = number_of(&form, "tls.on");
    form.change(on, |field| field.turn(true));
    assert_eq!(fault(&form, "tls.key"), Some("is required"), "its object is there now");
    typed(&mut form, "name", "x");
    typed(&mut form, "net.port", "80");
    assert_eq!(form.count(), 1);
    let counts: Vec<_> = form.sections.iter().map(|one| (one.name.clone(), form.faults_in(one))).collect();
    assert_eq!(counts, [("general".into(), 0), ("net".into(), 0), ("tls".into(), 1)]);
}

#[test]
fn secrets_are_shown_nowhere() {
    let mut form = form(
        &json!({ "db": {"properties": {"password": {"type": "string", "secret": true}, "user": {"type": "string"}}} }),
    );
    typed(&mut form, "db.password", "hunter2");
    typed(&mut form, "db.user", "me");
    assert_eq!(form.options(), json!({"db": {"password": "hunter2", "user": "me"}}), "for the masters alone");
    let field = &form.fields[number_of(&form, "db.password")];
    assert_eq!(field.text(), "•••••••");
    for seen in
        [format!("{form:?}"), form.differs().to_string(), form.yaml(), field.text(), field.facts().join(" ")]
    {
        assert!(!seen.contains("hunter2"), "{seen}");
    }
    assert!(form.yaml().contains("db.password"), "{}", form.yaml());
    // The editor leaves it as it was.
    let yaml = form.yaml().replace("me", "you");
    form.read(&yaml).unwrap();
    assert_eq!(form.options(), json!({"db": {"password": "hunter2", "user": "you"}}));
    form.read("db: {password: swordfish}").unwrap();
    assert_eq!(form.options(), json!({"db": {"password": "swordfish"}}));
    assert!(!format!("{form:?}").contains("swordfish"));
}

#[test]
fn options_that_are_installed_are_where_they_belong() {
    let schema = json!({ "properties": {
        "a": {"type": "object", "additionalProperties": false, "properties": {
            "n": {"type": "integer", "default": 1}, "key": {"type": "string", "secret": true}, "list": {"type": "array", "default": [1, 2]},
        }},
        "g": {"type": "object", "properties": {"x": {"type": "string"}}},
    }});
    let options = json!({ "a": {"n": 2, "key": {"secret": "kafka/key"}, "list": [], "gone": 1}, "other": true, "g": 5 });
    let mut form = Form::new(&schema, &options);
    assert!(!form.touched);
    assert_eq!(form.options(), options);
    assert_eq!(form.fields[number_of(&form, "a.key")].text(), "stored as kafka/key");
    assert_eq!(fault(&form, "a.key"), None);
    assert_eq!(fault(&form, "g"), Some("names with values"));
    assert_eq!(form.faults.other, ["there is no option a.gone"]);
    typed(&mut form, "a.key", "new");
    assert_eq!(form.options()["a"]["key"], json!("new"));
    // Without what is unknown, by the editor.
    form.read("a: {n: 3}").unwrap();
    assert_eq!(form.options(), json!({"a": {"n": 3, "key": "new"}}));
    assert!(form.touched && form.count() == 0);
}

#[test]
fn the_editor_may_write_nonsense() {
    let mut form =
        form(&json!({ "n": {"type": "integer", "default": 1}, "l": {"type": "array", "maxItems": 1} }));
    typed(&mut form, "n", "2");
    for text in ["a: [", "- 1", "x", "a: 1\na: 2"] {
        assert!(form.read(text).is_err(), "{text}");
    }
    assert_eq!(form.options(), json!({"n": 2}), "nothing was taken");
    form.read("").unwrap();
    assert_eq!(form.options(), json!({}));
    let list = number_of(&form, "l");
    for (text, wrong) in
        [("[1, 2]", Some("at most 1 entries")), ("a: 1", Some("a list")), ("[1]", None), ("  ", None)]
    {
        form.change(list, |field| field.edited(text.into()));
        assert_eq!(fault(&form, "l"), wrong, "{text}");
    }
    form.change(list, |field| field.edited("[1".into()));
    assert!(fault(&form, "l").unwrap().starts_with("no YAML"));
    assert_eq!(form.fields[list].for_editor(), Some(("[1".into(), ".yaml".into())), "it is not lost");
}

#[test]
fn the_masters_answer_is_at_the_fields() {
    let schema = json!({ "properties": {
        "brokers": {"properties": {"mem": {"type": "integer", "default": 512}, "a/b": {"type": "array"}}},
        "net": {"properties": {"port": {"type": "integer"}}},
    }});
    let mut form = Form::new(&schema, &Value::Null);
    let body = json!({ "type": "JsonSchemaMismatch", "message": "…", "data": { "errors": [
        {"instance": {"pointer": "/brokers/mem"}, "message": "600 is the least", "minimum": 600},
        {"instance": {"pointer": "/brokers/a~1b/0"}, "message": "a text is wanted"},
        {"instance": {"pointer": "/net"}, "message": "port is missing", "missing": ["port"]},
        {"instance": {"pointer": ""}, "message": "too much"},
    ]}});
    assert!(form.said(&body));
    assert_eq!(fault(&form, "brokers.mem"), Some("600 is the least"));
    let list = form.fields.iter().position(|field| field.name() == "a/b").unwrap();
    assert_eq!(form.faults.at[&list], "a text is wanted");
    assert_eq!(fault(&form, "net.port"), Some("is required"));
    assert_eq!((form.faults.other.as_slice(), form.count()), (["too much".to_owned()].as_slice(), 4));
    typed(&mut form, "brokers.mem", "700");
    assert_eq!((fault(&form, "brokers.mem"), form.count()), (None, 2), "what was changed is judged anew");
    for other in [
        json!(null),
        json!({"type": "PackageNotFound", "data": {}}),
        json!({"data": {"errors": []}}),
        json!({"data": {"errors": 1}}),
    ] {
        assert!(!form.said(&other), "{other}");
    }
}

#[test]
fn letters_go_where_the_mark_is() {
    let mut form = form(&json!({ "x": {"type": "string"} }));
    typed(&mut form, "x", "añc");
    form.change(0, |field| field.push('b', 1));
    assert_eq!(form.fields[0].text(), "añbc");
    form.change(0, |field| field.pop(2));
    assert_eq!((form.fields[0].text().as_str(), form.fields[0].length()), ("abc", 3));
    form.change(0, |field| field.pop(3));
    form.change(0, |field| field.push('>', 9));
    assert_eq!(form.fields[0].text(), ">abc");
}

#[test]
fn hundreds_of_options_are_a_form() {
    let section = |s: usize| {
        let fields: Map<String, Value> = (0..33)
            .map(|n| {
                let schema = match n % 4 {
                    0 => json!({"type": "integer", "default": n, "minimum": 0}),
                    1 => json!({"type": "boolean", "default": false}),
                    2 => json!({"type": "string", "default": format!("v{s}"), "pattern": "^[a-z0-9]*$"}),
                    _ => json!({"enum": ["a", "b", "c", "d", "e", "f"], "default": "a"}),
                };
                (format!("option-{n:02}"), schema)
            })
            .collect();
        (format!("section-{s:02}"), json!({"type": "object", "properties": fields}))
    };
    let properties: Map<String, Value> = (0..15).map(section).collect();
    let mut form = form(&Value::Object(properties));
    assert_eq!((form.sections.len(), form.fields.len(), form.count()), (15, 495, 0));
    typed(&mut form, "section-14.option-02", "UPPER");
    assert_eq!(form.options(), json!({"section-14": {"option-02": "UPPER"}}));
    assert_eq!(form.faults_in(&form.sections[14]), 1);
}

#[test]
fn a_schema_that_is_too_deep_ends_as_yaml() {
    let deep = (0..100)
        .fold(json!({"type": "string"}), |below, _| json!({"type": "object", "properties": {"x": below}}));
    let form = Form::new(&deep, &Value::Null);
    assert_eq!((form.fields.len(), &form.fields[0].kind), (1, &Kind::Yaml));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-9.0..9.0f64).prop_map(Value::from),
        "[a-z/~ \n\u{1b}é]{0,6}".prop_map(Value::from),
        prop::sample::select(vec!["object", "string", "integer", "number", "boolean", "array", "(", "^a"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        let keys = prop::sample::select(vec![
            "properties",
            "type",
            "default",
            "enum",
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "pattern",
            "required",
            "secret",
            "media",
            "minLength",
            "maxItems",
            "additionalProperties",
            "a",
            "b/c",
            "",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys, inner), 0..6).prop_map(|all| Value::Object(
                all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

/// A schema that is one, and options that may fit it.
fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "boolean"})),
        any::<bool>().prop_map(|on| json!({"type": "boolean", "default": on})),
        any::<i8>().prop_map(|n| json!({"type": "integer", "default": n, "minimum": -5})),
        (-9.0..9.0f64).prop_map(|n| json!({"type": "number", "default": n})),
        "[a-z]{0,4}".prop_map(|text| json!({"type": "string", "default": text})),
        Just(json!({"type": "string"})),
        Just(json!({"type": "string", "secret": true, "default": ""})),
        Just(json!({"enum": [1, "a", null], "default": "a"})),
        Just(json!({"type": "array", "default": [1]})),
        Just(json!({"type": "object", "default": {"a": 1, "b": {"c": 2}}})),
        Just(
            json!({"type": "object", "default": {"a": 1}, "properties": {"a": {"type": "integer"}, "b": {"type": "string", "default": "no"}}})
        ),
        Just(json!({"type": "object", "default": 3, "properties": {"a": {"type": "integer"}}})),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop::collection::btree_map("[a-c]", inner, 0..4)
            .prop_map(|all| json!({"type": "object", "properties": all}))
    })
}

#[derive(Clone, Debug)]
enum Touch {
    Type(String),
    Turn(bool),
    Editor(String),
    Reset,
}

fn touches() -> impl Strategy<Value = Vec<(usize, Touch)>> {
    let touch = prop_oneof![
        "[0-9a-z.-]{0,4}".prop_map(Touch::Type),
        any::<bool>().prop_map(Touch::Turn),
        prop::sample::select(vec!["{a: 2}", "{b: {d: 1}}", "[]", "3", "x: [", "null", ""])
            .prop_map(|text| Touch::Editor(text.into())),
        Just(Touch::Reset),
    ];
    prop::collection::vec((0..8usize, touch), 0..8)
}

fn play(form: &mut Form, touches: Vec<(usize, Touch)>) {
    for (at, touch) in touches {
        let Some(at) = at.checked_rem(form.fields.len()) else { return };
        form.change(at, |field| match touch {
            Touch::Type(text) if field.types() => text.chars().for_each(|c| field.push(c, 0)),
            Touch::Editor(text) if field.for_editor().is_some() => field.edited(text),
            Touch::Turn(forward) => field.turn(forward),
            Touch::Reset => field.reset(),
            _ => {}
        });
    }
}

/// What is kept, merged into the defaults as the masters do it, is what was shown, field by field.
fn holds(schema: &Value, form: &Form) -> Result<(), TestCaseError> {
    let all = merge(defaults(schema), form.options());
    for field in &form.fields {
        prop_assert_eq!(at(&all, &field.path).cloned(), field.value(), "{:?} of {}", field.path, schema);
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_kept_and_the_defaults_are_what_is_shown(
        schema in any_schema(), options in any_json(), touches in touches(),
    ) {
        let schema = json!({"properties": {"a": schema, "b": {"type": "object", "properties": {"x": {"type": "integer", "default": 1}}}}});
        let mut form = Form::new(&schema, &options);
        holds(&schema, &form)?;
        if options.is_object() {
            prop_assert_eq!(merge(defaults(&schema), form.options()), merge(defaults(&schema), options));
        }
        play(&mut form, touches);
        holds(&schema, &form)?;
        // The way through the editor changes nothing, but that what has its default is not kept.
        let all = merge(defaults(&schema), form.options());
        let yaml = form.yaml();
        if form.read(&yaml).is_ok() {
            prop_assert_eq!(merge(defaults(&schema), form.options()), all);
        }
    }

    #[test]
    fn no_json_is_too_odd_for_a_schema(schema in any_json(), options in any_json(), touches in touches(), body in any_json()) {
        for schema in [schema.clone(), json!({"properties": {"a": schema.clone()}}), json!({"properties": schema})] {
            let mut form = Form::new(&schema, &options);
            play(&mut form, touches.clone());
            holds(&schema, &form)?;
            form.said(&json!({"data": {"errors": [body.clone()]}}));
            let _ = (form.differs(), form.yaml(), form.count(), format!("{form:?}"));
            for field in &form.fields {
                let _ = (field.text(), field.facts(), field.for_editor());
                prop_assert!(form.place(form.fields.iter().position(|one| one.path == field.path).unwrap()).is_some());
            }
        }
    }
}
