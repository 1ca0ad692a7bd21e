//! `/v2/groups` (§3, Groups).

use std::collections::BTreeMap;
use std::ops::Bound;

use api::marathon::{
    ApiError, App, AppInfo, Embed, GroupChange, GroupEmbed, GroupId, GroupInfo, GroupRoute, GroupUpdate,
    Timestamp, parse_group_path,
};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use super::Services;
use super::apps::{answered, info, of_group};
use super::http::Asked;
use super::reply::{self, Reply};
use crate::core::{Answer, Group, Past, Request};

pub(crate) async fn answer(services: &Services, asked: Asked, below: &str) -> Reply {
    let reading = asked.method.as_str() == "GET";
    if asked.method.as_str() == "PUT"
        && let Some((id, version)) = past_version(below)
    {
        let rollback = Box::new(GroupChange::Rollback { id, version });
        let dry_run = asked.flag("dryRun", false)?;
        return change(services, &asked, Request::ChangeGroup { change: rollback, dry_run }).await;
    }
    match (asked.method.as_str(), parse_group_path(below, reading)) {
        ("GET", GroupRoute::Group(id)) => {
            let embed = GroupEmbed::parse(asked.all("embed"));
            Ok(reply::json(&shown(services, &id, embed)?))
        }
        ("GET", GroupRoute::Apps(id)) => {
            existing(services, &id)?;
            let asked = Embed::asked(asked.all("embed"));
            let embed = Embed { counts: true, deployments: true, ..asked };
            let all = of_group(services, &id);
            let apps: Result<Vec<AppInfo>, _> = all.iter().map(|view| info(services, view, embed)).collect();
            Ok(reply::json(&apps?))
        }
        ("GET", GroupRoute::Versions(id)) => change(services, &asked, Request::GroupVersions(id)).await,
        ("GET", GroupRoute::Version(id, text)) => {
            let version = text.parse::<Timestamp>();
            let none = || ApiError::NoGroup { group: id.to_string(), version: Some(text.clone()) };
            let version = version.map_err(|_no_time| none())?;
            change(services, &asked, Request::GroupAt { id, version }).await
        }
        ("POST", GroupRoute::Group(base)) => {
            let update = GroupUpdate::create(&asked.json()?, &base)?;
            let id = update.id.clone();
            let request = Request::CreateGroup(Box::new(update));
            Ok(located(change(services, &asked, request).await?, &id))
        }
        ("PUT", GroupRoute::Group(base)) => {
            let change_to = Box::new(GroupChange::read(&asked.json()?, &base)?);
            let dry_run = asked.flag("dryRun", false)?;
            change(services, &asked, Request::ChangeGroup { change: change_to, dry_run }).await
        }
        ("DELETE", GroupRoute::Group(id)) => change(services, &asked, Request::DeleteGroup(id)).await,
        ("PUT" | "POST", GroupRoute::BadId { error, .. }) => {
            Err(ApiError::invalid("/id", error.to_string()).into())
        }
        ("GET" | "DELETE", GroupRoute::BadId { id, .. }) => {
            Err(ApiError::NoGroup { group: id, version: None }.into())
        }
        _ => Err(ApiError::MethodNotAllowed.into()),
    }
}

async fn change(services: &Services, asked: &Asked, request: Request) -> Reply {
    let force = asked.flag("force", false)?;
    let answer = services.ask(request, force, asked.caller.clone()).await?;
    Ok(match answer {
        Answer::Deployment { result, created: true } => reply::deployment(StatusCode::CREATED, &result),
        answer => answered(answer, ""),
    })
}

/// `/{id}/versions/{ts}`, by which the released Python client rolls back; no group can have such an id.
fn past_version(below: &str) -> Option<(GroupId, Timestamp)> {
    match parse_group_path(below, true) {
        GroupRoute::Version(id, text) => Some((id, text.parse().ok()?)),
        _ => None,
    }
}

/// Says where the new group is.
fn located(mut response: Response, id: &GroupId) -> Response {
    if let Ok(value) = HeaderValue::from_str(&format!("/v2/groups{id}")) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

fn existing(services: &Services, id: &GroupId) -> Result<(), ApiError> {
    let known = services.view().groups.contains_key(id);
    known.then_some(()).ok_or_else(|| ApiError::NoGroup { group: id.to_string(), version: None })
}

/// The group with what `embed` asks for.
fn shown(services: &Services, id: &GroupId, embed: GroupEmbed) -> Result<GroupInfo, ApiError> {
    let view = services.view();
    let none = || ApiError::NoGroup { group: id.to_string(), version: None };
    let mut groups = BTreeMap::from([(id.clone(), view.groups.get(id).ok_or_else(none)?.clone())]);
    let prefix = id.prefix();
    let from = (Bound::Excluded(prefix.as_str()), Bound::Unbounded);
    if embed.groups {
        let below = view.groups.range::<str, _>(from);
        let below = below.take_while(|(id, _)| id.as_str().starts_with(&prefix));
        groups.extend(below.map(|(id, group)| (id.clone(), group.clone())));
    }
    let mut apps = Vec::new();
    if embed.apps {
        let below = view.apps.range::<str, _>(from);
        let below = below.take_while(|(id, _)| id.as_str().starts_with(&prefix));
        for (app, view) in below.filter(|(_, view)| view.app.is_some()) {
            let parent = app.parent();
            if groups.contains_key(&parent) {
                apps.push((parent, info(services, view, embed.app.unwrap_or_default())?));
            }
        }
    }
    let groups = groups.iter().map(|(id, group)| (id.clone(), &**group));
    tree(id, groups, apps, embed).ok_or_else(none)
}

/// The group as it was: definitions alone.
pub(crate) fn past(past: &Past) -> Option<GroupInfo> {
    let plain = |app: App| AppInfo {
        app,
        counts: None,
        deployments: Vec::new(),
        tasks: None,
        readiness_check_results: None,
        last_task_failure: None,
        task_stats: None,
    };
    let apps = past.apps.values().map(|app| (app.id.parent(), plain(App::clone(app)))).collect();
    let groups = past.groups.iter().map(|(id, group)| (id.clone(), group));
    tree(&past.id, groups, apps, GroupEmbed::parse([]))
}

/// Puts everything into the group that it stands in.
fn tree<'a>(
    top: &GroupId,
    groups: impl Iterator<Item = (GroupId, &'a Group)>,
    apps: Vec<(GroupId, AppInfo)>,
    embed: GroupEmbed,
) -> Option<GroupInfo> {
    let plain = |(id, group): (GroupId, &Group)| {
        let info = GroupInfo {
            id: id.clone(),
            apps: embed.apps.then(Vec::new),
            groups: embed.groups.then(Vec::new),
            pods: embed.pods.then_some([]),
            dependencies: group.dependencies.clone(),
            version: group.version,
            enforce_role: group.enforce_role,
        };
        (id, info)
    };
    let mut infos: BTreeMap<GroupId, GroupInfo> = groups.map(plain).collect();
    for (parent, app) in apps {
        if let Some(apps) = infos.get_mut(&parent).and_then(|info| info.apps.as_mut()) {
            apps.push(app);
        }
    }
    // What stands in a group has a later id than the group.
    while let Some((id, mut info)) = infos.pop_last() {
        if let Some(groups) = &mut info.groups {
            groups.reverse();
        }
        if id == *top {
            return Some(info);
        }
        let parent = id.parent().and_then(|parent| infos.get_mut(&parent));
        if let Some(groups) = parent.and_then(|parent| parent.groups.as_mut()) {
            groups.push(info);
        }
    }
    None
}
