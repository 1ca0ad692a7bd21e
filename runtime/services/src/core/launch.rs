//! From an app and a place to a task (§7, §9).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::Secret;
use api::marathon::{
    App, Check as AppCheck, CheckCommand, CheckKind as AppCheckKind, CheckPort, Condition, EnvValue,
    HealthCheck, HealthProtocol, HttpScheme, IpProtocol, Limit as AppLimit, ReadinessCheck, TaskFacts,
    Volume as AppVolume, VolumeMode, task_environment,
};
use api::mesos::{
    Check, CheckAddress, CheckKind, Command, CommandLine, Limit, Limits, Offer, Purpose, TaskInfo, TaskState,
    Uri, Volume,
};
use scheduler::Scalar;

use super::matching::Fit;
use super::state::Instance;

/// The indexes that no instance of an app has, the lowest first.
#[derive(Debug, Clone)]
pub(crate) struct FreeIndexes {
    taken: BTreeSet<u32>,
    /// All below it are taken.
    next: u32,
}

impl FreeIndexes {
    /// Beside those that instances have.
    pub(crate) fn beside(taken: impl Iterator<Item = u32>) -> FreeIndexes {
        FreeIndexes { taken: taken.collect(), next: 0 }
    }

    /// The lowest one, which is free no more.
    pub(crate) fn take(&mut self) -> u32 {
        while self.taken.contains(&self.next) {
            self.next += 1;
        }
        self.next += 1;
        self.next - 1
    }
}

/// The task that an instance is.
pub(crate) fn task(instance: &Instance, offer: &Offer, fit: Fit) -> TaskInfo {
    let app = &instance.spec;
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    TaskInfo {
        id: instance.key.clone(),
        name: name(app),
        agent: instance.agent.clone(),
        role: offer.role.clone(),
        resources: fit.resources,
        command: Command {
            line: line(app),
            env: environment(instance),
            secrets: secrets(app),
            user: app.user.clone(),
            uris: uris(app),
        },
        limits: limits(app),
        grace: app.task_kill_grace_period_seconds.map(seconds),
        checks: checks(instance),
        labels: app.labels.clone(),
        volumes: volumes(app),
        peers: None,
    }
}

/// In the order that [`What::of`] knows.
fn checks(instance: &Instance) -> Vec<Check> {
    let (app, ports) = (&instance.spec, &instance.ports);
    let health = app.health_checks.iter().map(|check| health_check(check, ports));
    let readiness = app.readiness_checks.iter().take(usize::from(instance.looked_at));
    let readiness = readiness.map(|check| readiness_check(app, check, ports));
    let information = app.check.iter().map(|check| information(app, check, ports));
    health.chain(readiness).chain(information).collect()
}

/// What one of a task's checks is, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A health check, by its place in the app.
    Health(usize),
    /// The readiness check.
    Readiness,
    /// The informational check.
    Information,
}

impl What {
    /// `None` for a number that no check has.
    pub(crate) fn of(instance: &Instance, check: usize) -> Option<What> {
        let app = &instance.spec;
        let readiness = app.readiness_checks.iter().take(usize::from(instance.looked_at));
        let health = (0..app.health_checks.len()).map(What::Health);
        let mut all = health
            .chain(readiness.map(|_| What::Readiness))
            .chain(app.check.iter().map(|_| What::Information));
        all.nth(check)
    }
}

fn volumes(app: &App) -> Vec<Volume> {
    let volumes = app.container.iter().flat_map(|container| &container.volumes);
    let volume = |volume: &AppVolume| match volume {
        AppVolume::Host { container_path, host_path, mode } => Some(Volume {
            container_path: container_path.clone(),
            host_path: host_path.clone(),
            read_only: *mode == VolumeMode::ReadOnly,
        }),
        _ => None,
    };
    volumes.filter_map(volume).collect()
}

/// As a host name: `web.shop` for `/shop/web`.
fn name(app: &App) -> String {
    let mut elements: Vec<&str> = app.id.path().elements().collect();
    elements.reverse();
    elements.join(".")
}

fn line(app: &App) -> CommandLine {
    match &app.cmd {
        Some(cmd) => CommandLine::Shell(cmd.clone()),
        None => CommandLine::Argv(app.args.clone()),
    }
}

fn environment(instance: &Instance) -> BTreeMap<String, Secret> {
    let facts = TaskFacts {
        task: &instance.task,
        host: &instance.host.hostname,
        ports: &instance.ports,
        version: instance.version,
        enforce_group_role: Some(false),
    };
    let mut env = BTreeMap::new();
    env.insert("CLUSTERCTL_INSTANCE_INDEX".to_owned(), Secret::from(instance.index.to_string()));
    env.insert("CLUSTERCTL_INSTANCE_NAME".to_owned(), Secret::from(super::peers::instance_name(instance)));
    let given = task_environment(&instance.spec, &facts);
    env.extend(given.into_iter().map(|(name, value)| (name, Secret::from(value))));
    env
}

/// The variables that are secrets, by the paths of these: values are known where the launch is sent.
fn secrets(app: &App) -> BTreeMap<String, String> {
    let path = |(name, value): (&String, &EnvValue)| match value {
        EnvValue::Secret { secret } => Some((name.clone(), app.secrets.get(secret)?.source.clone())),
        EnvValue::Text(_) => None,
    };
    app.env.iter().filter_map(path).collect()
}

