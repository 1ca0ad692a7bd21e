//! Answers of the interface (§3, §4). Every type here writes exactly the keys that clients know.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::app::App;
use super::path_id::AppId;
use super::query::Embed;
use super::task_id::{InstanceId, TaskId};
use super::timestamp::Timestamp;
use super::uuid::Uuid;

/// `{"id": "…"}` of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DeploymentId {
    /// Its id.
    pub id: Uuid,
}

/// What every call that changes something answers (§3). The header `Marathon-Deployment-Id` carries the id too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentResult {
    /// The version that the deployment leads to.
    pub version: Timestamp,
    /// Its id.
    pub deployment_id: Uuid,
}

/// How many tasks are in which state. Without health checks a running task is neither healthy nor unhealthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskCounts {
    /// Launched and not running yet.
    pub tasks_staged: u32,
    /// Running.
    pub tasks_running: u32,
    /// Running, and every check passes.
    pub tasks_healthy: u32,
    /// Running, and a check fails.
    pub tasks_unhealthy: u32,
}

/// An app and what is known about it (§4, AppInfo).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppInfo {
    /// The definition, not wrapped.
    #[serde(flatten)]
    pub app: App,
    /// Written when embedded.
    #[serde(flatten)]
    pub counts: Option<TaskCounts>,
    /// Always written.
    pub deployments: Vec<DeploymentId>,
    /// Written when embedded. Shared with whoever else shows them.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "each_of_some")]
    pub tasks: Option<Vec<Arc<Task>>>,
    /// Written when embedded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readiness_check_results: Option<Vec<ReadinessCheckResult>>,
    /// Written when embedded and when a task has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_task_failure: Option<TaskFailure>,
    /// Written when embedded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_stats: Option<TaskStats>,
}

impl AppInfo {
    /// The answer to a created app: no counts yet, and the deployment that starts it.
    pub fn created(app: App, deployment: Uuid) -> AppInfo {
        AppInfo {
            app,
            counts: Some(TaskCounts::default()),
            deployments: vec![DeploymentId { id: deployment }],
            tasks: None,
            readiness_check_results: None,
            last_task_failure: None,
            task_stats: None,
        }
    }

    /// Takes away what was not asked for.
    pub fn embedding(mut self, embed: Embed) -> AppInfo {
        self.counts = self.counts.filter(|_| embed.counts);
        self.tasks = self.tasks.filter(|_| embed.tasks);
        self.readiness_check_results = self.readiness_check_results.filter(|_| embed.readiness);
        self.last_task_failure = self.last_task_failure.filter(|_| embed.last_task_failure);
        self.task_stats = self.task_stats.filter(|_| embed.task_stats);
        if !embed.deployments {
            self.deployments.clear();
        }
        self
    }
}

/// `{"apps": […]}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppList {
    /// The apps.
    pub apps: Vec<AppInfo>,
}

/// `{"app": …}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppWrapper {
    /// The app.
    pub app: AppInfo,
}

/// `{"*": […]}`, the apps of a group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupApps {
    /// The apps.
    #[serde(rename = "*")]
    pub apps: Vec<AppInfo>,
}

/// `{"versions": […]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VersionList {
    /// Newest first.
    pub versions: Vec<Timestamp>,
}

/// `{"tasks": […]}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskList {
    /// The tasks.
    #[serde(serialize_with = "each")]
    pub tasks: Vec<Arc<Task>>,
}

fn each<S: Serializer>(tasks: &[Arc<Task>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(tasks.iter().map(|task| &**task))
}

fn each_of_some<S: Serializer>(tasks: &Option<Vec<Arc<Task>>>, serializer: S) -> Result<S::Ok, S::Error> {
    each(tasks.as_deref().unwrap_or_default(), serializer)
}

/// A task (§4).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// The app that it belongs to.
    pub app_id: AppId,
    /// Its id.
    pub id: TaskId,
    /// The agent's hostname.
    pub host: String,
    /// Host ports, in the order of the app's ports.
    pub ports: Vec<u16>,
    /// Service ports, in the same order.
    pub service_ports: Vec<u16>,
    /// Its own addresses.
    pub ip_addresses: Vec<IpAddress>,
    /// The agent.
    pub slave_id: String,
    /// The name of its Mesos state, like `TASK_RUNNING`.
    pub state: String,
    /// When it was launched; absent before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub staged_at: Option<Timestamp>,
    /// When it came to run; absent before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The version of the app that it runs.
    pub version: Timestamp,
    /// Its persistent volumes.
    pub local_volumes: Vec<LocalVolume>,
    /// One per health check that has had a result.
    pub health_check_results: Vec<HealthCheckResult>,
    /// What the app's `check` saw last; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_result: Option<CheckResult>,
    /// The agent's region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The agent's zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The role that its resources are for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// An address of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IpAddress {
    /// The address.
    pub ip_address: String,
    /// `IPv4` or `IPv6`.
    pub protocol: String,
}

