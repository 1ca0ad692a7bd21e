//! Which right each route asks for: one table, and how a path is looked up in it. Pure.
//!
//! Deny by default: what has no row is not passed on to any room, whoever asks. A caller who may read anyway is told that there is
//! nothing (404), or which methods there are (405); others learn nothing (401, 403).
//!
//! Paths are those that the rooms see: after the door has taken repeated slashes at the front and the prefixes `/mesos`,
//! `/service/marathon` and `/marathon` off. Segments are compared as they were sent, since no room decodes a segment before it has
//! chosen the route by it: `/v2%2Fapps` is no route of theirs, and has no row here. Empty segments do not count, as `services`
//! reads paths; to the other rooms such a path is unknown, so that it can only be refused there. What services decodes stands
//! below `/v2/apps` and `/v2/groups`, where one right covers all that a method can do.

use axum::http::Method;
use identity::PeerRole;

use crate::role::Right;

/// One row: a route's methods, its path, and what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The methods; `GET` covers `HEAD`.
    pub methods: &'static [&'static str],
    /// The path: `{x}` stands for one segment, `{x..}` at the end for one or more.
    pub path: &'static str,
    /// What is asked for.
    pub right: Right,
}

impl Row {
    /// A path that the row covers: for tests that try every route.
    #[must_use]
    pub fn example(&self) -> String {
        let segments = self.path.split('/').map(|segment| match segment {
            segment if segment.ends_with("..}") => "x/y",
            segment if segment.starts_with('{') => "x",
            segment => segment,
        });
        segments.collect::<Vec<_>>().join("/")
    }
}

const fn row(methods: &'static [&'static str], path: &'static str, right: Right) -> Row {
    Row { methods, path, right }
}

const GET: &[&str] = &["GET"];
const POST: &[&str] = &["POST"];
const DELETE: &[&str] = &["DELETE"];

