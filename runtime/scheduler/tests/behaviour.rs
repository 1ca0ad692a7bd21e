//! What frameworks and operators see, one sentence each.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in tests, where a panic is the message")]

use std::time::Duration;

use scheduler::{
    Action, AgentInfo, Event, Filter, FrameworkInfo, Host, Offer, OfferId, Refusal, Resources, Role, State,
    Used, step,
};

fn role(text: &str) -> Role {
    text.parse().unwrap()
}

fn resources(text: &str) -> Resources {
    text.parse().unwrap()
}

/// A pool with a clock.
#[derive(Default)]
struct Pool {
    state: State,
    now: Duration,
}

impl Pool {
    /// A pool of agents `a0`, `a1`, … with these totals and of frameworks in these roles.
    fn new(agents: &[&str], frameworks: &[(&str, &str)]) -> Pool {
        let mut pool = Pool::default();
        for (at, total) in agents.iter().enumerate() {
            let id = format!("a{at}").into();
            let agent = AgentInfo { id, host: Host::default(), total: resources(total) };
            assert_eq!(pool.step(Event::AgentAdded { agent, used: vec![] }), []);
        }
        for (id, named) in frameworks {
            assert_eq!(pool.step(Event::FrameworkAdded(info(id, named))), []);
        }
        pool
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        step(&mut self.state, event, self.now)
    }

    /// The offers of a cycle.
    fn cycle(&mut self) -> Vec<Offer> {
        let offer = |action| match action {
            Action::Offer(offer) => offer,
            other => panic!("{other:?}"),
        };
        self.step(Event::Cycle).into_iter().map(offer).collect()
    }

    /// The offers of a cycle, some seconds later, as text.
    fn later(&mut self, seconds: f64) -> Vec<String> {
        self.now += Duration::from_secs_f64(seconds);
        self.cycle().iter().map(show).collect()
    }

    fn decline(&mut self, offer: &Offer, filter: Filter) -> Vec<Action> {
        self.step(Event::Decline { framework: offer.framework.clone(), offers: vec![offer.id], filter })
    }

    fn accept(&mut self, offers: &[&Offer], consumed: &str, filter: Filter) -> Vec<Action> {
        let framework = offers[0].framework.clone();
        let offers = offers.iter().map(|offer| offer.id).collect();
        self.step(Event::Accept { framework, offers, consumed: resources(consumed), filter })
    }
}

fn info(id: &str, roles: &str) -> FrameworkInfo {
    let roles = roles.split_whitespace().map(role).collect();
    FrameworkInfo { id: id.into(), roles, suppressed: Default::default() }
}

fn show(offer: &Offer) -> String {
    format!("{} {} {} {}", offer.framework, offer.role, offer.agent, offer.resources)
}

fn rescinded(actions: &[Action]) -> Vec<u64> {
    let id = |action: &Action| match action {
        Action::Rescind { offer, .. } => offer.0,
        other => panic!("{other:?}"),
    };
    actions.iter().map(id).collect()
}

#[test]
fn a_whole_agent_is_offered_and_not_offered_again() {
    let mut pool = Pool::new(&["cpus:4;mem:1024"], &[("f", "*"), ("g", "*")]);
    assert_eq!(pool.later(0.0), ["f * a0 cpus:4;mem:1024"]);
    assert_eq!(pool.later(100.0), [] as [&str; 0]);
}

#[test]
fn agents_are_shared_out_by_dominant_share_and_weight() {
    let mut pool = Pool::new(&["cpus:1;mem:100"; 9], &[("f", "a"), ("g", "b"), ("h", "b")]);
    assert_eq!(pool.step(Event::WeightSet { role: role("a"), weight: 2.0 }), []);
    let offers = pool.cycle();
    let count = |id: &str| offers.iter().filter(|offer| offer.framework.as_str() == id).count();
    assert_eq!((count("f"), count("g"), count("h")), (6, 2, 1));
    let refused = pool.step(Event::WeightSet { role: role("a"), weight: 0.0 });
    assert_eq!(refused, [Action::Refuse(Refusal::BadWeight(role("a")))]);
}

