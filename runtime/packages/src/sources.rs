//! Reading repositories: the one that is part of the program, indexes over HTTP, and archives that were uploaded. What was read is
//! kept for a while, and longer when it cannot be read again: one bad repository does not hide the others (§2).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Limited};
use reqwest::header::ACCEPT;
use thiserror::Error;
use tokio::time::Instant;
use tower::ServiceExt as _;
use universe::{Repository, Universe};

use crate::book::{BUILT_IN, RepositoryEntry};

/// What is as old as this is read again.
const FRESH: Duration = Duration::from_secs(60);
/// A server that is not there by then does not come.
const WITHIN: Duration = Duration::from_secs(20);
/// The public index has some 30 MiB.
const MAX_BYTES: usize = 256 << 20;
/// What Cosmos asks for; the newest form first.
const INDEX: &str = "application/vnd.dcos.universe.repo+json;charset=utf-8;version=v5, \
    application/vnd.dcos.universe.repo+json;charset=utf-8;version=v4;q=0.9, \
    application/vnd.dcos.universe.repo+json;charset=utf-8;version=v3;q=0.8, application/json;q=0.5";

/// Why a repository cannot be read.
#[derive(Debug, Clone, Error)]
pub(crate) enum SourceError {
    #[error("{0:?} is no address of a repository; it begins with https://, http:// or artifact://sha256/")]
    Unsupported(String),
    #[error("{uri} cannot be fetched: {why}")]
    Fetch { uri: String, why: String },
    #[error("{uri} answers with status {status}")]
    Status { uri: String, status: u16 },
    #[error("{uri} is larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge { uri: String },
    #[error("{uri} is no repository: {why}")]
    Unreadable { uri: String, why: String },
}

/// The program's own, read once.
fn catalog() -> Arc<Repository> {
    static CATALOG: OnceLock<Arc<Repository>> = OnceLock::new();
    Arc::clone(CATALOG.get_or_init(|| Arc::new(universe::catalog())))
}

struct Cached {
    at: Instant,
    /// The last that could be read.
    packages: Option<Arc<Repository>>,
    fault: Option<SourceError>,
}

/// All that was read.
pub(crate) struct Sources {
    http: reqwest::Client,
    artifacts: Router,
    cached: Mutex<BTreeMap<String, Cached>>,
}

/// What there is to choose from, and what could not be read.
pub(crate) struct Shelf {
    pub(crate) universe: Universe,
    /// By the repository's name.
    pub(crate) faults: Vec<(String, SourceError)>,
}

impl Sources {
    pub(crate) fn new(http: reqwest::Client, artifacts: Router) -> Self {
        Self { http, artifacts, cached: Mutex::default() }
    }

    /// All packages of these repositories, in their order.
    pub(crate) async fn shelf(&self, entries: &[RepositoryEntry]) -> Shelf {
        let read = futures_util::future::join_all(entries.iter().map(|entry| self.repository(entry))).await;
        let (mut repositories, mut faults) = (Vec::new(), Vec::new());
        for (entry, (repository, fault)) in entries.iter().zip(read) {
            repositories.extend(repository);
            if let Some(fault) = fault {
                tracing::warn!(repository = entry.name, %fault, "a repository cannot be read");
                faults.push((entry.name.clone(), fault));
            }
        }
        Shelf { universe: Universe::new(repositories), faults }
    }

    async fn repository(&self, entry: &RepositoryEntry) -> (Option<Arc<Repository>>, Option<SourceError>) {
        if entry.uri == BUILT_IN.1 {
            return (Some(catalog()), None);
        }
        let now = Instant::now();
        {
            let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = cached.get(&entry.uri).filter(|known| now.duration_since(known.at) < FRESH) {
                return (known.packages.clone(), known.fault.clone());
            }
        }
        let read = self.read(entry).await;
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let known =
            cached.entry(entry.uri.clone()).or_insert(Cached { at: now, packages: None, fault: None });
        known.at = now;
        match read {
            Ok(repository) => {
                known.packages = Some(Arc::new(repository));
                known.fault = None;
            }
            Err(fault) => known.fault = Some(fault),
        }
        (known.packages.clone(), known.fault.clone())
    }

