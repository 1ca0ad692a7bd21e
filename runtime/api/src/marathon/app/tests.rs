use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::marathon::{ApiError, GroupId};

fn create(body: &Value) -> Result<App, ApiError> {
    App::create(body, &GroupId::root())
}

fn app(body: &Value) -> App {
    create(body).unwrap_or_else(|error| panic!("{}", error.body()))
}

fn update(app: &App, body: &Value) -> Result<App, ApiError> {
    AppUpdate::read(body)?.apply(app)
}

#[test]
fn a_minimal_app_has_every_default_of_the_table() {
    let app = app(&json!({"id": "web", "cmd": "x"}));
    insta::assert_snapshot!(serde_json::to_string_pretty(&app).unwrap());
}

#[test]
fn old_forms_of_bridge_mode_become_networks_and_mappings() {
    let old = json!({"id": "a", "container": {"docker": {"image": "web:1", "network": "BRIDGE", "forcePullImage": true,
        "portMappings": [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}, {"containerPort": 53, "hostPort": 53,
        "servicePort": 10053, "protocol": "udp", "name": "dns", "labels": {"VIP_0": "x"}}]}}});
    insta::assert_snapshot!(serde_json::to_string_pretty(&app(&old)).unwrap());
}

#[test]
fn every_way_to_say_a_network_means_one_of_the_new_ways() {
    let docker = |network: &str| json!({"docker": {"image": "x", "network": network}});
    for (body, mode, name) in [
        (json!({}), "host", None),
        (json!({"networks": []}), "host", None),
        (json!({"networks": [{"mode": "container/bridge"}]}), "container/bridge", None),
        (json!({"networks": [{"name": "n"}]}), "container", Some("n")),
        (json!({"ipAddress": {"networkName": "n"}}), "container", Some("n")),
        (json!({"container": docker("HOST")}), "host", None),
        (json!({"container": docker("BRIDGE")}), "container/bridge", None),
        (json!({"container": docker("USER"), "ipAddress": {"networkName": "n"}}), "container", Some("n")),
    ] {
        let mut whole = json!({"id": "a", "cmd": "x"});
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let app = app(&whole);
        assert_eq!(app.networks.len(), 1, "{body}");
        assert_eq!((app.networks[0].mode.word(), app.networks[0].name.as_deref()), (mode, name), "{body}");
        assert_eq!(app.port_names(), [Some("default")], "{body}");
    }
}

#[test]
fn modes_that_map_ports_get_a_mapping_named_default() {
    for (network, host_port) in [(json!({"mode": "container/bridge"}), Some(0)), (json!({"name": "n"}), None)]
    {
        let app = app(&json!({"id": "a", "cmd": "x", "networks": [network]}));
        let mappings = app.container.unwrap().port_mappings.unwrap();
        assert_eq!(mappings.len(), 1);
        assert_eq!((mappings[0].name.as_deref(), mappings[0].host_port), (Some("default"), host_port));
        assert_eq!(app.port_definitions, None);
    }
}

#[test]
fn apps_with_persistent_volumes_have_defaults_of_their_own() {
    let volumes = json!([{"containerPath": "data", "mode": "RW", "persistent": {"size": 10}}]);
    let app = app(&json!({"id": "a", "cmd": "x", "container": {"type": "MESOS", "volumes": volumes}}));
    let capacities = UpgradeStrategy { minimum_health_capacity: 0.5, maximum_over_capacity: 0.0 };
    assert_eq!(app.upgrade_strategy, capacities);
    assert_eq!(app.unreachable_strategy, UnreachableStrategy::Disabled);
    assert_eq!(app.residency.unwrap().relaunch_escalation_timeout_seconds, 3_600);
}

#[test]
fn versions_in_a_body_count_only_for_what_was_stored() {
    let info = json!({"lastScalingAt": "2026-01-01T00:00:00.000Z", "lastConfigChangeAt": "2026-01-02T00:00:00.000Z"});
    let body = json!({"id": "a", "cmd": "x", "version": "2026-01-03T00:00:00.000Z", "versionInfo": info});
    assert_eq!(app(&body).version, None);
    let stored = App::stored(&body).unwrap();
    assert_eq!(stored.version.unwrap().to_string(), "2026-01-03T00:00:00.000Z");
    assert_eq!(stored.to_json()["versionInfo"], info);
}

