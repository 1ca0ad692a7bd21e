use proptest::prelude::*;

use super::*;
use crate::adopt::Leader;
use crate::cgroup::Usage;

fn exit(end: End) -> Box<Exit> {
    Box::new(Exit {
        version: 1,
        task_id: "t".into(),
        end,
        oom: false,
        killed: false,
        stuck: vec![],
        output_lost: 0,
        usage: Usage::default(),
        finished_at_ms: 0,
    })
}

fn lost() -> Why {
    Why::ShimGone { leader: Leader::Gone }
}

/// Steps one millisecond apart, all actions in order.
fn play(state: &mut TaskState, events: &[Event]) -> Vec<Action> {
    (0..).zip(events).flat_map(|(now, event)| step(state, event.clone(), now)).collect()
}

#[test]
fn a_task_runs_and_ends() {
    let mut state = TaskState::new(1000);
    let ended = exit(End::Code(0));
    let actions = play(&mut state, &[Event::Launch, Event::Runs, Event::ShimEnded(ended.clone())]);
    assert_eq!(
        actions,
        [
            Action::StartShim,
            Action::ReportStarting,
            Action::ReportRunning,
            Action::ReportEnded(Ended::Exit(ended.clone())),
        ]
    );
    assert_eq!(state.phase, Phase::Ended(Ended::Exit(ended)));
}

#[test]
fn a_second_launch_starts_nothing_wherever_the_task_stands() {
    for before in [
        vec![Event::Launch],
        vec![Event::Launch, Event::Runs],
        vec![Event::Launch, Event::Runs, Event::Kill],
        vec![Event::Launch, Event::ShimEnded(exit(End::Code(0)))],
        vec![Event::Kill],
    ] {
        let mut state = TaskState::new(1000);
        play(&mut state, &before);
        let stood = state.clone();
        assert_eq!(step(&mut state, Event::Launch, 9), [Action::ReportAgain], "{before:?}");
        assert_eq!(state, stood);
    }
}

#[test]
fn a_kill_before_the_launch_keeps_it_from_starting() {
    let mut state = TaskState::new(1000);
    let actions = play(&mut state, &[Event::Kill, Event::Launch]);
    assert!(matches!(actions.as_slice(), [Action::ReportEnded(Ended::NeverRan(_)), Action::ReportAgain]));
}

#[test]
fn a_kill_while_it_starts_waits_until_there_is_somebody_to_ask() {
    let mut state = TaskState::new(1000);
    assert_eq!(play(&mut state, &[Event::Launch, Event::Kill]).len(), 2);
    assert_eq!(step(&mut state, Event::Runs, 50), [Action::AskShim, Action::ReportKilling]);
    assert_eq!(state.wake_at(), Some(50 + 1000 + SHIM_LATE_MS));
}

#[test]
fn a_shim_that_does_not_answer_is_not_waited_for() {
    let mut state = TaskState::new(1000);
    play(&mut state, &[Event::Launch, Event::Runs, Event::Kill]);
    let due = state.wake_at().unwrap();
    assert_eq!(step(&mut state, Event::Tick, due - 1), []);
    assert_eq!(step(&mut state, Event::Tick, due), [Action::Empty]);
    assert!(matches!(step(&mut state, Event::Emptied, due)[..], [Action::ReportEnded(Ended::Lost(_))]));

    let mut state = TaskState::new(1000);
    play(&mut state, &[Event::Launch]);
    assert_eq!(step(&mut state, Event::Tick, START_LIMIT_MS), [Action::Empty]);
}

#[test]
fn an_agent_that_restarts_at_any_point_goes_on() {
    let report = |ended| vec![Action::ReportEnded(ended)];
    for (found, expected) in [
        (Event::Runs, vec![Action::ReportRunning]),
        (Event::ShimEnded(exit(End::Signal(9))), report(Ended::Exit(exit(End::Signal(9))))),
        (Event::ShimEnded(exit(End::Failed("no".into()))), report(Ended::NeverRan("no".into()))),
        (Event::ShimLost(Why::NeverStarted), report(Ended::Lost(Why::NeverStarted))),
        (Event::ShimLost(Why::Rebooted), report(Ended::Lost(Why::Rebooted))),
        (Event::ShimLost(lost()), vec![Action::Empty]),
        (Event::Unknown, vec![]),
    ] {
        let mut state = TaskState::found(1000, 0);
        assert_eq!(step(&mut state, found.clone(), 1), expected, "{found:?}");
        assert_eq!(step(&mut state, Event::Launch, 2), [Action::ReportAgain], "{found:?}");
    }
}

