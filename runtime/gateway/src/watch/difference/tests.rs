use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::Moment;
use api::marathon::{
    ActionKind, App, CurrentAction, Deployment, DeploymentAction, GroupId, OffersSummary, RejectCount, Task,
    TaskCounts, TaskFailure, Timestamp,
};
use api::watch::{Amounts, Failure, Waiting};
use master::core::{Agent, AgentFacts, AgentState, Config, Effect, Input, Registration, State, step};
use proptest::prelude::*;
use scheduler::Host;
use serde_json::{Value, json};
use services::core::view::Queued;

use super::*;

fn moment(seconds: u64) -> Moment {
    let wall = Timestamp::from_millis(1_800_000_000_000 + i64::try_from(seconds).unwrap() * 1000);
    Moment { elapsed: Duration::from_secs(seconds), wall }
}

/// A master that has one agent.
fn master() -> master::view::View {
    let mut state = State::new("m".to_owned(), Config::default());
    let host = Host {
        hostname: "n1.example".to_owned(),
        region: Some("eu".to_owned()),
        zone: None,
        attributes: "rack:r1;disks:2".parse().unwrap(),
    };
    let facts = AgentFacts {
        name: "n1".to_owned(),
        host: Arc::new(host),
        address: "192.0.2.7".parse().unwrap(),
        port: 5051,
        total: "cpus:4;mem:1024;disk:2048.5;ports:[1-10]".parse().unwrap(),
        version: "0.1.0".to_owned(),
    };
    let registration = Registration { id: None, facts, tasks: Vec::new() };
    let now = moment(10);
    for effect in step(&mut state, Input::AgentConnected { connection: 1, registration }, now) {
        if let Effect::Commit { ticket, .. } = effect {
            step(&mut state, Input::Committed { ticket }, now);
        }
    }
    master::view::View::of(&state, moment(15))
}

/// Many agents like that one.
fn agents(count: usize) -> master::view::View {
    let mut view = master();
    let first = view.agents.values().next().unwrap().clone();
    view.agents.remove_mut(&first.id);
    for number in 0..count {
        let mut agent = Agent::clone(&first);
        agent.id = format!("m-S{number:05}").into();
        view.agents.insert_mut(agent.id.clone(), Arc::new(agent));
    }
    view
}

fn app(definition: &Value) -> App {
    App::create(definition, &GroupId::root()).unwrap()
}

fn app_view(id: &str, tasks: Vec<Arc<Task>>) -> AppView {
    AppView {
        app: Some(Arc::new(app(&json!({"id": id, "cmd": "serve", "cpus": 0.5, "mem": 64, "instances": 3})))),
        versions: BTreeMap::new(),
        healthy: vec![None; tasks.len()],
        tasks,
        counts: TaskCounts::default(),
        deployment: None,
        readiness: Vec::new(),
        failure: None,
        queued: None,
    }
}

fn task_of(app: &str, instance: u32, run: u32, state: &str) -> Task {
    let flat = app.trim_start_matches('/').replace('/', "_");
    Task {
        app_id: app.parse().unwrap(),
        id: format!("{flat}.instance-00000000-0000-4000-8000-{instance:012}._app.{run}").parse().unwrap(),
        host: "n1.example".to_owned(),
        ports: vec![31_000],
        service_ports: vec![10_000],
        ip_addresses: Vec::new(),
        slave_id: "m-S0".to_owned(),
        state: state.to_owned(),
        staged_at: Some(Timestamp::from_millis(1_000)),
        started_at: (state == "TASK_RUNNING").then(|| Timestamp::from_millis(2_000)),
        version: Timestamp::from_millis(500),
        local_volumes: Vec::new(),
        health_check_results: Vec::new(),
        check_result: None,
        region: None,
        zone: None,
        role: None,
    }
}

fn running(app: &str, count: u32) -> Vec<Arc<Task>> {
    (0..count).map(|instance| Arc::new(task_of(app, instance, 1, "TASK_RUNNING"))).collect()
}

