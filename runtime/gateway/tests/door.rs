//! A master behind its door, over real connections.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gateway::{Gateway, GatewayError, Options};
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
        let client = client();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let disk = Arc::new(Disk::default());
        let mut options = Options::one_machine(dir, address, client.clone());
        options.storage.hook = Some(disk.clone());
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
    assert!(figures.text().await.unwrap().contains("# TYPE"));
    let root = door.get("/").await;
    assert_eq!((root.status().as_u16(), root.headers()["location"].to_str().unwrap()), (302, "/ui/"));
    for path in ["/nothing", "/v2/nothing", "/clusterctl/v1/nothing"] {
        assert_eq!(door.get(path).await.status(), 404, "{path}");
    }
    let cluster = door.get("/clusterctl/v1/cluster").await.json::<Value>().await.unwrap();
    assert_eq!(cluster["leader"], door.url.strip_prefix("http://").unwrap());

    let evil =
        [("host", "evil.example"), ("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")];
    for header in evil {
        assert_eq!(door.ask(Method::GET, "/v2/apps", &[header], None).await.status(), 403, "{header:?}");
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
async fn a_second_master_on_one_directory_is_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let door = Door::open(dir.path()).await.unwrap();
    let Err(refused) = Door::open(dir.path()).await else { panic!("two masters on one store") };
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    door.gateway.stop().await.unwrap();
}
