use anstream::adapter::strip_str;
use insta::assert_snapshot;
use installer::item::{Access, Sum};

use super::*;

fn step(phase: Phase, what: &str, deed: Deed) -> Step {
    Step { phase, item: 0, deed, what: what.to_owned() }
}

fn file(path: &str, before: Option<&str>, after: Option<&str>, sum: Option<Sum>, new: bool) -> Step {
    let write = Write {
        access: Access::root(0o644),
        size: after.map_or(20 << 20, |text| text.len() as u64),
        sum,
        before: before.map(str::to_owned),
        after: after.map(str::to_owned),
        new,
    };
    step(Phase::Distribute, path, Deed::Write(write))
}

fn shown(plan: &[(&str, Vec<Step>)]) -> String {
    let plan: Vec<_> = plan.iter().map(|(host, steps)| ((*host).to_owned(), steps.clone())).collect();
    strip_str(&plan_view(&plan, Detail::Whole)).to_string()
}

fn start() -> Step {
    step(Phase::Agents, "clusterctl-agent.service", Deed::Start { enable: true })
}

#[test]
fn a_plan_shows_each_host_by_phase_with_what_differs_in_files() {
    let first = vec![
        step(Phase::Distribute, "user clusterctl", Deed::MakeUser),
        file("/opt/clusterctl/x/clusterctl", None, None, Some(Sum::of(b"program")), true),
        file("/etc/clusterctl/pki/agent.pem", None, None, None, false),
        file(
            "/etc/clusterctl/agent.yaml",
            Some("name: a1\nport: 1\n"),
            Some("name: a1\nport: 2\n"),
            None,
            false,
        ),
        file("/etc/clusterctl/new.yaml", None, Some("a: 1\nb: \u{1b}[2J\n"), None, true),
        file("/etc/clusterctl/unread.yaml", None, Some("a: 1\n"), None, false),
        file("/etc/clusterctl/empty", None, Some(""), None, true),
        file("/etc/clusterctl/end", Some("a"), Some("a\n"), None, false),
        start(),
    ];
    let plan = [("a1", first), ("m1", vec![]), ("a2", vec![start()]), ("a3", vec![start()]), ("m2", vec![])];
    assert_snapshot!(shown(&plan), @r"
    a1
      distribute
        user clusterctl: make this user
        /opt/clusterctl/x/clusterctl: new file (0644 root:root, 20.0 MiB)
          (SHA-256 1310ca2c…)
        /etc/clusterctl/pki/agent.pem: changed (0644 root:root, 20.0 MiB)
          (not shown)
        /etc/clusterctl/agent.yaml: changed (0644 root:root, 17 B)
          @@ -1,2 +1,2 @@
           name: a1
          -port: 1
          +port: 2
        /etc/clusterctl/new.yaml: new file (0644 root:root, 13 B)
          @@ -0,0 +1,2 @@
          +a: 1
          +b: \u{1b}[2J
        /etc/clusterctl/unread.yaml: changed (0644 root:root, 5 B)
          (what it holds now is not known)
          @@ -0,0 +1,1 @@
          +a: 1
        /etc/clusterctl/empty: new file (0644 root:root, 0 B)
          (it is empty)
        /etc/clusterctl/end: changed (0644 root:root, 2 B)
          (only line ends differ)
      agents
        clusterctl-agent.service: enable and start

    a2, a3  (the same on each)
      agents
        clusterctl-agent.service: enable and start

    3 to change, 2 as they are (m1, m2)
    ");
}

#[test]
fn hosts_are_one_only_when_all_their_steps_are_equal() {
    let other = step(Phase::Agents, "clusterctl-agent.service", Deed::Restart { enable: false });
    let text = shown(&[("a1", vec![start()]), ("a2", vec![start(), other]), ("a3", vec![start()])]);
    assert!(text.starts_with("a1, a3  (the same on each)\n"), "{text}");
    assert!(text.contains("\na2\n") && text.ends_with("\n3 to change\n"), "{text}");
    let many: Vec<(String, Vec<Step>)> = (1..=15).map(|n| (format!("a{n}"), vec![start()])).collect();
    assert!(
        strip_str(&plan_view(&many, Detail::Whole))
            .to_string()
            .starts_with("a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12 and 3 more  (the same")
    );
}

#[test]
fn a_plan_without_steps_says_so() {
    assert_eq!(shown(&[("a1", vec![]), ("a2", vec![])]), "nothing to change, 2 as they are\n");
}

#[test]
fn findings_are_said_once_with_errors_first_and_what_to_do() {
    let finding = |host: &str, level, check, what: &str, remedy: &str| Finding {
        host: host.to_owned(),
        check,
        level,
        what: what.to_owned(),
        remedy: remedy.to_owned(),
    };
    let memory =
        |host| finding(host, Level::Warning, "memory", "it has only 200 MiB", "give it 512 MiB or more");
    let glibc = |host| finding(host, Level::Error, "glibc", "it has glibc 2.27", "use a later release");
    let clock = finding("a1", Level::Error, "clock", "it is 40.0 s ahead", "`timedatectl set-ntp true`");
    let all = [memory("a1"), clock, memory("a2"), glibc("a2"), glibc("a3"), memory("a4")];
    assert_snapshot!(strip_str(&findings_view(&all)), @r"
    error: a1: clock: it is 40.0 s ahead
      hint: `timedatectl set-ntp true`
    error: 2 hosts (a2, a3): glibc: it has glibc 2.27
      hint: use a later release
    warning: 3 hosts (a1, a2, a4): memory: it has only 200 MiB
      hint: give it 512 MiB or more
    2 errors, 1 warning
    ");
    assert_eq!(findings_view(&[]), "");
}
