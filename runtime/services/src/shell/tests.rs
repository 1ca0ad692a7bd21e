//! The whole crate over a real store, against a small master.

mod groups;
mod master;

use std::sync::Arc;
use std::time::Duration;

use api::marathon::AppId;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use store::{Candidate, EmbeddedStore, Prefix, Store};
use tokio::task::JoinHandle;
use tower::ServiceExt;

use super::view::View;
use super::{Options, Services, ServicesError};
use master::Master;

struct Cluster {
    services: Services,
    handle: JoinHandle<Result<(), ServicesError>>,
    master: Arc<Master>,
    store: Arc<EmbeddedStore>,
    _dir: tempfile::TempDir,
}

async fn started(
    store: &Arc<EmbeddedStore>,
    master: &Arc<Master>,
) -> (Services, JoinHandle<Result<(), ServicesError>>) {
    let leadership = store.campaign(&Candidate::new("m1")).await.unwrap();
    let snapshot = store.load(&Prefix::all()).await.unwrap();
    let options = Options { tick: Duration::from_millis(50), ..Options::new("127.0.0.1:5050") };
    Services::start(options, store.clone(), leadership, &snapshot, master.clone()).unwrap()
}

impl Cluster {
    async fn new() -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(dir.path(), store::Options::default()).await.unwrap();
        let (store, master) = (Arc::new(store), Arc::new(Master::new()));
        let (services, handle) = started(&store, &master).await;
        Cluster { services, handle, master, store, _dir: dir }
    }

    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Response<Body> {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request =
            Request::builder().method(method.parse::<Method>().unwrap()).uri(path).body(body).unwrap();
        self.services.router().oneshot(request).await.unwrap()
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let response = self.send(method, path, body).await;
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// Waits until the view is as wanted. The time is for the test that hangs, not for the one that passes.
    async fn until(&self, what: &str, wanted: impl Fn(&View) -> bool) {
        let mut view = self.services.view.clone();
        let waiting = view.wait_for(|view| wanted(view));
        let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        assert!(waited.is_ok_and(|view| view.is_ok()), "{what}");
    }

    async fn running(&self, app: &str, count: usize) {
        self.until(&format!("{count} of {app} run and nothing is deployed"), |view| {
            let tasks = view.apps.get(app).map(|app| app.tasks.clone()).unwrap_or_default();
            view.deployments.is_empty()
                && tasks.len() == count
                && tasks.iter().all(|task| task.state == "TASK_RUNNING")
        })
        .await;
    }

    fn ids(tasks: &Value) -> Vec<String> {
        let all = tasks["tasks"].as_array().unwrap();
        all.iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn web() -> Value {
    json!({"id": "/shop/web", "cmd": "serve $PORT0", "cpus": 0.5, "mem": 64, "instances": 2,
           "portDefinitions": [{"port": 0, "name": "http"}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_lives_through_everything() {
    let cluster = Cluster::new().await;
    let response = cluster.send("POST", "/v2/apps", Some(web())).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert!(response.headers().contains_key("Marathon-Deployment-Id"));
    assert_eq!(response.headers()["location"], "/v2/apps/shop/web");
    assert_eq!(response.headers()["x-marathon-leader"], "http://127.0.0.1:5050");
    cluster.running("/shop/web", 2).await;

    let (status, again) = cluster.ask("POST", "/v2/apps", Some(web())).await;
    assert_eq!(
        (status, again),
        (StatusCode::CONFLICT, json!({"message": "An app with id [/shop/web] already exists."}))
    );

    let (status, result) = cluster.ask("PUT", "/v2/apps//shop/web", Some(json!({"instances": 3}))).await;
    assert_eq!(status, StatusCode::OK, "{result}");
    cluster.running("/shop/web", 3).await;

    let before = Cluster::ids(&cluster.get("/v2/apps/shop/web/tasks").await);
    let (status, killed) =
        cluster.ask("DELETE", &format!("/v2/apps/shop/web/tasks/{}", before[0]), None).await;
    assert_eq!((status, &killed["task"]["id"]), (StatusCode::OK, &json!(before[0])));
    cluster
        .until("another took its place", |view| {
            let app = view.apps.get("/shop/web").unwrap();
            let running = app.tasks.iter().filter(|task| task.state == "TASK_RUNNING");
            app.tasks.iter().all(|task| task.id.to_string() != before[0]) && running.count() == 3
        })
        .await;

    let before = Cluster::ids(&cluster.get("/v2/apps/shop/web/tasks").await);
    let (status, _) = cluster.ask("POST", "/v2/apps/shop/web/restart", None).await;
    assert_eq!(status, StatusCode::OK);
    cluster.running("/shop/web", 3).await;
    let after = Cluster::ids(&cluster.get("/v2/apps/shop/web/tasks").await);
    assert!(after.iter().all(|id| !before.contains(id)));

    let (status, result) = cluster.ask("DELETE", "/v2/apps/shop/web", None).await;
    assert_eq!(status, StatusCode::OK, "{result}");
    cluster.until("nothing is left", |view| view.apps.is_empty() && view.deployments.is_empty()).await;
    let stored = cluster.store.load(&Prefix::all()).await.unwrap();
    let left = stored.entries.keys().map(store::Key::as_str).filter(|key| key.starts_with("services/"));
    // What was is remembered, and the group stays.
    let remembered = ["services/history/", "services/versions/", "services/groups/"];
    let left: Vec<&str> = left.filter(|key| !remembered.iter().any(|kind| key.starts_with(kind))).collect();
    assert_eq!(left, ["services/framework"]);
    cluster.master.acknowledged().await;
    cluster.services.stop().await;
    cluster.handle.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_those_of_the_interface() {
    let cluster = Cluster::new().await;
    cluster.master.hold(true);
    cluster.send("POST", "/v2/apps", Some(web())).await;
    let wrong = json!({"id": "/x", "cmd": "x", "cpus": "many"});
    for (method, path, body, status) in [
        ("GET", "/v2/apps/none", None, 404),
        ("GET", "/v2/apps/none/tasks", None, 404),
        ("GET", "/v2/apps/shop/web/versions/2020-01-01T00:00:00.000Z", None, 404),
        ("PATCH", "/v2/apps/none", Some(json!({"instances": 1})), 404),
        ("POST", "/v2/apps", Some(wrong), 400),
        ("POST", "/v2/apps", Some(json!({"id": "/x"})), 422),
        (
            "POST",
            "/v2/apps",
            Some(json!({"id": "/x", "cmd": "x", "readinessChecks": [{"portName": "none"}]})),
            422,
        ),
        ("PUT", "/v2/apps/shop/web", Some(json!({"instances": 9})), 409),
        ("POST", "/v2/apps/shop/web/restart", None, 409),
        ("PUT", "/v2/apps/A", Some(json!({"cmd": "x"})), 422),
        ("PUT", "/v2/apps", Some(json!({})), 400),
        ("PATCH", "/v2/apps", Some(json!([{"id": "/shop/web"}, {"id": "none"}])), 404),
        ("PUT", "/v2/apps", Some(json!([{"id": "/a", "cmd": "x"}, {"id": "/b"}])), 422),
        ("PUT", "/v2/apps", Some(json!([{"id": "/a", "cmd": "x"}, {"id": "a", "cmd": "x"}])), 422),
        ("DELETE", "/v2/apps/shop/web/tasks?scale=true&wipe=True", None, 400),
        ("DELETE", "/v2/apps/shop/web/tasks/nonsense", None, 400),
        ("POST", "/v2/tasks/delete", Some(json!({"ids": ["nonsense"]})), 400),
        ("GET", "/v2/apps?label=(", None, 422),
        ("GET", "/v2/apps?force=maybe", None, 200),
        ("PUT", "/v2/groups/none/versions/2020-01-01T00:00:00.000Z", None, 404),
        ("DELETE", "/v2/deployments/nonsense", None, 404),
        ("DELETE", "/v2/queue/none/delay", None, 404),
        ("GET", "/v2/events", None, 405),
        ("HEAD", "/v2/pods", None, 404),
        ("GET", "/v2/pods", None, 422),
        ("POST", "/v2/pods", Some(json!({"id": "/pod"})), 422),
        ("DELETE", "/v2/pods//pod", None, 422),
        ("GET", "/v2/eventSubscriptions", None, 404),
        ("POST", "/v2/eventSubscriptions?callbackUrl=http://localhost/x", None, 404),
        ("POST", "/v2/tasks/delete", Some(json!({})), 400),
        ("POST", "/v2/tasks/delete", Some(json!({"ids": [7]})), 400),
        ("GET", "/v3", None, 404),
        ("POST", "/v2/info", None, 405),
    ] {
        let response = cluster.send(method, path, body).await;
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        assert!(response.headers().contains_key("cache-control"));
    }
    for (method, path, allowed) in [
        ("POST", "/v2/info", "GET, HEAD"),
        ("DELETE", "/v2/apps", "GET, HEAD, POST, PUT, PATCH"),
        ("POST", "/v2/apps/shop/web", "GET, HEAD, PUT, PATCH, DELETE"),
        ("GET", "/v2/apps/shop/web/restart", "POST"),
        ("PUT", "/v2/apps/shop/web/versions", "GET, HEAD"),
        ("GET", "/v2/queue/shop/web/delay", "DELETE"),
        ("PUT", "/v2/leader", "GET, HEAD, DELETE"),
    ] {
        let response = cluster.send(method, path, Some(json!({}))).await;
        assert_eq!(
            (response.status().as_u16(), response.headers()["allow"].to_str().unwrap()),
            (405, allowed),
            "{method} {path}"
        );
    }
    let (_, body) = cluster.ask("POST", "/v2/tasks/delete", Some(json!({"ids": [7]}))).await;
    let details = json!([{"path": "/ids(0)", "errors": ["error.expected.jsstring"]}]);
    assert_eq!(body, json!({"message": "Invalid JSON", "details": details}));
    let long = json!({"id": "/x", "cmd": "x".repeat(9 * 1024 * 1024)});
    let (status, body) = cluster.ask("POST", "/v2/apps", Some(long)).await;
    assert_eq!((status.as_u16(), body["message"].is_string()), (413, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_small_answers() {
    let cluster = Cluster::new().await;
    cluster.send("POST", "/v2/apps", Some(web())).await;
    cluster
        .send("POST", "/v2/apps", Some(json!({"id": "/db", "cmd": "store", "labels": {"tier": "data"}})))
        .await;
    cluster.running("/shop/web", 2).await;
    cluster.running("/db", 1).await;
    for (query, ids) in [
        ("", vec!["/db", "/shop/web"]),
        ("?id=WEB", vec!["/shop/web"]),
        ("?cmd=store", vec!["/db"]),
        ("?label=tier%3D%3Ddata", vec!["/db"]),
        ("/shop/*", vec!["/shop/web"]),
    ] {
        let body = cluster.get(&format!("/v2/apps{query}")).await;
        let apps = body.get("apps").or(body.get("*")).unwrap().as_array().unwrap();
        let found: Vec<&str> = apps.iter().map(|app| app["id"].as_str().unwrap()).collect();
        assert_eq!(found, ids, "{query}");
    }
    let app = cluster.get("/v2/apps//db?embed=app.taskStats").await;
    assert_eq!(app["app"]["tasksRunning"], 1);
    assert_eq!(app["app"]["taskStats"]["totalSummary"]["stats"]["counts"]["running"], 1);
    assert_eq!(app["app"]["tasks"].as_array().map(Vec::len), Some(1));
    let versions = cluster.get("/v2/apps/db/versions").await;
    let version = versions["versions"][0].as_str().unwrap().to_owned();
    assert_eq!(cluster.get(&format!("/v2/apps/db/versions/{version}")).await["cmd"], "store");
    assert_eq!(cluster.get("/v2/tasks?status=running").await["tasks"].as_array().map(Vec::len), Some(3));
    assert_eq!(cluster.get("/v2/tasks?status[]=staging").await["tasks"], json!([]));
    assert_eq!(cluster.get("/v2/queue").await, json!({"queue": []}));
    assert_eq!(cluster.get("/v2/deployments").await, json!([]));
    cluster.send("POST", "/v2/apps", Some(json!({"id": "/big", "cmd": "x", "cpus": 100}))).await;
    let big: AppId = "/big".parse().unwrap();
    let looked = |view: &View| {
        let queued = view.apps.get(&big).and_then(|app| app.queued.clone());
        queued.is_some_and(|queued| queued.offers.unused_offers_count > 0)
    };
    cluster.until("an offer was looked at", looked).await;
    let queue = cluster.get("/v2/queue").await;
    let item = &queue["queue"][0];
    assert_eq!((&item["app"]["id"], &item["count"]), (&json!("/big"), &json!(1)));
    assert_eq!(item["delay"], json!({"timeLeftSeconds": 0, "overdue": true}));
    let cpus = &item["processedOffersSummary"]["rejectSummaryLastOffers"][4];
    assert_eq!(*cpus, json!({"reason": "InsufficientCpus", "declined": 1, "processed": 1}));
    assert!(item.get("lastUnusedOffers").is_none(), "nobody asked for it");
    let queue = cluster.get("/v2/queue?embed=lastUnusedOffers").await;
    let unused = &queue["queue"][0]["lastUnusedOffers"];
    assert_eq!(
        (unused.as_array().map(Vec::len), &unused[0]["reason"]),
        (Some(1), &json!(["InsufficientCpus"]))
    );
    let offered = unused[0]["offer"]["resources"].as_array().unwrap();
    assert!(
        offered.iter().any(|resource| resource["name"] == "cpus" && resource["scalar"] == 8.0),
        "{unused}"
    );
    let why = "of the last 1 offers were turned away: 1 by InsufficientCpus (100 cpus wanted, 8 there)";
    assert_eq!(cluster.services.why_waiting(&big).as_deref(), Some(why));
    let deployment = cluster.get("/v2/deployments").await[0]["id"].as_str().unwrap().to_owned();
    let (status, _) = cluster.ask("DELETE", &format!("/v2/deployments/{deployment}?force=true"), None).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    cluster.ask("DELETE", "/v2/apps/big", None).await;
    cluster.until("it is gone", |view| !view.apps.contains_key(&big)).await;
    assert_eq!(cluster.get("/v2/leader").await, json!({"leader": "127.0.0.1:5050"}));
    assert_eq!(cluster.get("/v2/info").await["frameworkId"], "F-0000");
    let pong = cluster.send("GET", "/ping", None).await;
    assert_eq!(axum::body::to_bytes(pong.into_body(), 100).await.unwrap(), "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_finds_everything_as_it_was() {
    let cluster = Cluster::new().await;
    cluster.send("POST", "/v2/apps", Some(web())).await;
    cluster.running("/shop/web", 2).await;
    let before = cluster.master.tasks();
    cluster.services.stop().await;
    let Cluster { handle, master, store, _dir, .. } = cluster;
    handle.await.unwrap().unwrap();
    let (services, handle) = started(&store, &master).await;
    let cluster = Cluster { services, handle, master, store, _dir };
    cluster.running("/shop/web", 2).await;
    assert_eq!(cluster.master.tasks(), before);
    // The master drops the connection: services subscribe again and go on.
    cluster.master.hang_up();
    cluster.master.becomes(&before[0], api::mesos::TaskState::Killed);
    cluster
        .until("what ended unheard is replaced", |view| {
            let tasks = &view.apps.get("/shop/web").unwrap().tasks;
            let ran = |task: &std::sync::Arc<api::marathon::Task>| task.id.to_string() == before[0].as_str();
            tasks.len() == 2
                && !tasks.iter().any(ran)
                && tasks.iter().all(|task| task.state == "TASK_RUNNING")
        })
        .await;
    let (status, result) = cluster.ask("DELETE", "/v2/apps/shop/web/tasks?scale=true", None).await;
    assert_eq!(status, StatusCode::OK, "{result}");
    cluster.running("/shop/web", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_ends_the_services() {
    let cluster = Cluster::new().await;
    cluster.send("POST", "/v2/apps", Some(web())).await;
    cluster.running("/shop/web", 2).await;
    cluster.store.campaign(&Candidate::new("m2")).await.unwrap();
    let (status, body) = cluster.ask("PUT", "/v2/apps/shop/web", Some(json!({"instances": 7}))).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert!(matches!(cluster.handle.await.unwrap(), Err(ServicesError::Store(_))));
    let (status, _) = {
        let request =
            Request::builder().method("DELETE").uri("/v2/apps/shop/web").body(Body::empty()).unwrap();
        let response = cluster.services.router().oneshot(request).await.unwrap();
        (response.status(), response)
    };
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "nobody waits for one that is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_streamed_to_those_who_want_them() {
    use futures_util::StreamExt;
    let cluster = Cluster::new().await;
    let request = Request::get("/v2/events?event_type=api_post_event&event_type=deployment_success")
        .header("accept", "text/event-stream")
        .body(Body::empty())
        .unwrap();
    let response = cluster.services.router().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream;charset=UTF-8");
    let mut stream = response.into_body().into_data_stream();
    cluster.send("POST", "/v2/apps", Some(web())).await;
    for kind in ["api_post_event", "deployment_success"] {
        let frame = stream.next().await.unwrap().unwrap();
        let text = String::from_utf8(frame.to_vec()).unwrap();
        assert!(text.starts_with(&format!("event: {kind}\ndata: {{")), "{text}");
        assert!(text.ends_with("}\n\n"));
    }
    cluster.services.stop().await;
    assert!(stream.next().await.is_none(), "the next leader has the next stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_asked_to_step_down_says_so_to_whoever_made_it_lead() {
    let cluster = Cluster::new().await;
    let services = cluster.services.clone();
    let abdicated = tokio::spawn(async move { services.abdicated().await });
    let (status, body) = cluster.ask("DELETE", "/v2/leader", None).await;
    assert_eq!((status, body), (StatusCode::OK, json!({"message": "Leadership abdicated"})));
    abdicated.await.unwrap();
    assert_eq!(
        cluster.get("/v2/leader").await["leader"],
        "127.0.0.1:5050",
        "it is not these services that end"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_services_replace_nothing() {
    let cluster = Cluster::new().await;
    cluster.send("POST", "/v2/apps", Some(web())).await;
    cluster.running("/shop/web", 2).await;
    cluster.services.freeze().await;
    for task in cluster.master.tasks() {
        cluster.master.becomes(&task, api::mesos::TaskState::Killed);
    }
    cluster.running("/shop/web", 0).await;
    assert!(cluster.master.tasks().is_empty());
}
