//! Commands that show and change groups.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::fixtures::{DEPLOYMENT, app, folder, result};
use crate::server::{Answer, Cluster, ok};

const NOW: &str = "2026-11-22T11:57:00.000Z";
const OLD: &str = "2026-11-21T00:00:00.000Z";

fn service(id: &str, running: u64) -> Value {
    let mut service = app(running, 1);
    service["id"] = json!(id);
    service
}

fn shop() -> Value {
    json!({"id": "/shop", "version": NOW, "dependencies": [], "pods": [],
        "apps": [service("/shop/web", 1)],
        "groups": [{"id": "/shop/data", "version": NOW, "dependencies": [], "pods": [], "groups": [],
                    "apps": [service("/shop/data/db", 1)]}]})
}

fn root() -> Value {
    json!({"id": "/", "version": NOW, "dependencies": [], "pods": [], "apps": [service("/lone", 1)], "groups": [shop()]})
}

fn apps(running: u64) -> Value {
    json!({"apps": [service("/shop/web", running), service("/shop/data/db", 1), service("/lone", 0)]})
}

fn cluster(more: impl IntoIterator<Item = (&'static str, Answer)>) -> Cluster {
    let base = [
        ("GET /v2/groups", ok(root())),
        ("GET /v2/groups/shop", ok(shop())),
        ("GET /v2/apps", ok(apps(1))),
        ("GET /v2/deployments", ok(json!([]))),
    ];
    Cluster::start(base.into_iter().chain(more))
}

fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = folder(&[("shop.yaml", text)]);
    let path = folder.path().join("shop.yaml").display().to_string();
    (folder, path)
}