    /// Reads it now, whatever is known of it.
    pub(crate) async fn read(&self, entry: &RepositoryEntry) -> Result<Repository, SourceError> {
        let uri = entry.uri.as_str();
        let unreadable = |why: String| SourceError::Unreadable { uri: uri.to_owned(), why };
        let loaded = match kind(uri)? {
            Kind::BuiltIn => return Ok(universe::catalog()),
            Kind::Http => universe::load::index(&self.fetch(uri).await?)
                .map_err(|error| unreadable(error.to_string()))?,
            Kind::Artifact(sum) => {
                let bytes = self.artifact(uri, sum).await?;
                universe::load::archive(&bytes).map_err(|error| unreadable(error.to_string()))?
            }
        };
        for fault in &loaded.faults {
            tracing::warn!(repository = entry.name, %fault, "a package cannot be used");
        }
        Ok(Repository { name: entry.name.clone(), uri: uri.to_owned(), packages: loaded.packages })
    }

    async fn fetch(&self, uri: &str) -> Result<Vec<u8>, SourceError> {
        let failed = |error: reqwest::Error| {
            let mut why = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                why = format!("{why}: {cause}");
                source = cause.source();
            }
            SourceError::Fetch { uri: uri.to_owned(), why }
        };
        let response =
            self.http.get(uri).header(ACCEPT, INDEX).timeout(WITHIN).send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(SourceError::Status { uri: uri.to_owned(), status: response.status().as_u16() });
        }
        let (mut bytes, mut chunks) = (Vec::new(), response.bytes_stream());
        while let Some(chunk) = chunks.next().await {
            bytes.extend_from_slice(&chunk.map_err(failed)?);
            if bytes.len() > MAX_BYTES {
                return Err(SourceError::TooLarge { uri: uri.to_owned() });
            }
        }
        Ok(bytes)
    }

    async fn artifact(&self, uri: &str, sum: &str) -> Result<Vec<u8>, SourceError> {
        let target = format!("/clusterctl/v1/artifacts/sha256/{sum}");
        let Ok(request) = Request::get(target).body(Body::empty()) else {
            return Err(SourceError::Unsupported(uri.to_owned()));
        };
        let response = match self.artifacts.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        if response.status() != StatusCode::OK {
            return Err(SourceError::Status { uri: uri.to_owned(), status: response.status().as_u16() });
        }
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
        Ok(body.map_err(|_long| SourceError::TooLarge { uri: uri.to_owned() })?.to_bytes().to_vec())
    }

    /// Whether the masters hold the artifact with this sum.
    pub(crate) async fn holds(&self, sum: &str) -> bool {
        let Ok(request) = Request::head(format!("/clusterctl/v1/artifacts/sha256/{sum}")).body(Body::empty())
        else {
            return false;
        };
        match self.artifacts.clone().oneshot(request).await {
            Ok(response) => response.status().is_success(),
            Err(never) => match never {},
        }
    }
}

/// What an address of a repository is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    BuiltIn,
    Http,
    Artifact(&'a str),
}

/// What kind of address this is.
///
/// # Errors
/// `Unsupported` for all others.
pub(crate) fn kind(uri: &str) -> Result<Kind<'_>, SourceError> {
    let unsupported = || SourceError::Unsupported(uri.to_owned());
    if uri == BUILT_IN.1 {
        return Ok(Kind::BuiltIn);
    }
    if let Some(sum) = uri.strip_prefix("artifact://sha256/") {
        let good = sum.len() == 64 && sum.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        return if good { Ok(Kind::Artifact(sum)) } else { Err(unsupported()) };
    }
    let url = reqwest::Url::parse(uri).map_err(|_none| unsupported())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(Kind::Http)
    } else {
        Err(unsupported())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_it_is() {
        let sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let artifact = format!("artifact://sha256/{sum}");
        assert_eq!(kind("https://universe.example.org/repo").unwrap(), Kind::Http);
        assert_eq!(kind(&artifact).unwrap(), Kind::Artifact(sum));
        assert_eq!(kind(BUILT_IN.1).unwrap(), Kind::BuiltIn);
        for other in ["", "universe", "ftp://a/b", "file:///etc", "artifact://sha256/xyz", "clusterctl:other"]
        {
            assert!(kind(other).is_err(), "{other}");
        }
    }
}
