//! What a draft comes to, before anything is changed: definitions filled in, what differs, the groups around it, the order,
//! the steps, and what is in the way.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use api::marathon::{
    ApiError, App, AppId, Change, GroupId, PathId, Timestamp, Uuid, VersionInfo, assign_service_ports, diff,
};

use super::change::{Draft, Edit};
use super::history::{AppChange, Group, GroupStep};
use super::order::{Point, Tree, levels};
use super::plan::{Left, Levels, Pair, plan};
use super::state::{Entry, State, config_version};
use super::{Step, support};

/// The same id for an app and a group.
const SAME: &str = "Groups and Applications may not have the same identifier.";

/// How a definition takes the place of another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// As they differ.
    Plain,
    /// All instances are replaced.
    Restart,
    /// Back to an earlier definition: its instances that are still there stay.
    Back(Timestamp),
}

/// An app that changes.
pub(crate) struct Changed {
    pub(crate) id: AppId,
    pub(crate) old: Option<Arc<App>>,
    pub(crate) new: Option<Arc<App>>,
    pub(crate) path: String,
}

/// A change that may be made.
pub(crate) struct Worked {
    pub(crate) apps: Vec<Changed>,
    pub(crate) groups: Vec<GroupStep>,
    pub(crate) steps: Vec<Step>,
    /// Deployments in the way.
    pub(crate) locks: BTreeSet<Uuid>,
}

impl Changed {
    pub(crate) fn by_version(&self) -> AppChange {
        let version = |app: &Option<Arc<App>>| app.as_ref().and_then(|app| app.version);
        AppChange { app: self.id.clone(), from: version(&self.old), to: version(&self.new) }
    }
}

pub(crate) fn work_out(state: &State, mut draft: Draft, version: Timestamp) -> Result<Worked, ApiError> {
    complete(state, &mut draft)?;
    let mut groups = std::mem::take(&mut draft.groups);
    let mut apps = Vec::new();
    for (id, Edit { new, how, path }) in draft.apps {
        let old = state.apps.get(&id).and_then(|entry| entry.app.clone());
        let new = new.map(|app| Arc::new(dated(app, old.as_deref(), how, version)));
        let same = match (&old, &new) {
            (Some(old), Some(new)) => old.version == new.version,
            (None, None) => true,
            _ => false,
        };
        if !same {
            apps.push(Changed { id, old, new, path });
        }
    }
    found(state, &apps, &mut groups)?;
    let after = After {
        state,
        apps: apps
            .iter()
            .map(|changed| (changed.id.as_str(), (&changed.id, changed.new.as_deref())))
            .collect(),
        groups: &groups,
    };
    let levels = ordered(state, &after, &apps)?;
    let mut locks = BTreeSet::new();
    let mut pairs = Vec::new();
    for changed in &apps {
        let entry = state.apps.get(&changed.id);
        let lock = entry.and_then(|entry| entry.deployment);
        locks.extend(lock);
        // What is cancelled, or an earlier app of this name, may have left instances of other definitions.
        let unsure = lock.is_some() || changed.old.is_none();
        let left = match (entry, changed.new.as_deref()) {
            (Some(entry), Some(new)) if unsure => left_of(entry, new),
            _ => Left::Nothing,
        };
        pairs.push(Pair { old: changed.old.as_deref(), new: changed.new.as_deref(), left });
    }
    let steps = plan(&pairs, &levels);
    let groups = group_steps(state, &apps, &groups, version);
    Ok(Worked { apps, groups, steps, locks })
}

fn left_of(entry: &Entry, new: &App) -> Left {
    let outdated = entry.instances.values().any(|instance| instance.is_outdated(new));
    if outdated { Left::Outdated } else { Left::Current }
}

