//! Downloading to a file that may hold the beginning already, with a bound on everything a server can draw out. I/O, but for
//! `step` and `refusal`.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_RANGE, LAST_MODIFIED, RANGE,
};
use reqwest::{Client, StatusCode, Url, redirect};
use serde::{Deserialize, Serialize};

use crate::error::Fault;
use crate::resolver::Options;

/// The longest pause between attempts.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// A file of checksums is short.
const CHECKSUMS: u64 = 1 << 20;

/// A download under way, kept over the end of the process: the bytes, and beside them by what the server knows them.
#[derive(Debug)]
pub(crate) struct Partial {
    data: PathBuf,
    note: PathBuf,
}

/// By what the server knows what came so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// A strong entity tag, else the time of the last change.
    validator: Option<String>,
}

impl Partial {
    /// In `dir`, known by `key`.
    pub(crate) fn new(dir: &Path, key: &str) -> Self {
        Self { data: dir.join(format!("{key}.part")), note: dir.join(format!("{key}.json")) }
    }

    /// Where the bytes are.
    pub(crate) fn path(&self) -> &Path {
        &self.data
    }

    fn note(&self) -> Note {
        std::fs::read(&self.note).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    fn length(&self) -> u64 {
        self.data.metadata().map_or(0, |meta| meta.len())
    }

    /// The next download begins at the beginning.
    pub(crate) fn forget(&self) {
        // What is not there need not go.
        let _ = std::fs::remove_file(&self.note);
        let _ = std::fs::remove_file(&self.data);
    }
}

/// The client for servers of the world.
pub(crate) fn client(options: &Options) -> Result<Client, Fault> {
    let most = options.redirects;
    let policy =
        redirect::Policy::custom(move |attempt| match refusal(attempt.previous(), attempt.url(), most) {
            Some(why) => attempt.error(why),
            None => attempt.follow(),
        });
    Client::builder()
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.idle_timeout)
        .redirect(policy)
        .user_agent(concat!("clusterctl/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| Fault::Network { from: "the HTTP client".into(), what: chain(&e) })
}

/// Why a redirect is not followed.
fn refusal(previous: &[Url], next: &Url, most: usize) -> Option<&'static str> {
    let last = previous.last()?;
    if previous.len() > most {
        return Some("it redirects too often");
    }
    if !matches!(next.scheme(), "http" | "https") {
        return Some("it redirects to another scheme");
    }
    if last.scheme() == "https" && next.scheme() == "http" {
        return Some("it redirects from https to http");
    }
    if is_loopback(next) && !is_loopback(last) {
        return Some("it redirects to this machine");
    }
    None
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    match host.parse::<std::net::IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback() || ip.is_unspecified(),
        Err(_name) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// What an answer means to one who has the first `have` bytes and asked for the rest.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// The rest comes; of so many in all.
    Append(Option<u64>),
    /// All comes.
    Restart(Option<u64>),
    /// There is no more.
    Whole,
    /// What is there is not the beginning of what the server has.
    Forget,
    /// Neither.
    Refused,
}

fn step(status: StatusCode, headers: &HeaderMap, length: Option<u64>, have: u64) -> Step {
    let range = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let range = range.and_then(|value| value.trim().strip_prefix("bytes "));
    match status {
        StatusCode::OK => Step::Restart(length),
        StatusCode::PARTIAL_CONTENT => {
            let Some((span, total)) = range.and_then(|range| range.split_once('/')) else {
                return Step::Forget;
            };
            let first = span.split_once('-').and_then(|(first, _)| first.trim().parse::<u64>().ok());
            if first == Some(have) { Step::Append(total.trim().parse().ok()) } else { Step::Forget }
        }
        StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
            let total = range.and_then(|range| range.strip_prefix("*/")).and_then(|n| n.trim().parse().ok());
            if total == Some(have) { Step::Whole } else { Step::Forget }
        }
        _ => Step::Refused,
    }
}

