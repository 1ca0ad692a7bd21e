//! What is typed wrong is found before anything is connected to; these need no hosts.

use crate::operator::Operator;

const INVENTORY: &str = "\
cluster: {name: demo}
hosts:
  - {name: m1, address: 192.0.2.11, roles: [master]}
  - {name: a1, address: 192.0.2.21, roels: [agent]}
  - {name: a1, address: 192.0.2.22, roles: [agnet]}
";

#[test]
fn every_mistake_in_an_inventory_is_shown_in_its_place() {
    let operator = Operator::with(INVENTORY);
    let ran = operator.run(&["install", "inventory.yaml", "-y"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{ran}");
    for part in [
        "inventory.yaml:4:37: unknown key `roels`",
        "did you mean `roles`?",
        "inventory.yaml:5:12: `a1` is the name of the host in line 4 already",
        "inventory.yaml:5:45: `agnet` is not possible here",
        "did you mean `agent`?",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {ran}");
    }
    assert!(!operator.path(".clusterctl").exists(), "a run that did not begin leaves nothing");
}

#[test]
fn a_host_that_is_to_be_left_out_has_to_be_one() {
    let operator = Operator::with(
        &INVENTORY
            .replace("roels", "roles")
            .replace("a1, address: 192.0.2.22", "a2, address: 192.0.2.22")
            .replace("agnet", "agent"),
    );
    let ran = operator.run(&["install", "inventory.yaml", "-y", "--exclude", "a3"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{ran}");
    assert!(
        ran.stderr.contains("`--exclude a3`: there is no such host")
            && ran.stderr.contains("did you mean `a"),
        "{ran}"
    );
    assert!(!operator.path(".clusterctl").exists(), "a run that did not begin leaves nothing");
}