#[test]
fn groups_are_listed_and_shown() {
    let cluster = cluster([]);
    let (code, stdout, stderr) = cluster.run(&["group", "list", "-o", "wide"]);
    assert_eq!(code, 0, "{stderr}");
    assert_snapshot!(stdout, @r"
    GROUP       STATE    SERVICES  RUNNING  CHANGED                   DEPENDS ON  DEPLOYMENTS
    /shop       running  2         2/2      2026-11-22T11:57:00.000Z  -           -
    /shop/data  running  1         1/1      2026-11-22T11:57:00.000Z  -           -
    ");
    let (code, stdout, _) = cluster.run(&["group", "list", "-o", "json"]);
    assert_eq!((code, serde_json::from_str(&stdout).unwrap()), (0, root()));
    let (code, stdout, stderr) = cluster.run(&["group", "show", "shop", "-o", "wide"]);
    assert_eq!(code, 0, "{stderr}");
    assert_snapshot!(stdout, @r"
    Group:     /shop
    State:     running
    Services:  2
    Running:   2/2
    Changed:   2026-11-22T11:57:00.000Z

    SERVICE        STATE    RUNNING  HEALTH  CPUS  MEM     CHANGED                   DISK   GPUS  STAGED  DEPLOYMENTS
    /shop/data/db  running  1/1      -       0.1   32 MiB  2026-11-22T11:57:00.000Z  0 MiB  0     0       -
    /shop/web      running  1/1      -       0.1   32 MiB  2026-11-22T11:57:00.000Z  0 MiB  0     0       -

    GROUP       STATE    SERVICES  RUNNING  CHANGED                   DEPENDS ON  DEPLOYMENTS
    /shop/data  running  1         1/1      2026-11-22T11:57:00.000Z  -           -
    ");
    let (code, stdout, _) = cluster.run(&["group", "show", "/shop/", "-o", "json"]);
    assert_eq!((code, serde_json::from_str(&stdout).unwrap()), (0, shop()));
    let empty = Cluster::start([("GET /v2/groups", ok(json!({"id": "/", "apps": [], "groups": []})))]);
    let (code, stdout, stderr) = empty.run(&["group", "list"]);
    assert!(code == 0 && stdout.is_empty() && stderr.contains("there are no groups yet"), "{stderr}");
}

#[test]
fn a_group_is_created_and_all_its_services_waited_for() {
    let deploying = json!([{"id": DEPLOYMENT, "affectedApps": ["/shop/data/db", "/shop/web"], "currentStep": 2,
        "totalSteps": 3, "currentActions": [{"action": "StartApplication", "app": "/shop/web"}]}]);
    let cluster = Cluster::start([
        ("POST /v2/groups", Answer::Json(201, result())),
        ("GET /v2/deployments", ok(deploying.clone())),
        ("GET /v2/deployments", ok(deploying)),
        ("GET /v2/deployments", ok(json!([]))),
        ("GET /v2/apps", ok(apps(0))),
        ("GET /v2/apps", ok(apps(1))),
    ]);
    let (_folder, path) = file(
        "id: shop\napps:\n- {id: web, cmd: x, dependencies: [data/db]}\ngroups:\n- id: data\n  apps: [{id: db, cmd: y}]\n",
    );
    let (code, stdout, stderr) = cluster.run(&["group", "create", "-f", &path]);
    assert_eq!((code, stdout.as_str()), (0, "/shop is created: 2 of 2 instances\n"), "{stderr}");
    assert_snapshot!(stderr, @r"
    /shop: deployment d0000000-0000-4000-8000-000000000001
      step 2 of 3: start /shop/web
    ");
    let sent = json!({"id": "/shop", "apps": [{"id": "web", "cmd": "x", "dependencies": ["data/db"]}],
        "groups": [{"id": "data", "apps": [{"id": "db", "cmd": "y"}]}]});
    assert_eq!(cluster.changes(), [("POST /v2/groups".to_owned(), sent)]);
}

#[test]
fn a_group_that_does_not_come_up_says_which_service_and_why() {
    let mut web = service("/shop/web", 0);
    web["cpus"] = json!(64.0);
    let deploying = json!([{"id": DEPLOYMENT, "affectedApps": ["/shop/web", "/shop/data/db"], "currentStep": 1, "totalSteps": 1}]);
    let queue = json!({"queue": [{"app": web, "count": 1, "processedOffersSummary": {"processedOffersCount": 2,
        "rejectSummaryLastOffers": [{"reason": "InsufficientCpus", "declined": 2, "processed": 2}]}}]});
    let nodes = json!({"slaves": [{"resources": {"cpus": 4.0}, "used_resources": {"cpus": 1.0}}]});
    let cluster = Cluster::start([
        ("POST /v2/groups", Answer::Json(201, result())),
        ("GET /v2/deployments", ok(deploying)),
        ("GET /v2/apps", ok(json!({"apps": [web, service("/shop/data/db", 1)]}))),
        ("GET /v2/queue", ok(queue)),
        ("GET /slaves", ok(nodes)),
    ]);
    let (_folder, path) = file("id: shop\napps: [{id: web, cmd: x, cpus: 64}]\n");
    let (code, stdout, stderr) = cluster.run(&["group", "create", "-f", &path, "--timeout", "1s"]);
    assert_eq!((code, stdout.as_str()), (6, ""));
    assert_snapshot!(stderr, @r"
    /shop: deployment d0000000-0000-4000-8000-000000000001
      step 1 of 1
    error: /shop is not done after 1 s
      caused by: /shop/web: 0 of 1 instance run
      caused by: /shop/web: 1 instance waits: 2 of 2 offers lack cpus (64 wanted, no node has more than 4)
    hint: deployment d0000000-0000-4000-8000-000000000001 goes on; `clusterctl group wait /shop` waits for it again
    hint: `clusterctl group show /shop` and `clusterctl service logs /shop --stderr` say more
    hint: `clusterctl group remove /shop` takes the change back
    ");
}

#[test]
fn an_update_shows_its_steps_and_asks_before_it_removes() {
    let plan = json!({"steps": [
        {"actions": [{"action": "StartApplication", "app": "/shop/new"}, {"action": "ScaleApplication", "app": "/shop/web"}]},
        {"actions": [{"action": "StopApplication", "app": "/shop/data/db"}]},
    ]});
    let cluster = cluster([
        ("PUT /v2/groups/shop", ok(plan.clone())),
        ("PUT /v2/groups/shop", ok(plan.clone())),
        ("PUT /v2/groups/shop", ok(plan)),
        ("PUT /v2/groups/shop", ok(result())),
        ("PUT /v2/groups/shop", ok(json!({"steps": []}))),
    ]);
    let (_folder, path) = file("id: /shop\napps: [{id: web, cmd: x}, {id: new, cmd: y}]\n");
    let (code, stdout, stderr) = cluster.run(&["group", "update", "-f", &path, "--dry-run"]);
    assert_eq!(code, 3, "{stderr}");
    assert_snapshot!(stdout, @r"
    /shop
      step 1 of 2: start /shop/new; scale /shop/web
      step 2 of 2: stop /shop/data/db
    ");
    let (code, _, stderr) = cluster.run(&["group", "update", "-f", &path]);
    assert_eq!(code, 2);
    assert_snapshot!(stderr, @r"
    error: This removes /shop/data/db, which the definition does not name. Go on? There is nobody here to answer
    hint: add `-y` to say yes beforehand
    ");
    let (code, stdout, stderr) = cluster.run(&["group", "update", "/shop", "-f", &path, "-y", "--force"]);
    assert_eq!((code, stdout.as_str()), (0, "/shop is updated: 2 of 2 instances\n"), "{stderr}");
    let asked: Vec<String> = cluster.changes().into_iter().map(|(request, _)| request).collect();
    let (plan, change) = ("PUT /v2/groups/shop?dryRun=true", "PUT /v2/groups/shop?force=true");
    assert_eq!(asked, [plan, plan, plan, change]);
    let (code, stdout, stderr) = cluster.run(&["group", "update", "-f", &path, "--dry-run"]);
    assert!(code == 0 && stdout.is_empty() && stderr.contains("nothing would change"), "{stdout}{stderr}");
    let (code, _, stderr) = cluster.run(&["group", "update", "/other", "-f", &path]);
    assert!(code == 2 && stderr.contains("is of /shop, not of /other"), "{stderr}");
}

#[test]
fn a_group_is_scaled_and_removed() {
    let cluster = cluster([("PUT /v2/groups/shop", ok(result())), ("DELETE /v2/groups/shop", ok(result()))]);
    let (code, stdout, stderr) = cluster.run(&["group", "scale", "shop", "2"]);
    assert_eq!((code, stdout.as_str()), (0, "/shop is scaled by 2: 2 of 2 instances\n"), "{stderr}");
    assert_eq!(cluster.run(&["group", "scale", "shop", "0.5", "--force", "--no-wait"]).0, 0);
    let (code, _, stderr) = cluster.run(&["group", "remove", "shop"]);
    assert_eq!(code, 2);
    assert_snapshot!(stderr, @r"
    error: Remove /shop: 2 services with 2 running instances? There is nobody here to answer
    hint: add `-y` to say yes beforehand
    ");
    assert_eq!(cluster.run(&["group", "remove", "shop", "-y", "--no-wait"]).0, 0);
    assert_eq!(
        cluster.changes(),
        [
            ("PUT /v2/groups/shop".to_owned(), json!({"scaleBy": 2.0})),
            ("PUT /v2/groups/shop?force=true".to_owned(), json!({"scaleBy": 0.5})),
            ("DELETE /v2/groups/shop".to_owned(), Value::Null),
        ]
    );
    for wrong in ["-1", "many", "nan"] {
        assert_eq!(cluster.run(&["group", "scale", "shop", "--", wrong]).0, 2, "{wrong}");
    }
}

#[test]
fn a_group_goes_back_to_a_version_in_which_it_was_different() {
    let mut old = shop();
    old["apps"][0]["cmd"] = json!("sleep 1");
    let cluster = cluster([
        ("GET /v2/groups/shop/versions", ok(json!([OLD, "2026-11-22T11:00:00.000Z", NOW]))),
        ("GET /v2/groups/shop/versions/2026-11-22T11:57:00.000Z", ok(shop())),
        ("GET /v2/groups/shop/versions/2026-11-22T11:00:00.000Z", ok(shop())),
        ("GET /v2/groups/shop/versions/2026-11-21T00:00:00.000Z", ok(old)),
        ("PUT /v2/groups/shop", ok(result())),
    ]);
    let (code, stdout, stderr) = cluster.run(&["group", "versions", "shop", "-o", "wide"]);
    assert_eq!(code, 0, "{stderr}");
    assert_snapshot!(stdout, @r"
       VERSION                   AGE                       CHANGED
    *  2026-11-22T11:57:00.000Z  2026-11-22T11:57:00.000Z  nothing
       2026-11-22T11:00:00.000Z  2026-11-22T11:00:00.000Z  /shop/web
       2026-11-21T00:00:00.000Z  2026-11-21T00:00:00.000Z  created
    ");
    let (code, stdout, stderr) = cluster.run(&["group", "rollback", "shop"]);
    assert_eq!((code, stdout.as_str()), (0, "/shop is rolled back: 2 of 2 instances\n"), "{stderr}");
    assert_eq!(cluster.run(&["group", "rollback", "shop", "--to", "2026-11-22T11:00", "--no-wait"]).0, 0);
    let bodies: Vec<Value> = cluster.changes().into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, [json!({"version": OLD}), json!({"version": "2026-11-22T11:00:00.000Z"})]);
}

#[test]
fn a_rollback_undoes_the_one_deployment_of_the_group() {
    let deploying =
        json!([{"id": "d7", "affectedApps": ["/shop/web"]}, {"id": "d8", "affectedApps": ["/lone"]}]);
    let cluster = Cluster::start([
        ("GET /v2/groups/shop", ok(shop())),
        ("GET /v2/apps", ok(apps(1))),
        ("GET /v2/deployments", ok(deploying)),
        ("GET /v2/deployments", ok(json!([]))),
        ("DELETE /v2/deployments/d7", ok(result())),
    ]);
    let (code, stdout, stderr) = cluster.run(&["group", "rollback", "shop"]);
    assert_eq!((code, stdout.as_str()), (0, "/shop is rolled back: 2 of 2 instances\n"), "{stderr}");
}

#[test]
fn mistakes_about_groups_say_what_to_type_instead() {
    let locked = json!({"message": "App is locked by one or more deployments.", "deployments": [{"id": "d7"}, {"id": "d8"}]});
    let invalid = json!({"message": "Object is not valid", "details": (0..5).map(|at| json!({"path": format!("/apps(0)/x{at}"), "errors": ["is wrong"]})).collect::<Vec<_>>()});
    let taken = json!({"message": "Group /shop is already created. Use PUT to change this group."});
    let cluster = cluster([
        ("PUT /v2/groups/shop", Answer::Json(409, locked)),
        ("POST /v2/groups", Answer::Json(422, invalid)),
        ("POST /v2/groups", Answer::Json(409, taken)),
    ]);
    let (_folder, path) = file("id: /shop\napps:\n- id: web\n  x1: 1\n");
    let strip = |stderr: String| stderr.replace(path.trim_end_matches("/shop.yaml"), "DIR");
    let (code, _, stderr) = cluster.run(&["group", "show", "shpo"]);
    assert_eq!(code, 2);
    assert_snapshot!(stderr, @r"
    error: there is no group /shpo
    hint: did you mean `/shop`?
    hint: `clusterctl group list` shows all groups
    ");
    let (code, _, stderr) = cluster.run(&["group", "scale", "lone", "2"]);
    assert_eq!(code, 2);
    assert_snapshot!(stderr, @r"
    error: there is no group /lone
    hint: /lone is a service; `clusterctl service show /lone` shows it
    hint: `clusterctl group list` shows all groups
    ");
    let (code, _, stderr) = cluster.run(&["group", "scale", "shop", "2"]);
    assert_eq!(code, 8);
    assert_snapshot!(stderr, @r"
    error: App is locked by one or more deployments.
      caused by: deployment d7 is not done
      caused by: deployment d8 is not done
    hint: `--force` puts this change in its place; `clusterctl service wait ID` waits until it is done
    ");
    let (code, _, stderr) = cluster.run(&["group", "create", "-f", &path]);
    assert_eq!(code, 2);
    assert_snapshot!(strip(stderr), @r"
    error: Object is not valid
      caused by: /apps(0)/x0: is wrong
      caused by: DIR/shop.yaml:4: /apps(0)/x1: is wrong
      caused by: /apps(0)/x2: is wrong
      caused by: /apps(0)/x3: is wrong
      caused by: /apps(0)/x4: is wrong
    ");
    let (code, _, stderr) = cluster.run(&["group", "create", "-f", &path]);
    assert_eq!(code, 2);
    assert_snapshot!(strip(stderr), @r"
    error: Group /shop is already created. Use PUT to change this group.
    hint: `clusterctl group update -f FILE --dry-run` shows what would change in it
    ");
    let (code, _, stderr) = cluster.run(&["service", "show", "shop"]);
    assert!(
        code == 2 && stderr.contains("/shop is a group; `clusterctl group show /shop` shows it"),
        "{stderr}"
    );
}
