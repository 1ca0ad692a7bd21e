//! Nodes, the cluster, and which cluster it is.

use insta::assert_snapshot;
use serde_json::json;

use crate::fixtures::{nodes, tasks};
use crate::server::{Answer, Cluster, ok};

#[test]
fn an_empty_cluster_says_what_to_do() {
    let cluster = Cluster::start([
        ("GET /v2/apps", ok(json!({"apps": []}))),
        ("GET /tasks", ok(json!({"tasks": []}))),
        ("GET /slaves", ok(json!({"slaves": []}))),
    ]);
    for (command, says) in
        [("service", "service create"), ("task", "service create"), ("node", "cluster status")]
    {
        let (code, stdout, stderr) = cluster.run(&[command, "list"]);
        assert!(code == 0 && stdout.is_empty() && stderr.contains(says), "{command}: {stdout}{stderr}");
    }
}

#[test]
fn nodes_are_listed_and_shown() {
    let cluster = Cluster::start([("GET /slaves", ok(nodes())), ("GET /tasks", ok(tasks()))]);
    let (code, stdout, _) = cluster.run(&["node", "list", "-o", "json"]);
    assert_eq!((code, serde_json::from_str(&stdout).unwrap()), (0, nodes()));
    let (code, stdout, _) = cluster.run(&["node", "list"]);
    assert!(code == 0 && stdout.contains("n1    127.0.0.2  active  0.5 / 4"), "{stdout}");
    let (code, stdout, _) = cluster.run(&["node", "show", "n1"]);
    assert!(code == 0 && stdout.starts_with("Node:"), "{stdout}");
    let (code, _, stderr) = cluster.run(&["node", "show", "n2"]);
    assert!(code == 2 && stderr.contains("did you mean `n1`?"), "{stderr}");
}

#[test]
fn the_cluster_is_shown_as_the_api_answers_it() {
    let object = json!({"name": "up", "version": "0.1.0", "epoch": 1, "id": "c1", "leader": "127.0.0.1:5050",
        "masters": [{"id": "m", "address": "127.0.0.1:5050", "leader": true}], "coordinators": [], "agents": [],
        "resources": {"total": {}, "used": {}, "offered": {}}});
    let cluster = Cluster::start([("GET /clusterctl/v1/cluster", ok(object.clone()))]);
    let (code, stdout, _) = cluster.run(&["cluster", "status", "-o", "json"]);
    assert_eq!((code, serde_json::from_str(&stdout).unwrap()), (0, object));
    let (code, stdout, _) = cluster.run(&["cluster", "status"]);
    assert!(code == 0 && stdout.contains("127.0.0.1:5050  leader"), "{stdout}");
}

#[test]
fn contexts_are_kept_in_a_file_and_used() {
    let cluster = Cluster::start([("GET /slaves", ok(nodes()))]);
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = cluster.command(arguments);
        let output =
            command.env_remove("CLUSTERCTL_URL").env("XDG_CONFIG_HOME", home.path()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&cluster.url, "URL");
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(run(&["cluster", "add", "gone", "127.0.0.1:1"]).0, 0);
    assert_eq!(run(&["node", "list"]).0, 4);
    assert_eq!(run(&["cluster", "add", "here", &cluster.url, "--use"]).0, 0);
    assert_eq!(run(&["node", "list"]).0, 0);
    let (_, stdout, _) = run(&["cluster", "list"]);
    assert_snapshot!(stdout, @r"
       CLUSTER  LOGGED IN  MASTERS
       gone     no         http://127.0.0.1:1
    *  here     no         URL
    ");
    let (code, _, stderr) = run(&["cluster", "use", "hree"]);
    assert!(code == 2 && stderr.contains("did you mean `here`?"), "{stderr}");
    assert_eq!(run(&["cluster", "use", "gone"]).0, 0);
    assert_eq!(run(&["cluster", "remove", "gone"]).0, 0);
    let (code, stdout, _) = run(&["cluster", "list", "-o", "json"]);
    let expected = json!({"clusters": [{"name": "here", "current": false, "masters": ["URL"], "ca": false, "token": false}]});
    assert_eq!((code, serde_json::from_str(&stdout).unwrap()), (0, expected));
}

#[test]
fn a_cluster_that_is_not_there_or_does_not_answer_ends_with_4() {
    let cluster = Cluster::start([("GET /slaves", Answer::Silence)]);
    let (code, _, stderr) = cluster.run(&["node", "list", "--url", "http://127.0.0.1:1"]);
    assert_eq!(code, 4);
    assert_snapshot!(stderr, @r"
    error: cannot reach the cluster
      caused by: http://127.0.0.1:1: Connection refused (os error 111)
    hint: is it running? `clusterctl up` starts a cluster on this machine
    hint: `--url` or CLUSTERCTL_URL names another one; `clusterctl cluster list` shows those you know
    ");
    let (code, _, stderr) = cluster.run(&["node", "list", "--request-timeout", "100ms"]);
    assert_eq!(code, 4);
    assert_snapshot!(stderr, @r"
    error: GET URL/slaves did not answer within 0.1 s
    hint: `--request-timeout` gives it more time
    ");
    let (code, _, stderr) = cluster.run(&["node", "list", "--url", "ftp://x"]);
    assert!(code == 2 && stderr.contains("--url is wrong"), "{stderr}");
}

#[test]
fn help_has_examples() {
    let cluster = Cluster::start([]);
    for (group, commands) in [
        ("service", "list show create update edit scale suspend restart rollback versions diff"),
        ("service", "deployments stop-deployment logs wait remove"),
        ("group", "list show create update scale versions rollback wait remove"),
        ("task", "list logs files kill"),
        ("node", "list show"),
        ("cluster", "status list add use remove"),
    ] {
        for command in commands.split(' ') {
            let (code, stdout, _) = cluster.run(&[group, command, "--help"]);
            assert!(code == 0 && stdout.contains("Example"), "{group} {command}: {stdout}");
            assert!(
                stdout.contains(&format!("  clusterctl {group} {command}")),
                "{group} {command}: {stdout}"
            );
        }
    }
}
