//! The first stage: JSON into options. What is absent or `null` is `None`; deprecated inputs stand beside what they
//! became.

use std::collections::BTreeMap;

use serde_json::Value;

use super::container::{
    ContainerKind, Docker, Network, NetworkMode, Parameter, Persistent, PersistentKind, PortDefinition,
    PortMapping, PullConfig, TransportProtocol, Volume, VolumeMode,
};
use super::health::{
    Check, CheckCommand, CheckKind, CheckPort, HealthCheck, HealthProtocol, HttpScheme, IpProtocol,
    ReadinessCheck,
};
use super::model::{
    Constraint, EnvValue, ExecutorResources, Fetch, KillSelection, Limit, Operator, Residency,
    ResourceLimits, SecretSource, UnreachableStrategy, VersionInfo,
};
use crate::marathon::json::{Item, Reader};
use crate::marathon::timestamp::Timestamp;

/// The largest amount of a resource: sums of a cluster's still fit into 64 bits of thousandths.
const MOST: f64 = 1e9;

/// The largest whole number of the interface.
const ANY: i32 = i32::MAX;

/// An app as it was written.
#[derive(Debug)]
pub(super) struct RawApp {
    pub(super) id: Option<String>,
    pub(super) cmd: Option<String>,
    pub(super) args: Option<Vec<String>>,
    pub(super) cpus: Option<f64>,
    pub(super) mem: Option<f64>,
    pub(super) disk: Option<f64>,
    pub(super) gpus: Option<u32>,
    pub(super) instances: Option<u32>,
    pub(super) user: Option<String>,
    pub(super) env: Option<BTreeMap<String, EnvValue>>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) constraints: Option<Vec<Constraint>>,
    pub(super) accepted_resource_roles: Option<Vec<String>>,
    pub(super) role: Option<String>,
    pub(super) container: Option<RawContainer>,
    pub(super) networks: Option<Vec<Network>>,
    pub(super) ip_address: Option<RawIpAddress>,
    pub(super) port_definitions: Option<Vec<PortDefinition>>,
    pub(super) ports: Option<Vec<u16>>,
    pub(super) require_ports: Option<bool>,
    pub(super) health_checks: Option<Vec<HealthCheck>>,
    pub(super) check: Option<Check>,
    pub(super) readiness_checks: Option<Vec<ReadinessCheck>>,
    pub(super) dependencies: Option<Vec<String>>,
    pub(super) upgrade_strategy: Option<RawUpgradeStrategy>,
    pub(super) backoff_seconds: Option<u32>,
    pub(super) backoff_factor: Option<f64>,
    pub(super) max_launch_delay_seconds: Option<u32>,
    pub(super) task_kill_grace_period_seconds: Option<u32>,
    pub(super) kill_selection: Option<KillSelection>,
    pub(super) unreachable_strategy: Option<UnreachableStrategy>,
    pub(super) residency: Option<Residency>,
    pub(super) fetch: Option<Vec<Fetch>>,
    pub(super) uris: Option<Vec<String>>,
    pub(super) secrets: Option<BTreeMap<String, SecretSource>>,
    pub(super) executor: Option<String>,
    pub(super) executor_resources: Option<ExecutorResources>,
    pub(super) resource_limits: Option<ResourceLimits>,
    pub(super) tty: Option<bool>,
    pub(super) version: Option<Timestamp>,
    pub(super) version_info: Option<VersionInfo>,
}

/// A container as it was written.
#[derive(Debug)]
pub(super) struct RawContainer {
    pub(super) kind: Option<ContainerKind>,
    pub(super) docker: Option<Docker>,
    /// Deprecated: `container.docker.network`.
    pub(super) docker_network: Option<DockerNetwork>,
    /// Deprecated: `container.docker.portMappings`.
    pub(super) docker_port_mappings: Option<Vec<PortMapping>>,
    pub(super) port_mappings: Option<Vec<PortMapping>>,
    pub(super) volumes: Vec<Volume>,
    pub(super) linux_info: Option<Value>,
}

/// The deprecated names of network modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DockerNetwork {
    Host,
    Bridge,
    User,
}

/// The deprecated input for container mode.
#[derive(Debug)]
pub(super) struct RawIpAddress {
    pub(super) network_name: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) ports: Vec<PortMapping>,
}

/// Capacities as they were written.
#[derive(Debug)]
pub(super) struct RawUpgradeStrategy {
    pub(super) minimum_health_capacity: Option<f64>,
    pub(super) maximum_over_capacity: Option<f64>,
}

