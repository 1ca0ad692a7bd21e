//! The dashboard's stream over real connections. No agent is there: services that want instances wait for one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use api::client::{Client, WatchStream};
use api::marathon::AppId;
use api::watch::{Frame, Hello, Rows, Service};
use gateway::{Gateway, Options};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Nothing here takes that long unless it hangs.
const WITHIN: Duration = Duration::from_secs(60);

struct Cluster {
    gateway: Gateway,
    client: Client,
    url: String,
    _dir: TempDir,
}

impl Cluster {
    async fn start(change: impl FnOnce(&mut Options)) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut options = Options::one_machine(dir.path(), address, reqwest::Client::new());
        change(&mut options);
        let gateway = Gateway::start(listener, options).await.unwrap();
        let url = format!("http://{address}");
        let client = Client::new(vec![url.parse().unwrap()], WITHIN).unwrap();
        Self { gateway, client, url, _dir: dir }
    }

    /// A stream whose first frames were heard: those until `ready`.
    async fn watch(&self) -> (WatchStream, Hello, Vec<Frame>) {
        let mut stream = self.client.watch().await.unwrap();
        let Some(Frame::Hello(hello)) = next(&mut stream).await else { panic!("no hello") };
        let frames = until_ready(&mut stream).await;
        (stream, hello, frames)
    }

    async fn create(&self, id: &str, labels: Value) {
        let app = json!({"id": id, "cmd": "true", "cpus": 0.1, "mem": 8, "instances": 0, "labels": labels});
        self.client.create_app(&app).await.unwrap();
    }
}

async fn next(stream: &mut WatchStream) -> Option<Frame> {
    tokio::time::timeout(WITHIN, stream.next()).await.unwrap().unwrap()
}

async fn until_ready(stream: &mut WatchStream) -> Vec<Frame> {
    let mut frames = Vec::new();
    loop {
        match next(stream).await.unwrap() {
            Frame::Ready { .. } => return frames,
            frame => frames.push(frame),
        }
    }
}

/// The rows of services in these frames, and those that are gone.
fn services(frames: &[Frame]) -> (Vec<&Service>, Vec<&String>) {
    let rows = frames.iter().filter_map(|frame| match frame {
        Frame::Services(Rows { set, gone }) => Some((set, gone)),
        _ => None,
    });
    rows.fold(Default::default(), |(mut all, mut left): (Vec<_>, Vec<_>), (set, gone)| {
        all.extend(set);
        left.extend(gone);
        (all, left)
    })
}

fn ids<'s>(rows: &[&'s Service]) -> Vec<&'s str> {
    rows.iter().map(|row| row.id.as_str()).collect()
}

