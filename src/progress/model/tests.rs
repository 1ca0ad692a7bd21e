use anstream::adapter::strip_str;
use insta::assert_snapshot;
use installer::event::Failure;

use super::*;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn started(host: &str, step: usize, of: usize, what: &str) -> Event {
    let (host, what) = (host.to_owned(), what.to_owned());
    Event::StepStarted { host, phase: Phase::Distribute, what, step, of, expected: 5 }
}

fn done(host: &str) -> Event {
    let (host, what) = (host.to_owned(), String::new());
    Event::StepDone { host, phase: Phase::Distribute, what, changed: true, millis: 1 }
}

fn upload(host: &str, sent: u64) -> Event {
    Event::Upload { host: host.to_owned(), sent, total: 20 << 20 }
}

fn failed() -> Outcome {
    let failure = Failure::new("it failed", None);
    Outcome::Failed { phase: Phase::Distribute, what: "/opt".to_owned(), failure }
}

fn ended(host: &str, outcome: Outcome) -> Event {
    Event::HostEnded { host: host.to_owned(), outcome }
}

/// A model that took in these events.
fn model(events: &[(u64, Event)]) -> Model {
    let mut model = Model::default();
    for (seconds, event) in events {
        model.apply(event, at(*seconds));
    }
    model
}

fn begun(hosts: usize) -> (u64, Event) {
    (0, Event::PhaseStarted { phase: Phase::Distribute, hosts })
}

fn shown(model: &Model, now: u64, width: usize) -> String {
    model.lines(at(now), width, false).join("\n")
}

