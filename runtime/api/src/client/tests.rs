//! The client against a server of a few lines, which answers what a test wrote down.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::watch::{Frame, Rows};

const LONG: Duration = Duration::from_secs(20);

/// Answers one request per connection, the last answer for ever, and keeps the head of each request.
struct Server {
    url: MasterUrl,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: &[(u16, &str)]) -> Server {
        let answers: Vec<String> = answers
            .iter()
            .map(|(status, body)| {
                // Who is sent on is told where to in the body's stead.
                let (header, body) = match status {
                    302 | 307 => (format!("Location: {body}\r\n"), ""),
                    _ => (String::new(), *body),
                };
                format!(
                    "HTTP/1.1 {status} x\r\nConnection: close\r\n{header}Content-Length: {}\r\n\r\n{body}",
                    body.len()
                )
            })
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            let mut next = 0;
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                seen.lock().unwrap().push(String::from_utf8(head).unwrap());
                let Some(answer) = answers.get(next).or(answers.last()) else {
                    std::future::pending::<()>().await;
                    return;
                };
                next += 1;
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Server { url, heads }
    }

    fn client(&self) -> Client {
        client(vec![self.url.clone()], LONG)
    }

    fn requests(&self) -> Vec<String> {
        let first_line =
            |head: &String| head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
        self.heads.lock().unwrap().iter().map(first_line).collect()
    }
}

fn client(masters: Vec<MasterUrl>, timeout: Duration) -> Client {
    // A second test finds it installed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Client::new(masters, timeout).unwrap()
}

/// A port where nobody listens.
async fn nobody() -> MasterUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap()).parse().unwrap()
}

#[tokio::test]
async fn requests_have_the_paths_and_queries_of_the_interfaces() {
    let server = Server::start(&[(200, "{}")]).await;
    let client = server.client();
    let app = "/shop/web".parse().unwrap();
    client.apps(&[AppEmbed::Tasks]).await.unwrap();
    client.app(&app, &[AppEmbed::LastTaskFailure]).await.unwrap();
    client.restart_app(&app, true).await.unwrap();
    client.delete_app(&app).await.unwrap();
    client.kill_app_task(&app, "shop_web.1", true).await.unwrap();
    client.browse("a1", "/frameworks/f/x y").await.unwrap();
    assert_eq!(
        server.requests(),
        [
            "GET /v2/apps?embed=apps.tasks",
            "GET /v2/apps/shop/web?embed=app.lastTaskFailure",
            "POST /v2/apps/shop/web/restart?force=true",
            "DELETE /v2/apps/shop/web",
            "DELETE /v2/apps/shop/web/tasks/shop_web.1?scale=true",
            "GET /agent/a1/files/browse?path=%2Fframeworks%2Ff%2Fx+y",
        ]
    );
    let heads = server.heads.lock().unwrap();
    assert!(heads[0].contains("user-agent: clusterctl/"), "{}", heads[0]);
}

