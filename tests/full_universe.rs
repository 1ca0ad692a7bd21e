//! The rest of the catalogue on real hosts: each package is installed, used, loses a member, is used again, and is removed. Agents
//! have no way to the internet. Needs root, pip, Maven and mmdebstrap; `tests/run --full` runs it.
#![expect(clippy::print_stdout, reason = "what each package takes is a result")]

mod operator;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use operator::Operator;
use operator::catalogue::{Catalogue, until};
use serde_json::{Value, json};
use testbed::Testbed;

/// What jobs that use a package begin with: Java, and where the members of an index listen.
const JAVA: &str = r#"set -eu
cd "$MESOS_SANDBOX"
java() { class=$1; shift; "$MESOS_SANDBOX/$JAVA_DIR/bin/java" -Xmx64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=error -Dlog4j.configuration=file:log4j.properties -cp "lib/*" "$class" "$@"; }
at() { awk -F '\t' -v app="$OF" -v i="$1" '$1 == app && $2 == i { print $4 ":" $5; exit }' peers.tsv; }
"#;
const ZOOKEEPER: &str = r#"
zk() { java org.apache.zookeeper.ZooKeeperMain -server "$@" 2>&1 | tail -n 1; }
until [ "$(zk "$(at 0)" create "/$WORD" "$WORD")" = "Created /$WORD" ]; do sleep 1; done
for i in 1 2; do echo "server $i has $(zk "$(at $i)" get "/$WORD")"; done
echo "and keeps $(zk "$(at 0)" get /first)"
echo done
exec sleep 3600
"#;
const KAFKA: &str = r#"
echo "log4j.rootLogger=OFF" >log4j.properties
all="$(at 0),$(at 1),$(at 2)"
printf '%s one\n%s two\n' "$WORD" "$WORD" | java kafka.tools.ConsoleProducer --bootstrap-server "$all" --topic words \
    --message-send-max-retries 1000
java org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$all" --topic words --from-beginning \
    --max-messages "$MESSAGES" --timeout-ms 120000 | sort | tr '\n' ','
echo done
exec sleep 3600
"#;

/// How long a step of a package may take on a machine that does much else.
const STEP: Duration = Duration::from_secs(300);

struct Package<'a> {
    catalogue: &'a Catalogue<'a>,
    name: &'static str,
    begin: Instant,
}

impl<'a> Package<'a> {
    fn install(catalogue: &'a Catalogue<'a>, name: &'static str, members: usize) -> Self {
        let begin = Instant::now();
        let said = catalogue.ok(&["package", "install", name, "--yes", "--timeout", "20m"]);
        let expected = format!("/{name} is installed: {members} of {members} instance");
        assert!(said.contains(&expected), "{said}");
        let package = Self { catalogue, name, begin };
        package.tell("is installed");
        package
    }

    fn tell(&self, what: &str) {
        println!("{} {what} after {:.0} s", self.name, self.begin.elapsed().as_secs_f64());
    }

    fn id(&self) -> String {
        format!("/{}", self.name)
    }

    /// Where the first member listens.
    fn place(&self) -> String {
        let (_, host, ports) = self.catalogue.tasks(&self.id()).remove(0);
        format!("{host}:{}", ports[0])
    }

    /// Kills the first member, and waits for another one that is healthy.
    async fn lose_one(&self) {
        let before = self.catalogue.tasks(&self.id());
        let victim = &before[0].0;
        self.catalogue.ok(&["task", "kill", victim, "-y"]);
        until("another member", STEP, || {
            let shown = self.catalogue.json(&["service", "show", &self.id(), "-o", "json"]);
            let tasks = self.catalogue.tasks(&self.id());
            let other = tasks.len() == before.len() && tasks.iter().all(|(id, ..)| id != victim);
            let well = shown["app"]["tasksHealthy"] == before.len();
            (other && well).then_some(()).ok_or_else(|| shown.to_string())
        })
        .await;
        self.tell("has another member");
    }

    /// What a job says that is given the members' addresses and files.
    async fn says(&self, script: &str, environment: Value) -> String {
        let app = &self.catalogue.json(&["service", "show", &self.id(), "-o", "json"])["app"];
        let mut job = json!({
            "id": "/use", "cmd": format!("{JAVA}{script}"), "cpus": 0.5, "mem": 256, "fetch": app["fetch"],
            "labels": {"CLUSTERCTL_PEERS": self.id()}, "env": environment, "portDefinitions": [{"port": 0}],
        });
        job["env"]["OF"] = json!(self.id());
        job["env"]["JAVA_DIR"] = app["env"]["JAVA_DIR"].clone();
        self.catalogue.operator.write("job.json", &job.to_string());
        self.catalogue.ok(&["service", "create", "-f", "job.json"]);
        let said = until("the job's answer", STEP, || {
            let said = self.catalogue.run(&["service", "logs", "/use"]).stdout;
            let errors = || self.catalogue.run(&["service", "logs", "/use", "--stderr"]).to_string();
            if said.contains("done") { Ok(said) } else { Err(said + &errors()) }
        })
        .await;
        self.catalogue.ok(&["service", "remove", "/use", "-y"]);
        said
    }

