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

/// Logged into with a password, root by another sudo with a password.
#[tokio::test]
#[ignore = "real hosts"]
async fn passwords_of_logins_and_of_sudo_rs_are_taken_and_wrong_ones_named() {
    let testbed = Testbed::builder().hosts(1).release(Release::Trixie).start().await.unwrap();
    let host = testbed.host("h1").unwrap();
    host.run("ln -s /usr/bin/sudo-rs /usr/local/bin/sudo && echo 'admin:of the login' | chpasswd")
        .await
        .unwrap();
    let operator = Operator::with(&format!(
        "cluster: {{name: demo}}\nssh: {{user: admin, password_file: login, become: sudo, known_hosts: known_hosts, host_key_checking: strict}}\n\
         hosts:\n  - {{name: h1, address: {}, host_key: \"{}\", roles: [master, agent]}}\n",
        host.address(),
        host.host_key()
    ));
    operator.write("right", "of the login\n");
    operator.write("wrong", "of somebody else\n");
    let run = |login: &str, become_file: &str| {
        operator.write("login", &operator.read(login));
        operator.run(&["install", "inventory.yaml", "-y", "--become-password-file", become_file])
    };
    let refused = run("wrong", "right");
    assert_eq!(refused.status, 4, "{refused}");
    assert!(refused.stdout.contains("does not let admin in"), "{refused}");
    let refused = run("right", "wrong");
    assert_eq!(refused.status, 6, "{refused}");
    assert!(refused.stdout.contains("sudo does not take the password"), "{refused}");
    let installed = run("right", "right");
    assert_eq!(installed.status, 0, "{installed}");
    let shown = format!("{installed}{}", host.run("ps axeww; journalctl --no-pager").await.unwrap());
    assert!(!shown.contains("of the login"), "{shown}");
    testbed.down().await.unwrap();
}
