//! The agent's tests of isolation, which `root*` binaries hold, in a guest with control groups v2: the kernel of this machine may
//! have others. Needs root; `tests/run` runs it.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testbed::{Host, Testbed};

/// The guest's processor is emulated.
const LIMIT: Duration = Duration::from_secs(900);

/// The executables of the agent's test binaries named `root*` and of the programs that they start, built if need be: for the
/// whole workspace, as `tests/run` does, since dependencies of the agent alone would have other features and be built anew.
fn executables() -> Vec<(String, PathBuf)> {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["test", "--workspace", "--test", "root*", "--bin", "agent-shim", "--no-run", "--locked"])
        .args(["--message-format=json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| {
            let built: Value = serde_json::from_str(line).unwrap();
            let name = built["target"]["name"].as_str()?;
            let wanted = name.starts_with("root") || name == "agent-shim";
            // A program is built twice: to be run, and to be tested.
            let tests = built["profile"]["test"].as_bool()? == name.starts_with("root");
            let file = built["executable"].as_str()?;
            (wanted && tests).then(|| (name.to_owned(), file.into()))
        })
        .collect()
}

/// Without line tables, and to the place where it was built: tests know the programs that they start by their paths.
async fn upload(guest: &Host, file: &Path) {
    let copy = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    let done = Command::new("strip").args(["--strip-all", "-o"]).arg(&copy).arg(file).status().unwrap();
    assert!(done.success(), "{done}");
    guest.run(&format!("mkdir -p '{}'", file.parent().unwrap().display())).await.unwrap();
    guest.upload(&copy, file.to_str().unwrap(), "0755").await.unwrap();
}

#[tokio::test]
#[ignore = "real hosts"]
async fn tasks_are_isolated_with_control_groups_v2() {
    let executables = executables();
    assert!(executables.iter().any(|(name, _)| name == "root"), "{executables:?}");
    let testbed = Testbed::builder().guests(1).start().await.unwrap();
    let guest = testbed.host("g1").unwrap();
    assert_eq!(guest.run("stat -fc %T /sys/fs/cgroup").await.unwrap().trim(), "cgroup2fs");
    for (_, file) in &executables {
        upload(guest, file).await;
    }
    // What a test makes a root file system of: linked statically, so that it runs anywhere.
    guest.upload(Path::new("/bin/busybox"), "/bin/busybox", "0755").await.unwrap();
    for (name, file) in executables.iter().filter(|(name, _)| name.starts_with("root")) {
        let command = format!("'{}' --ignored --test-threads=1", file.display());
        let done = guest.exec_as("root", &command, LIMIT).await.unwrap();
        assert_eq!(done.status, 0, "{name}:\n{}\n{}", done.stdout, done.stderr);
    }
}
