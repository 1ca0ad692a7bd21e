//! What is looked at beside tasks, and what they have of their hosts: from the definition to the task, and back to the view.

use std::time::Duration;

use api::marathon::{ApiError, CheckResult};
use api::mesos::{Check, CheckAddress, CheckKind, CommandLine, Purpose, Sight, TaskState, Volume};
use serde_json::{Value, json};

use super::rules::{definition, only, running, update};
use super::world::{World, app, id};
use crate::core::support;
use crate::core::{Answer, Config, HostPaths, Request};

fn readiness(more: &Value) -> Value {
    let mut check = json!({"portName": "default", "preserveLastResponse": true});
    check.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([check])
}

fn results(world: &World) -> Value {
    serde_json::to_value(world.state.app_view(&id("/web")).unwrap().readiness).unwrap()
}

fn pass(world: &mut World, rounds: usize) {
    (0..rounds).for_each(|_| world.round());
}

/// The checks of the one task that runs.
fn checks(world: &World) -> Vec<Check> {
    world.tasks[&only(world)].info.checks.clone()
}

#[test]
fn a_step_waits_until_its_instances_say_that_they_are_ready() {
    let mut world = World::new();
    world.ready = false;
    world.create(&definition(&json!({"readinessChecks": readiness(&json!({}))}))).unwrap();
    pass(&mut world, 20);
    assert_eq!((world.running("/web"), world.state.deployments.len()), (1, 1));
    let task = only(&world).to_string();
    let expected = json!([{"name": "readinessCheck", "taskId": task, "ready": false,
        "lastResponse": {"status": 503, "contentType": "text/plain", "body": "so it is"}}]);
    assert_eq!(results(&world), expected);
    let deployments = serde_json::to_value(world.state.deployment_views()).unwrap();
    assert_eq!(deployments[0]["currentActions"][0]["readinessCheckResults"], expected);
    world.ready = true;
    world.settle();
    assert_eq!(results(&world), json!([]), "readiness is of deployments alone");
    assert_eq!(only(&world).to_string(), task);
}

#[test]
fn only_a_check_that_keeps_its_answers_shows_them() {
    let mut world = World::new();
    world.ready = false;
    let quiet = readiness(&json!({"preserveLastResponse": false, "name": "mine"}));
    world.create(&definition(&json!({"readinessChecks": quiet}))).unwrap();
    pass(&mut world, 5);
    assert_eq!(
        results(&world),
        json!([{"name": "mine", "taskId": only(&world).to_string(), "ready": false}])
    );
}

#[test]
fn a_restart_ends_nothing_before_its_successor_is_ready() {
    let mut world = running(&json!({"readinessChecks": readiness(&json!({})), "instances": 2}));
    let before = world.keys();
    world.ready = false;
    world.ask(update(&json!({"cmd": "serve better"})), false).unwrap().unwrap();
    pass(&mut world, 20);
    assert!(before.iter().all(|task| world.tasks[task].state == TaskState::Running), "both still serve");
    assert_eq!((world.running("/web"), world.state.deployments.len()), (4, 1));
    world.ready = true;
    world.settle();
    assert!(world.keys().iter().all(|task| !before.contains(task)));
    assert_eq!(world.running("/web"), 2);
}

#[test]
fn unready_instances_that_are_too_many_go_although_they_never_were_ready() {
    let mut world = running(&json!({"readinessChecks": readiness(&json!({})), "instances": 2}));
    world.ready = false;
    world.ask(update(&json!({"cmd": "serve better"})), false).unwrap().unwrap();
    pass(&mut world, 5);
    world.ask(update(&json!({"instances": 1})), true).unwrap().unwrap();
    pass(&mut world, 20);
    let current = world.state.apps[&id("/web")].app.clone().unwrap();
    let new = world.state.instances().filter(|instance| !instance.is_outdated(&current)).count();
    assert_eq!(new, 1);
    world.ready = true;
    world.settle();
    assert_eq!(world.running("/web"), 1);
}

#[test]
fn the_next_leader_goes_on_waiting_and_hears_of_it_again() {
    let mut world = World::new();
    world.ready = false;
    world.create(&definition(&json!({"readinessChecks": readiness(&json!({}))}))).unwrap();
    pass(&mut world, 5);
    let task = only(&world);
    world.crash();
    assert_eq!(results(&world), json!([]));
    pass(&mut world, 5);
    assert_eq!(world.state.deployments.len(), 1);
    assert_eq!(results(&world)[0]["ready"], false);
    world.ready = true;
    world.settle();
    assert_eq!(only(&world), task);
}