impl RawApp {
    pub(super) fn read(r: &Reader<'_>) -> RawApp {
        RawApp {
            id: r.string("id"),
            cmd: r.filled("cmd"),
            args: r.strings("args"),
            cpus: r.number("cpus", 0.001, MOST),
            mem: r.number("mem", 0.0, MOST),
            disk: r.number("disk", 0.0, MOST),
            gpus: r.integer("gpus", 0, ANY),
            instances: r.integer("instances", 0, ANY),
            user: r.filled("user"),
            env: env(r),
            labels: r.string_map("labels"),
            constraints: constraints(r),
            accepted_resource_roles: r.strings("acceptedResourceRoles"),
            role: r.filled("role"),
            container: r.object("container").map(|r| container(&r)),
            networks: r.objects("networks", |r| network(&r)),
            ip_address: r.object("ipAddress").map(|r| ip_address(&r)),
            port_definitions: r.objects("portDefinitions", |r| port_definition(&r)),
            ports: ports(r),
            require_ports: r.boolean("requirePorts"),
            health_checks: r.objects("healthChecks", |r| health_check(&r)),
            check: r.object("check").and_then(|r| check(&r)),
            readiness_checks: r.objects("readinessChecks", |r| readiness_check(&r)),
            dependencies: r.strings("dependencies"),
            upgrade_strategy: r.object("upgradeStrategy").map(|r| RawUpgradeStrategy {
                minimum_health_capacity: r.number("minimumHealthCapacity", 0.0, 1.0),
                maximum_over_capacity: r.number("maximumOverCapacity", 0.0, 1.0),
            }),
            backoff_seconds: r.integer("backoffSeconds", 0, ANY),
            backoff_factor: r.number("backoffFactor", 1.0, f64::MAX),
            max_launch_delay_seconds: r.integer("maxLaunchDelaySeconds", 0, ANY),
            task_kill_grace_period_seconds: r.integer("taskKillGracePeriodSeconds", 0, ANY),
            kill_selection: r.choice("killSelection", KillSelection::WORDS),
            unreachable_strategy: unreachable_strategy(r),
            residency: r.object("residency").map(|r| residency(&r)),
            fetch: r.objects("fetch", |r| fetch(&r)),
            uris: r.strings("uris"),
            secrets: secrets(r),
            executor: r.string("executor"),
            executor_resources: r.object("executorResources").map(|r| ExecutorResources {
                cpus: r.number("cpus", 0.0, MOST).unwrap_or(0.1),
                mem: r.number("mem", 0.0, MOST).unwrap_or(32.0),
                disk: r.number("disk", 0.0, MOST).unwrap_or(10.0),
            }),
            resource_limits: r
                .object("resourceLimits")
                .map(|r| ResourceLimits { cpus: limit(&r, "cpus"), mem: limit(&r, "mem") }),
            tty: r.boolean("tty"),
            version: timestamp(r, "version"),
            version_info: r.object("versionInfo").and_then(|r| {
                Some(VersionInfo {
                    last_scaling_at: timestamp(&r, "lastScalingAt")?,
                    last_config_change_at: timestamp(&r, "lastConfigChangeAt")?,
                })
            }),
        }
    }
}

/// A point in time.
fn timestamp(r: &Reader<'_>, key: &str) -> Option<Timestamp> {
    let read = r.string(key)?.parse();
    read.map_err(|error| r.invalid(key, format!("{error}"))).ok()
}

fn env(r: &Reader<'_>) -> Option<BTreeMap<String, EnvValue>> {
    let value = |(name, item): (&str, Item<'_>)| {
        let value = if item.value.is_object() {
            EnvValue::Secret { secret: item.reader().required("secret") }
        } else {
            EnvValue::Text(item.string()?)
        };
        Some((name.to_owned(), value))
    };
    Some(r.entries("env")?.into_iter().filter_map(value).collect())
}

fn secrets(r: &Reader<'_>) -> Option<BTreeMap<String, SecretSource>> {
    let secret = |(name, item): (&str, Item<'_>)| {
        (name.to_owned(), SecretSource { source: item.reader().required("source") })
    };
    Some(r.entries("secrets")?.into_iter().map(secret).collect())
}

/// `[[field, operator, value?]]`.
pub(super) fn constraints(r: &Reader<'_>) -> Option<Vec<Constraint>> {
    Some(r.items("constraints")?.iter().map(constraint).collect())
}

/// One that is wrong is noted and replaced by a harmless one, so that the others keep their places.
fn constraint(item: &Item<'_>) -> Constraint {
    let harmless = || Constraint { field: "hostname".to_owned(), operator: Operator::Cluster, value: None };
    read_constraint(item).unwrap_or_else(harmless)
}

