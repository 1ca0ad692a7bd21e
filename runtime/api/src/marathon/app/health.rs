//! Health checks, readiness checks and informational checks (§7).

use std::fmt;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::words::words;

words! {
    /// How health is asked for.
    HealthProtocol {
        /// A request from the leader.
        Http = "HTTP",
        /// The same over TLS, not verified.
        Https = "HTTPS",
        /// A connection from the leader.
        Tcp = "TCP",
        /// A command beside the task.
        Command = "COMMAND",
        /// A request from the agent, in the task's network.
        MesosHttp = "MESOS_HTTP",
        /// The same over TLS.
        MesosHttps = "MESOS_HTTPS",
        /// A connection from the agent, in the task's network.
        MesosTcp = "MESOS_TCP",
    }
}

impl HealthProtocol {
    /// Whether a path is asked for.
    pub fn is_http(self) -> bool {
        use HealthProtocol::{Http, Https, MesosHttp, MesosHttps};
        matches!(self, Http | Https | MesosHttp | MesosHttps)
    }

    /// Whether the agent decides to kill: then a maximum of 0 failures means the first one, else never (§7).
    pub fn is_agent_run(self) -> bool {
        !matches!(self, HealthProtocol::Http | HealthProtocol::Https | HealthProtocol::Tcp)
    }
}

words! {
    /// Which addresses a check uses.
    IpProtocol {
        /// Version 4.
        V4 = "IPv4",
        /// Version 6.
        V6 = "IPv6",
    }
}

/// One health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// How.
    pub protocol: HealthProtocol,
    /// Of HTTP checks.
    pub path: Option<String>,
    /// Which of the app's ports.
    pub port_index: Option<u32>,
    /// A port by number, instead.
    pub port: Option<u16>,
    /// Of COMMAND checks, for a shell.
    pub command: Option<String>,
    /// Failures do not count for so long, until the first success.
    pub grace_period_seconds: u32,
    /// From one to the next.
    pub interval_seconds: u32,
    /// Later is a failure.
    pub timeout_seconds: u32,
    /// So many in a row kill the task.
    pub max_consecutive_failures: u32,
    /// Before the first.
    pub delay_seconds: u32,
    /// Whether 100–199 leave the health as it was.
    pub ignore_http1xx: bool,
    /// Of checks over a network.
    pub ip_protocol: IpProtocol,
}

impl Serialize for HealthCheck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("protocol", &self.protocol)?;
        if let Some(path) = &self.path {
            map.serialize_entry("path", path)?;
        }
        if let Some(index) = self.port_index {
            map.serialize_entry("portIndex", &index)?;
        }
        if let Some(port) = self.port {
            map.serialize_entry("port", &port)?;
        }
        if let Some(command) = &self.command {
            map.serialize_entry("command", &serde_json::json!({ "value": command }))?;
        }
        map.serialize_entry("gracePeriodSeconds", &self.grace_period_seconds)?;
        map.serialize_entry("intervalSeconds", &self.interval_seconds)?;
        map.serialize_entry("timeoutSeconds", &self.timeout_seconds)?;
        map.serialize_entry("maxConsecutiveFailures", &self.max_consecutive_failures)?;
        map.serialize_entry("delaySeconds", &self.delay_seconds)?;
        if self.protocol.is_http() {
            map.serialize_entry("ignoreHttp1xx", &self.ignore_http1xx)?;
        }
        if self.protocol != HealthProtocol::Command {
            map.serialize_entry("ipProtocol", &self.ip_protocol)?;
        }
        map.end()
    }
}

/// Tells during a deployment whether an instance can take work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadinessCheck {
    /// What results name it by.
    pub name: String,
    /// `HTTP` or `HTTPS`.
    pub protocol: HealthProtocol,
    /// What is asked for.
    pub path: String,
    /// One of the app's ports, by name.
    pub port_name: String,
    /// From one to the next.
    pub interval_seconds: u32,
    /// Later is not ready.
    pub timeout_seconds: u32,
    /// What ready instances answer.
    pub http_status_codes_for_ready: Vec<u16>,
    /// Whether the last answer is shown.
    pub preserve_last_response: bool,
}

/// An informational check, which kills nothing (§4, `check`).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What is checked.
    #[serde(flatten)]
    pub kind: CheckKind,
    /// From one to the next.
    pub interval_seconds: u32,
    /// Later is no result.
    pub timeout_seconds: u32,
    /// Before the first.
    pub delay_seconds: u32,
}

/// What an informational check checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// A request.
    Http {
        /// Whose answer.
        #[serde(flatten)]
        at: CheckPort,
        /// What is asked for; `/` when absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<String>,
        /// Plain when absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        scheme: Option<HttpScheme>,
    },
    /// A connection.
    Tcp(CheckPort),
    /// A command.
    Exec {
        /// Which.
        command: CheckCommand,
    },
}

/// Which of the app's ports a check is about; the first when nothing is said. At most one of these is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckPort {
    /// By its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_index: Option<u32>,
    /// By number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// By name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

words! {
    /// How a request goes over the network.
    HttpScheme {
        /// As it is.
        Http = "HTTP",
        /// Over TLS, not verified.
        Https = "HTTPS",
    }
}

/// A command of a check. May hold secrets.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckCommand {
    /// For `/bin/sh -c`.
    Shell(String),
    /// The program and its arguments.
    Argv(Vec<String>),
}

impl fmt::Debug for CheckCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckCommand(***)")
    }
}
