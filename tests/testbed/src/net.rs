//! The testbed's network: a bridge, and nftables rules that cut hosts off or lose packets.
//!
//! Rules stand in the bridge family and name ports of the bridge, so they hold for every protocol, for
//! containers and guests alike, and for the traffic between a host and this machine.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crate::command::{run, run_with_input};
use crate::error::{Error, Result};
use crate::layout::{Layout, overlaps};

/// One end of a rule.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum End {
    /// A host, by name.
    Host(String),
    /// This machine.
    Machine,
    /// Every host and this machine.
    All,
}

/// Packets of one direction that are dropped.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) from: End,
    pub(crate) to: End,
    /// Only packets to this TCP port.
    pub(crate) tcp_port: Option<u16>,
    /// How many of a hundred, 1 to 100.
    pub(crate) percent: u8,
}

impl Rule {
    pub(crate) fn all_of(from: End, to: End) -> Self {
        Self { from, to, tcp_port: None, percent: 100 }
    }
}

/// The rules that cut the hosts of `group` off from every other host and from this machine, in both
/// directions; among themselves they still speak.
pub(crate) fn partition(group: &[String], hosts: &[String]) -> Vec<Rule> {
    let others = hosts.iter().filter(|name| !group.contains(name)).cloned().map(End::Host);
    let others: Vec<End> = others.chain([End::Machine]).collect();
    let mut rules = Vec::new();
    for inside in group {
        for outside in &others {
            rules.push(Rule::all_of(End::Host(inside.clone()), outside.clone()));
            rules.push(Rule::all_of(outside.clone(), End::Host(inside.clone())));
        }
    }
    rules
}

/// The ruleset, to be applied as one transaction: it takes the place of what was there.
/// `interface` gives a host's port on the bridge.
pub(crate) fn ruleset(table: &str, rules: &[Rule], interface: impl Fn(&str) -> String) -> String {
    let mut text = format!("table bridge {table} {{}}\ndelete table bridge {table}\n");
    if rules.is_empty() {
        return text;
    }
    let _ = writeln!(text, "table bridge {table} {{");
    for (chain, from_machine, to_machine) in
        [("forward", false, false), ("input", false, true), ("output", true, false)]
    {
        let _ = writeln!(text, "\tchain {chain} {{\n\t\ttype filter hook {chain} priority 0; policy accept;");
        for rule in rules {
            // A chain sees traffic of one kind: from host to host, to this machine, or from it.
            let Some(from) = side("iifname", &rule.from, from_machine, &interface) else { continue };
            let Some(to) = side("oifname", &rule.to, to_machine, &interface) else { continue };
            let port = rule.tcp_port.map(|port| format!("tcp dport {port} ")).unwrap_or_default();
            let some = if rule.percent < 100 {
                format!("numgen random mod 100 < {} ", rule.percent)
            } else {
                String::new()
            };
            let _ = writeln!(text, "\t\t{from}{to}{port}{some}counter drop");
        }
        text.push_str("\t}\n");
    }
    text.push_str("}\n");
    text
}

/// The match for one end, or nothing when this chain does not see such traffic.
fn side(key: &str, end: &End, is_machine: bool, interface: &impl Fn(&str) -> String) -> Option<String> {
    match (end, is_machine) {
        (End::Host(name), false) => Some(format!("{key} \"{}\" ", interface(name))),
        (End::Machine, true) | (End::All, _) => Some(String::new()),
        (End::Host(_), true) | (End::Machine, false) => None,
    }
}

/// Puts the rules in force, all at once.
pub(crate) fn apply(layout: Layout, rules: &[Rule], interface: impl Fn(&str) -> String) -> Result<()> {
    run_with_input("nft", &["-f", "-"], Some(&ruleset(&layout.bridge(), rules, interface)))?;
    Ok(())
}

/// Whether this machine uses none of the layout's addresses and names yet.
pub(crate) fn is_free(layout: Layout) -> Result<bool> {
    let links = run("ip", &["-oneline", "link", "show"])?;
    let routes = run("ip", &["-4", "-oneline", "route", "show", "table", "all"])?;
    let bridge = layout.bridge();
    Ok(!has_link(&links, &bridge) && !routes_overlap(&routes, (layout.gateway(), 24)))
}

/// Whether `ip -oneline link show` lists an interface of that name.
fn has_link(links: &str, name: &str) -> bool {
    links
        .lines()
        .filter_map(|line| line.split(": ").nth(1))
        .any(|shown| shown.split('@').next() == Some(name))
}

/// Whether `ip route show` has a route, other than the default, into the network.
fn routes_overlap(routes: &str, network: (Ipv4Addr, u8)) -> bool {
    routes.lines().any(|line| {
        line.split_whitespace().take(2).filter_map(parse_network).any(|route| overlaps(route, network))
    })
}

fn parse_network(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, length) = text.split_once('/').unwrap_or((text, "32"));
    Some((address.parse().ok()?, length.parse().ok()?))
}

/// Makes the bridge and gives this machine its address on it.
pub(crate) fn create_bridge(layout: Layout) -> Result<()> {
    let bridge = layout.bridge();
    run("ip", &["link", "add", "name", &bridge, "type", "bridge"])?;
    run("ip", &["address", "add", &format!("{}/24", layout.gateway()), "dev", &bridge])?;
    run("ip", &["link", "set", &bridge, "up"])?;
    Ok(())
}

/// Makes a port for a guest.
pub(crate) fn create_tap(layout: Layout, name: &str) -> Result<()> {
    delete_link(name)?;
    run("ip", &["tuntap", "add", "dev", name, "mode", "tap"])?;
    run("ip", &["link", "set", name, "master", &layout.bridge(), "up"])?;
    Ok(())
}