#[test]
fn roles_below_one_role_share_what_that_role_gets() {
    let mut pool = Pool::new(&["cpus:1;mem:100"; 12], &[("f", "a/x"), ("g", "a/y"), ("h", "b"), ("i", "a")]);
    let offers = pool.cycle();
    let count = |id: &str| offers.iter().filter(|offer| offer.framework.as_str() == id).count();
    assert_eq!((count("f"), count("g"), count("h"), count("i")), (2, 2, 6, 2));
}

#[test]
fn reserved_resources_go_to_their_role_and_those_below_it_alone() {
    let agents = ["cpus(slave_public):2;mem(slave_public):64", "cpus:1;cpus(eng):3"];
    let mut pool = Pool::new(&agents, &[("f", "*"), ("g", "eng/web"), ("h", "slave_public")]);
    let mut offers = pool.later(0.0);
    offers.sort();
    assert_eq!(
        offers,
        [
            "f * a1 cpus:1",
            "g eng/web a1 cpus(eng):3",
            "h slave_public a0 cpus(slave_public):2;mem(slave_public):64",
        ]
    );
}

#[test]
fn what_was_declined_is_hidden_for_five_seconds_and_goes_to_others_at_once() {
    let mut pool = Pool::new(&["cpus:4"], &[("f", "*"), ("g", "*")]);
    let offer = pool.cycle().remove(0);
    pool.decline(&offer, Filter::DEFAULT);
    let offer = pool.cycle().remove(0);
    assert_eq!(show(&offer), "g * a0 cpus:4");
    pool.decline(&offer, Filter::MAX);
    assert_eq!(pool.later(4.999), [] as [&str; 0]);
    assert_eq!(pool.later(0.001), ["f * a0 cpus:4"]);
}

#[test]
fn a_filter_does_not_hide_more_than_was_refused() {
    let mut pool = Pool::new(&["cpus:4"], &[("f", "*")]);
    let offer = pool.cycle().remove(0);
    assert_eq!(pool.accept(&[&offer], "cpus:1", Filter::MAX), []);
    assert_eq!(pool.later(1.0), [] as [&str; 0]);
    let (framework, role, agent) = (offer.framework, offer.role, offer.agent);
    pool.step(Event::Recovered { framework, role, agent, resources: resources("cpus:0.5") });
    assert_eq!(pool.later(1.0), ["f * a0 cpus:3.5"]);
}

#[test]
fn suppressed_roles_get_no_offers_until_they_are_revived() {
    let mut pool = Pool::new(&["cpus:4"], &[("f", "a b")]);
    let (framework, roles) = ("f".into(), vec![]);
    assert_eq!(pool.step(Event::Suppress { framework, roles }), []);
    assert_eq!(pool.later(1.0), [] as [&str; 0]);
    pool.step(Event::Revive { framework: "f".into(), roles: vec![role("b")] });
    let offer = pool.cycle().remove(0);
    assert_eq!(show(&offer), "f b a0 cpus:4");
    pool.decline(&offer, Filter::MAX);
    assert_eq!(pool.later(1.0), [] as [&str; 0]);
    pool.step(Event::Revive { framework: "f".into(), roles: vec![role("b")] });
    assert_eq!(pool.later(1.0), ["f b a0 cpus:4"]);
    let (framework, unknown) = ("f".into(), role("c"));
    let refused = pool.step(Event::Revive { framework, roles: vec![unknown.clone()] });
    assert_eq!(refused, [Action::Refuse(Refusal::UnknownRole { framework: "f".into(), role: unknown })]);
}