#[test]
fn outside_a_deployment_nobody_asks_and_later_ones_count_the_instance_as_ready() {
    let mut world = running(&json!({"readinessChecks": readiness(&json!({}))}));
    assert_eq!(checks(&world).len(), 1);
    let first = only(&world);
    world.becomes(&first, TaskState::Failed);
    world.settle();
    assert_eq!(checks(&world), [], "its successor");
    world.ready = false;
    world.ask(update(&json!({"instances": 1, "labels": {}})), false).unwrap().unwrap();
    world.ask(update(&json!({"instances": 2})), false).unwrap().unwrap();
    pass(&mut world, 10);
    assert_eq!(world.state.deployments.len(), 1, "the new one is asked");
    world.ready = true;
    world.settle();
    assert_eq!(world.running("/web"), 2);
}

#[test]
fn what_was_ready_once_stays_so() {
    let mut world = World::new();
    world.alive = false;
    world.failures = 0;
    let both = json!({"readinessChecks": readiness(&json!({})), "healthChecks": [{"protocol": "TCP"}]});
    world.create(&definition(&both)).unwrap();
    pass(&mut world, 5);
    world.ready = false;
    pass(&mut world, 5);
    assert_eq!(results(&world)[0]["ready"], true);
    assert_eq!(world.state.deployments.len(), 1, "it waits for its health");
    world.alive = true;
    world.settle();
}

#[test]
fn failures_in_the_grace_period_count_for_nothing() {
    let mut world = World::new();
    (world.alive, world.failures) = (false, 0);
    world.create(&definition(&json!({"healthChecks": [{"protocol": "HTTP"}]}))).unwrap();
    pass(&mut world, 10);
    let view = world.state.app_view(&id("/web")).unwrap();
    assert_eq!((view.counts.tasks_healthy, view.counts.tasks_unhealthy), (0, 0));
    assert_eq!(view.healthy, [None]);
    assert_eq!(view.tasks[0].health_check_results[0].last_failure_cause.as_deref(), Some("it answered 500"));
    for event in ["failed_health_check_event", "health_status_changed_event", "instance_health_changed_event"]
    {
        assert!(!world.names().contains(&event), "{event}");
    }
    world.failures = 1;
    world.round();
    assert_eq!(world.state.app_view(&id("/web")).unwrap().healthy, [Some(false)]);
    for event in ["failed_health_check_event", "health_status_changed_event", "instance_health_changed_event"]
    {
        assert!(world.names().contains(&event), "{event}");
    }
}

#[test]
fn an_unreachable_task_is_not_ended_for_its_health() {
    let mut world =
        running(&json!({"healthChecks": [{"protocol": "HTTP"}], "unreachableStrategy": "disabled"}));
    let lost = only(&world);
    world.becomes(&lost, TaskState::Unreachable);
    world.round();
    world.alive = false;
    // What its agent said before it fell silent arrives late.
    world.report(&lost);
    pass(&mut world, 10);
    assert_eq!(only(&world), lost);
    assert!(!world.names().contains(&"unhealthy_instance_kill_event"));
}

#[test]
fn an_informational_check_is_shown_and_does_nothing() {
    for (check, sight, expected) in [
        (json!({"http": {}}), Sight::Status(500), CheckResult::Http { status_code: 500 }),
        (json!({"tcp": {}}), Sight::Connected(false), CheckResult::Tcp { succeeded: false }),
        (
            json!({"exec": {"command": {"shell": "false"}}}),
            Sight::Exit(1),
            CheckResult::Exec { exit_code: 1 },
        ),
    ] {
        let mut world = World::new();
        world.alive = false;
        world.create(&definition(&json!({"check": check}))).unwrap();
        world.settle();
        let shown = |world: &World| world.state.app_view(&id("/web")).unwrap().tasks[0].check_result;
        assert_eq!(shown(&world), None);
        world.sight = Some(sight);
        pass(&mut world, 20);
        assert_eq!(shown(&world), Some(expected), "{check}");
        assert_eq!(world.state.app_view(&id("/web")).unwrap().counts.tasks_unhealthy, 0);
        assert!(!world.names().contains(&"failed_health_check_event"));
        world.sight = None;
        world.round();
        assert_eq!(shown(&world), None, "it came to no result");
        assert_eq!(world.running("/web"), 1);
    }
}

