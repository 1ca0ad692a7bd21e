//! The door of a master with a certificate, over real TLS: every route with every credential (P11), and every certificate
//! that is not good (P12).
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use access::{Caller, Clock, Right, TABLE, UserRole};
use api::marathon::Timestamp;
use gateway::{Gateway, GatewayError, Options};
use identity::{Identity, PeerRole};
use reqwest::{Client, Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use tls::testing::{DAY, TestCa, TestLeaf, Wanted};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const CLUSTER: &str = "demo";
const PASSWORD: &str = "correct horse battery staple";

struct Door {
    _dir: tempfile::TempDir,
    gateway: Gateway,
    ca: TestCa,
    url: String,
    /// Milliseconds that the clock is ahead.
    ahead: Arc<AtomicI64>,
}

impl Door {
    async fn open() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (dir, ca) = (tempfile::tempdir().unwrap(), TestCa::new());
        let tls = ca.node(&dir.path().join("tls"), CLUSTER, PeerRole::Master, "m1");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut options = Options::new(CLUSTER, dir.path(), address.to_string(), Client::new());
        options.tls = Some(tls);
        let ahead = Arc::new(AtomicI64::new(0));
        let (clock, added) = (Clock::default(), ahead.clone());
        options.clock = Clock::new(move || {
            Timestamp::from_millis(clock.now().as_millis() + added.load(Ordering::Relaxed))
        });
        let gateway = Gateway::start(listener, options).await.unwrap();
        Self { _dir: dir, gateway, ca, url: format!("https://{address}"), ahead }
    }

    fn peer(&self, role: PeerRole, name: &str) -> Client {
        self.with(Some(&self.ca.leaf(CLUSTER, role, name)))
    }

    fn with(&self, leaf: Option<&TestLeaf>) -> Client {
        let key = leaf.map(|leaf| SecretString::from(leaf.key.clone()));
        let own = leaf.zip(key.as_ref()).map(|(leaf, key)| (leaf.certificate.as_str(), key));
        let dialler = tls::Authority { ca: &self.ca.pem, own }.dialler(SystemTime::now()).unwrap();
        let builder = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        builder.tls_backend_preconfigured(dialler.config()).build().unwrap()
    }

    async fn ask(&self, by: &Client, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = by.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let (status, bytes) = (answer.status(), answer.bytes().await.unwrap());
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Makes a user and a token.
    async fn token(&self, admin: &Client, user: &str, role: &str, seconds: u64) -> (String, String) {
        let wish = json!({ "role": role, "password": PASSWORD });
        let path = format!("/clusterctl/v1/users/{user}");
        let (made, answer) = self.ask(admin, Method::PUT, &path, Some(wish)).await;
        assert!(made.is_success(), "{answer}");
        let wish = json!({ "user": user, "lifetime_seconds": seconds });
        let (made, answer) = self.ask(admin, Method::POST, "/clusterctl/v1/tokens", Some(wish)).await;
        assert_eq!(made, StatusCode::CREATED, "{answer}");
        (answer["token"].as_str().unwrap().to_owned(), answer["id"].as_str().unwrap().to_owned())
    }
}

/// Everything that a request can show, and who that is to the table; nobody, when it is void.
struct Shown {
    client: Client,
    header: Option<String>,
    caller: Option<Caller>,
}

/// A path of this row.
fn path_of(pattern: &str) -> String {
    let segments = pattern.split('/').map(|segment| match segment {
        "{sum}" => "0".repeat(64),
        "{call}" => "read".to_owned(),
        variable if variable.starts_with('{') => "x".to_owned(),
        fixed => fixed.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_route_asks_everybody_who_comes_for_the_right_of_its_row() {
    let door = Door::open().await;
    let admin = door.peer(PeerRole::Admin, "operator");
    let nobody = door.with(None);
    let mut shown = BTreeMap::new();
    let mut show = |name: &'static str, client: &Client, header: Option<String>, caller| {
        shown.insert(name, Shown { client: client.clone(), header, caller });
    };
    let user = |name: &str, role| Caller::User { name: name.parse().unwrap(), role, token: None };
    let peer =
        |role, admitted| Caller::Peer { identity: Identity::new(CLUSTER, role, "x").unwrap(), admitted };
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    show("nothing", &nobody, None, Some(Caller::Anyone));
    for (name, role) in
        [("viewer", UserRole::Viewer), ("operator", UserRole::Operator), ("admin", UserRole::Admin)]
    {
        let (token, _) = door.token(&admin, name, name, 86_400).await;
        show(name, &nobody, bearer(&token), Some(user(name, role)));
    }
    let (token, _) = door.token(&admin, "dcos", "viewer", 86_400).await;
    show("DC/OS' form", &nobody, Some(format!("token={token}")), Some(user("dcos", UserRole::Viewer)));
    let (expired, _) = door.token(&admin, "admin", "admin", 60).await;
    show("an expired token", &nobody, bearer(&expired), None);
    show("an expired token beside the operator's certificate", &admin, bearer(&expired), None);
    let (revoked, id) = door.token(&admin, "admin", "admin", 86_400).await;
    let path = format!("/clusterctl/v1/tokens/{id}");
    assert_eq!(door.ask(&admin, Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
    show("a revoked token", &nobody, bearer(&revoked), None);
    show("garbage", &nobody, bearer("x.y.z"), None);
    show("a wrong password", &nobody, Some("Basic YWRtaW46eA==".to_owned()), None);
    show("the operator's certificate", &admin, None, Some(peer(PeerRole::Admin, false)));
    show(
        "a master's certificate",
        &door.peer(PeerRole::Master, "m1"),
        None,
        Some(peer(PeerRole::Master, false)),
    );
    show(
        "an agent's certificate",
        &door.peer(PeerRole::Agent, "a2"),
        None,
        Some(peer(PeerRole::Agent, false)),
    );
    let admission = "/clusterctl/v1/admissions/a1";
    assert_eq!(door.ask(&admin, Method::PUT, admission, None).await.0, StatusCode::CREATED);
    show("an admitted agent's", &door.peer(PeerRole::Agent, "a1"), None, Some(peer(PeerRole::Agent, true)));
    door.ahead.store(3_600_000, Ordering::Relaxed);

    let mut seen = 0;
    for row in TABLE {
        for method in row.methods {
            for (name, shown) in &shown {
                let may = row.right == Right::Open
                    || shown.caller.as_ref().is_some_and(|caller| caller.may(row.right));
                // These two would be carried out, and end what the others show or the reign.
                let spared = ["/clusterctl/v1/logout", "/v2/leader"].contains(&row.path) && *method != "GET";
                if may && spared {
                    continue;
                }
                let path = path_of(row.path);
                let asked = Method::from_bytes(method.as_bytes()).unwrap();
                let mut request = shown.client.request(asked, format!("{}{path}", door.url));
                if let Some(header) = &shown.header {
                    request = request.header("authorization", header);
                }
                let status = request.send().await.unwrap().status();
                let what = format!("{method} {path} with {name}: {status}");
                // Where masters alone are answered, whoever leads, users are not known.
                let by_certificate = row.path.starts_with("/clusterctl/v1/copies/");
                let anyone = shown.caller.as_ref().is_none_or(|caller| *caller == Caller::Anyone)
                    || by_certificate && shown.header.is_some();
                match (may, anyone) {
                    (true, _) => assert!(!matches!(status.as_u16(), 401 | 403 | 429), "{what}"),
                    // Too many wrong passwords are not even looked at.
                    (false, true) => assert!(matches!(status.as_u16(), 401 | 429), "{what}"),
                    (false, false) => assert_eq!(status, StatusCode::FORBIDDEN, "{what}"),
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 1000, "{seen}");

    // What has no row, and other ways to write what has one.
    for path in
        ["/nothing", "/clusterctl/v1/nothing", "/v2%2Fapps", "/v2/../v2/apps", "/acs/api/v1/auth/nothing"]
    {
        for (name, expected) in [("nothing", 401), ("an admitted agent's", 403), ("admin", 404)] {
            let shown = &shown[name];
            let mut request = shown.client.get(format!("{}{path}", door.url));
            if let Some(header) = &shown.header {
                request = request.header("authorization", header);
            }
            // URLs with `..` are made plain by the client.
            let status = request.send().await.unwrap().status().as_u16();
            assert!(
                status == expected || path.contains("..") && status != 500,
                "{path} with {name}: {status}"
            );
        }
    }
    for path in [
        "//v2/apps",
        "/service/marathon/v2/apps",
        "/mesos/slaves",
        "/marathon//v2//apps",
        "/mesos/mesos/slaves",
    ] {
        let (status, _) = door.ask(&nobody, Method::GET, path, None).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
    }
    door.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn a_refusal_comes_before_the_body() {
    let door = Door::open().await;
    let (host, port) = door.url.strip_prefix("https://").unwrap().split_once(':').unwrap();
    let dialler = tls::Authority { ca: &door.ca.pem, own: None };
    // HTTP/1, so that what is sent can be stopped in the middle.
    let mut config = dialler.dialler(SystemTime::now()).unwrap().config();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect((host, port.parse().unwrap())).await.unwrap();
    let mut stream = connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap();
    let head = "POST /v2/apps HTTP/1.1\r\nHost: m1\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer[..read]).starts_with("HTTP/1.1 401 "));
    door.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn whoever_shows_a_certificate_that_is_not_good_is_not_spoken_to() {
    let door = Door::open().await;
    let now = SystemTime::now();
    let good = Wanted::peer(CLUSTER, PeerRole::Admin, "operator");
    let ping = async |client: Client| client.get(format!("{}/ping", door.url)).send().await;
    assert_eq!(ping(door.with(Some(&door.ca.issue(&good)))).await.unwrap().status(), 200);
    assert_eq!(ping(door.with(None)).await.unwrap().status(), 200);
    // What its owner's side would not even load is shown all the same, as an attacker would.
    let foreign = TestCa::new();
    let table = [
        ("expired", door.ca.issue(&Wanted { to: now - DAY / 2, ..good.clone() })),
        ("not yet valid", door.ca.issue(&Wanted { from: now + DAY, ..good.clone() })),
        ("another authority's", foreign.issue(&good)),
        ("another cluster's", door.ca.leaf("other", PeerRole::Admin, "operator")),
        ("nobody's", door.ca.issue(&Wanted { uris: Vec::new(), ..good.clone() })),
    ];
    for (what, leaf) in table {
        let identity =
            reqwest::Identity::from_pem(format!("{}{}", leaf.certificate, leaf.key).as_bytes()).unwrap();
        let ca = reqwest::Certificate::from_pem(door.ca.pem.as_bytes()).unwrap();
        let builder = Client::builder().no_proxy().tls_certs_only([ca]).identity(identity);
        let answer = ping(builder.build().unwrap()).await;
        assert!(answer.is_err(), "{what}: {answer:?}");
    }
    // In the clear.
    let plain = Client::builder().no_proxy().build().unwrap();
    let answer = plain.get(format!("{}/ping", door.url.replace("https", "http"))).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(answer.text().await.unwrap().contains("https://"));
    door.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn a_reader_of_events_hears_no_more_when_its_token_is_revoked() {
    let door = Door::open().await;
    let admin = door.peer(PeerRole::Admin, "operator");
    let (token, id) = door.token(&admin, "ann", "viewer", 86_400).await;
    let request = door.with(None).get(format!("{}/v2/events", door.url)).bearer_auth(token);
    let mut events = request.header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(events.status(), 200);
    assert!(events.chunk().await.unwrap().is_some());
    let path = format!("/clusterctl/v1/tokens/{id}");
    assert_eq!(door.ask(&admin, Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
    let silent = async { while let Ok(Some(_)) = events.chunk().await {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), silent).await.unwrap();
    door.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn an_agents_stream_is_for_admitted_agents_and_the_others_read_why_not() {
    let door = Door::open().await;
    let path = "/clusterctl.link.v1.Link/Connect";
    for (client, says) in [
        (door.with(None), "certificate"),
        (door.peer(PeerRole::Admin, "operator"), "agent"),
        (door.peer(PeerRole::Master, "m1"), "agent"),
        (door.peer(PeerRole::Agent, "a9"), "a9"),
    ] {
        let answer = client.post(format!("{}{path}", door.url)).send().await.unwrap();
        assert!(matches!(answer.status().as_u16(), 401 | 403), "{}", answer.status());
        assert_eq!(answer.headers()["grpc-status"], "7");
        let message = answer.headers()["grpc-message"].to_str().unwrap();
        assert!(message.contains(says), "{message}");
    }
    door.gateway.stop().await.unwrap();
}

#[tokio::test]
async fn without_a_certificate_nothing_but_loopback_is_listened_on() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let options = Options::new(CLUSTER, dir.path(), "m1:5050".to_owned(), Client::new());
    let refused = Gateway::start(listener, options).await.unwrap_err();
    assert!(matches!(refused, GatewayError::Exposed { .. }), "{refused}");
    assert!(refused.to_string().contains("certificate"));
}
