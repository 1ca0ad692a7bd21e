//! A cluster as an install leaves it, on one machine: a master and two agents with certificates, users, tokens and
//! admissions, and the command line as an operator uses it. With the real binary.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use identity::PeerRole;
use reqwest::{Method, StatusCode};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tls::testing::{TestCa, TestLeaf};

/// Nothing here takes so long; what does is a failure.
const LIMIT: Duration = Duration::from_secs(60);
/// Of whoever runs things without root, where the test itself has it: control groups are another test's.
const NOBODY: u32 = 65534;
const PASSWORD: &str = "correct horse battery staple";

struct Stage {
    root: TempDir,
    ca: TestCa,
    port: u16,
    runtime: tokio::runtime::Runtime,
    admin: reqwest::Client,
}

/// A daemon, killed when it is dropped.
struct Daemon {
    process: Child,
    log: Lines<BufReader<ChildStderr>>,
    notified: UnixDatagram,
}

impl Stage {
    fn new() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let root = tempfile::Builder::new().prefix("secure").tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let ca = TestCa::new();
        fs::write(root.path().join("ca.pem"), &ca.pem).unwrap();
        // Free a moment ago; nobody else on this machine takes fixed ports from there.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let admin = client(&ca, Some(&ca.leaf("demo", PeerRole::Admin, "operator")));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        fs::copy(env!("CARGO_BIN_EXE_clusterctl"), root.path().join("clusterctl")).unwrap();
        let stage = Self { root, ca, port, runtime, admin };
        for name in ["config", "state"] {
            fs::create_dir(stage.path(name)).unwrap();
            stage.give(&stage.path(name));
        }
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    fn give(&self, path: &Path) {
        if geteuid().is_root() {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    fn clusterctl(&self, arguments: &[&str]) -> Command {
        let program = self.path("clusterctl");
        let mut command = if geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(arguments).current_dir(self.root.path()).env("XDG_CONFIG_HOME", self.path("config"));
        for variable in [
            "NO_COLOR",
            "CLICOLOR_FORCE",
            "CLUSTERCTL_LOG",
            "CLUSTERCTL_URL",
            "CLUSTERCTL_CA",
            "CLUSTERCTL_TOKEN",
        ] {
            command.env_remove(variable);
        }
        command
    }

    /// Writes a node's certificate and configuration, and starts its daemon.
    fn start(&self, kind: PeerRole, name: &str, more: &str) -> Daemon {
        let files = self.ca.write(&self.path(name), &self.ca.leaf("demo", kind, name));
        self.give(&files.key);
        let config = self.path(&format!("{name}.yaml"));
        let text = format!(
            "cluster: demo\nname: {name}\ntls: {{ca: {}, certificate: {}, key: {}}}\n{more}",
            files.ca.display(),
            files.certificate.display(),
            files.key.display(),
        );
        fs::write(&config, text).unwrap();
        self.daemon(kind.as_str(), name)
    }

    fn daemon(&self, kind: &str, name: &str) -> Daemon {
        let socket = self.path(&format!("state/{name}.notify"));
        let _ = fs::remove_file(&socket);
        let notified = UnixDatagram::bind(&socket).unwrap();
        self.give(&socket);
        notified.set_read_timeout(Some(LIMIT)).unwrap();
        let mut process = self
            .clusterctl(&[kind, "--config", self.path(&format!("{name}.yaml")).to_str().unwrap()])
            .env("CLUSTERCTL_LOG", "info")
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "20000000")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(process.stderr.take().unwrap()).lines();
        Daemon { process, log, notified }
    }

    fn master(&self) -> Daemon {
        let (port, state) = (self.port, self.path("state/master"));
        let master = self.start(
            PeerRole::Master,
            "m1",
            &format!("listen: 127.0.0.1:{port}\nadvertise: 127.0.0.1:{port}\nstate: {}\n", state.display()),
        );
        master.hears("READY=1");
        master
    }

    fn agent(&self, number: u8) -> Daemon {
        let name = format!("a{number}");
        let more = format!(
            "address: 127.0.0.{}\nport: 0\nmasters: ['{}']\nwork_dir: {}\n\
             resources: 'cpus:2;mem:1024;disk:1024;ports:[{first}-{last}]'\n",
            number + 1,
            self.url(),
            self.path(&format!("state/{name}")).display(),
            first = 21_000 + 100 * u32::from(number),
            last = 21_050 + 100 * u32::from(number),
        );
        let agent = self.start(PeerRole::Agent, &name, &more);
        agent.hears("READY=1");
        agent
    }

    /// A request with the operator's certificate.
    fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.admin.request(method, format!("{}{path}", self.url())).timeout(LIMIT);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let bytes = answer.bytes().await.unwrap();
            (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
        })
    }

    /// Asks until something is so.
    fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let since = Instant::now();
        while !so(self) {
            assert!(since.elapsed() < LIMIT, "not so in time: {what}");
        }
    }

    /// What a command prints, and its exit code.
    fn try_run(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let mut process = self
            .clusterctl(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that does not read its input has closed it.
        let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
        let output = process.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    fn run(&self, arguments: &[&str], input: &str) -> String {
        let (code, stdout, stderr) = self.try_run(arguments, input);
        assert_eq!(code, 0, "{arguments:?}\n{stdout}{stderr}");
        stdout
    }
}

impl Daemon {
    /// Waits until it tells systemd this.
    fn hears(&self, wanted: &str) {
        let mut buffer = [0; 4096];
        loop {
            let length = self.notified.recv(&mut buffer).unwrap();
            if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == wanted) {
                return;
            }
        }
    }

    /// Waits until it writes this into its log.
    fn says(&mut self, wanted: &str) {
        let found = self.log.by_ref().map_while(Result::ok).any(|line| line.contains(wanted));
        assert!(found, "it ended and never said {wanted:?}");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap(), signal).unwrap();
    }

    /// As systemd ends it.
    fn stop(mut self) {
        self.signal(Signal::TERM);
        self.hears("STOPPING=1");
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Ends what a failed test left: tasks outlive agents.
impl Drop for Stage {
    fn drop(&mut self) {
        let mark = self.root.path().as_os_str().as_encoded_bytes();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let ours = ["cmdline", "environ"].iter().any(|file| {
                fs::read(entry.path().join(file))
                    .is_ok_and(|bytes| bytes.windows(mark.len()).any(|window| window == mark))
            });
            if ours && u32::try_from(pid) != Ok(std::process::id()) {
                let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
            }
        }
    }
}