#[test]
fn agents_that_drain_or_are_unreachable_lose_their_offers_and_get_none() {
    for (leave, come) in [
        (Event::AgentDrain("a0".into()), Event::AgentUndrain("a0".into())),
        (Event::AgentDeactivate("a0".into()), Event::AgentUndrain("a0".into())),
        (Event::AgentUnreachable("a0".into()), Event::AgentReachable("a0".into())),
    ] {
        let mut pool = Pool::new(&["cpus:4"], &[("f", "*")]);
        let offer = pool.cycle().remove(0);
        assert_eq!(rescinded(&pool.step(leave)), [offer.id.0]);
        assert_eq!(pool.later(1.0), [] as [&str; 0]);
        assert_eq!(pool.step(come), []);
        assert_eq!(pool.later(1.0), ["f * a0 cpus:4"]);
    }
}

#[test]
fn a_draining_agent_that_comes_back_is_still_draining() {
    let mut pool = Pool::new(&["cpus:4"], &[("f", "*")]);
    pool.step(Event::AgentDrain("a0".into()));
    pool.step(Event::AgentUnreachable("a0".into()));
    pool.step(Event::AgentReachable("a0".into()));
    assert_eq!(pool.later(1.0), [] as [&str; 0]);
}

#[test]
fn offers_of_one_agent_and_role_merge() {
    let mut pool = Pool::new(&["cpus:4"], &[("f", "*")]);
    let all = pool.cycle().remove(0);
    pool.accept(&[&all], "cpus:2", Filter::NONE);
    let second = pool.cycle().remove(0);
    let (framework, role, agent) = (all.framework.clone(), all.role.clone(), all.agent.clone());
    pool.step(Event::Recovered { framework, role, agent, resources: resources("cpus:2") });
    let third = pool.cycle().remove(0);
    assert_eq!(pool.accept(&[&second, &third], "cpus:3.5", Filter::NONE), []);
    assert_eq!(pool.later(0.0), ["f * a0 cpus:0.5"]);
}

#[test]
fn an_accept_that_is_wrong_gives_all_its_offers_back() {
    let mut pool = Pool::new(&["cpus:4", "cpus:2"], &[("f", "*")]);
    let offers = pool.cycle();
    let refused = pool.accept(&[&offers[0], &offers[1]], "cpus:1", Filter::MAX);
    assert_eq!(refused, [Action::Refuse(Refusal::MixedOffers)]);
    let offers = pool.cycle();
    assert_eq!(offers.len(), 2);
    let refused = pool.accept(&[&offers[1]], "cpus:3", Filter::MAX);
    assert!(matches!(&refused[..], [Action::Refuse(Refusal::NotOffered(_))]), "{refused:?}");
    let refused = pool.accept(&[&offers[1]], "", Filter::MAX);
    assert_eq!(refused, [Action::Refuse(Refusal::UnknownOffer(offers[1].id))]);
    assert_eq!(pool.state.offer(offers[1].id), None);
    assert_eq!(pool.later(0.0), ["f * a1 cpus:2"]);
    assert_eq!(
        pool.step(Event::Rescind(vec![OfferId(99)])),
        [Action::Refuse(Refusal::UnknownOffer(OfferId(99)))]
    );
}

#[test]
fn what_a_disconnected_framework_uses_stays_its_own() {
    let mut pool = Pool::new(&["cpus:4"], &[("f", "*")]);
    let offer = pool.cycle().remove(0);
    pool.accept(&[&offer], "cpus:1", Filter::NONE);
    let offer = pool.cycle().remove(0);
    assert_eq!(rescinded(&pool.step(Event::FrameworkDeactivated("f".into()))), [offer.id.0]);
    assert!(!pool.state.is_active(&"f".into()));
    assert_eq!(pool.later(1.0), [] as [&str; 0]);
    pool.step(Event::FrameworkAdded(info("f", "*")));
    assert_eq!(pool.later(1.0), ["f * a0 cpus:3"]);
    pool.step(Event::FrameworkRemoved("f".into()));
    let agent = pool.state.agents().next().unwrap();
    assert_eq!(agent.free().to_string(), "cpus:3");
    let (framework, role, agent) = (offer.framework, offer.role, offer.agent);
    let recovered = Event::Recovered { framework, role, agent, resources: resources("cpus:1") };
    assert_eq!(pool.step(recovered.clone()), []);
    assert_eq!(pool.step(recovered), [Action::Refuse(Refusal::UnknownFramework("f".into()))]);
}

