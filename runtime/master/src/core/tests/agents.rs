use super::*;

#[test]
fn an_agent_is_told_its_id_when_its_admission_is_on_record_and_not_before() {
    let mut world = World::new();
    let registration = registration(None, "a1");
    let effects = world.raw(Input::AgentConnected { connection: 7, registration });
    let [Effect::Commit { ticket, subject, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(subject, "m-S0");
    assert!(world.state.agents.is_empty());
    let effects = world.raw(Input::Committed { ticket: *ticket });
    assert_eq!(registered(&effects).as_str(), "m-S0");
    assert_eq!(world.agent("a2").1.as_str(), "m-S1");
}

#[test]
fn one_that_hung_up_before_it_knew_its_id_gets_the_same_one() {
    let mut world = World::new();
    let first = world.raw(Input::AgentConnected { connection: 1, registration: registration(None, "a1") });
    let Effect::Commit { ticket, .. } = &first[0] else { panic!("{first:?}") };
    // While the admission is being recorded.
    world.raw(Input::AgentDisconnected { connection: 1 });
    let again = world.raw(Input::AgentConnected { connection: 2, registration: registration(None, "a1") });
    assert_eq!(again, []);
    let third = world.raw(Input::AgentConnected { connection: 3, registration: registration(None, "a1") });
    assert_eq!(third, [Effect::CloseAgent { connection: 2 }]);
    let effects = world.raw(Input::Committed { ticket: *ticket });
    assert!(matches!(&effects[0], Effect::SendAgent { connection: 3, message: ToAgent::Registered { .. } }));
    // And when it was told, but never said a word.
    world.step(Input::AgentDisconnected { connection: 3 });
    let (connection, effects) = world.connect(registration(None, "a1"));
    assert_eq!(registered(&effects).as_str(), "m-S0");
    world.say(connection, FromAgent::Pong);
    world.step(Input::AgentDisconnected { connection });
    assert_eq!(world.agent("a1").1.as_str(), "m-S1", "one that was heard of has kept its id");
}

#[test]
fn an_agent_of_another_cluster_is_refused_for_good() {
    let mut world = World::new();
    let (connection, effects) = world.connect(registration(Some(&"other-S0".into()), "a1"));
    let messages = to_agents(&effects);
    assert!(matches!(messages[..], [ToAgent::Refused { last: true, .. }]), "{messages:?}");
    assert_eq!(effects.last(), Some(&Effect::CloseAgent { connection }));
}

#[test]
fn where_names_are_proved_none_takes_the_place_of_another_by_its_id() {
    let mut world = World::new();
    world.state.config.proved_names = true;
    let (_, victim) = world.agent("a1");
    let (connection, effects) = world.connect(registration(Some(&victim), "a2"));
    let messages = to_agents(&effects);
    assert!(matches!(messages[..], [ToAgent::Refused { last: true, .. }]), "{messages:?}");
    assert_eq!(effects.last(), Some(&Effect::CloseAgent { connection }));
    let (_, effects) = world.connect(registration(Some(&victim), "a1"));
    assert_eq!(registered(&effects), victim);
}

#[test]
fn when_the_record_cannot_be_made_the_agent_is_to_try_again() {
    let mut world = World::new();
    world.raw(Input::AgentConnected { connection: 7, registration: registration(None, "a1") });
    let effects = world.raw(Input::CommitFailed { ticket: 1 });
    assert!(matches!(to_agents(&effects)[..], [ToAgent::Refused { last: false, .. }]));
    assert!(world.state.agents.is_empty());
}

#[test]
fn of_two_connections_the_newer_one_counts() {
    let mut world = World::new();
    let (older, id) = world.agent("a1");
    let (newer, effects) = world.back(&id, "a1", vec![]);
    assert_eq!(effects[0], Effect::CloseAgent { connection: older });
    assert_eq!(world.step(Input::AgentDisconnected { connection: older }), []);
    assert_eq!(world.agent_state(&id), AgentState::Active);
    world.step(Input::AgentDisconnected { connection: newer });
    assert_eq!(world.agent_state(&id), AgentState::Disconnected);
}

#[test]
fn silence_makes_an_agent_unreachable_and_its_tasks_with_it() {
    let mut world = World::new();
    let (connection, agent) = world.agent("a1");
    let (channel, framework) = world.framework("f");
    world.launch(channel, "t1");
    world.update(connection, &framework, "t1", TaskState::Running, 1);
    world.acknowledge(channel, &agent, "t1", 1);
    let ping = Effect::SendAgent { connection, message: ToAgent::Ping };
    assert_eq!(world.pass(14), []);
    assert_eq!(world.pass(1), std::slice::from_ref(&ping));
    assert_eq!(world.pass(14), []);
    world.say(connection, FromAgent::Pong);
    for _ in 0..4 {
        assert_eq!(world.pass(15), std::slice::from_ref(&ping));
    }
    assert_eq!(world.agent_state(&agent), AgentState::Active);
    let effects = world.pass(15);
    assert!(effects.contains(&Effect::CloseAgent { connection }));
    let unreachable = ("t1".to_owned(), TaskState::Unreachable, Some(Reason::AgentRemoved), false);
    assert_eq!(updates(&effects), [unreachable]);
    assert!(events(&effects).contains(&&Event::AgentLost(agent.clone())));
    assert_eq!(world.agent_state(&agent), AgentState::Unreachable);
    assert_eq!(world.used(&agent), "cpus:1;mem:64", "it may still run");
    // Back again: its state is told anew.
    let task = world.state.tasks.values().next().unwrap().info.clone();
    let (_, effects) = world.back(&agent, "a1", vec![report(&framework, &task, TaskState::Running, 1)]);
    let told = ("t1".to_owned(), TaskState::Running, Some(Reason::Reconciliation), false);
    assert_eq!(updates(&effects), [told]);
    assert_eq!(world.agent_state(&agent), AgentState::Active);
}

#[test]
fn a_disconnected_agent_gets_nothing_new_and_keeps_what_it_has() {
    let mut world = World::new();
    let (connection, agent) = world.agent("a1");
    let (channel, framework) = world.framework("f");
    world.launch(channel, "t1");
    assert_eq!(world.offers().len(), 1);
    let effects = world.step(Input::AgentDisconnected { connection });
    assert!(matches!(events(&effects)[..], [Event::Rescind(_)]), "{effects:?}");
    assert_eq!(world.state_of(&framework, "t1"), Some(TaskState::Staging));
    assert_eq!(world.offers(), []);
    assert_eq!(world.pass(74), []);
    let effects = world.pass(1);
    assert_eq!(updates(&effects).len(), 1);
    assert_eq!(world.agent_state(&agent), AgentState::Unreachable);
}

#[test]
fn changed_resources_are_taken_and_tasks_kept() {
    let mut world = World::new();
    let (_, agent) = world.agent("a1");
    let (channel, framework) = world.framework("f");
    let task = world.launch(channel, "t1");
    let mut registration = registration(Some(&agent), "renamed");
    registration.facts.total = "cpus:8;mem:2048".parse().unwrap();
    Arc::make_mut(&mut registration.facts.host).attributes = "rack:r2".parse().unwrap();
    registration.tasks = vec![report(&framework, &task, TaskState::Running, 0)];
    let (_, effects) = world.connect(registration);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Commit { .. })), "on record");
    assert_eq!(world.state_of(&framework, "t1"), Some(TaskState::Running));
    let offer = world.offers().remove(0);
    assert_eq!(offer.resources.to_string(), "cpus:7;mem:1984");
    assert_eq!(offer.host.attributes.to_string(), "rack:r2");
}

