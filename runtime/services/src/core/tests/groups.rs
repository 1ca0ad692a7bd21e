//! Groups and changes of several apps: what they do, refuse and remember.

use api::marathon::{
    ActionKind, ApiError, AppEdit, AppUpdate, GroupChange, GroupId, GroupUpdate, Timestamp, Uuid,
};
use serde_json::{Value, json};

use super::world::{World, id};
use crate::core::{Answer, Past, Request, Which};

pub(super) fn app(name: &str, more: &Value) -> Value {
    let mut all = json!({"id": name, "cmd": "serve", "cpus": 0.1, "mem": 1});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

pub(super) fn group(text: &str) -> GroupId {
    text.parse().unwrap()
}

pub(super) fn put(base: &str, body: &Value) -> Request {
    let change = GroupChange::read(body, &group(base)).unwrap_or_else(|error| panic!("{}", error.body()));
    Request::ChangeGroup { change: Box::new(change), dry_run: false }
}

fn post(body: &Value) -> Request {
    Request::CreateGroup(Box::new(GroupUpdate::create(body, &group("/")).unwrap()))
}

fn array(body: &Value, create: bool) -> Request {
    Request::UpdateAll { edits: AppEdit::read_all(body, true).unwrap(), create }
}

fn made(world: &mut World, request: Request) -> (Timestamp, Uuid) {
    match world.ask(request, false).unwrap() {
        Ok(Answer::Deployment { result, .. }) => (result.version, result.deployment_id),
        other => panic!("{other:?}"),
    }
}

fn refused(world: &mut World, request: Request) -> ApiError {
    let store = world.store.clone();
    let error = world.ask(request, false).unwrap().unwrap_err();
    assert_eq!(world.store, store, "nothing is changed");
    error
}

fn apps(world: &World) -> Vec<String> {
    world.state.apps_in(&group("/")).map(|(id, app)| format!("{id} {}", app.instances)).collect()
}

fn groups(world: &World) -> Vec<&str> {
    world.state.groups.keys().map(GroupId::as_str).collect()
}

/// `Scale:/a,/b Restart:/c`, a step in each place.
fn steps(world: &World) -> Vec<String> {
    let all = world.state.deployment_views();
    let name = |kind: ActionKind| format!("{kind:?}").replace("Application", "");
    let step = |step: &api::marathon::DeploymentStep| {
        let action =
            |action: &api::marathon::DeploymentAction| format!("{} {}", name(action.action), action.app);
        step.actions.iter().map(action).collect::<Vec<_>>().join(", ")
    };
    all.iter().flat_map(|deployment| deployment.steps.iter().map(step)).collect()
}

/// A shop: web depends on the group of backends, those on each other, all of it on a database elsewhere.
pub(super) fn shop() -> Value {
    json!({"groups": [
        {"id": "db", "apps": [app("main", &json!({"instances": 2}))]},
        {"id": "shop", "dependencies": ["/db"], "apps": [app("web", &json!({"dependencies": ["../back"]}))],
            "groups": [{"id": "back", "apps": [app("cart", &json!({"dependencies": ["../user"]})),
                app("user", &json!({})), app("mail", &json!({"dependencies": ["/nowhere"]}))]}]}
    ]})
}

pub(super) fn running() -> World {
    let mut world = World::new();
    made(&mut world, put("/", &shop()));
    world.settle();
    world
}

#[test]
fn a_group_comes_up_in_the_order_of_its_dependencies() {
    let mut world = World::new();
    made(&mut world, put("/", &shop()));
    let order = [
        "Start /db/main, Start /shop/back/cart, Start /shop/back/mail, Start /shop/back/user, Start /shop/web",
        "Scale /db/main",
        "Scale /shop/back/mail, Scale /shop/back/user",
        "Scale /shop/back/cart",
        "Scale /shop/web",
    ];
    assert_eq!(steps(&world), order);
    // Nothing of a later step runs before the earlier one is done.
    let names = ["/db/main", "/shop/back/user", "/shop/back/cart", "/shop/web"];
    let mut seen = Vec::new();
    for _ in 0..60 {
        world.round();
        for name in names {
            if world.running(name) > 0 && !seen.contains(&name) {
                seen.push(name);
            }
        }
    }
    assert_eq!(seen, names);
    assert!(world.state.deployments.is_empty());
    assert_eq!(groups(&world), ["/", "/db", "/shop", "/shop/back"]);
    let delete = Request::DeleteGroup(group("/shop"));
    made(&mut world, delete);
    let order = ["Stop /shop/web", "Stop /shop/back/cart", "Stop /shop/back/mail, Stop /shop/back/user"];
    assert_eq!(steps(&world), order);
    world.round();
    assert_eq!(world.running("/shop/back/user"), 1, "what others depend on runs until they are gone");
    world.settle();
    assert_eq!((groups(&world), apps(&world)), (vec!["/", "/db"], vec!["/db/main 2".to_owned()]));
}

#[test]
fn what_a_body_speaks_of_is_replaced_and_the_rest_stays() {
    let mut world = running();
    let body = json!({"apps": [app("web", &json!({"instances": 3})), app("new", &json!({}))]});
    made(&mut world, put("/shop", &body));
    assert_eq!(steps(&world), ["Start /shop/new", "Scale /shop/new, Restart /shop/web"]);
    world.settle();
    let body = json!({"groups": [{"id": "other"}]});
    made(&mut world, put("/shop", &body));
    world.settle();
    assert_eq!(groups(&world), ["/", "/db", "/shop", "/shop/other"]);
    assert_eq!(apps(&world), ["/db/main 2", "/shop/new 1", "/shop/web 3"]);
    let shop = &world.state.groups[&group("/shop")];
    assert_eq!(shop.dependencies[0].as_str(), "/db");
    made(&mut world, put("/shop", &json!({"dependencies": []})));
    assert!(world.state.groups[&group("/shop")].dependencies.is_empty());
    assert!(world.state.deployments.is_empty(), "no instance changes");
    made(&mut world, Request::DeleteGroup(group("/")));
    world.settle();
    assert_eq!((groups(&world), world.keys()), (vec!["/"], vec![]));
}

#[test]
fn groups_stay_when_they_are_empty_and_come_with_what_is_in_them() {
    let mut world = World::new();
    made(&mut world, post(&json!({"id": "/a/b/c"})));
    world.create(&app("/x/y", &json!({}))).unwrap();
    world.settle();
    made(&mut world, Request::Delete(id("/x/y")));
    world.settle();
    assert_eq!(groups(&world), ["/", "/a", "/a/b", "/a/b/c", "/x"]);
    world.crash();
    assert_eq!(groups(&world), ["/", "/a", "/a/b", "/a/b/c", "/x"]);
    let root = world.state.root_version();
    assert_eq!(world.state.groups[&group("/x")].version, root);
    assert!(world.state.groups[&group("/a")].version < root);
    world.settle();
    assert_eq!(refused(&mut world, post(&json!({"id": "/a/b"}))), ApiError::GroupExists(group("/a/b")));
    world.create(&app("/app", &json!({"instances": 0}))).unwrap();
    world.settle();
    assert_eq!(refused(&mut world, post(&json!({"id": "/app"}))), ApiError::AppExists(id("/app")));
}

#[test]
fn ids_that_apps_and_groups_would_share_are_refused() {
    let mut world = running();
    for (request, place) in [
        (Request::Create(Box::new(super::world::app(&app("/shop", &json!({}))))), "/id"),
        (Request::Create(Box::new(super::world::app(&app("/shop/web/x", &json!({}))))), "/id"),
        (put("/", &json!({"apps": [app("db", &json!({}))]})), "/apps(0)/id"),
        (array(&json!([app("/ok", &json!({})), app("/db/main/x", &json!({}))]), true), "/(1)/id"),
    ] {
        let ApiError::Invalid(details) = refused(&mut world, request) else { panic!("{place}") };
        assert_eq!(details[0].path, place);
    }
}

#[test]
fn circles_are_refused_by_name() {
    let mut world = running();
    for (request, circle) in [
        (put("/db", &json!({"dependencies": ["/shop"]})), ["/db", "/db/main", "/shop"]),
        (
            put(
                "/",
                &json!({"apps": [app("a", &json!({"dependencies": ["/b"]})),
                app("b", &json!({"dependencies": ["/c"]})), app("c", &json!({"dependencies": ["/a"]}))]}),
            ),
            ["/a", "/b", "/c"],
        ),
        (
            array(&json!([{"id": "/shop/back/user", "dependencies": ["/shop/web"]}]), false),
            ["/shop/back", "/shop/back/user", "/shop/web"],
        ),
    ] {
        let ApiError::Invalid(details) = refused(&mut world, request) else { panic!("{circle:?}") };
        assert_eq!(details[0].path, "/dependencies");
        let names: Vec<&str> =
            details[0].errors[0].strip_prefix("has a cycle: ").unwrap().split(" -> ").collect();
        // Where it begins does not matter.
        assert!(circle.iter().all(|name| names.contains(name)), "{names:?}");
        assert_eq!(names.first(), names.last());
    }
}

#[test]
fn only_what_changes_is_locked_and_force_cancels_all_that_is_in_the_way() {
    let mut world = running();
    let (_, web) = made(&mut world, array(&json!([{"id": "/shop/web", "cmd": "other"}]), false));
    let (_, cart) = made(&mut world, array(&json!([{"id": "/shop/back/cart", "cmd": "other"}]), false));
    let both = |cmd: &str| json!([{"id": "/shop/web", "cmd": cmd}, {"id": "/shop/back/cart", "cmd": cmd}]);
    let mut locks = vec![web, cart];
    locks.sort();
    let ApiError::Locked(mut held) = refused(&mut world, array(&both("third"), false)) else { panic!() };
    held.sort();
    assert_eq!(held, locks);
    // The same again, and another app of the same group.
    made(&mut world, array(&both("other"), false));
    made(&mut world, array(&json!([{"id": "/shop/back/mail", "instances": 2}]), false));
    assert!(matches!(world.ask(array(&both("third"), false), true), Some(Ok(_))));
    assert!(!world.state.deployments.contains_key(&web) && !world.state.deployments.contains_key(&cart));
    world.settle();
    let failed = world.names().into_iter().filter(|name| *name == "deployment_failed").count();
    assert_eq!(failed, 2);
    assert!(world.names().contains(&"group_change_failed"));
    let cmd = world.state.apps[&id("/shop/web")].app.as_ref().unwrap().cmd.clone();
    assert_eq!(cmd.as_deref(), Some("third"));
}

#[test]
fn several_apps_are_changed_all_or_none_in_one_deployment() {
    let mut world = running();
    let missing = array(&json!([{"id": "/shop/web", "instances": 2}, {"id": "/none", "cmd": "x"}]), false);
    assert_eq!(refused(&mut world, missing), ApiError::no_app(&id("/none")));
    let wrong = array(&json!([{"id": "/shop/web", "instances": 2}, {"id": "/db/main", "cpus": 0}]), true);
    let ApiError::Invalid(details) = refused(&mut world, wrong) else { panic!() };
    assert_eq!(details[0].path, "/(1)/cpus");
    let secret = array(&json!([app("/x", &json!({"tty": true}))]), true);
    let ApiError::Invalid(details) = refused(&mut world, secret) else { panic!() };
    assert_eq!(details[0].path, "/(0)/tty");
    let good = json!([{"id": "/shop/web", "instances": 2}, app("/new", &json!({})), {"id": "/db/main", "cmd": "other"}]);
    made(&mut world, array(&good, true));
    assert_eq!(steps(&world), ["Start /new", "Restart /db/main, Scale /new", "Scale /shop/web"]);
    world.settle();
    let which = Which::These(world.keys().iter().map(|key| key.as_str().parse().unwrap()).collect());
    made(&mut world, Request::Kill { app: None, which, scale: true });
    assert_eq!(world.state.deployments.len(), 1);
    world.settle();
    assert!(world.keys().is_empty());
    assert_eq!(apps(&world).iter().filter(|app| app.ends_with(" 0")).count(), 6);
}

#[test]
fn a_group_is_multiplied_and_rounded_up() {
    let mut world = running();
    made(&mut world, put("/", &json!({"scaleBy": 1.1})));
    world.settle();
    let scaled = ["/db/main 3", "/shop/back/cart 2", "/shop/back/mail 2", "/shop/back/user 2", "/shop/web 2"];
    assert_eq!(apps(&world), scaled);
    made(&mut world, put("/shop/back", &json!({"scaleBy": 0})));
    world.settle();
    assert_eq!(world.running("/shop/back/cart"), 0);
    let none = refused(&mut world, put("/none", &json!({"scaleBy": 2})));
    assert_eq!(none.to_string(), "Group '/none' does not exist");
    let single = json!({"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"},
        "upgradeStrategy": {"minimumHealthCapacity": 0, "maximumOverCapacity": 0}});
    world.create(&app("/one/only", &single)).unwrap();
    world.settle();
    let ApiError::Invalid(details) = refused(&mut world, put("/one", &json!({"scaleBy": 2}))) else {
        panic!()
    };
    assert_eq!(details[0].path, "/scaleBy");
    assert!(details[0].errors[0].starts_with("/one/only: "), "{details:?}");
}

