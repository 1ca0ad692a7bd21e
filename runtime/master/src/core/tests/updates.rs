use super::*;

/// A framework with one task, running and acknowledged.
fn running() -> (World, u64, AgentId, u64, FrameworkId) {
    let mut world = World::new();
    let (connection, agent) = world.agent("a1");
    let (channel, framework) = world.framework("f");
    world.launch(channel, "t1");
    world.update(connection, &framework, "t1", TaskState::Running, 1);
    world.acknowledge(channel, &agent, "t1", 1);
    (world, connection, agent, channel, framework)
}

#[test]
fn resources_are_free_on_the_terminal_update_and_the_record_closes_on_its_acknowledgement() {
    let (mut world, connection, agent, channel, framework) = running();
    assert_eq!(world.used(&agent), "cpus:1;mem:64");
    let effects = world.update(connection, &framework, "t1", TaskState::Finished, 2);
    assert_eq!(updates(&effects), [("t1".to_owned(), TaskState::Finished, None, true)]);
    assert_eq!(world.used(&agent), "");
    assert_eq!(world.state_of(&framework, "t1"), Some(TaskState::Finished));
    let effects = world.acknowledge(channel, &agent, "t1", 2);
    assert_eq!(orders(&effects), ["ack t1 2"]);
    assert_eq!(world.state_of(&framework, "t1"), None);
    assert_eq!(world.completed(&framework, "t1"), Some(TaskState::Finished));
    // The acknowledgement was lost: the framework is not asked again.
    let effects = world.update(connection, &framework, "t1", TaskState::Finished, 2);
    assert_eq!((orders(&effects), updates(&effects)), (vec!["ack t1 2".to_owned()], vec![]));
}

#[test]
fn an_update_is_shown_until_it_is_acknowledged_and_applied_once() {
    let (mut world, connection, agent, channel, framework) = running();
    for _ in 0..3 {
        let effects = world.update(connection, &framework, "t1", TaskState::Failed, 2);
        assert_eq!(updates(&effects).len(), 1);
    }
    assert_eq!(world.state.counters.ended["TASK_FAILED"], 1);
    assert_eq!(world.state.counters.updates_repeated, 2);
    assert_eq!(orders(&world.acknowledge(channel, &agent, "t1", 9)), [""; 0], "of another update");
    assert_eq!(world.state.counters.invalid_acknowledgements, 1);
    assert_eq!(orders(&world.acknowledge(channel, &agent, "t1", 2)), ["ack t1 2"]);
}

#[test]
fn old_news_does_not_take_a_task_back() {
    let (mut world, connection, agent, channel, framework) = running();
    world.update(connection, &framework, "t1", TaskState::Starting, 99);
    assert_eq!(world.state_of(&framework, "t1"), Some(TaskState::Running));
    world.update(connection, &framework, "t1", TaskState::Finished, 3);
    // A new master may know the end from the registration before it hears what came before.
    let effects = world.update(connection, &framework, "t1", TaskState::Running, 2);
    assert_eq!(updates(&effects).len(), 1, "it waits at the agent, so it must be acknowledged");
    assert_eq!(world.state_of(&framework, "t1"), Some(TaskState::Finished));
    assert_eq!(orders(&world.acknowledge(channel, &agent, "t1", 2)), ["ack t1 2"]);
    assert_eq!(world.state_of(&framework, "t1"), Some(TaskState::Finished));
    world.update(connection, &framework, "t1", TaskState::Finished, 3);
    world.acknowledge(channel, &agent, "t1", 3);
    assert_eq!(world.completed(&framework, "t1"), Some(TaskState::Finished));
}

