use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::*;

const INVENTORY: &str = "\
cluster: {name: demo, timeouts: {unreachable: 10s}}
ssh: {user: admin}
hosts:
  - {name: m1, address: 192.0.2.11, roles: [master, agent], host_paths: [/srv/data]}
  - {name: a1, address: 192.0.2.21, private_address: 198.51.100.21, roles: [agent], attributes: {rack: r1}, resources: {cpus: 8}}
";

fn material(dir: &std::path::Path) -> Material {
    let program = dir.join("clusterctl");
    std::fs::write(&program, "a program").unwrap();
    let blob = Arc::new(Blob::open(&program).unwrap());
    Material {
        version: "0.1.0".to_owned(),
        programs: BTreeMap::from([
            ("x86_64".to_owned(), Arc::clone(&blob)),
            ("aarch64".to_owned(), Arc::clone(&blob)),
        ]),
        ca: "the CA\n".to_owned(),
        etcd_ca: "the CA of etcd\n".to_owned(),
        secrets_key: Arc::new("canary of secrets\n".to_owned().into()),
        etcd: Some(Etcd { blob, version: Some("3.4.23".to_owned()) }),
        templates: Templates::new().unwrap(),
        addresses: BTreeMap::new(),
    }
}

fn leaf(name: &str) -> Leaf {
    Leaf::New { certificate: format!("certificate of {name}\n"), key: Arc::new("canary\n".to_owned().into()) }
}

const THREE: &str = "\
cluster: {name: demo, timeouts: {lease: 2500ms}}
hosts:
  - {name: m1, address: 192.0.2.11, roles: [coordinator, master]}
  - {name: m2, address: 192.0.2.12, private_address: 'fd00::12', roles: [coordinator, master]}
  - {name: c3, address: 192.0.2.13, roles: [coordinator]}
  - {name: a1, address: 192.0.2.21, roles: [agent]}
";

fn of(name: &str) -> Desired {
    of_inventory(INVENTORY, name, "x86_64")
}

fn of_inventory(inventory: &str, name: &str, machine: &str) -> Desired {
    let dir = tempfile::tempdir().unwrap();
    let inventory = inventory::read("inventory.yaml", inventory.as_bytes(), |_| None).unwrap();
    let host = inventory.host(name).unwrap();
    let leaves = Credential::of(&inventory, host).map(|credential| (credential, leaf(name))).collect();
    desired(&inventory, host, machine, &leaves, &material(dir.path())).unwrap()
}

fn shown(desired: &Desired) -> String {
    let mut text = String::new();
    for (phase, item) in &desired.items {
        let _ = match item {
            Item::File { path, access, content: Content::Text(content) } => {
                writeln!(text, "==== {phase}: {path} ({access})\n{}", content.trim_end())
            }
            Item::File { path, access, .. } => writeln!(text, "==== {phase}: {path} ({access}), not shown"),
            Item::Dir { path, access, data } => {
                writeln!(text, "==== {phase}: {path}/ ({access}), data: {data}")
            }
            Item::Link { path, target } => writeln!(text, "==== {phase}: {path} -> {target}"),
            Item::Unit { name, inputs, .. } => {
                writeln!(text, "==== {phase}: start {name} with {}", inputs.as_ref().map_or("-", Sum::short))
            }
            other => writeln!(text, "==== {phase}: {}", other.what()),
        };
    }
    text
}

#[test]
fn a_master_with_an_agent_has_this() {
    insta::assert_snapshot!(shown(&of("m1")));
}

#[test]
fn an_agent_has_this() {
    insta::assert_snapshot!(shown(&of("a1")));
}

#[test]
fn a_coordinator_with_a_master_has_this() {
    insta::assert_snapshot!(shown(&of_inventory(THREE, "m2", "x86_64")));
}

#[test]
fn a_coordinator_alone_has_this() {
    insta::assert_snapshot!(shown(&of_inventory(THREE, "c3", "aarch64")));
}

#[test]
fn an_agent_knows_all_masters_and_nothing_of_etcd() {
    let shown = shown(&of_inventory(THREE, "a1", "x86_64"));
    assert!(
        shown.contains("masters:\n- \"https://192.0.2.11:5050\"\n- \"https://[fd00::12]:5050\"\n"),
        "{shown}"
    );
    assert!(!shown.contains("etcd"), "{shown}");
}

#[test]
fn a_new_program_of_ours_does_not_restart_etcd_and_a_new_etcd_does() {
    let dir = tempfile::tempdir().unwrap();
    let inventory = inventory::read("inventory.yaml", THREE.as_bytes(), |_| None).unwrap();
    let host = inventory.host("m1").unwrap();
    let inputs = |material: &Material| {
        let made = desired(&inventory, host, "x86_64", &BTreeMap::new(), material).unwrap();
        let of = |unit: &str| {
            made.iter().find_map(|item| match item {
                Item::Unit { name, inputs, .. } if name == unit => inputs.clone(),
                _ => None,
            })
        };
        (of(ETCD_UNIT).unwrap(), of(MASTER_UNIT).unwrap())
    };
    let first = inputs(&material(dir.path()));
    let newer = inputs(&Material { version: "0.2.0".to_owned(), ..material(dir.path()) });
    assert!(first.0 == newer.0 && first.1 != newer.1);
    let blob = material(dir.path()).programs["x86_64"].clone();
    let etcd = Some(Etcd { blob, version: Some("3.5.0".to_owned()) });
    let newer = inputs(&Material { etcd, ..material(dir.path()) });
    assert!(first.0 != newer.0 && first.1 == newer.1);
    let none = Material { etcd: None, ..material(dir.path()) };
    assert!(matches!(
        desired(&inventory, host, "x86_64", &BTreeMap::new(), &none),
        Err(DesiredError::NoEtcd)
    ));
}