#[tokio::test]
async fn a_reader_is_told_all_and_then_each_change_as_one_row() {
    let cluster = Cluster::start(|_| {}).await;
    let (mut stream, hello, frames) = cluster.watch().await;
    let leader = cluster.url.trim_start_matches("http://");
    assert_eq!((hello.cluster.as_str(), hello.leader.as_str()), ("up", leader));
    assert_eq!((hello.version.as_str(), hello.user, hello.operates), (env!("CARGO_PKG_VERSION"), None, true));
    assert_eq!(frames, []);

    for id in ["/one", "/two"] {
        cluster.create(id, json!({"of": id})).await;
        while !ids(&services(&until_ready(&mut stream).await).0).contains(&id) {}
    }
    // One that waits for an agent, and is held by its deployment.
    let two: AppId = "/two".parse().unwrap();
    cluster.client.patch_app(&two, &json!({"instances": 2}), true).await.unwrap();
    let mut deployed = false;
    loop {
        let frames = until_ready(&mut stream).await;
        deployed |= frames.iter().any(|frame| match frame {
            Frame::Deployments { set } => set.iter().any(|one| one.doing == ["ScaleApplication /two"]),
            _ => false,
        });
        let (set, gone) = services(&frames);
        assert!(gone.is_empty() && !ids(&set).contains(&"/one"), "{frames:?}");
        if set.iter().any(|row| row.waiting.as_ref().is_some_and(|waiting| waiting.count == 2)) {
            assert_eq!((set[0].instances, set[0].labels["of"].as_str()), (2, "/two"));
            assert!(set[0].deployment.is_some() && deployed, "{frames:?}");
            break;
        }
    }

    // Who comes now is told the same at once.
    let (_other, _, frames) = cluster.watch().await;
    assert_eq!(ids(&services(&frames).0), ["/one", "/two"]);
    assert!(matches!(frames.last(), Some(Frame::Deployments { set }) if set.len() == 1), "{frames:?}");

    cluster.client.delete_app(&"/one".parse().unwrap()).await.unwrap();
    while services(&until_ready(&mut stream).await).1 != ["/one"] {}
    cluster.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn it_is_a_stream_of_server_sent_events() {
    let cluster = Cluster::start(|options| options.services.max_event_streams = 1).await;
    let ask = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/clusterctl/v1/watch", cluster.url);
    let mut answer = ask.get(&url).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream;charset=UTF-8");
    let first = answer.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: hello\ndata: {\"type\":\"hello\","), "{first:?}");

    // One more than may be.
    let refused = ask.get(&url).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    let why = refused.json::<Value>().await.unwrap();
    assert!(why["message"].as_str().unwrap().contains("the most"), "{why}");
    drop(answer);
    // Its end makes room, as soon as it is noticed.
    let again = async { while ask.get(&url).send().await.unwrap().status() != 200 {} };
    tokio::time::timeout(WITHIN, again).await.unwrap();

    for (method, path, status) in
        [("POST", "", 405), ("DELETE", "", 405), ("GET", "/", 404), ("GET", "/x", 404)]
    {
        let request = ask.request(method.parse().unwrap(), format!("{url}{path}"));
        assert_eq!(request.send().await.unwrap().status().as_u16(), status, "{method} {path}");
    }
    cluster.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn a_slow_reader_is_not_told_what_has_passed() {
    let cluster = Cluster::start(|_| {}).await;
    // More than a connection holds that nobody reads from.
    for number in 0..80 {
        cluster.create(&format!("/a{number:02}"), json!({"long": "x".repeat(200_000)})).await;
    }
    cluster.create("/last", json!({"turn": "0"})).await;
    let mut stream = cluster.client.watch().await.unwrap();
    assert!(matches!(next(&mut stream).await, Some(Frame::Hello(_))));
    let last: AppId = "/last".parse().unwrap();
    for turn in 1..=4 {
        let turn = json!({"labels": {"turn": turn.to_string()}});
        cluster.client.patch_app(&last, &turn, true).await.unwrap();
        // Whoever reads would be told.
        let (_quick, _, frames) = cluster.watch().await;
        assert_eq!(services(&frames).0.last().unwrap().labels["turn"], turn["labels"]["turn"]);
    }
    let mut turns = Vec::new();
    while turns.last().is_none_or(|turn| turn != "4") {
        let frames = until_ready(&mut stream).await;
        let (set, _) = services(&frames);
        turns.extend(set.iter().filter(|row| row.id == "/last").map(|row| row.labels["turn"].clone()));
    }
    assert_eq!(turns, ["0", "4"]);
    cluster.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn the_stream_ends_with_the_reign_and_the_next_one_begins_anew() {
    let cluster = Cluster::start(|_| {}).await;
    cluster.create("/one", json!({})).await;
    let (mut stream, first, _) = cluster.watch().await;
    let ask = reqwest::Client::builder().no_proxy().build().unwrap();
    let abdicated = ask.delete(format!("{}/v2/leader", cluster.url)).send().await.unwrap();
    assert_eq!(abdicated.status(), 200);
    while next(&mut stream).await.is_some() {}
    let (_stream, hello, frames) = cluster.watch().await;
    assert!(hello.epoch > first.epoch, "{hello:?}");
    assert_eq!(ids(&services(&frames).0), ["/one"]);
    cluster.gateway.stop().await.unwrap();
}
