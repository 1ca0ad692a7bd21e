//! What is stored, and reading it back.

use std::sync::Arc;
use std::time::Duration;

use api::marathon::{ActionKind, App, AppId, Condition, InstanceId, TaskFailure, TaskId, Timestamp, Uuid};
use api::mesos::TaskState;
use scheduler::{AgentId, FrameworkId, Host};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use store::{Key, Snapshot};
use thiserror::Error;

use super::plan::{Action, Step};
use super::state::{AppChange, Deployment, Entry, Instance, State};
use super::{Config, ports};

/// A stored record that this binary cannot read. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the stored record {key} cannot be read: {detail}; restore a backup, or run the version that wrote it"
)]
pub struct LoadError {
    /// Where it lies.
    pub key: String,
    /// What is wrong with it.
    pub detail: String,
}

fn at(path: &[&str]) -> Key {
    #[expect(
        clippy::expect_used,
        reason = "constants, ids of at most 190 characters, UUIDs and timestamps make keys far below the limit"
    )]
    path.iter().skip(1).fold(Key::new(format!("services/{}", path[0])).expect("a constant"), |key, name| {
        key.child(name).expect("short and not empty")
    })
}

pub(crate) fn app_key(app: &AppId) -> Key {
    at(&["apps", app.as_str()])
}

pub(crate) fn version_key(app: &AppId, version: Timestamp) -> Key {
    at(&["versions", app.as_str(), &version.to_string()])
}

pub(crate) fn instance_key(id: &InstanceId) -> Key {
    at(&["instances", &id.to_string()])
}

pub(crate) fn deployment_key(id: Uuid) -> Key {
    at(&["deployments", &id.to_string()])
}

pub(crate) fn failure_key(app: &AppId) -> Key {
    at(&["failures", app.as_str()])
}

pub(crate) fn framework_key() -> Key {
    at(&["framework"])
}

