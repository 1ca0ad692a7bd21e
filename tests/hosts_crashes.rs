//! `kill -9` of the leading master at each point between a request and the acknowledgement of what became of it: three masters
//! on an etcd, two agents and their tasks, all of them processes of this machine. `tests/run` runs it, since it needs etcd.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use identity::PeerRole;
use reqwest::{Method, StatusCode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, kill_process, pidfd_open};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use tls::testing::TestCa;

/// All is as it has to be so long after a fault.
const CONVERGES: Duration = Duration::from_secs(30);
/// Nothing else here takes so long; what does is a failure.
const LIMIT: Duration = Duration::from_secs(60);
/// Of whoever runs things without root, where the test itself has it: control groups are another test's.
const NOBODY: u32 = 65534;
const INSTANCES: usize = 2;

/// The points that a new service passes; whether it is there after a death at each, and whether its caller was told: nothing
/// where the answer is on its way at that time.
const OF_A_SERVICE: [(&str, bool, Option<bool>); 8] = [
    ("validated", false, Some(false)),
    ("committed", true, Some(false)),
    ("accepting", true, None),
    ("launching", true, Some(true)),
    ("launched", true, Some(true)),
    ("update", true, Some(true)),
    ("acknowledging", true, Some(true)),
    ("acknowledged", true, Some(true)),
];
/// The points that a task passes which is to be killed.
const OF_A_KILL: [&str; 4] = ["killed", "update", "acknowledging", "acknowledged"];

struct Master {
    name: String,
    port: u16,
    process: Option<Child>,
}

struct Stage {
    root: TempDir,
    #[expect(dead_code, reason = "etcd's, removed at the end")]
    data: TempDir,
    ca: TestCa,
    etcd: Child,
    etcd_port: u16,
    masters: Vec<Master>,
    agents: Vec<Child>,
    runtime: tokio::runtime::Runtime,
    admin: reqwest::Client,
}

