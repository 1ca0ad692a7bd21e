//! The third stage: what a definition may not say although every value by itself is right. Collects every mistake.

use std::collections::BTreeSet;

use regex::RegexBuilder;

use super::container::{Container, ContainerKind, NetworkMode, Volume};
use super::health::{CheckCommand, CheckKind, CheckPort, HealthCheck, HealthProtocol};
use super::model::{App, Constraint, EnvValue, Limit, Operator, UnreachableStrategy};
use crate::marathon::json::Problems;

/// The label of apps that must never run twice.
const SINGLE_INSTANCE: &str = "MARATHON_SINGLE_INSTANCE_APP";

/// The largest count that a constraint may name.
const MOST_PER_VALUE: i32 = i32::MAX;

/// Bytes that a pattern may take when it is compiled; patterns of people take a few hundred.
const PATTERN_SIZE: usize = 1 << 20;
/// A pattern may cost up to that size, and a body may hold many.
const MOST_CONSTRAINTS: usize = 100;

/// Where mistakes go: problems below the path of the app.
struct Report<'a> {
    base: &'a str,
    problems: &'a Problems,
}

impl Report<'_> {
    fn add(&self, path: &str, message: impl Into<String>) {
        self.problems.invalid(&format!("{}{path}", self.base), message);
    }

    fn require(&self, holds: bool, path: &str, message: &str) {
        if !holds {
            self.add(path, message);
        }
    }
}

/// Checks the app, which stands at `base`.
pub(super) fn validate(app: &App, base: &str, problems: &Problems) {
    let report = Report { base, problems };
    command(app, &report);
    environment(app, &report);
    constraints(&app.constraints, "/constraints", &report);
    networks(app, &report);
    ports(app, &report);
    if let Some(container) = &app.container {
        check_container(app, container, &report);
    }
    health_checks(app, &report);
    readiness_checks(app, &report);
    check(app, &report);
    dependencies(app, &report);
    capacities(app, &report);
    fetches(app, &report);
    resources(app, &report);
}

fn command(app: &App, report: &Report<'_>) {
    let image = app.container.as_ref().is_some_and(|container| container.docker.is_some());
    match (&app.cmd, app.args.is_empty()) {
        (Some(_), false) => report.add("/", "AppDefinition must not contain both 'cmd' and 'args'."),
        (None, true) if !image => {
            report
                .add("/", "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.");
        }
        _ => {}
    }
    no_nul(report, "/cmd", app.cmd.as_deref());
    no_nul(report, "/user", app.user.as_deref());
    for (at, arg) in app.args.iter().enumerate() {
        no_nul(report, &format!("/args({at})"), Some(arg));
    }
    report.require(matches!(app.executor.as_str(), "" | "//cmd"), "/executor", "must be '//cmd' or empty");
}

/// Texts that a process is started with end at NUL.
fn no_nul(report: &Report<'_>, path: &str, text: Option<&str>) {
    report.require(!text.is_some_and(|text| text.contains('\0')), path, "must not contain the character NUL");
}

fn environment(app: &App, report: &Report<'_>) {
    for (name, value) in &app.env {
        let path = format!("/env/{}", name.replace('\0', "\u{fffd}"));
        report.require(!name.is_empty(), &path, "must have a name");
        report.require(!name.contains('='), &path, "must not have a name with '='");
        no_nul(report, &path, Some(name));
        match value {
            EnvValue::Text(text) => no_nul(report, &path, Some(text)),
            EnvValue::Secret { secret } => refers_to_secret(app, report, &format!("{path}/secret"), secret),
        }
    }
}

fn refers_to_secret(app: &App, report: &Report<'_>, path: &str, secret: &str) {
    report.require(app.secrets.contains_key(secret), path, "must name one of the app's secrets");
}

