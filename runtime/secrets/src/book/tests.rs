//! Secrets in a store as others leave it, and in answers as others read them.

use std::sync::Arc;

use access::Clock;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use store::{Candidate, EmbeddedStore, Prefix, Store};
use tower::ServiceExt as _;

use super::*;
use crate::{KeyFile, Options, Secrets};

fn now(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + 1000 * seconds)
}

fn key() -> Key {
    Key::read(&Key::draw().unwrap()).unwrap()
}

fn path(text: &str) -> SecretPath {
    text.parse().unwrap()
}

fn new(at: &str, value: &str) -> New {
    New { path: path(at), value: value.to_owned().into(), by: "ann".to_owned(), package: None }
}

fn stored(book: &Book, at: &str) -> Vec<u8> {
    book.records[&path(at)].bytes().unwrap()
}

/// A book with this record alone.
fn with(at: &str, bytes: &[u8]) -> Result<Record, String> {
    Record::read(&path(at).key().unwrap(), bytes)
}

fn of(record: Record) -> Book {
    Book { records: [(record.path.clone(), record)].into(), damaged: BTreeMap::new() }
}

fn revealed(book: &Book, at: &str, key: &Key) -> Result<String, SecretError> {
    book.reveal(&path(at), key).map(|value| value.expose_secret().to_owned())
}

proptest! {
    #[test]
    fn what_is_stored_comes_back_and_shows_nowhere(value in "[ -~]{8,200}") {
        let key = key();
        let (book, _) = Book::default().put(vec![new("a/b", &value)], &key, now(0)).unwrap();
        let bytes = stored(&book, "a/b");
        let read = of(with("a/b", &bytes).unwrap());
        prop_assert_eq!(revealed(&read, "a/b", &key).unwrap(), value.clone());
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &value);
        for text in [String::from_utf8(bytes).unwrap(), format!("{book:?}"), serde_json::to_string(&book.all(Some(&key))).unwrap()] {
            prop_assert!(!text.contains(&value) && !text.contains(&encoded));
        }
    }

    #[test]
    fn a_record_that_was_changed_in_any_bit_is_told_from_the_stored_one(at in 0_usize..64, bit in 0_u8..8) {
        let key = key();
        let (book, _) = Book::default().put(vec![new("a", "correct horse battery")], &key, now(0)).unwrap();
        let sealed = book.records[&path("a")].sealed();
        let (mut nonce, mut bytes) = (sealed.nonce, sealed.bytes);
        let length = nonce.len() + bytes.len();
        let at = at % length;
        let nonces = nonce.len();
        let place = if at < nonces { &mut nonce[at] } else { &mut bytes[at - nonces] };
        *place ^= 1 << bit;
        let record = Record::new(path("a"), key.id().to_owned(), crate::key::Sealed { nonce, bytes }, 21, now(0), String::new());
        prop_assert!(matches!(revealed(&of(record), "a", &key), Err(SecretError::Tampered(_))));
    }
}

#[test]
fn a_record_is_good_for_its_own_path_and_key_alone() {
    let key = key();
    let (book, _) =
        Book::default().put(vec![new("a", "one-secret"), new("b", "two-secret")], &key, now(0)).unwrap();
    let a = stored(&book, "a");
    // Moved to another place, as it is and with its path rewritten.
    assert_eq!(with("b", &a).unwrap_err(), "it is the record of a");
    let moved = String::from_utf8(a.clone()).unwrap().replace("\"path\":\"a\"", "\"path\":\"b\"");
    let moved = of(with("b", moved.as_bytes()).unwrap());
    assert!(matches!(revealed(&moved, "b", &key), Err(SecretError::Tampered(_))));
    // With the id of a key that it was not sealed with.
    let other = self::key();
    assert!(matches!(revealed(&book, "a", &other), Err(SecretError::OtherKey { .. })));
    let claimed = String::from_utf8(a.clone()).unwrap().replace(key.id(), other.id());
    assert!(matches!(
        revealed(&of(with("a", claimed.as_bytes()).unwrap()), "a", &other),
        Err(SecretError::Tampered(_))
    ));
    // Damaged and of later versions.
    assert!(with("a", b"{").is_err() && with("a", b"{\"version\":1}").is_err());
    assert!(with("a", b"{\"version\":2}").unwrap_err().contains("run a later one"));
}

#[test]
fn with_another_key_nothing_is_written_but_all_can_be_removed() {
    let (first, second) = (key(), key());
    let (book, _) = Book::default().put(vec![new("a", "one")], &first, now(0)).unwrap();
    let error = book.put(vec![new("b", "two")], &second, now(0)).unwrap_err();
    assert!(error.to_string().contains(first.id()) && error.to_string().contains(second.id()), "{error}");
    assert!(book.one(&path("a"), Some(&second)).unwrap().problem.is_some());
    let (empty, _) = book.remove(&path("a")).unwrap();
    assert!(empty.put(vec![new("b", "two")], &second, now(0)).is_ok());
}

#[test]
fn values_that_no_environment_takes_are_refused() {
    let key = key();
    for (value, fine) in [
        ("x", true),
        ("ä\n", true),
        ("", false),
        ("a\0", false),
        (&"x".repeat(MAX_SECRET), true),
        (&"x".repeat(MAX_SECRET + 1), false),
    ] {
        let put = Book::default().put(vec![new("a", value)], &key, now(0));
        assert_eq!(put.is_ok(), fine, "{} bytes", value.len());
    }
}