fn views(master: master::view::View, apps: Vec<AppView>) -> Views {
    let mut services = services::View::default();
    for (number, view) in apps.into_iter().enumerate() {
        let id =
            view.app.as_ref().map_or_else(|| format!("/gone{number}").parse().unwrap(), |app| app.id.clone());
        services.apps.insert_mut(id, Arc::new(view));
    }
    Views { master: Arc::new(master), services: Arc::new(services) }
}

/// Another moment of the services, with one app made anew.
fn after(before: &Views, id: &str, change: impl FnOnce(&mut AppView)) -> Views {
    let mut services = services::View::clone(&before.services);
    let id = id.parse().unwrap();
    let mut view = AppView::clone(services.apps.get(&id).unwrap());
    change(&mut view);
    services.apps.insert_mut(id, Arc::new(view));
    Views { master: Arc::clone(&before.master), services: Arc::new(services) }
}

fn said(shown: Option<&Views>, now: &Views) -> Vec<Frame> {
    frames(shown, now).collect()
}

#[test]
fn a_new_reader_is_told_everything_in_frames_of_a_bounded_size() {
    let now = views(agents(1_200), vec![app_view("/web", running("/web", 501)), app_view("/idle", vec![])]);
    let shape = said(None, &now).into_iter().map(|frame| match &frame {
        Frame::Nodes(rows) => (frame.name(), rows.set.len()),
        Frame::Services(rows) => (frame.name(), rows.set.len()),
        Frame::Tasks(rows) => (frame.name(), rows.set.len()),
        other => (other.name(), 0),
    });
    let wanted =
        [("nodes", 500), ("nodes", 500), ("nodes", 200), ("services", 2), ("tasks", 500), ("tasks", 1)];
    assert_eq!(shape.collect::<Vec<_>>(), wanted);
    assert_eq!(said(Some(&now), &now), []);
}

#[test]
fn long_labels_make_short_frames() {
    let apps = (0..8).map(|number| {
        let mut view = app_view("/x", vec![]);
        let labels = json!({"long": "x".repeat(100_000)});
        let definition = json!({"id": format!("/a{number}"), "cmd": "y".repeat(5_000), "labels": labels});
        view.app = Some(Arc::new(app(&definition)));
        view
    });
    let frames = said(None, &views(agents(0), apps.collect()));
    assert_eq!(frames.len(), 3);
    for frame in frames {
        assert!(serde_json::to_string(&frame).unwrap().len() < 2 * BYTES, "{}", frame.name());
    }
}

#[test]
fn of_five_thousand_tasks_the_one_that_changed_is_told() {
    let before = views(agents(100), vec![app_view("/web", running("/web", 5_000)), app_view("/x", vec![])]);
    let now =
        after(&before, "/web", |view| view.tasks[77] = Arc::new(task_of("/web", 77, 1, "TASK_KILLING")));
    let [Frame::Tasks(rows)] = &said(Some(&before), &now)[..] else { panic!("something else") };
    assert_eq!((rows.set.len(), rows.gone.len()), (1, 0));
    assert_eq!(rows.set[0].state, "TASK_KILLING");

    let healthy = after(&now, "/web", |view| view.healthy[9] = Some(false));
    let [Frame::Tasks(rows)] = &said(Some(&now), &healthy)[..] else { panic!("something else") };
    assert_eq!((rows.set.len(), rows.set[0].healthy, rows.gone.len()), (1, Some(false), 0));
    // What nobody is shown is not told.
    let anew = after(&healthy, "/web", |view| {
        let mut task = Task::clone(&view.tasks[3]);
        task.zone = Some("z".to_owned());
        view.tasks[3] = Arc::new(task);
    });
    assert_eq!(said(Some(&healthy), &anew), []);
}