/// Checks constraints (§5).
fn constraints(constraints: &[Constraint], path: &str, report: &Report<'_>) {
    report.require(constraints.len() <= MOST_CONSTRAINTS, path, "has more than 100 constraints");
    for (at, constraint) in constraints.iter().take(MOST_CONSTRAINTS).enumerate() {
        let path = format!("{path}({at})");
        report.require(!constraint.field.is_empty(), &path, "must name a field");
        let value = constraint.value.as_deref();
        let count = |text: &str| text.parse::<i32>().is_ok_and(|count| (1..=MOST_PER_VALUE).contains(&count));
        let word = constraint.operator.word();
        match (constraint.operator, value) {
            (Operator::Unique, Some(_)) => report.add(&path, "UNIQUE takes no value"),
            (Operator::GroupBy, Some(value)) | (Operator::MaxPer, Some(value)) if !count(value) => {
                report.add(&path, format!("the value of {word} must be a whole number of at least 1"));
            }
            (Operator::Like | Operator::Unlike, Some(pattern)) => {
                let pattern_fault = RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).build().err();
                if let Some(error) = pattern_fault {
                    let why = error.to_string();
                    let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
                    report.add(&path, format!("'{pattern}' is not a valid regular expression: {why}"));
                }
            }
            (Operator::Is, Some(value)) if value.starts_with(['[', '{']) => {
                report.add(&path, "the value of IS must be a number or a text, not a range or a set");
            }
            (Operator::Like | Operator::Unlike | Operator::MaxPer | Operator::Is, None) => {
                report.add(&path, format!("{word} needs a value"));
            }
            _ => {}
        }
    }
}

fn networks(app: &App, report: &Report<'_>) {
    let mode = app.network_mode();
    let mixed = app.networks.iter().any(|network| network.mode != mode);
    let single = mode == NetworkMode::Container || app.networks.len() == 1;
    report.require(
        !mixed && single,
        "/networks",
        "must be one host network, one bridge network, or one or more container networks, never mixed",
    );
    for (at, network) in app.networks.iter().enumerate() {
        let path = format!("/networks({at})/name");
        if network.mode == NetworkMode::Container {
            report.require(network.name.is_some(), &path, "is required in mode container");
        } else {
            report.require(network.name.is_none(), &path, "is allowed only in mode container");
        }
    }
    if mode == NetworkMode::Host {
        let mappings = app.container.as_ref().is_some_and(|container| container.port_mappings.is_some());
        report.require(
            !mappings,
            "/container/portMappings",
            "is not allowed in host mode: use portDefinitions",
        );
    } else {
        report.require(app.port_definitions.is_none(), "/portDefinitions", "is allowed only in host mode");
        report.require(!app.require_ports, "/requirePorts", "is allowed only in host mode");
    }
}

fn ports(app: &App, report: &Report<'_>) {
    let definitions = app.port_definitions.as_deref().unwrap_or_default();
    let numbers = definitions.iter().map(|definition| definition.port);
    report.require(unique(numbers.filter(|port| *port != 0)), "/portDefinitions", "Ports must be unique.");
    let mappings = app.container.iter().flat_map(|container| container.port_mappings.iter().flatten());
    let hosts = mappings.clone().map(|mapping| (mapping.host_port.unwrap_or(0), mapping.protocol.word()));
    let services = mappings.map(|mapping| mapping.service_port);
    report.require(
        unique(hosts.filter(|(port, _)| *port != 0)) && unique(services.filter(|port| *port != 0)),
        "/container/portMappings",
        "Ports must be unique.",
    );
    let path =
        if app.network_mode() == NetworkMode::Host { "/portDefinitions" } else { "/container/portMappings" };
    report.require(unique(app.port_names().into_iter().flatten()), path, "Port names must be unique.");
}

fn unique<T: Ord>(items: impl IntoIterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    items.into_iter().all(|item| seen.insert(item))
}

fn check_container(app: &App, container: &Container, report: &Report<'_>) {
    if container.kind == ContainerKind::Docker {
        report.require(
            container.docker.is_some(),
            "/container/docker",
            "is required for a container of type DOCKER",
        );
        report.require(app.gpus == 0, "/gpus", "is not allowed with a container of type DOCKER");
        report.require(app.networks.len() == 1, "/networks", "must be one for a container of type DOCKER");
    }
    if let Some(secret) = container.docker.as_ref().and_then(|docker| docker.pull_config.as_ref()) {
        refers_to_secret(app, report, "/container/docker/pullConfig/secret", &secret.secret);
    }
    for (at, volume) in container.volumes.iter().enumerate() {
        let path = format!("/container/volumes({at})");
        container_path(volume, &format!("{path}/containerPath"), report);
        match volume {
            Volume::Host { host_path, .. } => {
                let path = format!("{path}/hostPath");
                no_nul(report, &path, Some(host_path));
                report.require(!climbs(host_path), &path, "must not contain '..'");
            }
            Volume::Persistent { persistent, .. } => {
                constraints(&persistent.constraints, &format!("{path}/persistent/constraints"), report);
            }
            Volume::Secret { secret, .. } => refers_to_secret(app, report, &format!("{path}/secret"), secret),
            Volume::External { .. } => {}
        }
    }
}

