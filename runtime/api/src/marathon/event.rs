//! Events (§10): their JSON, their frames, and who gets which.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use super::app::{App, HealthCheck};
use super::path_id::{AppId, GroupId, PathId};
use super::task_id::{InstanceId, TaskId};
use super::timestamp::Timestamp;
use super::uuid::Uuid;
use super::view::{DeploymentStep, IpAddress};

/// The condition of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the words are the interface's and name states of a task")]
pub enum Condition {
    Scheduled,
    Provisioned,
    Staging,
    Starting,
    Running,
    Killing,
    Killed,
    Finished,
    Failed,
    Error,
    Gone,
    Dropped,
    Unknown,
    Unreachable,
    UnreachableInactive,
}

/// A group as events of deployments show it: the released Python client fails without it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupSummary {
    /// Its id.
    pub id: GroupId,
    /// Its version.
    pub version: Timestamp,
    /// Empty: definitions are not sent again with every event.
    pub apps: [(); 0],
    /// Empty.
    pub groups: [(); 0],
    /// What comes first.
    pub dependencies: Vec<PathId>,
    /// Empty.
    pub pods: [(); 0],
}

impl GroupSummary {
    /// The root group in a version.
    pub fn root(version: Timestamp) -> GroupSummary {
        GroupSummary {
            id: GroupId::root(),
            version,
            apps: [],
            groups: [],
            dependencies: Vec::new(),
            pods: [],
        }
    }
}

/// The plan of a deployment as events show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeploymentPlan {
    /// The deployment.
    pub id: Uuid,
    /// The version that it leads to.
    pub version: Timestamp,
    /// All steps.
    pub steps: Vec<DeploymentStep>,
    /// Where it comes from; always sent.
    pub original: GroupSummary,
    /// Where it leads to; always sent.
    pub target: GroupSummary,
}

/// What has happened. Fields are those of §10.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are the keys of the table in §10")]
pub enum Event {
    /// A subscriber came.
    StreamAttached { remote_address: String },
    /// A subscriber went.
    StreamDetached { remote_address: String },
    /// A definition was sent.
    ApiPost { client_ip: String, uri: String, app_definition: Box<App> },
    /// A task's state changed.
    StatusUpdate {
        slave_id: String,
        task_id: TaskId,
        task_status: String,
        message: String,
        app_id: AppId,
        host: String,
        ip_addresses: Vec<IpAddress>,
        ports: Vec<u16>,
        version: Timestamp,
    },
    /// An instance's condition changed.
    InstanceChanged {
        instance_id: InstanceId,
        condition: Condition,
        run_spec_id: AppId,
        agent_id: Option<String>,
        host: Option<String>,
        run_spec_version: Timestamp,
    },
    /// An instance's health changed; `None` when it is unknown.
    InstanceHealthChanged {
        instance_id: InstanceId,
        run_spec_id: AppId,
        healthy: Option<bool>,
        run_spec_version: Timestamp,
    },
    /// An instance that nobody knows ended.
    UnknownInstanceTerminated { instance_id: InstanceId, run_spec_id: AppId, condition: Condition },
    /// An app is gone.
    AppTerminated { app_id: AppId },
    /// A health check began.
    AddHealthCheck { app_id: AppId, health_check: HealthCheck, version: Timestamp },
    /// Health checks ended.
    RemoveHealthCheck { app_id: AppId },
    /// A health check failed.
    FailedHealthCheck { app_id: AppId, task_id: TaskId, health_check: HealthCheck },
    /// A health check's result changed.
    HealthStatusChanged { app_id: AppId, instance_id: InstanceId, version: Timestamp, alive: bool },
    /// A task is killed for being unhealthy.
    UnhealthyInstanceKill {
        app_id: AppId,
        task_id: TaskId,
        instance_id: InstanceId,
        version: Timestamp,
        reason: String,
        host: String,
        slave_id: Option<String>,
    },
    /// A group was changed.
    GroupChangeSuccess { group_id: GroupId, version: Timestamp },
    /// A group could not be changed.
    GroupChangeFailed { group_id: GroupId, version: Timestamp, reason: String },
    /// A deployment is done.
    DeploymentSuccess { id: Uuid, plan: DeploymentPlan },
    /// A deployment was given up.
    DeploymentFailed { id: Uuid, plan: DeploymentPlan, reason: String },
    /// A deployment's step begins.
    DeploymentInfo { plan: DeploymentPlan, current_step: DeploymentStep },
    /// A deployment's step is done.
    DeploymentStepSuccess { plan: DeploymentPlan, current_step: DeploymentStep },
    /// A deployment's step was given up.
    DeploymentStepFailure { plan: DeploymentPlan, current_step: DeploymentStep },
    /// The framework registered.
    SchedulerRegistered { framework_id: String, master: String },
    /// The framework registered again.
    SchedulerReregistered { framework_id: String, master: String },
    /// The framework lost its master.
    SchedulerDisconnected { framework_id: String, master: String },
    /// An executor sent something.
    FrameworkMessage { slave_id: String, executor_id: String, message: String },
    /// A pod was created.
    PodCreated { client_ip: String, uri: String },
    /// A pod was changed.
    PodUpdated { client_ip: String, uri: String },
    /// A pod was deleted.
    PodDeleted { client_ip: String, uri: String },
}