#[test]
fn the_end_of_a_task_whose_shim_is_lost_is_told_once_its_group_is_empty() {
    for why in [lost(), Why::Stranger { pid: 7 }, Why::Damaged("torn".into())] {
        let mut state = TaskState::new(1000);
        play(&mut state, &[Event::Launch, Event::Runs]);
        assert_eq!(step(&mut state, Event::ShimLost(why.clone()), 10), [Action::Empty]);
        assert_eq!(step(&mut state, Event::ShimLost(why.clone()), 11), [], "once is enough");
        assert_eq!(step(&mut state, Event::Runs, 12), [], "there is nobody to ask");
        let due = state.wake_at().unwrap();
        assert_eq!(step(&mut state, Event::Tick, due - 1), []);
        assert_eq!(step(&mut state, Event::Tick, due), [Action::Empty], "it did not work");
        let told = [Action::ReportEnded(Ended::Lost(why))];
        assert_eq!(step(&mut state, Event::Emptied, due + 1), told);
    }
}

#[test]
fn a_task_that_cannot_be_looked_at_is_left_alone_for_ever() {
    for before in [vec![Event::Launch], vec![Event::Launch, Event::Runs]] {
        let mut state = TaskState::new(1000);
        play(&mut state, &before);
        assert_eq!(step(&mut state, Event::Unknown, 10), []);
        let mut now = 10;
        for _ in 0..100 {
            now = state.wake_at().unwrap();
            assert_eq!(step(&mut state, Event::Tick, now), [Action::LookAgain], "{before:?}");
            assert_eq!(step(&mut state, Event::Unknown, now), []);
        }
        assert_eq!(step(&mut state, Event::Runs, now), [Action::ReportRunning]);

        assert_eq!(step(&mut state, Event::Unknown, now), []);
        assert_eq!(step(&mut state, Event::Kill, now), []);
        assert_eq!(step(&mut state, Event::Unknown, now), []);
        assert_eq!(step(&mut state, Event::Runs, now), [Action::AskShim, Action::ReportKilling]);
    }
}

#[test]
fn what_is_stuck_is_not_said_never_to_have_run() {
    let stuck = |end: End, pids: &[i32]| {
        let mut exit = exit(end);
        exit.stuck = pids.to_vec();
        exit
    };
    let failed = || End::Failed("no".into());
    for (before, exit, never_ran) in [
        (vec![Event::Launch], stuck(failed(), &[]), true),
        (vec![Event::Launch], stuck(failed(), &[5]), false),
        (vec![Event::Launch], stuck(End::Stuck("it hangs".into()), &[5]), false),
        (vec![Event::Launch, Event::Runs], stuck(failed(), &[]), false),
        (vec![Event::Launch, Event::Runs, Event::Kill], stuck(End::Stuck("it hangs".into()), &[5]), false),
    ] {
        let mut state = TaskState::new(1000);
        play(&mut state, &before);
        let actions = step(&mut state, Event::ShimEnded(exit.clone()), 9);
        let expected = if never_ran { Ended::NeverRan("no".into()) } else { Ended::Exit(exit) };
        assert_eq!(actions, [Action::ReportEnded(expected)]);
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Launch),
        Just(Event::Kill),
        Just(Event::Runs),
        Just(Event::NotStarted("no".into())),
        Just(Event::ShimEnded(exit(End::Code(1)))),
        Just(Event::ShimEnded(exit(End::Failed("no".into())))),
        Just(Event::ShimLost(lost())),
        Just(Event::ShimLost(Why::NeverStarted)),
        Just(Event::Emptied),
        Just(Event::Unknown),
        Just(Event::Tick),
    ]
}

proptest! {
    #[test]
    fn one_start_at_most_and_one_end_exactly_said_once(
        events in prop::collection::vec((event(), 0u64..40_000), 0..40),
    ) {
        let mut state = TaskState::new(1000);
        let (mut now, mut starts, mut ends) = (0, 0, 0);
        for (event, passed) in events {
            now += passed;
            let was_ended = matches!(state.phase, Phase::Ended(_));
            let killed = event == Event::Kill;
            for action in step(&mut state, event, now) {
                match action {
                    Action::StartShim => starts += 1,
                    Action::ReportEnded(_) => ends += 1,
                    Action::AskShim | Action::ReportRunning => prop_assert!(starts == 1, "nobody to ask"),
                    _ => {}
                }
            }
            let is_ended = matches!(state.phase, Phase::Ended(_));
            prop_assert!(is_ended || !was_ended, "an end is final");
            prop_assert!(!killed || state.phase != Phase::Running, "a kill is never forgotten");
        }
        prop_assert!(starts <= 1);
        prop_assert_eq!(ends, u32::from(matches!(state.phase, Phase::Ended(_))));
    }

    #[test]
    fn time_alone_brings_every_task_that_is_starting_or_killed_to_the_emptying_of_its_group(
        events in prop::collection::vec(prop_oneof![Just(Event::Launch), Just(Event::Runs), Just(Event::Kill)], 1..8),
    ) {
        let mut state = TaskState::new(1000);
        play(&mut state, &events);
        if let Some(due) = state.wake_at() {
            prop_assert!(step(&mut state, Event::Tick, due).contains(&Action::Empty));
            let _ = step(&mut state, Event::Emptied, due);
            prop_assert!(matches!(state.phase, Phase::Ended(_)));
        }
    }
}
