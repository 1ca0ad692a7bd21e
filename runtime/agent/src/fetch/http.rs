//! Downloading, with a bound on everything a server can draw out.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use reqwest::header::{ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use sha2::{Digest as _, Sha256};

use super::Options;
use super::blocking;
use super::cache::{Cache, Known, Temporary};
use super::digest::Digest;
use super::error::Why;

/// What is hashed and written at a time.
const BLOCK: usize = 256 << 10;
/// The longest pause between attempts.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What came.
pub(super) enum Answer {
    /// As it was the last time.
    Same,
    New(Body),
}

pub(super) struct Body {
    pub(super) temporary: Temporary,
    pub(super) size: u64,
    pub(super) sum: Digest,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

/// The client for servers of the world.
pub(super) fn client(options: &Options) -> Result<Client, Why> {
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
        .map_err(|e| Why::Network { from: "the HTTP client".into(), what: chain(&e) })
}

/// Why a redirect is not followed: more than enough, from the encrypted to the plain, or from elsewhere to
/// what only this machine can reach.
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
    if is_local(next) && !is_local(last) {
        return Some("it redirects to this machine or its metadata");
    }
    None
}

fn is_local(url: &Url) -> bool {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let v4 = |ip: Ipv4Addr| ip.is_loopback() || ip.is_link_local() || ip.is_unspecified();
    let v6 = |ip: Ipv6Addr| ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified();
    match host.parse() {
        Ok(IpAddr::V4(ip)) => v4(ip),
        Ok(IpAddr::V6(ip)) => ip.to_ipv4_mapped().map_or_else(|| v6(ip), v4),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Tries the addresses in turn, and all of them again while their faults may pass.
pub(super) async fn download(
    client: &Client,
    urls: &[Url],
    options: &Options,
    cache: &std::sync::Arc<Cache>,
    known: Option<&Known>,
) -> Result<Answer, Why> {
    let mut last = Why::NoMaster;
    for attempt in 0..options.attempts.max(1) {
        if attempt > 0 {
            let pause = options.backoff.saturating_mul(1 << (attempt - 1).min(16));
            tokio::time::sleep(pause.min(MAX_PAUSE)).await;
        }
        let mut again = false;
        for url in urls {
            let once = once(client, url, options, cache, known);
            let answer = tokio::time::timeout(options.download_timeout, once).await;
            let answer = answer.unwrap_or(Err(Why::Slow(options.download_timeout.as_secs())));
            match answer {
                Ok(answer) => return Ok(answer),
                Err(why) => {
                    again |= why.may_pass();
                    last = why;
                }
            }
        }
        if !again {
            break;
        }
    }
    Err(last)
}

async fn once(
    client: &Client,
    url: &Url,
    options: &Options,
    cache: &std::sync::Arc<Cache>,
    known: Option<&Known>,
) -> Result<Answer, Why> {
    let mut request = client.get(url.clone());
    if let Some(known) = known {
        for (name, value) in [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.last_modified)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
    }
    let mut response = request.send().await.map_err(|e| network(url, e))?;
    let status = response.status();
    if status == StatusCode::NOT_MODIFIED && known.is_some() {
        return Ok(Answer::Same);
    }
    if status != StatusCode::OK {
        return Err(Why::Status { from: server(url), status: status.as_u16() });
    }
    let large = || Why::Large(options.max_bytes);
    if response.content_length().is_some_and(|length| length > options.max_bytes) {
        return Err(large());
    }
    let (etag, last_modified) = (text(&response, &ETAG), text(&response, &LAST_MODIFIED));
    let cache = cache.clone();
    let mut sink = Sink::new(blocking(move || cache.temporary()).await?)?;
    while let Some(chunk) = response.chunk().await.map_err(|e| network(url, e))? {
        if sink.size.saturating_add(chunk.len() as u64) > options.max_bytes {
            return Err(large());
        }
        sink = sink.push(&chunk).await?;
    }
    let (temporary, size, sum) = sink.finish().await?;
    Ok(Answer::New(Body { temporary, size, sum, etag, last_modified }))
}

fn text(response: &Response, name: &HeaderName) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}

fn server(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

fn network(url: &Url, e: reqwest::Error) -> Why {
    let from = server(url);
    // A refused redirect is no fault that passes.
    let refused = e.is_redirect();
    let what = chain(&e.without_url());
    if refused { Why::Redirect { from, what } } else { Why::Network { from, what } }
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

/// A file that is hashed while it is written, off the async threads.
struct Sink {
    temporary: Temporary,
    hasher: Sha256,
    buffer: Vec<u8>,
    size: u64,
}

impl Sink {
    fn new(temporary: Temporary) -> Result<Self, Why> {
        Ok(Self { temporary, hasher: Sha256::new(), buffer: Vec::with_capacity(BLOCK), size: 0 })
    }

    async fn push(mut self, chunk: &[u8]) -> Result<Self, Why> {
        self.size += chunk.len() as u64;
        self.buffer.extend_from_slice(chunk);
        if self.buffer.len() < BLOCK { Ok(self) } else { self.flush().await }
    }

    async fn flush(mut self) -> Result<Self, Why> {
        blocking(move || {
            self.hasher.update(&self.buffer);
            let mut file: &File = &self.temporary.file;
            file.write_all(&self.buffer).map_err(Why::io("write", "the fetcher's cache"))?;
            self.buffer.clear();
            Ok(self)
        })
        .await
    }

    async fn finish(self) -> Result<(Temporary, u64, Digest), Why> {
        let sink = self.flush().await?;
        Ok((sink.temporary, sink.size, Digest::of(sink.hasher)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_go_to_no_weaker_and_no_nearer_place() {
        let url = |text: &str| Url::parse(text).unwrap();
        for (from, to, good) in [
            ("http://h/", "http://i/", true),
            ("http://h/", "https://i/", true),
            ("https://h/", "https://i/", true),
            ("https://h/", "http://h/", false),
            ("http://h/", "ftp://h/", false),
            ("http://h/", "http://169.254.169.254/latest", false),
            ("http://h/", "http://[::1]/", false),
            ("http://h/", "http://[::ffff:127.0.0.1]/", false),
            ("http://h/", "http://localhost:1/", false),
            ("http://127.0.0.1/", "http://127.0.0.1/x", true),
        ] {
            assert_eq!(refusal(&[url(from)], &url(to), 3).is_none(), good, "{from} -> {to}");
        }
        let many = vec![url("http://h/"); 4];
        assert_eq!(refusal(&many, &url("http://h/"), 3), Some("it redirects too often"));
    }
}
