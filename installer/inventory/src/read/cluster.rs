//! `cluster`: name, ports, timeouts.

use std::time::Duration;

use crate::faults::Faults;
use crate::fields::Fields;
use crate::form;
use crate::model::{Cluster, Timeouts};
use crate::names;
use crate::tree::Node;

/// Where Mesos' clients look for masters, and for agents.
const PORTS: (u16, u16) = (5050, 5051);

/// What tasks run as that do not say it: a user without rights.
const TASK_USER: &str = "nobody";

/// A leader that is gone is noticed in seconds; an agent gets the 75 seconds that Mesos gives it, and ten minutes to come back.
const TIMEOUTS: Timeouts = Timeouts {
    lease: Duration::from_secs(3),
    unreachable: Duration::from_secs(75),
    reregistration: Duration::from_secs(600),
};

pub(super) fn read(node: &Node, faults: &mut Faults<'_>) -> Option<Cluster> {
    let fields = Fields::of(node, &form::CLUSTER, faults)?;
    let name = fields.value("name", faults, names::cluster_name);
    let task_user = fields.value("task_user", faults, names::user);
    let port = fields.value("port", faults, names::port).map_or(PORTS.0, |read| read.value);
    let agent_port = fields.value("agent_port", faults, names::port).map_or(PORTS.1, |read| read.value);
    if port == agent_port {
        let key = if fields.has("agent_port") { "agent_port" } else { "port" };
        let message = format!("masters and agents would both listen on port {port}");
        faults.add(
            fields.place_of(key),
            message,
            "write different ports for `port` and `agent_port`, which are 5050 and 5051 by default",
        );
    }
    let timeouts = match fields.node("timeouts") {
        Some(node) => timeouts(node, faults),
        None => TIMEOUTS,
    };
    let task_user = task_user.map_or_else(|| TASK_USER.to_owned(), |read| read.value);
    Some(Cluster { name: name?.value, task_user, port, agent_port, timeouts })
}

/// The shortest lease that etcd grants with its default election timeout of one second.
const SHORTEST_LEASE: Duration = Duration::from_secs(2);

fn timeouts(node: &Node, faults: &mut Faults<'_>) -> Timeouts {
    let Some(fields) = Fields::of(node, &form::TIMEOUTS, faults) else { return TIMEOUTS };
    let mut length =
        |name: &str, default| fields.value(name, faults, names::duration).map_or(default, |read| read.value);
    let timeouts = Timeouts {
        lease: length("lease", TIMEOUTS.lease),
        unreachable: length("unreachable", TIMEOUTS.unreachable),
        reregistration: length("reregistration", TIMEOUTS.reregistration),
    };
    if timeouts.unreachable <= timeouts.lease {
        let key = if fields.has("unreachable") { "unreachable" } else { "lease" };
        let message = "agents would be unreachable before a new master can lead";
        faults.add(
            fields.place_of(key),
            message,
            "write an `unreachable` that is longer than `lease`, like 75s and 3s",
        );
    }
    if timeouts.lease < SHORTEST_LEASE {
        faults.add(
            fields.place_of("lease"),
            "etcd keeps no lease shorter than 2s",
            "write `lease: 2s` or more",
        );
    }
    timeouts
}
