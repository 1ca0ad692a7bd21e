//! One task in the book.

use std::path::PathBuf;
use std::time::Duration;

use api::Moment;
use api::link::{health_to_wire, info_to_wire, status_to_wire, wire};
use api::marathon::{Timestamp, Uuid};
use api::mesos::{HealthReport, Source, TaskInfo, TaskState, TaskStatus};
use scheduler::{AgentId, FrameworkId};

use super::peers::Lists;
use super::{About, Checkpoint, Journal, KillWhy, Update, Updates};
use crate::health::{Ready, Watch};
use crate::states;

/// How far a launch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is being written down.
    Checkpoint,
    /// Its sandbox is being made.
    Prepare,
    /// The rest is up to its shim ([`states`]).
    Shim,
}

/// A task.
#[derive(Clone, Debug)]
pub struct Task {
    /// Whose it is.
    pub framework: FrameworkId,
    /// What it is.
    pub info: TaskInfo,
    /// The name of this run.
    pub container: Uuid,
    /// Its sandbox.
    pub directory: PathBuf,
    /// How far its launch is.
    pub stage: Stage,
    /// What is said about it.
    pub updates: Updates,
    pub(super) state: states::TaskState,
    pub(super) kill: Option<KillWhy>,
    /// When the agent itself sends SIGKILL, being asked for less grace than the shim knows.
    pub(super) kill_at: Option<Duration>,
    pub(super) watches: Vec<Watch>,
    /// That it was found ready, by this agent or one before.
    pub(super) ready: Option<Ready>,
    /// Whom it works with.
    pub(super) lists: Lists,
}

fn grace_ms(info: &TaskInfo, default: Duration) -> u64 {
    u64::try_from(info.grace.unwrap_or(default).as_millis()).unwrap_or(u64::MAX)
}

impl Task {
    pub(super) fn new(checkpoint: Checkpoint, grace: Duration) -> Self {
        let Checkpoint { framework, info, container, directory } = checkpoint;
        Self {
            state: states::TaskState::new(grace_ms(&info, grace)),
            framework,
            info,
            container,
            directory,
            stage: Stage::Checkpoint,
            updates: Updates::default(),
            kill: None,
            kill_at: None,
            watches: Vec::new(),
            ready: None,
            lists: Lists::default(),
        }
    }

    pub(super) fn recovered(checkpoint: Checkpoint, journal: Journal, grace: Duration, now: Moment) -> Self {
        let mut task = Self::new(checkpoint, grace);
        task.state = states::TaskState::found(task.state.grace_ms, millis(now.elapsed));
        task.stage = Stage::Shim;
        task.updates = Updates::recovered(journal.pending.into(), journal.last);
        task.kill = journal.kill;
        task.ready = journal.ready;
        // What it was launched with was there before it ran.
        let launched = task.info.peers.take().map(|peers| peers.version);
        task.lists = Lists::recovered(journal.peers.or(launched));
        task
    }

    /// Whether nothing of it runs, and that is said.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.updates.last.as_ref().is_some_and(|last| last.state.is_terminal())
    }

    /// From SIGTERM to SIGKILL, as its shim is told.
    #[must_use]
    pub fn grace(&self) -> Duration {
        Duration::from_millis(self.state.grace_ms)
    }

    /// Its state as it was last said.
    #[must_use]
    pub fn last_state(&self) -> Option<TaskState> {
        self.updates.last.as_ref().map(|last| last.state)
    }

    /// Its health, by the first check that kills.
    #[must_use]
    pub fn healthy(&self) -> Option<bool> {
        self.watches.iter().find(|w| w.check().kill_after.is_some()).and_then(|w| w.found.healthy)
    }

    pub(super) fn journal(&self) -> Journal {
        Journal {
            pending: self.updates.pending.iter().cloned().collect(),
            last: self.updates.last.clone(),
            kill: self.kill.clone(),
            ready: self.ready.clone(),
            peers: self.lists.held,
        }
    }

    pub(in crate::daemon) fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            framework: self.framework.clone(),
            info: self.info.clone(),
            container: self.container,
            directory: self.directory.clone(),
        }
    }

    /// When something is due; statements only while a master listens.
    pub(super) fn wake_at(&self, speaking: bool) -> Option<Duration> {
        let state = self.state.wake_at().map(Duration::from_millis);
        let updates = self.updates.wake_at().filter(|_| speaking);
        // What is being killed is not looked after any more.
        let runs = self.state.phase == states::Phase::Running;
        let watches = self.watches.iter().filter(|_| runs).filter_map(Watch::wake_at);
        let killing = matches!(self.state.phase, states::Phase::Killing { .. });
        let kill = self.kill_at.filter(|_| killing);
        watches.chain(state).chain(updates).chain(kill).min()
    }

    /// The latest of each check, where there is one.
    pub(super) fn health(&self, agent: &AgentId) -> Vec<wire::HealthReport> {
        let all = self.watches.iter().enumerate();
        all.filter_map(|(number, watch)| self.health_of(agent, number, watch)).collect()
    }

    pub(super) fn health_of(
        &self,
        agent: &AgentId,
        check: usize,
        watch: &Watch,
    ) -> Option<wire::HealthReport> {
        let found = &watch.found;
        let report = HealthReport {
            task: self.info.id.clone(),
            agent: agent.clone(),
            check,
            alive: found.alive?,
            consecutive_failures: found.consecutive_failures,
            first_success: found.first_success,
            last_success: found.last_success,
            last_failure: found.last_failure,
            last_failure_cause: found.last_failure_cause.clone(),
            sight: found.sight.clone(),
        };
        Some(health_to_wire(self.framework.as_str(), &report))
    }

    /// What a registration says of it. One of which nothing was said yet, since this agent was killed behind its checkpoint, is about
    /// to start.
    pub(super) fn report(&self, about: &About, agent: &AgentId, now: Timestamp) -> wire::TaskReport {
        let said = self.updates.last.as_ref().map(|update| status(&self.info.id, update, about, agent));
        let status = said.unwrap_or_else(|| TaskStatus {
            task: self.info.id.clone(),
            state: TaskState::Staging,
            message: None,
            source: Source::Agent,
            reason: None,
            agent: Some(agent.clone()),
            uuid: None,
            healthy: None,
            timestamp: now,
            addresses: Vec::new(),
        });
        wire::TaskReport {
            framework_id: self.framework.to_string(),
            info: Some(info_to_wire(&self.info.outline())),
            status: Some(status_to_wire(&status)),
            health: self.health(agent),
            directory: self.directory.to_string_lossy().into_owned(),
            peers_version: self.lists.held,
        }
    }
}

/// A statement in full.
pub(super) fn status(
    task: &api::mesos::TaskKey,
    update: &Update,
    about: &About,
    agent: &AgentId,
) -> TaskStatus {
    TaskStatus {
        task: task.clone(),
        state: update.state,
        message: update.message.clone(),
        source: Source::Agent,
        reason: update.reason,
        agent: Some(agent.clone()),
        uuid: Some(update.uuid),
        healthy: update.healthy,
        timestamp: update.at,
        addresses: vec![about.address],
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