fn read_constraint(item: &Item<'_>) -> Option<Constraint> {
    let parts = item.strings()?;
    let (field, word, value) = match parts.as_slice() {
        [field, word] => (field, word, None),
        [field, word, value] => (field, word, Some(value.clone())),
        _ => {
            item.invalid("must be a field, an operator and, for some operators, a value");
            return None;
        }
    };
    match Operator::WORDS.iter().find(|(name, _)| name == word) {
        Some((_, operator)) => Some(Constraint { field: field.clone(), operator: *operator, value }),
        None => {
            let words: Vec<&str> = Operator::WORDS.iter().map(|(word, _)| *word).collect();
            item.invalid(format!("has the operator '{word}', which must be one of {}", words.join(", ")));
            None
        }
    }
}

/// Deprecated: numbers alone.
fn ports(r: &Reader<'_>) -> Option<Vec<u16>> {
    let port = |item: &Item<'_>| {
        let port = item.integer().map(u16::try_from);
        if let Some(Err(_)) = port {
            item.invalid("must be between 0 and 65535");
        }
        port.and_then(Result::ok).unwrap_or(0)
    };
    Some(r.items("ports")?.iter().map(port).collect())
}

fn protocol(r: &Reader<'_>) -> TransportProtocol {
    // The reference writes "udp,tcp"; people write the other order too.
    if r.value("protocol").and_then(Value::as_str) == Some("tcp,udp") {
        return TransportProtocol::Both;
    }
    r.choice("protocol", TransportProtocol::WORDS).unwrap_or(TransportProtocol::Tcp)
}

fn port_definition(r: &Reader<'_>) -> PortDefinition {
    PortDefinition {
        port: r.integer("port", 0, 65_535).unwrap_or(0),
        protocol: protocol(r),
        name: r.filled("name"),
        labels: r.string_map("labels").unwrap_or_default(),
    }
}

fn port_mapping(r: &Reader<'_>) -> PortMapping {
    PortMapping {
        container_port: r.integer("containerPort", 0, 65_535).unwrap_or(0),
        host_port: r.integer("hostPort", 0, 65_535),
        service_port: r.integer("servicePort", 0, 65_535).unwrap_or(0),
        protocol: protocol(r),
        name: r.filled("name"),
        labels: r.string_map("labels").unwrap_or_default(),
        network_names: r.strings("networkNames").unwrap_or_default(),
    }
}

fn network(r: &Reader<'_>) -> Network {
    Network {
        mode: r.choice("mode", NetworkMode::WORDS).unwrap_or(NetworkMode::Container),
        name: r.filled("name"),
        labels: r.string_map("labels").unwrap_or_default(),
    }
}

fn ip_address(r: &Reader<'_>) -> RawIpAddress {
    let port = |r: Reader<'_>| PortMapping {
        container_port: r.integer("number", 0, 65_535).unwrap_or(0),
        host_port: None,
        service_port: 0,
        protocol: protocol(&r),
        name: r.filled("name"),
        labels: r.string_map("labels").unwrap_or_default(),
        network_names: Vec::new(),
    };
    RawIpAddress {
        network_name: r.filled("networkName"),
        labels: r.string_map("labels").unwrap_or_default(),
        ports: r.object("discovery").and_then(|r| r.objects("ports", port)).unwrap_or_default(),
    }
}

fn container(r: &Reader<'_>) -> RawContainer {
    const NETWORKS: &[(&str, DockerNetwork)] =
        &[("HOST", DockerNetwork::Host), ("BRIDGE", DockerNetwork::Bridge), ("USER", DockerNetwork::User)];
    let docker = r.object("docker");
    RawContainer {
        kind: r.choice("type", ContainerKind::WORDS),
        docker_network: docker.as_ref().and_then(|r| r.choice("network", NETWORKS)),
        docker_port_mappings: docker.as_ref().and_then(|r| r.objects("portMappings", |r| port_mapping(&r))),
        docker: docker.map(|r| Docker {
            image: r.required("image"),
            force_pull_image: r.boolean("forcePullImage").unwrap_or(false),
            privileged: r.boolean("privileged").unwrap_or(false),
            parameters: r
                .objects("parameters", |r| Parameter {
                    key: r.required("key"),
                    value: r.string("value").unwrap_or_default(),
                })
                .unwrap_or_default(),
            pull_config: r.object("pullConfig").map(|r| PullConfig { secret: r.required("secret") }),
        }),
        port_mappings: r.objects("portMappings", |r| port_mapping(&r)),
        volumes: r.objects("volumes", |r| volume(&r)).unwrap_or_default(),
        linux_info: r.object("linuxInfo").and_then(|_is_object| r.value("linuxInfo").cloned()),
    }
}