/// By what the server will know the same again: a weak tag says nothing of bytes.
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name: &HeaderName| headers.get(name)?.to_str().ok().map(str::to_owned);
    text(&ETAG).filter(|tag| tag.starts_with('"')).or_else(|| text(&LAST_MODIFIED))
}

/// Downloads all of it, going on where an earlier attempt ended. Where the sum is known (`is_known`), a server that has no
/// name for what it sends is believed as well: the sum tells.
///
/// # Errors
/// The last fault, after so many attempts that brought nothing.
pub(crate) async fn download(
    client: &Client,
    url: &Url,
    partial: &Partial,
    is_known: bool,
    options: &Options,
    told: &(impl Fn(u64, Option<u64>) + Sync),
) -> Result<(), Fault> {
    let mut idle = 0;
    // Also a server that gives a byte a time comes to an end.
    for _ in 0..options.attempts.saturating_mul(50).max(1) {
        let before = partial.length();
        let once = once(client, url, partial, is_known, options, told);
        let fault = match tokio::time::timeout(options.download_timeout, once).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(fault)) if fault.may_pass() => fault,
            Ok(Err(fault)) => return Err(fault),
            Err(_elapsed) => {
                return Err(Fault::Slow {
                    what: "the download".into(),
                    seconds: options.download_timeout.as_secs(),
                });
            }
        };
        idle = if partial.length() > before { 1 } else { idle + 1 };
        if idle >= options.attempts.max(1) {
            return Err(fault);
        }
        tracing::debug!(%fault, url = %crate::names::shown(url.as_str()), "trying again");
        let pause = options.backoff.saturating_mul(1 << (idle - 1).min(16));
        tokio::time::sleep(pause.min(MAX_PAUSE)).await;
    }
    Err(Fault::Network { from: server(url), what: "the connection breaks again and again".to_owned() })
}

async fn once(
    client: &Client,
    url: &Url,
    partial: &Partial,
    is_known: bool,
    options: &Options,
    told: &(impl Fn(u64, Option<u64>) + Sync),
) -> Result<(), Fault> {
    let note = partial.note();
    let have = if note.validator.is_some() || is_known { partial.length() } else { 0 };
    let mut request = client.get(url.clone()).header(ACCEPT_ENCODING, "identity");
    if have > 0 {
        request = request.header(RANGE, format!("bytes={have}-"));
        if let Some(validator) = &note.validator {
            request = request.header(IF_RANGE, validator);
        }
    }
    let mut answer = request.send().await.map_err(|e| network(url, e))?;
    let (mut done, total) = match step(answer.status(), answer.headers(), answer.content_length(), have) {
        Step::Whole => return Ok(()),
        Step::Append(total) => (have, total),
        Step::Restart(total) => (0, total),
        Step::Forget => {
            partial.forget();
            let what = "what it sends does not go on where the last attempt ended".to_owned();
            return Err(Fault::Network { from: server(url), what });
        }
        Step::Refused => {
            return Err(Fault::Status { from: server(url), status: answer.status().as_u16() });
        }
    };
    if total.is_some_and(|total| total > options.max_bytes) {
        return Err(Fault::Large(options.max_bytes));
    }
    let write = Fault::io("write", &partial.data);
    let mut file = open(partial, done, &Note { validator: validator(answer.headers()) }).map_err(write)?;
    told(done, total);
    while let Some(piece) = answer.chunk().await.map_err(|e| network(url, e))? {
        done += piece.len() as u64;
        if done > options.max_bytes {
            partial.forget();
            return Err(Fault::Large(options.max_bytes));
        }
        file = tokio::task::spawn_blocking(move || file.write_all(&piece).map(|()| file))
            .await
            .map_err(|_ended| Fault::Stopped)?
            .map_err(Fault::io("write", &partial.data))?;
        told(done, total);
    }
    if total.is_some_and(|total| total != done) {
        return Err(Fault::Network { from: server(url), what: "the answer ended early".to_owned() });
    }
    Ok(())
}

