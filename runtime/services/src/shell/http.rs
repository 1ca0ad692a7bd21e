//! Which request goes where (§3). Paths are taken apart by hand, since app ids hold slashes (§1).

use std::net::SocketAddr;
use std::time::Duration;

use api::marathon::{
    ApiError, AppRoute, GroupRoute, parse_app_path, parse_boolean, parse_group_path, read_json,
};
use api::server::Hangup;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde_json::Value;

use super::reply::{self, Refusal, Reply};
use super::{Services, apps, dns, groups, others};
use crate::core::Caller;

/// A body that takes longer to come is given up.
const BODY_TIME: Duration = Duration::from_secs(30);

pub(crate) fn router(services: Services) -> Router {
    Router::new().fallback(answer).with_state(services)
}

/// A request, with what is asked for again and again read out of it.
pub(crate) struct Asked {
    /// GET for HEAD too, whose answer is the same without its body.
    pub(crate) method: Method,
    pub(crate) is_head: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) caller: Caller,
    pub(crate) hangup: Option<Hangup>,
    path: String,
    body: Vec<u8>,
}

impl Asked {
    async fn new(request: Request<Body>, most: usize) -> Result<Asked, Refusal> {
        let (parts, body) = request.into_parts();
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|error| ApiError::BadRequest(format!("The query cannot be read: {error}")))?;
        let remote = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let ip = remote.map(|ConnectInfo(address)| address.ip().to_string()).unwrap_or_default();
        let has_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
        let body = if has_body { read(body, most).await? } else { Vec::new() };
        let is_head = parts.method == Method::HEAD;
        Ok(Asked {
            method: if is_head { Method::GET } else { parts.method },
            is_head,
            hangup: parts.extensions.get::<Hangup>().cloned(),
            headers: parts.headers,
            query: query.0,
            caller: Caller { ip, uri: path_and_query(&parts.uri) },
            path: parts.uri.path().to_owned(),
            body,
        })
    }

    /// The values of a parameter that may repeat.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, ApiError> {
        parse_boolean(name, self.one(name), default)
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value, ApiError> {
        read_json(&self.body)
    }
}

/// The whole body of a request that may have one.
async fn read(body: Body, most: usize) -> Result<Vec<u8>, Refusal> {
    let mut stream = body.into_data_stream();
    let reading = async {
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| {
                Refusal::Api(ApiError::BadRequest(format!("The body cannot be read: {error}")))
            })?;
            if bytes.len() + chunk.len() > most {
                return Err(Refusal::TooLong(most));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    tokio::time::timeout(BODY_TIME, reading).await.map_err(|_elapsed| Refusal::TooSlow)?
}

fn path_and_query(uri: &Uri) -> String {
    uri.path_and_query().map(ToString::to_string).unwrap_or_default()
}

async fn answer(State(services): State<Services>, request: Request<Body>) -> Response {
    let path = request.uri().path().to_owned();
    let reply = match Asked::new(request, services.options.max_body_bytes).await {
        Ok(asked) => route(&services, asked).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = reply.unwrap_or_else(IntoResponse::into_response);
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        reply::allow(&mut response, methods(&elements(&path), &path));
    }
    reply::common(&mut response, &services.options.leader);
    response
}

fn elements(path: &str) -> Vec<&str> {
    path.split('/').filter(|element| !element.is_empty()).collect()
}

/// What follows `/v2/apps` or `/v2/groups`.
fn below<'p>(path: &'p str, collection: &str) -> &'p str {
    path.split_once(collection).map_or("", |(_, below)| below)
}

/// The methods that a path takes; none when there is nothing.
fn methods(elements: &[&str], path: &str) -> &'static str {
    match elements {
        ["v2", "apps", ..] => match parse_app_path(below(path, "apps")) {
            AppRoute::Apps => "GET, HEAD, POST, PUT, PATCH",
            AppRoute::App(_) | AppRoute::BadId { .. } => "GET, HEAD, PUT, PATCH, DELETE",
            AppRoute::Restart(_) => "POST",
            AppRoute::Tasks(_) => "GET, HEAD, DELETE",
            AppRoute::Task(..) => "DELETE",
            AppRoute::Group(_) | AppRoute::GroupTasks(_) | AppRoute::Versions(_) | AppRoute::Version(..) => {
                "GET, HEAD"
            }
        },
        ["v2", "groups", ..] => match parse_group_path(below(path, "groups"), true) {
            GroupRoute::Group(_) | GroupRoute::BadId { .. } => "GET, HEAD, POST, PUT, DELETE",
            GroupRoute::Apps(_) | GroupRoute::Versions(_) => "GET, HEAD",
            GroupRoute::Version(..) => "GET, HEAD, PUT",
        },
        ["ping"] | ["v2", "tasks" | "deployments" | "queue" | "events" | "info"] => "GET, HEAD",
        ["v2", "tasks", "delete"] => "POST",
        ["v2", "leader"] => "GET, HEAD, DELETE",
        ["mesos_dns", "v1", "services" | "hosts", _] => "GET, HEAD",
        ["v2", "deployments", _] | ["v2", "queue", _, .., "delay"] => "DELETE",
        _ => "",
    }
}

async fn route(services: &Services, asked: Asked) -> Reply {
    let path = asked.path.clone();
    let elements = elements(&path);
    let method = asked.method.as_str();
    match (method, elements.as_slice()) {
        ("GET", ["ping"]) => Ok(others::ping(&asked.headers)),
        (_, ["v2", "apps", ..]) => apps::answer(services, asked, below(&path, "apps")).await,
        (_, ["v2", "groups", ..]) => groups::answer(services, asked, below(&path, "groups")).await,
        ("GET", ["v2", "tasks"]) => Ok(others::tasks(services, &asked)),
        ("POST", ["v2", "tasks", "delete"]) => others::delete_tasks(services, asked).await,
        ("GET", ["v2", "deployments"]) => Ok(reply::json(&*services.view().deployments)),
        ("DELETE", ["v2", "deployments", id]) => others::cancel(services, &asked, id).await,
        ("GET", ["v2", "queue"]) => Ok(others::queue(services, &asked)),
        ("DELETE", ["v2", "queue", id @ .., "delay"]) if !id.is_empty() => {
            others::reset_delay(services, &asked, id).await
        }
        ("GET", ["v2", "events"]) => others::events(services, &asked),
        ("GET", ["v2", "info"]) => Ok(others::info(services)),
        ("GET", ["v2", "leader"]) => Ok(others::leader(services)),
        ("DELETE", ["v2", "leader"]) => Ok(others::abdicate(services)),
        ("GET", ["mesos_dns", "v1", "services", name]) => Ok(dns::services(services, name)),
        ("GET", ["mesos_dns", "v1", "hosts", name]) => Ok(dns::hosts(services, name)),
        // Clients ask with HEAD whether there are pods, and take 404 for a no.
        (_, ["v2", "pods", ..]) if !asked.is_head => Err(ApiError::IllegalArgument(
            "Pods are not supported. Run each container as an app of its own, with /v2/apps.".to_owned(),
        )
        .into()),
        (_, elements) if methods(elements, &path).is_empty() => Err(ApiError::NoRoute(path.clone()).into()),
        _ => Err(ApiError::MethodNotAllowed.into()),
    }
}
