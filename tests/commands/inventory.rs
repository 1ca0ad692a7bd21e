//! Inventories: written from flags, checked, shown.

use std::process::{Command, Stdio};

use insta::assert_snapshot;
use serde_json::Value;

use crate::fixtures::folder;

/// Runs in that folder, without a terminal: exit code, standard output, standard error.
#[expect(clippy::unwrap_used, reason = "a test fails where it cannot start the binary")]
fn run(folder: &tempfile::TempDir, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_clusterctl"))
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .env_clear()
        .env("MASTER", "192.0.2.11")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

const FLAGS: [&str; 9] = [
    "init",
    "--name",
    "demo",
    "--user",
    "admin",
    "--master",
    "192.0.2.11",
    "--agent",
    "192.0.2.[21:23],192.0.2.11",
];

#[test]
fn flags_make_an_inventory_that_is_read_without_mistakes() {
    let folder = folder(&[]);
    let (code, stdout, stderr) = run(&folder, &FLAGS);
    assert_eq!(
        (code, stdout.as_str()),
        (0, "inventory.yaml describes the cluster demo of 4 hosts\n"),
        "{stderr}"
    );
    assert_eq!(stderr, "hint: look it over, then `clusterctl install inventory.yaml`\n");
    let (code, stdout, stderr) = run(&folder, &["inventory", "check"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(stdout, "inventory.yaml: no mistakes; cluster demo with 1 master and 4 agents on 4 hosts\n");
    let (code, stdout, _) = run(&folder, &["inventory", "show"]);
    assert_eq!(code, 0);
    assert_snapshot!(stdout, @r"
    HOST  ADDRESS     ROLES         LOGIN  BECOME
    m1    192.0.2.11  master,agent  admin  sudo
    a1    192.0.2.21  agent         admin  sudo
    a2    192.0.2.22  agent         admin  sudo
    a3    192.0.2.23  agent         admin  sudo
    ");
    let (code, stdout, _) = run(&folder, &["inventory", "show", "-o", "json"]);
    let shown: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &shown["hosts"][1]["address"]), (0, &Value::from("192.0.2.21")));
}

#[test]
fn without_a_terminal_a_missing_flag_is_named() {
    let folder = folder(&[]);
    let (code, stdout, stderr) = run(&folder, &["init", "--user", "admin", "--agent", "192.0.2.21"]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert_snapshot!(stderr, @r"
    error: nobody is here to answer, and flags are missing: --name, --master
    hint: `clusterctl init --help` shows an example with all of them
    ");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_there_is_kept_unless_forced() {
    let folder = folder(&[("inventory.yaml", "mine\n")]);
    let (code, _, stderr) = run(&folder, &FLAGS);
    assert_eq!(code, 2);
    assert_snapshot!(stderr, @r"
    error: inventory.yaml exists already
    hint: `--force` writes a new one in its place
    ");
    let text = || std::fs::read_to_string(folder.path().join("inventory.yaml")).unwrap();
    assert_eq!(text(), "mine\n");
    let (code, _, stderr) = run(&folder, &[&FLAGS[..], &["--force", "--json"]].concat());
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(text().starts_with("# The inventory of the cluster demo."), "{}", text());
}

#[test]
fn answers_that_do_not_fit_together_are_refused() {
    let folder = folder(&[]);
    let mut flags = FLAGS.to_vec();
    flags.extend(["--agent", "db=192.0.2.22"]);
    let (code, _, stderr) = run(&folder, &flags);
    assert!(code == 2 && stderr.contains("192.0.2.22 is the address of"), "{stderr}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn every_mistake_of_an_inventory_is_shown_where_it_stands() {
    let inventory = "cluster: {nam: demo}\nhosts:\n  - {name: m1, adress: 192.0.2.11, roles: [master]}\n  - {name: a1, address: 192.0.2.300, roles: [agnet]}\n";
    let folder = folder(&[("prod.yaml", inventory)]);
    let (code, stdout, stderr) = run(&folder, &["inventory", "check", "prod.yaml"]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert_snapshot!(stderr, @r"
    error: 4 mistakes in prod.yaml
      caused by: prod.yaml:1:11: unknown key `nam` in `cluster`
          1 | cluster: {nam: demo}
            |           ^
          did you mean `name`?
      caused by: prod.yaml:3:16: unknown key `adress` in a host
          3 |   - {name: m1, adress: 192.0.2.11, roles: [master]}
            |                ^
          did you mean `address`?
      caused by: prod.yaml:4:25: `192.0.2.300` is no IPv4 address
          4 |   - {name: a1, address: 192.0.2.300, roles: [agnet]}
            |                         ^
          write four numbers from 0 to 255, like `192.0.2.11`
      caused by: prod.yaml:4:46: `agnet` is not possible here
          4 |   - {name: a1, address: 192.0.2.300, roles: [agnet]}
            |                                              ^
          did you mean `agent`? Possible are `coordinator`, `master`, `agent`, `public_agent`
    ");
    let (code, stdout, _) = run(&folder, &["--json", "inventory", "check", "prod.yaml"]);
    let last: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!(
        (code, last["type"].as_str(), last["causes"].as_array().unwrap().len()),
        (2, Some("error"), 4)
    );
    let (code, _, stderr) = run(&folder, &["inventory", "check"]);
    assert_eq!(code, 2);
    assert_snapshot!(stderr, @r"
    error: cannot read inventory.yaml
      caused by: No such file or directory (os error 2)
    hint: `clusterctl init inventory.yaml` asks a few questions and writes one
    ");
}

#[test]
fn variables_of_the_environment_are_filled_in() {
    let inventory =
        "cluster: {name: demo}\nhosts:\n  - {name: m1, address: \"${MASTER}\", roles: [master]}\n";
    let folder = folder(&[("inventory.yaml", inventory)]);
    let (code, stdout, stderr) = run(&folder, &["inventory", "show"]);
    assert!(code == 0 && stdout.contains("192.0.2.11"), "{stderr}");
}

#[test]
fn the_schema_comes_as_json_and_as_yaml() {
    let folder = folder(&[]);
    let (code, stdout, _) = run(&folder, &["inventory", "schema"]);
    let schema: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &schema["title"]), (0, &Value::from("An inventory of clusterctl")));
    let (code, stdout, _) = run(&folder, &["inventory", "schema", "-o", "yaml"]);
    assert!(code == 0 && stdout.contains("title: An inventory of clusterctl"), "{stdout}");
    let (_, stdout, _) = run(&folder, &["inventory", "schema", "--json"]);
    let event: Value = serde_json::from_str(stdout.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&event["of"], &event["answer"]), (&Value::from("inventory_schema"), &schema));
}
