//! Times of allocation, with Mesos' parameter sets: `cargo bench -p scheduler`.
//!
//! Agents and frameworks as in Mesos' allocator benchmark: all frameworks in one role, no filters. Prints medians
//! of seven runs, and what growth they fit. A goal that is missed is shown, not failed.

#![expect(clippy::print_stdout, reason = "it is a program whose output is its result")]

#[path = "../tests/oracle/mod.rs"]
mod oracle;

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use scheduler::{
    Action, AgentInfo, Event, Filter, FrameworkInfo, Host, Offer, Resources, Role, Scalars, State, step,
};

const SETS: [(usize, usize); 5] =
    [(1_000, 100), (5_000, 500), (10_000, 1_000), (20_000, 2_000), (50_000, 5_000)];
const RUNS: usize = 7;
const NOW: Duration = Duration::ZERO;

fn parsed(text: &str) -> Resources {
    text.parse().unwrap_or_default()
}

fn cluster(agents: usize, frameworks: usize) -> Vec<Event> {
    let total = parsed("cpus:24;mem:4096;disk:4096;ports:[31000-32000]");
    let framework = |at: usize| FrameworkInfo {
        id: format!("framework-{at}").into(),
        roles: vec![Role::star()],
        suppressed: Default::default(),
    };
    let agent = |at: usize| AgentInfo {
        id: format!("agent-{at}").into(),
        host: Host { hostname: format!("10.{}.{}.{}", at >> 16, at >> 8 & 255, at & 255), ..Host::default() },
        total: total.clone(),
    };
    let frameworks = (0..frameworks).map(|at| Event::FrameworkAdded(framework(at)));
    let agents = (0..agents).map(|at| Event::AgentAdded { agent: agent(at), used: vec![] });
    frameworks.chain(agents).collect()
}

fn state(agents: usize, frameworks: usize) -> State {
    let mut state = State::new();
    for event in cluster(agents, frameworks) {
        step(&mut state, event, NOW);
    }
    state
}

fn offers(actions: Vec<Action>) -> Vec<Offer> {
    let offer = |action| match action {
        Action::Offer(offer) => Some(offer),
        _ => None,
    };
    actions.into_iter().filter_map(offer).collect()
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begin = Instant::now();
    let out = black_box(work());
    (begin.elapsed(), out)
}

fn quantile(times: &mut [Duration], thousandths: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * thousandths / 1000]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn accept(state: &mut State, offer: &Offer, consumed: Resources) {
    let (framework, offers) = (offer.framework.clone(), vec![offer.id]);
    step(state, Event::Accept { framework, offers, consumed, filter: Filter::NONE }, NOW);
}

fn recover(state: &mut State, offer: &Offer, resources: Resources) {
    let (framework, role, agent) = (offer.framework.clone(), offer.role.clone(), offer.agent.clone());
    step(state, Event::Recovered { framework, role, agent, resources }, NOW);
}

/// A cold cycle, then single changes of a cluster that is all in use. Returns the median of the former.
fn cycles(agents: usize, frameworks: usize) -> Duration {
    let mut cold = Vec::new();
    let mut last = State::new();
    let mut made = Vec::new();
    for _ in 0..RUNS {
        let mut state = state(agents, frameworks);
        let (time, actions) = timed(|| step(&mut state, Event::Cycle, NOW));
        cold.push(time);
        (last, made) = (state, offers(actions));
    }
    assert_eq!(made.len(), agents, "every agent is offered");
    let mut state = last;
    for offer in &made {
        accept(&mut state, offer, (*offer.resources).clone());
    }
    step(&mut state, Event::Cycle, NOW);
    let idle = timed(|| step(&mut state, Event::Cycle, NOW)).0;
    let (mut freed, mut resized) = (Vec::new(), Vec::new());
    for round in 0..1000 {
        let at = round * 7919 % agents;
        let offer = made[at].clone();
        let (time, actions) = timed(|| {
            recover(&mut state, &offer, (*offer.resources).clone());
            step(&mut state, Event::Cycle, NOW)
        });
        freed.push(time);
        made[at] = offers(actions).remove(0);
        accept(&mut state, &made[at], (*offer.resources).clone());
        step(&mut state, Event::Cycle, NOW);
        for total in [
            "cpus:24.5;mem:4200;disk:4096;ports:[31000-32000]",
            "cpus:24;mem:4096;disk:4096;ports:[31000-32000]",
        ] {
            let info = AgentInfo { id: offer.agent.clone(), host: Host::default(), total: parsed(total) };
            let (time, _) = timed(|| {
                step(&mut state, Event::AgentUpdated(info), NOW);
                step(&mut state, Event::Cycle, NOW)
            });
            resized.push(time);
        }
    }
    let median = quantile(&mut cold, 500);
    println!(
        "{agents:>7} {frameworks:>6} {:>9.2} {:>9.2} {:>9.4} {:>9.4} {:>9.4} {:>9.4} {:>9.4}",
        ms(median),
        ms(cold[0]),
        ms(idle),
        ms(quantile(&mut freed, 500)),
        ms(quantile(&mut freed, 990)),
        ms(quantile(&mut resized, 500)),
        ms(quantile(&mut resized, 990)),
    );
    median
}

