//! What is stored, and reading it back.

use std::sync::OnceLock;
use std::time::Duration;

use api::marathon::{
    ActionKind, App, AppId, Condition, GroupId, InstanceId, TaskFailure, TaskId, Timestamp, Uuid,
};
use api::mesos::TaskState;
use scheduler::{AgentId, Host};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use store::Key;
use thiserror::Error;

use super::history::{AppChange, Delta, Group, GroupStep};
use super::plan::{Action, Step};
use super::state::{Deployment, Instance, State};

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

pub(crate) fn at(path: &[&str]) -> Key {
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

/// Whether the key is that of an instance.
pub(crate) fn is_instance(key: &Key) -> bool {
    key.as_str().starts_with("services/instances/")
}

pub(crate) fn deployment_key(id: Uuid) -> Key {
    at(&["deployments", &id.to_string()])
}

pub(crate) fn group_key(group: &GroupId) -> Key {
    at(&["groups", group.as_str()])
}

pub(crate) fn delta_key(version: Timestamp) -> Key {
    at(&["history", &version.to_string()])
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

/// What a deployment changes stands in the delta of its version. Actions name apps by their place there: deployments of
/// thousands of apps are written anew with every step.
#[derive(Serialize, Deserialize)]
struct StoredDeployment {
    id: String,
    version: i64,
    steps: Vec<Vec<(String, Vec<usize>)>>,
    step: usize,
}

/// Versions are milliseconds: a delta of thousands of apps is one value.
#[derive(Serialize, Deserialize)]
struct StoredDelta {
    version: i64,
    before: i64,
    apps: Vec<(String, Option<i64>, Option<i64>)>,
    groups: Vec<(String, Option<StoredGroup>, Option<StoredGroup>)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cancels: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredGroup {
    version: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enforce_role: Option<bool>,
}

/// Which of its versions an app has.
#[derive(Serialize, Deserialize)]
struct StoredPointer {
    version: String,
}

const KINDS: [(&str, ActionKind); 5] = [
    ("StartApplication", ActionKind::StartApplication),
    ("StopApplication", ActionKind::StopApplication),
    ("ScaleApplication", ActionKind::ScaleApplication),
    ("RestartApplication", ActionKind::RestartApplication),
    ("ResolveArtifacts", ActionKind::ResolveArtifacts),
];

fn bytes<T: Serialize>(record: &T) -> Vec<u8> {
    // Texts and numbers alone: nothing of them cannot be written.
    serde_json::to_vec(record).unwrap_or_default()
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
    // Both are in the order of the apps.
    let place = |action: &Action| {
        deployment.delta.apps.binary_search_by(|change| change.app.cmp(&action.app)).unwrap_or(usize::MAX)
    };
    let step = |step: &Step| {
        let mut kinds: Vec<(String, Vec<usize>)> = Vec::new();
        for action in &step.actions {
            let kind = kind(action.kind);
            match kinds.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, places)) => places.push(place(action)),
                None => kinds.push((kind, vec![place(action)])),
            }
        }
        kinds
    };
    bytes(&StoredDeployment {
        id: deployment.id.to_string(),
        version: deployment.delta.version.as_millis(),
        steps: deployment.steps.iter().map(step).collect(),
        step: deployment.step,
    })
}

fn stored_group(group: &Group) -> StoredGroup {
    StoredGroup {
        version: group.version.as_millis(),
        dependencies: group.dependencies.iter().map(ToString::to_string).collect(),
        enforce_role: group.enforce_role,
    }
}

pub(crate) fn group_bytes(group: &Group) -> Vec<u8> {
    bytes(&stored_group(group))
}

pub(crate) fn delta_bytes(delta: &Delta) -> Vec<u8> {
    let millis = |version: Option<Timestamp>| version.map(Timestamp::as_millis);
    let app = |change: &AppChange| (change.app.to_string(), millis(change.from), millis(change.to));
    let group = |step: &GroupStep| {
        let (from, to) = (step.from.as_ref().map(stored_group), step.to.as_ref().map(stored_group));
        (step.group.to_string(), from, to)
    };
    bytes(&StoredDelta {
        version: delta.version.as_millis(),
        before: delta.before.as_millis(),
        apps: delta.apps.iter().map(app).collect(),
        groups: delta.groups.iter().map(group).collect(),
        cancels: delta.cancels.iter().map(ToString::to_string).collect(),
    })
}

