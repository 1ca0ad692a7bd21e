//! Whom tasks work with, and how often they are told.

use std::collections::BTreeMap;

use api::marathon::Condition;
use api::mesos::{Call, Event, TaskKey, TaskState};
use serde_json::{Value, json};

use super::rules::definition;
use super::world::{World, id};
use crate::core::{Input, Request};

/// Many seconds, so that whatever got lost is sent again.
const LONG: usize = 700;

fn member(id: &str, group: &str, instances: u32) -> Value {
    definition(&json!({
        "id": id, "instances": instances, "labels": {"CLUSTERCTL_PEERS": group},
        "portDefinitions": [{"port": 0}, {"port": 0}], "backoffSeconds": 1, "backoffFactor": 1,
    }))
}

fn list(world: &World, task: &TaskKey) -> Value {
    serde_json::from_str(&world.tasks[task].info.peers.as_ref().unwrap().json).unwrap()
}

/// What each running task of a group should be told: names and states.
fn names(list: &Value) -> Vec<(String, String)> {
    let of = |member: &Value, key: &str| member[key].as_str().unwrap().to_owned();
    let members = list["members"].as_array().unwrap().iter();
    members.map(|member| (of(member, "name"), of(member, "state"))).collect()
}

fn sent(world: &World) -> usize {
    world.calls.iter().filter(|call| matches!(call, Call::Peers { .. })).count()
}

/// Every task of a group holds the same list, which is that of what is there.
fn check(world: &World) {
    let mut groups: BTreeMap<String, Vec<&TaskKey>> = BTreeMap::new();
    for (key, task) in &world.tasks {
        if let Some(group) = task.info.labels.get("CLUSTERCTL_PEERS") {
            groups.entry(group.clone()).or_default().push(key);
        }
    }
    for (group, tasks) in groups {
        let mut there: Vec<String> = tasks.iter().map(ToString::to_string).collect();
        there.sort();
        for task in tasks {
            let list = list(world, task);
            assert_eq!(list["peers"], group.as_str());
            let members = list["members"].as_array().unwrap();
            let mut listed: Vec<String> =
                members.iter().map(|member| member["task"].as_str().unwrap().to_owned()).collect();
            listed.sort();
            assert_eq!(listed, there, "{task}");
            assert!(members.iter().all(|member| member["state"] == "running"), "{list}");
            let order: Vec<_> = members.iter().map(|m| (m["app"].as_str(), m["index"].as_u64())).collect();
            assert!(order.is_sorted(), "{order:?}");
        }
    }
}

#[test]
fn apps_with_the_same_label_are_told_of_each_other_before_they_run_and_after_every_change() {
    let mut world = World::new();
    world.create(&member("/spark/master", "/spark", 1)).unwrap();
    world.settle();
    world.create(&member("/spark/worker", "/spark", 2)).unwrap();
    world.create(&member("/kafka", "/kafka", 1)).unwrap();
    world.create(&definition(&json!({"id": "/web"}))).unwrap();
    world.round();
    let worker = world.keys().into_iter().find(|key| key.as_str().contains("worker")).unwrap();
    // It travels in the launch, with all that are launched together.
    let launched = world.calls.iter().rev().find_map(|call| match call {
        Call::Accept { tasks, .. } => tasks.iter().find(|task| task.id == worker)?.peers.clone(),
        _ => None,
    });
    let launched: Value = serde_json::from_str(&launched.unwrap().json).unwrap();
    let expected = [("master-0", "running"), ("worker-0", "staging"), ("worker-1", "staging")];
    assert_eq!(names(&launched), expected.map(|(name, state)| (name.to_owned(), state.to_owned())));
    (0..20).for_each(|_| world.round());
    check(&world);
    assert_eq!(names(&list(&world, &worker)).len(), 3, "not those of other groups");
    let peers = world.tasks[&worker].info.peers.clone().unwrap();
    let member = &list(&world, &worker)["members"][2];
    let ports = member["ports"].as_array().unwrap();
    let line = format!("/spark/worker\t1\tworker-1\t127.0.0.2\t{}\t{}", ports[0], ports[1]);
    assert_eq!(peers.tsv.lines().nth(2), Some(line.as_str()));
    let web = world.tasks.iter().find(|(key, _)| key.as_str().starts_with("web")).unwrap();
    assert!(web.1.info.peers.is_none());
    assert_eq!(
        world.tasks[&worker].info.command.env["CLUSTERCTL_INSTANCE_NAME"].expose().get(..7),
        Some("worker-")
    );

    // One ends and is replaced: the others hear of its successor.
    world.becomes(&worker, TaskState::Failed);
    (0..20).for_each(|_| world.round());
    check(&world);
    // One app goes.
    world.ask(Request::Delete(id("/spark/worker")), false).unwrap().unwrap();
    world.settle();
    (0..20).for_each(|_| world.round());
    check(&world);
    let before = sent(&world);
    (0..20).for_each(|_| world.round());
    assert_eq!(sent(&world), before, "nothing is said where nothing changes");
}

