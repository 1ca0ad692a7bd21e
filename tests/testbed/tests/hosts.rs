//! The testbed, proved on real hosts. Needs root; `tests/run` runs it.

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{assert_nothing_left, cpu_and_pid_limits_hold, memory_limits_hold};
use testbed::{ADMIN_PASSWORD, Error, Loss, Status, Testbed};

#[tokio::test]
#[ignore = "real hosts"]
async fn six_hosts_are_systems_of_their_own() {
    let testbed = Testbed::builder().hosts(6).start().await.unwrap();
    let mut identities = std::collections::HashSet::new();
    for host in testbed.hosts() {
        assert_eq!(host.run("systemctl is-system-running").await.unwrap(), "running\n", "{}", host.name());
        assert_eq!(host.run("hostname").await.unwrap().trim(), host.name());
        let address = host.run("ip -4 -oneline address show scope global").await.unwrap();
        assert!(address.contains(&format!(" {}/24 ", host.address())), "{address}");
        assert!(identities.insert(host.run("cat /etc/machine-id").await.unwrap()));
        assert!(identities.insert(host.host_key().to_owned()));
        let shown = host.run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").await.unwrap();
        assert!(shown.contains(host.host_key()), "{shown}");
        assert!(host.memory().unwrap() > 1 << 20);
    }
    let [first, .., last] = testbed.hosts() else { unreachable!() };
    // By name, over the bridge, with what the root file system promises.
    last.run(&format!("ping -c 1 -W 5 {}", first.name())).await.unwrap();
    first
        .run("python3 --version && java -version 2>&1 | grep -q '\"17' && sudo -V && dbus-daemon --version")
        .await
        .unwrap();

    let limit = Duration::from_secs(20);
    let free = first.exec_as("deploy", "sudo -n id -u", limit).await.unwrap();
    assert_eq!(free.stdout, "0\n", "{free:?}");
    let refused = first.exec_as("admin", "sudo -n id -u", limit).await.unwrap();
    assert!(!refused.success(), "{refused:?}");
    let asked =
        first.exec_as("admin", &format!("echo {ADMIN_PASSWORD} | sudo -S -p '' id -u"), limit).await.unwrap();
    assert_eq!(asked.stdout, "0\n", "{asked:?}");

    let dir = testbed.dir();
    testbed.down().await.unwrap();
    assert_nothing_left(&dir);
}

#[tokio::test]
#[ignore = "real hosts"]
async fn limits_hold_also_after_a_reboot() {
    let testbed = Testbed::builder().hosts(1).start().await.unwrap();
    let host = testbed.host("h1").unwrap();
    memory_limits_hold(host).await;
    cpu_and_pid_limits_hold(host).await;
    host.run("echo kept >/root/note").await.unwrap();
    host.reboot().await.unwrap();
    assert_eq!(host.run("cat /root/note").await.unwrap(), "kept\n");
    memory_limits_hold(host).await;
    cpu_and_pid_limits_hold(host).await;
}

#[tokio::test]
#[ignore = "real hosts"]
async fn a_guest_has_control_groups_v2_and_its_limits_hold() {
    let testbed = Testbed::builder().hosts(1).guests(1).start().await.unwrap();
    let guest = testbed.host("g1").unwrap();
    assert_eq!(guest.run("systemctl is-system-running").await.unwrap(), "running\n");
    assert_eq!(guest.run("stat -f -c %T /sys/fs/cgroup").await.unwrap(), "cgroup2fs\n");
    memory_limits_hold(guest).await;
    cpu_and_pid_limits_hold(guest).await;
    // Containers and guests are neighbours.
    testbed.host("h1").unwrap().run("ping -c 1 -W 5 g1").await.unwrap();
    guest.partition_from(&[testbed.host("h1").unwrap()]).unwrap();
    assert!(!guest.exec("ping -c 1 -W 1 h1").await.unwrap().success());
    testbed.heal().unwrap();
    guest.run("ping -c 1 -W 5 h1").await.unwrap();

    let disk = guest.fill_disk("/srv/small", 16).await.unwrap();
    assert!(!guest.exec("echo more >/srv/small/more").await.unwrap().success());
    disk.free().await.unwrap();
    guest.run("echo more >/srv/small/more").await.unwrap();
}