/// A persistent volume of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalVolume {
    /// The app.
    pub run_spec_id: AppId,
    /// Where it appears.
    pub container_path: String,
    /// Tells it from others.
    pub uuid: Uuid,
    /// What Mesos knows it by.
    pub persistence_id: String,
}

/// What a health check has found so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheckResult {
    /// Whether the last result was good.
    pub alive: bool,
    /// How many failures in a row.
    pub consecutive_failures: u32,
    /// The first good result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_success: Option<Timestamp>,
    /// The last good result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// The last bad result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Timestamp>,
    /// Why it was bad.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure_cause: Option<String>,
    /// Whose health it is.
    pub instance_id: InstanceId,
}

/// What an informational check saw, by its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum CheckResult {
    /// An answer.
    Http {
        /// Its status.
        status_code: u16,
    },
    /// A connection.
    Tcp {
        /// Whether it came to be.
        succeeded: bool,
    },
    /// A command.
    Exec {
        /// Its exit status.
        exit_code: i32,
    },
}

/// What a readiness check has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadinessCheckResult {
    /// The check.
    pub name: String,
    /// The task.
    pub task_id: TaskId,
    /// Whether it is ready.
    pub ready: bool,
    /// When the check keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_response: Option<HttpResponse>,
}

/// An answer that a readiness check got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpResponse {
    /// Its status.
    pub status: u16,
    /// Its type.
    pub content_type: String,
    /// Its text.
    pub body: String,
}

/// The last task of an app that failed (§4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskFailure {
    /// The app.
    pub app_id: AppId,
    /// The agent's hostname.
    pub host: String,
    /// Why.
    pub message: String,
    /// The name of its Mesos state, like `TASK_FAILED`.
    pub state: String,
    /// The task.
    pub task_id: TaskId,
    /// When.
    pub timestamp: Timestamp,
    /// The version of the app that it ran.
    pub version: Timestamp,
    /// The agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slave_id: Option<String>,
}

/// Statistics over an app's tasks (§4). An entry is absent when it has no tasks.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStats {
    /// Tasks that started after the last scaling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_after_last_scaling: Option<TaskStatsEntry>,
    /// Tasks with the last configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_latest_config: Option<TaskStatsEntry>,
    /// Tasks with an older configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_outdated_config: Option<TaskStatsEntry>,
    /// All.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_summary: Option<TaskStatsEntry>,
}

/// `{"stats": …}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskStatsEntry {
    /// The figures.
    pub stats: Stats,
}

/// Counts and ages.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// How many.
    pub counts: StatsCounts,
    /// How long they have run; absent when none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub life_time: Option<LifeTime>,
}

/// How many tasks are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct StatsCounts {
    /// Launched and not running yet.
    pub staged: u32,
    /// Running.
    pub running: u32,
    /// Healthy.
    pub healthy: u32,
    /// Unhealthy.
    pub unhealthy: u32,
}

/// How long tasks have run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LifeTime {
    /// The mean.
    pub average_seconds: f64,
    /// The median.
    pub median_seconds: f64,
}

/// A running deployment (§3, Deployments).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Its id.
    pub id: Uuid,
    /// The version that it leads to.
    pub version: Timestamp,
    /// The apps that it holds.
    pub affected_apps: Vec<AppId>,
    /// Pods; none.
    pub affected_pods: Vec<AppId>,
    /// All steps.
    pub steps: Vec<DeploymentStep>,
    /// What the current step does.
    pub current_actions: Vec<CurrentAction>,
    /// From 1 once the first step runs.
    pub current_step: usize,
    /// How many steps there are.
    pub total_steps: usize,
}