/// All routes of a master's port.
pub const TABLE: &[Row] = &[
    // Whether anybody is there, for balancers and for clients that look before they log in.
    row(GET, "/ping", Right::Open),
    row(GET, "/health", Right::Open),
    row(GET, "/health.json", Right::Open),
    row(GET, "/master/health", Right::Open),
    row(GET, "/master/health.json", Right::Open),
    // Logging in, and what DC/OS' client asks before it: how to, and whom to trust. Whether it has to, it learns from the answer
    // 401 to the build information.
    row(POST, "/clusterctl/v1/login", Right::Open),
    row(POST, "/acs/api/v1/auth/login", Right::Open),
    row(GET, "/acs/api/v1/auth/providers", Right::Open),
    row(GET, "/ca/dcos-ca.crt", Right::Open),
    row(GET, BUILD_INFO, Right::View),
    // The door's own.
    row(GET, "/", Right::View),
    row(GET, "/ui", Right::View),
    row(GET, "/ui/{rest..}", Right::View),
    row(GET, "/metrics", Right::View),
    row(GET, "/metrics/prometheus", Right::View),
    // Mesos' reads.
    row(GET, "/slaves", Right::View),
    row(GET, "/slaves.json", Right::View),
    row(GET, "/master/slaves", Right::View),
    row(GET, "/master/slaves.json", Right::View),
    row(GET, "/tasks", Right::View),
    row(GET, "/tasks.json", Right::View),
    row(GET, "/master/tasks", Right::View),
    row(GET, "/master/tasks.json", Right::View),
    row(GET, "/frameworks", Right::View),
    row(GET, "/frameworks.json", Right::View),
    row(GET, "/master/frameworks", Right::View),
    row(GET, "/master/frameworks.json", Right::View),
    row(GET, "/state", Right::View),
    row(GET, "/state.json", Right::View),
    row(GET, "/master/state", Right::View),
    row(GET, "/master/state.json", Right::View),
    row(GET, "/state-summary", Right::View),
    row(GET, "/state-summary.json", Right::View),
    row(GET, "/master/state-summary", Right::View),
    row(GET, "/master/state-summary.json", Right::View),
    row(GET, "/version", Right::View),
    row(GET, "/version.json", Right::View),
    row(GET, "/master/version", Right::View),
    row(GET, "/master/version.json", Right::View),
    row(GET, "/redirect", Right::View),
    row(GET, "/redirect.json", Right::View),
    row(GET, "/master/redirect", Right::View),
    row(GET, "/master/redirect.json", Right::View),
    row(GET, "/metrics/snapshot", Right::View),
    row(GET, "/metrics/snapshot.json", Right::View),
    row(GET, "/master/metrics/snapshot", Right::View),
    row(GET, "/master/metrics/snapshot.json", Right::View),
    // Sandboxes, through the master.
    row(GET, "/agent/{id}/files/{call}", Right::View),
    row(GET, "/slave/{id}/files/{call}", Right::View),
    // Marathon's interface. Below an app or a group one right covers every path that a method has: what is app and what is
    // verb is decided by decoding, and only the room does that.
    row(GET, "/v2/apps", Right::View),
    row(GET, "/v2/apps/{rest..}", Right::View),
    row(&["POST", "PUT", "PATCH"], "/v2/apps", Right::Operate),
    row(&["POST", "PUT", "PATCH", "DELETE"], "/v2/apps/{rest..}", Right::Operate),
    row(GET, "/v2/groups", Right::View),
    row(GET, "/v2/groups/{rest..}", Right::View),
    row(&["POST", "PUT", "DELETE"], "/v2/groups", Right::Operate),
    row(&["POST", "PUT", "DELETE"], "/v2/groups/{rest..}", Right::Operate),
    row(GET, "/v2/tasks", Right::View),
    row(POST, "/v2/tasks/delete", Right::Operate),
    row(GET, "/v2/deployments", Right::View),
    row(DELETE, "/v2/deployments/{id}", Right::Operate),
    row(GET, "/v2/queue", Right::View),
    row(DELETE, "/v2/queue/{rest..}", Right::Operate),
    row(GET, "/v2/events", Right::View),
    row(GET, "/v2/info", Right::View),
    row(GET, "/v2/leader", Right::View),
    row(DELETE, "/v2/leader", Right::Administer),
    // Where things are, as Mesos-DNS tells it. Agents may ask, too.
    row(GET, "/mesos_dns/v1/services/{name}", Right::Fetch),
    row(GET, "/mesos_dns/v1/hosts/{name}", Right::Fetch),
    // Answered with what to use instead.
    row(GET, "/v2/pods", Right::View),
    row(GET, "/v2/pods/{rest..}", Right::View),
    row(&["POST", "PUT", "PATCH", "DELETE"], "/v2/pods", Right::Operate),
    row(&["POST", "PUT", "PATCH", "DELETE"], "/v2/pods/{rest..}", Right::Operate),
    // Cosmos: reads are sent by POST, too.
    row(GET, "/capabilities", Right::View),
    row(POST, "/package/search", Right::View),
    row(POST, "/package/describe", Right::View),
    row(POST, "/package/list-versions", Right::View),
    row(POST, "/package/render", Right::View),
    row(POST, "/package/list", Right::View),
    row(POST, "/package/install", Right::Operate),
    row(POST, "/package/uninstall", Right::Operate),
    row(POST, "/package/repository/list", Right::View),
    row(POST, "/package/repository/add", Right::Administer),
    row(POST, "/package/repository/delete", Right::Administer),
    row(GET, "/package/resource", Right::View),
    row(POST, "/service/describe", Right::View),
    row(POST, "/service/update", Right::Operate),
    // What DC/OS' client asks once it is logged in.
    row(GET, "/metadata", Right::View),
    row(GET, "/dcos-metadata/dcos-version.json", Right::View),
    row(GET, "/cluster/v1/links", Right::View),
    // Our own.
    row(GET, "/clusterctl/v1/cluster", Right::View),
    row(GET, "/clusterctl/v1/master", Right::View),
    row(GET, "/clusterctl/v1/watch", Right::View),
    row(GET, "/clusterctl/v1/artifacts", Right::Fetch),
    row(GET, "/clusterctl/v1/artifacts/sha256/{sum}", Right::Fetch),
    row(&["PUT", "DELETE"], "/clusterctl/v1/artifacts/sha256/{sum}", Right::Operate),
    row(GET, "/clusterctl/v1/packages/{name}/{version}/artifacts", Right::View),
    row(&["PUT"], "/clusterctl/v1/packages/{name}/{version}/artifacts/{artifact}", Right::Operate),
    // What is told of secrets; no route tells a value.
    row(GET, "/clusterctl/v1/secrets", Right::View),
    row(GET, "/clusterctl/v1/secrets/{path..}", Right::View),
    row(&["PUT", "DELETE"], "/clusterctl/v1/secrets/{path..}", Right::Operate),
    // One master's own copies, for the others.
    row(&["GET", "PUT", "DELETE"], "/clusterctl/v1/copies/sha256/{sum}", Right::Peer(PeerRole::Master)),
    row(GET, "/clusterctl/v1/whoami", Right::View),
    row(POST, "/clusterctl/v1/logout", Right::View),
    // Each user's own; those of others are the handlers' to refuse.
    row(&["GET", "POST"], "/clusterctl/v1/tokens", Right::View),
    row(&["GET", "DELETE"], "/clusterctl/v1/tokens/{id}", Right::View),
    row(GET, "/clusterctl/v1/users", Right::Administer),
    row(&["GET", "PUT", "DELETE"], "/clusterctl/v1/users/{name}", Right::Administer),
    row(GET, "/clusterctl/v1/admissions", Right::Administer),
    row(&["GET", "PUT", "DELETE"], "/clusterctl/v1/admissions/{name}", Right::Administer),
    // An agent's stream.
    row(POST, "/clusterctl.link.v1.Link/Connect", Right::Peer(PeerRole::Agent)),
];

