//! What clients ask for (§3): turned into changes of apps, groups and instances.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::marathon::{ApiError, App, AppEdit, AppId, AppUpdate, EditKind, GroupId, InstanceId, Uuid};

use super::change::{About, Draft, change};
use super::state::config_version;
use super::turn::Turn;
use super::work::How;
use super::{Answer, Ask, Caller, Request, Which, group_requests, record, run, view};

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
    let sent = |group: GroupId| About { group, caller: Some(caller), force, instead_of: None };
    let asked = |group: GroupId| About { group, caller: None, force, instead_of: None };
    match request {
        Request::Create(app) => {
            let id = app.id.clone();
            if current(turn, &id).is_some() {
                return Err(ApiError::AppExists(id));
            }
            let result = change(turn, Draft::of(&id, Some(*app), How::Plain), &sent(id.parent()))?;
            let app = current(turn, &id).ok_or_else(|| ApiError::no_app(&id))?;
            Ok(Answer::Created(Box::new(App::clone(&app)), result.deployment_id))
        }
        Request::Replace(app) => {
            let id = app.id.clone();
            let created = current(turn, &id).is_none();
            let result = change(turn, Draft::of(&id, Some(*app), How::Plain), &sent(id.parent()))?;
            Ok(Answer::Deployment { result, created })
        }
        Request::Update { id, update, create } => {
            let created = current(turn, &id).is_none();
            let new = updated(turn, &id, &update, create)?;
            let result = change(turn, Draft::of(&id, Some(new), How::Plain), &sent(id.parent()))?;
            Ok(Answer::Deployment { result, created })
        }
        Request::UpdateAll { edits, create } => {
            let draft = all_updated(turn, edits, create)?;
            let result = change(turn, draft, &sent(GroupId::root()))?;
            Ok(Answer::Deployment { result, created: false })
        }
        Request::Restart(id) => {
            let app = current(turn, &id).ok_or_else(|| ApiError::no_app(&id))?;
            let draft = Draft::of(&id, Some(App::clone(&app)), How::Restart);
            let result = change(turn, draft, &asked(id.parent()))?;
            Ok(Answer::Deployment { result, created: false })
        }
        Request::Delete(id) => {
            current(turn, &id).ok_or_else(|| ApiError::no_app(&id))?;
            let result = change(turn, Draft::of(&id, None, How::Plain), &asked(id.parent()))?;
            Ok(Answer::Deployment { result, created: false })
        }
        Request::CreateGroup(update) => group_requests::create(turn, *update, &sent),
        Request::ChangeGroup { change, dry_run } => group_requests::change(turn, *change, dry_run, &sent),
        Request::DeleteGroup(id) => group_requests::delete(turn, &id, &asked),
        Request::GroupVersions(id) => group_requests::versions(turn, &id),
        Request::GroupAt { id, version } => group_requests::at(turn, &id, version),
        Request::Kill { app, which, scale } => kill(turn, app.as_ref(), which, scale, force),
        Request::Cancel { id, drop } => cancel(turn, id, drop),
        Request::ResetDelay(id) => reset_delay(turn, &id),
    }
}

fn current(turn: &Turn<'_>, id: &AppId) -> Option<Arc<App>> {
    turn.state.apps.get(id)?.app.clone()
}

/// The app as an update of it says.
fn updated(turn: &Turn<'_>, id: &AppId, update: &AppUpdate, create: bool) -> Result<App, ApiError> {
    match (current(turn, id), update) {
        (None, _) if !create => Err(ApiError::no_app(id)),
        (None, _) => update.create(id),
        (Some(_), AppUpdate::Rollback(version)) => {
            let versions = turn.state.apps.get(id).map(|entry| &entry.versions);
            let then = versions.and_then(|versions| versions.get(version));
            Ok(App::clone(then.ok_or_else(|| ApiError::no_app_version(id, *version))?))
        }
        (Some(old), AppUpdate::Fields(_)) => update.apply(&old),
    }
}

/// All or none; every mistake at its element.
fn all_updated(turn: &Turn<'_>, edits: Vec<AppEdit>, create: bool) -> Result<Draft, ApiError> {
    let mut draft = Draft::default();
    let mut refused = Vec::new();
    for (at, AppEdit { id, change }) in edits.into_iter().enumerate() {
        let path = AppEdit::path(at);
        let new = match change {
            EditKind::Whole(_) if !create && current(turn, &id).is_none() => Err(ApiError::no_app(&id)),
            EditKind::Whole(app) => Ok(*app),
            EditKind::Part(update) => updated(turn, &id, &update, create),
        };
        match new {
            Ok(app) => draft.app(&id, Some(app), How::Plain, &path),
            Err(error) => refused.push(error.below(&path)),
        }
    }
    ApiError::together(refused).map_or(Ok(draft), Err)
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
    let mut gone: BTreeMap<&AppId, u32> = BTreeMap::new();
    for id in ids.iter().filter(|id| !is_ending(turn, id)) {
        *gone.entry(&id.app).or_insert(0) += 1;
    }
    let mut draft = Draft::default();
    for (app, gone) in gone {
        let Some(old) = current(turn, app) else { continue };
        let instances = old.instances.saturating_sub(gone);
        draft.app(app, Some(App { instances, ..App::clone(&old) }), How::Plain, "");
    }
    let group = app.map_or_else(GroupId::root, AppId::parent);
    let result = change(turn, draft, &About { group, caller: None, force, instead_of: None })?;
    ids.iter().for_each(|id| run::mark(turn, id));
    Ok(Answer::Deployment { result, created: false })
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
    let deployment = turn.state.deployments.get(&id);
    let delta = deployment.ok_or_else(|| ApiError::NoDeployment(id.to_string()))?.delta.clone();
    if drop {
        run::cancel(turn, id, "canceled");
        turn.delete(record::deployment_key(id));
        return Ok(Answer::Done);
    }
    let mut draft = Draft::default();
    for change in &delta.apps {
        let versions = turn.state.apps.get(&change.app).map(|entry| &entry.versions);
        let then = change.from.and_then(|from| versions.and_then(|versions| versions.get(&from)).cloned());
        let how = then.as_ref().map_or(How::Plain, |app| How::Back(config_version(app)));
        draft.app(&change.app, then.map(|app| App::clone(&app)), how, "");
    }
    group_requests::undo(turn.state, &delta, &mut draft);
    let about = About { group: GroupId::root(), caller: None, force: true, instead_of: Some(id) };
    let result = change(turn, draft, &about)?;
    Ok(Answer::Deployment { result, created: false })
}

fn reset_delay(turn: &mut Turn<'_>, id: &AppId) -> Result<Answer, ApiError> {
    let entry = turn.state.apps.get_mut(id).filter(|entry| entry.waiting.is_some());
    let entry = entry.ok_or_else(|| ApiError::NotQueued(id.to_string()))?;
    entry.backoff.clear();
    turn.state.touch(id);
    Ok(Answer::Done)
}
