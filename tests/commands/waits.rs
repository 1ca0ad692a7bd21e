//! Commands that wait, and how waiting ends.

use std::io::{BufRead as _, Read as _};
use std::process::Stdio;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::fixtures::{DEPLOYMENT, TASK, app, definition, result, running_deployment};
use crate::server::{Answer, Cluster, ok};

#[test]
fn a_service_is_shown_with_why_it_waits() {
    let mut web = app(0, 1);
    web["cpus"] = json!(64.0);
    let queue = json!({"queue": [{"app": web, "count": 1, "delay": {"timeLeftSeconds": 0, "overdue": true},
        "processedOffersSummary": {"processedOffersCount": 3, "rejectSummaryLastOffers": [
            {"reason": "InsufficientCpus", "declined": 3, "processed": 3}]}}]});
    let cluster =
        Cluster::start([("GET /v2/apps/web", ok(json!({"app": web}))), ("GET /v2/queue", ok(queue))]);
    let (code, stdout, stderr) = cluster.run(&["service", "show", "web"]);
    assert!(
        code == 0 && stdout.contains("1 instance waits: 3 of 3 offers lack cpus (64 wanted)"),
        "{stdout}{stderr}"
    );
}

#[test]
fn a_service_is_created_and_waited_for() {
    let created = json!({"id": "/web", "deployments": [{"id": DEPLOYMENT}]});
    let event = |state: &str| {
        json!({"eventType": "status_update_event", "appId": "/web", "taskId": TASK, "taskStatus": state,
               "message": "", "host": "n1", "slaveId": "S0"})
    };
    let success = json!({"eventType": "deployment_success", "id": DEPLOYMENT});
    let cluster = Cluster::start([
        ("POST /v2/apps", Answer::Json(201, created)),
        ("GET /v2/events", Answer::Events(vec![event("TASK_STAGING"), event("TASK_RUNNING"), success])),
        ("GET /v2/deployments", ok(running_deployment())),
        ("GET /v2/apps/web", ok(json!({"app": app(1, 1)}))),
    ]);
    let (_folder, file) = definition(r#"{"id": "/web", "cmd": "sleep 1000"}"#);
    let (code, stdout, stderr) = cluster.run(&["service", "create", "-f", &file]);
    assert_eq!((code, stdout.as_str()), (0, "/web is created: 1 of 1 instance\n"), "{stderr}");
    assert_snapshot!(stderr, @r"
    /web: deployment d0000000-0000-4000-8000-000000000001
      step 1 of 2
      web.3f0c8a52 staging on n1
      web.3f0c8a52 running on n1
    ");
    assert_eq!(cluster.changes(), [("POST /v2/apps".to_owned(), json!({"id": "/web", "cmd": "sleep 1000"}))]);

    let (code, stdout, _) = cluster.run(&["service", "create", "-f", &file, "--json"]);
    let types: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].take()).collect();
    assert_eq!(
        (code, types),
        (
            0,
            vec!["start", "deployment", "deployment", "instance", "instance", "done"]
                .into_iter()
                .map(Value::from)
                .collect()
        )
    );
}

#[test]
fn a_rollback_undoes_the_deployment_that_runs() {
    let mut deploying = app(1, 1);
    deploying["deployments"] = json!([{"id": "d7"}]);
    let cluster = Cluster::start([
        ("GET /v2/apps/web", ok(json!({"app": deploying}))),
        ("DELETE /v2/deployments/d7", ok(result())),
        ("GET /v2/apps/web", Answer::Json(404, json!({"message": "App '/web' does not exist"}))),
        ("GET /v2/deployments", ok(json!([]))),
    ]);
    let (code, stdout, stderr) = cluster.run(&["service", "rollback", "web"]);
    assert_eq!((code, stdout.as_str()), (0, "/web is rolled back\n"), "{stderr}");
}

