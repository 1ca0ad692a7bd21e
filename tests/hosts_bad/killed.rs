//! Installers that are killed, and two at once.

use serde_json::Value;
use testbed::Testbed;

use crate::operator::Operator;
use crate::watched::{Watched, is};
use crate::written::{hold, let_go, operator_of, repairs};

const INSTALL: [&str; 3] = ["install", "inventory.yaml", "-y"];

/// Whether an event is the one that is waited for.
type Seen = fn(&Value) -> bool;

/// Where an installer is killed, in their order: each of them lies behind what the ones before have done.
const POINTS: [(&str, Seen); 9] = [
    ("connecting", |event| is(event, "step_started", "connect")),
    ("looking", |event| is(event, "phase_started", "facts")),
    ("checking", |event| is(event, "phase_started", "preflight")),
    ("having the lock", |event| is(event, "phase_started", "distribute")),
    ("uploading", |event| event["type"] == "upload" && event["sent"].as_u64().unwrap() > 1 << 20),
    ("putting files in place", |event| is(event, "step_started", "distribute") && event["step"] == 5),
    ("starting masters", |event| is(event, "step_started", "masters")),
    ("starting agents", |event| is(event, "step_started", "agents")),
    ("waiting for agents", |event| is(event, "phase_started", "postflight")),
];

fn has_taken_over(seen: &[Value]) -> bool {
    let text = |event: &Value| event["text"].as_str().unwrap_or_default().to_owned();
    seen.iter().any(|event| text(event).contains("the lock of an installer that was killed is taken over"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real hosts"]
async fn an_installer_may_be_killed_at_any_point_and_two_do_not_get_into_each_others_way() {
    let testbed = Testbed::builder().hosts(3).start().await.unwrap();
    let operator = operator_of(&testbed, "deploy", &["master", "agent", "agent"]);
    let mut locked = false;
    for (what, point) in POINTS {
        let mut installer = Watched::start(&operator, &INSTALL);
        installer.until(point).await;
        let seen = installer.kill().await;
        // A lock that its installer left keeps nobody out.
        let locks = seen.iter().any(|event| is(event, "phase_started", "distribute"));
        assert!(!locks || !locked || has_taken_over(&seen), "{what}: {seen:?}");
        locked |= locks;
    }
    repairs(&operator, &[]);
    let status = operator.ok(&["cluster", "status"]);
    assert_eq!(status.matches("active").count(), 2, "{status}");
    for host in testbed.hosts() {
        let left = "find /opt/clusterctl /etc /var/lib -name '*clusterctl-new' -o -name .clusterctl-staging";
        assert_eq!(host.run(left).await.unwrap(), "", "{}", host.name());
    }
    two_at_once(&testbed, &operator).await;
}

async fn two_at_once(testbed: &Testbed, operator: &Operator) {
    const BREAK: &str = "echo '# changed' >>/etc/clusterctl/agent.yaml";
    let [_, h2, h3] = testbed.hosts() else { unreachable!("three were asked for") };
    h2.run(BREAK).await.unwrap();
    h3.run(BREAK).await.unwrap();
    // The first waits on h3, and is through with h2.
    hold(h3).await;
    let mut first = Watched::start(operator, &INSTALL);
    first.until(|event| is(event, "step_done", "distribute") && event["host"] == "h2").await;
    h2.run(BREAK).await.unwrap();
    let second = operator.run(&["install", "inventory.yaml", "-y", "--exclude", "h3"]);
    assert_eq!(second.status, 8, "{second}");
    for part in [
        "the cluster is locked by operator@",
        &format!("(process {})", first.pid()),
        "clusterctl install inventory.yaml",
    ] {
        assert!(second.stderr.contains(part), "{part}: {second}");
    }
    assert!(
        h2.run("cat /etc/clusterctl/agent.yaml").await.unwrap().contains("# changed"),
        "it changed nothing"
    );
    let_go(h3).await;
    let first = first.end().await;
    assert_eq!(first.status, 0, "{first}");
    assert_eq!(first.outcome("h3")["outcome"], "changed", "{first}");
    repairs(operator, &[]);
}
