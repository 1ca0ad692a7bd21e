//! What is shipped, installed on every distribution's age that it is for: `tests/release` builds it, `tests/run --full` does so first.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod operator;

use operator::{Operator, Ran, difference, everything_on};
use testbed::{Release, Testbed};

/// A cluster of two hosts, a service on it, and away again.
async fn it_is_installed_on(release: Release) {
    assert!(
        std::env::var_os("CLUSTERCTL_RELEASE").is_some(),
        "run `tests/release --profile dist-test`, and name its result"
    );
    let testbed = Testbed::builder().hosts(2).release(release).start().await.unwrap();
    let operator = Operator::of(&testbed);
    let host = testbed.host("h2").unwrap();
    let before = everything_on(host).await;
    let installed = operator.run(&["install", "inventory.yaml", "-y"]);
    assert_eq!(installed.status, 0, "{installed}");
    operator.ok(&["service", "create", "hello", "--cmd", "sleep 1000", "--mem", "32", "--timeout", "120s"]);
    let again = operator.run(&["install", "inventory.yaml"]);
    assert!(again.stdout.starts_with("Nothing to change: 2 hosts"), "{again}");
    assert_eq!(operator.run(&["check", "inventory.yaml"]).status, 0);
    operator.ok(&["reset", "inventory.yaml", "-y"]);
    assert_eq!(difference(&before, &everything_on(host).await), "");
    testbed.down().await.unwrap();
}

#[tokio::test]
#[ignore = "real hosts"]
async fn what_is_shipped_is_installed_on_debian_11() {
    it_is_installed_on(Release::Bullseye).await;
}

#[tokio::test]
#[ignore = "real hosts"]
async fn what_is_shipped_is_installed_on_debian_12() {
    it_is_installed_on(Release::Bookworm).await;
}

#[tokio::test]
#[ignore = "real hosts"]
async fn what_is_shipped_is_installed_on_debian_13() {
    it_is_installed_on(Release::Trixie).await;
}

/// What is too new for a host does not get there.
#[tokio::test]
#[ignore = "real hosts"]
async fn what_is_built_for_a_newer_glibc_is_not_uploaded() {
    let testbed = Testbed::builder().hosts(2).release(Release::Bullseye).start().await.unwrap();
    let operator = Operator::of(&testbed);
    let built: Ran =
        operator.run(&["install", "inventory.yaml", "-y", "--program", env!("CARGO_BIN_EXE_clusterctl")]);
    // Where this very machine is as old, it is new enough.
    if built.status != 0 {
        assert_eq!(built.status, 5, "{built}");
        assert!(built.stderr.contains("2 hosts (h1, h2): glibc: it has glibc 2.31"), "{built}");
        assert!(!testbed.host("h1").unwrap().exec("test -e /opt/clusterctl").await.unwrap().success());
    }
    testbed.down().await.unwrap();
}