#[test]
fn a_change_keeps_the_age_and_the_package() {
    let key = key();
    let owned = New { package: Some("/spark".to_owned()), ..new("spark/p", "one") };
    let (book, _) = Book::default().put(vec![owned, new("mine", "x")], &key, now(0)).unwrap();
    let (book, _) = book.put(vec![new("spark/p", "three")], &key, now(5)).unwrap();
    let shown = book.one(&path("/spark/p"), Some(&key)).unwrap();
    assert_eq!((shown.size, shown.created, shown.changed), (5, now(0), now(5)));
    assert_eq!(shown.package.as_deref(), Some("/spark"));
    let (book, batch) = book.remove_of("/spark").unwrap();
    assert_eq!(batch.len(), 1);
    assert_eq!(book.all(None).into_iter().map(|shown| shown.path).collect::<Vec<_>>(), ["mine"]);
}

struct World {
    store: Arc<dyn Store>,
    secrets: Secrets,
    _dir: tempfile::TempDir,
}

async fn start(store: &Arc<dyn Store>, key: KeyFile) -> Secrets {
    let leadership = store.campaign(&Candidate::new("m1")).await.unwrap();
    let snapshot = store.load(&Prefix::all()).await.unwrap();
    let options = Options { key, clock: Clock::new(|| now(0)) };
    Secrets::start(options, Arc::clone(store), leadership, &snapshot).unwrap().0
}

async fn world(key: KeyFile) -> World {
    let dir = tempfile::tempdir().unwrap();
    let opened = EmbeddedStore::open(&dir.path().join("store"), store::Options::default()).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(opened);
    let secrets = start(&store, key).await;
    World { store, secrets, _dir: dir }
}

async fn ask(secrets: &Secrets, method: Method, at: &str, body: impl Into<Body>) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(format!("/clusterctl/v1/secrets{at}"))
        .body(body.into())
        .unwrap();
    let response = secrets.router().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn over_http_values_go_in_and_never_come_out() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(KeyFile::OrMade(dir.path().join("k"))).await;
    let mut answers = Vec::new();
    for (method, at, body, wanted) in [
        (Method::PUT, "/db/password", r#"{"value": "hunter2"}"#, 201),
        (Method::PUT, "/db/password", r#"{"value": "hunter2-two"}"#, 200),
        (Method::GET, "/db/password", "", 200),
        (Method::GET, "", "", 200),
        (Method::GET, "/db", "", 404),
        (Method::PUT, "/db//x", r#"{"value": "hunter2"}"#, 400),
        (Method::PUT, "/db/%2e%2e/x", r#"{"value": "hunter2"}"#, 400),
        (Method::PUT, "/a", r#"{"value": "hunter2"#, 400),
        (Method::PUT, "/a", r#"["hunter2"]"#, 400),
        (Method::PUT, "/a", r#"{"value": ["hunter2"]}"#, 400),
        (Method::PUT, "/a", r#"{"value": "x", "hunter2": "hunter2"}"#, 400),
        (Method::PUT, "/a", r#"{"value": ""}"#, 422),
        (Method::PUT, "/a", r#"{"value": "hunter2\u0000"}"#, 422),
        (Method::DELETE, "/a", "", 404),
    ] {
        let (status, text) = ask(&world.secrets, method.clone(), at, body).await;
        assert_eq!(status.as_u16(), wanted, "{method} {at} {body}: {text}");
        answers.push(text);
    }
    assert!(answers.iter().all(|text| !text.contains("hunter2")), "{answers:?}");
    assert!(
        answers[3].contains(r#""path":"db/password""#) && answers[3].contains(r#""size":11"#),
        "{}",
        answers[3]
    );
    let long = format!(r#"{{"value": "{}"}}"#, "x".repeat(7 * MAX_SECRET));
    assert_eq!(ask(&world.secrets, Method::PUT, "/a", long).await.0, 413);
    assert_eq!(world.secrets.reveal("/db/password").unwrap().expose_secret(), "hunter2-two");
    let snapshot = world.store.load(&Prefix::all()).await.unwrap();
    for entry in snapshot.entries.values() {
        assert!(!String::from_utf8_lossy(&entry.value).contains("hunter2"));
    }
    assert!(!format!("{:?}", world.secrets).contains("hunter2"));
    assert_eq!(ask(&world.secrets, Method::DELETE, "/db/password", "").await.0, 204);
    assert!(matches!(world.secrets.reveal("db/password"), Err(SecretError::Absent(_))));
}

#[tokio::test]
async fn a_master_without_the_key_tells_what_there_is_and_why_it_cannot_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("k");
    let world = world(KeyFile::OrMade(file.clone())).await;
    ask(&world.secrets, Method::PUT, "/a", r#"{"value": "hunter2"}"#).await;
    world.secrets.stop();
    // The next reign, after the file is gone.
    std::fs::remove_file(&file).unwrap();
    for key in [KeyFile::OrMade(file.clone()), KeyFile::At(file.clone()), KeyFile::None] {
        let snapshot = world.store.load(&Prefix::all()).await.unwrap();
        let book = Book::load(&snapshot).unwrap();
        assert!(key.open(!book.is_empty()).is_err());
    }
    assert!(!file.exists(), "a new key would hide that the old one is gone");
}

#[tokio::test]
async fn without_any_key_values_are_refused_and_nothing_else() {
    let world = world(KeyFile::None).await;
    let (status, text) = ask(&world.secrets, Method::PUT, "/a", r#"{"value": "hunter2"}"#).await;
    assert_eq!(status, 409);
    assert!(text.contains("secrets_key") && !text.contains("hunter2"), "{text}");
    let (status, text) = ask(&world.secrets, Method::GET, "", "").await;
    assert!(status == 200 && text.contains("\"problem\""), "{text}");
    assert!(matches!(world.secrets.reveal("a"), Err(SecretError::NoKey(_))));
}