#[test]
fn an_agent_may_come_back_before_the_frameworks_whose_tasks_it_runs() {
    let mut pool = Pool::new(&[], &[("g", "*")]);
    let agent = AgentInfo { id: "a".into(), host: Host::default(), total: resources("cpus:4;ports:[1-9]") };
    let used = resources("cpus:3;ports:[2-3]");
    let used = vec![Used { framework: "f".into(), role: role("*"), resources: used }];
    assert_eq!(pool.step(Event::AgentAdded { agent, used }), []);
    assert_eq!(pool.later(0.0), ["g * a cpus:1;ports:[1-1,4-9]"]);
    assert_eq!(pool.state.shares().map(|(_, share)| share).collect::<Vec<_>>(), [1.0]);
}

#[test]
fn an_agent_that_shrinks_below_its_use_has_nothing_free_until_enough_came_back() {
    let mut pool = Pool::new(&["cpus:4"], &[("f", "*")]);
    let offer = pool.cycle().remove(0);
    pool.accept(&[&offer], "cpus:4", Filter::NONE);
    let info = AgentInfo { id: "a0".into(), host: Host::default(), total: resources("cpus:2") };
    assert_eq!(pool.step(Event::AgentUpdated(info)), []);
    for (back, free) in [("cpus:1", ""), ("cpus:1.5", "cpus:0.5"), ("cpus:1.5", "cpus:2")] {
        let (framework, role, agent) = (offer.framework.clone(), offer.role.clone(), offer.agent.clone());
        let recovered = Event::Recovered { framework, role, agent, resources: resources(back) };
        assert_eq!(pool.step(recovered), []);
        assert_eq!(pool.state.agent(&"a0".into()).unwrap().free().to_string(), free);
    }
}

#[test]
fn refuse_seconds_have_a_default_and_a_cap() {
    for (given, seconds) in [
        (None, 5.0),
        (Some(-1.0), 5.0),
        (Some(f64::NAN), 5.0),
        (Some(0.0), 0.0),
        (Some(0.25), 0.25),
        (Some(1e9), 31_536_000.0),
        (Some(f64::INFINITY), 31_536_000.0),
    ] {
        assert_eq!(Filter::from_seconds(given).duration().as_secs_f64(), seconds, "{given:?}");
    }
}

#[test]
fn an_agent_that_changes_its_place_is_offered_again_to_those_who_refused_it() {
    let mut pool = Pool::new(&["cpus:4"], &[("f", "*")]);
    let offer = pool.cycle().remove(0);
    pool.decline(&offer, Filter::MAX);
    let host = |attributes: &str| Host { attributes: attributes.parse().unwrap(), ..Host::default() };
    let update =
        |host: Host| Event::AgentUpdated(AgentInfo { id: "a0".into(), host, total: resources("cpus:4") });
    assert_eq!(pool.step(update(Host::default())), []);
    assert_eq!(pool.later(1.0), [] as [&str; 0], "nothing has changed");
    assert_eq!(pool.step(update(host("rack:r1"))), []);
    assert_eq!(pool.later(1.0), ["f * a0 cpus:4"]);
}

#[test]
fn a_framework_that_subscribes_again_does_not_keep_offers_of_its_connection_before() {
    let mut pool = Pool::new(&["cpus:4"; 2], &[("f", "a b")]);
    let offers = pool.cycle();
    let again = pool.step(Event::FrameworkAdded(info("f", "a b")));
    assert_eq!(rescinded(&again), offers.iter().map(|offer| offer.id.0).collect::<Vec<_>>());
    assert_eq!(pool.cycle().len(), 2);
}

