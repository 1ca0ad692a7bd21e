use std::fmt::Write as _;

use super::*;
use crate::facts::{Disk, UnitFound};

const INVENTORY: &str = "\
cluster: {name: demo}
hosts:
  - {name: m1, address: 192.0.2.11, roles: [master]}
  - {name: a1, address: 192.0.2.21, roles: [agent]}
  - {name: a2, address: 192.0.2.22, roles: [agent]}
";

fn inventory() -> Inventory {
    inventory::read("inventory.yaml", INVENTORY.as_bytes(), |_| None).unwrap()
}

fn healthy(name: &str) -> Facts {
    let mut facts = Facts::default();
    let system = &mut facts.system;
    system.root = true;
    system.machine = "x86_64".to_owned();
    system.os = "Debian GNU/Linux 12".to_owned();
    system.glibc = Some((2, 36));
    system.systemd = Some(252);
    system.memory = 4 << 20;
    system.cgroups.controllers = ["cpu", "memory", "pids"].map(str::to_owned).into();
    system.hostname = name.to_owned();
    system.machine_id = format!("machine of {name}");
    system.boot_id = format!("boot of {name}");
    for path in [OPT, VAR] {
        let disk = Disk { free: 10 << 20, mount: "/".to_owned(), options: "rw".to_owned() };
        facts.disks.insert(path.to_owned(), disk);
    }
    facts
}

fn found(change: impl FnOnce(&mut BTreeMap<String, Facts>)) -> String {
    let inventory = inventory();
    let mut facts = inventory.hosts.iter().map(|host| (host.name.clone(), healthy(&host.name))).collect();
    change(&mut facts);
    let needs = Needs { machine: "x86_64", glibc: Some((2, 28)) };
    let programs = BTreeMap::from([("x86_64".to_owned(), (needs, 60 << 20))]);
    let checked = Checked { inventory: &inventory, facts: &facts, programs: &programs, etcd: None };
    shown(&check(&checked))
}

fn shown(findings: &[Finding]) -> String {
    findings.iter().fold(String::new(), |mut text, finding| {
        let _ = writeln!(text, "{:?} {finding}\n  {}", finding.level, finding.remedy);
        text
    })
}

fn of(change: impl FnOnce(&mut Facts)) -> String {
    found(|all| change(all.get_mut("a2").unwrap()))
}

#[test]
fn healthy_hosts_have_no_findings() {
    assert_eq!(found(|_| {}), "");
}

