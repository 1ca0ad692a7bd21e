//! The master as its peers meet it: an agent over the link, a framework over the channel, readers over HTTP.

mod reads;
mod support;

use api::link::wire::{self, agent_message, master_message::Body};
use api::mesos::{Call, Event, Reason, TaskState};
use master::MasterError;
use support::{
    Agent, Running, event, launch, offers, register, report, soon, status, subscribe, task, update,
};

#[tokio::test]
async fn a_task_lives_and_ends_and_outlives_two_masters() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), |_| {}).await;
    let mut agent = Agent::connect(running.address, register("", 5051, vec![])).await;
    assert_eq!(agent.id, format!("{}-S0", running.master.id()));
    let (framework, mut channel) = subscribe(&running.master, "marathon").await;
    assert_eq!(framework, format!("{}-0000", running.master.id()));
    let offer = offers(&mut channel).await.remove(0);
    assert_eq!(offer.agent.as_str(), agent.id);
    assert_eq!(offer.resources.to_string(), "cpus:4;mem:1024;disk:1000;ports:[31000-31099]");
    let info = task(&offer, "web.1", "cpus:1;mem:64;ports:[31000-31000]");
    launch(&channel, &offer, info.clone()).await;
    let Some(Body::Launch(launched)) = agent.hear().await else { panic!("no launch") };
    assert_eq!(launched.framework_id, framework);
    assert_eq!(api::link::info_from_wire(launched.info.unwrap()).unwrap(), info);

    let running_status = status("web.1", &agent.id, TaskState::Running, 1);
    agent.update(&framework, &running_status).await;
    assert_eq!(update(&mut channel).await, running_status);
    let acknowledge = |uuid: u128, id: &str| Call::Acknowledge {
        agent: id.into(),
        task: "web.1".parse().unwrap(),
        uuid: api::marathon::Uuid::from_bits(uuid),
    };
    soon(channel.calls.send(acknowledge(1, &agent.id))).await.unwrap();
    let Some(Body::Acknowledge(acknowledged)) = agent.hear().await else { panic!("no acknowledgement") };
    assert_eq!((acknowledged.task_id.as_str(), acknowledged.uuid.len()), ("web.1", 16));

    let listed = running.json("/tasks").await;
    assert_eq!(listed["tasks"][0]["state"], "TASK_RUNNING");
    assert_eq!(listed["tasks"][0]["resources"]["ports"], "[31000-31000]");
    let slaves = running.json("/master/slaves").await;
    assert_eq!(slaves["slaves"][0]["used_resources"]["cpus"], 1.0);
    assert_eq!(slaves["slaves"][0]["attributes"]["level"], 3.0);
    let before = agent.epoch;
    running.stop().await;
    assert!(agent.hear().await.is_none(), "the link ends with its master");
    assert!(soon(channel.events.recv()).await.is_none(), "and so does the channel");

    // The next master knows both of them, and hears of the task from the agent.
    let running = Running::start(dir.path(), |_| {}).await;
    let (again, mut channel) = subscribe(&running.master, "marathon").await;
    assert_eq!(again, framework);
    let awaited = running.json("/slaves").await;
    assert_eq!(awaited["recovered_slaves"][0]["state"], "recovering");
    let known = vec![report(&framework, &info, &running_status)];
    let mut agent2 = Agent::connect(running.address, register(&agent.id, 5051, known)).await;
    assert_eq!(agent2.id, agent.id);
    assert!(agent2.epoch > before, "a later master's epoch is higher");
    let told = update(&mut channel).await;
    assert_eq!(
        (told.state, told.reason, told.uuid),
        (TaskState::Running, Some(Reason::Reconciliation), None)
    );
    assert_eq!(offers(&mut channel).await[0].resources.unreserved().cpus().to_string(), "3");

    let finished = status("web.1", &agent.id, TaskState::Finished, 2);
    agent2.update(&framework, &finished).await;
    assert_eq!(update(&mut channel).await, finished);
    soon(channel.calls.send(acknowledge(2, &agent.id))).await.unwrap();
    assert!(matches!(agent2.hear().await, Some(Body::Acknowledge(_))));
    running.until(|view| view.tasks.is_empty() && view.completed.size() == 1).await;
    let listed = running.json("/tasks.json").await;
    assert_eq!(listed["tasks"][0]["state"], "TASK_FINISHED");
    let cluster = running.json("/clusterctl/v1/cluster").await;
    assert_eq!(cluster["resources"]["used"]["cpus"], 0.0);
    assert_eq!(cluster["agents"][0]["state"], "active");
    running.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), |_| {}).await;
    let refusal = async |register: wire::Register| {
        let mut agent = Agent::dial(running.address).await;
        agent.say(agent_message::Body::Register(register)).await;
        let Some(Body::Refused(refused)) = agent.hear().await else { panic!("no refusal") };
        assert!(agent.hear().await.is_none(), "a refused agent's connection ends");
        (refused.message, refused.r#final)
    };
    let (message, last) = refusal(register("elsewhere-S7", 5051, vec![])).await;
    assert!(last && message.contains("never admitted") && message.contains("work directory"), "{message}");
    let (message, last) =
        refusal(wire::Register { address: "nowhere".to_owned(), ..register("", 5051, vec![]) }).await;
    assert!(last && message.contains("address"), "{message}");
    running.stop().await;
}

