//! Tasks, deployments, queue, events and what the server says about itself (§3).

use std::sync::Arc;

use api::marathon::{
    ApiError, App, AppId, Detail, HttpConfig, Info, LifeTime, MarathonConfig, Queue, QueueDelay, QueueItem,
    Stats, StatsCounts, Subscription, Task, TaskId, TaskStats, TaskStatsEntry, Timestamp, Uuid,
    ZookeeperConfig,
};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Services;
use super::apps::{answered, kill_answer, malformed};
use super::events::Listener;
use super::http::Asked;
use super::reply::{self, Reply};
use crate::core::view::AppView;
use crate::core::{Answer, Request, Which};

/// What clients switch features on.
const VERSION: &str = "1.11.0";

/// What `Accept` allows, in lower case; everything when it is absent.
fn accepts(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let kinds = values.flat_map(|value| value.split(','));
    let kind = |kind: &str| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mut kinds: Vec<String> = kinds.map(kind).filter(|kind| !kind.is_empty()).collect();
    if kinds.is_empty() {
        kinds.push("*/*".to_owned());
    }
    kinds
}

/// What a Marathon answers that is asked whether it is there (`GET /ping`), in the form that the request prefers.
#[must_use]
pub fn ping(headers: &HeaderMap) -> Response {
    for kind in accepts(headers) {
        match kind.as_str() {
            "*/*" | "text/*" | "text/plain" => return "pong".into_response(),
            "application/*" | "application/json" => return reply::json(&"pong"),
            _ => {}
        }
    }
    StatusCode::NO_CONTENT.into_response()
}

pub(crate) fn tasks(services: &Services, asked: &Asked) -> Response {
    let view = services.view();
    let wanted: Vec<String> = asked.all("status").chain(asked.all("status[]")).map(str::to_owned).collect();
    let is_wanted = move |task: &Arc<Task>| {
        wanted.is_empty()
            || wanted.iter().any(|status| match status.as_str() {
                "running" => task.state == "TASK_RUNNING",
                "staging" => matches!(task.state.as_str(), "TASK_STAGING" | "TASK_STARTING"),
                _ => false,
            })
    };
    let apps: Vec<Arc<AppView>> = view.apps.values().filter(|app| app.app.is_some()).cloned().collect();
    let tasks = apps.into_iter().flat_map(|app| app.tasks.clone()).filter(is_wanted);
    if accepts(&asked.headers).first().is_some_and(|kind| kind == "text/plain") {
        return plain(tasks).into_response();
    }
    reply::list("tasks", tasks.map(reply::Shared))
}

/// A line for each app and service port: the ports of its running tasks.
fn plain(tasks: impl Iterator<Item = Arc<Task>>) -> String {
    let mut lines: std::collections::BTreeMap<(String, u16), String> = std::collections::BTreeMap::new();
    for task in tasks.filter(|task| task.state == "TASK_RUNNING") {
        let app = task.app_id.as_str().trim_start_matches('/').replace('/', "_");
        for (service, port) in task.service_ports.iter().zip(&task.ports) {
            let line = lines.entry((app.clone(), *service)).or_default();
            line.push_str(&format!("{}:{port}\t", task.host));
        }
    }
    lines.into_iter().map(|((app, service), ends)| format!("{app}\t{service}\t{ends}\n")).collect()
}

pub(crate) async fn delete_tasks(services: &Services, asked: Asked) -> Reply {
    let body = asked.json()?;
    let tasks = task_ids(&body)?;
    let tasks: Result<Vec<TaskId>, _> = tasks.iter().map(|id| id.parse()).collect();
    let tasks = tasks.map_err(|error| malformed(&error))?;
    let answer = kill_answer(services, &asked, None, Which::These(tasks)).await?;
    Ok(answered(answer, ""))
}

/// The texts of `{"ids": ["…"]}`.
fn task_ids(body: &Value) -> Result<Vec<&str>, ApiError> {
    let wrong = |path: String, error: &str| Detail { path, errors: vec![error.to_owned()] };
    let ids = match body.get("ids") {
        Some(Value::Array(ids)) => ids,
        None | Some(Value::Null) => {
            return Err(ApiError::WrongTypes(vec![wrong("/ids".to_owned(), "error.path.missing")]));
        }
        Some(_) => {
            return Err(ApiError::WrongTypes(vec![wrong("/ids".to_owned(), "error.expected.jsarray")]));
        }
    };
    let texts: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
    let others = ids.iter().enumerate().filter(|(_, id)| !id.is_string());
    let others: Vec<Detail> =
        others.map(|(at, _)| wrong(format!("/ids({at})"), "error.expected.jsstring")).collect();
    if others.is_empty() { Ok(texts) } else { Err(ApiError::WrongTypes(others)) }
}

pub(crate) async fn cancel(services: &Services, asked: &Asked, id: &str) -> Reply {
    let known: Uuid = id.parse().map_err(|_no_uuid| ApiError::NoDeployment(id.to_owned()))?;
    let drop = asked.flag("force", false)?;
    match services.ask(Request::Cancel { id: known, drop }, true, asked.caller.clone()).await? {
        Answer::Done => Ok(StatusCode::ACCEPTED.into_response()),
        answer => Ok(answered(answer, "")),
    }
}

