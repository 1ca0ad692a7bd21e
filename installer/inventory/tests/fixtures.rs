//! Whole inventories: those that are accepted, with what is understood, and those that are refused, with what is told.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use inventory::{Inventory, Mistakes, read, schema};
use serde_json::Value;

/// What the environment of the fixtures holds.
fn variable(name: &str) -> Option<String> {
    let value = match name {
        "CLUSTER" => "demo",
        "PORT" => "2222",
        "HOME" => "/home/me",
        "NUMBER" => "3",
        "SECRET" => "canary secret; 99:98",
        _ => return None,
    };
    Some(value.to_owned())
}

fn fixtures(folder: &str) -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path))
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

fn read_file(path: &Path) -> Result<Inventory, Mistakes> {
    read("inventory.yaml", &fs::read(path).unwrap(), variable)
}

/// Keys whose value is that of every host are left out, so that the others can be seen.
fn shown(inventory: &Inventory) -> String {
    let mut value = serde_json::to_value(inventory).unwrap();
    let is_empty = |value: &Value| {
        value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value == "" || value == false
    };
    for host in value["hosts"].as_array_mut().unwrap() {
        host.as_object_mut().unwrap().retain(|_, value| !is_empty(value));
        let ssh = host["ssh"].as_object_mut().unwrap();
        // An empty list of jump hosts says something.
        ssh.retain(|key, value| !is_empty(value) || (key == "jump" && !value.is_null()));
    }
    let hosts =
        value["hosts"].as_array().unwrap().iter().map(|host| format!("\n  {host}")).collect::<String>();
    format!("cluster: {}\nartifacts: {}\nhosts:{hosts}", value["cluster"], value["artifacts"])
}

#[test]
fn what_is_accepted_is_understood() {
    for (name, path) in fixtures("accepted") {
        let inventory = read_file(&path).unwrap_or_else(|mistakes| panic!("{name}:\n{mistakes}"));
        insta::with_settings!({ snapshot_path => "accepted", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name, shown(&inventory));
        });
    }
}

#[test]
fn what_is_refused_is_told_with_all_its_mistakes() {
    for (name, path) in fixtures("refused") {
        let mistakes = read_file(&path).expect_err(&name);
        let told = mistakes.to_string();
        assert!(!told.contains("canary"), "{name} shows what is secret:\n{told}");
        assert!(!told.contains("hidden"), "{name} shows what is secret:\n{told}");
        assert!(!told.contains(['\u{1b}', '\u{202e}']), "{name} steers the terminal");
        insta::with_settings!({ snapshot_path => "refused", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name, told);
        });
    }
}

#[test]
fn mistakes_stand_in_the_order_of_their_places() {
    for (name, path) in fixtures("refused") {
        let places: Vec<_> =
            read_file(&path).unwrap_err().0.into_iter().map(|mistake| mistake.place).collect();
        assert!(places.is_sorted(), "{name}: {places:?}");
    }
}

fn as_json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_yaml::from_str_with_options(&text, serde_yaml::options! { strict_booleans: true }).unwrap()
}

#[test]
fn the_schema_allows_what_is_accepted() {
    let schema = schema();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    assert!(jsonschema::draft202012::meta::is_valid(&schema));
    for (name, path) in fixtures("accepted") {
        let value = as_json(&path);
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
}

#[test]
fn the_schema_refuses_what_an_editor_can_see() {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    for name in ["unknown_keys", "missing", "wrong_kinds", "ports", "ssh", "secrets"] {
        let path = fixtures("refused").into_iter().find(|(found, _)| found == name).unwrap().1;
        assert!(!validator.is_valid(&as_json(&path)), "{name}");
    }
}

/// All keys that a schema knows, each with those before it.
fn keys(schema: &Value, before: &str, found: &mut Vec<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        for (key, value) in properties {
            let path = format!("{before}/{key}");
            keys(value, &path, found);
            found.push(path);
        }
    }
    if schema["items"].is_object() {
        keys(&schema["items"], before, found);
    }
}

#[test]
fn every_key_of_the_schema_is_read() {
    let mut known = Vec::new();
    keys(&schema(), "", &mut known);
    assert!(known.contains(&"/hosts/ssh/become".to_owned()), "{known:?}");
    for path in known {
        let mut parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let last = parts.pop().unwrap();
        // A list lies where nothing takes one, and a map where nothing takes its key.
        let mut document = format!("{{\"{last}\": [[{{\"bad key\": 1}}]]}}");
        for part in parts.iter().rev() {
            document = if *part == "hosts" {
                format!("{{\"hosts\": [{document}]}}")
            } else {
                format!("{{\"{part}\": {document}}}")
            };
        }
        let mistakes = read("f", document.as_bytes(), variable).unwrap_err();
        let at = document.find("[[").unwrap() + 1;
        let told = mistakes
            .0
            .iter()
            .find(|mistake| mistake.place.column >= at && !mistake.message.contains(" has no `"));
        let told = told.unwrap_or_else(|| panic!("nothing is told about {path}:\n{mistakes}"));
        assert!(!told.message.starts_with("unknown key"), "{path} is not known: {}", told.message);
    }
}

#[test]
fn what_is_found_later_is_told_like_the_readers_mistakes() {
    let (_, path) = fixtures("accepted").into_iter().find(|(name, _)| name == "design").unwrap();
    let inventory = read_file(&path).unwrap();
    let place = inventory.host("m2").unwrap().declared;
    let mistake =
        inventory.mistake(place, "`m2` and `m3` are one machine", Some("remove one of them".to_owned()));
    insta::assert_snapshot!(mistake, @r#"
    inventory.yaml:13:5: `m2` and `m3` are one machine
      13 |   - {name: m2, address: 192.0.2.12, roles: [coordinator, master], host_key: "SHA256:AAAAAAAAAAAAAAAA…
         |     ^
      remove one of them
    "#);
}
