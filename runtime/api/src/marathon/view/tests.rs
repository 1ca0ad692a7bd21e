use serde_json::json;

use super::*;
use crate::marathon::GroupId;

const UUID: &str = "3f0c8a52-9f0e-4d0b-8a43-0b6c3a0d1e2f";

fn time(text: &str) -> Timestamp {
    format!("2026-01-31T{text}Z").parse().unwrap()
}

fn app() -> App {
    let mut app = App::create(&json!({"id": "/shop/web", "cmd": "run"}), &GroupId::root()).unwrap();
    app.version = Some(time("08:15:30.123"));
    app
}

fn task_id() -> TaskId {
    format!("shop_web.instance-{UUID}._app.1").parse().unwrap()
}

fn info() -> AppInfo {
    let entry = TaskStatsEntry {
        stats: Stats {
            counts: StatsCounts { staged: 0, running: 1, healthy: 1, unhealthy: 0 },
            life_time: Some(LifeTime { average_seconds: 1.5, median_seconds: 1.5 }),
        },
    };
    AppInfo {
        app: app(),
        counts: Some(TaskCounts { tasks_staged: 1, tasks_running: 2, tasks_healthy: 1, tasks_unhealthy: 0 }),
        deployments: vec![DeploymentId { id: UUID.parse().unwrap() }],
        tasks: Some(vec![std::sync::Arc::new(Task {
            app_id: app().id,
            id: task_id(),
            host: "10.0.0.1".to_owned(),
            ports: vec![31_005],
            service_ports: vec![10_000],
            ip_addresses: vec![IpAddress { ip_address: "10.0.0.1".to_owned(), protocol: "IPv4".to_owned() }],
            slave_id: "agent-1".to_owned(),
            state: "TASK_RUNNING".to_owned(),
            staged_at: Some(time("08:15:30.200")),
            started_at: Some(time("08:15:30.300")),
            version: time("08:15:30.123"),
            local_volumes: Vec::new(),
            health_check_results: vec![HealthCheckResult {
                alive: true,
                consecutive_failures: 0,
                first_success: Some(time("08:15:31.000")),
                last_success: Some(time("08:15:32.000")),
                last_failure: None,
                last_failure_cause: None,
                instance_id: task_id().instance().clone(),
            }],
            check_result: None,
            region: None,
            zone: Some("z1".to_owned()),
            role: Some("*".to_owned()),
        })]),
        readiness_check_results: Some(vec![ReadinessCheckResult {
            name: "readinessCheck".to_owned(),
            task_id: task_id(),
            ready: false,
            last_response: Some(HttpResponse {
                status: 503,
                content_type: "text/plain".to_owned(),
                body: "not yet".to_owned(),
            }),
        }]),
        last_task_failure: Some(TaskFailure {
            app_id: app().id,
            host: "10.0.0.1".to_owned(),
            message: "exited with status 1".to_owned(),
            state: "TASK_FAILED".to_owned(),
            task_id: task_id(),
            timestamp: time("08:15:31.000"),
            version: time("08:15:30.123"),
            slave_id: None,
        }),
        task_stats: Some(TaskStats { total_summary: Some(entry), ..TaskStats::default() }),
    }
}

#[test]
fn an_app_with_everything_embedded_has_the_keys_of_the_interface() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&info()).unwrap());
}

#[test]
fn what_is_not_embedded_is_not_written_but_for_deployments() {
    let bare = serde_json::to_value(info().embedding(Embed::default())).unwrap();
    assert_eq!(bare["deployments"], json!([]));
    for key in
        ["tasks", "tasksRunning", "tasksStaged", "lastTaskFailure", "readinessCheckResults", "taskStats"]
    {
        assert_eq!(bare.get(key), None, "{key}");
    }
    let app_keys = app().to_json().as_object().unwrap().len();
    assert_eq!(bare.as_object().unwrap().len(), app_keys + 1);
}

