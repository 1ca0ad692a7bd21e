//! Groups, and what they were: every change of the root is one delta from app versions and groups to those that took their
//! place. The deltas, newest first, lead back from what is to what was.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use api::marathon::{App, AppId, GroupId, PathId, Timestamp, Uuid};

use super::state::{Entry, State};

/// What is known about a group besides what stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What comes first.
    pub dependencies: Vec<PathId>,
    /// Whether its name is the role of its apps; `None` unless somebody said so.
    pub enforce_role: Option<bool>,
    /// Of the last change to it or to anything in it.
    pub version: Timestamp,
}

impl Default for Group {
    fn default() -> Self {
        Self { dependencies: Vec::new(), enforce_role: None, version: Timestamp::from_millis(0) }
    }
}

impl Group {
    /// The same but for the version.
    pub(crate) fn says_the_same_as(&self, other: &Group) -> bool {
        (&self.dependencies, self.enforce_role) == (&other.dependencies, other.enforce_role)
    }
}

/// What became of one app, by version.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AppChange {
    pub(crate) app: AppId,
    pub(crate) from: Option<Timestamp>,
    pub(crate) to: Option<Timestamp>,
}

/// What became of one group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GroupStep {
    pub(crate) group: GroupId,
    pub(crate) from: Option<Group>,
    pub(crate) to: Option<Group>,
}

/// One change of the root. Its record is what makes the change: apps and groups follow it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Delta {
    pub(crate) version: Timestamp,
    /// The root's version before.
    pub(crate) before: Timestamp,
    pub(crate) apps: Vec<AppChange>,
    pub(crate) groups: Vec<GroupStep>,
    /// Deployments that were in the way.
    pub(crate) cancels: Vec<Uuid>,
}

/// A group and all that stood in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// The group.
    pub id: GroupId,
    /// It and the groups in it.
    pub groups: BTreeMap<GroupId, Group>,
    /// The apps in it and in its groups.
    pub apps: BTreeMap<AppId, Arc<App>>,
}

/// What stands below a group in a map that is ordered by id, the group itself not included.
pub(crate) fn below<'a, K, V>(
    map: &'a BTreeMap<K, V>,
    group: &GroupId,
) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V>
where
    K: Ord + std::borrow::Borrow<str>,
{
    let prefix = group.prefix();
    let range = map.range::<str, _>((Bound::Excluded(prefix.as_str()), Bound::Unbounded));
    range.take_while(move |(id, _)| (*id).borrow().starts_with(&prefix))
}

impl State {
    /// The version of the last change.
    pub(crate) fn root_version(&self) -> Timestamp {
        self.groups.get("/").map_or(Timestamp::from_millis(0), |root| root.version)
    }

    /// The apps in a group and in its groups.
    pub(crate) fn apps_in(&self, group: &GroupId) -> impl Iterator<Item = (&AppId, &Arc<App>)> + use<'_> {
        below(&self.apps, group).filter_map(|(id, entry): (_, &Entry)| Some((id, entry.app.as_ref()?)))
    }

    /// The deltas that lead back from now without a gap, the newest first.
    pub(crate) fn way_back(&self) -> impl Iterator<Item = &Arc<Delta>> {
        let mut at = self.root_version();
        std::iter::from_fn(move || {
            let delta = self.history.get(&at).filter(|delta| delta.before < at)?;
            at = delta.before;
            Some(delta)
        })
    }

    /// The versions of the root at which the group existed, the newest first.
    pub(crate) fn group_versions(&self, group: &GroupId) -> Vec<Timestamp> {
        let mut there = self.groups.contains_key(group);
        let mut versions = Vec::new();
        let mut oldest = self.root_version();
        for delta in self.way_back() {
            if there {
                versions.push(delta.version);
            }
            if let Some(step) = delta.groups.iter().find(|step| step.group == *group) {
                there = step.from.is_some();
            }
            oldest = delta.before;
        }
        // Before everything there was no version.
        if there && oldest.as_millis() > 0 {
            versions.push(oldest);
        }
        versions
    }

    /// The group as it was when the root had that version; `None` when it did not exist or nobody remembers.
    pub(crate) fn past(&self, group: &GroupId, version: Timestamp) -> Option<Past> {
        let mut apps: BTreeMap<&AppId, Timestamp> =
            self.apps_in(group).filter_map(|(id, app)| Some((id, app.version?))).collect();
        let mut groups: BTreeMap<&GroupId, &Group> =
            below(&self.groups, group).map(|(id, group)| (id, &**group)).collect();
        groups.extend(self.groups.get_key_value(group).map(|(id, group)| (id, &**group)));
        let mut at = self.root_version();
        for delta in self.way_back() {
            if at <= version {
                break;
            }
            for change in delta.apps.iter().filter(|change| group.contains(&change.app)) {
                match change.from {
                    Some(from) => apps.insert(&change.app, from),
                    None => apps.remove(&change.app),
                };
            }
            for step in delta.groups.iter().filter(|step| group.path().contains(step.group.path())) {
                match &step.from {
                    Some(from) => groups.insert(&step.group, from),
                    None => groups.remove(&step.group),
                };
            }
            at = delta.before;
        }
        if at != version || at.as_millis() == 0 || !groups.contains_key(group) {
            return None;
        }
        let definition = |(id, version): (&AppId, Timestamp)| {
            let entry: &Entry = self.apps.get(id)?;
            Some((id.clone(), entry.versions.get(&version)?.clone()))
        };
        Some(Past {
            id: group.clone(),
            groups: groups.into_iter().map(|(id, group)| (id.clone(), group.clone())).collect(),
            // A definition that is missing would be a version that is not what it was.
            apps: apps.into_iter().map(definition).collect::<Option<_>>()?,
        })
    }

    /// Takes a delta into the books: what it refers to is kept.
    pub(crate) fn remember(&mut self, delta: Arc<Delta>) {
        for change in &delta.apps {
            let entry = self.apps.entry(change.app.clone()).or_default();
            for version in [change.from, change.to].into_iter().flatten() {
                *entry.refs.entry(version).or_insert(0) += 1;
            }
        }
        self.history.insert(delta.version, delta);
    }

    /// Gives a delta up.
    pub(crate) fn forget(&mut self, version: Timestamp) {
        let Some(delta) = self.history.remove(&version) else { return };
        for change in &delta.apps {
            let Some(entry) = self.apps.get_mut(&change.app) else { continue };
            for version in [change.from, change.to].into_iter().flatten() {
                if let Some(count) = entry.refs.get_mut(&version) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        entry.refs.remove(&version);
                    }
                }
            }
            self.books.purge.insert(change.app.clone());
        }
    }
}
