//! What clients ask for (§3): checked, written down, and given to a deployment.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::marathon::{
    ActionKind, ApiError, App, AppId, AppUpdate, Change, DeploymentResult, Event, InstanceId, Timestamp,
    Uuid, VersionInfo, assign_service_ports, diff,
};

use super::plan::{Pair, plan};
use super::state::{AppChange, Deployment, config_version};
use super::turn::Turn;
use super::{Action, Answer, Ask, Caller, Request, Step, Which, record, run, support, view};

pub(crate) fn handle(turn: &mut Turn<'_>, ask: Ask) {
    let Ask { number, request, force, caller } = ask;
    let result = carry_out(turn, request, force, &caller);
    turn.reply(number, result);
}

fn carry_out(
    turn: &mut Turn<'_>,
    request: Request,
    force: bool,
    caller: &Caller,
) -> Result<Answer, ApiError> {
    match request {
        Request::Create(app) => {
            let id = app.id.clone();
            if current(turn, &id).is_some() {
                return Err(ApiError::AppExists(id));
            }
            let result = deploy(turn, &id, Some(*app), How::Plain, force, Some(caller))?;
            let app = current(turn, &id).ok_or_else(|| ApiError::no_app(&id))?;
            Ok(Answer::Created(Box::new(App::clone(&app)), result.deployment_id))
        }
        Request::Replace(app) => {
            let id = app.id.clone();
            let created = current(turn, &id).is_none();
            let result = deploy(turn, &id, Some(*app), How::Plain, force, Some(caller))?;
            Ok(Answer::Deployment { result, created })
        }
        Request::Update { id, update, create } => change(turn, &id, &update, create, force, caller),
        Request::Restart(id) => {
            let app = current(turn, &id).ok_or_else(|| ApiError::no_app(&id))?;
            let result = deploy(turn, &id, Some(App::clone(&app)), How::Restart, force, None)?;
            Ok(Answer::Deployment { result, created: false })
        }
        Request::Delete(id) => {
            current(turn, &id).ok_or_else(|| ApiError::no_app(&id))?;
            let result = deploy(turn, &id, None, How::Plain, force, None)?;
            Ok(Answer::Deployment { result, created: false })
        }
        Request::Kill { app, which, scale } => kill(turn, app.as_ref(), which, scale, force),
        Request::Cancel { id, drop } => cancel(turn, id, drop),
        Request::ResetDelay(id) => reset_delay(turn, &id),
    }
}

fn current(turn: &Turn<'_>, id: &AppId) -> Option<Arc<App>> {
    turn.state.apps.get(id)?.app.clone()
}

fn change(
    turn: &mut Turn<'_>,
    id: &AppId,
    update: &AppUpdate,
    create: bool,
    force: bool,
    caller: &Caller,
) -> Result<Answer, ApiError> {
    let old = current(turn, id);
    let new = match (&old, update) {
        (None, _) if !create => return Err(ApiError::no_app(id)),
        (None, _) => update.create(id)?,
        (Some(_), AppUpdate::Rollback(version)) => {
            let versions = turn.state.apps.get(id).map(|entry| &entry.versions);
            let then = versions.and_then(|versions| versions.get(version));
            App::clone(then.ok_or_else(|| ApiError::no_app_version(id, *version))?)
        }
        (Some(old), AppUpdate::Fields(_)) => update.apply(old)?,
    };
    let result = deploy(turn, id, Some(new), How::Plain, force, Some(caller))?;
    Ok(Answer::Deployment { result, created: old.is_none() })
}

/// How a definition takes the place of another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// As they differ.
    Plain,
    /// All instances are replaced.
    Restart,
    /// Back to an earlier definition: its instances that are still there stay.
    Back(Timestamp),
}

/// Everything that changes a definition goes through here. Nothing is changed when it fails.
fn deploy(
    turn: &mut Turn<'_>,
    id: &AppId,
    new: Option<App>,
    how: How,
    force: bool,
    caller: Option<&Caller>,
) -> Result<DeploymentResult, ApiError> {
    let old = current(turn, id);
    let new = new.map(|app| complete(turn, app, old.as_deref())).transpose()?;
    let locked = turn.state.apps.get(id).and_then(|entry| entry.deployment);
    if let Some(deployment) = locked.filter(|_| !force) {
        return Err(ApiError::Locked(vec![deployment]));
    }
    let limit = turn.state.config.max_deployments;
    if turn.state.deployments.len() - usize::from(locked.is_some()) >= limit {
        return Err(ApiError::TooManyDeployments { limit });
    }
    let before = turn.state.last_version;
    let version = turn.new_version();
    if let Some(deployment) = locked {
        run::cancel(turn, deployment, "canceled by another change that was forced");
    }
    let new = new.map(|app| dated(app, old.as_deref(), how, version));
    let mut steps = plan(&[Pair { old: old.as_deref(), new: new.as_ref() }]);
    if let Some(app) = new.as_ref().filter(|_| locked.is_some() || old.is_none()) {
        // What was cancelled, or an earlier app of this name, may have left instances of other definitions.
        steps = remainder(turn, app, steps);
    }
    let result = DeploymentResult { version, deployment_id: turn.state.random.uuid() };
    if let (Some(caller), Some(app)) = (caller, &new) {
        turn.publish(Event::ApiPost {
            client_ip: caller.ip.clone(),
            uri: caller.uri.clone(),
            app_definition: Box::new(app.clone()),
        });
    }
    let from = old.as_ref().and_then(|app| app.version);
    let to = new.as_ref().and_then(|app| app.version);
    set_definition(turn, id, new);
    turn.publish(Event::GroupChangeSuccess { group_id: id.parent(), version });
    let changes = vec![AppChange { app: id.clone(), from, to }];
    run::begin(turn, Deployment { id: result.deployment_id, version, before, changes, steps, step: 0 });
    Ok(result)
}