#[test]
fn instances_come_and_go_and_are_other_tasks_after_a_restart() {
    let before = views(agents(0), vec![app_view("/web", running("/web", 3))]);
    let now = after(&before, "/web", |view| {
        view.tasks.remove(0);
        view.tasks[0] = Arc::new(task_of("/web", 1, 2, "TASK_STAGING"));
        view.tasks.push(Arc::new(task_of("/web", 9, 1, "TASK_STAGING")));
        view.healthy = vec![None; 3];
    });
    let [Frame::Tasks(rows)] = &said(Some(&before), &now)[..] else { panic!("something else") };
    let ids = |instance: u32, run: u32| task_of("/web", instance, run, "").id.to_string();
    assert_eq!(rows.gone, [ids(0, 1), ids(1, 1)]);
    assert_eq!(rows.set.iter().map(|task| task.id.clone()).collect::<Vec<_>>(), [ids(1, 2), ids(9, 1)]);

    // With the service all goes.
    let gone = Views { master: Arc::clone(&now.master), services: Arc::default() };
    let [Frame::Services(services), Frame::Tasks(tasks)] = &said(Some(&now), &gone)[..] else {
        panic!("something else")
    };
    assert_eq!((services.set.len(), &services.gone[..]), (0, &["/web".to_owned()][..]));
    assert_eq!((tasks.set.len(), tasks.gone.len()), (0, 3));
}

#[test]
fn an_agent_is_told_when_its_row_changes_and_not_as_time_goes_by() {
    let before = views(agents(3), vec![]);
    let changed = |seconds: u64, change: fn(&mut Agent)| {
        let mut master = master::view::View::clone(&before.master);
        master.now = moment(seconds);
        // Clocks are set, too.
        master.now.wall = Timestamp::from_millis(master.now.wall.as_millis() + 7);
        let agent = master.agents.get_mut("m-S00001").unwrap();
        change(Arc::make_mut(agent));
        Views { master: Arc::new(master), services: Arc::clone(&before.services) }
    };
    assert_eq!(said(Some(&before), &changed(60, |_same| {})), []);
    let now = changed(60, |agent| agent.state = AgentState::Unreachable);
    let [Frame::Nodes(rows)] = &said(Some(&before), &now)[..] else { panic!("something else") };
    assert_eq!((rows.set.len(), rows.set[0].state.as_str()), (1, "unreachable"));

    let mut master = master::view::View::clone(&before.master);
    master.agents.remove_mut("m-S00000");
    let now = Views { master: Arc::new(master), services: Arc::clone(&before.services) };
    let gone = Rows { set: Vec::new(), gone: vec!["m-S00000".to_owned()] };
    assert_eq!(said(Some(&before), &now), [Frame::Nodes(gone)]);
}