/// Fills in what the server decides, and refuses what cannot be.
fn complete(state: &State, draft: &mut Draft) -> Result<(), ApiError> {
    let config = &state.config;
    let mut refused = Vec::new();
    // Numbers that the request itself gives out or asks for.
    let mut given = vec![false; usize::from(u16::MAX) + 1];
    let give = |given: &mut Vec<bool>, app: &App| {
        for port in app.service_ports() {
            if let Some(given) = given.get_mut(usize::from(port)) {
                *given = true;
            }
        }
    };
    draft.apps.values().filter_map(|edit| edit.new.as_ref()).for_each(|app| give(&mut given, app));
    let Draft { apps, groups } = draft;
    for (id, Edit { new, path, .. }) in apps {
        let Some(app) = new else { continue };
        app.role.get_or_insert_with(|| enforced_role(state, groups, id).unwrap_or(config.role.to_string()));
        if let Err(error) = support::check(app, config) {
            refused.push(error.below(path));
            continue;
        }
        let old = state.apps.get(id).and_then(|entry| entry.app.as_deref());
        let own = old.map(App::service_ports).unwrap_or_default();
        let taken = |port: u16| {
            given.get(usize::from(port)).copied().unwrap_or(true) || state.service_ports.is_taken(port, &own)
        };
        match assign_service_ports(app, old, taken, config.service_ports.clone()) {
            Ok(()) => give(&mut given, app),
            Err(error) => refused.push(ApiError::from(error).below(path)),
        }
    }
    ApiError::together(refused).map_or(Ok(()), Err)
}

/// The name of the group in the root that the app stands in, where that is the role of all its apps.
fn enforced_role(state: &State, groups: &BTreeMap<GroupId, Option<Group>>, app: &AppId) -> Option<String> {
    let name = app.path().elements().next().filter(|_| app.path().elements().count() > 1)?;
    let id = format!("/{name}");
    let group = match groups.get(id.as_str()) {
        Some(group) => group.as_ref(),
        None => state.groups.get(id.as_str()).map(|group| &**group),
    };
    group.filter(|group| group.enforce_role == Some(true)).map(|_| name.to_owned())
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

/// Adds the groups that new apps and groups stand in, and refuses ids that apps and groups share.
fn found(
    state: &State,
    apps: &[Changed],
    groups: &mut BTreeMap<GroupId, Option<Group>>,
) -> Result<(), ApiError> {
    let mut wanted: Vec<(GroupId, &str)> = Vec::new();
    for changed in apps.iter().filter(|changed| changed.new.is_some()) {
        wanted.push((changed.id.parent(), changed.path.as_str()));
    }
    let named = groups.iter().filter(|(_, group)| group.is_some());
    wanted.extend(named.map(|(id, _)| (id.clone(), "")).collect::<Vec<_>>());
    let mut paths: BTreeMap<GroupId, &str> = BTreeMap::new();
    for (group, path) in wanted {
        let mut at = Some(group);
        while let Some(id) = at {
            let known = match groups.get(&id) {
                Some(group) => group.is_some(),
                None => state.groups.contains_key(&id),
            };
            if !known {
                groups.insert(id.clone(), Some(Group::default()));
                paths.insert(id.clone(), path);
            } else if !groups.contains_key(&id) {
                // What it stands in is there, too.
                break;
            }
            at = id.parent();
        }
    }
    let mut refused = Vec::new();
    let refuse = |path: &str| ApiError::invalid("/id", SAME).below(path);
    let after = |id: &str| match apps.binary_search_by(|changed| changed.id.as_str().cmp(id)) {
        Ok(at) => apps.get(at).is_some_and(|changed| changed.new.is_some()),
        Err(_) => state.apps.get(id).is_some_and(|entry| entry.app.is_some()),
    };
    for (id, group) in groups.iter() {
        if group.is_some() && !state.groups.contains_key(id) && after(id.as_str()) {
            refused.push(refuse(paths.get(id).copied().unwrap_or_default()));
        }
    }
    for changed in apps.iter().filter(|changed| changed.old.is_none() && changed.new.is_some()) {
        let kept = |id: &str| match groups.get(id) {
            Some(group) => group.is_some(),
            None => true,
        };
        let id = changed.id.as_str();
        if state.groups.contains_key(id) && kept(id) {
            refused.push(refuse(&changed.path));
        }
    }
    ApiError::together(refused).map_or(Ok(()), Err)
}

/// Things as they shall be.
struct After<'a> {
    state: &'a State,
    apps: BTreeMap<&'a str, (&'a AppId, Option<&'a App>)>,
    groups: &'a BTreeMap<GroupId, Option<Group>>,
}

