//! Clients that others released, unmodified, against the binary, and definitions that use what Marathon's documentation shows.
//! The tests themselves are in `tests/clients`, in the clients' own language; `run.py` there installs the clients with pip and
//! fails when it cannot.
#![expect(clippy::panic, reason = "a test")]

use std::path::Path;
use std::process::Command;

fn play(module: &str) {
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/run.py");
    let output = Command::new("python3")
        .arg(run)
        .arg(module)
        .env("CLUSTERCTL", env!("CARGO_BIN_EXE_clusterctl"))
        .env("TARGET", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap_or_else(|error| panic!("python3 cannot be run ({error}); tests/run installs it"));
    assert!(
        output.status.success(),
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_python_client_has_its_way_with_apps_tasks_and_versions() {
    play("test_apps");
}

#[test]
fn the_python_client_has_its_way_with_groups() {
    play("test_groups");
}

#[test]
fn the_python_client_has_its_way_with_deployments_queue_events_and_leader() {
    play("test_cluster");
}

#[test]
fn tools_that_people_deploy_with_work() {
    play("test_tools");
}

#[test]
fn definitions_are_accepted_and_run_or_refused_in_full() {
    play("test_definitions");
}

#[test]
fn a_rolling_restart_keeps_as_many_answering_as_it_must() {
    play("test_capacity");
}

#[test]
fn the_package_manager_of_dcos_has_its_way() {
    play("test_packages");
}

#[test]
fn a_bundle_takes_a_package_to_where_there_is_no_internet() {
    play("test_bundle");
}
