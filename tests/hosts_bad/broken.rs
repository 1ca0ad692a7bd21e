//! Hosts that break in the middle of an install: connections that are half open, reboots, disks that fill.

use testbed::{Host, Loss, Testbed};

use crate::watched::{Ended, Watched, is};
use crate::written::{hold, let_go, operator_of, repairs};

const STAGING: &str = "/var/lib/.clusterctl-staging";

/// What an installer leaves that was cut off.
async fn remains(host: &Host) -> String {
    host.run("find /opt /etc /var/lib -name '*clusterctl-new*' -o -path '/var/lib/.clusterctl-staging/*' -not -name lost+found")
        .await
        .unwrap()
}

fn failed(ended: &Ended, host: &str, phase: &str, why: &str) {
    let outcome = ended.outcome(host);
    assert_eq!(
        (&outcome["outcome"], &outcome["phase"]),
        (&"failed".into(), &phase.into()),
        "{host}: {ended}"
    );
    assert!(outcome["failure"].to_string().contains(why), "{host}: {why}: {outcome}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real hosts"]
async fn hosts_that_break_in_the_middle_do_not_hold_up_the_rest_and_are_repaired() {
    let testbed = Testbed::builder().hosts(5).start().await.unwrap();
    let [h1, h2, h3, h4, h5] = testbed.hosts() else { unreachable!("five were asked for") };
    let operator = operator_of(&testbed, "deploy", &["master, agent", "agent", "agent", "agent", "agent"]);
    // Where the program goes there is room when it is looked at; where files come in on their way, there is little.
    let disk = h4.mount_disk("/opt", 320).await.unwrap();
    h5.mount_disk(STAGING, 4).await.unwrap();
    hold(h2).await;
    hold(h4).await;

    let mut installer = Watched::start(&operator, &["install", "inventory.yaml", "-y"]);
    installer.until(|event| is(event, "phase_started", "distribute")).await;
    // From now on nothing is heard of h2, and nothing says that it is gone.
    h2.drop_packets(&Loss::from_machine()).unwrap();
    h2.drop_packets(&Loss::to_machine()).unwrap();
    // There is room for a part of the program.
    disk.fill().await.unwrap();
    h4.run("truncate -s -8M /opt/.filler").await.unwrap();
    let_go(h4).await;
    installer.until(|event| is(event, "step_started", "distribute") && event["host"] == "h3").await;
    h3.reboot().await.unwrap();
    let ended = installer.end().await;
    assert_eq!(ended.status, 6, "{ended}");
    assert_eq!(ended.outcome("h1")["outcome"], "changed", "{ended}");
    failed(&ended, "h2", "distribute", "the connection to the host broke");
    failed(&ended, "h4", "distribute", "No space left on device");
    failed(&ended, "h5", "distribute", "No space left on device");
    let reboot = ended.outcome("h3");
    assert_eq!(reboot["outcome"], "failed", "{ended}");
    let log =
        ended.events.iter().find(|event| event["type"] == "run_ended").unwrap()["log"].as_str().unwrap();
    assert!(operator.read(log).contains("Keepalive timeout"), "{log}");
    for host in [h4, h5] {
        assert_eq!(remains(host).await, "", "{}", host.name());
    }
    let there = h4.run("find /opt/clusterctl -type f").await.unwrap();
    assert_eq!(there, "", "nothing half is under its own name");

    testbed.heal().unwrap();
    let_go(h2).await;
    disk.free().await.unwrap();
    h5.run(&format!("umount {STAGING}")).await.unwrap();
    repairs(&operator, &[]);
    assert_eq!(operator.ok(&["cluster", "status"]).matches("active").count(), 5);
    for host in testbed.hosts() {
        assert_eq!(remains(host).await, "", "{}", host.name());
    }
    assert_eq!(h1.run("ls -d /run/clusterctl-install.lock 2>/dev/null || true").await.unwrap(), "");
}