/// The planned steps, but so that they also deal with instances that another deployment left.
fn remainder(turn: &Turn<'_>, app: &App, mut planned: Vec<Step>) -> Vec<Step> {
    let entry = turn.state.apps.get(&app.id);
    let outdated =
        entry.is_some_and(|entry| entry.instances.values().any(|instance| instance.is_outdated(app)));
    let kind = if outdated { ActionKind::RestartApplication } else { ActionKind::ScaleApplication };
    let starts = |step: &Step| step.actions.iter().any(|action| action.kind == ActionKind::StartApplication);
    planned.retain(starts);
    if outdated || app.instances > 0 || planned.is_empty() {
        planned.push(Step { actions: vec![Action { kind, app: app.id.clone() }] });
    }
    planned
}

/// Fills in what the server decides, and refuses what cannot be.
fn complete(turn: &Turn<'_>, mut app: App, old: Option<&App>) -> Result<App, ApiError> {
    let config = &turn.state.config;
    app.role.get_or_insert_with(|| config.role.to_string());
    support::check(&app, config)?;
    let others =
        turn.state.apps.values().filter_map(|entry| entry.app.as_ref()).filter(|other| other.id != app.id);
    let taken: BTreeSet<u16> = others.flat_map(|other| other.service_ports()).collect();
    assign_service_ports(&mut app, old, &taken, config.service_ports.clone())?;
    Ok(app)
}

/// Gives the definition its version. One that changes nothing keeps the old one.
fn dated(mut app: App, old: Option<&App>, how: How, version: Timestamp) -> App {
    let Some(old) = old else {
        (app.version, app.version_info) = (Some(version), None);
        return app;
    };
    let first = old.version.unwrap_or(version);
    let scaled = old.version_info.map_or(first, |info| info.last_scaling_at);
    let change = if how == How::Restart { Change::Restart } else { diff(old, &app) };
    let (last_scaling_at, last_config_change_at) = match (change, how) {
        (Change::Nothing, How::Plain | How::Restart) => {
            (app.version, app.version_info) = (old.version, old.version_info);
            return app;
        }
        (_, How::Back(config)) => (version, config),
        (Change::Scale, _) => (version, config_version(old)),
        (Change::Restart, _) => (if app.instances == old.instances { scaled } else { version }, version),
    };
    app.version = Some(version);
    app.version_info = Some(VersionInfo { last_scaling_at, last_config_change_at });
    app
}

/// Writes the definition down, with its version, and drops the oldest versions that nothing needs.
fn set_definition(turn: &mut Turn<'_>, id: &AppId, new: Option<App>) {
    let Some(app) = new else {
        turn.delete(record::app_key(id));
        if let Some(entry) = turn.state.apps.get_mut(id) {
            entry.app = None;
            entry.backoff.clear();
        }
        turn.state.touch(id);
        return;
    };
    let version = app.version.unwrap_or(turn.now.wall);
    let bytes = record::app_bytes(&app);
    let news = turn.state.apps.get(id).is_none_or(|entry| !entry.versions.contains_key(&version));
    if news {
        turn.put(record::app_key(id), bytes.clone());
        turn.put(record::version_key(id, version), bytes);
        for health_check in app.health_checks.clone() {
            turn.publish(Event::AddHealthCheck { app_id: id.clone(), health_check, version });
        }
    }
    let app = Arc::new(app);
    let entry = turn.state.apps.entry(id.clone()).or_default();
    entry.versions.insert(version, app.clone());
    entry.app = Some(app.clone());
    let config = config_version(&app);
    entry.backoff.retain(|known, _| *known == config);
    // Offers that were looked at for another definition say nothing about this one.
    entry.waiting = None;
    turn.state.waiting.remove(id);
    turn.state.link.ready.remove(id);
    purge(turn, id);
    turn.state.touch(id);
}

