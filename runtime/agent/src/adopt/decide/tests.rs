use super::*;
use crate::cgroup::Usage;
use crate::spec::End;

const BOOT: &str = "this-boot";

fn identity(pid: i32, start_time: u64, boot: &str) -> Identity {
    Identity { pid, start_time, boot_id: boot.into() }
}

fn started() -> Started {
    Started {
        version: 1,
        task_id: "t".into(),
        shim: identity(10, 100, BOOT),
        leader: identity(11, 101, BOOT),
        groups: None,
        started_at_ms: 0,
    }
}

fn exit() -> Exit {
    Exit {
        version: 1,
        task_id: "t".into(),
        end: End::Code(0),
        oom: false,
        killed: false,
        stuck: vec![],
        output_lost: 0,
        usage: Usage::default(),
        finished_at_ms: 0,
    }
}

fn holder(identity: Option<Identity>, in_group: Option<bool>) -> Option<Holder> {
    Some(Holder { identity, in_group })
}

fn seen(holder: Option<Holder>, started: Found<Started>, exit: Found<Exit>) -> Observations {
    let launched = Found::Good(Some(BOOT.into()));
    Observations { holder, launched, started, exit, boot_id: BOOT.into(), leader: Leader::Alive }
}

fn damaged<T>() -> Found<T> {
    Found::Damaged("torn".into())
}

#[test]
fn every_combination_has_its_answer() {
    use Found::{Good, Missing};
    let shim = || Some(identity(10, 100, BOOT));
    let running = || Decision::Running { damage: None };
    let torn = || Decision::Lost(Why::Damaged("torn".into()));
    let stranger = || Decision::Lost(Why::Stranger { pid: 10 });
    let gone = |leader| Decision::Lost(Why::ShimGone { leader });
    for (name, observations, expected) in [
        ("its shim lives", seen(holder(shim(), None), Good(started()), Missing), running()),
        ("in its group", seen(holder(shim(), Some(true)), Good(started()), Missing), running()),
        ("in a foreign group", seen(holder(shim(), Some(false)), Good(started()), Missing), stranger()),
        (
            "same number, started later",
            seen(holder(Some(identity(10, 999, BOOT)), Some(true)), Good(started()), Missing),
            stranger(),
        ),
        (
            "recorded in another boot",
            seen(holder(Some(identity(10, 100, "other")), None), Good(started()), Missing),
            stranger(),
        ),
        (
            "another number",
            seen(holder(Some(identity(12, 100, BOOT)), None), Good(started()), Missing),
            Decision::Lost(Why::Stranger { pid: 12 }),
        ),
        ("ending right now", seen(holder(None, None), Good(started()), Missing), running()),
        ("about to record", seen(holder(shim(), None), Missing, Missing), running()),
        (
            "record torn under a living shim",
            seen(holder(shim(), None), damaged(), Missing),
            Decision::Running { damage: Some("torn".into()) },
        ),
        ("ended", seen(None, Good(started()), Good(exit())), Decision::Exited(exit())),
        (
            "ended, shim not gone yet",
            seen(holder(shim(), None), Good(started()), Good(exit())),
            Decision::Exited(exit()),
        ),
        ("ended, start record torn", seen(None, damaged(), Good(exit())), Decision::Exited(exit())),
        ("never got that far", seen(None, Missing, Good(exit())), Decision::Exited(exit())),
        ("end torn", seen(None, Good(started()), damaged()), torn()),
        ("end torn, shim there", seen(holder(shim(), None), Good(started()), damaged()), torn()),
        ("all torn", seen(None, damaged(), damaged()), torn()),
        ("start torn, no shim", seen(None, damaged(), Missing), torn()),
        ("nothing", seen(None, Missing, Missing), Decision::Lost(Why::NeverStarted)),
        (
            "no spec either",
            Observations { launched: Missing, ..seen(None, Missing, Missing) },
            Decision::Lost(Why::NeverStarted),
        ),
        (
            "a spec that does not say its boot",
            Observations { launched: Good(None), ..seen(None, Missing, Missing) },
            Decision::Lost(Why::NeverStarted),
        ),
        (
            "launched before a power cut, which may have taken the record of its start",
            Observations { launched: Good(Some("last-boot".into())), ..seen(None, Missing, Missing) },
            Decision::Lost(Why::Rebooted),
        ),
        ("spec torn", Observations { launched: damaged(), ..seen(None, Missing, Missing) }, torn()),
        ("shim gone, task lives", seen(None, Good(started()), Missing), gone(Leader::Alive)),
        (
            "both gone",
            Observations { leader: Leader::Gone, ..seen(None, Good(started()), Missing) },
            gone(Leader::Gone),
        ),
        (
            "number taken over",
            Observations { leader: Leader::Reused, ..seen(None, Good(started()), Missing) },
            gone(Leader::Reused),
        ),
        (
            "the machine was started anew",
            Observations { boot_id: "next-boot".into(), ..seen(None, Good(started()), Missing) },
            Decision::Lost(Why::Rebooted),
        ),
        (
            "started anew after the end",
            Observations { boot_id: "next-boot".into(), ..seen(None, Good(started()), Good(exit())) },
            Decision::Exited(exit()),
        ),
    ] {
        assert_eq!(decide(&observations), expected, "{name}");
    }
}

/// P5, over the whole table of inputs: never running without the lock, and never with one recorded fact wrong.
#[test]
fn a_stranger_is_never_taken_for_the_task() {
    let facts = || [true, false];
    for locked in facts() {
        for (pid, start, boot, group) in facts()
            .into_iter()
            .flat_map(|a| facts().map(|b| (a, b)))
            .flat_map(|(a, b)| facts().into_iter().flat_map(move |c| facts().map(|d| (a, b, c, d))))
        {
            let who = identity(
                if pid { 10 } else { 77 },
                if start { 100 } else { 5 },
                if boot { BOOT } else { "other" },
            );
            let holder = if locked { holder(Some(who), Some(group)) } else { None };
            let decision = decide(&seen(holder, Found::Good(started()), Found::Missing));
            let running = matches!(decision, Decision::Running { .. });
            assert_eq!(
                running,
                locked && pid && start && boot && group,
                "{locked} {pid} {start} {boot} {group}"
            );
        }
    }
}
