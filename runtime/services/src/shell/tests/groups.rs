//! Groups over HTTP.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Cluster;

/// Without what differs from run to run.
fn lasting(mut value: Value) -> String {
    fn clean(value: &mut Value) {
        match value {
            Value::Object(map) => {
                for key in ["version", "lastScalingAt", "lastConfigChangeAt", "deploymentId"] {
                    if let Some(value) = map.get_mut(key).filter(|value| value.is_string()) {
                        *value = json!("…");
                    }
                }
                map.values_mut().for_each(clean);
            }
            Value::Array(items) => items.iter_mut().for_each(clean),
            _ => {}
        }
    }
    clean(&mut value);
    serde_json::to_string_pretty(&value).unwrap()
}

fn shop() -> Value {
    let app = |id: &str| json!({"id": id, "cmd": "x", "cpus": 0.1, "mem": 16, "portDefinitions": []});
    json!({"id": "/shop", "apps": [app("web")], "dependencies": ["/db"],
        "groups": [{"id": "back", "apps": [app("cart"), app("user")]}, {"id": "empty", "apps": null}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_lives_through_everything() {
    let cluster = Cluster::new().await;
    insta::assert_snapshot!("nothing", lasting(cluster.get("/v2/groups").await));
    let response = cluster.send("POST", "/v2/groups", Some(shop())).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()["location"], "/v2/groups/shop");
    let id = response.headers()["marathon-deployment-id"].to_str().unwrap().to_owned();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let first: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(first["deploymentId"], id);
    for app in ["/shop/web", "/shop/back/cart", "/shop/back/user"] {
        cluster.running(app, 1).await;
    }
    insta::assert_snapshot!("group", lasting(cluster.get("/v2/groups//shop").await));
    for (embed, shown) in [
        ("embed=group.groups", "groups"),
        ("embed=group.apps", "apps"),
        ("embed=group.apps.counts&embed=group.groups&embed=group.pods", "counts"),
    ] {
        insta::assert_snapshot!(shown, lasting(cluster.get(&format!("/v2/groups/shop?{embed}")).await));
    }
    let apps = cluster.get("/v2/groups/shop/apps").await;
    let ids: Vec<&str> = apps.as_array().unwrap().iter().map(|app| app["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["/shop/back/cart", "/shop/back/user", "/shop/web"]);
    assert_eq!(apps[0]["tasksRunning"], 1);

    let (status, result) = cluster.ask("PUT", "/v2/groups/shop", Some(json!({"scaleBy": 2}))).await;
    assert_eq!((status, result["deploymentId"].is_string()), (StatusCode::OK, true), "{result}");
    cluster.running("/shop/back/cart", 2).await;
    let versions = cluster.get("/v2/groups/shop/versions").await;
    assert_eq!(versions, json!([result["version"], first["version"]]));
    let then = cluster.get(&format!("/v2/groups/shop/versions/{}", first["version"].as_str().unwrap())).await;
    assert_eq!((&then["version"], &then["apps"][0]["instances"]), (&first["version"], &json!(1)));
    assert_eq!(cluster.get("/v2/groups/shop").await["version"], result["version"]);

    let (status, steps) = cluster.ask("PUT", "/v2/groups/shop?dryRun=True", Some(json!({"apps": []}))).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(steps, json!({"steps": [{"actions": [{"action": "StopApplication", "app": "/shop/web"}]}]}));
    let back = json!({"version": first["version"]});
    let (status, result) = cluster.ask("PUT", "/v2/groups/shop", Some(back)).await;
    assert_eq!(status, StatusCode::OK, "{result}");
    cluster.running("/shop/back/cart", 1).await;

    let several = json!([{"id": "/shop/web", "instances": 2}, {"id": "/db/main", "cmd": "x", "mem": 16}]);
    let (status, result) = cluster.ask("PUT", "/v2/apps", Some(several)).await;
    assert_eq!(status, StatusCode::OK, "{result}");
    cluster.running("/shop/web", 2).await;
    cluster.running("/db/main", 1).await;
    let (status, result) = cluster.ask("DELETE", "/v2/groups", None).await;
    assert_eq!((status, result["version"].is_string()), (StatusCode::OK, true), "{result}");
    cluster.until("all is gone", |view| view.apps.is_empty() && view.deployments.is_empty()).await;
    assert_eq!(cluster.get("/v2/groups/").await["groups"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_groups_are_those_of_the_interface() {
    let cluster = Cluster::new().await;
    cluster.master.hold(true);
    cluster.send("POST", "/v2/groups", Some(shop())).await;
    let other = json!({"apps": [{"id": "web", "cmd": "other", "mem": 16}]});
    for (method, path, body, status) in [
        ("GET", "/v2/groups/none", None, 404),
        ("GET", "/v2/groups/Shop", None, 404),
        ("GET", "/v2/groups/none/apps", None, 404),
        ("GET", "/v2/groups/none/versions", None, 404),
        ("GET", "/v2/groups/shop/versions/yesterday", None, 404),
        ("GET", "/v2/groups/shop/versions/2020-01-01T00:00:00.000Z", None, 404),
        ("DELETE", "/v2/groups/none", None, 404),
        ("POST", "/v2/groups/shop", Some(json!({})), 409),
        ("POST", "/v2/groups", Some(json!({"id": "/shop/web"})), 409),
        ("POST", "/v2/groups", Some(json!({"id": "/A"})), 422),
        ("PUT", "/v2/groups/shop/versions", Some(json!({})), 422),
        ("PUT", "/v2/groups/shop", Some(json!({"id": "/other"})), 422),
        ("PUT", "/v2/groups/shop", Some(json!({"apps": 7})), 400),
        ("PUT", "/v2/groups/shop", Some(other.clone()), 409),
        ("PUT", "/v2/groups/shop?dryRun=true", Some(other.clone()), 200),
        ("DELETE", "/v2/groups/shop", None, 409),
        ("PATCH", "/v2/groups/shop", Some(json!({})), 405),
        ("PUT", "/v2/groups/shop?force=True", Some(other), 200),
        ("DELETE", "/v2/groups/shop?force=true", None, 200),
    ] {
        let response = cluster.send(method, path, body).await;
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
    }
    let (_, gone) = cluster.ask("GET", "/v2/groups/shop", None).await;
    assert_eq!(gone, json!({"message": "Group '/shop' does not exist"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_hundred_apps_are_one_change_and_are_found_again() {
    let cluster = Cluster::new().await;
    let app = |at: usize| json!({"id": format!("/many/a{at}"), "cmd": "x", "mem": 16, "instances": 0, "labels": {"long": "x".repeat(3_000)}});
    let apps: Vec<Value> = (0..500).map(app).collect();
    let (status, result) = cluster.ask("PUT", "/v2/groups/many", Some(json!({ "apps": apps }))).await;
    assert_eq!(status, StatusCode::OK, "{result}");
    cluster.until("all of it is done", |view| view.deployments.is_empty()).await;
    cluster.services.stop().await;
    let Cluster { handle, master, store, _dir, .. } = cluster;
    handle.await.unwrap().unwrap();
    let (services, handle) = super::started(&store, &master).await;
    let cluster = Cluster { services, handle, master, store, _dir };
    let ports: std::collections::BTreeSet<u16> = cluster
        .services
        .view()
        .apps
        .values()
        .flat_map(|view| view.app.as_ref().unwrap().service_ports())
        .collect();
    assert_eq!(ports.len(), 500, "each has a service port of its own");
    let versions = cluster.get("/v2/groups/many/versions").await;
    assert_eq!(versions, json!([result["version"]]));
}
