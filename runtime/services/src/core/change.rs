//! One change of any number of apps and groups: worked out, checked, written down, and given to one deployment. All of it
//! comes about, or nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::marathon::{ApiError, App, AppId, DeploymentResult, Event, GroupId, Timestamp, Uuid};

use super::history::{Delta, Group, GroupStep, below};
use super::state::{Deployment, State, config_version};
use super::turn::Turn;
use super::work::{Changed, How, Worked, work_out};
use super::{Caller, Step, record, run};

/// The longest records of a deployment and of what it changes, in bytes. One of each fits into a batch with what else a
/// step writes.
const MOST_DEPLOYMENT: usize = 256 * 1024;
const MOST_DELTA: usize = 704 * 1024;

/// What an app shall be.
pub(crate) struct Edit {
    /// `None`: it goes.
    pub(crate) new: Option<App>,
    pub(crate) how: How,
    /// Where its definition stands in the request's body.
    pub(crate) path: String,
}

/// What is asked for. Apps and groups that are not named stay as they are.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) apps: BTreeMap<AppId, Edit>,
    /// `None`: it goes. Versions count for nothing.
    pub(crate) groups: BTreeMap<GroupId, Option<Group>>,
}

impl Draft {
    /// One app.
    pub(crate) fn of(id: &AppId, new: Option<App>, how: How) -> Draft {
        let mut draft = Draft::default();
        draft.app(id, new, how, "");
        draft
    }

    pub(crate) fn app(&mut self, id: &AppId, new: Option<App>, how: How, path: &str) {
        self.apps.insert(id.clone(), Edit { new, how, path: path.to_owned() });
    }
}

/// Who is told, and about what.
pub(crate) struct About<'a> {
    /// The group that changes as a whole.
    pub(crate) group: GroupId,
    /// Who sent definitions.
    pub(crate) caller: Option<&'a Caller>,
    /// Whether running deployments in the way are cancelled.
    pub(crate) force: bool,
    /// A deployment that is cancelled in any case.
    pub(crate) instead_of: Option<Uuid>,
}

/// The steps that a change would take; nothing is changed.
pub(crate) fn dry_run(turn: &Turn<'_>, draft: Draft) -> Result<Vec<Step>, ApiError> {
    Ok(work_out(turn.state, draft, turn.next_version())?.steps)
}

/// Everything that changes a definition or a group goes through here. Nothing is changed when it fails.
pub(crate) fn change(
    turn: &mut Turn<'_>,
    draft: Draft,
    about: &About<'_>,
) -> Result<DeploymentResult, ApiError> {
    let result = try_change(turn, draft, about);
    if let Err(error) = &result {
        let (group_id, version) = (about.group.clone(), turn.next_version());
        turn.publish(Event::GroupChangeFailed { group_id, version, reason: error.to_string() });
    }
    result
}

fn try_change(turn: &mut Turn<'_>, draft: Draft, about: &About<'_>) -> Result<DeploymentResult, ApiError> {
    let version = turn.next_version();
    let Worked { apps, groups, steps, mut locks } = work_out(turn.state, draft, version)?;
    if !locks.is_empty() && !about.force {
        return Err(ApiError::Locked(locks.into_iter().collect()));
    }
    locks.extend(about.instead_of.filter(|id| turn.state.deployments.contains_key(id)));
    let limit = turn.state.config.max_deployments;
    if turn.state.deployments.len() - locks.len() >= limit {
        return Err(ApiError::TooManyDeployments { limit });
    }
    let id = turn.state.random.uuid();
    let delta = Arc::new(Delta {
        version,
        before: turn.state.root_version(),
        apps: apps.iter().map(Changed::by_version).collect(),
        groups,
        cancels: locks.iter().copied().collect(),
    });
    let deployment = Deployment { id, delta: delta.clone(), steps, step: 0, waits_for: 0 };
    let bytes = record::delta_bytes(&delta);
    fits(&deployment, bytes.len())?;

    turn.state.last_version = version;
    for lock in locks {
        run::cancel(turn, lock, "canceled by another change that was forced");
        turn.state.books.cancelled.insert(lock);
    }
    if let Some(caller) = about.caller {
        for app in apps.iter().filter_map(|changed| changed.new.as_ref()) {
            turn.publish(Event::ApiPost {
                client_ip: caller.ip.clone(),
                uri: caller.uri.clone(),
                app_definition: Box::new(App::clone(app)),
            });
        }
    }
    for changed in apps {
        set_definition(turn, changed, version);
    }
    if !delta.apps.is_empty() || !delta.groups.is_empty() || !delta.cancels.is_empty() {
        for step in &delta.groups {
            set_group(turn.state, step);
        }
        turn.put(record::delta_key(version), bytes);
        turn.state.remember(delta);
        turn.state.books.trim = true;
    }
    turn.publish(Event::GroupChangeSuccess { group_id: about.group.clone(), version });
    run::begin(turn, deployment);
    Ok(DeploymentResult { version, deployment_id: id })
}

/// Refuses (422) what no store takes in one piece.
fn fits(deployment: &Deployment, delta: usize) -> Result<(), ApiError> {
    let steps = record::deployment_bytes(deployment).len();
    if delta <= MOST_DELTA && steps <= MOST_DEPLOYMENT {
        return Ok(());
    }
    Err(ApiError::IllegalArgument(format!(
        "The change is too large: its record has {delta} bytes of what changes and {steps} bytes of steps; {MOST_DELTA} and \
         {MOST_DEPLOYMENT} at most are possible. Change fewer apps and groups at once."
    )))
}

fn set_group(state: &mut State, step: &GroupStep) {
    match &step.to {
        Some(group) => state.groups.insert(step.group.clone(), Arc::new(group.clone())),
        None => state.groups.remove(&step.group),
    };
    state.books.groups.insert(step.group.clone());
    state.touched_groups.insert(step.group.clone());
}

/// Takes the definition over, with its version.
fn set_definition(turn: &mut Turn<'_>, changed: Changed, version: Timestamp) {
    let Changed { id, old, new, .. } = changed;
    turn.state.service_ports.replace(old.as_deref(), new.as_deref());
    turn.state.books.apps.insert(id.clone());
    turn.state.touch(&id);
    let entry = turn.state.apps.entry(id.clone()).or_default();
    // Offers that were looked at for another definition say nothing about this one.
    entry.waiting = None;
    turn.state.waiting.remove(&id);
    turn.state.link.ready.remove(&id);
    let Some(app) = new else {
        entry.app = None;
        return;
    };
    let configs = [Some(config_version(&app)), old.as_deref().map(config_version)];
    entry.backoff.retain(|known, _| configs.contains(&Some(*known)));
    entry.versions.insert(version, app.clone());
    entry.app = Some(app.clone());
    turn.put_ahead(record::version_key(&id, version), record::app_bytes(&app));
    turn.state.books.purge.insert(id.clone());
    for health_check in app.health_checks.clone() {
        turn.publish(Event::AddHealthCheck { app_id: id.clone(), health_check, version });
    }
}

/// All groups below one, itself not included.
pub(crate) fn groups_below<'a>(
    state: &'a State,
    group: &GroupId,
) -> impl Iterator<Item = &'a GroupId> + use<'a> {
    below(&state.groups, group).map(|(id, _)| id)
}
