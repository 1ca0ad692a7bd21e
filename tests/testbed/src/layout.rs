//! Every name and address of a testbed, made from its number alone, so that what a killed run left
//! can be found again without its help.

use std::fmt;
use std::net::Ipv4Addr;

/// Numbers that a testbed may have; one /24 network each.
pub(crate) const INDEXES: std::ops::RangeInclusive<u8> = 1..=250;
/// The most hosts in one testbed: an address each between .11 and .210.
pub(crate) const MAX_HOSTS: u8 = 200;
/// The control group under which all testbeds of the machine stand.
pub(crate) const CGROUP_ROOT: &str = "clusterctl-testbed";

/// The names of one testbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    index: u8,
}

impl Layout {
    pub(crate) fn new(index: u8) -> Self {
        Self { index }
    }

    /// The bridge, and the nftables table of the same name.
    pub(crate) fn bridge(self) -> String {
        format!("ctb{}", self.index)
    }

    /// The machine's own address on the bridge.
    pub(crate) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.index, 1)
    }

    /// The address of the `number`th host, counted from 1.
    pub(crate) fn address(self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.index, 10u8.saturating_add(number))
    }

    /// The container's or guest's name, unique on the machine.
    pub(crate) fn machine(self, host: &str) -> String {
        format!("{}-{host}", self.bridge())
    }

    /// The host's port on the bridge. systemd-nspawn makes its name from the container's; interface
    /// names end at 15 characters, which the longest, `vb-ctb250-h200`, keeps.
    pub(crate) fn interface(self, host: &str, kind: Kind) -> String {
        match kind {
            Kind::Nspawn => format!("vb-{}", self.machine(host)),
            Kind::Guest => format!("tp-{}", self.machine(host)),
        }
    }

    /// The testbed's control group, relative to the root of each hierarchy.
    pub(crate) fn cgroup(self) -> String {
        format!("{CGROUP_ROOT}/{}", self.bridge())
    }

    /// The control group of one host.
    pub(crate) fn host_cgroup(self, host: &str) -> String {
        format!("{}/{host}", self.cgroup())
    }

    /// The network card's address of a guest: locally administered, unique per testbed and host.
    pub(crate) fn mac(self, number: u8) -> String {
        format!("52:54:00:d5:{:02x}:{number:02x}", self.index)
    }
}

/// How a host is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A container with its own systemd; shares the machine's kernel and its kind of control groups.
    Nspawn,
    /// A virtual machine with Debian's cloud kernel and control groups v2.
    Guest,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nspawn => "nspawn",
            Self::Guest => "guest",
        })
    }
}

/// Whether two networks, each as first address and prefix length, have an address in common.
pub(crate) fn overlaps(a: (Ipv4Addr, u8), b: (Ipv4Addr, u8)) -> bool {
    let shortest = a.1.min(b.1).min(32);
    let mask = u32::MAX.checked_shl(32 - u32::from(shortest)).unwrap_or(0);
    u32::from(a.0) & mask == u32::from(b.0) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_interface_name_fits_the_kernels_limit() {
        let layout = Layout::new(*INDEXES.end());
        for kind in [Kind::Nspawn, Kind::Guest] {
            let name = layout.interface(&format!("h{MAX_HOSTS}"), kind);
            assert!(name.len() <= 15, "{name} has {} characters", name.len());
        }
    }

    #[test]
    fn hosts_of_all_testbeds_have_different_addresses() {
        let mut seen = std::collections::HashSet::new();
        for index in INDEXES {
            let layout = Layout::new(index);
            assert!(seen.insert(layout.gateway()));
            for number in 1..=MAX_HOSTS {
                assert!(seen.insert(layout.address(number)), "tb{index} host {number}");
            }
        }
    }

    #[test]
    fn networks_overlap_when_the_shorter_prefix_agrees() {
        let net = |text: &str, length| (text.parse::<Ipv4Addr>().unwrap(), length);
        for (a, b, expected) in [
            (net("10.213.1.0", 24), net("10.213.1.0", 24), true),
            (net("10.213.1.0", 24), net("10.213.2.0", 24), false),
            (net("10.213.1.0", 24), net("10.0.0.0", 8), true),
            (net("10.213.1.0", 24), net("192.0.2.0", 24), false),
            (net("10.213.1.0", 24), net("10.213.1.77", 32), true),
            (net("10.213.1.0", 24), net("10.212.0.0", 15), true),
        ] {
            assert_eq!(overlaps(a, b), expected, "{a:?} {b:?}");
        }
        assert!(overlaps(net("1.2.3.4", 0), net("10.213.1.0", 24)));
    }
}
