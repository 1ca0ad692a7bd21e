//! Cosmos' interface, call by call (interfaces/universe-cosmos.md, §3), and what DC/OS' client asks beside it (§4), over real
//! connections. No agent is there: what is installed waits for one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse as _;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway::{Gateway, Options};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const ERROR: &str = "application/vnd.dcos.package.error+json;charset=utf-8;version=v1";

struct Cluster {
    gateway: Gateway,
    url: String,
    client: Client,
    _dir: TempDir,
}

/// The type of a call's body or answer.
fn media(call: &str, what: &str, version: &str) -> String {
    format!("application/vnd.dcos.{}-{what}+json;charset=utf-8;version={version}", call.replace('/', "."))
}

impl Cluster {
    async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client =
            Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = Options::one_machine(dir.path(), address, client.clone());
        let gateway = Gateway::start(listener, options).await.unwrap();
        Self { gateway, url: format!("http://{address}"), client, _dir: dir }
    }

    async fn send(&self, call: &str, content_type: &str, accept: &str, body: &Value) -> Response {
        let request = self.client.post(format!("{}/{call}", self.url)).header("content-type", content_type);
        request.header("accept", accept).body(body.to_string()).send().await.unwrap()
    }

    /// A call with the right types: its answer in that version, whose type is the one that was asked for.
    async fn version(&self, call: &str, version: &str, body: Value) -> Value {
        let accept = media(call, "response", version);
        let answer = self.send(call, &media(call, "request", "v1"), &accept, &body).await;
        let (status, kind) = (answer.status(), answer.headers()["content-type"].to_str().unwrap().to_owned());
        let answer = answer.json::<Value>().await.unwrap();
        assert_eq!((status, kind.as_str()), (StatusCode::OK, accept.as_str()), "{call} {body}: {answer}");
        answer
    }

    async fn call(&self, call: &str, body: Value) -> Value {
        self.version(call, "v1", body).await
    }

    /// A call that is refused: its status, type and data.
    async fn refused(&self, call: &str, body: Value) -> (u16, String, Value) {
        let answer = self.send(call, &media(call, "request", "v1"), "*/*", &body).await;
        let status = answer.status().as_u16();
        assert_eq!(answer.headers()["content-type"], ERROR, "{call} {body}");
        let mut answer = answer.json::<Value>().await.unwrap();
        assert!(!answer["message"].as_str().unwrap().is_empty(), "{answer}");
        (status, answer["type"].as_str().unwrap().to_owned(), answer["data"].take())
    }

    async fn refused_with(&self, call: &str, body: Value, status: u16, kind: &str, data: Value) {
        assert_eq!(self.refused(call, body.clone()).await, (status, kind.to_owned(), data), "{call} {body}");
    }

    /// Ends all deployments, which wait for agents, and leaves what they were to make.
    async fn settle(&self) {
        for one in self.get("/v2/deployments").await.json::<Vec<Value>>().await.unwrap() {
            let url = format!("{}/v2/deployments/{}?force=true", self.url, one["id"].as_str().unwrap());
            assert!(self.client.delete(url).send().await.unwrap().status().is_success());
        }
        while !self.get("/v2/deployments").await.json::<Vec<Value>>().await.unwrap().is_empty() {}
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    async fn add(&self, name: &str, uri: &str, index: Option<usize>) -> Value {
        let mut body = json!({ "name": name, "uri": uri });
        if let Some(index) = index {
            body["index"] = index.into();
        }
        self.call("package/repository/add", body).await
    }
}