/// One that is wrong is noted and replaced by a harmless one, so that the others keep their places.
fn volume(r: &Reader<'_>) -> Volume {
    read_volume(r).unwrap_or_else(|| Volume::Host {
        container_path: "stand-in".to_owned(),
        host_path: "/".to_owned(),
        mode: VolumeMode::ReadOnly,
    })
}

fn read_volume(r: &Reader<'_>) -> Option<Volume> {
    let container_path = r.required("containerPath");
    let mode = || r.choice("mode", VolumeMode::WORDS);
    let kinds = ["hostPath", "persistent", "external", "secret"];
    let given: Vec<&str> = kinds.into_iter().filter(|key| r.value(key).is_some()).collect();
    match given.as_slice() {
        ["hostPath"] => {
            if r.value("mode").is_none() {
                r.invalid("mode", "is required");
            }
            let mode = mode().unwrap_or(VolumeMode::ReadWrite);
            Some(Volume::Host { container_path, host_path: r.filled("hostPath")?, mode })
        }
        ["persistent"] => {
            let persistent = r.object("persistent").map(|r| persistent(&r))?;
            Some(Volume::Persistent {
                container_path,
                mode: mode().unwrap_or(VolumeMode::ReadWrite),
                persistent,
            })
        }
        ["external"] => {
            r.object("external")?;
            let external = r.value("external")?.clone();
            Some(Volume::External { container_path, mode: mode().unwrap_or(VolumeMode::ReadWrite), external })
        }
        ["secret"] => Some(Volume::Secret { container_path, secret: r.filled("secret")? }),
        _ => {
            r.invalid("", format!("must have exactly one of {}", kinds.join(", ")));
            None
        }
    }
}

fn persistent(r: &Reader<'_>) -> Persistent {
    if r.value("size").is_none() {
        r.invalid("size", "is required");
    }
    Persistent {
        size: r.integer("size", 1, ANY).unwrap_or(1),
        kind: r.choice("type", PersistentKind::WORDS).unwrap_or(PersistentKind::Root),
        max_size: r.integer("maxSize", 1, ANY),
        profile_name: r.filled("profileName"),
        constraints: constraints(r).unwrap_or_default(),
    }
}

fn health_check(r: &Reader<'_>) -> HealthCheck {
    let protocol = r.choice("protocol", HealthProtocol::WORDS).unwrap_or(HealthProtocol::Http);
    HealthCheck {
        protocol,
        path: r.string("path"),
        port_index: r.integer("portIndex", 0, ANY),
        port: r.integer("port", 1, 65_535),
        command: r.object("command").map(|r| r.required("value")),
        grace_period_seconds: r.integer("gracePeriodSeconds", 0, ANY).unwrap_or(300),
        interval_seconds: r.integer("intervalSeconds", 1, ANY).unwrap_or(60),
        timeout_seconds: r.integer("timeoutSeconds", 1, ANY).unwrap_or(20),
        max_consecutive_failures: r.integer("maxConsecutiveFailures", 0, ANY).unwrap_or(3),
        delay_seconds: r.integer("delaySeconds", 0, ANY).unwrap_or(15),
        ignore_http1xx: r.boolean("ignoreHttp1xx").unwrap_or(false),
        ip_protocol: r.choice("ipProtocol", IpProtocol::WORDS).unwrap_or(IpProtocol::V4),
    }
}

fn readiness_check(r: &Reader<'_>) -> ReadinessCheck {
    const PROTOCOLS: &[(&str, HealthProtocol)] =
        &[("HTTP", HealthProtocol::Http), ("HTTPS", HealthProtocol::Https)];
    let status = |item: &Item<'_>| {
        let status = u16::try_from(item.integer()?).ok().filter(|status| (100..=999).contains(status));
        if status.is_none() {
            item.invalid("must be between 100 and 999");
        }
        status
    };
    let statuses = |items: Vec<Item<'_>>| items.iter().map(|item| status(item).unwrap_or(200)).collect();
    let statuses = r.items("httpStatusCodesForReady").map(statuses);
    ReadinessCheck {
        name: r.filled("name").unwrap_or_else(|| "readinessCheck".to_owned()),
        protocol: r.choice("protocol", PROTOCOLS).unwrap_or(HealthProtocol::Http),
        path: r.string("path").unwrap_or_else(|| "/".to_owned()),
        port_name: r.filled("portName").unwrap_or_else(|| "http-api".to_owned()),
        interval_seconds: r.integer("intervalSeconds", 1, ANY).unwrap_or(30),
        timeout_seconds: r.integer("timeoutSeconds", 1, ANY).unwrap_or(10),
        http_status_codes_for_ready: statuses.unwrap_or_else(|| vec![200]),
        preserve_last_response: r.boolean("preserveLastResponse").unwrap_or(false),
    }
}