#[test]
fn a_scaling_is_not_told_instance_by_instance() {
    let mut world = World::new();
    world.create(&member("/web", "x", 30)).unwrap();
    world.settle();
    (0..30).for_each(|_| world.round());
    check(&world);
    // Once or twice each: that all run, and what came late.
    assert!(sent(&world) <= 60, "{}", sent(&world));
}

#[test]
fn what_is_lost_is_sent_again_and_less_and_less_often() {
    let mut world = World::new();
    world.create(&member("/web", "x", 2)).unwrap();
    world.settle();
    (0..10).for_each(|_| world.round());
    world.loses_messages = true;
    let before = sent(&world);
    let victim = world.keys()[0].clone();
    world.becomes(&victim, TaskState::Failed);
    (0..60).for_each(|_| world.round());
    let tries = sent(&world) - before;
    assert!((3..=14).contains(&tries), "{tries}");
    world.loses_messages = false;
    // The agent says what it holds: it is behind, and there.
    let behind: Vec<_> = world.tasks.values().map(|task| task.info.clone()).collect();
    for info in behind {
        let version = info.peers.as_ref().unwrap().version;
        world.events.push_back(Event::PeersHeld { task: info.id, version });
    }
    world.deliver();
    (0..3).for_each(|_| world.round());
    check(&world);
}

#[test]
fn a_new_leader_says_nothing_to_those_who_know() {
    let mut world = World::new();
    world.create(&member("/web", "x", 3)).unwrap();
    world.settle();
    (0..10).for_each(|_| world.round());
    let before = sent(&world);
    world.crash();
    (0..20).for_each(|_| world.round());
    assert_eq!(sent(&world), before);
    // One was away when another ended, and is told when its agent says what it has.
    world.loses_messages = true;
    let victim = world.keys()[0].clone();
    world.becomes(&victim, TaskState::Failed);
    world.settle();
    world.crash();
    world.loses_messages = false;
    (0..20).for_each(|_| world.round());
    check(&world);
}

#[test]
fn who_is_away_is_shown_as_unreachable_and_sent_nothing() {
    let mut world = World::new();
    let mut app = member("/web", "x", 2);
    app["unreachableStrategy"] = json!({"inactiveAfterSeconds": 300, "expungeAfterSeconds": 600});
    world.create(&app).unwrap();
    world.settle();
    (0..10).for_each(|_| world.round());
    let [away, here] = [world.keys()[0].clone(), world.keys()[1].clone()];
    let before = world.calls.len();
    world.lose(&away);
    (0..5).for_each(|_| world.round());
    let instance = world.state.instances().find(|instance| instance.key == away).unwrap();
    assert_eq!(instance.condition, Condition::Unreachable);
    let mut states: Vec<_> = names(&list(&world, &here)).into_iter().map(|(_, state)| state).collect();
    states.sort();
    assert_eq!(states, ["running", "unreachable"]);
    let told = |call: &Call| matches!(call, Call::Peers { task, .. } if *task == away);
    assert!(!world.calls[before..].iter().any(told));
}

/// Whatever happens in whatever order, and whatever is lost: in the end everyone knows everyone.
#[test]
fn all_converge_by_chance() {
    let mut random = crate::core::state::Random::new(7);
    for _ in 0..12 {
        let mut world = World::new();
        for (app, group) in [("/a", "x"), ("/b/a", "x"), ("/c", "y")] {
            world.create(&member(app, group, 1)).unwrap();
        }
        for _ in 0..25 {
            match random.next() % 7 {
                0 => world.loses_messages = !world.loses_messages,
                1 => world.crash(),
                2 => {
                    let keys = world.keys();
                    let at = usize::try_from(random.next()).unwrap_or(0) % keys.len().max(1);
                    if let Some(key) = keys.get(at) {
                        world.becomes(key, TaskState::Failed);
                    }
                }
                3 => {
                    let app = ["/a", "/b/a", "/c"][usize::try_from(random.next() % 3).unwrap_or(0)];
                    let update = json!({"instances": random.next() % 5});
                    let update = api::marathon::AppUpdate::read(&update).unwrap();
                    let request = Request::Update { id: id(app), update, create: false };
                    let _ = world.ask(request, true);
                }
                4 => {
                    world.input(Input::Disconnected);
                    world.subscribe();
                }
                _ => {}
            }
            world.round();
        }
        world.loses_messages = false;
        world.settle();
        (0..LONG).for_each(|_| world.round());
        check(&world);
    }
}
