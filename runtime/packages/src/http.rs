//! From a request to the call it is, and back to an answer of the very type that was asked for (§3).

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};

use crate::book::{ArtifactRecord, Change};
use crate::calls;
use crate::error::CosmosError;
use crate::media::Call;
use crate::shell::Packages;

/// The longest body of a call: options of a package.
const MAX_BODY: usize = 4 << 20;
/// What this cluster can do, as DC/OS' client asks for it.
const CAPABILITIES: &str = "application/vnd.dcos.capabilities+json;charset=utf-8;version=v1";

/// Whether this room answers a path.
#[must_use]
pub fn serves(path: &str) -> bool {
    ["/package/", "/clusterctl/v1/packages/"].iter().any(|prefix| path.starts_with(prefix))
        || ["/capabilities", "/service/describe", "/service/update"].contains(&path)
}

impl Packages {
    /// Answers Cosmos' calls and our own routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/capabilities", get(capabilities))
            .route("/package/search", post(search))
            .route("/package/describe", post(describe))
            .route("/package/list-versions", post(list_versions))
            .route("/package/render", post(render))
            .route("/package/install", post(install))
            .route("/package/list", post(list))
            .route("/package/uninstall", post(uninstall))
            .route("/package/repository/list", post(repository_list))
            .route("/package/repository/add", post(repository_add))
            .route("/package/repository/delete", post(repository_delete))
            .route("/package/resource", get(resource))
            .route("/service/describe", post(service_describe))
            .route("/service/update", post(service_update))
            .route("/clusterctl/v1/packages/{name}/{version}/artifacts", get(artifacts))
            .route("/clusterctl/v1/packages/{name}/{version}/artifacts/{artifact}", put(set_artifact))
            .with_state(self.clone())
    }
}

type Answer = Result<Response, CosmosError>;
type OfPackages = State<Packages>;

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Reads what was sent by a call, and which version of its answer is wanted.
async fn read(
    call: Call,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Value, &'static str, HeaderValue), CosmosError> {
    call.takes(header(headers, &CONTENT_TYPE))?;
    let (version, kind) = call.gives(header(headers, &ACCEPT))?;
    let kind =
        HeaderValue::from_str(&kind).map_err(|_none| CosmosError::body("Accept cannot be repeated"))?;
    Ok((object(body).await?, version, kind))
}

async fn object(body: Body) -> Result<Value, CosmosError> {
    let bytes: Bytes = Limited::new(body, MAX_BODY)
        .collect()
        .await
        .map_err(|error| CosmosError::body(format!("the body cannot be read: {error}")))?
        .to_bytes();
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| CosmosError::body(format!("the body is no JSON: {error}")))?;
    if value.is_object() { Ok(value) } else { Err(CosmosError::body("the body has to be a JSON object")) }
}

fn answer(kind: HeaderValue, body: &Value) -> Response {
    ([(CONTENT_TYPE, kind)], body.to_string()).into_response()
}

/// A handler of a call whose answer has one version.
macro_rules! handler {
    ($name:ident, $call:expr) => {
        async fn $name(State(packages): OfPackages, headers: HeaderMap, body: Body) -> Answer {
            let (body, _version, kind) = read($call, &headers, body).await?;
            Ok(answer(kind, &calls::$name(&packages, &body).await?))
        }
    };
}

handler!(search, Call::package("search", &["v1"]));
handler!(list_versions, Call::package("list-versions", &["v1"]));
handler!(render, Call::package("render", &["v1"]));
handler!(list, Call::package("list", &["v1"]));
handler!(uninstall, Call::package("uninstall", &["v1"]));
handler!(repository_list, Call::package("repository.list", &["v1"]));
handler!(repository_add, Call::package("repository.add", &["v1"]));
handler!(repository_delete, Call::package("repository.delete", &["v1"]));
handler!(service_describe, Call::service("describe"));
handler!(service_update, Call::service("update"));

async fn describe(State(packages): OfPackages, headers: HeaderMap, body: Body) -> Answer {
    let call = Call::package("describe", &["v1", "v2", "v3"]);
    let (body, version, kind) = read(call, &headers, body).await?;
    Ok(answer(kind, &calls::describe(&packages, &body, version).await?))
}

async fn install(State(packages): OfPackages, headers: HeaderMap, body: Body) -> Answer {
    let (body, version, kind) = read(Call::package("install", &["v1", "v2"]), &headers, body).await?;
    Ok(answer(kind, &calls::install(&packages, &body, version).await?))
}

async fn capabilities() -> Response {
    let body = json!({ "capabilities": [{ "name": "PACKAGE_MANAGEMENT" }] });
    answer(HeaderValue::from_static(CAPABILITIES), &body)
}

/// Cosmos is a proxy there, for sites without the internet.
async fn resource() -> CosmosError {
    let text = "Files of packages are not passed through: `clusterctl package install` and `clusterctl bundle` bring them";
    CosmosError::new("NotSupported", text, json!({})).status(StatusCode::NOT_IMPLEMENTED)
}

async fn artifacts(State(packages): OfPackages, Path((name, version)): Path<(String, String)>) -> Response {
    let mut answer = serde_json::Map::new();
    for (artifact, record) in packages.book().artifacts(&name, &version) {
        let held = packages.sources().holds(&record.sha256).await;
        let mut record = json!(record);
        if let Some(record) = record.as_object_mut() {
            record.insert("held".to_owned(), held.into());
        }
        answer.insert(artifact, record);
    }
    Json(json!({ "artifacts": answer })).into_response()
}

async fn set_artifact(
    State(packages): OfPackages,
    Path((package, version, artifact)): Path<(String, String, String)>,
    body: Body,
) -> Answer {
    let record: ArtifactRecord = serde_json::from_value(object(body).await?)
        .map_err(|error| CosmosError::body(format!("the body is no artifact: {error}")))?;
    if !packages.sources().holds(&record.sha256).await {
        let text = format!("the masters hold no artifact sha256/{}; upload it first", record.sha256);
        let error = CosmosError::new("ArtifactNotHeld", text, json!({ "sha256": record.sha256 }));
        return Err(error.status(StatusCode::CONFLICT));
    }
    calls::change(&packages, Change::SetArtifact { package, version, artifact, record }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