pub(crate) fn queue(services: &Services, asked: &Asked) -> Response {
    let with_offers = asked.all("embed").any(|value| value == "lastUnusedOffers");
    let now = services.clock.now().elapsed;
    let view = services.view();
    let item = |view: &AppView| {
        let (app, queued) = (view.app.as_ref()?, view.queued.as_ref()?);
        let left = queued.not_before.saturating_sub(now);
        Some(QueueItem {
            app: App::clone(app),
            count: queued.count,
            delay: QueueDelay { time_left_seconds: left.as_secs(), overdue: left.is_zero() },
            since: queued.since,
            processed_offers_summary: queued.offers.clone(),
            last_unused_offers: with_offers
                .then(|| queued.unused.iter().map(super::offers::unused).collect()),
        })
    };
    reply::json(&Queue { queue: view.apps.values().filter_map(|view| item(view)).collect() })
}

pub(crate) async fn reset_delay(services: &Services, asked: &Asked, id: &[&str]) -> Reply {
    let text = format!("/{}", id.join("/").replace("%2F", "/").replace("%2f", "/"));
    let app: AppId = text.parse().map_err(|_no_id| ApiError::NotQueued(text.clone()))?;
    let answer = services.ask(Request::ResetDelay(app), false, asked.caller.clone()).await?;
    Ok(answered(answer, ""))
}

pub(crate) fn events(services: &Services, asked: &Asked) -> Reply {
    let subscription = Subscription::new(asked.all("event_type"));
    let listener = Listener {
        headers: &asked.headers,
        subscription,
        remote: asked.caller.ip.clone(),
        hangup: asked.hangup.clone(),
    };
    Ok(services.hub.open(listener, services.clock)?)
}

fn address(leader: &str) -> (String, u16) {
    let (host, port) = leader.rsplit_once(':').unwrap_or((leader, ""));
    (host.to_owned(), port.parse().unwrap_or(0))
}

pub(crate) fn info(services: &Services) -> Response {
    let options = &services.options;
    let (hostname, http_port) = address(&options.leader);
    reply::json(&Info {
        name: "marathon".to_owned(),
        version: VERSION.to_owned(),
        buildref: options.build.clone(),
        elected: services.leads(),
        leader: services.leads().then(|| options.leader.clone()),
        framework_id: services.view().framework.clone(),
        marathon_config: MarathonConfig {
            checkpoint: true,
            framework_name: options.name.clone(),
            ha: options.high_availability,
            hostname,
            local_port_min: *options.service_ports.start(),
            local_port_max: *options.service_ports.end(),
            master: options.leader.clone(),
            mesos_role: Some(options.role.to_string()),
            ..MarathonConfig::default()
        },
        zookeeper_config: ZookeeperConfig::default(),
        http_config: HttpConfig { http_port, https_port: 0 },
    })
}

pub(crate) fn leader(services: &Services) -> Response {
    reply::json(&json!({ "leader": services.options.leader }))
}

/// The leader steps down a moment after this answer.
pub(crate) fn abdicate(services: &Services) -> Response {
    tracing::info!("a client asked the leader to step down");
    services.abdicated.send_replace(true);
    reply::json(&json!({ "message": "Leadership abdicated" }))
}

/// Statistics over the app's tasks (§4).
pub(crate) fn task_stats(app: &App, view: &AppView, now: Timestamp) -> TaskStats {
    let first = app.version.unwrap_or(now);
    let (scaled, configured) =
        app.version_info.map_or((first, first), |info| (info.last_scaling_at, info.last_config_change_at));
    let all: Vec<(&Task, Option<bool>)> =
        view.tasks.iter().map(AsRef::as_ref).zip(view.healthy.iter().copied()).collect();
    let entry =
        |wanted: &dyn Fn(&Task) -> bool| stats(all.iter().filter(|(task, _)| wanted(task)).copied(), now);
    TaskStats {
        started_after_last_scaling: entry(&|task| task.version >= scaled),
        with_latest_config: entry(&|task| task.version >= configured),
        with_outdated_config: entry(&|task| task.version < configured),
        total_summary: entry(&|_| true),
    }
}

fn stats<'a>(
    tasks: impl Iterator<Item = (&'a Task, Option<bool>)>,
    now: Timestamp,
) -> Option<TaskStatsEntry> {
    let mut counts = StatsCounts::default();
    let mut ages: Vec<f64> = Vec::new();
    let mut any = false;
    for (task, healthy) in tasks {
        any = true;
        match task.state.as_str() {
            "TASK_RUNNING" => counts.running += 1,
            "TASK_STAGING" | "TASK_STARTING" => counts.staged += 1,
            _ => {}
        }
        match healthy {
            Some(true) => counts.healthy += 1,
            Some(false) => counts.unhealthy += 1,
            None => {}
        }
        if let Some(started) = task.started_at {
            let millis = u32::try_from((now.as_millis() - started.as_millis()).max(0)).unwrap_or(u32::MAX);
            ages.push(f64::from(millis) / 1000.0);
        }
    }
    ages.sort_by(f64::total_cmp);
    let middle = ages.get(ages.len() / 2).zip(ages.get(ages.len().saturating_sub(1) / 2));
    let life_time = middle.map(|(upper, lower)| LifeTime {
        average_seconds: ages.iter().sum::<f64>() / f64::from(u32::try_from(ages.len()).unwrap_or(1)),
        median_seconds: f64::midpoint(*upper, *lower),
    });
    any.then_some(TaskStatsEntry { stats: Stats { counts, life_time } })
}
