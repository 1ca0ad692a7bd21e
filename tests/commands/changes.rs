//! Commands that change services: suspend, edit, roll back, stop a deployment; and what they would change.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::editor::Editor;
use crate::fixtures::{DEPLOYMENT, app, definition, result, running_deployment};
use crate::server::{Answer, Cluster, ok};

const NOW: &str = "2026-11-22T11:57:00.000Z";
const OLD: &str = "2026-11-21T00:00:00.000Z";

fn versions() -> Vec<(&'static str, Answer)> {
    let mut old = app(0, 1);
    old["cmd"] = json!("sleep 1");
    old["version"] = json!(OLD);
    vec![
        ("GET /v2/apps/web", ok(json!({"app": app(1, 2)}))),
        ("GET /v2/apps/web/versions", ok(json!({"versions": [NOW, OLD]}))),
        ("GET /v2/apps/web/versions/2026-11-22T11:57:00.000Z", ok(app(1, 2))),
        ("GET /v2/apps/web/versions/2026-11-21T00:00:00.000Z", ok(old)),
    ]
}

#[test]
fn a_service_is_suspended_and_the_way_back_is_shown() {
    let cluster = Cluster::start([
        ("GET /v2/apps/web", ok(json!({"app": app(3, 3)}))),
        ("GET /v2/apps/web", ok(json!({"app": app(0, 0)}))),
        ("PATCH /v2/apps/web", ok(result())),
        ("GET /v2/deployments", ok(json!([]))),
        ("GET /v2/apps", ok(json!({"apps": [app(0, 0)]}))),
    ]);
    let (code, stdout, stderr) = cluster.run(&["service", "suspend", "web"]);
    assert_eq!((code, stdout.as_str()), (0, "/web is suspended\n"), "{stderr}");
    assert!(stderr.contains("hint: `clusterctl service scale /web 3` runs it again\n"), "{stderr}");
    assert_eq!(cluster.changes(), [("PATCH /v2/apps/web".to_owned(), json!({"instances": 0}))]);
    assert!(cluster.run(&["service", "list"]).1.contains("/web     suspended  0/0"));
}

