use serde_json::json;

use super::*;
use crate::marathon::view::{ActionKind, DeploymentAction};

const UUID: &str = "3f0c8a52-9f0e-4d0b-8a43-0b6c3a0d1e2f";

/// One of each.
fn events() -> Vec<Event> {
    let text = |text: &str| text.to_owned();
    let app_id: AppId = "/web".parse().unwrap();
    let task_id: TaskId = format!("web.instance-{UUID}._app.1").parse().unwrap();
    let instance_id = task_id.instance().clone();
    let version = Timestamp::from_millis(0);
    let id: Uuid = UUID.parse().unwrap();
    let app = json!({"id": "web", "cmd": "x", "healthChecks": [{"protocol": "TCP"}]});
    let app = App::create(&app, &GroupId::root()).unwrap();
    let health_check = app.health_checks[0].clone();
    let action = DeploymentAction { action: ActionKind::StartApplication, app: app_id.clone() };
    let current_step = DeploymentStep { actions: vec![action] };
    let root = GroupSummary::root(version);
    let plan = DeploymentPlan {
        id,
        version,
        steps: vec![current_step.clone()],
        original: root.clone(),
        target: root,
    };
    let (client_ip, uri) = (text("127.0.0.1"), text("/v2/apps"));
    let (host, slave_id, reason) = (text("10.0.0.1"), text("agent-1"), text("because"));
    let (framework_id, master) = (text("f-1"), text("10.0.0.9:5050"));
    let condition = Condition::Running;
    vec![
        Event::StreamAttached { remote_address: text("127.0.0.1") },
        Event::StreamDetached { remote_address: text("127.0.0.1") },
        Event::ApiPost { client_ip: client_ip.clone(), uri: uri.clone(), app_definition: Box::new(app) },
        Event::StatusUpdate {
            slave_id: slave_id.clone(),
            task_id: task_id.clone(),
            task_status: text("TASK_RUNNING"),
            message: text("two\nlines"),
            app_id: app_id.clone(),
            host: host.clone(),
            ip_addresses: vec![IpAddress { ip_address: text("10.0.0.1"), protocol: text("IPv4") }],
            ports: vec![31_005],
            version,
        },
        Event::InstanceChanged {
            instance_id: instance_id.clone(),
            condition,
            run_spec_id: app_id.clone(),
            agent_id: Some(slave_id.clone()),
            host: Some(host.clone()),
            run_spec_version: version,
        },
        Event::InstanceHealthChanged {
            instance_id: instance_id.clone(),
            run_spec_id: app_id.clone(),
            healthy: None,
            run_spec_version: version,
        },
        Event::UnknownInstanceTerminated {
            instance_id: instance_id.clone(),
            run_spec_id: app_id.clone(),
            condition,
        },
        Event::AppTerminated { app_id: app_id.clone() },
        Event::AddHealthCheck { app_id: app_id.clone(), health_check: health_check.clone(), version },
        Event::RemoveHealthCheck { app_id: app_id.clone() },
        Event::FailedHealthCheck { app_id: app_id.clone(), task_id: task_id.clone(), health_check },
        Event::HealthStatusChanged {
            app_id: app_id.clone(),
            instance_id: instance_id.clone(),
            version,
            alive: true,
        },
        Event::UnhealthyInstanceKill {
            app_id,
            task_id,
            instance_id,
            version,
            reason: reason.clone(),
            host,
            slave_id: Some(slave_id.clone()),
        },
        Event::GroupChangeSuccess { group_id: GroupId::root(), version },
        Event::GroupChangeFailed { group_id: GroupId::root(), version, reason: reason.clone() },
        Event::DeploymentSuccess { id, plan: plan.clone() },
        Event::DeploymentFailed { id, plan: plan.clone(), reason },
        Event::DeploymentInfo { plan: plan.clone(), current_step: current_step.clone() },
        Event::DeploymentStepSuccess { plan: plan.clone(), current_step: current_step.clone() },
        Event::DeploymentStepFailure { plan, current_step },
        Event::SchedulerRegistered { framework_id: framework_id.clone(), master: master.clone() },
        Event::SchedulerReregistered { framework_id: framework_id.clone(), master: master.clone() },
        Event::SchedulerDisconnected { framework_id, master },
        Event::FrameworkMessage { slave_id, executor_id: text("e"), message: text("m") },
        Event::PodCreated { client_ip: client_ip.clone(), uri: uri.clone() },
        Event::PodUpdated { client_ip: client_ip.clone(), uri: uri.clone() },
        Event::PodDeleted { client_ip, uri },
    ]
}

fn frames() -> Vec<String> {
    let timestamp = Timestamp::from_millis(1_769_847_330_123);
    events().into_iter().map(|event| TimedEvent { event, timestamp }.frame()).collect()
}

#[test]
fn every_event_is_written_as_the_table_says() {
    insta::assert_snapshot!(frames().join(""));
}

#[test]
fn a_frame_is_two_lines_and_an_empty_one_whatever_is_in_it() {
    for frame in frames() {
        let lines: Vec<&str> = frame.split('\n').collect();
        assert_eq!(lines.len(), 4, "{frame}");
        let event = lines[0].strip_prefix("event: ").unwrap();
        let data: Value = serde_json::from_str(lines[1].strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(data["eventType"], event);
        assert_eq!(data["timestamp"], "2026-01-31T08:15:30.123Z");
        assert_eq!((lines[2], lines[3]), ("", ""));
    }
}

#[test]
fn subscribers_get_what_they_named_and_else_what_the_released_client_knows() {
    let all = Subscription::new([]);
    let named = Subscription::new(["deployment_success", "scheduler_registered_event"]);
    for event in events() {
        let name = event.event_type();
        assert_eq!(all.wants(&event), !name.starts_with("scheduler_"), "{name}");
        assert_eq!(
            named.wants(&event),
            ["deployment_success", "scheduler_registered_event"].contains(&name),
            "{name}"
        );
    }
}
