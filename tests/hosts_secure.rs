//! The daemons of an installed node on a real host, in units of systemd: tasks live in a delegated unit of their own, which
//! no restart of the others touches. Needs root; `tests/run` runs it.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use identity::PeerRole;
use serde_json::{Value, json};
use testbed::{Host, Testbed};
use tls::testing::TestCa;

const BINARY: &str = env!("CARGO_BIN_EXE_clusterctl");
/// Nothing here takes so long.
const LIMIT: Duration = Duration::from_secs(120);

const TASKS: &str = "[Unit]
Description=Tasks
[Service]
Type=notify
ExecStart=/usr/local/bin/clusterctl hold
Delegate=yes
CPUAccounting=yes
MemoryAccounting=yes
TasksAccounting=yes
TasksMax=infinity
";

fn unit(role: &str) -> String {
    format!(
        "[Unit]\nWants=clusterctl-tasks.service\nAfter=clusterctl-tasks.service\n\
         [Service]\nType=notify\nWatchdogSec=20\nExecReload=/bin/kill -HUP $MAINPID\n\
         Environment=CLUSTERCTL_LOG=info\nExecStart=/usr/local/bin/clusterctl {role} --config /etc/clusterctl/{role}.yaml\n"
    )
}

struct Node<'t> {
    host: &'t Host,
    client: reqwest::Client,
    url: String,
}

impl Node<'_> {
    /// Everything that an install would leave there.
    async fn install(&self, ca: &TestCa) {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("clusterctl");
        let done = Command::new("strip").args(["--strip-all", "-o"]).arg(&copy).arg(BINARY).status().unwrap();
        assert!(done.success(), "{done}");
        self.host.upload(&copy, "/usr/local/bin/clusterctl", "0755").await.unwrap();
        self.host.run("mkdir -p /etc/clusterctl/master /etc/clusterctl/agent").await.unwrap();
        let address = self.host.address();
        for (role, more) in [
            (PeerRole::Master, format!("advertise: {address}:5050\n")),
            (PeerRole::Agent, format!("address: {address}\nmasters: ['https://{address}:5050']\n")),
        ] {
            let files = ca.write(&dir.path().join(role.as_str()), &ca.leaf("demo", role, "n1"));
            for (file, name) in [(&files.ca, "ca"), (&files.certificate, "cert"), (&files.key, "key")] {
                self.host.upload(file, &format!("/etc/clusterctl/{role}/{name}.pem"), "0600").await.unwrap();
            }
            let config = format!(
                "cluster: demo\nname: n1\n{more}tls: {{ca: /etc/clusterctl/{role}/ca.pem, \
                 certificate: /etc/clusterctl/{role}/cert.pem, key: /etc/clusterctl/{role}/key.pem}}\n"
            );
            self.put(&config, &format!("/etc/clusterctl/{role}.yaml")).await;
            self.put(&unit(role.as_str()), &format!("/etc/systemd/system/clusterctl-{role}.service")).await;
        }
        self.put(TASKS, "/etc/systemd/system/clusterctl-tasks.service").await;
        self.host
            .run("systemctl daemon-reload && systemctl start clusterctl-master clusterctl-agent")
            .await
            .unwrap();
    }

    async fn put(&self, text: &str, path: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        self.host.upload(file.path(), path, "0644").await.unwrap();
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).timeout(LIMIT);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Asks until there is something to be found in the answer.
    async fn until<T>(&self, path: &str, found: impl Fn(&Value) -> Option<T>) -> T {
        let since = Instant::now();
        loop {
            let answer = self.ask(reqwest::Method::GET, path, None).await;
            if let Some(found) = found(&answer) {
                return found;
            }
            assert!(since.elapsed() < LIMIT, "{path}: {answer}");
        }
    }

    /// The process of the only task, and where it stands in every hierarchy.
    async fn task(&self) -> (String, String) {
        let pid = self.host.run("pgrep -x -f 'sleep 4711'").await.unwrap().trim().to_owned();
        let groups = self.host.run(&format!("cat /proc/{pid}/cgroup")).await.unwrap();
        (pid, groups)
    }
}

#[tokio::test]
#[ignore = "real hosts"]
async fn tasks_live_in_a_unit_of_their_own_that_no_restart_of_the_daemons_touches() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let testbed = Testbed::builder().hosts(1).start().await.unwrap();
    let host = testbed.host("h1").unwrap();
    let ca = TestCa::new();
    // Known by its role, since the certificates of tests have other addresses.
    let dir = tempfile::tempdir().unwrap();
    let operator = ca.node(dir.path(), "demo", PeerRole::Admin, "operator");
    let dialler = operator.dialler(PeerRole::Master, &["http/1.1"]).unwrap();
    let client =
        reqwest::Client::builder().no_proxy().tls_backend_preconfigured(dialler.config()).build().unwrap();
    let node = Node { host, client, url: format!("https://{}:5050", host.address()) };
    node.install(&ca).await;

    node.ask(reqwest::Method::PUT, "/clusterctl/v1/admissions/n1", None).await;
    let app = json!({"id": "/sleep", "cmd": "exec sleep 4711", "cpus": 0.1, "mem": 32});
    node.ask(reqwest::Method::POST, "/v2/apps", Some(app)).await;
    let running = |answer: &Value| (answer["app"]["tasksRunning"] == 1).then_some(());
    node.until("/v2/apps/sleep", running).await;
    let before = node.task().await;
    let below = "/system.slice/clusterctl-tasks.service/";
    let limited = before.1.lines().filter(|line| line.contains(below)).count();
    let memory = before.1.lines().find(|line| line.contains("memory") || line.starts_with("0::")).unwrap();
    assert!(limited > 0 && memory.contains(below), "{}", before.1);

    // Restarted, reloaded, and without a word from systemd about a watchdog.
    node.host.run("systemctl restart clusterctl-agent clusterctl-master").await.unwrap();
    node.host.run("systemctl reload clusterctl-agent clusterctl-master").await.unwrap();
    node.until("/v2/apps/sleep", running).await;
    assert_eq!(node.task().await, before);
    let state =
        node.host.run("systemctl is-active clusterctl-master clusterctl-agent clusterctl-tasks").await;
    assert_eq!(state.unwrap().trim(), "active\nactive\nactive");

    // The task is ended, and the unit's own group stays.
    node.ask(reqwest::Method::DELETE, "/v2/apps/sleep", None).await;
    node.until("/v2/apps", |answer| answer["apps"].as_array().unwrap().is_empty().then_some(())).await;
    node.host.run("systemctl stop clusterctl-agent clusterctl-master").await.unwrap();
    node.host.run("systemctl is-active clusterctl-tasks").await.unwrap();
    // And systemd can end what is in it, and start it anew.
    node.host
        .run("systemctl restart clusterctl-tasks && systemctl is-active clusterctl-tasks")
        .await
        .unwrap();
}
