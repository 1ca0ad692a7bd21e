//! Debian's other releases: old and new glibc, systemd and sudo. Part of `tests/run --full`.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use common::{assert_nothing_left, cpu_and_pid_limits_hold, memory_limits_hold};
use testbed::{Release, Testbed};

async fn a_release_boots_and_its_limits_hold(release: Release, version: &str) {
    let testbed = Testbed::builder().hosts(2).release(release).start().await.unwrap();
    for host in testbed.hosts() {
        assert_eq!(host.run("systemctl is-system-running").await.unwrap(), "running\n");
        let shown = host.run("cat /etc/debian_version && java -version 2>&1").await.unwrap();
        assert!(shown.starts_with(&format!("{version}.")), "{shown}");
    }
    let host = testbed.host("h1").unwrap();
    memory_limits_hold(host).await;
    cpu_and_pid_limits_hold(host).await;
    host.reboot().await.unwrap();
    memory_limits_hold(host).await;
    let dir = testbed.dir();
    testbed.down().await.unwrap();
    assert_nothing_left(&dir);
}

#[tokio::test]
#[ignore = "real hosts"]
async fn debian_11_hosts() {
    a_release_boots_and_its_limits_hold(Release::Bullseye, "11").await;
}

#[tokio::test]
#[ignore = "real hosts"]
async fn debian_13_hosts_have_sudo_rs() {
    a_release_boots_and_its_limits_hold(Release::Trixie, "13").await;
    let testbed = Testbed::builder().hosts(1).release(Release::Trixie).start().await.unwrap();
    testbed.hosts()[0]
        .run("sudo-rs --version || sudo-rs -V || test -x /usr/lib/cargo/bin/sudo")
        .await
        .unwrap();
}

#[tokio::test]
#[ignore = "real hosts"]
async fn a_package_more_is_a_root_file_system_of_its_own() {
    let testbed = Testbed::builder().hosts(1).packages(["busybox"]).start().await.unwrap();
    testbed.hosts()[0].run("busybox true").await.unwrap();
}
