use super::*;
use crate::facts::{Found, Kind};
use crate::item::Access;
use crate::manifest::Entry;

const THREE: &str = "\
cluster: {name: demo}
hosts:
  - {name: m2, address: 192.0.2.12, roles: [coordinator, master]}
  - {name: m1, address: 192.0.2.11, private_address: 198.51.100.11, roles: [coordinator, master]}
  - {name: m3, address: 192.0.2.13, roles: [coordinator, master]}
  - {name: a1, address: 192.0.2.21, roles: [agent]}
";
const MADE_FOR_THREE: &str = "initial-cluster: \"m1=https://198.51.100.11:2380,m2=https://192.0.2.12:2380,m3=https://192.0.2.13:2380\"\n";

fn read(text: &str) -> Inventory {
    inventory::read("inventory.yaml", text.as_bytes(), |_| None).unwrap()
}

fn there(content: Option<&str>) -> Found {
    Found {
        kind: Kind::File,
        access: Access::root(0o644),
        size: 1,
        sum: None,
        content: content.map(str::to_owned),
        target: None,
        certificate: None,
    }
}

type All = BTreeMap<String, Facts>;

fn blank(inventory: &Inventory) -> All {
    inventory.hosts.iter().map(|host| (host.name.clone(), Facts::default())).collect()
}

fn put(all: &mut All, host: &str, path: &str, content: Option<&str>) {
    all.get_mut(host).unwrap().paths.insert(path.to_owned(), there(content));
}

fn found(inventory: &str, change: impl FnOnce(&mut All)) -> Vec<String> {
    let inventory = read(inventory);
    let mut facts = blank(&inventory);
    change(&mut facts);
    findings(&inventory, &facts).iter().map(ToString::to_string).collect()
}

#[test]
fn a_host_reaches_itself_first_and_members_have_an_order_of_their_own() {
    let inventory = read(THREE);
    let of = |name: &str| endpoints(&inventory, inventory.host(name).unwrap());
    assert_eq!(
        of("m1"),
        ["https://198.51.100.11:2379", "https://192.0.2.12:2379", "https://192.0.2.13:2379"]
    );
    assert_eq!(of("a1")[0], "https://192.0.2.12:2379");
    assert_eq!(MADE_FOR_THREE, format!("initial-cluster: \"{}\"\n", members(&inventory).join(",")));
}

#[test]
fn coordinators_of_a_running_cluster_stay_who_they_are() {
    let running = |all: &mut All, config: Option<&str>| {
        put(all, "m1", &kept(), None);
        put(all, "m1", ETCD_CONFIG, config);
    };
    // As it is to be; the same in another form; other settings.
    for config in [None, Some(MADE_FOR_THREE), Some(&*format!("heartbeat-interval: 50\n{MADE_FOR_THREE}"))] {
        assert_eq!(found(THREE, |all| running(all, config)), [""; 0]);
    }
    for changed in [
        THREE.replace("name: m3", "name: m4"),
        THREE.replace("192.0.2.13", "192.0.2.14"),
        THREE.replace(
            "  - {name: a1",
            "  - {name: m4, address: 192.0.2.14, roles: [coordinator]}\n  - {name: m5, address: 192.0.2.15, roles: [coordinator]}\n  - {name: a1",
        ),
    ] {
        let said = found(&changed, |all| running(all, Some(MADE_FOR_THREE)));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("m1: coordinators: the coordinators of a running cluster cannot be changed"));
        // One that was never started may become another's.
        let never = |all: &mut All| put(all, "m1", ETCD_CONFIG, Some(MADE_FOR_THREE));
        assert_eq!(found(&changed, never), [""; 0]);
    }
}

#[test]
fn a_cluster_on_etcd_does_not_go_back_to_a_store_of_its_own() {
    let one = "cluster: {name: demo}\nhosts:\n  - {name: m1, address: 192.0.2.11, roles: [master]}\n";
    let said = found(one, |all| put(all, "m1", MASTER_CONFIG, Some("name: m1\nstore:\n  etcd:\n")));
    assert!(said[0].starts_with("m1: coordinators: the cluster's state is in etcd"), "{said:?}");
    assert_eq!(found(one, |all| put(all, "m1", MASTER_CONFIG, Some("name: m1\n"))), [""; 0]);
}

#[test]
fn no_master_begins_with_an_empty_etcd_while_another_may_have_the_state() {
    let without = |all: &mut All, host: &str| _ = all.remove(host);
    // A new cluster of which one host is down.
    let said = found(THREE, |all| without(all, "m3"));
    assert!(said.len() == 1 && said[0].starts_with("m3: masters: it was not looked at"), "{said:?}");
    // Of a cluster that is on etcd, one may be down.
    let started = |all: &mut All, host: &str, config: Option<&str>| {
        put(all, host, MASTER_CONFIG, config);
        all.get_mut(host).unwrap().manifest.read(&Entry::Unit(MASTER_UNIT).line());
    };
    for (config, grown) in [(None, true), (Some("lease: 1s\nstore:\n"), true), (Some("name: m1\n"), false)] {
        let said = found(THREE, |all| {
            without(all, "m3");
            started(all, "m1", config);
        });
        assert_eq!(said.is_empty(), grown, "{config:?}: {said:?}");
    }
    // The one with the state is there: it goes first, and no other is needed.
    let growing = |all: &mut All| {
        started(all, "m1", Some("name: m1\n"));
        put(all, "m1", &embedded_store(), None);
    };
    let both = |all: &mut All| {
        without(all, "m3");
        growing(all);
    };
    assert_eq!(found(THREE, both), [""; 0]);
    let (inventory, mut facts) = (read(THREE), blank(&read(THREE)));
    growing(&mut facts);
    assert_eq!(holders(&inventory, &facts).map(|host| host.name.as_str()).collect::<Vec<_>>(), ["m1"]);
    let two = found(THREE, |all| {
        growing(all);
        put(all, "m2", &embedded_store(), None);
    });
    assert!(
        two.len() == 1
            && two[0].starts_with("m1: masters: it keeps the state of a cluster itself, and so does m2")
    );
}

