//! Service ports (§6): every 0 of a definition gets a number that no other app of the cluster has.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use thiserror::Error;

use super::app::{App, NetworkMode};
use super::error::ApiError;

/// All numbers of the range are taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("No more service ports are free between {} and {}", .range.start(), .range.end())]
pub struct NoFreePort {
    range: RangeInclusive<u16>,
}

impl From<NoFreePort> for ApiError {
    fn from(error: NoFreePort) -> ApiError {
        ApiError::invalid("/portDefinitions", error.to_string())
    }
}

/// The service ports of an app, in the order of its ports; 0 where none is assigned.
fn ports_of(app: &App) -> Vec<u16> {
    match app.network_mode() {
        NetworkMode::Host => app.port_definitions.iter().flatten().map(|port| port.port).collect(),
        _ => {
            let mappings =
                app.container.iter().flat_map(|container| container.port_mappings.iter().flatten());
            mappings.map(|mapping| mapping.service_port).collect()
        }
    }
}

fn set_ports(app: &mut App, ports: &[u16]) {
    if app.network_mode() == NetworkMode::Host {
        for (definition, port) in app.port_definitions.iter_mut().flatten().zip(ports) {
            definition.port = *port;
        }
    } else if let Some(container) = &mut app.container {
        for (mapping, port) in container.port_mappings.iter_mut().flatten().zip(ports) {
            mapping.service_port = *port;
        }
    }
}

impl App {
    /// The service ports, in the order of its ports; 0 where none is assigned yet.
    pub fn service_ports(&self) -> Vec<u16> {
        ports_of(self)
    }
}

/// Gives every port of `app` that is 0 a number of `range`. A port keeps the number that the port at its place had in
/// `previous`; other numbers are ones that are not `taken` by other apps.
/// With `requirePorts` too, as in the reference, although the number then binds placement.
pub fn assign_service_ports(
    app: &mut App,
    previous: Option<&App>,
    taken: impl Fn(u16) -> bool,
    range: RangeInclusive<u16>,
) -> Result<(), NoFreePort> {
    let mut ports = ports_of(app);
    let before = previous.map(ports_of).unwrap_or_default();
    let mut used: BTreeSet<u16> = ports.iter().copied().collect();
    for (port, kept) in ports.iter_mut().zip(before) {
        if *port == 0 && range.contains(&kept) && used.insert(kept) {
            *port = kept;
        }
    }
    let mut free = range.clone().filter(|port| !taken(*port) && !used.contains(port));
    for port in ports.iter_mut().filter(|port| **port == 0) {
        *port = free.next().ok_or_else(|| NoFreePort { range: range.clone() })?;
    }
    set_ports(app, &ports);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::marathon::GroupId;

    fn app(ports: &[u16]) -> App {
        let ports: Vec<_> = ports.iter().map(|port| json!({ "port": port })).collect();
        App::create(&json!({"id": "a", "cmd": "x", "portDefinitions": ports}), &GroupId::root()).unwrap()
    }

    #[test]
    fn ports_get_free_numbers_and_keep_them_across_updates() {
        let taken = |port| [10_000, 10_002].contains(&port);
        let mut first = app(&[0, 8080, 0]);
        assign_service_ports(&mut first, None, taken, 10_000..=10_005).unwrap();
        assert_eq!(first.service_ports(), [10_001, 8080, 10_003]);
        let mut second = app(&[0, 0, 0, 0]);
        assign_service_ports(&mut second, Some(&first), taken, 10_000..=10_005).unwrap();
        assert_eq!(second.service_ports(), [10_001, 10_004, 10_003, 10_005]);
        let mut third = app(&[10_001, 0]);
        assign_service_ports(&mut third, Some(&app(&[10_003, 10_001])), taken, 10_000..=10_005).unwrap();
        assert_eq!(third.service_ports(), [10_001, 10_003]);
    }

    #[test]
    fn an_exhausted_range_is_said() {
        let error = assign_service_ports(&mut app(&[0, 0]), None, |_| false, 7..=7).unwrap_err();
        assert_eq!(error.to_string(), "No more service ports are free between 7 and 7");
    }
}
