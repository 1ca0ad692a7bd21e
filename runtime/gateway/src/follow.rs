//! What a master answers that knows another one to lead: which requests are sent there, which it takes there itself, and which
//! are its own affair (design §7). Pure.

use axum::http::StatusCode;

use crate::route::Room;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is about this very master.
    Own,
    /// The client goes to the leader: the status, and where.
    Moved(StatusCode, String),
    /// It is passed on to the leader, and its answer back.
    Pass,
}

/// Where the leader is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// `http` or `https`.
    pub(crate) scheme: &'a str,
    /// `host:port`.
    pub(crate) address: &'a str,
}

/// Reads and calls that a standing-by Mesos master sends to the leader.
const MESOS: [&str; 19] = [
    "create-volumes",
    "destroy-volumes",
    "frameworks",
    "machine/down",
    "machine/up",
    "maintenance/schedule",
    "maintenance/status",
    "quota",
    "reserve",
    "roles",
    "shutdown",
    "slaves",
    "state",
    "state-summary",
    "tasks",
    "teardown",
    "unreserve",
    "weights",
    "api/v1",
];
/// Those that it answers itself.
const OWN: [&str; 3] = ["health", "version", "metrics/snapshot"];

/// Whether a read is about the very master that is asked, whoever leads: `asked` as it was sent, and the room and path that
/// [`crate::route::room`] finds for it.
pub(crate) fn is_own(asked: &str, room: Room, path: &str) -> bool {
    has_prefix(asked, path).is_none()
        && match room {
            Room::Metrics | Room::Prometheus | Room::This => true,
            Room::Services => path == "/ping",
            Room::Master => mesos_name(path).is_some_and(|name| OWN.contains(&name)),
            Room::Link
            | Room::Artifacts
            | Room::Copies
            | Room::Access
            | Room::Packages
            | Room::Secrets
            | Room::Dcos
            | Room::Watch
            | Room::Root
            | Room::Ui => false,
        }
}

/// The path as it was sent, with one slash at its front, when it stands below the prefix of a service of DC/OS.
fn has_prefix(asked: &str, path: &str) -> Option<String> {
    let slashes = format!("/{}", asked.trim_start_matches('/'));
    (slashes != path).then_some(slashes)
}

/// The way of a read or call, `asked` with its `query`.
pub(crate) fn way(asked: &str, query: Option<&str>, (room, path): (Room, &str), leader: Place<'_>) -> Way {
    let Place { scheme, address } = leader;
    if is_own(asked, room, path) {
        return Way::Own;
    }
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    // As Mesos writes it: its clients take it apart by hand.
    let beside = |path: &str| Way::Moved(StatusCode::TEMPORARY_REDIRECT, format!("//{address}{path}{query}"));
    // Those are DC/OS' paths, whose own proxy brought them to the leader: its clients drop their token where they are sent elsewhere.
    if has_prefix(asked, path).is_some() {
        return Way::Pass;
    }
    match room {
        Room::Services if path == "/v2/events" => {
            Way::Moved(StatusCode::FOUND, format!("{scheme}://{address}{path}{query}"))
        }
        Room::Master => match mesos_name(path) {
            Some("redirect") => Way::Moved(StatusCode::TEMPORARY_REDIRECT, format!("//{address}")),
            Some(name) if MESOS.contains(&name) || name.starts_with("api/v1/") => beside(asked),
            _ if path.starts_with("/master/") => beside(asked),
            _ => Way::Pass,
        },
        _ => Way::Pass,
    }
}

/// The name of one of Mesos' endpoints: below `/master` too, and with `.json` at its end.
pub(crate) fn mesos_name(path: &str) -> Option<&str> {
    let name = path.strip_prefix("/master/").or_else(|| path.strip_prefix('/'))?;
    Some(name.strip_suffix(".json").unwrap_or(name)).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::room;

    fn of(asked: &str) -> Way {
        let (path, query) = asked.split_once('?').map_or((asked, None), |(path, query)| (path, Some(query)));
        let (room, below) = room(path);
        way(path, query, (room, &below), Place { scheme: "https", address: "m2:5050" })
    }

    #[test]
    fn clients_of_mesos_go_to_the_leader_with_what_they_asked_for() {
        for asked in [
            "/api/v1",
            "/api/v1/scheduler",
            "/master/api/v1",
            "/state",
            "/state.json?jsonp=x",
            "/master/state",
            "/master/slaves.json",
            "/slaves?slave_id=a%20b",
            "/tasks?limit=1&offset=2",
            "/frameworks",
            "/state-summary",
            "/roles",
            "/quota",
            "/maintenance/schedule",
            "/machine/up",
            "/teardown",
            "/master/whatever",
        ] {
            let wanted = Way::Moved(StatusCode::TEMPORARY_REDIRECT, format!("//m2:5050{asked}"));
            assert_eq!(of(asked), wanted, "{asked}");
        }
        for asked in ["/redirect", "/master/redirect", "/redirect.json", "/redirect?x=y"] {
            let wanted = Way::Moved(StatusCode::TEMPORARY_REDIRECT, "//m2:5050".to_owned());
            assert_eq!(of(asked), wanted, "{asked}");
        }
    }

    #[test]
    fn readers_of_events_are_sent_as_marathon_sends_them() {
        let wanted = "https://m2:5050/v2/events?event_type=x".to_owned();
        assert_eq!(of("/v2/events?event_type=x"), Way::Moved(StatusCode::FOUND, wanted));
        assert_eq!(of("/service/marathon/v2/events"), Way::Pass);
        assert_eq!(of("/marathon/v2/events"), Way::Pass);
    }

    #[test]
    fn what_is_about_this_master_is_its_own_and_the_rest_is_passed_on() {
        for asked in [
            "/ping",
            "/health",
            "/health.json",
            "/master/health",
            "/metrics",
            "/metrics/prometheus",
            "/metrics/snapshot",
            "/master/metrics/snapshot.json",
            "/version",
            "/clusterctl/v1/master",
        ] {
            assert_eq!(of(asked), Way::Own, "{asked}");
        }
        for asked in [
            "/",
            "/ui/",
            "/v2/apps",
            "//v2//apps?x=y",
            "/v2/leader",
            "/v2/info",
            "/service/marathon/v2/apps",
            "/service/marathon/ping",
            "/service/marathon/metrics",
            "/clusterctl/v1/cluster",
            "/clusterctl/v1/login",
            "/clusterctl/v1/watch",
            "/clusterctl/v1/artifacts/sha256/0",
            "/acs/api/v1/auth/login",
            "/agent/a/files/read",
            "/slave/a/files/read",
            "/mesos",
            "/mesos/state?x",
            "/mesos/api/v1/scheduler",
            "/mesos/metrics/snapshot",
            "/v1/jobs",
            "/package/list",
            "/pkgpanda/active.buildinfo.full.json",
            "/nothing",
        ] {
            assert_eq!(of(asked), Way::Pass, "{asked}");
        }
    }
}
