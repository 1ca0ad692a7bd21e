//! A cache, a directory of programs, servers that answer by a list, and archives.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{Cursor, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifacts::spec::{Artifact, ArtifactKind, At, Member, Source, Sum};
use artifacts::{Event, Options, Progress, Resolver};
use sha2::{Digest as _, Sha256, Sha512};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn sha512(bytes: &[u8]) -> String {
    Sha512::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) struct Place {
    dir: tempfile::TempDir,
    package: PathBuf,
    heard: Arc<Mutex<Vec<Event>>>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        for name in ["package", "bin"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let package = dir.path().join("package");
        Self { dir, package, heard: Arc::default() }
    }

    /// The package's directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.package
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// A new process' resolver.
    pub(crate) fn resolver(&self) -> Resolver {
        self.resolver_with(|_| {})
    }

    pub(crate) fn resolver_with(&self, change: impl FnOnce(&mut Options)) -> Resolver {
        let mut options = Options::new(self.cache());
        let heard = self.heard.clone();
        options.progress = Progress::new(move |event| heard.lock().unwrap().push(event));
        options.path = self.dir.path().join("bin").into();
        options.backoff = Duration::from_millis(1);
        options.attempts = 2;
        change(&mut options);
        Resolver::new(options).unwrap()
    }

    /// What was told.
    pub(crate) fn events(&self, of: impl Fn(&Event) -> Option<String>) -> Vec<String> {
        self.heard.lock().unwrap().iter().filter_map(of).collect()
    }

    /// The sums that are kept.
    pub(crate) fn kept(&self) -> Vec<String> {
        let entries = fs::read_dir(self.cache().join("sha256")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// How much is under way.
    pub(crate) fn left(&self) -> usize {
        fs::read_dir(self.cache().join("tmp")).unwrap().count()
    }

    /// A program on the path.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let file = self.dir.path().join("bin").join(name);
        // One that runs cannot be written to, so another one takes its place.
        let new = file.with_extension("new");
        fs::write(&new, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, &file).unwrap();
    }

    pub(crate) fn source(&self, at: At, sum: Option<Sum>, home: &str) -> Source {
        Source { at, sum, home: home.to_owned() }
    }

    pub(crate) fn artifact(&self, name: &str, sources: Vec<Source>) -> Artifact {
        Artifact { name: name.to_owned(), file: None, extract: None, kind: ArtifactKind::Sources(sources) }
    }

    pub(crate) fn url(&self, name: &str, url: &str, sum: Option<Sum>) -> Artifact {
        self.artifact(name, vec![self.source(At::Url(url.to_owned()), sum, "")])
    }

    pub(crate) fn closure(&self, name: &str, members: Vec<Member>) -> Artifact {
        Artifact { name: name.to_owned(), file: None, extract: None, kind: ArtifactKind::Closure(members) }
    }
}

/// What a server answers to one request.
pub(crate) enum Answer {
    /// All of it, whatever was asked for; the connection ends after `cut` bytes.
    Whole {
        body: Vec<u8>,
        etag: Option<&'static str>,
        cut: Option<usize>,
    },
    /// What the range asks for.
    Ranges {
        body: Vec<u8>,
        etag: &'static str,
        cut: Option<usize>,
    },
    /// All of it, without saying how much that is.
    Chunked(Vec<u8>),
    Status(u16),
}

type Request = BTreeMap<String, String>;

/// Answers one request after the other as it was told.
pub(crate) struct Server {
    address: String,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (of, log) = (answers.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (of, log) = (of.clone(), log.clone());
                tokio::spawn(async move {
                    // A client that breaks off is no fault of the server.
                    let _ = serve(stream, &of, &log).await;
                });
            }
        });
        Self { address, answers, asked }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn then(&self, answer: Answer) {
        self.answers.lock().unwrap().push_back(answer);
    }

    /// The headers of all requests.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    answers: &Mutex<VecDeque<Answer>>,
    asked: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let headers: Request = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let range = headers
        .get("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    asked.lock().unwrap().push(headers);
    let answer = answers.lock().unwrap().pop_front().unwrap_or(Answer::Status(418));
    let mut send = async |head: String, body: &[u8]| {
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await?;
        stream.write_all(body).await?;
        stream.shutdown().await
    };
    match answer {
        Answer::Whole { body, etag, cut } => {
            let tag = etag.map(|etag| format!("ETag: {etag}\r\n")).unwrap_or_default();
            let head = format!("HTTP/1.1 200 OK\r\n{tag}Content-Length: {}\r\n", body.len());
            send(head, &body[..cut.unwrap_or(body.len())]).await
        }
        Answer::Ranges { body, etag, cut } => {
            let from = range.unwrap();
            let rest = &body[from..];
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\nETag: {etag}\r\nContent-Range: bytes {from}-{}/{}\r\nContent-Length: {}\r\n",
                body.len() - 1,
                body.len(),
                rest.len()
            );
            send(head, &rest[..cut.unwrap_or(rest.len())]).await
        }
        Answer::Chunked(body) => {
            let mut chunks = Vec::new();
            for piece in body.chunks(64 << 10) {
                chunks.extend(format!("{:x}\r\n", piece.len()).into_bytes());
                chunks.extend_from_slice(piece);
                chunks.extend(b"\r\n");
            }
            chunks.extend(b"0\r\n\r\n");
            send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n".to_owned(), &chunks).await
        }
        Answer::Status(status) => send(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n"), b"").await,
    }
}

/// A tar with these paths as they are written, also such as lead out.
pub(crate) fn tar_of(files: &[(&str, u32, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, mode, data) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(*mode);
        header.set_mtime(1_700_000_000);
        header.set_uid(1000);
        header.set_size(data.len() as u64);
        header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend([0; 1024]);
    bytes
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zip_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, data) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(data.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Mode, user, group, time, path and contents of each entry, in order.
pub(crate) fn listing(archive: &Path) -> Vec<String> {
    let mut archive = tar::Archive::new(fs::File::open(archive).unwrap());
    let mut lines = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let header = entry.header();
        let line = format!(
            "{:o} {} {} {} {} {text}",
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            header.mtime().unwrap(),
            entry.path().unwrap().display()
        );
        lines.push(line.trim_end().to_owned());
    }
    lines
}
