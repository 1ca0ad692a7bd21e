use anstream::adapter::strip_str;
use insta::assert_snapshot;

use super::*;

fn host(name: &str) -> String {
    name.to_owned()
}

fn failure() -> Failure {
    Failure {
        what: "it failed on the host".to_owned(),
        status: Some(1),
        said: "1\n2\n3\n4\n5\n\u{1b}[2Jno space".to_owned(),
        hint: Some("free some".to_owned()),
    }
}

/// What is said to somebody who reads up to that weight.
fn told(events: &[Event], most: Weight) -> String {
    let mut teller = Teller::default();
    let said = events.iter().filter_map(|event| teller.tell(event));
    let lines: Vec<String> =
        said.filter(|(weight, _)| *weight <= most).map(|(_, text)| strip_str(&text).to_string()).collect();
    lines.join("\n")
}

fn run() -> Vec<Event> {
    let phase = Phase::Distribute;
    let step = |name: &str, step, changed| {
        let what = format!("/etc/{step}: new file");
        [
            Event::StepStarted { host: host(name), phase, what: what.clone(), step, of: 2, expected: 5 },
            Event::StepDone { host: host(name), phase, what, changed, millis: 1500 },
        ]
    };
    let failed = Outcome::Failed { phase, what: "/opt".to_owned(), failure: failure() };
    let mut events = vec![
        Event::RunStarted {
            schema: 1,
            run: "r".to_owned(),
            command: "install".to_owned(),
            cluster: "demo".to_owned(),
            hosts: ["a1", "a2", "a3", "a4"].map(host).into(),
        },
        Event::PhaseStarted { phase, hosts: 4 },
        Event::Upload { host: host("a1"), sent: 1, total: 2 },
    ];
    events.extend(step("a1", 1, true));
    events.extend(step("a1", 2, true));
    events.extend(step("a4", 1, false));
    events.extend(step("a4", 2, false));
    events.extend([
        Event::Note { host: Some(host("a2")), text: "sudo asks twice".to_owned() },
        Event::StepFailed { host: host("a2"), phase, what: "/opt".to_owned(), failure: failure() },
        Event::HostEnded { host: host("a2"), outcome: failed },
        Event::HostEnded {
            host: host("a3"),
            outcome: Outcome::Unreachable { failure: Failure::new("port 22 refuses connections", None) },
        },
        Event::PhaseEnded { phase, failed: 2, millis: 12_000 },
        Event::Waiting { what: "a leader".to_owned() },
        Event::Waiting { what: "a leader".to_owned() },
        Event::HostEnded { host: host("a1"), outcome: Outcome::Changed { steps: 2 } },
        Event::HostEnded { host: host("a4"), outcome: Outcome::Ok },
        Event::RunEnded {
            hosts: vec![(host("a1"), Outcome::Changed { steps: 2 }), (host("a4"), Outcome::Ok)],
            millis: 13_200,
            log: "log".to_owned(),
        },
    ]);
    events
}

#[test]
fn changes_of_phases_and_hosts_are_said_once() {
    assert_snapshot!(told(&run(), Weight::Change), @r"
    install: cluster demo, 4 hosts
    distribute: 4 hosts
    a1: distribute: 2 steps done
    note: a2: sudo asks twice
    failed: a2: distribute: /opt: it failed on the host (exit status 1)
        | 2
        | 3
        | 4
        | 5
        | \u{1b}[2Jno space
      hint: free some
    failed: a3: unreachable: port 22 refuses connections
    distribute: ended after 12 s, 2 failed
    waiting for a leader
    a1: changed, 2 steps
    a4: ok
    ended after 13.2 s: 1 ok, 1 changed
    ");
}

#[test]
fn details_are_the_steps() {
    let all = told(&run(), Weight::Detail);
    let most = told(&run(), Weight::Change);
    let more: Vec<&str> = all.lines().filter(|line| !most.contains(line)).collect();
    assert_snapshot!(more.join("\n"), @r"
    a1: distribute 1/2: /etc/1: new file: changed after 1.5 s
    a4: distribute 1/2: /etc/1: new file: ok after 1.5 s
    a4: distribute 2/2: /etc/2: new file: ok after 1.5 s
    ");
}

#[test]
fn a_quiet_reader_hears_failures_alone() {
    assert_snapshot!(told(&run(), Weight::Failure), @r"
    failed: a2: distribute: /opt: it failed on the host (exit status 1)
        | 2
        | 3
        | 4
        | 5
        | \u{1b}[2Jno space
      hint: free some
    failed: a3: unreachable: port 22 refuses connections
    ");
}