fn climbs(path: &str) -> bool {
    path.split('/').any(|element| element == "..")
}

/// Where a volume appears: within the task's own world, and not in the place of what the task lives by.
fn container_path(volume: &Volume, path: &str, report: &Report<'_>) {
    let place = volume.container_path();
    no_nul(report, path, Some(place));
    report.require(!climbs(place), path, "must not contain '..'");
    if matches!(volume, Volume::Persistent { .. }) {
        report.require(!place.contains('/'), path, "must not contain '/'");
    } else if place.starts_with('/') {
        let first = place.split('/').find(|element| !matches!(*element, "" | "."));
        report.require(first.is_some(), path, "must not be the root");
        report.require(first != Some("proc"), path, "must not be /proc nor below it");
    }
}

fn health_checks(app: &App, report: &Report<'_>) {
    let at_agent = app.health_checks.iter().filter(|check| check.protocol.is_agent_run()).count();
    report.require(at_agent <= 1, "/healthChecks", "may hold at most one COMMAND or MESOS_* check");
    for (at, check) in app.health_checks.iter().enumerate() {
        health_check(app, check, &format!("/healthChecks({at})"), report);
    }
}

fn health_check(app: &App, check: &HealthCheck, path: &str, report: &Report<'_>) {
    let command = format!("{path}/command");
    let port_index = format!("{path}/portIndex");
    if check.protocol == HealthProtocol::Command {
        report.require(check.command.is_some(), &command, "is required for the protocol COMMAND");
        no_nul(report, &command, check.command.as_deref());
        return;
    }
    report.require(check.command.is_none(), &command, "is allowed only for the protocol COMMAND");
    match (check.port, check.port_index) {
        (Some(_), Some(_)) => report.add(&port_index, "may not be used together with port"),
        (None, None) => report.add(&port_index, "needs a port of the app, which has none"),
        (None, Some(index)) => {
            let in_range = usize::try_from(index).is_ok_and(|index| index < app.port_count());
            report.require(
                in_range,
                &port_index,
                "Health check port indices must address an element of the ports array or container port mappings.",
            );
        }
        (Some(_), None) => {}
    }
    one_line(report, &format!("{path}/path"), check.path.as_deref());
}

/// A path goes into the first line of a request.
fn one_line(report: &Report<'_>, path: &str, text: Option<&str>) {
    let clean = |text: &str| !text.chars().any(|c| c.is_control() || c == ' ');
    report.require(text.is_none_or(clean), path, "must not contain spaces nor control characters");
}

fn readiness_checks(app: &App, report: &Report<'_>) {
    report.require(app.readiness_checks.len() <= 1, "/readinessChecks", "may hold at most one check");
    let names = app.port_names();
    for (at, check) in app.readiness_checks.iter().enumerate() {
        let path = format!("/readinessChecks({at})");
        let named = names.contains(&Some(check.port_name.as_str()));
        report.require(named, &format!("{path}/portName"), "must name one of the app's ports");
        let in_time = check.timeout_seconds < check.interval_seconds;
        report.require(in_time, &format!("{path}/timeoutSeconds"), "must be less than intervalSeconds");
        one_line(report, &format!("{path}/path"), Some(&check.path));
        let any = !check.http_status_codes_for_ready.is_empty();
        report.require(any, &format!("{path}/httpStatusCodesForReady"), "must not be empty");
    }
}