#[test]
fn what_the_agent_does_not_list_is_gone_or_was_never_there() {
    let mut world = World::new();
    let (connection, agent) = world.agent("a1");
    let (channel, framework) = world.framework("f");
    for id in ["staging", "running", "ended"] {
        world.launch(channel, id);
    }
    world.update(connection, &framework, "running", TaskState::Running, 1);
    world.update(connection, &framework, "ended", TaskState::Finished, 2);
    let (_, effects) = world.back(&agent, "a1", vec![]);
    let reason = Some(Reason::AgentReregistered);
    assert_eq!(
        updates(&effects),
        [
            ("ended".to_owned(), TaskState::Finished, None, false),
            ("running".to_owned(), TaskState::Gone, reason, false),
            ("staging".to_owned(), TaskState::Dropped, reason, false),
        ]
    );
    assert!(world.state.tasks.is_empty());
    assert_eq!(world.completed(&framework, "running"), Some(TaskState::Gone));
    assert_eq!(world.used(&agent), "");
    assert_eq!(world.offers()[0].resources, facts("a1").total);
}

#[test]
fn agents_of_an_earlier_master_have_ten_minutes() {
    let mut world = World::new();
    let (_, agent) = world.agent("a1");
    let (channel, _) = world.framework("f");
    let known = failover(&world.state, world.now.elapsed);
    let mut world = World { state: known, now: world.now, next: channel };
    let (channel, _) = world.framework("f");
    let ask = Call::Reconcile(vec![("t1".parse().unwrap(), Some(agent.clone()))]);
    assert_eq!(world.agent_state(&agent), AgentState::Recovering);
    assert_eq!(world.call(channel, ask.clone()), []);
    assert_eq!(world.pass(599), []);
    let effects = world.pass(1);
    assert_eq!(events(&effects), [&Event::AgentLost(agent.clone())]);
    let effects = world.call(channel, ask);
    let unreachable = ("t1".to_owned(), TaskState::Unreachable, Some(Reason::Reconciliation), false);
    assert_eq!(updates(&effects), [unreachable]);
    world.back(&agent, "a1", vec![]);
    assert_eq!(world.agent_state(&agent), AgentState::Active);
}

#[test]
fn a_registration_that_was_long_on_its_way_takes_no_task_away() {
    let mut world = World::new();
    let (connection, agent) = world.agent("a1");
    let (channel, framework) = world.framework("f");
    let task = world.launch(channel, "t1");
    world.update(connection, &framework, "t1", TaskState::Running, 1);
    // Of the time before the launch, on a stream that the agent has given up since.
    let registration = registration(Some(&agent), "a1");
    let effects = world.step(Input::AgentConnected { connection: 90, registration: registration.clone() });
    assert_eq!(updates(&effects), []);
    assert_eq!(world.state_of(&framework, "t1"), Some(TaskState::Running));
    let other: api::mesos::TaskKey = "t0".parse().unwrap();
    let unknown = Call::Reconcile(vec![(other, Some(agent.clone()))]);
    assert_eq!(updates(&world.call(channel, unknown.clone())), [], "what it has is not known");
    assert_eq!(world.offers(), [], "nothing is launched on what nobody may hear of");
    world.step(Input::AgentDisconnected { connection: 90 });
    assert_eq!(updates(&world.call(channel, unknown.clone())), []);
    let (_, effects) = world.back(&agent, "a1", vec![report(&framework, &task, TaskState::Running, 1)]);
    assert_eq!(updates(&effects), []);
    assert_eq!(world.offers().len(), 1);
    assert_eq!(updates(&world.call(channel, unknown)).len(), 1);
    // One that answers has what it says, and nothing else.
    world.step(Input::AgentConnected { connection: 91, registration });
    let effects = world.say(91, FromAgent::Pong);
    assert!(matches!(&updates(&effects)[..], [(_, TaskState::Gone, ..)]), "{effects:?}");
}
