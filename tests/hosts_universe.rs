//! Packages of the catalogue on real hosts, from nothing to right answers: Spark and Elasticsearch. Agents have no way to the internet.
//! Needs root, pip and Maven; `tests/run` runs it.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod operator;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use operator::Operator;
use operator::catalogue::{Catalogue, until};
use serde_json::{Value, json};
use testbed::Testbed;

/// What Spark is asked: Pi, how often each word stands in a file that all hosts have, and something during which a worker is killed.
const JOB: &str = r#"
import random, sys, time
from collections import Counter
from pyspark.sql import SparkSession
spark = SparkSession.builder.appName("job").getOrCreate()
sc = spark.sparkContext
n = 400000
def inside(_):
    x, y = random.random() * 2 - 1, random.random() * 2 - 1
    return 1 if x * x + y * y <= 1 else 0
pi = 4.0 * sc.parallelize(range(n), 4).map(inside).reduce(lambda a, b: a + b) / n
print("pi", "right" if abs(pi - 3.14159) < 0.05 else pi, flush=True)
path = "/usr/share/common-licenses/GPL-3"
counted = dict(sc.textFile("file://" + path, 4).flatMap(str.split).map(lambda w: (w, 1)).reduceByKey(lambda a, b: a + b).collect())
print("words", "right" if counted == dict(Counter(open(path).read().split())) else "wrong", flush=True)
print("slow begins", flush=True)
def slow(x):
    time.sleep(2)
    return x
total = sc.parallelize(range(16), 16).map(slow).sum()
print("slow", "right" if total == 120 else total, flush=True)
"#;