#[test]
fn versions_are_listed_compared_and_gone_back_to() {
    let mut answers = versions();
    answers.push(("PATCH /v2/apps/web", ok(result())));
    let cluster = Cluster::start(answers);
    let (code, stdout, stderr) = cluster.run(&["service", "versions", "web", "-o", "wide"]);
    assert_eq!(code, 0, "{stderr}");
    assert_snapshot!(stdout, @r"
       VERSION                   AGE                       CHANGED
    *  2026-11-22T11:57:00.000Z  2026-11-22T11:57:00.000Z  cmd, instances
       2026-11-21T00:00:00.000Z  2026-11-21T00:00:00.000Z  created
    ");
    let (code, stdout, _) = cluster.run(&["service", "versions", "web", "-o", "json"]);
    assert_eq!((code, serde_json::from_str(&stdout).unwrap()), (0, json!({"versions": [NOW, OLD]})));

    let (code, stdout, stderr) = cluster.run(&["service", "diff", "web"]);
    assert_eq!(code, 3, "{stderr}");
    assert_snapshot!(stdout, @r"
    --- /web 2026-11-21T00:00:00.000Z
    +++ /web 2026-11-22T11:57:00.000Z
    @@ -1,5 +1,6 @@
     id: /web
    -cmd: sleep 1
    +cmd: sleep 1000
    +instances: 2
     cpus: 0.1
     mem: 32
     env:
    ");
    let (code, stdout, stderr) = cluster.run(&["service", "diff", "web", "--from", NOW]);
    assert!(code == 0 && stdout.is_empty() && stderr.contains("are the same"), "{stdout}{stderr}");
    let (code, _, stderr) = cluster.run(&["service", "diff", "web", "--from", "2025"]);
    assert_eq!(code, 2);
    assert_snapshot!(stderr, @r"
    error: there is no version 2025
    hint: `clusterctl service versions /web` lists them
    ");
    let (_, coloured, _) = cluster.run(&["service", "diff", "web", "--color", "always"]);
    assert!(coloured.contains("\u{1b}[31m-cmd: sleep 1\u{1b}[0m\n"), "{coloured:?}");

    let to = ["service", "rollback", "web", "--to", "2026-11-21", "--force", "--no-wait"];
    assert_eq!(cluster.run(&to).0, 0);
    assert_eq!(cluster.changes(), [("PATCH /v2/apps/web?force=true".to_owned(), json!({"version": OLD}))]);
    let (code, _, stderr) = cluster.run(&["service", "rollback", "web", "--to", "2026-11-22"]);
    assert!(code == 0 && stderr.contains("is at 2026-11-22T11:57:00.000Z already"), "{stderr}");
}

#[test]
fn what_a_change_would_do_is_shown_and_not_done() {
    let mut answers = versions();
    answers.push(("GET /v2/apps", ok(json!({"apps": [app(1, 2)]}))));
    let cluster = Cluster::start(answers);
    let (code, stdout, stderr) =
        cluster.run(&["service", "update", "web", "--set", "mem=64", "--set", "env.NEW=1", "--dry-run"]);
    assert_eq!(code, 3, "{stderr}");
    assert_snapshot!(stdout, @r#"
    --- /web now
    +++ /web as updated
    @@ -2,6 +2,7 @@
     cmd: sleep 1000
     instances: 2
     cpus: 0.1
    -mem: 32
    +mem: 64
     env:
       LEVEL: info
    +  NEW: "1"
    "#);
    let (code, stdout, stderr) = cluster.run(&["service", "update", "web", "--set", "mem=32", "--dry-run"]);
    assert!(code == 0 && stdout.is_empty() && stderr.contains("nothing would change"), "{stdout}{stderr}");
    let (_folder, file) = definition("id: db\ncmd: sleep 1\n");
    let (code, stdout, stderr) = cluster.run(&["service", "create", "-f", &file, "--dry-run"]);
    assert_eq!(code, 3, "{stderr}");
    assert_snapshot!(stdout, @r"
    --- /db nothing
    +++ /db to be created
    @@ -0,0 +1,2 @@
    +id: db
    +cmd: sleep 1
    ");
    assert_eq!(cluster.changes(), []);
}

fn editable(answers: impl IntoIterator<Item = (&'static str, Answer)>) -> Cluster {
    let read = [("GET /v2/apps/web", ok(json!({"app": app(1, 1)})))];
    Cluster::start(read.into_iter().chain(answers))
}

#[test]
fn a_service_is_edited_as_its_user_would_have_written_it() {
    let cluster = editable([("PUT /v2/apps/web", ok(result()))]);
    let editor = Editor::new("cp \"$1\" \"$NOTES\"; sed -i 's/LEVEL: info/LEVEL: debug/' \"$1\"");
    let (code, _, stderr) = editor.run(&cluster, &["service", "edit", "web", "--no-wait"]);
    assert_eq!(code, 0, "{stderr}");
    assert_snapshot!(editor.notes(), @r"
    #~ The definition of /web. Save and leave, and it is deployed;
    #~ leave without a change, and nothing happens. What you do not name gets its default.
    id: /web
    cmd: sleep 1000
    cpus: 0.1
    mem: 32
    env:
      LEVEL: info
    ");
    let sent = json!({"id": "/web", "cmd": "sleep 1000", "cpus": 0.1, "mem": 32, "env": {"LEVEL": "debug"}});
    assert_eq!(cluster.changes(), [("PUT /v2/apps/web?partialUpdate=false".to_owned(), sent)]);
    assert_eq!(editor.left(), Vec::<String>::new());
}

#[test]
fn what_was_not_changed_is_not_sent() {
    let cluster = editable([]);
    for (script, says) in
        [("true", "nothing is different"), ("printf '# a note\\n' >> \"$1\"", "nothing is different")]
    {
        for output in ["yaml", "json"] {
            let editor = Editor::new(if output == "json" { "true" } else { script });
            let (code, stdout, stderr) = editor.run(&cluster, &["service", "edit", "web", "-o", output]);
            assert!(code == 0 && stdout.is_empty() && stderr.contains(says), "{script}: {stderr}");
            assert_eq!(editor.left(), Vec::<String>::new());
        }
    }
    let editor = Editor::new(": > \"$1\"");
    assert_eq!(editor.run(&cluster, &["service", "edit", "web"]).0, 130);
    assert_eq!(cluster.changes(), []);
}

#[test]
fn a_definition_that_is_refused_comes_back_with_what_is_wrong_and_its_lines() {
    let details =
        json!([{"path": "/cpus", "errors": ["must be positive"]}, {"path": "/x", "errors": ["is odd"]}]);
    let refusal = json!({"message": "Object is not valid", "details": details});
    let cluster =
        editable([("PUT /v2/apps/web", Answer::Json(422, refusal)), ("PUT /v2/apps/web", ok(result()))]);
    // The first time a mistake in YAML, the second time one for the server, the third time it is right.
    let editor = Editor::new(
        "cat \"$1\" >> \"$NOTES\"; echo ===== >> \"$NOTES\"\n\
         if grep -q '^x: \\[' \"$1\"; then sed -i 's/^x: .*/cpus: -1/' \"$1\"\n\
         elif grep -q '^cpus: -1' \"$1\"; then sed -i 's/^cpus: -1/cpus: 2/' \"$1\"\n\
         else sed -i 's/^cpus: .*/x: [/' \"$1\"; fi",
    );
    let (code, _, stderr) = editor.run(&cluster, &["service", "edit", "web", "--no-wait"]);
    assert_eq!(code, 0, "{stderr}");
    assert_snapshot!(editor.notes(), @r"
    #~ The definition of /web. Save and leave, and it is deployed;
    #~ leave without a change, and nothing happens. What you do not name gets its default.
    id: /web
    cmd: sleep 1000
    cpus: 0.1
    mem: 32
    env:
      LEVEL: info
    =====
    #~ The definition of /web. Save and leave, and it is deployed;
    #~ leave without a change, and nothing happens. What you do not name gets its default.
    #~
    #~ It was not taken:
    #~   line 10: while parsing a flow mapping, did not find expected ',' or '}'
    id: /web
    cmd: sleep 1000
    x: [
    mem: 32
    env:
      LEVEL: info
    =====
    #~ The definition of /web. Save and leave, and it is deployed;
    #~ leave without a change, and nothing happens. What you do not name gets its default.
    #~
    #~ It was not taken:
    #~   line 9: /cpus: must be positive
    #~   /x: is odd
    id: /web
    cmd: sleep 1000
    cpus: -1
    mem: 32
    env:
      LEVEL: info
    =====
    ");
    let sent: Vec<Value> = cluster.changes().into_iter().map(|(_, body)| body["cpus"].clone()).collect();
    assert_eq!(sent, [json!(-1), json!(2)]);
    assert_eq!(editor.left(), Vec::<String>::new());
}

#[test]
fn whoever_gives_up_keeps_what_was_typed() {
    let locked = json!({"message": "App is locked.", "deployments": [{"id": "d7"}]});
    let cluster = editable([("PUT /v2/apps/web", Answer::Json(409, locked))]);
    for (script, code, says) in [
        ("grep -q mine \"$1\" || printf 'mine: [\\n' >> \"$1\"", 2, "the mistakes are still there"),
        ("echo 'mine: 1' >> \"$1\"; exit 3", 2, "nothing was changed"),
        ("echo 'user: mine' >> \"$1\"", 8, "deployment d7 is not done"),
        ("sed -i 's/^id: .*/id: \\/mine/' \"$1\"", 2, "the mistakes are still there"),
    ] {
        let editor = Editor::new(script);
        let (found, stdout, stderr) = editor.run(&cluster, &["service", "edit", "web"]);
        assert_eq!((found, stdout.as_str()), (code, ""), "{script}: {stderr}");
        assert!(
            stderr.contains(says) && stderr.contains("hint: what you wrote is in DIR/tmp/clusterctl-web-"),
            "{stderr}"
        );
        assert!(editor.left()[0].contains("mine"), "{script}");
    }
}

#[test]
fn deployments_are_listed_and_stopped() {
    let mut deploying = running_deployment();
    deploying[0]["currentActions"] = json!([{"action": "ScaleApplication", "app": "/web"}]);
    deploying[0]["version"] = json!(NOW);
    let cluster = Cluster::start([
        ("GET /v2/deployments", ok(deploying.clone())),
        ("GET /v2/apps", ok(json!({"apps": [app(1, 3)]}))),
        ("GET /v2/apps/web", ok(json!({"app": app(1, 1)}))),
        ("DELETE /v2/deployments/d0000000-0000-4000-8000-000000000001", ok(result())),
        ("DELETE /v2/deployments/d0000000-0000-4000-8000-000000000001", Answer::Json(202, Value::Null)),
    ]);
    let (code, stdout, stderr) = cluster.run(&["service", "deployments", "-o", "wide"]);
    assert_eq!(code, 0, "{stderr}");
    assert_snapshot!(stdout, @r"
    DEPLOYMENT                            SERVICES  STEP  DOES        AGE                       WAITS
    d0000000-0000-4000-8000-000000000001  /web      1/2   scale /web  2026-11-22T11:57:00.000Z  1 of 3 instances run
    ");
    let (code, stdout, _) = cluster.run(&["service", "deployments", "web", "-o", "json"]);
    assert_eq!((code, serde_json::from_str(&stdout).unwrap()), (0, deploying));

    let (code, _, stderr) = cluster.run(&["service", "stop-deployment", "web"]);
    assert!(
        code == 2 && stderr.contains("roll back what it has done?") && stderr.contains("add `-y`"),
        "{stderr}"
    );
    let (code, stdout, _) = cluster.run(&["service", "stop-deployment", "d000", "-y", "--no-wait"]);
    assert_eq!((code, stdout), (0, format!("/web: deployment {DEPLOYMENT}\n")));
    let (code, stdout, stderr) = cluster.run(&["service", "stop-deployment", "/web", "-y", "--force"]);
    assert_eq!((code, stdout), (0, format!("deployment {DEPLOYMENT} is dropped\n")));
    assert!(stderr.contains("what was done until now stays"), "{stderr}");
    let delete = format!("DELETE /v2/deployments/{DEPLOYMENT}");
    let asked: Vec<String> = cluster.changes().into_iter().map(|(request, _)| request).collect();
    assert_eq!(asked, [delete.clone(), format!("{delete}?force=true")]);
    let (code, _, stderr) = cluster.run(&["service", "stop-deployment", "wbe", "-y"]);
    assert!(code == 2 && stderr.contains("did you mean `/web`?"), "{stderr}");
}
