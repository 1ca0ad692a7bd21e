//! `/v2/apps` (§3, Apps).

use std::sync::Arc;

use api::marathon::{
    ApiError, App, AppEdit, AppId, AppInfo, AppRoute, AppUpdate, AppWrapper, DeploymentId, Embed, GroupApps,
    GroupId, LabelSelector, SelectorError, TaskId, TaskIdError, TaskList, Timestamp, VersionList,
    parse_app_path,
};
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::http::Asked;
use super::others::task_stats;
use super::reply::{self, Reply};
use super::{Services, groups};
use crate::core::view::AppView;
use crate::core::{Answer, Request, Which};

pub(crate) async fn answer(services: &Services, asked: Asked, below: &str) -> Reply {
    let route = parse_app_path(below);
    match (asked.method.as_str(), route) {
        ("GET", AppRoute::Apps) => list(services, &asked),
        ("POST", AppRoute::Apps) => {
            let body = asked.json()?;
            let app = App::create(&body, &GroupId::root())?;
            change(services, &asked, Request::Create(Box::new(app)), false).await
        }
        ("PUT", AppRoute::Apps) => {
            let edits = AppEdit::read_all(&asked.json()?, asked.flag("partialUpdate", true)?)?;
            change(services, &asked, Request::UpdateAll { edits, create: true }, false).await
        }
        ("PATCH", AppRoute::Apps) => {
            let edits = AppEdit::read_all(&asked.json()?, true)?;
            change(services, &asked, Request::UpdateAll { edits, create: false }, false).await
        }
        ("GET", AppRoute::App(id)) => {
            let view = existing(services, &id)?;
            let embed = Embed::for_app(asked.all("embed"));
            Ok(reply::json(&AppWrapper { app: info(services, &view, embed)? }))
        }
        ("GET", AppRoute::Group(group)) => {
            let embed = Embed::asked(asked.all("embed"));
            let embed = Embed { counts: true, deployments: true, ..embed };
            let all = of_group(services, &group);
            let apps = all.iter().map(|view| info(services, view, embed)).collect::<Result<_, _>>()?;
            Ok(reply::json(&GroupApps { apps }))
        }
        ("PUT", AppRoute::App(id)) => {
            let body = asked.json()?;
            let request = if asked.flag("partialUpdate", true)? {
                Request::Update { id, update: AppUpdate::read(&body)?, create: true }
            } else {
                Request::Replace(Box::new(App::replace(&body, &id)?))
            };
            change(services, &asked, request, false).await
        }
        ("PATCH", AppRoute::App(id)) => {
            let body = asked.json()?;
            let request = Request::Update { id, update: AppUpdate::read(&body)?, create: false };
            change(services, &asked, request, false).await
        }
        ("DELETE", AppRoute::App(id)) => change(services, &asked, Request::Delete(id), true).await,
        ("POST", AppRoute::Restart(id)) => change(services, &asked, Request::Restart(id), false).await,
        ("GET", AppRoute::Tasks(id)) => {
            let view = existing(services, &id)?;
            Ok(reply::json(&TaskList { tasks: view.tasks.clone() }))
        }
        ("GET", AppRoute::GroupTasks(group)) => {
            let all = of_group(services, &group).into_iter();
            Ok(reply::list("tasks", all.flat_map(|view| view.tasks.clone()).map(reply::Shared)))
        }
        ("DELETE", AppRoute::Tasks(id)) => {
            let which = Which::All { host: asked.one("host").map(str::to_owned) };
            kill(services, &asked, Some(id), which).await
        }
        ("DELETE", AppRoute::Task(id, task)) => {
            let task: TaskId = task.parse().map_err(|error| malformed(&error))?;
            kill(services, &asked, Some(id), Which::One(task)).await
        }
        ("GET", AppRoute::Versions(id)) => {
            let view = existing(services, &id)?;
            let versions = view.versions.keys().rev().copied().collect();
            Ok(reply::json(&VersionList { versions }))
        }
        ("GET", AppRoute::Version(id, version)) => {
            let view = existing(services, &id)?;
            let none = || ApiError::NoApp { app: id.to_string(), version: Some(version.clone()) };
            let known = version.parse::<Timestamp>().ok().and_then(|version| view.versions.get(&version));
            Ok(reply::json(&**known.ok_or_else(none)?))
        }
        ("PUT" | "POST", AppRoute::BadId { error, .. }) => {
            Err(ApiError::invalid("/id", error.to_string()).into())
        }
        (_, AppRoute::BadId { id, .. }) => Err(ApiError::NoApp { app: id, version: None }.into()),
        _ => Err(ApiError::MethodNotAllowed.into()),
    }
}

pub(crate) fn malformed(error: &TaskIdError) -> ApiError {
    ApiError::BadRequest(error.to_string())
}

fn existing(services: &Services, id: &AppId) -> Result<Arc<AppView>, ApiError> {
    let view = services.view().apps.get(id).cloned();
    view.filter(|view| view.app.is_some()).ok_or_else(|| ApiError::no_app(id))
}

