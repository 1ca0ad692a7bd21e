//! How one machine is shared out among the agents of `clusterctl up`. Pure.

use std::net::{IpAddr, Ipv4Addr};

use scheduler::{Range, Ranges, Resources, Scalar};

/// An agent of a one-machine cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// For people.
    pub(crate) name: String,
    /// On loopback, of its own, so that constraints tell agents apart.
    pub(crate) address: IpAddr,
    /// In Mesos' text form.
    pub(crate) resources: String,
}

/// Shares out `machine`, with these ports, evenly among `agents` (from 1 to 100), ports without overlap.
pub(crate) fn share(machine: &Resources, ports: Range, agents: u8) -> Vec<Share> {
    let all = machine.unreserved();
    let part = |amount: Scalar, unit: i64| {
        let thousandths = amount.thousandths() / i64::from(agents);
        Scalar::from_thousandths(thousandths - thousandths % unit)
    };
    let cpus = part(all.cpus(), 1);
    let (mem, disk) = (part(all.mem(), 1000), part(all.disk(), 1000));
    let count = ports.end() - ports.begin() + 1;
    let (each, left) = (count / u64::from(agents), count % u64::from(agents));
    let mut begin = ports.begin();
    (0..agents)
        .map(|index| {
            let length = each + u64::from(u64::from(index) < left);
            let own: Ranges = Range::new(begin, (begin + length).saturating_sub(1)).into_iter().collect();
            let own = if length == 0 { Ranges::default() } else { own };
            begin += length;
            let ports = if own.is_empty() { String::new() } else { format!(";ports:{own}") };
            Share {
                name: format!("agent-{}", index + 1),
                address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, index + 1)),
                resources: format!("cpus:{cpus};mem:{mem};disk:{disk}{ports}"),
            }
        })
        .collect()
}

/// A range of ports as the user writes it: `31000-32000`.
pub(crate) fn port_range(text: &str) -> Result<Range, String> {
    let read = |part: &str| part.trim().parse::<u16>().ok().filter(|port| *port > 0);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (read(first), read(last)) {
        (Some(first), Some(last)) => {
            Range::new(first.into(), last.into()).ok_or_else(|| format!("{first} is greater than {last}"))
        }
        _ => Err("a range of ports is two numbers from 1 to 65535, like 31000-32000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn shares(machine: &str, ports: &str, agents: u8) -> String {
        let shares = share(&machine.parse().unwrap(), port_range(ports).unwrap(), agents);
        shares.iter().map(|share| format!("{} {} {}\n", share.name, share.address, share.resources)).collect()
    }

    #[test]
    fn the_machine_is_shared_out_evenly_and_ports_do_not_overlap() {
        assert_snapshot!(shares("cpus:4;mem:1001;disk:5000", "31000-32000", 1), @"agent-1 127.0.0.1 cpus:4;mem:1001;disk:5000;ports:[31000-32000]");
        assert_snapshot!(shares("cpus:4;mem:1001;disk:5000", "31000-32000", 3), @"
        agent-1 127.0.0.1 cpus:1.333;mem:333;disk:1666;ports:[31000-31333]
        agent-2 127.0.0.2 cpus:1.333;mem:333;disk:1666;ports:[31334-31667]
        agent-3 127.0.0.3 cpus:1.333;mem:333;disk:1666;ports:[31668-32000]
        ");
    }

    #[test]
    fn with_fewer_ports_than_agents_the_last_ones_have_none() {
        assert_snapshot!(shares("cpus:1;mem:300;disk:0", "80-81", 3), @"
        agent-1 127.0.0.1 cpus:0.333;mem:100;disk:0;ports:[80-80]
        agent-2 127.0.0.2 cpus:0.333;mem:100;disk:0;ports:[81-81]
        agent-3 127.0.0.3 cpus:0.333;mem:100;disk:0
        ");
    }

    #[test]
    fn a_range_is_two_ports_in_order() {
        assert_eq!(port_range("80").unwrap(), Range::new(80, 80).unwrap());
        for wrong in ["", "0-5", "9-5", "1-65536", "a-b", "1-2-3"] {
            assert!(port_range(wrong).is_err(), "{wrong}");
        }
    }
}
