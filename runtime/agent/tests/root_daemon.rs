//! The agent with all of its isolation, on this machine's own kernel. Run with `--ignored`, as root.

#[cfg(test)]
mod cluster;

use std::time::Duration;

use agent::cgroup::{Group, Layout};
use api::mesos::{Check, CheckKind, CommandLine, Reason, TaskInfo, TaskState, Volume};
use cluster::{Agent, Master, check, in_sandbox, is_up, task, work_dir};

#[test]
fn be_agent() {
    cluster::be_agent();
}

/// A parent group that is emptied and removed at the end.
struct Parent(String);

#[cfg(test)]
impl Parent {
    fn new(name: &str) -> Self {
        Self(format!("clusterctl-daemon-test-{}-{name}", std::process::id()))
    }

    fn group(&self) -> Group {
        Group::new(Layout::detect().unwrap(), &self.0).unwrap()
    }

    /// The groups of tasks, in the first hierarchy.
    fn tasks(&self) -> Vec<String> {
        let layout = Layout::detect().unwrap();
        let of_agent = layout.hierarchies[0].mount.join(&self.0);
        let dirs = |dir: &std::path::Path| {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            entries.map(|e| e.path()).filter(|p| p.is_dir()).collect::<Vec<_>>()
        };
        let below = dirs(&of_agent).iter().flat_map(|dir| dirs(dir)).collect::<Vec<_>>();
        let names = below.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned());
        names.filter(|name| name != "shims").collect()
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        if let Ok(layout) = Layout::detect()
            && let Ok(group) = Group::new(layout, &self.0)
        {
            let _ = group.kill(Duration::from_secs(10));
            let _ = group.remove();
        }
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_task_has_its_user_its_groups_and_its_namespaces_and_so_has_its_check() {
    let (dir, mut master, parent) = (work_dir(), Master::start().await, Parent::new("user"));
    let mut agent = Agent::start(dir.path(), &master, Some(&parent.0));
    let (mut session, _) = master.admitted(1).await;
    let ask = |to: &str| {
        format!(
            "id -u > {to}.uid; cat /proc/self/cgroup > {to}.groups; readlink /proc/self/ns/pid /proc/self/ns/mnt > {to}.ns; mv {to}.ns {to}.done"
        )
    };
    let mut task = task("t", &format!("{}; while :; do sleep 1000; done", ask("task")));
    task.command.user = Some("nobody".into());
    // It fails, which ends the task, once the task has said what it has to say.
    let command =
        CommandLine::Shell(format!("test -e task.done || exit 0; {}; test -e healthy", ask("check")));
    let once = Check {
        delay: Duration::from_millis(300),
        interval: Duration::from_millis(300),
        ..check(CheckKind::Command(command), Some(1))
    };
    task.checks = vec![once];
    session.launch(&task).await;
    let end = session.until("t", TaskState::Killed).await;
    assert_eq!(end.reason, Some(Reason::TaskHealthCheckStatusUpdated), "{end:?}");
    let read = |file: &str| std::fs::read_to_string(in_sandbox(dir.path(), "t", file)).unwrap();
    for file in ["uid", "groups", "done"] {
        assert_eq!(read(&format!("task.{file}")), read(&format!("check.{file}")), "{file}");
    }
    assert_eq!(read("task.uid").trim(), "65534");
    assert!(read("task.groups").contains(&parent.0));
    let own = std::fs::read_link("/proc/self/ns/pid").unwrap();
    assert!(!read("task.done").contains(own.to_str().unwrap()), "a pid namespace of its own");
    assert_eq!(parent.tasks(), [""; 0], "nothing is left");
    agent.tell("stop").await;
    agent.wait().await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_task_that_takes_too_much_memory_is_told_of_with_its_limit() {
    let (dir, mut master, parent) = (work_dir(), Master::start().await, Parent::new("oom"));
    let mut agent = Agent::start(dir.path(), &master, Some(&parent.0));
    let (mut session, _) = master.admitted(1).await;
    // Without a limit of CPU that would make it slow.
    let mut greedy = task("t", "exec tail /dev/zero");
    greedy.resources = "cpus:2;mem:32".parse().unwrap();
    session.launch(&greedy).await;
    let end = session.until("t", TaskState::Failed).await;
    assert_eq!(end.reason, Some(Reason::ContainerLimitationMemory), "{end:?}");
    assert!(end.message.as_ref().unwrap().contains("whose limit is 32 MiB"), "{end:?}");
    agent.tell("stop").await;
    agent.wait().await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn an_agent_that_ends_with_its_tasks_leaves_no_group() {
    let layout = Layout::detect().unwrap();
    for word in ["stop", "kill"] {
        let (dir, mut master, parent) = (work_dir(), Master::start().await, Parent::new(word));
        let there = || {
            let dirs = layout.hierarchies.iter().map(|h| h.mount.join(&parent.0));
            dirs.filter(|dir| dir.exists()).collect::<Vec<_>>()
        };
        let mut agent = Agent::start(dir.path(), &master, Some(&parent.0));
        let (mut session, _) = master.admitted(1).await;
        session.launch_all(vec![task("t", "while :; do sleep 1000; done")]).await.unwrap();
        session.until("t", TaskState::Running).await;
        assert!(!there().is_empty());
        agent.tell(word).await;
        session.until("t", TaskState::Killed).await;
        agent.wait().await;
        assert_eq!(there(), [""; 0].map(std::path::PathBuf::from), "{word}");
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn an_adopted_task_is_killed_with_all_it_started() {
    let (dir, mut master, parent) = (work_dir(), Master::start().await, Parent::new("adopt"));
    let agent = Agent::start(dir.path(), &master, Some(&parent.0));
    let (mut session, _) = master.admitted(1).await;
    let line = "trap '' TERM; (setsid sh -c 'trap \"\" TERM; while :; do sleep 1000; done' &); echo up > pid; while :; do sleep 1000; done";
    session.launch(&task("t", line)).await;
    session.until("t", TaskState::Running).await;
    is_up(dir.path(), "t").await;
    let before = parent.group().pids();
    agent.kill().await;

    let mut agent = Agent::start(dir.path(), &master, Some(&parent.0));
    let (mut session, register) = master.admitted(1).await;
    assert_eq!(register.tasks.len(), 1);
    for pid in &before {
        assert!(parent.group().pids().contains(pid), "{pid} of {before:?} is gone");
    }
    session.kill("t", Some(100)).await;
    session.until("t", TaskState::Killed).await;
    assert_eq!(parent.tasks(), [""; 0]);
    agent.tell("stop").await;
    agent.wait().await;
}

/// A directory that a test made for itself below `/mnt`, since an absolute place must be there.
struct Place(std::path::PathBuf);

#[cfg(test)]
impl Place {
    fn make(name: &str) -> Self {
        let path = std::path::PathBuf::from(format!("/mnt/clusterctl-test-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn volumes_are_mounted_where_they_are_asked_for_and_nobody_else_sees_them() {
    let (dir, mut master, parent) = (work_dir(), Master::start().await, Parent::new("volumes"));
    let data = dir.path().join("allowed/data");
    std::fs::create_dir_all(data.join("deep")).unwrap();
    for (name, text) in [("file", "of the host"), ("deep/mark", "deep")] {
        std::fs::write(data.join(name), text).unwrap();
    }
    let nobody = std::os::unix::fs::chown(data.join("deep"), Some(65534), Some(65534));
    nobody.unwrap();
    let place = Place::make("volumes");
    let mut agent = Agent::start(dir.path(), &master, Some(&parent.0));
    let (mut session, _) = master.admitted(1).await;
    let volume = |at: &str, inside: &str, read_only| Volume {
        container_path: at.into(),
        host_path: dir.path().join("allowed").join(inside).to_str().unwrap().into(),
        read_only,
    };
    let absolute = place.0.to_str().unwrap();
    let line = format!(
        "cat in/ro/file one; cat {absolute}/mark; echo no > in/ro/deep/new || echo closed; echo out > {absolute}/new; \
         id -u; (umount in/ro || umount -l in/ro) 2>/dev/null || echo stays; echo $$ > pid.new; mv pid.new pid; exec sleep 1000"
    );
    let mut t = task("t", &line);
    t.command.user = Some("nobody".into());
    t.volumes = vec![
        volume("in/ro", "data", true),
        volume("one", "data/file", true),
        volume(absolute, "data/deep", false),
    ];
    session.launch(&t).await;
    session.until("t", TaskState::Running).await;
    is_up(dir.path(), "t").await;
    let stdout = in_sandbox(dir.path(), "t", "stdout");
    let said = || std::fs::read_to_string(&stdout).unwrap_or_default();
    let expected = "of the hostof the hostdeepclosed\n65534\nstays\n";
    cluster::soon("its output", async {
        while said() != expected {
            assert!(expected.starts_with(&said()), "{:?}", said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(std::fs::read_to_string(data.join("deep/new")).unwrap(), "out\n");
    // Whoever removes the sandbox here, also while it runs, finds empty places and nothing of the host.
    let sandbox = in_sandbox(dir.path(), "t", "");
    for empty in [sandbox.join("in/ro"), place.0.clone()] {
        assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0, "{}", empty.display());
    }
    assert_eq!(std::fs::read_to_string(sandbox.join("one")).unwrap(), "");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("in/ro") && !mounts.contains(absolute));
    session.kill("t", Some(100)).await;
    session.until("t", TaskState::Killed).await;
    std::fs::remove_dir_all(sandbox.canonicalize().unwrap()).unwrap();
    assert_eq!(std::fs::read_to_string(data.join("file")).unwrap(), "of the host");
    agent.tell("stop").await;
    agent.wait().await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_read_only_volume_is_so_with_all_that_is_mounted_in_it() {
    let (dir, mut master, parent) = (work_dir(), Master::start().await, Parent::new("submount"));
    let below = dir.path().join("allowed/data/a disk");
    std::fs::create_dir_all(&below).unwrap();
    let mounted =
        std::process::Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&below).status().unwrap();
    assert!(mounted.success());
    std::fs::write(below.join("file"), "on the disk\n").unwrap();
    let mut agent = Agent::start(dir.path(), &master, Some(&parent.0));
    let (mut session, _) = master.admitted(1).await;
    let mut t = task("t", "cat 'd/a disk/file'; echo no > 'd/a disk/new' || exit 7");
    let host_path = dir.path().join("allowed/data").to_str().unwrap().into();
    t.volumes = vec![Volume { container_path: "d".into(), host_path, read_only: true }];
    session.launch(&t).await;
    let end = session.until("t", TaskState::Failed).await;
    let unmounted = std::process::Command::new("umount").arg(&below).status().unwrap();
    assert!(unmounted.success());
    assert_eq!(end.message.as_deref(), Some("Command exited with status 7"));
    let said = std::fs::read_to_string(in_sandbox(dir.path(), "t", "stdout")).unwrap();
    assert_eq!(said, "on the disk\n");
    agent.tell("stop").await;
    agent.wait().await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_volume_that_cannot_be_mounted_fails_its_task_and_says_why() {
    let (dir, mut master, parent) = (work_dir(), Master::start().await, Parent::new("refused"));
    let data = dir.path().join("allowed/data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("file"), "x").unwrap();
    std::os::unix::fs::symlink("/etc", data.join("away")).unwrap();
    let link = std::env::temp_dir().join(format!("clusterctl-test-{}-root", std::process::id()));
    std::os::unix::fs::symlink("/", &link).unwrap();
    let mut agent = Agent::start(dir.path(), &master, Some(&parent.0));
    let (mut session, _) = master.admitted(1).await;
    for (id, at, inside, why) in [
        ("none", "d", "none", "there is no such path on this host"),
        ("away", "d", "data/away", "a link leads out of the directory that is allowed"),
        ("place", "/no/such/place", "data", "an absolute containerPath must be there on the host"),
        ("kind", "/mnt", "data/file", "the place for it is one"),
        ("root", link.to_str().unwrap(), "data", "nothing can be mounted over / or in /proc"),
        ("log", "stdout", "data", "the place for it is none"),
    ] {
        let host_path = dir.path().join("allowed").join(inside).to_str().unwrap().into();
        let volumes = vec![Volume { container_path: at.into(), host_path, read_only: false }];
        session.launch(&TaskInfo { volumes, ..task(id, "true") }).await;
        let end = session.until(id, TaskState::Failed).await;
        assert!(end.message.as_ref().unwrap().contains(why), "{id}: {end:?}");
    }
    std::fs::remove_file(link).unwrap();
    assert_eq!(parent.tasks(), [""; 0], "nothing is left");
    agent.tell("stop").await;
    agent.wait().await;
}

/// A root file system of one program, busybox, with what real ones have and what hostile ones may have.
#[cfg(test)]
fn image() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let busybox = std::fs::read("/bin/busybox").expect("busybox-static is installed");
    let mut add = |kind: tar::EntryType, path: &str, mode: u32, user: u64, bytes: &[u8], link: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(user);
        header.set_gid(user);
        header.set_size(bytes.len() as u64);
        if kind == tar::EntryType::Char {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        match kind {
            tar::EntryType::Symlink => builder.append_link(&mut header, path, link).unwrap(),
            _ => builder.append_data(&mut header, path, bytes).unwrap(),
        }
    };
    use tar::EntryType::{Char, Directory, Regular, Symlink};
    for (path, mode, user) in [
        ("usr/bin/", 0o755, 0),
        ("etc/", 0o755, 0),
        ("tmp/", 0o1777, 0),
        ("home/app/", 0o700, 12_345),
        ("dev/", 0o755, 0),
    ] {
        add(Directory, path, mode, user, b"", "");
    }
    add(Regular, "usr/bin/busybox", 0o4755, 0, &busybox, "");
    add(Symlink, "bin", 0o777, 0, b"", "usr/bin");
    for name in ["sh", "cat", "id", "ls", "pwd", "sleep", "stat", "touch", "readlink", "test", "grep"] {
        // Absolute, as it is common, and right in there alone.
        add(Symlink, &format!("usr/bin/{name}"), 0o777, 0, b"", "/usr/bin/busybox");
    }
    add(Regular, "etc/passwd", 0o644, 0, b"root:x:0:0::/:/bin/sh\napp:x:12345:12345::/:/bin/sh\n", "");
    add(Regular, "etc/group", 0o644, 0, b"app:x:12345:\n", "");
    add(Symlink, "etc/resolv.conf", 0o777, 0, b"", "../run/nothing/resolv.conf");
    add(Regular, "home/app/mine", 0o600, 12_345, b"mine\n", "");
    add(Symlink, "away", 0o777, 0, b"", "/../../../../etc");
    add(Char, "dev/console", 0o666, 0, b"", "");
    builder.into_inner().unwrap()
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_task_runs_in_a_root_file_system_of_its_own_and_so_does_its_check() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let (dir, mut master, parent) = (work_dir(), Master::start().await, Parent::new("root"));
    let address = master.hold(image());
    let data = dir.path().join("allowed/data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("file"), "of the host\n").unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut agent = Agent::start_fetching(dir.path(), &master, Some(&parent.0));
    let (mut session, _) = master.admitted(1).await;
    let script = "
        set -e
        id -u; id -un; pwd; cat /home/app/mine; echo new > /home/app/made; cat /srv/data/file
        echo x > /dev/null; echo x > /tmp/x; echo x > /dev/shm/x; test -c /dev/urandom; test ! -e /dev/console
        test -L /dev/stdout; test -e /proc/1; test -e /etc/resolv.conf; test -s /etc/hosts
        readlink /usr/bin/cat; stat -c %a /usr/bin/busybox; stat -c %a /tmp
        touch /sys/x 2>/dev/null || echo /sys is closed
        echo x > /srv/data/new 2>/dev/null || echo the volume is closed
        test /mnt/mesos/sandbox -ef .; test -e /mnt/mesos/sandbox/stdout; test ! -e /etc/shadow; test ! -e /var
        while ! test -e checked; do sleep 0.05; done
        echo done
    ";
    let mut first = task("t", script);
    first.command.user = Some("app".into());
    first.labels = [("CLUSTERCTL_ROOTFS".to_owned(), address.clone())].into();
    let host_path: String = data.to_str().unwrap().into();
    first.volumes = vec![Volume { container_path: "/srv/data".into(), host_path, read_only: true }];
    let command =
        CommandLine::Shell("test -e /home/app/made && test ! -e /etc/shadow && echo yes > checked".into());
    first.checks = vec![check(CheckKind::Command(command), Some(100))];
    let mut second = task("t2", "test ! -e /home/app/made && exit 7");
    second.labels.clone_from(&first.labels);
    second.command.user = Some("12345".into());
    session.launch(&first).await;
    session.launch(&second).await;
    let (mut ended, mut code) = (None, None);
    while ended.is_none() || code.is_none() {
        let status = session.update().await;
        session.acknowledge(&status).await;
        match (status.task.as_str(), status.state.is_terminal()) {
            ("t", true) => ended = Some(status),
            ("t2", true) => code = Some(status),
            _ => {}
        }
    }
    let stdout = std::fs::read_to_string(in_sandbox(dir.path(), "t", "stdout")).unwrap();
    let stderr = std::fs::read_to_string(in_sandbox(dir.path(), "t", "stderr")).unwrap();
    let ended = ended.unwrap();
    assert_eq!(ended.state, TaskState::Finished, "{:?}\n{stdout}\n{stderr}", ended.message);
    let sandbox = in_sandbox(dir.path(), "t", "").canonicalize().unwrap();
    let expected = format!(
        "12345\napp\n{}\nmine\nof the host\n/usr/bin/busybox\n755\n1777\n/sys is closed\nthe volume is closed\ndone\n",
        sandbox.display()
    );
    assert_eq!(stdout, expected, "{stderr}");
    let code = code.unwrap();
    assert_eq!(
        code.message.as_deref(),
        Some("Command exited with status 7"),
        "what one writes another does not see"
    );
    assert_eq!(master.asked(), 1, "fetched once");
    // The image is as it was, and what was written over it is gone with the task.
    let images: Vec<_> = std::fs::read_dir(dir.path().join("roots/sha256")).unwrap().flatten().collect();
    assert_eq!(images.len(), 1);
    let image = images[0].path();
    assert!(!image.join("home/app/made").exists());
    assert_eq!(std::fs::metadata(image.join("home/app/mine")).unwrap().uid(), 12_345);
    assert_eq!(std::fs::metadata(image.join("usr/bin/busybox")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(std::fs::metadata(dir.path().join("roots")).unwrap().mode() & 0o777, 0o700);
    let scratch = sandbox.with_file_name(format!("{}.root", sandbox.file_name().unwrap().to_str().unwrap()));
    let gone = async {
        while scratch.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    cluster::soon("the end of what the task wrote", gone).await;
    assert_eq!(parent.tasks(), [""; 0], "nothing is left");
    agent.tell("stop").await;
    agent.wait().await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_root_file_system_that_cannot_be_had_fails_its_task_and_says_why() {
    let (dir, mut master, parent) = (work_dir(), Master::start().await, Parent::new("noroot"));
    let good = master.hold(image());
    let zip = master.hold(b"PK\x03\x04 no tar".to_vec());
    let nobody = "artifact://sha256/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let mut agent = Agent::start_fetching(dir.path(), &master, Some(&parent.0));
    let (mut session, _) = master.admitted(1).await;
    for (id, address, user, why) in [
        ("missing", nobody, None, "404"),
        ("address", "http://h/x.tar", None, "names no root file system"),
        ("zip", zip.as_str(), None, "keeps no owners"),
        ("user", good.as_str(), Some("nobody"), "there is no user nobody in the task's root file system"),
    ] {
        let mut task = task(id, "true");
        task.labels = [("CLUSTERCTL_ROOTFS".to_owned(), address.to_owned())].into();
        task.command.user = user.map(str::to_owned);
        session.launch(&task).await;
        let end = session.until(id, TaskState::Failed).await;
        assert!(end.message.as_ref().unwrap().contains(why), "{id}: {end:?}");
    }
    assert_eq!(std::fs::read_dir(dir.path().join("roots/sha256")).unwrap().count(), 1);
    agent.tell("stop").await;
    agent.wait().await;

    // Without isolation there is nothing to put it in.
    let (dir, mut master) = (work_dir(), Master::start().await);
    let mut agent = Agent::start_fetching(dir.path(), &master, None);
    let (mut session, _) = master.admitted(1).await;
    let mut task = task("t", "true");
    task.labels = [("CLUSTERCTL_ROOTFS".to_owned(), nobody.to_owned())].into();
    session.launch(&task).await;
    let end = session.until("t", TaskState::Failed).await;
    assert!(end.message.as_ref().unwrap().contains("needs an agent that runs as root"), "{end:?}");
    agent.tell("stop").await;
    agent.wait().await;
}
