//! A million random steps: the allocator and the plain one say the same, and the books always add up.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "in tests, where a panic is the message"
)]

mod oracle;

use std::collections::BTreeSet;
use std::time::Duration;

use oracle::Oracle;
use scheduler::{
    Action, AgentId, AgentInfo, Event, Filter, FrameworkId, FrameworkInfo, Host, OfferId, Resources, Role,
    State, Used, step,
};

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

const ROLES: [&str; 7] = ["*", "a", "a/b", "a/c", "a/b/d", "e", "slave_public"];
const TOTALS: [&str; 6] = [
    "cpus:4;mem:4096;disk:1000;ports:[1-20]",
    "cpus:8;mem:1024;gpus:2",
    "cpus(slave_public):2;mem(slave_public):2048;ports(slave_public):[1-100]",
    "cpus:2;mem:512;cpus(a):1;mem(a):64;cpus(a/b):1;mem(a/b):128",
    "cpus:0.005;mem:16;cpus(a/b/d):4;mem(a/b/d):100",
    "cpus:3;mem:3000;widgets:7;disks:{x,y}",
];
const USES: [&str; 5] =
    ["", "cpus:1;mem:64", "cpus:0.5;mem:32;ports:[3-4]", "cpus(a):0.5;mem(a):32", "cpus(slave_public):1"];

fn role(random: &mut Random) -> Role {
    random.one(&ROLES).parse().unwrap()
}

fn framework(random: &mut Random) -> FrameworkId {
    format!("f{}", random.below(6)).into()
}

fn agent(random: &mut Random) -> AgentId {
    format!("a{}", random.below(7)).into()
}

fn framework_info(random: &mut Random) -> FrameworkInfo {
    let roles: Vec<Role> = (0..1 + random.below(3)).map(|_| role(random)).collect();
    let suppressed: BTreeSet<Role> = roles.iter().filter(|_| random.chance(6)).cloned().collect();
    FrameworkInfo { id: framework(random), roles, suppressed }
}

fn agent_info(random: &mut Random) -> AgentInfo {
    let total = random.one(&TOTALS).parse().unwrap();
    let hostname = (*random.one(&["h1", "h2"])).to_owned();
    AgentInfo { id: agent(random), host: Host { hostname, ..Host::default() }, total }
}

fn filter(random: &mut Random) -> Filter {
    Filter::from_seconds(*random.one(&[Some(0.0), Some(1.0), None, Some(20.0), Some(1e12)]))
}

/// Mostly an offer that is there.
fn offer(random: &mut Random, state: &State) -> (FrameworkId, OfferId, Resources) {
    let offers: Vec<_> = state.offers().collect();
    if offers.is_empty() || random.chance(40) {
        return (framework(random), OfferId(random.next() % 100), Resources::default());
    }
    let offer = random.one(&offers);
    let whose = if random.chance(40) { framework(random) } else { offer.framework.clone() };
    (whose, offer.id, (*offer.resources).clone())
}

fn consumed(random: &mut Random, offered: &Resources) -> Resources {
    let wanted: Resources = random.one(&USES).parse().unwrap();
    if random.chance(5) {
        return offered.clone();
    }
    if offered.contains(&wanted) || random.chance(20) { wanted } else { Resources::default() }
}

