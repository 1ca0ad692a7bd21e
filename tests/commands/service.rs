//! Commands that show and change services.

use std::io::Write as _;
use std::process::Stdio;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::fixtures::{DEPLOYMENT, app, definition, result};
use crate::server::{Answer, Cluster, ok};

#[test]
fn services_are_listed_as_the_api_answers_them() {
    let cluster = Cluster::start([("GET /v2/apps", ok(json!({"apps": [app(1, 1)]})))]);
    let (code, stdout, _) = cluster.run(&["service", "list", "-o", "json"]);
    assert_eq!((code, serde_json::from_str(&stdout).unwrap()), (0, json!({"apps": [app(1, 1)]})));
    let (code, stdout, _) = cluster.run(&["service", "list", "-o", "yaml"]);
    assert!(code == 0 && stdout.contains("id: /web"), "{stdout}");
    let (code, stdout, stderr) = cluster.run(&["service", "list"]);
    assert!(code == 0 && stdout.contains("/web     running  1/1"), "{stdout}{stderr}");
    let (code, stdout, _) = cluster.run(&["service", "list", "--json"]);
    let last: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!(
        (code, &last["type"], &last["answer"]["apps"][0]["id"]),
        (0, &json!("answer"), &json!("/web"))
    );
}

#[test]
fn a_service_that_is_not_there_is_shown_its_neighbours() {
    let cluster = Cluster::start([("GET /v2/apps", ok(json!({"apps": [app(1, 1)]})))]);
    let (code, _, stderr) = cluster.run(&["service", "show", "wbe"]);
    assert_eq!(code, 2);
    assert_snapshot!(stderr, @r"
    error: there is no service /wbe
    hint: did you mean `/web`?
    hint: `clusterctl service list` shows all services
    ");
}

#[test]
fn a_definition_may_come_on_standard_input_as_yaml() {
    let created = json!({"id": "/web", "deployments": [{"id": DEPLOYMENT}]});
    let cluster = Cluster::start([("POST /v2/apps", Answer::Json(201, created))]);
    let mut child = cluster
        .command(&["service", "create", "-f", "-", "--no-wait"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"id: web\ncmd: sleep 1\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("/web: deployment {DEPLOYMENT}\n"));
    assert_eq!(cluster.changes()[0].1, json!({"id": "web", "cmd": "sleep 1"}));
}

#[test]
fn a_service_may_be_described_by_flags() {
    let created = json!({"id": "/web", "deployments": [{"id": DEPLOYMENT}]});
    let cluster = Cluster::start([("POST /v2/apps", Answer::Json(201, created))]);
    let flags = ["--cmd", "sleep 1", "--cpus", "0.1", "--instances", "2", "--env", "A=1", "--no-wait"];
    let (code, _, stderr) = cluster.run(&[&["service", "create", "web"], flags.as_slice()].concat());
    assert_eq!(code, 0, "{stderr}");
    let sent = json!({"id": "/web", "cmd": "sleep 1", "cpus": 0.1, "instances": 2, "env": {"A": "1"}});
    assert_eq!(cluster.changes()[0].1, sent);
    for wrong in [
        ["service", "create", "web"].as_slice(),
        &["service", "create"],
        &["service", "create", "web", "-f", "x"],
    ] {
        assert_eq!(cluster.run(wrong).0, 2, "{wrong:?}");
    }
}

#[test]
fn a_definition_with_five_mistakes_shows_all_five() {
    let details: Vec<Value> =
        (1..=5).map(|number| json!({"path": format!("/field{number}"), "errors": ["is wrong"]})).collect();
    let refusal = json!({"message": "Object is not valid", "details": details});
    let cluster = Cluster::start([("POST /v2/apps", Answer::Json(422, refusal))]);
    let (_folder, file) = definition(r#"{"id": "/web"}"#);
    let (code, stdout, stderr) = cluster.run(&["service", "create", "-f", &file]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert_snapshot!(stderr, @r"
    error: Object is not valid
      caused by: /field1: is wrong
      caused by: /field2: is wrong
      caused by: /field3: is wrong
      caused by: /field4: is wrong
      caused by: /field5: is wrong
    ");
}

#[test]
fn an_id_that_is_taken_says_how_to_change_it() {
    let refusal = json!({"message": "An app with id [/web] already exists."});
    let cluster = Cluster::start([("POST /v2/apps", Answer::Json(409, refusal))]);
    let (_folder, file) = definition(r#"{"id": "/web", "cmd": "true"}"#);
    let (code, _, stderr) = cluster.run(&["service", "create", "-f", &file]);
    assert_eq!(code, 2);
    assert_snapshot!(stderr, @r"
    error: An app with id [/web] already exists.
    hint: `clusterctl service update /web -f FILE` changes it
    ");
}

#[test]
fn a_file_that_is_wrong_is_not_sent() {
    let cluster = Cluster::start([]);
    let (_folder, file) = definition("{\"id\": \"/web\",\n \"cmd\": }");
    let (code, _, stderr) = cluster.run(&["service", "create", "-f", &file]);
    assert!(code == 2 && stderr.contains("web.json:2:9: "), "{stderr}");
    for (text, says) in
        [("[]", "a list"), ("{\"id\": \"/g\", \"apps\": []}", "a group"), ("{}", "names no service")]
    {
        let (_folder, file) = definition(text);
        let (code, _, stderr) = cluster.run(&["service", "create", "-f", &file]);
        assert!(code == 2 && stderr.contains(says), "{text}: {stderr}");
    }
    let (code, _, stderr) = cluster.run(&["service", "create", "-f", "/no/such"]);
    assert!(code == 2 && stderr.contains("cannot read /no/such"), "{stderr}");
    assert_eq!(cluster.changes(), []);
}

#[test]
fn a_service_that_is_locked_names_the_deployment_and_force_is_sent() {
    let refusal =
        json!({"message": "App is locked by one or more deployments.", "deployments": [{"id": "d7"}]});
    let cluster = Cluster::start([
        ("GET /v2/apps/web", ok(json!({"app": app(1, 1)}))),
        ("PATCH /v2/apps/web", Answer::Json(409, refusal)),
        ("PATCH /v2/apps/web", ok(result())),
    ]);
    let (code, _, stderr) = cluster.run(&["service", "scale", "web", "3"]);
    assert_eq!(code, 8);
    assert_snapshot!(stderr, @r"
    error: App is locked by one or more deployments.
      caused by: deployment d7 is not done
    hint: `--force` puts this change in its place; `clusterctl service wait ID` waits until it is done
    ");
    let (code, _, _) = cluster.run(&["service", "scale", "web", "3", "--force", "--no-wait"]);
    assert_eq!((code, cluster.changes()[1].0.as_str()), (0, "PATCH /v2/apps/web?force=true"));
}

#[test]
fn a_service_is_updated_by_keys_or_as_a_whole() {
    let cluster = Cluster::start([
        ("GET /v2/apps/web", ok(json!({"app": app(1, 1)}))),
        ("PATCH /v2/apps/web", ok(result())),
        ("PUT /v2/apps/web", ok(result())),
        ("GET /v2/deployments", ok(json!([]))),
    ]);
    let (code, stdout, stderr) =
        cluster.run(&["service", "update", "web", "--set", "env.NEW=1", "--set", "cpus=2"]);
    assert_eq!((code, stdout.as_str()), (0, "/web is updated: 1 of 1 instance\n"), "{stderr}");
    let (_folder, file) = definition(r#"{"id": "/web", "cmd": "true"}"#);
    let (code, _, _) = cluster.run(&["service", "update", "web", "-f", &file, "--replace", "--no-wait"]);
    assert_eq!(code, 0);
    assert_eq!(
        cluster.changes(),
        [
            ("PATCH /v2/apps/web".to_owned(), json!({"env": {"LEVEL": "info", "NEW": "1"}, "cpus": 2})),
            ("PUT /v2/apps/web?partialUpdate=false".to_owned(), json!({"id": "/web", "cmd": "true"})),
        ]
    );
    let (code, _, stderr) = cluster.run(&["service", "update", "db", "-f", &file]);
    assert!(code == 2 && stderr.contains("is of /web, not of /db"), "{stderr}");
}
