//! The binary on real hosts. Needs root; `tests/run` runs it.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::process::Command;

use testbed::Testbed;

const BINARY: &str = env!("CARGO_BIN_EXE_clusterctl");

/// What is sent to hosts carries no line tables: a fraction of the size.
fn stripped() -> tempfile::TempPath {
    let copy = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    let done = Command::new("strip").args(["--strip-all", "-o"]).arg(&copy).arg(BINARY).status().unwrap();
    assert!(done.success(), "{done}");
    copy
}

#[tokio::test]
#[ignore = "real hosts"]
async fn the_same_binary_runs_on_a_host() {
    let testbed = Testbed::builder().hosts(1).start().await.unwrap();
    let host = testbed.host("h1").unwrap();
    let binary = stripped();
    host.upload(&binary, "/usr/local/bin/clusterctl", "0755").await.unwrap();
    let here = Command::new(BINARY).arg("--version").output().unwrap();
    let there = host.run("clusterctl --version").await.unwrap();
    assert_eq!(there, String::from_utf8(here.stdout).unwrap());
    let wrong = host.exec("clusterctl no-such").await.unwrap();
    assert_eq!((wrong.status, wrong.stdout.as_str()), (2, ""), "{wrong:?}");
    // Nothing but libraries that every Debian has.
    let libraries = host.run("ldd /usr/local/bin/clusterctl").await.unwrap();
    assert!(!libraries.contains("not found"), "{libraries}");
}