fn event(random: &mut Random, state: &State) -> Event {
    match random.below(100) {
        0..=4 => Event::FrameworkAdded(framework_info(random)),
        5 => Event::FrameworkUpdated(framework_info(random)),
        6 => Event::FrameworkDeactivated(framework(random)),
        7 => Event::FrameworkRemoved(framework(random)),
        8..=11 => {
            let agent = agent_info(random);
            let part = |random: &mut Random| Used {
                framework: framework(random),
                role: role(random),
                resources: consumed(random, &agent.total),
            };
            let used = (0..random.below(2)).map(|_| part(random)).collect();
            Event::AgentAdded { agent, used }
        }
        12 => Event::AgentUpdated(agent_info(random)),
        13 => Event::AgentRemoved(agent(random)),
        14 => Event::AgentUnreachable(agent(random)),
        15..=16 => Event::AgentReachable(agent(random)),
        17 => Event::AgentDrain(agent(random)),
        18..=19 => Event::AgentUndrain(agent(random)),
        20 if random.chance(3) => Event::AgentDeactivate(agent(random)),
        20..=44 => {
            let (framework, id, offered) = offer(random, state);
            let mut offers = vec![id];
            while random.chance(5) {
                offers.push(offer(random, state).1);
            }
            Event::Accept { framework, offers, consumed: consumed(random, &offered), filter: filter(random) }
        }
        45..=59 => {
            let (framework, id, _) = offer(random, state);
            let more = if random.chance(10) { vec![offer(random, state).1] } else { vec![] };
            Event::Decline { framework, offers: [vec![id], more].concat(), filter: filter(random) }
        }
        60 => Event::Rescind(vec![offer(random, state).1]),
        61 => {
            let roles = if random.chance(2) { vec![] } else { vec![role(random)] };
            Event::Suppress { framework: framework(random), roles }
        }
        62..=64 => {
            let roles = if random.chance(2) { vec![] } else { vec![role(random)] };
            Event::Revive { framework: framework(random), roles }
        }
        65..=82 => recovered(random, state),
        83 => {
            let weight = *random.one(&[1.0, 2.0, 0.5, 10.0, 0.0, -1.0, f64::NAN]);
            Event::WeightSet { role: role(random), weight }
        }
        _ => Event::Cycle,
    }
}

/// Mostly something that is in use.
fn recovered(random: &mut Random, state: &State) -> Event {
    let used: Vec<_> = state
        .agents()
        .flat_map(|agent| state.used(agent).map(|used| (agent.info().id.clone(), used)))
        .collect();
    if used.is_empty() || random.chance(30) {
        let resources = "cpus:1".parse().unwrap();
        return Event::Recovered {
            framework: framework(random),
            role: role(random),
            agent: agent(random),
            resources,
        };
    }
    let (agent, (framework, role, resources)) = random.one(&used).clone();
    let part: Resources = random.one(&USES).parse().unwrap();
    let resources = if random.chance(2) && resources.contains(&part) { part } else { resources.clone() };
    Event::Recovered { framework: framework.clone(), role: role.clone(), agent, resources }
}

/// Nothing is offered twice, nor what is in use; what is free is the rest.
fn check_books(state: &State, context: &str) {
    for agent in state.agents() {
        let id = &agent.info().id;
        let mut rest = agent.info().total.clone();
        let mut overcommitted = false;
        for (_, _, used) in state.used(agent) {
            overcommitted |= !rest.contains(used);
            rest.saturating_sub(used);
        }
        for offer in state.offers().filter(|offer| offer.agent == *id) {
            rest = rest.checked_sub(&offer.resources).unwrap_or_else(|missing| {
                panic!("{context}: {} of {id} offers what is not there: {missing}", offer.id)
            });
        }
        assert!(
            overcommitted || rest == *agent.free(),
            "{context}: free on {id}: {} not {rest}",
            agent.free()
        );
    }
}

/// As many steps from this seed, each compared.
fn run(seed: u64, steps: usize) -> usize {
    let mut random = Random(seed);
    let (mut state, mut oracle) = (State::new(), Oracle::default());
    let mut now = Duration::ZERO;
    let mut offers = 0;
    for at in 0..steps {
        now += Duration::from_millis(random.next() % 500);
        let event = event(&mut random, &state);
        let actions = step(&mut state, event.clone(), now);
        let expected = oracle.step(event.clone(), now);
        assert_eq!(actions, expected, "seed {seed}, step {at}: {event:?}");
        check_books(&state, &format!("seed {seed}, step {at}, {event:?}"));
        offers += actions.iter().filter(|action| matches!(action, Action::Offer(_))).count();
    }
    offers
}

#[test]
fn a_million_random_steps_equal_the_plain_allocator() {
    let offers: usize = std::thread::scope(|scope| {
        let half = |from: u64| move || (from..from + 250).map(|seed| run(seed, 2000)).sum::<usize>();
        let halves = [scope.spawn(half(1)), scope.spawn(half(1_000_001))];
        halves.into_iter().map(|half| half.join().unwrap()).sum()
    });
    assert!(offers > 100_000, "only {offers} offers: the steps are not worth much");
}