/// DC/OS' client asks for it to learn whether it must log in.
pub(crate) const BUILD_INFO: &str = "/pkgpanda/active.buildinfo.full.json";

/// What the table says about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The route asks for this.
    Right(Right),
    /// There is such a path, but with these methods only, as an `Allow` header has them.
    Methods(String),
    /// There is no such path.
    Nothing,
}

/// Looks a request up; `path` as the room sees it, without its query.
#[must_use]
pub fn look(method: &Method, path: &str) -> Found {
    let method = if method == Method::HEAD { Method::GET.as_str() } else { method.as_str() };
    let mut allowed: Vec<&str> = Vec::new();
    for row in TABLE.iter().filter(|row| matches(row.path, path)) {
        if row.methods.contains(&method) {
            return Found::Right(row.right);
        }
        for own in row.methods {
            allowed.push(own);
            if *own == "GET" {
                allowed.push("HEAD");
            }
        }
    }
    if allowed.is_empty() { Found::Nothing } else { Found::Methods(allowed.join(", ")) }
}

/// The right that a route asks for; nothing when it has no row, and is refused to everyone.
#[must_use]
pub fn right_of(method: &Method, path: &str) -> Option<Right> {
    match look(method, path) {
        Found::Right(right) => Some(right),
        Found::Methods(_) | Found::Nothing => None,
    }
}

/// Whether a row's path covers this one.
fn matches(pattern: &str, path: &str) -> bool {
    if !path.starts_with('/') {
        return false;
    }
    let mut wanted = pattern.split('/').filter(|segment| !segment.is_empty());
    let mut given = path.split('/').filter(|segment| !segment.is_empty());
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(_)) if wanted.ends_with("..}") => return true,
            (Some(wanted), Some(given)) if wanted.starts_with('{') || wanted == given => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests;
