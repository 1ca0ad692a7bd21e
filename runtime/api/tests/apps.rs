//! A folder of definitions that are accepted, with a snapshot of what becomes of each, and one of definitions that are
//! refused, with the expected answer beside each. `UPDATE_EXPECTED=1` writes those anew; read the difference.

#![expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use api::marathon::{ApiError, App, GroupId, check_supported, read_json};
use serde_json::{Value, json};

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps").join(folder);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_fixture = |path: &PathBuf| {
        let name = path.to_string_lossy();
        name.ends_with(".json") && !name.ends_with(".expected.json")
    };
    let mut files: Vec<PathBuf> = files.filter(is_fixture).collect();
    files.sort();
    files
}

fn read(body: &[u8]) -> Result<App, ApiError> {
    let app = App::create(&read_json(body)?, &GroupId::root())?;
    check_supported(&app)?;
    Ok(app)
}

#[test]
fn every_valid_definition_is_accepted_and_becomes_what_its_snapshot_says() {
    let files = fixtures("valid");
    assert!(files.len() >= 20, "{} definitions", files.len());
    for path in files {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let app = read(&fs::read(&path).unwrap()).unwrap_or_else(|error| panic!("{name}: {}", error.body()));
        let written = serde_json::to_string_pretty(&app).unwrap();
        let again = App::stored(&read_json(written.as_bytes()).unwrap()).unwrap();
        assert_eq!(again, app, "{name}");
        insta::assert_snapshot!(name, written);
    }
}

#[test]
fn every_invalid_definition_gets_its_expected_answer() {
    for path in fixtures("invalid") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let error = read(&fs::read(&path).unwrap()).err().unwrap_or_else(|| panic!("{name} was accepted"));
        let answer = json!({ "status": error.status(), "body": error.body() });
        let expected = path.with_extension("expected.json");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, format!("{answer:#}\n")).unwrap();
        }
        let expected: Value = serde_json::from_slice(&fs::read(&expected).unwrap()).unwrap();
        assert_eq!(answer, expected, "{name}");
    }
}

#[test]
fn a_definition_that_is_wrong_in_five_places_gets_five_details() {
    let body = br#"{"id": "Web", "cpus": 0, "instances": -1, "backoffFactor": 0.5, "upgradeStrategy":
        {"minimumHealthCapacity": 1.5}, "cmd": "x"}"#;
    let error = read(body).unwrap_err();
    assert_eq!(error.status(), 422);
    let body = error.body();
    let paths: Vec<&str> =
        body["details"].as_array().unwrap().iter().map(|detail| detail["path"].as_str().unwrap()).collect();
    assert_eq!(
        paths,
        ["/cpus", "/instances", "/upgradeStrategy/minimumHealthCapacity", "/backoffFactor", "/id"]
    );
}

#[test]
fn a_hundred_thousand_labels_are_read() {
    let labels: serde_json::Map<String, Value> =
        (0..100_000).map(|n| (format!("l{n}"), json!("x"))).collect();
    let body = json!({"id": "many", "cmd": "x", "labels": labels}).to_string();
    assert_eq!(read(body.as_bytes()).unwrap().labels.len(), 100_000);
}

#[test]
fn of_a_hundred_thousand_mistakes_a_thousand_are_named_and_the_rest_counted() {
    let body = json!({"id": "many", "args": vec![1; 100_000]}).to_string();
    let ApiError::WrongTypes(details) = read(body.as_bytes()).unwrap_err() else { panic!("not found") };
    assert_eq!(details.len(), 1_001);
    assert_eq!(details[999].path, "/args(999)");
    assert_eq!(details[1_000].errors, ["and 99000 more"]);
}
