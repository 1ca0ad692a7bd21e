//! Histories of whole clusters, by the thousand.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "in tests, where a panic is the message, and figures are read"
)]

use std::time::Instant;

use simulator::{Figures, Point, Switch, play, report};

/// How many histories; more by `SIMULATOR_SEEDS`, from another one on by `SIMULATOR_FROM`.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn hold(seeds: impl Iterator<Item = u64>) -> (u64, Figures) {
    let (mut figures, mut count) = (Figures::default(), 0);
    for seed in seeds {
        let outcome = play(seed, None, None, false);
        if let Some(broken) = outcome.broken {
            panic!("{}", report(&broken, None));
        }
        figures.add(&outcome.figures);
        count += 1;
    }
    (count, figures)
}

/// Seeds that failed once: a number, and what it found.
#[test]
fn histories_that_failed_once_hold() {
    let seeds =
        include_str!("../seeds").lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    hold(seeds.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()));
}

#[test]
fn thousands_of_histories_hold() {
    let (from, seeds) = (number("SIMULATOR_FROM", 1), number("SIMULATOR_SEEDS", 2_000));
    let began = Instant::now();
    let (count, figures) = hold(from..from + seeds);
    println!(
        "{count} histories in {:?}: {:.1} hours, {} events",
        began.elapsed(),
        hours(&figures),
        figures.events
    );
    println!("{} reigns, {} tasks, requests {:?}", figures.reigns, figures.tasks, figures.asked);
    println!("at rest after {} ms at most; faults {:#?}", figures.settled, figures.faults);
    println!("places (passed, struck) {:#?}", figures.points);
    if seeds >= 2_000 {
        for point in Point::ALL {
            let struck = figures.points.get(&point).map_or(0, |(_, struck)| *struck);
            assert!(struck >= 50, "{point:?} was struck {struck} times");
        }
    }
}

fn hours(figures: &Figures) -> f64 {
    figures.millis as f64 / 3_600_000.0
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 1..=20 {
        let (first, again) = (play(seed, None, None, true), play(seed, None, None, true));
        assert!(first.log.len() > 100, "seed {seed} says little");
        assert!(first.log == again.log, "seed {seed}");
        assert_eq!(first.figures.events, play(seed, None, None, false).figures.events, "seed {seed}");
    }
}

/// Within as many histories as every build plays.
fn found_out(switch: Switch, promises: &[&str]) {
    let broken = (1..=2_000).find_map(|seed| play(seed, Some(switch), None, false).broken);
    let broken = broken.unwrap_or_else(|| panic!("{switch:?} is not found out"));
    println!("{switch:?}: seed {}: {}", broken.seed, broken.what);
    assert!(promises.iter().any(|promise| broken.what.starts_with(promise)), "{switch:?}: {}", broken.what);
}

#[test]
fn a_cluster_whose_agents_take_any_epoch_is_found_out() {
    found_out(Switch::AgentTakesAnyEpoch, &["P2"]);
}

#[test]
fn a_cluster_whose_agents_write_later_is_found_out() {
    found_out(Switch::AgentWritesLater, &["P2", "P3"]);
}

#[test]
fn a_cluster_whose_store_compares_nothing_is_found_out() {
    found_out(Switch::StoreComparesNothing, &["P1", "P2"]);
}

#[test]
fn a_cluster_that_launches_before_it_commits_is_found_out() {
    found_out(Switch::LaunchBeforeCommit, &["P2"]);
}

#[test]
fn a_cluster_that_answers_before_it_commits_is_found_out() {
    found_out(Switch::AnswerBeforeCommit, &["P1"]);
}

#[test]
fn a_cluster_whose_shims_start_what_is_said_to_be_over_is_found_out() {
    found_out(Switch::ShimStartsAnyway, &["P2", "P3"]);
}

#[test]
fn a_cluster_that_acknowledges_what_nobody_heard_is_found_out() {
    found_out(Switch::MasterAcknowledgesUnheard, &["P3"]);
}