#[test]
fn each_fault_is_found_and_has_a_remedy() {
    type Change = fn(&mut Facts);
    let table: [(Change, &str); 21] = [
        (|f| f.system.root = false, "Error a2: root"),
        (|f| f.system.machine = "riscv64".into(), "Error a2: machine: it is riscv64"),
        (|f| f.system.glibc = Some((2, 17)), "Error a2: glibc: it has glibc 2.17"),
        (|f| f.system.glibc = None, "Error a2: glibc: Debian GNU/Linux 12 has no glibc"),
        (|f| f.system.systemd = Some(219), "Error a2: systemd: systemd 219 is too old"),
        (|f| f.system.systemd = None, "Error a2: systemd: systemd does not run"),
        (|f| f.system.cgroups.controllers.clear(), "Warning a2: cgroups"),
        (|f| f.system.selinux = true, "Warning a2: selinux"),
        (|f| _ = f.system.lacks.insert("flock".into()), "Error a2: tools: these programs are missing: flock"),
        (
            |f| f.disks.get_mut(OPT).unwrap().free = 1000,
            "Error a2: space: /opt/clusterctl has 0 MiB left on /",
        ),
        (|f| f.disks.get_mut(VAR).unwrap().free = 1000, "Error a2: space: /var/lib/clusterctl"),
        (
            |f| f.disks.get_mut(OPT).unwrap().options = "rw,noexec".into(),
            "Error a2: space: / is mounted noexec",
        ),
        (|f| f.system.memory = 100 << 10, "Warning a2: memory: it has only 100 MiB"),
        (|f| f.system.clock_ahead = 40.0, "Error a2: clock: its clock is 40.0 s ahead of the other hosts'"),
        (|f| f.system.clock_ahead = -3.0, "Warning a2: clock: its clock is 3.0 s behind the other hosts'"),
        (|f| f.system.machine_id.clear(), "Error a2: identity: it has no /etc/machine-id"),
        (|f| f.system.machine_id = "machine of a1".into(), "Error a2: identity: it has the machine id of a1"),
        (|f| f.system.hostname = "m1".into(), "Warning a2: identity: it calls itself m1, as m1 does"),
        (|f| _ = f.system.listening.insert(5051), "Error a2: ports: something else listens on port 5051"),
        (
            |f| _ = f.reach.insert(("192.0.2.11".into(), 5050), Reach::None),
            "Error a2: network: it cannot reach m1 (192.0.2.11:5050)",
        ),
        (|f| _ = f.reach.insert(("192.0.2.11".into(), 5050), Reach::Unknown), "Warning a2: network: whether"),
    ];
    for (change, expected) in table {
        let text = of(change);
        assert!(text.starts_with(expected), "{expected}: {text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}

#[test]
fn what_is_no_fault_is_not_found() {
    type Change = fn(&mut Facts);
    let table: [Change; 4] = [
        |f| _ = f.system.listening.insert(5050),
        |f| {
            f.system.listening.insert(5051);
            let unit = UnitFound { loaded: true, active: "active".into(), ..UnitFound::default() };
            f.units.insert(AGENT_UNIT.to_owned(), unit);
        },
        |f| _ = f.reach.insert(("192.0.2.11".into(), 5050), Reach::Refused),
        |f| f.system.clock_ahead = 1.9,
    ];
    for (number, change) in table.into_iter().enumerate() {
        assert_eq!(of(change), "", "{number}");
    }
}

#[test]
fn a_host_that_is_down_does_not_stop_the_others() {
    let text = found(|all| {
        all.remove("a2");
        all.get_mut("m1").unwrap().reach.insert(("192.0.2.22".into(), 5051), Reach::None);
    });
    assert!(text.starts_with("Warning m1: network: it cannot reach a2 (192.0.2.22:5051)\n"), "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn one_machine_under_two_names_is_found() {
    let text = found(|all| {
        let system = all["a1"].system.clone();
        all.get_mut("a2").unwrap().system = system;
    });
    assert!(text.starts_with("Error a2: identity: it is the same machine as a1\n"), "{text}");
}

#[test]
fn a_wrong_clock_of_this_machine_is_said_once() {
    let text = found(|all| all.values_mut().for_each(|facts| facts.system.clock_ahead = 100.0));
    assert!(text.starts_with("Warning m1: clock: its clock is 100.0 s ahead of this machine's"), "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");
    let text = found(|all| all.values_mut().for_each(|facts| facts.system.clock_ahead = -4000.0));
    assert_eq!(text.matches("Error").count(), 3, "{text}");
}

#[test]
fn every_host_reaches_whom_it_talks_to() {
    let inventory = inventory();
    let to = |name: &str| to_reach(&inventory, inventory.host(name).unwrap());
    assert_eq!(to("m1"), [("192.0.2.21".to_owned(), 5051), ("192.0.2.22".to_owned(), 5051)]);
    assert_eq!(to("a2"), [("192.0.2.11".to_owned(), 5050)]);
}

#[test]
fn coordinators_have_room_ports_and_an_etcd_that_runs_there() {
    let text = INVENTORY.replace("roles: [master]", "roles: [coordinator, master]");
    let inventory = inventory::read("inventory.yaml", text.as_bytes(), |_| None).unwrap();
    let found = |glibc, change: fn(&mut Facts)| {
        let mut facts: BTreeMap<String, Facts> =
            inventory.hosts.iter().map(|host| (host.name.clone(), healthy(&host.name))).collect();
        change(facts.get_mut("m1").unwrap());
        let needs = |machine, glibc| Needs { machine, glibc };
        let programs = BTreeMap::from([
            ("x86_64".to_owned(), (needs("x86_64", None), 60 << 20)),
            ("aarch64".to_owned(), (needs("aarch64", None), 60 << 20)),
        ]);
        let etcd = EtcdProgram {
            needs: needs("x86_64", glibc),
            size: 20 << 20,
            version: Some("3.5.1".to_owned()),
            is_named: false,
        };
        let checked =
            Checked { inventory: &inventory, facts: &facts, programs: &programs, etcd: Some(&etcd) };
        shown(&check(&checked))
    };
    assert_eq!(found(Some((2, 32)), |_| {}), "");
    let text = found(Some((2, 38)), |_| {});
    assert!(
        text.starts_with(
            "Error m1: glibc: it has glibc 2.36 (Debian GNU/Linux 12), and this etcd needs 2.38"
        ),
        "{text}"
    );
    type Change = fn(&mut Facts);
    let table: [(Change, &str); 5] = [
        (
            |f| {
                let file = |content: &str| crate::facts::Found {
                    kind: crate::facts::Kind::File,
                    access: crate::item::Access::root(0o644),
                    size: 1,
                    sum: None,
                    content: Some(content.to_owned()),
                    target: None,
                    certificate: None,
                };
                f.paths.insert(coordinators::kept(), file(""));
                let unit = file("ExecStart=/opt/clusterctl/etcd/3.4.23-0123abcd/etcd --config-file x");
                f.paths.insert("/etc/systemd/system/clusterctl-etcd.service".to_owned(), unit);
            },
            "Error m1: etcd: etcd 3.4.23 runs there, and this is 3.5.1: another minor version cannot be taken back",
        ),
        (
            |f| f.system.machine = "aarch64".into(),
            "Error m1: machine: it is aarch64, and this etcd is for x86_64",
        ),
        (|f| _ = f.system.listening.insert(2379), "Error m1: ports: something else listens on port 2379"),
        (|f| _ = f.system.listening.insert(2380), "Error m1: ports: something else listens on port 2380"),
        (
            |f| f.disks.get_mut(VAR).unwrap().free = 600 << 10,
            "Error m1: space: /var/lib/clusterctl has 600 MiB left",
        ),
    ];
    for (change, expected) in table {
        let text = found(None, change);
        assert!(text.starts_with(expected), "{expected}: {text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}

#[test]
fn coordinators_are_reached_by_masters_and_by_each_other() {
    let text = "\
cluster: {name: demo}
hosts:
  - {name: c1, address: 192.0.2.1, roles: [coordinator]}
  - {name: c2, address: 192.0.2.2, roles: [coordinator, master]}
  - {name: c3, address: 192.0.2.3, roles: [coordinator]}
  - {name: m1, address: 192.0.2.11, roles: [master]}
  - {name: a1, address: 192.0.2.21, roles: [agent]}
";
    let inventory = inventory::read("i", text.as_bytes(), |_| None).unwrap();
    let to = |name: &str| {
        let all = to_reach(&inventory, inventory.host(name).unwrap());
        all.iter().map(|(address, port)| format!("{}:{port}", &address[8..])).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(to("c1"), "2:5050 2:2379 2:2380 3:2379 3:2380 11:5050");
    assert_eq!(to("m1"), "1:2379 2:5050 2:2379 3:2379 21:5051");
    assert_eq!(to("a1"), "2:5050 11:5050");
}

#[test]
fn another_key_of_secrets_on_a_master_is_found() {
    use crate::facts::Found;
    use crate::item::Access;
    let inventory = inventory();
    let ours = Sum::of(b"ours");
    let file = |sum: Option<Sum>, content: Option<&str>| Found {
        kind: Kind::File,
        access: Access::root(0o640),
        size: 65,
        sum,
        content: content.map(str::to_owned),
        target: None,
        certificate: None,
    };
    let found = |host: &str, path: &str, found: Found| {
        let mut facts = healthy(host);
        facts.paths.insert(path.to_owned(), found);
        shown(secrets_key(inventory.host(host).unwrap(), &facts, &ours).as_slice())
    };
    let other = || file(Some(Sum::of(b"other")), None);
    let said = found("m1", SECRETS_KEY, other());
    assert!(said.starts_with("Error m1: secrets: it has another key"), "{said}");
    assert!(said.contains("`pki/secrets.key`") && said.contains("/etc/clusterctl/pki/secrets.key.saved"));
    assert_eq!(found("m1", SECRETS_KEY, file(Some(ours.clone()), None)), "");
    assert_eq!(found("m1", "/etc/other", other()), "");
    assert_eq!(found("a1", SECRETS_KEY, other()), "", "agents have none of ours");

    let config =
        |line: &str| found("m1", MASTER_CONFIG, file(None, Some(&format!("cluster: demo\n{line}\n"))));
    let said = config("secrets_key: /root/k");
    assert!(said.starts_with("Error m1: secrets: its /etc/clusterctl/master.yaml names /root/k"), "{said}");
    for line in
        ["", "secrets_key: \"/etc/clusterctl/pki/secrets.key\"", "secrets_key: ", "# secrets_key: /root/k"]
    {
        assert_eq!(config(line), "", "{line}");
    }
}
