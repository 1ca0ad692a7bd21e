use super::*;

#[test]
fn a_framework_is_told_its_id_when_it_is_on_record_and_keeps_it() {
    let mut world = World::new();
    let effects = world.raw(Input::Subscribed { channel: 1, info: info("f") });
    let [Effect::Commit { ticket, .. }] = &effects[..] else { panic!("{effects:?}") };
    let subscribed = |effects: &[Effect]| match &effects[0] {
        Effect::SendFramework { event: Event::Subscribed { framework, master }, channel } => {
            assert_eq!(master, "m");
            (framework.to_string(), *channel)
        }
        other => panic!("{other:?}"),
    };
    let effects = world.raw(Input::Committed { ticket: *ticket });
    assert_eq!(subscribed(&effects), ("m-0000".to_owned(), 1));
    assert_eq!(world.state.frameworks.values().next().unwrap().info.roles, [Role::star()]);
    // By name, and on a second channel: the first one ends.
    let effects = world.step(Input::Subscribed { channel: 2, info: info("f") });
    assert_eq!(
        effects[0],
        Effect::SendFramework { channel: 1, event: Event::Error("Framework failed over".to_owned()) }
    );
    assert_eq!(effects[1], Effect::CloseFramework { channel: 1 });
    assert_eq!(subscribed(&effects[2..]), ("m-0000".to_owned(), 2));
    assert_eq!(world.call(1, Call::Revive(vec![])), [], "nobody is heard there");
    assert_eq!(world.step(Input::ChannelClosed { channel: 1 }), []);
    // With an id that this master never saw.
    let chosen = FrameworkInfo { id: Some("jenkins".into()), ..info("j") };
    let effects = world.step(Input::Subscribed { channel: 3, info: chosen });
    assert!(effects.iter().any(|effect| matches!(effect, Effect::SendFramework { channel: 3, .. })));
    assert!(world.state.frameworks.contains_key("jenkins"));
    assert_eq!(world.framework("g").1.as_str(), "m-0001");
}

#[test]
fn a_second_subscription_while_the_first_is_being_recorded_takes_its_place() {
    let mut world = World::new();
    world.raw(Input::Subscribed { channel: 1, info: info("f") });
    let effects = world.raw(Input::Subscribed { channel: 2, info: info("f") });
    assert!(effects.contains(&Effect::CloseFramework { channel: 1 }));
    let effects = world.raw(Input::Committed { ticket: 1 });
    assert!(effects.iter().all(|effect| matches!(effect, Effect::SendFramework { channel: 2, .. })));
    // And one that hangs up meanwhile is known, but not active.
    world.raw(Input::Subscribed { channel: 3, info: info("g") });
    world.raw(Input::ChannelClosed { channel: 3 });
    assert_eq!(world.raw(Input::Committed { ticket: 2 }), []);
    assert_eq!(world.state.frameworks.size(), 2);
}

#[test]
fn an_absent_framework_gets_no_offers_and_hears_later_what_it_missed() {
    let mut world = World::new();
    let (connection, agent) = world.agent("a1");
    let (channel, framework) = world.framework("f");
    let task = world.launch(channel, "t1");
    world.launch(channel, "t2");
    world.offers();
    world.step(Input::ChannelClosed { channel });
    assert!(world.state.offers.is_empty());
    assert_eq!(world.offers(), []);
    world.step(Input::AgentDisconnected { connection });
    world.back(&agent, "a1", vec![report(&framework, &task, TaskState::Running, 1)]);
    let channel = world.number();
    let effects = world.step(Input::Subscribed { channel, info: info("f") });
    assert_eq!(
        updates(&effects),
        [
            ("t1".to_owned(), TaskState::Running, Some(Reason::Reconciliation), false),
            ("t2".to_owned(), TaskState::Dropped, Some(Reason::AgentReregistered), false),
        ]
    );
    world.step(Input::ChannelClosed { channel });
    let channel = world.number();
    assert_eq!(updates(&world.step(Input::Subscribed { channel, info: info("f") })), [], "once");
}

#[test]
fn tasks_of_a_framework_that_is_not_known_are_counted_until_it_comes() {
    let mut world = World::new();
    let (_, agent) = world.agent("a1");
    let (channel, framework) = world.framework("f");
    let task = world.launch(channel, "t1");
    let mut world = World::of(failover(&world.state, world.now.elapsed));
    world.state.frameworks.remove_mut(&framework);
    world.state.names.clear();
    world.back(&agent, "a1", vec![report(&framework, &task, TaskState::Running, 0)]);
    assert_eq!(world.used(&agent), "cpus:1;mem:64");
    let (_, other) = world.framework("other");
    assert_ne!(other, framework);
    assert_eq!(world.offers()[0].resources.unreserved().cpus(), scheduler::Scalar::whole(3));
    let channel = world.number();
    let effects =
        world.step(Input::Subscribed { channel, info: FrameworkInfo { id: Some(framework), ..info("f") } });
    assert_eq!(updates(&effects)[0].1, TaskState::Running);
}

#[test]
fn teardown_kills_everywhere_and_for_good() {
    let mut world = World::new();
    let (connection, agent) = world.agent("a1");
    let (channel, framework) = world.framework("f");
    let late = world.launch(channel, "late");
    world.launch(channel, "now");
    world.update(connection, &framework, "now", TaskState::Running, 1);
    let effects = world.call(channel, Call::Teardown);
    assert_eq!(orders(&effects), ["kill late", "kill now"]);
    assert!(effects.contains(&Effect::CloseFramework { channel }));
    // Nobody else acknowledges the end.
    let effects = world.update(connection, &framework, "now", TaskState::Killed, 2);
    assert_eq!(orders(&effects), ["ack now 2"]);
    assert_eq!(world.completed(&framework, "now"), Some(TaskState::Killed));
    assert_eq!(world.used(&agent), "cpus:1;mem:64");
    // The agent had been away: what turns up is killed.
    let mut world = World::of(failover(&world.state, world.now.elapsed));
    let (connection, effects) =
        world.back(&agent, "a1", vec![report(&framework, &late, TaskState::Running, 3)]);
    assert_eq!((orders(&effects), updates(&effects)), (vec!["kill late".to_owned()], vec![]));
    assert_eq!(world.used(&agent), "cpus:1;mem:64");
    world.update(connection, &framework, "late", TaskState::Killed, 4);
    assert_eq!(world.used(&agent), "");
    // The name is free, the id is not.
    assert_eq!(world.framework("f").1.as_str(), "m-0001");
    let channel = world.number();
    let effects =
        world.step(Input::Subscribed { channel, info: FrameworkInfo { id: Some(framework), ..info("f") } });
    assert_eq!(events(&effects), [&Event::Error("Framework has been removed".to_owned())]);
}
