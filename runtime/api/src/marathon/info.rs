//! `GET /v2/info` (§3, "The rest"). The keys within the three objects are the reference's own.

use serde::Serialize;

/// The answer to `GET /v2/info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Info {
    /// Always `marathon`: clients look for it.
    pub name: String,
    /// What clients switch features on: `1.11.…`.
    pub version: String,
    /// What was built.
    pub buildref: String,
    /// Whether anyone leads.
    pub elected: bool,
    /// `host:port`; absent while nobody leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The id as a framework; absent before the first registration.
    #[serde(rename = "frameworkId", skip_serializing_if = "Option::is_none")]
    pub framework_id: Option<String>,
    /// The reference's settings that mean something here.
    pub marathon_config: MarathonConfig,
    /// There is no ZooKeeper: the object exists and is empty unless someone fills it in.
    pub zookeeper_config: ZookeeperConfig,
    /// Where HTTP is answered.
    pub http_config: HttpConfig,
}

/// Settings under the reference's names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct MarathonConfig {
    /// Whether tasks outlive their agent's restart.
    pub checkpoint: bool,
    /// Seconds until a lost framework's tasks are killed.
    pub failover_timeout: u64,
    /// Features that are switched on.
    pub features: Vec<String>,
    /// The name as a framework.
    pub framework_name: String,
    /// Whether other masters stand by.
    pub ha: bool,
    /// This master's host.
    pub hostname: String,
    /// The first service port.
    pub local_port_min: u16,
    /// The last service port.
    pub local_port_max: u16,
    /// Where the masters are.
    pub master: String,
    /// The dashboard of the leading master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mesos_leader_ui_url: Option<String>,
    /// The role that resources are asked for in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mesos_role: Option<String>,
    /// Milliseconds until a task that did not start counts as failed.
    pub task_launch_timeout: u64,
    /// The dashboard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webui_url: Option<String>,
}

/// ZooKeeper's settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ZookeeperConfig {
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zk: Option<String>,
    /// Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zk_timeout: Option<u64>,
    /// How many versions of an app are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zk_max_versions: Option<u64>,
}

/// Where HTTP is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HttpConfig {
    /// The plain port.
    pub http_port: u16,
    /// The port with TLS.
    pub https_port: u16,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_three_objects_exist_and_hold_only_keys_of_the_reference() {
        let info = Info {
            name: "marathon".to_owned(),
            version: "1.11.0".to_owned(),
            buildref: "x".to_owned(),
            elected: true,
            leader: Some("10.0.0.1:5050".to_owned()),
            framework_id: None,
            marathon_config: MarathonConfig { local_port_min: 10_000, ..MarathonConfig::default() },
            zookeeper_config: ZookeeperConfig::default(),
            http_config: HttpConfig { http_port: 5050, https_port: 0 },
        };
        let config = json!({"checkpoint": false, "failover_timeout": 0, "features": [], "framework_name": "",
            "ha": false, "hostname": "", "local_port_min": 10000, "local_port_max": 0, "master": "",
            "task_launch_timeout": 0});
        let expected = json!({"name": "marathon", "version": "1.11.0", "buildref": "x", "elected": true,
            "leader": "10.0.0.1:5050", "marathon_config": config, "zookeeper_config": {},
            "http_config": {"http_port": 5050, "https_port": 0}});
        assert_eq!(serde_json::to_value(info).ok(), Some(expected));
    }
}
