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
    assert_eq!(apps(&cluster), 0);

    let mut cluster = change_a_group(stage, ports, cluster);
    know_each_other(stage, &mut cluster);
    cluster.stop();
}

/// How many services there are.
fn apps(cluster: &Cluster<'_>) -> usize {
    cluster.json(&["service", "list", "-o", "json"])["apps"].as_array().unwrap().len()
}

/// Services that need each other: created in order, changed, put back, caught in the middle of a change, scaled, removed.
fn change_a_group<'s>(stage: &'s Stage, ports: &str, cluster: Cluster<'s>) -> Cluster<'s> {
    // Created: what is depended on is healthy before what depends on it is launched.
    cluster.run_with(&["group", "create", "-f", "-"], &store(stage));
    let task = |cluster: &Cluster<'_>, service: &str| {
        cluster.json(&["service", "show", service, "-o", "json"])["app"]["tasks"][0].clone()
    };
    let (db, web) = (task(&cluster, "/store/data/db"), task(&cluster, "/store/web"));
    let at = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    assert!(
        at(&db["healthCheckResults"][0]["firstSuccess"]) <= at(&web["stagedAt"]),
        "started before what it depends on was healthy: {db} {web}"
    );

    // Changed, looked at, and put back.
    cluster.run(&["service", "update", "/store/web", "--set", "env.LEVEL=debug"]);
    assert_ne!(task(&cluster, "/store/web")["id"], web["id"], "a changed service has new instances");
    assert_eq!(task(&cluster, "/store/data/db")["id"], db["id"], "nothing of it was changed");
    let versions = cluster.json(&["service", "versions", "/store/web", "-o", "json"]);
    assert_eq!(versions["versions"].as_array().unwrap().len(), 2, "{versions}");
    cluster.run(&["service", "rollback", "/store/web"]);
    let app = cluster.json(&["service", "show", "/store/web", "-o", "json"]);
    assert!(app["app"]["env"]["LEVEL"].is_null(), "{app}");

    // A change that finds no place says why it waits; undone, all is as it was.
    cluster.run(&["service", "update", "/store/web", "--set", "cpus=1000", "--no-wait"]);
    cluster.until("offers were turned away", |cluster| {
        cluster.run(&["service", "deployments"]).contains("1000")
    });
    let serving = cluster.running("/store/web");
    cluster.run(&["service", "stop-deployment", "/store/web", "-y"]);
    assert_eq!(cluster.running("/store/web"), serving, "never below its minimum health capacity of 1");

    // The cluster killed in the middle of a change: the next one finishes it.
    cluster.run(&["service", "restart", "/store/web", "--no-wait"]);
    cluster.kill();
    let cluster = Cluster::up(stage, 2, ports);
    cluster.run(&["service", "wait", "/store/web"]);
    let after = cluster.running("/store/web");
    assert!(after.len() == 1 && after != serving, "{serving:?} {after:?}");

    // Scaled and removed as one.
    cluster.run(&["group", "scale", "/store", "2"]);
    assert_eq!((cluster.running("/store/data/db").len(), cluster.running("/store/web").len()), (2, 2));
    cluster.run(&["group", "remove", "/store", "-y"]);
    assert_eq!(apps(&cluster), 0);
    cluster
}

