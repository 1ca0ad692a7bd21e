//! What DC/OS' command line asks of a cluster beside the interfaces of Marathon, Mesos and Cosmos
//! (interfaces/universe-cosmos.md, §4). Pure but for the router.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// The release of DC/OS whose interfaces these are: clients choose by it how to speak.
const RELEASE: &str = "1.13.0";

/// Whether [`router`] answers this path.
pub(crate) fn serves(path: &str) -> bool {
    ["/metadata", "/dcos-metadata/dcos-version.json", "/cluster/v1/links"].contains(&path)
}

/// Whether [`without_login`] answers this path.
pub(crate) fn asked_without_login(path: &str) -> bool {
    ["/pkgpanda/active.buildinfo.full.json", "/acs/api/v1/auth/providers"].contains(&path)
}

/// Answers them for this cluster, one master of which is reached at `address` (`host:port`).
pub(crate) fn router(cluster: &str, address: &str) -> Router {
    Router::new()
        .route("/metadata", get(metadata))
        .route("/dcos-metadata/dcos-version.json", get(release))
        .route("/cluster/v1/links", get(links))
        .with_state(described(cluster, address))
}

/// What is asked before a login, where nobody has to log in.
pub(crate) fn without_login() -> Router {
    Router::new()
        .route("/pkgpanda/active.buildinfo.full.json", get(empty))
        .route("/acs/api/v1/auth/providers", get(empty))
}

/// By the id clients name the directory in which they keep what they know of the cluster.
fn described(cluster: &str, address: &str) -> Value {
    let host = address.rsplit_once(':').map_or(address, |(host, _port)| host);
    json!({ "CLUSTER_ID": cluster, "PUBLIC_IPV4": host.trim_matches(['[', ']']) })
}

async fn metadata(State(described): State<Value>) -> Json<Value> {
    Json(described)
}

async fn release() -> Json<Value> {
    Json(json!({ "version": RELEASE, "dcos-variant": "open", "dcos-image-commit": "", "bootstrap-id": "" }))
}

async fn links() -> Json<Value> {
    Json(json!({ "links": [] }))
}

async fn empty() -> Json<Value> {
    Json(json!({}))
}