fn check(app: &App, report: &Report<'_>) {
    let Some(check) = &app.check else { return };
    match &check.kind {
        CheckKind::Http { at, path, .. } => {
            check_port(app, at, "/check/http", report);
            one_line(report, "/check/http/path", path.as_deref());
        }
        CheckKind::Tcp(at) => check_port(app, at, "/check/tcp", report),
        CheckKind::Exec { command } => {
            let path = "/check/exec/command";
            match command {
                CheckCommand::Shell(line) => no_nul(report, path, Some(line)),
                CheckCommand::Argv(argv) => argv.iter().for_each(|arg| no_nul(report, path, Some(arg))),
            }
        }
    }
}

fn check_port(app: &App, at: &CheckPort, path: &str, report: &Report<'_>) {
    match (at.port_index, at.port, at.endpoint.as_deref()) {
        (None, None, None) => {
            report.require(app.port_count() > 0, path, "needs a port of the app, which has none");
        }
        (Some(index), None, None) => {
            let in_range = usize::try_from(index).is_ok_and(|index| index < app.port_count());
            report.require(
                in_range,
                &format!("{path}/portIndex"),
                "must be the place of one of the app's ports",
            );
        }
        (None, Some(_), None) => {}
        (None, None, Some(name)) => {
            let named = app.port_names().contains(&Some(name));
            report.require(named, &format!("{path}/endpoint"), "must name one of the app's ports");
        }
        _ => report.add(path, "must have at most one of portIndex, port, endpoint"),
    }
}

fn dependencies(app: &App, report: &Report<'_>) {
    for dependency in &app.dependencies {
        let circle = dependency.contains(app.id.path());
        report.require(
            !circle,
            "/dependencies",
            "must hold neither the app itself nor a group that it stands in, which would be cyclic",
        );
    }
}

fn capacities(app: &App, report: &Report<'_>) {
    let strategy = app.upgrade_strategy;
    let (minimum, over) = ("/upgradeStrategy/minimumHealthCapacity", "/upgradeStrategy/maximumOverCapacity");
    if app.labels.get(SINGLE_INSTANCE).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        report.require(
            app.instances <= 1,
            "/instances",
            &format!("must be at most 1 with the label {SINGLE_INSTANCE}"),
        );
        let message = format!("must be 0 with the label {SINGLE_INSTANCE}");
        report.require(strategy.minimum_health_capacity == 0.0, minimum, &message);
        report.require(strategy.maximum_over_capacity == 0.0, over, &message);
    }
    let volumes = app.container.iter().flat_map(|container| &container.volumes);
    if volumes.into_iter().any(|volume| matches!(volume, Volume::Persistent { .. })) {
        report.require(strategy.maximum_over_capacity == 0.0, over, "must be 0 with persistent volumes");
        let disabled = app.unreachable_strategy == UnreachableStrategy::Disabled;
        report.require(disabled, "/unreachableStrategy", "must be disabled with persistent volumes");
    }
    if let UnreachableStrategy::After { inactive_seconds, expunge_seconds } = app.unreachable_strategy {
        report.require(
            inactive_seconds <= expunge_seconds,
            "/unreachableStrategy/inactiveAfterSeconds",
            "must not be greater than expungeAfterSeconds",
        );
    }
}

fn fetches(app: &App, report: &Report<'_>) {
    for (at, fetch) in app.fetch.iter().enumerate() {
        let path = format!("/fetch({at})");
        let clean = !fetch.uri.chars().any(|c| c.is_control() || c.is_whitespace());
        report.require(clean, &format!("{path}/uri"), "URI has invalid syntax.");
        if let Some(place) = &fetch.dest_path {
            let path = format!("{path}/destPath");
            no_nul(report, &path, Some(place));
            let inside = !place.starts_with('/') && !climbs(place);
            report.require(
                inside,
                &path,
                "must be a path within the sandbox: neither absolute nor with '..'",
            );
        }
    }
}

fn resources(app: &App, report: &Report<'_>) {
    let Some(limits) = app.resource_limits else { return };
    for (name, limit, request) in [("cpus", limits.cpus, app.cpus), ("mem", limits.mem, app.mem)] {
        if let Some(Limit::Amount(amount)) = limit {
            let path = format!("/resourceLimits/{name}");
            report.require(amount >= request, &path, &format!("must be at least {name}, which is {request}"));
        }
    }
}
