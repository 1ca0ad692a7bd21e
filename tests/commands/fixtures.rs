//! What a small cluster answers.

use std::fs;

use serde_json::{Value, json};

pub(super) const TASK: &str = "web.instance-3f0c8a52-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1";
pub(super) const SANDBOX: &str =
    "/frameworks/F/executors/web.instance-3f0c8a52-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1/runs/latest";
pub(super) const DEPLOYMENT: &str = "d0000000-0000-4000-8000-000000000001";

/// The service /web as it runs.
pub(super) fn app(running: u64, wanted: u64) -> Value {
    json!({
        "id": "/web", "cmd": "sleep 1000", "cpus": 0.1, "mem": 32.0, "disk": 0.0, "gpus": 0, "instances": wanted,
        "env": {"LEVEL": "info"}, "version": "2026-11-22T11:57:00.000Z", "labels": {}, "deployments": [],
        "tasksStaged": 0, "tasksRunning": running, "tasksHealthy": 0, "tasksUnhealthy": 0, "tasks": [],
    })
}

pub(super) fn result() -> Value {
    json!({"version": "2026-11-22T12:00:00.000Z", "deploymentId": DEPLOYMENT})
}

pub(super) fn running_deployment() -> Value {
    json!([{"id": DEPLOYMENT, "affectedApps": ["/web"], "currentStep": 1, "totalSteps": 2}])
}

pub(super) fn tasks() -> Value {
    json!({"tasks": [{
        "id": TASK, "name": "web", "framework_id": "F", "executor_id": "", "slave_id": "S0", "state": "TASK_RUNNING",
        "resources": {"cpus": 0.1, "mem": 32.0, "disk": 0.0}, "role": "*", "statuses": [], "labels": [],
    }]})
}

pub(super) fn nodes() -> Value {
    json!({"slaves": [{
        "id": "c1-S0", "name": "n1", "hostname": "127.0.0.2", "state": "active", "active": true,
        "resources": {"cpus": 4.0, "mem": 8000.0, "disk": 50000.0, "gpus": 0, "ports": "[31000-31999]"},
        "used_resources": {"cpus": 0.5, "mem": 128.0, "disk": 0.0}, "version": "1.11.0",
    }]})
}

#[expect(clippy::unwrap_used, reason = "a test fails where it cannot write")]
pub(super) fn definition(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.json");
    fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

/// A directory with these files in it.
#[expect(clippy::unwrap_used, reason = "a test fails where it cannot write")]
pub(super) fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}
