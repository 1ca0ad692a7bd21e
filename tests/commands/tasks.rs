//! Tasks: lists, logs, files, killing one.

use std::fs;
use std::io::BufRead as _;
use std::process::Stdio;

use serde_json::json;

use crate::fixtures::{SANDBOX, TASK, app, nodes, tasks};
use crate::server::{Answer, Cluster, ok};

#[test]
fn following_a_service_finds_new_instances_and_ends_with_ctrl_c() {
    let mut more = tasks();
    let mut second = more["tasks"][0].clone();
    second["id"] = json!(TASK.replace("3f0c8a52", "77777777"));
    more["tasks"].as_array_mut().unwrap().push(second);
    let cluster = Cluster::start([
        ("GET /v2/apps/web", ok(json!({"app": app(1, 1)}))),
        ("GET /tasks", ok(tasks())),
        ("GET /tasks", ok(more)),
        ("GET /agent/S0/files/read", ok(json!({"data": "", "offset": 4}))),
        ("GET /agent/S0/files/read", ok(json!({"data": "one\n", "offset": 0}))),
        ("GET /agent/S0/files/read", ok(json!({"data": "two\n", "offset": 4}))),
    ]);
    let mut child =
        cluster.command(&["service", "logs", "web", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    for expected in ["web.3f0c8a52 one\n", "web.77777777 two\n"] {
        line.clear();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, expected);
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn following_a_group_names_each_line_in_a_colour_of_its_instance_and_survives_an_agent_that_is_away() {
    let mut web = app(1, 1);
    web["id"] = json!("/shop/web");
    let task = |id: &str, state: &str| {
        let mut task = tasks()["tasks"][0].clone();
        task["id"] = json!(id.replace("X", "-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1"));
        task["state"] = json!(state);
        task
    };
    let (old, first) = (
        task("shop_web.instance-00000000X", "TASK_FAILED"),
        task("shop_web.instance-3f0c8a52X", "TASK_RUNNING"),
    );
    // One that was over long ago is not read; one that came and ended meanwhile is.
    let mut short = task("shop_db.instance-77777777X", "TASK_FAILED");
    short["slave_id"] = json!("S1");
    let other = task("db.instance-11111111X", "TASK_RUNNING");
    let read = "GET /agent/S0/files/read";
    let away = || (read, Answer::Json(502, json!({"message": "the agent is away"})));
    let cluster = Cluster::start([
        ("GET /v2/apps", ok(json!({"apps": [web]}))),
        ("GET /tasks", ok(json!({"tasks": [old, first, other]}))),
        ("GET /tasks", ok(json!({"tasks": [old, first, other, short]}))),
        // The first reading fails with all its repetitions.
        away(),
        away(),
        away(),
        away(),
        away(),
        (read, ok(json!({"data": "", "offset": 4}))),
        (read, ok(json!({"data": "one\n", "offset": 0}))),
        (read, ok(json!({"data": "", "offset": 4}))),
        ("GET /agent/S1/files/read", ok(json!({"data": "", "offset": 4}))),
        ("GET /agent/S1/files/read", ok(json!({"data": "two\n", "offset": 0}))),
        ("GET /agent/S1/files/read", ok(json!({"data": "", "offset": 4}))),
    ]);
    let mut command = cluster.command(&["service", "logs", "/shop", "-f", "--color", "always"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut lines = Vec::new();
    for _ in 0..2 {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let (colour, rest) = line.trim_end().split_once('m').unwrap();
        assert!(colour.starts_with("\u{1b}["), "{line:?}");
        lines.push(rest.replace("\u{1b}[0m", ""));
    }
    lines.sort();
    assert_eq!(lines, ["shop_db.77777777 two", "shop_web.3f0c8a52 one"]);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130));
    assert!(stderr.contains("shop_web.3f0c8a52 cannot be read at the moment: the agent is away"), "{stderr}");
}

/// Answers of the files interface for a text that is read once.
fn file(text: &str) -> [(&'static str, Answer); 2] {
    let read = "GET /agent/S0/files/read";
    [(read, ok(json!({"data": "", "offset": text.len()}))), (read, ok(json!({"data": text, "offset": 0})))]
}

#[test]
fn logs_are_the_last_lines_and_cannot_steer_the_terminal() {
    for (command, prefix) in [(["task", "logs", "web"], ""), (["service", "logs", "web"], "web.3f0c8a52 ")] {
        let mut answers =
            vec![("GET /tasks", ok(tasks())), ("GET /v2/apps/web", ok(json!({"app": app(1, 1)})))];
        answers.extend(file("one\ntwo\n\u{1b}[2Jthree\nfour"));
        let cluster = Cluster::start(answers);
        let mut arguments = command.to_vec();
        arguments.extend(["-n", "2"]);
        let (code, stdout, stderr) = cluster.run(&arguments);
        assert_eq!((code, stdout), (0, format!("{prefix}\\u{{1b}}[2Jthree\n{prefix}four\n")), "{stderr}");
    }
}

#[test]
fn following_ends_with_the_task() {
    let mut over = tasks();
    over["tasks"][0]["state"] = json!("TASK_FINISHED");
    let read = "GET /agent/S0/files/read";
    let mut answers = vec![("GET /tasks", ok(over))];
    answers.extend(file("one\n"));
    answers.push((read, ok(json!({"data": "", "offset": 4}))));
    let cluster = Cluster::start(answers);
    let (code, stdout, stderr) = cluster.run(&["task", "logs", "web", "-f"]);
    assert_eq!((code, stdout.as_str()), (0, "one\n"), "{stderr}");
}

#[test]
fn logs_that_nobody_reads_end_quietly() {
    let mut answers = vec![("GET /tasks", ok(tasks()))];
    answers.extend(file("one\ntwo\n"));
    let cluster = Cluster::start(answers);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = cluster.command(&["task", "logs", "web", "-f"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn tasks_are_listed_and_killed() {
    let kill = format!("DELETE /v2/apps/web/tasks/{TASK}");
    let cluster = Cluster::start([
        ("GET /tasks", ok(tasks())),
        ("GET /slaves", ok(nodes())),
        (kill.clone().leak(), ok(json!({"task": {"id": TASK}}))),
    ]);
    let (code, stdout, stderr) = cluster.run(&["task", "list"]);
    assert!(code == 0 && stdout.contains("web.3f0c8a52  running"), "{stdout}{stderr}");
    let (code, stdout, _) = cluster.run(&["task", "list", "--service", "db", "-o", "json"]);
    assert_eq!((code, serde_json::from_str(&stdout).unwrap()), (0, json!({"tasks": []})));
    let (code, stdout, stderr) = cluster.run(&["task", "kill", "3f0c", "-y", "--scale"]);
    assert_eq!((code, stdout.as_str()), (0, "killed web.3f0c8a52\n"), "{stderr}");
    assert_eq!(cluster.changes()[0].0, format!("{kill}?scale=true"));
    let (code, _, stderr) = cluster.run(&["task", "kill", "wbe.3f0c8a52", "-y"]);
    assert!(code == 2 && stderr.contains("did you mean `web.3f0c8a52`?"), "{stderr}");
}

#[test]
fn files_of_a_task_are_listed_and_fetched() {
    let listing = json!([{"path": format!("{SANDBOX}/stdout"), "nlink": 1, "size": 4, "mtime": 1, "mode": "-rw-r--r--", "uid": "root", "gid": "root"}]);
    let cluster = Cluster::start([
        ("GET /tasks", ok(tasks())),
        ("GET /agent/S0/files/browse", ok(listing)),
        ("GET /agent/S0/files/download", Answer::Text("text".to_owned())),
    ]);
    let (code, stdout, stderr) = cluster.run(&["task", "files", "web"]);
    assert!(
        code == 0 && stdout.contains("-rw-r--r--  4 B") && stdout.ends_with("stdout\n"),
        "{stdout}{stderr}"
    );
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("out").display().to_string();
    let (code, _, stderr) = cluster.run(&["task", "files", "web", "stdout", "--download", &to]);
    assert_eq!((code, fs::read_to_string(&to).unwrap().as_str()), (0, "text"), "{stderr}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