#[tokio::test]
async fn the_next_master_is_asked_when_one_is_not_there_and_stays_the_first_to_be_asked() {
    let server = Server::start(&[(201, r#"{"id":"/x"}"#)]).await;
    let client = client(vec![nobody().await, server.url.clone()], LONG);
    assert_eq!(client.create_app(&json!({})).await.unwrap(), json!({"id": "/x"}));
    assert_eq!(client.preferred.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn without_any_master_each_is_named_with_its_reason() {
    let (one, two) = (nobody().await, nobody().await);
    match client(vec![one.clone(), two], LONG).apps(&[]).await.unwrap_err() {
        ClientError::CannotConnect { tried } => {
            assert_eq!(tried.len(), 2);
            assert_eq!(tried[0].0, one.to_string());
            assert!(tried[0].1.contains("refused"), "{}", tried[0].1);
        }
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_read_is_tried_again_and_a_change_is_not() {
    let server = Server::start(&[(503, ""), (200, "[]")]).await;
    assert_eq!(server.client().deployments().await.unwrap(), json!([]));
    assert_eq!(server.requests().len(), 2);

    let server = Server::start(&[(503, r#"{"message":"electing"}"#), (200, "{}")]).await;
    let error = server.client().create_app(&json!({})).await.unwrap_err();
    assert_eq!((error.status(), error.to_string().as_str()), (Some(503), "electing"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_master_that_has_no_leader_is_followed_by_the_next_one_for_reads() {
    let (one, two) = (Server::start(&[(503, "")]).await, Server::start(&[(200, "[]")]).await);
    let client = client(vec![one.url.clone(), two.url.clone()], LONG);
    assert_eq!(client.deployments().await.unwrap(), json!([]));
    assert_eq!((one.requests().len(), two.requests().len()), (1, 1));
    // Who answered is asked first.
    client.create_app(&json!({})).await.unwrap();
    assert_eq!((one.requests().len(), two.requests().len()), (1, 2));
}

#[tokio::test]
async fn a_standby_sends_us_to_the_leader_with_what_we_show() {
    let leader = Server::start(&[(200, r#"{"slaves":[]}"#)]).await;
    let beside = format!("//{}/slaves", leader.url.to_string().strip_prefix("http://").unwrap());
    let standby = Server::start(&[(307, &beside)]).await;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let credentials = Credentials { dialler: None, token: Some(SecretString::from("hunter2")) };
    let client = Client::with(vec![standby.url.clone()], LONG, credentials).unwrap();
    assert_eq!(client.nodes().await.unwrap(), json!({"slaves": []}));
    assert_eq!(leader.requests(), ["GET /slaves"]);
    assert!(leader.heads.lock().unwrap()[0].contains("Bearer hunter2"));
    // A change is sent on as well: who sends it on has not done it.
    client.create_app(&json!({})).await.unwrap();
    assert_eq!(leader.requests()[1], "POST /v2/apps");

    // But not in the clear over a network, nor in a circle.
    let far = Server::start(&[(307, "//192.0.2.1:5050/slaves")]).await;
    let credentials = Credentials { dialler: None, token: Some(SecretString::from("hunter2")) };
    let client = Client::with(vec![far.url.clone()], LONG, credentials).unwrap();
    assert!(matches!(client.nodes().await.unwrap_err(), ClientError::Clear { .. }));
    let round = Server::start(&[(307, "/slaves")]).await;
    let error = round.client().nodes().await.unwrap_err();
    assert!(error.to_string().contains("circle"), "{error}");
    assert_eq!(round.requests().len(), REDIRECTS + 1);
}

#[tokio::test]
async fn a_refusal_is_not_asked_for_again() {
    let server = Server::start(&[(404, r#"{"message":"App '/x' does not exist"}"#)]).await;
    let error = server.client().app(&"/x".parse().unwrap(), &[]).await.unwrap_err();
    assert_eq!((error.status(), error.to_string().as_str()), (Some(404), "App '/x' does not exist"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let server = Server::start(&[]).await;
    let client = client(vec![server.url.clone()], Duration::from_millis(50));
    assert!(matches!(client.nodes().await.unwrap_err(), ClientError::Timeout { .. }));
}

#[tokio::test]
async fn an_answer_that_is_no_json_is_named() {
    let server = Server::start(&[(200, "<html>")]).await;
    let error = server.client().queue().await.unwrap_err();
    assert!(matches!(error, ClientError::BadAnswer { .. }), "{error:?}");
    assert!(error.to_string().contains("/v2/queue"), "{error}");
}

#[tokio::test]
async fn all_pages_of_the_tasks_are_read() {
    let page = json!({ "tasks": vec![json!({"id": "t"}); 1000] }).to_string();
    let server = Server::start(&[(200, &page), (200, r#"{"tasks":[{"id":"last"}]}"#)]).await;
    let tasks = server.client().tasks().await.unwrap();
    assert_eq!(tasks["tasks"].as_array().unwrap().len(), 1001);
    assert_eq!(server.requests()[1], "GET /tasks?limit=1000&offset=1000&order=asc");
}

#[tokio::test]
async fn files_are_measured_read_and_downloaded() {
    let server = Server::start(&[
        (200, r#"{"data":"","offset":9}"#),
        (200, r#"{"data":"hello","offset":4}"#),
        (200, "whole file"),
    ])
    .await;
    let client = server.client();
    assert_eq!(client.file_size("a", "/f").await.unwrap(), 9);
    assert_eq!(
        client.read_file("a", "/f", 4, 5).await.unwrap(),
        FileData { data: "hello".into(), offset: 4 }
    );
    let mut whole = Vec::new();
    assert_eq!(client.download("a", "/f", &mut whole).await.unwrap(), 10);
    assert_eq!(whole, b"whole file");
    assert_eq!(server.requests()[0], "GET /agent/a/files/read?path=%2Ff&offset=-1");
}

#[tokio::test]
async fn events_come_as_json_until_the_server_ends_them() {
    let text = "\nevent: deployment_success\ndata: {\"eventType\":\"deployment_success\",\"id\":\"d\"}\n\n";
    let server = Server::start(&[(200, text)]).await;
    let mut events = server.client().events(&["deployment_success"]).await.unwrap();
    let event = events.next().await.unwrap().unwrap();
    assert_eq!((event.kind.as_str(), &event.data["id"]), ("deployment_success", &json!("d")));
    assert_eq!(events.next().await.unwrap(), None);
    assert_eq!(server.requests(), ["GET /v2/events?event_type=deployment_success"]);
}

#[tokio::test]
async fn no_password_and_no_token_goes_over_a_network_in_the_clear() {
    let password = SecretString::from("correct horse");
    // Where nobody answers: it must not come so far. One master of several is enough.
    let (here, far): (MasterUrl, MasterUrl) = (nobody().await, "http://192.0.2.1:5050".parse().unwrap());
    let clear = client(vec![here.clone(), far], LONG);
    let refused = [
        clear.login("ann", &password, "").await.map(|_| ()),
        clear.put_user("ann", "viewer", Some(&password)).await.map(|_| ()),
        clear.make_token("ann", "", None).await.map(|_| ()),
        clear.safe_for("a password"),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert!(matches!(error, ClientError::Clear { .. }), "{error:?}");
        assert!(error.to_string().contains("http://192.0.2.1:5050"), "{error}");
    }
    let near = client(vec![here], LONG).login("ann", &password, "").await.unwrap_err();
    assert!(matches!(near, ClientError::CannotConnect { .. }), "{near:?}");
}

/// Answers one request with this, and then says nothing and stays.
async fn stays(said: &str) -> MasterUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let answer = format!("HTTP/1.1 200 x\r\nContent-Length: 100000\r\n\r\n{said}");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // An answer before the question is none.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // Until the other end goes.
        let _ = stream.read_to_end(&mut rest).await;
    });
    url
}

#[tokio::test]
async fn the_cluster_is_watched_frame_by_frame_until_the_server_ends_it() {
    let text = "event: hello\ndata: {\"type\":\"hello\",\"cluster\":\"c\",\"version\":\"1\",\"leader\":\"m\",\"epoch\":3,\"operates\":true}\n\n\
        event: weather\ndata: {\"type\":\"weather\"}\n\n\
        event: tasks\ndata: {\"type\":\"tasks\",\"gone\":[\"t\"]}\n\nevent: ready\ndata: {\"type\":\"ready\",\"now\":5}\n\n";
    let server = Server::start(&[(200, text)]).await;
    let mut watch = server.client().watch().await.unwrap();
    let Some(Frame::Hello(hello)) = watch.next().await.unwrap() else { panic!("no hello") };
    assert_eq!((hello.cluster.as_str(), hello.epoch, hello.user, hello.operates), ("c", 3, None, true));
    let gone = Rows { set: Vec::new(), gone: vec!["t".to_owned()] };
    // What is not known is passed over.
    assert_eq!(watch.next().await.unwrap(), Some(Frame::Tasks(gone)));
    assert_eq!(watch.next().await.unwrap(), Some(Frame::Ready { now: 5 }));
    assert_eq!(watch.next().await.unwrap(), None);
    assert_eq!(server.requests(), ["GET /clusterctl/v1/watch"]);

    let server = Server::start(&[(200, "event: ready\ndata: {\"type\":\"ready\"}\n\n")]).await;
    let error = server.client().watch().await.unwrap().next().await.unwrap_err();
    assert!(matches!(error, ClientError::BadAnswer { .. }), "{error:?}");
}

#[tokio::test]
async fn a_watch_that_is_silent_is_given_up() {
    let url = stays("event: ready\ndata: {\"type\":\"ready\",\"now\":5}\n\n").await;
    let mut watch = client(vec![url], LONG).watch().await.unwrap();
    assert_eq!(watch.next().await.unwrap(), Some(Frame::Ready { now: 5 }));
    // From here on time leaps to the next deadline.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let error = watch.next().await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
    assert_eq!(begun.elapsed().as_secs(), 15);
}

#[tokio::test]
async fn a_service_that_waits_is_launched_at_once_on_request() {
    let server = Server::start(&[(204, "")]).await;
    server.client().reset_delay(&"/shop/web".parse().unwrap()).await.unwrap();
    assert_eq!(server.requests(), ["DELETE /v2/queue/shop/web/delay"]);
}
