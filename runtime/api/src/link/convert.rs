//! Between the link's messages and typed values.

use std::time::Duration;

use scheduler::{AgentId, Bundle, Range, Ranges, Resources, Role, Scalar};

use super::LinkError;
use super::wire;
use crate::Secret;
use crate::marathon::{Timestamp, Uuid};
use crate::mesos::{
    Check, CheckAddress, CheckKind, Command, CommandLine, HealthReport, Limit, Limits, Peers, Purpose,
    Reason, Response, Sight, Source, TaskInfo, TaskKey, TaskState, TaskStatus, Uri, Volume,
};

fn wrong(field: &'static str, problem: impl std::fmt::Display) -> LinkError {
    LinkError { field, problem: format!("{problem}") }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn bounded(field: &'static str, thousandths: i64) -> Result<Scalar, LinkError> {
    let amount = Scalar::from_thousandths(thousandths);
    let good = (Scalar::ZERO..=Scalar::LIMIT).contains(&amount);
    good.then_some(amount).ok_or_else(|| wrong(field, format!("{amount} is out of bounds")))
}

/// Resources, one entry per name and role.
#[must_use]
pub fn resources_to_wire(resources: &Resources) -> Vec<wire::Resource> {
    use wire::resource::Value;
    let mut out = Vec::new();
    for (role, bundle) in resources.parts() {
        let mut push = |name: &str, value| {
            out.push(wire::Resource { name: name.to_owned(), role: role.to_string(), value: Some(value) });
        };
        for (name, amount) in bundle.scalar_entries() {
            push(name, Value::ScalarThousandths(amount.thousandths()));
        }
        for (name, ranges) in bundle.ranges_entries() {
            let range = ranges.as_slice().iter().map(|r| wire::Range { begin: r.begin(), end: r.end() });
            push(name, Value::Ranges(wire::Ranges { range: range.collect() }));
        }
        for (name, items) in bundle.set_entries() {
            push(name, Value::Set(wire::Set { item: items.iter().cloned().collect() }));
        }
    }
    out
}

/// Resources again.
///
/// # Errors
/// When a role is none, an amount is negative or beyond the scheduler's limit, or a range is backwards.
pub fn resources_from_wire(entries: &[wire::Resource]) -> Result<Resources, LinkError> {
    use wire::resource::Value;
    let mut resources = Resources::default();
    for entry in entries {
        let role: Role = entry.role.parse().map_err(|e| wrong("resources.role", e))?;
        let mut bundle = Bundle::default();
        match &entry.value {
            Some(Value::ScalarThousandths(amount)) => {
                bundle.add_scalar(&entry.name, bounded("resources", *amount)?);
            }
            Some(Value::Ranges(ranges)) => {
                let mut parts = Vec::with_capacity(ranges.range.len());
                for range in &ranges.range {
                    let range = Range::new(range.begin, range.end)
                        .ok_or_else(|| wrong("resources", format!("{} has a backward range", entry.name)))?;
                    parts.push(range);
                }
                bundle.add_ranges(&entry.name, &parts.into_iter().collect::<Ranges>());
            }
            Some(Value::Set(set)) => bundle.add_set(&entry.name, &set.item.iter().cloned().collect()),
            None => return Err(wrong("resources", format!("{} has no value", entry.name))),
        }
        resources.add_part(&role, &bundle);
    }
    Ok(resources)
}

/// A task's description for the wire.
#[must_use]
pub fn info_to_wire(info: &TaskInfo) -> wire::TaskInfo {
    let limit = |limit: Limit| match limit {
        Limit::At(amount) => wire::Limit { thousandths: Some(amount.thousandths()) },
        Limit::Unlimited => wire::Limit { thousandths: None },
    };
    wire::TaskInfo {
        id: info.id.to_string(),
        name: info.name.clone(),
        agent_id: info.agent.to_string(),
        role: info.role.to_string(),
        resources: resources_to_wire(&info.resources),
        command: Some(wire::Command {
            line: Some(line_to_wire(&info.command.line)),
            env: info.command.env.iter().map(|(k, v)| (k.clone(), v.expose().to_owned())).collect(),
            user: info.command.user.clone(),
            uris: info
                .command
                .uris
                .iter()
                .map(|uri| wire::Uri {
                    value: uri.value.clone(),
                    executable: uri.executable,
                    extract: uri.extract,
                    cache: uri.cache,
                    output_file: uri.output_file.clone(),
                })
                .collect(),
        }),
        cpus_limit: info.limits.cpus.map(limit),
        mem_limit: info.limits.mem.map(limit),
        grace_ms: info.grace.map(millis),
        checks: info.checks.iter().map(check_to_wire).collect(),
        labels: info.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        volumes: info
            .volumes
            .iter()
            .map(|volume| wire::Volume {
                container_path: volume.container_path.clone(),
                host_path: volume.host_path.clone(),
                read_only: volume.read_only,
            })
            .collect(),
        peers: info.peers.as_ref().map(peers_to_wire),
    }
}

/// A task's peers for the wire.
#[must_use]
pub fn peers_to_wire(peers: &Peers) -> wire::Peers {
    wire::Peers { version: peers.version, json: peers.json.to_string(), tsv: peers.tsv.to_string() }
}

/// A task's peers again.
#[must_use]
pub fn peers_from_wire(peers: wire::Peers) -> Peers {
    Peers { version: peers.version, json: peers.json.into(), tsv: peers.tsv.into() }
}

/// A task's description again.
///
/// # Errors
/// When something that every task has is missing or wrong.
pub fn info_from_wire(info: wire::TaskInfo) -> Result<TaskInfo, LinkError> {
    let limit = |limit: wire::Limit| match limit.thousandths {
        Some(amount) => bounded("limits", amount).map(Limit::At),
        None => Ok(Limit::Unlimited),
    };
    let command = info.command.ok_or_else(|| wrong("command", "is missing"))?;
    Ok(TaskInfo {
        id: info.id.parse().map_err(|e| wrong("id", e))?,
        name: info.name,
        agent: AgentId::from(info.agent_id),
        role: info.role.parse().map_err(|e| wrong("role", e))?,
        resources: resources_from_wire(&info.resources)?,
        command: Command {
            line: line_from_wire(command.line.ok_or_else(|| wrong("command.line", "is missing"))?),
            env: command.env.into_iter().map(|(k, v)| (k, Secret::from(v))).collect(),
            secrets: [].into(),
            user: command.user,
            uris: command
                .uris
                .into_iter()
                .map(|uri| Uri {
                    value: uri.value,
                    executable: uri.executable,
                    extract: uri.extract,
                    cache: uri.cache,
                    output_file: uri.output_file,
                })
                .collect(),
        },
        limits: Limits {
            cpus: info.cpus_limit.map(limit).transpose()?,
            mem: info.mem_limit.map(limit).transpose()?,
        },
        grace: info.grace_ms.map(Duration::from_millis),
        checks: info.checks.into_iter().map(check_from_wire).collect::<Result<_, _>>()?,
        labels: info.labels.into_iter().collect(),
        volumes: info
            .volumes
            .into_iter()
            .map(|volume| Volume {
                container_path: volume.container_path,
                host_path: volume.host_path,
                read_only: volume.read_only,
            })
            .collect(),
        peers: info.peers.map(peers_from_wire),
    })
}

fn line_to_wire(line: &CommandLine) -> wire::CommandLine {
    match line {
        CommandLine::Shell(text) => wire::CommandLine { shell: Some(text.clone()), argv: vec![] },
        CommandLine::Argv(argv) => wire::CommandLine { shell: None, argv: argv.clone() },
    }
}

fn line_from_wire(line: wire::CommandLine) -> CommandLine {
    match line.shell {
        Some(text) => CommandLine::Shell(text),
        None => CommandLine::Argv(line.argv),
    }
}

fn check_to_wire(check: &Check) -> wire::Check {
    use wire::check::Kind;
    let address = |address: CheckAddress| {
        match address {
            CheckAddress::Agent => wire::CheckAddress::Agent,
            CheckAddress::Loopback => wire::CheckAddress::Loopback,
            CheckAddress::Loopback6 => wire::CheckAddress::Loopback6,
        }
        .into()
    };
    let kind = match &check.kind {
        CheckKind::Http { address: whose, port, path, tls, ignore_1xx } => Kind::Http(wire::HttpCheck {
            address: address(*whose),
            port: u32::from(*port),
            path: path.clone(),
            tls: *tls,
            ignore_1xx: *ignore_1xx,
        }),
        CheckKind::Tcp { address: whose, port } => {
            Kind::Tcp(wire::TcpCheck { address: address(*whose), port: u32::from(*port) })
        }
        CheckKind::Command(line) => Kind::Command(line_to_wire(line)),
    };
    wire::Check {
        delay_ms: millis(check.delay),
        interval_ms: millis(check.interval),
        timeout_ms: millis(check.timeout),
        grace_period_ms: millis(check.grace_period),
        kill_after: check.kill_after,
        kind: Some(kind),
        purpose: match &check.purpose {
            Purpose::Health => None,
            Purpose::Readiness { statuses, keep_response } => {
                Some(wire::check::Purpose::Readiness(wire::Readiness {
                    status: statuses.iter().copied().map(u32::from).collect(),
                    keep_response: *keep_response,
                }))
            }
            Purpose::Information => Some(wire::check::Purpose::Information(wire::Information {})),
        },
    }
}

fn check_from_wire(check: wire::Check) -> Result<Check, LinkError> {
    use wire::check::Kind;
    let address = |address: i32| match wire::CheckAddress::try_from(address) {
        Ok(wire::CheckAddress::Agent) => Ok(CheckAddress::Agent),
        Ok(wire::CheckAddress::Loopback) => Ok(CheckAddress::Loopback),
        Ok(wire::CheckAddress::Loopback6) => Ok(CheckAddress::Loopback6),
        Err(e) => Err(wrong("checks.address", e)),
    };
    let port = |port: u32| u16::try_from(port).map_err(|e| wrong("checks.port", e));
    let kind = match check.kind.ok_or_else(|| wrong("checks", "is of an unknown kind"))? {
        Kind::Http(http) => CheckKind::Http {
            address: address(http.address)?,
            port: port(http.port)?,
            path: http.path,
            tls: http.tls,
            ignore_1xx: http.ignore_1xx,
        },
        Kind::Tcp(tcp) => CheckKind::Tcp { address: address(tcp.address)?, port: port(tcp.port)? },
        Kind::Command(line) => CheckKind::Command(line_from_wire(line)),
    };
    Ok(Check {
        kind,
        delay: Duration::from_millis(check.delay_ms),
        interval: Duration::from_millis(check.interval_ms),
        timeout: Duration::from_millis(check.timeout_ms),
        grace_period: Duration::from_millis(check.grace_period_ms),
        kill_after: check.kill_after,
        purpose: match check.purpose {
            None => Purpose::Health,
            Some(wire::check::Purpose::Readiness(readiness)) => Purpose::Readiness {
                statuses: readiness.status.into_iter().map(status).collect::<Result<_, _>>()?,
                keep_response: readiness.keep_response,
            },
            Some(wire::check::Purpose::Information(wire::Information {})) => Purpose::Information,
        },
    })
}

fn status(status: u32) -> Result<u16, LinkError> {
    u16::try_from(status).map_err(|e| wrong("status", e))
}

/// A status for the wire.
#[must_use]
pub fn status_to_wire(status: &TaskStatus) -> wire::TaskStatus {
    wire::TaskStatus {
        task_id: status.task.to_string(),
        state: status.state.name().to_owned(),
        message: status.message.clone(),
        source: status.source.name().to_owned(),
        reason: status.reason.map(|reason| reason.name().to_owned()),
        agent_id: status.agent.as_ref().map(ToString::to_string).unwrap_or_default(),
        uuid: status.uuid.map(|uuid| uuid.as_u128().to_be_bytes().to_vec()).unwrap_or_default(),
        healthy: status.healthy,
        timestamp: status.timestamp.as_millis(),
        addresses: status.addresses.iter().map(ToString::to_string).collect(),
    }
}

/// A status again. A reason that this version does not know is left out.
///
/// # Errors
/// When task, state, source, uuid or an address is none.
pub fn status_from_wire(status: wire::TaskStatus) -> Result<TaskStatus, LinkError> {
    let unknown = |text: &str| format!("{text:?} is not known");
    Ok(TaskStatus {
        task: status.task_id.parse::<TaskKey>().map_err(|e| wrong("task_id", e))?,
        state: TaskState::from_name(&status.state).ok_or_else(|| wrong("state", unknown(&status.state)))?,
        message: status.message,
        source: Source::from_name(&status.source).ok_or_else(|| wrong("source", unknown(&status.source)))?,
        reason: status.reason.and_then(|reason| Reason::from_name(&reason)),
        agent: (!status.agent_id.is_empty()).then(|| AgentId::from(status.agent_id)),
        uuid: check_uuid(&status.uuid)?,
        healthy: status.healthy,
        timestamp: Timestamp::from_millis(status.timestamp),
        addresses: status
            .addresses
            .iter()
            .map(|text| text.parse().map_err(|e| wrong("addresses", e)))
            .collect::<Result<_, _>>()?,
    })
}

/// A uuid of 16 bytes; none when there are none.
///
/// # Errors
/// When there are some, but not 16.
pub fn check_uuid(bytes: &[u8]) -> Result<Option<Uuid>, LinkError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let Ok(bytes) = <[u8; 16]>::try_from(bytes) else {
        return Err(wrong("uuid", format!("has {} bytes, not 16", bytes.len())));
    };
    Ok(Some(Uuid::from_bits(u128::from_be_bytes(bytes))))
}

