//! The story on real hosts: from an inventory to a healthy cluster, its daily life from the operator's machine, and away again.
//! Needs root; `tests/run` runs it.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod operator;

use futures_util::future::join_all;
use operator::{Operator, difference, everything_on, is_private};
use serde_json::Value;
use testbed::Testbed;

/// A service that says how long it has been there.
const WEB: &str = r#"{"id": "/web", "cmd": "echo up since $(date +%s%N) >id; python3 -m http.server $PORT0", "mem": 32, "cpus": 0.1,
    "instances": 2, "healthChecks": [{"protocol": "HTTP", "path": "/id", "gracePeriodSeconds": 60}]}"#;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Ids of all tasks.
fn tasks(operator: &Operator) -> Vec<String> {
    let answer = json(&operator.ok(&["task", "list", "-o", "json"]));
    let mut ids: Vec<String> = answer["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real hosts"]
async fn four_hosts_become_a_cluster_are_used_and_are_as_they_were() {
    let testbed = Testbed::builder().hosts(4).start().await.unwrap();
    let operator = Operator::of(&testbed);
    let before = join_all(testbed.hosts().iter().map(everything_on)).await;

    // Looking changes nothing, and says what would be done.
    let plan = operator.run(&["plan", "inventory.yaml", "--out", "plan.json"]);
    assert_eq!(plan.status, 3, "{plan}");
    assert!(plan.stdout.contains("/etc/clusterctl/agent.yaml: new file"), "{plan}");
    assert!(!plan.stdout.contains("PRIVATE KEY"), "{plan}");
    for (host, before) in testbed.hosts().iter().zip(&before) {
        assert_eq!(difference(before, &everything_on(host).await), "", "{}", host.name());
    }

    // One command.
    let installed = operator.run(&["install", "inventory.yaml", "--plan", "plan.json"]);
    assert_eq!(installed.status, 0, "{installed}");
    assert!(installed.stdout.contains("4 changed"), "{installed}");
    assert!(is_private(&operator.path(".config/clusterctl/config.yaml")));
    let moved = operator.run(&["install", "inventory.yaml", "--plan", "plan.json"]);
    assert_eq!(moved.status, 2, "{moved}");
    assert!(moved.stderr.contains("have changed since the plan was made"), "{moved}");

    // From the operator's machine.
    let status = operator.ok(&["cluster", "status"]);
    assert_eq!(status.matches("active").count(), 3, "{status}");
    let check = operator.run(&["check", "inventory.yaml"]);
    assert_eq!(check.status, 0, "{check}");
    operator.write("web.json", WEB);
    operator.ok(&["service", "create", "-f", "web.json", "--timeout", "120s"]);
    let running = tasks(&operator);
    assert_eq!(running.len(), 2);
    let master = testbed.host("h1").unwrap();
    links_are_secure(&operator, master).await;

    secrets_reach_tasks(&operator, &testbed).await;

    // A second time nothing is changed; a change touches what it concerns, and no task.
    let again = operator.run(&["install", "inventory.yaml"]);
    assert_eq!(again.status, 0, "{again}");
    assert!(again.stdout.starts_with("Nothing to change: 4 hosts"), "{again}");
    let inventory = operator.read("inventory.yaml");
    operator.write(
        "inventory.yaml",
        &inventory.replace("roles: [agent],", "roles: [agent], attributes: {rack: r7},"),
    );
    let changed = operator.run(&["install", "inventory.yaml", "-y"]);
    assert_eq!(changed.status, 0, "{changed}");
    assert!(changed.stdout.contains("h1  ok\n") && changed.stdout.contains("3 changed"), "{changed}");
    assert_eq!(tasks(&operator), running, "tasks outlive their agents' restart");

    people_have_their_rights(&operator);
    a_host_comes_back(&testbed, &operator).await;

    // Away again, with all that runs.
    let reset = operator.run(&["reset", "inventory.yaml", "-y"]);
    assert_eq!(reset.status, 0, "{reset}");
    for (host, before) in testbed.hosts().iter().zip(&before) {
        assert_eq!(difference(before, &everything_on(host).await), "", "{}", host.name());
        let left = host.run(
            "systemctl list-units --all --plain --no-legend 'clusterctl*'; pgrep -f '[h]ttp.server' || true",
        );
        assert_eq!(left.await.unwrap(), "", "{}", host.name());
    }
    let nothing = operator.run(&["reset", "inventory.yaml", "-y"]);
    assert_eq!(nothing.status, 0, "{nothing}");
    testbed.down().await.unwrap();
}

/// Nobody gets in without a certificate or a token, nor past TLS.
async fn links_are_secure(operator: &Operator, master: &testbed::Host) {
    const ASK: &str = r#"python3 -c '
import ssl, sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=10, context=ssl._create_unverified_context()).status)
except urllib.error.HTTPError as error:
    print(error.code)
except Exception:
    print("nothing")
