//! Definitions out of files and directories, and every mistake with its place.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::fixtures::{DEPLOYMENT, app, folder, result};
use crate::server::{Answer, Cluster, ok};

/// Runs with `-f` and the folder, which is called DIR in what is printed.
fn run(cluster: &Cluster, arguments: &[&str], folder: &tempfile::TempDir) -> (i32, String, String) {
    let path = folder.path().display().to_string();
    let mut all = arguments.to_vec();
    all.extend(["-f", &path]);
    let (code, stdout, stderr) = cluster.run(&all);
    (code, stdout, stderr.replace(&path, "DIR"))
}

fn other(id: &str) -> Value {
    let mut other = app(1, 1);
    other["id"] = json!(id);
    other
}

#[test]
fn a_directory_is_created_by_one_deployment() {
    let cluster = Cluster::start([
        ("GET /v2/apps", ok(json!({"apps": []}))),
        ("GET /v2/apps", ok(json!({"apps": [app(1, 1), other("/db"), other("/kv")]}))),
        ("PUT /v2/apps", ok(result())),
        ("GET /v2/deployments", ok(json!([]))),
    ]);
    let files = folder(&[
        ("b.yml", "id: kv\ncmd: sleep 2\n---\nid: /db\ncmd: sleep 3\n"),
        ("a.json", "{\"apps\": [{\"id\": \"/web\", \"cmd\": \"sleep 1\", \"tasksRunning\": 1}]}"),
        ("README.md", "not a definition"),
    ]);
    let (code, stdout, stderr) = run(&cluster, &["service", "create"], &files);
    assert_eq!((code, stdout.as_str()), (0, "3 services are created: 3 of 3 instances\n"), "{stderr}");
    let sent = json!([{"id": "/web", "cmd": "sleep 1"}, {"id": "/kv", "cmd": "sleep 2"}, {"id": "/db", "cmd": "sleep 3"}]);
    assert_eq!(cluster.changes(), [("PUT /v2/apps".to_owned(), sent)]);
}