#[test]
fn the_id_in_a_body_must_be_that_of_the_url() {
    let id = "/shop/web".parse().unwrap();
    for (body, good) in [
        (json!({"cmd": "x"}), true),
        (json!({"cmd": "x", "id": null}), true),
        (json!({"cmd": "x", "id": "/shop/web"}), true),
        (json!({"cmd": "x", "id": "shop/web/"}), true),
        (json!({"cmd": "x", "id": "web"}), false),
    ] {
        assert_eq!(App::replace(&body, &id).is_ok(), good, "{body}");
    }
}

#[test]
fn an_update_replaces_top_level_keys_as_a_whole_and_leaves_the_rest() {
    let old =
        app(&json!({"id": "a", "cmd": "x", "cpus": 2, "env": {"A": "1", "B": "2"}, "labels": {"l": "1"}}));
    let new = update(&old, &json!({"env": {"C": "3"}, "labels": null, "instances": 5})).unwrap();
    assert_eq!(new.to_json()["env"], json!({"C": "3"}));
    assert_eq!(new, App { env: new.env.clone(), instances: 5, ..old });
}

#[test]
fn an_update_with_one_of_two_exclusive_forms_takes_the_place_of_the_other() {
    let old = app(
        &json!({"id": "a", "cmd": "x", "portDefinitions": [{"port": 1}], "fetch": [{"uri": "http://a"}]}),
    );
    let args = update(&old, &json!({"args": ["y"]})).unwrap();
    assert_eq!((args.cmd, args.args), (None, vec!["y".to_owned()]));
    assert_eq!(update(&old, &json!({"args": []})).unwrap(), old);
    assert_eq!(update(&old, &json!({"ports": [2, 3]})).unwrap().service_ports(), [2, 3]);
    assert_eq!(update(&old, &json!({"uris": ["http://b"]})).unwrap().fetch[0].uri, "http://b");
    let bridge = update(&old, &json!({"networks": [{"mode": "container/bridge"}]})).unwrap();
    assert_eq!((bridge.network_mode(), bridge.port_definitions), (NetworkMode::Bridge, None));
    let docker = |network| json!({"container": {"docker": {"image": "x", "network": network}}});
    let bridge = update(&old, &docker("BRIDGE")).unwrap();
    assert_eq!((bridge.network_mode(), bridge.port_definitions), (NetworkMode::Bridge, None));
    let host = update(&old, &docker("HOST")).unwrap();
    assert_eq!((host.network_mode(), host.port_definitions), (NetworkMode::Host, old.port_definitions));
}

#[test]
fn an_update_is_checked_like_a_definition() {
    let old = app(&json!({"id": "a", "cmd": "x"}));
    for (body, status) in [
        (json!({"cpus": "1"}), 400),
        (json!({"cpus": 0}), 422),
        (json!({"cmd": "x", "args": ["y"]}), 422),
        (json!({"id": "b"}), 422),
        (json!([]), 400),
        (json!({"version": 1}), 400),
        (json!({"version": "yesterday"}), 422),
        (json!({"version": "2026-01-31T08:15:30.123Z", "instances": 2}), 422),
    ] {
        assert_eq!(update(&old, &body).map_err(|error| error.status()), Err(status), "{body}");
    }
}

#[test]
fn a_version_alone_rolls_back() {
    let version = "2026-01-31T08:15:30.123Z";
    for body in [json!({"version": version}), json!({"version": version, "id": "a", "instances": null})] {
        assert_eq!(AppUpdate::read(&body), Ok(AppUpdate::Rollback(version.parse().unwrap())), "{body}");
    }
    assert!(
        matches!(AppUpdate::read(&json!({"version": null})), Ok(AppUpdate::Fields(fields)) if fields.is_empty())
    );
}

#[test]
fn an_update_of_an_app_that_does_not_exist_creates_it() {
    let id = "/a".parse().unwrap();
    let created = AppUpdate::read(&json!({"cmd": "x"})).unwrap().create(&id).unwrap();
    assert_eq!(created, app(&json!({"id": "a", "cmd": "x"})));
    let rollback = AppUpdate::read(&json!({"version": "2026-01-31T08:15:30.123Z"})).unwrap();
    assert_eq!(rollback.create(&id).unwrap_err().status(), 404);
}

