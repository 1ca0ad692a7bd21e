//! Where masters are.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

use super::ClientError;

/// The URL of a master, without user information, query or fragment. A path is kept: a proxy may serve a cluster below one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MasterUrl(Url);

impl MasterUrl {
    /// The URL of a path below this one. Elements are escaped.
    pub(super) fn join<'a>(&self, elements: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.0.clone();
        // A URL with a host, which is all that `from_str` lets through, always has path segments.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(elements);
        }
        url
    }

    /// The master at the host and port that this one's `Location` names; nothing when that is none. Our own path stays.
    pub(super) fn leader(&self, location: &str) -> Option<Self> {
        let named = self.0.join(location).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        let mut leader = self.0.clone();
        leader.set_scheme(named.scheme()).ok()?;
        leader.set_host(Some(named.host_str()?)).ok()?;
        leader.set_port(named.port()).ok()?;
        Some(Self(leader))
    }

    /// Its host and port.
    #[must_use]
    pub fn host_and_port(&self) -> (&str, u16) {
        let host = self.0.host_str().unwrap_or_default().trim_matches(['[', ']']);
        (host, self.0.port_or_known_default().unwrap_or(443))
    }

    /// Whether it is on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Whether it is spoken to in the clear.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }
}

impl fmt::Display for MasterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl FromStr for MasterUrl {
    type Err = ClientError;

    /// Reads `http://host:5050`, `https://…`, or `host:5050`, which means HTTP.
    fn from_str(text: &str) -> Result<Self, ClientError> {
        let bad = |reason: &str| ClientError::BadUrl { text: hidden(text), reason: reason.to_owned() };
        let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(full.trim()).map_err(|error| bad(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("only http:// and https:// are spoken"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(bad("it has no host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("user names and passwords do not belong into it"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("it must end with the host, the port or a path"));
        }
        Ok(Self(url))
    }
}

/// A password that stands in a URL by mistake is not to be shown again.
fn hidden(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}***{}", &text[..scheme + 3], &text[at..]),
        (None, Some(at)) => format!("***{}", &text[at..]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_may_be_missing_and_paths_are_kept() {
        for (text, shown) in [
            ("http://127.0.0.1:5050", "http://127.0.0.1:5050"),
            ("m1:5050/", "http://m1:5050"),
            ("https://dc.example.org/mesos/", "https://dc.example.org/mesos"),
        ] {
            assert_eq!(text.parse::<MasterUrl>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_url_is_refused_without_its_password() {
        for (text, says) in [
            ("ftp://m1", "only http"),
            ("http://", "empty host"),
            ("http://root:hunter2@m1:5050", "user names"),
            ("http://m1:5050?x=1", "must end"),
            ("http://m1:99999", "port"),
        ] {
            let error = text.parse::<MasterUrl>().unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn elements_of_paths_are_escaped() {
        let base: MasterUrl = "http://m:1/p/".parse().unwrap();
        assert_eq!(base.join(["v2", "apps", "a b", "?x"]).as_str(), "http://m:1/p/v2/apps/a%20b/%3Fx");
    }

    #[test]
    fn loopback_is_known() {
        for (text, loopback) in
            [("localhost:1", true), ("127.0.0.9:1", true), ("http://[::1]:1", true), ("m1:1", false)]
        {
            assert_eq!(text.parse::<MasterUrl>().unwrap().is_loopback(), loopback, "{text}");
        }
    }
}
