//! Which requests a door lets in before it asks who comes: without login those of programs on this machine, and never those
//! that a web page makes a browser send. Pure.

use std::net::IpAddr;

use axum::http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use axum::http::{StatusCode, Uri};

/// Why a request was turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Of the answer.
    pub status: StatusCode,
    /// What was wrong and what to do instead.
    pub message: String,
}

fn refuse(status: StatusCode, message: impl Into<String>) -> Result<(), Refusal> {
    Err(Refusal { status, message: message.into() })
}

/// Looks at a request's address and headers. The server answers as loopback and by its `own` names and addresses. A page of another site can make a browser send requests here, under a name that
/// resolves to loopback (so the name is checked), with its origin (so that is checked), or as a form (which no client of
/// these interfaces sends).
///
/// # Errors
/// 403 for another host or origin, 415 for a form or plain text, 400 for headers that are no text.
pub fn check(uri: &Uri, headers: &HeaderMap, own: &[&str]) -> Result<(), Refusal> {
    if headers.get_all(HOST).iter().count() > 1 {
        return refuse(StatusCode::BAD_REQUEST, "more than one Host header");
    }
    let named = [uri.authority().map(|authority| authority.as_str()), text_of(headers, &HOST)?];
    if let Some(host) = named.into_iter().flatten().find(|host| !is_ours(host, own)) {
        let names: String = own.iter().map(|name| format!(", {name}")).collect();
        return refuse(
            StatusCode::FORBIDDEN,
            format!(
                "this cluster has no login and answers only as localhost or 127.0.0.1{names}, not as {host:?}"
            ),
        );
    }
    let host = named.into_iter().flatten().next();
    let same = |origin: &str| {
        let from = origin.strip_prefix("http://");
        from.is_some_and(|host| is_ours(host, own)) && from == host
    };
    no_web_page(headers, same)
}

/// Looks at the headers of a request to a door with TLS and login. It answers by whatever name it was reached; a browser that
/// holds a certificate or a password for it would still send them with what another site's page asks for.
///
/// # Errors
/// As of [`check`].
pub fn check_secure(uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.get_all(HOST).iter().count() > 1 {
        return refuse(StatusCode::BAD_REQUEST, "more than one Host header");
    }
    let host = uri.authority().map(|authority| authority.as_str().to_owned());
    let host = match host {
        Some(host) => Some(host),
        None => text_of(headers, &HOST)?.map(str::to_owned),
    };
    no_web_page(headers, |origin| origin.strip_prefix("https://") == host.as_deref() && host.is_some())
}

fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    match headers.get(name) {
        None => Ok(None),
        Some(value) => value.to_str().map(Some).map_err(|_not_text| Refusal {
            status: StatusCode::BAD_REQUEST,
            message: format!("header {name} is not plain text"),
        }),
    }
}

/// Nothing that only a browser sends for a page of another site.
fn no_web_page(headers: &HeaderMap, same: impl Fn(&str) -> bool) -> Result<(), Refusal> {
    if let Some(origin) = text_of(headers, &ORIGIN)?.filter(|origin| !same(origin)) {
        return refuse(
            StatusCode::FORBIDDEN,
            format!("requests of web pages from {origin:?} are not answered"),
        );
    }
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return refuse(StatusCode::FORBIDDEN, "requests of other sites' web pages are not answered");
    }
    let kind = text_of(headers, &CONTENT_TYPE)?.unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/x-www-form-urlencoded" | "multipart/form-data" | "text/plain" => refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!(
                "a body of type {kind} is not taken; send JSON with the header 'Content-Type: application/json'"
            ),
        ),
        _ => Ok(()),
    }
}

/// Whether `host[:port]` names this machine's loopback, or is one of the server's own names.
fn is_ours(host: &str, own: &[&str]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        || !name.is_empty() && own.iter().any(|own| name.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(headers: &[(&'static str, &str)]) -> u16 {
        let map = headers
            .iter()
            .map(|(name, value)| (axum::http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        check(&Uri::from_static("/v2/apps"), &map, &["10.0.0.7", "fd00::7", "Node7"])
            .map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    #[test]
    fn programs_on_this_machine_come_in() {
        for host in [
            "localhost",
            "10.0.0.7:5051",
            "[fd00::7]:5051",
            "node7:5051",
            "localhost:5050",
            "127.0.0.1:5050",
            "127.0.0.2",
            "[::1]:5050",
            "LOCALHOST:1",
        ] {
            assert_eq!(status(&[("host", host)]), 200, "{host}");
        }
        assert_eq!(status(&[]), 200);
        assert_eq!(
            status(&[("host", "localhost:1"), ("content-type", "application/json; charset=utf-8")]),
            200
        );
        assert_eq!(status(&[("host", "localhost:1"), ("origin", "http://localhost:1")]), 200);
    }

    #[test]
    fn what_a_web_page_makes_a_browser_send_stays_out() {
        for host in
            ["example.org", "example.org:5050", "127.0.0.1.example.org", "10.0.0.1:5050", "[::2]", "", "[::1"]
        {
            assert_eq!(status(&[("host", host)]), 403, "{host}");
        }
        for origin in
            ["http://example.org", "null", "https://localhost:1", "http://localhost:2", "http://localhost"]
        {
            assert_eq!(status(&[("host", "localhost:1"), ("origin", origin)]), 403, "{origin}");
        }
        for site in ["cross-site", "same-site"] {
            assert_eq!(status(&[("sec-fetch-site", site)]), 403, "{site}");
        }
        for kind in [
            "application/x-www-form-urlencoded",
            "text/plain;charset=UTF-8",
            "Multipart/Form-Data; boundary=x",
        ] {
            assert_eq!(status(&[("content-type", kind)]), 415, "{kind}");
        }
    }

    #[test]
    fn a_door_with_login_answers_by_any_name_and_no_web_page() {
        let status = |headers: &[(&'static str, &str)]| {
            let map =
                headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
            check_secure(&Uri::from_static("/v2/apps"), &map.collect())
                .map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
        };
        let host = ("host", "m1.example.org:5050");
        assert_eq!(status(&[host]), 200);
        assert_eq!(status(&[host, ("origin", "https://m1.example.org:5050")]), 200);
        for origin in ["http://m1.example.org:5050", "https://m1.example.org", "https://evil.example", "null"]
        {
            assert_eq!(status(&[host, ("origin", origin)]), 403, "{origin}");
        }
        assert_eq!(status(&[("origin", "https://")]), 403);
        assert_eq!(status(&[host, ("sec-fetch-site", "cross-site")]), 403);
        assert_eq!(status(&[host, ("content-type", "text/plain")]), 415);
    }

    #[test]
    fn the_name_in_the_request_line_counts_too() {
        let uri: Uri = "http://example.org/v2/apps".parse().unwrap();
        assert!(check(&uri, &HeaderMap::new(), &[]).is_err());
    }
}