impl Tree for After<'_> {
    fn app(&self, id: &str) -> Option<&[PathId]> {
        let app = match self.apps.get(id) {
            Some((_, app)) => *app,
            None => self.state.apps.get(id)?.app.as_deref(),
        };
        app.map(|app| app.dependencies.as_slice())
    }

    fn group(&self, id: &str) -> Option<&[PathId]> {
        let group = match self.groups.get(id) {
            Some(group) => group.as_ref(),
            None => self.state.groups.get(id).map(|group| &**group),
        };
        group.map(|group| group.dependencies.as_slice())
    }

    fn apps_in(&self, group: &GroupId) -> Vec<AppId> {
        let kept =
            self.state.apps_in(group).map(|(id, _)| id).filter(|id| !self.apps.contains_key(id.as_str()));
        let prefix = group.prefix();
        let named = self.apps.range::<str, _>((Bound::Excluded(prefix.as_str()), Bound::Unbounded));
        let named = named.take_while(|(id, _)| id.starts_with(&prefix));
        let named = named.filter_map(|(_, (id, app))| app.is_some().then_some(*id));
        kept.chain(named).cloned().collect()
    }
}

/// Things as they are.
struct Now<'a>(&'a State);

impl Tree for Now<'_> {
    fn app(&self, id: &str) -> Option<&[PathId]> {
        Some(self.0.apps.get(id)?.app.as_ref()?.dependencies.as_slice())
    }

    fn group(&self, id: &str) -> Option<&[PathId]> {
        Some(self.0.groups.get(id)?.dependencies.as_slice())
    }

    fn apps_in(&self, group: &GroupId) -> Vec<AppId> {
        self.0.apps_in(group).map(|(id, _)| id.clone()).collect()
    }
}

/// The order of starting and stopping; refuses circles.
fn ordered(state: &State, after: &After<'_>, apps: &[Changed]) -> Result<Levels, ApiError> {
    let starting: BTreeSet<AppId> =
        apps.iter().filter(|changed| changed.new.is_some()).map(|changed| changed.id.clone()).collect();
    let stopping: BTreeSet<AppId> =
        apps.iter().filter(|changed| changed.new.is_none()).map(|changed| changed.id.clone()).collect();
    let groups = after.groups.iter().filter(|(_, group)| group.is_some());
    let groups = groups.map(|(id, _)| Point::Begin(id.clone()));
    let start = levels(after, &starting, groups)
        .map_err(|cycle| ApiError::invalid("/dependencies", cycle.to_string()))?;
    // There is no circle in what was let in before; with one, the order would not matter.
    let stop = levels(&Now(state), &stopping, []).unwrap_or_default();
    Ok(Levels { start, stop })
}

/// The groups that change, those whose version does so because of what stands in them included.
fn group_steps(
    state: &State,
    apps: &[Changed],
    groups: &BTreeMap<GroupId, Option<Group>>,
    version: Timestamp,
) -> Vec<GroupStep> {
    let mut steps: BTreeMap<GroupId, GroupStep> = BTreeMap::new();
    let mut changed: BTreeSet<GroupId> = apps.iter().map(|changed| changed.id.parent()).collect();
    for (id, to) in groups {
        let from = state.groups.get(id).map(|group| Group::clone(group));
        let differs = match (&from, to) {
            (Some(from), Some(to)) => !from.says_the_same_as(to),
            (None, None) => false,
            _ => true,
        };
        if !differs {
            continue;
        }
        changed.extend(if to.is_some() { Some(id.clone()) } else { id.parent() });
        let to = to.clone().map(|to| Group { version, ..to });
        steps.insert(id.clone(), GroupStep { group: id.clone(), from, to });
    }
    for group in changed {
        let mut at = Some(group);
        while let Some(id) = at {
            at = id.parent();
            let Some(from) = state.groups.get(&id).filter(|_| !steps.contains_key(&id)) else { continue };
            let (from, to) = (Group::clone(from), Group { version, ..Group::clone(from) });
            steps.insert(id.clone(), GroupStep { group: id, from: Some(from), to: Some(to) });
        }
    }
    steps.into_values().collect()
}