fn uris(app: &App) -> Vec<Uri> {
    let uri = |fetch: &api::marathon::Fetch| Uri {
        value: fetch.uri.clone(),
        executable: fetch.executable,
        extract: fetch.extract,
        cache: fetch.cache,
        output_file: fetch.dest_path.clone(),
    };
    app.fetch.iter().map(uri).collect()
}

fn limits(app: &App) -> Limits {
    let limit = |limit: AppLimit| match limit {
        AppLimit::Unlimited => Some(Limit::Unlimited),
        AppLimit::Amount(amount) => Scalar::from_f64(amount).map(Limit::At),
    };
    let limits = app.resource_limits;
    Limits {
        cpus: limits.and_then(|limits| limits.cpus).and_then(limit),
        mem: limits.and_then(|limits| limits.mem).and_then(limit),
    }
}

/// Checks of HTTP, HTTPS and TCP are decided on here, as in the reference; those that the reference leaves to the agent kill
/// there, at the first failure where the maximum is 0 (§7).
fn health_check(check: &HealthCheck, ports: &[u16]) -> Check {
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    let by_index = || ports.get(usize::try_from(check.port_index.unwrap_or(0)).ok()?).copied();
    let port = check.port.or_else(by_index).unwrap_or(0);
    let agent_run = check.protocol.is_agent_run();
    let address = match (agent_run, check.ip_protocol) {
        (false, _) => CheckAddress::Agent,
        (true, IpProtocol::V4) => CheckAddress::Loopback,
        (true, IpProtocol::V6) => CheckAddress::Loopback6,
    };
    let kind = match check.protocol {
        HealthProtocol::Command => {
            CheckKind::Command(CommandLine::Shell(check.command.clone().unwrap_or_default()))
        }
        HealthProtocol::Tcp | HealthProtocol::MesosTcp => CheckKind::Tcp { address, port },
        HealthProtocol::Http
        | HealthProtocol::Https
        | HealthProtocol::MesosHttp
        | HealthProtocol::MesosHttps => CheckKind::Http {
            address,
            port,
            path: check.path.clone().unwrap_or_else(|| "/".to_owned()),
            tls: matches!(check.protocol, HealthProtocol::Https | HealthProtocol::MesosHttps),
            ignore_1xx: check.ignore_http1xx,
        },
    };
    Check {
        kind,
        delay: seconds(check.delay_seconds),
        interval: seconds(check.interval_seconds),
        timeout: seconds(check.timeout_seconds),
        grace_period: seconds(check.grace_period_seconds),
        kill_after: agent_run.then(|| check.max_consecutive_failures.max(1)),
        purpose: Purpose::Health,
    }
}

/// Of the host's port, as the reference does it, from the start on.
fn readiness_check(app: &App, check: &ReadinessCheck, ports: &[u16]) -> Check {
    let kind = CheckKind::Http {
        address: CheckAddress::Agent,
        port: port_named(app, &check.port_name, ports),
        path: check.path.clone(),
        tls: check.protocol == HealthProtocol::Https,
        ignore_1xx: false,
    };
    let purpose = Purpose::Readiness {
        statuses: check.http_status_codes_for_ready.clone(),
        keep_response: check.preserve_last_response,
    };
    quiet(kind, 0, check.interval_seconds, check.timeout_seconds, purpose)
}

/// Beside the task, as Mesos does it.
fn information(app: &App, check: &AppCheck, ports: &[u16]) -> Check {
    let address = CheckAddress::Loopback;
    let kind = match &check.kind {
        AppCheckKind::Http { at, path, scheme } => CheckKind::Http {
            address,
            port: port_at(app, at, ports),
            path: path.clone().unwrap_or_else(|| "/".to_owned()),
            tls: *scheme == Some(HttpScheme::Https),
            ignore_1xx: false,
        },
        AppCheckKind::Tcp(at) => CheckKind::Tcp { address, port: port_at(app, at, ports) },
        AppCheckKind::Exec { command } => CheckKind::Command(match command {
            CheckCommand::Shell(line) => CommandLine::Shell(line.clone()),
            CheckCommand::Argv(argv) => CommandLine::Argv(argv.clone()),
        }),
    };
    quiet(kind, check.delay_seconds, check.interval_seconds, check.timeout_seconds, Purpose::Information)
}

/// A check that kills nothing.
fn quiet(kind: CheckKind, delay: u32, interval: u32, timeout: u32, purpose: Purpose) -> Check {
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    Check {
        kind,
        delay: seconds(delay),
        interval: seconds(interval),
        timeout: seconds(timeout),
        grace_period: Duration::ZERO,
        kill_after: None,
        purpose,
    }
}

fn port_at(app: &App, at: &CheckPort, ports: &[u16]) -> u16 {
    match (at.port, &at.endpoint) {
        (Some(port), _) => port,
        (None, Some(name)) => port_named(app, name, ports),
        (None, None) => {
            let index = usize::try_from(at.port_index.unwrap_or(0)).unwrap_or(usize::MAX);
            ports.get(index).copied().unwrap_or(0)
        }
    }
}

fn port_named(app: &App, name: &str, ports: &[u16]) -> u16 {
    let index = app.port_names().iter().position(|known| *known == Some(name));
    index.and_then(|index| ports.get(index)).copied().unwrap_or(0)
}

/// A new instance, as it is when its record is written and nothing was sent yet.
pub(crate) const FRESH: (Condition, TaskState) = (Condition::Provisioned, TaskState::Staging);