/// Removes an interface if it is there.
pub(crate) fn delete_link(name: &str) -> Result<()> {
    if !has_link(&run("ip", &["-oneline", "link", "show"])?, name) {
        return Ok(());
    }
    match run("ip", &["link", "delete", name]) {
        // A container's port goes by itself when the container has ended.
        Err(Error::Command { output, .. }) if output.contains("Cannot find device") => Ok(()),
        other => other.map(drop),
    }
}

/// Removes the rules, the bridge and every port of it.
pub(crate) fn remove(layout: Layout) -> Result<()> {
    let bridge = layout.bridge();
    run_with_input("nft", &["-f", "-"], Some(&ruleset(&bridge, &[], |_| String::new())))?;
    let links = run("ip", &["-oneline", "link", "show"])?;
    for link in ports_of(&links, &bridge) {
        delete_link(link)?;
    }
    delete_link(&bridge)
}

/// The names of the interfaces that are, or were before their bridge was removed, ports of the testbed.
fn ports_of<'a>(links: &'a str, bridge: &str) -> Vec<&'a str> {
    let prefixes = [format!("vb-{bridge}-"), format!("tp-{bridge}-")];
    links
        .lines()
        .filter_map(|line| line.split(": ").nth(1))
        .filter_map(|shown| shown.split('@').next())
        .filter(|name| prefixes.iter().any(|p| name.starts_with(p.as_str())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|n| (*n).to_owned()).collect()
    }

    fn interface(name: &str) -> String {
        Layout::new(3).interface(name, crate::layout::Kind::Nspawn)
    }

    #[test]
    fn a_partition_drops_everything_across_it_in_both_directions() {
        let rules = partition(&names(&["h1", "h2"]), &names(&["h1", "h2", "h3"]));
        insta::assert_snapshot!(ruleset("ctb3", &rules, interface), @r#"
        table bridge ctb3 {}
        delete table bridge ctb3
        table bridge ctb3 {
        	chain forward {
        		type filter hook forward priority 0; policy accept;
        		iifname "vb-ctb3-h1" oifname "vb-ctb3-h3" counter drop
        		iifname "vb-ctb3-h3" oifname "vb-ctb3-h1" counter drop
        		iifname "vb-ctb3-h2" oifname "vb-ctb3-h3" counter drop
        		iifname "vb-ctb3-h3" oifname "vb-ctb3-h2" counter drop
        	}
        	chain input {
        		type filter hook input priority 0; policy accept;
        		iifname "vb-ctb3-h1" counter drop
        		iifname "vb-ctb3-h2" counter drop
        	}
        	chain output {
        		type filter hook output priority 0; policy accept;
        		oifname "vb-ctb3-h1" counter drop
        		oifname "vb-ctb3-h2" counter drop
        	}
        }
        "#);
    }

    #[test]
    fn losing_some_packets_to_a_port_names_both() {
        let rule = Rule { from: End::All, to: End::Host("h1".into()), tcp_port: Some(22), percent: 30 };
        insta::assert_snapshot!(ruleset("ctb3", &[rule], interface), @r#"
        table bridge ctb3 {}
        delete table bridge ctb3
        table bridge ctb3 {
        	chain forward {
        		type filter hook forward priority 0; policy accept;
        		oifname "vb-ctb3-h1" tcp dport 22 numgen random mod 100 < 30 counter drop
        	}
        	chain input {
        		type filter hook input priority 0; policy accept;
        	}
        	chain output {
        		type filter hook output priority 0; policy accept;
        		oifname "vb-ctb3-h1" tcp dport 22 numgen random mod 100 < 30 counter drop
        	}
        }
        "#);
    }

    #[test]
    fn no_rules_leave_no_table() {
        assert_eq!(ruleset("ctb3", &[], interface), "table bridge ctb3 {}\ndelete table bridge ctb3\n");
    }

    #[test]
    fn a_group_of_all_hosts_is_cut_off_from_the_machine_only() {
        let all = names(&["h1", "h2"]);
        let rules = partition(&all, &all);
        assert!(rules.iter().all(|r| r.from == End::Machine || r.to == End::Machine));
        assert_eq!(rules.len(), 4);
    }

    const LINKS: &str = "\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN
7: ctb3: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP
9: vb-ctb3-h1@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 master ctb3
10: tp-ctb3-g1: <BROADCAST> mtu 1500
11: vb-ctb31-h1@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 master ctb31
";

    #[test]
    fn links_are_told_apart_by_their_whole_name() {
        assert!(has_link(LINKS, "ctb3") && has_link(LINKS, "vb-ctb3-h1"));
        assert!(!has_link(LINKS, "ctb") && !has_link(LINKS, "ctb31"));
        assert_eq!(ports_of(LINKS, "ctb3"), ["vb-ctb3-h1", "tp-ctb3-g1"]);
    }

    #[test]
    fn routes_into_the_network_are_seen_whatever_their_form() {
        let ours = (Ipv4Addr::new(10, 213, 3, 1), 24);
        for (routes, expected) in [
            ("default via 192.0.2.1 dev eth0\n192.0.2.0/24 dev eth0 scope link", false),
            ("10.0.0.0/8 dev eth0", true),
            ("local 10.213.3.7 dev x table local", true),
            ("unreachable 10.213.0.0/16", true),
            ("10.213.4.0/24 dev ctb4", false),
        ] {
            assert_eq!(routes_overlap(routes, ours), expected, "{routes}");
        }
    }
}