fn client(ca: &TestCa, leaf: Option<&TestLeaf>) -> reqwest::Client {
    let key = leaf.map(|leaf| SecretString::from(leaf.key.clone()));
    let own = leaf.zip(key.as_ref()).map(|(leaf, key)| (leaf.certificate.as_str(), key));
    let dialler = tls::Authority { ca: &ca.pem, own }.dialler(SystemTime::now()).unwrap();
    // A master that is started again ends its connections: none is kept for later.
    let builder = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
    builder.tls_backend_preconfigured(dialler.config()).build().unwrap()
}

#[test]
fn a_cluster_with_certificates_and_users_does_its_work_and_lets_nobody_else() {
    let stage = Stage::new();
    let master = stage.master();

    // The operator's certificate is the first credential; it makes the first user.
    let user = json!({"role": "operator", "password": PASSWORD});
    let (made, answer) = stage.ask(Method::PUT, "/clusterctl/v1/users/ops", Some(user));
    assert_eq!(made, StatusCode::CREATED, "{answer}");

    // Agents that are not admitted are told so, and go on asking.
    let (mut first, second) = (stage.agent(1), stage.agent(2));
    first.says("not admitted");
    for name in ["a1", "a2"] {
        let (made, answer) = stage.ask(Method::PUT, &format!("/clusterctl/v1/admissions/{name}"), None);
        assert_eq!(made, StatusCode::CREATED, "{answer}");
    }
    let active = |stage: &Stage| {
        let (_, answer) = stage.ask(Method::GET, "/slaves", None);
        answer["slaves"].as_array().unwrap().iter().filter(|slave| slave["active"] == true).count()
    };
    stage.until("two agents are active", |stage| active(stage) == 2);
    first.hears("WATCHDOG=1");
    master.hears("WATCHDOG=1");

    files_are_for_masters_alone(&stage);

    // Whoever does not say who it is gets nothing, and is told what to do.
    let (url, ca) = (stage.url(), stage.path("ca.pem"));
    stage.run(&["cluster", "add", "demo", &url, "--ca", ca.to_str().unwrap()], "");
    let (code, _, stderr) = stage.try_run(&["service", "list"], "");
    assert!(code == 2 && stderr.contains("`clusterctl login"), "{code} {stderr}");
    let (code, _, stderr) = stage
        .try_run(&["login", "--user", "ops", "--password-file", "-"], "wrong and longer than it must be\n");
    assert!(code == 2 && !stderr.contains("wrong and"), "{code} {stderr}");
    stage.run(&["login", "--user", "ops", "--password-file", "-"], &format!("{PASSWORD}\n"));
    let file = stage.path("config/clusterctl/config.yaml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!fs::read_to_string(&file).unwrap().contains(PASSWORD));

    // A service that brings an artifact: agents fetch it with their certificates, masters read its logs with theirs.
    let artifact = "a file that everybody needs\n";
    let sum: String = Sha256::digest(artifact).iter().map(|byte| format!("{byte:02x}")).collect();
    let put = stage.admin.put(format!("{url}/clusterctl/v1/artifacts/sha256/{sum}")).body(artifact);
    let kept = stage.runtime.block_on(async { put.send().await.unwrap().status() });
    assert_eq!(kept, StatusCode::CREATED);
    let app = json!({
        "id": "/web", "cmd": "cat file; echo running as $MESOS_TASK_ID; exec sleep 1000", "cpus": 0.1, "mem": 32, "instances": 2,
        "fetch": [{"uri": format!("artifact://sha256/{sum}"), "destPath": "file", "extract": false}],
        "constraints": [["hostname", "UNIQUE"]],
    });
    stage.run(&["service", "create", "-f", "-"], &app.to_string());
    stage.until("both have written", |stage| {
        let logs = stage.run(&["service", "logs", "/web"], "");
        logs.matches("a file that everybody needs").count() == 2
            && logs.matches("running as web").count() == 2
    });
    // An operator is no admin.
    let (code, _, stderr) = stage.try_run(&["user", "list"], "");
    assert!(code == 2 && stderr.contains("admin"), "{code} {stderr}");

    // A daemon that ends leaves its tasks, and its successor has them.
    let ids = |stage: &Stage| {
        let shown: Value = serde_json::from_str(&stage.run(&["task", "list", "-o", "json"], "")).unwrap();
        let ids =
            shown["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned());
        ids.collect::<std::collections::BTreeSet<_>>()
    };
    let tasks = ids(&stage);
    first.stop();
    stage.until("the agent has left", |stage| active(stage) == 1);
    let first = stage.daemon("agent", "a1");
    stage.until("it is back", |stage| active(stage) == 2);
    master.stop();
    let master = stage.daemon("master", "m1");
    master.hears("READY=1");
    stage.until("both are back", |stage| active(stage) == 2);
    assert_eq!(ids(&stage), tasks);

    // An admission that is taken back closes the stream.
    let mut second = second;
    assert_eq!(stage.ask(Method::DELETE, "/clusterctl/v1/admissions/a2", None).0, StatusCode::NO_CONTENT);
    second.says("it refuses this agent");
    stage.until("one is left", |stage| active(stage) == 1);
    assert_eq!(stage.ask(Method::PUT, "/clusterctl/v1/admissions/a2", None).0, StatusCode::CREATED);
    stage.until("it is back", |stage| active(stage) == 2);

    // Logged out, the token is worth nothing, wherever it was copied to.
    stage.run(&["service", "remove", "/web", "-y"], "");
    let before = fs::read(&file).unwrap();
    stage.run(&["logout"], "");
    fs::write(&file, before).unwrap();
    let (code, _, stderr) = stage.try_run(&["service", "list"], "");
    assert!(code == 2 && stderr.contains("`clusterctl login"), "{code} {stderr}");
    drop((first, second, master));
}

/// The port of an agent: not even its health is told to anybody but a master of the cluster.
fn files_are_for_masters_alone(stage: &Stage) {
    let (_, answer) = stage.ask(Method::GET, "/slaves", None);
    let agent = answer["slaves"][0]["pid"].as_str().unwrap().rsplit('@').next().unwrap().to_owned();
    let ask = |client: &reqwest::Client, scheme: &str| {
        let request = client.get(format!("{scheme}://{agent}/health")).timeout(LIMIT);
        stage.runtime.block_on(async { request.send().await.map(|answer| answer.status().as_u16()) })
    };
    let going = |role, name: &str| {
        let tls = stage.ca.node(&stage.path(&format!("visitor-{name}")), "demo", role, name);
        let dialler = tls.dialler(PeerRole::Agent, &[]).unwrap();
        let builder = reqwest::Client::builder().no_proxy();
        builder.tls_backend_preconfigured(dialler.config()).build().unwrap()
    };
    assert_eq!(ask(&going(PeerRole::Master, "m1"), "https").unwrap(), 200);
    for (role, name) in [(PeerRole::Agent, "a2"), (PeerRole::Admin, "operator")] {
        assert!(ask(&going(role, name), "https").is_err(), "{role}");
    }
    let plain = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(ask(&plain, "http").unwrap(), 400, "it says that it speaks TLS, and nothing else");
}

#[test]
fn whoever_is_not_the_node_it_says_does_not_start() {
    let stage = Stage::new();
    let files = stage.ca.write(&stage.path("m1"), &stage.ca.leaf("demo", PeerRole::Agent, "m1"));
    stage.give(&files.key);
    let config = format!(
        "cluster: demo\nname: m1\nadvertise: 127.0.0.1:{}\nlisten: 127.0.0.1:{}\nstate: {}\ntls: {{ca: {}, certificate: {}, key: {}}}\n",
        stage.port,
        stage.port,
        stage.path("state/master").display(),
        files.ca.display(),
        files.certificate.display(),
        files.key.display()
    );
    let path = stage.path("m1.yaml");
    fs::write(&path, &config).unwrap();
    let path = path.to_str().unwrap();
    let (code, _, stderr) = stage.try_run(&["master", "--config", path], "");
    assert!(code == 2 && stderr.contains("clusterctl://demo/agent/m1"), "{code} {stderr}");
    fs::write(path, config.replace("advertise", "advertize")).unwrap();
    let (code, _, stderr) = stage.try_run(&["master", "--config", path], "");
    assert!(code == 2 && stderr.contains("m1.yaml:3:1"), "{code} {stderr}");
}
