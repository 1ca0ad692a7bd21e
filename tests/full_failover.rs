//! Bad days of a cluster with three masters: what was acknowledged is there afterwards, and what runs goes on. Needs root;
//! `tests/run` runs it.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![expect(clippy::print_stdout, reason = "times of a failover are its result")]

mod operator;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use operator::Operator;
use serde_json::Value;
use testbed::{Host, Loss, Testbed};

/// A service that says since when each instance is there.
const WEB: &str = r#"{"id": "/web", "cmd": "date +%s%N >id; exec python3 -m http.server $PORT0", "mem": 32, "cpus": 0.1,
    "instances": 3, "constraints": [["hostname", "UNIQUE"]], "upgradeStrategy": {"minimumHealthCapacity": 0.5},
    "healthChecks": [{"protocol": "HTTP", "path": "/id", "gracePeriodSeconds": 60, "maxConsecutiveFailures": 0}]}"#;
/// After the last fault, all is well within this.
const WELL_WITHIN: Duration = Duration::from_secs(30);
/// As the inventory says.
const UNREACHABLE: Duration = Duration::from_secs(12);

/// The cluster, and who works with it.
struct Day<'a> {
    testbed: &'a Testbed,
    operator: &'a Operator,
}

/// Where each instance is and since when, by its task's id.
type Instances = BTreeMap<String, (String, String)>;

impl Day<'_> {
    fn host(&self, name: &str) -> &Host {
        self.testbed.host(name).unwrap()
    }

    /// The status, when somebody tells it.
    fn status(&self) -> Option<Value> {
        let ran = self.operator.run(&["cluster", "status", "-o", "json", "--request-timeout", "3s"]);
        (ran.status == 0).then(|| serde_json::from_str(&ran.stdout).unwrap())
    }

    /// The host whose master leads.
    fn leader(&self) -> Option<&Host> {
        let status = self.status()?;
        let address = status["leader"].as_str()?.split(':').next()?.to_owned();
        self.testbed.hosts().iter().find(|host| host.address().to_string() == address)
    }

    /// Waits until it is so; what a process elsewhere does has no event to wait for.
    async fn until<T>(&self, what: &str, within: Duration, mut seen: impl FnMut() -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = seen() {
                return found;
            }
            assert!(begin.elapsed() < within, "{what}: not within {within:?}; {:?}", self.status());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn other_leader(&self, old: &Host, within: Duration) -> &Host {
        self.until("another leader", within, || self.leader().filter(|host| host.name() != old.name())).await
    }

    /// The instances of the service, as they answer themselves; nothing while one does not.
    fn instances(&self) -> Option<Instances> {
        let ran = self.operator.run(&["service", "show", "web", "-o", "json", "--request-timeout", "3s"]);
        let answer: Value = serde_json::from_str(&ran.stdout).ok()?;
        let tasks = answer["app"]["tasks"].as_array()?.iter();
        let one = |task: &Value| {
            let place = format!("{}:{}", task["host"].as_str()?, task["ports"][0].as_u64()?);
            let since = get(&place, "/id")?;
            Some((task["id"].as_str()?.to_owned(), (place, since)))
        };
        tasks.map(one).collect()
    }

    /// All is well: three masters of whom one leads, all agents, three instances; and these, where they have to be the same.
    async fn all_is_well(&self, same: Option<&Instances>) -> Instances {
        let found = self
            .until("all is well", WELL_WITHIN, || {
                let status = self.status()?;
                let text = status.to_string();
                let masters = status["masters"].as_array()?;
                let all = masters.len() == 3 && !text.contains(r#""state":"unreachable""#);
                self.leader().filter(|_| all)?;
                let table = self.operator.run(&["cluster", "status"]).stdout;
                (table.matches("active").count() == 3).then_some(())?;
                self.instances().filter(|instances| instances.len() == 3)
            })
            .await;
        if let Some(same) = same {
            assert_eq!(&found, same, "what ran was touched");
        }
        found
    }
}

/// The body of an answer over plain HTTP.
fn get(place: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&place.parse().ok()?, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned())
}

/// Writes one service after another and knows which were acknowledged.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(BTreeSet<String>, usize)>,
}

