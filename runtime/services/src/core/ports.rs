//! Which ports an instance gets (§6).

use api::marathon::App;
use scheduler::{AgentId, Range, Ranges, Resources, Role};

use super::state::State;

/// Ports that instances have are not looked at first by the next ones on the same agent.
pub(crate) fn start(state: &mut State) {
    let highest: Vec<(AgentId, u64)> = state
        .instances()
        .filter_map(|instance| Some((instance.agent.clone(), u64::from(*instance.ports.iter().max()?))))
        .collect();
    for (agent, port) in highest {
        let next = state.next_port.entry(agent).or_insert(0);
        *next = (*next).max(port + 1);
    }
}

/// The host ports for one more instance out of `left`, in the order of the app's ports. `from` is where to begin to look;
/// what was given last is given again last. `None` when there are not enough.
pub(crate) fn choose(app: &App, left: &Resources, roles: &[Role], from: u64) -> Option<Vec<u16>> {
    let definitions = app.port_definitions.as_deref().unwrap_or_default();
    let mut free = Ranges::default();
    for role in roles {
        if let Some(part) = left.part(role) {
            free.add(part.ports());
        }
    }
    if app.require_ports {
        let there = |port: &u16| free.contains_value(u64::from(*port));
        let wanted: Vec<u16> = definitions.iter().map(|definition| definition.port).collect();
        return wanted.iter().all(there).then_some(wanted);
    }
    let after = free.values_from(from).chain(free.values().take_while(|port| *port < from));
    let ports: Vec<u16> = after.filter_map(|port| u16::try_from(port).ok()).take(definitions.len()).collect();
    (ports.len() == definitions.len()).then_some(ports)
}

/// The numbers of a set at and above one.
trait ValuesFrom {
    fn values_from(&self, from: u64) -> impl Iterator<Item = u64> + '_;
}

impl ValuesFrom for Ranges {
    fn values_from(&self, from: u64) -> impl Iterator<Item = u64> + '_ {
        let ranges = self.as_slice().iter().filter(move |range| range.end() >= from);
        ranges.flat_map(move |range| range.begin().max(from)..=range.end())
    }
}

/// Single numbers as ranges.
pub(crate) fn ranges(ports: &[u16]) -> Ranges {
    ports.iter().filter_map(|port| Range::new(u64::from(*port), u64::from(*port))).collect()
}