/// Frameworks that launch two small tasks from each offer; resources come back when two rounds of the cluster are in use.
fn placements(agents: usize, frameworks: usize) {
    let mut state = state(agents, frameworks);
    let task = parsed("cpus:1;mem:64");
    let both = parsed("cpus:2;mem:128");
    let mut running = VecDeque::new();
    let mut tenths = Vec::new();
    let mut placed = 0;
    let target = 10 * 2 * agents.max(25_000);
    let mut begin = Instant::now();
    while placed < target {
        for offer in offers(step(&mut state, Event::Cycle, NOW)) {
            accept(&mut state, &offer, both.clone());
            running.push_back(offer);
            placed += 2;
            if running.len() > 2 * agents
                && let Some(old) = running.pop_front()
            {
                recover(&mut state, &old, task.clone());
                recover(&mut state, &old, task.clone());
            }
            if placed % (target / 10) == 0 {
                tenths.push(std::mem::replace(&mut begin, Instant::now()).elapsed());
            }
        }
    }
    let rate = |time: Duration| target as f64 / 10.0 / time.as_secs_f64();
    let all: Duration = tenths.iter().sum();
    let mean = rate(all) * tenths.len() as f64;
    println!(
        "{agents:>7} {frameworks:>6} {placed:>10} {mean:>12.0} {:>12.0} {:>12.0}",
        rate(tenths[3]),
        rate(tenths[tenths.len() - 1])
    );
}

/// A cold cycle of an allocator that keeps sums but sorts all frameworks anew for each agent.
fn sorting(agents: usize, frameworks: usize) -> Duration {
    let one = parsed("cpus:24;mem:4096;disk:4096;ports:[31000-32000]");
    let mut total = Scalars::default();
    for _ in 0..agents {
        total.add(&one.scalars());
    }
    let names: Vec<String> = (0..frameworks).map(|at| format!("framework-{at}")).collect();
    let mut held = vec![(Scalars::default(), 0u64); frameworks];
    let work = || {
        let mut made = Vec::new();
        for agent in 0..agents {
            let mut order: Vec<(u64, u64, &str, usize)> = held
                .iter()
                .zip(&names)
                .enumerate()
                .map(|(at, ((held, offers), name))| {
                    (held.dominant_share(&total).to_bits(), *offers, name.as_str(), at)
                })
                .collect();
            order.sort_unstable();
            let first = order[0].3;
            held[first].0.add(&one.scalars());
            held[first].1 += 1;
            made.push((agent, first, one.clone()));
        }
        made
    };
    timed(work).0
}

fn main() {
    println!(
        "Times in milliseconds; cold: median and best of {RUNS}; one agent: p50 and p99 of 1000.\nfreed: all of an agent came back; resized: its total changed, and so every share.\n"
    );
    println!(
        "{:>7} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "agents", "frmwks", "cold", "best", "idle", "freed50", "freed99", "resized50", "resized99"
    );
    let points: Vec<(f64, f64)> = SETS
        .iter()
        .map(|(agents, frameworks)| ((*agents as f64).ln(), ms(cycles(*agents, *frameworks)).ln()))
        .collect();
    let count = points.len() as f64;
    let (mean_x, mean_y) =
        (points.iter().map(|p| p.0).sum::<f64>() / count, points.iter().map(|p| p.1).sum::<f64>() / count);
    let covariance: f64 = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum();
    let variance: f64 = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    println!("\nA cold cycle grows with agents to the power of {:.2} (1k to 50k).", covariance / variance);

    println!("\nPlacements a second; the fourth and the last tenth beside the mean.\n");
    println!(
        "{:>7} {:>6} {:>10} {:>12} {:>12} {:>12}",
        "agents", "frmwks", "placed", "mean", "fourth", "last"
    );
    placements(10_000, 200);
    placements(50_000, 200);

    let ours = {
        let mut state = state(1_000, 100);
        timed(|| step(&mut state, Event::Cycle, NOW)).0
    };
    let sorted = sorting(1_000, 100);
    let mut plain = oracle::Oracle::default();
    for event in cluster(1_000, 100) {
        plain.step(event, NOW);
    }
    let plain = timed(|| plain.step(Event::Cycle, NOW)).0;
    println!("\nOne cold cycle with 1,000 agents and 100 frameworks:");
    for (name, time) in
        [("this", ours), ("sorting anew for each agent", sorted), ("the tests' oracle", plain)]
    {
        println!("{name:>30} {:>10.2} ms {:>8.1} x", ms(time), time.as_secs_f64() / ours.as_secs_f64());
    }
}
