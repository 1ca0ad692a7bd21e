use serde_json::json;

use super::*;

const TASK: &str = "web.instance-3f0c8a52-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1";

fn id() -> AppId {
    "/web".parse().unwrap()
}

fn watch() -> Watch {
    Watch::new(&id(), Some("d1".to_owned()), Goal::Up)
}

fn status(state: &str) -> Value {
    json!({"appId": "/web", "taskId": TASK, "taskStatus": state, "message": "exit 1", "host": "h1", "slaveId": "S"})
}

fn app(running: u64, tasks: &Value) -> Value {
    json!({"id": "/web", "instances": 1, "tasksRunning": running, "tasks": tasks})
}

fn deployments(step: u64) -> Value {
    json!([{"id": "d1", "affectedApps": ["/web"], "currentStep": step, "totalSteps": 2}])
}

fn read(watch: &mut Watch, app: Option<&Value>, deployments: &Value) -> Vec<Note> {
    watch.reading(&Reading { app, deployments })
}

#[test]
fn a_state_is_told_once_wherever_it_is_seen() {
    let mut watch = watch();
    assert_eq!(watch.event("status_update_event", &status("TASK_RUNNING")).len(), 1);
    let tasks = json!([{"id": TASK, "state": "TASK_RUNNING", "host": "h1"}]);
    assert_eq!(read(&mut watch, Some(&app(1, &tasks)), &deployments(1)), [Note::Step { at: 1, of: 2 }]);
    assert_eq!(read(&mut watch, Some(&app(1, &tasks)), &deployments(1)), []);
    assert_eq!(watch.end, None);
}

#[test]
fn a_failure_is_told_with_its_host_and_kept() {
    let mut watch = watch();
    let notes = watch.event("status_update_event", &status("TASK_FAILED"));
    let failure = Failure {
        task: TASK.to_owned(),
        host: "h1".to_owned(),
        agent: "S".to_owned(),
        state: "TASK_FAILED".to_owned(),
        message: "exit 1".to_owned(),
    };
    assert_eq!(notes[1], Note::Failed(failure.clone()));
    assert_eq!((watch.failure.clone(), watch.end.clone()), (Some(failure), None));
}

#[test]
fn a_failure_without_an_event_is_found_by_reading() {
    let mut watch = watch();
    let mut seen = app(0, &json!([]));
    read(&mut watch, Some(&seen), &deployments(1));
    seen["lastTaskFailure"] =
        json!({"taskId": TASK, "state": "TASK_FAILED", "message": "exit 2", "host": "h1"});
    let notes = read(&mut watch, Some(&seen), &deployments(1));
    assert!(matches!(notes.as_slice(), [Note::Failed(failure)] if failure.message == "exit 2"), "{notes:?}");
    assert_eq!(read(&mut watch, Some(&seen), &deployments(1)), []);
}

#[test]
fn a_failure_of_long_ago_is_no_news() {
    let mut watch = watch();
    let mut seen = app(0, &json!([]));
    seen["lastTaskFailure"] = json!({"taskId": "old", "state": "TASK_FAILED", "message": "", "host": "h1"});
    assert_eq!(read(&mut watch, Some(&seen), &deployments(1)), [Note::Step { at: 1, of: 2 }]);
    assert_eq!(watch.failure, None);
}

#[test]
fn health_is_told_when_it_changes() {
    let mut watch = watch();
    let task = |alive| json!([{"id": TASK, "state": "TASK_RUNNING", "host": "h1", "healthCheckResults": [{"alive": alive}]}]);
    assert_eq!(read(&mut watch, Some(&app(1, &task(false))), &deployments(1)).len(), 3);
    let event = json!({"runSpecId": "/web", "instanceId": &TASK[..TASK.len() - 7], "healthy": true});
    let notes = watch.event("instance_health_changed_event", &event);
    assert!(matches!(notes.as_slice(), [Note::Instance { state, .. }] if state == "healthy"), "{notes:?}");
    assert_eq!(read(&mut watch, Some(&app(1, &task(true))), &deployments(1)), []);
}

#[test]
fn only_our_deployments_events_end_it() {
    for (kind, end) in [
        ("deployment_success", End::Succeeded),
        (
            "deployment_failed",
            End::GivenUp("the deployment was cancelled, or another one took its place".to_owned()),
        ),
    ] {
        let mut watch = watch();
        watch.event(kind, &json!({"id": "d2"}));
        assert_eq!(watch.end, None);
        watch.event(kind, &json!({"id": "d1"}));
        assert_eq!(watch.end, Some(end));
    }
}

#[test]
fn a_deployment_that_is_gone_succeeded_when_the_service_is_up() {
    let mut watch = watch();
    read(&mut watch, Some(&app(1, &json!([]))), &json!([]));
    assert_eq!(watch.end, Some(End::Succeeded));
}

#[test]
fn a_deployment_that_is_gone_was_given_up_when_the_service_stays_down() {
    let mut watch = watch();
    for _ in 0..GONE_READS {
        assert_eq!(watch.end, None);
        read(&mut watch, Some(&app(0, &json!([]))), &json!([]));
    }
    assert!(matches!(watch.end, Some(End::GivenUp(_))));
}

#[test]
fn unhealthy_instances_are_not_up() {
    let mut seen = json!({"instances": 1, "tasksRunning": 1, "tasksHealthy": 0, "healthChecks": [{}]});
    assert!(!is_up(&seen));
    seen["tasksHealthy"] = json!(1);
    assert!(is_up(&seen));
}

#[test]
fn a_removed_service_is_gone_with_its_deployment() {
    let mut watch = Watch::new(&id(), Some("d1".to_owned()), Goal::Removed);
    read(&mut watch, None, &deployments(1));
    assert_eq!(watch.end, None);
    read(&mut watch, None, &json!([]));
    assert_eq!(watch.end, Some(End::Succeeded));
}

#[test]
fn waiting_without_a_deployment_waits_for_any_of_the_service() {
    let mut watch = Watch::new(&id(), None, Goal::Up);
    read(&mut watch, Some(&app(1, &json!([]))), &deployments(1));
    assert_eq!(watch.end, None);
    for _ in 0..10 {
        read(&mut watch, Some(&app(0, &json!([]))), &json!([]));
    }
    assert_eq!(watch.end, None);
    read(&mut watch, Some(&app(1, &json!([]))), &json!([]));
    assert_eq!(watch.end, Some(End::Succeeded));
}

#[test]
fn what_was_there_before_the_change_is_no_news() {
    let mut before = app(1, &json!([{"id": TASK, "state": "TASK_RUNNING", "host": "h1"}]));
    before["lastTaskFailure"] =
        json!({"taskId": "old", "state": "TASK_FAILED", "message": "exit 1", "host": "h1"});
    let mut watch = watch().knowing(&before);
    assert_eq!(read(&mut watch, Some(&before), &deployments(1)), [Note::Step { at: 1, of: 2 }]);
    assert_eq!(read(&mut watch, Some(&before), &deployments(1)), []);
    assert_eq!(watch.failure, None);
    let waiting = Watch::new(&id(), None, Goal::Up).knowing(&before);
    assert_eq!(waiting.failure.unwrap().message, "exit 1");
}
