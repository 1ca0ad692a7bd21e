//! One test for each rule of §7 and §8, and for each promise to the master.

use std::collections::BTreeSet;
use std::time::Duration;

use api::marathon::{ActionKind, ApiError, AppUpdate, Condition, Timestamp, VersionInfo};
use api::mesos::{Call, Event, TaskKey, TaskState};
use serde_json::{Value, json};

use super::world::{World, app, id};
use crate::core::goal::bounds;
use crate::core::{Answer, Input, Left, Levels, Pair, Request, Which, backoff, plan};

pub(super) fn definition(more: &Value) -> Value {
    let mut all = json!({"id": "/web", "cmd": "serve", "cpus": 0.1, "mem": 16, "instances": 1});
    let fields = more.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(fields);
    all
}

pub(super) fn update(fields: &Value) -> Request {
    Request::Update { id: id("/web"), update: AppUpdate::read(fields).unwrap(), create: false }
}

pub(super) fn running(more: &Value) -> World {
    let mut world = World::new();
    world.create(&definition(more)).unwrap();
    world.settle();
    world
}

pub(super) fn only(world: &World) -> TaskKey {
    let keys = world.keys();
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys[0].clone()
}

fn kills(world: &World) -> usize {
    world.calls.iter().filter(|call| matches!(call, Call::Kill { .. })).count()
}

#[test]
fn the_delay_grows_with_every_failure_up_to_its_maximum() {
    let app =
        app(&definition(&json!({"backoffSeconds": 2, "backoffFactor": 3, "maxLaunchDelaySeconds": 20})));
    let delays: Vec<u64> = (1..=5).map(|failures| backoff::delay(&app, failures).as_secs()).collect();
    assert_eq!(delays, [2, 6, 18, 20, 20]);
    assert_eq!(backoff::delay(&app, u32::MAX), Duration::from_secs(20));
}

#[test]
fn bounds_of_a_rolling_restart() {
    for (instances, least, most, healthy, bounds_are) in [
        (4, 1.0, 1.0, 4, (4, 8)),
        (4, 0.5, 0.0, 4, (2, 4)),
        (3, 0.5, 0.5, 3, (2, 4)),
        (4, 1.0, 0.0, 4, (4, 5)),
        (4, 1.0, 0.0, 3, (4, 4)),
        (1, 0.0, 0.0, 1, (0, 1)),
        (0, 1.0, 1.0, 0, (0, 1)),
    ] {
        let strategy = json!({"minimumHealthCapacity": least, "maximumOverCapacity": most});
        let app = app(&definition(&json!({"instances": instances, "upgradeStrategy": strategy})));
        assert_eq!(bounds(&app, healthy), bounds_are, "{instances} {least} {most} {healthy}");
    }
}

#[test]
fn a_plan_says_what_is_done_to_an_app() {
    use ActionKind::{RestartApplication, ScaleApplication, StartApplication, StopApplication};
    let dated = |instances: u32, config: i64| {
        let at = Timestamp::from_millis;
        let mut app = app(&definition(&json!({"instances": instances})));
        app.version = Some(at(9));
        app.version_info = Some(VersionInfo { last_scaling_at: at(9), last_config_change_at: at(config) });
        app
    };
    let (one, two, other, none) = (dated(1, 1), dated(2, 1), dated(2, 2), dated(0, 1));
    for (old, new, kinds) in [
        (None, Some(&one), vec![StartApplication, ScaleApplication]),
        (None, Some(&none), vec![StartApplication]),
        (Some(&one), Some(&two), vec![ScaleApplication]),
        (Some(&one), Some(&other), vec![RestartApplication]),
        (Some(&one), Some(&one), vec![]),
        (Some(&one), None, vec![StopApplication]),
        (None, None, vec![]),
    ] {
        let steps = plan(&[Pair { old, new, left: Left::Nothing }], &Levels::default());
        let done: Vec<ActionKind> =
            steps.iter().flat_map(|step| &step.actions).map(|action| action.kind).collect();
        assert_eq!(done, kinds);
    }
}

#[test]
fn what_fails_waits_longer_each_time_and_then_starts_again() {
    let mut world = running(&json!({"backoffSeconds": 4, "backoffFactor": 2}));
    for rounds in [4, 8] {
        let task = only(&world);
        world.becomes(&task, TaskState::Failed);
        for _ in 0..rounds {
            world.round();
            assert_eq!(world.running("/web"), 0);
        }
        let queued = world.state.app_view(&id("/web")).unwrap().queued.unwrap();
        assert_eq!((queued.count, queued.not_before > Duration::ZERO), (1, true));
        world.settle();
        assert_eq!(world.running("/web"), 1);
    }
    let failure = world.state.app_view(&id("/web")).unwrap().failure.unwrap();
    assert_eq!((failure.state.as_str(), failure.message.as_str()), ("TASK_FAILED", "so it is"));
    // A minute of running without checks is a success.
    (0..61).for_each(|_| world.round());
    assert!(world.state.apps[&id("/web")].backoff.is_empty());
}

