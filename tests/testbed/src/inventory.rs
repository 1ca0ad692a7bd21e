//! The inventory of a testbed: what an operator would write for its hosts.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

/// One host of the inventory.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) address: Ipv4Addr,
    pub(crate) host_key: &'a str,
}

/// From this many hosts on there are three coordinators, which also are the masters.
const HIGHLY_AVAILABLE: usize = 6;

/// The roles of the `number`th of `total` hosts, counted from 0: one master and agents, or three coordinators
/// that are masters too, and agents. A single host is everything.
fn roles(number: usize, total: usize) -> &'static str {
    match (number, total) {
        (_, 1) => "[master, agent]",
        (0..3, HIGHLY_AVAILABLE..) => "[coordinator, master]",
        (0, _) => "[master]",
        _ => "[agent]",
    }
}

/// The inventory as YAML. Hosts are logged into as `deploy`, whose sudo needs no password.
pub(crate) fn render(cluster: &str, identity_file: &Path, hosts: &[Entry<'_>]) -> String {
    // A JSON string is a YAML string, whatever the path holds.
    let quote = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = format!(
        "cluster:\n  name: {cluster}\nssh:\n  user: deploy\n  identity_file: {}\n  host_key_checking: strict\n  become: sudo\nhosts:\n",
        quote(&identity_file.to_string_lossy())
    );
    for (number, host) in hosts.iter().enumerate() {
        let _ = writeln!(
            text,
            "  - {{name: {}, address: {}, roles: {}, host_key: {}}}",
            host.name,
            host.address,
            roles(number, hosts.len()),
            quote(host.host_key)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_names_every_host_with_its_key() {
        let hosts = [
            Entry { name: "h1", address: Ipv4Addr::new(10, 213, 1, 11), host_key: "SHA256:a" },
            Entry { name: "h2", address: Ipv4Addr::new(10, 213, 1, 12), host_key: "SHA256:b" },
        ];
        insta::assert_snapshot!(render("demo", Path::new("/t/my keys/id"), &hosts), @r#"
        cluster:
          name: demo
        ssh:
          user: deploy
          identity_file: "/t/my keys/id"
          host_key_checking: strict
          become: sudo
        hosts:
          - {name: h1, address: 10.213.1.11, roles: [master], host_key: "SHA256:a"}
          - {name: h2, address: 10.213.1.12, roles: [agent], host_key: "SHA256:b"}
        "#);
    }

    #[test]
    fn coordinators_are_odd_in_number_and_every_cluster_has_a_master_and_an_agent() {
        for total in 1..=20 {
            let all: Vec<&str> = (0..total).map(|n| roles(n, total)).collect();
            let count = |role: &str| all.iter().filter(|r| r.contains(role)).count();
            assert!(count("master") >= 1 && count("agent") >= 1, "{total}: {all:?}");
            assert!(count("coordinator") == 0 || count("coordinator") % 2 == 1, "{total}: {all:?}");
        }
    }
}
