//! Which room answers a path. Pure.

/// A room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Agents' streams.
    Link,
    /// Marathon's interface.
    Services,
    /// The master's own and Mesos' interfaces.
    Master,
    /// Files known by their sums.
    Artifacts,
    /// Figures, in the form that the request prefers.
    Metrics,
    /// The address without a path.
    Root,
}

/// The room and the path below it, for a request's path. Repeated slashes at the front count as one; DC/OS' prefixes are
/// taken off (design §7).
#[must_use]
pub fn room(path: &str) -> (Room, String) {
    let path = format!("/{}", path.trim_start_matches('/'));
    if path.starts_with("/clusterctl.link.v1.Link/") {
        return (Room::Link, path);
    }
    let below = |prefix: &str| match path.strip_prefix(prefix) {
        Some("") => Some("/".to_owned()),
        Some(rest) if rest.starts_with('/') => Some(rest.to_owned()),
        _ => None,
    };
    if let Some(rest) = below("/service/marathon") {
        return (Room::Services, rest);
    }
    if let Some(rest) = below("/mesos") {
        return (Room::Master, rest);
    }
    let room = match path.as_str() {
        "/" => Room::Root,
        "/metrics" => Room::Metrics,
        "/ping" => Room::Services,
        path if path.starts_with(crate::artifacts::PREFIX) => Room::Artifacts,
        path if path == "/v2" || path.starts_with("/v2/") => Room::Services,
        _ => Room::Master,
    };
    (room, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_its_room() {
        let table = [
            ("/", Room::Root, "/"),
            ("//", Room::Root, "/"),
            ("/ping", Room::Services, "/ping"),
            ("/v2/apps//web", Room::Services, "/v2/apps//web"),
            ("//v2/apps", Room::Services, "/v2/apps"),
            ("/v2x", Room::Master, "/v2x"),
            ("/service/marathon/v2/apps", Room::Services, "/v2/apps"),
            ("/service/marathonx", Room::Master, "/service/marathonx"),
            ("/mesos", Room::Master, "/"),
            ("/mesos/state", Room::Master, "/state"),
            ("/slaves", Room::Master, "/slaves"),
            ("/clusterctl/v1/cluster", Room::Master, "/clusterctl/v1/cluster"),
            ("/clusterctl/v1/artifacts/sha256/0", Room::Artifacts, "/clusterctl/v1/artifacts/sha256/0"),
            ("/metrics", Room::Metrics, "/metrics"),
            ("/metrics/snapshot", Room::Master, "/metrics/snapshot"),
            ("/clusterctl.link.v1.Link/Connect", Room::Link, "/clusterctl.link.v1.Link/Connect"),
        ];
        for (path, wanted, below) in table {
            assert_eq!(room(path), (wanted, below.to_owned()), "{path}");
        }
    }
}
