//! Who is behind a request that one master passes on to another. The one that takes it over knows who came: over the connection
//! between the two nobody's certificate shows but a master's. So it says in headers who that was, and these are believed from
//! a master alone; from all others they are taken off before anybody looks at them.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use identity::{Identity, PeerRole};

/// Whose certificate was shown.
const CALLER: HeaderName = HeaderName::from_static("x-clusterctl-caller");
/// From where.
const FROM: HeaderName = HeaderName::from_static("x-clusterctl-from");
/// The word for a caller without a certificate.
const ANYONE: &str = "anyone";

/// A master says of a caller what cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{header}: {value:?} is no {what}")]
pub(crate) struct Unreadable {
    header: HeaderName,
    value: String,
    what: &'static str,
}

/// Takes the headers off. When they are a master's, the request is from now on that of whom they name; true then.
///
/// # Errors
/// When a master's cannot be read: then it is nobody's request.
pub(crate) fn take(headers: &mut HeaderMap, extensions: &mut Extensions) -> Result<bool, Unreadable> {
    let mut off = |name: HeaderName| {
        let single = headers.get_all(&name).iter().count() == 1;
        let value = headers.remove(&name)?;
        let text = value.to_str().ok().filter(|_| single).unwrap_or("several, or no text");
        Some(text.to_owned())
    };
    let (caller, from) = (off(CALLER), off(FROM));
    let by_master = extensions.get::<Identity>().is_some_and(|peer| peer.role() == PeerRole::Master);
    let Some(caller) = caller.filter(|_| by_master) else { return Ok(false) };
    let unreadable =
        |header, value: &str, what| Unreadable { header, value: value.chars().take(200).collect(), what };
    // What follows is not the master's own right.
    extensions.remove::<Identity>();
    if caller != ANYONE {
        let identity: Identity =
            caller.parse().map_err(|_not_one| unreadable(CALLER, &caller, "identity"))?;
        extensions.insert(identity);
    }
    let from = from.unwrap_or_default();
    let address: IpAddr = from.parse().map_err(|_not_one| unreadable(FROM, &from, "address"))?;
    extensions.insert(ConnectInfo(SocketAddr::new(address, 0)));
    Ok(true)
}

/// Says who came, for the next master.
pub(crate) fn say(headers: &mut HeaderMap, extensions: &Extensions) {
    let caller = extensions.get::<Identity>().map_or_else(|| ANYONE.to_owned(), ToString::to_string);
    let from = extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let from = from.unwrap_or(IpAddr::from([0, 0, 0, 0]));
    for (name, value) in [(CALLER, caller), (FROM, from.to_string())] {
        headers.remove(&name);
        // URIs of identities and addresses are plain text.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(peer: Option<PeerRole>, headers: &[(HeaderName, &str)]) -> (HeaderMap, Extensions) {
        let mut extensions = Extensions::new();
        if let Some(role) = peer {
            extensions.insert(Identity::new("demo", role, "x").unwrap());
        }
        extensions.insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 4000))));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().unwrap());
        }
        (map, extensions)
    }

    fn who(extensions: &Extensions) -> (Option<String>, IpAddr) {
        let from = extensions.get::<ConnectInfo<SocketAddr>>().unwrap().0.ip();
        (extensions.get::<Identity>().map(ToString::to_string), from)
    }

    const ADMIN: &str = "clusterctl://demo/admin/operator";

    #[test]
    fn what_one_says_the_next_one_takes() {
        for peer in [None, Some(PeerRole::Admin), Some(PeerRole::Agent)] {
            let (mut headers, extensions) = came(peer, &[]);
            say(&mut headers, &extensions);
            let (_, mut there) = came(Some(PeerRole::Master), &[]);
            there.insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 99], 4000))));
            assert_eq!(take(&mut headers, &mut there), Ok(true));
            assert_eq!(who(&there), who(&extensions));
            assert!(headers.is_empty());
        }
    }

    #[test]
    fn a_forged_word_is_taken_off_and_counts_for_nothing() {
        for peer in [None, Some(PeerRole::Admin), Some(PeerRole::Agent)] {
            let forged = [(CALLER, ADMIN), (CALLER, ADMIN), (FROM, "127.0.0.1")];
            let (mut headers, mut extensions) = came(peer, &forged);
            let before = who(&extensions);
            assert_eq!(take(&mut headers, &mut extensions), Ok(false));
            assert_eq!(who(&extensions), before);
            assert!(headers.is_empty());
            // Neither does one who says it get it passed on.
            let (mut headers, extensions) = came(peer, &forged);
            say(&mut headers, &extensions);
            let said = headers.get_all(CALLER).iter().collect::<Vec<_>>();
            assert_eq!(said, [before.0.as_deref().unwrap_or(ANYONE)]);
        }
    }

    #[test]
    fn a_master_that_names_nobody_is_a_master_and_one_that_names_nonsense_is_refused() {
        let (mut headers, mut extensions) = came(Some(PeerRole::Master), &[(FROM, "192.0.2.7")]);
        assert_eq!(take(&mut headers, &mut extensions), Ok(false));
        assert_eq!(who(&extensions).0.unwrap(), "clusterctl://demo/master/x");
        for headers in [
            [(CALLER, "operator"), (FROM, "192.0.2.7")],
            [(CALLER, ADMIN), (CALLER, ADMIN)],
            [(CALLER, ADMIN), (FROM, "somewhere")],
            [(CALLER, ANYONE), (HeaderName::from_static("x"), "")],
        ] {
            let (mut map, mut extensions) = came(Some(PeerRole::Master), &headers);
            assert!(take(&mut map, &mut extensions).is_err(), "{headers:?}");
        }
    }
}