#[tokio::test]
async fn an_agent_that_says_nothing_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let within = std::time::Duration::from_millis(1);
    let running = Running::start(dir.path(), |options| options.register_within = within).await;
    let mut agent = Agent::dial(running.address).await;
    let Some(Body::Refused(refused)) = agent.hear().await else { panic!("no refusal") };
    assert!(!refused.r#final && refused.message.contains("no registration within"), "{}", refused.message);
    assert!(agent.hear().await.is_none());
    running.stop().await;
}

#[tokio::test]
async fn the_newer_of_two_connections_counts() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), |_| {}).await;
    let mut older = Agent::connect(running.address, register("", 5051, vec![])).await;
    let newer = Agent::connect(running.address, register(&older.id, 5051, vec![])).await;
    assert_eq!(newer.id, older.id);
    assert!(older.hear().await.is_none());
    assert_eq!(running.json("/slaves").await["slaves"][0]["active"], true);
    drop(newer);
    running.until(|view| view.agents.values().all(|one| one.state.name() == "disconnected")).await;
    running.stop().await;
}

#[tokio::test]
async fn whoever_says_no_more_is_sent_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), |_| {}).await;
    let mut agent = Agent::connect(running.address, register("", 5051, vec![])).await;
    agent.hang_up();
    assert!(agent.hear().await.is_none(), "the stream ends with the agent's half of it");
    let (_, subscription) = subscribe(&running.master, "marathon").await;
    let api::mesos::Subscription { calls, mut events } = subscription;
    drop(calls);
    while soon(events.recv()).await.is_some() {}
    running.stop().await;
}

#[tokio::test]
async fn a_framework_that_reads_nothing_loses_its_subscription_and_nobody_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), |options| options.framework_queue = 4).await;
    let (_, mut channel) = subscribe(&running.master, "deaf").await;
    let tasks: Vec<_> = (0..8).map(|n| (format!("t{n}").parse().unwrap(), None)).collect();
    soon(channel.calls.send(Call::Reconcile(tasks))).await.unwrap();
    soon(channel.calls.closed()).await;
    for _ in 0..4 {
        assert!(matches!(event(&mut channel).await, Event::Update(_)));
    }
    assert!(soon(channel.events.recv()).await.is_none());
    let (_, _channel) = subscribe(&running.master, "deaf").await;
    running.stop().await;
}

#[tokio::test]
async fn a_store_that_fails_ends_the_master_with_its_fault() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), |_| {}).await;
    let error = running
        .break_store(async |master| {
            use api::mesos::Subscribe;
            let mut channel =
                soon(master.subscribe(support::framework_info("unlucky"))).await.expect("it still runs");
            let Event::Error(message) = event(&mut channel).await else { panic!("no error") };
            assert!(message.contains("store failed"), "{message}");
        })
        .await;
    assert!(matches!(error, MasterError::Store(store::StoreError::Closed)), "{error:?}");
}

#[tokio::test]
async fn files_of_agents_come_through_the_master() {
    use axum::extract::RawQuery;
    use axum::routing::get;
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), |_| {}).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let echo = async |RawQuery(query): RawQuery| query.unwrap_or_default();
    let router = axum::Router::new().route("/files/read", get(echo));
    let files = tokio::spawn(axum::serve(listener, router).into_future());
    let agent = Agent::connect(running.address, register("", port, vec![])).await;
    let at = |call: &str| format!("/agent/{}/files/{call}", agent.id);
    assert_eq!(
        running.get(&at("read?path=%2Fa%20b&offset=1")).await,
        (200, "path=%2Fa%20b&offset=1".to_owned())
    );
    assert_eq!(running.get(&at("browse")).await.0, 404, "the agent's own answer");
    assert_eq!(running.get(&at("remove")).await.0, 404);
    assert_eq!(running.get("/slave/nobody/files/read").await, (404, "there is no agent nobody".to_owned()));
    files.abort();
    let _ = files.await;
    let (status, message) = running.get(&at("read")).await;
    assert!(status == 502 && message.contains("cannot be reached"), "{status} {message}");
    running.stop().await;
}
