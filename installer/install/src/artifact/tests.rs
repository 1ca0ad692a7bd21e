use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Answers every request with the same; and how often it was asked.
async fn serve(status: &'static str, head: String, body: Vec<u8>) -> (String, Arc<AtomicUsize>) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/etcd-v3.5.0-linux-amd64.tar.gz", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{head}\r\n");
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&body).await;
        }
    });
    (url, asked)
}

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tape = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        tape.append_data(&mut header, path, *bytes).unwrap();
    }
    tape.into_inner().unwrap().finish().unwrap()
}

fn left(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_archive_is_fetched_once_and_its_program_kept() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("artifacts");
    let body = archive(&[("etcd-v3.5.0/README.md", b"etcd"), ("etcd-v3.5.0/etcd", b"a program")]);
    let sum = Sum::of(&body).to_string();
    let (url, asked) = serve("200 OK", format!("Content-Length: {}\r\n", body.len()), body).await;
    for _ in 0..2 {
        let program = fetch(&url, &sum, "etcd", &dir).await.unwrap();
        assert_eq!(fs::read(&program).unwrap(), b"a program");
        assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o700);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(left(&dir), [format!("{sum}-etcd")]);
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_file_that_is_no_archive_is_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let (url, _) = serve("200 OK", String::new(), b"\x7fELF".to_vec()).await;
    let program = fetch(&url, Sum::of(b"\x7fELF").as_str(), "etcd", dir.path()).await.unwrap();
    assert_eq!(fs::read(program).unwrap(), b"\x7fELF");
}

#[tokio::test]
async fn what_is_not_as_it_was_asked_for_is_refused_and_nothing_stays() {
    let dir = tempfile::tempdir().unwrap();
    let empty = archive(&[("etcd-v3.5.0/etcdctl", b"another"), ("etcd/README", b"a directory of that name")]);
    let cut = archive(&[("etcd", &[7; 9000])])[..60].to_vec();
    let length = |length: u64| format!("Content-Length: {length}\r\n");
    let table = [
        ("200 OK", String::new(), b"another".to_vec(), Some("0".repeat(64)), "and the inventory says 0000"),
        ("404 Not Found", String::new(), Vec::new(), None, "cannot be fetched"),
        ("200 OK", length(LARGEST + 1), b"x".to_vec(), None, "is larger than 512 MiB"),
        ("200 OK", length(100), b"cut".to_vec(), None, "cannot be fetched"),
        ("200 OK", String::new(), empty, None, "has no program `etcd` in it"),
        ("200 OK", String::new(), cut, None, "cannot be used"),
    ];
    for (status, head, body, sum, expected) in table {
        let sum = sum.unwrap_or_else(|| Sum::of(&body).to_string());
        let (url, _) = serve(status, head, body).await;
        let error = fetch(&url, &sum, "etcd", dir.path()).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert_eq!(left(dir.path()), [""; 0], "{expected}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/etcd");
    let error = fetch(&url, &"0".repeat(64), "etcd", dir.path()).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Fetch { .. }), "{error}");
}

#[test]
fn a_file_is_compared_with_its_checksum() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("etcd");
    fs::write(&path, "abc").unwrap();
    assert!(verify(&path, Sum::of(b"abc").as_str()).is_ok());
    assert!(matches!(verify(&path, Sum::of(b"abd").as_str()), Err(ArtifactError::Differs { .. })));
    assert!(matches!(verify(&dir.path().join("none"), ""), Err(ArtifactError::Io { .. })));
}

#[tokio::test]
async fn a_program_tells_its_version_or_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let program = |name: &str, said: &str| {
        let path = dir.path().join(name);
        fs::write(&path, format!("#!/bin/sh\ncat <<'X'\n{said}\nX\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let good = program("good", "etcd Version: 3.4.23\nGit SHA: x\nGo OS/Arch: linux/amd64");
    assert_eq!(etcd_version(&good).await.unwrap().as_deref(), Some("3.4.23"));
    let old = etcd_version(&program("old", "etcd Version: 3.3.25")).await.unwrap_err().to_string();
    assert!(old.ends_with("old is etcd 3.3.25, and 3.4.0 is the oldest that will do"), "{old}");
    let other = etcd_version(&program("other", "hello")).await.unwrap_err();
    assert!(matches!(other, ArtifactError::NotEtcd { .. }), "{other}");
    // For another kind of machine.
    let foreign = dir.path().join("foreign");
    fs::write(&foreign, b"\x7fELF\x02\x01").unwrap();
    fs::set_permissions(&foreign, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(etcd_version(&foreign).await.unwrap(), None);
}

#[test]
fn versions_are_numbers_and_plain_names() {
    let number = |text: &str| version_in(&format!("etcd Version: {text}\n")).map(|(_, number)| number);
    assert_eq!(number("3.5.0"), Some((3, 5, 0)));
    assert_eq!(number("3.6.0-rc.1"), Some((3, 6, 0)));
    assert_eq!(number("4.0.0+git"), Some((4, 0, 0)));
    for text in ["3.5", "three", "3.5.x", "3.5.0/../../etc", &format!("3.5.0{}", "0".repeat(40))] {
        assert_eq!(number(text), None, "{text}");
    }
    assert_eq!(version_in("Git SHA: x"), None);
}
