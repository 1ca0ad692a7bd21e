//! The three requests against a sandbox whose task is hostile.

use std::fs::{self, File};
use std::os::unix::fs::symlink;

use axum::body::to_bytes;
use axum::extract::Query as Parsed;
use axum::http::Uri;
use rustix::fs::{CWD, Mode, mkfifoat};

use super::*;

struct Sandbox {
    dir: tempfile::TempDir,
    attached: Attached,
}

impl Sandbox {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("sandbox/d")).unwrap();
        fs::write(at("secret"), "secret").unwrap();
        fs::write(at("master.log"), "log").unwrap();
        fs::write(at("sandbox/stdout"), "hello").unwrap();
        fs::write(at("sandbox/euro"), "a€b").unwrap();
        symlink("../stdout", at("sandbox/d/inside")).unwrap();
        symlink("../secret", at("sandbox/outside")).unwrap();
        symlink("/proc/self/root", at("sandbox/root")).unwrap();
        symlink("loop", at("sandbox/loop")).unwrap();
        mkfifoat(CWD, at("sandbox/fifo"), Mode::from_raw_mode(0o600)).unwrap();
        File::create(at("sandbox/sparse")).unwrap().set_len(1 << 40).unwrap();
        let attached = Attached::default();
        attached.attach("/run/task", &at("sandbox"));
        attached.attach("/master/log", &at("master.log"));
        attached.attach("/gone", &at("gone"));
        attached.attach("/dev", std::path::Path::new("/dev"));
        Self { dir, attached }
    }

    async fn response(&self, request: &str) -> Response {
        let uri: Uri = format!("/files/{request}").parse().unwrap();
        let asked = Parsed::try_from_uri(&uri).unwrap();
        let attached = State(self.attached.clone());
        let answer = match uri.path().trim_end_matches(".json") {
            "/files/browse" => browse(attached, asked).await,
            "/files/read" => read(attached, asked).await,
            _ => download(attached, asked).await,
        };
        answer.into_response()
    }

    async fn get(&self, request: &str) -> (u16, String) {
        let response = self.response(request).await;
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn pieces_are_read_as_mesos_reads_them() {
    let sandbox = Sandbox::new();
    let euro = "path=/run/task/euro";
    for (request, status, body) in [
        ("path=/run/task/stdout".to_owned(), 200, r#"{"data":"","offset":5}"#),
        ("path=/run/task/stdout&offset=-1&length=9".into(), 200, r#"{"data":"","offset":5}"#),
        ("path=/run/task/stdout&offset=0".into(), 200, r#"{"data":"hello","offset":0}"#),
        ("path=run/task//stdout&offset=1&length=2".into(), 200, r#"{"data":"el","offset":1}"#),
        ("path=/run/task/stdout&offset=1&length=-1".into(), 200, r#"{"data":"ello","offset":1}"#),
        ("path=/run/task/stdout&offset=1&length=0".into(), 200, r#"{"data":"","offset":1}"#),
        ("path=/run/task/stdout&offset=5".into(), 200, r#"{"data":"","offset":5}"#),
        ("path=/run/task/stdout&offset=99".into(), 200, r#"{"data":"","offset":5}"#),
        ("path=/run/task/d/inside&offset=0".into(), 200, r#"{"data":"hello","offset":0}"#),
        ("path=/run/task/d/../stdout&offset=0".into(), 200, r#"{"data":"hello","offset":0}"#),
        ("path=/master/log&offset=0".into(), 200, r#"{"data":"log","offset":0}"#),
        ("path=/master/log&offset=0&jsonp=f".into(), 200, r#"f({"data":"log","offset":0});"#),
        ("path=/master/log&offset=0&jsonp=f(".into(), 400, "'jsonp' must be the name of a function.\n"),
        ("path=/run/task/sparse".into(), 200, r#"{"data":"","offset":1099511627776}"#),
        (format!("{euro}&offset=0&length=3"), 200, r#"{"data":"a","offset":0}"#),
        (format!("{euro}&offset=1&length=4"), 200, r#"{"data":"€b","offset":1}"#),
        (format!("{euro}&offset=3&length=4"), 200, r#"{"data":"?b","offset":3}"#),
        (String::new(), 400, "Expecting 'path=value' in query.\n"),
        ("path=".into(), 400, "Expecting 'path=value' in query.\n"),
        ("path=/run/task/stdout&offset=-2".into(), 400, "Negative offset provided: -2.\n"),
        ("path=/run/task/stdout&offset=0&length=-2".into(), 400, "Negative length provided: -2.\n"),
        ("path=/run/task/a%00b".into(), 400, "The path holds a NUL.\n"),
        ("path=/run/task/d".into(), 400, "It is a directory.\n"),
    ] {
        for suffix in ["", ".json"] {
            let got = sandbox.get(&format!("read{suffix}?{request}")).await;
            assert_eq!(got, (status, body.to_owned()), "{request}");
        }
    }
    let (_, large) = sandbox.get("read?path=/run/task/sparse&offset=1000000000000").await;
    assert_eq!(large.matches("\\u0000").count(), 64 << 10, "no more than 16 pages");
}

#[tokio::test]
async fn what_leads_out_or_is_no_file_is_refused() {
    let sandbox = Sandbox::new();
    for (path, status) in [
        ("/run/task/outside", 403),
        ("/run/task/../secret", 403),
        ("/run/task/d/../../secret", 403),
        ("/run/task/root/etc/passwd", 403),
        ("/run/task/fifo", 403),
        ("/dev/zero", 403),
        ("/run/task/none", 404),
        ("/run/task/loop", 404),
        ("/run/task/stdout/x", 404),
        ("/master/log/x", 404),
        ("/gone", 404),
        ("/etc/passwd", 404),
        ("/run", 404),
    ] {
        for form in ["read", "download"] {
            assert_eq!(sandbox.get(&format!("{form}?path={path}")).await.0, status, "{form} {path}");
        }
    }
    for (path, status) in [
        ("/run/task/..", 403),
        ("/run/task/root", 403),
        ("/run/task/none", 404),
        ("/run", 404),
        ("/run/task/stdout", 200),
    ] {
        assert_eq!(sandbox.get(&format!("browse?path={path}")).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn a_directory_lists_what_is_in_it() {
    let sandbox = Sandbox::new();
    let (status, body) = sandbox.get("browse?path=/run/task/").await;
    let entries: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap();
    let field = |name: &str| entries.iter().map(|e| e[name].to_string().replace('"', "")).collect::<Vec<_>>();
    assert_eq!(status, 200);
    let names = ["d", "euro", "fifo", "loop", "outside", "root", "sparse", "stdout"];
    assert_eq!(field("path"), names.map(|name| format!("/run/task/{name}")));
    let kinds: String = field("mode").iter().filter_map(|mode| mode.chars().next()).collect();
    assert_eq!(kinds, "d-plll--");
    assert_eq!(entries[7]["size"], 5);
    assert_eq!(entries[6]["size"], 1_u64 << 40);
    assert!(entries[7]["mtime"].is_i64() && entries[7]["uid"].is_string() && entries[7]["nlink"] == 1);
    let inside = sandbox.get("browse.json?path=/run/task/d").await.1;
    assert!(inside.contains("\"path\":\"/run/task/d/inside\"") && inside.contains("\"size\":5"), "{inside}");
    assert_eq!(sandbox.get("browse?path=/run/task/stdout").await.1, "[]");
}

#[tokio::test]
async fn downloads_are_streamed_and_never_shown_by_browsers() {
    let sandbox = Sandbox::new();
    let text = "line\n".repeat(50_000);
    fs::write(sandbox.dir.path().join("sandbox/large"), &text).unwrap();
    let response = sandbox.response("download?path=/run/task/large").await;
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/octet-stream");
    assert_eq!(header("content-disposition"), "attachment; filename=\"large\"");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("content-length"), "250000");
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    assert!(bytes == text.as_bytes());
    // Nothing is held of what nobody reads.
    let response = sandbox.response("download?path=/run/task/sparse").await;
    assert_eq!(response.headers()["content-length"], "1099511627776");
    // A file that becomes shorter is an error, and not a short file.
    let response = sandbox.response("download?path=/run/task/large").await;
    File::options().write(true).open(sandbox.dir.path().join("sandbox/large")).unwrap().set_len(10).unwrap();
    assert!(to_bytes(response.into_body(), 1 << 20).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_swapped_meanwhile_never_shows_what_is_outside() {
    let sandbox = Sandbox::new();
    let dir = sandbox.dir.path().join("sandbox");
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let swapper = std::thread::spawn({
        let (dir, stop) = (dir.clone(), stop.clone());
        move || {
            let (here, there) = (dir.join("here"), dir.join("swapped"));
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for target in ["stdout", "../secret", "fifo"] {
                    symlink(target, &here).unwrap();
                    fs::rename(&here, &there).unwrap();
                }
            }
        }
    });
    for _ in 0..2000 {
        let (status, body) = sandbox.get("read?path=/run/task/swapped&offset=0").await;
        assert!(matches!(status, 200 | 403 | 404), "{status} {body}");
        assert!(!body.contains("secret"), "{body}");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    swapper.join().unwrap();
}

#[tokio::test]
async fn the_router_serves_all_paths() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let sandbox = Sandbox::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = router(sandbox.attached.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    for (path, status) in [
        ("browse?path=/run/task/d", 200),
        ("browse.json?path=/run%2Ftask", 200),
        ("read?path=/run/task/stdout", 200),
        ("read.json?path=/run/task/stdout", 200),
        ("download?path=/run/task/stdout", 200),
        ("download", 400),
        ("read?path=/a&path=/b", 400),
        ("none?path=/a", 404),
    ] {
        let got = reqwest::get(format!("http://{address}/files/{path}")).await.unwrap();
        assert_eq!(got.status().as_u16(), status, "{path}");
    }
}