/// Gives the job to the master that its peers name.
const SUBMIT: &str = r#"set -eu
cd "$MESOS_SANDBOX"
export JAVA_HOME="$MESOS_SANDBOX/$JAVA_DIR" SPARK_HOME="$MESOS_SANDBOX/$SPARK_DIR" SPARK_SCALA_VERSION=2.12
PYTHONPATH=$(ls "$SPARK_HOME"/python/lib/*.zip "$SPARK_HOME"/../lib/*.zip 2>/dev/null | tr '\n' ':')
export PYTHONPATH
opens=
for package in java.lang java.nio sun.nio.ch java.util java.lang.invoke; do opens="$opens --add-opens=java.base/$package=ALL-UNNAMED"; done
printf '%s' "$JOB" >job.py
at=$(awk -F '\t' '$1 == "/spark/master" { print $4 ":" $5; exit }' peers.tsv)
"$JAVA_HOME/bin/java" -Xmx512m -XX:+UseSerialGC $opens -cp "$SPARK_HOME/jars/*" org.apache.spark.deploy.SparkSubmit \
    --master "spark://$at" --conf spark.driver.host="$HOST" --conf spark.driver.bindAddress="$HOST" \
    --conf spark.driver.port="$PORT0" --conf spark.blockManager.port="$PORT1" --conf spark.driver.blockManager.port="$PORT1" \
    --conf spark.port.maxRetries=8 --conf spark.ui.enabled=false --conf spark.executor.memory=500m job.py
echo done
exec sleep 3600
"#;

/// A machine like this one may not let a process open as many files as Elasticsearch wants: without this module it cannot ask.
const FEW_FILES: &str =
    "java.flags=--limit-modules=java.se,jdk.unsupported,jdk.zipfs,jdk.crypto.ec -XX:TieredStopAtLevel=1";

/// What is answered over plain HTTP, when it is JSON.
fn ask(place: &str, method: &str, path: &str, body: &str) -> Option<Value> {
    let mut stream = TcpStream::connect_timeout(&place.parse().ok()?, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(70))).ok()?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {place}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real hosts"]
async fn spark_and_elasticsearch_go_from_nothing_to_right_answers() {
    let testbed = Testbed::builder().hosts(4).start().await.unwrap();
    let operator = Operator::of(&testbed);
    operator.ok(&["install", "inventory.yaml", "-y"]);
    let catalogue = Catalogue { operator: &operator };
    let found = catalogue.ok(&["package", "search", "spa*k"]);
    assert!(found.contains("spark") && !found.contains("elasticsearch"), "{found}");
    spark(&catalogue).await;
    elasticsearch(&catalogue).await;
    assert_eq!(catalogue.json(&["package", "list", "-o", "json"])["packages"], json!([]));
    let tasks = catalogue.json(&["task", "list", "-o", "json"]);
    assert_eq!(tasks["tasks"], json!([]), "something still runs");
    testbed.down().await.unwrap();
}

async fn spark(catalogue: &Catalogue<'_>) {
    let installed = catalogue.ok(&["package", "install", "spark", "--yes", "--timeout", "10m"]);
    assert!(installed.contains("/spark is installed: 3 of 3 instances"), "{installed}");
    let listed = catalogue.ok(&["package", "list"]);
    assert!(listed.contains("/spark") && listed.contains("3.5.9"), "{listed}");
    let again = catalogue.run(&["package", "install", "spark", "--yes"]);
    assert_eq!(again.status, 2, "{again}");
    assert!(again.stderr.contains("already installed"), "{again}");

    let master = &catalogue.json(&["service", "show", "/spark/master", "-o", "json"])["app"];
    let job = json!({
        "id": "/job", "cmd": SUBMIT, "cpus": 0.5, "mem": 900, "labels": {"CLUSTERCTL_PEERS": "/spark"},
        "env": {"JOB": JOB, "JAVA_DIR": master["env"]["JAVA_DIR"], "SPARK_DIR": master["env"]["SPARK_DIR"]},
        "portDefinitions": [{"port": 0}, {"port": 0}], "fetch": master["fetch"],
    });
    catalogue.operator.write("job.json", &job.to_string());
    catalogue.ok(&["service", "create", "-f", "job.json"]);
    let said = || catalogue.run(&["service", "logs", "/job"]).stdout;
    let says = |what: &str| {
        let both = || said() + &catalogue.run(&["service", "logs", "/job", "--stderr"]).to_string();
        if said().contains(what) { Ok(()) } else { Err(both()) }
    };
    until("the job's first answers", Duration::from_secs(400), || says("slow begins")).await;
    let (victim, ..) = catalogue.tasks("/spark/worker").remove(0);
    catalogue.ok(&["task", "kill", &victim, "-y"]);
    until("the job's end", Duration::from_secs(400), || says("done")).await;
    let said = said();
    for answer in ["pi right", "words right", "slow right"] {
        assert!(said.contains(answer), "{said}");
    }
    until("another worker", Duration::from_secs(120), || {
        let workers = catalogue.tasks("/spark/worker");
        let other = workers.len() == 2 && workers.iter().all(|(id, ..)| *id != victim);
        other.then_some(()).ok_or_else(|| format!("{workers:?}"))
    })
    .await;
    catalogue.ok(&["service", "remove", "/job", "-y"]);
    catalogue.ok(&["package", "uninstall", "spark", "-y"]);
}

async fn elasticsearch(catalogue: &Catalogue<'_>) {
    let mut install = vec!["package", "install", "elasticsearch", "--yes", "--timeout", "10m"];
    install.extend(["--set", "nodes.cpus=0.3", "--set", FEW_FILES]);
    let installed = catalogue.ok(&install);
    assert!(installed.contains("/elasticsearch is installed: 3 of 3 instances"), "{installed}");
    assert_eq!(installed.matches("web: http://").count(), 3, "{installed}");
    let nodes = catalogue.tasks("/elasticsearch");
    let place = |n: usize| format!("{}:{}", nodes[n].1, nodes[n].2[0]);
    let green = |place: &str| {
        let path = "/_cluster/health?wait_for_status=green&wait_for_nodes=3&timeout=30s";
        let health = ask(place, "GET", path, "").unwrap_or_default();
        let green = health["status"] == "green" && health["number_of_nodes"] == 3;
        green.then_some(()).ok_or_else(|| health.to_string())
    };
    until("three nodes in one cluster", Duration::from_secs(180), || green(&place(0))).await;
    let book = r#"{"title": "the odyssey", "pages": 541}"#;
    let put = ask(&place(0), "PUT", "/books/_doc/1?refresh=true&wait_for_active_shards=2", book).unwrap();
    assert_eq!(put["result"], "created", "{put}");
    let hits = |n: usize| {
        Some(ask(&place(n), "GET", "/books/_search?q=title:odyssey", "")?["hits"]["total"]["value"].clone())
    };
    assert_eq!(hits(1), Some(json!(1)), "what one node was told, another one finds");
    catalogue.ok(&["task", "kill", &nodes[2].0, "-y"]);
    assert_eq!(hits(0), Some(json!(1)), "it is found while a node is gone");
    until("another node", Duration::from_secs(120), || {
        let now = catalogue.tasks("/elasticsearch");
        let other = now.len() == 3 && now.iter().all(|(id, ..)| *id != nodes[2].0);
        other.then_some(()).ok_or_else(|| format!("{now:?}"))
    })
    .await;
    until("green again with another node", Duration::from_secs(240), || green(&place(0))).await;
    assert_eq!(hits(1), Some(json!(1)));
    catalogue.ok(&["package", "uninstall", "elasticsearch", "-y"]);
}