#[tokio::test]
#[ignore = "real hosts"]
async fn partitioned_hosts_are_out_of_reach_until_healed() {
    let testbed = Testbed::builder().hosts(3).start().await.unwrap();
    let [h1, h2, h3] = testbed.hosts() else { unreachable!() };
    testbed.partition(&[h1, h2]).unwrap();
    for cut_off in [h1, h2] {
        let answer = cut_off.exec("true").await.unwrap();
        assert_eq!(answer.status, 255, "this machine still reaches {}: {answer:?}", cut_off.name());
        let ping = h3.exec(&format!("ping -c 1 -W 1 {}", cut_off.name())).await.unwrap();
        assert_eq!(ping.status, 1, "h3 still reaches {}: {ping:?}", cut_off.name());
    }
    let inside = h1.exec_inside("ping -c 1 -W 5 h2").await.unwrap();
    assert!(inside.success(), "hosts on one side still speak: {inside:?}");
    testbed.heal().unwrap();
    for healed in [h1, h2] {
        healed.run("true").await.unwrap();
        h3.run(&format!("ping -c 1 -W 5 {}", healed.name())).await.unwrap();
    }

    h1.partition_from(&[h3]).unwrap();
    assert_eq!(h1.exec("ping -c 1 -W 1 h3").await.unwrap().status, 1);
    assert_eq!(h3.exec("ping -c 1 -W 1 h1").await.unwrap().status, 1);
    h1.run("ping -c 1 -W 5 h2").await.unwrap();
    testbed.heal().unwrap();

    // Only one port, in one direction.
    h1.drop_packets(&Loss::from(h2).tcp_port(22)).unwrap();
    let connect = |to: &str| format!("timeout 2 bash -c '</dev/tcp/{to}/22'");
    assert_eq!(h2.exec(&connect("h1")).await.unwrap().status, 124);
    h1.run(&connect("h2")).await.unwrap();
    h2.run("ping -c 1 -W 5 h1").await.unwrap();
    testbed.heal().unwrap();

    // Some of all: of 200 packets at 50 %, none or all lost would be a miracle.
    h1.drop_packets(&Loss::to(h2).percent(50)).unwrap();
    let ping = h1.exec("ping -c 200 -i 0.002 -W 1 -q h2").await.unwrap();
    let received: u32 =
        ping.stdout.split(" received").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!((20..180).contains(&received), "{received} of 200 came back: {ping:?}");
    testbed.heal().unwrap();
    h2.run(&connect("h1")).await.unwrap();
}

#[tokio::test]
#[ignore = "real hosts"]
async fn hosts_are_stopped_killed_paused_filled_and_given_files() {
    let testbed = Testbed::builder().hosts(2).start().await.unwrap();
    let [h1, h2] = testbed.hosts() else { unreachable!() };

    // What was written and not synced before the power went may be lost, the rest not.
    h1.run("echo kept >/root/note && sync").await.unwrap();
    h1.kill().unwrap();
    assert_eq!(h1.status(), Status::Stopped);
    assert!(matches!(h1.exec_inside("true").await, Err(Error::Usage(_))));
    assert_eq!(h1.exec("true").await.unwrap().status, 255);
    h1.start().await.unwrap();
    assert_eq!(h1.run("cat /root/note").await.unwrap(), "kept\n");
    assert!(matches!(h1.power_on(), Err(Error::Usage(_))), "it runs already");

    h2.stop().await.unwrap();
    assert_eq!(h2.status(), Status::Stopped);
    h2.start().await.unwrap();

    h1.pause().unwrap();
    assert_eq!(h1.status(), Status::Paused);
    let frozen = h1.exec_as("root", "true", Duration::from_secs(1)).await;
    assert!(matches!(frozen, Err(Error::Timeout { .. })), "{frozen:?}");
    h1.resume().unwrap();
    assert_eq!(h1.status(), Status::Running);
    h1.run("true").await.unwrap();

    // A small disk begins with what stood there, takes no more when full, and takes again when freed.
    h1.run("mkdir -p /srv/data && echo old >/srv/data/old").await.unwrap();
    let disk = h1.fill_disk("/srv/data", 16).await.unwrap();
    assert_eq!(h1.run("cat /srv/data/old").await.unwrap(), "old\n");
    let full = h1.exec("echo more >/srv/data/more").await.unwrap();
    assert!(!full.success() && full.stderr.contains("No space left on device"), "{full:?}");
    h1.run("echo elsewhere >/srv/elsewhere").await.unwrap();
    disk.free().await.unwrap();
    h1.run("echo more >/srv/data/more").await.unwrap();

    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all(b"#!/bin/sh\necho it runs\n").unwrap();
    h2.upload(file.path(), "/usr/local/bin/it's here", "0755").await.unwrap();
    assert_eq!(h2.run("\"/usr/local/bin/it's here\"").await.unwrap(), "it runs\n");
    let failed = h2.run("echo reason >&2; exit 7").await.unwrap_err().to_string();
    assert!(failed.contains("h2") && failed.contains('7') && failed.contains("reason"), "{failed}");

    // Dropped in whatever state: one paused, one off, one with a disk.
    h2.pause().unwrap();
    let dir = testbed.dir();
    drop(testbed);
    assert_nothing_left(&dir);
}