/// A package of the old form, as an index has it.
fn old(name: &str, version: &str, release: u64) -> Value {
    let template = r#"{"id": "{{service.name}}", "cmd": "echo {{service.word}}", "cpus": {{service.cpus}}, "mem": 32,
        "instances": {{service.instances}}, "labels": {"OWN": "{{resource.assets.uris.site}}"}}"#;
    json!({
        "packagingVersion": "4.0", "name": name, "version": version, "releaseVersion": release, "maintainer": "m@example.org",
        "description": "Says a word", "tags": ["words"], "postInstallNotes": "It talks.", "postUninstallNotes": "It is silent.",
        "upgradesFrom": ["*"], "downgradesTo": ["1.9.0"],
        "config": {"type": "object", "additionalProperties": false, "properties": {"service": {"type": "object", "properties": {
            "name": {"type": "string", "default": name}, "word": {"type": "string", "default": "x"},
            "cpus": {"type": "number", "default": 0.1, "minimum": 0.1}, "instances": {"type": "integer", "default": 1},
        }}}},
        "resource": {"assets": {"uris": {"site": "https://example.org/a"}}},
        "marathon": {"v2AppMustacheTemplate": STANDARD.encode(template)},
    })
}

fn tool() -> Value {
    json!({
        "packagingVersion": "4.0", "name": "tool", "version": "1", "releaseVersion": 0, "maintainer": "m", "description": "A tool",
        "tags": [], "selected": true,
        "resource": {"cli": {"binaries": {"linux": {"x86-64": {"kind": "executable", "url": "https://example.org/t",
            "contentHash": [{"algo": "sha256", "value": "ab"}]}}}}},
    })
}

/// Without options.
fn fixed() -> Value {
    json!({
        "packagingVersion": "2.0", "name": "fixed", "version": "any text", "maintainer": "m", "description": "No options", "tags": [],
        "marathon": {"v2AppMustacheTemplate": STANDARD.encode(r#"{"id": "fixed", "cmd": "true", "instances": 0}"#)},
    })
}

/// A server of indexes.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<HeaderMap>>>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let asked = Arc::<Mutex<Vec<HeaderMap>>>::default();
        let of = |version: &'static str, packages: Vec<Value>| {
            get(async move |State(asked): State<Arc<Mutex<Vec<HeaderMap>>>>, headers: HeaderMap| {
                asked.lock().unwrap().push(headers);
                let kind = match version {
                    "" => "application/json".to_owned(),
                    version => {
                        format!("application/vnd.dcos.universe.repo+json;charset=utf-8;version={version}")
                    }
                };
                ([("content-type", kind)], json!({ "packages": packages }).to_string()).into_response()
            })
        };
        let talk = vec![
            old("talk", "1.9.0", 0),
            old("talk", "1.10.0", 1),
            json!({ "name": "broken" }),
            tool(),
            fixed(),
        ];
        let router = Router::new()
            .route("/v3", of("v3", vec![old("three", "1", 0)]))
            .route("/v4", of("v4", talk))
            .route("/v5", of("v5", vec![old("five", "1", 0)]))
            .route("/plain", of("", vec![old("plain", "1", 0), old("talk", "7", 9)]))
            .route("/text", get(async || "hello"))
            .with_state(Arc::clone(&asked));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked, task }
    }

    fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.url)
    }

    async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

