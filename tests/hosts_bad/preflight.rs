//! What stands in the way is found before anything is changed, all of it at once.

use identity::PeerRole;
use testbed::{Host, Testbed};
use tls::testing::TestCa;

use crate::written::{operator_of, repairs, word};

/// All that an install could change, but not what a running system writes there by itself.
async fn listing(host: &Host) -> String {
    const LIST: &str = "find /etc /home /opt /root /srv /usr/local /var/lib \\( -path /var/lib/systemd -o -path /var/lib/sudo \\) \
                        -prune -o -printf '%p %y %m %u:%g %s %T@ %l\\n' | sort";
    host.run(LIST).await.unwrap()
}

async fn put(host: &Host, text: &str, path: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    host.upload(file.path(), path, "0600").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real hosts"]
async fn all_that_is_in_the_way_is_found_before_anything_is_changed() {
    let testbed = Testbed::builder().hosts(4).start().await.unwrap();
    let [h1, h2, h3, h4] = testbed.hosts() else { unreachable!("four were asked for") };
    let operator = operator_of(&testbed, "deploy", &["master", "agent", "agent", "agent"]);

    // The port is taken, somebody's file, a full disk, and a node of another cluster.
    let squat = "systemd-run --quiet --unit=squatter --service-type=notify --property=NotifyAccess=all python3 -c \
                 'import os, signal, socket; s = socket.create_server((\"\", 5050)); os.system(\"systemd-notify --ready\"); signal.pause()'";
    h1.run(squat).await.unwrap();
    h2.run("mkdir /etc/clusterctl && echo 'mine: yes' >/etc/clusterctl/agent.yaml").await.unwrap();
    let disk = h3.fill_disk("/opt", 32).await.unwrap();
    let ca = TestCa::new();
    let leaf = ca.leaf("other", PeerRole::Agent, "n1");
    h4.run("mkdir -p /etc/clusterctl/pki").await.unwrap();
    put(h4, &ca.pem, "/etc/clusterctl/pki/ca.pem").await;
    put(h4, &format!("{}{}", leaf.certificate, leaf.key), "/etc/clusterctl/pki/agent.pem").await;
    let mut before = Vec::new();
    for host in testbed.hosts() {
        before.push(listing(host).await);
    }

    let first = operator.run(&["install", "inventory.yaml", "-y"]);
    assert_eq!(first.status, 5, "{first}");
    let said = format!("{}{}", first.stdout, first.stderr);
    for part in [
        "h1: ports: something else listens on port 5050",
        "ss -ltnp 'sport = :5050'",
        "h2: files: /etc/clusterctl/agent.yaml is a file that no installer of ours put there",
        "mv /etc/clusterctl/agent.yaml /etc/clusterctl/agent.yaml.saved",
        "h3: space: /opt/clusterctl has 0 MiB left on /opt",
        "h4: cluster: it belongs to another cluster",
    ] {
        assert!(said.contains(part), "{part}: {first}");
    }
    assert_eq!(word(&first, "h1"), "skipped", "{first}");
    // `check` says the same, and `plan` as well.
    assert_eq!(operator.run(&["check", "inventory.yaml"]).status, 5);
    assert_eq!(operator.run(&["plan", "inventory.yaml"]).status, 5);
    for (host, before) in testbed.hosts().iter().zip(before) {
        assert_eq!(listing(host).await, before, "{}", host.name());
        let units = host.run("systemctl list-unit-files --no-legend 'clusterctl*' || true").await.unwrap();
        assert_eq!(units, "", "{}", host.name());
    }

    // As the remedies say.
    h1.run("systemctl stop squatter").await.unwrap();
    h2.run("mv /etc/clusterctl/agent.yaml /etc/clusterctl/agent.yaml.saved").await.unwrap();
    disk.free().await.unwrap();
    h3.run("umount /opt").await.unwrap();
    h4.run("rm -r /etc/clusterctl").await.unwrap();
    repairs(&operator, &[]);
    assert_eq!(h2.run("cat /etc/clusterctl/agent.yaml.saved").await.unwrap(), "mine: yes\n");
}