fn purge(turn: &mut Turn<'_>, id: &AppId) {
    let most = turn.state.config.max_versions;
    let Some(entry) = turn.state.apps.get_mut(id) else { return };
    let mut needed: BTreeSet<Timestamp> = entry.instances.values().map(|instance| instance.version).collect();
    needed.extend(entry.app.iter().filter_map(|app| app.version));
    let changes = turn.state.deployments.values().flat_map(|deployment| &deployment.changes);
    needed.extend(
        changes.filter(|change| change.app == *id).flat_map(|change| [change.from, change.to]).flatten(),
    );
    let surplus = entry.versions.len().saturating_sub(most);
    let old: Vec<Timestamp> =
        entry.versions.keys().filter(|version| !needed.contains(version)).take(surplus).copied().collect();
    for version in &old {
        entry.versions.remove(version);
    }
    for version in old {
        turn.delete(record::version_key(id, version));
    }
}

fn kill(
    turn: &mut Turn<'_>,
    app: Option<&AppId>,
    which: Which,
    scale: bool,
    force: bool,
) -> Result<Answer, ApiError> {
    if let Some(app) = app {
        current(turn, app).ok_or_else(|| ApiError::no_app(app))?;
    }
    let ids = select(turn, app, which)?;
    let tasks = ids.iter().filter_map(|id| turn.state.instance(id)).map(view::shown).collect();
    if !scale {
        ids.iter().for_each(|id| run::mark(turn, id));
        return Ok(Answer::Tasks(tasks));
    }
    let apps: BTreeSet<&AppId> = ids.iter().map(|id| &id.app).collect();
    let locks = |app: &&AppId| turn.state.apps.get(app).and_then(|entry| entry.deployment);
    let locks: Vec<Uuid> = apps.iter().filter_map(locks).collect();
    if !locks.is_empty() && !force {
        return Err(ApiError::Locked(locks));
    }
    let mut result = None;
    for app in apps {
        let Some(old) = current(turn, app) else { continue };
        let gone = ids.iter().filter(|id| id.app == *app && !is_ending(turn, id)).count();
        let instances = old.instances.saturating_sub(u32::try_from(gone).unwrap_or(u32::MAX));
        let new = App { instances, ..App::clone(&old) };
        result = Some(deploy(turn, app, Some(new), How::Plain, force, None)?);
        ids.iter().filter(|id| id.app == *app).for_each(|id| run::mark(turn, id));
    }
    match result {
        Some(result) => Ok(Answer::Deployment { result, created: false }),
        None => {
            let result =
                DeploymentResult { version: turn.new_version(), deployment_id: turn.state.random.uuid() };
            Ok(Answer::Deployment { result, created: false })
        }
    }
}

fn is_ending(turn: &Turn<'_>, id: &InstanceId) -> bool {
    turn.state.instance(id).is_none_or(|instance| instance.killing || instance.marked)
}

fn select(turn: &Turn<'_>, app: Option<&AppId>, which: Which) -> Result<Vec<InstanceId>, ApiError> {
    let of_app = |id: &InstanceId| app.is_none_or(|app| id.app == *app);
    match which {
        Which::All { host } => {
            let entry = app.and_then(|app| turn.state.apps.get(app));
            let instances = entry.into_iter().flat_map(|entry| entry.instances.values());
            let on = |name: &str| host.as_deref().is_none_or(|host| host == "*" || host == name);
            Ok(instances.filter(|i| on(&i.host.hostname)).map(|i| i.id.clone()).collect())
        }
        Which::One(task) => {
            let id = task.instance().clone();
            match turn.state.instance(&id) {
                Some(_) if of_app(&id) => Ok(vec![id]),
                _ => Err(ApiError::NoTask(task.to_string())),
            }
        }
        Which::These(tasks) => {
            let ids: BTreeSet<InstanceId> = tasks.iter().map(|task| task.instance().clone()).collect();
            Ok(ids.into_iter().filter(|id| of_app(id) && turn.state.instance(id).is_some()).collect())
        }
    }
}

fn cancel(turn: &mut Turn<'_>, id: Uuid, drop: bool) -> Result<Answer, ApiError> {
    let deployment = turn.state.deployments.get(&id).cloned();
    let deployment = deployment.ok_or_else(|| ApiError::NoDeployment(id.to_string()))?;
    if drop {
        run::cancel(turn, id, "canceled");
        return Ok(Answer::Done);
    }
    let mut result = None;
    for change in &deployment.changes {
        let versions = turn.state.apps.get(&change.app).map(|entry| &entry.versions);
        let then = change.from.and_then(|from| versions.and_then(|versions| versions.get(&from)).cloned());
        let how = then.as_ref().map_or(How::Plain, |app| How::Back(config_version(app)));
        let then = then.map(|app| App::clone(&app));
        result = Some(deploy(turn, &change.app, then, how, true, None)?);
    }
    match result {
        Some(result) => Ok(Answer::Deployment { result, created: false }),
        None => Err(ApiError::NoDeployment(id.to_string())),
    }
}

fn reset_delay(turn: &mut Turn<'_>, id: &AppId) -> Result<Answer, ApiError> {
    let entry = turn.state.apps.get_mut(id).filter(|entry| entry.waiting.is_some());
    let entry = entry.ok_or_else(|| ApiError::NotQueued(id.clone()))?;
    entry.backoff.clear();
    turn.state.touch(id);
    Ok(Answer::Done)
}
