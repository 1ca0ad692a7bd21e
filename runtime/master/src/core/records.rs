//! What is kept in the store: agents admitted, frameworks, the counters of their ids, and the master's id.

use std::net::IpAddr;
use std::time::Duration;

use api::marathon::Timestamp;
use api::mesos::FrameworkInfo;
use scheduler::{AgentId, FrameworkId, Host, Resources, Role};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::{Batch, Key, KeyError, Snapshot};
use thiserror::Error;

use super::{Agent, AgentFacts, AgentState, Config, Framework, FrameworkState, State};

/// The layout of all records; a reader refuses later ones.
const VERSION: u32 = 1;

/// A record cannot be written or read.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The key is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A record is not readable.
    #[error("{key}: the record is damaged ({problem}): restore a backup")]
    Damaged {
        /// Where it lies.
        key: Key,
        /// What is wrong with it.
        problem: String,
    },
    /// A record was written by a later version.
    #[error("{key}: the record has version {version}, this program knows {VERSION}: run a later one")]
    Newer {
        /// Where it lies.
        key: Key,
        /// Its version.
        version: u32,
    },
    /// A record could not be written as JSON.
    #[error("a record cannot be written")]
    Json(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct AgentRecord {
    version: u32,
    name: String,
    hostname: String,
    address: IpAddr,
    port: u16,
    attributes: String,
    region: Option<String>,
    zone: Option<String>,
    resources: String,
    program: String,
    admitted_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct FrameworkRecord {
    version: u32,
    name: String,
    user: String,
    roles: Vec<String>,
    removed: bool,
}

#[derive(Default, Serialize, Deserialize)]
struct CountersRecord {
    version: u32,
    agents: u64,
    frameworks: u64,
}

/// The master's id, when it was made before.
///
/// # Errors
/// When it is damaged.
pub fn master_id(snapshot: &Snapshot) -> Result<Option<String>, RecordError> {
    let key = master_id_key()?;
    let Some(id) = snapshot.get(&key) else { return Ok(None) };
    match std::str::from_utf8(id) {
        Ok(id) => Ok(Some(id.to_owned())),
        Err(error) => Err(RecordError::Damaged { key, problem: error.to_string() }),
    }
}

/// Where the master's id lies.
///
/// # Errors
/// Never: the text is a key.
pub fn master_id_key() -> Result<Key, KeyError> {
    Key::new("master/id")
}

fn counters_key() -> Result<Key, KeyError> {
    Key::new("master/counters")
}

pub(super) fn agent_record(
    batch: Batch,
    id: &AgentId,
    facts: &AgentFacts,
    admitted: Timestamp,
) -> Result<Batch, RecordError> {
    let record = AgentRecord {
        version: VERSION,
        name: facts.name.clone(),
        hostname: facts.host.hostname.clone(),
        address: facts.address,
        port: facts.port,
        attributes: facts.host.attributes.to_string(),
        region: facts.host.region.clone(),
        zone: facts.host.zone.clone(),
        resources: facts.total.to_string(),
        program: facts.version.clone(),
        admitted_ms: admitted.as_millis(),
    };
    Ok(batch.put(Key::new("agents")?.child(id.as_str())?, serde_json::to_vec(&record)?))
}

pub(super) fn framework_record(
    batch: Batch,
    id: &FrameworkId,
    info: &FrameworkInfo,
    removed: bool,
) -> Result<Batch, RecordError> {
    let record = FrameworkRecord {
        version: VERSION,
        name: info.name.clone(),
        user: info.user.clone(),
        roles: info.roles.iter().map(Role::to_string).collect(),
        removed,
    };
    Ok(batch.put(Key::new("frameworks")?.child(id.as_str())?, serde_json::to_vec(&record)?))
}

pub(super) fn counters_record(batch: Batch, state: &State) -> Result<Batch, RecordError> {
    let record =
        CountersRecord { version: VERSION, agents: state.next_agent, frameworks: state.next_framework };
    Ok(batch.put(counters_key()?, serde_json::to_vec(&record)?))
}

fn read<T: DeserializeOwned>(key: &Key, value: &[u8]) -> Result<T, RecordError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let damaged =
        |error: serde_json::Error| RecordError::Damaged { key: key.clone(), problem: error.to_string() };
    let Versioned { version } = serde_json::from_slice(value).map_err(damaged)?;
    if version > VERSION {
        return Err(RecordError::Newer { key: key.clone(), version });
    }
    serde_json::from_slice(value).map_err(damaged)
}

fn name_of(key: &Key) -> Result<String, RecordError> {
    key.name()
        .ok_or_else(|| RecordError::Damaged { key: key.clone(), problem: "the key is no name".to_owned() })
}

/// The number at the end of an id that the master gave: `<master>-S7`, `<master>-0007`.
fn number_after(id: &str, before: &str) -> Option<u64> {
    id.strip_prefix(before)?.parse().ok()
}

impl State {
    /// A master that knows of what the store knows. Its agents have time to come back from `now` on.
    ///
    /// # Errors
    /// When a record is damaged or of a later version.
    pub fn load(
        master: String,
        snapshot: &Snapshot,
        config: Config,
        now: Duration,
    ) -> Result<Self, RecordError> {
        let mut state = Self::new(master, config);
        let key = counters_key()?;
        if let Some(value) = snapshot.get(&key) {
            let record: CountersRecord = read(&key, value)?;
            (state.next_agent, state.next_framework) = (record.agents, record.frameworks);
        }
        for (key, entry) in snapshot.below(&Key::new("agents")?) {
            let agent = agent_from(key, &entry.value, now)?;
            let number = number_after(agent.id.as_str(), &format!("{}-S", state.master));
            // A commit that was overtaken may have left the counter behind.
            state.next_agent = state.next_agent.max(number.map_or(0, |number| number + 1));
            state.agents.insert_mut(agent.id.clone(), agent.into());
        }
        for (key, entry) in snapshot.below(&Key::new("frameworks")?) {
            let framework = framework_from(key, &entry.value)?;
            let number = number_after(framework.id.as_str(), &format!("{}-", state.master));
            state.next_framework = state.next_framework.max(number.map_or(0, |number| number + 1));
            if framework.state != FrameworkState::Removed {
                state.names.insert(framework.info.name.clone(), framework.id.clone());
            }
            state.frameworks.insert_mut(framework.id.clone(), framework.into());
        }
        Ok(state)
    }
}

fn agent_from(key: &Key, value: &[u8], now: Duration) -> Result<Agent, RecordError> {
    let damaged = |problem: String| RecordError::Damaged { key: key.clone(), problem };
    let record: AgentRecord = read(key, value)?;
    let host = Host {
        hostname: record.hostname,
        region: record.region,
        zone: record.zone,
        attributes: record.attributes.parse().map_err(|e| damaged(format!("attributes: {e}")))?,
    };
    let facts = AgentFacts {
        name: record.name,
        host: host.into(),
        address: record.address,
        port: record.port,
        total: record.resources.parse().map_err(|e| damaged(format!("resources: {e}")))?,
        version: record.program,
    };
    Ok(Agent {
        id: AgentId::from(name_of(key)?),
        facts,
        state: AgentState::Recovering,
        since: now,
        registered: None,
        reregistered: None,
        used: Resources::default(),
        admitted: Timestamp::from_millis(record.admitted_ms),
        confirmed: true,
        proved: false,
        unproved: None,
    })
}

fn framework_from(key: &Key, value: &[u8]) -> Result<Framework, RecordError> {
    let damaged = |problem: String| RecordError::Damaged { key: key.clone(), problem };
    let record: FrameworkRecord = read(key, value)?;
    let id = FrameworkId::from(name_of(key)?);
    let roles = record.roles.iter().map(|role| role.parse().map_err(|e| damaged(format!("roles: {e}"))));
    Ok(Framework {
        info: FrameworkInfo {
            id: Some(id.clone()),
            name: record.name,
            user: record.user,
            roles: roles.collect::<Result<_, _>>()?,
        },
        id,
        state: if record.removed { FrameworkState::Removed } else { FrameworkState::Recovered },
        registered: None,
        reregistered: None,
        unregistered: None,
        channel: None,
    })
}
