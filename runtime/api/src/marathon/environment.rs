//! The environment that every task is given (§9).

use std::collections::BTreeMap;

use super::app::{App, EnvValue, NetworkMode};
use super::task_id::TaskId;
use super::timestamp::Timestamp;

/// Labels as long as this or longer are not put into the environment.
const LABEL_LIMIT: usize = 512;

/// What is known about a task when it is launched.
#[derive(Debug, Clone)]
pub struct TaskFacts<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The agent's hostname.
    pub host: &'a str,
    /// One per port of the app, in their order: the host port, or for a mapping without one its container port, which
    /// the caller draws at random if it is 0.
    pub ports: &'a [u16],
    /// The version of the app that the task runs.
    pub version: Timestamp,
    /// Whether the top-level group enforces its role; `None` leaves the variable out.
    pub enforce_group_role: Option<bool>,
}

/// All variables by name. The app's own `env` wins over what is made here; values that are secrets are left out.
pub fn task_environment(app: &App, facts: &TaskFacts<'_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let mut set = |name: &str, value: String| env.insert(name.to_owned(), value);
    set("MARATHON_APP_ID", app.id.to_string());
    set("MARATHON_APP_VERSION", facts.version.to_string());
    if let Some(docker) = app.container.as_ref().and_then(|container| container.docker.as_ref()) {
        set("MARATHON_APP_DOCKER_IMAGE", docker.image.clone());
    }
    set("MARATHON_APP_RESOURCE_CPUS", decimal(app.cpus));
    set("MARATHON_APP_RESOURCE_MEM", decimal(app.mem));
    set("MARATHON_APP_RESOURCE_DISK", decimal(app.disk));
    set("MARATHON_APP_RESOURCE_GPUS", app.gpus.to_string());
    if let Some(enforce) = facts.enforce_group_role {
        set("MARATHON_APP_ENFORCE_GROUP_ROLE", enforce.to_string());
    }
    set("HOST", facts.host.to_owned());
    set("MESOS_TASK_ID", facts.task.to_string());
    labels(app, &mut env);
    ports(app, facts.ports, &mut env);
    for (name, value) in &app.env {
        match value {
            EnvValue::Text(text) => env.insert(name.clone(), text.clone()),
            EnvValue::Secret { .. } => env.remove(name),
        };
    }
    env
}

/// Decimal text with at least one digit after the point, like `0.1` and `32.0`.
fn decimal(number: f64) -> String {
    if number.fract() == 0.0 { format!("{number:.1}") } else { number.to_string() }
}

fn labels(app: &App, env: &mut BTreeMap<String, String>) {
    let short = |text: &str| text.chars().count() < LABEL_LIMIT;
    let mut names = Vec::new();
    for (key, value) in app.labels.iter().filter(|(key, value)| short(key) && short(value)) {
        let name = variable(key);
        env.insert(format!("MARATHON_APP_LABEL_{name}"), value.replace('\0', ""));
        names.push(name);
    }
    env.insert("MARATHON_APP_LABELS".to_owned(), names.join(" "));
}

/// A name in upper case in which every run of other characters than letters, digits and `_` is one `_`.
fn variable(key: &str) -> String {
    let mut name = String::new();
    let mut gap = false;
    for c in key.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            name.push(c.to_ascii_uppercase());
            gap = false;
        } else if !gap {
            name.push('_');
            gap = true;
        }
    }
    name
}

/// The number that each port was asked for by; 0 for a dynamic one.
fn requested(app: &App) -> Vec<u16> {
    match app.network_mode() {
        NetworkMode::Host => app.port_definitions.iter().flatten().map(|port| port.port).collect(),
        _ => {
            let mappings =
                app.container.iter().flat_map(|container| container.port_mappings.iter().flatten());
            mappings.map(|mapping| mapping.container_port).collect()
        }
    }
}

fn ports(app: &App, ports: &[u16], env: &mut BTreeMap<String, String>) {
    let Some(first) = ports.first() else { return };
    env.insert("PORT".to_owned(), first.to_string());
    let all: Vec<String> = ports.iter().map(u16::to_string).collect();
    env.insert("PORTS".to_owned(), all.join(","));
    let names = app.port_names();
    let requested = requested(app);
    for (at, port) in ports.iter().enumerate() {
        env.insert(format!("PORT{at}"), port.to_string());
        let number = requested.get(at).filter(|number| **number != 0).unwrap_or(port);
        env.insert(format!("PORT_{number}"), port.to_string());
        if let Some(Some(name)) = names.get(at) {
            // A NUL or '=' in a name would end or split it.
            env.insert(format!("PORT_{}", name.to_uppercase().replace(['\0', '='], "_")), port.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::marathon::GroupId;

    fn environment(definition: &Value, ports: &[u16]) -> Vec<String> {
        let app = App::create(definition, &GroupId::root()).unwrap();
        let task: TaskId = "shop_web.instance-3f0c8a52-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1".parse().unwrap();
        let version = Timestamp::from_millis(1_769_847_330_123);
        let facts =
            TaskFacts { task: &task, host: "10.0.0.1", ports, version, enforce_group_role: Some(false) };
        task_environment(&app, &facts).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn a_task_in_host_mode_gets_all_that_the_interface_names() {
        let definition = json!({"id": "/shop/web", "cmd": "x", "cpus": 0.1, "mem": 32, "gpus": 0,
            "env": {"HOST": "mine", "COLOUR": "blue"},
            "labels": {"team": "a b", "a.b--c": "1", "long": "x".repeat(512)},
            "portDefinitions": [{"port": 0, "name": "http-api"}, {"port": 9000}]});
        insta::assert_snapshot!(environment(&definition, &[31_005, 31_006]).join("\n"), @r"
        COLOUR=blue
        HOST=mine
        MARATHON_APP_ENFORCE_GROUP_ROLE=false
        MARATHON_APP_ID=/shop/web
        MARATHON_APP_LABELS=A_B_C TEAM
        MARATHON_APP_LABEL_A_B_C=1
        MARATHON_APP_LABEL_TEAM=a b
        MARATHON_APP_RESOURCE_CPUS=0.1
        MARATHON_APP_RESOURCE_DISK=0.0
        MARATHON_APP_RESOURCE_GPUS=0
        MARATHON_APP_RESOURCE_MEM=32.0
        MARATHON_APP_VERSION=2026-01-31T08:15:30.123Z
        MESOS_TASK_ID=shop_web.instance-3f0c8a52-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1
        PORT=31005
        PORT0=31005
        PORT1=31006
        PORTS=31005,31006
        PORT_31005=31005
        PORT_9000=31006
        PORT_HTTP-API=31005
        ");
    }

    #[test]
    fn a_task_with_mappings_finds_its_ports_by_the_container_port() {
        let definition = json!({"id": "a", "cmd": "x", "networks": [{"mode": "container/bridge"}],
            "container": {"type": "MESOS", "docker": {"image": "web:1"}, "portMappings": [{"containerPort": 80}]}});
        let env = environment(&definition, &[31_005]);
        for line in ["PORT_80=31005", "PORT0=31005", "MARATHON_APP_DOCKER_IMAGE=web:1"] {
            assert!(env.iter().any(|entry| entry == line), "{line} in {env:?}");
        }
    }

    #[test]
    fn a_task_without_ports_has_no_variables_for_them() {
        let env = environment(&json!({"id": "a", "cmd": "x", "portDefinitions": []}), &[]);
        assert!(!env.iter().any(|entry| entry.starts_with("PORT")), "{env:?}");
        assert!(env.contains(&"MARATHON_APP_LABELS=".to_owned()));
    }
}