#[test]
fn the_delay_can_be_forgotten() {
    let mut world = running(&json!({"backoffSeconds": 100}));
    let task = only(&world);
    assert_eq!(
        world.ask(Request::ResetDelay(id("/web")), false),
        Some(Err(ApiError::NotQueued("/web".to_owned())))
    );
    world.becomes(&task, TaskState::Finished);
    world.round();
    world.round();
    assert_eq!(world.running("/web"), 0);
    assert_eq!(world.ask(Request::ResetDelay(id("/web")), false), Some(Ok(Answer::Done)));
    world.settle();
    assert_eq!(world.running("/web"), 1);
}

#[test]
fn an_unhealthy_instance_is_ended_and_replaced_where_this_framework_decides() {
    for (check, ended) in [
        (json!({"protocol": "HTTP", "path": "/health"}), true),
        (json!({"protocol": "TCP", "maxConsecutiveFailures": 0}), false),
        (json!({"protocol": "MESOS_HTTP"}), false),
        (json!({"protocol": "COMMAND", "command": {"value": "true"}}), false),
    ] {
        let mut world = running(&json!({"healthChecks": [check]}));
        let before = only(&world);
        world.alive = false;
        (0..4).for_each(|_| world.round());
        world.alive = true;
        world.settle();
        assert_eq!(only(&world) != before, ended, "{check}");
        assert_eq!(world.names().contains(&"unhealthy_instance_kill_event"), ended);
        assert!(world.names().contains(&"failed_health_check_event"));
        assert!(world.names().contains(&"instance_health_changed_event"));
    }
}

