//! P8 for groups: after a crash behind any commit a change has been made or not, and the day ends the same.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::groups::{app, group, put, shop};
use super::world::World;
use crate::core::Request;

/// All that users have defined.
fn defined(world: &World) -> Vec<String> {
    let apps = world.state.apps_in(&group("/"));
    let apps = apps.map(|(id, app)| format!("{id} {:?} {}", app.cmd, app.instances));
    let groups = world.state.groups.iter().map(|(id, group)| format!("{id} {:?}", group.dependencies));
    apps.chain(groups).collect()
}

/// How many records of each kind there are. A crash between a launch and its record's commit leaves a failure, which is one.
fn stored(world: &World) -> Vec<(String, usize)> {
    let mut kinds: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    for key in world.store.keys() {
        *kinds.entry(key.segments().nth(1).unwrap().to_owned()).or_insert(0) += 1;
    }
    kinds.remove("failures");
    kinds.into_iter().collect()
}

/// Makes the requests one after the other; each is sent again when its answer was lost. `states` are what may be seen
/// before and after each of them; empty, they are filled.
fn day(world: &mut World, requests: &[Request], states: &mut Vec<Vec<String>>) {
    let calm = states.is_empty();
    if calm {
        states.push(defined(world));
    }
    for (at, request) in requests.iter().enumerate() {
        while world.ask(request.clone(), true).is_none() {
            world.crash();
            assert!(states[at..=at + 1].contains(&defined(world)), "a part of request {at} is to be seen");
        }
        if !calm {
            assert_eq!(defined(world), states[at + 1], "request {at}");
        }
        world.settle();
        if calm {
            states.push(defined(world));
        }
        assert_eq!(defined(world), states[at + 1], "request {at}, when all is done");
    }
}

fn always_the_same(requests: &[Request]) -> usize {
    let mut states = Vec::new();
    let mut calm = World::new();
    day(&mut calm, requests, &mut states);
    for at in 1..=calm.commits {
        let mut world = World::new();
        world.crash_after = BTreeSet::from([at]);
        day(&mut world, requests, &mut states);
        assert_eq!(stored(&world), stored(&calm), "crashed after commit {at}");
        assert_eq!(world.keys().len(), calm.keys().len());
        let entries = world.state.apps.values();
        let outdated = entries.flat_map(|entry| {
            let app = entry.app.clone();
            entry.instances.values().filter(move |i| app.as_ref().is_none_or(|app| i.is_outdated(app)))
        });
        assert_eq!(outdated.count(), 0, "crashed after commit {at}");
    }
    calm.commits
}

#[test]
fn a_group_with_dependencies() {
    let changed = json!({"dependencies": ["/db"], "apps": [app("web", &json!({"cmd": "other", "instances": 2}))],
        "groups": [{"id": "back", "apps": [app("user", &json!({"cmd": "other"})),
            app("fresh", &json!({"dependencies": ["../user"]}))]}, {"id": "empty"}]});
    always_the_same(&[put("/", &shop()), put("/shop", &changed), Request::DeleteGroup(group("/shop"))]);
}

fn many(cmd: &str, count: usize) -> Value {
    let apps = |from: usize| -> Vec<Value> {
        let one = |at: usize| {
            let instances = usize::from(at.is_multiple_of(97));
            app(
                &format!("a{at}"),
                &json!({"cmd": cmd, "instances": instances, "env": {"LONG": "x".repeat(4_000)}}),
            )
        };
        (from..count).step_by(2).map(one).collect()
    };
    json!({"groups": [{"id": "first", "apps": apps(0)},
        {"id": "then", "dependencies": ["/first"], "apps": apps(1)}]})
}

#[test]
fn a_change_of_several_hundred_apps() {
    let requests =
        [put("/", &many("serve", 400)), put("/", &many("other", 380)), Request::DeleteGroup(group("/"))];
    let commits = always_the_same(&requests);
    assert!(commits > 25, "{commits} commits: the changes do not fit into one");
}
