//! What is shown, as a whole.

use serde_json::{Value, json};

use super::world::{World, id};

fn shown(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(&serde_json::to_value(value).unwrap()).unwrap()
}

fn web() -> Value {
    json!({"id": "/shop/web", "cmd": "serve", "cpus": 0.5, "mem": 64, "instances": 1,
        "labels": {"tier": "web"}, "healthChecks": [{"protocol": "HTTP", "path": "/health"}]})
}

#[test]
fn a_deployment_that_runs() {
    let mut world = World::new();
    world.create(&web()).unwrap();
    insta::assert_snapshot!(shown(&world.state.deployment_views()), @r#"
    [
      {
        "affectedApps": [
          "/shop/web"
        ],
        "affectedPods": [],
        "currentActions": [
          {
            "action": "ScaleApplication",
            "app": "/shop/web",
            "readinessCheckResults": []
          }
        ],
        "currentStep": 2,
        "id": "445018e3-0581-4b78-bbe7-a763b053d14c",
        "steps": [
          {
            "actions": [
              {
                "action": "StartApplication",
                "app": "/shop/web"
              }
            ]
          },
          {
            "actions": [
              {
                "action": "ScaleApplication",
                "app": "/shop/web"
              }
            ]
          }
        ],
        "totalSteps": 2,
        "version": "2026-01-31T08:15:30.123Z"
      }
    ]
    "#);
}

#[test]
fn an_app_and_its_task() {
    let mut world = World::new();
    world.create(&web()).unwrap();
    world.settle();
    let view = world.state.app_view(&id("/shop/web")).unwrap();
    insta::assert_snapshot!(shown(&*view.app.unwrap()), @r#"
    {
      "backoffFactor": 1.15,
      "backoffSeconds": 1,
      "cmd": "serve",
      "cpus": 0.5,
      "disk": 0.0,
      "executor": "",
      "gpus": 0,
      "healthChecks": [
        {
          "delaySeconds": 15,
          "gracePeriodSeconds": 300,
          "ignoreHttp1xx": false,
          "intervalSeconds": 60,
          "ipProtocol": "IPv4",
          "maxConsecutiveFailures": 3,
          "path": "/health",
          "portIndex": 0,
          "protocol": "HTTP",
          "timeoutSeconds": 20
        }
      ],
      "id": "/shop/web",
      "instances": 1,
      "killSelection": "YOUNGEST_FIRST",
      "labels": {
        "tier": "web"
      },
      "maxLaunchDelaySeconds": 300,
      "mem": 64.0,
      "networks": [
        {
          "mode": "host"
        }
      ],
      "portDefinitions": [
        {
          "labels": {},
          "name": "default",
          "port": 10000,
          "protocol": "tcp"
        }
      ],
      "requirePorts": false,
      "role": "*",
      "unreachableStrategy": {
        "expungeAfterSeconds": 0,
        "inactiveAfterSeconds": 0
      },
      "upgradeStrategy": {
        "maximumOverCapacity": 1.0,
        "minimumHealthCapacity": 1.0
      },
      "version": "2026-01-31T08:15:30.123Z"
    }
    "#);
    insta::assert_snapshot!(shown(&view.tasks.iter().map(AsRef::as_ref).collect::<Vec<&api::marathon::Task>>()), @r#"
    [
      {
        "appId": "/shop/web",
        "healthCheckResults": [
          {
            "alive": true,
            "consecutiveFailures": 0,
            "firstSuccess": "2026-01-31T08:15:33.123Z",
            "instanceId": "shop_web.instance-769dd690-1088-42d6-a0cf-93e412560ec0",
            "lastSuccess": "2026-01-31T08:15:33.123Z"
          }
        ],
        "host": "a1",
        "id": "shop_web.instance-769dd690-1088-42d6-a0cf-93e412560ec0._app.1",
        "ipAddresses": [
          {
            "ipAddress": "127.0.0.2",
            "protocol": "IPv4"
          }
        ],
        "localVolumes": [],
        "ports": [
          31192
        ],
        "role": "*",
        "servicePorts": [
          10000
        ],
        "slaveId": "a1",
        "stagedAt": "2026-01-31T08:15:31.123Z",
        "startedAt": "2026-01-31T08:15:32.123Z",
        "state": "TASK_RUNNING",
        "version": "2026-01-31T08:15:30.123Z"
      }
    ]
    "#);
}

#[test]
fn what_waits_says_why() {
    let mut world = World::new();
    let mut definition = web();
    definition["cpus"] = json!(5);
    definition["constraints"] = json!([["hostname", "UNLIKE", "a3"]]);
    world.create(&definition).unwrap();
    world.round();
    let queued = world.state.app_view(&id("/shop/web")).unwrap().queued.unwrap();
    insta::assert_snapshot!(queued.why, @r#"of the last 3 offers were turned away: 1 by UnfulfilledConstraint (the constraint ["hostname", "UNLIKE", "a3"] turns a3 away), 2 by InsufficientCpus (5 cpus wanted, 4 there)"#);
    let summary = &queued.offers.reject_summary_last_offers;
    let funnel: Vec<String> =
        summary.iter().map(|step| format!("{} {}/{}", step.reason, step.declined, step.processed)).collect();
    insta::assert_snapshot!(funnel.join("\n"), @r#"
    UnfulfilledRole 0/3
    UnfulfilledConstraint 1/3
    NoCorrespondingReservationFound 0/2
    AgentMaintenance 0/2
    InsufficientCpus 2/2
    InsufficientMemory 0/0
    InsufficientDisk 0/0
    InsufficientGpus 0/0
    InsufficientPorts 0/0
    DeclinedScarceResources 0/0
    "#);
}

#[test]
fn events_of_a_day() {
    let mut world = World::new();
    world.create(&json!({"id": "/web", "cmd": "serve", "cpus": 0.1, "mem": 16})).unwrap();
    world.settle();
    insta::assert_snapshot!(world.names().join("\n"), @r#"
    scheduler_registered_event
    api_post_event
    group_change_success
    deployment_info
    deployment_step_success
    deployment_info
    instance_changed_event
    status_update_event
    instance_changed_event
    deployment_step_success
    deployment_success
    "#);
}
