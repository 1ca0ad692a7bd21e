//! Hosts that are dead, or others than those that were meant.

use std::fs;
use std::net::Ipv4Addr;

use testbed::{Host, Testbed};

use crate::operator::Operator;
use crate::written::{good, inventory, line, log_of, repairs, word};

/// A host's key of a type, as known_hosts has it, without the address.
fn known_key(host: &Host, kind: &str) -> String {
    let known = fs::read_to_string(host.known_hosts_file()).unwrap();
    let address = host.address().to_string();
    let key = known.lines().filter_map(|line| line.strip_prefix(&format!("{address} ")));
    key.filter(|key| key.starts_with(kind)).collect::<Vec<_>>().concat()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real hosts"]
async fn hosts_that_are_dead_or_others_than_meant_do_not_hold_up_the_rest() {
    let testbed = Testbed::builder().hosts(6).start().await.unwrap();
    let [h1, h2, h3, h4, h5, h6] = testbed.hosts() else { unreachable!("six were asked for") };
    let [a, b, c, _] = h1.address().octets();
    let nobody = [(7, 250), (8, 251)]
        .map(|(n, d)| format!("  - {{name: x{n}, address: {}, roles: [agent]}}\n", Ipv4Addr::new(a, b, c, d)))
        .concat();

    // The key of h3 has changed; h4 is known by a key of another type than it shows; h5 is off; h6 is said to be h1.
    let meant = [good(h1, "master"), good(h2, "agent"), line(h3, "agent", None), line(h4, "agent", None)];
    let hosts = meant.concat() + &good(h5, "agent") + &line(h6, "agent", Some(h1.host_key())) + &nobody;
    let operator = Operator::with(&inventory(&testbed, "deploy", &hosts));
    let known = format!(
        "# hosts of the demo\n{} {}\n{} {}\n",
        h3.address(),
        known_key(h1, "ssh-ed25519"),
        h4.address(),
        known_key(h4, "ecdsa")
    );
    operator.write("known_hosts", &known);
    h4.run("echo HostKey /etc/ssh/ssh_host_ed25519_key >/etc/ssh/sshd_config.d/one.conf && systemctl restart ssh")
        .await
        .unwrap();
    h5.kill().unwrap();

    let first = operator.run(&["install", "inventory.yaml", "-y"]);
    assert_eq!(first.status, 4, "{first}");
    for (host, expected) in [("h1", "changed"), ("h2", "changed")] {
        assert_eq!(word(&first, host), expected, "{first}");
    }
    for host in ["h3", "h4", "h5", "h6", "x7", "x8"] {
        assert_eq!(word(&first, host), "unreachable", "{first}");
    }
    assert!(first.stdout.contains("2 changed, 6 unreachable"), "{first}");
    let forget = |host: &Host| format!("`ssh-keygen -f known_hosts -R {}`", host.address());
    for part in [
        format!(
            "has another host key than is recorded: {}, but known_hosts line 2 has ssh-ed25519 {}",
            h3.host_key(),
            h1.host_key()
        ),
        forget(h3),
        format!("shows a host key of type ssh-ed25519 ({}), but known_hosts line 3 has ecdsa", h4.host_key()),
        forget(h4),
        format!("is {}, and should be {}", h6.host_key(), h1.host_key()),
        "same error on 2 hosts (x7, x8): port 22 cannot be reached".to_owned(),
    ] {
        assert!(first.stdout.contains(&part), "{part}: {first}");
    }
    assert!(log_of(&operator, &first).contains("x7"), "{first}");
    // Nobody was taken for known, and those who are others than meant have nothing of ours.
    assert_eq!(operator.read("known_hosts"), known);
    for host in [h3, h4, h6] {
        assert_eq!(host.run("ls -d /opt/clusterctl /etc/clusterctl 2>/dev/null || true").await.unwrap(), "");
    }

    let known = fs::read_to_string(h1.known_hosts_file()).unwrap();
    operator.write("known_hosts", &known);
    let hosts = meant.concat() + &good(h5, "agent") + &good(h6, "agent") + &nobody;
    operator.write("inventory.yaml", &inventory(&testbed, "deploy", &hosts));
    h4.run("rm /etc/ssh/sshd_config.d/one.conf && systemctl restart ssh").await.unwrap();
    h5.start().await.unwrap();
    repairs(&operator, &["--exclude", "x7", "--exclude", "x8"]);
    assert_eq!(operator.ok(&["cluster", "status"]).matches("active").count(), 5);

    away(&operator, h2, h3).await;
}

/// The cluster is taken away: a host that cannot be reached is left for the next time, and what somebody changed for good.
async fn away(operator: &Operator, edited: &Host, dead: &Host) {
    edited.run("echo '# mine' >>/etc/clusterctl/agent.yaml").await.unwrap();
    dead.kill().unwrap();
    let first = operator.run(&["reset", "inventory.yaml", "-y", "--exclude", "x7", "--exclude", "x8"]);
    assert_eq!(first.status, 4, "{first}");
    assert_eq!(word(&first, dead.name()), "unreachable", "{first}");
    assert!(first.stderr.contains("/etc/clusterctl/agent.yaml"), "{first}");
    assert!(first.stderr.contains("it was changed since it was put there"), "{first}");

    dead.start().await.unwrap();
    let second = operator.run(&["reset", "inventory.yaml", "-y", "--exclude", "x7", "--exclude", "x8"]);
    assert_eq!(second.status, 0, "{second}");
    let left = "find /etc/clusterctl /opt/clusterctl /var/lib/clusterctl /etc/systemd/system/clusterctl-* -type f 2>/dev/null | sort";
    assert_eq!(dead.run(left).await.unwrap(), "");
    let kept = edited.run(left).await.unwrap();
    assert!(
        kept.starts_with("/etc/clusterctl/agent.yaml\n") && kept.lines().count() == 2,
        "and the list: {kept}"
    );
    assert!(edited.run("cat /etc/clusterctl/agent.yaml").await.unwrap().ends_with("# mine\n"));
}