' "#;
    let ask =
        |url: String| async move { master.run(&format!("{ASK}{url}")).await.unwrap().trim().to_owned() };
    let at = master.address();
    assert_eq!(ask(format!("https://{at}:5050/v2/apps")).await, "401");
    assert_eq!(ask(format!("https://{at}:5050/ping")).await, "200");
    assert_eq!(ask(format!("http://{at}:5050/ping")).await, "400", "plain HTTP is told to use TLS");
    let keys = master.run("stat -c '%a %U:%G' /etc/clusterctl/pki/master.pem").await.unwrap();
    assert_eq!(keys, "640 root:clusterctl\n");
    let inputs = master
        .run("tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value clusterctl-master)/status")
        .await;
    assert!(inputs.unwrap().contains("NoNewPrivs:\t1"));
    let config = operator.read(".config/clusterctl/config.yaml");
    assert!(config.contains("BEGIN CERTIFICATE") && !config.contains("PRIVATE KEY"));
}

/// Masters have the key of secrets, which this machine keeps; a service has what it names, and nothing else shows it. Another key is no
/// reason to lose what was kept with the one.
async fn secrets_reach_tasks(operator: &Operator, testbed: &Testbed) {
    const VALUE: &str = "correct-horse-battery-staple";
    const KEY: &str = "/etc/clusterctl/pki/secrets.key";
    let cluster = std::fs::read_dir(operator.path(".clusterctl")).unwrap().next().unwrap().unwrap();
    let own = cluster.path().join("pki/secrets.key");
    assert!(is_private(&own));
    let key = std::fs::read_to_string(&own).unwrap();
    let master = testbed.host("h1").unwrap();
    assert_eq!(master.run(&format!("stat -c '%a %U:%G' {KEY}")).await.unwrap(), "640 root:clusterctl\n");
    assert_eq!(master.run(&format!("cat {KEY}")).await.unwrap(), key);
    let agent = testbed.host("h2").unwrap().run("ls /etc/clusterctl/pki").await.unwrap();
    assert!(!agent.contains("secrets.key"), "{agent}");

    operator.write("value", VALUE);
    operator.ok(&["secret", "set", "keeper/token", "--file", "value"]);
    operator.write(
        "keeper.json",
        r#"{"id": "/keeper", "cmd": "echo it has $TOKEN; touch up; python3 -m http.server $PORT0", "mem": 32, "cpus": 0.1,
            "secrets": {"t": {"source": "keeper/token"}}, "env": {"TOKEN": {"secret": "t"}},
            "healthChecks": [{"protocol": "HTTP", "path": "/up", "gracePeriodSeconds": 60}]}"#,
    );
    operator.ok(&["service", "create", "-f", "keeper.json", "--timeout", "120s"]);
    let said = operator.ok(&["service", "logs", "keeper"]);
    assert!(said.contains(&format!("it has {VALUE}")), "{said}");
    for shown in [operator.ok(&["secret", "list"]), operator.ok(&["service", "show", "keeper", "-o", "json"])]
    {
        assert!(shown.contains("keeper/token") && !shown.contains(VALUE), "{shown}");
    }
    let kept = format!("grep -rlaF {VALUE} /var/lib/clusterctl/master /etc/clusterctl || true");
    assert_eq!(master.run(&kept).await.unwrap(), "");

    std::fs::write(&own, format!("{}\n", "0".repeat(64))).unwrap();
    let refused = operator.run(&["install", "inventory.yaml", "-y"]);
    assert_eq!(refused.status, 5, "{refused}");
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("h1: secrets: it has another key of secrets than this machine"), "{refused}");
    assert!(!said.contains(key.trim()) && !said.contains(&"0".repeat(64)), "{refused}");
    assert_eq!(master.run(&format!("cat {KEY}")).await.unwrap(), key);
    // As the remedy says.
    std::fs::write(&own, &key).unwrap();
    operator.ok(&["service", "remove", "keeper", "-y", "--timeout", "120s"]);
    operator.ok(&["secret", "remove", "keeper/token", "-y"]);
}

/// A viewer sees, and changes nothing.
fn people_have_their_rights(operator: &Operator) {
    operator.write("password", "correct horse battery staple\n");
    operator.ok(&["user", "add", "ada", "--role", "viewer", "--password-file", "password"]);
    let config = operator.read(".config/clusterctl/config.yaml");
    operator.ok(&["login", "--user", "ada", "--password-file", "password"]);
    operator.ok(&["service", "list"]);
    let refused = operator.run(&["service", "scale", "web", "3"]);
    assert_ne!(refused.status, 0, "{refused}");
    operator.ok(&["logout"]);
    let refused = operator.run(&["service", "list"]);
    assert_ne!(refused.status, 0, "{refused}");
    assert!(refused.stderr.contains("clusterctl login"), "{refused}");
    operator.write(".config/clusterctl/config.yaml", &config);
    operator.ok(&["user", "remove", "ada", "-y"]);
}

/// A host that was restarted is an agent again, and its service runs somewhere.
async fn a_host_comes_back(testbed: &Testbed, operator: &Operator) {
    testbed.host("h2").unwrap().reboot().await.unwrap();
    let again = operator.run(&["install", "inventory.yaml", "-y"]);
    assert_eq!(again.status, 0, "{again}");
    let status = operator.ok(&["cluster", "status"]);
    assert_eq!(status.matches("active").count(), 3, "{status}");
}