/// Actions that run in parallel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeploymentStep {
    /// The actions.
    pub actions: Vec<DeploymentAction>,
}

/// One action of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeploymentAction {
    /// What is done.
    pub action: ActionKind,
    /// To which app.
    pub app: AppId,
}

/// What an action does; written as its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ActionKind {
    /// The app comes into being, without instances yet.
    StartApplication,
    /// The app goes, with all its instances.
    StopApplication,
    /// Instances are started or killed until there are as many as wanted.
    ScaleApplication,
    /// Instances are replaced by ones of the new version.
    RestartApplication,
    /// What the app needs is fetched beforehand.
    ResolveArtifacts,
}

impl ActionKind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StartApplication => "StartApplication",
            Self::StopApplication => "StopApplication",
            Self::ScaleApplication => "ScaleApplication",
            Self::RestartApplication => "RestartApplication",
            Self::ResolveArtifacts => "ResolveArtifacts",
        }
    }
}

/// An action of the current step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CurrentAction {
    /// The action.
    #[serde(flatten)]
    pub action: DeploymentAction,
    /// What readiness checks found.
    pub readiness_check_results: Vec<ReadinessCheckResult>,
}

/// `{"queue": […]}` (§3, Queue).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Queue {
    /// The apps with instances to be launched.
    pub queue: Vec<QueueItem>,
}

/// An app with instances to be launched.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueItem {
    /// The app.
    pub app: App,
    /// How many instances.
    pub count: u32,
    /// Whether it waits for an offer or backs off.
    pub delay: QueueDelay,
    /// Since when.
    pub since: Timestamp,
    /// What became of offers.
    pub processed_offers_summary: OffersSummary,
    /// Written when embedded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_unused_offers: Option<Vec<UnusedOffer>>,
}

/// Whether an app waits for an offer or backs off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueDelay {
    /// Until the next try.
    pub time_left_seconds: u64,
    /// True when it is ready and waits for an offer.
    pub overdue: bool,
}

/// What became of offers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OffersSummary {
    /// How many were looked at.
    pub processed_offers_count: u64,
    /// How many were of no use.
    pub unused_offers_count: u64,
    /// The last of no use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_unused_offer_at: Option<Timestamp>,
    /// The last of use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_offer_at: Option<Timestamp>,
    /// The funnel over the last offers.
    pub reject_summary_last_offers: Vec<RejectCount>,
    /// The funnel over this launch attempt.
    pub reject_summary_launch_attempt: Vec<RejectCount>,
}

/// One step of the funnel that turns offers away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectCount {
    /// Like `InsufficientCpus`.
    pub reason: String,
    /// How many it turned away.
    pub declined: u64,
    /// How many came to it.
    pub processed: u64,
}

impl RejectCount {
    /// The reasons in the order of the funnel.
    pub const REASONS: [&'static str; 10] = [
        "UnfulfilledRole",
        "UnfulfilledConstraint",
        "NoCorrespondingReservationFound",
        "AgentMaintenance",
        "InsufficientCpus",
        "InsufficientMemory",
        "InsufficientDisk",
        "InsufficientGpus",
        "InsufficientPorts",
        "DeclinedScarceResources",
    ];

    /// The whole funnel: how many offers came to each step, of `processed` in all of which `declined` says how many
    /// each reason turned away.
    pub fn funnel(processed: u64, declined: [u64; 10]) -> Vec<RejectCount> {
        let mut left = processed;
        let step = |(reason, declined): (&str, u64)| {
            let count = RejectCount { reason: reason.to_owned(), declined, processed: left };
            left = left.saturating_sub(declined);
            count
        };
        RejectCount::REASONS.into_iter().zip(declined).map(step).collect()
    }
}

/// An offer that was of no use.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnusedOffer {
    /// The offer as the interface shows it.
    pub offer: serde_json::Value,
    /// Why.
    pub reason: Vec<String>,
    /// When.
    pub timestamp: Timestamp,
}

#[cfg(test)]
mod tests;
