//! From an app and a place to a task (§7, §9).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::Secret;
use api::marathon::{
    App, Condition, HealthCheck, HealthProtocol, IpProtocol, Limit as AppLimit, TaskFacts, task_environment,
};
use api::mesos::{
    Check, CheckAddress, CheckKind, Command, CommandLine, Limit, Limits, Offer, TaskInfo, TaskState, Uri,
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
            user: app.user.clone(),
            uris: uris(app),
        },
        limits: limits(app),
        grace: app.task_kill_grace_period_seconds.map(seconds),
        checks: app.health_checks.iter().map(|check| health_check(check, &instance.ports)).collect(),
        labels: app.labels.clone(),
    }
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
    let given = task_environment(&instance.spec, &facts);
    env.extend(given.into_iter().map(|(name, value)| (name, Secret::from(value))));
    env
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
    }
}

/// A new instance, as it is when its record is written and nothing was sent yet.
pub(crate) const FRESH: (Condition, TaskState) = (Condition::Provisioned, TaskState::Staging);
