//! What clients ask of groups (§3): turned into changes of the apps and groups that stand in them.

use std::collections::BTreeSet;

use api::marathon::{ApiError, App, AppId, Change, GroupChange, GroupId, GroupUpdate, Timestamp, diff};

use super::Answer;
use super::change::{self, About, Draft, groups_below};
use super::history::{Delta, Group};
use super::state::{State, config_version};
use super::turn::Turn;
use super::work::How;

fn no_group(id: &GroupId, version: Option<Timestamp>) -> ApiError {
    ApiError::NoGroup { group: id.to_string(), version: version.map(|version| version.to_string()) }
}

fn deployed(turn: &mut Turn<'_>, draft: Draft, about: &About<'_>, created: bool) -> Result<Answer, ApiError> {
    let result = change::change(turn, draft, about)?;
    Ok(Answer::Deployment { result, created })
}

pub(crate) fn create<'a>(
    turn: &mut Turn<'_>,
    update: GroupUpdate,
    about: &impl Fn(GroupId) -> About<'a>,
) -> Result<Answer, ApiError> {
    let id = update.id.clone();
    if turn.state.groups.contains_key(&id) {
        return Err(ApiError::GroupExists(id));
    }
    if turn.state.apps.get(id.as_str()).is_some_and(|entry| entry.app.is_some())
        && let Ok(app) = AppId::try_from(id.path().clone())
    {
        return Err(ApiError::AppExists(app));
    }
    let mut draft = Draft::default();
    put(turn.state, update, &mut draft);
    deployed(turn, draft, &about(id), true)
}

pub(crate) fn change<'a>(
    turn: &mut Turn<'_>,
    change: GroupChange,
    dry_run: bool,
    about: &impl Fn(GroupId) -> About<'a>,
) -> Result<Answer, ApiError> {
    let id = change.id().clone();
    let mut draft = Draft::default();
    match change {
        GroupChange::Rollback { version, .. } => restore(turn.state, &id, version, &mut draft)?,
        GroupChange::Scale { by, .. } => scale(turn.state, &id, by, &mut draft)?,
        GroupChange::Update(update) => put(turn.state, update, &mut draft),
    }
    if dry_run {
        return Ok(Answer::Plan(change::dry_run(turn, draft)?.iter().map(super::Step::view).collect()));
    }
    deployed(turn, draft, &about(id), false)
}

pub(crate) fn delete<'a>(
    turn: &mut Turn<'_>,
    id: &GroupId,
    about: &impl Fn(GroupId) -> About<'a>,
) -> Result<Answer, ApiError> {
    if !turn.state.groups.contains_key(id) {
        return Err(no_group(id, None));
    }
    let mut draft = Draft::default();
    remove(turn.state, id, &mut draft);
    deployed(turn, draft, &about(id.clone()), false)
}

pub(crate) fn versions(turn: &Turn<'_>, id: &GroupId) -> Result<Answer, ApiError> {
    if !turn.state.groups.contains_key(id) {
        return Err(no_group(id, None));
    }
    Ok(Answer::Versions(turn.state.group_versions(id)))
}

pub(crate) fn at(turn: &Turn<'_>, id: &GroupId, version: Timestamp) -> Result<Answer, ApiError> {
    let past = turn.state.past(id, version).ok_or_else(|| no_group(id, Some(version)))?;
    Ok(Answer::Group(Box::new(past)))
}

/// The group and all that stands in it goes. The root itself stays, empty.
fn remove(state: &State, id: &GroupId, draft: &mut Draft) {
    for (app, _) in state.apps_in(id) {
        draft.app(app, None, How::Plain, "");
    }
    for group in groups_below(state, id) {
        draft.groups.insert(group.clone(), None);
    }
    let itself = (*id == GroupId::root()).then(Group::default);
    draft.groups.insert(id.clone(), itself);
}