#[test]
fn a_change_of_instances_scales_and_any_other_restarts() {
    let old = app(&json!({"id": "a", "cmd": "x"}));
    for (change, expected) in [
        (json!({}), Change::Nothing),
        (json!({"cmd": "x", "instances": 1}), Change::Nothing),
        (json!({"instances": 0}), Change::Scale),
        (json!({"cmd": "y"}), Change::Restart),
        (json!({"instances": 2, "labels": {"a": "b"}}), Change::Restart),
        (json!({"upgradeStrategy": {"maximumOverCapacity": 0.5}}), Change::Restart),
    ] {
        assert_eq!(diff(&old, &update(&old, &change).unwrap()), expected, "{change}");
    }
    let version = Some("2026-01-31T08:15:30.123Z".parse().unwrap());
    assert_eq!(diff(&old, &App { version, ..old.clone() }), Change::Nothing);
}

#[test]
fn fields_are_written_only_when_the_user_set_them() {
    let plain = app(&json!({"id": "a", "cmd": "x"})).to_json();
    for key in [
        "check",
        "tty",
        "executorResources",
        "resourceLimits",
        "residency",
        "version",
        "versionInfo",
        "ports",
        "uris",
        "ipAddress",
        "args",
        "constraints",
        "dependencies",
        "env",
        "fetch",
        "healthChecks",
        "readinessChecks",
        "secrets",
        "role",
        "user",
        "container",
    ] {
        assert_eq!(plain.get(key), None, "{key}");
    }
    assert_eq!(plain["labels"], json!({}));
    let set = app(&json!({"id": "a", "cmd": "x", "tty": false, "executorResources": {}})).to_json();
    assert_eq!(set["tty"], json!(false));
    assert_eq!(set["executorResources"], json!({"cpus": 0.1, "mem": 32.0, "disk": 10.0}));
}

/// Sometimes `null`, which equals absent.
fn maybe(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    prop_oneof![1 => Just(Value::Null), 2 => value].boxed()
}

fn one_of(values: &[Value]) -> BoxedStrategy<Value> {
    proptest::sample::select(values.to_vec()).boxed()
}

