//! Every route that a master's port has stands in the table, and the table has none that is not there.
//!
//! The routes are read out of the sources: a router that is built in a way that this test does not understand fails it, too. Whoever adds
//! a route adds a row to `runtime/access/src/table.rs`, and where a room takes paths apart by hand, a line here.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use access::{TABLE, look, right_of};
use axum::http::Method;

/// Ways to put something into a router. `.route` is understood below; the others only where they are listed.
const BUILDERS: [&str; 11] = [
    ".route(",
    ".route_service(",
    ".nest(",
    ".nest_service(",
    ".fallback(",
    ".fallback_service(",
    ".method_not_allowed_fallback(",
    ".merge(",
    "MethodRouter",
    "MethodFilter",
    "Routes::new(",
];

/// What is in order: the room of services, whose arms are read below; the answers 404 of the rooms of the master and of packages; and the agents' link, whose
/// calls are read from its definition.
const KNOWN: [(&str, &str); 5] = [
    ("services/src/shell/http.rs", "Router::new().fallback(answer).with_state(services)"),
    (
        "gateway/src/door.rs",
        "bounded(rooms.master.clone().fallback(nothing)).oneshot(request).await.into_response()",
    ),
    (
        "gateway/src/door.rs",
        "bounded(rooms.packages.clone().fallback(nothing)).oneshot(request).await.into_response()",
    ),
    (
        "gateway/src/door.rs",
        "bounded(rooms.secrets.clone().fallback(nothing)).oneshot(request).await.into_response()",
    ),
    (
        "master/src/shell/link.rs",
        r#"axum::Router::new().route_service("/clusterctl.link.v1.Link/{*call}", server)"#,
    ),
];

const METHODS: [&str; 7] = ["get", "post", "put", "delete", "patch", "head", "options"];

/// Routes that no room has yet: clients take 404 for a no, and ask before they log in.
const NOBODY_ANSWERS: [&str; 1] = ["/ca/dcos-ca.crt"];

fn runtime() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All sources of what runs on a master's port, by their paths below `runtime`, without tests.
fn sources() -> Vec<(String, String)> {
    let runtime = runtime();
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = fs::read_dir(&runtime)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        // Agents have a port of their own, to which only masters are let in.
        .filter(|path| path.join("src").is_dir() && !path.ends_with("agent"))
        .map(|path| path.join("src"))
        .collect();
    folders.push(runtime.parent().unwrap().join("src"));
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
                let name = path.strip_prefix(&runtime).unwrap_or(&path).to_string_lossy().into_owned();
                found.push((name, without_comments(&text)));
            }
        }
    }
    found
}

fn source(name: &str) -> String {
    sources().into_iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name} is gone")).1
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.fold(String::new(), |text, line| text + line + "\n")
}

/// What stands between the bracket that was just opened and its own.
fn bracketed(text: &str) -> &str {
    let mut depth = 1;
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..at];
        }
    }
    panic!("no end: {text}");
}

/// The text of a literal at the start.
fn literal(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix('"')?.split('"').next()
}

/// The methods in `get(show).put(put)`.
fn methods_in(text: &str) -> Vec<&'static str> {
    let starts = |name: &&&str| {
        text.match_indices(&format!("{name}(")).any(|(at, _)| {
            !text[..at].ends_with(|before: char| before.is_alphanumeric() || matches!(before, '_' | ':'))
        })
    };
    METHODS.iter().filter(starts).copied().collect()
}

/// Names that stand with their handlers in a list, as `("slaves", get(slaves))`.
fn listed(text: &str) -> Vec<(String, Vec<&'static str>)> {
    let tuples = text.match_indices("(\"").map(|(at, _)| bracketed(&text[at + 1..]));
    let named = tuples.filter_map(|tuple| {
        let name = literal(tuple)?;
        let methods = methods_in(&tuple[name.len() + 2..]);
        (!methods.is_empty() && !name.starts_with('/')).then(|| (name.to_owned(), methods))
    });
    named.collect()
}

