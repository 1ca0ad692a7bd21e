use super::*;

#[test]
fn every_question_has_its_answer() {
    let mut world = World::new();
    let (connection, here) = world.agent("here");
    let (_, away) = world.agent("away");
    let (channel, framework) = world.framework("f");
    world.launch(channel, "known");
    let on = world.state.tasks.values().next().unwrap().info.agent.clone();
    let speaks = if on == here { connection } else { connection + 1 };
    world.update(speaks, &framework, "known", TaskState::Running, 1);
    world.state.agents.get_mut(&away).map(Arc::make_mut).unwrap().state = AgentState::Unreachable;
    let reason = Some(Reason::Reconciliation);
    let mut ask = |id: &str, agent: Option<&AgentId>| {
        let tasks = vec![(id.parse().unwrap(), agent.cloned())];
        updates(&world.call(channel, Call::Reconcile(tasks)))
    };
    for (id, agent, answer) in [
        ("known", None, TaskState::Running),
        ("known", Some(&here), TaskState::Running),
        ("unknown", Some(&here), TaskState::Gone),
        ("unknown", Some(&away), TaskState::Unreachable),
        ("unknown", Some(&"m-S9".into()), TaskState::Unknown),
        ("unknown", None, TaskState::Unknown),
    ] {
        assert_eq!(ask(id, agent), [(id.to_owned(), answer, reason, false)], "{id} on {agent:?}");
    }
    world.state.agents.get_mut(&away).map(Arc::make_mut).unwrap().state = AgentState::Recovering;
    let mut ask = |agent: Option<&AgentId>| {
        let tasks = vec![("unknown".parse().unwrap(), agent.cloned())];
        updates(&world.call(channel, Call::Reconcile(tasks)))
    };
    assert_eq!(ask(Some(&away)), [], "it may be about to come back with it");
    assert_eq!(ask(None), [], "likewise");
    assert_eq!(ask(Some(&here)).len(), 1);
    let all = world.call(channel, Call::Reconcile(vec![]));
    assert_eq!(updates(&all), [("known".to_owned(), TaskState::Running, reason, false)]);
}
