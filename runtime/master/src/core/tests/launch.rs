use super::*;

#[test]
fn good_tasks_are_launched_and_bad_ones_named() {
    let mut world = World::new();
    let (_, agent) = world.agent("a1");
    let (channel, framework) = world.framework("f");
    world.launch(channel, "taken");
    let offer = world.offers().remove(0);
    let good = task(&offer, "good", "cpus:1;ports:[31000-31001]");
    let elsewhere = TaskInfo { agent: "m-S9".into(), ..task(&offer, "elsewhere", "cpus:1") };
    let role = TaskInfo { role: "eng".parse().unwrap(), ..task(&offer, "role", "cpus:1") };
    let mut argv = task(&offer, "argv", "cpus:1");
    argv.command.line = CommandLine::Argv(vec![]);
    let tasks = vec![
        good.clone(),
        task(&offer, "good", "cpus:1"),
        task(&offer, "taken", "cpus:1"),
        elsewhere,
        role,
        argv,
        task(&offer, "nothing", ""),
        task(&offer, "more", "cpus:2.5"),
        task(&offer, "port", "cpus:0.1;ports:[31001-31002]"),
    ];
    let effects = world.accept(channel, &[&offer], tasks);
    assert_eq!(orders(&effects), ["launch good"]);
    let messages: Vec<String> = events(&effects)
        .into_iter()
        .filter_map(|event| match event {
            Event::Update(status) => {
                assert_eq!((status.state, status.reason), (TaskState::Error, Some(Reason::TaskInvalid)));
                assert_eq!((status.source, status.uuid), (Source::Master, None));
                status.message.clone()
            }
            _ => None,
        })
        .collect();
    insta::assert_snapshot!(messages.join("\n"), @r"
    task good is invalid: its id stands twice in the same ACCEPT
    task taken is invalid: its id is, or was, another task's; each launch needs an id of its own
    task elsewhere is invalid: it is for agent m-S9, the offer is of m-S0
    task role is invalid: it is for role eng, the offer is for *
    task argv is invalid: it has no command
    task nothing is invalid: it has no resources
    task more is invalid: it takes more than was offered: cpus(*): 2.5 wanted, 2 there
    task port is invalid: it takes more than was offered: ports(*): [31001-31002] wanted, [31002-31003] there
    ");
    assert_eq!(world.state_of(&framework, "good"), Some(TaskState::Staging));
    assert_eq!(world.used(&agent), "cpus:2;mem:64;ports:[31000-31001]");
    assert_eq!(world.offers()[0].resources.to_string(), "cpus:2;mem:960;ports:[31002-31003]");
}

#[test]
fn tasks_on_offers_that_cannot_be_taken_are_dropped_and_the_offers_come_back() {
    let mut world = World::new();
    world.agent("a1");
    world.agent("a2");
    let (channel, _) = world.framework("f");
    let (other, _) = world.framework("g");
    let offers = world.offers();
    let [first, second] = &offers[..] else { panic!("{offers:?}") };
    let named = |name: &str| Offer { id: name.to_owned(), ..first.clone() };
    for (by, refs) in [
        (channel, vec![]),
        (channel, vec![named("m-O99")]),
        (channel, vec![named("m-O01")]),
        (channel, vec![named("other-O1")]),
        (other, vec![named("m-O99")]),
    ] {
        let refs: Vec<&Offer> = refs.iter().collect();
        let effects = world.accept(by, &refs, vec![task(first, "t", "cpus:1")]);
        let dropped = ("t".to_owned(), TaskState::Dropped, Some(Reason::InvalidOffers), false);
        assert_eq!(updates(&effects), [dropped], "{refs:?}");
    }
    assert_eq!(world.state.offers.size(), 2, "what was not named is still good");
    let owner = |offer: &Offer| {
        let id = world.state.offers.values().find(|one| offer.id.ends_with(&one.id.to_string()));
        if id.unwrap().framework.as_str() == "m-0000" { channel } else { other }
    };
    let (mine, theirs) = (owner(first), owner(second));
    let effects = world.accept(mine, &[first, second], vec![task(first, "t", "cpus:1")]);
    assert_eq!(updates(&effects)[0].1, TaskState::Dropped, "of two agents, or of another framework");
    if mine == theirs {
        assert!(world.state.offers.is_empty());
    }
    assert!(!world.offers().is_empty(), "what was named is free again");
}

#[test]
fn an_offer_is_good_once() {
    let mut world = World::new();
    world.agent("a1");
    let (channel, _) = world.framework("f");
    let offer = world.offers().remove(0);
    world.accept(channel, &[&offer], vec![task(&offer, "t1", "cpus:1")]);
    let effects = world.accept(channel, &[&offer], vec![task(&offer, "t2", "cpus:1")]);
    let dropped = ("t2".to_owned(), TaskState::Dropped, Some(Reason::InvalidOffers), false);
    assert_eq!(updates(&effects), [dropped]);
}

#[test]
fn two_offers_of_one_agent_are_taken_together() {
    let mut world = World::new();
    let (_, agent) = world.agent("a1");
    let (channel, framework) = world.framework("f");
    let first = world.offers().remove(0);
    world.accept(channel, &[&first], vec![task(&first, "t1", "cpus:3;mem:512")]);
    let second = world.offers().remove(0);
    world.state.links.clear();
    let effects = world.accept(channel, &[&second], vec![task(&second, "t2", "cpus:1")]);
    let dropped = ("t2".to_owned(), TaskState::Dropped, Some(Reason::AgentDisconnected), false);
    assert_eq!(updates(&effects), [dropped], "to an agent without a connection nothing is launched");
    let (connection, _) = world.back(
        &agent,
        "a1",
        vec![report(&framework, &task(&first, "t1", "cpus:3;mem:512"), TaskState::Running, 0)],
    );
    let third = world.offers().remove(0);
    world.update(connection, &framework, "t1", TaskState::Finished, 1);
    let fourth = world.offers().remove(0);
    let effects = world.accept(channel, &[&third, &fourth], vec![task(&third, "t3", "cpus:4;mem:1024")]);
    assert_eq!(orders(&effects), ["launch t3"]);
    assert_eq!(world.used(&agent), "cpus:4;mem:1024");
}

#[test]
fn declined_offers_are_hidden_and_revived() {
    let mut world = World::new();
    world.agent("a1");
    let (channel, _) = world.framework("f");
    let decline = |offer: &Offer| Call::Decline {
        offers: vec![offer.id.clone(), "m-O77".to_owned()],
        filter: Filter::DEFAULT,
    };
    let offer = world.offers().remove(0);
    assert_eq!(world.call(channel, decline(&offer)), []);
    assert_eq!(world.offers(), []);
    world.pass(5);
    let offer = world.offers().remove(0);
    world.call(channel, decline(&offer));
    world.call(channel, Call::Revive(vec![]));
    let offer = world.offers().remove(0);
    world.call(channel, decline(&offer));
    world.call(channel, Call::Suppress(vec![]));
    world.pass(60);
    assert_eq!(world.offers(), []);
    world.call(channel, Call::Revive(vec![Role::star()]));
    assert_eq!(world.offers().len(), 1);
}
