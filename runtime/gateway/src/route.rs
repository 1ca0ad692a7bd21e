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
    /// This master's own copies of them, for other masters.
    Copies,
    /// Figures, in the form that the request prefers.
    Metrics,
    /// Figures as Prometheus reads them.
    Prometheus,
    /// The address without a path.
    Root,
    /// Where Marathon has its web interface.
    Ui,
    /// Users, tokens and admissions.
    Access,
    /// Packages: Cosmos' interface.
    Packages,
    /// What DC/OS' clients ask of a cluster beside the other interfaces.
    Dcos,
    /// Secrets.
    Secrets,
    /// The dashboard's stream.
    Watch,
    /// Whether this very master leads, and who does.
    This,
}

/// Where each master says for itself whether it leads.
const THIS: &str = "/clusterctl/v1/master";

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
    // Two names of the same: the second is the older one.
    if let Some(rest) = below("/service/marathon").or_else(|| below("/marathon")) {
        let rest = format!("/{}", rest.trim_start_matches('/'));
        return (beside_v2(&rest).unwrap_or(Room::Services), rest);
    }
    if let Some(rest) = below("/mesos") {
        return (Room::Master, rest);
    }
    if let Some(room) = beside_v2(&path) {
        return (room, path);
    }
    let room = match path.as_str() {
        "/ping" => Room::Services,
        THIS => Room::This,
        crate::watch::PATH => Room::Watch,
        crate::artifacts::ALL => Room::Artifacts,
        path if path.starts_with(crate::artifacts::PREFIX) => Room::Artifacts,
        path if packages::serves(path) => Room::Packages,
        path if secrets::serves(path) => Room::Secrets,
        path if path.starts_with(crate::artifacts::COPIES) => Room::Copies,
        path if crate::dcos::serves(path) => Room::Dcos,
        path if access::serves(path) => Room::Access,
        path if path.starts_with("/mesos_dns/v1/") => Room::Services,
        path if path == "/v2" || path.starts_with("/v2/") => Room::Services,
        _ => Room::Master,
    };
    (room, path)
}

/// What Marathon has beside its interface proper.
fn beside_v2(path: &str) -> Option<Room> {
    match path {
        "/" => Some(Room::Root),
        "/metrics" => Some(Room::Metrics),
        "/metrics/prometheus" => Some(Room::Prometheus),
        "/ui" => Some(Room::Ui),
        path if path.starts_with("/ui/") => Some(Room::Ui),
        _ => None,
    }
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
            ("/mesos_dns/v1/hosts/leader.mesos", Room::Services, "/mesos_dns/v1/hosts/leader.mesos"),
            ("/mesos_dns", Room::Master, "/mesos_dns"),
            ("/clusterctl/v1/cluster", Room::Master, "/clusterctl/v1/cluster"),
            ("/clusterctl/v1/master", Room::This, "/clusterctl/v1/master"),
            ("/clusterctl/v1/masters", Room::Master, "/clusterctl/v1/masters"),
            ("/clusterctl/v1/watch", Room::Watch, "/clusterctl/v1/watch"),
            ("/clusterctl/v1/watch/x", Room::Master, "/clusterctl/v1/watch/x"),
            ("/clusterctl/v1/artifacts/sha256/0", Room::Artifacts, "/clusterctl/v1/artifacts/sha256/0"),
            ("/package/search", Room::Packages, "/package/search"),
            ("/packagex", Room::Master, "/packagex"),
            ("/service/describe", Room::Packages, "/service/describe"),
            ("/capabilities", Room::Packages, "/capabilities"),
            (
                "/clusterctl/v1/packages/a/1/artifacts",
                Room::Packages,
                "/clusterctl/v1/packages/a/1/artifacts",
            ),
            ("/clusterctl/v1/secrets", Room::Secrets, "/clusterctl/v1/secrets"),
            ("/clusterctl/v1/secrets/a/b", Room::Secrets, "/clusterctl/v1/secrets/a/b"),
            ("/clusterctl/v1/secretsx", Room::Master, "/clusterctl/v1/secretsx"),
            ("/clusterctl/v1/artifacts", Room::Artifacts, "/clusterctl/v1/artifacts"),
            ("/clusterctl/v1/copies/sha256/0", Room::Copies, "/clusterctl/v1/copies/sha256/0"),
            ("/clusterctl/v1/users/joe", Room::Access, "/clusterctl/v1/users/joe"),
            ("/clusterctl/v1/login", Room::Access, "/clusterctl/v1/login"),
            ("/clusterctl/v1/loginx", Room::Master, "/clusterctl/v1/loginx"),
            ("/acs/api/v1/auth/login", Room::Access, "/acs/api/v1/auth/login"),
            ("/metrics", Room::Metrics, "/metrics"),
            ("/metrics/prometheus", Room::Prometheus, "/metrics/prometheus"),
            ("/ui", Room::Ui, "/ui"),
            ("/ui/", Room::Ui, "/ui/"),
            ("/uix", Room::Master, "/uix"),
            ("/marathon/v2/apps", Room::Services, "/v2/apps"),
            ("/marathonx", Room::Master, "/marathonx"),
            ("/service/marathon", Room::Root, "/"),
            ("/service/marathon/metrics", Room::Metrics, "/metrics"),
            ("/service/marathon//v2/apps//web", Room::Services, "/v2/apps//web"),
            ("/metrics/snapshot", Room::Master, "/metrics/snapshot"),
            ("/clusterctl.link.v1.Link/Connect", Room::Link, "/clusterctl.link.v1.Link/Connect"),
        ];
        for (path, wanted, below) in table {
            assert_eq!(room(path), (wanted, below.to_owned()), "{path}");
        }
    }
}