#[test]
fn checks_of_all_kinds_do_not_get_in_each_others_way() {
    let mut world = World::new();
    world.sight = Some(Sight::Status(418));
    world
        .create(&definition(&json!({"healthChecks": [{"protocol": "TCP"}, {"protocol": "HTTP"}],
            "readinessChecks": readiness(&json!({})), "check": {"http": {}}})))
        .unwrap();
    world.settle();
    let purposes: Vec<_> = checks(&world).into_iter().map(|check| check.purpose).collect();
    let ready = Purpose::Readiness { statuses: vec![200], keep_response: true };
    assert_eq!(purposes, [Purpose::Health, Purpose::Health, ready, Purpose::Information]);
    let task = world.state.app_view(&id("/web")).unwrap().tasks.remove(0);
    assert_eq!(task.health_check_results.len(), 2);
    assert_eq!(task.check_result, Some(CheckResult::Http { status_code: 418 }));
}

#[test]
fn every_protocol_becomes_its_check() {
    let http = |address, port, path: &str, tls, ignore_1xx| CheckKind::Http {
        address,
        port,
        path: path.to_owned(),
        tls,
        ignore_1xx,
    };
    use CheckAddress::{Agent, Loopback, Loopback6};
    for (check, kind, kill_after) in [
        (json!({}), http(Agent, 1, "/", false, false), None),
        (
            json!({"protocol": "HTTPS", "path": "/h", "portIndex": 1, "ignoreHttp1xx": true}),
            http(Agent, 2, "/h", true, true),
            None,
        ),
        (json!({"protocol": "HTTP", "port": 80}), http(Agent, 80, "/", false, false), None),
        (
            json!({"protocol": "TCP", "maxConsecutiveFailures": 0}),
            CheckKind::Tcp { address: Agent, port: 1 },
            None,
        ),
        (json!({"protocol": "MESOS_HTTP"}), http(Loopback, 1, "/", false, false), Some(3)),
        (
            json!({"protocol": "MESOS_HTTPS", "ipProtocol": "IPv6", "maxConsecutiveFailures": 0}),
            http(Loopback6, 1, "/", true, false),
            Some(1),
        ),
        (
            json!({"protocol": "MESOS_TCP", "portIndex": 1, "maxConsecutiveFailures": 7}),
            CheckKind::Tcp { address: Loopback, port: 2 },
            Some(7),
        ),
        (
            json!({"protocol": "COMMAND", "command": {"value": "true"}}),
            CheckKind::Command(CommandLine::Shell("true".to_owned())),
            Some(3),
        ),
    ] {
        let mut timed = check.clone();
        let times =
            json!({"gracePeriodSeconds": 1, "intervalSeconds": 2, "timeoutSeconds": 3, "delaySeconds": 4});
        timed.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
        let mut world = World::new();
        world
            .create(&definition(
                &json!({"healthChecks": [timed], "portDefinitions": [{"port": 0}, {"port": 0}]}),
            ))
            .unwrap();
        world.settle();
        let ports = world.state.app_view(&id("/web")).unwrap().tasks[0].ports.clone();
        let at = |port: u16| if port < 10 { ports[usize::from(port) - 1] } else { port };
        let kind = match kind {
            CheckKind::Http { address, port, path, tls, ignore_1xx } => {
                CheckKind::Http { address, port: at(port), path, tls, ignore_1xx }
            }
            CheckKind::Tcp { address, port } => CheckKind::Tcp { address, port: at(port) },
            command => command,
        };
        let seconds = Duration::from_secs;
        let expected = Check {
            kind,
            delay: seconds(4),
            interval: seconds(2),
            timeout: seconds(3),
            grace_period: seconds(1),
            kill_after,
            purpose: Purpose::Health,
        };
        assert_eq!(checks(&world), [expected], "{check}");
    }
}