/// All routes of all routers: method and path.
fn registered() -> BTreeSet<(String, String)> {
    let mut routes = BTreeSet::new();
    for (name, text) in sources() {
        let mut add = |methods: &[&str], path: &str, call: &str| {
            assert!(!methods.is_empty(), "{name}: which methods has .route({call})?");
            for method in methods {
                routes.insert((method.to_ascii_uppercase(), path.to_owned()));
            }
        };
        for (at, _) in text.match_indices(".route(") {
            let call = bracketed(&text[at + ".route(".len()..]);
            assert!(
                !call.contains("any(") && !call.contains("on("),
                "{name}: name the methods of .route({call})"
            );
            if let Some(path) = literal(call) {
                add(&methods_in(&call.trim_start()[path.len() + 2..]), &as_in_the_table(path), call);
            } else if let Some(template) = call.trim_start().strip_prefix("&format!(").and_then(literal) {
                let names = listed(&text);
                assert!(!names.is_empty() && template.contains("{name}"), "{name}: .route({call})");
                for (known, methods) in names {
                    add(&methods, &template.replace("{name}", &known), call);
                }
            } else {
                panic!("{name}: this test must be able to read the path of .route({call})");
            }
        }
    }
    routes
}

/// A path of a router as the table has it: what takes all that is left is written otherwise.
fn as_in_the_table(path: &str) -> String {
    match path.rsplit_once("/{*") {
        Some((before, rest)) => format!("{before}/{{{}..}}", rest.trim_end_matches('}')),
        None => path.to_owned(),
    }
}

