//! The story: what a person does with a cluster, from the first command to the last, with the real binary. Every feature adds
//! its chapter here.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod cluster;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use cluster::{Cluster, Stage, is_root};

/// The service: it answers over HTTP, prints who it is, and is healthy when it answers.
fn web(stage: &Stage) -> String {
    serde_json::json!({
        "id": "/shop/web",
        "cmd": format!(
            "cat shared/greeting; echo $MESOS_TASK_ID >> shared/guests; exec {} --exact helper_serve --ignored --nocapture",
            stage.path("server").display()
        ),
        "cpus": 0.1,
        "mem": 64,
        "instances": 1,
        "portDefinitions": [{"port": 0, "name": "http"}],
        "healthChecks": [{
            "protocol": "HTTP", "path": "/health", "portIndex": 0,
            "gracePeriodSeconds": 30, "intervalSeconds": 1, "delaySeconds": 0, "timeoutSeconds": 5
        }],
        "readinessChecks": [{"portName": "http", "path": "/ready", "intervalSeconds": 2, "timeoutSeconds": 1}],
        "check": {"http": {"path": "/"}, "intervalSeconds": 1, "delaySeconds": 0},
        "container": {"type": "MESOS", "volumes": [
            {"containerPath": "shared", "hostPath": stage.path("shared"), "mode": "RW"}
        ]},
        "upgradeStrategy": {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.5},
    })
    .to_string()
}

/// Not a test: the service that the story runs. A test binary has no other way to be a program.
#[test]
#[ignore = "run by the story as a service"]
fn helper_serve() {
    let Ok(port) = std::env::var("PORT0") else { return };
    println!("serving as {}", std::env::var("MESOS_TASK_ID").unwrap());
    let listener = TcpListener::bind(("0.0.0.0", port.parse().unwrap())).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut request = [0; 1024];
        // A client that goes away is no reason to end.
        let _ = stream.read(&mut request);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    }
}

fn play(stage: &Stage, ports: &str) {
    let mut cluster = Cluster::up(stage, 2, ports);

    // A look around.
    let status = cluster.json(&["cluster", "status", "-o", "json"]);
    assert_eq!(status["agents"].as_array().unwrap().len(), 2, "{status}");
    assert_eq!(status["leader"].as_str().unwrap(), cluster.url.strip_prefix("http://").unwrap());
    for key in ["masters", "coordinators", "resources"] {
        assert!(!status[key].is_null(), "{key}: {status}");
    }
    assert_eq!(cluster.json(&["node", "list", "-o", "json"])["slaves"].as_array().unwrap().len(), 2);
    assert_eq!(cluster.json(&["service", "list", "-o", "json"])["apps"].as_array().unwrap().len(), 0);

    // A service with a health check; `create` ends when it is healthy.
    cluster.run_with(&["service", "create", "-f", "-"], &web(stage));
    let app = cluster.json(&["service", "show", "/shop/web", "-o", "json"]);
    assert_eq!(
        (app["app"]["tasksHealthy"].as_u64(), app["app"]["instances"].as_u64()),
        (Some(1), Some(1)),
        "{app}"
    );

    // It has what it was given of this machine, and what its check sees is told.
    cluster.until("what the check sees is told", |cluster| {
        let app = cluster.json(&["service", "show", "/shop/web", "-o", "json"]);
        app["app"]["tasks"][0]["checkResult"] == serde_json::json!({"http": {"statusCode": 200}})
    });
    let first = cluster.running("/shop/web");
    assert_eq!(std::fs::read_to_string(stage.path("shared/guests")).unwrap(), format!("{}\n", first[0]));
    assert!(cluster.run(&["service", "logs", "/shop/web"]).contains("welcome"));

    // Scaled.
    cluster.run(&["service", "scale", "/shop/web", "3"]);
    let three = cluster.processes("/shop/web");
    assert_eq!(three.len(), 3);

    // One instance killed, and replaced.
    let victim = three.keys().next().unwrap();
    cluster.run(&["task", "kill", victim, "-y"]);
    cluster.until("the killed instance is replaced", |cluster| {
        let now = cluster.running("/shop/web");
        now.len() == 3 && !now.contains(victim)
    });
    cluster.run(&["service", "wait", "/shop/web"]);

    // An agent killed: its tasks live on, and are its tasks again.
    let before = cluster.processes("/shop/web");
    cluster.kill_an_agent();
    cluster.run(&["service", "wait", "/shop/web"]);
    assert_eq!(cluster.processes("/shop/web"), before, "tasks did not outlive their agent");

    // Logs of all instances.
    let logs = cluster.run(&["service", "logs", "/shop/web"]);
    for task in before.keys() {
        assert!(logs.contains(&format!("serving as {task}")), "{task}\n{logs}");
    }

    // The whole cluster killed: the next one finds the tasks alive.
    cluster.kill();
    let cluster = Cluster::up(stage, 2, ports);
    cluster.run(&["service", "wait", "/shop/web"]);
    assert_eq!(cluster.processes("/shop/web"), before, "tasks did not outlive the cluster");

    // Stopped in order: nothing stays; and what was to run runs again after the next start.
    cluster.stop();
    let cluster = Cluster::up(stage, 2, ports);
    cluster.run(&["service", "wait", "/shop/web"]);
    let after = cluster.processes("/shop/web");
    assert_eq!(after.len(), 3);
    assert!(after.keys().all(|task| !before.contains_key(task)), "{before:?} {after:?}");

    // Removed.
    cluster.run(&["service", "remove", "/shop/web", "-y"]);
    assert_eq!(cluster.json(&["service", "list", "-o", "json"])["apps"].as_array().unwrap().len(), 0);
    cluster.stop();
}

#[test]
fn the_story_as_this_user() {
    play(&Stage::new(false), "20000-20499");
}

#[test]
fn the_story_without_root() {
    // Whoever has no root has just played this.
    if is_root() {
        play(&Stage::new(true), "20500-20999");
    }
}
