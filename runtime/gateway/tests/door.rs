//! A master behind its door, over real connections.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gateway::{Gateway, GatewayError, Options, Source};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use store::{DiskAct, DiskHook};
use tokio::net::TcpListener;

/// A disk that fails when it is told to.
#[derive(Default)]
struct Disk {
    broken: AtomicBool,
}

impl DiskHook for Disk {
    fn before(&self, _: &DiskAct<'_>) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) { Err(io::Error::other("no such luck")) } else { Ok(()) }
    }
}

fn client() -> Client {
    // Another test may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap()
}

struct Door {
    gateway: Gateway,
    url: String,
    client: Client,
    disk: Arc<Disk>,
}

impl Door {
    async fn open(dir: &Path) -> Result<Self, GatewayError> {
        Self::open_with(dir, |_| {}).await
    }

    async fn open_with(dir: &Path, set: impl FnOnce(&mut Options)) -> Result<Self, GatewayError> {
        let client = client();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let disk = Arc::new(Disk::default());
        let mut options = Options::one_machine(dir, address, client.clone());
        let embedded = store::Options { hook: Some(disk.clone()), ..store::Options::default() };
        options.store = Source::Embedded { dir: dir.join("store"), options: embedded };
        set(&mut options);
        let gateway = Gateway::start(listener, options).await?;
        Ok(Self { gateway, url: format!("http://{address}"), client, disk })
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Response {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path, &[], None).await
    }

    async fn create(&self, id: &str) -> StatusCode {
        let app = json!({"id": id, "cmd": "true", "instances": 0});
        self.ask(Method::POST, "/v2/apps", &[], Some(app)).await.status()
    }
}

