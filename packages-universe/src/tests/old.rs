//! Packages of the old form, of every packaging version.

use std::path::Path;

use serde_json::{Value, json};

use super::{asking, shown, with};
use crate::{Form, Loaded, Package, RenderError, Request, load, render};

fn fixtures() -> Loaded {
    load::directory(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/fixtures/repo")).unwrap()
}

fn fixture(name: &str, version: &str) -> Package {
    let loaded = fixtures();
    loaded.packages.into_iter().find(|one| one.name == name && one.version == version).unwrap()
}

#[test]
fn every_packaging_version_loads_as_it_is() {
    let loaded = fixtures();
    assert_eq!(loaded.errors().count(), 0, "{:?}", loaded.faults);
    let mut found: Vec<(&str, &str, &str, u64, Form)> = loaded
        .packages
        .iter()
        .map(|one| {
            (one.packaging_version.as_str(), one.name.as_str(), one.version.as_str(), one.release, one.form)
        })
        .collect();
    found.sort_unstable_by_key(|one| (one.0, one.1, one.2.to_owned()));
    assert_eq!(
        found,
        [
            ("2.0", "aged", "first try, with spaces (2014)", 0, Form::Old),
            ("3.0", "mid", "1.2.0-rc1", 3, Form::Old),
            ("4.0", "cli-tool", "2", 7, Form::CliOnly),
            ("4.0", "newer", "1.10.0", 1, Form::Old),
            ("4.0", "newer", "1.9.0", 0, Form::Old),
            ("5.0", "last", "0.1", 0, Form::Old),
        ]
    );
    // What draft 3 had is passed over, and said.
    let faults: Vec<String> = loaded.faults.iter().map(ToString::to_string).collect();
    assert!(
        faults.iter().any(|one| one.starts_with("packages/A/aged/0/config.json:8: `required` of draft 3")),
        "{faults:?}"
    );
}

#[test]
fn they_render() {
    for (name, version) in [
        ("aged", "first try, with spaces (2014)"),
        ("mid", "1.2.0-rc1"),
        ("newer", "1.10.0"),
        ("last", "0.1"),
    ] {
        let rendered = render(&fixture(name, version), &asking(json!({}))).unwrap();
        insta::assert_snapshot!(format!("old_{name}"), shown(rendered.definition));
    }
    let options =
        json!({"aged": {"secure": true, "principal": "p\"q", "extra": "more", "cpus": 2, "ports": [80]}});
    let rendered = render(&fixture("aged", "first try, with spaces (2014)"), &asking(options)).unwrap();
    insta::assert_snapshot!("old_aged_options", shown(rendered.definition));
}

#[test]
fn the_definition_is_what_clients_know() {
    let aged = fixture("aged", "first try, with spaces (2014)");
    assert_eq!(aged.definition["releaseVersion"], 0);
    assert_eq!(aged.definition["command"]["pip"][0], "http://example.org/aged.zip");
    assert!(aged.definition["marathon"]["v2AppMustacheTemplate"].is_string());
    // An index of these is the same packages.
    let packages: Vec<Value> = fixtures().packages.iter().map(|one| one.definition.clone()).collect();
    let again = load::index(json!({"packages": packages}).to_string().as_bytes()).unwrap();
    let mut before = fixtures().packages;
    before.iter_mut().for_each(|one| one.base = None);
    assert_eq!(again.packages, before);
    let newer = fixture("newer", "1.10.0");
    assert!(newer.upgrades("1.9.0") && !newer.upgrades("1.0") && newer.downgrades("0"));
}

#[test]
fn what_a_template_makes_has_to_be_an_app() {
    let config = json!({"type": "object", "properties": {"x": {"type": "string", "default": "a"}}});
    assert!(matches!(
        render(&with(&config, "{\"id\": {{x}}}"), &asking(json!({}))),
        Err(RenderError::NotJson { line: 1, .. })
    ));
    assert!(matches!(
        render(&with(&config, "[\"{{x}}\"]"), &asking(json!({}))),
        Err(RenderError::NotAnObject("array"))
    ));
    assert!(matches!(
        render(&with(&config, "{\"id\": \"a\", \"labels\": {\"l\": 1}}"), &asking(json!({}))),
        Err(RenderError::Labels(_))
    ));
    assert!(matches!(
        render(&with(&config, "{\"id\": \"a\", \"labels\": []}"), &asking(json!({}))),
        Err(RenderError::Labels(_))
    ));
    assert!(matches!(render(&with(&config, "{\"id\": \"\"}"), &asking(json!({}))), Err(RenderError::Id(_))));
    assert!(matches!(
        render(&with(&config, "{{#x}}"), &asking(json!({}))),
        Err(RenderError::Mustache { .. })
    ));
    assert!(matches!(render(&fixture("cli-tool", "2"), &asking(json!({}))), Err(RenderError::CliOnly)));
    let request = Request { id: Some("team/a".to_owned()), ..asking(json!({})) };
    let rendered = render(&with(&config, "{\"id\": \"\"}"), &request).unwrap();
    assert_eq!((rendered.id.as_str(), &rendered.definition["id"]), ("/team/a", &json!("/team/a")));
}

#[test]
fn no_option_breaks_out_of_its_string_or_hides_resources() {
    let config = json!({"type": "object", "properties": {"x": {"type": "string", "default": "a"}}});
    let template =
        "{\"id\": \"a\", \"cmd\": \"{{x}}\", \"uris\": [\"{{resource.r}}\"], \"cpus\": {{resource.cpus}}}";
    let mut package = with(&config, template);
    package.resource = json!({"r": "http://example.org/r"});
    let hostile = "\", \"user\": \"root\", \"a\": \"\\";
    let options = json!({"x": hostile, "resource": {"r": "mine", "cpus": 2}});
    let rendered = render(&package, &asking(options)).unwrap();
    assert_eq!(rendered.definition["cmd"], hostile);
    assert_eq!(rendered.definition["user"], Value::Null);
    assert_eq!(rendered.definition["uris"], json!(["http://example.org/r"]));
    assert_eq!(rendered.definition["cpus"], 2);
}

#[test]
fn hundreds_of_options_are_no_matter() {
    let properties: serde_json::Map<String, Value> = (0..495)
        .map(|at| (format!("option.{at}"), json!({"type": "integer", "default": at, "minimum": 0})))
        .collect();
    let config =
        json!({"type": "object", "properties": {"all": {"type": "object", "properties": properties}}});
    let package = with(&config, "{\"id\": \"a\", \"instances\": {{all.missing}}1}");
    assert_eq!(render(&package, &asking(json!({}))).unwrap().options["all"].as_object().unwrap().len(), 495);
    let error = render(&package, &asking(json!({"all": {"option.7": -1}}))).unwrap_err();
    assert!(error.to_string().contains("/all/option.7"), "{error}");
}