#[test]
fn a_new_certificate_or_configuration_restarts_its_daemon_and_never_the_tasks() {
    let inputs = |desired: &Desired, unit: &str| {
        desired.iter().find_map(|item| match item {
            Item::Unit { name, inputs, .. } if name == unit => Some(inputs.clone()),
            _ => None,
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let read = |text: &str| inventory::read("inventory.yaml", text.as_bytes(), |_| None).unwrap();
    let make = |text: &str, by: &str| {
        let inventory = read(text);
        let host = inventory.host("a1").unwrap();
        let leaves = BTreeMap::from([(Credential::Agent, leaf(by))]);
        desired(&inventory, host, "x86_64", &leaves, &material(dir.path())).unwrap()
    };
    let first = make(INVENTORY, "one");
    for other in [make(INVENTORY, "two"), make(&INVENTORY.replace("rack: r1", "rack: r2"), "one")] {
        assert_ne!(inputs(&first, AGENT_UNIT), inputs(&other, AGENT_UNIT));
        assert_eq!(inputs(&other, TASKS_UNIT), Some(None));
    }
    assert_eq!(inputs(&first, AGENT_UNIT), inputs(&make(INVENTORY, "one"), AGENT_UNIT));
}

#[test]
fn a_kind_of_machine_without_a_program_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let inventory = inventory::read("inventory.yaml", INVENTORY.as_bytes(), |_| None).unwrap();
    let host = inventory.host("a1").unwrap();
    let error = desired(&inventory, host, "riscv64", &BTreeMap::new(), &material(dir.path())).unwrap_err();
    assert!(error.to_string().contains("riscv64"));
}

#[test]
fn a_name_becomes_the_address_that_is_known_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let text = INVENTORY.replace("192.0.2.21, private_address: 198.51.100.21", "a1.example.org");
    let inventory = inventory::read("inventory.yaml", text.as_bytes(), |_| None).unwrap();
    let host = inventory.host("a1").unwrap();
    let mut material = material(dir.path());
    let make = |material: &Material| desired(&inventory, host, "x86_64", &BTreeMap::new(), material);
    assert!(matches!(make(&material), Err(DesiredError::NoAddress { .. })));
    material.addresses.insert("a1.example.org".to_owned(), "192.0.2.77".parse().unwrap());
    let shown = shown(&make(&material).unwrap());
    assert!(
        shown.contains("address: \"192.0.2.77\"") && shown.contains("hostname: \"a1.example.org\""),
        "{shown}"
    );
}

#[test]
fn durations_are_written_as_they_are_read() {
    assert_eq!(seconds(std::time::Duration::from_secs(75)), "75s");
    assert_eq!(seconds(std::time::Duration::from_millis(1500)), "1500ms");
}

#[test]
fn another_key_of_secrets_restarts_masters_and_is_nowhere_to_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let inventory = inventory::read("inventory.yaml", THREE.as_bytes(), |_| None).unwrap();
    let make = |name: &str, material: &Material| {
        let leaves = BTreeMap::new();
        desired(&inventory, inventory.host(name).unwrap(), "x86_64", &leaves, material).unwrap()
    };
    let units = |desired: &Desired| {
        let units = desired.iter().filter_map(|item| match item {
            Item::Unit { name, inputs, .. } => Some((name.clone(), inputs.clone())),
            _ => None,
        });
        units.collect::<BTreeMap<_, _>>()
    };
    let first = material(dir.path());
    let other = Material { secrets_key: Arc::new("other\n".to_owned().into()), ..material(dir.path()) };
    let (one, two) = (make("m1", &first), make("m1", &other));
    assert_ne!(units(&one)[MASTER_UNIT], units(&two)[MASTER_UNIT]);
    assert_eq!(units(&one)[ETCD_UNIT], units(&two)[ETCD_UNIT]);

    let steps = crate::plan::plan(&one, &crate::facts::Facts::default()).unwrap();
    let write = steps.iter().find(|step| step.what == SECRETS_KEY).unwrap();
    assert_eq!(write.deed.words(), "new file (0640 root:clusterctl, 18 B)");
    let texts = format!("{first:?} {one:?} {steps:?} {}", serde_json::to_string(&steps).unwrap());
    assert!(!texts.contains("canary"), "{texts}");
    assert!(!texts.contains(first.secrets_key().sum().as_str()), "{texts}");

    for name in ["c3", "a1"] {
        assert!(!shown(&make(name, &first)).contains("secrets"), "{name}");
    }
}
