//! The second stage: options into an app. Every default of §4 to §7 is put in, and deprecated inputs become what took
//! their place. Old and new forms of the same thing do not mix.

use std::collections::BTreeMap;

use super::container::{
    Container, ContainerKind, Network, NetworkMode, PortDefinition, PortMapping, TransportProtocol, Volume,
};
use super::health::{HealthCheck, HealthProtocol, IpProtocol};
use super::model::{App, Fetch, KillSelection, Residency, UnreachableStrategy, UpgradeStrategy};
use super::raw::{DockerNetwork, RawApp, RawContainer, RawIpAddress};
use crate::marathon::json::Reader;
use crate::marathon::path_id::{AppId, GroupId, PathId};

/// Endings of archives that `uris` unpacks.
const ARCHIVES: [&str; 9] =
    [".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".gz", ".tgz", ".tbz2", ".txz", ".zip"];

/// The app that `raw` means within `base`; `fixed` is the id that a URL gave. `None` when it has no id to go by.
pub(super) fn normalise(raw: RawApp, base: &GroupId, fixed: Option<&AppId>, r: &Reader<'_>) -> Option<App> {
    let id = id(raw.id.as_deref(), base, fixed, r);
    let container = raw.container;
    let networks = networks(raw.networks, container.as_ref(), raw.ip_address.as_ref(), r);
    let mode = networks.first().map_or(NetworkMode::Host, |network| network.mode);
    let container = normal_container(container, mode, raw.ip_address, r);
    let port_definitions = port_definitions(raw.port_definitions, raw.ports, mode, r);
    let resident = container.as_ref().is_some_and(|container| {
        container.volumes.iter().any(|volume| matches!(volume, Volume::Persistent { .. }))
    });
    let external = container.as_ref().is_some_and(|container| {
        container.volumes.iter().any(|volume| matches!(volume, Volume::External { .. }))
    });
    let upgrade = raw.upgrade_strategy;
    let (minimum, over) = if resident || external { (0.5, 0.0) } else { (1.0, 1.0) };
    let upgrade_strategy = UpgradeStrategy {
        minimum_health_capacity: upgrade.as_ref().and_then(|u| u.minimum_health_capacity).unwrap_or(minimum),
        maximum_over_capacity: upgrade.as_ref().and_then(|u| u.maximum_over_capacity).unwrap_or(over),
    };
    let unreachable = if resident {
        UnreachableStrategy::Disabled
    } else {
        UnreachableStrategy::After { inactive_seconds: 0, expunge_seconds: 0 }
    };
    let residency = raw.residency.or_else(|| {
        resident.then(|| Residency {
            relaunch_escalation_timeout_seconds: 3_600,
            task_lost_behavior: "WAIT_FOREVER".to_owned(),
        })
    });
    let dependencies = dependencies(raw.dependencies.as_deref().unwrap_or_default(), id.as_ref(), r);
    let mut app = App {
        id: id?,
        cmd: raw.cmd,
        args: raw.args.unwrap_or_default(),
        cpus: raw.cpus.unwrap_or(1.0),
        mem: raw.mem.unwrap_or(128.0),
        disk: raw.disk.unwrap_or(0.0),
        gpus: raw.gpus.unwrap_or(0),
        instances: raw.instances.unwrap_or(1),
        user: raw.user,
        env: raw.env.unwrap_or_default(),
        labels: raw.labels.unwrap_or_default(),
        constraints: raw.constraints.unwrap_or_default(),
        accepted_resource_roles: raw.accepted_resource_roles.filter(|roles| !roles.is_empty()),
        role: raw.role,
        container,
        networks,
        port_definitions,
        require_ports: raw.require_ports.unwrap_or(false),
        health_checks: raw.health_checks.unwrap_or_default(),
        check: raw.check,
        readiness_checks: raw.readiness_checks.unwrap_or_default(),
        dependencies,
        upgrade_strategy,
        backoff_seconds: raw.backoff_seconds.unwrap_or(1),
        backoff_factor: raw.backoff_factor.unwrap_or(1.15),
        max_launch_delay_seconds: raw.max_launch_delay_seconds.unwrap_or(300),
        task_kill_grace_period_seconds: raw.task_kill_grace_period_seconds,
        kill_selection: raw.kill_selection.unwrap_or(KillSelection::YoungestFirst),
        unreachable_strategy: raw.unreachable_strategy.unwrap_or(unreachable),
        residency,
        fetch: fetch(raw.fetch, raw.uris, r),
        secrets: raw.secrets.unwrap_or_default(),
        executor: raw.executor.unwrap_or_default(),
        executor_resources: raw.executor_resources,
        resource_limits: raw.resource_limits,
        tty: raw.tty,
        version: raw.version,
        version_info: raw.version_info,
    };
    let ports = app.port_count();
    for check in &mut app.health_checks {
        normal_health_check(check, ports);
    }
    Some(app)
}

fn id(written: Option<&str>, base: &GroupId, fixed: Option<&AppId>, r: &Reader<'_>) -> Option<AppId> {
    let written = written.map(|text| AppId::resolve(text, base));
    match (written, fixed) {
        (Some(Err(error)), _) => {
            r.invalid("id", error.to_string());
            None
        }
        (Some(Ok(id)), Some(fixed)) if id != *fixed => {
            r.invalid("id", format!("must be {fixed}, as in the URL, or absent"));
            None
        }
        (Some(Ok(id)), _) => Some(id),
        (None, Some(fixed)) => Some(fixed.clone()),
        (None, None) => {
            // A value of a wrong type has been noted, which goes first.
            r.invalid("id", "is required");
            None
        }
    }
}

/// Relative ids start from the app's own, so that `../db` is its neighbour.
fn dependencies(written: &[String], id: Option<&AppId>, r: &Reader<'_>) -> Vec<PathId> {
    let base = id.map_or_else(PathId::root, |id| id.path().clone());
    let mut all: Vec<PathId> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    for (at, text) in written.iter().enumerate() {
        match PathId::resolve(text, &base) {
            Ok(id) if !known.insert(id.clone()) => {}
            Ok(id) => all.push(id),
            Err(error) => r.invalid(&format!("dependencies({at})"), error.to_string()),
        }
    }
    all
}

/// Networks, or what the deprecated `container.docker.network` and `ipAddress` say.
fn networks(
    new: Option<Vec<Network>>,
    container: Option<&RawContainer>,
    ip_address: Option<&RawIpAddress>,
    r: &Reader<'_>,
) -> Vec<Network> {
    let docker = container.and_then(|container| container.docker_network);
    let plain = |mode| vec![Network { mode, name: None, labels: BTreeMap::new() }];
    let named = |ip: &RawIpAddress| {
        let (name, labels) = (ip.network_name.clone(), ip.labels.clone());
        vec![Network { mode: NetworkMode::Container, name, labels }]
    };
    match (new.filter(|networks| !networks.is_empty()), docker, ip_address) {
        (Some(networks), docker, ip_address) => {
            if docker.is_some() {
                r.invalid(
                    "container/docker/network",
                    "is deprecated and may not be used together with networks",
                );
            }
            if ip_address.is_some() {
                r.invalid("ipAddress", "is deprecated and may not be used together with networks");
            }
            networks
        }
        (None, Some(DockerNetwork::User) | None, Some(ip)) => named(ip),
        (None, Some(DockerNetwork::User), None) => plain(NetworkMode::Container),
        (None, Some(docker), ip_address) => {
            if ip_address.is_some() {
                r.invalid("ipAddress", "may only be used when container/docker/network is USER or absent");
            }
            plain(if docker == DockerNetwork::Bridge { NetworkMode::Bridge } else { NetworkMode::Host })
        }
        (None, None, None) => plain(NetworkMode::Host),
    }
}

fn normal_container(
    raw: Option<RawContainer>,
    mode: NetworkMode,
    ip_address: Option<RawIpAddress>,
    r: &Reader<'_>,
) -> Option<Container> {
    let discovered = ip_address.map(|ip| ip.ports).unwrap_or_default();
    let Some(raw) = raw else {
        // In modes that map ports there must be something to hold the mappings.
        return (mode != NetworkMode::Host).then(|| Container {
            kind: ContainerKind::Mesos,
            docker: None,
            port_mappings: port_mappings(None, mode, discovered),
            volumes: Vec::new(),
            linux_info: None,
        });
    };
    let old = raw.docker_port_mappings.filter(|mappings| !mappings.is_empty());
    if old.is_some() && raw.port_mappings.as_ref().is_some_and(|mappings| !mappings.is_empty()) {
        r.invalid(
            "container/docker/portMappings",
            "is deprecated and may not be used together with container/portMappings",
        );
    }
    Some(Container {
        kind: raw.kind.unwrap_or(ContainerKind::Docker),
        docker: raw.docker,
        port_mappings: port_mappings(
            raw.port_mappings.filter(|given| !given.is_empty() || old.is_none()).or(old),
            mode,
            discovered,
        ),
        volumes: raw.volumes,
        linux_info: raw.linux_info,
    })
}

fn port_mappings(
    given: Option<Vec<PortMapping>>,
    mode: NetworkMode,
    discovered: Vec<PortMapping>,
) -> Option<Vec<PortMapping>> {
    if mode == NetworkMode::Host {
        // Checked later: mappings have no meaning there.
        return given.filter(|mappings| !mappings.is_empty());
    }
    let mut mappings = match given {
        Some(mappings) => mappings,
        None if !discovered.is_empty() => discovered,
        None => vec![PortMapping {
            container_port: 0,
            host_port: None,
            service_port: 0,
            protocol: TransportProtocol::Tcp,
            name: Some("default".to_owned()),
            labels: BTreeMap::new(),
            network_names: Vec::new(),
        }],
    };
    if mode == NetworkMode::Bridge {
        for mapping in &mut mappings {
            mapping.host_port.get_or_insert(0);
        }
    }
    Some(mappings)
}

/// Port definitions, or what the deprecated `ports` says, or one dynamic port.
fn port_definitions(
    new: Option<Vec<PortDefinition>>,
    old: Option<Vec<u16>>,
    mode: NetworkMode,
    r: &Reader<'_>,
) -> Option<Vec<PortDefinition>> {
    let plain = |port, name: Option<&str>| PortDefinition {
        port,
        protocol: TransportProtocol::Tcp,
        name: name.map(str::to_owned),
        labels: BTreeMap::new(),
    };
    if let (Some(new), Some(old)) = (&new, &old) {
        // Servers of the time between answered with both; then they say the same.
        let same = new.iter().map(|definition| definition.port).eq(old.iter().copied());
        if !same && !old.is_empty() {
            r.invalid("ports", "is deprecated and may not be used together with portDefinitions");
        }
    }
    if mode != NetworkMode::Host {
        return new.filter(|definitions| !definitions.is_empty());
    }
    match (new, old) {
        (Some(new), _) => Some(new),
        (None, Some(old)) => Some(old.into_iter().map(|port| plain(port, None)).collect()),
        (None, None) => Some(vec![plain(0, Some("default"))]),
    }
}

fn fetch(new: Option<Vec<Fetch>>, old: Option<Vec<String>>, r: &Reader<'_>) -> Vec<Fetch> {
    let (new, old) = (new.unwrap_or_default(), old.unwrap_or_default());
    if new.is_empty() {
        let fetch = |uri: String| Fetch {
            extract: extracts(&uri),
            executable: false,
            cache: false,
            dest_path: None,
            uri,
        };
        return old.into_iter().map(fetch).collect();
    }
    // Servers of the time between answered with both; then they say the same.
    if !old.is_empty() && !new.iter().map(|fetch| &fetch.uri).eq(&old) {
        r.invalid("uris", "is deprecated and may not be used together with fetch");
    }
    new
}

fn extracts(uri: &str) -> bool {
    let name = uri.split(['?', '#']).next().unwrap_or_default();
    ARCHIVES.iter().any(|ending| name.ends_with(ending))
}

fn normal_health_check(check: &mut HealthCheck, ports: usize) {
    // What a protocol has no use for is not kept, since it is not written either.
    if check.protocol.is_http() {
        check.path.get_or_insert_with(|| "/".to_owned());
    } else {
        (check.path, check.ignore_http1xx) = (None, false);
    }
    let by_port = check.protocol != HealthProtocol::Command;
    if !by_port {
        check.ip_protocol = IpProtocol::V4;
    }
    if by_port && check.port.is_none() && check.port_index.is_none() && ports > 0 {
        check.port_index = Some(0);
    }
}
