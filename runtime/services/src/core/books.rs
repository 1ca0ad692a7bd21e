//! What follows a change in its own time: pointers to the current definitions, groups, and the removal of what nothing
//! needs any more. The delta of the change says it already; these records only spare the next leader the way through all
//! deltas, so they are written as commits have room.

use std::collections::BTreeSet;

use api::marathon::{AppId, GroupId, Timestamp, Uuid};

use super::record;
use super::state::State;
use super::turn::Turn;

/// What is still to be written.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Deployments that a delta cancelled.
    pub(crate) cancelled: BTreeSet<Uuid>,
    /// Apps that have another definition, or none.
    pub(crate) apps: BTreeSet<AppId>,
    /// Groups that changed.
    pub(crate) groups: BTreeSet<GroupId>,
    /// Whether there may be more deltas than are kept.
    pub(crate) trim: bool,
    /// Apps that may have more versions than are needed.
    pub(crate) purge: BTreeSet<AppId>,
}

impl Books {
    /// Whether all that deltas say is also said elsewhere.
    fn is_settled(&self) -> bool {
        self.cancelled.is_empty() && self.apps.is_empty() && self.groups.is_empty()
    }

    /// Whether nothing is to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_settled() && !self.trim && self.purge.is_empty()
    }
}

/// Writes as much as the commit has room for.
pub(crate) fn keep(turn: &mut Turn<'_>) {
    while !turn.state.books.is_empty() && turn.has_room_behind() {
        if !write_one(turn) {
            return;
        }
    }
}

/// False when what comes next needs more room than there is.
fn write_one(turn: &mut Turn<'_>) -> bool {
    if let Some(id) = turn.state.books.cancelled.pop_first() {
        turn.delete(record::deployment_key(id));
    } else if let Some(id) = turn.state.books.apps.pop_first() {
        match turn.state.apps.get(&id).and_then(|entry| entry.app.as_ref()?.version) {
            Some(version) => turn.put(record::app_key(&id), record::pointer_bytes(version)),
            None => turn.delete(record::app_key(&id)),
        }
    } else if let Some(id) = turn.state.books.groups.pop_first() {
        match turn.state.groups.get(&id).map(|group| record::group_bytes(group)) {
            Some(bytes) if !turn.has_room_for(bytes.len()) => {
                turn.state.books.groups.insert(id);
                return false;
            }
            Some(bytes) => turn.put(record::group_key(&id), bytes),
            None => turn.delete(record::group_key(&id)),
        }
    } else if turn.state.books.trim {
        match surplus_delta(turn.state) {
            Some(version) => {
                turn.delete(record::delta_key(version));
                turn.state.forget(version);
            }
            None => turn.state.books.trim = false,
        }
    } else if let Some(app) = turn.state.books.purge.pop_first() {
        purge(turn, &app);
    }
    true
}

/// The oldest delta that is not needed: with those that are kept, as many versions of the root are known as there may be
/// of an app. One whose deployment runs is needed in any case.
fn surplus_delta(state: &State) -> Option<Timestamp> {
    let most = state.config.max_versions.saturating_sub(1).max(1);
    let surplus = state.history.len().saturating_sub(most);
    let runs = |version: &Timestamp| state.deployments.values().any(|run| run.delta.version == *version);
    state.history.keys().take(surplus).find(|version| !runs(version)).copied()
}

/// Drops versions that nothing needs: the oldest where there are too many, those of an app that is gone, and those that a
/// crash left behind before anything referred to them.
fn purge(turn: &mut Turn<'_>, id: &AppId) {
    let most = turn.state.config.max_versions;
    let Some(entry) = turn.state.apps.get_mut(id) else { return };
    let current = entry.app.as_ref().and_then(|app| app.version);
    let mut needed: BTreeSet<Timestamp> = entry.instances.values().map(|instance| instance.version).collect();
    needed.extend(current);
    needed.extend(entry.refs.keys());
    let all = || entry.versions.keys().filter(|version| !needed.contains(version));
    let stray = all().filter(|version| current.is_none_or(|current| **version > current)).count();
    let surplus = entry.versions.len().saturating_sub(stray).saturating_sub(most);
    let old = all().filter(|version| current.is_some_and(|current| **version < current)).take(surplus);
    let strays = all().filter(|version| current.is_none_or(|current| **version > current));
    let mut going: Vec<Timestamp> = old.chain(strays).copied().collect();
    let room = turn.room_behind();
    if going.len() > room {
        going.truncate(room);
        turn.state.books.purge.insert(id.clone());
    }
    let Some(entry) = turn.state.apps.get_mut(id) else { return };
    for version in &going {
        entry.versions.remove(version);
    }
    let nothing = entry.is_over() && entry.versions.is_empty() && entry.refs.is_empty();
    if nothing {
        turn.state.apps.remove(id);
    }
    for version in going {
        turn.delete(record::version_key(id, version));
    }
}