#[test]
fn news_of_what_is_not_known() {
    let (mut world, connection, agent, channel, framework) = running();
    let effects = world.update(connection, &framework, "stray", TaskState::Failed, 5);
    assert_eq!(updates(&effects), [("stray".to_owned(), TaskState::Failed, None, true)]);
    assert_eq!(orders(&world.acknowledge(channel, &agent, "stray", 5)), ["ack stray 5"]);
    let effects = world.update(connection, &"nobody".into(), "t1", TaskState::Failed, 6);
    assert!(matches!(effects[..], [Effect::Note(_)]), "{effects:?}");
    assert_eq!(world.state.counters.updates_unknown, 1);
    let (second, _) = world.agent("a2");
    let effects = world.update(second, &framework, "t1", TaskState::Failed, 7);
    assert!(matches!(effects[..], [Effect::Note(_)]), "{effects:?}");
    assert_eq!(world.state_of(&framework, "t1"), Some(TaskState::Running));
    assert_eq!(world.update(99, &framework, "t1", TaskState::Failed, 8), [], "no such connection");
}

#[test]
fn news_for_a_framework_that_is_away_waits_at_the_agent() {
    let (mut world, connection, agent, channel, framework) = running();
    world.step(Input::ChannelClosed { channel });
    assert_eq!(world.update(connection, &framework, "t1", TaskState::Killed, 2), []);
    assert_eq!(world.state_of(&framework, "t1"), Some(TaskState::Killed));
    let (channel, again) = world.framework("f");
    assert_eq!(again, framework);
    let effects = world.update(connection, &framework, "t1", TaskState::Killed, 2);
    assert_eq!(updates(&effects).len(), 1);
    assert_eq!(orders(&world.acknowledge(channel, &agent, "t1", 2)), ["ack t1 2"]);
}

#[test]
fn an_acknowledgement_for_an_agent_that_is_away_is_repeated_when_it_is_back() {
    let (mut world, connection, agent, channel, framework) = running();
    let task = world.state.tasks.values().next().unwrap().info.clone();
    world.update(connection, &framework, "t1", TaskState::Finished, 2);
    world.step(Input::AgentDisconnected { connection });
    assert_eq!(world.acknowledge(channel, &agent, "t1", 2), []);
    assert_eq!(world.completed(&framework, "t1"), Some(TaskState::Finished));
    let (_, effects) = world.back(&agent, "a1", vec![report(&framework, &task, TaskState::Finished, 2)]);
    assert_eq!((orders(&effects), updates(&effects)), (vec!["ack t1 2".to_owned()], vec![]));
    assert!(world.state.tasks.is_empty());
}

#[test]
fn kills_reach_the_agent_now_or_when_it_is_back() {
    let (mut world, connection, agent, channel, framework) = running();
    let kill = |id: &str| Call::Kill { task: id.parse().unwrap(), agent: None, grace: None };
    assert_eq!(orders(&world.call(channel, kill("t1"))), ["kill t1"]);
    let task = world.state.tasks.values().next().unwrap().info.clone();
    world.step(Input::AgentDisconnected { connection });
    assert_eq!(world.call(channel, kill("t1")), []);
    let (connection, effects) =
        world.back(&agent, "a1", vec![report(&framework, &task, TaskState::Running, 1)]);
    assert_eq!(orders(&effects), ["ack t1 1", "kill t1"]);
    let effects = world.call(channel, kill("unknown"));
    let unknown = ("unknown".to_owned(), TaskState::Unknown, Some(Reason::Reconciliation), false);
    assert_eq!(updates(&effects), [unknown], "the same as an explicit question");
    world.update(connection, &framework, "t1", TaskState::Killed, 2);
    let effects = world.call(channel, kill("t1"));
    assert_eq!((orders(&effects).len(), updates(&effects)[0].1), (0, TaskState::Killed));
}

