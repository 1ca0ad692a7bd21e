//! A cluster's access, with a store on a disk and a clock that stands until it is told to move.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use access::{Access, Caller, Clock, Cost, Options};
use api::marathon::Timestamp;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::IntoResponse as _;
use http_body_util::BodyExt as _;
use identity::{Identity, PeerRole};
use serde_json::Value;
use store::{Candidate, EmbeddedStore, Prefix, Store, StoreError};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) struct World {
    pub(crate) access: Access,
    pub(crate) ended: JoinHandle<Result<(), StoreError>>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) now: Arc<AtomicI64>,
    dir: TempDir,
}

/// What a caller shows.
#[derive(Clone, Default)]
pub(crate) struct Shown {
    pub(crate) authorization: Option<String>,
    pub(crate) certificate: Option<Identity>,
    pub(crate) from: Option<std::net::IpAddr>,
}

pub(crate) fn nothing() -> Shown {
    Shown::default()
}

pub(crate) fn bearer(token: &str) -> Shown {
    Shown { authorization: Some(format!("Bearer {token}")), ..Shown::default() }
}

pub(crate) fn basic(user: &str, password: &str) -> Shown {
    use base64::Engine as _;
    let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    Shown { authorization: Some(format!("Basic {both}")), ..Shown::default() }
}

pub(crate) fn certificate(cluster: &str, role: PeerRole, name: &str) -> Shown {
    Shown { certificate: Some(Identity::new(cluster, role, name).unwrap()), ..Shown::default() }
}

pub(crate) fn root() -> Shown {
    certificate("prod", PeerRole::Admin, "root")
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

impl World {
    pub(crate) async fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(EmbeddedStore::open(dir.path(), store::Options::default()).await.unwrap());
        World::over(store, dir).await
    }

    pub(crate) async fn over(store: Arc<dyn Store>, dir: TempDir) -> World {
        let leadership = store.campaign(&Candidate::new("m1")).await.unwrap();
        let snapshot = store.load(&Prefix::all()).await.unwrap();
        let now = Arc::new(AtomicI64::new(1_700_000_000_000));
        let clock = {
            let now = Arc::clone(&now);
            Clock::new(move || Timestamp::from_millis(now.load(Ordering::SeqCst)))
        };
        let cost = Cost { memory_kib: 8, passes: 1 };
        let options = Options { cost, clock, ..Options::new("prod") };
        let (access, ended) = Access::start(options, Arc::clone(&store), leadership, &snapshot).unwrap();
        World { access, ended, store, now, dir }
    }

    /// The next leader's, over the same store.
    pub(crate) async fn again(self) -> World {
        self.access.stop();
        self.ended.await.unwrap().unwrap();
        let now = self.now.load(Ordering::SeqCst);
        let next = World::over(self.store, self.dir).await;
        next.now.store(now, Ordering::SeqCst);
        next
    }

    pub(crate) fn later(&self, seconds: i64) {
        self.now.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub(crate) fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    /// Whether a request is let in, as the door asks.
    pub(crate) async fn enter(&self, method: &Method, path: &str, shown: &Shown) -> Result<Caller, Answer> {
        let mut headers = HeaderMap::new();
        if let Some(value) = &shown.authorization {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let entered = self
            .access
            .enter(method, path, &headers, shown.certificate.as_ref(), shown.from, self.time())
            .await;
        match entered {
            Ok(caller) => Ok(caller),
            Err(refusal) => Err(read(refusal.into_response()).await),
        }
    }

    /// A request to the crate's own routes, by way of the door.
    pub(crate) async fn ask(&self, request: &str, shown: &Shown, body: &str) -> Answer {
        let (method, path) = request.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let caller = match self.enter(&method, path, shown).await {
            Ok(caller) => caller,
            Err(answer) => return answer,
        };
        assert!(access::serves(path), "{path}");
        let mut request =
            Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
        request.extensions_mut().insert(caller);
        if let Some(from) = shown.from {
            let peer = std::net::SocketAddr::new(from, 40_000);
            request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
        }
        read(self.access.router().oneshot(request).await.unwrap()).await
    }

    /// Makes a user, as the operator does.
    pub(crate) async fn user(&self, name: &str, role: &str) {
        let body = format!(r#"{{"role": "{role}", "password": "{PASSWORD}"}}"#);
        let answer = self.ask(&format!("PUT /clusterctl/v1/users/{name}"), &root(), &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    }

    /// A token of that user's, from a login.
    pub(crate) async fn log_in(&self, name: &str) -> String {
        let body = format!(r#"{{"user": "{name}", "password": "{PASSWORD}"}}"#);
        let answer = self.ask("POST /clusterctl/v1/login", &nothing(), &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn admit(&self, name: &str) {
        let answer = self.ask(&format!("PUT /clusterctl/v1/admissions/{name}"), &root(), "").await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    }
}

pub(crate) async fn read(response: axum::response::Response) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, text }
}