    fn remove(self) {
        self.catalogue.ok(&["package", "uninstall", self.name, "-y"]);
        self.tell("is removed");
    }
}

/// What is answered to a request over plain TCP; empty when nobody answers.
fn answer(place: &str, request: &str) -> String {
    let asked = || -> std::io::Result<String> {
        let place = place.parse().map_err(std::io::Error::other)?;
        let mut stream = TcpStream::connect_timeout(&place, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(request.as_bytes())?;
        let mut text = Vec::new();
        stream.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    asked().unwrap_or_default()
}

fn get(place: &str, path: &str) -> String {
    answer(place, &format!("GET {path} HTTP/1.0\r\nHost: {place}\r\n\r\n"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real hosts"]
async fn every_package_is_installed_used_hurt_and_removed() {
    let testbed = Testbed::builder().hosts(4).start().await.unwrap();
    for host in testbed.hosts() {
        // A root file system's layer cannot be written to the hosts' own root, which is made of layers itself.
        host.mount_disk("/var/lib/clusterctl", 6000).await.unwrap();
    }
    let operator = Operator::of(&testbed);
    operator.ok(&["install", "inventory.yaml", "-y"]);
    let catalogue = Catalogue { operator: &operator };
    site(&catalogue, "static-site").await;
    site(&catalogue, "nginx").await;
    redis(&catalogue).await;
    zookeeper(&catalogue).await;
    kafka(&catalogue).await;
    jupyter(&catalogue).await;
    assert_eq!(catalogue.json(&["package", "list", "-o", "json"])["packages"], json!([]));
    let tasks = catalogue.json(&["task", "list", "-o", "json"]);
    assert_eq!(tasks["tasks"], json!([]), "something still runs");
    testbed.down().await.unwrap();
}

async fn site(catalogue: &Catalogue<'_>, name: &'static str) {
    let package = Package::install(catalogue, name, 1);
    let page = || get(&package.place(), "/");
    assert!(page().contains("<h1>It works</h1>"), "{}", page());
    package.lose_one().await;
    assert!(page().contains("<h1>It works</h1>"), "{}", page());
    package.remove();
}

async fn redis(catalogue: &Catalogue<'_>) {
    let package = Package::install(catalogue, "redis", 1);
    let said = answer(&package.place(), "SET answer 41\r\nINCR answer\r\nGET answer\r\nQUIT\r\n");
    assert_eq!(said, "+OK\r\n:42\r\n$2\r\n42\r\n+OK\r\n");
    package.lose_one().await;
    assert_eq!(
        answer(&package.place(), "GET answer\r\nQUIT\r\n"),
        "$-1\r\n+OK\r\n",
        "another one starts empty"
    );
    package.remove();
}

async fn zookeeper(catalogue: &Catalogue<'_>) {
    let package = Package::install(catalogue, "zookeeper", 3);
    let said = package.says(ZOOKEEPER, json!({"WORD": "first"})).await;
    assert!(said.contains("server 1 has first") && said.contains("server 2 has first"), "{said}");
    package.lose_one().await;
    let said = package.says(ZOOKEEPER, json!({"WORD": "second"})).await;
    assert!(said.contains("server 1 has second") && said.contains("server 2 has second"), "{said}");
    assert!(said.contains("and keeps first"), "{said}");
    package.remove();
}

async fn kafka(catalogue: &Catalogue<'_>) {
    let package = Package::install(catalogue, "kafka", 3);
    let said = package.says(KAFKA, json!({"WORD": "first", "MESSAGES": "2"})).await;
    assert!(said.contains("first one,first two,done"), "{said}");
    package.lose_one().await;
    let said = package.says(KAFKA, json!({"WORD": "second", "MESSAGES": "4"})).await;
    assert!(said.contains("first one,first two,second one,second two,done"), "{said}");
    package.remove();
}

async fn jupyter(catalogue: &Catalogue<'_>) {
    let package = Package::install(catalogue, "jupyter", 1);
    let page = || {
        let said = catalogue.ok(&["service", "logs", "/jupyter", "--stderr"]);
        let found = said.split_once("/lab?token=").and_then(|(_, rest)| rest.split_whitespace().next());
        let token = found.ok_or_else(|| said.clone())?;
        let page = get(&package.place(), &format!("/lab?token={token}"));
        page.contains(" 200 OK").then_some(page.clone()).ok_or(page)
    };
    let lab = until("the page", STEP, page).await;
    assert!(lab.contains("<title>JupyterLab</title>"), "{lab}");
    let stranger = get(&package.place(), "/api/contents");
    assert!(stranger.contains(" 403 "), "{stranger}");
    package.lose_one().await;
    until("the page", STEP, page).await;
    package.remove();
}