#[test]
fn a_wait_that_is_too_long_says_why_and_how_to_look_further() {
    let created = json!({"id": "/web", "deployments": [{"id": DEPLOYMENT}]});
    let failed = json!({"eventType": "status_update_event", "appId": "/web", "taskId": TASK, "slaveId": "S0",
        "taskStatus": "TASK_FAILED", "message": "Command exited with status 1", "host": "n1"});
    let queue =
        json!({"queue": [{"app": app(0, 1), "count": 1, "delay": {"timeLeftSeconds": 5, "overdue": false}}]});
    let read = "GET /agent/S0/files/read";
    let text = "no such file: \u{1b}[31mconfig\nbye\n";
    let cluster = Cluster::start([
        ("POST /v2/apps", Answer::Json(201, created)),
        ("GET /v2/events", Answer::Events(vec![failed])),
        ("GET /v2/deployments", ok(running_deployment())),
        ("GET /v2/apps/web", ok(json!({"app": app(0, 1)}))),
        ("GET /v2/queue", ok(queue)),
        ("GET /v2/info", ok(json!({"frameworkId": "F"}))),
        (read, ok(json!({"data": "", "offset": text.len()}))),
        (read, ok(json!({"data": text, "offset": 0}))),
        (read, ok(json!({"data": "", "offset": text.len()}))),
        (read, ok(json!({"data": text, "offset": 0}))),
    ]);
    let (_folder, file) = definition(r#"{"id": "/web", "cmd": "false"}"#);
    let (code, stdout, stderr) = cluster.run(&["service", "create", "-f", &file, "--timeout", "1500ms"]);
    assert_eq!((code, stdout.as_str()), (6, ""));
    assert_snapshot!(stderr, @r"
    /web: deployment d0000000-0000-4000-8000-000000000001
      step 1 of 2
      web.3f0c8a52 failed on n1: Command exited with status 1
          no such file: \u{1b}[31mconfig
          bye
    error: /web is not done after 1.5 s
      caused by: 0 of 1 instance run
      caused by: instance web.3f0c8a52 on n1 ended with TASK_FAILED: Command exited with status 1
      caused by: its standard error ends with
        no such file: \u{1b}[31mconfig
        bye
      caused by: 1 instance starts again in 5 s, since the last ones ended too soon
    hint: deployment d0000000-0000-4000-8000-000000000001 goes on; `clusterctl service wait /web` waits for it again
    hint: `clusterctl service show /web` and `clusterctl service logs /web --stderr` say more
    hint: `clusterctl service remove /web` takes the change back
    ");
}

#[test]
fn ctrl_c_says_that_the_deployment_goes_on() {
    let cluster = Cluster::start([
        ("GET /v2/apps/web", ok(json!({"app": app(0, 1)}))),
        ("POST /v2/apps/web/restart", ok(result())),
        ("GET /v2/deployments", ok(running_deployment())),
    ]);
    let mut command = cluster.command(&["service", "restart", "web"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("step 1 of 2") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended before it waited");
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_snapshot!(rest, @r"
    error: stopped waiting; deployment d0000000-0000-4000-8000-000000000001 goes on
    hint: `clusterctl service wait /web` waits for it again
    hint: `clusterctl service rollback /web` takes the change back
    ");
}

#[test]
fn a_deployment_that_was_given_up_ends_the_wait() {
    let given_up = json!({"eventType": "deployment_failed", "id": DEPLOYMENT});
    let cluster = Cluster::start([
        ("GET /v2/apps/web", ok(json!({"app": app(1, 1)}))),
        ("PATCH /v2/apps/web", ok(result())),
        ("GET /v2/events", Answer::Events(vec![given_up])),
        ("GET /v2/deployments", ok(running_deployment())),
        ("GET /v2/queue", ok(json!({"queue": []}))),
    ]);
    let (code, _, stderr) = cluster.run(&["service", "scale", "web", "3"]);
    assert!(code == 6 && stderr.contains("another one took its place"), "{stderr}");
    assert_eq!(cluster.changes(), [("PATCH /v2/apps/web".to_owned(), json!({"instances": 3}))]);
}

#[test]
fn restart_rollback_wait_and_remove() {
    let mut older = app(1, 1);
    older["deployments"] = json!([]);
    let cluster = Cluster::start([
        ("GET /v2/apps/web", ok(json!({"app": older}))),
        ("POST /v2/apps/web/restart", ok(result())),
        (
            "GET /v2/apps/web/versions",
            ok(json!({"versions": ["2026-11-22T11:57:00.000Z", "2026-11-21T00:00:00.000Z"]})),
        ),
        ("PATCH /v2/apps/web", ok(result())),
        ("DELETE /v2/apps/web", ok(result())),
        ("GET /v2/deployments", ok(json!([]))),
    ]);
    for (arguments, says) in [
        (["service", "restart", "web"], "/web is restarted: 1 of 1 instance\n"),
        (["service", "rollback", "web"], "/web is rolled back: 1 of 1 instance\n"),
        (["service", "wait", "web"], "/web is up: 1 of 1 instance\n"),
    ] {
        let (code, stdout, stderr) = cluster.run(&arguments);
        assert_eq!((code, stdout.as_str()), (0, says), "{stderr}");
    }
    let (code, _, stderr) = cluster.run(&["service", "remove", "web"]);
    assert!(code == 2 && stderr.contains("add `-y`"), "{stderr}");
    let (code, _, _) = cluster.run(&["service", "remove", "web", "-y", "--no-wait"]);
    assert_eq!(code, 0);
    let changes: Vec<String> = cluster.changes().into_iter().map(|(request, _)| request).collect();
    assert_eq!(changes, ["POST /v2/apps/web/restart", "PATCH /v2/apps/web", "DELETE /v2/apps/web"]);
}

#[test]
fn a_removed_service_is_waited_for() {
    let cluster = Cluster::start([
        ("GET /v2/apps/web", ok(json!({"app": app(1, 1)}))),
        ("GET /v2/apps/web", Answer::Json(404, json!({"message": "App '/web' does not exist"}))),
        ("DELETE /v2/apps/web", ok(result())),
        ("GET /v2/deployments", ok(json!([]))),
    ]);
    let (code, stdout, stderr) = cluster.run(&["service", "remove", "web", "-y"]);
    assert_eq!((code, stdout.as_str()), (0, "/web is removed\n"), "{stderr}");
}