#[test]
fn rows_say_what_the_other_interfaces_say() {
    let view = master();
    let agent = view.agents.values().next().unwrap();
    let mut used = Agent::clone(agent);
    used.used = "cpus:1.5;mem:512".parse().unwrap();
    assert_eq!(
        rows::node(&used, view.now),
        Node {
            id: "m-S0".to_owned(),
            hostname: "n1.example".to_owned(),
            address: "192.0.2.7:5051".to_owned(),
            state: "active".to_owned(),
            since: 1_800_000_010_000,
            total: Amounts { cpus: 4.0, mem: 1024.0, disk: 2048.5 },
            used: Amounts { cpus: 1.5, mem: 512.0, disk: 0.0 },
            attributes: [("disks", "2"), ("rack", "r1")].map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
            region: Some("eu".to_owned()),
            zone: None,
            version: "0.1.0".to_owned(),
        }
    );

    let mut web = app_view("/web", running("/web", 1));
    let mut definition = app(&json!({
        "id": "/web", "cmd": "run", "cpus": 0.5, "mem": 64, "disk": 1, "instances": 3, "labels": {"a": "b"},
        "healthChecks": [{"protocol": "MESOS_HTTP"}],
    }));
    definition.version = Some(Timestamp::from_millis(0));
    web.versions.insert(Timestamp::from_millis(0), Arc::new(definition.clone()));
    web.app = Some(Arc::new(definition));
    web.counts = TaskCounts { tasks_staged: 1, tasks_running: 4, tasks_healthy: 2, tasks_unhealthy: 3 };
    web.deployment = Some("00000000-0000-4000-8000-000000000001".parse().unwrap());
    web.queued = Some(Queued {
        count: 2,
        since: Timestamp::from_millis(5),
        not_before: Duration::ZERO,
        offers: OffersSummary {
            processed_offers_count: 9,
            unused_offers_count: 9,
            last_unused_offer_at: None,
            last_used_offer_at: None,
            reject_summary_last_offers: RejectCount::funnel(9, [0, 0, 0, 0, 7, 0, 0, 0, 0, 0]),
            reject_summary_launch_attempt: Vec::new(),
        },
        why: "no node has 8 cores".to_owned(),
        unused: Vec::new(),
    });
    web.failure = Some(TaskFailure {
        app_id: "/web".parse().unwrap(),
        host: "n2".to_owned(),
        message: "é".repeat(1_001),
        state: "TASK_FAILED".to_owned(),
        task_id: task_of("/web", 1, 1, "").id,
        timestamp: Timestamp::from_millis(77),
        version: Timestamp::from_millis(0),
        slave_id: None,
    });
    let id: AppId = "/web".parse().unwrap();
    let wanted = Service {
        id: "/web".to_owned(),
        version: "1970-01-01T00:00:00.000Z".to_owned(),
        instances: 3,
        each: Amounts { cpus: 0.5, mem: 64.0, disk: 1.0 },
        staged: 1,
        running: 4,
        healthy: 2,
        unhealthy: 3,
        checked: true,
        deployment: Some("00000000-0000-4000-8000-000000000001".to_owned()),
        waiting: Some(Waiting {
            count: 2,
            since: 5,
            why: "no node has 8 cores".to_owned(),
            declined: [("InsufficientCpus".to_owned(), 7)].into(),
        }),
        failure: Some(Failure {
            at: 77,
            task: "web.instance-00000000-0000-4000-8000-000000000001._app.1".to_owned(),
            state: "TASK_FAILED".to_owned(),
            host: "n2".to_owned(),
            message: "é".repeat(1_000) + "…",
        }),
        runs: "run".to_owned(),
        labels: [("a".to_owned(), "b".to_owned())].into(),
        versions: 1,
    };
    assert_eq!(rows::service(&id, &web), wanted);
    // One that is gone while its tasks end.
    let ending = AppView {
        app: None,
        versions: BTreeMap::new(),
        deployment: None,
        queued: None,
        failure: None,
        ..web
    };
    let gone = rows::service(&id, &ending);
    assert_eq!((gone.version.as_str(), gone.instances, gone.running, gone.runs.as_str()), ("", 0, 4, ""));

    for (definition, wanted) in [
        (json!({"id": "/x", "args": ["a", "b c"]}), "a b c"),
        (json!({"id": "/x", "cmd": "c", "container": {"type": "DOCKER", "docker": {"image": "i:1"}}}), "i:1"),
    ] {
        let view = AppView { app: Some(Arc::new(app(&definition))), ..app_view("/x", vec![]) };
        assert_eq!(rows::service(&id, &view).runs, wanted);
    }

    let row = rows::task(&task_of("/web", 1, 2, "TASK_RUNNING"), Some(true));
    assert_eq!(
        serde_json::to_value(row).unwrap(),
        json!({
            "id": "web.instance-00000000-0000-4000-8000-000000000001._app.2", "service": "/web", "state": "TASK_RUNNING",
            "host": "n1.example", "node": "m-S0", "ports": [31_000], "healthy": true,
            "version": "1970-01-01T00:00:00.500Z", "staged": 1_000, "started": 2_000,
        })
    );
}