#[test]
fn when_one_file_is_wrong_nothing_is_sent_and_every_mistake_is_named() {
    let cluster = Cluster::start([("GET /v2/apps", ok(json!({"apps": [other("/db")]})))]);
    let files = folder(&[
        ("a.yaml", "id: web\ncmd: [\n"),
        ("b.json", "{\"id\": \"/kv\",\n \"cmd\": }"),
        ("c.yaml", "id: /db\ncmd: sleep 1\n"),
    ]);
    let (code, stdout, stderr) = run(&cluster, &["service", "create"], &files);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert_snapshot!(stderr, @r"
    error: 2 mistakes; nothing was sent
      caused by: DIR/a.yaml:2:6: unclosed bracket '['
      caused by: DIR/b.json:2:9: expected value
    hint: definitions are JSON or YAML
    hint: it begins like JSON and was read as such
    ");
    let files = folder(&[
        ("a.yaml", "# a comment\ncmd: sleep 1\n"),
        ("b.yaml", "id: Not Good\ncmd: sleep 1\n---\nid: /db\ncmd: sleep 1\n"),
    ]);
    let (code, _, stderr) = run(&cluster, &["service", "create"], &files);
    assert_eq!(code, 2);
    assert_snapshot!(stderr, @r#"
    error: 2 mistakes; nothing was sent
      caused by: DIR/a.yaml:2: the definition names no service
      caused by: DIR/b.yaml:1: "Not Good" cannot be a service's id
      caused by: has the element 'Not Good', which may hold only lower-case letters, digits, hyphens and dots, and must begin and end with a letter or digit, also beside a dot
    hint: give it an `id`, like "id": "/web"
    hint: ids are like /web or /shop/web
    "#);
    let files = folder(&[("a.yaml", "id: web\ncmd: sleep 1\n"), ("b.yaml", "cmd: sleep 1\nid: /db\n")]);
    let (code, _, stderr) = run(&cluster, &["service", "create"], &files);
    assert_eq!(code, 2);
    assert_snapshot!(stderr, @r"
    error: DIR/b.yaml:2: /db exists already
    hint: `clusterctl service update -f FILE` changes what is there
    ");
    assert_eq!(cluster.changes(), []);
}

#[test]
fn what_the_server_finds_wrong_is_shown_with_its_line() {
    let details = json!([
        {"path": "/apps(1)/cpus", "errors": ["must be positive"]},
        {"path": "/apps(0)/constraints(0)", "errors": ["unknown operator", "too short"]},
        {"path": "/apps(1)/labels", "errors": ["is missing"]},
        {"path": "/apps(0)/env/A", "errors": ["is no text"]},
        {"path": "/apps(7)/id", "errors": ["is of nobody"]},
    ]);
    let refusal = json!({"message": "Object is not valid", "details": details});
    let cluster = Cluster::start([
        ("GET /v2/apps", ok(json!({"apps": []}))),
        ("PUT /v2/apps", Answer::Json(422, refusal)),
    ]);
    let files = folder(&[
        ("a.yaml", "id: web\ncmd: x\nconstraints:\n- [hostname, UNIQ]\nenv:\n  A: 1\n"),
        ("b.json", "{\n  \"id\": \"/db\",\n  \"cpus\": -1\n}\n"),
    ]);
    let (code, _, stderr) = run(&cluster, &["service", "create"], &files);
    assert_eq!(code, 2);
    assert_snapshot!(stderr, @r"
    error: Object is not valid
      caused by: DIR/b.json:3: /apps(1)/cpus: must be positive
      caused by: DIR/a.yaml:4: /apps(0)/constraints(0): unknown operator; too short
      caused by: DIR/b.json:1: /apps(1)/labels: is missing
      caused by: DIR/a.yaml:6: /apps(0)/env/A: is no text
      caused by: /apps(7)/id: is of nobody
    ");
    // One alone names its line where it is known.
    let refusal = json!({"message": "Invalid JSON", "details": [{"path": "/cpus", "errors": ["error.expected.jsnumber"]}]});
    let cluster = Cluster::start([("POST /v2/apps", Answer::Json(400, refusal))]);
    let files = folder(&[("web.yaml", "id: web\ncmd: x\ncpus: many\n")]);
    let (code, _, stderr) = run(&cluster, &["service", "create"], &files);
    assert_eq!(code, 2);
    assert_snapshot!(stderr, @r"
    error: Invalid JSON
      caused by: DIR/web.yaml:3: /cpus: error.expected.jsnumber
    ");
}

#[test]
fn an_update_takes_the_ids_from_the_definitions() {
    let apps = json!({"apps": [app(1, 1), other("/db")]});
    let cluster = Cluster::start([
        ("GET /v2/apps", ok(apps)),
        ("GET /v2/apps/web", ok(json!({"app": app(1, 1)}))),
        ("PATCH /v2/apps", ok(result())),
        ("PUT /v2/apps", ok(result())),
        ("PATCH /v2/apps/web", ok(result())),
    ]);
    let both = folder(&[("a.yaml", "- {id: web, cpus: 1}\n- {id: /db, cpus: 2}\n")]);
    let (code, stdout, stderr) = run(&cluster, &["service", "update", "--no-wait"], &both);
    assert_eq!((code, stdout), (0, format!("2 services: deployment {DEPLOYMENT}\n")), "{stderr}");
    assert_eq!(run(&cluster, &["service", "update", "--replace", "--force", "--no-wait"], &both).0, 0);
    let one = folder(&[("a.yaml", "id: web\ncpus: 1\n")]);
    assert_eq!(run(&cluster, &["service", "update", "--no-wait"], &one).0, 0);
    let list = json!([{"id": "/web", "cpus": 1}, {"id": "/db", "cpus": 2}]);
    assert_eq!(
        cluster.changes(),
        [
            ("PATCH /v2/apps".to_owned(), list.clone()),
            ("PUT /v2/apps?partialUpdate=false&force=true".to_owned(), list),
            ("PATCH /v2/apps/web".to_owned(), json!({"id": "web", "cpus": 1})),
        ]
    );
    let (code, _, stderr) = run(&cluster, &["service", "update", "web"], &both);
    assert!(code == 2 && stderr.contains("there are 2 definitions, and /web is one service"), "{stderr}");
    let (code, _, stderr) = run(&cluster, &["service", "update", "--set", "cpus=1"], &both);
    assert!(code == 2 && stderr.contains("--set changes one service"), "{stderr}");
    let (code, _, stderr) = cluster.run(&["service", "update", "--set", "cpus=1"]);
    assert!(code == 2 && stderr.contains("ID"), "{stderr}");
    let gone = folder(&[("a.yaml", "- {id: wbe, cpus: 1}\n- {id: /db, cpus: 2}\n")]);
    let (code, _, stderr) = run(&cluster, &["service", "update"], &gone);
    assert_eq!(code, 2);
    assert_snapshot!(stderr, @r"
    error: DIR/a.yaml:1: there is no service /wbe
    hint: did you mean `/web`?
    hint: `clusterctl service list` shows all services
    hint: `clusterctl service create -f FILE` creates what is not there
    ");
}