pub(crate) fn app_bytes(app: &App) -> Vec<u8> {
    app.to_json().to_string().into_bytes()
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredInstance {
    task: String,
    version: String,
    agent: String,
    hostname: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    attributes: String,
    address: String,
    ports: Vec<u16>,
    role: String,
    index: u32,
    staged_at: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    killing: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    looked_at: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredDeployment {
    id: String,
    version: String,
    before: String,
    changes: Vec<StoredChange>,
    steps: Vec<Vec<StoredAction>>,
    step: usize,
}

#[derive(Serialize, Deserialize)]
struct StoredChange {
    app: String,
    from: Option<String>,
    to: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredAction {
    kind: String,
    app: String,
}

const KINDS: [(&str, ActionKind); 5] = [
    ("StartApplication", ActionKind::StartApplication),
    ("StopApplication", ActionKind::StopApplication),
    ("ScaleApplication", ActionKind::ScaleApplication),
    ("RestartApplication", ActionKind::RestartApplication),
    ("ResolveArtifacts", ActionKind::ResolveArtifacts),
];

fn bytes<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_value(record).unwrap_or(Value::Null).to_string().into_bytes()
}

pub(crate) fn instance_bytes(instance: &Instance) -> Vec<u8> {
    bytes(&StoredInstance {
        task: instance.task.to_string(),
        version: instance.version.to_string(),
        agent: instance.agent.to_string(),
        hostname: instance.host.hostname.clone(),
        region: instance.host.region.clone(),
        zone: instance.host.zone.clone(),
        attributes: instance.host.attributes.to_string(),
        address: instance.address.to_string(),
        ports: instance.ports.clone(),
        role: instance.role.clone(),
        index: instance.index,
        staged_at: instance.staged_at.to_string(),
        killing: instance.killing,
        looked_at: instance.looked_at,
    })
}

pub(crate) fn deployment_bytes(deployment: &Deployment) -> Vec<u8> {
    let kind = |kind| KINDS.iter().find(|(_, known)| *known == kind).map_or("", |(name, _)| name).to_owned();
    let action = |action: &Action| StoredAction { kind: kind(action.kind), app: action.app.to_string() };
    let change = |change: &AppChange| StoredChange {
        app: change.app.to_string(),
        from: change.from.map(|version| version.to_string()),
        to: change.to.map(|version| version.to_string()),
    };
    bytes(&StoredDeployment {
        id: deployment.id.to_string(),
        version: deployment.version.to_string(),
        before: deployment.before.to_string(),
        changes: deployment.changes.iter().map(change).collect(),
        steps: deployment.steps.iter().map(|step| step.actions.iter().map(action).collect()).collect(),
        step: deployment.step,
    })
}

pub(crate) fn failure_bytes(failure: &TaskFailure) -> Vec<u8> {
    bytes(failure)
}

/// Reads one value, and says where it lies when it cannot.
struct Reading<'a> {
    key: &'a Key,
    value: &'a [u8],
}

impl Reading<'_> {
    fn wrong(&self, detail: impl std::fmt::Display) -> LoadError {
        LoadError { key: self.key.to_string(), detail: detail.to_string() }
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T, LoadError> {
        serde_json::from_slice(self.value).map_err(|error| self.wrong(error))
    }

    fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(&self, text: &str) -> Result<T, LoadError> {
        text.parse().map_err(|error: T::Err| self.wrong(format!("{text:?}: {error}")))
    }

    fn app(&self) -> Result<App, LoadError> {
        App::stored(&self.json()?).map_err(|error| self.wrong(error.body()))
    }

    fn version(&self, text: Option<&String>) -> Result<Option<Timestamp>, LoadError> {
        text.map(|text| self.parse(text)).transpose()
    }

    fn deployment(&self) -> Result<Deployment, LoadError> {
        let stored: StoredDeployment = self.json()?;
        let mut deployment = Deployment {
            id: self.parse(&stored.id)?,
            version: self.parse(&stored.version)?,
            before: self.parse(&stored.before)?,
            changes: Vec::new(),
            steps: Vec::new(),
            step: stored.step,
        };
        for change in &stored.changes {
            deployment.changes.push(AppChange {
                app: self.parse(&change.app)?,
                from: self.version(change.from.as_ref())?,
                to: self.version(change.to.as_ref())?,
            });
        }
        for step in &stored.steps {
            let mut actions = Vec::new();
            for action in step {
                let known = KINDS.iter().find(|(name, _)| *name == action.kind);
                let (_, kind) = known.ok_or_else(|| self.wrong(format!("no action {:?}", action.kind)))?;
                actions.push(Action { kind: *kind, app: self.parse(&action.app)? });
            }
            deployment.steps.push(Step { actions });
        }
        Ok(deployment)
    }

    fn failure(&self) -> Result<TaskFailure, LoadError> {
        let stored: Value = self.json()?;
        let text = |name: &str| stored[name].as_str().unwrap_or_default();
        Ok(TaskFailure {
            app_id: self.parse(text("appId"))?,
            host: text("host").to_owned(),
            message: text("message").to_owned(),
            state: text("state").to_owned(),
            task_id: self.parse(text("taskId"))?,
            timestamp: self.parse(text("timestamp"))?,
            version: self.parse(text("version"))?,
            slave_id: stored["slaveId"].as_str().map(str::to_owned),
        })
    }

    fn instance(&self, state: &State) -> Result<Instance, LoadError> {
        let stored: StoredInstance = self.json()?;
        let task: TaskId = self.parse(&stored.task)?;
        let version: Timestamp = self.parse(&stored.version)?;
        let entry = state.apps.get(task.app());
        let spec = entry.and_then(|entry| entry.versions.get(&version)).cloned();
        let spec = spec.ok_or_else(|| self.wrong(format!("version {version} of its app is not stored")))?;
        let host = Host {
            hostname: stored.hostname,
            region: stored.region,
            zone: stored.zone,
            attributes: self.parse(&stored.attributes)?,
        };
        Ok(Instance {
            id: task.instance().clone(),
            key: self.parse(&stored.task)?,
            task,
            health: vec![None; spec.health_checks.len()],
            spec,
            version,
            agent: AgentId::from(stored.agent),
            host,
            address: self.parse(&stored.address)?,
            ports: stored.ports,
            role: stored.role,
            index: stored.index,
            staged_at: self.parse(&stored.staged_at)?,
            killing: stored.killing,
            looked_at: stored.looked_at,
            marked: false,
            started_at: None,
            condition: if stored.killing { Condition::Killing } else { Condition::Unknown },
            state: if stored.killing { TaskState::Killing } else { TaskState::Staging },
            confirmed: false,
            known_since: Duration::ZERO,
            running_since: None,
            kill_asked: None,
            unreachable_since: None,
            addresses: Vec::new(),
            said_healthy: None,
            readiness: None,
            check: None,
        })
    }
}

impl State {
    /// All that was stored, as it is before the master has said anything. `seed` is random bits: ids and ports are drawn
    /// from it.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn load(snapshot: &Snapshot, config: Config, seed: u128) -> Result<State, LoadError> {
        let mut state = State::empty(config, seed);
        let all = |kind: &str| {
            let kind = at(&[kind]);
            let entries = snapshot.below(&kind);
            entries.map(|(key, entry)| Reading { key, value: &entry.value }).collect::<Vec<_>>()
        };
        if let Some(value) = snapshot.get(&framework_key()) {
            state.framework = Some(FrameworkId::from(String::from_utf8_lossy(value).into_owned()));
        }
        for reading in all("versions") {
            let app = reading.app()?;
            let version = app.version.ok_or_else(|| reading.wrong("it has no version"))?;
            state.last_version = state.last_version.max(version);
            state.apps.entry(app.id.clone()).or_default().versions.insert(version, Arc::new(app));
        }
        for reading in all("apps") {
            let app = Arc::new(reading.app()?);
            let entry = state.apps.entry(app.id.clone()).or_default();
            entry.app = Some(app);
        }
        for reading in all("failures") {
            let failure = reading.failure()?;
            let entry = state.apps.entry(failure.app_id.clone()).or_default();
            entry.failure = Some(failure);
        }
        for reading in all("deployments") {
            let deployment = reading.deployment()?;
            state.last_version = state.last_version.max(deployment.version);
            for change in &deployment.changes {
                state.apps.entry(change.app.clone()).or_default().deployment = Some(deployment.id);
            }
            state.deployments.insert(deployment.id, deployment);
        }
        for reading in all("instances") {
            let instance = reading.instance(&state)?;
            let entry: &mut Entry = state.apps.entry(instance.id.app.clone()).or_default();
            entry.instances.insert(instance.id.uuid, instance);
        }
        state.dirty = state.apps.keys().cloned().collect();
        state.touched = state.dirty.clone();
        ports::start(&mut state);
        Ok(state)
    }
}