fn deploying(step: usize) -> Deployment {
    let action = DeploymentAction { action: ActionKind::ScaleApplication, app: "/web".parse().unwrap() };
    Deployment {
        id: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
        version: Timestamp::from_millis(0),
        affected_apps: vec!["/web".parse().unwrap()],
        affected_pods: Vec::new(),
        steps: Vec::new(),
        current_actions: vec![CurrentAction { action, readiness_check_results: Vec::new() }],
        current_step: step,
        total_steps: 2,
    }
}

#[test]
fn deployments_are_told_together_when_one_differs() {
    let with = |deployments: Vec<Deployment>| {
        let mut services = services::View::default();
        services.deployments = Arc::new(deployments);
        Views { master: Arc::new(agents(0)), services: Arc::new(services) }
    };
    let row = |step: u32| watch::Deployment {
        id: "00000000-0000-4000-8000-000000000001".to_owned(),
        version: "1970-01-01T00:00:00.000Z".to_owned(),
        services: vec!["/web".to_owned()],
        step,
        steps: 2,
        doing: vec!["ScaleApplication /web".to_owned()],
    };
    let (none, one, two) = (with(vec![]), with(vec![deploying(1)]), with(vec![deploying(2)]));
    for (shown, now, wanted) in [
        (None, &none, None),
        (None, &one, Some(vec![row(1)])),
        (Some(&one), &with(vec![deploying(1)]), None),
        (Some(&one), &two, Some(vec![row(2)])),
        (Some(&two), &none, Some(vec![])),
    ] {
        let wanted: Vec<_> = wanted.map(|set| Frame::Deployments { set }).into_iter().collect();
        assert_eq!(said(shown, now), wanted);
    }
}

/// A key that must not be looked at.
#[derive(PartialEq, Eq)]
struct Never;

impl PartialOrd for Never {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Never {
    fn cmp(&self, _other: &Self) -> std::cmp::Ordering {
        panic!("nothing has changed")
    }
}

#[test]
fn what_is_shared_costs_one_look_at_two_pointers() {
    let list = |values: &[u32]| values.iter().map(|value| (Never, *value)).collect::<Vec<_>>();
    let (old, new) = (list(&[1, 2, 3]), list(&[1, 2, 3]));
    assert_eq!(differing(old.into_iter(), new.into_iter(), |a, b| a == b).count(), 0);
}

/// What a reader knows who keeps rows by their ids.
#[derive(Debug, Default, PartialEq)]
struct Known {
    nodes: BTreeMap<String, Node>,
    services: BTreeMap<String, Service>,
    tasks: BTreeMap<String, watch::Task>,
}

fn apply<T: PartialEq + Clone>(known: &mut BTreeMap<String, T>, rows: &Rows<T>, id: impl Fn(&T) -> &String) {
    assert!((1..=ROWS).contains(&(rows.set.len() + rows.gone.len())));
    for gone in &rows.gone {
        assert!(known.remove(gone).is_some(), "{gone} was never there");
    }
    for row in &rows.set {
        assert!(known.insert(id(row).clone(), row.clone()).as_ref() != Some(row), "{} is as it was", id(row));
    }
}

impl Known {
    fn hear(&mut self, frame: &Frame) {
        match frame {
            Frame::Nodes(rows) => apply(&mut self.nodes, rows, |row| &row.id),
            Frame::Services(rows) => apply(&mut self.services, rows, |row| &row.id),
            Frame::Tasks(rows) => apply(&mut self.tasks, rows, |row| &row.id),
            other => panic!("{}", other.name()),
        }
    }

