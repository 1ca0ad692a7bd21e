//! From what is stored to what is known. Deltas count for more than the pointers that follow them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::marathon::{AppId, GroupId, Timestamp, Uuid};
use scheduler::FrameworkId;
use store::Snapshot;

use super::history::Group;
use super::record::{self, LoadError, Reading};
use super::state::State;
use super::{Config, ports, run};

impl State {
    /// All that was stored, as it is before the master has said anything. `seed` is random bits: ids and ports are drawn
    /// from it.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn load(snapshot: &Snapshot, config: Config, seed: u128) -> Result<State, LoadError> {
        let mut state = State::empty(config, seed);
        let all = |kind: &str| {
            let kind = record::at(&[kind]);
            let entries = snapshot.below(&kind);
            entries.map(|(key, entry)| Reading { key, value: &entry.value }).collect::<Vec<_>>()
        };
        if let Some(value) = snapshot.get(&record::framework_key()) {
            state.framework = Some(FrameworkId::from(String::from_utf8_lossy(value).into_owned()));
        }
        for reading in all("versions") {
            let app = reading.app()?;
            let version = app.version.ok_or_else(|| reading.wrong("it has no version"))?;
            state.last_version = state.last_version.max(version);
            state.apps.entry(app.id.clone()).or_default().versions.insert(version, Arc::new(app));
        }
        for reading in all("history") {
            let delta = reading.delta()?;
            state.last_version = state.last_version.max(delta.version);
            state.remember(Arc::new(delta));
        }
        let pointers = all("apps").into_iter().map(|reading| Ok((reading.name()?, reading.pointer()?)));
        state.take_apps(&pointers.collect::<Result<_, LoadError>>()?)?;
        let groups =
            all("groups").into_iter().map(|reading| Ok((reading.name()?, Arc::new(reading.group()?))));
        state.take_groups(&groups.collect::<Result<_, LoadError>>()?);
        for reading in all("failures") {
            let failure = reading.failure()?;
            let entry = state.apps.entry(failure.app_id.clone()).or_default();
            entry.failure = Some(failure);
        }
        let cancelled: BTreeSet<Uuid> =
            state.history.values().flat_map(|delta| &delta.cancels).copied().collect();
        for reading in all("deployments") {
            let id = reading.name()?;
            if cancelled.contains(&id) {
                state.books.cancelled.insert(id);
                continue;
            }
            let deployment = reading.deployment(&state)?;
            for change in &deployment.delta.apps {
                state.apps.entry(change.app.clone()).or_default().deployment = Some(id);
            }
            run::hold(&mut state, &deployment);
            state.deployments.insert(id, deployment);
        }
        for reading in all("instances") {
            let instance = reading.instance(&state)?;
            let entry = state.apps.entry(instance.id.app.clone()).or_default();
            entry.instances.insert(instance.id.uuid, instance);
        }
        state.dirty = state.apps.keys().cloned().collect();
        state.dirty.iter().for_each(|app| state.peers.touch(app));
        state.touched = state.dirty.clone();
        state.timed = state.dirty.clone();
        state.touched_groups = state.groups.keys().cloned().collect();
        state.touched_deployments = true;
        state.books.trim = true;
        // A crash may have left versions that nothing came to refer to.
        state.books.purge = state.dirty.clone();
        ports::start(&mut state);
        Ok(state)
    }

    /// The apps as the deltas leave them; where a pointer does not say so yet, it is written.
    fn take_apps(&mut self, pointers: &BTreeMap<AppId, Timestamp>) -> Result<(), LoadError> {
        let mut current = pointers.clone();
        for change in self.history.values().flat_map(|delta| &delta.apps) {
            match change.to {
                Some(version) => current.insert(change.app.clone(), version),
                None => current.remove(&change.app),
            };
        }
        let is_new = |id: &&AppId| pointers.get(*id) != current.get(*id);
        self.books.apps = pointers.keys().chain(current.keys()).filter(is_new).cloned().collect();
        for (id, version) in current {
            let entry = self.apps.entry(id.clone()).or_default();
            let app = entry.versions.get(&version).cloned().ok_or_else(|| LoadError {
                key: record::version_key(&id, version).to_string(),
                detail: "it is missing, and the app is to have this version".to_owned(),
            })?;
            self.service_ports.replace(None, Some(&app));
            entry.app = Some(app);
        }
        Ok(())
    }

    /// The groups as the deltas leave them, and those that apps stand in.
    fn take_groups(&mut self, stored: &BTreeMap<GroupId, Arc<Group>>) {
        let mut groups = stored.clone();
        for step in self.history.values().flat_map(|delta| &delta.groups) {
            match &step.to {
                Some(group) => groups.insert(step.group.clone(), Arc::new(group.clone())),
                None => groups.remove(&step.group),
            };
        }
        let apps = self.apps.iter().filter_map(|(id, entry)| Some((id, entry.app.as_ref()?.version?)));
        let mut missing: Vec<(GroupId, Timestamp)> =
            apps.map(|(id, version)| (id.parent(), version)).collect();
        missing.extend(groups.iter().filter_map(|(id, group)| Some((id.parent()?, group.version))));
        for (group, version) in missing {
            let mut at = Some(group);
            while let Some(id) = at.filter(|id| !groups.contains_key(id)) {
                groups.insert(id.clone(), Arc::new(Group { version, ..Group::default() }));
                at = id.parent();
            }
        }
        groups.entry(GroupId::root()).or_default();
        let is_new = |id: &&GroupId| stored.get(*id) != groups.get(*id);
        self.books.groups = stored.keys().chain(groups.keys()).filter(is_new).cloned().collect();
        self.groups = groups;
    }
}