fn definition() -> impl Strategy<Value = Value> {
    let texts = proptest::collection::btree_map("[A-Za-z_. ]{1,6}", "[^\\x00]{0,6}", 0..4);
    let fields: Vec<(&'static str, BoxedStrategy<Value>)> = vec![
        ("id", "[a-z]{1,3}(/[a-z0-9]{4,6}){0,3}".prop_map(Value::from).boxed()),
        ("cmd", "[^\\x00]{1,10}".prop_map(Value::from).boxed()),
        ("cpus", (0.001..1e6).prop_map(Value::from).boxed()),
        ("mem", (0.0..1e9).prop_map(Value::from).boxed()),
        ("instances", (0..=i32::MAX).prop_map(Value::from).boxed()),
        ("env", texts.clone().prop_map(|map| json!(map)).boxed()),
        ("labels", texts.prop_map(|map| json!(map)).boxed()),
        ("user", "[a-z]{1,4}".prop_map(Value::from).boxed()),
        (
            "portDefinitions",
            proptest::collection::vec((0_u16..3, any::<bool>()), 0..3)
                .prop_map(|ports| {
                    let port = |(at, (port, named)): (usize, (u16, bool))| {
                        let port = if port == 0 { 0 } else { 8_000 + u16::try_from(at).unwrap() };
                        json!({"port": port, "name": named.then(|| format!("p{at}"))})
                    };
                    ports.into_iter().enumerate().map(port).collect::<Vec<_>>().into()
                })
                .boxed(),
        ),
        ("requirePorts", any::<bool>().prop_map(Value::from).boxed()),
        ("constraints", one_of(&[json!([]), json!([["hostname", "UNIQUE"], ["rack", "MAX_PER", "2"]])])),
        (
            "healthChecks",
            one_of(&[
                json!([{"protocol": "COMMAND", "command": {"value": "x"}, "ipProtocol": "IPv6", "path": "/x"}, {"port": 80}]),
                json!([{"protocol": "TCP", "port": 1, "ignoreHttp1xx": true, "gracePeriodSeconds": 0, "ipProtocol": "IPv6"}]),
            ]),
        ),
        (
            "check",
            one_of(&[
                json!({"tcp": {"port": 1}}),
                json!({"http": {"path": "/", "scheme": "HTTPS"}, "delaySeconds": 1}),
                json!({"exec": {"command": {"argv": ["true", "x"]}}}),
            ]),
        ),
        ("dependencies", one_of(&[json!(["/zz/y", "../x"]), json!([])])),
        (
            "upgradeStrategy",
            one_of(&[json!({}), json!({"minimumHealthCapacity": 0.3, "maximumOverCapacity": 0})]),
        ),
        (
            "unreachableStrategy",
            one_of(&[json!("disabled"), json!({"inactiveAfterSeconds": 1, "expungeAfterSeconds": 2})]),
        ),
        ("killSelection", one_of(&[json!("OLDEST_FIRST"), json!("YOUNGEST_FIRST")])),
        (
            "container",
            one_of(&[
                json!({"type": "MESOS"}),
                json!({"type": "MESOS", "volumes": [{"containerPath": "p", "persistent": {"size": 1, "constraints": [["path", "LIKE", "x"]]}},
                {"containerPath": "e", "external": {"name": "n"}}, {"containerPath": "h", "hostPath": "/h", "mode": "RO"}],
                "linuxInfo": {"seccomp": {"unconfined": true}}}),
                json!({"docker": {"image": "x", "parameters": [{"key": "k", "value": "v"}]}}),
            ]),
        ),
        (
            "networks",
            one_of(&[
                json!([{"mode": "host"}]),
                json!([{"mode": "container/bridge"}]),
                json!([{"name": "n", "labels": {"a": "b"}}]),
            ]),
        ),
        ("fetch", one_of(&[json!([{"uri": "http://a", "destPath": "b"}])])),
        ("uris", one_of(&[json!(["http://a.zip", "http://b"])])),
        ("executorResources", one_of(&[json!({}), json!({"mem": 1})])),
        ("tty", any::<bool>().prop_map(Value::from).boxed()),
    ];
    let (names, values): (Vec<_>, Vec<_>) = fields
        .into_iter()
        .map(|(name, value)| (name, if matches!(name, "id" | "cmd") { value } else { maybe(value) }))
        .unzip();
    values.prop_map(move |values| {
        names.iter().map(|name| (*name).to_owned()).zip(values).collect::<serde_json::Map<_, _>>().into()
    })
}

proptest! {
    #[test]
    fn a_written_app_reads_back_as_itself(body in definition()) {
        if let Ok(app) = create(&body) {
            let text = serde_json::to_string(&app).unwrap();
            let again = App::stored(&serde_json::from_str(&text).unwrap());
            prop_assert_eq!(again.as_ref(), Ok(&app));
            prop_assert_eq!(update(&app, &json!({})), Ok(app.clone()));
            prop_assert_eq!(diff(&app, &app), Change::Nothing);
        }
    }
}

#[test]
fn most_generated_definitions_are_valid_so_that_the_property_says_something() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let valid =
        (0..200).filter(|_| create(&definition().new_tree(&mut runner).unwrap().current()).is_ok()).count();
    assert!(valid >= 30, "{valid} of 200");
}

#[test]
fn old_port_mappings_count_beside_an_empty_new_list() {
    let app = app(&json!({"id": "a", "cmd": "x", "container": {
        "portMappings": [], "docker": {"image": "x", "network": "BRIDGE", "portMappings": [{"containerPort": 80}]}
    }}));
    let ports: Vec<_> =
        app.container.unwrap().port_mappings.into_iter().flatten().map(|p| p.container_port).collect();
    assert_eq!(ports, [80]);
}

#[test]
fn what_was_stored_is_read_again_whatever_rules_came_since() {
    // More constraints than are taken today stand for any such rule.
    let mut stored = app(&json!({"id": "/a", "cmd": "x"})).to_json();
    stored["constraints"] = json!(vec![json!(["hostname", "UNIQUE"]); 101]);
    assert_eq!(App::stored(&stored).unwrap().constraints.len(), 101);
    assert_eq!(App::create(&stored, &GroupId::root()).unwrap_err().status(), 422);
}

#[test]
fn values_of_the_environment_are_not_printed() {
    let app = app(&json!({"id": "a", "cmd": "x", "env": {"TOKEN": "hunter2"}}));
    assert!(!format!("{app:?}").contains("hunter2"));
}

