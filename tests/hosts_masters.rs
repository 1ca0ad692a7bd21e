//! Several masters on real hosts: coordinators and masters by one install, and a cluster with one master that grows to three. Needs root;
//! `tests/run` runs it.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod operator;

use futures_util::future::join_all;
use operator::{Operator, difference, everything_on};
use serde_json::Value;
use testbed::{Host, Testbed};

/// A service that is healthy only with its secret.
const WEB: &str = r#"{"id": "/web", "cmd": "test \"$TOKEN\" = correct-horse && exec python3 -m http.server $PORT0", "mem": 32, "cpus": 0.1,
    "instances": 2, "secrets": {"t": {"source": "web/token"}}, "env": {"TOKEN": {"secret": "t"}},
    "healthChecks": [{"protocol": "HTTP", "path": "/", "gracePeriodSeconds": 60}]}"#;

/// Ids of all tasks.
fn tasks(operator: &Operator) -> Vec<String> {
    let answer: Value = serde_json::from_str(&operator.ok(&["task", "list", "-o", "json"])).unwrap();
    let ids = answer["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned());
    let mut ids: Vec<String> = ids.collect();
    ids.sort();
    ids
}

async fn on(host: &Host, command: &str) -> String {
    host.run(command).await.unwrap().trim().to_owned()
}

/// When a unit was started last.
async fn since(host: &Host, unit: &str) -> String {
    on(host, &format!("systemctl show --property=ActiveEnterTimestampMonotonic --value {unit}")).await
}

/// What etcd answers on a host to whoever has this certificate.
async fn ask_etcd(host: &Host, certificate: &str) -> String {
    const ASK: &str = r#"python3 -c '
import ssl, sys, urllib.request
context = ssl._create_unverified_context()
try:
    if sys.argv[2]:
        context.load_cert_chain(sys.argv[2])
    print(urllib.request.urlopen(sys.argv[1], timeout=10, context=context).status)
except Exception:
    print("nothing")
' "#;
    on(host, &format!("{ASK} https://{}:2379/health '{certificate}'", host.address())).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real hosts"]
async fn six_hosts_become_a_cluster_with_three_masters_and_are_as_they_were() {
    let testbed = Testbed::builder().hosts(6).start().await.unwrap();
    let operator = Operator::of(&testbed);
    let before = join_all(testbed.hosts().iter().map(everything_on)).await;
    let host = |name: &str| testbed.host(name).unwrap();

    let installed = operator.run(&["install", "inventory.yaml", "-y"]);
    assert_eq!(installed.status, 0, "{installed}");
    assert!(installed.stdout.contains("6 changed"), "{installed}");
    let status = operator.ok(&["cluster", "status"]);
    assert_eq!(status.matches("active").count(), 3, "{status}");
    let check = operator.run(&["check", "inventory.yaml"]);
    assert_eq!(check.status, 0, "{check}");
    assert!(check.stdout.contains("3 of 3 coordinators answer"), "{check}");
    each_coordinator_says_how_it_is(&operator);
    let again = operator.run(&["install", "inventory.yaml"]);
    assert_eq!(again.status, 0, "{again}");
    assert!(again.stdout.starts_with("Nothing to change: 6 hosts"), "{again}");

    // What is etcd's is its own user's, and no agent's.
    assert_eq!(on(host("h4"), "ls /etc/clusterctl/pki").await, "agent.pem\nca.pem");
    let pki = on(host("h1"), "cd /etc/clusterctl/pki && stat -c '%n %a %U:%G' etcd*").await;
    assert_eq!(
        pki,
        "etcd-ca.pem 644 root:root\netcd-client.pem 640 root:clusterctl\netcd.pem 640 root:clusterctl-etcd"
    );
    let process = "tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value clusterctl-etcd)/status";
    assert!(on(host("h1"), process).await.contains("NoNewPrivs:\t1"));
    assert_eq!(on(host("h1"), "stat -c '%a %U' /var/lib/clusterctl/etcd").await, "700 clusterctl-etcd");
    let own = "/etc/clusterctl/pki/etcd-client.pem";
    assert_eq!(ask_etcd(host("h1"), own).await, "200");
    assert_eq!(ask_etcd(host("h1"), "").await, "nothing", "nobody asks etcd without a certificate");

    a_coordinator_is_put_right_alone(&operator, &testbed).await;
    other_coordinators_are_refused(&operator);

    let reset = operator.run(&["reset", "inventory.yaml", "-y"]);
    assert_eq!(reset.status, 0, "{reset}");
    for (host, before) in testbed.hosts().iter().zip(&before) {
        assert_eq!(difference(before, &everything_on(host).await), "", "{}", host.name());
        let left = "systemctl list-units --all --plain --no-legend 'clusterctl*'; pgrep etcd || true";
        assert_eq!(on(host, left).await, "", "{}", host.name());
    }
    testbed.down().await.unwrap();
}

/// One that is stopped is found and started; one whose configuration was changed is restarted; the others are left alone.
async fn a_coordinator_is_put_right_alone(operator: &Operator, testbed: &Testbed) {
    const ETCD: &str = "clusterctl-etcd.service";
    let (one, two, three) =
        (testbed.host("h1").unwrap(), testbed.host("h2").unwrap(), testbed.host("h3").unwrap());
    on(three, "systemctl stop clusterctl-etcd").await;
    let check = operator.run(&["check", "inventory.yaml"]);
    assert_eq!(check.status, 5, "{check}");
    assert!(check.stdout.contains("it does not answer (2 of 3 coordinators answer)"), "{check}");
    on(two, "echo '# changed' >>/etc/clusterctl/etcd.yaml").await;
    let (first, second) = (since(one, ETCD).await, since(two, ETCD).await);
    let mended = operator.run(&["install", "inventory.yaml", "-y"]);
    assert_eq!(mended.status, 0, "{mended}");
    assert!(mended.stdout.contains("2 changed"), "{mended}");
    assert_eq!(since(one, ETCD).await, first);
    assert_ne!(since(two, ETCD).await, second);
    let check = operator.run(&["check", "inventory.yaml"]);
    assert_eq!(check.status, 0, "{check}");
}

fn each_coordinator_says_how_it_is(operator: &Operator) {
    let status = operator.run(&["cluster", "status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    let mut states: Vec<_> =
        status["coordinators"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    states.sort_unstable_by_key(|state| state.to_string());
    assert_eq!(states, ["follower", "follower", "leader"], "{status}");
}

fn other_coordinators_are_refused(operator: &Operator) {
    let inventory = operator.read("inventory.yaml");
    let line = inventory.lines().rfind(|line| line.contains("coordinator")).unwrap();
    operator.write("inventory.yaml", &inventory.replace(line, &line.replace("coordinator, ", "")));
    let even = operator.run(&["install", "inventory.yaml", "-y"]);
    assert!(even.status == 2 && even.stderr.contains("an even quorum"), "{even}");
    let five = inventory.replace("roles: [agent]", "roles: [coordinator, agent]");
    operator.write("inventory.yaml", &five.replacen("[coordinator, agent]", "[agent]", 1));
    let refused = operator.run(&["install", "inventory.yaml", "-y"]);
    assert_eq!(refused.status, 5, "{refused}");
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("the coordinators of a running cluster cannot be changed"), "{refused}");
    operator.write("inventory.yaml", &inventory);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real hosts"]
async fn a_cluster_with_one_master_grows_to_three_and_its_services_live_on() {
    let testbed = Testbed::builder().hosts(4).start().await.unwrap();
    let all = testbed.inventory();
    let without = |names: &[&str]| -> String {
        let is_left_out = |line: &&str| names.iter().any(|name| line.contains(&format!("name: {name},")));
        all.lines().filter(|line| !is_left_out(line)).map(|line| format!("{line}\n")).collect()
    };
    let operator = Operator::with(&without(&["h2", "h3"]));
    let installed = operator.run(&["install", "inventory.yaml", "-y"]);
    assert_eq!(installed.status, 0, "{installed}");
    operator.write("web.json", WEB);
    operator.write("token", "correct-horse");
    operator.ok(&["secret", "set", "web/token", "--file", "token"]);
    operator.ok(&["service", "create", "-f", "web.json", "--timeout", "120s"]);
    let running = tasks(&operator);
    assert_eq!(running.len(), 2);
    let master = testbed.host("h1").unwrap();
    assert_eq!(
        on(master, "ls /var/lib/clusterctl/master/store/store.redb").await,
        "/var/lib/clusterctl/master/store/store.redb"
    );

    // The one with the state is not reached: nobody begins without it.
    let three: String = all
        .lines()
        .map(|line| {
            let is_one = ["h1", "h2", "h3"].iter().any(|name| line.contains(&format!("name: {name},")));
            let line = if is_one {
                line.replace("[agent]", "[coordinator, master]").replace("[master]", "[coordinator, master]")
            } else {
                line.to_owned()
            };
            format!("{line}\n")
        })
        .collect();
    operator.write("inventory.yaml", &three);
    let blind = operator.run(&["install", "inventory.yaml", "-y", "--exclude", "h1"]);
    assert_eq!(blind.status, 5, "{blind}");
    assert!(format!("{}{}", blind.stdout, blind.stderr).contains("may keep the state"), "{blind}");

    let grown = operator.run(&["install", "inventory.yaml", "-y"]);
    assert_eq!(grown.status, 0, "{grown}");
    assert_eq!(tasks(&operator), running, "tasks live on");
    let services = operator.ok(&["service", "list"]);
    assert!(services.contains("/web"), "{services}");
    let left = on(master, "ls /var/lib/clusterctl/master/store | grep -x store.redb || true").await;
    assert_eq!(left, "", "the state is in etcd alone");
    let masters = on(testbed.host("h4").unwrap(), "grep -c ':5050' /etc/clusterctl/agent.yaml").await;
    assert_eq!(masters, "3");
    let config = operator.read(".config/clusterctl/config.yaml");
    assert_eq!(config.matches(":5050").count(), 3, "{config}");
    let again = operator.run(&["install", "inventory.yaml"]);
    assert_eq!(again.status, 0, "{again}");
    assert!(again.stdout.starts_with("Nothing to change: 4 hosts"), "{again}");

    // Whoever led is gone, and another one has all of it, the key of secrets too.
    on(master, "systemctl stop clusterctl-master clusterctl-etcd").await;
    let scaled = operator.run(&["service", "scale", "web", "3", "--timeout", "120s"]);
    assert_eq!(scaled.status, 0, "{scaled}");
    let after = tasks(&operator);
    assert!(after.len() == 3 && running.iter().all(|id| after.contains(id)), "{after:?}");
    testbed.down().await.unwrap();
}