#[tokio::test]
async fn every_room_answers_and_strangers_stay_out() {
    let dir = tempfile::tempdir().unwrap();
    let door = Door::open(dir.path()).await.unwrap();

    let info = door.get("/v2/info").await;
    assert_eq!(info.status(), 200);
    assert_eq!(info.headers()["x-marathon-leader"], door.url.as_str());
    assert_eq!(info.headers()["x-content-type-options"], "nosniff");
    assert_eq!(info.json::<Value>().await.unwrap()["elected"], true);
    for path in
        ["/ping", "//v2//apps", "/service/marathon/v2/apps", "/slaves", "/mesos/slaves", "/metrics/snapshot"]
    {
        assert_eq!(door.get(path).await.status(), 200, "{path}");
    }
    let figures = door.get("/metrics").await;
    assert!(figures.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    let figures = figures.text().await.unwrap();
    assert!(figures.contains("# TYPE marathon_apps_active_gauge gauge"), "{figures}");
    assert!(figures.contains("# TYPE clusterctl_master_agents gauge"), "{figures}");
    assert_eq!(door.get("/metrics/prometheus").await.status(), 200);
    let json = [("accept", "application/json")];
    let figures = door.ask(Method::GET, "/metrics", &json, None).await.json::<Value>().await.unwrap();
    for key in ["version", "counters", "gauges", "histograms", "meters", "timers"] {
        assert!(figures.get(key).is_some(), "{key}: {figures}");
    }
    assert_eq!(figures["gauges"]["marathon.apps.active.gauge"]["value"], 0.0);
    let root = door.get("/").await;
    assert_eq!((root.status().as_u16(), root.headers()["location"].to_str().unwrap()), (302, "/ui/"));
    let prefixed = door.get("/service/marathon/").await;
    assert_eq!(prefixed.headers()["location"], "/service/marathon/ui/");
    // Two slashes would lead to the host "marathon".
    for path in ["//marathon", "//service/marathon//"] {
        let location = door.get(path).await.headers()["location"].to_str().unwrap().to_owned();
        assert!(location.starts_with("/") && !location.starts_with("//"), "{path}: {location}");
    }
    assert!(door.get("/ui/").await.text().await.unwrap().contains("/v2/apps"));
    for path in ["/nothing", "/v2/nothing", "/clusterctl/v1/nothing"] {
        let answer = door.get(path).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert!(answer.headers()["content-security-policy"].to_str().unwrap().contains("sandbox"), "{path}");
        assert!(answer.json::<Value>().await.unwrap()["message"].as_str().unwrap().contains(path));
    }
    let posted = door.ask(Method::POST, "/metrics", &[], None).await;
    assert_eq!((posted.status().as_u16(), posted.headers()["allow"].to_str().unwrap()), (405, "GET, HEAD"));
    let cluster = door.get("/clusterctl/v1/cluster").await.json::<Value>().await.unwrap();
    assert_eq!(cluster["leader"], door.url.strip_prefix("http://").unwrap());

    let evil =
        [("host", "evil.example"), ("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")];
    for header in evil {
        let refused = door.ask(Method::GET, "/v2/apps", &[header], None).await;
        assert_eq!(refused.status(), 403, "{header:?}");
        assert_eq!(refused.headers()["x-content-type-options"], "nosniff");
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(door.ask(Method::POST, "/v2/apps", &form, None).await.status(), 415);
    door.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn a_store_that_fails_is_opened_again_and_has_what_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let door = Door::open(dir.path()).await.unwrap();
    assert_eq!(door.create("/before").await, 201);

    door.disk.broken.store(true, Ordering::SeqCst);
    assert_eq!(door.create("/lost").await, 503);
    door.disk.broken.store(false, Ordering::SeqCst);

    // It says so while it cannot, and then it can: nothing else is waited for.
    let after = loop {
        let answer = door.get("/v2/apps").await;
        match answer.status().as_u16() {
            200 => break answer.json::<Value>().await.unwrap(),
            status => assert_eq!(status, 503),
        }
    };
    let ids: Vec<_> = after["apps"].as_array().unwrap().iter().map(|app| app["id"].clone()).collect();
    assert!(ids.contains(&json!("/before")), "{ids:?}");
    // The old reign may have answered that; the new one takes changes.
    while door.create("/after").await != 201 {}
    door.gateway.stop().await.unwrap();

    // Released, with all that was said to be kept.
    let door = Door::open(dir.path()).await.unwrap();
    for id in ["/before", "/after"] {
        assert_eq!(door.get(&format!("/v2/apps{id}")).await.status(), 200, "{id}");
    }
    door.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn a_leader_steps_down_when_asked_and_another_reign_has_everything() {
    let dir = tempfile::tempdir().unwrap();
    let door = Door::open(dir.path()).await.unwrap();
    assert_eq!(door.create("/before").await, 201);
    let accept = [("accept", "text/event-stream")];
    let mut events = door.ask(Method::GET, "/v2/events", &accept, None).await;
    let attached = events.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&attached).contains("\"remoteAddress\":\"127.0.0.1\""), "{attached:?}");
    let reign =
        async || door.get("/clusterctl/v1/cluster").await.json::<Value>().await.unwrap()["epoch"].clone();
    let first = reign().await;

    let abdicated = door.ask(Method::DELETE, "/v2/leader", &[], None).await;
    assert_eq!(abdicated.status(), 200);
    assert_eq!(abdicated.json::<Value>().await.unwrap(), json!({"message": "Leadership abdicated"}));
    // The end of the stream is the end of the reign.
    while events.chunk().await.unwrap().is_some() {}
    // A request for the leader waits for the next one; one that the old reign had in its hands is told to come again.
    while door.create("/after").await != 201 {}
    assert_ne!(reign().await, first);
    for id in ["/before", "/after"] {
        assert_eq!(door.get(&format!("/v2/apps{id}")).await.status(), 200, "{id}");
    }
    door.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn a_reader_of_events_that_does_not_read_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let door = Door::open_with(dir.path(), |options| options.services.max_events_behind = 8).await.unwrap();
    let accept = [("accept", "text/event-stream")];
    let mut others =
        door.ask(Method::GET, "/v2/events?event_type=event_stream_detached", &accept, None).await;
    let slow = door.ask(Method::GET, "/v2/events", &accept, None).await;
    // Large ones, so that what the kernel keeps for the reader is soon full.
    let filling = async {
        for number in 0.. {
            let app = json!({"id": format!("/{number}"), "cmd": "x", "instances": 0, "labels": {"x": "x".repeat(200 << 10)}});
            assert_eq!(door.ask(Method::POST, "/v2/apps", &[], Some(app)).await.status(), 201);
        }
    };
    let detached = tokio::select! {
        detached = others.chunk() => detached.unwrap().unwrap(),
        () = filling => unreachable!(),
    };
    assert!(detached.starts_with(b"event: event_stream_detached\n"), "{detached:?}");
    drop(slow);
    door.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn without_a_leader_what_was_known_last_is_told_with_its_age_and_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let door = Door::open(dir.path()).await.unwrap();
    door.disk.broken.store(true, Ordering::SeqCst);
    assert_eq!(door.create("/lost").await, 503);
    // Until the reign that failed is over.
    while door.get("/v2/leader").await.status() != 404 {}
    let none = door.get("/v2/leader").await.json::<Value>().await.unwrap();
    assert_eq!(none, json!({"message": "There is no leader"}));
    for path in ["/v2/apps", "/v2/info", "/slaves", "/clusterctl/v1/cluster", "/metrics/snapshot"] {
        let old = door.get(path).await;
        assert_eq!(old.status(), 200, "{path}");
        if path != "/metrics/snapshot" {
            assert_eq!(old.headers()["warning"], "110 clusterctl \"Response is Stale\"", "{path}");
            let age = old.headers()["x-clusterctl-stale"].to_str().unwrap().parse::<u64>().unwrap();
            assert!((1..60).contains(&age), "{age}");
        }
        assert!(old.headers().get("x-marathon-leader").is_none(), "{path}");
        let old = old.json::<Value>().await.unwrap();
        let told = [&old["leader"], &old["elected"], &old["master/elected"]];
        assert!(told.into_iter().all(|told| [json!(null), json!(false), json!(0.0)].contains(told)), "{old}");
    }
    for (method, path) in [(Method::POST, "/v2/apps"), (Method::GET, "/v2/events")] {
        let late = door.ask(method, path, &[("accept", "text/event-stream")], None).await;
        assert_eq!((late.status().as_u16(), late.headers()["retry-after"].to_str().unwrap()), (503, "1"));
        assert!(late.headers().get("x-marathon-leader").is_none());
    }
    for path in ["/ping", "/health", "/metrics", "/clusterctl/v1/master"] {
        let own = door.get(path).await;
        assert_eq!((own.status().as_u16(), own.headers().get("warning")), (200, None), "{path}");
    }
    door.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_master_on_one_directory_is_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let door = Door::open(dir.path()).await.unwrap();
    let Err(refused) = Door::open(dir.path()).await else { panic!("two masters on one store") };
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    door.gateway.stop().await.unwrap();
}