#[test]
fn a_created_app_is_answered_bare_with_zero_counts_and_its_deployment() {
    let answer = serde_json::to_value(AppInfo::created(app(), UUID.parse().unwrap())).unwrap();
    assert_eq!(answer["id"], "/shop/web");
    assert_eq!(answer["version"], "2026-01-31T08:15:30.123Z");
    assert_eq!(answer["deployments"], json!([{"id": UUID}]));
    for key in ["tasksStaged", "tasksRunning", "tasksHealthy", "tasksUnhealthy"] {
        assert_eq!(answer[key], 0, "{key}");
    }
}

#[test]
fn small_answers_are_written_as_the_interface_says() {
    let id: Uuid = UUID.parse().unwrap();
    let version = time("08:15:30.123");
    let result = serde_json::to_value(DeploymentResult { version, deployment_id: id }).unwrap();
    assert_eq!(result, json!({"version": "2026-01-31T08:15:30.123Z", "deploymentId": UUID}));
    let versions = serde_json::to_value(VersionList { versions: vec![version] }).unwrap();
    assert_eq!(versions, json!({"versions": ["2026-01-31T08:15:30.123Z"]}));
    assert_eq!(serde_json::to_value(GroupApps { apps: vec![] }).unwrap(), json!({"*": []}));
}

#[test]
fn a_running_deployment_is_written_as_the_interface_says() {
    let action = DeploymentAction { action: ActionKind::StartApplication, app: app().id };
    let deployment = Deployment {
        id: UUID.parse().unwrap(),
        version: time("08:15:30.123"),
        affected_apps: vec![app().id],
        affected_pods: Vec::new(),
        steps: vec![DeploymentStep { actions: vec![action.clone()] }],
        current_actions: vec![CurrentAction { action, readiness_check_results: Vec::new() }],
        current_step: 1,
        total_steps: 1,
    };
    insta::assert_snapshot!(serde_json::to_string_pretty(&deployment).unwrap());
}

#[test]
fn the_funnel_hands_on_what_each_step_leaves() {
    let funnel = RejectCount::funnel(10, [2, 3, 0, 0, 5, 0, 0, 0, 0, 0]);
    let steps: Vec<_> = funnel.iter().take(6).map(|step| (step.processed, step.declined)).collect();
    assert_eq!(steps, [(10, 2), (8, 3), (5, 0), (5, 0), (5, 5), (0, 0)]);
    let item = QueueItem {
        app: app(),
        count: 2,
        delay: QueueDelay { time_left_seconds: 0, overdue: true },
        since: time("08:15:30.123"),
        processed_offers_summary: OffersSummary {
            processed_offers_count: 10,
            unused_offers_count: 10,
            last_unused_offer_at: Some(time("08:15:31.000")),
            reject_summary_last_offers: funnel,
            ..OffersSummary::default()
        },
        last_unused_offers: None,
    };
    let item = serde_json::to_value(item).unwrap();
    let mut keys: Vec<&String> = item.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["app", "count", "delay", "processedOffersSummary", "since"]);
    assert_eq!(item["app"].get("role"), None);
    assert_eq!(item["delay"], json!({"timeLeftSeconds": 0, "overdue": true}));
    let first = &item["processedOffersSummary"]["rejectSummaryLastOffers"][0];
    assert_eq!(*first, json!({"reason": "UnfulfilledRole", "declined": 2, "processed": 10}));
}

#[test]
fn what_a_check_saw_is_written_by_its_kind() {
    for (result, expected) in [
        (CheckResult::Http { status_code: 404 }, json!({"http": {"statusCode": 404}})),
        (CheckResult::Tcp { succeeded: true }, json!({"tcp": {"succeeded": true}})),
        (CheckResult::Exec { exit_code: 1 }, json!({"exec": {"exitCode": 1}})),
    ] {
        assert_eq!(serde_json::to_value(result).unwrap(), expected);
    }
}
