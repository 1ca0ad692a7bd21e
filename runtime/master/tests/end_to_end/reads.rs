//! What readers get over HTTP, with a task that runs.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use crate::support::{Agent, Running, launch, offers, register, status, subscribe, task, update};
use api::link::wire::master_message::Body;
use api::mesos::TaskState;
use serde_json::Value;

fn keys(value: &Value) -> String {
    let keys = value.as_object().unwrap().keys();
    keys.map(String::as_str).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn every_read_has_the_keys_that_clients_know() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), |_| {}).await;
    let mut agent = Agent::connect(running.address, register("", 5051, vec![])).await;
    let (framework, mut channel) = subscribe(&running.master, "marathon").await;
    let offer = offers(&mut channel).await.remove(0);
    launch(&channel, &offer, task(&offer, "web.1", "cpus:0.5;mem:64;ports:[31000-31001]")).await;
    assert!(matches!(agent.hear().await, Some(Body::Launch(_))));
    agent.update(&framework, &status("web.1", &agent.id, TaskState::Running, 1)).await;
    update(&mut channel).await;
    let json = async |path: &str| running.json(path).await;

    let state = json("/state").await;
    let item = &state["frameworks"][0]["tasks"][0];
    let lists = [&state, &state["slaves"][0], &state["frameworks"][0], item].map(keys);
    insta::assert_snapshot!(lists.join("\n"), @r"
    activated_slaves build_date build_time build_user capabilities cluster clusterctl_version completed_frameworks deactivated_slaves elected_time flags frameworks git_sha hostname id leader leader_info log_dir orphan_tasks pid recovered_slaves slaves start_time unreachable_slaves unregistered_frameworks version
    active address attributes capabilities clusterctl_version deactivated hostname id name offered_resources pid port registered_time reserved_resources resources state unreserved_resources used_resources version
    active capabilities checkpoint completed_tasks connected executors failover_timeout hostname id name offered_resources offers recovered registered_time resources roles tasks unreachable_tasks unregistered_time used_resources user webui_url
    directory executor_id framework_id id labels name resources role slave_id state statuses
    ");
    assert_eq!(item["statuses"][1]["state"], "TASK_RUNNING");
    let address = &item["statuses"][1]["container_status"]["network_infos"][0]["ip_addresses"][0];
    assert_eq!(address["ip_address"], "127.0.0.1");
    assert_eq!(item["labels"][0]["key"], "kind");
    assert!(!state.to_string().contains("canary"), "environments may hold secrets");
    for path in ["/master/state", "/state.json", "/master/state.json"] {
        assert_eq!(keys(&json(path).await), keys(&state));
    }

    let slaves = json(&format!("/slaves?slave_id={}", agent.id)).await;
    let resources = ["resources", "used_resources"].map(|name| slaves["slaves"][0][name].to_string());
    insta::assert_snapshot!(resources.join("\n"), @r#"
    {"cpus":4.0,"disk":1000.0,"gpus":0.0,"mem":1024.0,"ports":"[31000-31099]"}
    {"cpus":0.5,"disk":0.0,"gpus":0.0,"mem":64.0,"ports":"[31000-31001]"}
    "#);
    assert_eq!(json("/slaves?slave_id=other").await["slaves"], serde_json::json!([]));

    let count = async |query: &str| json(&format!("/tasks?{query}")).await["tasks"].as_array().unwrap().len();
    for (query, expected) in [
        ("", 1),
        ("limit=0", 0),
        ("offset=1", 0),
        ("order=asc&task_id=web.1", 1),
        ("task_id=web.2", 0),
        ("framework_id=other", 0),
    ] {
        assert_eq!(count(query).await, expected, "{query}");
    }
    for bad in ["limit=-1", "offset=x", "order=up"] {
        assert_eq!(running.get(&format!("/tasks?{bad}")).await.0, 400, "{bad}");
    }

    let summary = json("/state-summary").await;
    assert_eq!(summary["slaves"][0]["TASK_RUNNING"], 1);
    assert_eq!(summary["frameworks"][0]["slave_ids"][0], agent.id.as_str());
    let cluster = json("/clusterctl/v1/cluster").await;
    assert_eq!(keys(&cluster), "agents coordinators epoch id leader masters name resources version");
    let expected = serde_json::json!({
        "total": { "cpus": 4.0, "mem": 1024.0, "disk": 1000.0, "gpus": 0.0, "ports": 100 },
        "used": { "cpus": 0.5, "mem": 64.0, "disk": 0.0, "gpus": 0.0, "ports": 2 },
        "offered": { "cpus": 0.0, "mem": 0.0, "disk": 0.0, "gpus": 0.0, "ports": 0 },
    });
    assert_eq!(cluster["resources"], expected);
    assert_eq!(cluster["agents"][0]["tasks"], 1);
    assert_eq!(json("/version").await["version"], "1.11.0");
    assert_eq!(running.get("/health").await, (200, String::new()));

    let numbers = json("/metrics/snapshot?timeout=10secs").await;
    for (name, expected) in [
        ("master/elected", 1.0),
        ("master/cpus_total", 4.0),
        ("master/cpus_used", 0.5),
        ("master/cpus_percent", 0.125),
        ("master/slaves_active", 1.0),
        ("master/slaves_unreachable", 0.0),
        ("master/frameworks_active", 1.0),
        ("master/tasks_running", 1.0),
        ("master/tasks_finished", 0.0),
        ("master/messages_status_update", 1.0),
    ] {
        assert_eq!(numbers[name].as_f64(), Some(expected), "{name}");
    }
    for name in ["registrar/state_fetch_ms", "registrar/state_store_ms", "system/mem_total_bytes"] {
        assert!(numbers[name].as_f64().unwrap() > 0.0, "{name}");
    }
    let (_, text) = running.get("/metrics").await;
    for line in [
        "clusterctl_master_agents{state=\"active\"} 1",
        "clusterctl_master_tasks{state=\"TASK_RUNNING\"} 1",
        "clusterctl_master_status_updates_total 1",
        "# TYPE clusterctl_master_cycle_seconds histogram",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }

    assert_eq!(running.get("/version?jsonp=cb").await.1.split('(').next(), Some("cb"));
    assert_eq!(running.get("/version?jsonp=alert(1)//").await.0, 400);
    let plain = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = plain.get(format!("http://{}/redirect", running.address)).send().await.unwrap();
    assert_eq!(answer.status(), 307);
    assert_eq!(answer.headers()["location"].to_str().unwrap(), format!("//{}", running.address));
    assert_eq!(running.get("/ping").await.0, 404, "others answer that");
    running.stop().await;
}