#[test]
fn a_filter_that_ends_before_the_next_cycle_hides_what_was_refused_in_that_one() {
    let mut pool = Pool::new(&["cpus:4"], &[("f", "*")]);
    let offer = pool.cycle().remove(0);
    pool.decline(&offer, Filter::from_seconds(Some(0.5)));
    assert_eq!(pool.later(1.0), [] as [&str; 0]);
    assert_eq!(pool.later(0.0), ["f * a0 cpus:4"]);
    // Also when a longer one of before that hides the same has ended by then.
    let mut pool = Pool::new(&["cpus:4"], &[("f", "*")]);
    let offer = pool.cycle().remove(0);
    pool.accept(&[&offer], "cpus:1", Filter::from_seconds(Some(10.0)));
    assert_eq!(pool.later(9.0), [] as [&str; 0]);
    let (framework, role, agent) = (offer.framework, offer.role, offer.agent);
    pool.step(Event::Recovered { framework, role, agent, resources: resources("cpus:1") });
    let offer = pool.cycle().remove(0);
    pool.accept(&[&offer], "cpus:2", Filter::from_seconds(Some(0.5)));
    assert_eq!(pool.later(2.0), [] as [&str; 0]);
    assert_eq!(pool.later(0.0), ["f * a0 cpus:2"]);
}

#[test]
fn a_role_that_nobody_is_in_any_more_is_forgotten_with_those_above_it() {
    let mut pool = Pool::new(&["cpus:4"], &[("f", "*"), ("g", "a/b/c")]);
    let roles = |pool: &Pool| pool.state.shares().map(|(role, _)| role.to_string()).collect::<Vec<_>>();
    assert_eq!(roles(&pool), ["*", "a", "a/b", "a/b/c"]);
    pool.step(Event::WeightSet { role: role("a"), weight: 2.0 });
    pool.step(Event::FrameworkUpdated(info("g", "x/y")));
    assert_eq!(roles(&pool), ["*", "a", "x", "x/y"], "one with a weight stays");
    pool.step(Event::WeightSet { role: role("a"), weight: 1.0 });
    pool.step(Event::WeightSet { role: role("z/z"), weight: 1.0 });
    pool.step(Event::FrameworkRemoved("g".into()));
    assert_eq!(roles(&pool), ["*"]);
    pool.step(Event::FrameworkAdded(info("h", "n/m")));
    pool.step(Event::FrameworkAdded(info("i", "a")));
    assert_eq!(roles(&pool), ["*", "n", "n/m", "a"]);
}

#[test]
fn a_bounded_cycle_goes_on_where_the_last_one_ended() {
    let mut pool = Pool { state: State::with_most_offers(2), ..Pool::default() };
    for at in 0..5 {
        let id = format!("a{at}").into();
        let agent = AgentInfo { id, host: Host::default(), total: resources("cpus:4;mem:100") };
        pool.step(Event::AgentAdded { agent, used: vec![] });
    }
    pool.step(Event::FrameworkAdded(info("f", "*")));
    let cycle = |pool: &mut Pool| -> Vec<String> {
        let offers = pool.cycle();
        for offer in &offers {
            pool.decline(offer, Filter::DEFAULT);
        }
        offers.iter().map(|offer| offer.agent.to_string()).collect()
    };
    let all: Vec<Vec<String>> = (0..4).map(|_| cycle(&mut pool)).collect();
    assert_eq!(all, [vec!["a0", "a1"], vec!["a2", "a3"], vec!["a4"], vec![]]);
    pool.step(Event::Revive { framework: "f".into(), roles: vec![] });
    assert_eq!(cycle(&mut pool), ["a0", "a1"]);
    pool.step(Event::Revive { framework: "f".into(), roles: vec![] });
    assert_eq!(cycle(&mut pool), ["a2", "a3"], "whoever asks again and again sees others each time");
}
