//! What is shipped, on every distribution's age that it is for: `tests/release` builds it, `tests/run --full` does so first.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

use std::env;
use std::path::PathBuf;
use std::process::Command;

use testbed::{Release, Testbed};

/// A cluster on the host, from its start to a service that ran. The pipe says when it is ready: nothing is looked at before.
const STORY: &str = r#"
set -e
cd "$(mktemp -d)"
export HOME="$PWD"
mkfifo said written
clusterctl up --json --port 0 --dir state --task-ports 31000-31010 >said &
up=$!
exec 3<said
ready=$(sed -n '/"up_ready"/{p;q}' <&3)
CLUSTERCTL_URL=$(printf %s "$ready" | sed 's/.*"url":"\([^"]*\)".*/\1/')
export CLUSTERCTL_URL
clusterctl service create hello --cmd 'echo "hello from $(hostname)"; exec sleep 1000' --mem 32 --timeout 60s >&2
clusterctl service logs -f hello >written &
follows=$!
read -r task line <written
echo "$line"
kill $follows
clusterctl service remove hello -y >&2
kill -TERM $up
cat <&3 >/dev/null
wait $up
"#;

/// The binary that was built for old systems, which no test builds by itself: that takes minutes.
fn shipped() -> PathBuf {
    let path = env::var_os("CLUSTERCTL_RELEASE");
    PathBuf::from(path.expect(
        "run `tests/release --profile dist-test`, and name the binary that it prints in CLUSTERCTL_RELEASE; `tests/run --full` does both",
    ))
}

async fn it_runs_on(release: Release) {
    let binary = shipped();
    let testbed = Testbed::builder().hosts(1).release(release).start().await.unwrap();
    let host = testbed.host("h1").unwrap();
    host.upload(&binary, "/usr/local/bin/clusterctl", "0755").await.unwrap();

    let libraries = host.run("ldd /usr/local/bin/clusterctl").await.unwrap();
    assert!(!libraries.contains("not found"), "{libraries}");
    let here = Command::new(&binary).arg("--version").output().unwrap();
    assert_eq!(host.run("clusterctl --version").await.unwrap(), String::from_utf8(here.stdout).unwrap());
    assert_eq!(host.run(STORY).await.unwrap(), "hello from h1\n");
}

#[test]
#[ignore = "needs what is shipped"]
fn what_is_shipped_has_no_failpoints() {
    let binary = std::fs::read(shipped()).unwrap();
    let has = |text: &str| binary.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("CLUSTERCTL_LOG") && !has("CLUSTERCTL_FAILPOINT") && !has("STORE_FAILPOINT"));
}

#[tokio::test]
#[ignore = "real hosts"]
async fn what_is_shipped_runs_a_cluster_on_debian_11() {
    it_runs_on(Release::Bullseye).await;
}

#[tokio::test]
#[ignore = "real hosts"]
async fn what_is_shipped_runs_a_cluster_on_debian_12() {
    it_runs_on(Release::Bookworm).await;
}

#[tokio::test]
#[ignore = "real hosts"]
async fn what_is_shipped_runs_a_cluster_on_debian_13() {
    it_runs_on(Release::Trixie).await;
}