pub(crate) fn pointer_bytes(version: Timestamp) -> Vec<u8> {
    bytes(&StoredPointer { version: version.to_string() })
}

pub(crate) fn failure_bytes(failure: &TaskFailure) -> Vec<u8> {
    bytes(failure)
}

/// Reads one value, and says where it lies when it cannot.
pub(crate) struct Reading<'a> {
    pub(crate) key: &'a Key,
    pub(crate) value: &'a [u8],
}

impl Reading<'_> {
    pub(crate) fn wrong(&self, detail: impl std::fmt::Display) -> LoadError {
        LoadError { key: self.key.to_string(), detail: detail.to_string() }
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T, LoadError> {
        serde_json::from_slice(self.value).map_err(|error| self.wrong(error))
    }

    fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(&self, text: &str) -> Result<T, LoadError> {
        text.parse().map_err(|error: T::Err| self.wrong(format!("{text:?}: {error}")))
    }

    /// The id that the key ends in.
    pub(crate) fn name<T: std::str::FromStr<Err: std::fmt::Display>>(&self) -> Result<T, LoadError> {
        self.parse(&self.key.name().unwrap_or_default())
    }

    pub(crate) fn app(&self) -> Result<App, LoadError> {
        App::stored(&self.json()?).map_err(|error| self.wrong(error.body()))
    }

    /// The version that an app has.
    pub(crate) fn pointer(&self) -> Result<Timestamp, LoadError> {
        let stored: StoredPointer = self.json()?;
        self.parse(&stored.version)
    }

    fn read_group(&self, stored: StoredGroup) -> Result<Group, LoadError> {
        let StoredGroup { version, dependencies, enforce_role } = stored;
        let dependencies = dependencies.iter().map(|id| self.parse(id)).collect::<Result<_, _>>()?;
        Ok(Group { dependencies, enforce_role, version: Timestamp::from_millis(version) })
    }

    pub(crate) fn group(&self) -> Result<Group, LoadError> {
        self.read_group(self.json()?)
    }

    pub(crate) fn delta(&self) -> Result<Delta, LoadError> {
        let stored: StoredDelta = self.json()?;
        let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
        let mut delta = Delta {
            version: Timestamp::from_millis(stored.version),
            before: Timestamp::from_millis(stored.before),
            apps: Vec::new(),
            groups: Vec::new(),
            cancels: stored.cancels.iter().map(|id| self.parse(id)).collect::<Result<_, _>>()?,
        };
        for (app, from, to) in stored.apps {
            delta.apps.push(AppChange { app: self.parse(&app)?, from: time(from), to: time(to) });
        }
        for (group, from, to) in stored.groups {
            let read = |group: Option<StoredGroup>| group.map(|group| self.read_group(group)).transpose();
            delta.groups.push(GroupStep { group: self.parse(&group)?, from: read(from)?, to: read(to)? });
        }
        Ok(delta)
    }

    pub(crate) fn deployment(&self, state: &State) -> Result<Deployment, LoadError> {
        let stored: StoredDeployment = self.json()?;
        let version = Timestamp::from_millis(stored.version);
        let delta = state.history.get(&version);
        let delta = delta.ok_or_else(|| self.wrong(format!("the change {version} is not stored")))?;
        let mut steps = Vec::new();
        for step in &stored.steps {
            let mut actions = Vec::new();
            for (name, places) in step {
                let known = KINDS.iter().find(|(known, _)| known == name);
                let (_, kind) = known.ok_or_else(|| self.wrong(format!("no action {name:?}")))?;
                for place in places {
                    let change = delta.apps.get(*place);
                    let change = change.ok_or_else(|| self.wrong(format!("no app {place}")))?;
                    actions.push(Action { kind: *kind, app: change.app.clone() });
                }
            }
            actions.sort_by(|a, b| a.app.cmp(&b.app));
            steps.push(Step { actions });
        }
        let (id, delta) = (self.parse(&stored.id)?, delta.clone());
        Ok(Deployment { id, delta, steps, step: stored.step, waits_for: 0 })
    }

    pub(crate) fn failure(&self) -> Result<TaskFailure, LoadError> {
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

    pub(crate) fn instance(&self, state: &State) -> Result<Instance, LoadError> {
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
            host: host.into(),
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
            told: super::peers::Told::default(),
            shown: OnceLock::new(),
        })
    }
}