#[test]
fn a_dry_run_tells_the_steps_and_changes_nothing() {
    let mut world = running();
    let before = (world.store.clone(), world.state.root_version());
    let Request::ChangeGroup { change, .. } = put("/shop", &json!({"apps": []})) else { panic!() };
    let answer = world.ask(Request::ChangeGroup { change, dry_run: true }, false).unwrap().unwrap();
    let Answer::Plan(steps) = answer else { panic!("{answer:?}") };
    assert_eq!(
        serde_json::to_value(steps).unwrap(),
        json!([{"actions": [{"action": "StopApplication", "app": "/shop/web"}]}])
    );
    assert_eq!((world.store.clone(), world.state.root_version()), before);
}

fn past(world: &mut World, name: &str, version: Timestamp) -> Past {
    match world.ask(Request::GroupAt { id: group(name), version }, false).unwrap() {
        Ok(Answer::Group(past)) => *past,
        other => panic!("{other:?}"),
    }
}

fn versions(world: &mut World, name: &str) -> Vec<Timestamp> {
    match world.ask(Request::GroupVersions(group(name)), false).unwrap() {
        Ok(Answer::Versions(versions)) => versions,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_group_is_shown_as_it_was_and_goes_back() {
    let mut world = World::new();
    let (first, _) = made(&mut world, put("/", &shop()));
    world.settle();
    let (second, _) = made(
        &mut world,
        put(
            "/shop",
            &json!({"groups": [], "dependencies": [],
        "apps": [app("web", &json!({"cmd": "other"})), app("more", &json!({}))]}),
        ),
    );
    world.settle();
    let (third, _) = made(&mut world, Request::DeleteGroup(group("/shop")));
    world.settle();
    for _ in 0..2 {
        assert_eq!(versions(&mut world, "/"), [third, second, first]);
        let then = past(&mut world, "/shop", first);
        let names: Vec<&str> = then.apps.keys().map(|id| id.as_str()).collect();
        assert_eq!(names, ["/shop/back/cart", "/shop/back/mail", "/shop/back/user", "/shop/web"]);
        assert_eq!(then.groups[&group("/shop")].dependencies[0].as_str(), "/db");
        assert_eq!(past(&mut world, "/shop", second).apps[&id("/shop/web")].cmd.as_deref(), Some("other"));
        let none = refused(&mut world, Request::GroupAt { id: group("/shop"), version: third });
        assert_eq!(none.to_string(), format!("Group '/shop' does not exist in version {third}"));
        world.crash();
    }
    made(&mut world, put("/shop", &json!({"version": first.to_string()})));
    world.settle();
    assert_eq!(
        apps(&world),
        ["/db/main 2", "/shop/back/cart 1", "/shop/back/mail 1", "/shop/back/user 1", "/shop/web 1"]
    );
    assert_eq!(world.state.groups[&group("/shop")].dependencies[0].as_str(), "/db");
    assert_eq!(versions(&mut world, "/shop")[1..], [second, first]);
    let unknown = refused(&mut world, put("/shop", &json!({"version": "2020-01-01T00:00:00.000Z"})));
    assert_eq!(unknown.status(), 404);
    // Only so many versions are remembered, and nothing that only the others need.
    for at in 0..20 {
        let update = AppUpdate::read(&json!({"cmd": format!("serve {at}")})).unwrap();
        made(&mut world, Request::Update { id: id("/db/main"), update, create: false });
        world.settle();
    }
    assert_eq!(versions(&mut world, "/").len(), 5);
    let kept =
        |world: &World, kind: &str| world.store.keys().filter(|key| key.as_str().starts_with(kind)).count();
    assert_eq!(kept(&world, "services/history/"), 4);
    assert_eq!(kept(&world, "services/versions/%2Fshop%2Fmore"), 0);
    let oldest = *versions(&mut world, "/").last().unwrap();
    assert_eq!(past(&mut world, "/", oldest).apps.len(), 5);
}

#[test]
fn a_cancelled_deployment_of_a_group_restores_all_of_it() {
    let mut world = running();
    let before = (apps(&world), world.keys());
    let body = json!({"apps": [app("web", &json!({"cmd": "other"})), app("more", &json!({}))],
        "groups": [{"id": "fresh", "apps": [app("x", &json!({}))]}], "dependencies": []});
    let (_, deployment) = made(&mut world, put("/shop", &body));
    world.round();
    made(&mut world, Request::Cancel { id: deployment, drop: false });
    assert_eq!(world.state.deployments.len(), 1);
    world.settle();
    assert_eq!(apps(&world), before.0);
    assert_eq!(world.running("/db/main"), 2);
    assert_eq!(groups(&world), ["/", "/db", "/shop", "/shop/back"]);
    assert_eq!(world.state.groups[&group("/shop")].dependencies[0].as_str(), "/db");
}

#[test]
fn as_many_deployments_as_may_run_at_once() {
    let mut world = World::new();
    world.agents.clear();
    for at in 0..100 {
        made(&mut world, array(&json!([app(&format!("/a{at}"), &json!({}))]), true));
    }
    let one = array(&json!([app("/more", &json!({}))]), true);
    assert_eq!(refused(&mut world, one).status(), 403);
    // One that is in the way of all of them takes their place.
    let all: Vec<Value> = (0..100).map(|at| json!({"id": format!("/a{at}"), "cmd": "other"})).collect();
    world.ask(array(&json!(all), false), true).unwrap().unwrap();
    assert_eq!(world.state.deployments.len(), 1);
    let stored = world.store.keys().filter(|key| key.as_str().starts_with("services/deployments"));
    assert_eq!(stored.count(), 1);
    world.agents = vec!["a1", "a2", "a3"];
    world.settle();
    assert_eq!(world.keys().len(), 100);
}

#[test]
fn a_change_that_no_store_takes_is_refused_with_the_limits() {
    let mut world = World::new();
    let name = |at: usize| format!("/g/{}{at}", "n".repeat(150));
    let all: Vec<Value> =
        (0..6_000).map(|at| app(&name(at), &json!({"instances": 0, "portDefinitions": []}))).collect();
    let error = refused(&mut world, array(&json!(all), true));
    assert_eq!(error.status(), 422);
    assert!(error.to_string().contains("720896"), "{error}");
}

#[test]
fn a_group_that_enforces_its_role_gives_it_to_its_apps() {
    let mut world = World::new();
    let body = json!({"id": "/dev", "enforceRole": true, "apps": [app("web", &json!({}))]});
    let ApiError::Invalid(details) = refused(&mut world, post(&body)) else { panic!() };
    assert_eq!((details[0].path.as_str(), details.len()), ("/apps(0)/role", 1));
    let own = json!({"id": "/dev", "enforceRole": true, "apps": [app("web", &json!({"role": "*"}))]});
    made(&mut world, post(&own));
    assert_eq!(world.state.groups[&group("/dev")].enforce_role, Some(true));
}
