//! Inventories, and what a run says in the end.

use testbed::{Host, Testbed};

use crate::operator::{Operator, Ran};

/// One host's line of an inventory.
pub(crate) fn line(host: &Host, roles: &str, key: Option<&str>) -> String {
    let key = key.map(|key| format!(", host_key: \"{key}\"")).unwrap_or_default();
    format!("  - {{name: {}, address: {}, roles: [{roles}]{key}}}\n", host.name(), host.address())
}

/// A host's line as it should be.
pub(crate) fn good(host: &Host, roles: &str) -> String {
    line(host, roles, Some(host.host_key()))
}

/// An inventory of these lines; all hosts are logged into as `user`.
pub(crate) fn inventory(testbed: &Testbed, user: &str, hosts: &str) -> String {
    let key = testbed.hosts()[0].identity_file();
    format!(
        "cluster: {{name: demo}}\nssh:\n  user: {user}\n  identity_file: {key:?}\n  known_hosts: known_hosts\n  \
         host_key_checking: strict\n  become: sudo\nhosts:\n{hosts}"
    )
}

/// An operator with the inventory of good lines: the roles of each host, in their order.
pub(crate) fn operator_of(testbed: &Testbed, user: &str, roles: &[&str]) -> Operator {
    let lines: String = testbed.hosts().iter().zip(roles).map(|(host, roles)| good(host, roles)).collect();
    Operator::with(&inventory(testbed, user, &lines))
}

/// How a host came out of a run, as the table at its end says.
pub(crate) fn word(ran: &Ran, host: &str) -> String {
    let mut rows = ran.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.rfind(|words| words.len() > 1 && words[0] == host);
    row.unwrap_or_else(|| panic!("{host} is not in the table: {ran}"))[1].to_owned()
}

/// A run of `install -y` that has to put all right, and one more that has nothing to do.
pub(crate) fn repairs(operator: &Operator, more: &[&str]) {
    let arguments = [&["install", "inventory.yaml", "-y"], more].concat();
    let second = operator.run(&arguments);
    assert_eq!(second.status, 0, "{second}");
    let third = operator.run(&arguments);
    assert_eq!(third.status, 0, "{third}");
    assert!(!third.stdout.contains("changed") && !third.stdout.contains("new file"), "{third}");
}

/// The log that a run names when something failed.
pub(crate) fn log_of(operator: &Operator, ran: &Ran) -> String {
    let path = ran.stderr.lines().find_map(|line| line.strip_prefix("hint: the full log: "));
    operator.read(path.unwrap_or_else(|| panic!("no log is named: {ran}")))
}

/// Keeps installers waiting on a host, as one does that is still at work there.
pub(crate) async fn hold(host: &Host) {
    const HOLD: &str = "systemd-run --quiet --unit=holder --service-type=notify --property=NotifyAccess=all sh -c \
                        'exec 9>/run/clusterctl-apply.lock && flock 9 && systemd-notify --ready && exec sleep infinity'";
    host.run(HOLD).await.unwrap();
}

/// Lets them go on.
pub(crate) async fn let_go(host: &Host) {
    host.run("systemctl stop holder").await.unwrap();
}