/// Running tasks, and the process of each.
type Tasks = BTreeMap<String, i32>;

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [_; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn app(id: &str) -> Value {
    let cmd = "echo $MESOS_TASK_ID >>$RAN; exec sleep 86400";
    json!({"id": id, "cmd": cmd, "cpus": 0.1, "mem": 16, "instances": INSTANCES, "backoffSeconds": 0})
}

impl Stage {
    fn new() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let root = tempfile::Builder::new().prefix("crashes").tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_clusterctl"), root.path().join("clusterctl")).unwrap();
        let data = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let ca = TestCa::new();
        let [client, peer, masters @ ..] = free_ports::<5>();
        let leaf = ca.leaf("demo", PeerRole::Admin, "operator");
        let key = SecretString::from(leaf.key.clone());
        let own = Some((leaf.certificate.as_str(), &key));
        let dialler = tls::Authority { ca: &ca.pem, own }.dialler(SystemTime::now()).unwrap();
        let admin = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(dialler.config());
        let admin = admin.timeout(Duration::from_secs(20)).build().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let etcd = etcd(&ca, root.path(), data.path(), client, peer);
        let masters = masters.into_iter().zip(1..);
        let masters = masters.map(|(port, n)| Master { name: format!("m{n}"), port, process: None });
        let masters = masters.collect();
        let mut stage =
            Self { root, data, ca, etcd, etcd_port: client, masters, agents: vec![], runtime, admin };
        fs::create_dir(stage.path("state")).unwrap();
        stage.give(&stage.path("state"));
        fs::write(stage.path("ran"), "").unwrap();
        stage.give(&stage.path("ran"));
        for master in 0..stage.masters.len() {
            stage.configure_master(master);
            stage.run_master(master);
        }
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn give(&self, path: &Path) {
        if geteuid().is_root() {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    /// Writes a node's certificate and configuration.
    fn configure(&self, kind: PeerRole, name: &str, more: &str) {
        let files = self.ca.write(&self.path(name), &self.ca.leaf("demo", kind, name));
        self.give(&files.key);
        let text = format!(
            "cluster: demo\nname: {name}\ntls: {{ca: {ca}, certificate: {certificate}, key: {key}}}\n{more}",
            ca = files.ca.display(),
            certificate = files.certificate.display(),
            key = files.key.display(),
        );
        fs::write(self.path(&format!("{name}.yaml")), text).unwrap();
    }

    fn configure_master(&self, n: usize) {
        let Master { name, port, .. } = &self.masters[n];
        let tls = self.path(name);
        self.configure(
            PeerRole::Master,
            name,
            &format!(
                "listen: 127.0.0.1:{port}\nadvertise: 127.0.0.1:{port}\nstate: {state}\n\
                 store: {{etcd: {{endpoints: ['https://127.0.0.1:{etcd}'], lease: 2s, \
                 tls: {{ca: {tls}/ca.pem, certificate: {tls}/cert.pem, key: {tls}/key.pem}}}}}}\n",
                state = self.path(&format!("state/{name}")).display(),
                etcd = self.etcd_port,
                tls = tls.display(),
            ),
        );
    }

    fn daemon(&self, kind: &str, name: &str) -> Child {
        let program = self.path("clusterctl");
        let mut command = if geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let log = fs::File::options().create(true).append(true).open(self.path(&format!("{name}.log")));
        command
            .args([kind, "--config"])
            .arg(self.path(&format!("{name}.yaml")))
            .current_dir(self.root.path())
            .env("CLUSTERCTL_LOG", "info")
            .env("CLUSTERCTL_FAILPOINT", self.armed(name))
            .stdin(Stdio::null())
            .stderr(log.unwrap())
            .spawn()
            .unwrap()
    }

    fn run_master(&mut self, n: usize) {
        self.masters[n].process = Some(self.daemon("master", &self.masters[n].name));
    }

    fn run_agent(&mut self, number: u16) {
        let name = format!("a{number}");
        let urls: Vec<_> = (0..self.masters.len()).map(|n| self.url(n)).collect();
        let more = format!(
            "address: 127.0.0.{}\nport: 0\nmasters: {urls:?}\nwork_dir: {}\n\
             resources: 'cpus:8;mem:8192;disk:8192;ports:[{first}-{last}]'\n",
            number + 1,
            self.path(&format!("state/{name}")).display(),
            first = 21_000 + 1000 * number,
            last = 21_999 + 1000 * number,
        );
        self.configure(PeerRole::Agent, &name, &more);
        let agent = self.daemon("agent", &name);
        self.agents.push(agent);
    }

    fn url(&self, master: usize) -> String {
        format!("https://127.0.0.1:{}", self.masters[master].port)
    }

    /// The file that names the point at which a master is killed.
    fn armed(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.point"))
    }

    fn arm(&self, master: usize, point: &str) {
        let file = self.armed(&self.masters[master].name);
        // A whole name or none is read.
        let beside = file.with_extension("new");
        fs::write(&beside, point).unwrap();
        fs::rename(beside, file).unwrap();
    }

    /// Waits until this master was killed at its point. That it is, is all that ends it.
    fn dies(&mut self, master: usize, point: &str) {
        let mut process = self.masters[master].process.take().unwrap();
        let pid = Pid::from_child(&process);
        let fd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let limit = Timespec { tv_sec: i64::try_from(CONVERGES.as_secs()).unwrap(), tv_nsec: 0 };
        let over = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)).unwrap();
        if over == 0 {
            let _ = process.kill();
        }
        let status = process.wait().unwrap();
        assert!(over == 1 && status.signal() == Some(9), "{point} was not reached: {status}");
        fs::remove_file(self.armed(&self.masters[master].name)).unwrap();
    }

    /// A request with the operator's certificate; nothing when there is no answer.
    fn try_ask(
        &self,
        master: usize,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Option<(StatusCode, Value)> {
        let mut request = self.admin.request(method, format!("{}{path}", self.url(master)));
        request = request.header("accept", "application/json");
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.runtime.block_on(async {
            let answer = request.send().await.ok()?;
            let status = answer.status();
            let bytes = answer.bytes().await.ok()?;
            Some((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
        })
    }

    fn ask(&self, master: usize, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let answer = self.try_ask(master, method, path, body);
        answer.unwrap_or_else(|| panic!("{} does not answer {path}", self.masters[master].name))
    }

    fn get(&self, master: usize, path: &str) -> Option<Value> {
        let (status, value) = self.try_ask(master, Method::GET, path, None)?;
        status.is_success().then_some(value)
    }

    /// Looks until something is found.
    fn until<T>(&self, what: &str, end: Instant, look: impl Fn(&Self) -> Result<T, String>) -> T {
        loop {
            match look(self) {
                Ok(found) => return found,
                Err(why) => assert!(Instant::now() < end, "not so in time: {what}: {why}"),
            }
        }
    }

    /// The one that leads.
    fn leader(&self, end: Instant) -> usize {
        self.until("one leads", end, |stage| {
            let alive = (0..stage.masters.len()).filter(|&n| stage.masters[n].process.is_some());
            let leads = |&n: &usize| {
                stage.get(n, "/clusterctl/v1/master").is_some_and(|answer| answer["leads"] == true)
            };
            alive.into_iter().find(leads).ok_or_else(|| "none does".to_owned())
        })
    }

    /// What all agree on, once nothing is under way: services, master, and the processes that there are.
    fn settled(&self, leader: usize, end: Instant) -> Tasks {
        self.until("all agree", end, |stage| stage.agreed(leader))
    }

    fn agreed(&self, leader: usize) -> Result<Tasks, String> {
        let get = |path: &str| self.get(leader, path).ok_or_else(|| format!("no answer to {path}"));
        let each = |answer: &Value, key: &str| answer[key].as_array().cloned().unwrap_or_default();
        let ids = |tasks: Vec<Value>| -> BTreeSet<String> {
            tasks.iter().filter_map(|task| Some(task["id"].as_str()?.to_owned())).collect()
        };
        let mut wanted = 0;
        for app in each(&get("/v2/apps")?, "apps") {
            let count = |key: &str| usize::try_from(app[key].as_u64().unwrap_or(0)).unwrap_or(0);
            wanted += count("instances");
            if count("tasksRunning") != count("instances") || app["deployments"] != json!([]) {
                return Err(format!("{app}"));
            }
        }
        let active = each(&get("/slaves")?, "slaves").iter().filter(|slave| slave["active"] == true).count();
        let services = ids(each(&get("/v2/tasks")?, "tasks"));
        let mut tasks = each(&get("/tasks?limit=10000")?, "tasks");
        let over = ["TASK_KILLED", "TASK_FINISHED", "TASK_FAILED", "TASK_LOST", "TASK_GONE", "TASK_ERROR"];
        tasks.retain(|task| !over.contains(&task["state"].as_str().unwrap_or_default()));
        let master = ids(tasks);
        let processes = self.processes();
        let running: BTreeSet<String> = processes.iter().map(|(id, _)| id.clone()).collect();
        let kept = self.kept_by_agents();
        if active != 2
            || services != master
            || services != running
            || processes.len() != wanted
            || kept != wanted
        {
            return Err(format!(
                "{active} agents; {wanted} wanted; {services:?} to services; {master:?} to the master; {kept} to agents; {processes:?} run"
            ));
        }
        Ok(processes.into_iter().collect())
    }

    /// Of how many tasks agents have something on disk: of each until its end was acknowledged.
    fn kept_by_agents(&self) -> usize {
        let tasks = |agent: &str| fs::read_dir(self.path(&format!("state/{agent}/meta/tasks")));
        ["a1", "a2"].iter().filter_map(|agent| tasks(agent).ok()).flatten().count()
    }

    /// Every process that is a task's, and which.
    fn processes(&self) -> Vec<(String, i32)> {
        let mark = self.root.path().to_str().unwrap();
        let mut found = vec![];
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let text = |file: &str| {
                fs::read(entry.path().join(file)).map(|text| String::from_utf8_lossy(&text).into_owned())
            };
            // One that has ended meanwhile is none.
            let (Ok(command), Ok(environment)) = (text("cmdline"), text("environ")) else { continue };
            let task = environment.split('\0').find_map(|one| one.strip_prefix("MESOS_TASK_ID="));
            if let Some(task) = task
                && command.starts_with("sleep\0")
                && environment.contains(mark)
            {
                found.push((task.to_owned(), pid));
            }
        }
        found
    }

    /// No task was started twice, and every one that runs was started.
    fn nothing_ran_twice(&self, tasks: &Tasks) {
        let ran = fs::read_to_string(self.path("ran")).unwrap();
        let mut started = BTreeSet::new();
        for task in ran.lines() {
            assert!(started.insert(task), "{task} ran twice");
        }
        assert!(tasks.keys().all(|task| started.contains(task.as_str())), "{ran} {tasks:?}");
    }

    fn create(&self, master: usize, id: &str) -> Option<StatusCode> {
        let mut app = app(id);
        app["env"] = json!({"RAN": self.path("ran")});
        Some(self.try_ask(master, Method::POST, "/v2/apps", Some(app))?.0)
    }

    /// Starts the master again that was killed, and waits until it knows that another one leads.
    fn joins(&mut self, master: usize) {
        self.run_master(master);
        self.until("it follows", Instant::now() + LIMIT, |stage| {
            let answer = stage.get(master, "/clusterctl/v1/master").ok_or("no answer")?;
            let follows = answer["leads"] == false && answer["leader"].is_string();
            follows.then_some(()).ok_or_else(|| answer.to_string())
        });
    }
}

fn etcd(ca: &TestCa, root: &Path, data: &Path, client: u16, peer: u16) -> Child {
    let files = ca.write(&root.join("etcd"), &ca.leaf("demo", PeerRole::Master, "etcd"));
    let (client, peer) = (format!("https://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let log = fs::File::create(root.join("etcd.log")).unwrap();
    Command::new("etcd")
        .args(["--name", "e1", "--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("e1={peer}"), "--client-cert-auth"])
        .arg("--data-dir")
        .arg(data)
        .arg("--trusted-ca-file")
        .arg(&files.ca)
        .arg("--cert-file")
        .arg(&files.certificate)
        .arg("--key-file")
        .arg(&files.key)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|fault| panic!("etcd: {fault}; this test needs the package etcd-server"))
}

/// Ends what there is: tasks outlive agents. Of a failed test the logs are shown.
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
        let masters = self.masters.iter_mut().filter_map(|master| master.process.as_mut());
        for process in masters.chain(&mut self.agents).chain([&mut self.etcd]) {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            for name in ["m1", "m2", "m3", "a1", "a2"] {
                let log = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                let last = lines[lines.len().saturating_sub(40)..].join("\n");
                #[expect(clippy::print_stderr, reason = "what the harness shows of a failed test")]
                {
                    eprintln!("---- {name}\n{last}");
                }
            }
        }
    }
}

#[test]
#[ignore = "etcd"]
fn a_leader_killed_at_any_point_loses_nothing_and_nothing_runs_twice() {
    let mut stage = Stage::new();
    let start = Instant::now() + LIMIT;
    let mut leader = stage.leader(start);
    for number in [1, 2] {
        let (made, answer) =
            stage.ask(leader, Method::PUT, &format!("/clusterctl/v1/admissions/a{number}"), None);
        assert_eq!(made, StatusCode::CREATED, "{answer}");
        stage.run_agent(number);
    }
    assert_eq!(stage.create(leader, "/keeper"), Some(StatusCode::CREATED));
    let mut tasks = stage.settled(leader, start);
    assert_eq!(tasks.len(), INSTANCES);

    for (point, there, told) in OF_A_SERVICE {
        let id = format!("/{point}");
        stage.arm(leader, point);
        let answered = stage.create(leader, &id);
        let dead = leader;
        stage.dies(dead, point);
        let end = Instant::now() + CONVERGES;
        leader = stage.leader(end);
        let found = stage.ask(leader, Method::GET, &format!("/v2/apps/{id}"), None);
        let wanted = if there { StatusCode::OK } else { StatusCode::NOT_FOUND };
        assert_eq!(found.0, wanted, "{point}: {answered:?} {}", found.1);
        assert!(answered.is_none_or(|status| status == StatusCode::CREATED), "{point}: {answered:?}");
        assert!(told.is_none_or(|told| told == answered.is_some()), "{point}: {answered:?}");
        // Whoever was not told asks again.
        if answered.is_none() {
            let again = stage.create(leader, &id);
            let wanted = if there { StatusCode::CONFLICT } else { StatusCode::CREATED };
            assert_eq!(again, Some(wanted), "{point}");
        }
        let now = stage.settled(leader, end);
        assert!(tasks.iter().all(|(task, pid)| now.get(task) == Some(pid)), "{point}: {tasks:?}\n{now:?}");
        assert_eq!(now.len(), tasks.len() + INSTANCES, "{point}: {now:?}");
        stage.nothing_ran_twice(&now);
        tasks = now;
        stage.joins(dead);
    }

    for point in OF_A_KILL {
        let victim = tasks.keys().find(|task| task.starts_with("keeper.")).unwrap().clone();
        stage.arm(leader, point);
        let wish = json!({"ids": [victim]});
        let answered = stage.try_ask(leader, Method::POST, "/v2/tasks/delete", Some(wish));
        let dead = leader;
        stage.dies(dead, point);
        let end = Instant::now() + CONVERGES;
        leader = stage.leader(end);
        // That it is to be killed is on record before anybody is told.
        let now = stage.until("it is replaced", end, |stage| {
            let now = stage.agreed(leader)?;
            if now.contains_key(&victim) { Err(format!("{answered:?} {victim} {now:?}")) } else { Ok(now) }
        });
        tasks.remove(&victim);
        assert!(tasks.iter().all(|(task, pid)| now.get(task) == Some(pid)), "{point}: {tasks:?}\n{now:?}");
        assert_eq!(now.len(), tasks.len() + 1, "{point}: {now:?}");
        stage.nothing_ran_twice(&now);
        tasks = now;
        stage.joins(dead);
    }

    // Of all that ran nothing is kept by anybody.
    let (gone, answer) = stage.ask(
        leader,
        Method::PUT,
        "/v2/groups?force=true",
        Some(json!({"id": "/", "apps": [], "groups": []})),
    );
    assert!(gone.is_success(), "{answer}");
    stage.until("nothing is left", Instant::now() + CONVERGES, |stage| {
        let left = stage.agreed(leader)?;
        left.is_empty().then_some(()).ok_or_else(|| format!("{left:?}"))
    });
    drop(stage);
}