    /// All of it, by no comparison.
    fn of(views: &Views) -> Self {
        let apps = || views.services.apps.iter();
        let tasks = apps().flat_map(|(_, view)| view.tasks.iter().zip(&view.healthy));
        let tasks = tasks.map(|(task, healthy)| rows::task(task, *healthy));
        let nodes = views.master.agents.values().map(|agent| rows::node(agent, views.master.now));
        Self {
            nodes: nodes.map(|row| (row.id.clone(), row)).collect(),
            services: apps().map(|(id, view)| (id.to_string(), rows::service(id, view))).collect(),
            tasks: tasks.map(|row| (row.id.clone(), row)).collect(),
        }
    }
}

/// One moment: how each agent is, and which instances each app has (run, state, health).
type Drawn = (BTreeMap<u8, u8>, BTreeMap<u8, BTreeMap<u32, (u32, bool, Option<bool>)>>);

fn drawn() -> impl Strategy<Value = Drawn> {
    let agents = proptest::collection::btree_map(0..6_u8, 0..4_u8, 0..6);
    let instance = (1..3_u32, any::<bool>(), any::<Option<bool>>());
    let instances = proptest::collection::btree_map(0..8_u32, instance, 0..8);
    (agents, proptest::collection::btree_map(0..3_u8, instances, 0..3))
}

/// Turns what was drawn into views that share what is the same, as the real ones do; but now and then a thing is made anew that is as
/// it was.
#[derive(Default)]
struct Maker {
    agents: BTreeMap<(u8, u8), Arc<Agent>>,
    tasks: BTreeMap<(u8, u32, u32, bool), Arc<Task>>,
    apps: BTreeMap<String, Arc<AppView>>,
}

impl Maker {
    fn make(&mut self, (agents, apps): &Drawn) -> Views {
        let mut master = master();
        let first = Agent::clone(master.agents.values().next().unwrap());
        master.agents.remove_mut(&first.id);
        for (number, how) in agents {
            let agent = || {
                let mut agent = first.clone();
                agent.id = format!("m-S{number}").into();
                agent.state = if how % 2 == 0 { AgentState::Active } else { AgentState::Disconnected };
                Arc::new(agent)
            };
            let shared = self.agents.entry((*number, *how)).or_insert_with(agent).clone();
            let shared = if *how == 3 { agent() } else { shared };
            master.agents.insert_mut(shared.id.clone(), shared);
        }
        let mut services = services::View::default();
        for (number, instances) in apps {
            let id = format!("/app{number}");
            let mut view = app_view(&id, Vec::new());
            view.healthy.clear();
            for (instance, (run, runs, healthy)) in instances {
                let state = if *runs { "TASK_RUNNING" } else { "TASK_STAGING" };
                let task = || Arc::new(task_of(&id, *instance, *run, state));
                view.tasks
                    .push(self.tasks.entry((*number, *instance, *run, *runs)).or_insert_with(task).clone());
                view.healthy.push(*healthy);
                view.counts.tasks_running += u32::from(*runs);
            }
            let view = Arc::new(view);
            let shared =
                self.apps.entry(format!("{id} {instances:?}")).or_insert_with(|| view.clone()).clone();
            let view = if instances.len() % 3 == 0 { view } else { shared };
            services.apps.insert_mut(id.parse().unwrap(), view);
        }
        Views { master: Arc::new(master), services: Arc::new(services) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn who_hears_every_frame_knows_all_and_hears_nothing_twice(moments in proptest::collection::vec(drawn(), 1..8)) {
        let (mut maker, mut known, mut shown) = (Maker::default(), Known::default(), None);
        for drawn in &moments {
            let now = maker.make(drawn);
            let said = said(shown.as_ref(), &now);
            said.iter().for_each(|frame| known.hear(frame));
            prop_assert_eq!(&known, &Known::of(&now));
            let again = maker.make(drawn);
            prop_assert_eq!(self::said(Some(&now), &again), vec![]);
            // No more frames than kinds of rows.
            let names: BTreeSet<_> = said.iter().map(Frame::name).collect();
            prop_assert_eq!(names.len(), said.len());
            shown = Some(now);
        }
    }
}
