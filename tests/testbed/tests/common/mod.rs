//! What the tests on real hosts have in common.
#![expect(clippy::unwrap_used, reason = "helpers of tests may stop at the first surprise")]

use std::path::Path;
use std::process::Command;

use testbed::Host;

/// Uses more memory than its limit allows, and says so if it lives.
const GREEDY: &str = "python3 -c 'x = b\"x\" * (200 << 20); print(\"survived\")'";

/// A process over its memory limit is killed by the kernel; the same process below a higher limit is not.
pub(crate) async fn memory_limits_hold(host: &Host) {
    let run =
        |limit: &str| format!("systemd-run --wait --pipe -p MemoryMax={limit} -p MemorySwapMax=0 {GREEDY}");
    let within = host.exec(&run("1G")).await.unwrap();
    assert_eq!(within.stdout, "survived\n", "{within:?}");
    let over = host.exec(&run("32M")).await.unwrap();
    assert!(!over.success() && over.stdout.is_empty(), "{over:?}");
    // With v2 groups systemd tells an OOM kill from another, with v1 it sees the signal.
    let told = over.stderr.contains("result: oom-kill")
        || (over.stderr.contains("result: signal") && over.stderr.contains("KILL"));
    assert!(told, "{over:?}");
}

/// A process over its share of processor time is held back, and one over its number of processes refused.
pub(crate) async fn cpu_and_pid_limits_hold(host: &Host) {
    let throttled = host
        .run(
            "systemd-run --wait --pipe --quiet -p CPUQuota=20% -p CPUAccounting=yes python3 -c '\
             import time, os\n\
             while time.process_time() < 0.3: pass\n\
             group = [line.split(\":\", 2) for line in open(\"/proc/self/cgroup\").read().split()]\n\
             v1 = [path for _, names, path in group if names.split(\",\")[0] == \"cpu\"]\n\
             path = \"/sys/fs/cgroup/cpu\" + v1[0] if v1 else \"/sys/fs/cgroup\" + group[-1][2]\n\
             print(dict(line.split() for line in open(path + \"/cpu.stat\"))[\"nr_throttled\"])'",
        )
        .await
        .unwrap();
    assert!(throttled.trim().parse::<u64>().unwrap() > 0, "held back {throttled} times");
    let refused = host
        .exec("systemd-run --wait --pipe --quiet -p TasksMax=4 sh -c 'for i in 1 2 3 4 5 6; do sleep 60 & done; echo all'")
        .await
        .unwrap();
    assert!(refused.stderr.contains("fork") && !refused.stdout.contains("all"), "{refused:?}");
}

/// Nothing of a testbed is on this machine: no process, mount, interface, rule, loop device, control group or file.
pub(crate) fn assert_nothing_left(dir: &Path) {
    let name = dir.file_name().unwrap().to_str().unwrap();
    let bridge = format!("c{name}");
    let dir = dir.to_str().unwrap();
    assert!(!Path::new(dir).exists(), "{dir} is there");
    let number = Path::new("/run/clusterctl-testbed").join(name.trim_start_matches("tb"));
    assert!(number.symlink_metadata().is_err(), "{} is there", number.display());
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line);
        assert!(!line.contains(&format!("{dir}/")), "a process is there: {line}");
        let Ok(mounts) = std::fs::read_to_string(entry.path().join("mountinfo")) else { continue };
        assert!(!mounts.contains(&format!("{dir}/")), "process {:?} has a mount", entry.file_name());
    }
    let output = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for link in output("ip", &["-oneline", "link"]).lines() {
        let link = link.split(": ").nth(1).unwrap().split('@').next().unwrap();
        let ours = link == bridge || link.contains(&format!("-{bridge}-"));
        assert!(!ours, "interface {link} is there");
    }
    let tables = output("nft", &["list", "tables"]);
    assert!(!tables.lines().any(|line| line == format!("table bridge {bridge}")), "{tables}");
    let loops = output("losetup", &["--list", "--noheadings", "--output", "BACK-FILE"]);
    assert!(!loops.contains(&format!("{dir}/")), "{loops}");
    let groups = output("find", &["/sys/fs/cgroup", "-maxdepth", "3", "-name", &bridge]);
    assert_eq!(groups, "", "control groups are there");
}