impl Event {
    /// The event's type, as in `event_type` and in the frame.
    pub fn event_type(&self) -> &'static str {
        match self {
            Event::StreamAttached { .. } => "event_stream_attached",
            Event::StreamDetached { .. } => "event_stream_detached",
            Event::ApiPost { .. } => "api_post_event",
            Event::StatusUpdate { .. } => "status_update_event",
            Event::InstanceChanged { .. } => "instance_changed_event",
            Event::InstanceHealthChanged { .. } => "instance_health_changed_event",
            Event::UnknownInstanceTerminated { .. } => "unknown_instance_terminated_event",
            Event::AppTerminated { .. } => "app_terminated_event",
            Event::AddHealthCheck { .. } => "add_health_check_event",
            Event::RemoveHealthCheck { .. } => "remove_health_check_event",
            Event::FailedHealthCheck { .. } => "failed_health_check_event",
            Event::HealthStatusChanged { .. } => "health_status_changed_event",
            Event::UnhealthyInstanceKill { .. } => "unhealthy_instance_kill_event",
            Event::GroupChangeSuccess { .. } => "group_change_success",
            Event::GroupChangeFailed { .. } => "group_change_failed",
            Event::DeploymentSuccess { .. } => "deployment_success",
            Event::DeploymentFailed { .. } => "deployment_failed",
            Event::DeploymentInfo { .. } => "deployment_info",
            Event::DeploymentStepSuccess { .. } => "deployment_step_success",
            Event::DeploymentStepFailure { .. } => "deployment_step_failure",
            Event::SchedulerRegistered { .. } => "scheduler_registered_event",
            Event::SchedulerReregistered { .. } => "scheduler_reregistered_event",
            Event::SchedulerDisconnected { .. } => "scheduler_disconnected_event",
            Event::FrameworkMessage { .. } => "framework_message_event",
            Event::PodCreated { .. } => "pod_created_event",
            Event::PodUpdated { .. } => "pod_updated_event",
            Event::PodDeleted { .. } => "pod_deleted_event",
        }
    }

    /// Whether it goes only to subscribers that named it: the released Python client raises on types it does not know.
    pub fn only_when_named(&self) -> bool {
        matches!(
            self,
            Event::SchedulerRegistered { .. }
                | Event::SchedulerReregistered { .. }
                | Event::SchedulerDisconnected { .. }
        )
    }

    /// The keys besides `eventType` and `timestamp`.
    fn keys(&self) -> Value {
        match self {
            Event::StreamAttached { remote_address } | Event::StreamDetached { remote_address } => {
                json!({ "remoteAddress": remote_address })
            }
            Event::ApiPost { client_ip, uri, app_definition } => {
                json!({ "clientIp": client_ip, "uri": uri, "appDefinition": app_definition })
            }
            Event::StatusUpdate {
                slave_id,
                task_id,
                task_status,
                message,
                app_id,
                host,
                ip_addresses,
                ports,
                version,
            } => json!({
                "slaveId": slave_id, "taskId": task_id, "taskStatus": task_status, "message": message,
                "appId": app_id, "host": host, "ipAddresses": ip_addresses, "ports": ports, "version": version,
            }),
            Event::InstanceChanged {
                instance_id,
                condition,
                run_spec_id,
                agent_id,
                host,
                run_spec_version,
            } => {
                json!({
                    "instanceId": instance_id, "condition": condition, "runSpecId": run_spec_id,
                    "agentId": agent_id, "host": host, "runSpecVersion": run_spec_version,
                })
            }
            Event::InstanceHealthChanged { instance_id, run_spec_id, healthy, run_spec_version } => json!({
                "instanceId": instance_id, "runSpecId": run_spec_id, "healthy": healthy,
                "runSpecVersion": run_spec_version,
            }),
            Event::UnknownInstanceTerminated { instance_id, run_spec_id, condition } => {
                json!({ "instanceId": instance_id, "runSpecId": run_spec_id, "condition": condition })
            }
            Event::AppTerminated { app_id } | Event::RemoveHealthCheck { app_id } => {
                json!({ "appId": app_id })
            }
            Event::AddHealthCheck { app_id, health_check, version } => {
                json!({ "appId": app_id, "healthCheck": health_check, "version": version })
            }
            Event::FailedHealthCheck { app_id, task_id, health_check } => {
                json!({ "appId": app_id, "taskId": task_id, "healthCheck": health_check })
            }
            Event::HealthStatusChanged { app_id, instance_id, version, alive } => {
                json!({ "appId": app_id, "instanceId": instance_id, "version": version, "alive": alive })
            }
            Event::UnhealthyInstanceKill {
                app_id,
                task_id,
                instance_id,
                version,
                reason,
                host,
                slave_id,
            } => {
                json!({
                    "appId": app_id, "taskId": task_id, "instanceId": instance_id, "version": version,
                    "reason": reason, "host": host, "slaveId": slave_id,
                })
            }
            Event::GroupChangeSuccess { group_id, version } => {
                json!({ "groupId": group_id, "version": version })
            }
            Event::GroupChangeFailed { group_id, version, reason } => {
                json!({ "groupId": group_id, "version": version, "reason": reason })
            }
            Event::DeploymentSuccess { id, plan } => json!({ "id": id, "plan": plan }),
            Event::DeploymentFailed { id, plan, reason } => {
                json!({ "id": id, "plan": plan, "reason": reason })
            }
            Event::DeploymentInfo { plan, current_step }
            | Event::DeploymentStepSuccess { plan, current_step }
            | Event::DeploymentStepFailure { plan, current_step } => {
                json!({ "plan": plan, "currentStep": current_step })
            }
            Event::SchedulerRegistered { framework_id, master }
            | Event::SchedulerReregistered { framework_id, master }
            | Event::SchedulerDisconnected { framework_id, master } => {
                json!({ "frameworkId": framework_id, "master": master })
            }
            Event::FrameworkMessage { slave_id, executor_id, message } => {
                json!({ "slaveId": slave_id, "executorId": executor_id, "message": message })
            }
            Event::PodCreated { client_ip, uri }
            | Event::PodUpdated { client_ip, uri }
            | Event::PodDeleted { client_ip, uri } => json!({ "clientIp": client_ip, "uri": uri }),
        }
    }
}