fn open(partial: &Partial, at: u64, note: &Note) -> io::Result<File> {
    let mut file = File::options().create(true).truncate(false).write(true).open(&partial.data)?;
    file.set_len(at)?;
    file.seek(SeekFrom::Start(at))?;
    std::fs::write(&partial.note, serde_json::to_vec(note)?)?;
    Ok(file)
}

/// A short text: a file of checksums.
pub(crate) async fn text(client: &Client, url: &Url, options: &Options) -> Result<String, Fault> {
    let mut idle = 0;
    loop {
        let fault = match short(client, url).await {
            Ok(text) => return Ok(text),
            Err(fault) => fault,
        };
        idle += 1;
        if !fault.may_pass() || idle >= options.attempts.max(1) {
            return Err(fault);
        }
        tokio::time::sleep(options.backoff.saturating_mul(1 << (idle - 1).min(16)).min(MAX_PAUSE)).await;
    }
}

async fn short(client: &Client, url: &Url) -> Result<String, Fault> {
    let answer = client.get(url.clone()).header(ACCEPT_ENCODING, "identity").send();
    let mut answer = answer.await.map_err(|e| network(url, e))?;
    if answer.status() != StatusCode::OK {
        return Err(Fault::Status { from: server(url), status: answer.status().as_u16() });
    }
    let mut text = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|e| network(url, e))? {
        text.extend_from_slice(&piece);
        if text.len() as u64 > CHECKSUMS {
            return Err(Fault::Large(CHECKSUMS));
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn server(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

fn network(url: &Url, error: reqwest::Error) -> Fault {
    let from = server(url);
    let refused = error.is_redirect();
    let what = chain(&error.without_url());
    // A refused redirect does not pass.
    if refused { Fault::Address(format!("{from}: {what}")) } else { Fault::Network { from, what } }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn an_answer_is_the_rest_or_all_or_nothing() {
        let range = |value: &str| headers(&[("content-range", value)]);
        for (status, headers, length, have, expected) in [
            (200, HeaderMap::new(), Some(9), 0, Step::Restart(Some(9))),
            (200, HeaderMap::new(), Some(9), 4, Step::Restart(Some(9))),
            (206, range("bytes 4-8/9"), Some(5), 4, Step::Append(Some(9))),
            (206, range("bytes 4-8/*"), Some(5), 4, Step::Append(None)),
            (206, range("bytes 3-8/9"), Some(6), 4, Step::Forget),
            (206, HeaderMap::new(), Some(5), 4, Step::Forget),
            (416, range("bytes */4"), None, 4, Step::Whole),
            (416, range("bytes */3"), None, 4, Step::Forget),
            (416, HeaderMap::new(), None, 4, Step::Forget),
            (416, HeaderMap::new(), None, 0, Step::Refused),
            (404, HeaderMap::new(), None, 4, Step::Refused),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(step(status, &headers, length, have), expected, "{status} {headers:?}");
        }
    }

    #[test]
    fn a_weak_tag_is_no_name_for_bytes() {
        let of = |all: &[(&'static str, &str)]| validator(&headers(all));
        assert_eq!(of(&[("etag", "\"a\""), ("last-modified", "then")]).as_deref(), Some("\"a\""));
        assert_eq!(of(&[("etag", "W/\"a\""), ("last-modified", "then")]).as_deref(), Some("then"));
        assert_eq!(of(&[("etag", "W/\"a\"")]), None);
    }

    #[test]
    fn redirects_go_to_no_weaker_place_and_not_to_this_machine() {
        let url = |text: &str| Url::parse(text).unwrap();
        for (from, to, good) in [
            ("http://h/", "https://i/", true),
            ("https://h/", "http://h/", false),
            ("http://h/", "ftp://h/", false),
            ("http://h/", "http://[::ffff:127.0.0.1]/", false),
            ("http://h/", "http://localhost:1/", false),
            ("http://127.0.0.1/", "http://127.0.0.1/x", true),
        ] {
            assert_eq!(refusal(&[url(from)], &url(to), 3).is_none(), good, "{from} -> {to}");
        }
        assert!(refusal(&vec![url("http://h/"); 4], &url("http://h/"), 3).is_some());
    }
}