impl Writer {
    fn start(operator: &Operator) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let (program, home) = (operator.path("clusterctl"), operator.path("."));
        let thread = std::thread::spawn(move || {
            let (mut acknowledged, mut tried) = (BTreeSet::new(), 0);
            while !ended.load(Ordering::Relaxed) {
                tried += 1;
                let id = format!("/written/w{tried}");
                let done = std::process::Command::new(&program)
                    .args(["service", "create", &id, "--cmd", "sleep 1000", "--instances", "0", "--no-wait"])
                    .args(["--request-timeout", "5s"])
                    .current_dir(&home)
                    .env_clear()
                    .env("HOME", &home)
                    .output()
                    .unwrap();
                if done.status.success() {
                    acknowledged.insert(id);
                }
            }
            (acknowledged, tried)
        });
        Self { stop, thread }
    }

    /// Every one that was acknowledged is there.
    fn end(self, operator: &Operator) {
        self.stop.store(true, Ordering::Relaxed);
        let (acknowledged, tried) = self.thread.join().unwrap();
        let list: Value = serde_json::from_str(&operator.ok(&["service", "list", "-o", "json"])).unwrap();
        let there: BTreeSet<String> = list["apps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|app| app["id"].as_str().unwrap().to_owned())
            .collect();
        let lost: Vec<&String> = acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        println!("{} writes tried, {} acknowledged, none of these lost", tried, acknowledged.len());
        assert!(acknowledged.len() > 10, "{} of {tried} were acknowledged", acknowledged.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real hosts"]
async fn nothing_acknowledged_is_lost_and_what_runs_goes_on_through_bad_days() {
    let testbed = Testbed::builder().hosts(6).start().await.unwrap();
    let small = testbed.host("h3").unwrap().mount_disk("/var/lib/clusterctl", 1200).await.unwrap();
    let timeouts = format!("  timeouts: {{unreachable: {}s}}\nssh:\n", UNREACHABLE.as_secs());
    let operator = Operator::with(&testbed.inventory().replacen("ssh:\n", &timeouts, 1));
    let installed = operator.run(&["install", "inventory.yaml", "-y"]);
    assert_eq!(installed.status, 0, "{installed}");
    operator.write("web.json", WEB);
    operator.ok(&["service", "create", "-f", "web.json", "--timeout", "120s"]);
    let day = Day { testbed: &testbed, operator: &operator };
    let before = day.all_is_well(None).await;
    let writer = Writer::start(&operator);

    the_leaders_host_loses_its_power(&day, &before).await;
    the_leader_is_paused_past_its_lease(&day, &before).await;
    the_leader_is_cut_off_from_the_store_and_not_from_agents(&day, &before).await;
    the_leader_is_cut_off_from_agents_and_not_from_the_store(&day, &before).await;
    members_of_the_store_die(&day, &before).await;
    a_coordinators_disk_is_full(&day, &small, &before).await;
    let after = an_agent_is_cut_off(&day, &before).await;

    writer.end(&operator);
    // Whatever was tried is away again, and the service as it was.
    day.all_is_well(Some(&after)).await;
    testbed.down().await.unwrap();
}

/// A new leader within the lease and two seconds; the service is not touched.
async fn the_leaders_host_loses_its_power(day: &Day<'_>, before: &Instances) {
    let mut old = day.leader().unwrap();
    // Its small disk does not come back with its power; another one leads as soon as it is asked to.
    if old.name() == "h3" {
        old.run("systemctl restart clusterctl-master").await.unwrap();
        old = day.other_leader(old, WELL_WITHIN).await;
    }
    old.kill().unwrap();
    let died = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let new = day.other_leader(old, WELL_WITHIN).await;
    // All hosts have this machine's clock.
    let led = "journalctl --unit clusterctl-master --no-pager --output short-unix | grep 'this master leads' | tail -n 1";
    let led: f64 = new.run(led).await.unwrap().split(' ').next().unwrap().parse().unwrap();
    println!("{} leads {:.1} s after {} lost its power", new.name(), led - died, old.name());
    assert_eq!(day.instances().as_ref(), Some(before));
    old.start().await.unwrap();
    day.all_is_well(Some(before)).await;
}

/// What it does when it goes on is refused: the epoch is another's.
async fn the_leader_is_paused_past_its_lease(day: &Day<'_>, before: &Instances) {
    let old = day.leader().unwrap();
    let pid = "$(systemctl show --property=MainPID --value clusterctl-master)";
    old.run(&format!("kill -STOP {pid}")).await.unwrap();
    let new = day.other_leader(old, WELL_WITHIN).await.name().to_owned();
    old.run(&format!("kill -CONT {pid}")).await.unwrap();
    day.all_is_well(Some(before)).await;
    let leader = day.leader().unwrap().name().to_owned();
    assert_eq!(leader, new, "the one that was paused does not lead again");
}

async fn the_leader_is_cut_off_from_the_store_and_not_from_agents(day: &Day<'_>, before: &Instances) {
    let old = day.leader().unwrap();
    old.run("systemctl stop clusterctl-etcd").await.unwrap();
    for name in ["h1", "h2", "h3"] {
        if name != old.name() {
            old.drop_packets(&Loss::to(day.host(name)).tcp_port(2379)).unwrap();
        }
    }
    day.other_leader(old, WELL_WITHIN).await;
    assert_eq!(day.instances().as_ref(), Some(before));
    day.testbed.heal().unwrap();
    old.run("systemctl start clusterctl-etcd").await.unwrap();
    day.all_is_well(Some(before)).await;
}

/// It leads on; agents that are back in time have lost nothing.
async fn the_leader_is_cut_off_from_agents_and_not_from_the_store(day: &Day<'_>, before: &Instances) {
    let leader = day.leader().unwrap();
    let agents: Vec<&Host> = ["h4", "h5", "h6"].map(|name| day.host(name)).to_vec();
    leader.partition_from(&agents).unwrap();
    assert!(
        day.operator.run(&["service", "create", "cut", "--cmd", "sleep 1000", "--instances", "0"]).status
            == 0
    );
    day.testbed.heal().unwrap();
    day.all_is_well(Some(before)).await;
}

/// One is killed and nobody notices; of two nothing can be written, and all is as it was when they are back.
async fn members_of_the_store_die(day: &Day<'_>, before: &Instances) {
    day.host("h2").run("systemctl kill --signal=KILL clusterctl-etcd").await.unwrap();
    day.all_is_well(Some(before)).await;
    for name in ["h1", "h2"] {
        day.host(name).run("systemctl stop clusterctl-etcd").await.unwrap();
    }
    let refused = day.operator.run(&[
        "service",
        "create",
        "lost",
        "--cmd",
        "sleep 1000",
        "--instances",
        "0",
        "--request-timeout",
        "8s",
    ]);
    assert_ne!(refused.status, 0, "{refused}");
    // What runs does not need the store.
    for (place, since) in before.values() {
        assert_eq!(get(place, "/id").as_ref(), Some(since), "{place}");
    }
    for name in ["h1", "h2"] {
        day.host(name).run("systemctl start --no-block clusterctl-etcd").await.unwrap();
    }
    day.all_is_well(Some(before)).await;
}

async fn a_coordinators_disk_is_full(day: &Day<'_>, disk: &testbed::Disk, before: &Instances) {
    disk.fill().await.unwrap();
    day.host("h3").run("systemctl restart --no-block clusterctl-etcd").await.unwrap();
    let written = day.operator.run(&["service", "create", "full", "--cmd", "sleep 1000", "--instances", "0"]);
    assert_eq!(written.status, 0, "{written}");
    disk.free().await.unwrap();
    day.until("three coordinators", WELL_WITHIN * 2, || {
        (day.operator.run(&["check", "inventory.yaml"]).status == 0).then_some(())
    })
    .await;
    day.all_is_well(Some(before)).await;
}

/// For a short while: nothing happens. For long: its instance runs elsewhere or waits, and never twice when it is back.
async fn an_agent_is_cut_off(day: &Day<'_>, before: &Instances) -> Instances {
    let agent = day.host("h5");
    let all: Vec<&Host> = ["h1", "h2", "h3"].map(|name| day.host(name)).to_vec();
    agent.partition_from(&all).unwrap();
    day.testbed.heal().unwrap();
    day.all_is_well(Some(before)).await;

    agent.partition_from(&all).unwrap();
    let is_unreachable = || {
        let table = day.operator.run(&["cluster", "status"]).stdout;
        (table.matches("active").count() == 2).then_some(())
    };
    day.until("the agent is unreachable", UNREACHABLE + WELL_WITHIN, is_unreachable).await;
    day.testbed.heal().unwrap();
    let after = day.all_is_well(None).await;
    let running = agent.run("pgrep -fc '[h]ttp.server'").await.unwrap();
    assert_eq!(running.trim(), "1", "one instance a host, whatever became of the first");
    after
}
