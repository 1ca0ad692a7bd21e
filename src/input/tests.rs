use std::fs;

use serde_json::json;

use super::*;

fn one(text: &str) -> Value {
    parse("f", text).unwrap().pop().unwrap().value
}

#[test]
fn json_and_yaml_say_the_same() {
    let expected = json!({"id": "/web", "cmd": "yes", "cpus": 0.5, "env": {"A": "1"}});
    for text in [
        r#"{"id":"/web","cmd":"yes","cpus":0.5,"env":{"A":"1"}}"#,
        "id: /web\ncmd: yes\ncpus: 0.5\nenv: {A: '1'}\n",
        "{id: /web, cmd: 'yes', cpus: 0.5, env: {A: '1'}}",
    ] {
        assert_eq!(one(text), expected, "{text}");
    }
    assert_eq!(one("[{\"id\": \"/web\"}]"), json!([{"id": "/web"}]));
    assert_eq!(one("- id: /web\n"), json!([{"id": "/web"}]));
}

fn refused(text: &str) -> String {
    let error = together(parse("web.json", text).unwrap_err()).unwrap();
    anstream::adapter::strip_str(&error.styled()).to_string()
}

#[test]
fn mistakes_have_a_place() {
    insta::assert_snapshot!(refused("{\n  \"id\": \"/web\",,\n}"), @r"
    error: web.json:2:16: key must be a string
    hint: it begins like JSON and was read as such
    ");
    insta::assert_snapshot!(refused("[{\"id\": \"/web\"},\n {\"id\": }]"), @r"
    error: web.json:2:9: expected value
    hint: it begins like JSON and was read as such
    ");
    insta::assert_snapshot!(refused("id: /web\nid: /db\n"), @r"
    error: web.json:2:1: duplicate mapping key: id
    hint: definitions are JSON or YAML
    ");
    insta::assert_snapshot!(refused("id: [/web\nx: {"), @r"
    error: web.json:2:2: illegal placement of ':' indicator
    hint: definitions are JSON or YAML
    ");
    insta::assert_snapshot!(refused(" \n"), @r"
    error: web.json is empty
    ");
    insta::assert_snapshot!(refused("id: a\n---\nid: /web\nid: /db\n---\nx: [\n"), @r"
    error: 2 mistakes; nothing was sent
      caused by: web.json:4:1: duplicate mapping key: id
      caused by: web.json:6:4: unclosed bracket '['
    hint: definitions are JSON or YAML
    ");
}

#[test]
fn a_directory_is_read_in_order_and_every_mistake_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    assert!(read(folder.path()).unwrap_err().message.ends_with("holds no definitions"));
    write("b.yaml", "id: b\n---\nid: c\n");
    write("a.json", "{\"id\": \"a\"}");
    write("notes.txt", "not: [read");
    fs::create_dir(folder.path().join("d.yaml")).unwrap();
    let ids: Vec<Value> =
        read(folder.path()).unwrap().into_iter().map(|document| document.value["id"].clone()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    write("e.yml", "id: e\nid: f\n");
    write("f.json", "{\"id\": }");
    let error = read(folder.path()).unwrap_err();
    let causes: Vec<&str> = error.causes.iter().filter_map(|cause| cause.rsplit('/').next()).collect();
    assert_eq!(error.message, "2 mistakes; nothing was sent");
    assert_eq!(causes, ["e.yml:2:1: duplicate mapping key: id", "f.json:1:8: expected value"]);
}

#[test]
fn a_document_knows_where_its_parts_stand() {
    let documents = parse("f.yaml", "id: a\n---\n# b\nid: b\nenv:\n  X: 1\n").unwrap();
    let second = &documents[1];
    assert_eq!(second.place("/env/X"), Some("f.yaml:6".to_owned()));
    assert_eq!(second.place("/cpus"), None);
    assert_eq!(second.near("/env/Y"), "f.yaml:5");
    assert_eq!(second.near("/cpus"), "f.yaml:4");
    assert_eq!(second.near(""), "f.yaml:4");
}