/// The group as the update says: what it does not speak of stays, and of what it does speak of, what it does not name goes.
fn put(state: &State, update: GroupUpdate, draft: &mut Draft) {
    let GroupUpdate { id, path, apps, groups, dependencies, enforce_role } = update;
    let known = state.groups.get(&id).map(|group| Group::clone(group)).unwrap_or_default();
    let group = Group {
        dependencies: dependencies.unwrap_or(known.dependencies),
        enforce_role: enforce_role.or(known.enforce_role),
        version: known.version,
    };
    draft.groups.insert(id.clone(), Some(group));
    if let Some(apps) = apps {
        for (app, _) in state.apps_in(&id).filter(|(app, _)| app.parent() == id) {
            draft.app(app, None, How::Plain, "");
        }
        for (at, app) in apps.into_iter().enumerate() {
            draft.app(&app.id.clone(), Some(app), How::Plain, &format!("{path}/apps({at})"));
        }
    }
    if let Some(groups) = groups {
        let named: BTreeSet<&GroupId> = groups.iter().map(|group| &group.id).collect();
        for other in groups_below(state, &id).filter(|other| other.parent().as_ref() == Some(&id)) {
            if !named.contains(other) {
                remove(state, other, draft);
            }
        }
        groups.into_iter().for_each(|group| put(state, group, draft));
    }
}

fn scale(state: &State, id: &GroupId, by: f64, draft: &mut Draft) -> Result<(), ApiError> {
    if !state.groups.contains_key(id) {
        return Err(no_group(id, None));
    }
    let mut refused = Vec::new();
    for (app, definition) in state.apps_in(id) {
        let scaled = scaled(definition.instances, by).ok_or_else(|| {
            ApiError::IllegalArgument(format!("{app} would have more instances than can be counted"))
        });
        match scaled.and_then(|instances| definition.scaled(instances)) {
            Ok(new) => draft.app(app, Some(new), How::Plain, ""),
            Err(ApiError::Invalid(details)) => {
                let why: Vec<String> = details.into_iter().flat_map(|detail| detail.errors).collect();
                refused.push(ApiError::invalid("/scaleBy", format!("{app}: {}", why.join(", "))));
            }
            Err(error) => refused.push(error),
        }
    }
    ApiError::together(refused).map_or(Ok(()), Err)
}

/// Multiplied and rounded up, as far as the interface counts. What a fraction of two lacks to a whole number is none of it.
fn scaled(instances: u32, by: f64) -> Option<u32> {
    let exact = f64::from(instances) * by;
    let near = exact.round();
    let whole = if (exact - near).abs() < 1e-6 { near } else { exact.ceil() };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole and within the range"
    )]
    (whole <= f64::from(i32::MAX)).then_some(whole as u32)
}

/// The group as it was.
fn restore(state: &State, id: &GroupId, version: Timestamp, draft: &mut Draft) -> Result<(), ApiError> {
    let past = state.past(id, version).ok_or_else(|| no_group(id, Some(version)))?;
    if state.groups.contains_key(id) {
        remove(state, id, draft);
    }
    for (group, then) in past.groups {
        draft.groups.insert(group, Some(then));
    }
    for (id, then) in past.apps {
        let now = state.apps.get(&id).and_then(|entry| entry.app.as_deref());
        let same = now.filter(|now| diff(now, &then) == Change::Nothing);
        match same {
            Some(same) => draft.app(&id, Some(same.clone()), How::Plain, ""),
            None => draft.app(&id, Some(App::clone(&then)), How::Back(config_version(&then)), ""),
        }
    }
    Ok(())
}

/// Groups as they were before a change, where nobody has changed them since and nothing new stands in them.
pub(crate) fn undo(state: &State, delta: &Delta, draft: &mut Draft) {
    // From the inside out: a group goes when all that stands in it goes.
    for step in delta.groups.iter().rev() {
        let now = state.groups.get(&step.group);
        let as_left = match (now, &step.to) {
            (Some(now), Some(to)) => now.says_the_same_as(to),
            (None, None) => true,
            _ => false,
        };
        if !as_left {
            continue;
        }
        let stays = |app: &AppId| draft.apps.get(app).is_none_or(|edit| edit.new.is_some());
        let used = state.apps_in(&step.group).any(|(app, _)| stays(app))
            || groups_below(state, &step.group)
                .any(|group| draft.groups.get(group).is_none_or(Option::is_some));
        match &step.from {
            Some(from) => drop(draft.groups.insert(step.group.clone(), Some(from.clone()))),
            None if !used => drop(draft.groups.insert(step.group.clone(), None)),
            None => {}
        }
    }
}