/// A check's result for the wire.
#[must_use]
pub fn health_to_wire(framework: &str, report: &HealthReport) -> wire::HealthReport {
    wire::HealthReport {
        framework_id: framework.to_owned(),
        task_id: report.task.to_string(),
        check: u32::try_from(report.check).unwrap_or(u32::MAX),
        alive: report.alive,
        consecutive_failures: report.consecutive_failures,
        first_success: report.first_success.map(Timestamp::as_millis),
        last_success: report.last_success.map(Timestamp::as_millis),
        last_failure: report.last_failure.map(Timestamp::as_millis),
        last_failure_cause: report.last_failure_cause.clone(),
        sight: report.sight.as_ref().map(|sight| match sight {
            Sight::Response(response) => wire::health_report::Sight::Response(wire::HttpResponse {
                status: u32::from(response.status),
                content_type: response.content_type.clone(),
                body: response.body.clone(),
            }),
            Sight::Status(status) => wire::health_report::Sight::Status(u32::from(*status)),
            Sight::Connected(connected) => wire::health_report::Sight::Connected(*connected),
            Sight::Exit(code) => wire::health_report::Sight::ExitCode(*code),
        }),
    }
}

/// A check's result again.
///
/// # Errors
/// When the task id is none, or a status.
pub fn health_from_wire(agent: &AgentId, report: wire::HealthReport) -> Result<HealthReport, LinkError> {
    let sight = match report.sight {
        None => None,
        Some(wire::health_report::Sight::Response(response)) => Some(Sight::Response(Response {
            status: status(response.status)?,
            content_type: response.content_type,
            body: response.body,
        })),
        Some(wire::health_report::Sight::Status(number)) => Some(Sight::Status(status(number)?)),
        Some(wire::health_report::Sight::Connected(connected)) => Some(Sight::Connected(connected)),
        Some(wire::health_report::Sight::ExitCode(code)) => Some(Sight::Exit(code)),
    };
    Ok(HealthReport {
        task: report.task_id.parse().map_err(|e| wrong("task_id", e))?,
        agent: agent.clone(),
        check: report.check as usize,
        alive: report.alive,
        consecutive_failures: report.consecutive_failures,
        first_success: report.first_success.map(Timestamp::from_millis),
        last_success: report.last_success.map(Timestamp::from_millis),
        last_failure: report.last_failure.map(Timestamp::from_millis),
        last_failure_cause: report.last_failure_cause,
        sight,
    })
}