/// A path as `Row::example` writes it.
fn example(path: &str) -> String {
    let segments = path.split('/').map(|segment| if segment.starts_with('{') { "x" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

/// An arm of a match, and requests that come there: method and path.
type Arm = (&'static str, &'static [(&'static str, &'static str)]);

/// What the room of services takes apart by hand.
const SERVICES: [Arm; 15] = [
    (r#"("GET", ["ping"])"#, &[("GET", "/ping")]),
    (r#"(_, ["v2", "apps", ..])"#, &[]),
    (r#"(_, ["v2", "groups", ..])"#, &[]),
    (r#"("GET", ["v2", "tasks"])"#, &[("GET", "/v2/tasks")]),
    (r#"("POST", ["v2", "tasks", "delete"])"#, &[("POST", "/v2/tasks/delete")]),
    (r#"("GET", ["v2", "deployments"])"#, &[("GET", "/v2/deployments")]),
    (r#"("DELETE", ["v2", "deployments", id])"#, &[("DELETE", "/v2/deployments/x")]),
    (r#"("GET", ["v2", "queue"])"#, &[("GET", "/v2/queue")]),
    (
        r#"("DELETE", ["v2", "queue", id @ .., "delay"]) if !id.is_empty()"#,
        &[("DELETE", "/v2/queue/x/y/delay")],
    ),
    (r#"("GET", ["v2", "events"])"#, &[("GET", "/v2/events")]),
    (r#"("GET", ["v2", "info"])"#, &[("GET", "/v2/info")]),
    (r#"("GET", ["v2", "leader"])"#, &[("GET", "/v2/leader")]),
    (r#"("DELETE", ["v2", "leader"])"#, &[("DELETE", "/v2/leader")]),
    (r#"("GET", ["mesos_dns", "v1", "services", name])"#, &[("GET", "/mesos_dns/v1/services/x")]),
    (r#"("GET", ["mesos_dns", "v1", "hosts", name])"#, &[("GET", "/mesos_dns/v1/hosts/x")]),
];

/// The rest of them: what is answered with an error.
const SERVICES_ERRORS: [Arm; 2] = [
    (
        r#"(_, ["v2", "pods", ..]) if !asked.is_head"#,
        &[
            ("GET", "/v2/pods"),
            ("GET", "/v2/pods/x"),
            ("POST", "/v2/pods"),
            ("PUT", "/v2/pods/x"),
            ("DELETE", "/v2/pods/x"),
        ],
    ),
    ("(_, elements) if methods(elements, &path).is_empty()", &[]),
];

const APPS: [Arm; 18] = [
    (r#"("GET", AppRoute::Apps)"#, &[("GET", "/v2/apps")]),
    (r#"("POST", AppRoute::Apps)"#, &[("POST", "/v2/apps")]),
    (r#"("PUT", AppRoute::Apps)"#, &[("PUT", "/v2/apps")]),
    (r#"("PATCH", AppRoute::Apps)"#, &[("PATCH", "/v2/apps")]),
    (r#"("GET", AppRoute::App(id))"#, &[("GET", "/v2/apps/x"), ("GET", "/v2/apps/x/y/z")]),
    (r#"("GET", AppRoute::Group(group))"#, &[("GET", "/v2/apps/x/*")]),
    (r#"("PUT", AppRoute::App(id))"#, &[("PUT", "/v2/apps/x")]),
    (r#"("PATCH", AppRoute::App(id))"#, &[("PATCH", "/v2/apps/x")]),
    (r#"("DELETE", AppRoute::App(id))"#, &[("DELETE", "/v2/apps/x/y")]),
    (r#"("POST", AppRoute::Restart(id))"#, &[("POST", "/v2/apps/x/restart")]),
    (r#"("GET", AppRoute::Tasks(id))"#, &[("GET", "/v2/apps/x/tasks")]),
    (r#"("GET", AppRoute::GroupTasks(group))"#, &[("GET", "/v2/apps/x/*/tasks")]),
    (r#"("DELETE", AppRoute::Tasks(id))"#, &[("DELETE", "/v2/apps/x/tasks")]),
    (r#"("DELETE", AppRoute::Task(id, task))"#, &[("DELETE", "/v2/apps/x/tasks/y")]),
    (r#"("GET", AppRoute::Versions(id))"#, &[("GET", "/v2/apps/x/versions")]),
    (r#"("GET", AppRoute::Version(id, version))"#, &[("GET", "/v2/apps/x/versions/y")]),
    (r#"("PUT" | "POST", AppRoute::BadId { error, .. })"#, &[("POST", "/v2/apps/X")]),
    ("(_, AppRoute::BadId { id, .. })", &[]),
];

const GROUPS: [Arm; 9] = [
    (r#"("GET", GroupRoute::Group(id))"#, &[("GET", "/v2/groups"), ("GET", "/v2/groups/x")]),
    (r#"("GET", GroupRoute::Apps(id))"#, &[("GET", "/v2/groups/x/apps")]),
    (r#"("GET", GroupRoute::Versions(id))"#, &[("GET", "/v2/groups/versions")]),
    (r#"("GET", GroupRoute::Version(id, text))"#, &[("GET", "/v2/groups/versions/y")]),
    (r#"("POST", GroupRoute::Group(base))"#, &[("POST", "/v2/groups"), ("POST", "/v2/groups/x")]),
    (r#"("PUT", GroupRoute::Group(base))"#, &[("PUT", "/v2/groups/x"), ("PUT", "/v2/groups/x/versions/y")]),
    (r#"("DELETE", GroupRoute::Group(id))"#, &[("DELETE", "/v2/groups"), ("DELETE", "/v2/groups/x")]),
    (r#"("PUT" | "POST", GroupRoute::BadId { error, .. })"#, &[("PUT", "/v2/groups/X")]),
    (r#"("GET" | "DELETE", GroupRoute::BadId { id, .. })"#, &[]),
];

/// The patterns of all arms that begin with a method.
fn arms(text: &str) -> BTreeSet<String> {
    let text = text.lines().map(str::trim).collect::<Vec<_>>();
    let begins = |line: &&&str| line.starts_with("(\"") || line.starts_with("(_");
    let arms = text.iter().filter(begins).filter(|line| line.contains("=>"));
    arms.map(|line| line.split("=>").next().unwrap_or_default().trim().to_owned()).collect()
}

fn by_hand() -> Vec<(&'static str, &'static str)> {
    let mut requests = Vec::new();
    let files: [(&str, Vec<Arm>); 3] = [
        ("services/src/shell/http.rs", SERVICES.into_iter().chain(SERVICES_ERRORS).collect()),
        ("services/src/shell/apps.rs", APPS.into()),
        ("services/src/shell/groups.rs", GROUPS.into()),
    ];
    for (file, known) in files {
        let found = arms(&source(file));
        let wanted: BTreeSet<String> = known.iter().map(|(arm, _)| (*arm).to_owned()).collect();
        assert_eq!(found, wanted, "{file} answers other requests: give them rows, and name them here");
        requests.extend(known.iter().flat_map(|(_, requests)| requests.iter().copied()));
    }
    requests
}

/// The texts in quotes that begin with a slash.
fn paths_in(text: &str) -> BTreeSet<&str> {
    text.split('"').skip(1).step_by(2).filter(|text| text.starts_with('/')).collect()
}

/// What the door itself answers, or takes off: it matches texts.
const DOOR: [(&str, &str, Option<&str>); 21] = [
    ("gateway/src/route.rs", "/", Some("/")),
    ("gateway/src/route.rs", "/clusterctl.link.v1.Link/", None),
    ("gateway/src/route.rs", "/service/marathon", None),
    ("gateway/src/route.rs", "/marathon", None),
    ("gateway/src/route.rs", "/mesos", None),
    ("gateway/src/route.rs", "/ping", Some("/ping")),
    ("gateway/src/route.rs", "/v2", None),
    ("gateway/src/route.rs", "/v2/", None),
    ("gateway/src/route.rs", "/mesos_dns/v1/", None),
    ("gateway/src/route.rs", "/metrics", Some("/metrics")),
    ("gateway/src/route.rs", "/metrics/prometheus", Some("/metrics/prometheus")),
    ("gateway/src/route.rs", "/ui", Some("/ui")),
    ("gateway/src/route.rs", "/ui/", Some("/ui/x")),
    ("gateway/src/route.rs", "/{}", None),
    ("gateway/src/route.rs", "/clusterctl/v1/master", Some("/clusterctl/v1/master")),
    ("gateway/src/door.rs", "/v2/leader", Some("/v2/leader")),
    ("gateway/src/door.rs", "/v2/events", Some("/v2/events")),
    // What is asked of the leader about a caller.
    ("gateway/src/door.rs", "/clusterctl/v1/whoami", Some("/clusterctl/v1/whoami")),
    ("gateway/src/door.rs", "/", None),
    // Where the address without a path leads.
    ("gateway/src/door.rs", "/ui/", Some("/ui/x")),
    ("gateway/src/door.rs", "/{prefix}/ui/", None),
];

/// The rooms whose routes this test reads. `Access` has the crate's own.
const ROOMS: [&str; 15] = [
    "Packages",
    "Dcos",
    "Secrets",
    "Link",
    "Services",
    "Master",
    "Artifacts",
    "Copies",
    "Metrics",
    "Prometheus",
    "Root",
    "Ui",
    "Access",
    "This",
    "Watch",
];

#[test]
fn every_route_in_the_sources_has_a_row() {
    let routes = registered();
    assert!(routes.len() > 50, "only {} routes were found", routes.len());
    for (method, path) in &routes {
        let method: Method = method.parse().unwrap();
        let found = right_of(&method, &example(path));
        assert!(found.is_some(), "{method} {path} has no row in runtime/access/src/table.rs");
        // As it is written, not by a row that happens to cover it.
        let written = TABLE.iter().any(|row| row.path == path && row.methods.contains(&method.as_str()));
        assert!(written, "{method} {path} is only covered by another row: give it its own");
    }
}

#[test]
fn every_request_that_services_take_apart_has_a_row() {
    for (method, path) in by_hand() {
        let method: Method = method.parse().unwrap();
        assert!(right_of(&method, path).is_some(), "{method} {path} has no row: {:?}", look(&method, path));
    }
}

#[test]
fn every_path_that_the_door_knows_has_a_row() {
    for file in ["gateway/src/route.rs", "gateway/src/door.rs"] {
        let text = source(file);
        for found in paths_in(&text) {
            // What it shows to people.
            if file.ends_with("door.rs") && (found == "/{}" || found.contains("://")) {
                continue;
            }
            let known = DOOR.iter().any(|(known, path, _)| *known == file && *path == found);
            assert!(known, "{file} knows {found:?}: give it a row, and name it here");
        }
    }
    for path in DOOR.iter().filter_map(|(_, _, answered)| *answered) {
        assert!(right_of(&Method::GET, path).is_some(), "{path}");
    }
    let route = source("gateway/src/route.rs");
    let rooms = bracketed(route.split_once("pub enum Room {").unwrap().1);
    for room in rooms.split(',').map(str::trim).filter(|room| !room.is_empty()) {
        assert!(ROOMS.contains(&room), "who may enter the room {room}? Let this test read its routes");
    }
}

#[test]
fn every_call_of_the_agent_link_has_a_row() {
    let proto = fs::read_dir(runtime().join("api/proto")).unwrap();
    let mut calls = 0;
    for file in proto.map(|entry| entry.unwrap().path()) {
        let text = fs::read_to_string(file).unwrap();
        let after = |line: &str, word: &str| {
            let rest = line.trim().strip_prefix(word)?;
            Some(rest.split(|c: char| !c.is_alphanumeric() && c != '.' && c != '_').next()?.to_owned())
        };
        let (mut package, mut service) = (String::new(), String::new());
        for line in text.lines() {
            package = after(line, "package ").unwrap_or(package);
            service = after(line, "service ").unwrap_or(service);
            if let Some(call) = after(line, "rpc ") {
                let path = format!("/{package}.{service}/{call}");
                assert!(right_of(&Method::POST, &path).is_some(), "{path} has no row");
                calls += 1;
            }
        }
    }
    assert!(calls > 0);
}

#[test]
fn no_router_is_built_in_a_way_that_this_test_cannot_read() {
    for (file, known) in KNOWN {
        assert!(source(file).contains(known), "{file} has no {known} any more: take it out of the list");
    }
    for (name, text) in sources() {
        for line in text.lines() {
            let builds = BUILDERS.iter().skip(1).any(|builder| line.contains(builder));
            let is_router = text.contains("Router") || text.contains("tonic::service");
            let known = KNOWN.iter().any(|(file, known)| name == *file && line.contains(known));
            assert!(
                !builds || !is_router || known,
                "{name}: {line}\nlet runtime/access/tests/routes.rs read the routes that this adds"
            );
        }
    }
}

#[test]
fn no_row_stands_for_a_route_that_is_not_there() {
    let routes = registered();
    let by_hand = by_hand();
    for row in TABLE {
        let registered = routes.iter().any(|(_, path)| path == row.path);
        let taken_apart = by_hand.iter().any(|(method, path)| {
            let method: Method = method.parse().unwrap();
            right_of(&method, path) == Some(row.right)
                && path.starts_with(row.path.split('{').next().unwrap())
        });
        let door = DOOR
            .iter()
            .filter_map(|(_, _, path)| *path)
            .any(|path| path == row.example() || path == row.path);
        let ui = row.path == "/ui/{rest..}";
        let known = NOBODY_ANSWERS.contains(&row.path) || row.path.starts_with("/clusterctl.link.v1.Link/");
        assert!(registered || taken_apart || door || ui || known, "{} is no route any more", row.path);
    }
}