/// An event and when it happened.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedEvent {
    /// What has happened.
    pub event: Event,
    /// When.
    pub timestamp: Timestamp,
}

impl TimedEvent {
    /// The payload.
    pub fn to_json(&self) -> Value {
        let mut payload = self.event.keys();
        payload["eventType"] = json!(self.event.event_type());
        payload["timestamp"] = json!(self.timestamp);
        payload
    }

    /// The frame of a stream of server-sent events.
    pub fn frame(&self) -> String {
        format!("event: {}\ndata: {}\n\n", self.event.event_type(), self.to_json())
    }
}

/// What a subscriber wants: the values of `event_type`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscription {
    named: BTreeSet<String>,
}

impl Subscription {
    /// What keeps a quiet stream open; sent about every ten seconds.
    pub const KEEP_ALIVE: &'static str = "\n";

    /// From the values of `event_type`; none means every type that the reference's clients know.
    pub fn new<'a>(event_types: impl IntoIterator<Item = &'a str>) -> Subscription {
        let named = event_types.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Subscription { named }
    }

    /// Whether the subscriber gets the event.
    pub fn wants(&self, event: &Event) -> bool {
        if self.named.is_empty() { !event.only_when_named() } else { self.named.contains(event.event_type()) }
    }
}

#[cfg(test)]
mod tests;