#[test]
fn what_is_wrong_with_a_check_is_named() {
    for (check, path) in [
        (json!({"http": {"portIndex": 1}}), "/check/http/portIndex"),
        (json!({"http": {"endpoint": "none"}}), "/check/http/endpoint"),
        (json!({"http": {"path": "/a b"}}), "/check/http/path"),
        (json!({"http": {"scheme": "FTP"}}), "/check/http/scheme"),
        (json!({"tcp": {"port": 80, "portIndex": 0}}), "/check/tcp"),
        (json!({"exec": {}}), "/check/exec/command"),
        (json!({"exec": {"command": {}}}), "/check/exec/command"),
        (json!({"exec": {"command": {"shell": "x", "argv": ["x"]}}}), "/check/exec/command"),
        (json!({"exec": {"command": {"shell": "a\u{0}b"}}}), "/check/exec/command"),
        (json!({"exec": {"command": {"shell": "true"}}, "intervalSeconds": 0}), "/check/intervalSeconds"),
    ] {
        let definition = json!({"id": "a", "cmd": "x", "check": check});
        let Err(ApiError::Invalid(details)) = App::create(&definition, &GroupId::root()) else {
            panic!("{check} was accepted");
        };
        let paths: Vec<&str> = details.iter().map(|detail| detail.path.as_str()).collect();
        assert_eq!(paths, [path], "{check}");
    }
    let without_ports = json!({"id": "a", "cmd": "x", "portDefinitions": [], "check": {"tcp": {}}});
    assert!(App::create(&without_ports, &GroupId::root()).is_err());
}

#[test]
fn what_is_not_done_yet_is_refused_by_its_path() {
    let image = json!({"type": "DOCKER", "docker": {"image": "web:1"}});
    let volume = |volume: Value| json!({"type": "MESOS", "volumes": [volume]});
    for (fields, paths) in [
        (json!({"tty": true}), vec!["/tty"]),
        (json!({"gpus": 1}), vec!["/gpus"]),
        (json!({"container": image}), vec!["/container/docker"]),
        (json!({"container": {"type": "MESOS", "linuxInfo": {"seccomp": {}}}}), vec!["/container/linuxInfo"]),
        (json!({"networks": [{"mode": "container/bridge"}]}), vec!["/networks(0)/mode"]),
        (json!({"networks": [{"mode": "container", "name": "n"}]}), vec!["/networks(0)/mode"]),
        (json!({"ipAddress": {"networkName": "n"}}), vec!["/networks(0)/mode"]),
        (
            json!({"container": volume(json!({"containerPath": "d", "persistent": {"size": 1}}))}),
            vec!["/container/volumes(0)/persistent", "/residency"],
        ),
        (
            json!({"container": volume(json!({"containerPath": "/d", "mode": "RW",
                "external": {"name": "n", "provider": "p", "options": {}}}))}),
            vec!["/container/volumes(0)/external"],
        ),
        (
            json!({"secrets": {"s": {"source": "a"}},
                "container": volume(json!({"containerPath": "d", "secret": "s"}))}),
            vec!["/container/volumes(0)/secret"],
        ),
        (json!({"residency": {}}), vec!["/residency"]),
        (json!({"tty": false, "gpus": 0, "user": "www", "executor": "//cmd"}), vec![]),
        (json!({"fetch": [{"uri": "http://a/b"}], "taskKillGracePeriodSeconds": 3}), vec![]),
    ] {
        let mut definition = json!({"id": "a", "cmd": "x"});
        definition.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let app = App::create(&definition, &GroupId::root()).unwrap();
        let details = match check_supported(&app) {
            Ok(()) => Vec::new(),
            Err(ApiError::Invalid(details)) => details,
            Err(other) => panic!("{other:?}"),
        };
        let named: Vec<&str> = details.iter().map(|detail| detail.path.as_str()).collect();
        assert_eq!(named, paths, "{fields}");
        assert!(details.iter().all(|detail| detail.errors[0].ends_with("is not supported yet")));
    }
    let executor = json!({"id": "a", "cmd": "x", "executor": "/opt/executor"});
    let Err(ApiError::Invalid(details)) = App::create(&executor, &GroupId::root()) else {
        panic!("accepted")
    };
    assert_eq!(details[0].path, "/executor");
}
