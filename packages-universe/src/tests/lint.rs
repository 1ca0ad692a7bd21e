//! Every kind of mistake is named, with its file, its line, and what to write.

use std::fs;

use super::GOOD;
use crate::lint;

/// What lint says of the good package with changes: a file, what stands there, and what is put in its place.
fn said(changes: &[(&str, &str, &str)]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("shop/1.0.0");
    fs::create_dir_all(&place).unwrap();
    for (name, text) in GOOD {
        let mut text = text.to_owned();
        for (_, from, to) in changes.iter().filter(|(file, ..)| *file == name) {
            assert!(from.is_empty() || text.contains(from), "{name} has no {from}");
            text = if from.is_empty() { (*to).to_owned() } else { text.replacen(from, to, 1) };
        }
        if text != "REMOVED" {
            fs::write(place.join(name), text).unwrap();
        }
    }
    let faults = lint(directory.path()).unwrap();
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}

#[test]
fn a_good_package_has_no_faults() {
    assert_eq!(said(&[]), "");
}

#[test]
fn each_mistake_is_named_where_it_is() {
    let mut told = String::new();
    for changes in [
        vec![("package.yaml", "name: shop", "name: Shop_1")],
        vec![("package.yaml", "version: 1.0.0", "version: 1 0")],
        vec![("package.yaml", "version: 1.0.0", "version: 1.0.1")],
        vec![("package.yaml", "maintainer: us\n", "")],
        vec![("package.yaml", "maintainer: us", "maintainr: us")],
        vec![("package.yaml", "a-b", "a b")],
        vec![("package.yaml", "mem: 64", "mem: 0")],
        vec![("package.yaml", "app: front", "app: none")],
        vec![("package.yaml", "port: 0", "port: 1")],
        vec![("package.yaml", "path: /", "path: x")],
        vec![("package.yaml", "{{ id }}", "{{ idd }}")],
        vec![("package.yaml", "tags: [a-b]", "tags: [a-b")],
        vec![("config.yaml", "type: integer", "type: number of things")],
        vec![("config.yaml", "default: 2", "default: 0")],
        vec![("config.yaml", "default: 2", "default: two")],
        vec![("config.yaml", "minLength: 3", "default: known")],
        vec![("config.yaml", "type: object\nadd", "$ref: \"https://example.org/s\"\nadd")],
        vec![("config.yaml", "minimum: 1", "minimum: 1\n        minimum: 2")],
        vec![("resource.yaml", "sha256: 0ab1", "sha256: 0ab")],
        vec![("resource.yaml", "sha256: 0ab10ab1", "sha256: 12 #")],
        vec![("resource.yaml", "sha256", "sha265")],
        vec![("resource.yaml", "home: wares-1", "home: ../wares-1")],
        vec![("resource.yaml", "sources:", "source:")],
        vec![("resource.yaml", "https://example.org/w", "ftp://example.org/w")],
        vec![("service.json.tera", "", "REMOVED")],
        vec![("service.json.tera", "options.service.count", "options.service.coutn")],
        vec![("service.json.tera", "artifacts.wares.uri", "artifacts.ware.uri")],
        vec![("service.json.tera", "artifacts.wares.uri", "artifacts.wares.url")],
        vec![(
            "service.json.tera",
            "\"source\": \"{{ options.service.word }}\"",
            "\"source\": \"{{ options.service.wrod }}\"",
        )],
        vec![("service.json.tera", "\"id\": \"front\",", "\"id\": \"front\"")],
        vec![("service.json.tera", "{% endif %}", "{% endi %}")],
        vec![("service.json.tera", "{{ id }}", "{{ id }")],
        vec![("service.json.tera", "\"own\"", "1")],
        vec![("service.json.tera", "{{ id }}", "{% include 'x' %}")],
    ] {
        let faults = said(&changes);
        assert_ne!(faults, "", "{changes:?}");
        let (file, from, to) = changes[0];
        told.push_str(&format!("== {file}: {from:?} is {to:?}\n{faults}"));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn an_empty_directory_and_a_stray_file_are_told() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(lint(directory.path()).unwrap().len(), 1);
    fs::create_dir(directory.path().join("a")).unwrap();
    fs::write(directory.path().join("a/config.yaml"), "type: object\n").unwrap();
    let faults = lint(directory.path()).unwrap();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].to_string().starts_with("a/config.yaml: this belongs to no package"), "{}", faults[0]);
    assert!(lint(&directory.path().join("none")).is_err());
}