#[test]
fn a_task_that_turns_up_after_its_kill_is_killed() {
    let (world, _, agent, channel, framework) = running();
    let task = world.state.tasks.values().next().unwrap().info.clone();
    let state = failover(&world.state, world.now.elapsed);
    let mut world = World { state, now: world.now, next: channel };
    let (channel, _) = world.framework("f");
    let kill = Call::Kill { task: "t1".parse().unwrap(), agent: Some(agent.clone()), grace: None };
    assert_eq!(world.call(channel, kill), [], "its agent may be about to come back with it");
    world.pass(1);
    let (_, effects) = world.back(&agent, "a1", vec![report(&framework, &task, TaskState::Running, 1)]);
    assert_eq!(orders(&effects), ["kill t1"]);
    world.pass(1);
    assert!(world.state.wishes.is_empty());
}

#[test]
fn health_is_passed_on_and_said_again_to_who_comes_later() {
    let (mut world, connection, agent, channel, framework) = running();
    let report = api::mesos::HealthReport {
        task: "t1".parse().unwrap(),
        agent: "".into(),
        check: 0,
        alive: true,
        consecutive_failures: 0,
        first_success: None,
        last_success: None,
        last_failure: None,
        last_failure_cause: None,
        sight: None,
    };
    let expected = Event::Health(api::mesos::HealthReport { agent, ..report.clone() });
    let effects = world.say(connection, FromAgent::Health { framework: framework.clone(), report });
    assert_eq!(events(&effects), [&expected]);
    world.step(Input::ChannelClosed { channel });
    let channel = world.number();
    let effects = world.step(Input::Subscribed { channel, info: info("f") });
    assert!(events(&effects).contains(&&expected));
}

#[test]
fn only_so_many_ended_tasks_are_kept() {
    let mut world = World::new();
    world.state.config.completed_per_framework = 2;
    let (connection, agent) = world.agent("a1");
    let (channel, framework) = world.framework("f");
    for id in ["t1", "t2", "t3"] {
        world.launch(channel, id);
        world.update(connection, &framework, id, TaskState::Finished, 1);
        world.acknowledge(channel, &agent, id, 1);
    }
    assert_eq!(world.completed(&framework, "t1"), None);
    assert_eq!(world.state.completed.size(), 2);
}

#[test]
fn peers_go_to_the_tasks_agent_and_what_it_holds_is_said_to_who_comes_later() {
    let (mut world, connection, agent, channel, framework) = running();
    let list = api::mesos::Peers { version: 7, json: "{}".into(), tsv: "".into() };
    let key: api::mesos::TaskKey = "t1".parse().unwrap();
    let call = |task: &str| Call::Peers { task: task.parse().unwrap(), peers: list.clone() };
    let message = ToAgent::Peers { framework: framework.clone(), task: key.clone(), peers: list.clone() };
    assert_eq!(to_agents(&world.call(channel, call("t1"))), [&message]);
    assert!(world.call(channel, call("t2")).is_empty(), "of no task");

    let held = |version| Event::PeersHeld { task: key.clone(), version };
    let says = FromAgent::PeersHeld { framework: framework.clone(), task: key.clone(), version: 7 };
    assert_eq!(events(&world.say(connection, says.clone())), [&held(7)]);
    let (other, _) = world.agent("a2");
    assert!(world.say(other, says).is_empty(), "it is not there");
    // A framework that comes later hears it, and again when the agent registers, whatever that has now.
    world.step(Input::ChannelClosed { channel });
    let channel = world.number();
    let effects = world.step(Input::Subscribed { channel, info: info("f") });
    assert!(events(&effects).contains(&&held(7)));
    let task = task_info(&world, &framework, "t1");
    let back = Report { peers: Some(5), ..report(&framework, &task, TaskState::Running, 1) };
    let (connection, effects) = world.back(&agent, "a1", vec![back]);
    assert!(events(&effects).contains(&&held(5)));
    // An agent that is away is sent nothing.
    world.step(Input::AgentDisconnected { connection });
    assert!(world.call(channel, call("t1")).is_empty());
}

fn task_info(world: &World, framework: &FrameworkId, id: &str) -> TaskInfo {
    (*world.state.tasks.get(&(framework.clone(), id.parse().unwrap())).unwrap().info).clone()
}