#[test]
fn what_runs_is_restarted_alone_and_what_does_not_starts_at_once() {
    let all = [("m1", "active"), ("m2", "failed"), ("m3", "activating"), ("m4", "active"), ("m5", "")];
    let order = order(all);
    assert_eq!(
        (order.together, order.one_by_one),
        (["m2", "m3", "m5"].map(str::to_owned).to_vec(), ["m1", "m4"].map(str::to_owned).to_vec(),)
    );
}

#[test]
fn a_quorum_stands_with_more_than_half_and_is_not_risked() {
    // How many there are; how many of them answer, the first ones; whether it stands, without the first, without the last.
    for (of, answering, stands, without_first, without_last) in [
        (1, 1, true, true, true),
        (1, 0, false, true, true),
        (3, 3, true, true, true),
        (3, 2, true, false, true),
        (3, 1, false, false, false),
        (5, 4, true, true, true),
        (5, 3, true, false, true),
        (5, 2, false, false, false),
    ] {
        let text: String =
            (0..of)
                .map(|n| {
                    if n < answering {
                        format!("answers\te{n}\n")
                    } else {
                        format!("silent\te{n}\tno route\n")
                    }
                })
                .collect();
        let quorum = Quorum::read(&format!("a line of a log\n{text}")).unwrap();
        let last = format!("e{}", of - 1);
        let found = (quorum.stands(), quorum.stands_without("e0"), quorum.stands_without(&last));
        assert_eq!(found, (stands, without_first, without_last), "{}", quorum.words());
    }
    assert_eq!(Quorum::read("no such command\n"), None);
    assert_eq!([1, 2, 3, 4, 5].map(majority), [1, 2, 2, 3, 3]);
}

#[test]
fn whoever_has_a_certificate_of_etcd_asks_and_silence_is_told() {
    let inventory = read(THREE);
    let ask = |name: &str| ask(&inventory, inventory.host(name).unwrap(), 30);
    assert_eq!(ask("a1"), None);
    let asked = ask("m3").unwrap();
    assert!(
        asked.contains("quorum")
            && asked.contains("etcd.pem")
            && asked.find("192.0.2.13") < asked.find("192.0.2.12"),
        "{asked}"
    );
    let quorum = |text: &str| {
        let quorum = Quorum::read(text).unwrap();
        quorum_findings(&inventory, &quorum).into_iter().map(|f| (f.level, f.to_string())).collect::<Vec<_>>()
    };
    let (one, two) = ("answers\thttps://198.51.100.11:2379\n", "answers\thttps://192.0.2.12:2379\n");
    let three = "silent\thttps://192.0.2.13:2379\tconnection refused\n";
    let words = "m3: coordinators: it does not answer (2 of 3 coordinators answer): connection refused";
    assert_eq!(quorum(&[one, two, three].concat()), [(Level::Warning, words.to_owned())]);
    assert!(
        quorum(&[one, &two.replace("answers", "silent").replace("79\n", "79\tx\n"), three].concat())
            .iter()
            .all(|(level, _)| *level == Level::Error)
    );
}

#[test]
fn the_minor_version_of_etcd_is_changed_on_purpose_and_by_one() {
    for (has, new, found, named) in [
        ("3.4.23", "3.4.30", true, true),
        ("3.4.23", "3.4.9", true, true),
        ("3.4.23", "3.5.0", false, true),
        ("3.4.23", "3.6.1", false, false),
        ("3.5.1", "3.4.23", false, false),
        ("3.5.1", "4.0.0", false, false),
    ] {
        let allowed = |is_named| upgrade_is_refused(has, new, is_named).is_none();
        assert_eq!((allowed(false), allowed(true)), (found, named), "{has} {new}");
    }
    let mut all = BTreeMap::from([("m1".to_owned(), Facts::default())]);
    let unit = |dir: &str| format!("[Service]\nExecStart=/opt/clusterctl/etcd/{dir}/etcd --config-file x\n");
    put(&mut all, "m1", "/etc/systemd/system/clusterctl-etcd.service", Some(&unit("3.4.23-0123abcd")));
    assert_eq!(running_version(&all["m1"]), None, "it has kept nothing yet");
    put(&mut all, "m1", &kept(), None);
    assert_eq!(running_version(&all["m1"]), Some("3.4.23"));
    put(&mut all, "m1", "/etc/systemd/system/clusterctl-etcd.service", Some(&unit("0123abcd")));
    assert_eq!(running_version(&all["m1"]), None);
}