/// Services that work together: each instance is told of all others before it runs, and of every change; others can ask.
fn know_each_other(stage: &Stage, cluster: &mut Cluster<'_>) {
    let service = |id: &str| {
        serde_json::json!({
            "id": id, "cpus": 0.1, "mem": 64, "instances": 1, "labels": {"CLUSTERCTL_PEERS": "/ring"},
            "cmd": format!(
                "echo I am $CLUSTERCTL_INSTANCE_NAME among $(cut -f3 peers.tsv); exec {} --exact helper_serve --ignored --nocapture",
                stage.path("server").display()
            ),
            "portDefinitions": [{"port": 0, "name": "http"}],
            "healthChecks": [{
                "protocol": "HTTP", "path": "/health", "portIndex": 0,
                "gracePeriodSeconds": 30, "intervalSeconds": 1, "delaySeconds": 0, "timeoutSeconds": 5
            }],
        })
        .to_string()
    };
    cluster.run_with(&["service", "create", "-f", "-"], &service("/ring/node"));
    cluster.run_with(&["service", "create", "-f", "-"], &service("/ring/seed"));
    let (node, seed) = (cluster.running("/ring/node").remove(0), cluster.running("/ring/seed").remove(0));
    assert!(cluster.run(&["service", "logs", "/ring/node"]).contains("I am node-0 among node-0\n"));
    assert!(cluster.run(&["service", "logs", "/ring/seed"]).contains("I am seed-0 among node-0 seed-0\n"));

    // Whoever was there first is told of whoever comes.
    let told = |cluster: &Cluster<'_>, count: usize| {
        let mut running = cluster.running("/ring/node");
        running.extend(cluster.running("/ring/seed"));
        running.sort();
        assert_eq!(running.len(), count);
        for task in [&node, &seed] {
            cluster.until_told(task, |peers| {
                let members = peers["members"].as_array().unwrap();
                let all = |key: &str| -> std::collections::BTreeSet<&str> {
                    members.iter().map(|member| member[key].as_str().unwrap()).collect()
                };
                let runs = members.iter().all(|member| member["state"] == "running");
                runs && all("name").len() == count && all("task").into_iter().eq(&running)
            });
        }
    };
    told(cluster, 2);
    cluster.run(&["service", "scale", "/ring/node", "3"]);
    told(cluster, 4);

    // One is killed; its successor has its name.
    let victim = cluster.running("/ring/node").into_iter().find(|task| *task != node).unwrap();
    cluster.run(&["task", "kill", &victim, "-y"]);
    cluster.until("the killed instance is replaced", |cluster| {
        let now = cluster.running("/ring/node");
        now.len() == 3 && !now.contains(&victim)
    });
    told(cluster, 4);

    // An agent killed: its tasks know what they knew, and hear what is new.
    cluster.kill_an_agent();
    cluster.run(&["service", "wait", "/ring/node"]);
    told(cluster, 4);
    cluster.run(&["service", "scale", "/ring/node", "2"]);
    told(cluster, 3);

    // Others ask.
    let found = cluster.get("/mesos_dns/v1/services/_http._node-ring._tcp.marathon.mesos");
    assert_eq!(found.as_array().unwrap().len(), 2, "{found}");
    let port: u16 = found[0]["port"].as_str().unwrap().parse().unwrap();
    let ip = found[0]["ip"].as_str().unwrap();
    assert!(std::net::TcpStream::connect((ip, port)).is_ok(), "{found}");
    let leader = cluster.get("/mesos_dns/v1/hosts/leader.mesos");
    assert_eq!(leader[0]["ip"], "127.0.0.1", "{leader}");
    assert_eq!(cluster.get("/mesos_dns/v1/hosts/no.marathon.mesos")[0]["ip"], "");
    cluster.run(&["group", "remove", "/ring", "-y"]);
}

/// A group: its `web` depends on a group in it, of which the `db` takes a moment to be healthy.
fn store(stage: &Stage) -> String {
    let serve = format!("exec {} --exact helper_serve --ignored --nocapture", stage.path("server").display());
    let service = |id: &str, cmd: String| {
        serde_json::json!({
            "id": id, "cmd": cmd, "cpus": 0.1, "mem": 64,
            "healthChecks": [{
                "protocol": "HTTP", "path": "/health", "portIndex": 0,
                "gracePeriodSeconds": 30, "intervalSeconds": 1, "delaySeconds": 0, "timeoutSeconds": 5
            }],
        })
    };
    let mut web = service("web", serve.clone());
    web["dependencies"] = serde_json::json!(["/store/data"]);
    let db = service("db", format!("sleep 0.5; {serve}"));
    serde_json::json!({"id": "/store", "groups": [{"id": "data", "apps": [db]}], "apps": [web]}).to_string()
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