#[tokio::test]
#[ignore = "real hosts"]
async fn testbeds_stand_side_by_side_and_names_are_their_own() {
    let first = Testbed::builder().hosts(1).name("side-a").start().await.unwrap();
    let second = Testbed::builder().hosts(1).name("side-b").start().await.unwrap();
    assert_ne!(first.dir(), second.dir());
    assert_ne!(first.hosts()[0].address(), second.hosts()[0].address());
    let again = Testbed::builder().hosts(1).name("side-a").start().await.unwrap_err().to_string();
    assert!(again.contains("side-a") && again.contains("testbed down"), "{again}");

    first.partition(&[&first.hosts()[0]]).unwrap();
    second.hosts()[0].run("true").await.unwrap();
    drop(first);
    second.hosts()[0].run("true").await.unwrap();
    assert_eq!(Testbed::open(Some("side-b")).unwrap().hosts()[0].run("hostname").await.unwrap(), "h1\n");
    let unknown = second.host("h9").unwrap_err().to_string();
    assert!(unknown.contains("h9") && unknown.contains("it has h1"), "{unknown}");
}

/// Not a test of its own: holds hosts until its input ends, in a process that another test kills.
#[tokio::test]
#[ignore = "started by another test"]
async fn helper_holds_hosts_until_killed() {
    if std::env::var_os("TESTBED_HELD").is_none() {
        return;
    }
    let testbed = Testbed::builder().hosts(2).start().await.unwrap();
    testbed.hosts()[0].fill_disk("/srv/data", 16).await.unwrap();
    testbed.hosts()[1].pause().unwrap();
    println!("\nHELD {}", testbed.dir().display());
    let _ = std::io::stdin().read(&mut [0]);
}

#[tokio::test]
#[ignore = "real hosts"]
async fn what_a_killed_run_left_is_collected_and_nothing_else() {
    // A directory of its own, so that tests beside this one do not collect what it is about to.
    let registry = tempfile::tempdir().unwrap();
    let program = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_testbed"));
        command.env("CLUSTERCTL_TESTBED_DIR", registry.path()).args(args);
        command
    };
    let left_standing = program(&["up", "--hosts", "1", "--name", "standing"]).output().unwrap();
    assert!(left_standing.status.success(), "{left_standing:?}");

    // Killed while its hosts run.
    let mut held = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_holds_hosts_until_killed", "--ignored", "--nocapture"])
        .env("CLUSTERCTL_TESTBED_DIR", registry.path())
        .env("TESTBED_HELD", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let dir = BufReader::new(held.stdout.take().unwrap())
        .lines()
        .find_map(|line| line.unwrap().strip_prefix("HELD ").map(str::to_owned))
        .expect("the run says what it holds");
    let owned = program(&["gc"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&owned.stdout), "nothing to remove\n", "its process lives");
    held.kill().unwrap();
    held.wait().unwrap();

    let collected = program(&["gc"]).output().unwrap();
    let expected = format!(
        "removed {}, left by a run that ended\n",
        Path::new(&dir).file_name().unwrap().to_str().unwrap()
    );
    assert_eq!(String::from_utf8_lossy(&collected.stdout), expected, "{collected:?}");
    assert_nothing_left(Path::new(&dir));

    // Killed in the middle of starting.
    let deadline = std::time::Instant::now();
    let mut starting =
        program(&["up", "--hosts", "2", "--name", "starting"]).stdout(Stdio::null()).spawn().unwrap();
    let half_made = loop {
        let mut made = std::fs::read_dir(registry.path()).unwrap().flatten().map(|e| e.path());
        let begun = made.find(|dir| {
            dir.join("hosts/h1/console.log").exists()
                && std::fs::read_to_string(dir.join("state.json"))
                    .is_ok_and(|s| s.contains("\"name\": \"starting\""))
        });
        if let Some(dir) = begun {
            break dir;
        }
        assert!(starting.try_wait().unwrap().is_none(), "it ended before it could be killed");
        assert!(deadline.elapsed() < Duration::from_secs(600), "it never began");
        std::thread::sleep(Duration::from_millis(1));
    };
    starting.kill().unwrap();
    starting.wait().unwrap();

    // A process that it was just starting holds its lock until it runs its own program.
    let removed = loop {
        let collected = program(&["gc"]).output().unwrap();
        let text = String::from_utf8_lossy(&collected.stdout).into_owned();
        if text != "nothing to remove\n" {
            break text;
        }
        assert!(deadline.elapsed() < Duration::from_secs(60), "nothing is collected: {collected:?}");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(removed, "removed starting, left by a run that ended\n");
    assert_nothing_left(&half_made);

    // The one that was left standing on purpose stands.
    let alive = program(&["ssh", "h1", "hostname"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&alive.stdout), "h1\n", "{alive:?}");
    let standing =
        std::fs::read_dir(registry.path()).unwrap().flatten().map(|e| e.path()).find(|p| p.is_dir());
    let standing = standing.expect("its directory is there");
    let bridge = format!("c{}", standing.file_name().unwrap().to_str().unwrap());
    assert!(Path::new("/sys/class/net").join(bridge).exists());
    assert!(program(&["down", "--all"]).status().unwrap().success());
    assert_nothing_left(&standing);
}