#[test]
fn readiness_and_information_become_their_checks() {
    let mut world = World::new();
    world
        .create(&definition(&json!({
            "portDefinitions": [{"port": 0}, {"port": 0, "name": "api"}],
            "readinessChecks": [{"portName": "api", "protocol": "HTTPS", "path": "/ready", "intervalSeconds": 9,
                "timeoutSeconds": 2, "httpStatusCodesForReady": [200, 204]}],
            "check": {"tcp": {"endpoint": "api"}}})))
        .unwrap();
    world.settle();
    let port = world.state.app_view(&id("/web")).unwrap().tasks[0].ports[1];
    let [readiness, check] = checks(&world).try_into().unwrap();
    let path = "/ready".to_owned();
    let address = CheckAddress::Agent;
    let seconds = Duration::from_secs;
    assert_eq!(
        readiness,
        Check {
            kind: CheckKind::Http { address, port, path, tls: true, ignore_1xx: false },
            delay: Duration::ZERO,
            interval: seconds(9),
            timeout: seconds(2),
            grace_period: Duration::ZERO,
            kill_after: None,
            purpose: Purpose::Readiness { statuses: vec![200, 204], keep_response: false },
        }
    );
    assert_eq!(
        check,
        Check {
            kind: CheckKind::Tcp { address: CheckAddress::Loopback, port },
            delay: seconds(15),
            interval: seconds(60),
            timeout: seconds(20),
            grace_period: Duration::ZERO,
            kill_after: None,
            purpose: Purpose::Information,
        }
    );
}

fn volumes(volumes: &Value) -> Value {
    definition(&json!({"container": {"type": "MESOS", "volumes": volumes}}))
}

#[test]
fn host_paths_need_the_operators_leave() {
    let good = |at: &str, host: &str| json!({"containerPath": at, "hostPath": host, "mode": "RW"});
    let read_only = json!({"containerPath": "d", "hostPath": "/data", "mode": "RO"});
    // What is refused where agents mount, and where they can only link.
    for (given, mounts, links) in [
        (json!([good("d", "/data/x")]), vec![], vec![]),
        (json!([good("d", "/data//./x"), good("e", "/data")]), vec![], vec![]),
        (json!([good("d", "/database")]), vec!["(0)/hostPath"], vec!["(0)/hostPath"]),
        (json!([good("d", "data/x")]), vec!["(0)/hostPath"], vec!["(0)/hostPath"]),
        (json!([good("d", "/data"), good("e", "/etc")]), vec!["(1)/hostPath"], vec!["(1)/hostPath"]),
        (json!([good(".", "/data")]), vec!["(0)/containerPath"], vec!["(0)/containerPath"]),
        (
            json!([good("a", "/data"), good("a/b", "/data")]),
            vec!["(1)/containerPath"],
            vec!["(1)/containerPath"],
        ),
        (json!([good("/mnt", "/data")]), vec![], vec!["(0)/containerPath"]),
        (json!([read_only]), vec![], vec!["(0)/mode"]),
    ] {
        let app = app(&volumes(&given));
        let refused = |links_only| {
            let host_paths = HostPaths { allowed: vec!["/data".into()], links_only };
            let config = Config { host_paths, ..World::new().state.config };
            match support::check(&app, &config) {
                Ok(()) => Vec::new(),
                Err(ApiError::Invalid(details)) => {
                    details.into_iter().map(|detail| detail.path.replace("/container/volumes", "")).collect()
                }
                Err(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(refused(false), mounts, "{given}");
        assert_eq!(refused(true), links, "{given}");
    }
    let none = Config { host_paths: HostPaths::default(), ..World::new().state.config };
    let Err(ApiError::Invalid(details)) = support::check(&app(&volumes(&json!([good("d", "/data")]))), &none)
    else {
        panic!("accepted")
    };
    assert_eq!(details[0].path, "/container/volumes(0)/hostPath");
    assert!(details[0].errors[0].contains("clusterctl up --allow-host-path DIR"), "{details:?}");
}

#[test]
fn a_task_is_launched_with_its_volumes() {
    let mut world = World::new();
    let given = json!([{"containerPath": "in", "hostPath": "/data/in", "mode": "RO"},
        {"containerPath": "/mnt/out", "hostPath": "/data/out", "mode": "RW"}]);
    let created = world.ask(Request::Create(Box::new(app(&volumes(&given)))), false).unwrap();
    assert!(matches!(created, Ok(Answer::Created(..))), "{created:?}");
    world.settle();
    let volume = |at: &str, host: &str, read_only| Volume {
        container_path: at.to_owned(),
        host_path: host.to_owned(),
        read_only,
    };
    let expected = [volume("in", "/data/in", true), volume("/mnt/out", "/data/out", false)];
    assert_eq!(world.tasks[&only(&world)].info.volumes, expected);
}