fn check(r: &Reader<'_>) -> Option<Check> {
    let at = |r: &Reader<'_>| CheckPort {
        port_index: r.integer("portIndex", 0, ANY),
        port: r.integer("port", 1, 65_535),
        endpoint: r.filled("endpoint"),
    };
    let http = |r: Reader<'_>| CheckKind::Http {
        at: at(&r),
        path: r.string("path"),
        scheme: r.choice("scheme", HttpScheme::WORDS),
    };
    let kinds = [
        r.object("http").map(http),
        r.object("tcp").map(|r| CheckKind::Tcp(at(&r))),
        r.object("exec").map(|r| CheckKind::Exec { command: check_command(&r) }),
    ];
    let mut kinds = kinds.into_iter().flatten();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else {
        r.invalid("", "must have exactly one of http, tcp, exec");
        return None;
    };
    Some(Check {
        kind,
        interval_seconds: r.integer("intervalSeconds", 1, ANY).unwrap_or(60),
        timeout_seconds: r.integer("timeoutSeconds", 1, ANY).unwrap_or(20),
        delay_seconds: r.integer("delaySeconds", 0, ANY).unwrap_or(15),
    })
}

/// One that is wrong is noted and replaced by a harmless one.
fn check_command(r: &Reader<'_>) -> CheckCommand {
    let Some(command) = r.object("command") else {
        r.invalid("command", "is required");
        return CheckCommand::Argv(Vec::new());
    };
    match (command.filled("shell"), command.strings("argv").filter(|argv| !argv.is_empty())) {
        (Some(line), None) => CheckCommand::Shell(line),
        (None, Some(argv)) => CheckCommand::Argv(argv),
        _ => {
            command.invalid("", "must have exactly one of shell, argv");
            CheckCommand::Argv(Vec::new())
        }
    }
}

/// `"disabled"` or two numbers of seconds; one that is absent is that of the default.
fn unreachable_strategy(r: &Reader<'_>) -> Option<UnreachableStrategy> {
    if let Some(word) = r.value("unreachableStrategy").and_then(Value::as_str) {
        if word != "disabled" {
            r.invalid("unreachableStrategy", "must be 'disabled' or an object of two numbers of seconds");
        }
        return Some(UnreachableStrategy::Disabled);
    }
    let r = r.object("unreachableStrategy")?;
    Some(UnreachableStrategy::After {
        inactive_seconds: r.integer("inactiveAfterSeconds", 0, ANY).unwrap_or(0),
        expunge_seconds: r.integer("expungeAfterSeconds", 0, ANY).unwrap_or(0),
    })
}

fn residency(r: &Reader<'_>) -> Residency {
    const BEHAVIORS: &[(&str, &str)] =
        &[("WAIT_FOREVER", "WAIT_FOREVER"), ("RELAUNCH_AFTER_TIMEOUT", "RELAUNCH_AFTER_TIMEOUT")];
    Residency {
        relaunch_escalation_timeout_seconds: r
            .integer("relaunchEscalationTimeoutSeconds", 0, ANY)
            .unwrap_or(3_600),
        task_lost_behavior: r.choice("taskLostBehavior", BEHAVIORS).unwrap_or("WAIT_FOREVER").to_owned(),
    }
}

fn fetch(r: &Reader<'_>) -> Fetch {
    Fetch {
        uri: r.required("uri"),
        extract: r.boolean("extract").unwrap_or(true),
        executable: r.boolean("executable").unwrap_or(false),
        cache: r.boolean("cache").unwrap_or(false),
        dest_path: r.filled("destPath"),
    }
}

fn limit(r: &Reader<'_>, key: &str) -> Option<Limit> {
    if let Some(word) = r.value(key).and_then(Value::as_str) {
        if word != "unlimited" {
            r.invalid(key, "must be a number or 'unlimited'");
        }
        return Some(Limit::Unlimited);
    }
    r.number(key, 0.0, MOST).map(Limit::Amount)
}