#[test]
fn an_unreachable_instance_is_replaced_or_waited_for_as_its_strategy_says() {
    for (strategy, rounds, instances, back) in [
        (json!({"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0}), 5, 2, 1),
        (json!("disabled"), 50, 1, 1),
        (json!({"inactiveAfterSeconds": 10, "expungeAfterSeconds": 1000}), 5, 1, 1),
        (json!({"inactiveAfterSeconds": 10, "expungeAfterSeconds": 1000}), 20, 2, 1),
    ] {
        let mut world = running(&json!({"unreachableStrategy": strategy}));
        let lost = only(&world);
        world.becomes(&lost, TaskState::Unreachable);
        (0..rounds).for_each(|_| world.round());
        assert_eq!(world.running("/web"), instances, "{strategy}");
        world.becomes(&lost, TaskState::Running);
        world.settle();
        assert_eq!(world.running("/web"), back, "{strategy}");
    }
}

#[test]
fn a_task_that_no_record_knows_is_ended() {
    let mut world = running(&json!({}));
    let orphan: TaskKey = "old.instance-3f0c8a52-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1".parse().unwrap();
    let mut info = world.tasks[&only(&world)].info.clone();
    info.id = orphan.clone();
    world.tasks.insert(orphan.clone(), super::world::Task { info, state: TaskState::Staging });
    world.settle();
    assert_eq!(world.running("/old"), 0);
    assert!(world.names().contains(&"unknown_instance_terminated_event"));
}

#[test]
fn what_was_launched_is_found_again_and_not_launched_twice() {
    let mut world = running(&json!({"instances": 3}));
    let before = world.keys();
    world.crash();
    let view = world.state.app_view(&id("/web")).unwrap();
    assert_eq!(view.counts.tasks_staged, 3, "present, and not known to run");
    world.settle();
    assert_eq!(world.keys(), before);
    assert_eq!(world.state.app_view(&id("/web")).unwrap().counts.tasks_running, 3);
}

#[test]
fn instances_on_agents_that_are_not_back_count_as_present_after_a_failover() {
    let mut world = running(&json!({"instances": 3}));
    let before = world.keys();
    world.crash();
    // For ten minutes the master knows nothing of them and says nothing, while others have room.
    for _ in 0..600 {
        world.millis += 1_000;
        world.events.clear();
        world.offer();
        let offers: Vec<_> = world.events.drain(..).collect();
        offers.into_iter().for_each(|offer| world.input(Input::Event(offer)));
        world.input(Input::Tick);
    }
    assert_eq!(world.keys(), before, "nothing was launched in their place, and none was killed");
    let view = world.state.app_view(&id("/web")).unwrap();
    assert_eq!((view.counts.tasks_staged, view.queued.is_none()), (3, true));
    world.settle();
    assert_eq!((world.keys(), world.running("/web")), (before, 3));
}

#[test]
fn what_is_unconfirmed_is_asked_about_with_longer_and_longer_pauses() {
    let mut world = running(&json!({}));
    world.agents.clear();
    world.crash();
    // The agent is not back yet: the master says nothing.
    world.state.apps.get_mut(&id("/web")).unwrap().instances.values_mut().for_each(|i| i.confirmed = false);
    let asked = |world: &World| {
        world.calls.iter().filter(|call| matches!(call, Call::Reconcile(tasks) if !tasks.is_empty())).count()
    };
    let mut seconds = Vec::new();
    for second in 0..70_u32 {
        world.millis += 1_000;
        let before = asked(&world);
        let now = world.now();
        let step = crate::core::step(&mut world.state, Input::Tick, now);
        let more = step
            .iter()
            .filter(|effect| matches!(effect, crate::core::Effect::Call(Call::Reconcile(_))))
            .count();
        assert_eq!(asked(&world), before);
        if more > 0 {
            seconds.push(second + 1);
        }
    }
    assert_eq!(seconds, [1, 3, 7, 15, 31, 61]);
}

#[test]
fn frozen_nothing_is_replaced_but_all_is_recorded() {
    let mut world = running(&json!({"instances": 2}));
    world.input(Input::Freeze);
    for task in world.keys() {
        world.becomes(&task, TaskState::Killed);
    }
    (0..5).for_each(|_| world.round());
    assert_eq!(world.running("/web"), 0);
    assert!(world.store.keys().all(|key| !key.as_str().starts_with("services/instances")));
    world.crash();
    world.settle();
    assert_eq!(world.running("/web"), 2, "the next leader starts them again");
}

#[test]
fn an_app_that_is_deployed_is_locked_unless_forced() {
    let mut world = World::new();
    world.create(&definition(&json!({}))).unwrap();
    let deployment = *world.state.deployments.keys().next().unwrap();
    let scale = update(&json!({"instances": 2}));
    assert_eq!(world.ask(scale.clone(), false), Some(Err(ApiError::Locked(vec![deployment]))));
    assert!(matches!(world.ask(scale, true), Some(Ok(_))));
    assert!(world.names().contains(&"deployment_failed"));
    world.settle();
    assert_eq!(world.running("/web"), 2);
    assert!(world.names().contains(&"deployment_success"));
}

#[test]
fn a_scaled_kill_shrinks_the_app_and_a_plain_one_does_not() {
    for (scale, left) in [(false, 3), (true, 2)] {
        let mut world = running(&json!({"instances": 3}));
        let task: api::marathon::TaskId = world.keys()[1].as_str().parse().unwrap();
        let which = Which::One(task.clone());
        world.ask(Request::Kill { app: Some(id("/web")), which, scale }, false).unwrap().unwrap();
        world.settle();
        assert_eq!(world.running("/web"), left);
        assert!(world.keys().iter().all(|key| key.as_str() != task.to_string()));
        assert_eq!(kills(&world), 1);
    }
}

#[test]
fn a_cancelled_deployment_restores_what_was_before() {
    let mut world = running(&json!({"instances": 2}));
    let before = world.keys();
    world.ask(update(&json!({"cmd": "other", "instances": 4})), false).unwrap().unwrap();
    world.round();
    let deployment = *world.state.deployments.keys().next().unwrap();
    let answer = world.ask(Request::Cancel { id: deployment, drop: false }, true).unwrap();
    assert!(matches!(answer, Ok(Answer::Deployment { .. })), "{answer:?}");
    world.settle();
    assert_eq!(world.keys(), before, "those that were there stay");
    assert_eq!(world.state.apps[&id("/web")].app.as_ref().unwrap().cmd.as_deref(), Some("serve"));
}

#[test]
fn an_app_goes_back_to_an_earlier_version() {
    let mut world = running(&json!({}));
    let first = world.state.apps[&id("/web")].app.as_ref().unwrap().version.unwrap();
    world.ask(update(&json!({"cmd": "other"})), false).unwrap().unwrap();
    world.settle();
    world.ask(update(&json!({"version": first.to_string()})), false).unwrap().unwrap();
    world.settle();
    let app = world.state.apps[&id("/web")].app.clone().unwrap();
    assert_eq!(app.cmd.as_deref(), Some("serve"));
    assert!(app.version > Some(first));
    let missing = Timestamp::from_millis(5);
    let refused = world.ask(update(&json!({"version": missing.to_string()})), false);
    assert_eq!(refused, Some(Err(ApiError::no_app_version(&id("/web"), missing))));
}

#[test]
fn the_end_of_the_subscription_is_survived() {
    let mut world = running(&json!({}));
    world.input(Input::Disconnected);
    let calls = world.calls.len();
    world.ask(update(&json!({"instances": 2})), false).unwrap().unwrap();
    assert_eq!(world.calls.len(), calls, "nobody is there to be called");
    let framework = world.state.framework().cloned().unwrap();
    world.input(Input::Event(Event::Subscribed { framework, master: "M2".to_owned() }));
    world.settle();
    assert_eq!(world.running("/web"), 2);
    let gone = world.state.instances().any(|instance| instance.condition == Condition::Gone);
    assert!(!gone);
}

#[test]
fn large_apps_take_as_many_commits_as_they_need() {
    let strategy = json!({"minimumHealthCapacity": 0, "maximumOverCapacity": 0});
    let mut world = running(&json!({"cpus": 0.01, "mem": 1, "instances": 200, "upgradeStrategy": strategy}));
    assert_eq!(world.running("/web"), 200);
    let before = world.keys();
    let which = Which::All { host: None };
    world.ask(Request::Kill { app: Some(id("/web")), which, scale: false }, false).unwrap().unwrap();
    world.settle();
    assert!(world.keys().iter().all(|key| !before.contains(key)));
    world.ask(Request::Restart(id("/web")), false).unwrap().unwrap();
    world.settle();
    assert_eq!(world.running("/web"), 200);
    world.ask(Request::Delete(id("/web")), true).unwrap().unwrap();
    world.settle();
    assert_eq!(world.running("/web"), 0);
    assert_eq!(world.kinds(), BTreeSet::from(["framework"]));
}

#[test]
fn an_app_that_comes_back_while_the_old_one_ends_does_not_take_its_instances_over() {
    let mut world = running(&json!({"cpus": 0.01, "mem": 1, "instances": 100}));
    world.ask(Request::Delete(id("/web")), true).unwrap().unwrap();
    let again = app(&definition(&json!({"cmd": "other", "instances": 2})));
    let locked = world.ask(Request::Create(Box::new(again.clone())), false);
    assert!(matches!(locked, Some(Err(ApiError::Locked(_)))), "{locked:?}");
    world.ask(Request::Create(Box::new(again)), true).unwrap().unwrap();
    world.settle();
    assert_eq!(world.running("/web"), 2);
    let entry = &world.state.apps[&id("/web")];
    assert!(entry.instances.values().all(|instance| instance.spec.cmd.as_deref() == Some("other")));
}

#[test]
fn old_versions_go_when_nothing_needs_them() {
    let mut world = running(&json!({}));
    for at in 0..9 {
        world.ask(update(&json!({"cmd": format!("serve {at}")})), false).unwrap().unwrap();
        world.settle();
    }
    let versions = world.store.keys().filter(|key| key.as_str().starts_with("services/versions"));
    assert_eq!((versions.count(), world.state.apps[&id("/web")].versions.len()), (5, 5));
}

#[test]
fn many_instances_are_launched_from_one_offer_and_written_down_in_many_commits() {
    let mut world = World::new();
    world
        .create(&definition(&json!({"instances": 250, "cpus": 0.01, "mem": 1, "portDefinitions": []})))
        .unwrap();
    let commits = world.commits;
    world.round();
    assert_eq!(world.keys().len(), 250, "at once");
    assert!((3..=5).contains(&(world.commits - commits)), "{}", world.commits - commits);
    world.settle();
    let mut indexes: Vec<u32> = world.state.instances().map(|instance| instance.index).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, (0..250).collect::<Vec<_>>());
    world.ask(Request::Delete(id("/web")), false).unwrap().unwrap();
    world.settle();
    assert_eq!((world.keys().len(), world.kinds()), (0, BTreeSet::from(["framework"])));
}

#[test]
fn time_concerns_only_apps_that_something_of_is_waited_for() {
    let patient = json!({"inactiveAfterSeconds": 300, "expungeAfterSeconds": 600});
    let mut world = running(&json!({"instances": 2, "unreachableStrategy": patient}));
    world.round();
    assert_eq!(world.state.timed().count(), 0);
    let task = world.keys()[0].clone();
    world.becomes(&task, TaskState::Unreachable);
    world.deliver();
    world.input(Input::Tick);
    assert_eq!(world.state.timed().count(), 1);
    world.becomes(&task, TaskState::Running);
    world.deliver();
    world.input(Input::Tick);
    assert_eq!(world.state.timed().count(), 0);
}