fn names(answer: &Value) -> Vec<&str> {
    answer["packages"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_answer_has_the_type_that_was_asked_for_or_there_is_none() {
    let cluster = Cluster::start().await;
    let site = json!({ "packageName": "static-site" });
    let calls: [(&str, &[&str], Option<&Value>); 12] = [
        ("package/search", &["v1"], Some(&json!({}))),
        ("package/describe", &["v1", "v2", "v3"], Some(&site)),
        (
            "package/list-versions",
            &["v1"],
            Some(&json!({ "packageName": "static-site", "includePackageVersions": true })),
        ),
        ("package/render", &["v1"], Some(&site)),
        ("package/list", &["v1"], Some(&json!({}))),
        ("package/repository/list", &["v1"], Some(&json!({}))),
        ("package/install", &["v1", "v2"], None),
        ("package/uninstall", &["v1"], None),
        ("package/repository/add", &["v1"], None),
        ("package/repository/delete", &["v1"], None),
        ("service/describe", &["v1"], None),
        ("service/update", &["v1"], None),
    ];
    for (call, versions, body) in calls {
        let sent = media(call, "request", "v1");
        for content_type in
            ["application/json", &media(call, "request", "v2"), &media("package/other", "request", "v1")]
        {
            let refused = cluster.send(call, content_type, "*/*", &json!({})).await;
            assert_eq!(
                (refused.status().as_u16(), &refused.headers()["content-type"]),
                (400, &ERROR.parse().unwrap())
            );
        }
        for accept in ["text/html", &media(call, "response", "v4"), &media("package/other", "response", "v1")]
        {
            let refused = cluster.send(call, &sent, accept, &json!({})).await;
            assert_eq!(
                (refused.status().as_u16(), &refused.headers()["content-type"]),
                (400, &ERROR.parse().unwrap())
            );
        }
        let bad = cluster.send(call, &sent, "*/*", &json!([])).await;
        assert_eq!(
            (bad.status().as_u16(), &bad.headers()["content-type"]),
            (400, &ERROR.parse().unwrap()),
            "{call}"
        );
        let Some(body) = body else { continue };
        for version in versions {
            cluster.version(call, version, body.clone()).await;
        }
        let newest = media(call, "response", versions.last().unwrap());
        for accept in ["*/*", "application/json"] {
            let answer = cluster.send(call, &sent, accept, body).await;
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["content-type"]),
                (200, &newest.parse().unwrap())
            );
        }
        // In another order, which is repeated as it was written.
        let other = newest.replace(";charset=utf-8", "") + ";charset=utf-8";
        let answer = cluster.send(call, &sent, &other, body).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &other.parse().unwrap())
        );
    }
    let capabilities = cluster.get("/capabilities").await;
    assert_eq!(
        capabilities.headers()["content-type"],
        "application/vnd.dcos.capabilities+json;charset=utf-8;version=v1"
    );
    let capabilities = capabilities.json::<Value>().await.unwrap();
    assert!(
        capabilities["capabilities"].as_array().unwrap().contains(&json!({ "name": "PACKAGE_MANAGEMENT" }))
    );
    cluster.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn repositories_are_read_in_every_form_and_in_their_order() {
    let (cluster, server) = (Cluster::start().await, Server::start().await);
    let listed = cluster.call("package/repository/list", json!({})).await;
    let [own] = listed["repositories"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!(own["name"], "clusterctl");
    for (name, path) in [("three", "v3"), ("four", "v4"), ("five", "v5")] {
        cluster.add(name, &server.at(path), None).await;
    }
    let list = cluster.add("plain", &server.at("plain"), Some(0)).await;
    let entry = |name: &str, path: &str| json!({ "name": name, "uri": server.at(path) });
    let all = [
        entry("plain", "plain"),
        own.clone(),
        entry("three", "v3"),
        entry("four", "v4"),
        entry("five", "v5"),
    ];
    assert_eq!(list, json!({ "repositories": all }));
    assert_eq!(cluster.call("package/repository/list", json!({})).await, list);
    for headers in server.asked.lock().unwrap().iter() {
        assert!(
            headers["accept"]
                .to_str()
                .unwrap()
                .starts_with("application/vnd.dcos.universe.repo+json;charset=utf-8;version=v5")
        );
    }

    // What is selected comes first, then the names; a package that cannot be used is left out.
    let found = cluster.call("package/search", json!({})).await;
    let order = |one: &Value| (one["selected"] != true, one["name"].as_str().unwrap().to_owned());
    assert!(found["packages"].as_array().unwrap().iter().map(order).is_sorted(), "{found}");
    let found = names(&found);
    let place = |name: &str| found.iter().position(|one| *one == name).unwrap();
    assert!(place("tool") < place("five"), "{found:?}");
    for name in ["three", "five", "plain", "talk", "static-site", "fixed"] {
        assert!(found.contains(&name), "{name}: {found:?}");
    }
    for (query, wanted) in [
        ("ta*lk", vec!["talk"]),
        ("TALK", vec!["talk"]),
        ("WORDS", vec!["five", "plain", "talk", "three"]),
        ("nothing-of-it", vec![]),
    ] {
        let found = cluster.call("package/search", json!({ "query": query })).await;
        assert_eq!(names(&found), wanted, "{query}");
    }
    let talk = cluster.call("package/search", json!({ "query": "talk" })).await["packages"][0].clone();
    // Of a package in two repositories, the first one's latest counts; versions are those of both.
    assert_eq!(talk["currentVersion"], "7");
    assert_eq!(talk["versions"], json!({ "7": "9", "1.9.0": "0", "1.10.0": "1" }));
    let versions = cluster
        .call("package/list-versions", json!({ "packageName": "talk", "includePackageVersions": true }))
        .await;
    assert_eq!(versions, json!({ "results": { "7": "9", "1.9.0": "0", "1.10.0": "1" } }));

    // Mistakes.
    let add = |name: &str, uri: &str| json!({ "name": name, "uri": uri });
    for present in [add("plain", "http://127.0.0.1:1/x"), add("another", &server.at("v3"))] {
        cluster
            .refused_with("package/repository/add", present.clone(), 400, "RepositoryAlreadyPresent", present)
            .await;
    }
    let beyond = json!({ "name": "x", "uri": server.at("x"), "index": 6 });
    cluster
        .refused_with(
            "package/repository/add",
            beyond,
            400,
            "RepositoryAddIndexOutOfBounds",
            json!({ "attempted": 6, "max": 5 }),
        )
        .await;
    for (uri, kind) in [
        ("no address", "RepositoryUriSyntax"),
        ("ftp://example.org/repo", "UnsupportedRepositoryUri"),
        ("artifact://sha256/12", "UnsupportedRepositoryUri"),
        ("http://127.0.0.1:1/repo", "RepositoryUriConnection"),
        (&server.at("nothing"), "RepositoryUriConnection"),
        (&server.at("text"), "IndexNotFound"),
    ] {
        let (status, found, data) = cluster.refused("package/repository/add", add("x", uri)).await;
        assert_eq!((status, found.as_str(), &data["uri"]), (400, kind, &json!(uri)), "{data}");
    }
    cluster
        .refused_with("package/repository/delete", json!({}), 400, "RepoNameOrUriMissing", json!({}))
        .await;
    let absent = json!({ "name": "plain", "uri": server.at("v3") });
    cluster
        .refused_with("package/repository/delete", absent.clone(), 400, "RepositoryNotPresent", absent)
        .await;
    let list = cluster.call("package/repository/delete", json!({ "name": "plain" })).await;
    assert_eq!(list, json!({ "repositories": all[1..] }));
    let list = cluster.call("package/repository/delete", json!({ "uri": server.at("v5") })).await;
    assert_eq!(list, json!({ "repositories": all[1..4] }));
    server.stop().await;
    cluster.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn a_repository_that_is_gone_does_not_hide_the_others() {
    let (cluster, gone, there) = (Cluster::start().await, Server::start().await, Server::start().await);
    cluster.add("gone", &gone.at("v3"), Some(0)).await;
    cluster.add("there", &there.at("v4"), None).await;
    gone.stop().await;
    let found = cluster.call("package/search", json!({})).await;
    let found = names(&found);
    assert!(
        found.contains(&"talk") && found.contains(&"static-site") && !found.contains(&"three"),
        "{found:?}"
    );
    let body = json!({ "packageName": "three" });
    let kind = media("package/describe", "request", "v1");
    let missed = cluster.send("package/describe", &kind, "*/*", &body).await.json::<Value>().await.unwrap();
    assert_eq!(missed["type"], "PackageNotFound");
    // Whoever misses a package learns why it may not be there.
    assert!(missed["message"].as_str().unwrap().contains("the repository [gone] cannot be read"), "{missed}");
    there.stop().await;
    // What was read once is still known.
    cluster.version("package/describe", "v3", json!({ "packageName": "talk" })).await;
    cluster.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn a_directory_of_packages_is_a_repository_once_it_is_uploaded() {
    let cluster = Cluster::start().await;
    let mut tar = tar::Builder::new(Vec::new());
    let mut package = old("boxed", "1", 0);
    let config = package.as_object_mut().unwrap().remove("config").unwrap();
    package.as_object_mut().unwrap().remove("marathon");
    package.as_object_mut().unwrap().remove("resource");
    let template = r#"{"id": "{{service.name}}", "cmd": "true", "instances": 0}"#;
    for (name, text) in [
        ("repo/packages/B/boxed/0/package.json", package.to_string()),
        ("repo/packages/B/boxed/0/config.json", config.to_string()),
        ("repo/packages/B/boxed/0/marathon.json.mustache", template.to_owned()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let bytes = tar.into_inner().unwrap();
    let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let uri = format!("artifact://sha256/{sum}");
    let (status, kind, _) =
        cluster.refused("package/repository/add", json!({ "name": "ours", "uri": uri })).await;
    assert_eq!((status, kind.as_str()), (400, "RepositoryUriConnection"), "nothing was uploaded yet");
    let place = format!("{}/clusterctl/v1/artifacts/sha256/{sum}", cluster.url);
    assert!(cluster.client.put(place).body(bytes).send().await.unwrap().status().is_success());
    cluster.add("ours", &uri, Some(0)).await;
    let answer = cluster.call("package/render", json!({ "packageName": "boxed" })).await;
    let app = &answer["marathonJson"];
    assert_eq!((&app["id"], &app["labels"]["DCOS_PACKAGE_SOURCE"]), (&json!("/boxed"), &json!(uri)));
    cluster.gateway.stop().await.unwrap();
}

/// What a label holds.
fn label(app: &Value, name: &str) -> Value {
    let text = app["labels"][name].as_str().unwrap_or_else(|| panic!("{name} in {app}"));
    serde_json::from_slice(&STANDARD.decode(text).unwrap()).unwrap()
}

#[tokio::test]
async fn an_old_package_comes_changes_and_goes() {
    let (cluster, server) = (Cluster::start().await, Server::start().await);
    cluster.add("four", &server.at("v4"), None).await;
    let talk = |more: Value| {
        let mut body = json!({ "packageName": "talk" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };

    // The later release, though its version sorts first as a text.
    let v3 = cluster.version("package/describe", "v3", talk(json!({}))).await;
    assert_eq!((&v3["package"]["version"], &v3["package"]["releaseVersion"]), (&json!("1.10.0"), &json!(1)));
    let v2 = cluster.version("package/describe", "v2", talk(json!({ "packageVersion": "1.9.0" }))).await;
    assert_eq!(v2["package"]["version"], "1.9.0");
    assert!(v2["marathonMustache"].as_str().unwrap().starts_with("{\"id\""));
    assert!(v2["config"].is_object() && v2["resource"].is_object() && v2["package"].get("config").is_none());

    // Rendered, with its labels.
    let options = json!({ "service": { "word": "a \"b\" \\c", "instances": 2 } });
    let asked = talk(json!({ "options": options, "appId": "team/talk" }));
    let app = cluster.call("package/render", asked.clone()).await["marathonJson"].take();
    assert_eq!((&app["id"], &app["cmd"]), (&json!("/team/talk"), &json!("echo a \"b\" \\c")));
    assert_eq!((&app["cpus"], &app["instances"]), (&json!(0.1), &json!(2)));
    let of = |name: &str| app["labels"][name].as_str().unwrap_or_default().to_owned();
    assert_eq!(of("OWN"), "https://example.org/a");
    assert_eq!(
        (of("DCOS_PACKAGE_NAME"), of("DCOS_PACKAGE_VERSION")),
        ("talk".to_owned(), "1.10.0".to_owned())
    );
    assert_eq!(of("DCOS_PACKAGE_SOURCE"), server.at("v4"));
    assert_eq!(label(&app, "DCOS_PACKAGE_OPTIONS"), options);
    let envelope = label(&app, "DCOS_PACKAGE_DEFINITION");
    assert_eq!(
        envelope["metadata"],
        json!({ "Content-Type": "application/vnd.dcos.universe.package+json;charset=utf-8;version=v4", "Content-Encoding": "gzip" })
    );
    assert_eq!(STANDARD.decode(envelope["data"].as_str().unwrap()).unwrap()[..2], [0x1f, 0x8b], "gzip");
    assert_eq!(
        cluster.call("package/list", json!({})).await,
        json!({ "packages": [] }),
        "nothing runs by that"
    );

    // What cannot be installed.
    let missing = json!({ "packageName": "tlak" });
    for call in ["package/describe", "package/list-versions", "package/render", "package/install"] {
        let body = json!({ "packageName": "tlak", "includePackageVersions": true });
        cluster.refused_with(call, body, 400, "PackageNotFound", missing.clone()).await;
    }
    let version = talk(json!({ "packageVersion": "3" }));
    for call in ["package/describe", "package/render", "package/install"] {
        cluster.refused_with(call, version.clone(), 400, "VersionNotFound", version.clone()).await;
    }
    let wrong = talk(json!({ "options": { "service": { "cpus": 0.01, "word": 3 }, "more": 1 } }));
    for call in ["package/render", "package/install"] {
        let (status, kind, data) = cluster.refused(call, wrong.clone()).await;
        assert_eq!((status, kind.as_str()), (400, "JsonSchemaMismatch"));
        let errors = data["errors"].as_array().unwrap();
        let mut pointers: Vec<_> =
            errors.iter().map(|error| error["instance"]["pointer"].as_str().unwrap()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["", "/service/cpus", "/service/word"], "{data}");
        assert!(errors.iter().all(|error| error["message"].is_string()), "{data}");
        let word = errors.iter().find(|error| error["instance"]["pointer"] == "/service/word").unwrap();
        assert_eq!((&word["found"], &word["expected"]), (&json!("integer"), &json!(["string"])));
    }
    let none = json!({ "packageName": "fixed", "options": { "a": 1 } });
    cluster.refused_with("package/install", none, 400, "OptionsNotAllowed", json!({})).await;
    let id = talk(json!({ "appId": "Not An Id" }));
    assert_eq!(cluster.refused("package/install", id).await.0, 400);

    // Installed, once by each id.
    let done = cluster.version("package/install", "v2", asked.clone()).await;
    assert_eq!(
        done,
        json!({ "packageName": "talk", "packageVersion": "1.10.0", "appId": "/team/talk", "postInstallNotes": "It talks." })
    );
    cluster.refused_with("package/install", asked, 409, "PackageAlreadyInstalled", json!({})).await;
    let done = cluster.version("package/install", "v1", talk(json!({ "packageVersion": "1.9.0" }))).await;
    assert_eq!(done, json!({ "packageName": "talk", "packageVersion": "1.9.0", "appId": "/talk" }));
    cluster.version("package/install", "v2", json!({ "packageName": "fixed" })).await;
    // One without anything that runs brings its commands along.
    let cli = cluster.version("package/install", "v2", json!({ "packageName": "tool" })).await;
    assert_eq!((cli.get("appId"), &cli["cli"]), (None, &tool()["resource"]["cli"]));
    let (status, kind, _) = cluster.refused("package/render", json!({ "packageName": "tool" })).await;
    assert_eq!((status, kind.as_str()), (400, "ServiceMarathonTemplateNotFound"));

    // Listed by name, then id.
    let list = cluster.call("package/list", json!({})).await;
    let ids: Vec<_> =
        list["packages"].as_array().unwrap().iter().map(|one| one["appId"].as_str().unwrap()).collect();
    assert_eq!(ids, ["/fixed", "/talk", "/team/talk"]);
    let list = cluster.call("package/list", json!({ "packageName": "talk", "appId": "team/talk" })).await;
    let [one] = list["packages"].as_array().unwrap().as_slice() else { panic!("{list}") };
    let information = &one["packageInformation"];
    assert_eq!(information["packageDefinition"]["version"], "1.10.0");
    assert_eq!(information["resourceDefinition"]["assets"]["uris"]["site"], "https://example.org/a");
    assert_eq!(
        cluster.call("package/list", json!({ "packageName": "nobody" })).await,
        json!({ "packages": [] })
    );

    // Described and changed.
    let described = cluster.call("service/describe", json!({ "appId": "/team/talk" })).await;
    assert_eq!(
        (&described["upgradesTo"], &described["downgradesTo"]),
        (&json!(["1.9.0"]), &json!(["1.9.0"]))
    );
    assert_eq!(described["userProvidedOptions"], options);
    assert_eq!(
        described["resolvedOptions"],
        json!({ "service": { "name": "talk", "word": "a \"b\" \\c", "cpus": 0.1, "instances": 2 } })
    );
    assert_eq!(described["package"]["version"], "1.10.0");
    for call in ["service/describe", "service/update"] {
        let body = json!({ "appId": "/nobody", "replace": false });
        cluster.refused_with(call, body, 400, "MarathonAppNotFound", json!({ "appId": "/nobody" })).await;
    }
    let update = |more: Value| {
        let mut body = json!({ "appId": "/talk", "replace": false });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let word = update(json!({ "options": { "service": { "word": "y" } } }));
    let (status, kind, data) = cluster.refused("service/update", word.clone()).await;
    assert_eq!((status, kind.as_str()), (400, "MarathonBadResponse"), "it is still being installed");
    assert!(data["errors"][0].as_str().unwrap().contains("locked"), "{data}");
    cluster.settle().await;
    let done = cluster.call("service/update", word).await;
    assert_eq!(done["resolvedOptions"]["service"]["word"], "y");
    assert!(!done["marathonDeploymentId"].as_str().unwrap().is_empty());
    let (status, kind, _) = cluster
        .refused("service/update", update(json!({ "options": { "service": { "name": "moved" } } })))
        .await;
    assert_eq!((status, kind.as_str()), (400, "AppIdChanged"));
    let other = update(json!({ "packageName": "fixed" }));
    assert_eq!(cluster.refused("service/update", other).await.1, "PackageNotInstalled");
    let body = update(json!({ "packageVersion": "3" }));
    assert_eq!(cluster.refused("service/update", body).await.1, "VersionNotFound");

    // Gone.
    let ambiguous = json!({ "packageName": "talk", "appIds": ["/talk", "/team/talk"] });
    cluster.refused_with("package/uninstall", talk(json!({})), 400, "AmbiguousAppId", ambiguous).await;
    let nobody = json!({ "packageName": "talk", "appId": "/nobody" });
    cluster
        .refused_with("package/uninstall", nobody.clone(), 400, "UninstallNonExistentAppForPackage", nobody)
        .await;
    let absent = json!({ "packageName": "three" });
    cluster.refused_with("package/uninstall", absent.clone(), 400, "PackageNotInstalled", absent).await;
    let gone = |id: &str, version: &str| json!({ "packageName": "talk", "appId": id, "packageVersion": version, "postUninstallNotes": "It is silent." });
    let done = cluster.call("package/uninstall", talk(json!({ "appId": "/talk" }))).await;
    assert_eq!(done, json!({ "results": [gone("/talk", "1.9.0")] }));
    let done = cluster.call("package/uninstall", talk(json!({ "all": true }))).await;
    assert_eq!(done, json!({ "results": [gone("/team/talk", "1.10.0")] }));
    assert_eq!(cluster.get("/v2/apps/team/talk").await.status(), 404);
    server.stop().await;
    cluster.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn a_native_package_comes_changes_and_goes() {
    let cluster = Cluster::start().await;
    let site = json!({ "packageName": "static-site", "options": { "service": { "name": "web/site" }, "site": { "page": "<p>\"hi\"" } } });
    let described = cluster.version("package/describe", "v3", json!({ "packageName": "static-site" })).await;
    assert!(described["package"]["config"]["properties"]["service"].is_object());
    let done = cluster.version("package/install", "v2", site.clone()).await;
    assert_eq!(done["appId"], "/web/site");
    // What to type next stands at the end of the notes, rendered.
    assert!(done["postInstallNotes"].as_str().unwrap().contains("/web/site"), "{done}");
    let app = cluster.get("/v2/apps/web/site").await.json::<Value>().await.unwrap()["app"].take();
    assert_eq!(app["env"]["SITE_PAGE"], "<p>\"hi\"");
    assert_eq!(label(&app, "DCOS_PACKAGE_OPTIONS"), site["options"]);
    cluster.refused_with("package/install", site, 409, "PackageAlreadyInstalled", json!({})).await;

    cluster.settle().await;
    let more =
        json!({ "appId": "/web/site", "replace": false, "options": { "service": { "instances": 3 } } });
    let done = cluster.call("service/update", more).await;
    let resolved = &done["resolvedOptions"];
    assert_eq!(
        (&resolved["service"]["instances"], &resolved["site"]["page"]),
        (&json!(3), &json!("<p>\"hi\""))
    );
    cluster.settle().await;
    let anew =
        json!({ "appId": "/web/site", "replace": true, "options": { "service": { "name": "web/site" } } });
    let done = cluster.call("service/update", anew).await;
    assert_eq!(done["resolvedOptions"]["service"]["instances"], 1, "what was given before is forgotten");
    let described = cluster.call("service/describe", json!({ "appId": "web/site" })).await;
    assert_eq!(described["userProvidedOptions"], json!({ "service": { "name": "web/site" } }));
    assert_eq!(described["package"]["name"], "static-site");

    let done = cluster.call("package/uninstall", json!({ "packageName": "static-site" })).await;
    assert_eq!(done["results"][0]["appId"], "/web/site");
    assert_eq!(cluster.call("package/list", json!({})).await, json!({ "packages": [] }));
    // Files that nobody uploaded are named, with the way to bring them.
    let (status, kind, data) = cluster.refused("package/install", json!({ "packageName": "spark" })).await;
    assert_eq!((status, kind.as_str(), &data["packageName"]), (400, "ArtifactsMissing", &json!("spark")));
    assert!(!data["artifacts"].as_array().unwrap().is_empty());
    cluster.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn the_client_of_dcos_finds_what_it_asks_for_beside_the_interfaces() {
    let cluster = Cluster::start().await;
    let head = cluster
        .client
        .head(format!("{}/pkgpanda/active.buildinfo.full.json", cluster.url))
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), 200, "nobody has to log in");
    let json_of = async |path: &str| {
        let answer = cluster.get(path).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"application/json".parse().unwrap()),
            "{path}"
        );
        answer.json::<Value>().await.unwrap()
    };
    assert_eq!(json_of("/acs/api/v1/auth/providers").await, json!({}));
    assert_eq!(json_of("/metadata").await, json!({ "CLUSTER_ID": "up", "PUBLIC_IPV4": "127.0.0.1" }));
    let release = json_of("/dcos-metadata/dcos-version.json").await;
    assert_eq!(
        (release["version"].as_str().unwrap().split('.').count(), &release["dcos-variant"]),
        (3, &json!("open"))
    );
    assert_eq!(json_of("/cluster/v1/links").await, json!({ "links": [] }));
    for path in [
        "/mesos/state-summary",
        "/mesos/master/state.json",
        "/mesos/master/state-summary",
        "/service/marathon/v2/info",
    ] {
        assert_eq!(cluster.get(path).await.status(), 200, "{path}");
    }
    let hosts = json_of("/mesos_dns/v1/hosts/leader.mesos").await;
    assert_eq!((&hosts[0]["host"], &hosts[0]["ip"]), (&json!("leader.mesos."), &json!("127.0.0.1")));
    let resource = cluster.get("/package/resource?url=https%3A%2F%2Fexample.org").await;
    assert_eq!(
        (resource.status().as_u16(), &resource.headers()["content-type"]),
        (501, &ERROR.parse().unwrap())
    );
    assert_eq!(cluster.get("/ca/dcos-ca.crt").await.status(), 404, "which its client takes");
    cluster.gateway.stop().await.unwrap();
}
