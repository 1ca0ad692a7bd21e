use serde_json::{Value, json};

use super::*;
use crate::marathon::{ApiError, Detail, GroupId};

fn id(text: &str) -> GroupId {
    text.parse().unwrap()
}

fn places(error: &ApiError) -> Vec<String> {
    let (ApiError::Invalid(details) | ApiError::WrongTypes(details)) = error else { panic!("{error:?}") };
    details.iter().map(|detail: &Detail| detail.path.clone()).collect()
}

fn update(body: &Value, base: &str) -> GroupUpdate {
    match GroupChange::read(body, &id(base)).unwrap_or_else(|error| panic!("{}", error.body())) {
        GroupChange::Update(update) => update,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_group_is_the_one_of_the_url_or_one_below_it() {
    for (base, written, meant) in [
        ("/", None, Some("/")),
        ("/", Some("/shop"), Some("/shop")),
        ("/", Some("shop/web"), Some("/shop/web")),
        ("/shop", None, Some("/shop")),
        ("/shop", Some("/shop"), Some("/shop")),
        ("/shop", Some("shop"), Some("/shop")),
        ("/shop", Some("web"), Some("/shop/web")),
        ("/shop", Some("/shop/web"), Some("/shop/web")),
        ("/shop", Some("/other"), None),
        ("/shop", Some("../other"), None),
        ("/shop", Some("Web"), None),
    ] {
        let body = json!({ "id": written });
        match meant {
            Some(meant) => assert_eq!(update(&body, base).id, id(meant), "{base} {written:?}"),
            None => {
                let error = GroupChange::read(&body, &id(base)).unwrap_err();
                assert_eq!((error.status(), places(&error)), (422, vec!["/id".to_owned()]), "{written:?}");
            }
        }
    }
    // A new group is named from the group that it is to stand in.
    assert_eq!(GroupUpdate::create(&json!({"id": "shop"}), &id("/shop")).unwrap().id, id("/shop/shop"));
}

#[test]
fn inner_ids_start_from_the_group_that_they_stand_in() {
    let body = json!({"id": "/shop", "apps": [{"id": "web", "cmd": "x", "dependencies": ["../db"]}],
        "groups": [{"id": "back", "apps": [{"id": "/shop/back/db", "cmd": "x"}], "dependencies": ["../web"],
            "groups": [{"id": "./deep"}]}],
        "dependencies": null, "pods": [], "ports": 7});
    let shop = update(&body, "/");
    let apps = shop.apps.unwrap();
    assert_eq!(apps[0].id.as_str(), "/shop/web");
    assert_eq!(apps[0].dependencies[0].as_str(), "/shop/db");
    assert_eq!(shop.dependencies, None);
    let back = &shop.groups.unwrap()[0];
    assert_eq!((back.id.as_str(), back.path.as_str()), ("/shop/back", "/groups(0)"));
    assert_eq!(back.apps.as_ref().unwrap()[0].id.as_str(), "/shop/back/db");
    assert_eq!(back.dependencies.as_ref().unwrap()[0].as_str(), "/shop/web");
    assert_eq!(back.groups.as_ref().unwrap()[0].id.as_str(), "/shop/back/deep");
    assert_eq!(back.groups.as_ref().unwrap()[0].apps, None);
}

#[test]
fn every_mistake_is_named_at_its_place() {
    let body = json!({"id": "/shop", "enforceRole": true, "dependencies": ["/shop/web", "../A", "/db"],
    "apps": [
        {"id": "/elsewhere", "cmd": "x"},
        {"id": "web", "cmd": "x", "upgradeStrategy": {"minimumHealthCapacity": 2}},
        {"cmd": "x"},
        {"id": "twice", "cmd": "x"},
        {"id": "twice", "cmd": "x"},
        {"id": "same", "cmd": "x"},
        {"id": "a/b", "cmd": "x"}
    ],
    "groups": [
        {"id": "same"},
        {"id": "/elsewhere/x"},
        {"apps": [{"id": "web", "cmd": "x", "args": ["y"]}]},
        {"id": "in", "scaleBy": 2, "enforceRole": false, "apps": [{"id": "web", "cmd": "x", "upgradeStrategy":
            {"maximumOverCapacity": -1}}]},
        {"id": "in", "pods": [{"id": "p"}]}
    ]});
    let error = GroupChange::read(&body, &id("/")).unwrap_err();
    assert_eq!(error.status(), 422);
    let mut found = places(&error);
    found.sort();
    assert_eq!(
        found,
        [
            "/apps(0)/id",
            "/apps(1)/upgradeStrategy/minimumHealthCapacity",
            "/apps(2)/id",
            "/apps(4)/id",
            "/apps(5)/id",
            "/apps(6)/id",
            "/dependencies(0)",
            "/dependencies(1)",
            "/groups(1)/id",
            "/groups(2)/apps(0)",
            "/groups(2)/id",
            "/groups(3)/apps(0)/upgradeStrategy/maximumOverCapacity",
            "/groups(3)/enforceRole",
            "/groups(3)/scaleBy",
            "/groups(4)/id",
            "/groups(4)/pods",
        ]
    );
}

#[test]
fn wrong_types_are_named_before_all_else() {
    let body =
        json!({"apps": [{"id": "a", "cpus": "many"}, 7], "groups": [{"id": 7, "apps": {}}], "scaleBy": "x"});
    let error = GroupChange::read(&body, &id("/")).unwrap_err();
    assert_eq!(error.status(), 400);
    let mut found = places(&error);
    found.sort();
    assert_eq!(found, ["/apps(0)/cpus", "/apps(1)", "/groups(0)/apps", "/groups(0)/id", "/scaleBy"]);
    assert_eq!(GroupChange::read(&json!([]), &id("/")).unwrap_err().status(), 400);
}

#[test]
fn special_bodies_stand_alone_and_the_version_wins() {
    let version = "2026-01-31T08:15:30.123Z";
    let read = |body: Value| GroupChange::read(&body, &id("/shop"));
    let rollback = GroupChange::Rollback { id: id("/shop"), version: version.parse().unwrap() };
    assert_eq!(read(json!({"version": version, "scaleBy": 2})), Ok(rollback.clone()));
    assert_eq!(read(json!({"version": version, "id": "/shop", "apps": [], "groups": null})), Ok(rollback));
    assert_eq!(read(json!({"scaleBy": 1.5})), Ok(GroupChange::Scale { id: id("/shop"), by: 1.5 }));
    for (body, place) in [
        (json!({"version": version, "apps": [{"id": "a", "cmd": "x"}]}), "/version"),
        (json!({"scaleBy": 2, "dependencies": ["/db"]}), "/scaleBy"),
        (json!({"version": "yesterday"}), "/version"),
        (json!({"scaleBy": -1}), "/scaleBy"),
    ] {
        assert_eq!(places(&read(body.clone()).unwrap_err()), [place], "{body}");
    }
    // What a GET answered may be sent back to make a group anew.
    let body =
        json!({"id": "/shop", "version": version, "apps": [], "groups": [], "pods": [], "dependencies": []});
    assert_eq!(GroupUpdate::create(&body, &id("/")).unwrap().apps, Some(vec![]));
}

#[test]
fn paths_are_understood_both_ways() {
    let time = || "2026-01-31T08:15:30.123Z".to_owned();
    for (path, reading, route) in [
        ("", true, GroupRoute::Group(id("/"))),
        ("/", true, GroupRoute::Group(id("/"))),
        ("//", false, GroupRoute::Group(id("/"))),
        ("//shop//web/", true, GroupRoute::Group(id("/shop/web"))),
        ("/%2Fshop", true, GroupRoute::Group(id("/shop"))),
        ("/apps", true, GroupRoute::Apps(id("/"))),
        ("/shop/apps/", true, GroupRoute::Apps(id("/shop"))),
        ("/shop/apps", false, GroupRoute::Group(id("/shop/apps"))),
        ("/versions", true, GroupRoute::Versions(id("/"))),
        ("/shop/web/versions", true, GroupRoute::Versions(id("/shop/web"))),
        ("/shop/versions/2026-01-31T08%3A15:30.123Z", true, GroupRoute::Version(id("/shop"), time())),
    ] {
        assert_eq!(parse_group_path(path, reading), route, "{path}");
    }
    for (path, reading) in [("/Shop", true), ("/a/../b", true), ("/shop/versions", false)] {
        assert!(matches!(parse_group_path(path, reading), GroupRoute::BadId { .. }), "{path}");
    }
}

#[test]
fn a_group_is_written_with_the_keys_that_were_asked_for() {
    let mut group = GroupInfo {
        id: id("/shop"),
        apps: Some(Vec::new()),
        groups: Some(Vec::new()),
        pods: Some([]),
        dependencies: vec!["/db".parse().unwrap()],
        version: "2026-01-31T08:15:30.123Z".parse().unwrap(),
        enforce_role: None,
    };
    let all = json!({"id": "/shop", "apps": [], "groups": [], "pods": [], "dependencies": ["/db"],
        "version": "2026-01-31T08:15:30.123Z"});
    assert_eq!(serde_json::to_value(&group).unwrap(), all);
    (group.apps, group.groups, group.pods, group.enforce_role) = (None, None, None, Some(true));
    let few = json!({"id": "/shop", "dependencies": ["/db"], "version": "2026-01-31T08:15:30.123Z",
        "enforceRole": true});
    assert_eq!(serde_json::to_value(&group).unwrap(), few);
}

#[test]
fn arrays_of_apps_are_read_element_by_element() {
    use crate::marathon::{AppEdit, EditKind};
    let edits =
        AppEdit::read_all(&json!([{"id": "a", "cmd": "x"}, {"id": "/b", "instances": 2}]), true).unwrap();
    assert_eq!(edits[0].id.as_str(), "/a");
    assert!(matches!(edits[1].change, EditKind::Part(_)));
    for (body, partial, status, found) in [
        (json!({}), true, 400, vec!["/"]),
        (json!([7, {"id": 7}]), true, 400, vec!["/(0)", "/(1)/id"]),
        (
            json!([{}, {"id": "A"}, {"id": "a"}, {"id": "/a"}]),
            true,
            422,
            vec!["/(0)/id", "/(1)/id", "/(3)/id"],
        ),
        (json!([{"id": "a"}, {"id": "b", "cmd": "x", "cpus": 0}]), false, 422, vec!["/(0)", "/(1)/cpus"]),
        (
            json!([{"id": "a", "version": "2026-01-31T08:15:30.123Z", "cmd": "x"}]),
            true,
            422,
            vec!["/(0)/version"],
        ),
    ] {
        let error = AppEdit::read_all(&body, partial).unwrap_err();
        assert_eq!(error.status(), status, "{body}");
        assert_eq!(places(&error), found, "{body}");
    }
}
