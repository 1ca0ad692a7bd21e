//! What the interface shows of the state (§3, §4). Made for one app at a time, when something of it changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::marathon::{
    App, AppId, CurrentAction, Deployment as DeploymentView, DeploymentAction, GroupId, OffersSummary,
    ReadinessCheckResult, Task, TaskCounts, TaskFailure, Timestamp, Uuid,
};
use api::mesos::{Offer, TaskState};

use super::history::Group;
use super::state::{Entry, Instance, State, config_version};
use super::status::addresses;

/// One app as readers see it.
#[derive(Debug, Clone)]
pub struct AppView {
    /// The definition; `None` of an app that is gone while its tasks end.
    pub app: Option<Arc<App>>,
    /// All definitions by version.
    pub versions: BTreeMap<Timestamp, Arc<App>>,
    /// Its tasks.
    pub tasks: Vec<Arc<Task>>,
    /// How many are in which state.
    pub counts: TaskCounts,
    /// The health of each task, in the order of `tasks`.
    pub healthy: Vec<Option<bool>>,
    /// The deployment that holds it.
    pub deployment: Option<Uuid>,
    /// How ready the instances are that it launched; nothing while there is none.
    pub readiness: Vec<ReadinessCheckResult>,
    /// Its last failure.
    pub failure: Option<TaskFailure>,
    /// What waits to be launched.
    pub queued: Option<Queued>,
}

/// Instances that wait to be launched.
#[derive(Debug, Clone, PartialEq)]
pub struct Queued {
    /// How many.
    pub count: u32,
    /// Since when.
    pub since: Timestamp,
    /// Not before this time of the core's clock.
    pub not_before: Duration,
    /// What became of offers.
    pub offers: OffersSummary,
    /// Why nothing starts, in one sentence.
    pub why: String,
    /// The newest offers that were of no use.
    pub unused: Vec<Unused>,
}

/// An offer that an app had no use for.
#[derive(Debug, Clone, PartialEq)]
pub struct Unused {
    /// The offer.
    pub offer: Arc<Offer>,
    /// Why not, one of `RejectCount::REASONS`.
    pub reason: &'static str,
    /// When.
    pub timestamp: Timestamp,
}

/// A task as the interface shows it (§4); made anew only when something of its instance changed.
pub(crate) fn shown(instance: &Instance) -> Arc<Task> {
    instance.shown.get_or_init(|| Arc::new(task(instance))).clone()
}

fn task(instance: &Instance) -> Task {
    Task {
        app_id: instance.id.app.clone(),
        id: instance.task.clone(),
        host: instance.host.hostname.clone(),
        ports: instance.ports.clone(),
        service_ports: instance.spec.service_ports(),
        ip_addresses: addresses(instance),
        slave_id: instance.agent.to_string(),
        state: shown_state(instance).name().to_owned(),
        staged_at: Some(instance.staged_at),
        started_at: instance.started_at,
        version: instance.version,
        local_volumes: Vec::new(),
        health_check_results: instance.health.iter().flatten().cloned().collect(),
        check_result: instance.check,
        region: instance.host.region.clone(),
        zone: instance.host.zone.clone(),
        role: Some(instance.role.clone()),
    }
}

fn shown_state(instance: &Instance) -> TaskState {
    if instance.killing { TaskState::Killing } else { instance.state }
}

fn counts(entry: &Entry) -> TaskCounts {
    let mut counts = TaskCounts::default();
    for instance in entry.instances.values() {
        match instance.state {
            TaskState::Staging | TaskState::Starting => counts.tasks_staged += 1,
            TaskState::Running => counts.tasks_running += 1,
            _ => {}
        }
        match instance.healthy() {
            Some(true) if instance.state == TaskState::Running => counts.tasks_healthy += 1,
            Some(false) if instance.state == TaskState::Running => counts.tasks_unhealthy += 1,
            _ => {}
        }
    }
    counts
}

/// Only while a deployment waits for it, and of what is to stay.
fn readiness(entry: &Entry) -> Vec<ReadinessCheckResult> {
    let Some(app) = entry.app.as_ref().filter(|_| entry.deployment.is_some()) else { return Vec::new() };
    let staying = entry.instances.values().filter(|instance| !instance.is_outdated(app));
    staying.filter_map(|instance| instance.readiness.as_deref().cloned()).collect()
}

impl State {
    /// One app as readers see it; `None` when nothing is left of it.
    pub fn app_view(&self, id: &AppId) -> Option<AppView> {
        let entry = self.apps.get(id).filter(|entry| entry.app.is_some() || !entry.instances.is_empty())?;
        let queued = entry.waiting.as_ref().zip(entry.app.as_ref()).map(|(waiting, app)| Queued {
            count: waiting.count,
            since: waiting.since,
            not_before: entry
                .backoff
                .get(&config_version(app))
                .map_or(Duration::ZERO, |backoff| backoff.until),
            offers: waiting.summary(),
            why: waiting.why(),
            unused: waiting.unused_offers(),
        });
        Some(AppView {
            app: entry.app.clone(),
            versions: if entry.app.is_some() { entry.versions.clone() } else { BTreeMap::new() },
            tasks: entry.instances.values().map(shown).collect(),
            counts: counts(entry),
            healthy: entry.instances.values().map(Instance::healthy).collect(),
            deployment: entry.deployment,
            readiness: readiness(entry),
            failure: entry.failure.clone(),
            queued,
        })
    }

    /// What is known about a group besides what stands in it.
    pub fn group(&self, id: &GroupId) -> Option<&Arc<Group>> {
        self.groups.get(id)
    }

    /// All deployments, the oldest first.
    pub fn deployment_views(&self) -> Vec<DeploymentView> {
        let mut all: Vec<_> = self.deployments.values().collect();
        all.sort_by_key(|deployment| deployment.delta.version);
        let view = |deployment: &&super::state::Deployment| {
            let steps: Vec<_> = deployment.steps.iter().map(super::Step::view).collect();
            let current = steps.get(deployment.step).map(|step| step.actions.clone()).unwrap_or_default();
            let action = |action: DeploymentAction| CurrentAction {
                readiness_check_results: self.apps.get(&action.app).map(readiness).unwrap_or_default(),
                action,
            };
            DeploymentView {
                id: deployment.id,
                version: deployment.delta.version,
                affected_apps: deployment.delta.apps.iter().map(|change| change.app.clone()).collect(),
                affected_pods: Vec::new(),
                total_steps: steps.len(),
                steps,
                current_actions: current.into_iter().map(action).collect(),
                current_step: deployment.step + 1,
            }
        };
        all.iter().map(view).collect()
    }
}