pub(crate) fn of_group(services: &Services, group: &GroupId) -> Vec<Arc<AppView>> {
    let view = services.view();
    let below = view.apps.iter().filter(|(id, view)| view.app.is_some() && group.contains(id));
    below.map(|(_, view)| view.clone()).collect()
}

fn list(services: &Services, asked: &Asked) -> Reply {
    let embed = Embed::for_list(asked.all("embed"));
    let lower = |name: &str| asked.one(name).map(str::to_lowercase);
    let (cmd, id) = (lower("cmd"), lower("id"));
    let selector =
        asked.one("label").filter(|text| !text.is_empty()).map(str::parse::<LabelSelector>).transpose();
    let selector = selector.map_err(|error: SelectorError| ApiError::IllegalArgument(error.to_string()))?;
    let wanted = |app: &App| {
        let has = |text: Option<&str>, part: &Option<String>| {
            part.as_ref()
                .is_none_or(|part| text.is_some_and(|text| text.to_lowercase().contains(part.as_str())))
        };
        has(app.cmd.as_deref(), &cmd)
            && has(Some(app.id.as_str()), &id)
            && selector.as_ref().is_none_or(|selector| selector.matches(&app.labels))
    };
    let view = services.view();
    let all = view.apps.values().filter(|view| view.app.as_deref().is_some_and(wanted));
    let all: Vec<Arc<AppView>> = all.cloned().collect();
    let services = services.clone();
    // Those that have no definition were left out.
    Ok(reply::list("apps", all.into_iter().filter_map(move |view| info(&services, &view, embed).ok())))
}

pub(crate) fn info(services: &Services, view: &AppView, embed: Embed) -> Result<AppInfo, ApiError> {
    let app = view.app.as_deref().ok_or_else(|| ApiError::Internal("the app is gone".to_owned()))?;
    let info = AppInfo {
        app: app.clone(),
        counts: Some(view.counts),
        deployments: view.deployment.map(|id| DeploymentId { id }).into_iter().collect(),
        tasks: embed.tasks.then(|| view.tasks.clone()),
        readiness_check_results: Some(view.readiness.clone()),
        last_task_failure: view.failure.clone(),
        task_stats: embed.task_stats.then(|| task_stats(app, view, services.clock.now().wall)),
    };
    Ok(info.embedding(embed))
}

async fn change(services: &Services, asked: &Asked, request: Request, force: bool) -> Reply {
    let force = asked.flag("force", force)?;
    let path = match &request {
        Request::Update { id, .. } => id.to_string(),
        Request::Replace(app) | Request::Create(app) => app.id.to_string(),
        _ => String::new(),
    };
    let answer = services.ask(request, force, asked.caller.clone()).await?;
    Ok(answered(answer, &path))
}

async fn kill(services: &Services, asked: &Asked, app: Option<AppId>, which: Which) -> Reply {
    let one = matches!(which, Which::One(_));
    let answer = kill_answer(services, asked, app, which).await?;
    match answer {
        Answer::Tasks(mut tasks) if one => {
            let task = tasks.pop().ok_or_else(|| ApiError::Internal("the task is gone".to_owned()))?;
            Ok(reply::json(&json!({ "task": *task })))
        }
        answer => Ok(answered(answer, "")),
    }
}

/// Ends tasks as `scale`, `wipe` and `force` say. Only persistent volumes could be wiped, and there are none.
pub(crate) async fn kill_answer(
    services: &Services,
    asked: &Asked,
    app: Option<AppId>,
    which: Which,
) -> Result<Answer, ApiError> {
    let (scale, wipe, force) =
        (asked.flag("scale", false)?, asked.flag("wipe", false)?, asked.flag("force", false)?);
    if scale && wipe {
        return Err(ApiError::BadRequest("You cannot use scale and wipe at the same time.".to_owned()));
    }
    services.ask(Request::Kill { app, which, scale }, force, asked.caller.clone()).await
}

/// `app` is where something that was created is.
pub(crate) fn answered(answer: Answer, app: &str) -> Response {
    match answer {
        Answer::Created(created, deployment) => {
            let info = AppInfo::created(*created, deployment);
            let mut response = (StatusCode::CREATED, Json(info)).into_response();
            reply::location(&mut response, app);
            reply::deployment_header(&mut response, deployment);
            response
        }
        Answer::Deployment { result, created: true } => {
            let mut response = reply::deployment(StatusCode::CREATED, &result);
            reply::location(&mut response, app);
            response
        }
        Answer::Deployment { result, created: false } => reply::deployment(StatusCode::OK, &result),
        Answer::Tasks(tasks) => reply::json(&TaskList { tasks }),
        Answer::Plan(steps) => reply::json(&json!({ "steps": steps })),
        Answer::Versions(versions) => reply::json(&versions),
        Answer::Group(past) => reply::json(&groups::past(&past)),
        Answer::Done => StatusCode::NO_CONTENT.into_response(),
    }
}
