//! What goes where: offers, ports, tasks, and what is refused.

use api::marathon::ApiError;
use api::mesos::{Call, CheckAddress, CheckKind};
use scheduler::{Bundle, Host, Range, Ranges, Resources, Role, Scalar};
use serde_json::{Value, json};

use super::rules::{definition, only, running, update};
use super::world::{World, app};
use crate::core::matching::Demand;
use crate::core::ports;

fn ranges(begin: u64, end: u64) -> Ranges {
    [Range::new(begin, end).unwrap()].into_iter().collect()
}

#[test]
fn ports_are_taken_in_turn_so_that_a_freed_one_comes_last() {
    let two = app(&definition(&json!({"portDefinitions": [{"port": 0}, {"port": 0, "name": "b"}]})));
    let left = Resources::from(Bundle::default().with_ports(ranges(31_000, 31_003)));
    for (from, given) in [
        (0, [31_000, 31_001]),
        (31_002, [31_002, 31_003]),
        (31_003, [31_003, 31_000]),
        (40_000, [31_000, 31_001]),
    ] {
        assert_eq!(ports::choose(&two, &left, &[Role::star()], from), Some(given.to_vec()), "{from}");
    }
    let fixed =
        |port: u16| app(&definition(&json!({"requirePorts": true, "portDefinitions": [{"port": port}]})));
    assert_eq!(ports::choose(&fixed(31_002), &left, &[Role::star()], 0), Some(vec![31_002]));
    assert_eq!(ports::choose(&fixed(8_080), &left, &[Role::star()], 0), None);
}

#[test]
fn offers_are_used_reserved_parts_first_and_turned_away_for_the_first_reason() {
    let web: Role = "web".parse().unwrap();
    let mut resources = Resources::from(
        Bundle::new(Scalar::whole(1), Scalar::whole(100), Scalar::ZERO).with_ports(ranges(31_000, 31_000)),
    );
    resources.add_part(&web, &Bundle::new(Scalar::from_thousandths(500), Scalar::ZERO, Scalar::ZERO));
    let offer = api::mesos::Offer {
        id: "O1".to_owned(),
        role: web.clone(),
        agent: "a1".into(),
        host: Host { hostname: "h1".to_owned(), ..Host::default() }.into(),
        address: "127.0.0.1".parse().unwrap(),
        resources: resources.clone(),
    };
    let look = |more: Value| {
        let app = app(&definition(&more));
        let demand = Demand::new(&app, &Role::star()).unwrap();
        demand.fit(&offer, &resources, &demand.tally([&*offer.host]), 0).map_err(|rejection| rejection.at)
    };
    let fit = look(json!({"role": "web", "cpus": 1.25, "mem": 100})).unwrap();
    assert_eq!(fit.resources.part(&web).unwrap().cpus(), Scalar::from_thousandths(500));
    assert_eq!(fit.resources.unreserved().cpus(), Scalar::from_thousandths(750));
    assert_eq!(fit.ports, [31_000]);
    for (more, at) in [
        (json!({}), 0),
        (json!({"role": "web", "acceptedResourceRoles": ["other"]}), 0),
        (json!({"role": "web", "constraints": [["hostname", "UNIQUE"]]}), 1),
        (json!({"role": "web", "cpus": 2}), 4),
        (json!({"role": "web", "acceptedResourceRoles": ["web"]}), 5),
        (json!({"role": "web", "mem": 101}), 5),
        (json!({"role": "web", "disk": 1}), 6),
        (json!({"role": "web", "portDefinitions": [{"port": 0}, {"port": 0}]}), 8),
    ] {
        assert_eq!(look(more.clone()), Err(at), "{more}");
    }
    assert!(
        look(json!({"acceptedResourceRoles": ["web", "*"], "cpus": 1})).is_ok(),
        "named roles open their offers"
    );
}

#[test]
fn checks_are_run_where_the_reference_runs_them() {
    let checks = json!([{"protocol": "HTTPS", "path": "/h", "portIndex": 0}, {"protocol": "TCP", "port": 99},
        {"protocol": "MESOS_TCP", "ipProtocol": "IPv6", "maxConsecutiveFailures": 0}]);
    let world = running(&json!({"healthChecks": checks}));
    let task = &world.tasks[&only(&world)].info;
    let port = 31_000..=31_999;
    let CheckKind::Http { address: CheckAddress::Agent, port: http, tls: true, .. } = task.checks[0].kind
    else {
        panic!("{:?}", task.checks[0])
    };
    assert!(port.contains(&http));
    assert_eq!(task.checks[1].kind, CheckKind::Tcp { address: CheckAddress::Agent, port: 99 });
    assert_eq!(task.checks[2].kind, CheckKind::Tcp { address: CheckAddress::Loopback6, port: http });
    let deciders: Vec<_> = task.checks.iter().map(|check| check.kill_after).collect();
    assert_eq!(deciders, [None, None, Some(1)]);
}

#[test]
fn offers_are_asked_for_while_something_waits_and_only_then() {
    let mut world = running(&json!({}));
    let last = |world: &World| {
        world.calls.iter().rev().find(|call| matches!(call, Call::Suppress(_) | Call::Revive(_))).cloned()
    };
    assert_eq!(last(&world), Some(Call::Suppress(Vec::new())));
    world.ask(update(&json!({"instances": 2})), false).unwrap().unwrap();
    assert_eq!(last(&world), Some(Call::Revive(Vec::new())));
    world.settle();
    assert_eq!(last(&world), Some(Call::Suppress(Vec::new())));
}

#[test]
fn several_apps_use_one_offer_and_instances_spread() {
    let mut world = World::new();
    world.agents = vec!["a1", "a2"];
    for name in ["/a", "/b"] {
        world.create(&json!({"id": name, "cmd": "x", "cpus": 0.1, "mem": 16, "instances": 2})).unwrap();
    }
    world.calls.clear();
    world.round();
    let accepted = |call: &Call| match call {
        Call::Accept { tasks, .. } => Some(tasks.len()),
        _ => None,
    };
    let counts: Vec<usize> = world.calls.iter().filter_map(accepted).collect();
    assert_eq!(counts, [2, 2]);
    let indices = |world: &World| {
        let index = |task: &super::world::Task| {
            task.info.command.env["CLUSTERCTL_INSTANCE_INDEX"].expose().to_owned()
        };
        let mut all: Vec<String> = world.tasks.values().map(index).collect();
        all.sort();
        all
    };
    assert_eq!(indices(&world), ["0", "0", "1", "1"]);
}

#[test]
fn what_is_not_done_yet_is_refused_by_name() {
    let mut world = World::new();
    let container =
        json!({"type": "MESOS", "volumes": [{"containerPath": "/x", "hostPath": "/y", "mode": "RO"}]});
    for (more, path) in [
        (json!({"container": container}), "/container/volumes(0)/hostPath"),
        (json!({"role": "other"}), "/role"),
        (json!({"gpus": 1, "container": {"type": "MESOS"}}), "/gpus"),
        (json!({"labels": {"a": "x".repeat(100_000)}}), "/"),
    ] {
        let Err(ApiError::Invalid(details)) = world.create(&definition(&more)) else { panic!("{path}") };
        assert_eq!(details[0].path, path);
    }
    assert!(world.store.keys().all(|key| key.as_str() == "services/framework"));
}
