//! What the master answers over HTTP: Mesos' legacy reads (§7), our own cluster overview, numbers, and agents' files.
//! Every answer is made from one [`View`], which costs the loop nothing.

mod agents;
mod cluster;
mod files;
mod frameworks;
mod json;
mod snapshot;
mod standby;
mod state;
mod tasks;

use std::collections::HashMap;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;

use crate::Master;
use crate::view::View;

/// The version that Mesos endpoints report: clients split it on its dots.
const MESOS_VERSION: &str = "1.11.0";

pub use standby::standby;

type Params = Query<HashMap<String, String>>;

impl Master {
    /// The routes of the leading master's reads. Authentication is its caller's.
    pub fn router(&self) -> Router {
        let mut router = Router::new()
            .route("/clusterctl/v1/cluster", get(cluster::cluster))
            .route("/metrics", get(metrics))
            .route("/agent/{id}/files/{call}", get(files::proxy))
            .route("/slave/{id}/files/{call}", get(files::proxy));
        for (name, route) in [
            ("slaves", get(slaves)),
            ("tasks", get(all_tasks)),
            ("frameworks", get(all_frameworks)),
            ("state", get(whole_state)),
            ("state-summary", get(summary)),
            ("health", get(healthy)),
            ("version", get(version)),
            ("redirect", get(redirect)),
            ("metrics/snapshot", get(numbers)),
        ] {
            router = router
                .route(&format!("/{name}"), route.clone())
                .route(&format!("/master/{name}"), route.clone())
                .route(&format!("/{name}.json"), route.clone())
                .route(&format!("/master/{name}.json"), route);
        }
        router.with_state(self.clone())
    }
}

async fn slaves(State(master): State<Master>, Query(params): Params) -> Response {
    answer(&params, &agents::slaves(&master.view(), params.get("slave_id").map(String::as_str)))
}

async fn all_tasks(State(master): State<Master>, Query(params): Params) -> Response {
    match tasks::Page::read(&params) {
        Ok(page) => answer(&params, &tasks::tasks(&master.view(), &page)),
        Err(problem) => (StatusCode::BAD_REQUEST, problem).into_response(),
    }
}

async fn all_frameworks(State(master): State<Master>, Query(params): Params) -> Response {
    let only = params.get("framework_id").map(String::as_str);
    answer(&params, &Value::Object(frameworks::frameworks(&master, &master.view(), only)))
}

async fn whole_state(State(master): State<Master>, Query(params): Params) -> Response {
    answer(&params, &state::state(&master, &master.view()))
}

async fn summary(State(master): State<Master>, Query(params): Params) -> Response {
    answer(&params, &state::summary(&master, &master.view()))
}

async fn healthy() -> StatusCode {
    StatusCode::OK
}

async fn version(State(master): State<Master>, Query(params): Params) -> Response {
    answer(&params, &standby::version(&master.options().version))
}

async fn numbers(State(master): State<Master>, Query(params): Params) -> Response {
    answer(&params, &snapshot::snapshot(&master, &master.view()))
}

async fn redirect(State(master): State<Master>) -> Response {
    let to = format!("//{}", master.options().address);
    match HeaderValue::from_str(&to) {
        Ok(to) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{to:?} is no address: {error}")).into_response()
        }
    }
}

async fn metrics(State(master): State<Master>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], master.prometheus()).into_response()
}

/// JSON, or a script when `jsonp` names a function.
fn answer(params: &HashMap<String, String>, value: &Value) -> Response {
    let Some(function) = params.get("jsonp") else {
        return ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response();
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
    if function.is_empty() || !function.chars().all(plain) {
        let problem = "jsonp must be the name of a function: letters, digits, '_', '$' and '.'";
        return (StatusCode::BAD_REQUEST, problem).into_response();
    }
    ([(header::CONTENT_TYPE, "text/javascript")], format!("{function}({value});")).into_response()
}

/// The host and port of an address; the port is Mesos' when there is none.
fn host_port(address: &str) -> (&str, u16) {
    match address.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().unwrap_or(5050)),
        None => (address, 5050),
    }
}

/// Tasks by framework and by agent, both in the order of their ids.
struct Grouped<'v> {
    by_framework: HashMap<&'v str, Vec<&'v crate::core::Task>>,
    by_agent: HashMap<&'v str, Vec<&'v crate::core::Task>>,
}

impl<'v> Grouped<'v> {
    fn new(view: &'v View) -> Self {
        let mut grouped = Self { by_framework: HashMap::new(), by_agent: HashMap::new() };
        for task in view.tasks.values() {
            grouped.by_framework.entry(task.framework.as_str()).or_default().push(task);
            grouped.by_agent.entry(task.info.agent.as_str()).or_default().push(task);
        }
        grouped
    }

    fn of_framework(&self, id: &str) -> &[&'v crate::core::Task] {
        self.by_framework.get(id).map_or(&[], Vec::as_slice)
    }

    fn of_agent(&self, id: &str) -> &[&'v crate::core::Task] {
        self.by_agent.get(id).map_or(&[], Vec::as_slice)
    }
}
