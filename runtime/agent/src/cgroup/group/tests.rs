use super::super::kernel::double::Recorder;
use super::super::layout::examples;
use super::*;
use insta::assert_snapshot;

fn group(layout: Layout, path: &str, kernel: Recorder) -> Group<Recorder> {
    Group::with_kernel(layout, path, kernel).unwrap()
}

fn limits() -> Limits {
    Limits { memory_bytes: Some(4096), pids: Some(9), ..Limits::default() }
}

#[test]
fn on_v1_a_group_is_made_in_each_hierarchy_before_any_limit() {
    let group = group(examples::v1(), "tasks/t1", Recorder::default());
    group.create(&limits()).unwrap();
    assert_snapshot!(group.kernel().log(), @"
    mkdir /sys/fs/cgroup/cpu,cpuacct/tasks
    mkdir /sys/fs/cgroup/cpu,cpuacct/tasks/t1
    mkdir /sys/fs/cgroup/memory/tasks
    mkdir /sys/fs/cgroup/memory/tasks/t1
    mkdir /sys/fs/cgroup/pids/tasks
    mkdir /sys/fs/cgroup/pids/tasks/t1
    mkdir /sys/fs/cgroup/freezer/tasks
    mkdir /sys/fs/cgroup/freezer/tasks/t1
    mkdir /sys/fs/cgroup/systemd/tasks
    mkdir /sys/fs/cgroup/systemd/tasks/t1
    /sys/fs/cgroup/memory/tasks/t1/memory.limit_in_bytes = 4096
    /sys/fs/cgroup/memory/tasks/t1/memory.memsw.limit_in_bytes = 4096
    /sys/fs/cgroup/pids/tasks/t1/pids.max = 9
    ");
}

#[test]
fn on_v2_controllers_are_handed_on_from_the_top_down() {
    let kernel = Recorder::with(&[
        ("/sys/fs/cgroup/cgroup.subtree_control", "cpu memory pids\n"),
        ("/sys/fs/cgroup/tasks/cgroup.subtree_control", "cpu\n"),
    ]);
    let group = group(examples::v2(), "tasks/t1", kernel);
    group.create(&limits()).unwrap();
    assert_snapshot!(group.kernel().log(), @"
    mkdir /sys/fs/cgroup/tasks
    /sys/fs/cgroup/tasks/cgroup.subtree_control = +memory +pids
    mkdir /sys/fs/cgroup/tasks/t1
    /sys/fs/cgroup/tasks/t1/memory.max = 4096
    /sys/fs/cgroup/tasks/t1/memory.swap.max = 0
    /sys/fs/cgroup/tasks/t1/pids.max = 9
    ");
}

#[test]
fn a_group_that_others_run_in_is_not_taken() {
    let kernel = Recorder::with(&[("/sys/fs/cgroup/memory/t/cgroup.procs", "41\n42\n")]);
    kernel.dirs.borrow_mut().insert("/sys/fs/cgroup/memory/t".into());
    let error = group(examples::v1(), "t", kernel).create(&limits()).unwrap_err();
    assert_eq!(error.to_string(), "group t is not empty: processes [41, 42]");
}

#[test]
fn an_empty_group_of_an_earlier_run_is_made_anew() {
    let mut layout = examples::v1();
    layout.hierarchies.retain(|h| h.has_v1("memory") || h.has_v1("pids"));
    let kernel = Recorder::default();
    for dir in ["/sys/fs/cgroup/memory/t", "/sys/fs/cgroup/memory/t/inner"] {
        kernel.dirs.borrow_mut().insert(dir.into());
    }
    let group = group(layout, "t", kernel);
    group.create(&Limits::default()).unwrap();
    assert_snapshot!(group.kernel().log(), @"
    rmdir /sys/fs/cgroup/memory/t/inner
    rmdir /sys/fs/cgroup/memory/t
    mkdir /sys/fs/cgroup/memory/t
    mkdir /sys/fs/cgroup/pids/t
    ");
}

#[test]
fn a_setting_the_kernel_lacks_matters_only_when_it_must_be_there() {
    let swap = "/sys/fs/cgroup/memory/t/memory.memsw.limit_in_bytes";
    let kernel = Recorder::default().failing(swap, io::ErrorKind::NotFound);
    group(examples::v1(), "t", kernel).create(&limits()).unwrap();
    let kernel = Recorder::default().failing("/sys/fs/cgroup/pids/t/pids.max", io::ErrorKind::NotFound);
    let error = group(examples::v1(), "t", kernel).create(&limits()).unwrap_err();
    assert_eq!(error.to_string(), "cannot write /sys/fs/cgroup/pids/t/pids.max");
}

#[test]
fn a_limit_without_its_controller_is_refused_before_anything_is_made() {
    let mut layout = examples::hybrid();
    layout.hierarchies.retain(|h| !h.has_v1("pids"));
    let group = group(layout, "t", Recorder::default());
    let error = group.create(&limits()).unwrap_err();
    assert_eq!(error.to_string(), "no control group hierarchy here can enforce: pids");
    assert_eq!(group.kernel().log(), "");
}

#[test]
fn a_process_enters_every_hierarchy() {
    let group = group(examples::v1(), "t", Recorder::default());
    group.enter().unwrap();
    assert_eq!(group.kernel().log.borrow().len(), examples::v1().hierarchies.len());
    assert!(group.kernel().log().lines().all(|l| l.ends_with("/t/cgroup.procs = 0")));
}

#[test]
fn paths_that_leave_the_hierarchy_are_refused() {
    for path in ["", "/", "..", "a/../b", "a//b", "./a", "a\nb"] {
        assert!(Group::with_kernel(examples::v1(), path, Recorder::default()).is_err(), "{path}");
    }
    assert_eq!(group(examples::v1(), "/a/b/", Recorder::default()).path(), "a/b");
}

#[test]
fn membership_is_read_by_hierarchy_and_whole_names() {
    let group = group(examples::hybrid(), "a/b", Recorder::default());
    for (text, expected) in [
        ("4:memory:/a/b\n0::/\n", true),
        ("4:memory:/a/b/c\n", true),
        ("0::/a/b\n", true),
        ("1:cpu,cpuacct:/a/b\n", true),
        ("4:memory:/a/bc\n0::/a\n", false),
        ("7:blkio:/a/b\n", false),
        ("4:memory:/x/a/b\n", false),
        ("", false),
    ] {
        assert_eq!(group.holds_by(text), expected, "{text}");
    }
}

#[test]
fn a_group_that_cannot_be_read_is_not_empty() {
    let procs = "/sys/fs/cgroup/memory/t/cgroup.procs";
    for (kind, known) in [(io::ErrorKind::NotFound, true), (io::ErrorKind::PermissionDenied, false)] {
        let kernel = Recorder::with(&[("/sys/fs/cgroup/pids/t/cgroup.procs", "7\n")]).failing(procs, kind);
        let group = group(examples::v1(), "t", kernel);
        assert_eq!(group.pids(), [7], "what can be read is");
        assert_eq!(group.try_pids().is_ok(), known, "{kind}");
    }
}

#[test]
fn only_v1_processes_are_frozen_while_they_are_killed_and_thawed_below_too() {
    let kernel = Recorder::default();
    kernel.dirs.borrow_mut().insert("/sys/fs/cgroup/freezer/t/inner".into());
    let group = group(examples::v1(), "t", kernel);
    assert!(!group.kill_at_once());
    group.freezer("FROZEN");
    group.freezer("THAWED");
    assert_snapshot!(group.kernel().log(), @"
    /sys/fs/cgroup/freezer/t/freezer.state = FROZEN
    /sys/fs/cgroup/freezer/t/freezer.state = THAWED
    /sys/fs/cgroup/freezer/t/inner/freezer.state = THAWED
    ");
}
