//! P8: deployments end, keep their bounds and go on after a crash at any point.

use std::collections::BTreeSet;

use api::marathon::AppUpdate;
use api::mesos::TaskState;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::world::{World, app, id};
use crate::core::{Answer, Request};

fn update(fields: &Value) -> Request {
    Request::Update { id: id("/web"), update: AppUpdate::read(fields).unwrap(), create: true }
}

fn definition(checked: bool) -> Value {
    let checks = if checked { json!([{"protocol": "TCP"}]) } else { json!([]) };
    let readiness = if checked { json!([{"portName": "default"}]) } else { json!([]) };
    json!({"id": "/web", "cmd": "serve", "cpus": 0.1, "mem": 16, "instances": 3, "healthChecks": checks,
        "readinessChecks": readiness})
}

/// What a user does in a day; each step waits for nothing.
fn day(world: &mut World, checked: bool) {
    let steps = [
        Request::Replace(Box::new(app(&definition(checked)))),
        update(&json!({"instances": 5})),
        update(&json!({"cmd": "serve better"})),
        update(&json!({"instances": 2})),
        Request::Restart(id("/web")),
    ];
    for request in steps {
        // A request whose answer was lost is sent again, as clients do.
        while world.ask(request.clone(), true).is_none() {
            world.round();
        }
        world.settle();
    }
}

fn is_good(world: &mut World, cmd: &str, instances: usize) {
    assert_eq!(world.running("/web"), instances);
    let entry = &world.state.apps[&id("/web")];
    let current = entry.app.clone().unwrap();
    assert_eq!(current.cmd.as_deref(), Some(cmd));
    assert!(entry.instances.values().all(|instance| !instance.is_outdated(&current)));
    let same = world.ask(update(&json!({"cmd": cmd, "instances": instances})), false);
    assert!(matches!(same, Some(Ok(Answer::Deployment { .. }))), "{same:?}");
    assert!(world.state.deployments.is_empty(), "a second plan is empty");
}

#[test]
fn a_day_without_a_crash_goes_well() {
    for checked in [false, true] {
        let mut world = World::new();
        day(&mut world, checked);
        is_good(&mut world, "serve better", 2);
    }
}

#[test]
fn after_a_crash_behind_any_commit_the_day_ends_the_same() {
    for checked in [false, true] {
        let mut calm = World::new();
        day(&mut calm, checked);
        for at in 1..=calm.commits {
            let mut world = World::new();
            world.crash_after = BTreeSet::from([at]);
            day(&mut world, checked);
            is_good(&mut world, "serve better", 2);
        }
    }
}

#[derive(Clone, Debug)]
enum Act {
    Scale(u32),
    Change(u32),
    Strategy(u32, u32),
    Restart,
    Delete,
    Fail(usize),
    Vanish(usize),
    Crash,
    Wait(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..7u32).prop_map(Act::Scale),
        3 => (0..9u32).prop_map(Act::Change),
        2 => (0..5u32, 0..5u32).prop_map(|(least, most)| Act::Strategy(least, most)),
        2 => Just(Act::Restart),
        1 => Just(Act::Delete),
        2 => (0..9usize).prop_map(Act::Fail),
        1 => (0..9usize).prop_map(Act::Vanish),
        2 => Just(Act::Crash),
        4 => (1..6usize).prop_map(Act::Wait),
    ]
}

fn perform(world: &mut World, act: &Act) {
    let nth = |world: &World, at: usize| world.keys().get(at).cloned();
    match act {
        Act::Scale(instances) => {
            drop(world.ask(update(&json!({"cmd": "serve", "instances": instances})), true));
        }
        Act::Change(to) => drop(world.ask(update(&json!({"cmd": format!("serve {to}")})), true)),
        Act::Strategy(least, most) => {
            let part = |part: &u32| f64::from(*part) / 4.0;
            let strategy = json!({"minimumHealthCapacity": part(least), "maximumOverCapacity": part(most)});
            drop(world.ask(update(&json!({"cmd": "serve", "upgradeStrategy": strategy})), true));
        }
        Act::Restart => drop(world.ask(Request::Restart(id("/web")), true)),
        Act::Delete => drop(world.ask(Request::Delete(id("/web")), true)),
        Act::Fail(at) => {
            if let Some(task) = nth(world, *at) {
                world.becomes(&task, TaskState::Failed);
            }
        }
        Act::Vanish(at) => {
            if let Some(task) = nth(world, *at) {
                world.becomes(&task, TaskState::Unreachable);
            }
        }
        Act::Crash => world.crash(),
        Act::Wait(rounds) => (0..*rounds).for_each(|_| world.round()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The bounds are checked with every commit, by the world.
    #[test]
    fn whatever_happens_deployments_end_within_their_bounds(
        checked: bool,
        acts in proptest::collection::vec(act(), 1..20),
        crashes in proptest::collection::btree_set(1..120usize, 0..6),
    ) {
        let mut world = World::new();
        world.crash_after = crashes;
        world.ask(Request::Create(Box::new(app(&definition(checked)))), true);
        for act in &acts {
            perform(&mut world, act);
        }
        // Agents that were silent come back.
        for task in world.keys() {
            if world.tasks[&task].state == TaskState::Unreachable {
                world.becomes(&task, TaskState::Running);
            }
        }
        world.settle();
        let wanted = world.state.apps.get(&id("/web")).and_then(|entry| entry.app.clone());
        let instances = wanted.map_or(0, |app| app.instances as usize);
        prop_assert_eq!(world.running("/web"), instances);
    }
}