#[test]
fn phases_and_busy_hosts_are_shown_with_what_they_are_at() {
    let model = model(&[
        (0, Event::PhaseStarted { phase: Phase::Connect, hosts: 4 }),
        (1, Event::PhaseEnded { phase: Phase::Connect, failed: 1, millis: 800 }),
        (1, Event::PhaseStarted { phase: Phase::Distribute, hosts: 3 }),
        (1, started("a1", 3, 12, "/opt/clusterctl: new file")),
        (2, upload("a2", 9 << 20)),
        (4, started("a3", 1, 1, "reload")),
        (5, done("a3")),
    ]);
    assert_snapshot!(shown(&model, 9, 79), @r"
    connect     3/4  1 failed  0s
    distribute  1/3  8s
      a1      8s  SLOW  3/12 /opt/clusterctl: new file
      a2      7s        [#######---------] 9.0 MiB of 20.0 MiB
    ");
    assert_snapshot!(shown(&model, 9, 40), @r"
    connect     3/4  1 failed  0s
    distribute  1/3  8s
      a1      8s  SLOW  3/12 /opt/clusterct…
      a2      7s        [#######---------] …
    ");
}

#[test]
fn at_most_eight_busy_hosts_are_shown_the_longest_first() {
    let mut events = vec![begun(20)];
    events.extend((1..=11).map(|n| (20 - n, started(&format!("a{n}"), 1, 2, "reload"))));
    assert_snapshot!(shown(&model(&events), 20, 79), @r"
    distribute  0/20  20s
      a11     11s  SLOW  1/2 reload
      a10     10s  SLOW  1/2 reload
      a9       9s  SLOW  1/2 reload
      a8       8s  SLOW  1/2 reload
      a7       7s  SLOW  1/2 reload
      a6       6s  SLOW  1/2 reload
      a5       5s        1/2 reload
      a4       4s        1/2 reload
      and 3 more
    ");
}

#[test]
fn hosts_count_once_as_done_or_failed() {
    let failure = Failure::new("it failed", None);
    let step_failed = Event::StepFailed {
        host: "a2".to_owned(),
        phase: Phase::Distribute,
        what: "/opt".to_owned(),
        failure: failure.clone(),
    };
    let table = [
        (vec![(1, started("a1", 1, 2, "x")), (2, done("a1"))], "0/3"),
        (vec![(1, started("a1", 2, 2, "x")), (2, done("a1")), (3, done("a1"))], "1/3"),
        (vec![(1, started("a2", 1, 2, "x")), (2, step_failed), (2, ended("a2", failed()))], "0/3  1 failed"),
        (vec![(1, ended("a2", Outcome::Unreachable { failure }))], "0/3  1 failed"),
        (vec![(1, ended("a2", Outcome::Skipped { why: "it is absent".to_owned() }))], "0/3"),
    ];
    for (events, counts) in table {
        let model = model(&[vec![begun(3)], events.clone()].concat());
        assert_eq!(shown(&model, 9, 79), format!("distribute  {counts}  9s"), "{events:?}");
    }
}

#[test]
fn an_upload_is_shown_until_it_is_through_and_beside_the_step() {
    let mut model = model(&[
        begun(1),
        (1, upload("a1", 0)),
        (2, started("a1", 1, 9, "user")),
        (3, upload("a1", 5 << 20)),
    ]);
    assert_eq!(
        shown(&model, 4, 79).lines().last().unwrap(),
        "  a1      2s  [####------------] 5.0 MiB of 20.0 MiB  1/9 user"
    );
    model.apply(&upload("a1", 20 << 20), at(5));
    assert_eq!(shown(&model, 5, 79).lines().last().unwrap(), "  a1      3s  1/9 user");
}

#[test]
fn what_the_cluster_is_waited_for_is_shown_until_the_phase_ends() {
    let waiting = Event::Waiting { what: "a leader".to_owned() };
    let mut model = model(&[begun(1), (1, waiting)]);
    assert_eq!(shown(&model, 70, 79), "distribute  0/1  1m10s\nwaiting for a leader  1m09s");
    assert_eq!(model.heartbeat(at(70)).unwrap(), "still busy: waiting for a leader (1m09s)");
    model.apply(&Event::PhaseEnded { phase: Phase::Distribute, failed: 0, millis: 80_000 }, at(80));
    assert_eq!(shown(&model, 90, 79), "distribute  1/1  1m20s");
    assert_eq!(model.heartbeat(at(90)), None);
}

#[test]
fn a_heartbeat_names_who_is_busy_with_what() {
    let mut events = vec![begun(20), (0, upload("a0", 1 << 20))];
    events.extend((1..=9).map(|n| (4, started(&format!("a{n}"), 1, 2, "re\u{1b}load"))));
    let line = model(&events).heartbeat(at(10)).unwrap();
    assert!(line.starts_with("still busy: a0 (upload, 1.0 MiB of 20.0 MiB, 10s), a1 (distribute 1/2 re\\u{1b}load, 6s, slow), a2"), "{line}");
    assert!(line.ends_with(", 2 more"), "{line}");
}

#[test]
fn no_line_is_wider_than_the_terminal_or_steers_it() {
    let mut model = model(&[
        begun(3),
        (1, started("東京東京東京東京東京東京東京東京", 1, 2, "\u{1b}[2J\r\nevil\u{202e}")),
        (1, upload("a\u{7}", 1)),
        (1, Event::Waiting { what: "a\nb".to_owned() }),
    ]);
    model.apply(&ended("x", failed()), at(2));
    for width in 0..90 {
        for line in model.lines(at(3600 * 30), width, true) {
            let plain = strip_str(&line).to_string();
            assert!(plain.width() <= width, "{plain:?} in {width}");
            assert!(!plain.contains(|c: char| c.is_control() || c == '\u{202e}'), "{plain:?}");
        }
    }
}

#[test]
fn colours_are_never_the_only_sign() {
    let model = model(&[begun(2), (1, started("a1", 1, 2, "x")), (1, ended("a2", failed()))]);
    let coloured = model.lines(at(9), 79, true);
    let plain = model.lines(at(9), 79, false);
    let stripped: Vec<String> = coloured.iter().map(|line| strip_str(line).to_string()).collect();
    assert_eq!(stripped, plain);
    assert!(coloured[0].contains("\u{1b}[31m  1 failed"), "{coloured:?}");
    assert!(plain[1].contains("SLOW"), "{plain:?}");
}

#[test]
fn times_are_short() {
    let words = [0, 59, 60, 3599, 3600, 90_000].map(|seconds| clock(at(seconds)));
    assert_eq!(words, ["0s", "59s", "1m00s", "59m59s", "1h00m", "25h00m"]);
}
